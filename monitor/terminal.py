"""Output for people: tables and progress on a terminal, plain columns in a pipe; or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer

WIDE = 200  # columns where there is no terminal
WATCHED_BYTES = 50_000_000  # what takes long enough to be watched
STYLES = {
    "match": "green",
    "drift": "bold red",
    "no-longer-observable": "yellow",
    "never-seen": "yellow",
    "stale": "yellow",
    "no-baseline": "cyan",
    "kept": "green",
    "exceeded": "bold red",
    "attempted": "bold red",
    "never-polled": "yellow",
    "critical": "bold red",
    "high": "red",
    "UNACK": "bold red",
    "RTN_UNACK": "yellow",
    "warn": "yellow",
    "unseen": "yellow",
    "fail": "bold red",
}


def print_json(document: Any) -> None:
    """The one JSON document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table. Cells are data: nothing in them is markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, emoji=False, markup=False)
    with console.capture() as drawn:  # left to rich, a reader that goes away would end us with 1, which is drift
        console.print(table)
    sys.stdout.write(drawn.get())


def styled(word: str) -> str:
    """A verdict in its colour, where colours can be seen."""
    colour = STYLES.get(word, "").split()
    return typer.style(word, fg=colour[-1], bold="bold" in colour) if colour else word


def progress(total: int, doing: str) -> Callable[[str], None]:
    """Says on standard error how far long work is; nothing where nobody watches."""
    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        if total > 1 and sys.stderr.isatty():
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r\x1b[K{doing} {done} of {total}: {name}{end}")
            sys.stderr.flush()

    return step


def byte_progress(total: int, doing: str) -> Callable[[int], None]:
    """The same for bytes, of what is large enough to be waited for: told how many more are done."""
    done = shown = 0

    def step(count: int) -> None:
        nonlocal done, shown
        done += count
        if total >= WATCHED_BYTES and sys.stderr.isatty() and (done - shown >= total // 100 or done >= total):
            shown = done
            end = "\n" if done >= total else ""
            sys.stderr.write(f"\r\x1b[K{doing}: {done / 1e6:.0f} of {total / 1e6:.0f} MB{end}")
            sys.stderr.flush()

    return step


def size_text(size: int) -> str:
    """A number of bytes for people."""
    for unit, each in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= each:
            return f"{size / each:.1f} {unit}"
    return f"{size} bytes"
