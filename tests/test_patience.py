"""Patience with a device: the time in which we did not run ourselves is not held against it."""

from __future__ import annotations

import asyncio
import time

from collectors.patience import SLICES, Patience


async def passed(seconds: float, stall: float = 0.0) -> float:
    """After how many seconds patience was over, of which the process slept `stall`."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    began = loop.time()
    patience = Patience(seconds, over.set)
    loop.call_soon(time.sleep, stall)
    await over.wait()
    patience.end()
    return loop.time() - began


def test_it_lasts_as_long_as_was_said() -> None:
    assert 0.08 <= asyncio.run(passed(0.08)) < 0.8


def test_a_stall_uses_up_one_slice_of_it() -> None:
    left = 0.08 * (SLICES - 1) / SLICES
    assert asyncio.run(passed(0.08, stall=0.3)) >= 0.3 + left


def test_ended_it_is_never_over() -> None:
    async def main() -> list[str]:
        over: list[str] = []
        Patience(0.02, lambda: over.append("over")).end()
        await passed(0.08)
        return over

    assert asyncio.run(main()) == []
