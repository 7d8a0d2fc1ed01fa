"""What happened until a moment, for reports: a few queries over everything, and nothing that came later."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from baselines.alert import AlertState, Event
from baselines.baseline import Baseline, SignOff, State
from baselines.drift import DEVIATIONS, Kind
from baselines.life import Life, Moved, as_it_was
from baselines.snapshot import Category, Item, Severity, parse_item
from monitor import tables
from monitor.store.audit import Entry, entries_of, moment_of
from monitor.store.baselines import baselines
from monitor.store.database import Transaction
from monitor.store.quality import approvals
from monitor.store.runs import snapshot_texts

AT_ONCE = 500  # texts or rows that are asked for together
TELLING = (Event.DEVIATES, Event.MOVES_ON, Event.SUPPRESS)  # the moves that say anew what an alarm is about
EVENTS, STATES = {each.value: each for each in Event}, {each.value: each for each in AlertState}
KINDS, SEVERITIES = {each.value: each for each in Kind}, {each.value: each for each in Severity}
CATEGORIES = {each.value: each for each in Category}  # all of these are looked up some 100,000 times
NO_MOVES = (0, tuple[Moved, ...](), False)
KEY = '{"key":'  # begins a line of a canonical text that is of an item

Pair = tuple[int, str]  # the number of an asset, and an item of it


@dataclass(frozen=True, slots=True)
class _Told:
    """What the chain says of alarms: who shelved one until when, and what suppressed it last."""

    shelved: Mapping[tuple[int, datetime], datetime]
    suppressed: Mapping[int, str]


class _Once(dict[str, str]):
    """Gives one text for all that are equal: most are there thousands of times."""

    def __call__(self, text: str | None) -> str | None:
        return None if text is None else self.setdefault(text, text)


def lives(tx: Transaction, since: datetime, until: datetime, wanted: Callable[[str], bool]) -> Iterator[Life]:
    """The alarms of some assets that were open, moved or had their cases closed between two times, each as it stood at
    `until`, the oldest first."""
    told, names, once = _told(tx, until), _names(tx), _Once()
    then = _approved_then(tx, since, until)
    made = _made(tx, since, until, told, once)
    number, moves, retold = next(made, NO_MOVES)
    for row in _alerts(tx, since, until):
        here, again = ((), False) if number != row.id else (moves, retold)
        if number == row.id:
            number, moves, retold = next(made, NO_MOVES)
        asset = names[row.asset_id]
        if not wanted(asset):
            continue
        life = _life(row, asset, here, told, until, once)
        if again:
            life = as_it_was(life, then.get((row.asset_id, row.item)))
        if _touched(life, since):
            yield life


def _made(
    tx: Transaction, since: datetime, until: datetime, told: _Told, once: _Once
) -> Iterator[tuple[int, tuple[Moved, ...], bool]]:
    """By alarm the moves that it had made, and whether it was told anew later."""
    of, moves, retold = 0, list[Moved](), False
    for number, at, event, before, after, observed, by, reason in _moves(tx, since, until):
        if number != of:
            if of:
                yield of, tuple(moves), retold
            of, moves, retold = number, [], False
        if at < until:
            shelved = told.shelved.get((number, at)) if event == Event.SHELVE else None
            said = once(reason) if by else ""  # what the program did by itself carries on the last person's reason
            moves.append(
                Moved(at, EVENTS[event], STATES[before], STATES[after], once(observed), once(by), said or "", shelved)
            )
        else:
            retold = retold or event in TELLING
    if of:
        yield of, tuple(moves), retold


def deviating(tx: Transaction, since: datetime, until: datetime) -> list[Pair]:
    """The items that may have deviated between two times."""
    alert = tables.alert.c
    found = select(alert.asset_id, alert.item).where(_of_interest(since, until), alert.kind.in_(DEVIATIONS)).distinct()
    return [(row.asset_id, row.item) for row in tx.execute(found)]


def _of_interest(since: datetime, until: datetime) -> ColumnElement[bool]:
    """Which alarms may have to do with a time; some of them only as they are now."""
    alert = tables.alert.c
    open_now = alert.state != AlertState.NORMAL
    return and_(
        alert.raised_at < until,
        or_(alert.raised_at >= since, open_now, alert.changed_at >= since, alert.closed_at >= since),
    )


def _touched(life: Life, since: datetime) -> bool:
    closed = life.closed_at is not None and life.closed_at >= since
    return life.is_open or closed or any(move.at >= since for move in life.moves)


def _alerts(tx: Transaction, since: datetime, until: datetime) -> Iterable[Row[Any]]:
    alert = tables.alert.c
    columns = (
        *(alert.id, alert.asset_id, alert.item, alert.kind, alert.approved, alert.observed, alert.severity),
        *(alert.category, alert.techniques, alert.direction, alert.raised_at, alert.who, alert.suppressed_by),
        *(alert.cause, alert.prevention, alert.closed_by, alert.closed_at),
    )
    statement = select(*columns).where(_of_interest(since, until)).order_by(alert.id)
    return tx.execute(statement.execution_options(yield_per=AT_ONCE))


def _moves(tx: Transaction, since: datetime, until: datetime) -> Iterable[Any]:
    move = tables.alert_move.c
    columns = (move.alert_id, move.at, move.event, move.before, move.after, move.observed, move.by, move.reason)
    joined = select(*columns).join(tables.alert, tables.alert.c.id == move.alert_id)
    statement = joined.where(_of_interest(since, until)).order_by(move.alert_id, move.id)
    return tx.execute(statement.execution_options(yield_per=AT_ONCE))


def _life(row: Row[Any], asset: str, moves: tuple[Moved, ...], told: _Told, until: datetime, once: _Once) -> Life:
    closed = row.closed_at is not None and row.closed_at < until
    return Life(
        row.id,
        row.asset_id,
        asset,
        str(once(row.item)),
        KINDS[row.kind],
        once(row.approved) or "null",
        SEVERITIES[row.severity],
        CATEGORIES[row.category],
        str(once(row.techniques)),
        once(row.direction),
        moves[0].at if moves and moves[0].at == row.raised_at else row.raised_at,  # the same object
        _who(row.who, until),
        told.suppressed.get(row.id),
        once(row.cause) if closed else None,
        once(row.prevention) if closed else None,
        once(row.closed_by) if closed else None,
        row.closed_at if closed else None,
        moves or (_unmoved(row),),
    )


def _unmoved(row: Row[Any]) -> Moved:
    """An alarm whose moves are gone: somebody took them out, and the chain does not verify."""
    return Moved(row.raised_at, Event.DEVIATES, AlertState.NORMAL, AlertState.UNACK, row.observed, None, "")


def _who(text: str | None, until: datetime) -> Mapping[str, Any] | None:
    """Who did it, if that was before."""
    who = json.loads(text) if text else None
    at = moment_of(who.get("at")) if who else None
    return None if at is not None and at >= until else who


def _told(tx: Transaction, until: datetime) -> _Told:
    shelved, suppressed = {}, {}
    for entry in entries_of(tx, ("alert.shelve", "alert.suppress"), until):
        said = entry.detail
        number = int(said["alert"]) if said.get("alert", "").isdecimal() else 0
        if entry.action == "alert.suppress":
            suppressed[number] = said.get("by", "")
        elif end := moment_of(said.get("until")):
            shelved[number, entry.at] = end
    return _Told(shelved, suppressed)


def _names(tx: Transaction) -> dict[int, str]:
    return {row.id: row.name for row in tx.execute(select(tables.asset.c.id, tables.asset.c.name))}


def _approved_then(tx: Transaction, since: datetime, until: datetime) -> dict[Pair, Item]:
    """What was approved at `until` of the items whose alarms were told anew later."""
    alert, move = tables.alert.c, tables.alert_move.c
    retold = select(alert.asset_id, alert.item).join(tables.alert_move, move.alert_id == alert.id).distinct()
    retold = retold.where(_of_interest(since, until), move.at >= until, move.event.in_(TELLING))
    return dict(approved_items(tx, [(row.asset_id, row.item) for row in tx.execute(retold)], until))


def approved_items(tx: Transaction, pairs: Iterable[Pair], at: datetime) -> Iterator[tuple[Pair, Item]]:
    """The items of assets as they were approved at a time, of those that were."""
    wanted: defaultdict[int, set[str]] = defaultdict(set)
    for asset, key in pairs:
        wanted[asset].add(key)
    if not wanted:
        return
    digests = _approved_at(tx, at)
    there = sorted(wanted.keys() & digests.keys())
    for start in range(0, len(there), AT_ONCE):
        assets = there[start : start + AT_ONCE]
        found = dict(snapshot_texts(tx, [digests[asset] for asset in assets]))
        for asset in assets:
            for item in _items(found.get(digests[asset], ""), wanted[asset]):
                yield (asset, item.key), item


def _approved_at(tx: Transaction, at: datetime) -> dict[int, str]:
    """By the number of an asset the digest of what was approved of it at a time."""
    baseline = tables.baseline.c
    decided = and_(_decided_here(), baseline.decided_at < at)
    statement = select(baseline.asset_id, baseline.digest).where(decided).order_by(baseline.decided_at, baseline.id)
    return {row.asset_id: row.digest for row in tx.execute(statement)}


def _decided_here() -> ColumnElement[bool]:
    baseline = tables.baseline.c
    return and_(
        baseline.state.in_([State.APPROVED, State.SUPERSEDED]),
        baseline.decided_at.is_not(None),
        baseline.origin.is_(None),  # an imported one was approved elsewhere
    )


def _items(text: str, keys: Collection[str]) -> Iterator[Item]:
    """Some items of a canonical text."""
    beginnings = {f"{KEY}{json.dumps(key)}," for key in keys}
    for line in text.splitlines():
        if line[: line.find(',"type":') + 1] in beginnings:
            yield parse_item(json.loads(line))


@dataclass(frozen=True, slots=True)
class Change:
    """A baseline that was approved in the place of another one; `is_approved` is False for a proposal that waited for
    its approval. `words` are those who had signed it off."""

    before: Baseline
    after: Baseline
    is_approved: bool
    words: tuple[SignOff, ...]


def changes(tx: Transaction, since: datetime, until: datetime) -> list[Change]:
    """The changes of baselines that were approved between two times, and those that waited at `until`, by asset and in
    the order in which they came."""
    made, words = [], _words(tx, until)
    by_asset: defaultdict[str, list[Baseline]] = defaultdict(list)
    newest: dict[str, Baseline] = {}
    for each in baselines(tx):
        newest[each.asset] = each
        if each.origin is None and each.proposed_at < until:
            by_asset[each.asset].append(each)
    said = _proposed(tx, until)
    retired = _retired(tx)
    for asset, found in sorted(by_asset.items()):
        approved = [each for each in found if _was_approved(each, until)]
        approved.sort(key=lambda each: (each.decided_at, each.id))
        made += [
            Change(before, after, True, words.get(after.id, ()))
            for before, after in pairwise(approved)
            if after.decided_at is not None and after.decided_at >= since
        ]
        waiting = _waiting(found, said, until)
        gone = retired.get(asset)
        given_up = gone is None and newest[asset].state is State.SUPERSEDED  # by nothing newer: it was retired once
        if approved and waiting and not given_up and (gone is None or gone >= until):
            made.append(Change(approved[-1], waiting, False, words.get(waiting.id, ())))
    return made


def _was_approved(baseline: Baseline, until: datetime) -> bool:
    decided = baseline.state in (State.APPROVED, State.SUPERSEDED) and baseline.decided_at is not None
    return decided and baseline.decided_at is not None and baseline.decided_at < until


@dataclass(frozen=True, slots=True)
class _Proposed:
    """What the chain says of proposals: of each, by when it was made and its digest; and the digests that they were
    amended to."""

    said: Mapping[tuple[datetime, str], Mapping[str, str]]
    amended: Collection[str]


def _proposed(tx: Transaction, until: datetime) -> _Proposed:
    found = entries_of(tx, ("baseline.propose", "baseline.amend"), until)
    return _Proposed(
        {(each.at, each.detail.get("digest", "")): each.detail for each in found if each.action == "baseline.propose"},
        {each.detail.get("digest", "") for each in found if each.action == "baseline.amend"},
    )


def _waiting(found: Sequence[Baseline], proposed: _Proposed, until: datetime) -> Baseline | None:
    """The proposal that waited for a decision at a time: the newest, as far as it was amended by then, if nobody had
    decided. A proposal that was amended and its successor have the time in common; the chain has the reason and the
    ticket that a decision overwrites."""
    first = next(each for each in found if each.proposed_at == found[-1].proposed_at)
    same = [each for each in found if each.proposed_at == first.proposed_at]
    if any(each.decided_at is not None and each.decided_at < until for each in same):
        return None
    there = [each for number, each in enumerate(same) if number == 0 or each.digest in proposed.amended]
    detail = proposed.said.get((first.proposed_at, first.digest), {})
    reason, ticket = detail.get("reason", ""), detail.get("ticket", "")
    return replace(there[-1], state=State.PROPOSED, decided_by=None, decided_at=None, reason=reason, ticket=ticket)


def _words(tx: Transaction, until: datetime) -> dict[int, tuple[SignOff, ...]]:
    word = tables.sign_off.c
    found: defaultdict[int, tuple[SignOff, ...]] = defaultdict(tuple)
    for row in tx.execute(select(tables.sign_off).where(word.at < until).order_by(word.id)):
        found[row.baseline_id] += (SignOff(row.by, row.role, row.at, row.reason, row.ticket),)
    return found


def _retired(tx: Transaction) -> dict[str, datetime]:
    asset = tables.asset.c
    gone = select(asset.name, asset.retired_at).where(asset.retired_at.is_not(None))
    return {row.name: row.retired_at for row in tx.execute(gone)}


def first_seen(tx: Transaction, since: datetime, until: datetime) -> dict[tuple[str, str], datetime]:
    """By asset and digest when what was proposed or approved meanwhile was first seen so."""
    run, baseline = tables.run.c, tables.baseline.c
    here = select(baseline.digest).where(or_(baseline.decided_at >= since, baseline.decided_at.is_(None)))
    first = (
        select(tables.asset.c.name, run.digest, func.min(run.first_at).label("at"))
        .join(tables.asset, tables.asset.c.id == run.asset_id)
        .where(run.digest.in_(here), run.first_at < until)
        .group_by(tables.asset.c.name, run.digest)
    )
    return {(row.name, row.digest): row.at for row in tx.execute(first)}


def ended_by_approval(tx: Transaction, since: datetime, until: datetime) -> dict[tuple[str, datetime], datetime]:
    """By asset and approval between two times when the first of the deviations was raised that it ended."""
    alert, move, baseline = tables.alert.c, tables.alert_move.c, tables.baseline.c
    ending = and_(move.event == Event.CONFORMS, move.at == baseline.decided_at)
    first = (
        select(tables.asset.c.name, baseline.decided_at, func.min(alert.raised_at).label("at"))
        .join_from(tables.baseline, tables.asset, tables.asset.c.id == baseline.asset_id)
        .join(tables.alert, alert.asset_id == baseline.asset_id)
        .join(tables.alert_move, and_(move.alert_id == alert.id, ending))
        .where(_decided_here(), baseline.decided_at >= since, baseline.decided_at < until)
        .where(alert.kind.in_(DEVIATIONS), alert.changed_at >= since)
        .group_by(tables.asset.c.name, baseline.decided_at)
    )
    return {(row.name, row.decided_at): row.at for row in tx.execute(first)}


def standing_since(tx: Transaction, until: datetime) -> dict[tuple[str, str], datetime]:
    """By asset and item since when its deviation stood at a time."""
    alert, move = tables.alert.c, tables.alert_move.c
    over = select(move.alert_id).where(move.alert_id == alert.id, move.at < until, move.after == AlertState.NORMAL)
    standing = (
        select(tables.asset.c.name, alert.item, alert.raised_at)
        .join(tables.asset, tables.asset.c.id == alert.asset_id)
        .where(or_(alert.state != AlertState.NORMAL, alert.changed_at >= until))
        .where(alert.kind.in_(DEVIATIONS), alert.raised_at < until, ~over.exists())
    )
    return {(row.name, row.item): row.raised_at for row in tx.execute(standing)}


def swapped(tx: Transaction, since: datetime, until: datetime) -> list[str]:
    """The assets whose devices were seen to be replaced like for like between two times, each as often as it was."""
    alert = tables.alert.c
    seen = select(tables.asset.c.name).join(tables.alert, alert.asset_id == tables.asset.c.id)
    raised = seen.where(alert.kind == Kind.REPLACED, alert.raised_at >= since, alert.raised_at < until)
    return list(tx.execute(raised.order_by(alert.id)).scalars())


def names_now(tx: Transaction) -> Callable[[Entry], str]:
    """How the asset that an entry is about is called now, whatever it was called when that was written."""
    renamed = [(entry.id, entry.subject, entry.detail.get("to", "")) for entry in entries_of(tx, ("asset.rename",))]

    def name(entry: Entry) -> str:
        called = entry.subject
        for number, old, new in renamed:
            if number >= entry.id and old == called:
                called = new
        return called

    return name


def approvals_by_name(tx: Transaction) -> Mapping[str, Collection[datetime]]:
    """By asset when its baselines were approved."""
    names, found = _names(tx), approvals(tx)
    return {names[asset]: times for asset, times in found.items()}
