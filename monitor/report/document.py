"""What a report is, whatever it is written as: sections of sentences, facts, tables and charts. Pure.

Text is data all the way: no writer reads markup in it. Every table is an annex too, whole, as CSV: a page may show only
its first rows, and says by which digest the rest is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Which report."""

    AUDIT = "audit"
    COMMISSIONING = "commissioning"
    INVENTORY = "inventory"
    CHANGES = "changes"


class Form(StrEnum):
    """How the cells of a column are to be read, and so how they are shown."""

    TEXT = "text"
    CODE = "code"  # digests, keys of items, addresses: in a fixed pitch
    NUMBER = "number"
    TIME = "time"  # a datetime with its zone
    SECONDS = "seconds"  # a duration
    SHARE = "share"  # from 0 to 1
    STATE = "state"  # a word that says how something stands: match, drift, UNACK, as-planned, …


PAGE_ROWS = 200  # of a table, that a page shows: its annex has them all

Cell = str | int | float | bool | datetime | None  # None: nothing is known, or there is none


@dataclass(frozen=True, slots=True)
class Column:
    """`key` names it for programs (snake_case), `title` for people. `width` is its share of a page, beside 1 of others;
    0: it is on no page, only in the annex."""

    key: str
    title: str
    form: Form = Form.TEXT
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Table:
    """`key` (kebab-case) is the name of its annex, and is there once in a report. The most important rows stand first;
    `empty` is the sentence that stands for no rows, and `note` one beneath them."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Cell, ...]]
    empty: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A few facts with their names: (what, the value, what is to be said of it or "")."""

    rows: tuple[tuple[str, Cell, str], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Sentences, a paragraph each."""

    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture as an SVG document of `monitor.drawing`; `about` says in words what can be seen."""

    key: str
    title: str
    about: str
    svg: str


Block = Table | Facts | Text | Chart


class Weight(StrEnum):
    """How a finding stands: as it should be; somebody has to look; not so; or nobody can tell."""

    GOOD = "good"
    ATTENTION = "attention"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of the summary, and the section that it is of."""

    weight: Weight
    text: str
    section: str


@dataclass(frozen=True, slots=True)
class Section:
    """`key` (kebab-case) is there once in a report; `clauses` are keys of clauses that it gives evidence for, as
    `standards.toml` has them."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    clauses: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def tables(self) -> Iterator[Table]:
        return (block for block in self.blocks if isinstance(block, Table))


@dataclass(frozen=True, slots=True)
class Report:
    """`since` is None where it says how things stand at `until`, and not what happened. `scope` says in words which
    assets it is of; `timezone` is the plant's, in which people read times. `head` and `entries` are of the audit chain
    at `until`: the last entry's hash ("" for none) and how many there were."""

    kind: Kind
    title: str
    plant: str
    timezone: str
    scope: str
    since: datetime | None
    until: datetime
    entries: int
    head: str
    version: str
    sections: tuple[Section, ...]

    @property
    def tables(self) -> Iterator[Table]:
        return (table for section in self.sections for table in section.tables)

    @property
    def findings(self) -> Iterator[Finding]:
        return (finding for section in self.sections for finding in section.findings)


def not_shown(rows: int, annex: str, digest: str) -> str:
    """What is to be said beneath a table of which a page shows only the first rows; "" where it shows all."""
    if rows <= PAGE_ROWS:
        return ""
    return f"The first {PAGE_ROWS} of {rows:,} rows; all of them are in the annex {annex}, SHA-256 {digest}."
