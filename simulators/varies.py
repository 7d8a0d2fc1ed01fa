"""What changes by itself in a PLC: counters, clocks, ramps, noise."""

from __future__ import annotations

import random
import time
from typing import Literal

import msgspec


class Varies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a value moves, a step every so many seconds, as a function of the time since the PLC started."""

    kind: Literal["counter", "ramp", "noise", "toggle", "clock"]
    every: float = 1.0
    step: float = 1.0
    low: float = 0.0
    high: float = 100.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise ValueError("every is a number of seconds above 0")
        if self.high <= self.low:
            raise ValueError("high is above low")

    def steps(self, uptime: float) -> int:
        """How many steps lie behind after `uptime` seconds."""
        return int(uptime / self.every)

    def value(self, base: bool | int | float, steps: int) -> bool | int | float:
        """The value after so many steps from `base`, of the type of `base`."""
        if self.kind == "toggle":
            return bool(base) ^ bool(steps % 2)
        moved = self._moved(float(base), steps)
        return round(moved) if isinstance(base, int) else moved

    def _moved(self, base: float, steps: int) -> float:
        if self.kind == "clock":
            return time.time()
        if self.kind == "counter":
            return base + self.step * steps
        if self.kind == "ramp":
            return self.low + (base - self.low + self.step * steps) % (self.high - self.low)
        return base + random.Random(steps).uniform(-self.spread, self.spread)
