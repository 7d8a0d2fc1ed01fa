"""Of how many assets each field of the inventory is known, and by whom; and what nobody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from monitor.drawing import BAR, FAINT, GREY, INK, SMALL, Drawing
from monitor.report.document import Cell, Chart, Column, Finding, Form, Section, Table, Weight
from monitor.report.inventoried import Inventoried, inventoried
from monitor.report.known import BASELINE, CISA, FIELDS, GUIDANCE, POLL, WIRE, WRITTEN, Field, Known
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.store import Transaction

COVERAGE = "inventory-coverage"
SOURCES = (BASELINE, POLL, WIRE, WRITTEN)
LEAST_MOST = 5  # fields that a sentence names
WIDTH, TOP, ROW = 820, 96, 24  # of the chart
NAMES, BARS, BARS_END, FIGURES = 190, 202, 690, 796
TITLES = {field.key: field.title for field in FIELDS}
COLUMNS = (
    Column("field", "Field", width=2),
    Column("cisa", "Of CISA's", width=0.8),
    Column("known", "Known", Form.NUMBER, 0.8),
    Column("assets", "Of", Form.NUMBER, 0.8),
    Column("share", "Share", Form.SHARE, 0.8),
    Column("by_baseline", "By approved baseline", Form.NUMBER, 0),
    Column("by_poll", "By poll", Form.NUMBER, 0),
    Column("by_wire", "By wire", Form.NUMBER, 0),
    Column("by_plant_toml", "By plant.toml", Form.NUMBER, 0),
    Column("remedy", "How it comes to be known", width=4),
)
UNKNOWN_COLUMNS = (
    Column("asset", "Asset", width=2),
    Column("unknown", "Unknown", Form.NUMBER, 0.8),
    Column("why", f"Which of the {len(CISA)} fields, and why", width=6),
)
By = Mapping[tuple[str, str], int]  # of how many assets a field is known, by what its best source is


def coverage(tx: Transaction, scope: Scope) -> Section:
    """Of how many assets each field is known, and what of which asset nobody knows."""
    count, by, lacking = 0, Counter[tuple[str, str]](), []
    for each in inventoried(tx, scope):
        count += 1
        by.update((key, _kind(known)) for key, known in each.known.items() if known.value is not None)
        if each.missing:
            lacking.append(_lacking(each))
    complete = count - len(lacking)
    lacking.sort(key=lambda row: -row[1])
    all_known = f"Of every asset all {len(CISA)} fields are known." if count else "There is no asset."
    return Section(
        COVERAGE,
        "What is known, and what is not",
        (
            Chart("fields-known", "Fields known, by where from", _chart_about(by, count), _picture(by, count)),
            Table("coverage", "Fields", COLUMNS, [_share_row(field, by, count) for field in FIELDS], "There is none."),
            Table("unknown", "What nobody knows", UNKNOWN_COLUMNS, lacking, all_known),
        ),
        findings=_findings(count, complete, by),
    )


def _kind(known: Known) -> str:
    """What a value's best source is a kind of."""
    return next(source for source in SOURCES if known.sources[0].startswith(source))


def _found(field: Field, by: By) -> int:
    return sum(by.get((field.key, source), 0) for source in SOURCES)


def _lacking(each: Inventoried) -> tuple[str, int, str]:
    """An asset, how many fields nobody knows of it, and which; those with one reason stand together."""
    by_reason: dict[str, list[str]] = {}
    for key in each.missing:
        by_reason.setdefault(each.known[key].why, []).append(TITLES[key])
    said = "; ".join(f"{', '.join(fields)}: {why}" for why, fields in by_reason.items())
    return each.standing.name, len(each.missing), said


def _share_row(field: Field, by: By, count: int) -> tuple[Cell, ...]:
    found = _found(field, by)
    counts = [by.get((field.key, source), 0) for source in SOURCES]
    return (field.title, field.cisa, found, count, found / count if count else None, *counts, field.remedy)


def _findings(count: int, complete: int, by: By) -> tuple[Finding, ...]:
    if not count:
        return ()
    of = counted(count, "asset")
    text = f"Of {of}, all {len(CISA)} fields of {GUIDANCE} are known of {complete:,}."
    found = [Finding(Weight.GOOD if complete == count else Weight.ATTENTION, text, COVERAGE)]
    totals = {field: _found(field, by) for field in FIELDS if field.cisa}
    least = sorted((field for field in totals if totals[field] < count), key=totals.__getitem__)
    if least:
        told = ", ".join(f"{field.title} of {totals[field]:,}" for field in least[:LEAST_MOST])
        found.append(Finding(Weight.UNKNOWN, f"Of {of}, the least is known of these fields: {told}.", COVERAGE))
    return tuple(found)


def _chart_about(by: By, count: int) -> str:
    told = "; ".join(f"{field.title} {_found(field, by):,}" for field in FIELDS)
    return f"Of {counted(count, 'asset')} known: {told}."


def _picture(by: By, count: int) -> str:
    """A bar per field, in parts by where what is known comes from; what is left of it is unknown."""
    height = TOP + ROW * len(FIELDS) + 16
    drawing = Drawing("fields-known", "Fields known, by where from", _chart_about(by, count), WIDTH, height)
    fills = dict(zip(SOURCES, (BAR, "#a9bccb", drawing.hatched, "#ffffff"), strict=True))
    x = 24.0
    for text, fill in (*fills.items(), ("unknown", drawing.dotted)):
        drawing.rect(x, 50, 20, 11, fill, stroke=INK if text in fills else FAINT)
        drawing.text(x + 28, 60, text, size=SMALL, fill=GREY)
        x += 28 + 6.4 * len(text) + 22
    for number, field in enumerate(FIELDS):
        _bar(
            drawing,
            TOP + ROW * number,
            field,
            [(by.get((field.key, source), 0), fills[source]) for source in SOURCES],
            count,
        )
    return drawing.svg()


def _bar(drawing: Drawing, y: float, field: Field, parts: list[tuple[int, str]], count: int) -> None:
    drawing.text(NAMES, y + 14, field.title, "end")
    drawing.rect(BARS, y + 2, BARS_END - BARS, ROW - 8, drawing.dotted, stroke=FAINT)
    at, found = float(BARS), sum(some for some, _ in parts)
    for some, fill in parts:
        if some:
            wide = (BARS_END - BARS) * some / count
            drawing.rect(at, y + 2, wide, ROW - 8, fill, stroke=INK, thick="0.6")
            at += wide
    drawing.text(FIGURES, y + 14, f"{found:,} of {count:,}", "end")
