"""What a PLC saw of its clients: the witness that a test asks, counted at the bytes received."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

KEPT = 100_000  # of the times and the writes; the counters count on


@dataclass(slots=True)
class Seen:
    """Connections and requests that reached one PLC, retries and what was never answered included.

    `requests` counts by Modbus function code, or by OPC UA service or message ("Read", "HEL", "encrypted").
    `reads` counts (table, address, count), or (NodeId, attribute); `writes` lists the same of what was written.
    Units that share a port share its connections: each counts them all.
    """

    connections: int = 0
    open: int = 0
    most_open: int = 0
    requests: Counter[int | str] = field(default_factory=Counter)
    reads: Counter[tuple[str | int, ...]] = field(default_factory=Counter)
    writes: deque[tuple[str | int, ...]] = field(default_factory=lambda: deque(maxlen=KEPT))
    times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    connected_at: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    bytes_received: int = 0
    malformed: int = 0

    @property
    def total(self) -> int:
        """Every request so far."""
        return self.requests.total()

    def connected(self) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.connected_at.append(time.monotonic())

    def disconnected(self) -> None:
        self.open -= 1

    def request(self, kind: int | str, size: int) -> None:
        self.requests[kind] += 1
        self.bytes_received += size
        self.times.append(time.monotonic())

    def busiest(self, window: float = 1.0) -> int:
        """The highest number of requests within any `window` seconds."""
        within: deque[float] = deque()
        most = 0
        for moment in self.times:
            within.append(moment)
            while moment - within[0] >= window:
                within.popleft()
            most = max(most, len(within))
        return most
