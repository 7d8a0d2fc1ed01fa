"""What people do: each thing once, by somebody, and written down in the same transaction."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from baselines.alert import AlertState
from baselines.baseline import NEXT, Stage, State, Step
from baselines.snapshot import Item, Snapshot
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import actions, store
from monitor.errors import NotNow
from monitor.pipeline import take
from monitor.store import Actor, Database, Transaction
from tests.evidences import stored_flaw

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KIM, LEE = Actor("kim", "kim@workstation"), Actor("lee", "root@server")


@pytest.mark.parametrize(
    ("state", "step", "after"),
    [
        (State.PROPOSED, Step.APPROVE, State.APPROVED),
        (State.PROPOSED, Step.REJECT, State.REJECTED),
        (State.PROPOSED, Step.SUPERSEDE, State.SUPERSEDED),
        (State.APPROVED, Step.SUPERSEDE, State.SUPERSEDED),
    ],
)
def test_what_happens_to_a_baseline(state: State, step: Step, after: State) -> None:
    assert NEXT[state, step] is after


def test_nothing_else_happens_to_a_baseline() -> None:
    assert len(NEXT) == 4
    decided = (State.REJECTED, State.SUPERSEDED)
    assert not set(NEXT) & {*product(decided, Step), (State.APPROVED, Step.APPROVE), (State.APPROVED, Step.REJECT)}


def snapshot(value: int, asset: str = "plc") -> Snapshot:
    return Snapshot.of(asset, NOW, [Item("item.a", value)], profile="p" * 64)


def observe(tx: Transaction, value: int) -> None:
    take(tx, Poll(Target("plc", parse_address("modbus://plc/1")), snapshot(value), Sent(), 0.0), NOW)


def proposed(tx: Transaction, value: int) -> None:
    actions.propose(tx, snapshot(value), Stage.SAT, KIM, NOW)


def approved(tx: Transaction, value: int) -> None:
    proposed(tx, value)
    actions.approve(tx, "plc", LEE, "acceptance", LATER)


def state_of(tx: Transaction) -> list[str]:
    return [baseline.state for baseline in store.baselines(tx)]


def audited(tx: Transaction) -> list[str]:
    chain = list(store.audit_entries(tx))
    assert stored_flaw(tx) is None
    return [entry.action for entry in chain]


def test_a_proposal_is_approved_by_somebody_for_a_reason(database: Database) -> None:
    with database.write() as tx:
        proposed(tx, 1)
        baseline, moves = actions.approve(tx, "plc", LEE, "acceptance", LATER)
        assert store.current_baseline(tx, "plc") == baseline
        entries = list(store.audit_entries(tx))
    assert (baseline.state, baseline.stage, baseline.digest) == (State.APPROVED, Stage.SAT, snapshot(1).digest)
    assert (baseline.proposed_by, baseline.proposed_at) == ("kim", NOW)
    assert (baseline.decided_by, baseline.decided_at, baseline.reason) == ("lee", LATER, "acceptance")
    assert (baseline.profile, moves) == ("p" * 64, [])
    assert [(entry.actor, entry.account, entry.action, entry.subject) for entry in entries] == [
        ("kim", "kim@workstation", "baseline.propose", "plc"),
        ("lee", "root@server", "baseline.approve", "plc"),
    ]
    assert dict(entries[1].detail) == {
        "digest": baseline.digest,
        "stage": "sat",
        "profile": "p" * 64,
        "reason": "acceptance",
        "role": "",
        "ticket": "",
    }


def test_a_newer_proposal_takes_the_place_of_an_open_one(database: Database) -> None:
    with database.write() as tx:
        proposed(tx, 1)
        proposed(tx, 2)
        assert state_of(tx) == ["superseded", "proposed"]
        approved(tx, 3)
        proposed(tx, 4)
        assert state_of(tx) == ["superseded", "superseded", "approved", "proposed"]
        actions.approve(tx, "plc", LEE, "", LATER)
        assert state_of(tx) == ["superseded", "superseded", "superseded", "approved"]


def test_a_rejected_proposal_leaves_the_approved_baseline(database: Database) -> None:
    with database.write() as tx:
        approved(tx, 1)
        proposed(tx, 2)
        rejected = actions.reject(tx, "plc", LEE, "not ours", LATER)
        assert (rejected.state, rejected.decided_by, rejected.reason) == (State.REJECTED, "lee", "not ours")
        assert state_of(tx) == ["approved", "rejected"]
        assert audited(tx) == ["baseline.propose", "baseline.approve", "baseline.propose", "baseline.reject"]


@pytest.mark.parametrize(
    ("prepare", "do", "why"),
    [
        (None, lambda tx: actions.approve(tx, "plc", KIM, "", NOW), "no open proposal; make one with asbuilt baseline"),
        (None, lambda tx: actions.reject(tx, "plc", KIM, "", NOW), "no open proposal"),
        (
            lambda tx: approved(tx, 1),
            lambda tx: actions.approve(tx, "plc", KIM, "", NOW),
            r"plc: no open proposal; [0-9a-f]{12} was approved by lee at 2026-11-23T09:00:00.000Z",
        ),
        (
            lambda tx: proposed(tx, 1),
            lambda tx: actions.approve(tx, "plc", KIM, "", NOW, digest="0" * 64),
            "the open proposal is .*, not 0{64}. It has moved on",
        ),
        (None, lambda tx: actions.approve(tx, "other", KIM, "", NOW), "other: no open proposal"),
        (
            None,
            lambda tx: actions.acknowledge_alerts(tx, [5], KIM, "", NOW),
            "there is no alarm 5; asbuilt alerts",
        ),
        (None, lambda tx: actions.shelve_alert(tx, 5, LATER, KIM, "", NOW), "there is no alarm 5"),
        (None, lambda tx: actions.shelve_alert(tx, 5, NOW, KIM, "", NOW), "2026-11-23T08:00:00.000Z is not in the fut"),
    ],
)
def test_what_cannot_be_done_now_is_said_and_changes_nothing(
    database: Database, prepare: Callable[[Transaction], None] | None, do: Callable[[Transaction], Any], why: str
) -> None:
    with database.write() as tx:
        if prepare:
            prepare(tx)
        before = state_of(tx), audited(tx)
        with pytest.raises(NotNow, match=why):
            do(tx)
        assert (state_of(tx), audited(tx)) == before


@pytest.mark.parametrize("length", [12, 64])
def test_a_proposal_is_approved_by_the_beginning_of_its_digest(database: Database, length: int) -> None:
    with database.write() as tx:
        proposed(tx, 1)
        actions.approve(tx, "plc", KIM, "", NOW, digest=snapshot(1).digest[:length].upper())
        assert state_of(tx) == ["approved"]


def test_of_two_approvals_at_once_one_wins_and_the_other_is_told(database: Database, url: str) -> None:
    with database.write() as tx:
        proposed(tx, 1)
    start = threading.Barrier(2)

    def approve(actor: Actor) -> str:
        with contextlib.closing(Database(url)) as other:
            start.wait()
            try:
                with other.write() as tx:
                    actions.approve(tx, "plc", actor, "mine", LATER)
            except NotNow as refused:
                return str(refused)
        return "won"

    with ThreadPoolExecutor() as threads:
        outcomes = sorted(threads.map(approve, [KIM, LEE]))
    assert outcomes[1] == "won"
    assert "plc: no open proposal" in outcomes[0]
    with database.read() as tx:
        assert state_of(tx) == ["approved"]
        assert audited(tx) == ["baseline.propose", "baseline.approve"]


def test_a_proposal_that_somebody_decided_meanwhile_is_not_decided_again(database: Database) -> None:
    with database.write() as tx:
        proposed(tx, 1)
        seen = store.current_baseline(tx, "plc", State.PROPOSED)
        assert seen is not None
        actions.reject(tx, "plc", LEE, "", NOW)
        with pytest.raises(NotNow, match="somebody else decided on this proposal a moment ago"):
            actions._decide(tx, seen, Step.APPROVE, KIM, "", NOW)
        assert state_of(tx) == ["rejected"]


def test_alarms_are_acknowledged_all_or_none(database: Database) -> None:
    with database.write() as tx:
        approved(tx, 1)
        observe(tx, 2)
        (alert,) = store.alerts(tx)
    with database.write() as tx, pytest.raises(NotNow, match="there is no alarm 99"):
        actions.acknowledge_alerts(tx, [alert.id, 99], KIM, "", NOW)
    with database.write() as tx:
        assert [each.state for each in store.alerts(tx)] == [AlertState.UNACK]
        (move,) = actions.acknowledge_alerts(tx, [alert.id, alert.id], KIM, "seen", LATER)
        assert store.alerts(tx) == [move.alert]
        assert (move.alert.state, move.alert.acknowledged_by, move.alert.reason) == (AlertState.ACKED, "kim", "seen")
        with pytest.raises(NotNow, match=rf"alarm {alert.id} \(plc item.a\) is ACKED: nothing to acknowledge"):
            actions.acknowledge_alerts(tx, [alert.id], LEE, "", LATER)
        assert audited(tx)[2:] == ["alert.acknowledge"]
        detail = dict(list(store.audit_entries(tx))[-1].detail)
    assert detail == {"alert": str(alert.id), "deviation": "item.a changed from 1 to 2", "reason": "seen"}


def test_an_alarm_is_shelved_until_a_time(database: Database) -> None:
    with database.write() as tx:
        approved(tx, 1)
        observe(tx, 2)
        (alert,) = store.alerts(tx)
        move = actions.shelve_alert(tx, alert.id, LATER, KIM, "maintenance", NOW)
        assert (move.alert.state, move.alert.shelved_until) == (AlertState.SHELVED, LATER)
        observe(tx, 1)
        observe(tx, 2)
        assert [each.state for each in store.alerts(tx)] == [AlertState.SHELVED]
        with pytest.raises(NotNow, match="is SHELVED: it cannot be shelved"):
            actions.shelve_alert(tx, alert.id, LATER, KIM, "", NOW)
        entry = list(store.audit_entries(tx))[-1]
        assert (entry.action, entry.detail["until"]) == ("alert.shelve", "2026-11-23T09:00:00.000Z")


def test_after_all_that_people_did_the_audit_chain_is_whole(database: Database) -> None:
    with database.write() as tx:
        approved(tx, 1)
        observe(tx, 2)
        actions.acknowledge_alerts(tx, [alert.id for alert in store.alerts(tx)], KIM, "ü \n \u2028", NOW)
        approved(tx, 2)
        proposed(tx, 3)
        actions.reject(tx, "plc", LEE, "", NOW)
    with database.read() as tx:
        assert len(audited(tx)) == 7
