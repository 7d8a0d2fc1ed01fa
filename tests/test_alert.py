"""Alarms by ISA-18.2: every transition, and that none is ever lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from baselines.alert import (
    NEXT,
    Alert,
    AlertState,
    Event,
    Move,
    acknowledge,
    advance,
    contradict,
    happened,
    over,
    shelve,
    unshelve,
)
from baselines.drift import Kind, compare, verdicts
from baselines.rules import Direction, Finding, assess, contradiction, occurrence
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, Value
from baselines.wire import Operation, WireEvent

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

# By ANSI/ISA-18.2. Columns: deviates, moves-on, conforms, acknowledge, shelve, unshelve, suppress, unsuppress, retire;
# "." changes nothing.
TABLE = """
    NORMAL      UNACK .     .         .      .       .     SUPPRESSED .     .
    UNACK       .     .     RTN_UNACK ACKED  SHELVED .     SUPPRESSED .     NORMAL
    ACKED       .     UNACK NORMAL    .      SHELVED .     SUPPRESSED .     NORMAL
    RTN_UNACK   UNACK .     .         NORMAL SHELVED .     SUPPRESSED .     NORMAL
    SHELVED     .     .     .         .      .       UNACK .          .     NORMAL
    SUPPRESSED  .     .     NORMAL    .      .       .     .          UNACK NORMAL
"""
ROWS = [line.split() for line in TABLE.split("\n") if line.strip()]
CASES = [
    (AlertState(row[0]), event, AlertState(after) if after != "." else None)
    for row in ROWS
    for event, after in zip(Event, row[1:], strict=True)
]


@pytest.mark.parametrize(("state", "event", "after"), CASES)
def test_transition(state: AlertState, event: Event, after: AlertState | None) -> None:
    assert NEXT.get((state, event)) == after


def test_the_table_of_cases_is_the_whole_table() -> None:
    assert {(state, event) for state, event, _ in CASES} == set(product(AlertState, Event))


def snapshot(items: Mapping[str, Value], *unread: str) -> Snapshot:
    made = [Item(key, value, Category.PARAMETER, Severity.HIGH) for key, value in items.items()]
    return Snapshot.of("plc", NOW, made, [Unread(key) for key in unread])


APPROVED = snapshot({"item.a": 1, "item.b": 1, "device.c": 1})


def moves(alerts: list[Alert], observed: Snapshot, approved: Snapshot = APPROVED, now: datetime = LATER) -> list[Move]:
    findings = assess(compare(approved, observed))
    return advance(alerts, findings, verdicts(approved, observed), observed, now)


def alarm(state: AlertState, item: str = "item.a", observed: object = 2, kind: Kind = Kind.CHANGED) -> Alert:
    who = "kim" if state is AlertState.ACKED else None
    until = LATER if state is AlertState.SHELVED else None
    return Alert(
        "plc",
        item,
        kind,
        1,
        observed,
        Severity.HIGH,
        Category.PARAMETER,
        ("T0836",),
        None,
        NOW,
        NOW,
        state,
        who,
        until,
        "why",
        7,
    )


DRIFTED, FURTHER = {"item.a": 2, "item.b": 1, "device.c": 1}, {"item.a": 3, "item.b": 1, "device.c": 1}
AS_APPROVED = {"item.a": 1, "item.b": 1, "device.c": 1}


@pytest.mark.parametrize(
    ("state", "observed", "after"),
    [
        ("UNACK", DRIFTED, None),
        ("ACKED", DRIFTED, None),
        ("SHELVED", DRIFTED, None),
        ("SUPPRESSED", DRIFTED, "UNACK"),  # nothing suppresses it any more
        ("RTN_UNACK", DRIFTED, "UNACK"),
        ("UNACK", FURTHER, "UNACK"),
        ("ACKED", FURTHER, "UNACK"),
        ("RTN_UNACK", FURTHER, "UNACK"),
        ("SHELVED", FURTHER, "SHELVED"),
        ("SUPPRESSED", FURTHER, "UNACK"),
        ("UNACK", AS_APPROVED, "RTN_UNACK"),
        ("ACKED", AS_APPROVED, "NORMAL"),
        ("RTN_UNACK", AS_APPROVED, None),
        ("SHELVED", AS_APPROVED, None),
        ("SUPPRESSED", AS_APPROVED, "NORMAL"),
    ],
)
def test_an_observation_moves_an_alarm(state: str, observed: dict[str, Value], after: str | None) -> None:
    known = alarm(AlertState(state))
    found = moves([known], snapshot(observed))
    assert [(move.before, move.alert.state) for move in found] == ([(state, after)] if after else [])
    for move in found:
        assert (move.alert.id, move.alert.raised_at, move.alert.changed_at) == (known.id, NOW, LATER)
        assert (move.alert.shelved_until, move.alert.reason) == (known.shelved_until, known.reason)
        if observed is not AS_APPROVED:
            assert move.alert.observed == observed["item.a"]


@pytest.mark.parametrize("state", [each for each in AlertState if each is not AlertState.NORMAL])
@pytest.mark.parametrize("gap", ["item.a", "item"])
def test_what_was_not_read_holds_its_alarm(state: AlertState, gap: str) -> None:
    assert moves([alarm(state)], snapshot({"device.c": 1}, gap)) == []


@pytest.mark.parametrize("gap", ["device.new", "device"])
def test_an_item_that_was_added_and_is_not_read_now_holds_its_alarm(gap: str) -> None:
    known = alarm(AlertState.UNACK, "device.new", kind=Kind.ADDED)
    assert "device.new" not in [move.alert.item for move in moves([known], snapshot({"item.a": 1}, gap))]


def test_an_item_that_was_added_and_is_gone_again_conforms() -> None:
    known = replace(alarm(AlertState.ACKED, "device.new", kind=Kind.ADDED), approved=None)
    (move,) = moves([known], snapshot(AS_APPROVED))
    assert (move.event, move.alert.state) == (Event.CONFORMS, AlertState.NORMAL)


def test_an_item_that_the_profile_no_longer_reads_holds_its_alarm() -> None:
    assert moves([alarm(AlertState.UNACK)], snapshot({"item.b": 1, "device.c": 1})) == []


def test_one_alarm_per_item_and_it_tells_what_deviates() -> None:
    found = {move.alert.item: move.alert for move in moves([], snapshot({"item.a": 2, "item.b": 1, "device.d": 5}))}
    assert {key: (each.kind, each.approved, each.observed) for key, each in found.items()} == {
        "item.a": ("changed", 1, 2),
        "device.c": ("removed", 1, None),
        "device.d": ("added", None, 5),
    }
    assert {(each.state, each.asset, each.severity, each.id) for each in found.values()} == {
        (AlertState.UNACK, "plc", Severity.HIGH, 0)
    }
    assert found["item.a"].techniques == ("T0836",)


@pytest.mark.parametrize("value", [0, False, "", b"", None, ()])
def test_a_value_that_is_empty_is_told_as_it_is(value: Value) -> None:
    (move,) = moves([], snapshot({"item.a": value}), snapshot({"item.a": 1}))
    assert move.alert.observed == ("" if value == b"" else [] if value == () else value)
    assert type(move.alert.observed) is not Item


@pytest.mark.parametrize(("before", "after"), [(True, 1), (1, 1.0), ("1", 1)])
def test_another_value_that_looks_the_same_is_a_further_change(before: Value, after: Value) -> None:
    approved = snapshot({"item.a": "approved"})
    (raised,) = moves([], snapshot({"item.a": before}), approved)
    acked = acknowledge(replace(raised.alert, id=1), "kim", "", NOW)
    assert acked is not None
    assert [move.alert.state for move in moves([acked.alert], snapshot({"item.a": after}), approved)] == ["UNACK"]


def test_jitter_within_the_tolerance_is_no_further_change() -> None:
    approved, first, jitter = (
        Snapshot.of("plc", NOW, [Item("item.a", value, tolerance=0.05)]) for value in (12.0, 14.0, 14.01)
    )
    (raised,) = moves([], first, approved)
    acked = acknowledge(replace(raised.alert, id=1), "kim", "", NOW)
    assert acked is not None
    assert [move.alert.state for move in moves([acked.alert], jitter, approved)] == []


def test_an_alarm_that_is_normal_does_not_stand_in_the_way_of_a_new_one() -> None:
    (move,) = moves([alarm(AlertState.NORMAL)], snapshot(DRIFTED))
    assert (move.alert.id, move.alert.state) == (0, AlertState.UNACK)


def test_a_further_change_is_no_longer_acknowledged_by_anybody() -> None:
    (move,) = moves([alarm(AlertState.ACKED)], snapshot(FURTHER))
    assert (move.event, move.alert.acknowledged_by, move.alert.observed) == (Event.MOVES_ON, None, 3)


def test_a_further_downgrade_makes_an_alarm_critical() -> None:
    approved, lower = (
        Snapshot.of("plc", NOW, [Item("identity.software_revision", text, Category.FIRMWARE, Severity.HIGH)])
        for text in ("2.1", "2.0")
    )
    known = alarm(AlertState.ACKED, "identity.software_revision", "2.2")
    (move,) = moves([known], lower, approved)
    assert (move.alert.severity, move.alert.direction) == (Severity.CRITICAL, Direction.DOWNGRADE)


@pytest.mark.parametrize(
    ("state", "after"), [("UNACK", "ACKED"), ("RTN_UNACK", "NORMAL"), ("ACKED", None), ("SHELVED", None)]
)
def test_acknowledge(state: str, after: str | None) -> None:
    move = acknowledge(alarm(AlertState(state)), "kim", "seen", LATER)
    assert (move and move.alert.state) == after
    if move:
        assert (move.alert.acknowledged_by, move.alert.reason, move.alert.changed_at) == ("kim", "seen", LATER)


@pytest.mark.parametrize("state", ["UNACK", "ACKED", "RTN_UNACK"])
def test_a_shelved_alarm_comes_back_unacknowledged_when_its_time_is_over(state: str) -> None:
    put_away = shelve(alarm(AlertState(state)), LATER, "maintenance", NOW)
    assert put_away is not None
    shelved = put_away.alert
    assert (shelved.state, shelved.shelved_until, shelved.reason) == (AlertState.SHELVED, LATER, "maintenance")
    assert unshelve(shelved, LATER - timedelta(seconds=1)) is None
    back = unshelve(shelved, LATER)
    assert back is not None
    assert (back.alert.state, back.alert.shelved_until) == (AlertState.UNACK, None)


@pytest.mark.parametrize("state", ["NORMAL", "SHELVED", "SUPPRESSED"])
def test_what_is_not_open_cannot_be_shelved(state: str) -> None:
    assert shelve(alarm(AlertState(state)), LATER, "", NOW) is None


def test_what_is_not_shelved_is_not_brought_back() -> None:
    assert unshelve(alarm(AlertState.UNACK), LATER) is None
    assert unshelve(replace(alarm(AlertState.UNACK), shelved_until=NOW), LATER) is None


KEYS = st.sampled_from(["item.a", "device.b", "device.c"])
READINGS = st.sampled_from([[], [], ["item"], ["device"], ["device.c"], ["item.a", "device.b"]])  # what stays unread


class AlarmsOfAPlc(RuleBasedStateMachine):
    """A PLC that is changed, polled in part or whole and approved, while people acknowledge and shelve."""

    @initialize(items=st.dictionaries(KEYS, st.integers(0, 1)))
    def commission(self, items: dict[str, Value]) -> None:
        self.plc: dict[str, Value] = dict(items)
        self.approved = snapshot(items)
        self.alerts: dict[int, Alert] = {}
        self.deviating: dict[str, Value] = {}  # by what was last seen of each item; None: it is gone
        self.now = NOW

    @rule(key=KEYS, value=st.integers(0, 2) | st.none(), gaps=READINGS)
    def change_and_poll(self, key: str, value: int | None, gaps: list[str]) -> None:
        self.plc.pop(key, None)
        if value is not None:
            self.plc[key] = value
        read = {key: value for key, value in self.plc.items() if not any(Unread(gap).covers(key) for gap in gaps)}
        self.observe(snapshot(read, *gaps))

    def observe(self, observed: Snapshot) -> None:
        deviations = {each.key: each for each in compare(self.approved, observed)}
        for move in moves(self.open(), observed, self.approved, self.now):
            known = self.alerts.get(move.alert.id)
            assert move.before is (known.state if known else AlertState.NORMAL)
            assert not observed.misses(move.alert.item), "what was not observed moves nothing"
            self.store(move)
        for key in {*deviations, *self.deviating}:
            if key in deviations:
                found = deviations[key].observed
                self.deviating[key] = None if found is None else found.value
            elif key in observed.by_key or not (observed.misses(key) or key.startswith("item.")):
                self.deviating.pop(key)
        self.none_is_lost()

    @rule(data=st.data())
    def acknowledge_one(self, data: st.DataObject) -> None:
        if self.alerts:
            self.store(acknowledge(self.alerts[data.draw(st.sampled_from(sorted(self.alerts)))], "kim", "", self.now))
            self.none_is_lost()

    @rule(data=st.data())
    def shelve_one(self, data: st.DataObject) -> None:
        if self.alerts:
            alert = self.alerts[data.draw(st.sampled_from(sorted(self.alerts)))]
            self.store(shelve(alert, self.now + timedelta(minutes=2), "", self.now))
            self.none_is_lost()

    @rule()
    def a_minute_goes_by(self) -> None:
        self.now += timedelta(minutes=1)
        for alert in self.open():
            self.store(unshelve(alert, self.now))
        self.none_is_lost()

    @rule()
    def approve_what_is_there(self) -> None:
        observed = snapshot(self.plc)
        self.approved = observed
        self.deviating.clear()
        self.observe(observed)
        assert all(alert.state is not AlertState.ACKED for alert in self.alerts.values())

    def open(self) -> list[Alert]:
        return [alert for alert in self.alerts.values() if alert.state is not AlertState.NORMAL]

    def store(self, move: Move | None) -> None:
        if move:
            number = move.alert.id or len(self.alerts) + 1
            self.alerts[number] = replace(move.alert, id=number)

    def none_is_lost(self) -> None:
        by_item = {alert.item: alert for alert in self.open()}
        assert len(by_item) == len(self.open()), "one alarm per item"
        for key, value in self.deviating.items():
            assert by_item[key].state is not AlertState.RTN_UNACK
            assert by_item[key].observed == value


AlarmsOfAPlc.TestCase.settings = settings(max_examples=100, stateful_step_count=20)
TestAlarmsOfAPlc = AlarmsOfAPlc.TestCase


# ---- What was heard

LIE = contradiction("model", "P-1", "P-2")


def conflict(state: AlertState) -> Alert:
    (move,) = contradict([], [LIE], (), "plc", NOW)
    return replace(move.alert, state=state, id=7)


def test_a_contradiction_is_raised_once_and_stays() -> None:
    (raised,) = contradict([], [LIE], (), "plc", NOW)
    assert (raised.event, raised.before, raised.alert.state) == (Event.DEVIATES, AlertState.NORMAL, AlertState.UNACK)
    assert (raised.alert.kind, raised.alert.approved, raised.alert.observed) == (Kind.CONFLICT, "P-1", "P-2")
    assert contradict([raised.alert], [LIE], (), "plc", LATER) == []


@pytest.mark.parametrize(
    ("state", "findings", "agreed", "after"),
    [
        (AlertState.UNACK, [], {"witness.model"}, AlertState.RTN_UNACK),
        (AlertState.ACKED, [], {"witness.model"}, AlertState.NORMAL),
        (AlertState.ACKED, [], {"witness.serial_number"}, None),  # nothing was said of this one
        (AlertState.ACKED, [], (), None),
        (AlertState.SHELVED, [], {"witness.model"}, None),
        (AlertState.ACKED, [contradiction("model", "P-1", "P-3")], (), AlertState.UNACK),
        (AlertState.RTN_UNACK, [LIE], (), AlertState.UNACK),
    ],
)
def test_a_contradiction_moves_on_and_ends(
    state: AlertState, findings: list[Finding], agreed: set[str], after: AlertState | None
) -> None:
    moved = contradict([conflict(state)], findings, agreed, "plc", LATER)
    assert [(move.alert.id, move.alert.state) for move in moved] == ([(7, after)] if after else [])


def test_a_poll_moves_no_alarm_of_the_wire_and_agreement_none_of_a_poll() -> None:
    (event, *_), _ = doing()
    assert moves([conflict(AlertState.UNACK), event.alert], APPROVED) == []
    (drift,) = moves([], snapshot({"item.a": 2, "item.b": 1, "device.c": 1}))
    assert contradict([drift.alert], [], {"item.a"}, "plc", LATER) == []


def doing(*alerts: Alert, at: datetime = NOW) -> tuple[list[Move], Alert]:
    """Something is done, and over."""
    event = WireEvent(at, 1, "10.0.0.1", "10.0.0.2", "s7comm", Operation.STOP)
    raised = happened(alerts, occurrence(event, "ENG-7"), "plc", at)
    ended = over(raised.alert, at)
    return [raised, *([ended] if ended else [])], (ended or raised).alert


def test_what_was_done_waits_to_be_acknowledged() -> None:
    (raised, ended), alert = doing()
    assert (raised.event, ended.event, alert.state) == (Event.DEVIATES, Event.CONFORMS, AlertState.RTN_UNACK)
    assert (alert.kind, (alert.who or {})["name"]) == (Kind.EVENT, "ENG-7")
    seen = acknowledge(alert, "kim", "I did", LATER)
    assert seen is not None
    assert seen.alert.state is AlertState.NORMAL


def test_done_again_it_is_the_same_alarm_unless_somebody_has_seen_it() -> None:
    _, alert = doing()
    alert = replace(alert, id=7)
    again, after = doing(alert, at=LATER)
    assert [(move.alert.id, move.alert.state) for move in again] == [(7, AlertState.UNACK), (7, AlertState.RTN_UNACK)]
    assert (after.raised_at, (after.who or {})["at"]) == (NOW, "2026-11-23T09:00:00.000Z")
    seen = acknowledge(alert, "kim", "I did", LATER)
    assert seen is not None
    assert doing(seen.alert, at=LATER)[1].id == 0, "another alarm"
    shelved = shelve(alert, LATER, "rebuilding", NOW)
    assert shelved is not None
    moved, _ = doing(shelved.alert)
    assert [move.alert.state for move in moved] == [AlertState.SHELVED]
    assert moved[0].alert.shelved_until == LATER
