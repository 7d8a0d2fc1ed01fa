"""A report as a workbook for a spreadsheet: a summary, and a sheet for each table. No cell is ever computed.

The same report makes the same bytes: nothing in it is of the moment when it is written.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format as Style
from xlsxwriter.worksheet import Worksheet

from monitor.report.annexes import annex_name
from monitor.report.cells import for_programs
from monitor.report.document import Cell, Column, Facts, Form, Report, Table, Text
from monitor.report.scope import Progress, silent
from monitor.report.weights import by_weight, mark

OPTIONS: dict[str, Any] = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
MOST_ROWS = 25_000  # of a sheet, beside its heading: what is longer nobody reads in a sheet, and the annex has it whole
LONGEST_TEXT = 32_767  # UTF-16 units of a cell
LONGEST_NAME = 31  # letters of a sheet's name
LARGEST_NUMBER = 10**15  # beyond that a spreadsheet loses digits
FIRST_DATE = datetime(1900, 3, 1, tzinfo=UTC)  # before it spreadsheets disagree
NO_NAME = re.compile(r"[\[\]:*?/\\'\x00-\x1f]")
NO_TEXT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # neither XML nor a spreadsheet holds it
RICH = ("<r>", "</r>")  # xlsxwriter takes what begins and ends so for markup
CUT = " … (cut: {} letters)"
RESERVED = {"history", "summary"}
UNITS = {Form.TIME: " (UTC)", Form.SECONDS: " (s)"}
NUMBERS = {Form.TIME: "yyyy-mm-dd hh:mm:ss", Form.SHARE: "0.00##%", Form.NUMBER: "#,##0", Form.CODE: "@"}
NARROWEST, WIDEST, LOOKED_AT = 8, 56, 200  # letters of a column; rows that say how wide it is
TIME_WIDTH, A4 = 19, 9


def xlsx(report: Report, progress: Progress = silent, most_rows: int = MOST_ROWS) -> bytes:
    """The workbook. What a sheet cannot hold is cut, and says so."""
    file = io.BytesIO()
    with TemporaryDirectory(prefix="asbuilt-") as aside:  # rows wait there; nothing is left of them
        book = Workbook(file, OPTIONS | {"tmpdir": aside})
        said = {"title": _text(report.title), "company": _text(report.plant), "author": f"asbuilt {report.version}"}
        book.set_properties({**said, "created": report.until.astimezone(UTC).replace(tzinfo=None)})
        tables = list(report.tables)
        names = sheet_names(tables)
        writer = _Writer(book, report, most_rows)
        writer.summary(tables, names)
        for number, (table, name) in enumerate(zip(tables, names, strict=True)):
            progress("writing the sheets", number, len(tables))
            writer.table(table, name)
        progress("writing the sheets", len(tables), len(tables))
        book.close()
    return file.getvalue()


def sheet_names(tables: Sequence[Table]) -> list[str]:
    """A name for the sheet of each table: what a spreadsheet takes, each once."""
    taken, names = set(RESERVED), []
    for table in tables:
        name = base = NO_NAME.sub(" ", _text(table.title)).strip()[:LONGEST_NAME].strip() or table.key[:LONGEST_NAME]
        number = 1
        while name.lower() in taken:
            number += 1
            more = f" {number}"
            name = base[: LONGEST_NAME - len(more)] + more
        taken.add(name.lower())
        names.append(name)
    return names


def _text(text: str) -> str:
    """A text that a cell can hold; what it cannot hold is shown as an escape."""
    text = NO_TEXT.sub(lambda found: repr(found[0])[1:-1], text)
    return f"'{text}" if text.startswith(RICH[0]) and text.endswith(RICH[1]) else text


def _cell_text(text: str) -> str:
    if len(text) <= LONGEST_TEXT and text.isascii() and text.isprintable() and not text.startswith(RICH[0]):
        return text  # as nearly all are
    text = _text(text)
    units = text.encode("utf-16-le")
    if len(units) <= 2 * LONGEST_TEXT:
        return text
    word = CUT.format(f"{len(text):,}")
    return units[: 2 * (LONGEST_TEXT - len(word))].decode("utf-16-le", "ignore") + word


def _foot(text: str) -> str:
    """Text of a footer, in which & would begin a code."""
    return _text(text)[:40].replace("&", "&&")


class _Writer:
    """One workbook. Rows are written one after the other, and gone from memory then."""

    def __init__(self, book: Workbook, report: Report, most_rows: int) -> None:
        self._book, self._report, self._most_rows = book, report, most_rows
        top = {"valign": "top", "text_wrap": True}
        self._styles = {form: book.add_format({**top, "num_format": NUMBERS.get(form, "General")}) for form in Form}
        self._plain = book.add_format(top)
        self._faint = book.add_format({**top, "italic": True, "font_color": "#595959"})
        self._bold = book.add_format({**top, "bold": True})
        self._title = book.add_format({"bold": True, "font_size": 18})
        self._part = book.add_format({"bold": True, "font_size": 13, "top": 1})
        framed = {"bg_color": "#1f3a4d", "border": 1, "border_color": "#ffffff"}
        self._head = book.add_format({**top, **framed, "bold": True, "font_color": "#ffffff"})

    def summary(self, tables: Sequence[Table], names: Sequence[str]) -> None:
        sheet = self._sheet("Summary")
        sheet.hide_gridlines(2)
        sheet.set_column(0, 0, 26)
        sheet.set_column(1, 1, 80)
        sheet.set_column(2, 3, 24)
        rows = _Rows(sheet)
        rows.add(("", self._report.title, self._title))
        for name, value, form in self._facts():
            rows.add(("", name, self._bold), (form, value, self._styles[form]))
        self._findings(rows)
        self._contents(rows, tables, names)
        self._sections(rows)

    def _facts(self) -> list[tuple[str, Cell, Form]]:
        report = self._report
        since: list[tuple[str, Cell, Form]] = [("From (UTC)", report.since, Form.TIME)] if report.since else []
        return [
            ("Plant", report.plant, Form.TEXT),
            ("Scope", report.scope, Form.TEXT),
            *since,
            ("Until (UTC)" if since else "As of (UTC)", report.until, Form.TIME),
            ("Audit entries", report.entries, Form.NUMBER),
            ("Head of the audit chain", report.head or "none", Form.CODE),
            ("Written by", f"asbuilt {report.version}", Form.TEXT),
        ]

    def _findings(self, rows: _Rows) -> None:
        titles = {section.key: section.title for section in self._report.sections}
        rows.skip()
        rows.add(("", "Findings", self._part), ("", None, self._part))
        for finding in by_weight(self._report.findings):
            rows.add(
                ("", mark(finding.weight), self._bold),
                (Form.TEXT, finding.text, self._plain),
                (Form.TEXT, titles.get(finding.section, finding.section), self._faint),
            )

    def _contents(self, rows: _Rows, tables: Sequence[Table], names: Sequence[str]) -> None:
        rows.skip()
        heads = ("Sheets", "What it says", "Rows", "The same as an annex")
        rows.add(*(("", head, self._part) for head in heads))
        for table, name in zip(tables, names, strict=True):
            rows.link(name, self._plain)
            rows.add(
                ("", name, None),
                (Form.TEXT, " ".join(filter(None, (table.title + ".", table.note))), self._plain),
                (Form.NUMBER, len(table.rows), self._styles[Form.NUMBER]),
                (Form.TEXT, annex_name(table), self._plain),
            )

    def _sections(self, rows: _Rows) -> None:
        """The sentences and the facts of the sections."""
        for section in self._report.sections:
            said = [block for block in section.blocks if isinstance(block, Facts | Text)]
            if not said:
                continue
            rows.skip()
            rows.add(("", section.title, self._part), ("", None, self._part))
            for block in said:
                if isinstance(block, Text):
                    for paragraph in block.paragraphs:
                        rows.add(("", None, self._plain), (Form.TEXT, paragraph, self._plain))
                    continue
                for name, value, note in block.rows:
                    is_time = isinstance(value, datetime)
                    form = Form.TIME if is_time else Form.TEXT
                    shown = f"{name} (UTC)" if is_time else name
                    rows.add(
                        (Form.TEXT, shown, self._bold),
                        (form, value, self._styles[form]),
                        (Form.TEXT, note or None, self._faint),
                    )

    def table(self, table: Table, name: str) -> None:
        sheet = self._sheet(name)
        for number, column in enumerate(table.columns):
            sheet.set_column(number, number, _width(table, number, column), self._styles[column.form])
        rows = _Rows(sheet)
        rows.add(*(("", column.title + UNITS.get(column.form, ""), self._head) for column in table.columns))
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        fits = len(table.rows) <= self._most_rows
        kept = len(table.rows) if fits else self._most_rows - 1  # one for the word
        styles = [(column.form, self._styles[column.form]) for column in table.columns]
        for row in islice(table.rows, kept):
            rows.add(*((form, cell, style) for (form, style), cell in zip(styles, row, strict=True)))
        sheet.autofilter(0, 0, max(kept, 1), len(table.columns) - 1)
        if not table.rows:
            rows.add(("", table.empty, self._faint))
        if not fits:
            word = "{:,} rows more are in the annex {}, which has them all"
            rows.add(("", word.format(len(table.rows) - kept, annex_name(table)), self._bold))

    def _sheet(self, name: str) -> Worksheet:
        sheet = self._book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(A4)
        sheet.fit_to_pages(1, 0)
        plant, title = _foot(self._report.plant), _foot(self._report.title)
        sheet.set_footer(f"&L{plant} · {title}&C{_foot(name)}&R&P / &N")
        return sheet


class _Rows:
    """The rows of a sheet, from the top down."""

    def __init__(self, sheet: Worksheet) -> None:
        self._sheet, self._next = sheet, 0

    def skip(self) -> None:
        self._next += 1

    def link(self, name: str, style: Style) -> None:
        """The next row begins with a way to another sheet of this workbook."""
        self._sheet.write_url(self._next, 0, f"internal:'{name}'!A1", string=name)

    def add(self, *cells: tuple[str, Cell, Style | None]) -> None:
        """A row: each cell with its form, and how it looks (None: it is there already)."""
        for number, (form, cell, style) in enumerate(cells):
            if style is not None:
                _put(self._sheet, self._next, number, form, cell, style)
        self._next += 1


def _put(sheet: Worksheet, row: int, at: int, form: str, cell: Cell, style: Style) -> None:
    """Write a cell as what it is; a text is a text, whatever it looks like."""
    match cell:
        case None:  # it looks as its column does; most cells of a long table are empty
            return
        case bool():
            sheet.write_boolean(row, at, cell, style)
        case datetime() if cell >= FIRST_DATE and form == Form.TIME:
            sheet.write_datetime(row, at, cell.astimezone(UTC).replace(tzinfo=None), style)
        case int() | float() if math.isfinite(cell) and abs(cell) < LARGEST_NUMBER:
            sheet.write_number(row, at, cell, style)
        case str():
            sheet.write_string(row, at, _cell_text(cell), style)
        case _:
            sheet.write_string(row, at, _cell_text(str(for_programs(cell))), style)


def _width(table: Table, number: int, column: Column) -> float:
    """As wide as what stands there at first, within reason."""
    if column.form is Form.TIME:
        return TIME_WIDTH
    cells = (row[number] for row in islice(table.rows, LOOKED_AT))
    longest = max((len(str(cell)) for cell in cells if cell is not None), default=0)
    heading = len(column.title) + len(UNITS.get(column.form, "")) + 3  # the sign of the filter
    return min(max(longest, heading, NARROWEST), WIDEST)
