"""The flows that are known: one row a flow, one column a fact, so that a batch is counted without a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.passive.inventory import Address, Talk
from collectors.passive.said import Asked
from collectors.passive.streams import Stream

UNTOLD = 0  # the protocol is not yet known: its payloads are looked at
OTHER = 1  # none that we decode: it is counted
FIRST = 2  # the number of the first protocol in the table

COLUMNS = {
    "packets": np.int64,
    "bytes": np.int64,
    "last_at": np.int64,
    "protocol": np.int16,  # UNTOLD, OTHER, or FIRST + its place in the table
    "tries": np.int16,  # payloads that were looked at in vain
    "pending": np.bool_,  # the next segment completes a message
    "telling": np.bool_,  # a message that could be known again by its signature bears identity: all are decoded
    "from_client": np.bool_,
    "opening": np.bool_,  # while a batch is looked at: a connection begins in it
    "opened": np.uint64,  # how many connections began in it (SYN), one after another on the same ports
    "pair": np.uint64,  # the same number for all flows of one conversation that go one way between two addresses
    "back": np.int64,  # the flow that goes the other way; -1 while it was not seen
}
BEGIN = 1024


class Flows:
    """All flows that are held, by number from 0."""

    packets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    last_at: NDArray[np.int64]
    protocol: NDArray[np.int16]
    tries: NDArray[np.int16]
    pending: NDArray[np.bool_]
    telling: NDArray[np.bool_]
    from_client: NDArray[np.bool_]
    opening: NDArray[np.bool_]
    opened: NDArray[np.uint64]
    pair: NDArray[np.uint64]
    back: NDArray[np.int64]

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.count = 0
        for name, kind in COLUMNS.items():
            setattr(self, name, np.zeros(BEGIN, kind))
        self._pairs: dict[tuple[int, int, int], int] = {}
        self.source: list[Address] = []
        self.destination: list[Address] = []
        self.talk: list[Talk | None] = []
        self.untold: dict[int, list[int]] = {}  # by conversation, its flows that were opened before it was told
        self.asked: dict[int, Asked] = {}  # by flow; both ways of a connection hold the same
        self.streams: dict[int, Stream] = {}

    def add(self, source: Address, destination: Address, talk: Talk | None, protocol: int, from_client: bool) -> int:
        number = self.count
        self.count += 1
        if self.count > len(self.packets):
            for name in COLUMNS:
                column: NDArray[Any] = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        self.source.append(source)
        self.destination.append(destination)
        self.talk.append(talk)
        self.protocol[number] = protocol
        self.from_client[number] = from_client
        self.back[number] = -1
        if protocol == UNTOLD:
            self.untold.setdefault(id(talk), []).append(number)
        self.pair[number] = self._pairs.setdefault((id(talk), id(source), id(destination)), number)
        return number

    def seen(self, numbers: NDArray[np.int64], sizes: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        """Count a batch: the flow of every frame, its size and its time."""
        np.add.at(self.packets, numbers, 1)
        np.add.at(self.bytes, numbers, sizes)
        self.last_at[numbers] = at  # of several, the last stays

    def settle(self) -> None:
        """Bring what was counted to the addresses and conversations, and count on from zero."""
        used = np.flatnonzero(self.packets[: self.count])
        rows = zip(
            used.tolist(),
            self.packets[used].tolist(),
            self.bytes[used].tolist(),
            self.last_at[used].tolist(),
            strict=True,
        )
        for number, packets, size, last_at in rows:
            source, talk = self.source[number], self.talk[number]
            source.last_at = max(source.last_at, last_at)
            if talk:
                talk.packets += packets
                talk.bytes += size
                talk.last_at = max(talk.last_at, last_at)
        self.packets[: self.count] = 0
        self.bytes[: self.count] = 0
