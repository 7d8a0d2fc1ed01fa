"""What the service manager is told: that we are ready, that we live, how we are (sd_notify(3)).

A datagram of a few words to the socket that it names; without one, nothing is said. Our own lines: the libraries for it
are no longer than this (sdnotify, last released in 2016) or need libsystemd and a compiler (systemd-python).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

LARGEST = 4096  # bytes of a status


class Manager:
    """The service manager of this process, as its environment names it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        named = environment.get("NOTIFY_SOCKET", "")
        # "If set to a string starting with "@", … in the abstract namespace"
        self._address = "\0" + named[1:] if named.startswith("@") else named
        self._every = _microseconds(environment)

    @property
    def watchdog_every(self) -> float | None:
        """Seconds within which it wants a sign of life: half of what it waits; None if it does not watch."""
        return self._every / 2e6 if self._every else None

    def ready(self, status: str = "") -> None:
        """We do our work: after the start, and after a reload."""
        self._tell("READY=1", *_status(status))

    def reloading(self) -> None:
        """We read plant.toml anew; `ready` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """How we are, in one line; systemctl status shows it."""
        self._tell(*_status(text))

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        # a manager that does not listen now is no reason to stop monitoring; and a full socket must not stop the loop
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode()[:LARGEST], self._address)


def _microseconds(environment: Mapping[str, str]) -> int:
    """WATCHDOG_USEC, if it is meant for this process (sd_watchdog_enabled(3))."""
    try:
        meant = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
        return max(0, int(environment.get("WATCHDOG_USEC", "0"))) if meant else 0
    except ValueError:
        return 0


def _status(text: str) -> list[str]:
    return ["STATUS=" + " ".join(text.split())] if text else []
