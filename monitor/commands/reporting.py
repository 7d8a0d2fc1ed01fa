"""report: what the store holds, as a document for auditors, for a handover, or for another program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
    told: Annotated[
        bool, typer.Option("--progress", hidden=True, help="Say how far it is, a line of JSON each.")
    ] = False,
    plant_file: PlantFile = PLANT_FILE,
) -> None:
    """Write a report from the store: audit evidence, a commissioning dossier, the inventory, or what changed.

    JSON goes to standard output where no -o says otherwise. Exits with 0 whatever the report says, and with 4 if the
    evidence that it stands on does not verify: it is written all the same, and says so.
    """
    from monitor.polling import utc_now
    from monitor.report.asking import assure_stage, assure_writable, file_name, this_second, whole
    from monitor.report.making import made, scope_of
    from monitor.report.writing import Format

    assure_stage(kind, stage)
    format = _format(kind, wanted, output, packed)
    begin, end = whole(*asked_times(since, until, this_second(utc_now())))
    with opened(plant_file) as (plant, database), _telling() if told else watched() as progress:
        scope = scope_of(plant, chosen(plant, names), zones or (), begin, end, utc_now(), progress)
        scope = replace(scope, stage=stage)
        path = output or (None if format is Format.JSON else Path(file_name(plant, kind, end, format)))
        if path is not None:
            assure_writable(plant, database, format, path)
        while (now := utc_now()) < end:  # a second that is not over yet is waited for: then all of it is in the report
            time.sleep((end - now).total_seconds())
        found, flaw = made(plant, database, kind, scope)
        _write(plant, database, found, format, path, progress)
    _say(found, flaw, path)
    raise typer.Exit(UNVERIFIED if flaw else DONE)


def _format(kind: Kind, wanted: str, output: Path | None, packed: bool) -> Format | None:
    """As what to write it; None for an evidence pack. CallError, with what there is, for what there is not."""
    from monitor.report.asking import PACKED, format_named
    from monitor.report.writing import SUFFIXES, Format, assure_format, format_of

    if packed:
        if wanted:
            raise CallError("an evidence pack holds a report in several formats: leave --format out")
        if output is not None and output.suffix.lower() != PACKED:
            raise CallError(f"an evidence pack is a zip: name it {output.with_suffix(PACKED).name or 'pack.zip'}")
        return None
    if not wanted and output is not None:
        found = format_of(output)
        if found is None:
            raise CallError(f"{output}: what is it to be? End its name in {', '.join(SUFFIXES)}, or say --format")
        assure_format(kind, found)
        return found
    return format_named(kind, wanted or Format.PDF)


def _write(
    plant: Plant, database: Database, found: Report, format: Format | None, path: Path | None, progress: Progress
) -> None:
    from monitor.report.asking import put
    from monitor.report.writing import parts

    if path is not None:
        return put(plant, database, found, format, path, progress)
    assert format is not None
    for part in parts(found, format, progress):
        typer.echo(part, nl=False)
    return None


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
def _telling() -> Iterator[Progress]:
    """Says on standard output how far a report is, for the program that has it made."""
    yield lambda what, done, of: typer.echo(json.dumps([what, done, of]))


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
