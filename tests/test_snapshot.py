"""Snapshots: the canonical text, its digest, and what counts as the same value."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.snapshot import (
    Category,
    Item,
    Severity,
    Snapshot,
    Unread,
    Value,
    canonical,
    key_of,
    parse_canonical,
    parse_snapshot,
    parts_of,
    plain,
    same,
    utc_text,
)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # control characters and lone surrogates too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary()
VALUES: st.SearchStrategy[Value] = st.recursive(SCALARS, lambda value: st.lists(value, max_size=3).map(tuple))
ITEMS = st.builds(
    Item,
    ANY_TEXT.filter(bool),
    VALUES,
    st.sampled_from(Category),
    st.sampled_from(Severity),
    st.floats(0, 1e6),
    ANY_TEXT,
    st.none() | ANY_TEXT,
    st.booleans(),
)
GAPS = st.builds(Unread, ANY_TEXT.filter(bool), ANY_TEXT)
SNAPSHOTS = st.builds(
    Snapshot.of,
    st.just("plc"),
    st.just(NOW),
    st.lists(ITEMS, unique_by=lambda item: item.key, max_size=5),
    st.lists(GAPS, unique_by=lambda gap: gap.key, max_size=2),
)

DIFFERENT: list[Value] = [  # no two of them are the same
    None,
    True,
    False,
    0,
    1,
    2**64,
    -(10**400),
    0.0,
    -0.0,
    1.0,
    0.1,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "1",
    "true",
    "nan",
    "\x00",
    "\x1b[31m",
    "\ud800",
    "ü\u2028\x85\n",
    b"",
    b"1",
    b"\xff\x00",
    (),
    ((),),
    (1,),
    (True,),
    (1.0, math.nan),
    (None, ("a", b"a")),
]


def snapshot(*items: Item, unread: tuple[Unread, ...] = ()) -> Snapshot:
    return Snapshot.of("plc", NOW, items, unread)


@pytest.mark.parametrize("value", DIFFERENT, ids=repr)
def test_a_value_comes_back_from_its_canonical_text_with_its_type(value: Value) -> None:
    kind, text = json.loads(json.dumps(canonical(value)))
    back = parse_canonical(kind, text)
    assert repr(back) == repr(value)
    assert same(back, value)


def test_different_values_are_told_apart() -> None:
    for one, other in combinations(DIFFERENT, 2):
        assert not same(one, other), (one, other)
    assert len({snapshot(Item("k", value)).digest for value in DIFFERENT}) == len(DIFFERENT)


@given(VALUES)
def test_every_value_is_the_same_as_itself_and_as_what_its_text_says(value: Value) -> None:
    assert same(value, value)
    assert same(value, parse_canonical(*json.loads(json.dumps(canonical(value)))))


def test_two_surrogates_are_the_character_that_they_make() -> None:
    assert same("\ud83d\ude00", "\U0001f600")
    assert snapshot(Item("k", "\ud83d\ude00")).digest == snapshot(Item("k", "\U0001f600")).digest
    assert not same("\ud83d", "\U0001f600")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "one"),
        ("int", [1]),
        ("float", ""),
        ("bool", "yes"),
        ("bytes", "0g"),
        ("list", [["int"]]),
        ("list", [["int", "1", "2"]]),
        ("list", "12"),
        ("set", "1"),
    ],
)
def test_what_canonical_did_not_write_is_refused(kind: str, text: object) -> None:
    with pytest.raises(ValueError):
        parse_canonical(kind, text)


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_from_its_text(taken: Snapshot) -> None:
    back = parse_snapshot(taken.asset, taken.taken_at, taken.text)
    assert back.text == taken.text
    assert [item.key for item in back.items] == [item.key for item in taken.items]
    assert back.unread == taken.unread


@given(SNAPSHOTS)
def test_the_digest_is_the_sha256_of_the_text_which_is_ascii(taken: Snapshot) -> None:
    assert taken.digest == sha256(taken.text.encode("ascii")).hexdigest()
    assert taken.text.count("\n") == len(taken.items) + len(taken.unread)


@given(st.data(), SNAPSHOTS)
def test_the_order_in_which_items_were_read_is_irrelevant(data: st.DataObject, taken: Snapshot) -> None:
    items, unread = data.draw(st.permutations(taken.items)), data.draw(st.permutations(taken.unread))
    assert Snapshot.of("plc", NOW, items, unread) == taken


def test_asset_time_and_profile_are_no_part_of_the_digest() -> None:
    items = [Item("a", 1)]
    one = Snapshot.of("plc", NOW, items)
    assert one.digest == Snapshot.of("other", NOW + timedelta(days=1), items, profile="p").digest


@pytest.mark.parametrize(
    "other",
    [
        Item("b", 1),
        Item("a", 2),
        Item("a", 1, Category.MODE),
        Item("a", 1, severity=Severity.LOW),
        Item("a", 1, tolerance=0.5),
        Item("a", 1, unit="l"),
        Item("a", 1, label=""),
        Item("a", 1, uncertain=True),
    ],
)
def test_everything_that_is_said_of_an_item_is_part_of_the_digest(other: Item) -> None:
    assert snapshot(Item("a", 1)).digest != snapshot(other).digest


def test_a_gap_is_part_of_the_digest_with_its_reason() -> None:
    digests = {
        snapshot(Item("a", 1), unread=unread).digest for unread in [(), (Unread("b"),), (Unread("b", "no answer"),)]
    }
    assert len(digests) == 3


def test_a_whole_number_as_tolerance_is_the_same_digest_as_the_fraction() -> None:
    one = snapshot(Item("a", 1, tolerance=1))
    assert one.digest == parse_snapshot("plc", NOW, one.text).digest


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a: is there twice"):
        snapshot(Item("a", 1), Item("b", 1), Item("a", 1))
    with pytest.raises(ValueError, match="a: is there twice"):
        snapshot(unread=(Unread("a"), Unread("a", "why")))


def test_items_out_of_order_and_a_time_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="not in order"):
        Snapshot("plc", NOW, (Item("b", 1), Item("a", 1)))
    with pytest.raises(ValueError, match="time zone"):
        Snapshot("plc", NOW.replace(tzinfo=None), ())


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="k: a tolerance"):
        Item("k", 1.0, tolerance=tolerance)


def test_an_item_without_a_key_or_with_a_foreign_value_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        Item("", 1)
    with pytest.raises(ValueError, match="k: a value cannot be of type list"):
        Item("k", [1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *["no JSON", "[]", "5", '"unread"', "{}", '{"key":"a"}', '{"unread":"a"}', '{"unread":5,"why":""}'],
        '{"key":"a","type":"int","value":"x","category":"mode","severity":"low"}',
        '{"key":"a","type":"int","value":"1","category":"colour","severity":"low"}',
        '{"key":"a","type":"int","value":"1","category":"mode","severity":"low","tolerance":"nan"}',
        '{"key":5,"type":"int","value":"1","category":"mode","severity":"low"}',
    ],
)
def test_a_broken_line_is_named(text: str) -> None:
    good = snapshot(Item("Z", 1)).text
    with pytest.raises(ValueError, match=r"line 2 of a snapshot of plc is broken"):
        parse_snapshot("plc", NOW, good + text + "\n")


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "expected"),
    [
        (12.0, 12.05, 0.05, True),  # binary fractions deny it
        (12.0, 11.95, 0.05, True),
        (12.0, 12.050001, 0.05, False),
        (0.1, 0.3, 0.2, True),
        (12.0, 12.05, 0.0, False),
        (100, 102, 2, True),
        (100, 103, 2, False),
        (10**30, 10**30 + 3, 2, False),
        (1, 1.0, 5, False),
        (True, 1, 5, False),
        (True, False, 5, False),
        ("1", "2", 5, False),
        (0.0, -0.0, 0.1, True),
        (0.0, -0.0, 0.0, False),
        (math.nan, math.nan, 0.0, True),
        (math.nan, 1.0, 5, False),
        (math.inf, math.inf, 0.0, True),
        (math.inf, -math.inf, 5, False),
        (math.inf, 1e308, 5, False),
        (1e308, -1e308, 1.0, False),
        ((1.0,), (1.01,), 0.1, False),
    ],
)
def test_tolerance_is_of_finite_numbers_of_one_type(one: Value, other: Value, tolerance: float, expected: bool) -> None:
    assert same(one, other, tolerance) is expected
    assert same(other, one, tolerance) is expected


@given(st.integers(-(10**6), 10**6), st.integers(-2000, 2000), st.integers(1, 1000))
def test_tolerance_is_reckoned_in_decimals_as_people_read_them(base: int, off: int, tolerance: int) -> None:
    assert same(base / 1000, (base + off) / 1000, tolerance / 1000) is (abs(off) <= tolerance or off == 0)


BEFORE = snapshot(Item("a", 12.0, tolerance=0.05), Item("b", 3, label="RUN"), unread=(Unread("c", "busy"),))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ([Item("a", 12.0, tolerance=0.05), Item("b", 3, label="RUN")], True),
        ([Item("a", 12.05, tolerance=0.05), Item("b", 3, label="RUN")], True),
        ([Item("a", 12.06, tolerance=0.05), Item("b", 3, label="RUN")], False),
        ([Item("a", 12.04, tolerance=0.04), Item("b", 3, label="RUN")], False),
        ([Item("a", 12.04, tolerance=0.05, uncertain=True), Item("b", 3, label="RUN")], False),
        ([Item("a", 12.04, tolerance=0.05), Item("b", 3, label="PROGRAM")], False),
        ([Item("a", 12.04, tolerance=0.05), Item("b", 4, label="RUN")], False),
        ([Item("a", 12.04, tolerance=0.05)], False),
        ([Item("a", 12.04, tolerance=0.05), Item("x", 3, label="RUN")], False),
        ([Item("a", 12, tolerance=0.05), Item("b", 3, label="RUN")], False),
    ],
)
def test_a_snapshot_continues_one_while_only_values_move_within_tolerance(now: list[Item], expected: bool) -> None:
    assert snapshot(*now, unread=BEFORE.unread).continues(BEFORE) is expected


def test_a_snapshot_with_other_gaps_does_not_continue() -> None:
    assert not snapshot(*BEFORE.items).continues(BEFORE)
    assert not snapshot(*BEFORE.items, unread=(Unread("c", "no answer"),)).continues(BEFORE)


def test_a_value_that_is_not_a_number_continues_itself() -> None:
    before = snapshot(Item("a", 12.0, tolerance=0.05), Item("b", math.nan), Item("c", (math.nan,)))
    now = snapshot(Item("a", 12.01, tolerance=0.05), Item("b", float("nan")), Item("c", (float("nan"),)))
    assert now.continues(before)


def test_again_is_the_same_snapshot_at_another_time() -> None:
    later = BEFORE.again(NOW + timedelta(hours=1))
    assert (later.digest, later.items, later.taken_at) == (BEFORE.digest, BEFORE.items, NOW + timedelta(hours=1))
    assert BEFORE.taken_at == NOW


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (["item", "mode"], "item.mode"),
        (["host", "00:1b:1b:aa"], "host.00:1b:1b:aa"),
        (["host", "10.0.3.1", "ips"], 'host."10.0.3.1".ips'),
        (["item", "fill limit"], 'item."fill limit"'),
        (["a", ""], 'a.""'),
        (["a", 'say "b"'], r'a."say \"b\""'),
        (["a", "it's"], 'a."it\'s"'),
        (["a", "tab\there"], r'a."tab\there"'),
    ],
)
def test_a_part_that_would_confuse_a_key_is_quoted(parts: list[str], key: str) -> None:
    assert key_of(*parts) == key


@given(st.lists(st.text(max_size=4), min_size=1, max_size=3), st.lists(st.text(max_size=4), min_size=1, max_size=3))
def test_different_parts_make_different_keys(one: list[str], other: list[str]) -> None:
    assert (key_of(*one) == key_of(*other)) is (one == other)


@given(st.lists(ANY_TEXT))
def test_a_key_is_taken_apart_into_its_parts(parts: list[str]) -> None:
    assert parts_of(key_of(*parts)) == tuple(parts)


@pytest.mark.parametrize(
    "part", ["fill limit", "10.0.3.1", 'say "b"', "back\\slash and space", "tab\t", "a\nb", "x 😀"]
)
def test_a_quoted_part_is_quoted_as_in_toml(part: str) -> None:
    assert tomllib.loads(f"{key_of('item', part)} = 1") == {"item": {part: 1}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\x00\xff", "00ff"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (12.5, 12.5),
        (True, True),
        (None, None),
        ((1, (b"\x01", math.nan)), [1, ["01", "NaN"]]),
    ],
)
def test_a_value_is_shown_as_json_has_it(value: Value, shown: object) -> None:
    assert plain(value) == shown
    assert json.loads(json.dumps(Item("k", value).shown, allow_nan=False)) == shown


def test_a_label_is_shown_instead_of_the_value() -> None:
    assert Item("k", 3, label="RUN").shown == "RUN"


@pytest.mark.parametrize(
    ("key", "covered"),
    [("a", True), ("a.b", True), ("a.b.c", True), ("ab", False), ("b.a", False), ("", False)],
)
def test_a_gap_stands_for_every_key_below_it(key: str, covered: bool) -> None:
    assert Unread("a").covers(key) is covered
    assert snapshot(unread=(Unread("a"),)).misses(key) is covered


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000Z"),
    ],
)
def test_times_are_utc_with_z_to_the_millisecond(moment: datetime, text: str) -> None:
    assert utc_text(moment) == text


def test_severities_rank_from_low_to_critical() -> None:
    assert sorted(Severity, key=lambda severity: severity.rank) == ["low", "medium", "high", "critical"]
