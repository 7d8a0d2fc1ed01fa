"""coverage, self-test: how well the watch sees, and whether the way from a change to a message is whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import DONE, PLANT_FILE, UNSEEN, Assets, By, Json, PlantFile, chosen, opened
from monitor.errors import CallError
from monitor.moments import moment
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from monitor.covering import Covered
    from monitor.store import Database

USUALLY = timedelta(days=30)
MOST_GAPS = 10  # of an asset, in a list for people


def register(app: typer.Typer) -> None:
    app.command()(coverage)
    app.command("self-test")(self_test)


def coverage(
    assets: Assets = None,
    since: Annotated[
        str, typer.Option("--from", metavar="T", help="ISO 8601.", show_default="30 days before --until")
    ] = "",
    until: Annotated[str, typer.Option(metavar="T", help='ISO 8601, or "now".')] = "now",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """For how much of a time each asset was seen, and when and why it was not; above all what is blind now."""
    from monitor.covering import coverage as covered_in
    from monitor.covering import coverage_document
    from monitor.polling import utc_now

    now = utc_now()
    end = min(moment(until, now), now)
    begin = moment(since, now) if since else end - USUALLY
    if begin >= end:
        raise CallError("--from is not before --until, or lies in the future")
    with opened(plant_file) as (plant, database), database.read() as tx:
        found = covered_in(tx, plant, chosen(plant, assets), begin, end, now)
    if json:
        return print_json(coverage_document(found, begin, end))
    return _show(found, end)


def _show(found: Sequence[Covered], until: datetime) -> None:
    from baselines.snapshot import utc_text
    from monitor.pictures import duration_text

    blind = [(each.asset, gap) for each in found for gap in each.gaps if gap.last_at is None]
    for asset, gap in blind:
        typer.secho(f"blind now: {asset} since {utc_text(gap.first_at)}: {gap.text}", fg="red")
    never = [each.asset for each in found if each.since is None and not each.gaps]
    if never:
        typer.secho(f"never asked: {', '.join(never)}", fg="yellow")
    if not blind and not never:
        typer.echo("nothing is blind now")
    rows = [
        [
            each.asset,
            utc_text(each.since) if each.since else "–",
            "–" if each.share is None else f"{100 * each.share:.3f} %",
            str(len(each.gaps)),
            duration_text(each.longest(until)) if each.gaps else "–",
        ]
        for each in found
    ]
    typer.echo()
    print_table(("asset", "watched since", "covered", "gaps", "longest"), rows)
    gaps = [(each.asset, gap) for each in found for gap in each.gaps[-MOST_GAPS:]]
    if gaps:
        typer.echo()
        print_table(
            ("asset", "from", "until", "cause", "why"),
            [
                [asset, utc_text(gap.first_at), utc_text(gap.last_at) if gap.last_at else "lasts", gap.cause, gap.text]
                for asset, gap in gaps
            ],
        )
    if left := sum(len(each.gaps) for each in found) - len(gaps):
        typer.echo(f"and {left} earlier ones; --json has them all")


def self_test(by: By = "", plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """A simulated PLC drifts on purpose, and the way from that to the message is timed; by the daemon, if it runs."""
    from monitor.console import actor
    from monitor.watching import ask_for_self_test

    with opened(plant_file) as (plant, database):
        if database.lead():
            try:
                document = _test_ourselves(database)
            finally:
                database.follow()
        else:
            document = ask_for_self_test(plant, database, actor(by).name)
    if json:
        print_json(document)
    else:
        _show_test(document)
    raise typer.Exit(DONE if document["ok"] else UNSEEN)


def _test_ourselves(database: Database) -> dict[str, Any]:
    import asyncio

    from monitor.canary import self_test, self_test_document
    from monitor.polling import utc_now
    from monitor.writer import Writer

    writer = Writer(database)
    try:
        return self_test_document(asyncio.run(self_test(writer.write, utc_now)))
    finally:
        writer.stop()


def _show_test(document: dict[str, Any]) -> None:
    typer.secho("passed" if document["ok"] else "FAILED", fg="green" if document["ok"] else "red")
    typer.echo(document["text"])
    for station, seconds in document["legs"].items():
        typer.echo(f"  {station:10} {seconds:8.3f} s after the change")
