"""Who the operating system says we are."""

from __future__ import annotations

import getpass
import os
import socket


def me() -> str:
    """The user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name; Windows without USERNAME
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def account() -> str:
    """The user and the host, which stand in the audit trail beside the name that somebody gives."""
    return f"{me()}@{socket.gethostname()}"
