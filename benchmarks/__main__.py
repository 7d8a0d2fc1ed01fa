"""`python -m benchmarks` measures everything and writes docs/BENCHMARKS.md; with names it shows only those."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

NAMES = ("modbus", "opcua", "unchanged", "startup", "memory", "plant", "storm", "passive", "live", "report", "page")
LIBRARIES = ("pymodbus", "asyncua", "sqlalchemy", "msgspec")
LONGEST = 900  # seconds for one of them
REPORT = Path(__file__).parent.parent / "docs" / "BENCHMARKS.md"

HEAD = """\
# Benchmarks

What asbuilt costs, measured by `python -m benchmarks` (`make bench`) on {date}: {machine}.

Contenders of one table were measured in one run, side by side, so a ratio holds on other machines where a figure does
not. CPU time is user and system time of the measuring process; the devices are other processes on loopback. µs are
of that CPU time unless it says otherwise. Nothing here is a test: a slow machine fails no build.
"""


def main(names: list[str]) -> int:
    if unknown := set(names) - set(NAMES):
        print(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if names:
        for name in names:
            print(import_module(f"benchmarks.{name}").run().markdown(f"python -m benchmarks {name}"), end="\n\n")
        return 0
    sections = [measured_alone(name) for name in NAMES]
    head = HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
    REPORT.write_text("\n".join([head, *filter(None, sections)]), encoding="utf-8")
    print(f"wrote {REPORT}", file=sys.stderr)
    return 0 if all(sections) else 1


def measured_alone(name: str) -> str:
    """A benchmark's section, measured in a process of its own; empty if it failed."""
    print(f"{name} …", file=sys.stderr)
    command = [sys.executable, "-m", "benchmarks", name]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        print(f"{name}: not done within {LONGEST} s", file=sys.stderr)
        return ""
    return done.stdout.rstrip() + "\n" if done.returncode == 0 else ""


def machine() -> str:
    """The processor, the system, Python and the libraries."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
