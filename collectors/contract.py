"""The poll contract: what may be sent to a device, how fast, and what really was sent."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import timedelta

from collectors.metering import Meter

LONGEST_PAUSE = timedelta(minutes=5)
SLOW = 0.05  # seconds; a device that takes longer to answer is given as long to rest
MARGIN = 1.02  # on the time between requests: what leaves evenly may arrive a little less so


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device is asked to bear. The defaults are the safe ones; `timeout` is in seconds, per request.

    `subscribe` lets an OPC UA server tell by itself that an item changed, every `publishing` seconds at most.
    """

    connections: int = 1
    requests_per_second: float = 5.0
    registers_per_request: int = 125
    bits_per_request: int = 2000
    nodes_per_read: int = 100
    read_gaps: bool = False
    report_server_id: bool = False
    read_identity: bool = True
    timeout: float = 2.0
    close_after_poll: bool = False
    subscribe: bool = False
    publishing: float = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Connections opened and requests sent."""

    connections: int = 0
    requests: int = 0

    def __sub__(self, earlier: Sent) -> Sent:
        return Sent(self.connections - earlier.connections, self.requests - earlier.requests)


class Pace:
    """What all devices of a zone together are sent: `requests_per_second` at most, evenly spaced, in turn."""

    def __init__(self, requests_per_second: float) -> None:
        self.requests_per_second = requests_per_second
        self._next = 0.0
        self._in_turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next request to any of them may leave."""
        loop = asyncio.get_running_loop()
        async with self._in_turn:
            while (wait := self._next - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._next = loop.time() + MARGIN / self.requests_per_second


class Contract:
    """The manners towards one device. Every request passes `turn`, whatever it is for and whoever wants it.

    Requests are spaced evenly, so that no second of any length holds more than `requests_per_second` of them; and a
    device that answers slowly (SLOW) is given at least as long to rest as it took to answer.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._loose = False
        self.meter = Meter(in_a_second(limits), limits.connections)
        self._connections = self._requests = 0
        self.alone = asyncio.Lock()
        self.shared: Pace | None = None  # with the other devices of its zone
        self._in_turn = asyncio.Lock()
        self._next_turn: float | None = None
        self._asked_at = 0.0
        self._failed_at = 0.0
        self._failure = ""

    @property
    def sent(self) -> Sent:
        """Everything so far."""
        return Sent(self._connections, self._requests)

    def tighten(self, limits: Limits) -> None:
        """Another unit behind the same host and port: the slower of the two rates holds for both."""
        if self._loose or limits.requests_per_second < self.limits.requests_per_second:
            self.limits, self._loose = limits, False
            self.meter.allowed = in_a_second(limits)

    def loosen(self) -> None:
        """The limits are read anew: those of before hold until the next come, and these until others tighten them."""
        self._loose = True

    async def turn(self) -> None:
        """Wait until the next request may leave, and count it.

        The first one waits too: who polled this device before us, in another process, may have asked just now.
        """
        await self._turn()
        self._requests += 1

    async def connecting(self) -> None:
        """Wait until a connection may be tried, as a request waits, and count it whether or not it succeeds."""
        await self._turn()
        self._connections += 1
        self.meter.connecting()

    async def _turn(self) -> None:
        if self.shared is None:
            return await self._take_turn(asyncio.get_running_loop().time())
        came = asyncio.get_running_loop().time()
        async with self._in_turn:  # or two that wait for the zone would leave right after each other
            return await self._take_turn(came)

    async def _take_turn(self, came: float) -> None:
        loop = asyncio.get_running_loop()
        if self._next_turn is None:
            self._next_turn = loop.time() + MARGIN / self.limits.requests_per_second
        while (wait := self._next_turn - loop.time()) > 0:
            await asyncio.sleep(wait)
        if self.shared:
            await self.shared.turn()
        self._asked_at = loop.time()
        self._next_turn = self._asked_at + MARGIN / self.limits.requests_per_second
        self.meter.waited(self._asked_at - came)

    def answered(self) -> None:
        """The answer is here: a slow device is asked more slowly."""
        now = asyncio.get_running_loop().time()
        took = now - self._asked_at
        self.meter.answered(took)
        if took > SLOW:
            self._next_turn = max(self._next_turn or now, now + took)

    def out_of_reach(self, why: str) -> None:
        """No connection could be made."""
        self._failed_at, self._failure = asyncio.get_running_loop().time(), why

    def out_of_reach_since(self, moment: float) -> str:
        """Why no connection could be made after a moment of the loop's clock; "" if none failed since."""
        return self._failure if self._failed_at > moment else ""


def in_a_second(limits: Limits) -> int:
    """The most requests that one second may hold: of those that leave evenly, the rate, or the next whole number."""
    return math.ceil(limits.requests_per_second)


def back_off(failures: int, every: timedelta, jitter: float) -> timedelta:
    """How long to leave an asset alone after so many failed polls in a row.

    Doubles from `every` to five minutes (or to `every`, if that is longer). `jitter`, 0 to 1, spreads the return of
    many devices over a quarter of the pause, so that the end of an outage is no burst.
    """
    doubled: timedelta = every * 2 ** min(max(failures - 1, 0), 16)
    return min(doubled, max(LONGEST_PAUSE, every)) * (1 + jitter / 4)
