"""A report as one JSON document, for programs. It comes in parts: a hundred thousand rows are never one text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from baselines.snapshot import plain, utc_text
from monitor.report.annexes import ROWS_AT_ONCE
from monitor.report.cells import for_programs
from monitor.report.document import Cell, Chart, Facts, Report, Section, Table, Text
from monitor.report.scope import Progress, silent


def json_parts(report: Report, progress: Progress = silent) -> Iterator[bytes]:
    """The document in UTF-8, a row of a table on a line of its own."""
    tables = list(report.tables)
    head = _json({**about(report), "sections": list(map(_section, report.sections))})
    yield head.removesuffix("}").encode() + b', "tables": {'
    for number, table in enumerate(tables):
        progress("writing the tables", number, len(tables))
        yield b",\n" if number else b"\n"
        yield from _table_parts(table)
    progress("writing the tables", len(tables), len(tables))
    yield b"}}\n"


def about(report: Report) -> dict[str, Any]:
    """All of a report but its sections."""
    return {
        "report": report.kind,
        "title": report.title,
        "plant": report.plant,
        "from": utc_text(report.since) if report.since else None,
        "until": utc_text(report.until),
        "timezone": report.timezone,
        "scope": report.scope,
        "version": report.version,
        "chain": {"entries": report.entries, "head": report.head},
        "findings": [
            {"weight": finding.weight, "text": finding.text, "section": finding.section} for finding in report.findings
        ],
    }


def _section(section: Section) -> dict[str, Any]:
    said = [block for block in section.blocks if isinstance(block, Text)]
    facts = [row for block in section.blocks if isinstance(block, Facts) for row in block.rows]
    charts = [block for block in section.blocks if isinstance(block, Chart)]
    return {
        "key": section.key,
        "title": section.title,
        "clauses": list(section.clauses),
        "text": [paragraph for block in said for paragraph in block.paragraphs],
        "facts": [{"fact": name, "value": _value(value), "note": note} for name, value, note in facts],
        "charts": [{"key": chart.key, "title": chart.title, "about": chart.about} for chart in charts],
        "tables": [table.key for table in section.tables],
    }


def _table_parts(table: Table) -> Iterator[bytes]:
    columns = [{"key": column.key, "title": column.title, "form": column.form} for column in table.columns]
    head = _json({"title": table.title, "note": table.note, "columns": columns}).removesuffix("}")
    yield f'{_json(table.key)}: {head}, "rows": ['.encode()
    keys, lines = [column.key for column in table.columns], []
    for number, row in enumerate(table.rows, 1):
        lines.append(_json(dict(zip(keys, map(_value, row), strict=True))))
        if number % ROWS_AT_ONCE == 0 or number == len(table.rows):
            start = "\n" if number <= ROWS_AT_ONCE else ",\n"
            yield (start + ",\n".join(lines)).encode()
            lines.clear()
    yield b"]}"


def _value(cell: Cell) -> str | int | float | bool | None:
    """A cell; what JSON has no number for is a text, as everywhere: "NaN", "Infinity"."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(plain(cell))
    return for_programs(cell)


def _json(value: Any) -> str:
    """In UTF-8; half a surrogate pair, which that does not hold, is an escape of JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode()
