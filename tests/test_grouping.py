"""Which messages are made of what moves, whatever moves: nothing is lost, nobody is flooded, the critical come soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.alert import NEXT, AlertState, Event
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from monitor.notify.grouping import (
    CALM,
    FLAPPING,
    FLAPS,
    HOUR,
    LONGEST_URGENT,
    MOST_ASSETS,
    MOST_FLAPPING,
    MOST_NAMED,
    SETTLED,
    UNACKNOWLEDGED,
    Digest,
    Held,
    Moved,
    due,
    gather,
    is_due,
    is_for,
    next_at,
)
from monitor.routes import Route

T0 = 1_795_000_000.0
ROUTE = Route(kind="webhook", name="shift")
NORMAL, UNACK, ACKED, RTN_UNACK, SHELVED, SUPPRESSED = AlertState


def moved(alert: int = 1, severity: Severity = Severity.HIGH, event: Event = Event.DEVIATES, **more: object) -> Moved:
    before, after = {Event.CONFORMS: (UNACK, RTN_UNACK), Event.MOVES_ON: (ACKED, UNACK)}.get(event, (NORMAL, UNACK))
    made = Moved(alert, alert, event, before, after, f"plc{alert}", severity, Category.PROGRAM, Kind.CHANGED)
    return replace(made, **more)  # type: ignore[arg-type]


class Watch:
    """A route over time, looked at each second, its state stored in between as it is in the store."""

    def __init__(self, route: Route = ROUTE) -> None:
        self.route = route
        self.text = ""
        self.now = T0
        self.said: list[tuple[float, Digest]] = []

    def pass_(self, seconds: float, moves: Iterable[Moved] = ()) -> list[Digest]:
        """Let the time pass, the moves coming at its beginning; what was said meanwhile."""
        before, until = len(self.said), self.now + seconds
        self.step(moves)
        while self.now < until:
            self.now += 1
            self.step(())
        return [digest for _, digest in self.said[before:]]

    def step(self, moves: Iterable[Moved]) -> None:
        held, moves = Held.parsed(self.text), [*moves]
        if not moves and not is_due(self.route, held, self.now):
            return
        for each in moves:
            if is_for(self.route, each, ""):
                gather(self.route, held, each, self.now)
        self.said += [(self.now, digest) for digest in due(self.route, held, self.now)]
        self.text = held.text()


def told(digests: Iterable[Digest]) -> list[tuple[int, str]]:
    return [(number, digest.bucket.alarms[number].event) for digest in digests for number in digest.worst]


# Routing

CRITICAL, SELFTEST = moved(severity=Severity.CRITICAL), moved(kind=Kind.SELFTEST, severity=Severity.LOW)


@pytest.mark.parametrize(
    ("route", "move", "zone", "hears"),
    [
        ({}, moved(), "line1", True),
        ({"min_severity": Severity.CRITICAL}, moved(), "line1", False),
        ({"min_severity": Severity.HIGH}, moved(), "line1", True),
        ({"zones": ("line1",)}, moved(), "line1", True),
        ({"zones": ("line1",)}, moved(), "line2", False),
        ({"zones": ("line1",)}, moved(), "", False),
        ({"zones": ("line1",)}, moved(), None, True),  # the monitor itself
        ({"categories": (Category.PROGRAM,)}, moved(), "", True),
        ({"categories": (Category.MODE,)}, moved(), "", False),
        ({}, SELFTEST, "", False),
        ({"self_test": True}, SELFTEST, "", True),
        ({"self_test": True, "min_severity": Severity.CRITICAL, "zones": ("x",)}, SELFTEST, "", True),
        ({"self_test": True}, replace(SELFTEST, event=Event.CONFORMS), "", False),
        ({}, moved(event=Event.CONFORMS), "", True),
        ({}, moved(event=Event.CONFORMS, kind=Kind.EVENT), "", False),  # it was over as soon as it was done
        ({}, moved(event=Event.CONFORMS, before=SUPPRESSED, after=NORMAL), "", False),
        ({}, moved(event=Event.ACKNOWLEDGE), "", False),
        ({}, moved(event=Event.MOVES_ON, before=SHELVED, after=SHELVED), "", False),
        ({}, moved(event=Event.UNSHELVE, before=SHELVED), "", True),
        ({"after": timedelta(minutes=15)}, moved(waits=True), "", True),
        ({"after": timedelta(minutes=15)}, moved(waits=False), "", False),
        ({"after": timedelta(minutes=15)}, moved(waits=True, before=RTN_UNACK), "", False),  # told of it already
        ({"after": timedelta(minutes=15)}, moved(event=Event.MOVES_ON, waits=True), "", True),
    ],
)
def test_a_route_hears_of_what_is_for_it(route: dict[str, object], move: Moved, zone: str | None, hears: bool) -> None:
    assert is_for(replace(ROUTE, **route), move, zone) is hears  # type: ignore[arg-type]


# Grouping and limits


def test_what_moves_together_is_one_message_the_worst_first() -> None:
    watch = Watch()
    moves = [moved(1, Severity.LOW), moved(2, Severity.HIGH), moved(3, Severity.HIGH, event=Event.CONFORMS)]
    (digest,) = watch.pass_(6, moves)
    assert told([digest]) == [(2, "deviates"), (3, "conforms"), (1, "deviates")]
    assert digest.severity is Severity.HIGH


def test_a_critical_one_comes_alone_and_at_once() -> None:
    watch = Watch()
    first, second = watch.pass_(10, [*map(moved, range(1, 50)), moved(99, Severity.CRITICAL)])
    assert told([first]) == [(99, "deviates")]
    assert watch.said[0][0] - T0 <= 1
    assert second.bucket.count == 49


def test_an_alarm_that_is_over_before_it_was_told_is_told_as_both() -> None:
    (digest,) = Watch().pass_(6, [moved(1), moved(1, event=Event.CONFORMS)])
    (entry,) = digest.bucket.alarms.values()
    assert (entry.event, entry.over, entry.moves) == ("deviates", True, 2)


def test_what_follows_closely_is_gathered_longer() -> None:
    watch = Watch()
    for number in range(60):
        watch.pass_(1, [moved(number + 1)])
    assert [at - T0 for at, _ in watch.said] == [5, 15, 35]


def test_the_key_is_that_of_the_content() -> None:
    one, same = Watch().pass_(6, [moved(1)]), Watch().pass_(6, [moved(1)])
    other, elsewhere = Watch().pass_(6, [moved(2)]), Watch(replace(ROUTE, name="ot")).pass_(6, [moved(1)])
    assert one[0].key == same[0].key
    assert len({one[0].key, other[0].key, elsewhere[0].key}) == 3


def test_what_is_held_is_bounded_and_counted() -> None:
    held = Held()
    for number in range(20_000):
        gather(ROUTE, held, moved(number, Severity.HIGH if number % 1000 == 0 else Severity.LOW), T0)
    (digest,) = due(ROUTE, held, T0 + 60)
    bucket = digest.bucket
    assert bucket.count == 20_000
    assert (len(bucket.alarms), len(bucket.assets)) == (MOST_NAMED, MOST_ASSETS)
    assert [bucket.alarms[number].rank for number in digest.worst[:21]] == [2] * 20 + [0]
    assert sum(bucket.assets.values()) + bucket.elsewhere == 20_000
    assert len(Held(others=bucket).text()) < 30_000


SEVERITIES = st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL])
STORMS = st.lists(st.tuples(st.integers(1, 400), st.lists(st.tuples(st.integers(1, 40), SEVERITIES), max_size=20)))


@settings(max_examples=25)
@given(STORMS, st.sampled_from([1, 2, 6, 30, 3600]), st.sampled_from([1, 5, 900]))
def test_whatever_comes_all_is_told_few_are_sent_and_the_critical_are_never_late(
    storms: list[tuple[int, list[tuple[int, Severity]]]], at_most: int, group_for: int
) -> None:
    watch = Watch(replace(ROUTE, at_most=at_most, group_for=timedelta(seconds=group_for)))
    came: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    urgent_at: dict[int, float] = {}
    number = 0
    for seconds, moves in storms:
        batch = []
        for _, severity in moves:
            number += 1
            urgent = severity is Severity.CRITICAL
            came[urgent][number] += 1
            batch.append(moved(number, severity))
            if urgent:
                urgent_at[number] = watch.now
        watch.pass_(seconds, batch)
    sent = [(at, digest) for at, digest in watch.said if digest.severity is not Severity.CRITICAL]
    for at, _ in sent:
        assert sum(1 for other, _ in sent if at - HOUR < other <= at) <= at_most
    until = Held.parsed(watch.text)
    assert next_at(watch.route, until) is None or len(watch.text) < 50_000
    watch.pass_(HOUR * 3)
    for urgent in (True, False):
        digests = [each for _, each in watch.said if (each.severity is Severity.CRITICAL) == urgent]
        assert sum(each.bucket.count for each in digests) == came[urgent].total()
    for at, digest in watch.said:
        for alarm in digest.worst if digest.severity is Severity.CRITICAL else ():
            assert at - urgent_at[alarm] <= LONGEST_URGENT + 1
    keys = [digest.key for _, digest in watch.said]
    assert len(set(keys)) == len(keys)


# Flapping


def test_an_alarm_that_flaps_is_said_once_and_once_more_when_it_is_calm() -> None:
    watch = Watch()
    for raised in range(1, 40):
        watch.pass_(10, [moved(1, raised=raised if raised > FLAPS else 0)])
        watch.pass_(10, [moved(1, event=Event.CONFORMS, raised=raised if raised > FLAPS else 0)])
    assert [event for _, event in told(each for _, each in watch.said)].count(FLAPPING) == 1
    before = len(watch.said)
    assert before <= 6
    (digest,) = watch.pass_(CALM * 2)
    assert told([digest]) == [(1, SETTLED)]
    assert digest.bucket.alarms[1].moves > 60
    assert watch.pass_(CALM * 20) == []


def test_what_flaps_for_hours_is_said_again() -> None:
    watch = Watch()
    for _ in range(3 * 60):
        watch.pass_(60, [moved(1, raised=FLAPS + 1)])
    assert [event for _, event in told(each for _, each in watch.said)] == [FLAPPING] * 3


def test_more_that_flaps_than_is_kept_is_told() -> None:
    watch = Watch()
    watch.pass_(1, [moved(number, raised=9) for number in range(1, MOST_FLAPPING + 100)])
    assert len(Held.parsed(watch.text).flapping) == MOST_FLAPPING


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 700), st.booleans()), max_size=60))
def test_flapping_holds_back_messages_and_never_the_last_word(moves: list[tuple[int, bool]]) -> None:
    """However it goes back and forth, the last message comes after its last move."""
    watch, state, raises, last = Watch(), NORMAL, [], 0.0
    for seconds, up in moves:
        event = Event.DEVIATES if up else Event.CONFORMS
        if (after := NEXT.get((state, event))) is not None and after is not state:
            if up:
                raises.append(watch.now)
            count = sum(1 for at in raises if at > watch.now - 600)
            watch.step([moved(1, event=event, before=state, after=after, raised=count)])
            state, last = after, watch.now
        watch.pass_(seconds)
    watch.pass_(HOUR)
    assert not last or watch.said[-1][0] >= last
    assert Held.parsed(watch.text).flapping == {}


# Escalation, the clock


def test_what_nobody_acknowledged_is_told_as_that() -> None:
    watch = Watch(replace(ROUTE, after=timedelta(minutes=15)))
    assert told(watch.pass_(6, [moved(1, waits=True), moved(2, waits=False)])) == [(1, UNACKNOWLEDGED)]


def test_a_clock_that_is_set_back_delays_nothing_for_long() -> None:
    watch = Watch()
    watch.pass_(2, [moved(1)])
    watch.now -= 86_400
    assert len(watch.pass_(6)) == 1


def test_at_the_end_of_a_command_nothing_waits_but_for_the_limit() -> None:
    held = Held()
    for number in range(20):
        gather(replace(ROUTE, at_most=3), held, moved(number), T0)
        said = due(replace(ROUTE, at_most=3), held, T0 + number, at_once=True)
        assert bool(said) is (number == 0)
