"""A report as one page: no script, nothing from elsewhere. What devices and people wrote is text in it, whatever it is.

The template (`page.html.j2`) escapes all that it is given; only our own style and the pictures of `monitor.drawing`,
which has escaped its texts, are taken as they are. The policy of the page allows that one style, by its digest.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, StrictUndefined

from monitor.drawing import NOT_XML
from monitor.report.annexes import Annex, annexes
from monitor.report.cells import for_people
from monitor.report.document import (
    PAGE_ROWS,
    Cell,
    Chart,
    Column,
    Facts,
    Form,
    Report,
    Section,
    Table,
    Text,
    Weight,
    not_shown,
)
from monitor.report.standards import clause_name
from monitor.report.weights import WORDS, by_weight
from monitor.show import value_text
from monitor.terminal import STYLES, size_text

LONGEST_CELL = 400  # letters that a page shows of one; the annex has all
TONES = {"green": "good", "red": "bad", "yellow": "attention", "cyan": "unknown"}  # of the colours of a terminal
RIGHT = (Form.NUMBER, Form.SECONDS, Form.SHARE)  # what is read from its last digit


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell of a page: its text, how it is to be looked at, and where it stands in its row."""

    text: str
    look: str
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    """A table of a page: as much of it as is shown."""

    table: Table
    columns: tuple[Column, ...]
    rows: tuple[tuple[Shown, ...], ...]
    left_out: str
    number: int


def html(report: Report) -> bytes:
    """The page. A table shows its first rows, and names the annex that has them all."""
    known = {annex.name: annex for annex in annexes(report)}
    pages = _pages(report, known.values())
    style = _style(report, pages)
    page = (
        _environment()
        .from_string(_source("page.html.j2"))
        .render(
            report=report,
            title=_clean(f"{report.title}: {report.plant}"),
            style=style,
            policy=_policy(style),
            facts=_facts(report),
            by_weight=by_weight,
            findings=by_weight(report.findings),
            counts=[(weight, sum(each.weight is weight for each in report.findings)) for weight in WORDS],
            words=WORDS,
            pages=pages,
            annexes=list(known.values()),
            titles={section.key: section.title for section in report.sections},
            worst=worst,
            kind_of=_kind_of,
            people=_people(report),
            clause_name=clause_name,
            clean=_clean,
            size=size_text,
        )
    )
    return page.encode("utf-8", "backslashreplace")


def worst(section: Section) -> Weight | None:
    """What somebody has to look at first in a section."""
    return next((finding.weight for finding in by_weight(section.findings)), None)


def _environment() -> Environment:
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _source(name: str) -> str:
    return (files("monitor") / "report" / name).read_text(encoding="utf-8")


def _policy(style: str) -> str:
    """The Content-Security-Policy: nothing but this style."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _style(report: Report, pages: dict[str, Page]) -> str:
    """The style of every report, and how wide the columns of this one's tables are."""
    rules = []
    for page in pages.values():
        whole = sum(column.width for column in page.columns)
        rules += [
            f"#table-{page.number} col:nth-child({place}) {{ width: {column.width / whole:.2%} }}"
            for place, column in enumerate(page.columns, 1)
        ]
    return "\n".join([_source("page.css"), *rules, ""])


def _pages(report: Report, known: Iterable[Annex]) -> dict[str, Page]:
    """The tables by their keys."""
    zone = ZoneInfo(report.timezone)
    return {
        table.key: Page(table, _columns(table), tuple(_rows(table, zone)), _left_out(annex), number)
        for number, (table, annex) in enumerate(zip(report.tables, known, strict=True), 1)
    }


def _left_out(annex: Annex) -> str:
    return not_shown(annex.rows, annex.name, annex.digest)


def _columns(table: Table) -> tuple[Column, ...]:
    return tuple(column for column in table.columns if column.width)


def _rows(table: Table, zone: ZoneInfo) -> Iterator[tuple[Shown, ...]]:
    for row in islice(table.rows, PAGE_ROWS):
        kept = ((column, cell) for column, cell in zip(table.columns, row, strict=True) if column.width)
        yield tuple(_shown(column, cell, zone) for column, cell in kept)


def _shown(column: Column, cell: Cell, zone: ZoneInfo) -> Shown:
    return Shown(_short(_clean_text(for_people(cell, column.form, zone))), _look(column, cell), column.title)


def _look(column: Column, cell: Cell) -> str:
    if column.form is Form.STATE and cell is not None:
        return f"state {_tone(str(cell))}".strip()
    if column.form in RIGHT:
        return "number"
    return "" if column.form is Form.STATE else column.form


def _tone(word: str) -> str:
    """How good a word is, where people see colours; the word says it anyway."""
    style = STYLES.get(word, "").split()
    return TONES.get(style[-1], "") if style else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else text[:LONGEST_CELL].rstrip() + "…"


def _clean(text: str) -> str:
    """Text for people, in which nothing is obeyed."""
    return _clean_text(value_text(text)) if text else ""


def _clean_text(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)


def _facts(report: Report) -> list[tuple[str, Cell, str]]:
    since: Sequence[tuple[str, Cell, str]] = [("From", report.since, "")] if report.since else []
    return [
        ("Scope", report.scope, ""),
        *since,
        ("Until" if since else "As of", report.until, ""),
        ("Times are in", report.timezone, ""),
        ("Audit entries until then", report.entries, ""),
        ("Written by", f"asbuilt {report.version}", ""),
    ]


def _people(report: Report) -> Any:
    """Shows a fact."""
    zone = ZoneInfo(report.timezone)
    return lambda cell: _clean_text(for_people(cell, Form.TEXT, zone))


def _kind_of(block: Table | Facts | Text | Chart) -> str:
    return type(block).__name__.lower()
