"""Two stages beside each other, and machines of a type beside each other: what differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from baselines.baseline import Stage, State
from baselines.conformity import ODD, CellState, Conformity, Golden, Machine, Row, Source, conformity
from baselines.conformity import Cell as Held
from baselines.drift import between
from baselines.rules import Finding as Difference
from baselines.rules import assess
from baselines.snapshot import Item, Snapshot
from monitor.config import MachineType
from monitor.conformity import machine_types
from monitor.report.approvals import Told
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.dossier import ASSET, SHORT, Dossier, dossier, is_gone, newest, snapshot, snapshot_lines
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.show import value_text
from monitor.store import Transaction

COMPARED, CONFORMITY = "compared", "conformity"
PAIRS = ((Stage.FAT, Stage.SAT), (Stage.AS_FOUND, Stage.AS_LEFT))

DIFFERENCES = (
    ASSET,
    Column("stages", "Between", width=1),
    Column("item", "Item", Form.CODE, 2),
    Column("severity", "Severity", Form.STATE, 0.9),
    Column("change", "What", width=1),
    Column("before", "Earlier", Form.CODE, 1.4),
    Column("after", "Later", Form.CODE, 1.4),
    Column("category", "Category", width=0),
    Column("unit", "Unit", width=0),
    Column("tolerance", "Tolerance", Form.NUMBER, 0),
)
PAIRED = (
    ASSET,
    Column("stages", "Between", width=1),
    Column("differences", "Differences", Form.NUMBER, 0.8),
    Column("before_short", "Earlier digest", Form.CODE, 1.3),
    Column("after_short", "Later digest", Form.CODE, 1.3),
    Column("before", "Earlier digest, whole", Form.CODE, 0),
    Column("after", "Later digest, whole", Form.CODE, 0),
)
ODD_ONES = (
    Column("machine_type", "Type", width=1),
    ASSET,
    Column("item", "Item", Form.CODE, 2),
    Column("severity", "Severity", Form.STATE, 0.9),
    Column("has", "It has", Form.CODE, 1.4),
    Column("type_has", "The type has", Form.CODE, 1.4),
    Column("state", "It is", Form.STATE, 1),
    Column("by", "Known by", width=0),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The baselines of two stages of one asset, and what differs between them; None if nobody can tell any more."""

    one: Told
    other: Told
    differences: tuple[Difference, ...] | None

    @property
    def many(self) -> int:
        """How many differences there are; those that nobody can tell come before all others."""
        return sys.maxsize if self.differences is None else len(self.differences)

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.one.baseline.stage, self.other.baseline.stage


def compared(tx: Transaction, scope: Scope) -> Section:
    """What differs between two stages, for every asset that has both, as `baseline diff` says it."""
    wanted = [stages for stages in PAIRS if scope.stage is None or scope.stage in stages]
    pairs = _pairs(tx, dossier(tx, scope), wanted)
    rows = [(pair, each) for pair in pairs for each in pair.differences or ()]
    rows.sort(key=lambda row: -row[1].severity.rank)
    about = f"Compared: {' and '.join(f'{one} with {other}' for one, other in wanted)}, of each asset the newest of"
    about += " either, approved or proposed, as asbuilt baseline diff does it. Tolerances are those of the earlier one."
    none = "No asset has a baseline of both stages."
    paired = [_pair_row(pair) for pair in sorted(pairs, key=lambda pair: -pair.many)]
    blocks = (
        Text((about,)),
        Table(
            "stage-differences",
            "What differs",
            DIFFERENCES,
            [_difference_row(pair, each) for pair, each in rows],
            "Nothing differs." if pairs else none,
        ),
        Table("stage-pairs", "What was compared", PAIRED, paired, none),
    )
    return Section(COMPARED, "Stages compared", blocks, findings=tuple(_pair_findings(wanted, pairs)))


def _pairs(tx: Transaction, of: Dossier, wanted: Sequence[tuple[Stage, Stage]]) -> list[Pair]:
    found = [
        (one, other)
        for stages in wanted
        for name in of.scope.names
        if (one := newest(of.history.of[name], stages[0])) and (other := newest(of.history.of[name], stages[1]))
    ]
    contents = snapshot_lines(tx, [told for pair in found for told in pair])
    return [_pair(one, other) for one, other in zip(contents, contents, strict=True)]


def _pair(one: tuple[Told, list[str]], other: tuple[Told, list[str]]) -> Pair:
    if one[0].baseline.digest == other[0].baseline.digest:
        return Pair(one[0], other[0], ())
    if is_gone(*one) or is_gone(*other):
        return Pair(one[0], other[0], None)
    return Pair(one[0], other[0], assess(between(snapshot(*one), snapshot(*other))))


def _difference_row(pair: Pair, found: Difference) -> tuple[Cell, ...]:
    deviation = found.deviation
    return (
        *(pair.one.baseline.asset, " → ".join(pair.stages), deviation.key, found.severity.value),
        *(found.direction or deviation.kind.value, _shown(deviation.approved), _shown(deviation.observed)),
        *(deviation.item.category.value, deviation.item.unit or None, deviation.item.tolerance or None),
    )


def _shown(item: Item | None) -> str | None:
    return None if item is None else value_text(item.shown)


def _pair_row(pair: Pair) -> tuple[Cell, ...]:
    before, after = pair.one.baseline.digest, pair.other.baseline.digest
    about = (pair.one.baseline.asset, " → ".join(pair.stages), None if pair.differences is None else pair.many)
    return *about, before[:SHORT], after[:SHORT], before, after


def _pair_findings(wanted: Sequence[tuple[Stage, Stage]], pairs: Sequence[Pair]) -> Iterator[Finding]:
    for stages in wanted:
        here = [pair.differences for pair in pairs if pair.stages == stages]
        if not here:
            continue
        differ = sum(bool(found) for found in here)
        items = sum(len(found or ()) for found in here)
        what = f"Of {counted(len(here), 'asset')} with a baseline of {stages[0]} and one of {stages[1]}"
        if None in here:
            text = f"{what} {here.count(None):,} cannot be compared: see the captures."
            yield Finding(Weight.UNKNOWN, text, COMPARED)
        if differ:
            yield Finding(Weight.ATTENTION, f"{what} {differ:,} differ, in {counted(items, 'item')}.", COMPARED)
        elif None not in here:
            yield Finding(Weight.GOOD, f"{what} none differs.", COMPARED)


def conform(tx: Transaction, scope: Scope) -> Section:
    """Machines of one type beside each other, by their baselines: which is the odd one out, and in what."""
    of = dossier(tx, scope)
    wanted = {name: types for name, types in machine_types(scope.plant).items() if len(types) > 1}
    kept = _one_each(of)
    found: dict[str, Conformity] = {}
    for machine_type, names in wanted.items():
        listed = [kept[name] for name in names if name in kept]
        held = [(told, lines) for told, lines in snapshot_lines(tx, listed) if not is_gone(told, lines)]
        snapshots = {told.baseline.asset: snapshot(told, lines) for told, lines in held}
        if snapshots:
            found[machine_type] = _compared(scope, machine_type, [n for n in names if n in scope.names], snapshots)
    rows = [row for machine_type, matrix in found.items() for row in _odd_rows(machine_type, matrix)]
    about = (
        "Machines of one type are held against each other, by what was captured: a machine that was different from the"
        " start is the odd one out, even if it never changed. The type is what a golden machine has, or else what more"
        " than half of the machines have."
    )
    none = "No machine is the odd one out." if found else "No two machines of this scope have one machine_type."
    return Section(
        CONFORMITY,
        "Conformity",
        (Text((about,)), Table("odd-ones", "Odd ones out", ODD_ONES, rows, none)),
        findings=tuple(_odd_findings(found)),
    )


def _one_each(of: Dossier) -> Mapping[str, Told]:
    """Of each asset the baseline that is in force, or else the newest one of the dossier."""
    kept: dict[str, Told] = {}
    for told in sorted(of.of, key=lambda told: (told.baseline.state is State.APPROVED, told.baseline.id)):
        kept[told.baseline.asset] = told
    return kept


def _compared(scope: Scope, machine_type: str, names: Sequence[str], snapshots: Mapping[str, Snapshot]) -> Conformity:
    said = scope.plant.machine_types.get(machine_type, MachineType())
    golden = Golden(snapshots.get(said.golden), {} if said.golden else said.shared, said.may_differ)
    machines = [Machine(name, snapshots.get(name), Source.APPROVED if name in snapshots else None) for name in names]
    return conformity(machines, golden)


def _odd_rows(machine_type: str, matrix: Conformity) -> Iterator[tuple[Cell, ...]]:
    """The odd ones out, by item; and then what no majority says is right, of every machine that has it."""
    for odd in (True, False):
        for row in matrix.rows:
            for cell in row.cells if row.compared and (odd or row.is_split) else ():
                if (cell.state in ODD) if odd else cell.state is CellState.UNDECIDED:
                    yield _cell_row(machine_type, row, cell)


def _cell_row(machine_type: str, row: Row, found: Held) -> tuple[Cell, ...]:
    severity = row.severity.value if row.severity else None
    shared = None if row.shared is None else value_text(row.shared)
    about = (machine_type, found.asset, row.key, severity, _shown(found.item), shared)
    return *about, found.state.value, row.by.value


def _odd_findings(found: Mapping[str, Conformity]) -> Iterator[Finding]:
    for machine_type, matrix in found.items():
        known = sum(column.machine.snapshot is not None for column in matrix.columns)
        odd = len(matrix.odd_ones)
        split = sum(row.is_split for row in matrix.rows)
        what = f"Of {counted(known, 'machine')} of type {machine_type} that were captured"
        if odd:
            yield Finding(Weight.ATTENTION, f"{what} {odd:,} {'is' if odd == 1 else 'are'} odd.", CONFORMITY)
        elif split:
            text = f"{what} none is odd, but in {counted(split, 'item')} no majority says what is right."
            yield Finding(Weight.UNKNOWN, text, CONFORMITY)
        elif known > 1:
            yield Finding(Weight.GOOD, f"{what} none is odd.", CONFORMITY)
