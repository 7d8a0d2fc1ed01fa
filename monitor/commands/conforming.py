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

    from baselines.conformity import Cell, Column, Conformity, Machine, Row
    from monitor.config import Plant
    from monitor.conformity import Compared

WIDEST = 120  # columns of a matrix; what would make it wider is listed instead
GUTTER = 2  # between two columns
MOST_NAMED = 5  # in the sentence
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
    found = compared.matrix
    typer.echo(_verdict_text(compared))
    rows = [row for row in found.rows if everything or row.has_odd or row.is_split or row.has_unread]
    rows.sort(key=lambda row: -row.severity.rank if row.severity else 1)  # the worst first, else by key
    if rows:
        typer.echo(f"  {_basis_text(compared)}; {AS_TYPE} is as the type")
    narrow = _narrow(found.columns, rows)
    if narrow:
        print_table(*_matrix(found.columns, narrow))
    if len(narrow) < len(rows):
        print_table(*_list([row for row in rows if row not in narrow]))
    for line in _unseen_lines(found.columns, everything):
        typer.echo(f"  {line}")


def _verdict_text(compared: Compared) -> str:
    """The verdict as a sentence: "filler: 4 machines, 3 alike; line3/filler is the odd one out in 2 items"."""
    from baselines.drift import Verdict
    from monitor.show import value_text

    found = compared.matrix
    machines = f"{value_text(compared.machine_type)}: {_count(len(found.columns), 'machine')}"
    told = [", ".join([machines, *_alike_texts(found)])]
    if found.odd_ones:
        told.append(_odd_text(found.odd_ones))
    if split := sum(row.is_split for row in found.rows):
        told.append(f"no majority in {_count(split, 'item')}")
    if unread := sum(row.has_unread for row in found.rows):
        told.append(f"{_count(unread, 'item')} not read everywhere")
    gaps = [column.machine.unseen for column in found.columns if column.machine.unseen]
    if never := gaps.count(Verdict.NEVER_SEEN):
        told.append(f"{never} never seen")
    if len(gaps) > never:
        told.append(f"{len(gaps) - never} not seen lately")
    return "; ".join(told)


def _alike_texts(found: Conformity) -> list[str]:
    alike = [column for column in found.columns if column.is_alike]
    if found.is_alone or not alike:
        return ["and nothing to compare it with"] if found.is_alone else []
    number = "all" if len(alike) == len(found.columns) else len(alike)
    return [f"{number} alike" + " when last seen" * any(column.machine.unseen for column in alike)]


def _odd_text(odd: Sequence[Column]) -> str:
    if len(odd) == 1:
        return f"{odd[0].machine.asset} is the odd one out in {_count(len(odd[0].odd), 'item')}"
    named = [f"{column.machine.asset} in {_count(len(column.odd), 'item')}" for column in odd[:MOST_NAMED]]
    more = [f"and {len(odd) - MOST_NAMED} more"] if len(odd) > MOST_NAMED else []
    return f"{len(odd)} odd ones out: {', '.join(named + more)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _basis_text(compared: Compared) -> str:
    """Where it comes from what the machines share."""
    from monitor.conformity import SHARED

    if compared.golden is None:
        return "the type is what more than half of them have"
    if compared.golden == SHARED:
        return "the type is what plant.toml says that they share, else what more than half of them have"
    if compared.golden_source is None:
        return f"the golden {compared.golden} was never seen: the type is what more than half of them have"
    return f"the type is {compared.golden}, as {compared.golden_source}"


def _matrix(machines: Sequence[Column], rows: Iterable[Row]) -> Table:
    """An item a line, a machine a column."""
    names = _short([column.machine.asset for column in machines])
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


def _short(names: Sequence[str]) -> list[str]:
    """Names without what all of them begin or end with: line1/filler and line2/filler are line1 and line2."""
    parts = [name.split("/") for name in names]
    while min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    while min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    return ["/".join(part) for part in parts]


def _unseen_lines(machines: Iterable[Column], everything: bool) -> list[str]:
    """The machines that nobody has looked at lately, and when they were last seen."""
    lines = [_unseen_text(column.machine) for column in machines if column.machine.unseen]
    if everything or len(lines) <= MOST_LINES:
        return lines
    return [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more; --all shows them"]


def _unseen_text(machine: Machine) -> str:
    from baselines.conformity import Source
    from baselines.snapshot import utc_text

    told = f"{machine.asset}: {machine.unseen}"
    if machine.source is Source.APPROVED:
        return f"{told}; what is approved stands for it"
    return f"{told}, last seen {utc_text(machine.snapshot.taken_at)}" if machine.snapshot else told
