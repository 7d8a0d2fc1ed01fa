"""What a benchmark found, as rows of a Markdown table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `reached` is None where nothing was aimed at."""

    what: str
    measured: str
    target: str = ""
    reached: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "", True: "yes", False: "**no**"}[self.reached]
        return f"| {self.what} | {self.measured} | {self.target} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Result:
    """A benchmark's table, and what is to be known of it."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def markdown(self, command: str) -> str:
        head = ["| what | measured | target | reached |", "|---|---|---|---|"]
        lines = [f"## {self.title}", f"`{command}`", "\n".join([*head, *map(str, self.rows)]), *self.notes]
        return "\n\n".join(lines)


@contextmanager
def one_core() -> Iterator[str]:
    """Keep this process on the first core, where the system can; says so in words."""
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned to a core: the system cannot"
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield f"pinned to one core of {len(cores)}"
    finally:
        os.sched_setaffinity(0, cores)
