"""How long a person waits for `asbuilt --help`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import Result, Row

TIMES = 15
SECONDS = 0.3  # the target


def command() -> list[str]:
    """The installed console script beside this Python, or else its module."""
    script = Path(sys.executable).with_name("asbuilt")
    return [str(script)] if script.exists() else [sys.executable, "-m", "monitor.cli"]


def run() -> Result:
    """The wall time of whole processes, one after the other."""
    took = []
    for _ in range(TIMES):
        started = time.perf_counter()
        subprocess.run([*command(), "--help"], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    median = statistics.median(took)
    measured = f"{median:.3f} s (fastest {min(took):.3f}, slowest {max(took):.3f})"
    return Result(
        "Start",
        [Row("`asbuilt --help`, wall time", measured, f"< {SECONDS:g} s", median < SECONDS)],
        [f"The median of {TIMES} starts, the first of which may have compiled the modules."],
    )
