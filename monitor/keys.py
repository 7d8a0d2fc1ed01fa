"""Ed25519 keys (RFC 8032): of persons, who sign what they decide, and of the plant, which signs checkpoints.

A private key is a file (PKCS#8, PEM), or is kept in the store sealed with its owner's password: Argon2id (RFC 9106)
makes a key of the password, and ChaCha20-Poly1305 (RFC 8439) seals with it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from monitor.errors import CallError

ITERATIONS, LANES, MEMORY = 3, 4, 64 * 1024  # RFC 9106, 4: the second recommended option; memory in KiB
SHORTEST_PASSWORD = 8
PROVISIONAL = "provisional"
ONE_AT_A_TIME = threading.Lock()  # two Argon2 with lanes at once wait for each other's threads in OpenSSL, for ever


@dataclass(frozen=True, slots=True)
class Signer:
    """Who can sign: a private key, and its public half in hexadecimal."""

    private: Ed25519PrivateKey
    key: str

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> Signer:
        return cls(private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex())

    @classmethod
    def new(cls) -> Signer:
        return cls.of(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> str:
        """The signature, 128 hexadecimal digits."""
        return self.private.sign(data).hex()


def save(signer: Signer, path: Path, password: str = "") -> None:
    """Write a new key file that only its owner may read; FileExistsError if there is one.

    It is there with all of its content, or not at all: an empty one would stand in the way for ever.
    """
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    draft = path.with_name(f"{path.name}.{token_bytes(4).hex()}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if os.name == "posix":
            os.link(draft, path)  # which, unlike renaming, replaces nothing
        else:
            os.rename(draft, path)  # which replaces nothing on Windows
    finally:
        draft.unlink(missing_ok=True)


def is_sealed(path: Path) -> bool:
    """Whether a key file asks for a password (RFC 7468, 11)."""
    try:
        return b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    except OSError:
        return False  # which loading it says


def load(path: Path, password: str = "") -> Signer:
    """The key in a file; CallError if it is none, or if others may read it."""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise CallError(f"{path} is a private key and may be read by others: chmod 600 {path}")
        private = load_pem_private_key(path.read_bytes(), password.encode() or None)
    except OSError as error:
        raise CallError(f"the key {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except TypeError:
        needs = "is sealed with a password" if not password else "has no password"
        raise CallError(f"the key {path} {needs}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CallError(f"{path} holds no Ed25519 private key (PEM), or the password is not its own") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise CallError(f"{path} holds a key of another kind; asbuilt signs with Ed25519")
    return Signer.of(private)


def seal(signer: Signer, password: str, provisional: bool = False) -> str:
    """The private key sealed with a password, as JSON. It is provisional if somebody else chose the password."""
    if len(password) < SHORTEST_PASSWORD:
        raise CallError(f"a password has {SHORTEST_PASSWORD} characters or more")
    salt, nonce = token_bytes(16), token_bytes(12)
    seed = signer.private.private_bytes_raw()
    sealed = ChaCha20Poly1305(_stretched(password, salt)).encrypt(nonce, seed, bytes.fromhex(signer.key))
    parts = {"kdf": "argon2id", "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}
    return json.dumps(parts | ({PROVISIONAL: "yes"} if provisional else {}))


def is_provisional(sealed: str) -> bool:
    """Whether somebody else has chosen the password: who signs in with it has to choose one of their own first."""
    try:
        return PROVISIONAL in json.loads(sealed)
    except (ValueError, TypeError):
        return False


def unseal(sealed: str, key: str, password: str) -> Signer | None:
    """The key that was sealed; None if the password is another, or the seal is broken."""
    try:
        written = json.loads(sealed)
        parts = {name: bytes.fromhex(written[name]) for name in ("salt", "nonce", "sealed")}
        cipher = ChaCha20Poly1305(_stretched(password, parts["salt"]))
        seed = cipher.decrypt(parts["nonce"], parts["sealed"], bytes.fromhex(key))
    except (InvalidTag, ValueError, KeyError, TypeError):
        return None
    signer = Signer.of(Ed25519PrivateKey.from_private_bytes(seed))
    return signer if signer.key == key else None


def _stretched(password: str, salt: bytes) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY)
    with ONE_AT_A_TIME:
        return kdf.derive(password.encode())
