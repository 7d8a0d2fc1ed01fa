"""What every channel is: it sends one message, and says why it could not."""

from __future__ import annotations

import ssl

from collectors.collector import Secret


class NotSent(Exception):
    """The receiver did not take it, or could not be reached; its text says why."""


def read(secret: Secret) -> str:
    """The secret. NotSent says why there is none."""
    try:
        return secret.read()
    except ValueError as error:
        raise NotSent(str(error)) from error


def tls(ca_file: str) -> ssl.SSLContext:
    """Who trusts the system's authorities, or the one in a file alone. NotSent if the file is of no use."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise NotSent(f"{ca_file} is no certificate of an authority: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
