"""Where CPU time goes: a sampling profiler by SIGPROF, where the system has it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import FrameType

EVERY = 0.002  # seconds of CPU time between two samples


@contextmanager
def sampled() -> Iterator[Counter[str]]:
    """Samples by function while the block runs. What C code takes counts for the Python function that called it."""
    counts: Counter[str] = Counter()
    if not hasattr(signal, "setitimer"):
        yield counts
        return

    def tick(_signal: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            counts[f"{PurePath(code.co_filename).name}:{code.co_qualname}"] += 1

    before = signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    try:
        yield counts
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def shares(counts: Counter[str], most: int = 8) -> str:
    """The largest shares in a sentence."""
    total = counts.total() or 1
    return ", ".join(f"`{name}` {100 * count / total:.0f} %" for name, count in counts.most_common(most))
