"""Real packet loss without root: a filter of the kernel's own that drops segments of a TCP socket at random.

A socket's filter (SO_ATTACH_FILTER, socket(7)) sees every segment that comes in for it before TCP does, SYN and
acknowledgements included. What it drops never arrived: the other end hears nothing, and sends it again when its
retransmission time-out is over (200 ms and doubling, 1 s for a SYN). With it at both ends, each direction loses; the
listening socket has none, so of a handshake only the answer is lost.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

SO_ATTACH_FILTER = 26
LOAD, AT_LEAST, GIVE = 0x20, 0x35, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K
RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
ALL, NOTHING = 0xFFFFFFFF, 0
POSSIBLE = sys.platform == "linux"


def lose(opened: socket.socket, rate: float) -> None:
    """Lose this part of the segments that come in."""
    least = int(rate * 2**32)
    steps = ((LOAD, 0, 0, RANDOM), (AT_LEAST, 0, 1, least), (GIVE, 0, 0, ALL), (GIVE, 0, 0, NOTHING))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(program)))


class LossyLoop(asyncio.SelectorEventLoop):
    """A loop whose connections lose what comes in on them: how much, by host."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        super().__init__()
        self._rates = rates

    async def create_connection(  # type: ignore[override]
        self, factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        if not (rate := self._rates.get(host)):
            return await super().create_connection(factory, host, port, **more)
        opened = socket.socket()
        try:
            opened.setblocking(False)
            lose(opened, rate)
            await self.sock_connect(opened, (host, port))
        except BaseException:
            opened.close()
            raise
        return await super().create_connection(factory, sock=opened, **more)
