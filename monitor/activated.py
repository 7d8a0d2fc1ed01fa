"""How systemd starts a sensor: by its socket, when the daemon connects (asbuilt-sensor@.socket).

    python -m monitor.activated INTERFACE

The connection becomes the sensor's output, its reports and its last words; then this process becomes the sensor. It
needs the right to capture, and the daemon none.
"""

from __future__ import annotations

import os
import socket
import sys

from monitor.ears import ONE_THREAD, command

FIRST = 3  # "the first one may be found at file descriptor number 3" (sd_listen_fds(3))
NOT_ACTIVATED = "this is started by asbuilt-sensor@.socket; at a terminal, asbuilt listen does the same"


def main(interface: str) -> None:
    """Become the sensor of an interface, for the one who is at the socket. SystemExit says why not."""
    if os.environ.get("LISTEN_PID") not in (None, str(os.getpid())) or os.environ.get("LISTEN_FDS") != "1":
        sys.exit(NOT_ACTIVATED)
    with socket.socket(fileno=FIRST) as listener:
        connection, _ = listener.accept()
    for standard in (1, 2):
        os.dup2(connection.fileno(), standard)
    argv = command(interface)
    os.execve(argv[0], argv, os.environ | ONE_THREAD)


if __name__ == "__main__":
    main(sys.argv[1])
