"""What is counted of a device, and how counts of many hours become one record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.metering import FIRST, Counts, Meter, Record, new_record, quantile, read_record, time_class
from collectors.opcua.services import RESPONSES, SERVICE_NAMES

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
COUNTS = st.builds(
    Counts,
    connections=st.integers(0, 9),
    most_open=st.integers(0, 3),
    requests=st.dictionaries(st.sampled_from(["FC 3", "FC 4", "Read"]), st.integers(1, 99)),
    bytes_sent=st.integers(0, 9999),
    busiest=st.integers(0, 9),
    longest_wait=st.floats(0, 9),
    forbidden=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9)),
)


@given(st.floats(2e-6, 1000))
def test_a_response_time_is_told_to_a_tenth(seconds: float) -> None:
    told = quantile({time_class(seconds): 1}, 0.5)
    assert told == pytest.approx(seconds, rel=0.1)


def test_quantiles_are_of_all_answers() -> None:
    times = {time_class(0.001): 98, time_class(0.1): 1, time_class(1.0): 1}
    assert quantile(times, 0.5) == pytest.approx(0.001, rel=0.1)
    assert quantile(times, 0.99) == pytest.approx(0.1, rel=0.1)
    assert quantile(times, 1.0) == pytest.approx(1.0, rel=0.1)
    assert quantile({}, 0.5) is None
    assert quantile({time_class(0.0): 1}, 0.5) is not None


@pytest.mark.parametrize(
    ("moments", "busiest", "broken"),
    [
        ([0, 0.21, 0.42, 0.63, 0.84, 1.05, 1.26], 5, {}),
        ([0, 0.2, 0.4, 0.6, 0.8, 0.999], 6, {"requests_per_second": 1}),
        ([0, 10, 20, 20.1], 2, {}),
        ([5.0] * 7, 7, {"requests_per_second": 2}),
    ],
)
def test_the_highest_rate_is_that_of_any_second(moments: list[float], busiest: int, broken: dict[str, int]) -> None:
    meter = Meter(allowed=5)
    for moment in moments:
        meter.sent("FC 3", 12, moment)
    counts = meter.take()
    assert (counts.busiest, counts.broken) == (busiest, broken)
    assert (counts.requests, counts.bytes_sent) == ({"FC 3": len(moments)}, 12 * len(moments))


def test_a_second_goes_on_when_counts_are_taken() -> None:
    meter = Meter(allowed=1)
    meter.sent("FC 3", 12, 0.0)
    meter.take()
    meter.sent("FC 3", 12, 0.5)
    assert (meter.take().busiest, meter.take()) == (2, Counts())


def test_two_connections_at_once_break_the_contract() -> None:
    meter = Meter(allowed=5)
    meter.opened()
    meter.closed()
    meter.opened()
    assert meter.take().broken == {}
    assert meter.take().most_open == 1, "it is still open"
    meter.opened()
    counts = meter.take()
    assert (counts.most_open, counts.broken) == (2, {"connections": 1})


def test_an_answer_that_came_later_than_its_request_was_taken_is_something() -> None:
    meter = Meter(allowed=5)
    meter.opened()
    assert meter.take()
    assert not meter.take(), "a connection is open, and nothing else was"
    meter.received(30)
    assert meter.take()


def test_what_could_not_be_kept_is_counted_on() -> None:
    meter = Meter(allowed=5)
    meter.sent("FC 3", 12, 0.0)
    meter.answered(0.001)
    lost = meter.take()
    meter.sent("FC 4", 12, 5.0)
    meter.give_back(lost)
    counts = meter.take()
    assert (counts.requests, counts.bytes_sent) == ({"FC 3": 1, "FC 4": 1}, 24)
    assert sum(counts.first.values()) == 1


@given(COUNTS, COUNTS, COUNTS)
def test_the_order_in_which_counts_are_joined_does_not_matter(one: Counts, other: Counts, third: Counts) -> None:
    assert one.plus(other) == other.plus(one)
    assert one.plus(other).plus(third) == one.plus(other.plus(third))
    assert one.plus(Counts()) == one


def answers(seconds: float, count: int) -> Counts:
    meter = Meter(allowed=10**6)
    for number in range(count):
        meter.sent("FC 3", 12, float(number))
        meter.answered(seconds)
    return meter.take()


def at(record: Record, hours: float, counts: Counts) -> Record:
    until = NOON + timedelta(hours=hours)
    return record.plus(counts, until - timedelta(minutes=10), until)


def test_the_first_answers_are_kept_for_good_and_the_recent_ones_for_two_hours() -> None:
    record = new_record(NOON)
    for hours, seconds in ((0.2, 0.001), (0.3, 0.001), (1.1, 0.004), (2.1, 0.016), (2.2, 0.016)):
        record = at(record, hours, answers(seconds, FIRST - 1))
    assert sum(record.counts.first.values()) == 2 * (FIRST - 1)
    assert quantile(record.counts.first, 0.99) == pytest.approx(0.001, rel=0.1)
    assert sum(record.recent.values()) == 3 * (FIRST - 1)
    assert quantile(record.recent, 0.3) == pytest.approx(0.004, rel=0.1)
    assert record.counts.requests == {"FC 3": 5 * (FIRST - 1)}
    assert (record.since, record.until) == (NOON, NOON + timedelta(hours=2.2))


def test_an_hour_without_answers_leaves_the_last_ones() -> None:
    record = at(new_record(NOON), 0.5, answers(0.001, 5))
    record = at(record, 5, Counts(connections=3))
    assert sum(record.recent.values()) == 5


@pytest.mark.parametrize("make", [Counts, lambda: answers(0.002, 7), lambda: Counts(forbidden={"FC 6": 1}, busiest=3)])
def test_a_record_is_read_back_as_it_was_kept(make: Callable[[], Counts]) -> None:
    record = at(new_record(NOON), 0.5, make())
    assert read_record(record.since, record.until, record.text()) == record
    newer = json.dumps(json.loads(record.text()) | {"from_a_later_version": 1})
    assert read_record(record.since, record.until, newer) == record


@pytest.mark.parametrize("text", ["", "{broken", "[]", '{"requests": 5}', '{"first": {"x": 1}}', '{"busiest": null}'])
def test_what_is_no_record_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="no counts"):
        read_record(NOON, NOON, text)


def test_every_service_has_a_name() -> None:
    assert SERVICE_NAMES.keys() == RESPONSES.keys()
