"""One cell of a report, as text: for programs, which read it back, and for people, who look at it."""

from __future__ import annotations

from datetime import datetime, tzinfo

from baselines.snapshot import utc_text
from monitor.pictures import duration_text
from monitor.report.document import Cell, Form
from monitor.show import value_text

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how what a spreadsheet would compute begins


def for_programs(cell: Cell) -> str | int | float | bool | None:
    """As JSON has it: times are ISO 8601 in UTC."""
    return utc_text(cell) if isinstance(cell, datetime) else cell


def for_sheets(cell: Cell) -> str:
    """As CSV has it; what a spreadsheet would take for a formula gets an apostrophe before it: then it is a text."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(FORMULA) and not _is_number(cell) else cell
    return str(for_programs(cell))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text.startswith(FORMULA[-2:])


def for_people(cell: Cell, form: Form, zone: tzinfo) -> str:
    """As a page has it: times in the plant's zone, and what cannot be printed as an escape."""
    match cell:
        case None:
            return "–"
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return f"{cell.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        case int() | float() if form is Form.SHARE:
            return share_text(cell)
        case int() | float() if form is Form.SECONDS:
            return duration_text(cell)
        case int() if form is Form.CODE:  # the number of something, and not how many
            return str(cell)
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:g}"
        case str():
            return value_text(cell)


def share_text(share: float) -> str:
    """A share as per cent; never 100 % or 0 % of what is not all, or not nothing."""
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{min(max(share, 0.0001), 0.9999):.2%}"
