"""TLS for the page: the certificate and the key that [web] names, looked at before anything listens."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from collectors.collector import is_credential
from monitor.config import WebTable
from monitor.errors import CallError

SOON = timedelta(days=30)  # that a certificate still is good


def context(web: WebTable) -> ssl.SSLContext | None:
    """With what we speak TLS; None where [web] names no certificate. CallError, a sentence, if it cannot be used."""
    if not web.certificate:
        return None
    certificate, key = Path(web.certificate), Path(web.private_key)
    for path in (certificate, key):
        _assure_readable(path)
    if os.name == "posix" and key.stat().st_mode & (0o007 if is_credential(key) else 0o077):
        raise CallError(f"{key} is a private key and may be read by others: chmod 600 {key}")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CallError(f"{key} is not the key of the certificate {certificate}") from None
        raise CallError(f"{certificate} and {key} are no certificate and its key (PEM): {error.reason}") from None
    return made


def _no_password() -> str:
    raise CallError("the private key asks for a password, and nobody is there to type it: take one without")


def _assure_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise CallError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def ends(web: WebTable) -> datetime:
    """When the certificate ends; CallError if it is none."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(Path(web.certificate).read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        raise CallError(f"{web.certificate} is no certificate (PEM)") from None


def objection(web: WebTable, now: datetime | None = None) -> str:
    """What is doubtful about how the page is reached, as a sentence; "" if nothing is. CallError as of `context`."""
    if context(web) is None:
        if is_loopback(web.host):
            return ""
        return f"whoever listens between can read passwords: {web.listen} has no certificate"
    end, now = ends(web), now or datetime.now(UTC)
    return f"the certificate {web.certificate} ends on {end:%Y-%m-%d}" if end - now < SOON else ""


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
