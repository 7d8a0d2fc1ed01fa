"""From what a plant went through to its figures, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, insert, select, update

from baselines.baseline import Stage
from baselines.exposure import Onset, watched
from baselines.quality import (
    Case,
    How,
    OrderRecord,
)
from baselines.snapshot import Item, Snapshot, Unread, Value
from collectors.address import parse_address
from collectors.collector import CollectError, Poll, Target, Unreachable
from collectors.contract import Sent
from monitor import actions, store, tables
from monitor.pipeline import take
from monitor.store import Actor, Database

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
LIMIT = timedelta(minutes=2)
NAME = "line1/filler"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Life:
    """One asset, and what happens to it, minute by minute."""

    def __init__(self, database: Database, name: str = NAME) -> None:
        self.database = database
        self.name = name

    def polled(self, minutes: float, *values: Value, unread: tuple[str, ...] = (), until: float | None = None) -> None:
        """Polled with these values, once a minute until then."""
        items = [Item(f"item.i{number}", value) for number, value in enumerate(values)]
        for minute in [minutes, *range(int(minutes) + 1, int(until or 0) + 1)]:
            self._take(minute, Snapshot.of(self.name, at(minute), items, [Unread(key) for key in unread]))

    def silent(self, minutes: float) -> None:
        self._take(minutes, Unreachable(self.name, "no answer"))

    def _take(self, minutes: float, outcome: Snapshot | CollectError) -> None:
        with self.database.write() as tx:
            take(tx, Poll(Target(self.name, parse_address("modbus://plc/1")), outcome, Sent(1, 2), 0.1), at(minutes))

    def approved(self, minutes: float, *values: Value) -> None:
        snapshot = Snapshot.of(
            self.name, at(minutes), [Item(f"item.i{number}", value) for number, value in enumerate(values)]
        )
        with self.database.write() as tx:
            actions.propose(tx, snapshot, Stage.AS_LEFT, KIM, at(minutes))
            actions.approve(tx, self.name, KIM, "as it is", at(minutes))

    def acknowledged(self, minutes: float) -> None:
        with self.database.write() as tx:
            ids = [alert.id for alert in store.alerts(tx, [self.name])]
            actions.acknowledge_alerts(tx, ids, KIM, "seen", at(minutes))

    def cases(self, since: float = -1000, until: float = 1000) -> list[Case]:
        with self.database.read() as tx:
            return store.quality_records(tx, at(since), at(until))[0]

    def watched_minutes(self, since: float = -1000, until: float = 1000) -> float:
        with self.database.read() as tx:
            watches = store.quality_records(tx, at(since), at(until))[1]
        spans = [span for watch in watches for span in watched(watch, LIMIT)]
        return sum((span.end - span.start).total_seconds() for span in spans) / 60


@pytest.fixture
def life(database: Database) -> Life:
    """A filler that was seen from 0 to 10 with 1, which was approved at 5."""
    found = Life(database)
    found.polled(0, 1, until=4)
    found.approved(5, 1)
    found.polled(5.5, 1, until=10)
    return found


def test_a_value_that_came_back(life: Life) -> None:
    life.polled(11, 2, until=15)
    life.acknowledged(13)
    life.polled(16, 1, until=20)
    (case,) = life.cases()
    assert (case.asset, case.item, case.raised_at) == (NAME, "item.i0", at(11))
    assert case.onset == Onset(at(10), exact=False)
    assert (case.acknowledged_at, case.ended_at, case.how) == (at(13), at(16), How.MENDED)
    assert life.watched_minutes() == pytest.approx(15)  # from the approval on, without a gap


def test_a_new_baseline_that_was_approved(life: Life) -> None:
    life.polled(11, 2, until=15)
    life.approved(15.5, 2)
    (case,) = life.cases()
    assert (case.ended_at, case.how) == (at(15.5), How.APPROVED)


def test_what_comes_again_before_anybody_has_acknowledged_it_is_one_case_that_is_open(life: Life) -> None:
    life.polled(11, 2)
    life.polled(12, 1)
    life.polled(13, 2)
    (case,) = life.cases()
    assert (case.raised_at, case.ended_at, case.how) == (at(11), None, None)


def test_an_approval_that_raises_an_alarm_is_no_detection(life: Life) -> None:
    life.approved(12, 3)
    (case,) = life.cases()
    assert (case.raised_at, case.onset, case.how) == (at(12), None, None)


def test_silence_and_what_is_not_answered_are_no_sight_of_the_approved_value(life: Life) -> None:
    life.polled(11, unread=("item.i0",), until=20)
    life.silent(21)
    life.polled(30, 2)
    (case,) = life.cases()
    assert case.onset == Onset(at(10), exact=False)
    assert life.watched_minutes() == pytest.approx(15)  # 5 to 20


def test_the_last_sight_may_be_older_than_the_time_that_is_asked_for(life: Life) -> None:
    life.silent(11)
    life.polled(500, 2)
    (case,) = life.cases(since=400)
    assert case.onset == Onset(at(10), exact=False)


def test_the_wire_saw_the_write(life: Life) -> None:
    with life.database.write() as tx:
        number = store.asset_id(tx, NAME)
        rows = [(10.4, "1", "item.i0"), (10.5, "2", "item.i0"), (10.45, "9", "item.other"), (8, "2", "item.i0")]
        tx.execute(
            insert(tables.item_write),
            [
                {"asset_id": number, "item": item, "at": at(when), "value": value, "who": "{}"}
                for when, value, item in rows
            ],
        )
    life.polled(11, 2)
    (case,) = life.cases()
    assert case.onset == Onset(at(10.5), exact=True)


def test_who_did_it_says_when(life: Life) -> None:
    life.polled(11, 2)
    with life.database.write() as tx:
        tx.execute(update(tables.alert).values(who='{"client":"10.0.0.9","at":"2026-11-23T08:10:15.000Z"}'))
    (case,) = life.cases()
    assert case.onset == Onset(at(10.25), exact=True)


def test_what_happened_before_counts_only_while_it_is_open(life: Life) -> None:
    life.polled(11, 2)
    assert [case.how for case in life.cases(since=100)] == [None]
    life.polled(12, 1)
    life.acknowledged(13)
    assert life.cases(since=100) == []
    assert life.cases(until=11) == []


def test_what_ended_without_having_been_seen_has_no_time(life: Life) -> None:
    life.polled(11, 2)
    with life.database.write() as tx:
        tx.execute(update(tables.alert).values(state="NORMAL", cause="wrong-value"))
    (case,) = life.cases()
    assert (case.cause, case.ended_at, case.how) == ("wrong-value", None, How.OTHERWISE)


def test_announced_is_what_never_stood_before_people(life: Life) -> None:
    life.polled(11, 2)
    life.acknowledged(12)
    life.polled(13, 1)
    life.polled(14, 2)
    with life.database.write() as tx:
        tx.execute(update(tables.alert).values(state="SUPPRESSED", suppressed_by="out-of-service"))
        first = tx.execute(select(func.min(tables.alert.c.id))).scalar_one()
        move = tables.alert_move.c
        came = update(tables.alert_move).where(move.alert_id == first, move.before == "NORMAL")
        tx.execute(came.values(event="suppress", after="SUPPRESSED"))  # it was announced when it came
    announced, raised_before = life.cases()
    assert (announced.suppressed, raised_before.suppressed) == (True, False)
    assert (announced.how, raised_before.how) == (None, None)


def test_orders_with_what_became_of_them(database: Database) -> None:
    order = {"ticket": "T", "reason": "r", "starts_at": at(0), "state": "open", "opened_by": "kim"}
    with database.write() as tx:
        number = store.asset_id(tx, NAME)
        for one, closed in ((1, at(5)), (2, None), (3, at(-500))):
            tx.execute(
                insert(tables.change_order).values(id=one, opened_at=at(-900), ends_at=at(9), closed_at=closed, **order)
            )
            values = {"order_id": one, "asset_id": number, "item": "item.i0"}
            for outcome in ("as-planned", "partial"):
                tx.execute(insert(tables.expectation).values(**values, expected="1", outcome=outcome))
            tx.execute(insert(tables.excess).values(**values))
    with database.read() as tx:
        orders = store.quality_records(tx, at(0), at(10))[2]
    assert orders == [
        OrderRecord(at(9), at(5), ("as-planned", "partial"), 1),
        OrderRecord(at(9), None, ("as-planned", "partial"), 1),
    ]


def test_the_number_of_queries_does_not_grow_with_the_alarms(life: Life) -> None:
    def queries() -> int:
        asked: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            asked.append(statement)

        event.listen(life.database.engine, "before_cursor_execute", note)
        life.cases()
        event.remove(life.database.engine, "before_cursor_execute", note)
        return len(asked)

    before = queries()
    for round_ in range(5):
        life.polled(20 + 10 * round_, 2)
        life.acknowledged(22 + 10 * round_)
        life.polled(25 + 10 * round_, 1)
    assert len(life.cases()) == 5
    assert queries() == before
