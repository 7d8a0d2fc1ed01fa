"""Against guessing: who failed too often waits, longer each time. In memory, and bounded.

Failures are counted for a name at an address, for an address, and for a name wherever they come from. The first of
these waits long. The others wait a minute at most, and a name that was right at an address before does not wait there
for what others do elsewhere: nobody is locked out by a stranger.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from monitor.errors import NotNow

FORGET = 3600.0  # seconds after the last failure
MOST = 10_000  # counts that are kept, and pairs of name and address that were right
AT_ONCE = 1  # password that is tried at a time: it takes 64 MB, and a tenth of a second (monitor/keys.py says why one)
QUEUE = 8  # that wait for that
PATIENCE = 10.0  # seconds
TELL_EVERY = 600.0  # seconds between two entries of the audit chain about refusals
PREFIX = 64  # bits of an IPv6 address that one owner has


@dataclass(frozen=True, slots=True)
class Rule:
    """How many failures are free, and how many seconds anybody waits at most after more."""

    free: int
    longest: float


PAIR, ADDRESS, NAME = Rule(5, 900.0), Rule(50, 60.0), Rule(50, 60.0)


class TooOften(NotNow):
    """Somebody has to wait before they try again."""


@dataclass(slots=True)
class Limits:
    """How often somebody failed. `clock` is monotonic, in seconds."""

    clock: Callable[[], float]
    _failed: OrderedDict[bytes, tuple[int, float]] = field(default_factory=OrderedDict)  # times, and when last
    _right: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _untold: int = 0
    _told: float | None = None
    _waiting: int = 0
    _gate: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, name: str, address: str, known: bool = False) -> float:
        """Seconds until somebody may try again; 0 if they may now. `known`: the name was right there before."""
        now = self.clock()
        with self._lock:
            return max(self._left(key, rule, now) for key, rule in self._counted(name, address, known))

    def _counted(self, name: str, address: str, known: bool) -> list[tuple[bytes, Rule]]:
        pair, there, named = _key("pair", name, _owner(address)), _key("at", _owner(address)), _key("name", name)
        everywhere = [] if known or pair in self._right else [(named, NAME)]
        return [(pair, PAIR), (there, ADDRESS), *everywhere]

    def _left(self, key: bytes, rule: Rule, now: float) -> float:
        times, last = self._failed.get(key, (0, now))
        if times < rule.free or now - last > FORGET:
            return 0.0
        return max(0.0, min(2.0 ** min(times - rule.free, 20), rule.longest) - (now - last))

    def failed(self, name: str, address: str, known: bool = False) -> int:
        """Count a failure. How many there were since the audit chain was told; 0 where it need not be told now: it is
        when somebody has to wait, and once in ten minutes at most."""
        now = self.clock()
        with self._lock:
            self._untold += 1
            waits = False
            for key, rule in self._counted(name, address, known):
                times, last = self._failed.get(key, (0, now))
                times = 1 if now - last > FORGET else times + 1
                waits = waits or times >= rule.free
                self._failed[key] = (times, now)
                self._failed.move_to_end(key)
            while len(self._failed) > MOST:
                self._failed.popitem(last=False)
            if not waits or (self._told is not None and now - self._told < TELL_EVERY):
                return 0
            told, self._untold, self._told = self._untold, 0, now
            return told

    def succeeded(self, name: str, address: str) -> None:
        """The password was right. What others did from this address, or with this name, stays counted."""
        pair = _key("pair", name, _owner(address))
        with self._lock:
            self._failed.pop(pair, None)
            self._right[pair] = None
            self._right.move_to_end(pair)
            while len(self._right) > MOST:
                self._right.popitem(last=False)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The turn to try a password; TooOften where too many wait for theirs."""
        with self._lock:
            if self._waiting >= QUEUE:
                raise TooOften("too many people sign in at this moment: try again in some seconds")
            self._waiting += 1
        try:
            if not self._gate.acquire(timeout=PATIENCE):
                raise TooOften("too many people sign in at this moment: try again in some seconds")
        finally:
            with self._lock:
                self._waiting -= 1
        try:
            yield
        finally:
            self._gate.release()


def _owner(address: str) -> str:
    """What counts as one address: of IPv6 the network, for within it everybody has as many as they like."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(int(found) >> (128 - PREFIX)) if isinstance(found, IPv6Address) else address


def _key(*parts: str) -> bytes:
    """A few bytes, however long a name somebody makes up."""
    return sha256("\0".join(parts).encode()).digest()[:16]
