"""Change orders: what was declared, held against what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.change import (
    ANY,
    Expectation,
    History,
    Order,
    OrderState,
    Outcome,
    Seen,
    announced,
    covers,
    meets,
    parse_expected,
    settled,
)
from baselines.drift import compare
from baselines.rules import assess
from baselines.snapshot import Category, Item, Snapshot, Unread, Value
from baselines.wire import Written

EIGHT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after eight: the window is from 0 to 60."""
    return EIGHT + timedelta(minutes=minutes)


def snapshot(limit: Value = 12.0, mode: Value = 3, crc: Value = b"\x8f", **more: Value) -> Snapshot:
    items = [
        Item("item.limit", limit, tolerance=0.05),
        Item("item.mode", mode, Category.MODE, label={3: "RUN", 7: "PROGRAM"}.get(mode)),  # type: ignore[arg-type]
        Item("item.crc", crc, Category.PROGRAM),
        *(Item(f"item.{key}", value) for key, value in more.items()),
    ]
    return Snapshot.of("plc", EIGHT, items)


BEFORE = snapshot()


def order(*expected: tuple[str, Any], **more: Any) -> Order:
    expectations = tuple(Expectation("plc", key, value) for key, value in expected)
    return replace(Order(7, "T-7", "", at(0), at(60), expectations, "ada", at(-5)), **more)


def closed(
    opened: Order, *seen: tuple[float, Snapshot], written: Sequence[Written] = (), others: tuple[Order, ...] = ()
) -> Order:
    """The order, closed after what was seen at these minutes."""
    stretches = [Seen(at(minute), taken) for minute, taken in ((-90, BEFORE), *seen)]
    return settled(opened, {"plc": History(BEFORE, BEFORE, stretches, written, others)}, "ada", at(90))


def outcomes(done: Order) -> list[str]:
    return [str(each.outcome) for each in done.expectations]


LIMIT = order(("item.limit", 13.0))
ANY_CRC = order(("item.crc", ANY))


@pytest.mark.parametrize(
    ("opened", "seen", "outcome"),
    [
        (LIMIT, [(10, snapshot(13.0))], "as-planned"),
        (LIMIT, [(0, snapshot(13.0))], "as-planned"),
        (LIMIT, [(60, snapshot(13.0))], "as-planned"),
        (LIMIT, [(10, snapshot(13.04))], "as-planned"),  # within the approved tolerance
        (LIMIT, [(10, snapshot(13.2))], "partial"),
        (LIMIT, [], "missing"),
        (LIMIT, [(10, snapshot(12.04))], "missing"),
        (LIMIT, [(10, snapshot(13.0)), (20, BEFORE)], "missing"),  # done, and undone again
        (LIMIT, [(10, snapshot(14.0)), (20, snapshot(13.0))], "as-planned"),  # on the way there
        (LIMIT, [(-1, snapshot(13.0))], "outside-window"),
        (LIMIT, [(61, snapshot(13.0))], "outside-window"),
        (LIMIT, [(-1, snapshot(13.0)), (10, snapshot(13.0, note=1))], "outside-window"),  # it was there before
        (LIMIT, [(-1, snapshot(13.0)), (5, BEFORE), (10, snapshot(13.0))], "as-planned"),
        (LIMIT, [(10, snapshot(13.0)), (70, snapshot(13.0, note=1))], "as-planned"),
        (ANY_CRC, [(10, snapshot(crc=b"\x90"))], "as-planned"),
        (ANY_CRC, [(10, snapshot(crc=b"\x90")), (70, snapshot(crc=b"\x91"))], "as-planned"),  # any is any
        (ANY_CRC, [(61, snapshot(crc=b"\x90"))], "outside-window"),
        (ANY_CRC, [(10, snapshot(13.0))], "missing"),
        (order(("item.mode", "PROGRAM")), [(10, snapshot(mode=7))], "as-planned"),
        (order(("item.mode", 7)), [(10, snapshot(mode=7))], "as-planned"),
        (order(("item.mode", "PROGRAM")), [(10, snapshot(mode=2))], "partial"),
    ],
)
def test_what_becomes_of_an_expectation(opened: Order, seen: list[tuple[float, Snapshot]], outcome: str) -> None:
    done = closed(opened, *seen)
    assert outcomes(done) == [outcome]
    assert done.as_planned == (outcome == "as-planned" and not done.excess)
    assert (done.state, done.closed_by, done.closed_at) == (OrderState.CLOSED, "ada", at(90))


def test_an_item_that_was_never_seen_is_missing() -> None:
    done = closed(order(("item.new", 5)), (10, snapshot(13.0)))
    assert (outcomes(done), done.expectations[0].observed) == (["missing"], None)


def test_an_item_that_went_away_is_not_as_planned() -> None:
    without = Snapshot.of("plc", EIGHT, [item for item in BEFORE.items if item.key != "item.limit"])
    for opened in (LIMIT, order(("item.limit", ANY))):
        done = closed(opened, (10, snapshot(13.0)), (20, without))
        assert [(each.outcome, each.observed) for each in done.expectations] == [("partial", None)]


def test_what_could_not_be_read_at_last_is_as_it_was_seen_before() -> None:
    seen, unread = snapshot(13.0), [Unread("item.limit", "timeout")]
    last = Snapshot.of("plc", EIGHT, [item for item in seen.items if item.key != "item.limit"], unread)
    history = History(BEFORE, BEFORE, [Seen(at(10), seen), Seen(at(20), last)])
    assert history.as_seen(["item.limit"]).text == seen.text
    assert history.as_seen(["item.mode"]).text == last.text


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("12.5", 12.5), ("true", True), ('["a"]', ("a",)), ("x", "x")])
def test_what_was_no_item_yet_is_read_by_the_type_that_it_came_with(text: str, value: Value) -> None:
    done = closed(order(("item.new", parse_expected(text, None))), (10, snapshot(new=value)))
    assert outcomes(done) == ["as-planned"]
    assert outcomes(closed(order(("item.new", text)), (10, snapshot(new=b"other")))) == ["partial"]


def test_an_item_that_comes_as_it_was_expected_is_as_planned() -> None:
    done = closed(order(("identity.extra", "x")), (10, replace_items(BEFORE, Item("identity.extra", "x"))))
    assert (outcomes(done), done.excess) == (["as-planned"], ())


def replace_items(taken: Snapshot, *more: Item) -> Snapshot:
    return Snapshot.of("plc", EIGHT, [*taken.items, *more])


def test_what_nobody_declared_is_in_excess_with_what_was_approved_and_what_was_seen() -> None:
    done = closed(LIMIT, (10, snapshot(13.0, mode=7)))
    assert outcomes(done) == ["as-planned"]
    assert [(each.item, each.approved, each.observed) for each in done.excess] == [("item.mode", "RUN", "PROGRAM")]
    assert not done.as_planned


def test_there_and_back_between_two_polls_that_saw_it_is_in_excess() -> None:
    done = closed(LIMIT, (10, snapshot(13.0, mode=7)), (20, snapshot(13.0)))
    assert [(each.item, each.observed) for each in done.excess] == [("item.mode", "PROGRAM")]


def write(item: str, value: Any, minute: float = 10) -> Written:
    return Written(item, at(minute), value, {"client": "10.0.0.9", "name": None, "protocol": "modbus"})


def test_there_and_back_between_two_polls_is_in_excess_where_the_wire_saw_it() -> None:
    there = [write("item.mode", "PROGRAM"), write("item.mode", "RUN", 11)]
    done = closed(LIMIT, (10, snapshot(13.0)), written=there)
    assert [(each.item, each.approved, each.observed) for each in done.excess] == [("item.mode", "RUN", "PROGRAM")]


def test_a_write_of_what_is_approved_is_no_excess_nor_one_before_the_window() -> None:
    harmless = [write("item.mode", "RUN"), write("item.crc", "90", -1), write("item.limit", 14.0)]
    assert closed(LIMIT, (10, snapshot(13.0)), written=harmless).excess == ()


def test_a_write_that_the_wire_saw_in_time_counts_where_the_next_poll_came_too_late() -> None:
    late = (61, snapshot(13.0))
    assert outcomes(closed(LIMIT, late)) == ["outside-window"]
    assert outcomes(closed(LIMIT, late, written=[write("item.limit", 13.0, 59)])) == ["as-planned"]
    assert outcomes(closed(LIMIT, late, written=[write("item.limit", 14.0, 59)])) == ["outside-window"]
    assert outcomes(closed(LIMIT, late, written=[write("item.limit", 13.0, 61)])) == ["outside-window"]


def test_what_deviated_before_the_window_is_not_of_this_change() -> None:
    done = closed(LIMIT, (-10, snapshot(mode=7)), (10, snapshot(13.0, mode=7)))
    assert (outcomes(done), done.excess) == (["as-planned"], ())


def test_what_went_back_and_came_again_is_of_this_change() -> None:
    done = closed(LIMIT, (-10, snapshot(mode=7)), (5, snapshot()), (10, snapshot(13.0, mode=7)))
    assert [each.item for each in done.excess] == ["item.mode"]


def test_what_could_not_be_read_meanwhile_did_not_come_again() -> None:
    gap = Snapshot.of("plc", EIGHT, [BEFORE.by_key["item.limit"]], [Unread("item.mode", "silent"), Unread("item.crc")])
    done = closed(LIMIT, (-10, snapshot(mode=7)), (5, gap), (10, snapshot(13.0, mode=7)))
    assert done.excess == ()


def test_what_another_order_announced_is_no_excess_while_it_did() -> None:
    other = order(("item.mode", "PROGRAM"), id=8)
    taken = (10, snapshot(13.0, mode=7))
    assert closed(LIMIT, taken, others=(other,)).excess == ()
    assert closed(LIMIT, taken, others=(replace(other, closed_at=at(9)),)).excess != ()
    assert closed(LIMIT, taken, others=(order(("item.mode", 2), id=8),)).excess != ()
    assert closed(LIMIT, (10, snapshot(13.0)), written=[write("item.mode", "PROGRAM")], others=(other,)).excess == ()


VALUES = st.sampled_from([12.0, 12.04, 13.0, 14.0])
MODES = st.sampled_from([3, 7])


@given(st.lists(st.tuples(st.integers(-30, 80), VALUES, MODES), max_size=6))
def test_a_change_that_nobody_made_is_never_as_planned(steps: list[tuple[int, float, int]]) -> None:
    seen = [(minute, snapshot(value, mode)) for minute, value, mode in sorted(steps)]
    done = closed(LIMIT, *seen)
    last = seen[-1][1].by_key["item.limit"].value if seen else 12.0
    assert (last == 13.0) == (outcomes(done)[0] in ("as-planned", "outside-window"))
    modes = [3, *(mode for _, _, mode in sorted(steps))]
    minutes = [-90, *(minute for minute, _, _ in sorted(steps))]
    stirred = any(
        mode == 7 and before == 3 and minute >= 0
        for before, mode, minute in zip(modes, modes[1:], minutes[1:], strict=False)
    )
    assert [each.item for each in done.excess] == (["item.mode"] if stirred else [])


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("*", Item("k", 1), "*"),
        ("13", Item("k", 12.0), 13.0),
        ("13", Item("k", 12), 13),
        ("PROGRAM", Item("k", 3, label="RUN"), "PROGRAM"),
        ("7", Item("k", 3, label="RUN"), 7),
        ("true", Item("k", False), True),
        ("off", Item("k", True), False),
        ("0xDEADBEEF", Item("k", b"\0"), "deadbeef"),
        ("V2.5", Item("k", "V2.4"), "V2.5"),
        ("", Item("k", "V2.4"), ""),
        ('["a", "b"]', Item("k", ("a",)), ["a", "b"]),
        ("anything", None, "anything"),
    ],
)
def test_an_expected_value_is_read_as_the_item_has_it(text: str, known: Item | None, expected: Any) -> None:
    found = parse_expected(text, known)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("abc", 12.0),
        ("12.5", 12),
        ("maybe", True),
        ("xyz", b"\0"),
        ("a, b", ("a",)),
        ("{}", ("a",)),
        ("[" * 100_000, ("a",)),
    ],
)
def test_what_can_be_no_value_of_an_item_is_refused(text: str, value: Value) -> None:
    with pytest.raises(ValueError, match=r"^item\.k is"):
        parse_expected(text, Item("item.k", value))


@given(
    st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.binary(), st.text())
)
def test_every_value_meets_itself_as_it_is_shown(value: Value) -> None:
    item = Item("item.k", value)
    assert meets(item.shown, item)
    assert meets(parse_expected(str(item.shown), item), item) or item.shown == ANY


@pytest.mark.parametrize(
    ("expected", "value"),
    [(1, True), (True, 1), ("1", 1), (12, 12.5), (12.5, 12), (float("nan"), 1), (float("inf"), 1), ("8f", "8F")],
)
def test_another_type_or_value_does_not_meet(expected: Any, value: Value) -> None:
    assert not meets(expected, Item("k", value))


def findings(taken: Snapshot) -> Any:
    return assess(compare(BEFORE, taken))


def test_only_what_an_order_expects_is_announced() -> None:
    found = announced([LIMIT], "plc", findings(snapshot(13.0, mode=7)))
    assert {each.deviation.key: each.suppressed_by for each in found} == {"item.limit": "7", "item.mode": None}
    assert [each.suppressed_by for each in announced([LIMIT], "other", findings(snapshot(13.0)))] == [None]
    assert [each.suppressed_by for each in announced([LIMIT], "plc", findings(snapshot(14.0)))] == [None]
    assert [each.suppressed_by for each in announced([], "plc", findings(snapshot(13.0)))] == [None]


def test_an_operation_on_the_wire_is_covered_where_the_order_is_about_just_that() -> None:
    program = order(("item.crc", ANY))
    assert covers(program, "plc", Category.PROGRAM, (), BEFORE)
    assert not covers(program, "plc", Category.FIRMWARE, (), BEFORE)
    assert not covers(program, "other", Category.PROGRAM, (), BEFORE)
    assert not covers(program, "plc", Category.PARAMETER, ["item.limit"], BEFORE)
    assert covers(LIMIT, "plc", Category.PARAMETER, ["item.limit"], BEFORE)
    assert not covers(LIMIT, "plc", Category.PARAMETER, ["item.limit", "item.mode"], BEFORE)
    assert not covers(LIMIT, "plc", Category.PROGRAM, (), None)


def test_the_words_of_outcomes_are_the_contract_s() -> None:
    assert [str(each) for each in Outcome] == ["as-planned", "partial", "missing", "outside-window"]
