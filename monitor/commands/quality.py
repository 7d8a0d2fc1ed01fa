"""quality: what quality people look at, as numbers, as JSON, and as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.quality import NO_CAUSE, Bar, By, Times, cautions
from monitor.commands.alerts import moment
from monitor.console import PLANT_FILE, Json, PlantFile, opened
from monitor.errors import CallError
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from baselines.quality import Quality, Rate
    from monitor.config import Plant
    from monitor.store import Transaction

USUALLY = timedelta(days=90)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN_EVERY = timedelta(seconds=30)  # how often an asset was polled that plant.toml no longer names
MOST_PERIODS = 1000
MOST_ROWS = 15  # of a table for people; there are fewer causes
SHORTEST = {By.DAY: timedelta(days=1), By.WEEK: timedelta(days=7), By.MONTH: timedelta(days=28)}

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(quality)


def quality(
    since: Annotated[
        str, typer.Option("--from", metavar="T", help="ISO 8601.", show_default="90 days before --until")
    ] = "",
    until: Annotated[str, typer.Option(metavar="T", help='ISO 8601, or "now".')] = "now",
    by: Annotated[By, typer.Option(help="How long a period of the control chart is.")] = By.WEEK,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write them there, as SVG and in one quality.html.")
    ] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Causes of deviations, how often they come, how soon they are seen and mended, how change orders went."""
    from monitor.polling import utc_now

    now = utc_now()
    begin, end = asked_times(since, until, by, now)
    with opened(plant_file) as (plant, database), database.read() as tx:
        found = measured(tx, plant, begin, end, by, now)
    if pictures is not None:
        write_pictures(pictures, found, plant, by)
    if json:
        return print_json(quality_document(found, begin, end, by, plant.timezone))
    return _show(found, plant, by)


def asked_times(since: str, until: str, by: By, now: datetime) -> tuple[datetime, datetime]:
    """The time that a call asks for, as far as it is past; CallError for none, or one that nobody would look at."""
    end = min(moment(until, now), now)
    if end < EARLIEST + USUALLY:
        raise CallError(f"--until {until} is before any plant was watched")
    begin = moment(since, now) if since else end - USUALLY
    if begin >= end:
        raise CallError("--from is not before --until, or lies in the future")
    if (end - begin) / SHORTEST[by] > MOST_PERIODS:
        raise CallError(f"that is more than {MOST_PERIODS} periods; choose a later --from, or a longer --by")
    return begin, end


def measured(tx: Transaction, plant: Plant, since: datetime, until: datetime, by: By, now: datetime) -> Quality:
    """The figures of a plant; its time zone says when a day begins."""
    from zoneinfo import ZoneInfo

    from baselines.exposure import watched
    from baselines.quality import edges, measure
    from monitor import store
    from monitor.inventory import REPORTED_EVERY, stale_after

    every = dict.fromkeys(plant.segments, REPORTED_EVERY) | {name: each.every for name, each in plant.assets.items()}
    cases, watches, orders = store.quality_records(tx, since, until)
    spans = [span for each in watches for span in watched(each, stale_after(every.get(each.asset, UNKNOWN_EVERY)))]
    return measure(cases, spans, orders, edges(since, until, by, ZoneInfo(plant.timezone)), now)


def write_pictures(folder: Path, found: Quality, plant: Plant, by: By) -> None:
    """The pictures, and the page that holds them; CallError where they cannot be written."""
    from zoneinfo import ZoneInfo

    from monitor.pictures import dates, page, pictures

    zone = ZoneInfo(plant.timezone)
    drawn = pictures(found, by, zone)
    documents = {f"{name}.svg": svg for name, svg in drawn.items()}
    documents["quality.html"] = page(f"{plant.name}, {dates(found, zone)}", drawn.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallError(f"--pictures {folder}: cannot be written: {error.strerror}") from None


def quality_document(found: Quality, since: datetime, until: datetime, by: By, zone: str) -> Document:
    """The JSON document; see docs/json.md."""
    from baselines.snapshot import utc_text

    return {
        "from": utc_text(since),
        "until": utc_text(until),
        "by": by,
        "timezone": zone,
        "deviations": found.deviations,
        "false_alarms": found.false_alarms,
        "suppressed": found.suppressed,
        "causes": _bars("cause", found.causes),
        "categories": _bars("category", found.categories),
        "severities": _bars("severity", found.severities),
        "assets": _bars("asset", found.assets),
        "wire": {"kinds": _bars("kind", found.wire_kinds), "causes": _bars("cause", found.wire_causes)},
        "rate": {
            "asset_days": found.asset_days,
            "centre": found.centre,
            "cautions": cautions(found),
            "periods": [
                {
                    "from": utc_text(row.start),
                    "until": utc_text(row.end),
                    "deviations": row.deviations,
                    "false_alarms": row.false_alarms,
                    "asset_days": row.asset_days,
                    "rate": row.rate,
                    "lower": row.lower,
                    "upper": row.upper,
                    "out": row.out,
                }
                for row in found.rates
            ],
        },
        "seconds": {
            "detected": _times(found.detected),
            "detected_at_most": _times(found.detected_at_most),
            "acknowledged": _times(found.acknowledged),
            "mended": _times(found.mended),
            "approved": _times(found.approved),
            "open": _times(found.open),
            "open_before": _times(found.open_before),
        },
        "onset_unknown": found.onset_unknown,
        "ended_otherwise": found.ended_otherwise,
        "orders": {
            "closed": found.closed,
            "passed": found.passed,
            "yield": found.passed / found.closed if found.closed else None,
            "open": found.orders_open,
            "overdue": found.orders_overdue,
            "outcomes": _bars("outcome", found.outcomes),
            "periods": [
                {
                    "from": utc_text(row.start),
                    "until": utc_text(row.end),
                    "closed": row.closed,
                    "passed": row.passed,
                }
                for row in found.yields
            ],
        },
    }


def _bars(what: str, bars: Iterable[Bar]) -> list[Document]:
    return [{what: bar.name, "count": bar.count, "share": bar.share, "cumulative": bar.cumulative} for bar in bars]


def _times(times: Times) -> Document:
    return {"count": len(times.values), "median": times.median, "p90": times.p90, "longest": times.longest}


def _show(found: Quality, plant: Plant, by: By) -> None:
    from zoneinfo import ZoneInfo

    from monitor.pictures import dates, number_text

    zone = ZoneInfo(plant.timezone)
    typer.echo(f"{plant.name}, {dates(found, zone)}, days of {plant.timezone}")
    typer.echo(
        f"{found.deviations:,} deviations in {number_text(found.asset_days)} asset-days:"
        f" {number_text(found.centre)} per 1,000 asset-days; false alarms among them: {found.false_alarms}"
    )
    wire = ", ".join(f"{bar.name} {bar.count}" for bar in found.wire_kinds) or "none"
    typer.echo(f"not among them: announced {found.suppressed}; alarms of the wire: {wire}")
    _show_bars("cause", found.causes)
    _show_bars("category", found.categories)
    _show_bars("severity", found.severities)
    _show_bars("asset", found.assets)
    _show_bars("cause, of alarms of the wire", found.wire_causes)
    typer.echo()
    columns = (f"{by} from", "deviations", "false alarms", "asset-days", "per 1,000", "limits", "")
    print_table(columns, [_rate_row(row, zone) for row in found.rates])
    for caution in cautions(found):
        typer.echo(f"bear in mind: {caution}")
    if found.deviations or found.open_before.values:
        _show_times(found)
    typer.echo()
    share = f" ({found.passed / found.closed:.0%})" if found.closed else ""
    typer.echo(f"change orders: {found.passed} of {found.closed} closed ones as planned at the first try{share}")
    typer.echo(f"open: {found.orders_open}, overdue: {found.orders_overdue}")
    _show_bars("outcome", found.outcomes, "no outcome")


def _show_times(found: Quality) -> None:
    from monitor.pictures import duration_text, times_rows

    typer.echo()
    print_table(
        ("time", "number", "median", "p90", "longest"),
        [
            [name, str(len(times.values)), *map(duration_text, (times.median, times.p90, times.longest))]
            for name, times in times_rows(found)
            if times.values
        ],
    )
    typer.echo(f"no time to detect is known of {found.onset_unknown}; ended otherwise: {found.ended_otherwise}")


def _rate_row(row: Rate, zone: tzinfo) -> list[str]:
    from monitor.pictures import number_text

    limits = "–" if row.lower is None else f"{number_text(row.lower)} to {number_text(row.upper)}"
    start = row.start.astimezone(zone).date().isoformat()
    counts = (str(row.deviations), str(row.false_alarms), number_text(row.asset_days))
    return [start, *counts, number_text(row.rate), limits, f"{row.out} the limits" if row.out else ""]


def _show_bars(what: str, bars: Sequence[Bar], nameless: str = NO_CAUSE) -> None:
    from monitor.show import value_text

    if not bars:
        return
    typer.echo()
    print_table(
        (what, "number", "share", "adding up to"),
        [
            [value_text(bar.name or nameless), str(bar.count), f"{bar.share:.1%}", f"{bar.cumulative:.1%}"]
            for bar in bars[:MOST_ROWS]
        ],
    )
    if len(bars) > MOST_ROWS:
        typer.echo(f"and {len(bars) - MOST_ROWS} more; --json has all")
