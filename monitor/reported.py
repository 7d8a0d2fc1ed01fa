"""[report.…] in plant.toml: which reports the daemon makes by itself, of which periods, and where they are put."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any

from baselines.snapshot import key_of
from collectors.written import dotted, read_table
from monitor.periods import TIME_OF_DAY, Every
from monitor.report.document import Kind
from monitor.routes import unknown_zones

FORMATS = ("pdf", "html", "xlsx", "csv", "json", "cyclonedx")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """[report.…]: a report of every period that is over, and of which zones (none: all of the plant); `pack` that an
    evidence pack is made too, and `keep` how many stay in each format (None: all)."""

    kind: Kind
    every: Every = Every.MONTH
    at: str = "05:00"
    formats: list[str] = field(default_factory=lambda: ["pdf"])
    pack: bool = False
    to: str = "reports"
    zones: list[str] = field(default_factory=list)
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """The same with its folder found."""

    kind: Kind
    every: Every
    at: time
    formats: tuple[str, ...]
    pack: bool
    folder: Path
    zones: tuple[str, ...]
    keep: int | None


def read_report(
    name: str, found: dict[str, Any], path: str, folder: Path, zones: Collection[str] | None, faults: list[str]
) -> Reported | None:
    """One report, its folder beside plant.toml; None, with the faults added, if anything is wrong.

    `zones` are those of the plant, or None where they are not known because an asset is wrong.
    """
    before = len(faults)
    if not NAME.fullmatch(name):
        faults.append(f"{path}: files begin with this name: letters, digits, - _ and ., 60 at most")
    said = read_table(ReportTable, found, path, faults)
    if said:
        faults += [f"{path}.{fault}" for fault in (*_faults(said), *unknown_zones(said.zones, zones))]
    if said is None or len(faults) > before:
        return None
    return Reported(
        said.kind,
        said.every,
        time.fromisoformat(said.at),
        tuple(said.formats),
        said.pack,
        folder / said.to,
        tuple(said.zones),
        said.keep,
    )


def _faults(said: ReportTable) -> Iterator[str]:
    if not TIME_OF_DAY.fullmatch(said.at):
        yield f'at: is a time of the day, such as "05:00", not {said.at!r}'
    if not said.formats and not said.pack:
        yield f"formats: names at least one of {', '.join(FORMATS)}"
    for each in dict.fromkeys(said.formats):
        if each not in FORMATS:
            yield f"formats: is a list of {', '.join(FORMATS)}; {each!r} is none of them"
    if len(set(said.formats)) < len(said.formats):
        yield "formats: names one of them twice"
    if "cyclonedx" in said.formats and said.kind is not Kind.INVENTORY:
        yield f'formats: cyclonedx is of kind = "inventory" alone, not of {said.kind}'
    if not said.to.strip() or "\0" in said.to:
        yield f'to: names a folder, such as "reports", not {said.to!r}'
    if said.keep is not None and said.keep < 1:
        yield f"keep: is how many of it stay, 1 or more, not {said.keep}"


def alike(names: Iterable[str]) -> Iterator[str]:
    """Faults of names that differ by case alone: a file system that knows no case would have one file for both."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.casefold(), name)
        if other != name:
            yield f"{dotted('report', key_of(name))}: {other!r} is a report already; write the name otherwise"
