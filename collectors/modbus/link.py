"""One Modbus TCP connection: the guard at the bytes, deadlines, and the check of every answer.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 (MBAP header: transaction, protocol 0, length,
unit).
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from collectors.collector import CollectError, Malformed, Unreachable
from collectors.metering import Meter
from collectors.patience import Patience

HEADER = struct.Struct(">HHHB")
LONGEST_ADU = 260  # bytes: 7 of header, 253 of PDU
READS = frozenset({1, 2, 3, 4, 17, 43})
DEVICE_IDENTIFICATION = 14  # the one encapsulated interface of FC 43 that only reads
EXCEPTION = 0x80
NAMES = {function: "FC 43/14" if function == 43 else f"FC {function}" for function in READS}


class Forbidden(RuntimeError):
    """A request that could change a device was about to leave. Always a bug of ours, and never sent."""


class Link(asyncio.BufferedProtocol):
    """A connection that carries one request at a time.

    An answer is believed only if transaction, protocol, unit and function are those asked for; anything else breaks
    the link with the reason in `broken`. The late answer to a request that was given up is skipped by its
    transaction. What a device can make us hold is one buffer of two answers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.broken: tuple[type[CollectError], str] | None = None
        self.dropped = False  # by the device, not by us
        self.refused_identity: dict[int, float] = {}  # when a unit refused FC 43, by the loop's clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(2 * LONGEST_ADU))
        self._filled = 0
        self._transaction = 0
        self._abandoned: set[int] = set()
        self._waiting: asyncio.Future[bytes] | None = None
        self._unit = self._function = 0

    async def ask(self, asset: str, unit: int, pdu: bytes, timeout: float) -> bytes:
        """The PDU that answers `pdu`, an exception answer included; raises Unreachable or Malformed.

        `timeout` (seconds) runs from the request to the last byte of the answer. The second request in a row
        without an answer ends the connection: it may be half open.
        """
        if self.broken is None:
            self._write(unit, pdu)
        if self.broken is not None:
            raise self.broken[0](asset, self.broken[1])
        waiting: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting = waiting
        patience = Patience(timeout, lambda: self._give_up(waiting, timeout))
        try:
            return await waiting
        except CollectError as failure:
            raise type(failure)(asset, failure.text) from None
        except asyncio.CancelledError:
            self._break(Unreachable, "the poll was cancelled")
            raise
        finally:
            patience.end()
            self._waiting = None

    def _write(self, unit: int, pdu: bytes) -> None:
        """The one place where bytes leave for a device, hence the guard."""
        if pdu[0] not in READS or (pdu[0] == 43 and pdu[1] != DEVICE_IDENTIFICATION):
            why = f"function {pdu[0]} is no read; nothing was sent"
            self._meter.forbade(why)
            raise Forbidden(why)
        if self._waiting is not None:
            raise RuntimeError("a link carries one request at a time")
        assert self._transport is not None
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._unit, self._function = unit, pdu[0]
        self._transport.write(HEADER.pack(self._transaction, 0, len(pdu) + 1, unit) + pdu)
        self._meter.sent(NAMES[pdu[0]], HEADER.size + len(pdu), self._loop.time())

    def _give_up(self, waiting: asyncio.Future[bytes], timeout: float) -> None:
        if waiting.done():
            return
        self._meter.timed_out()
        text = f"no answer within {timeout:g} s"
        if self._filled or self._abandoned:
            self._break(Unreachable, text)
        else:
            self._abandoned.add(self._transaction)
            waiting.set_exception(Unreachable("", text))

    def close(self) -> None:
        """End the connection in good order."""
        self._break(Unreachable, "the connection was closed")

    def _break(self, kind: type[CollectError], text: str) -> None:
        if self.broken is None:
            self.broken = (kind, text)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(self.broken[0]("", self.broken[1]))
        if self._transport is not None:
            if kind is Malformed:
                self._transport.abort()
            else:
                self._transport.close()

    # asyncio calls what follows.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._meter.opened()

    def connection_lost(self, failure: Exception | None) -> None:
        self.dropped = self.broken is None
        why = "the connection was reset" if isinstance(failure, ConnectionError) else "the connection was closed"
        self._break(Unreachable, f"{why} by the device")
        self._transport = None
        self._meter.closed()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._filled :]

    def buffer_updated(self, received: int) -> None:
        self._filled += received
        self._meter.received(received)
        while self.broken is None and self._filled >= HEADER.size:
            transaction, protocol, length, unit = HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 < length <= LONGEST_ADU - 6:
                return self._break(Malformed, f"an answer with protocol {protocol} and length {length}")
            if self._filled < length + 6:
                return None
            pdu = bytes(self._buffer[HEADER.size : length + 6])
            rest = self._filled - length - 6
            self._buffer[:rest] = self._buffer[length + 6 : self._filled]
            self._filled = rest
            self._take(transaction, unit, pdu)
        return None

    def _take(self, transaction: int, unit: int, pdu: bytes) -> None:
        if transaction in self._abandoned:
            self._abandoned.discard(transaction)
            return
        if self._waiting is None or self._waiting.done():
            self._break(Malformed, "an answer that nobody asked for")
        elif transaction != self._transaction:
            self._break(Malformed, f"an answer to transaction {transaction} instead of {self._transaction}")
        elif unit != self._unit:
            self._break(Malformed, f"an answer of unit {unit} instead of {self._unit}")
        elif pdu[0] & ~EXCEPTION != self._function:
            self._break(Malformed, f"an answer to function {pdu[0]} instead of {self._function}")
        elif pdu[0] & EXCEPTION and not _is_exception(pdu):
            self._break(Malformed, f"a broken exception answer ({pdu[:8].hex(' ')})")
        else:
            self._abandoned.clear()
            if pdu[0] & EXCEPTION:
                self._meter.refused()
            self._waiting.set_result(pdu)


def _is_exception(pdu: bytes) -> bool:
    """Function and code; some devices repeat the interface type (14) of FC 43 between them."""
    body = pdu[2:] if pdu[0] == 43 | EXCEPTION and len(pdu) == 3 and pdu[1] == DEVICE_IDENTIFICATION else pdu[1:]
    return len(body) == 1 and body[0] != 0
