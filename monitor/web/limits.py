"""Against guessing: who failed too often waits, longer each time, by name and by address. In memory, and bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

FREE = 5  # tries before anybody waits
LONGEST = 900.0  # seconds
FORGET = 3600.0  # seconds after the last failure
MOST = 10_000  # names and addresses that are remembered
AT_ONCE = 2  # passwords that are tried at a time: each takes 64 MB, and a tenth of a second


@dataclass(slots=True)
class Limits:
    """How often somebody failed. `clock` is monotonic, in seconds."""

    clock: Callable[[], float]
    gate: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(AT_ONCE))
    _failed: OrderedDict[str, tuple[int, float]] = field(default_factory=OrderedDict)  # times, and when last
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, *who: str) -> float:
        """Seconds until somebody may try again; 0 if they may now."""
        now = self.clock()
        with self._lock:
            return max((self._left(each, now) for each in who), default=0.0)

    def _left(self, who: str, now: float) -> float:
        times, last = self._failed.get(who, (0, now))
        if times < FREE or now - last > FORGET:
            return 0.0
        return max(0.0, min(2.0 ** (times - FREE), LONGEST) - (now - last))

    def failed(self, *who: str) -> int:
        """Count a failure; the highest count."""
        now = self.clock()
        with self._lock:
            for each in who:
                times, last = self._failed.get(each, (0, now))
                self._failed[each] = (1 if now - last > FORGET else times + 1, now)
                self._failed.move_to_end(each)
            while len(self._failed) > MOST:
                self._failed.popitem(last=False)
            return max(self._failed[each][0] for each in who)

    def succeeded(self, *who: str) -> None:
        with self._lock:
            for each in who:
                self._failed.pop(each, None)
