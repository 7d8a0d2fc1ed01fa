"""report: what the store holds, as a document for auditors, for a handover, or for another program."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baselines.baseline import Stage
from monitor.commands.quality import asked_times
from monitor.console import DONE, PLANT_FILE, UNVERIFIED, Assets, PlantFile, chosen, opened
from monitor.errors import CallError
from monitor.report.document import Kind

if TYPE_CHECKING:
    from monitor.config import Plant
    from monitor.report.document import Report
    from monitor.report.scope import Progress
    from monitor.report.writing import Format
    from monitor.store import Database
    from monitor.verifier import Flaw

SECOND = timedelta(seconds=1)
PACK = ".zip"  # what an evidence pack is called


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    kind: Annotated[Kind, typer.Argument(metavar="REPORT", help="audit, commissioning, inventory or changes.")],
    names: Assets = None,
    since: Annotated[
        str, typer.Option("--from", metavar="T", help="ISO 8601.", show_default="90 days before --until")
    ] = "",
    until: Annotated[str, typer.Option(metavar="T", help='ISO 8601, or "now".')] = "now",
    zones: Annotated[
        list[str] | None, typer.Option("--zone", metavar="ZONE", help="Only assets of this zone; may be said again.")
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option(help="Only baselines of this stage (commissioning).", show_default="every stage")
    ] = None,
    wanted: Annotated[
        str,
        typer.Option(
            "--format", metavar="F", help="pdf, html, xlsx, csv, json or cyclonedx.", show_default="by -o, or pdf"
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="The file; for csv also a folder, or a .zip of all tables."
        ),
    ] = None,
    packed: Annotated[
        bool, typer.Option("--pack", help="An evidence pack: a signed zip that verifies without asbuilt.")
    ] = False,
    plant_file: PlantFile = PLANT_FILE,
) -> None:
    """Write a report from the store: audit evidence, a commissioning dossier, the inventory, or what changed.

    JSON goes to standard output where no -o says otherwise. Exits with 0 whatever the report says, and with 4 if the
    evidence that it stands on does not verify: it is written all the same, and says so.
    """
    from monitor.polling import utc_now
    from monitor.report.making import made, scope_of

    if stage and kind is not Kind.COMMISSIONING:
        raise CallError(f"--stage is of the commissioning dossier, not of the {kind} report")
    format = _format(kind, wanted, output, packed)
    begin, end = _whole_times(since, until, utc_now())
    with opened(plant_file) as (plant, database), watched() as progress:
        scope = scope_of(plant, chosen(plant, names), zones or (), begin, end, utc_now(), progress)
        scope = replace(scope, stage=stage)
        path = output or _path(plant, kind, end, format)
        if path is not None:
            _assure_place(plant, database, format, path)
        while (now := utc_now()) < end:  # a second that is not over yet is waited for: then all of it is in the report
            time.sleep((end - now).total_seconds())
        found, flaw = made(plant, database, kind, scope)
        _write(plant, database, found, format, path, progress)
    _say(found, flaw, path)
    raise typer.Exit(UNVERIFIED if flaw else DONE)


def _format(kind: Kind, wanted: str, output: Path | None, packed: bool) -> Format | None:
    """As what to write it; None for an evidence pack. CallError, with what there is, for what there is not."""
    from monitor.report.writing import SUFFIXES, Format, assure_format, format_of, formats_of

    if packed:
        if wanted:
            raise CallError("an evidence pack holds a report in several formats: leave --format out")
        if output is not None and output.suffix.lower() != PACK:
            raise CallError(f"an evidence pack is a zip: name it {output.with_suffix(PACK).name or 'pack.zip'}")
        return None
    if not wanted and output is not None:
        found = format_of(output)
        if found is None:
            raise CallError(f"{output}: what is it to be? End its name in {', '.join(SUFFIXES)}, or say --format")
        assure_format(kind, found)
        return found
    if wanted and wanted not in list(Format):
        raise CallError(f"there is no format {wanted}; {kind} can be written as {', '.join(formats_of(kind))}")
    format = Format(wanted or Format.PDF)
    assure_format(kind, format)
    return format


def _whole_times(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    """The times that a call asks for, in whole seconds, as people read them in a report: who asks for them again gets
    the same. Now is the end of this second."""
    begin, end = asked_times(since, until, now.replace(microsecond=0) + SECOND)
    return begin.replace(microsecond=0), end.replace(microsecond=0)


def _path(plant: Plant, kind: Kind, until: datetime, format: Format | None) -> Path | None:
    """The file in the current folder that nobody gave a name; None for standard output."""
    from zoneinfo import ZoneInfo

    from monitor.kit_pack import safe_name
    from monitor.report.writing import Format, suffix_of

    if format is Format.JSON:
        return None
    day = until.astimezone(ZoneInfo(plant.timezone)).date()
    name = safe_name("-".join(plant.name.split()))
    suffix = PACK if format is None else suffix_of(format)
    return Path(f"{name}-{kind}-{day}{'-pack' if format is None else ''}{suffix}")


def _assure_place(plant: Plant, database: Database, format: Format | None, path: Path) -> None:
    """CallError before anything takes its time."""
    from monitor.report.writing import assure_place

    if format is not None:
        return assure_place(format, path)
    from monitor.report.pack import assure_possible

    return assure_possible(plant, database, path)


def _write(
    plant: Plant, database: Database, found: Report, format: Format | None, path: Path | None, progress: Progress
) -> None:
    from monitor.report.writing import parts, write

    if path is None:
        assert format is not None
        for part in parts(found, format, progress):
            typer.echo(part, nl=False)
    elif format is not None:
        write(found, format, path, progress)
    else:
        from monitor.report.pack import pack

        pack(plant, database, found, path, progress)


def _say(found: Report, flaw: Flaw | None, path: Path | None) -> None:
    from monitor.report.making import flaw_text
    from monitor.report.weights import WORDS

    if path is not None:
        weights = [finding.weight for finding in found.findings]
        counts = [f"{weights.count(weight)} {word}" for weight, (_, word) in WORDS.items() if weight in weights]
        typer.echo(f"wrote {path}: {found.title}, {found.scope}")
        if counts:
            typer.echo(f"  findings: {', '.join(counts)}")
    if flaw is not None:
        typer.echo(f"asbuilt: the evidence does not verify, and the report says so: {flaw_text(flaw)}", err=True)


@contextmanager
def watched() -> Iterator[Progress]:
    """Shows on standard error how far a report is, where somebody watches."""
    from monitor.report.scope import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of, refresh=True)

        yield show
