"""A report as report.typ takes it: one JSON document of texts that are only shown, and of the measures of its pages.

{"title", "plant", "about", "author", "header": [text, text], "footer", "facts": [{"name", "value", "code"}],
 "findings": [{"weight", "symbol", "word", "text", "section": number | null}], "tally": text,
 "sections": [{"title", "clauses": [text], "blocks": [{"kind": "text" | "facts" | "table" | "chart", …}]}],
 "annexes": a table, "size": {…}}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from baselines.snapshot import utc_text
from monitor.drawing import FONT
from monitor.report.annexes import Annex, annexes
from monitor.report.cells import for_people
from monitor.report.document import (
    PAGE_ROWS,
    Block,
    Cell,
    Chart,
    Column,
    Facts,
    Form,
    Report,
    Section,
    Table,
    Text,
    not_shown,
)
from monitor.report.fitting import Pieces, lettered, pieces, shown, width_of, widths, within
from monitor.report.weights import WORDS, by_weight

Data = dict[str, Any]

SIZE = {
    "page": 481.0,
    "text": 10.0,
    "cell": 8.5,
    "code": 7.0,
    "label": 7.5,
    "gap": 11.0,
}  # points; gap: between columns
FONTS = "'Libertinus Serif', 'DejaVu Sans Mono', 'New Computer Modern Math'"  # of charts

CELL_MOST = 240  # letters of a cell that a page shows: its annex has them all
SMALL_ROWS, SMALL_LETTERS = 8, 800  # of what is kept on one page
SMALL = 8.0  # points of header and footer
WORD_MOST = 96.0  # points that a column has at least for a long word, if there is room

TO_THE_RIGHT = (Form.NUMBER, Form.SECONDS, Form.SHARE)
ON_ONE_LINE = (*TO_THE_RIGHT, Form.STATE, Form.TIME)

ANNEXES = (
    Column("name", "Annex", Form.CODE, 1.6),
    Column("title", "What it holds", width=1.6),
    Column("rows", "Rows", Form.NUMBER, 0.6),
    Column("size", "Bytes", Form.NUMBER, 0.7),
    Column("digest", "SHA-256", Form.CODE, 2.1),
)


def page_data(report: Report) -> Data:
    """What the template shows."""
    zone, known = ZoneInfo(report.timezone), {annex.name: annex for annex in annexes(report)}
    numbers = {section.key: number for number, section in enumerate(report.sections, 1)}
    sections = [_section(section, number, zone, known) for number, section in enumerate(report.sections, 1)]
    return {
        "title": _long(report.title, 33),
        "plant": _long(report.plant, 19),
        "about": lettered(f"{shown(report.title)}: {shown(report.plant)}"),
        "author": lettered(f"asbuilt {shown(report.version)}"),
        "header": [within(shown(text), SIZE["page"] / 2 - SIZE["gap"], SMALL) for text in (report.plant, report.title)],
        "footer": within(f"Audit chain at the end: {_footer(report)}", SIZE["page"] - 60, SMALL),
        "facts": _facts(report, zone),
        "findings": _findings(report, numbers),
        "tally": _tally(report),
        "sections": sections,
        "annexes": _annexes(known.values(), zone),
        "size": SIZE,
    }


def charts(report: Report) -> dict[str, str]:
    """The pictures by the names of their files, in letters that the fonts have."""
    return {
        _picture(number, place): lettered_svg(block.svg)
        for number, section in enumerate(report.sections, 1)
        for place, block in enumerate(section.blocks)
        if isinstance(block, Chart)
    }


def lettered_svg(svg: str) -> str:
    """A picture in the fonts of the pages. An escape has no letter that XML would read."""
    lines = (lettered(line) for line in svg.replace(quoteattr(FONT), quoteattr(FONTS)).split("\n"))
    return "\n".join(lines)


def _picture(section: int, block: int) -> str:
    return f"chart-{section}-{block}.svg"


def _long(text: str, size: float, part: float = 1.0) -> Pieces:
    """A text in lines as wide as the page, or as a part of it."""
    return pieces(shown(text), SIZE["page"] * part, size)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _time(at: datetime, zone: ZoneInfo) -> str:
    """With what it is ahead of UTC: an hour of autumn is there twice."""
    local = at.astimezone(zone)
    ahead = local.isoformat()[-6:]
    return f"{local:%Y-%m-%d %H:%M:%S} (UTC{ahead})"


def _facts(report: Report, zone: ZoneInfo) -> list[Data]:
    """What stands on the title page: name, value, and what is in a fixed pitch beneath it."""
    room = SIZE["page"] * 0.75
    until = _time(report.until, zone)
    when = ("As of", until) if report.since is None else ("Period", f"{_time(report.since, zone)} to {until}")
    rows = [
        ("Plant", report.plant),
        ("Scope", report.scope),
        when,
        ("Times", f"{report.timezone}, unless they say otherwise; it ends at {utc_text(report.until)}"),
        ("Made by", f"asbuilt {report.version}"),
        ("Audit chain", _chain(report)),
    ]
    head = pieces(shown(report.head), room, SIZE["cell"], code=True) if report.head else None
    return [
        {"name": name, "value": _long(text, SIZE["text"], 0.75), "code": head if name == "Audit chain" else None}
        for name, text in rows
    ]


def _footer(report: Report) -> str:
    return f"{report.entries:,} entries, {shown(report.head)}" if report.head else "no entry"


def _chain(report: Report) -> str:
    if not report.head:
        return "no entry at the end"
    return f"{report.entries:,} entr{'y' if report.entries == 1 else 'ies'} at the end; the last one has the hash"


def _findings(report: Report, numbers: dict[str, int]) -> list[Data]:
    return [
        {
            "weight": finding.weight,
            "symbol": WORDS[finding.weight][0],
            "word": WORDS[finding.weight][1],
            "text": _long(finding.text, SIZE["text"], 0.55),
            "section": numbers.get(finding.section),
        }
        for finding in by_weight(report.findings)
    ]


def _tally(report: Report) -> str:
    counted = Counter(finding.weight for finding in report.findings)
    if not counted:
        return "No section has found anything that is to be said here."
    said = "; ".join(f"{word}: {counted[weight]}" for weight, (_, word) in WORDS.items() if counted[weight])
    return f"{counted.total()} finding{'s'[: counted.total() != 1]}. {said[0].upper()}{said[1:]}."


def _section(section: Section, number: int, zone: ZoneInfo, known: dict[str, Annex]) -> Data:
    return {
        "title": _long(section.title, 17, 0.9),
        "clauses": [_long(clause, SIZE["label"]) for clause in section.clauses],
        "blocks": [
            _block(block, _picture(number, place), section, zone, known) for place, block in enumerate(section.blocks)
        ],
    }


def _block(block: Block, picture: str, section: Section, zone: ZoneInfo, known: dict[str, Annex]) -> Data:
    match block:
        case Text():
            return {"kind": "text", "paragraphs": [_long(text, SIZE["text"]) for text in block.paragraphs]}
        case Facts():
            return _facts_block(block, zone)
        case Chart():
            about = _long(block.about, SIZE["cell"])
            return {
                "kind": "chart",
                "file": picture,
                "alt": f"{shown(block.title)}. {shown(block.about)}",
                "about": about,
            }
        case Table():
            return _table(block, zone, known[f"{block.key}.csv"], titled=block.title != section.title)


def _facts_block(facts: Facts, zone: ZoneInfo) -> Data:
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


def _table(table: Table, zone: ZoneInfo, annex: Annex, titled: bool = True) -> Data:
    """The columns that have a width, and the rows that a page shows."""
    columns = [(place, column) for place, column in enumerate(table.columns) if column.width > 0]
    rows = [[_cell(row[place], column.form, zone) for place, column in columns] for row in list(table.rows[:PAGE_ROWS])]
    notes = [shown(table.note)] if table.note else []
    if rest := not_shown(len(table.rows), annex.name, annex.digest):
        notes.append(rest)
    if any(len(text) > CELL_MOST for row in rows for text in row):
        notes.append(f"Texts of more than {CELL_MOST} letters end in “…”; they are whole in the annex {annex.name}.")
    if hidden := [shown(column.title) for column in table.columns if column.width <= 0]:
        notes.append(f"In the annex {annex.name} only: {', '.join(hidden)}.")
    return {
        "title": _long(table.title, 13) if titled else None,
        "empty": _long(table.empty, SIZE["text"]),
        "notes": [_long(note, SIZE["label"]) for note in notes if rows],
        **_grid([column for _, column in columns], rows),
    }


def _cell(cell: Cell, form: Form, zone: ZoneInfo) -> str:
    return lettered(for_people(cell, form, zone))


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
    heading = max(width_of(word, SIZE["label"]) * 1.1 for word in shown(column.title).split(" "))
    size, code = _size(column.form), column.form is Form.CODE
    words = cells if column.form in ON_ONE_LINE else (word for text in cells for word in text.split(" "))
    longest = max((width_of(word, size, code) for word in words), default=0.0)
    return max(heading, min(longest + (SIZE["gap"] if column.form is Form.STATE else 0.0), WORD_MOST))


def _annexes(found: Iterable[Annex], zone: ZoneInfo) -> Data:
    lines: list[tuple[Cell, ...]] = [(each.name, each.title, each.rows, each.size, each.digest) for each in found]
    rows = [[_cell(cell, column.form, zone) for cell, column in zip(row, ANNEXES, strict=True)] for row in lines]
    return {"title": None, "empty": "This report has no tables.", "notes": [], **_grid(ANNEXES, rows)}
