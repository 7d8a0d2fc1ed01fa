"""Change orders: what people said would change, held against what did.

An order is declared in advance: asset × item × value, and a window. What it expects is suppressed while the window
lasts, never silent; on closing, each expectation has an outcome, and what nobody declared is in excess.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from baselines.drift import Deviation, compare
from baselines.rules import Finding
from baselines.snapshot import Category, Item, Snapshot, plain, same
from baselines.wire import Written

DEEPEST = 8  # lists in each other, of which a value is made
ANY = "*"  # expects a change to whatever value
BOOLS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


class OrderState(StrEnum):
    """An order is open until somebody closes it, also when its window is over."""

    OPEN = "open"
    CLOSED = "closed"


class Outcome(StrEnum):
    """What became of an expectation. PARTIAL: the item moved, but not to the value."""

    AS_PLANNED = "as-planned"
    PARTIAL = "partial"
    MISSING = "missing"
    OUTSIDE_WINDOW = "outside-window"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One item that will change, and to what, as JSON shows it; `observed` and `outcome` when the order is closed."""

    asset: str
    item: str
    expected: Any
    observed: Any = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Excess:
    """What changed on an order's assets, and nobody had declared."""

    asset: str
    item: str
    approved: Any
    observed: Any


@dataclass(frozen=True, slots=True)
class Order:
    """A declared change; its window is from `starts_at` to `ends_at`, both included."""

    id: int
    ticket: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    expectations: tuple[Expectation, ...]
    opened_by: str
    opened_at: datetime
    state: OrderState = OrderState.OPEN
    closed_by: str | None = None
    closed_at: datetime | None = None
    excess: tuple[Excess, ...] = ()

    @property
    def assets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.asset for each in self.expectations))

    @property
    def as_planned(self) -> bool:
        """Whether exactly what was declared was done, and nothing else."""
        return not self.excess and all(each.outcome is Outcome.AS_PLANNED for each in self.expectations)

    def items(self, asset: str) -> frozenset[str]:
        """What is declared of an asset."""
        return frozenset(each.item for each in self.expectations if each.asset == asset)

    @property
    def ended_at(self) -> datetime:
        """When it no longer announced anything: at the end of its window, or when it was closed before."""
        return min(self.ends_at, self.closed_at or self.ends_at)

    def at(self, moment: datetime) -> Order:
        """The order as it stood at a moment."""
        if self.closed_at is None or self.closed_at < moment:
            return self
        expected = tuple(replace(each, observed=None, outcome=None) for each in self.expectations)
        return replace(self, state=OrderState.OPEN, closed_by=None, closed_at=None, expectations=expected, excess=())

    def in_window(self, at: datetime) -> bool:
        return self.starts_at <= at <= self.ends_at

    def overlaps(self, other: Order) -> bool:
        return self.starts_at <= other.ended_at and other.starts_at <= self.ended_at

    def announces(self, asset: str, item: Item, tolerance: float) -> bool:
        """Whether it expects this value of this item."""
        return any(
            each.asset == asset and each.item == item.key and fulfils(item, each.expected, tolerance)
            for each in self.expectations
        )


def parse_expected(text: str, known: Item | None) -> Any:
    """The value that a person wrote for an item, as JSON shows it, by the type that the item has; ValueError if it
    cannot be one."""
    if text == ANY or known is None:
        return text
    if known.label is not None and not text.lstrip("+-").isdigit():
        return text
    match known.value:
        case bool():
            if text.lower() not in BOOLS:
                raise ValueError(f"{known.key} is true or false, not {text!r}")
            return BOOLS[text.lower()]
        case int() | float():
            try:
                return plain(type(known.value)(text))
            except (ValueError, OverflowError):
                raise ValueError(f"{known.key} is a number such as {known.value}, not {text!r}") from None
        case bytes():
            try:
                return bytes.fromhex(text.removeprefix("0x")).hex()
            except ValueError:
                raise ValueError(f"{known.key} is bytes, in hexadecimal: {known.value.hex()}; not {text!r}") from None
        case tuple():
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, list) or _depth(found) > DEEPEST:
                raise ValueError(f"{known.key} is a list, such as {json.dumps(known.shown)}; not {text!r}")
            return found
    return text


def _depth(value: list[Any]) -> int:
    """How deep lists stand in each other, as far as that matters."""
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        depth, level = depth + 1, [part for each in level for part in each if isinstance(part, list)]
    return depth


def meets(expected: Any, item: Item, tolerance: float = 0.0) -> bool:
    """Whether an item has the value that was expected of it: its number or its label, within the approved tolerance."""
    if expected == ANY or (expected == item.shown and type(expected) is type(item.shown)):
        return True
    if type(item.value) in (int, float) and type(expected) in (int, float):
        try:
            number = float(expected) if isinstance(item.value, float) else int(expected)
        except (ValueError, OverflowError):  # NaN and infinity are no integers, and some integers no float
            return False
        return number == expected and same(item.value, number, tolerance)
    return json.dumps(plain(item.value)) == json.dumps(expected)


def fulfils(item: Item, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether an item has the value that an order expects. What was no item yet when the order was opened is expected
    as text, and read by the type that it came with."""
    if isinstance(expected, str) and item.label is None and not isinstance(item.value, str):
        with suppress(ValueError):
            expected = parse_expected(expected, item)
    return meets(expected, item, tolerance)


def announcing(orders: Iterable[Order], asset: str, finding: Finding) -> str | None:
    """The number of the order that expects a deviation; None where none does."""
    deviation = finding.deviation
    if deviation.observed is None:
        return None
    for order in orders:
        if order.announces(asset, deviation.observed, deviation.item.tolerance):
            return str(order.id)
    return None


def announced(orders: Collection[Order], asset: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, each with the order that expects it."""
    return tuple(replace(finding, suppressed_by=announcing(orders, asset, finding)) for finding in findings)


def covers(order: Order, asset: str, category: Category, items: Collection[str], baseline: Snapshot | None) -> bool:
    """Whether something that was done over the network is what an order is about: writes of `items` that it declares,
    or else an operation on what of the device it declares (a download, where the program is expected to change)."""
    declared = order.items(asset)
    if items:
        return declared.issuperset(items)
    known = baseline.by_key if baseline else {}
    return any(key in known and known[key].category is category for key in declared)


@dataclass(frozen=True, slots=True)
class Seen:
    """A stretch of time in which every poll said the same."""

    since: datetime
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one asset of an order.

    `before` was approved when the order was opened, `approved` is approved now; `seen` is what polls said, the oldest
    first, from the stretch on that the window began in; `others` are the orders that were open at the same time.
    """

    before: Snapshot
    approved: Snapshot
    seen: Sequence[Seen]
    written: Sequence[Written] = ()
    others: tuple[Order, ...] = ()

    @property
    def last(self) -> Snapshot:
        """What was seen last; there must be something."""
        return self.seen[-1].snapshot

    def as_seen(self, keys: Collection[str]) -> Snapshot:
        """What was seen last, and of `keys` that could not be read then what was seen of them before."""
        last, items = self.last, dict(self.last.by_key)
        for each in self.seen:
            items |= {key: item for key in keys if last.misses(key) and (item := each.snapshot.by_key.get(key))}
        unread = [gap for gap in last.unread if gap.key not in items]
        return Snapshot.of(last.asset, last.taken_at, items.values(), unread, last.profile, last.dropped)

    def declares(self, asset: str, item: Item, at: datetime) -> bool:
        """Whether another order expected this value of this item then."""
        known = self.before.by_key.get(item.key)
        return any(
            order.starts_at <= at <= order.ended_at and order.announces(asset, item, known.tolerance if known else 0.0)
            for order in self.others
        )

    def declares_write(self, asset: str, write: Written) -> bool:
        """The same of a value that the wire saw being written."""
        expected = [
            each.expected
            for order in self.others
            if order.starts_at <= write.at <= order.ended_at
            for each in order.expectations
            if each.asset == asset and each.item == write.item
        ]
        return ANY in expected or write.value in expected


def settled(order: Order, histories: Mapping[str, History], by: str, now: datetime) -> Order:
    """The order, closed: each expectation with its outcome, and what nobody had declared."""
    return replace(
        order,
        state=OrderState.CLOSED,
        closed_by=by,
        closed_at=now,
        expectations=tuple(_outcome(order, each, histories[each.asset]) for each in order.expectations),
        excess=tuple(each for asset in order.assets for each in _excess(order, asset, histories[asset])),
    )


def _outcome(order: Order, expected: Expectation, history: History) -> Expectation:
    known = history.before.by_key.get(expected.item)
    tolerance = known.tolerance if known else 0.0
    found = [(each.since, item) for each in history.seen if (item := each.snapshot.by_key.get(expected.item))]
    if not found:
        return replace(expected, outcome=Outcome.MISSING)
    if not (history.last.misses(expected.item) or expected.item in history.last.by_key):  # it went away
        return replace(expected, outcome=Outcome.PARTIAL if known else Outcome.MISSING)
    last = found[-1][1]
    unmoved = known is not None and same(known.value, last.value, tolerance)
    if not fulfils(last, expected.expected, tolerance) or (expected.expected == ANY and unmoved):
        return replace(expected, observed=last.shown, outcome=Outcome.MISSING if unmoved else Outcome.PARTIAL)
    since = found[-1][0]
    for at, item in reversed(found):
        if not _arrived(expected.expected, item, known, tolerance):
            break
        since = at
    in_window = order.in_window(since) or _written_in_window(order, expected, history.written)
    return replace(expected, observed=last.shown, outcome=Outcome.AS_PLANNED if in_window else Outcome.OUTSIDE_WINDOW)


def _arrived(expected: Any, item: Item, known: Item | None, tolerance: float) -> bool:
    if expected == ANY:
        return known is None or not same(known.value, item.value, tolerance)
    return fulfils(item, expected, tolerance)


def _written_in_window(order: Order, expected: Expectation, written: Iterable[Written]) -> bool:
    """Whether the wire saw the value being written in time, where the next poll came too late to see it so."""
    return any(
        each.item == expected.item
        and order.in_window(each.at)
        and (expected.expected == ANY or each.value in (expected.expected, None))
        for each in written
    )


def _excess(order: Order, asset: str, history: History) -> list[Excess]:
    """What came to deviate since the window began, also where it went back meanwhile; and what the wire saw written."""
    declared = order.items(asset)
    found: dict[str, Excess] = {}
    standing: dict[str, Deviation] = {}  # what deviated already; what cannot be read deviates still, for all we know
    for each in history.seen:
        deviating = {deviation.key: deviation for deviation in compare(history.before, each.snapshot)}
        for key, deviation in deviating.items():
            if key in declared or each.since < order.starts_at or _goes_on(standing.get(key), deviation):
                continue
            item = deviation.observed
            if not (item and history.declares(asset, item, each.since)):
                approved = deviation.approved and deviation.approved.shown
                found[key] = Excess(asset, key, approved, item and item.shown)
        standing = {key: known for key, known in standing.items() if each.snapshot.misses(key)} | deviating
    for write in history.written:
        known = history.before.by_key.get(write.item)
        if known is None or write.value is None or write.at < order.starts_at or write.item in declared:
            continue
        if not meets(write.value, known, known.tolerance) and not history.declares_write(asset, write):
            found.setdefault(write.item, Excess(asset, write.item, known.shown, write.value))
    return sorted(found.values(), key=lambda each: each.item)


def _goes_on(before: Deviation | None, now: Deviation) -> bool:
    """Whether a deviation is the one that was there before."""
    if before is None or before.kind is not now.kind:
        return False
    if before.observed is None or now.observed is None:
        return True
    return same(before.observed.value, now.observed.value, now.item.tolerance)
