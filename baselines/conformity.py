"""Conformity: machines of one type beside each other. What do they share, and which is the odd one out?

Every item of every machine is held against the type: against what a golden machine has or people wrote down, or else
against what more than half of the machines have. Where there is no such majority nobody is odd: it is not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from baselines.drift import PROFILE_KEYS, Verdict
from baselines.snapshot import Category, Item, Severity, Snapshot, canonical, plain, same

BY_NATURE = (  # what is each machine's own; the names, and the URIs and certificates that hold a host's name
    "identity.serial_number",
    "identity.user_application_name",
    "device.*.serial_number",
    "device.*.product_instance_uri",
    "device.*.revision_counter",  # counts what was ever changed, so it tells of the past and not of what is
    "endpoint.application_uri",
    "endpoint.certificate_thumbprint",
    "server.namespaces",  # the application URI is one of them (OPC UA Part 5, 6.3.1)
)
FEWEST_ALIKE = 2  # one machine alone is no majority


class By(StrEnum):
    """How it was found what the machines of a type share."""

    GOLDEN = "golden"
    MAJORITY = "majority"
    NONE = "none"


class CellState(StrEnum):
    """How one item of one machine is beside those of the others.

    missing: the type has such an item, this machine has none. undecided: neither a golden type nor a majority says
    what is right. unread: asked for and not answered, or its profile does not ask for it.
    """

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    UNDECIDED = "undecided"
    MAY_DIFFER = "may-differ"
    UNREAD = "unread"
    NEVER_SEEN = "never-seen"


ODD = (CellState.DIFFERS, CellState.MISSING)


class Standing(StrEnum):
    """How a machine stands beside the others, the worst first; unread and undecided: in at least one item."""

    ODD = "odd"
    NO_LONGER_OBSERVABLE = "no-longer-observable"
    NEVER_SEEN = "never-seen"
    STALE = "stale"
    UNREAD = "unread"
    UNDECIDED = "undecided"
    CONFORMS = "conforms"


class Source(StrEnum):
    """Where what is known of a machine comes from."""

    OBSERVED = "observed"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a machine: the snapshot, if there is one, and where it is from.

    `unseen` says why nobody can tell how the machine is by now; None if it was seen lately.
    """

    asset: str
    snapshot: Snapshot | None = None
    source: Source | None = None
    unseen: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """What all machines of a type share, and the patterns of the items that may differ (besides `BY_NATURE`).

    What they share is what a golden machine has, or values by item, as JSON shows them. What is in neither is left to
    the majority. What people wrote into `shared` may not differ, whatever the patterns say.
    """

    snapshot: Snapshot | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    may_differ: tuple[str, ...] = ()

    def leaves_open(self, key: str) -> bool:
        """Whether an item may differ from machine to machine."""
        patterns = (*BY_NATURE, *self.may_differ)
        return key not in self.shared and any(fnmatchcase(key, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Cell:
    """One item of one machine; `item` is None where it has none or nobody knows."""

    asset: str
    item: Item | None
    state: CellState


@dataclass(frozen=True, slots=True)
class Row:
    """One item of all machines: what they share, as JSON shows it, and how that was found.

    `shared` is None where the type has no such item. Category and severity are those of what they share, or else of the
    most severe that there is.
    """

    key: str
    by: By
    shared: Any
    category: Category | None
    severity: Severity | None
    cells: tuple[Cell, ...]

    @property
    def compared(self) -> bool:
        """Whether the item must be the same everywhere."""
        return all(cell.state is not CellState.MAY_DIFFER for cell in self.cells)

    @property
    def is_split(self) -> bool:
        """Whether several machines have it, and no majority says which are right."""
        return sum(cell.state is CellState.UNDECIDED for cell in self.cells) >= FEWEST_ALIKE

    @property
    def has_odd(self) -> bool:
        return any(cell.state in ODD for cell in self.cells)

    @property
    def has_unread(self) -> bool:
        return self.compared and any(cell.state is CellState.UNREAD for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Column:
    """One machine, and the compared items in which it is odd (the most severe first), unread or undecided."""

    machine: Machine
    odd: tuple[Row, ...]
    unread: tuple[Row, ...]
    undecided: tuple[Row, ...]

    @property
    def standing(self) -> Standing:
        """The worst that is to be said of the machine."""
        if self.odd:
            return Standing.ODD
        if self.machine.unseen:
            return Standing(self.machine.unseen)
        if self.unread:
            return Standing.UNREAD
        return Standing.UNDECIDED if self.undecided else Standing.CONFORMS

    @property
    def is_alike(self) -> bool:
        """Whether it was seen, at whatever time, and everything of it was as the type has it."""
        return self.machine.source is Source.OBSERVED and not (self.odd or self.unread or self.undecided)


@dataclass(frozen=True, slots=True)
class Conformity:
    """The matrix of one type: rows by key, columns in the order of the machines."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def odd_ones(self) -> list[Column]:
        """The odd ones out: most items first, then the most severe, then by name."""
        odd = [column for column in self.columns if column.standing is Standing.ODD]
        return sorted(odd, key=lambda column: (-len(column.odd), -_rank(column.odd[0]), column.machine.asset))

    @property
    def is_alone(self) -> bool:
        """Whether the only machine of its type has nothing to be held against."""
        return len(self.columns) == 1 and all(row.by is By.NONE for row in self.rows)


def conformity(machines: Sequence[Machine], golden: Golden | None = None) -> Conformity:
    """Machines of one type, each held against the type."""
    golden = golden or Golden()
    rows = tuple(_row(key, machines, golden) for key in sorted(_keys(machines, golden)))
    compared = [row for row in rows if row.compared]
    return Conformity(tuple(_column(place, machine, compared) for place, machine in enumerate(machines)), rows)


def _keys(machines: Iterable[Machine], golden: Golden) -> set[str]:
    """Every item that anybody has, should have, or was asked for in vain."""
    snapshots = [machine.snapshot for machine in machines if machine.snapshot]
    known = snapshots + ([golden.snapshot] if golden.snapshot else [])
    keys = {item.key for snapshot in known for item in snapshot.items} | golden.shared.keys()
    gaps = [gap for snapshot in snapshots for gap in snapshot.unread]
    return keys | {gap.key for gap in gaps if not any(gap.covers(key) for key in keys)}


def _row(key: str, machines: Iterable[Machine], golden: Golden) -> Row:
    gaps = {machine.asset: _gap(machine.snapshot, key) for machine in machines}
    known = {
        machine.asset: machine.snapshot.by_key.get(key)
        for machine in machines
        if machine.snapshot and gaps[machine.asset] is None
    }
    shared = _shared(key, list(known.values()), golden)
    described = shared.item or _most_severe(known.values())
    cells = (Cell(asset, known.get(asset), gap or shared.state(known[asset])) for asset, gap in gaps.items())
    return Row(
        key,
        shared.by,
        shared.shown,
        described.category if described else None,
        described.severity if described else None,
        tuple(cells),
    )


def _gap(snapshot: Snapshot | None, key: str) -> CellState | None:
    """Why it is not known whether a machine has an item; None if it is. A device neither adds nor removes what its
    profile asks for: where such an item is not there, nobody asked."""
    if snapshot is None:
        return CellState.NEVER_SEEN
    if key not in snapshot.by_key and (snapshot.misses(key) or key.startswith(PROFILE_KEYS)):
        return CellState.UNREAD
    return None


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the machines share in one item, and what becomes of a machine that has an item or None there."""

    by: By
    state: Callable[[Item | None], CellState]
    item: Item | None = None
    written: Any = None

    @property
    def shown(self) -> Any:
        return self.item.shown if self.item else self.written


def _shared(key: str, known: Sequence[Item | None], golden: Golden) -> _Shared:
    if golden.leaves_open(key):
        return _Shared(By.NONE, lambda _: CellState.MAY_DIFFER)
    if key in golden.shared:
        written = golden.shared[key]
        return _Shared(By.GOLDEN, lambda item: _judged(item, item is not None and says(written, item)), written=written)
    if golden.snapshot and _gap(golden.snapshot, key) is None:
        return _like(By.GOLDEN, golden.snapshot.by_key.get(key))
    if (found := _majority(known)) is not None:
        return _like(By.MAJORITY, found.item)
    return _Shared(By.NONE, lambda _: CellState.UNDECIDED)


def _like(by: By, pattern: Item | None) -> _Shared:
    return _Shared(by, lambda item: _judged(item, _fits(pattern, item)), pattern)


def _judged(item: Item | None, fits: bool) -> CellState:
    if fits:
        return CellState.SAME
    return CellState.MISSING if item is None else CellState.DIFFERS


def _fits(pattern: Item | None, item: Item | None) -> bool:
    """Whether an item is as the type has it, within the type's tolerance; None: there is no such item."""
    if pattern is None or item is None:
        return pattern is item
    return same(pattern.value, item.value, pattern.tolerance)


def says(written: Any, item: Item) -> bool:
    """Whether an item has the value that people wrote: its label, or its value as JSON shows it, within its tolerance.

    Whoever writes 12 means 12.0 too.
    """
    if item.label is not None and written == item.label:
        return True
    value = float(written) if type(item.value) is float and type(written) is int else _frozen(written)
    return canonical(value) == canonical(_frozen(plain(item.value))) or same(item.value, value, item.tolerance)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Found:
    """A majority's item; None: more than half have no such item."""

    item: Item | None


def _majority(known: Sequence[Item | None]) -> _Found | None:
    """What more than half of the machines have, and nobody else could claim.

    With a tolerance "the same" is no matter of two alone: of 0, 5, 10 and 15, each within 5 of its neighbours, three
    are like 5 and three like 10. Which of the outer ones is odd cannot be told then, and there is no majority.
    """
    kinds = {_text(item): item for item in known}
    counts = Counter(map(_text, known))
    camps = {text: frozenset(other for other in kinds if _fits(item, kinds[other])) for text, item in kinds.items()}
    sizes = {text: sum(counts[other] for other in camp) for text, camp in camps.items()}
    largest = max(sizes.values(), default=0)
    leaders = [text for text, size in sizes.items() if size == largest]
    if largest < FEWEST_ALIKE or 2 * largest <= len(known) or len({camps[text] for text in leaders}) > 1:
        return None
    return _Found(kinds[min(leaders, key=lambda text: (-counts[text], text))])


def _text(item: Item | None) -> str:
    return item.line() if item else ""


def _most_severe(known: Iterable[Item | None]) -> Item | None:
    found = [item for item in known if item]
    return min(found, key=lambda item: (-item.severity.rank, item.line()), default=None)


def _column(place: int, machine: Machine, compared: Iterable[Row]) -> Column:
    found: dict[CellState, list[Row]] = {state: [] for state in CellState}
    for row in compared:
        found[row.cells[place].state].append(row)
    odd = sorted((row for state in ODD for row in found[state]), key=lambda row: (-_rank(row), row.key))
    return Column(machine, tuple(odd), tuple(found[CellState.UNREAD]), tuple(found[CellState.UNDECIDED]))


def _rank(row: Row) -> int:
    return row.severity.rank if row.severity else -1
