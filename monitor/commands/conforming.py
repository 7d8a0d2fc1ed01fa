"""conform: machines of one type beside each other, and the odd one out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import DONE, DRIFT, PLANT_FILE, UNSEEN, Json, PlantFile, opened
from monitor.errors import CallError
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from baselines.conformity import Cell, Column, Row
    from monitor.config import Plant
    from monitor.conformity import Compared

WIDEST = 120  # columns of a matrix; what would make it wider is listed instead
GUTTER = 2  # between two columns
MOST_LINES = 12  # of what was not seen, unless everything is wanted
MARKS = AS_TYPE, NO_ITEM, NOT_READ, NOT_SEEN, NO_MAJORITY, MAY_DIFFER = (
    "·", "none", "unread", "?", "no majority", "may differ"
)  # fmt: skip

Table = tuple[list[str], list[list[str]]]  # columns and lines


def register(app: typer.Typer) -> None:
    app.command()(conform)


def conform(
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="Machine types, or patterns; all if left out.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every item, not only those that differ.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Compare the machines of a type with each other and with their golden type: who is the odd one out?

    Goes by what the store holds, and polls nobody: for the newest, run asbuilt check first. Exit code 0: all conform;
    1: somebody is odd; 3: nobody is odd, but something was not seen, or no majority says what is right.
    """
    from monitor.conformity import compare, document, is_settled, machine_types
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database), database.read() as tx:
        of_type = machine_types(plant)
        wanted = _wanted(plant, of_type, types or ())
        found = [compare(tx, plant, name, of_type[name], utc_now()) for name in wanted]
    if json:
        print_json({"types": [document(each) for each in found]})
    else:
        for each in found:
            _print(each, everything)
    if any(each.matrix.odd_ones for each in found):
        raise typer.Exit(DRIFT)
    raise typer.Exit(DONE if all(is_settled(each, named=bool(types)) for each in found) else UNSEEN)


def _wanted(plant: Plant, known: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The machine types that the call names; all, if it names none."""
    if not known:
        raise CallError(f'{plant.path} gives no asset a type; write machine_type = "…" where machines are alike')
    for pattern in patterns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in known):
            raise CallError(f"{plant.path} has no machine_type {pattern}; it has {', '.join(known)}")
    return [name for name in known if not patterns or any(name == each or fnmatchcase(name, each) for each in patterns)]


def _print(compared: Compared, everything: bool) -> None:
    from monitor.conformity import basis_text, rows_to_show, verdict_text

    found = compared.matrix
    typer.echo(verdict_text(compared))
    rows = rows_to_show(found, everything)
    if rows:
        typer.echo(f"  {basis_text(compared)}; {AS_TYPE} is as the type")
    narrow = _narrow(found.columns, rows)
    if narrow:
        print_table(*_matrix(found.columns, narrow))
    if len(narrow) < len(rows):
        print_table(*_list([row for row in rows if row not in narrow]))
    for line in _unseen_lines(found.columns, everything):
        typer.echo(f"  {line}")


def _matrix(machines: Sequence[Column], rows: Iterable[Row]) -> Table:
    """An item a line, a machine a column."""
    from monitor.conformity import short_names

    names = short_names([column.machine.asset for column in machines])
    lines = [[*_row_texts(row), *map(_cell_text, row.cells)] for row in rows]
    return ["item", "severity", "type", *names], lines


def _narrow(machines: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """The rows that a matrix of at most `WIDEST` columns has room for: the longest texts are left out first."""
    columns, lines = _matrix(machines, rows)
    widths = [list(map(len, line)) for line in lines]
    left = sorted(range(len(rows)), key=lambda place: max(widths[place]))
    while left:
        kept = [list(map(len, columns)), *(widths[place] for place in left)]
        if sum(max(column) + GUTTER for column in zip(*kept, strict=True)) <= WIDEST:
            break
        left.pop()
    return [rows[place] for place in sorted(left)]


def _list(rows: Iterable[Row]) -> Table:
    """An item and a value that is not the type's a line, with the machines that have it."""
    lines = []
    for row in rows:
        holders: dict[str, list[str]] = {}
        for cell in row.cells:
            if (text := _cell_text(cell)) != AS_TYPE:
                holders.setdefault(text, []).append(cell.asset)
        values = holders or {AS_TYPE: ["all"]}
        lines += [[*_row_texts(row), text, ", ".join(assets)] for text, assets in values.items()]
    return ["item", "severity", "type", "here", "machines"], lines


def _row_texts(row: Row) -> list[str]:
    """Key, severity, and what they share."""
    from baselines.conformity import By
    from monitor.show import value_text

    if row.by is By.NONE:
        shared = NO_MAJORITY if row.compared else MAY_DIFFER
    else:
        shared = NO_ITEM if row.shared is None else _value_text(row.shared)
    return [value_text(row.key), row.severity or "–", shared]


def _cell_text(cell: Cell) -> str:
    from baselines.conformity import CellState

    marks = {CellState.SAME: AS_TYPE, CellState.UNREAD: NOT_READ, CellState.NEVER_SEEN: NOT_SEEN}
    return marks.get(cell.state) or (_value_text(cell.item.shown) if cell.item else NO_ITEM)


def _value_text(value: Any) -> str:
    """A value that cannot be taken for one of our own marks."""
    from monitor.show import value_text

    text = value_text(value)
    return repr(text) if text in MARKS else text


def _unseen_lines(machines: Iterable[Column], everything: bool) -> list[str]:
    """The machines that nobody has looked at lately, and when they were last seen."""
    from monitor.conformity import unseen_text

    lines = [unseen_text(column.machine) for column in machines if column.machine.unseen]
    if everything or len(lines) <= MOST_LINES:
        return lines
    return [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more; --all shows them"]
