"""The figures of quality of a plant: gathered from the store, as a JSON document, and as tables for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import typer

from baselines.exposure import watched
from baselines.quality import (
    NO_CAUSE,
    Bar,
    By,
    Quality,
    Rate,
    Times,
    cautions,
    edges,
    measure,
)
from baselines.snapshot import utc_text
from monitor import store
from monitor.config import Plant
from monitor.errors import CallError
from monitor.inventory import REPORTED_EVERY, stale_after
from monitor.pictures import dates, duration_text, number_text, times_rows
from monitor.show import value_text
from monitor.store import Transaction
from monitor.terminal import print_table

UNKNOWN_EVERY = timedelta(seconds=30)  # how often an asset was polled that plant.toml no longer names
MOST_PERIODS = 1000
SHORTEST = {By.DAY: timedelta(days=1), By.WEEK: timedelta(days=7), By.MONTH: timedelta(days=28)}
MOST_ROWS = 15  # of a table for people; there are fewer causes

Document = dict[str, Any]


def assure_periods(since: datetime, until: datetime, by: By) -> None:
    """CallError if a time has more periods than anybody would look at."""
    if (until - since) / SHORTEST[by] > MOST_PERIODS:
        raise CallError(f"that is more than {MOST_PERIODS} periods; choose a later beginning, or longer periods")


def measured(
    tx: Transaction,
    plant: Plant,
    since: datetime,
    until: datetime,
    by: By,
    now: datetime,
    of: Collection[str] | None = None,
) -> Quality:
    """The figures of a plant, or with `of` of some of its assets; its time zone says when a day begins."""
    every = dict.fromkeys(plant.segments, REPORTED_EVERY) | {name: each.every for name, each in plant.assets.items()}
    cases, watches, orders = store.quality_records(tx, since, until, of)
    spans = [span for each in watches for span in watched(each, stale_after(every.get(each.asset, UNKNOWN_EVERY)))]
    return measure(cases, spans, orders, edges(since, until, by, ZoneInfo(plant.timezone)), now)


def quality_document(found: Quality, since: datetime, until: datetime, by: By, zone: str) -> Document:
    """The JSON document; see docs/json.md."""
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


def show(found: Quality, plant: Plant, by: By) -> None:
    """The figures for people: the numbers first."""
    zone = ZoneInfo(plant.timezone)
    typer.echo(f"{plant.name}, {dates(found, zone)}, days of {plant.timezone}")
    typer.echo(
        f"{found.deviations:,} deviation{'s' * (found.deviations != 1)} in {number_text(found.asset_days)} asset-days:"
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
    limits = "–" if row.lower is None else f"{number_text(row.lower)} to {number_text(row.upper)}"
    start = row.start.astimezone(zone).date().isoformat()
    counts = (str(row.deviations), str(row.false_alarms), number_text(row.asset_days))
    return [start, *counts, number_text(row.rate), limits, f"{row.out} the limits" if row.out else ""]


def _show_bars(what: str, bars: Sequence[Bar], nameless: str = NO_CAUSE) -> None:
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
