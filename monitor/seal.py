"""The seal of a bundle, a backup or a pack: MANIFEST as sha256sum writes it, its signature, the key that signed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from monitor import verifier
from monitor.bundle_files import MANIFEST, SIGNATURE, Files
from monitor.errors import CallError, Unverified
from monitor.store import Signing

KEY = verifier.KEY_FILE
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
    key = verifier.key_in(written[:LARGEST_KEY])
    if key is None:
        raise Unverified(f"{where}: {KEY} is no Ed25519 public key as asbuilt writes it")
    return key


def _listed(where: str, manifest: bytes) -> dict[str, str]:
    try:
        return verifier.listed_in(manifest)
    except ValueError as error:
        raise Unverified(f"{where}: {error}") from None
