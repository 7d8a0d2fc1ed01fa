"""Who we are towards a server, and who it must be: certificates, keys, user tokens. ValueError says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.crypto.security_policies import SecurityPolicy
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key

from collectors.collector import Access
from collectors.opcua.services import Endpoint, TokenPolicy, anonymous, user_name
from collectors.uabinary import blob

PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#"
NONE = PREFIX + "None"
POLICIES: dict[str, type[SecurityPolicy]] = {
    PREFIX + "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    PREFIX + "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
    PREFIX + "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
}
PLAIN_URI = "urn:asbuilt"  # our ApplicationUri, where no certificate says another
PEM = b"-----BEGIN"

Token = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Keys:
    """What an `Access` names, loaded; certificates in DER."""

    policy: str
    mode: str
    certificate: x509.Certificate | None = None
    key: RSAPrivateKey | None = None
    server: bytes = b""

    @property
    def secured(self) -> bool:
        return self.policy != NONE

    @property
    def application_uri(self) -> str:
        """What the certificate says that we are, because servers compare."""
        if self.certificate is None:
            return PLAIN_URI
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return PLAIN_URI
        return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), PLAIN_URI)

    def security(self, server: bytes) -> SecurityPolicy:
        """The cryptography of one connection to a server of this certificate."""
        if not self.secured:
            return security_policies.SecurityPolicyNone()  # type: ignore[no-untyped-call]
        rsa_key(server)
        mode = ua.MessageSecurityMode[self.mode]
        return POLICIES[self.policy](server, self.certificate, self.key, mode)


def load_keys(access: Access, now: datetime) -> Keys:
    """The files that `access` names."""
    server = _certificate(access.server_certificate).public_bytes(Encoding.DER) if access.server_certificate else b""
    if access.policy in ("", "None"):
        return Keys(NONE, "None", server=server)
    policy = PREFIX + access.policy
    if policy not in POLICIES or access.mode not in ("Sign", "SignAndEncrypt"):
        raise ValueError(f"policy {access.policy} with mode {access.mode} is none that asbuilt speaks: {_spoken()}")
    if not access.certificate or not access.private_key:
        raise ValueError(f"policy {access.policy} needs certificate and private_key of the asset")
    certificate, key = _certificate(access.certificate), _private_key(access.private_key)
    if certificate.public_key() != key.public_key():
        raise ValueError(f"{access.private_key} is not the key of {access.certificate}")
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        when = f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}"
        raise ValueError(f"{access.certificate} is valid {when}: make a new one, or set the clock")
    return Keys(policy, access.mode, certificate, key, server)


def _spoken() -> str:
    return f"{', '.join(short(uri) for uri in POLICIES)}, with Sign or SignAndEncrypt; or None"


def _certificate(path: str) -> x509.Certificate:
    written = _content(path)
    try:
        if written.lstrip().startswith(PEM):
            return x509.load_pem_x509_certificate(written)
        return x509.load_der_x509_certificate(written)
    except ValueError:
        raise ValueError(f"{path} is no certificate in PEM or DER") from None


def _private_key(path: str) -> RSAPrivateKey:
    written = _content(path)
    try:
        load = load_pem_private_key if written.lstrip().startswith(PEM) else load_der_private_key
        key = load(written, None)
    except TypeError:
        raise ValueError(f"{path} is locked with a password: asbuilt needs it without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} is no private key in PEM or DER") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{path} is no RSA key")
    return key


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def rsa_key(certificate: bytes) -> RSAPublicKey:
    """The key in a server's certificate."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the server shows no certificate that can be read") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the server's certificate has no RSA key")
    return key


def short(policy: str) -> str:
    """The name of a security policy without what all of them begin with."""
    return policy.rsplit("#", 1)[-1] or "None"


def choose(endpoints: Iterable[Endpoint], keys: Keys) -> Endpoint:
    """The endpoint that is what the asset asks for."""
    endpoints = tuple(endpoints)
    for endpoint in endpoints:
        if (endpoint.policy or NONE, endpoint.mode) == (keys.policy, keys.mode):
            if keys.server and endpoint.certificate != keys.server:
                raise ValueError("the server shows another certificate than server_certificate of the asset")
            return endpoint
    offered = ", ".join(sorted({label(endpoint) for endpoint in endpoints})) or "nothing"
    wanted = f"{short(keys.policy)} and {keys.mode}" if keys.secured else "no security"
    raise ValueError(
        f"the server has no endpoint with {wanted}; set security of the asset to what it offers: {offered}"
    )


def label(endpoint: Endpoint) -> str:
    """ "Basic256Sha256:Sign", or "None"."""
    policy = short(endpoint.policy)
    return policy if policy == endpoint.mode else f"{policy}:{endpoint.mode}"


def identify(access: Access, endpoint: Endpoint, server: bytes, nonce: bytes) -> Token:
    """The user token for this endpoint. A password leaves only where a token policy or the channel encrypts it."""
    if not access.user:
        return _anonymous(endpoint)
    policies = [token for token in endpoint.tokens if token.kind == "UserName"]
    if not policies:
        raise ValueError("the server takes no user names: leave out user and password of the asset")
    for policy in policies:
        uri = policy.policy or endpoint.policy
        if uri in POLICIES:
            return _encrypted(access, policy, uri, server, nonce)
    plain = [policy for policy in policies if (policy.policy or endpoint.policy or NONE) == NONE]
    if plain and endpoint.mode == "SignAndEncrypt":
        return user_name(plain[0].id, access.user, access.password.read().encode(), None)
    if plain:
        remedy = 'set security = "Basic256Sha256:SignAndEncrypt"'
        raise ValueError(f"the password would go over the network in clear: {remedy}")
    raise ValueError(f"the server wants the password in {short(policies[0].policy)}; asbuilt has {_spoken()}")


def _anonymous(endpoint: Endpoint) -> Token:
    for policy in endpoint.tokens:
        if policy.kind == "Anonymous":
            return anonymous(policy.id)
    if endpoint.tokens:
        raise ValueError("the server takes nobody without a name: set user and password_env of the asset")
    return anonymous("")


def _encrypted(access: Access, policy: TokenPolicy, uri: str, server: bytes, nonce: bytes) -> Token:
    """Part 4, 7.41.2.2: length, password, the server's nonce; encrypted for the server's certificate."""
    secret = blob(access.password.read().encode() + nonce)
    try:
        encrypted, algorithm = security_policies.encrypt_asymmetric(rsa_key(server), secret, uri)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ValueError(f"the password cannot be encrypted for the server: {error}") from None
    return user_name(policy.id, access.user, encrypted, algorithm)
