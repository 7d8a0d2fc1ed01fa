"""What somebody asks for when they want a report: composed once, for the command, the page and the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from baselines.baseline import Stage
from baselines.snapshot import utc_text
from monitor.config import Plant
from monitor.errors import CallError
from monitor.kit_pack import safe_name
from monitor.report.document import Kind, Report
from monitor.report.pack import assure_possible, pack
from monitor.report.scope import Progress
from monitor.report.writing import Format, assure_format, assure_place, formats_of, suffix_of, write
from monitor.store import Database

SECOND = timedelta(seconds=1)
PACKED = ".zip"  # what an evidence pack is called
PACK = "pack"  # and as what it is asked for, where formats are


@dataclass(frozen=True, slots=True)
class Asked:
    """A report of some assets (names or patterns; none: all), or of some zones, in whole seconds. Without a `format` it
    is an evidence pack."""

    kind: Kind
    format: Format | None
    since: datetime
    until: datetime
    names: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    stage: Stage | None = None

    def words(self, plant: Path, output: Path, *options: str) -> Iterator[str]:
        """The command line of asbuilt that makes it."""
        yield from ("report", self.kind, "--plant", str(plant.resolve()))
        yield from ("--from", utc_text(self.since), "--until", utc_text(self.until))
        for zone in self.zones:
            yield from ("--zone", zone)
        if self.stage is not None:
            yield from ("--stage", self.stage)
        yield from ("--format", self.format) if self.format is not None else ("--pack",)
        yield from ("-o", str(output), *options)
        yield from ("--", *self.names) if self.names else ()


def this_second(now: datetime) -> datetime:
    """Now, in whole seconds, as people read times in a report: the end of this one."""
    return now.replace(microsecond=0) + SECOND


def whole(begin: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Two times in whole seconds: who asks for them again gets the same report."""
    return begin.replace(microsecond=0), end.replace(microsecond=0)


def assure_stage(kind: Kind, stage: Stage | None) -> None:
    """CallError for a stage where no report has one."""
    if stage and kind is not Kind.COMMISSIONING:
        raise CallError(f"a stage is of the commissioning dossier, not of the {kind} report")


def format_named(kind: Kind, name: str) -> Format:
    """The format that is called so; CallError, with what there is, if this report is not written so."""
    if name not in list(Format):
        raise CallError(f"there is no format {name}; {kind} can be written as {', '.join(formats_of(kind))}")
    assure_format(kind, Format(name))
    return Format(name)


def file_name(plant: Plant, kind: Kind, until: datetime, format: Format | None) -> str:
    """What a report is called that nobody gave a name."""
    day = until.astimezone(ZoneInfo(plant.timezone)).date()
    name = safe_name("-".join(plant.name.split()))
    suffix = PACKED if format is None else suffix_of(format)
    return f"{name}-{kind}-{day}{'-pack' if format is None else ''}{suffix}"


def assure_writable(plant: Plant, database: Database, format: Format | None, path: Path) -> None:
    """CallError, before anything takes its time, if it cannot be written there, or not be signed."""
    if format is None:
        assure_possible(plant, database, path)
    else:
        assure_place(format, path)


def put(plant: Plant, database: Database, found: Report, format: Format | None, path: Path, progress: Progress) -> None:
    """Write a report to its file, or an evidence pack of it."""
    if format is None:
        pack(plant, database, found, path, progress)
    else:
        write(found, format, path, progress)
