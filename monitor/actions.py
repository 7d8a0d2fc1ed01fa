"""What people do: propose, approve, reject, acknowledge, shelve. Each is audited in the transaction that does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from baselines.alert import Alert, Move, acknowledge, shelve
from baselines.baseline import NEXT, Baseline, Stage, State, Step
from baselines.snapshot import Snapshot, utc_text
from monitor import store
from monitor.errors import NotNow
from monitor.pipeline import settle
from monitor.show import change_text
from monitor.store import Actor, Transaction


def propose(
    tx: Transaction, snapshot: Snapshot, stage: Stage, actor: Actor, now: datetime, reason: str = ""
) -> Baseline:
    """Propose a snapshot as an asset's baseline; an older open proposal gives way."""
    store.keep_snapshot(tx, snapshot)
    older = store.current_baseline(tx, snapshot.asset, State.PROPOSED)
    if older is not None:
        _supersede(tx, older)
    proposed = store.add_baseline(
        tx,
        Baseline(
            0, snapshot.asset, snapshot.digest, State.PROPOSED, stage, snapshot.profile, actor.name, now, reason=reason
        ),
    )
    detail = {"digest": proposed.digest, "stage": stage.value, "profile": proposed.profile, "reason": reason}
    store.audit(tx, now, actor, "baseline.propose", snapshot.asset, detail)
    return proposed


def approve(
    tx: Transaction, asset: str, actor: Actor, reason: str, now: datetime, digest: str | None = None
) -> tuple[Baseline, list[Move]]:
    """Approve the open proposal of an asset, and settle its alarms; NotNow if there is none, or not this one."""
    proposed = _open_proposal(tx, asset)
    if digest is not None and not proposed.digest.startswith(digest.lower()):
        raise NotNow(
            f"{asset}: the open proposal is {proposed.digest}, not {digest}. It has moved on: look at the difference"
            f" (asbuilt baseline diff {digest[:12]} {proposed.digest[:12]}), then approve what you saw"
        )
    current = store.current_baseline(tx, asset)
    approved = _decide(tx, proposed, Step.APPROVE, actor, reason, now)
    if current is not None:
        _supersede(tx, current)
    detail = {"digest": approved.digest, "stage": approved.stage.value, "profile": approved.profile, "reason": reason}
    store.audit(tx, now, actor, "baseline.approve", asset, detail)
    return approved, settle(tx, approved, now)


def reject(tx: Transaction, asset: str, actor: Actor, reason: str, now: datetime) -> Baseline:
    """Reject the open proposal of an asset."""
    rejected = _decide(tx, _open_proposal(tx, asset), Step.REJECT, actor, reason, now)
    store.audit(tx, now, actor, "baseline.reject", asset, {"digest": rejected.digest, "reason": reason})
    return rejected


def _open_proposal(tx: Transaction, asset: str) -> Baseline:
    proposed = store.current_baseline(tx, asset, State.PROPOSED)
    if proposed is not None:
        return proposed
    approved = store.current_baseline(tx, asset)
    if approved is not None and approved.decided_at is not None:
        when = utc_text(approved.decided_at)
        raise NotNow(
            f"{asset}: no open proposal; {approved.digest[:12]} was approved by {approved.decided_by} at {when}"
        )
    raise NotNow(f"{asset}: no open proposal; make one with asbuilt baseline propose, or asbuilt commission")


def _decide(tx: Transaction, proposed: Baseline, step: Step, actor: Actor, reason: str, now: datetime) -> Baseline:
    state = NEXT[proposed.state, step]
    decided = replace(proposed, state=state, decided_by=actor.name, decided_at=now, reason=reason or proposed.reason)
    if not store.move_baseline(tx, decided, State.PROPOSED):
        raise NotNow(f"{proposed.asset}: somebody else decided on this proposal a moment ago")
    return decided


def _supersede(tx: Transaction, older: Baseline) -> None:
    store.move_baseline(tx, replace(older, state=NEXT[older.state, Step.SUPERSEDE]), older.state)


def acknowledge_alerts(tx: Transaction, ids: Sequence[int], actor: Actor, reason: str, now: datetime) -> list[Move]:
    """Acknowledge alarms, all of them or none; NotNow names the one that cannot be."""
    moves = []
    for alert in _alerts(tx, ids):
        move = acknowledge(alert, actor.name, reason, now)
        if move is None:
            raise NotNow(f"alarm {alert.id} ({alert.asset} {alert.item}) is {alert.state}: nothing to acknowledge")
        moves.append(_do(tx, move, "alert.acknowledge", actor, {"reason": reason}, now))
    return moves


def shelve_alert(tx: Transaction, number: int, until: datetime, actor: Actor, reason: str, now: datetime) -> Move:
    """Put an alarm away until a time."""
    if until <= now:
        raise NotNow(f"{utc_text(until)} is not in the future: an alarm is shelved until a later time")
    (alert,) = _alerts(tx, [number])
    move = shelve(alert, until, reason, now)
    if move is None:
        raise NotNow(f"alarm {number} ({alert.asset} {alert.item}) is {alert.state}: it cannot be shelved")
    return _do(tx, move, "alert.shelve", actor, {"reason": reason, "until": utc_text(until)}, now)


def _alerts(tx: Transaction, ids: Sequence[int]) -> list[Alert]:
    found = {alert.id: alert for alert in store.alerts(tx, ids=ids, closed=True)}
    for number in ids:
        if number not in found:
            raise NotNow(f"there is no alarm {number}; asbuilt alerts list shows them")
    return [found[number] for number in dict.fromkeys(ids)]


def _do(tx: Transaction, move: Move, action: str, actor: Actor, detail: dict[str, str], now: datetime) -> Move:
    alert = move.alert
    change = change_text(alert.item, alert.kind, alert.approved, alert.observed, alert.direction)
    store.audit(tx, now, actor, action, alert.asset, detail | {"alert": str(alert.id), "deviation": change})
    return store.store_move(tx, move, actor.name)
