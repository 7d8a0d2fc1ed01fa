"""Tables and facts as report.typ takes them: columns that fit a page, and what stands beneath a table. Pure.

{"kind": "table", "title": text | null, "widths": [points], "right": [bool], "forms", "titles": [text],
 "rows": [[text]], "whole": bool, "empty": text, "notes": [text]}
{"kind": "facts", "widths": [points], "rows": [[text]], "whole": bool}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from monitor.report.annexes import Annex
from monitor.report.cells import for_people
from monitor.report.document import PAGE_ROWS, Cell, Column, Facts, Form, Table, not_shown
from monitor.report.fitting import Pieces, lettered, pieces, shown, width_of, widths

Data = dict[str, Any]

# Points: how wide a page is, the sizes of its letters, and what is free between two columns.
SIZE = {"page": 481.0, "text": 10.0, "cell": 8.5, "code": 7.0, "label": 7.5, "gap": 11.0}

CELL_MOST = 240  # letters of a cell that a page shows: its annex has them all
SMALL_ROWS, SMALL_LETTERS = 8, 800  # of what is kept on one page
WORD_MOST = 96.0  # points that a column has at least for a long word, if there is room
BOLD = 1.1  # how much wider letters of a heading are

TO_THE_RIGHT = (Form.NUMBER, Form.SECONDS, Form.SHARE)
ON_ONE_LINE = (*TO_THE_RIGHT, Form.STATE, Form.TIME)

ANNEXES = (
    Column("name", "Annex", Form.CODE, 1.6),
    Column("title", "What it holds", width=1.6),
    Column("rows", "Rows", Form.NUMBER, 0.6),
    Column("size", "Bytes", Form.NUMBER, 0.7),
    Column("digest", "SHA-256", Form.CODE, 2.1),
)


def facts_data(facts: Facts, zone: ZoneInfo) -> Data:
    """Names, values, and what is to be said of them, where there is anything."""
    noted = any(note for *_, note in facts.rows)
    parts = (0.3, 0.25, 0.45) if noted else (0.3, 0.7)
    total = SIZE["page"] - SIZE["gap"] * (len(parts) - 1)
    rooms = [total * part for part in parts]
    rows = [
        [
            pieces(shown(name), rooms[0], SIZE["text"]),
            pieces(lettered(for_people(value, Form.TEXT, zone)), rooms[1], SIZE["text"]),
            *([pieces(shown(note) if note else "", rooms[2], SIZE["text"])] if noted else []),
        ]
        for name, value, note in facts.rows
    ]
    return {"kind": "facts", "widths": rooms, "rows": rows, "whole": _is_small(rows)}


def _is_small(rows: Sequence[Sequence[Pieces]]) -> bool:
    """Whether a page need not divide it."""
    return len(rows) <= SMALL_ROWS and sum(len("".join(cell)) for row in rows for cell in row) <= SMALL_LETTERS


def table_data(table: Table, annex: Annex, zone: ZoneInfo, titled: bool) -> Data:
    """The columns that have a width, and the rows that a page shows."""
    columns = [(place, column) for place, column in enumerate(table.columns) if column.width > 0]
    rows = [[_cell(row[place], column.form, zone) for place, column in columns] for row in table.rows[:PAGE_ROWS]]
    return {
        "title": pieces(shown(table.title), SIZE["page"], 13) if titled else None,
        "empty": pieces(shown(_instead(table)), SIZE["page"], SIZE["text"]),
        "notes": [pieces(note, SIZE["page"], SIZE["label"]) for note in _notes(table, rows, annex)],
        **_grid([column for _, column in columns], rows),
    }


def _instead(table: Table) -> str:
    """What stands where no row can: that there are none, or that they are not for a page."""
    return f"{len(table.rows):,} rows that only the annex shows." if table.rows else table.empty


def _notes(table: Table, rows: Sequence[Sequence[str]], annex: Annex) -> list[str]:
    """What a page does not show is said, and where it is."""
    if not table.rows:
        return []
    notes = [shown(table.note) if table.note else "", not_shown(len(table.rows), annex.name, annex.digest)]
    if any(len(text) > CELL_MOST for row in rows for text in row):
        notes.append(f"Texts of more than {CELL_MOST} letters end in “…”; they are whole in the annex {annex.name}.")
    if hidden := [shown(column.title) for column in table.columns if column.width <= 0]:
        notes.append(f"In the annex {annex.name} only: {', '.join(hidden)}.")
    return [note for note in notes if note]


def _cell(cell: Cell, form: Form, zone: ZoneInfo) -> str:
    return lettered(for_people(cell, form, zone))


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _grid(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Data:
    """Cells that fit the columns: each gets its share of the page, or what it needs, if others have it to spare."""
    total = SIZE["page"] - SIZE["gap"] * (len(columns) - 1)
    texts = [[_shortened(row[place], CELL_MOST) for row in rows] for place in range(len(columns))]
    needs = [_need(column, cells) for column, cells in zip(columns, texts, strict=True)]
    rooms = widths([column.width for column in columns], needs, total)
    fitted = [
        [pieces(text, room, _size(column.form), column.form is Form.CODE) for text in cells]
        for column, cells, room in zip(columns, texts, rooms, strict=True)
    ]
    lines = list(zip(*fitted, strict=True))
    return {
        "kind": "table",
        "widths": rooms,
        "right": [column.form in TO_THE_RIGHT for column in columns],
        "forms": [column.form for column in columns],
        "titles": [
            pieces(shown(column.title), room, SIZE["label"]) for column, room in zip(columns, rooms, strict=True)
        ],
        "rows": lines,
        "whole": _is_small(lines),
    }


def _size(form: Form) -> float:
    return SIZE["code"] if form is Form.CODE else SIZE["cell"]


def _need(column: Column, cells: Iterable[str]) -> float:
    """How wide a column has to be so that no number is broken, and few words are."""
    heading = max(width_of(word, SIZE["label"]) * BOLD for word in shown(column.title).split(" "))
    size, code = _size(column.form), column.form is Form.CODE
    words = cells if column.form in ON_ONE_LINE else (word for text in cells for word in text.split(" "))
    longest = max((width_of(word, size, code) for word in words), default=0.0)
    return max(heading, min(longest + (SIZE["gap"] if column.form is Form.STATE else 0.0), WORD_MOST))


def annexes_data(found: Iterable[Annex], zone: ZoneInfo) -> Data:
    """The table of the annexes."""
    lines: list[tuple[Cell, ...]] = [(each.name, each.title, each.rows, each.size, each.digest) for each in found]
    rows = [[_cell(cell, column.form, zone) for cell, column in zip(row, ANNEXES, strict=True)] for row in lines]
    return {"title": None, "empty": "This report has no tables.", "notes": [], **_grid(ANNEXES, rows)}
