"""What is kept, and how it is read back. Every function takes the transaction that it is part of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from baselines.alert import Alert, AlertState, Move
from baselines.audit import GENESIS, AuditEntry
from baselines.baseline import Baseline, Stage, State
from baselines.drift import Kind
from baselines.rules import Direction
from baselines.snapshot import Category, Severity, Snapshot, parse_snapshot
from monitor import tables


@dataclass(frozen=True, slots=True)
class Run:
    """Equal outcomes in a row: a snapshot (`digest`, `profile`) or an outage (`cause`, `cause_text`).

    `longest_gap` is the longest time between two of its polls, in seconds.
    """

    id: int
    asset: str
    digest: str | None
    profile: str | None
    cause: str | None
    cause_text: str | None
    first_at: datetime
    last_at: datetime
    polls: int
    longest_gap: float

    @property
    def is_outage(self) -> bool:
        return self.digest is None

    def extended(self, at: datetime) -> Run:
        """The run with one more poll, at a time that does not go back."""
        at = max(at, self.last_at)
        gap = (at - self.last_at).total_seconds()
        return replace(self, last_at=at, polls=self.polls + 1, longest_gap=max(self.longest_gap, gap))


# Assets


def asset_id(tx: Connection, name: str) -> int:
    """The number of an asset; it gets one when it is first heard of."""
    found = tx.execute(select(tables.asset.c.id).where(tables.asset.c.name == name)).scalar()
    if found is None:
        found = tx.execute(insert(tables.asset).values(name=name).returning(tables.asset.c.id)).scalar_one()
    return int(found)


# Snapshots and runs


def keep_snapshot(tx: Connection, snapshot: Snapshot) -> None:
    """Keep what was seen, once."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(tables.snapshot).values(digest=snapshot.digest, text=snapshot.text)
    tx.execute(statement.on_conflict_do_nothing())


def snapshot_of(tx: Connection, asset: str, digest: str, taken_at: datetime, profile: str = "") -> Snapshot:
    """The snapshot kept under a digest; KeyError if there is none."""
    text = tx.execute(select(tables.snapshot.c.text).where(tables.snapshot.c.digest == digest)).scalar()
    if text is None:
        raise KeyError(digest)
    return parse_snapshot(asset, taken_at, text, profile)


def last_run(tx: Connection, asset: str, observed: bool = False) -> Run | None:
    """The newest run of an asset; with `observed` the newest that is no outage."""
    statement = _runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id.desc()).limit(1)
    if observed:
        statement = statement.where(tables.run.c.digest.is_not(None))
    row = tx.execute(statement).first()
    return None if row is None else _run(row)


def runs(tx: Connection, asset: str) -> list[Run]:
    """All runs of an asset, the oldest first."""
    return [_run(row) for row in tx.execute(_runs().where(tables.asset.c.name == asset).order_by(tables.run.c.id))]


def add_run(tx: Connection, run: Run) -> Run:
    """A new run; the one given with its number."""
    values = _run_values(run) | {"asset_id": asset_id(tx, run.asset)}
    number = tx.execute(insert(tables.run).values(values).returning(tables.run.c.id)).scalar_one()
    return replace(run, id=number)


def extend_runs(tx: Connection, extended: Iterable[Run]) -> None:
    """Bring the ends of runs up to date."""
    rows = [
        {"number": run.id, "last": run.last_at, "count": run.polls, "gap": run.longest_gap, "text": run.cause_text}
        for run in extended
    ]
    if rows:
        tx.execute(
            update(tables.run)
            .where(tables.run.c.id == bindparam("number"))
            .values(
                last_at=bindparam("last"),
                polls=bindparam("count"),
                longest_gap=bindparam("gap"),
                cause_text=bindparam("text"),
            ),
            rows,
        )


def _runs() -> Select[Any]:
    return select(tables.run, tables.asset.c.name.label("asset")).join(tables.asset)


def _run(row: Row[Any]) -> Run:
    return Run(
        row.id,
        row.asset,
        row.digest,
        row.profile,
        row.cause,
        row.cause_text,
        row.first_at,
        row.last_at,
        row.polls,
        row.longest_gap,
    )


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "digest": run.digest,
        "profile": run.profile,
        "cause": run.cause,
        "cause_text": run.cause_text,
        "first_at": run.first_at,
        "last_at": run.last_at,
        "polls": run.polls,
        "longest_gap": run.longest_gap,
    }


# Baselines


def baselines(tx: Connection, assets: Sequence[str] = (), state: State | None = None) -> list[Baseline]:
    """The baselines of some assets (of all, if none is named), the oldest first."""
    statement = select(tables.baseline, tables.asset.c.name.label("asset")).join(tables.asset)
    if assets:
        statement = statement.where(tables.asset.c.name.in_(assets))
    if state:
        statement = statement.where(tables.baseline.c.state == state)
    return [_baseline(row) for row in tx.execute(statement.order_by(tables.baseline.c.id))]


def current_baseline(tx: Connection, asset: str, state: State = State.APPROVED) -> Baseline | None:
    """The one baseline of an asset in a state: approved, or the open proposal."""
    found = baselines(tx, [asset], state)
    return found[-1] if found else None


def baseline_snapshot(tx: Connection, baseline: Baseline) -> Snapshot:
    """What a baseline holds."""
    return snapshot_of(tx, baseline.asset, baseline.digest, baseline.proposed_at, baseline.profile)


def add_baseline(tx: Connection, baseline: Baseline) -> Baseline:
    """A new baseline; the one given with its number."""
    values = {
        "asset_id": asset_id(tx, baseline.asset),
        "digest": baseline.digest,
        "state": baseline.state,
        "stage": baseline.stage,
        "profile": baseline.profile,
        "proposed_by": baseline.proposed_by,
        "proposed_at": baseline.proposed_at,
        "reason": baseline.reason,
    }
    number = tx.execute(insert(tables.baseline).values(values).returning(tables.baseline.c.id)).scalar_one()
    return replace(baseline, id=number)


def move_baseline(tx: Connection, baseline: Baseline, before: State) -> bool:
    """Store a baseline's new state; False if it is no longer in the state `before`: somebody else was first."""
    moved = tx.execute(
        update(tables.baseline)
        .where(tables.baseline.c.id == baseline.id, tables.baseline.c.state == before)
        .values(
            state=baseline.state,
            decided_by=baseline.decided_by,
            decided_at=baseline.decided_at,
            reason=baseline.reason,
        )
    )
    return moved.rowcount == 1


def _baseline(row: Row[Any]) -> Baseline:
    return Baseline(
        row.id,
        row.asset,
        row.digest,
        State(row.state),
        Stage(row.stage),
        row.profile,
        row.proposed_by,
        row.proposed_at,
        row.decided_by,
        row.decided_at,
        row.reason,
    )


# Alarms


def alerts(tx: Connection, assets: Sequence[str] = (), ids: Sequence[int] = (), closed: bool = False) -> list[Alert]:
    """The alarms that are not NORMAL (with `closed` all), of some assets or with some numbers, the oldest first."""
    statement = select(tables.alert, tables.asset.c.name.label("asset")).join(tables.asset)
    if not closed:
        statement = statement.where(tables.alert.c.state != AlertState.NORMAL)
    if assets:
        statement = statement.where(tables.asset.c.name.in_(assets))
    if ids:
        statement = statement.where(tables.alert.c.id.in_(ids))
    return [_alert(row) for row in tx.execute(statement.order_by(tables.alert.c.id))]


def shelved_until(tx: Connection, now: datetime) -> list[Alert]:
    """The shelved alarms whose time is over."""
    statement = (
        select(tables.alert, tables.asset.c.name.label("asset"))
        .join(tables.asset)
        .where(tables.alert.c.state == AlertState.SHELVED, tables.alert.c.shelved_until <= now)
    )
    return [_alert(row) for row in tx.execute(statement)]


def store_move(tx: Connection, move: Move, by: str | None = None) -> Move:
    """Store how an alarm moved; the move with the alarm's number."""
    values = _alert_values(move.alert)
    if move.alert.id:
        tx.execute(update(tables.alert).where(tables.alert.c.id == move.alert.id).values(values))
        number = move.alert.id
    else:
        values["asset_id"] = asset_id(tx, move.alert.asset)
        number = tx.execute(insert(tables.alert).values(values).returning(tables.alert.c.id)).scalar_one()
    tx.execute(
        insert(tables.alert_move).values(
            alert_id=number,
            at=move.alert.changed_at,
            event=move.event,
            before=move.before,
            after=move.alert.state,
            observed=values["observed"],
            by=by,
            reason=move.alert.reason,
        )
    )
    return replace(move, alert=replace(move.alert, id=number))


def _alert_values(alert: Alert) -> dict[str, Any]:
    return {
        "item": alert.item,
        "kind": alert.kind,
        "approved": json.dumps(alert.approved),
        "observed": json.dumps(alert.observed),
        "severity": alert.severity,
        "category": alert.category,
        "techniques": " ".join(alert.techniques),
        "direction": alert.direction,
        "state": alert.state,
        "raised_at": alert.raised_at,
        "changed_at": alert.changed_at,
        "acknowledged_by": alert.acknowledged_by,
        "shelved_until": alert.shelved_until,
        "reason": alert.reason,
    }


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        row.asset,
        row.item,
        Kind(row.kind),
        json.loads(row.approved),
        json.loads(row.observed),
        Severity(row.severity),
        Category(row.category),
        tuple(row.techniques.split()),
        Direction(row.direction) if row.direction else None,
        row.raised_at,
        row.changed_at,
        AlertState(row.state),
        row.acknowledged_by,
        row.shelved_until,
        row.reason,
        row.id,
    )


# The audit chain


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name that they give, and the operating system's word for them (user@host)."""

    name: str
    account: str


def audit(
    tx: Connection, at: datetime, actor: Actor, action: str, subject: str = "", detail: Mapping[str, str] | None = None
) -> AuditEntry:
    """Append an entry to the chain."""
    last = tx.execute(
        select(tables.audit_entry.c.id, tables.audit_entry.c.hash).order_by(tables.audit_entry.c.id.desc()).limit(1)
    ).first()
    number, previous = (last.id + 1, last.hash) if last else (1, GENESIS)
    entry = AuditEntry(number, at, actor.name, actor.account, action, subject, dict(detail or {}), previous)
    entry = replace(entry, hash=entry.computed_hash())
    tx.execute(
        insert(tables.audit_entry).values(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            account=entry.account,
            action=entry.action,
            subject=entry.subject,
            detail=json.dumps(entry.detail, sort_keys=True),
            previous=entry.previous,
            hash=entry.hash,
        )
    )
    return entry


def last_audit_id(tx: Connection) -> int:
    """The number of the newest entry; 0 for an empty chain."""
    return tx.execute(select(func.max(tables.audit_entry.c.id))).scalar() or 0


def audit_entries(tx: Connection, after: int = 0) -> Iterable[AuditEntry]:
    """The entries with a higher number, in order."""
    statement = select(tables.audit_entry).where(tables.audit_entry.c.id > after).order_by(tables.audit_entry.c.id)
    for row in tx.execute(statement):
        yield AuditEntry(
            row.id,
            row.at,
            row.actor,
            row.account,
            row.action,
            row.subject,
            json.loads(row.detail),
            row.previous,
            row.hash,
        )


# Poll requests


@dataclass(frozen=True, slots=True)
class PollRequest:
    """A poll that a command asked of the daemon."""

    id: int
    asset: str


def request_poll(tx: Connection, asset: str, at: datetime, by: str) -> int:
    """Ask the daemon for a poll; the number under which it answers."""
    values = {"asset_id": asset_id(tx, asset), "asked_at": at, "asked_by": by}
    return int(tx.execute(insert(tables.poll_request).values(values).returning(tables.poll_request.c.id)).scalar_one())


def open_poll_requests(tx: Connection, since: datetime) -> list[PollRequest]:
    """The requests that nobody has answered; older ones were given up by those who asked."""
    statement = (
        select(tables.poll_request.c.id, tables.asset.c.name)
        .join(tables.asset)
        .where(tables.poll_request.c.answered_at.is_(None), tables.poll_request.c.asked_at >= since)
        .order_by(tables.poll_request.c.id)
    )
    return [PollRequest(row.id, row.name) for row in tx.execute(statement)]


def answer_poll(tx: Connection, ids: Sequence[int], answer: Mapping[str, Any], at: datetime) -> None:
    """Answer poll requests with the JSON document of their asset."""
    tx.execute(
        update(tables.poll_request)
        .where(tables.poll_request.c.id.in_(ids))
        .values(answered_at=at, answer=json.dumps(answer))
    )


def poll_answers(tx: Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The answers that are there, by request."""
    statement = select(tables.poll_request.c.id, tables.poll_request.c.answer).where(
        tables.poll_request.c.id.in_(ids), tables.poll_request.c.answered_at.is_not(None)
    )
    return {row.id: json.loads(row.answer) for row in tx.execute(statement)}


def forget_polls(tx: Connection, before: datetime) -> None:
    """Drop requests of long ago, answered or given up."""
    tx.execute(tables.poll_request.delete().where(tables.poll_request.c.asked_at < before))
