"""From a poll to what it changes: runs, alarms, and where the asset stands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from baselines.alert import AlertState, Event
from baselines.asset import Asset
from baselines.baseline import Stage
from baselines.drift import Verdict
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, Value
from collectors.address import parse_address
from collectors.collector import CollectError, Malformed, Poll, Refused, Target, Unreachable
from collectors.contract import Sent
from collectors.profile import Profiles
from monitor import actions, store
from monitor.config import Evidence, Plant, Polled
from monitor.daemon import Daemon
from monitor.notify.dispatcher import Dispatcher
from monitor.pipeline import Standing, take, unshelve_due
from monitor.polling import Poller, utc_now
from monitor.store import Actor, Database, Transaction

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
TOLERANCE = 0.05


def snapshot(*, unread: tuple[str, ...] = (), profile: str = "", **values: Value) -> Snapshot:
    items = [
        Item(f"item.{name}", value, Category.PROGRAM, Severity.CRITICAL, TOLERANCE if type(value) is float else 0.0)
        for name, value in values.items()
    ]
    return Snapshot.of("plc", NOW, items, [Unread(key, "busy") for key in unread], profile)


def polled(outcome: Snapshot | CollectError) -> Poll:
    return Poll(Target("plc", parse_address("modbus://plc/1")), outcome, Sent(1, 2), 0.1)


def commission(database: Database, taken: Snapshot) -> None:
    with database.write() as tx:
        actions.propose(tx, taken, Stage.SAT, KIM, NOW)
        actions.approve(tx, "plc", KIM, "acceptance", NOW)


def taken(database: Database, outcome: Snapshot | CollectError, at: datetime = NOW) -> Standing:
    with database.write() as tx:
        return take(tx, polled(outcome), at)[0]


def states(tx: Transaction) -> dict[str, str]:
    return {alert.item: alert.state for alert in store.alerts(tx, closed=True)}


def test_a_deviation_is_an_alarm_until_it_is_gone_and_was_seen(database: Database) -> None:
    commission(database, snapshot(a=1, b=1))
    with database.write() as tx:
        standing, (move,) = take(tx, polled(snapshot(a=2, b=1)), NOW)
        assert (standing.checked.verdict, move.event, move.before) == (Verdict.DRIFT, Event.DEVIATES, AlertState.NORMAL)
        assert (move.alert.item, move.alert.approved, move.alert.observed) == ("item.a", 1, 2)
        assert move.alert.techniques == ("T0843", "T0889")
        (finding,) = standing.checked.findings
        assert (finding.deviation.key, finding.severity) == ("item.a", Severity.CRITICAL)
        again, moves = take(tx, polled(snapshot(a=2, b=1)), NOW)
        assert (again.checked.verdict, moves) == (Verdict.DRIFT, [])
        assert states(tx) == {"item.a": "UNACK"}
        (back,) = take(tx, polled(snapshot(a=1, b=1)), NOW)[1]
        assert (back.alert.state, back.alert.id) == (AlertState.RTN_UNACK, move.alert.id)


@pytest.mark.parametrize(
    "outcome",
    [
        Unreachable("plc", "no answer within 2 s"),
        Refused("plc", "exception 2"),
        Malformed("plc", "a lie"),
        snapshot(b=1, unread=("item.a",)),
        snapshot(unread=("item",)),
    ],
    ids=lambda outcome: getattr(outcome, "kind", "unread"),
)
def test_what_was_not_read_moves_no_alarm_and_is_no_match(database: Database, outcome: Snapshot | CollectError) -> None:
    commission(database, snapshot(a=1, b=1))
    taken(database, snapshot(a=2, b=1))
    with database.write() as tx:
        standing, moves = take(tx, polled(outcome), NOW)
        assert moves == []
        assert states(tx) == {"item.a": "UNACK"}
    assert (standing.checked.verdict, standing.checked.findings) == (Verdict.NO_LONGER_OBSERVABLE, ())
    assert set(standing.checked.unread) >= ({"item"} if "item" in standing.checked.unread else {"item.a"})


def test_an_asset_that_never_answered_is_never_seen(database: Database) -> None:
    standing = taken(database, Unreachable("plc", "silent"))
    assert (standing.checked.verdict, standing.checked.unread) == (Verdict.NEVER_SEEN, ())
    assert standing.checked.error is not None


def test_without_a_baseline_nothing_is_alarmed_and_nothing_matches(database: Database) -> None:
    with database.write() as tx:
        standing, moves = take(tx, polled(snapshot(a=1)), NOW)
    assert (standing.checked.verdict, moves) == (Verdict.NO_BASELINE, [])


def test_a_value_that_jitters_within_its_tolerance_is_one_run(database: Database) -> None:
    values = [12.0, 12.05, 11.95, 12.0]
    standings = [taken(database, snapshot(a=value), NOW + timedelta(minutes=at)) for at, value in enumerate(values)]
    standing = standings[-1]
    assert standing.snapshot is not None
    assert standing.snapshot.digest == snapshot(a=12.0).digest
    assert (standing.run.polls, standing.run.longest_gap) == (4, 60)


def test_a_value_cannot_creep_away_within_its_tolerance(database: Database) -> None:
    standings = [taken(database, snapshot(a=12.0 + 0.04 * step)) for step in range(6)]
    with database.read() as tx:
        assert len(store.runs(tx, "plc")) == 3
    assert [standing.run.polls for standing in standings] == [1, 2, 1, 2, 1, 2]


def test_what_a_person_asked_for_is_kept_as_it_is(database: Database) -> None:
    with database.write() as tx:
        take(tx, polled(snapshot(a=12.0)), NOW)
        asked = snapshot(a=12.01)
        standing, _ = take(tx, polled(asked), NOW, keep=True)
        assert (standing.run.digest, standing.run.polls) == (asked.digest, 1)
        assert store.snapshot_of(tx, "plc", asked.digest, NOW).digest == asked.digest


def test_another_profile_begins_another_run(database: Database) -> None:
    taken(database, snapshot(a=1, profile="p" * 64))
    taken(database, snapshot(a=1, profile="q" * 64))
    with database.read() as tx:
        assert [run.profile for run in store.runs(tx, "plc")] == ["p" * 64, "q" * 64]


def test_an_outage_goes_on_while_its_kind_is_the_same_and_says_the_last_reason(database: Database) -> None:
    taken(database, Unreachable("plc", "no answer within 2 s"))
    standing = taken(database, Unreachable("plc", "connection refused"))
    assert (standing.run.polls, standing.run.cause_text) == (2, "connection refused")
    assert taken(database, Refused("plc", "busy")).run.polls == 1


def test_an_approval_closes_the_alarms_of_what_it_approves(database: Database) -> None:
    commission(database, snapshot(a=1, b=1))
    taken(database, snapshot(a=2, b=2))
    with database.write() as tx:
        actions.propose(tx, snapshot(a=2, b=1), Stage.AS_LEFT, KIM, NOW)
        _, moves = actions.approve(tx, "plc", KIM, "a is right", NOW)
        assert [(move.alert.item, move.alert.state) for move in moves] == [("item.a", "RTN_UNACK")]
        assert states(tx) == {"item.a": "RTN_UNACK", "item.b": "UNACK"}


def test_an_approval_raises_alarms_for_what_is_no_longer_as_approved(database: Database) -> None:
    commission(database, snapshot(a=1))
    taken(database, snapshot(a=1))
    with database.write() as tx:
        actions.propose(tx, snapshot(a=2), Stage.AS_LEFT, KIM, NOW)
        _, (move,) = actions.approve(tx, "plc", KIM, "", NOW)
        assert (move.alert.approved, move.alert.observed) == (2, 1)


def test_an_approval_settles_by_the_value_that_was_seen_last(database: Database) -> None:
    """A run keeps its first value; the one seen last may be further from what is approved now."""
    commission(database, snapshot(a=12.02))
    taken(database, snapshot(a=12.04))
    taken(database, snapshot(a=12.08))
    with database.write() as tx:
        assert states(tx) == {"item.a": "UNACK"}
        actions.propose(tx, snapshot(a=12.0), Stage.AS_LEFT, KIM, NOW)
        actions.approve(tx, "plc", KIM, "", NOW)
        assert states(tx) == {"item.a": "UNACK"}


class Scripted(Poller):
    """Polls that bring one outcome after the other, and then the last one for ever."""

    def __init__(self, outcomes: Sequence[Snapshot | CollectError]) -> None:
        super().__init__(Profiles(), utc_now)
        self.outcomes = list(outcomes)
        self.all_taken = asyncio.Event()

    async def poll(self, polled_asset: Polled, tripwire: bool = False) -> Poll:
        if len(self.outcomes) > 1:
            return polled(self.outcomes.pop(0))
        if self.outcomes:
            self.last = self.outcomes.pop()
        else:
            self.all_taken.set()
        return polled(self.last)


def watch(database: Database, *outcomes: Snapshot | CollectError) -> None:
    """Let a daemon take the outcomes."""
    nowhere = Evidence(Path(os.devnull) / "no.key")

    async def run() -> None:
        poller = Scripted(outcomes)
        asset, target = Asset("plc", "modbus://plc:502/1", "auto"), polled(outcomes[0]).target
        assets = {"plc": Polled(asset, target, timedelta(milliseconds=10))}
        plant = Plant(Path(), "plant", "UTC", "", assets, Profiles(), nowhere)
        dispatcher = Dispatcher(plant, database, utc_now, lambda: 0.0)
        daemon = Daemon(plant, database, poller, dispatcher, utc_now, jitter=lambda: 0.0)
        async with asyncio.timeout(10):
            await daemon.run(poller.all_taken)

    asyncio.run(run())


SILENCE = Unreachable("plc", "silent")  # after which a run begins anew


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([snapshot(a=12.0), snapshot(a=12.08)], "UNACK"),
        ([snapshot(a=12.0), snapshot(a=12.08), snapshot(a=12.0)], "RTN_UNACK"),
        ([SILENCE, snapshot(a=12.04), snapshot(a=12.08)], "UNACK"),
        ([snapshot(a=12.0), SILENCE, snapshot(a=12.08), snapshot(a=12.04)], "RTN_UNACK"),
    ],
)
def test_the_daemon_judges_every_value_by_what_was_approved(
    database: Database, outcomes: list[Snapshot | CollectError], state: str
) -> None:
    """12.0 ± 0.05 is: a run that began at 12.04 must not hide 12.08, nor one that began at 12.08 hide 12.04."""
    commission(database, snapshot(a=12.0))
    watch(database, *outcomes)
    with database.read() as tx:
        assert states(tx) == {"item.a": state}


def test_shelved_alarms_come_back_when_their_time_is_over(database: Database) -> None:
    commission(database, snapshot(a=1, b=1))
    taken(database, snapshot(a=2, b=2))
    until = NOW + timedelta(hours=1)
    with database.write() as tx:
        first = store.alerts(tx)[0]
        actions.shelve_alert(tx, first.id, until, KIM, "maintenance", NOW)
        assert unshelve_due(tx, until - timedelta(seconds=1)) == []
        (move,) = unshelve_due(tx, until)
        assert (move.alert.id, move.event, move.alert.state) == (first.id, Event.UNSHELVE, AlertState.UNACK)
        assert unshelve_due(tx, until) == []
