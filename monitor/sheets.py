"""Tables that people keep in spreadsheets, as CSV: the rows by what their headings mean, and every fault in one go."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

from collectors.written import FileError
from monitor.entries import printable

DELIMITERS = ",;\t"
ENCODINGS = ("utf-8-sig", "cp1252")  # what Excel writes as "CSV UTF-8", and as "CSV" in western Europe

Fault = tuple[int, str]  # with the line that it is on


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the line that it begins on, and its cells by what their columns mean."""

    line: int
    cells: Mapping[str, str]

    def fault(self, headings: Mapping[str, str], column: str, text: str) -> Fault:
        return self.line, f"line {self.line}, column {printable(headings.get(column, column))}: {text}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its rows, its headings by what they mean, and those that mean nothing here."""

    path: Path
    headings: Mapping[str, str]
    rows: tuple[Row, ...]
    ignored: tuple[str, ...]
    faults: tuple[Fault, ...]

    def check(self, faults: Sequence[Fault]) -> None:
        """FileError with the faults in the order of their lines, if there are any."""
        if faults:
            raise FileError(self.path, [text for _, text in sorted(faults, key=lambda found: found[0])])


def read_sheet(
    path: Path, columns: Mapping[str, str], heading_faults: Callable[[Sequence[str]], list[str]], needs: str
) -> Sheet:
    """The rows of a CSV file; `columns` says what a heading means, `needs` what there must be at least.

    FileError for what is no such table; what is wrong with single rows is in `faults`.
    """
    lines = [(line, cells) for line, cells in _lines(path, _text(path), columns) if any(cells)]
    if len(lines) < 2:
        raise FileError(path, [f"needs a row of headings, such as {needs}"])
    (_, headings), *below = lines
    meant = [columns.get(plain(heading, "_"), "") for heading in headings]
    if found := [*_twice(headings, meant), *heading_faults(meant)]:
        raise FileError(path, found)
    rows, faults = [], []
    for line, cells in below:
        if any(cells[len(meant) :]):
            faults.append((line, f"line {line}: has {len(cells)} cells, and {len(meant)} have a heading"))
        rows.append(Row(line, {name: cell for name, cell in zip(meant, cells, strict=False) if name and cell}))
    unknown = (heading for heading, column in zip(headings, meant, strict=True) if heading and not column)
    return Sheet(path, dict(zip(meant, headings, strict=True)), tuple(rows), tuple(unknown), tuple(faults))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(path, [f"cannot be read: {error.strerror or error}"]) from None
    for encoding in ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise FileError(path, ["is text neither in UTF-8 nor in Windows-1252: save it as CSV UTF-8"])


def _lines(path: Path, text: str, known: Mapping[str, str]) -> Iterator[tuple[int, list[str]]]:
    """The rows with the line that each begins on; cells without blanks around them."""
    first = next(dropwhile(lambda line: not line.strip(), text.splitlines()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first, known), strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = 'a quote within a quoted cell is written twice: "the ""big"" filler"'
        raise FileError(path, [f"line {line}: is no CSV: {error}; {remedy}"]) from None


def _delimiter(headings: str, known: Mapping[str, str]) -> str:
    """What divides the headings into the most that are known."""
    return max(DELIMITERS, key=lambda each: sum(plain(word.strip('"'), "_") in known for word in headings.split(each)))


def plain(text: str, between: str = "") -> str:
    """`text` in small letters and digits, with `between` for all that is neither."""
    return re.sub(r"\W+|_+", between, text.strip().casefold())


def _twice(headings: Sequence[str], columns: Sequence[str]) -> list[str]:
    return [
        f"the headings {', '.join(h for h, c in zip(headings, columns, strict=True) if c == column)} mean the same: "
        "leave one out"
        for column, times in Counter(columns).items()
        if column and times > 1
    ]
