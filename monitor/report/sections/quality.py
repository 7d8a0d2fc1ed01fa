"""The figures of quality: why the plant deviates, how often, how soon that is seen and mended, how changes go."""

from __future__ import annotations

from datetime import timedelta

from baselines.exposure import Watch, watched
from baselines.quality import NO_CAUSE, By, OrderRecord, Quality, Times, cautions, edges, measure
from monitor import store
from monitor.figures import UNKNOWN_EVERY
from monitor.inventory import REPORTED_EVERY, stale_after
from monitor.pictures import dates, duration_text, number_text, pictures, times_rows
from monitor.report.cells import share_text
from monitor.report.document import Cell, Chart, Column, Facts, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sections.orders import orders_at
from monitor.report.sections.told import count, wanted, were
from monitor.store import Transaction

KEY = "quality"
DAYS, WEEKS = timedelta(days=21), timedelta(days=731)  # of more, a period is a week, or a month

PERIOD_COLUMNS = (
    Column("since", "From", Form.TIME, 1.2),
    Column("until", "Until", Form.TIME, 0),
    Column("deviations", "Deviations", Form.NUMBER),
    Column("false_alarms", "False alarms", Form.NUMBER, 0),
    Column("asset_days", "Asset-days", Form.NUMBER),
    Column("rate", "Per 1,000 asset-days", Form.NUMBER),
    Column("lower", "Lower limit", Form.NUMBER),
    Column("upper", "Upper limit", Form.NUMBER),
    Column("out", "Out of limits", Form.STATE),
    Column("orders_closed", "Orders closed", Form.NUMBER, 0),
    Column("orders_passed", "Orders as planned", Form.NUMBER, 0),
)


def quality(tx: Transaction, scope: Scope) -> Section:
    """The figures as they stood at the end of the time, and their pictures."""
    by = period(scope)
    found = figures(tx, scope, by)
    drawn = pictures(found, by, scope.timezone)
    rows = _periods(found)
    return Section(
        KEY,
        "Quality",
        (
            Text(
                ("Figures are of deviations that nobody had announced. Periods begin at midnight of the plant's zone.",)
            ),
            Facts(_facts(found)),
            Chart("rate", f"Deviations per 1,000 asset-days, by {by}", _about_rate(found, by), drawn["rate"]),
            Chart("pareto", "Causes of deviations", _about_causes(found), drawn["pareto"]),
            Chart("times", "How long it took", _about_times(found), drawn["times"]),
            Chart("yield", "First-pass yield of change orders", _about_yield(found), drawn["yield"]),
            Table("periods", "Period by period", PERIOD_COLUMNS, rows, "No period.", " ".join(_notes(found))),
        ),
        findings=tuple(_findings(found, by, dates(found, scope.timezone))),
    )


def period(scope: Scope) -> By:
    """How long a period is, by how long the time is."""
    length = scope.until - scope.since
    return By.DAY if length <= DAYS else By.WEEK if length <= WEEKS else By.MONTH


def figures(tx: Transaction, scope: Scope, by: By) -> Quality:
    """The figures of the assets of the scope, by what was known at the end of the time."""
    is_wanted = wanted(scope)
    lives = store.lives(tx, scope.since, scope.until, is_wanted)
    cases, watches = store.quality_at(tx, lives, scope.since, scope.until)
    spans = [span for each in watches if is_wanted(each.asset) for span in watched(each, _limit(scope, each))]
    orders = [
        OrderRecord(each.ends_at, each.closed_at, tuple(line.outcome for line in each.expectations), len(each.excess))
        for each in orders_at(tx, scope)
    ]
    return measure(cases, spans, orders, edges(scope.since, scope.until, by, scope.timezone), scope.until)


def _limit(scope: Scope, watch: Watch) -> timedelta:
    """After how long without a look an asset is not watched any more."""
    polled = scope.plant.assets.get(watch.asset)
    heard = REPORTED_EVERY if watch.asset in scope.plant.segments else UNKNOWN_EVERY
    return stale_after(polled.every if polled else heard)


def _facts(found: Quality) -> tuple[tuple[str, Cell, str], ...]:
    centre = f"{number_text(found.centre)} per 1,000 asset-days"
    timed = tuple(
        (name[:1].upper() + name[1:], duration_text(times.median), _spread(times))
        for name, times in times_rows(found)
        if times.values
    )
    passed = share_text(found.passed / found.closed) if found.closed else None
    return (
        ("Deviations", found.deviations, f"false alarms among them: {found.false_alarms:,}"),
        ("Asset-days", round(found.asset_days, 1), "in which somebody looked, and something was approved"),
        ("Rate", centre if found.centre is not None else None, "the centre line of the chart"),
        ("Announced", found.suppressed, "not counted as deviations"),
        *timed,
        ("First-pass yield", passed, f"{found.passed:,} of {count(found.closed, 'order')} that were closed"),
    )


def _spread(times: Times) -> str:
    text = f"median of {len(times.values):,}; nine in ten within {duration_text(times.p90)}"
    return f"{text}, the longest {duration_text(times.longest)}"


def _about_rate(found: Quality, by: By) -> str:
    if found.centre is None:
        return "Nobody looked at any asset in this time, so there is no rate."
    out = [row for row in found.rates if row.out]
    told = f"Each point is a {by}: its deviations by how long assets were really looked at. The centre line is at"
    told += f" {number_text(found.centre)}; dashed are its limits of three standard deviations."
    return f"{told} {len(out):,} of {count(len(found.rates), 'period')} {were(len(out))} out of limits."


def _about_causes(found: Quality) -> str:
    if not found.causes:
        return "There was no deviation in this time."
    first, told = found.causes[0], "Each bar is a cause, the most frequent first, and last those without one;"
    told += f" the line is what they add up to. First is {first.name or NO_CAUSE}: {first.count:,} of"
    return f"{told} {count(found.deviations, 'deviation')}, {share_text(first.share)}."


def _about_times(found: Quality) -> str:
    told = [
        f"{name} {len(times.values):,}, half within {duration_text(times.median)}"
        for name, times in times_rows(found)
        if times.values
    ]
    return (
        f"How many took how long, on a scale of orders of magnitude: {'; '.join(told) or 'there is nothing to time'}."
    )


def _about_yield(found: Quality) -> str:
    if not found.closed:
        return "No change order was closed in this time."
    told = f"Each bar is the orders closed in a period. Of {found.closed:,}, {found.passed:,} were as planned at the"
    return f"{told} first try, {share_text(found.passed / found.closed)}."


def _periods(found: Quality) -> list[tuple[Cell, ...]]:
    return [
        (
            row.start,
            row.end,
            row.deviations,
            row.false_alarms,
            round(row.asset_days, 2),
            *(None if value is None else round(value, 2) for value in (row.rate, row.lower, row.upper)),
            row.out.value if row.out else "unknown" if row.rate is None else "within",
            made.closed,
            made.passed,
        )
        for row, made in zip(found.rates, found.yields, strict=True)
    ]


def _notes(found: Quality) -> list[str]:
    return [f"Bear in mind: {caution}." for caution in cautions(found)]


def _findings(found: Quality, by: By, when: str) -> list[Finding]:
    if found.centre is None:
        return [Finding(Weight.UNKNOWN, f"No asset was looked at, {when}: there is no rate of deviations.", KEY)]
    out, seen = [row for row in found.rates if row.out], [row for row in found.rates if row.rate is not None]
    told = f"{count(found.deviations, 'deviation')} in {number_text(found.asset_days)} asset-days:"
    told += f" {number_text(found.centre)} per 1,000; {len(out):,} of {count(len(seen), 'period')} (by {by})"
    told += f" {were(len(out))} out of limits."
    return [Finding(Weight.ATTENTION if out else Weight.GOOD, told, KEY)]
