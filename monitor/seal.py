"""The seal of a bundle or a backup: MANIFEST in the format of sha256sum, its signature, and the key that signed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from monitor import verifier
from monitor.bundle_files import LISTED, MANIFEST, SIGNATURE, Files
from monitor.errors import CallError, Unverified
from monitor.store import Signing

KEY = "KEY.pem"
SIGNED, LARGEST_KEY = 64, 1000  # bytes, of an Ed25519 signature, and of a key as PEM


@dataclass(frozen=True, slots=True)
class Seal:
    """Who signed (an Ed25519 public key, hexadecimal), and the SHA-256 of the MANIFEST."""

    key: str
    manifest: str


def seal_of(digests: Mapping[str, str], signer: Signing) -> dict[str, bytes]:
    """MANIFEST of files, by name their SHA-256, and its signature."""
    manifest = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
    return {MANIFEST: manifest, SIGNATURE: bytes.fromhex(signer.sign(manifest))}


def pem(key: str) -> str:
    """A public key as PEM (RFC 8410)."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def opened_seal(where: str, files: Files, what: str) -> tuple[Seal, dict[str, str]]:
    """Who signed, and the SHA-256 of each file that is listed, by name. `files` has at least MANIFEST, its signature
    and the key. CallError if there is no MANIFEST; Unverified if it is not signed by its key."""
    if MANIFEST not in files:
        raise CallError(f"{where} is no {what}: it has no {MANIFEST}")
    for name in (SIGNATURE, KEY):
        if name not in files:
            raise Unverified(f"{where}: {name} is missing")
    key = _public_key(where, files[KEY])
    if not verifier.is_signed(key, files[SIGNATURE][: SIGNED + 1].hex(), files[MANIFEST]):
        raise Unverified(f"{where}: {MANIFEST} is not signed by the key in {KEY}: one of them was changed")
    return Seal(key, sha256(files[MANIFEST]).hexdigest()), _listed(where, files[MANIFEST])


def _public_key(where: str, written: bytes) -> str:
    try:
        public = load_pem_public_key(written[:LARGEST_KEY])
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if isinstance(public, Ed25519PublicKey):
        key = public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        if pem(key).encode() == written:
            return key
    raise Unverified(f"{where}: {KEY} is no Ed25519 public key as asbuilt writes it")


def _listed(where: str, manifest: bytes) -> dict[str, str]:
    listed: dict[str, str] = {}
    for number, line in enumerate(manifest.decode("utf-8", "replace").splitlines(), 1):
        match = LISTED.fullmatch(line)
        if match is None or match[2] in listed:
            raise Unverified(f"{where}: {MANIFEST} line {number} is no line of sha256sum, or is there twice")
        listed[match[2]] = match[1]
    return listed
