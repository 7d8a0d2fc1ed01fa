"""Change orders: opening one, and closing it by what was really seen."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.alert import Move
from baselines.baseline import Baseline, Stage, State, partly
from baselines.change import ANY, Expectation, History, Order, OrderState, Seen, meets, parse_expected, settled
from baselines.drift import PROFILE_KEYS
from baselines.snapshot import Snapshot, utc_text
from monitor import store
from monitor.actions import NO_RULES, Rules, assure_person, propose
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.pipeline import release_due
from monitor.polling import poll_assets
from monitor.show import value_text
from monitor.store import Actor, Database, Transaction

GROUPS = ("identity.", "device.", "endpoint.", "server.", "host.", "service.", "conversation.", "address.")
SUGGESTIONS = 3
LAST_YEAR = 2999  # later times have no date in every zone
EXACT = 2**53  # up to here every integer is a float

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to announce: an item of an asset, and its new value as people write it."""

    asset: str
    item: str
    value: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed order, the baselines that it proposes by itself, and the alarms that it let go of."""

    order: Order
    proposed: tuple[Baseline, ...]
    moves: tuple[Move, ...]


def rules_for(plant: Plant, assets: Iterable[str]) -> dict[str, Rules]:
    """What approving takes, of each of some assets."""
    return {name: Rules(plant.approval, plant.criticality(name)) for name in assets}


def open_order(
    tx: Transaction,
    assets: Sequence[str],
    expected: Iterable[str],
    starts_at: datetime,
    ends_at: datetime,
    ticket: str,
    reason: str,
    actor: Actor,
    now: datetime,
    rules: Mapping[str, Rules] | None = None,
) -> Order:
    """Announce what will change: `expected` are KEY=VALUE, of each of the assets. Errors as of `announce`."""
    pairs = [_pair(text) for text in expected]
    wishes = [Wish(asset, *pair) for asset in assets for pair in pairs]
    return announce(tx, wishes, (starts_at, ends_at), ticket, reason, actor, now, rules)


def announce(
    tx: Transaction,
    wishes: Sequence[Wish],
    window: tuple[datetime, datetime],
    ticket: str,
    reason: str,
    actor: Actor,
    now: datetime,
    rules: Mapping[str, Rules] | None = None,
) -> Order:
    """Announce what will change, and when.

    CallError for what cannot come to be, NotNow where the asset has no baseline, or another order expects it already.
    """
    starts_at, ends_at = window
    _assure_ahead(starts_at, ends_at, now)
    if not wishes:
        raise CallError("an order announces something: name at least one item that will change, and its new value")
    assets = tuple(dict.fromkeys(wish.asset for wish in wishes))
    for asset in assets:
        assure_person(tx, actor, (rules or {}).get(asset, NO_RULES).takes_two)
    expectations = tuple(
        each
        for asset in assets
        for each in _expectations(tx, asset, [(wish.item, wish.value) for wish in wishes if wish.asset == asset])
    )
    announced = Order(0, ticket, reason, starts_at, ends_at, expectations, actor.name, now)
    _assure_alone(tx, announced)
    order = store.add_order(tx, announced)
    detail = {"order": str(order.id), "ticket": ticket, "reason": reason}
    detail |= {"from": utc_text(starts_at), "until": utc_text(ends_at)}
    said = [{"asset": each.asset, "item": each.item, "expected": each.expected} for each in expectations]
    store.audit(tx, now, actor, "change.open", _subject(order), detail | {"expectations": json.dumps(said)})
    return order


def _assure_ahead(starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    if ends_at <= starts_at or ends_at <= now:
        raise CallError("the window has to end after its beginning, and in the future")
    if ends_at.year > LAST_YEAR:
        raise CallError("the window ends too far in the future: nobody works for so long")
    if starts_at < now:
        raise CallError(
            "the beginning of the window is over, and an order says in advance what will change; left out, it is now"
        )


def _subject(order: Order) -> str:
    return order.assets[0] if len(order.assets) == 1 else ""


def _pair(text: str) -> tuple[str, str]:
    """Key and value; the key may hold an equals sign only where it is quoted."""
    quoted, at = False, -1
    for place, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == "=" and not quoted:
            at = place
            break
    if at < 1:
        raise CallError(f"--expect: write ITEM=VALUE, such as item.fill_limit=12.5 or item.program_crc=*, not {text!r}")
    return text[:at].strip(), text[at + 1 :].strip()


def _expectations(tx: Transaction, asset: str, pairs: Iterable[tuple[str, str]]) -> list[Expectation]:
    baseline = store.current_baseline(tx, asset)
    if baseline is None:
        raise NotNow(f"{asset} has no approved baseline yet, so there is nothing that a change could be held against")
    approved = store.baseline_snapshot(tx, baseline)
    run = store.last_run(tx, asset, observed=True)
    seen = store.snapshot_of(tx, asset, run.digest, run.last_at) if run and run.digest else None
    return [_expectation(asset, key, value, approved, seen) for key, value in pairs]


def _expectation(asset: str, key: str, value: str, approved: Snapshot, seen: Snapshot | None) -> Expectation:
    known = approved.by_key.get(key)
    if known is None and not _may_come(key, approved, seen):
        near = difflib.get_close_matches(key, list(approved.by_key), SUGGESTIONS)
        hint = f"did you mean {' or '.join(near)}?" if near else "its approved baseline lists what there is"
        raise CallError(f"{asset} has no item {key}; {hint}")
    try:
        expected = parse_expected(value, known)
    except ValueError as error:
        raise CallError(f"{asset}: {error}") from None
    if known is not None and expected != ANY and meets(expected, known, known.tolerance):
        within = f", and {value} is within its tolerance of {known.tolerance:g}" if known.tolerance else ""
        raise CallError(f"{key} of {asset} is approved as {known.shown} already{within}: nothing would change")
    return Expectation(asset, key, expected)


def _may_come(key: str, approved: Snapshot, seen: Snapshot | None) -> bool:
    """Whether an item that is not in the baseline can be there one day: a device says new things of itself, and of the
    profile's items those that are read."""
    if not key.startswith(PROFILE_KEYS):
        return key.startswith(GROUPS)
    return approved.misses(key) or (seen is not None and key in seen.by_key)


def _assure_alone(tx: Transaction, order: Order) -> None:
    """NotNow if an item is expected twice, here or by another order at the same time."""
    named: set[tuple[str, str]] = set()
    for each in order.expectations:
        if (each.asset, each.item) in named:
            raise CallError(f"{each.item} of {each.asset} is there twice")
        named.add((each.asset, each.item))
    for other in store.orders(tx, OrderState.OPEN):
        both = sorted(named & {(each.asset, each.item) for each in other.expectations})
        if both and order.overlaps(other):
            asset, item = both[0]
            raise NotNow(f"order {other.id} ({other.ticket}) expects {item} of {asset} in this time already")


def order_of(tx: Transaction, number: int) -> Order:
    """The order with a number; NotNow if there is none."""
    found = store.orders(tx, number=number)
    if not found:
        raise NotNow(f"there is no change order {number}; asbuilt change list shows them")
    return found[0]


def open_order_of(tx: Transaction, number: int) -> Order:
    """The same, while it is open."""
    order = order_of(tx, number)
    if order.state is not OrderState.OPEN:
        assert order.closed_at is not None
        raise NotNow(f"change order {number} was closed by {order.closed_by} at {utc_text(order.closed_at)}")
    return order


def close_order(
    tx: Transaction, number: int, actor: Actor, now: datetime, rules: Mapping[str, Rules] | None = None
) -> Closed:
    """Close an order by all that was seen of its assets until now: what polls saw, and what the wire saw written.

    Where exactly what was declared was done, and nothing else, what was declared is proposed as the new baseline.
    """
    order = open_order_of(tx, number)
    for asset in order.assets:
        assure_person(tx, actor, (rules or {}).get(asset, NO_RULES).takes_two)
    histories = _histories(tx, order)
    closed = settled(order, histories, actor.name, now)
    if not store.close_order(tx, closed):
        raise NotNow(f"somebody else closed change order {number} a moment ago")
    store.audit(tx, now, actor, "change.close", _subject(order), _closing(closed))
    proposed = _proposals(tx, closed, histories, actor, now, rules or {}) if closed.as_planned else ()
    return Closed(closed, proposed, tuple(release_due(tx, now)))


def _closing(order: Order) -> dict[str, str]:
    said = [
        {"asset": each.asset, "item": each.item, "observed": each.observed, "outcome": each.outcome}
        for each in order.expectations
    ]
    excess = [
        {"asset": each.asset, "item": each.item, "approved": each.approved, "observed": each.observed}
        for each in order.excess
    ]
    return {"order": str(order.id), "expectations": json.dumps(said), "excess": json.dumps(excess)}


def foreseen(tx: Transaction, order: Order, by: str, now: datetime, others: Iterable[Order] | None = None) -> Order:
    """What closing an open order would make of it, by what was seen so far; NotNow where nothing can be said.

    Whoever asks for many gives the orders that may have been open meanwhile, so that they are read once.
    """
    return settled(order, _histories(tx, order, others), by, now)


def proposal_reason(order: Order) -> str:
    """Why a baseline is proposed that an order proposes by itself."""
    return f"change order {order.id}, done as planned"


def proposed_by(tx: Transaction, order: Order) -> list[Baseline]:
    """The baselines that a closed order proposed by itself, whatever became of them."""
    if order.state is OrderState.OPEN or not order.as_planned:
        return []
    return [each for each in store.baselines(tx, order.assets) if each.reason == proposal_reason(order)]


def _histories(tx: Transaction, order: Order, others: Iterable[Order] | None = None) -> dict[str, History]:
    known = store.orders(tx, since=order.starts_at) if others is None else others
    beside = tuple(other for other in known if other.id != order.id and other.overlaps(order))
    return {asset: _history(tx, order, asset, beside) for asset in order.assets}


def _history(tx: Transaction, order: Order, asset: str, beside: tuple[Order, ...]) -> History:
    current = store.current_baseline(tx, asset)
    before = store.baseline_at(tx, asset, order.opened_at) or current  # none where the clock was set back meanwhile
    if before is None or current is None:
        raise NotNow(f"{asset} has no approved baseline any more")
    return History(
        store.baseline_snapshot(tx, before),
        store.baseline_snapshot(tx, current),
        [
            Seen(run.first_at, store.snapshot_of(tx, asset, run.digest, run.first_at, run.profile or ""))
            for run in store.runs_since(tx, asset, order.starts_at)
            if run.digest
        ],
        store.written(tx, asset, order.starts_at),
        beside,
    )


def _proposals(
    tx: Transaction,
    order: Order,
    histories: Mapping[str, History],
    actor: Actor,
    now: datetime,
    rules: Mapping[str, Rules],
) -> tuple[Baseline, ...]:
    proposed = []
    for asset, history in histories.items():
        declared = order.items(asset)
        changed = partly(history.approved, history.as_seen(declared), declared)
        if changed.digest != history.approved.digest:
            _assure_free(tx, order, asset)
            why, takes = proposal_reason(order), rules.get(asset, NO_RULES)
            made = propose(tx, changed, Stage.AS_LEFT, actor, now, why, order.ticket, rules=takes)
            proposed.append(made)
    return tuple(proposed)


def _assure_free(tx: Transaction, order: Order, asset: str) -> None:
    """NotNow if a proposal waits that the order's own would take the place of, and with it of what it announces."""
    waiting = store.current_baseline(tx, asset, State.PROPOSED)
    if waiting is not None:
        raise NotNow(
            f"{asset} has an open proposal ({waiting.digest[:12]}, {waiting.reason or 'no reason given'}): approve or"
            f" reject it first; order {order.id} was done as planned, and would propose another in its place"
        )


def read_again(plant: Plant, database: Database, order: Order, by: str, step: Callable[[str], None]) -> list[str]:
    """Read the assets of an order once more; what of it could not be seen, as sentences."""
    here = [name for name in order.assets if name in (*plant.assets, *plant.segments)]
    documents = poll_assets(plant, database, here, by, step) if here else []
    gone = [f"{name} is not in {plant.path} any more" for name in order.assets if name not in here]
    return gone + [gap for document in documents for gap in _gaps(order, document)]


def _gaps(order: Order, document: Document) -> list[str]:
    """What of an order could not be seen now."""
    name = document["asset"]
    if document["error"]:
        return [f"{name} could not be read: {document['error']['kind']}: {document['error']['text']}"]
    missing = sorted(order.items(name) & set(document["unread"]))
    return [f"{name}: {key} could not be read: {document['why_unread'].get(key, 'no answer')}" for key in missing]


def order_document(order: Order, now: datetime) -> Document:
    """One order; see docs/json.md."""
    return {
        "id": order.id,
        "state": order.state,
        "ticket": order.ticket,
        "reason": order.reason,
        "from": utc_text(order.starts_at),
        "until": utc_text(order.ends_at),
        "overdue": is_overdue(order, now),
        "opened_by": order.opened_by,
        "opened_at": utc_text(order.opened_at),
        "closed_by": order.closed_by,
        "closed_at": utc_text(order.closed_at) if order.closed_at else None,
        "expectations": [
            {
                "asset": each.asset,
                "item": each.item,
                "expected": each.expected,
                "observed": each.observed,
                "outcome": each.outcome,
            }
            for each in order.expectations
        ],
        "excess": [
            {"asset": each.asset, "item": each.item, "approved": each.approved, "observed": each.observed}
            for each in order.excess
        ],
    }


def is_overdue(order: Order, now: datetime) -> bool:
    """Whether its window is over, and nobody has closed it."""
    return order.state is OrderState.OPEN and order.ends_at < now


def wish_text(value: Any) -> str:
    """A value as JSON has it, as people write it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:  # JSON has one kind of number
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def expected_text(value: Any) -> str:
    """What an order expects, or what was seen of it, for people."""
    return "any other value" if value == ANY else "nothing" if value is None else value_text(value)
