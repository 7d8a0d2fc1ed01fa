"""How long an answer is waited for, in time of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SLICES = 4


class Patience:
    """Calls `over` after `seconds`, unless it was ended before.

    It runs out in slices, each counted from when the last one was noticed: of the time in which this process did not
    run (a machine that was suspended, or starved) no more than one is held against the device.
    """

    def __init__(self, seconds: float, over: Callable[[], None]) -> None:
        self._slice, self._over, self._left = seconds / SLICES, over, SLICES
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._slice, self._pass)

    def _pass(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._slice, self._pass)
        else:
            self._over()

    def end(self) -> None:
        self._timer.cancel()
