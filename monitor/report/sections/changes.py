"""Changes of what is approved (CIP-010 R1.2, R1.3): what differs, who authorised it, and how soon it was approved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from baselines.baseline import Baseline
from baselines.change import Expectation, Order, Outcome, fulfils
from baselines.clocks import UPDATED
from baselines.drift import between
from baselines.snapshot import Item, Snapshot, parse_snapshot
from monitor import store
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sections.told import count, text_of, wanted, were
from monitor.store import Change, Transaction

KEY = "changes"
AT_ONCE = 250  # changes whose texts are read together


class Authorised(StrEnum):
    """Whether somebody had said before what would change."""

    BY_ORDER = "by order"
    IN_PART = "in part"
    AFTERWARDS = "afterwards"
    NOTHING = "nothing changed"


class Clock(StrEnum):
    """How a change stands to the time in which it has to be approved."""

    MET = "met"
    LATE = "late"
    RUNNING = "running"
    OVERDUE = "overdue"


COLUMNS = (
    Column("asset", "Asset", width=1.4),
    Column("differs", "Items that differ", Form.NUMBER, 0.7),
    Column("items", "Items", Form.CODE, 0),
    Column("authorised", "Authorised", Form.STATE, 0.9),
    Column("orders", "Change orders", Form.TEXT, 0),
    Column("ticket", "Ticket", width=1),
    Column("stage", "Stage", Form.TEXT, 0),
    Column("proposed_by", "Proposed by", Form.TEXT, 0),
    Column("proposed_at", "Proposed", Form.TIME, 0),
    Column("signed_by", "Signed by", Form.TEXT, 0),
    Column("approved_by", "Approved by", width=0.9),
    Column("completed_at", "Completed", Form.TIME, 1.1),
    Column("completed_how", "Known by", Form.TEXT, 0),
    Column("approved_at", "Approved", Form.TIME, 0),
    Column("days", "Days of 30", Form.NUMBER, 0.6),
    Column("due_at", "Due", Form.TIME, 0),
    Column("clock", "Within 30 days", Form.STATE, 0.9),
    Column("reason", "Reason", Form.TEXT, 0),
    Column("before", "Baseline before", Form.CODE, 0),
    Column("after", "Baseline after", Form.CODE, 0),
)
ITEM_COLUMNS = (
    Column("asset", "Asset", width=1.4),
    Column("item", "Item", Form.CODE, 1.8),
    Column("what", "What", Form.STATE, 0.9),
    Column("before", "Before", Form.CODE, 1.2),
    Column("after", "After", Form.CODE, 1.2),
    Column("unit", "Unit", Form.TEXT, 0),
    Column("severity", "Severity", Form.STATE, 0),
    Column("category", "Category", Form.TEXT, 0),
    Column("order", "Change order", Form.CODE, 0.7),
    Column("approved_at", "Approved", Form.TIME, 0),
    Column("digest", "Baseline after", Form.CODE, 0),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One item in which two baselines differ; `is_change` is False where only its description does, or its value within
    its tolerance. `order` is the number of the one that had announced it."""

    item: str
    what: str
    before: str | None
    after: str | None
    unit: str
    severity: str
    category: str
    is_change: bool
    order: int | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known besides: orders by asset; by asset and approval when the first of the deviations was raised that it
    ended; by asset and item since when one stands open; by asset and digest when that was first seen."""

    orders: Mapping[str, Sequence[Order]]
    ended: Mapping[tuple[str, datetime], datetime]
    standing: Mapping[tuple[str, str], datetime]
    seen: Mapping[tuple[str, str], datetime]


def changes(tx: Transaction, scope: Scope) -> Section:
    """Each approved baseline that replaced another one in the time, and each that waited for it at its end."""
    is_wanted = wanted(scope)
    found = [each for each in store.changes(tx, scope.since, scope.until) if is_wanted(each.after.asset)]
    ended, standing = store.ended_by_approval(tx, scope.since, scope.until), store.standing_since(tx, scope.until)
    known = _Known(_orders(tx, scope), ended, standing, store.first_seen(tx, scope.since, scope.until))
    rows: list[tuple[Cell, ...]] = []
    items: list[tuple[Cell, ...]] = []
    for start in range(0, len(found), AT_ONCE):
        part = found[start : start + AT_ONCE]
        digests = [each.digest for change in part for each in (change.before, change.after)]
        texts = dict(store.snapshot_texts(tx, digests))
        for change in part:
            differences = _differences(change, texts, known.orders.get(change.after.asset, ()))
            rows.append(_row(change, differences, known, scope.until))
            items += [_item_row(change, each) for each in differences]
    rows.sort(key=_worst_first)
    return Section(
        KEY,
        "Changes of baselines",
        (
            Text(_INTRODUCTION),
            Table(
                KEY, "Changes", COLUMNS, rows, "No approved baseline was replaced by another, and none waited.", _NOTE
            ),
            Table("changed-items", "What differs", ITEM_COLUMNS, items, "No item differs."),
        ),
        ("cip-010-4/r1.2", "cip-010-4/r1.3"),
        tuple(_findings(rows)),
    )


_INTRODUCTION = (
    "A change of a baseline is authorised by order if change orders had announced all that differs, and it came to be"
    " as they said; in part if they had announced some of it; afterwards if a person approved what was found, and none"
    " had.",
    f"{UPDATED.clause} allows {UPDATED.within.days} days from the completion of a change to its approval. A change was"
    " completed when its order was closed; without an order, when the first of what differs was first seen.",
)
_NOTE = "What is overdue, late or running comes first; then what no order had announced."
_FIRST = (Clock.OVERDUE, Clock.LATE, Clock.RUNNING, Clock.MET, None)
_THEN = (Authorised.AFTERWARDS, Authorised.IN_PART, Authorised.BY_ORDER, Authorised.NOTHING)
_KEYS = [column.key for column in COLUMNS]
_CLOCK, _AUTHORISED, _COMPLETED = _KEYS.index("clock"), _KEYS.index("authorised"), _KEYS.index("completed_at")


def _worst_first(row: tuple[Cell, ...]) -> tuple[int, int]:
    """Equal ones stay as they are: by asset, and in the order in which they came."""
    return _FIRST.index(row[_CLOCK]), _THEN.index(row[_AUTHORISED])


def _orders(tx: Transaction, scope: Scope) -> dict[str, list[Order]]:
    """The orders that were opened by the end of the time, as they stood then, by asset."""
    found: dict[str, list[Order]] = {}
    for order in store.orders(tx):
        if order.opened_at < scope.until:
            for asset in order.assets:
                found.setdefault(asset, []).append(order.at(scope.until))
    return found


def _differences(change: Change, texts: Mapping[str, str], orders: Iterable[Order]) -> list[Difference]:
    before, after = (_reduced(one, other, texts) for one, other in _both_ways(change))
    found = {each.key: each for each in between(before, after)}
    keys = sorted({*before.by_key, *after.by_key, *before.left_out, *after.left_out})
    meanwhile = [order for order in orders if _is_of(order, change)]
    return [
        _difference(key, found[key].kind.value if key in found else None, before, after, meanwhile)
        for key in keys
        if key in before.by_key or key in after.by_key or (key in before.left_out) != (key in after.left_out)
    ]


def _both_ways(change: Change) -> tuple[tuple[Baseline, Baseline], tuple[Baseline, Baseline]]:
    return (change.before, change.after), (change.after, change.before)


def _reduced(one: Baseline, other: Baseline, texts: Mapping[str, str]) -> Snapshot:
    """What of a baseline is not the same in another: the lines that only it has. Most of them are in both."""
    there = set(texts.get(other.digest, "").splitlines())
    lines = [line for line in texts.get(one.digest, "").splitlines() if line not in there]
    return parse_snapshot(one.asset, one.proposed_at, "\n".join(lines), one.profile)


def _difference(key: str, kind: str | None, before: Snapshot, after: Snapshot, orders: Iterable[Order]) -> Difference:
    old, new = before.by_key.get(key), after.by_key.get(key)
    item = old or new
    what, is_change = kind or "", True
    if key in after.left_out:
        what = "dropped"  # it is compared no longer
    elif new is None and after.misses(key):
        what = "not read"
    elif kind is None:
        what, is_change = (
            ("within tolerance" if old and new and old.shown != new.shown else "described otherwise"),
            False,
        )
    order = next((each.id for each in orders if _announced(each, before.asset, key, new, old)), None)
    return Difference(
        key,
        what,
        _told(old, what),
        _told(new, what) if new else _why(key, after),
        item.unit if item else "",
        item.severity.value if item else "",
        item.category.value if item else "",
        is_change,
        order if is_change else None,
    )


def _told(item: Item | None, what: str) -> str | None:
    """A value as a cell; where only what is said of it differs, that."""
    if item is None:
        return None
    if what != "described otherwise":
        return text_of(item.shown)
    said = (item.category.value, item.severity.value, f"tolerance {item.tolerance:g}", item.unit, item.label or "")
    return f"{text_of(item.shown)}: {', '.join(each for each in said if each)}"


def _why(key: str, after: Snapshot) -> str | None:
    """Why an item is compared no longer."""
    return next((each.why for each in after.dropped if each.key == key), None)


def _is_of(order: Order, change: Change) -> bool:
    """Whether an order may have announced a change: opened before its approval, and not closed before the last one."""
    began, decided = change.before.decided_at, change.after.decided_at
    opened = decided is None or order.opened_at <= decided
    return opened and (began is None or order.closed_at is None or order.closed_at >= began)


def _announced(order: Order, asset: str, key: str, new: Item | None, old: Item | None) -> bool:
    """Whether an order said just this, and it came so; as long as it is open, whether it says so."""
    return any(
        _came_so(each, new, old.tolerance if old else 0.0)
        for each in order.expectations
        if each.asset == asset and each.item == key
    )


def _came_so(expected: Expectation, new: Item | None, tolerance: float) -> bool:
    if expected.outcome not in (None, Outcome.AS_PLANNED):
        return False
    if new is None:
        return expected.outcome is Outcome.AS_PLANNED
    return fulfils(new, expected.expected if expected.outcome is None else expected.observed, tolerance)


def _authorised(differences: Collection[Difference]) -> Authorised:
    changed = [each for each in differences if each.is_change]
    if not changed:
        return Authorised.NOTHING
    announced = sum(each.order is not None for each in changed)
    if announced == len(changed):
        return Authorised.BY_ORDER
    return Authorised.IN_PART if announced else Authorised.AFTERWARDS


def _completed(
    change: Change, differences: Iterable[Difference], known: _Known, until: datetime
) -> tuple[datetime | None, str | None]:
    """When a change was completed at the earliest, as far as that is known, and by what."""
    changed = [each for each in differences if each.is_change]
    if not changed:
        return None, None
    after = change.after
    numbers = {each.order for each in changed}
    closed = [
        order.closed_at
        for order in known.orders.get(after.asset, ())
        if order.closed_at and (order.id in numbers or order.closed_at == after.proposed_at)
    ]
    approved_at = after.decided_at or until
    raised = _raised(after, changed, known)
    if closed and None not in numbers and min(closed) <= approved_at:
        return min(closed), "order closed"
    if raised is not None:
        return raised, "first seen to deviate"
    seen = known.seen.get((after.asset, after.digest))
    if seen is not None and seen <= after.proposed_at:
        return max(seen, change.before.decided_at or seen), "first read"
    return after.proposed_at, "proposed"


def _raised(after: Baseline, changed: Iterable[Difference], known: _Known) -> datetime | None:
    """When the first of what differs was seen to deviate."""
    if after.decided_at is not None:
        return known.ended.get((after.asset, after.decided_at))
    found = [known.standing.get((after.asset, each.item)) for each in changed]
    return min((at for at in found if at is not None), default=None)


def _row(change: Change, differences: Sequence[Difference], known: _Known, until: datetime) -> tuple[Cell, ...]:
    after = change.after
    changed = [each for each in differences if each.is_change]
    completed, how = _completed(change, differences, known, until)
    orders = sorted({each.order for each in changed if each.order is not None})
    tickets = [order.ticket for order in known.orders.get(after.asset, ()) if order.id in orders]
    days = None if completed is None else max((after.decided_at or until) - completed, timedelta(0))
    return (
        after.asset,
        len(changed),
        " ".join(each.item for each in changed),
        _authorised(differences).value,
        ", ".join(map(str, orders)) or None,
        ", ".join(dict.fromkeys([*filter(None, [after.ticket]), *tickets])) or None,
        after.stage.value,
        after.proposed_by,
        after.proposed_at,
        "; ".join(f"{word.by} as {word.role}" if word.role else word.by for word in change.words) or None,
        after.decided_by,
        completed,
        how,
        after.decided_at,
        None if days is None else round(days / timedelta(days=1), 1),
        None if completed is None else completed + UPDATED.within,
        None if days is None else _clock(days, change.is_approved).value,
        after.reason or None,
        change.before.digest,
        after.digest,
    )


def _clock(days: timedelta, is_approved: bool) -> Clock:
    if is_approved:
        return Clock.MET if days <= UPDATED.within else Clock.LATE
    return Clock.RUNNING if days <= UPDATED.within else Clock.OVERDUE


def _item_row(change: Change, each: Difference) -> tuple[Cell, ...]:
    after = change.after
    told = (each.unit or None, each.severity or None, each.category or None, each.order)
    return (after.asset, each.item, each.what, each.before, each.after, *told, after.decided_at, after.digest)


def _findings(rows: Sequence[tuple[Cell, ...]]) -> list[Finding]:
    clocks, authorised = Counter(row[_CLOCK] for row in rows), Counter(row[_AUTHORISED] for row in rows)
    changed = len(rows) - authorised[Authorised.NOTHING]
    if not changed:
        return [Finding(Weight.GOOD, "No approved baseline was changed, and no change waited for its approval.", KEY)]
    by_order = authorised[Authorised.BY_ORDER]
    told = f"Of {count(changed, 'changed baseline')} {by_order:,} {were(by_order)} announced by change orders in full,"
    told += f" {authorised[Authorised.IN_PART]:,} in part; {authorised[Authorised.AFTERWARDS]:,}"
    told += f" {were(authorised[Authorised.AFTERWARDS])} approved or proposed afterwards, without an order."
    weight = Weight.GOOD if by_order == changed else Weight.ATTENTION
    found = [Finding(weight, told, KEY)]
    late, waiting = clocks[Clock.LATE] + clocks[Clock.OVERDUE], clocks[Clock.RUNNING] + clocks[Clock.OVERDUE]
    told = f"{clocks[Clock.MET]:,} of {count(changed, 'changed baseline')} {were(clocks[Clock.MET])} approved within"
    told += f" {UPDATED.within.days} days ({UPDATED.clause}), {clocks[Clock.LATE]:,} later;"
    told += f" {waiting:,} waited for approval at the end, {clocks[Clock.OVERDUE]:,} of them for longer than that."
    weight = Weight.BAD if late else Weight.ATTENTION if clocks[Clock.RUNNING] else Weight.GOOD
    return [*found, Finding(weight, told, KEY)]
