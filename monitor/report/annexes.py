"""The annexes of a report: every table, whole, as CSV. A page names each with its SHA-256."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from monitor.report.cells import for_sheets
from monitor.report.document import Report, Table

ROWS_AT_ONCE = 1000
KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # of a table: it is the name of a file


@dataclass(frozen=True, slots=True)
class Annex:
    """`name` of the file, what it holds, and what is known of it."""

    name: str
    title: str
    rows: int
    size: int  # bytes
    digest: str  # SHA-256


def annex_name(table: Table) -> str:
    """The name of its file; ValueError for a key that could lead out of a folder."""
    if not KEY.fullmatch(table.key):
        raise ValueError(f"{table.key!r} is no key of a table")
    return f"{table.key}.csv"


def annex_tables(report: Report) -> dict[str, Table]:
    """The tables by the names of their files; ValueError if two have the same."""
    found = {annex_name(table): table for table in report.tables}
    if len(found) != len(list(report.tables)):
        raise ValueError("two tables of a report have the same key")
    return found


def csv_parts(table: Table) -> Iterator[bytes]:
    """A table as CSV (RFC 4180) in UTF-8, in parts: the keys of the columns, then the rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([column.key for column in table.columns])
    for number, row in enumerate(table.rows, 1):
        writer.writerow([for_sheets(cell) for cell in row])
        if number % ROWS_AT_ONCE == 0:
            yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    """What is in it, which is then empty. Half a surrogate pair is shown as an escape."""
    data = text.getvalue().encode("utf-8", "backslashreplace")
    text.seek(0)
    text.truncate()
    return data


def annexes(report: Report) -> list[Annex]:
    """What the tables of a report are as files."""
    return [_annex(table, csv_parts(table)) for table in report.tables]


def _annex(table: Table, parts: Iterable[bytes]) -> Annex:
    size, digest = 0, sha256()
    for part in parts:
        size += len(part)
        digest.update(part)
    return Annex(annex_name(table), table.title, len(table.rows), size, digest.hexdigest())
