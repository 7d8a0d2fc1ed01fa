"""Commissioning: captures sorted into constant, varying and unread, and what people decide about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.capture import (
    VALUES_MOST,
    Captured,
    Choice,
    Decision,
    Sort,
    capture_document,
    parse_capture,
    proposal,
    sort_captures,
    undecided,
)
from baselines.drift import Verdict, compare, verdict, verdicts
from baselines.snapshot import Item, Snapshot, Unread, Value, parse_snapshot

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def captures(*values: Mapping[str, Value | None], tolerance: float = 0.0) -> list[Snapshot]:
    """A capture each; None is a key that was not answered."""
    return [
        Snapshot.of(
            "plc",
            NOW + timedelta(seconds=10 * number),
            [Item(f"item.{key}", value, tolerance=tolerance) for key, value in each.items() if value is not None],
            [Unread(f"item.{key}", "silent") for key, value in each.items() if value is None],
        )
        for number, each in enumerate(values)
    ]


def the_one(*values: Value | None, tolerance: float = 0.0) -> Captured:
    (found,) = sort_captures(captures(*({"a": value} for value in values), tolerance=tolerance))
    return found


@pytest.mark.parametrize(
    ("values", "sort", "changes", "missed"),
    [
        ((1, 1, 1), Sort.CONSTANT, 0, 0),
        ((1, 2, 1), Sort.VARYING, 2, 0),
        ((1, 1, 2), Sort.VARYING, 1, 0),
        ((1, None, 1), Sort.CONSTANT, 0, 1),
        ((1, 1, None), Sort.UNREAD, 0, 1),
        ((None, None, None), Sort.UNREAD, 0, 3),
        ((float("nan"), float("nan")), Sort.CONSTANT, 0, 0),
        ((1, True), Sort.VARYING, 1, 0),
    ],
)
def test_a_key_is_sorted_by_what_it_was_over_all_captures(
    values: tuple[Value, ...], sort: Sort, changes: int, missed: int
) -> None:
    found = the_one(*values)
    assert (found.sort, found.changes, found.missed) == (sort, changes, missed)
    assert found.why == ("silent" if sort is Sort.UNREAD else "")


def test_numbers_have_a_range_and_others_do_not() -> None:
    assert (the_one(3.5, 1.25, 2.0).low, the_one(3.5, 1.25, 2.0).high) == (1.25, 3.5)
    assert (the_one("a", "b").low, the_one(1, "b").high) == (None, None)
    assert the_one(float("inf"), 1.0).high == "Infinity"


def test_what_stays_within_its_tolerance_is_constant() -> None:
    assert the_one(12.0, 12.04, 12.02, tolerance=0.05).sort is Sort.CONSTANT
    assert the_one(12.0, 12.08, tolerance=0.05).sort is Sort.VARYING


def test_few_of_many_values_are_kept_and_the_range_says_the_rest() -> None:
    found = the_one(*range(100))
    assert (len(found.values), found.low, found.high, found.changes) == (VALUES_MOST, 0, 99, 99)


SERIES = captures({"a": 1, "b": 5.0, "c": "x", "d": None}, {"a": 1, "b": 7.0, "c": "y", "d": None})
CAPTURED = sort_captures(SERIES)


def decided(choice: Choice, key: str = "item.b", tolerance: float = 0.0) -> Decision:
    return Decision(key, choice, "it is a counter", "ada", tolerance)


def test_what_varies_is_left_out_until_somebody_decides() -> None:
    made = proposal(SERIES[-1], CAPTURED, [])
    assert list(made.by_key) == ["item.a"]
    assert [gap.key for gap in made.unread] == ["item.d"]
    assert [each.key for each in undecided(CAPTURED, [])] == ["item.b", "item.c"]
    assert verdicts(made, SERIES[-1])["item.b"] is Verdict.NO_BASELINE  # unapproved, and said so


def test_what_is_kept_is_compared_exactly() -> None:
    made = proposal(SERIES[-1], CAPTURED, [decided(Choice.KEEP)])
    assert made.by_key["item.b"].value == 7.0
    assert [deviation.key for deviation in compare(made, SERIES[0])] == ["item.b"]


def test_what_is_tolerated_is_compared_within_its_amount() -> None:
    made = proposal(SERIES[-1], CAPTURED, [decided(Choice.TOLERATE, tolerance=2.0)])
    assert compare(made, SERIES[0]) == ()
    (further,) = captures({"a": 1, "b": 9.5, "c": "y", "d": None})
    assert [deviation.key for deviation in compare(made, further)] == ["item.b"]


def test_what_is_dropped_is_not_compared_and_stays_on_record() -> None:
    decisions = [decided(Choice.DROP), decided(Choice.DROP, "item.c"), decided(Choice.DROP, "item.d")]
    made = proposal(SERIES[-1], CAPTURED, decisions)
    assert [(each.key, each.why) for each in made.dropped] == [(f"item.{key}", "it is a counter") for key in "bcd"]
    assert (made.unread, compare(made, SERIES[0]), verdict(made, SERIES[0])) == ((), (), Verdict.MATCH)
    assert parse_snapshot("plc", made.taken_at, made.text) == made
    (gone,) = captures({"a": 1})
    assert verdict(made, gone) is Verdict.MATCH


@given(st.lists(st.sampled_from([5.0, 5.5, 6.0, 9.0]), min_size=2, max_size=9))
def test_a_tolerated_value_goes_on_in_one_run_and_a_kept_one_does_not(values: list[float]) -> None:
    taken = captures(*({"a": 1, "b": value} for value in (*values, 9.5)))
    found = sort_captures(taken)
    wide = proposal(taken[-1], found, [decided(Choice.TOLERATE, tolerance=10.0)])
    exact = proposal(taken[-1], found, [decided(Choice.KEEP)])
    dropped = proposal(taken[-1], found, [decided(Choice.DROP)])
    for one in taken:
        assert one.continues(taken[0], wide)
        assert one.continues(taken[0], dropped)
        assert one.continues(taken[0], exact) == (one.digest == taken[0].digest)


def test_the_record_holds_all_that_was_seen_and_reads_back() -> None:
    decisions = (decided(Choice.TOLERATE, tolerance=2.0), decided(Choice.DROP, "item.c"))
    document = json.loads(json.dumps(capture_document(SERIES, CAPTURED, decisions)))
    assert parse_capture(document) == (CAPTURED, decisions)
    assert (document["captures"], document["last"], len(document["items"])) == (2, SERIES[-1].digest, 4)


VALUES = st.one_of(st.none(), st.integers(0, 2), st.floats(), st.text(max_size=2), st.booleans())


@given(st.lists(st.fixed_dictionaries(dict.fromkeys("abc", VALUES)), min_size=1, max_size=5))
def test_every_key_is_sorted_once_and_nothing_is_hidden(series: list[dict[str, Value | None]]) -> None:
    taken = captures(*series)
    found = sort_captures(taken)
    assert [each.key for each in found] == ["item.a", "item.b", "item.c"]
    made = proposal(taken[-1], found, [])
    said = {*made.by_key, *(gap.key for gap in made.unread), *(each.key for each in undecided(found, []))}
    assert said == {"item.a", "item.b", "item.c"}
    for each in found:
        assert (each.key in made.by_key) == (each.sort is Sort.CONSTANT)
