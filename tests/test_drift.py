"""Comparing what was observed with what was approved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.drift import WORST_FIRST, Deviation, Kind, Verdict, between, compare, verdict, verdicts, worst
from baselines.snapshot import Category, Dropped, Item, Severity, Snapshot, Unread, Value, canonical

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
CONFUSABLE: list[Value] = [0, 1, True, False, 1.0, -0.0, math.nan, "1", "", b"1", None, (1,), (True,)]
DEVICE_KEYS = ["identity.model", "identity.serial_number", "device.slot1.model", "device.slot1.revision", "endpoint.x"]
PROFILE_KEYS = ["item.mode", "item.crc", 'item."fill limit"']
GROUPS = ["identity", "device", "device.slot1", "item"]
EXACT = st.just(0.0)


def snapshots(
    keys: list[str], gaps: Iterable[str] = (), tolerances: st.SearchStrategy[float] = EXACT
) -> st.SearchStrategy[Snapshot]:
    """Snapshots with some of the keys, each with a value that is easily taken for another."""
    item = st.builds(Item, st.sampled_from(keys), st.sampled_from(CONFUSABLE), tolerance=tolerances)
    gap = st.builds(Unread, st.sampled_from([*gaps, ""]))
    return st.builds(
        Snapshot.of,
        st.just("plc"),
        st.just(NOW),
        st.lists(item, unique_by=lambda item: item.key),
        st.lists(gap, unique_by=lambda gap: gap.key).map(lambda found: [gap for gap in found if gap.key]),
    )


ANY = snapshots([*DEVICE_KEYS, *PROFILE_KEYS], [*GROUPS, *DEVICE_KEYS, *PROFILE_KEYS], st.sampled_from([0.0, 1.0]))


def snapshot(items: Mapping[str, Value], *unread: str, tolerance: float = 0.0) -> Snapshot:
    made = [Item(key, value, tolerance=tolerance) for key, value in items.items()]
    return Snapshot.of("plc", NOW, made, [Unread(key) for key in unread])


def kinds(deviations: Iterable[Deviation]) -> dict[str, str]:
    return {deviation.key: deviation.kind for deviation in deviations}


@given(ANY)
def test_a_snapshot_does_not_deviate_from_itself(taken: Snapshot) -> None:
    assert compare(taken, taken) == ()
    assert set(verdicts(taken, taken).values()) <= {Verdict.MATCH, Verdict.NEVER_SEEN}


@given(snapshots(DEVICE_KEYS), snapshots(DEVICE_KEYS))
def test_the_deviations_applied_to_the_baseline_give_the_snapshot(approved: Snapshot, observed: Snapshot) -> None:
    result = dict(approved.by_key)
    for deviation in compare(approved, observed):
        assert (deviation.approved, deviation.observed) == (
            approved.by_key.get(deviation.key),
            observed.by_key.get(deviation.key),
        )
        if deviation.observed is None:
            del result[deviation.key]
        else:
            result[deviation.key] = deviation.observed
    assert {key: canonical(item.value) for key, item in result.items()} == {
        item.key: canonical(item.value) for item in observed.items
    }


@given(snapshots(DEVICE_KEYS), snapshots(DEVICE_KEYS))
def test_seen_from_the_other_side_added_is_removed(one: Snapshot, other: Snapshot) -> None:
    mirrored = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED, Kind.CHANGED: Kind.CHANGED}
    assert kinds(compare(one, other)) == {d.key: mirrored[d.kind] for d in compare(other, one)}


@given(ANY, ANY)
def test_what_was_not_read_never_deviates(approved: Snapshot, observed: Snapshot) -> None:
    for deviation in compare(approved, observed):
        assert deviation.key in observed.by_key or not observed.misses(deviation.key)
        assert deviation.key in approved.by_key or not approved.misses(deviation.key)


@given(ANY, ANY)
def test_a_profile_that_changed_neither_adds_nor_removes(approved: Snapshot, observed: Snapshot) -> None:
    for deviation in compare(approved, observed):
        assert deviation.kind is Kind.CHANGED or not deviation.key.startswith("item.")


@given(ANY, ANY)
def test_every_key_has_a_verdict_and_drift_is_what_deviates(approved: Snapshot, observed: Snapshot) -> None:
    found = verdicts(approved, observed)
    assert {*approved.by_key, *observed.by_key} <= set(found)
    assert {key for key in found if found[key] is Verdict.DRIFT} == set(kinds(compare(approved, observed)))
    for key in found:
        if found[key] is Verdict.MATCH:
            assert key in observed.by_key
            assert key in approved.by_key
    for gap in (*approved.unread, *observed.unread):
        assert any(gap.covers(key) for key in found), "a gap is not forgotten"


@pytest.mark.parametrize(
    ("approved", "observed", "deviations", "of_asset"),
    [
        (snapshot({"item.a": 1}), snapshot({"item.a": 1}), {}, "match"),
        (snapshot({"item.a": 1}), snapshot({"item.a": 2}), {"item.a": "changed"}, "drift"),
        (snapshot({"item.a": 1}), snapshot({"item.a": True}), {"item.a": "changed"}, "drift"),
        (snapshot({"device.a": 1}), snapshot({}), {"device.a": "removed"}, "drift"),
        (snapshot({}), snapshot({"device.a": 1}), {"device.a": "added"}, "drift"),
        (snapshot({"device.a": 1}), snapshot({}, "device.a"), {}, "no-longer-observable"),
        (snapshot({"device.a": 1}), snapshot({}, "device"), {}, "no-longer-observable"),
        (snapshot({"device.a": 1}), snapshot({}, "dev"), {"device.a": "removed"}, "drift"),
        (snapshot({"device.b": 1}, "device.a"), snapshot({"device.a": 1, "device.b": 1}), {}, "no-baseline"),
        (snapshot({"item.a": 1}), snapshot({"item.a": 1, "item.b": 1}), {}, "no-baseline"),
        (snapshot({"item.a": 1, "item.b": 1}), snapshot({"item.a": 1}), {}, "no-longer-observable"),
        (snapshot({"item.a": 1}), snapshot({"item.a": 1}, "item.b"), {}, "never-seen"),
        (snapshot({"item.a": 1}, "item.b"), snapshot({"item.a": 1}, "item.b"), {}, "never-seen"),
        (snapshot({"item.a": 1}, "item.b"), snapshot({"item.a": 1}), {}, "never-seen"),
        (snapshot({"item.a": 1, "item.b": 1}), snapshot({"item.a": 2}, "item.b"), {"item.a": "changed"}, "drift"),
    ],
)
def test_verdict(approved: Snapshot, observed: Snapshot, deviations: dict[str, str], of_asset: str) -> None:
    assert kinds(compare(approved, observed)) == deviations
    assert verdict(approved, observed) == of_asset


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (snapshot({"item.a": 1}), Verdict.NO_BASELINE),
        (snapshot({"item.a": 1}, "item.b"), Verdict.NEVER_SEEN),
        (snapshot({}), Verdict.NO_BASELINE),
    ],
)
def test_without_a_baseline_nothing_matches(observed: Snapshot, expected: Verdict) -> None:
    assert verdict(None, observed) is expected
    assert Verdict.MATCH not in verdicts(None, observed).values()


def test_the_tolerance_that_counts_is_the_approved_one() -> None:
    exact, lax = snapshot({"item.a": 12.0}), snapshot({"item.a": 12.04}, tolerance=0.05)
    assert kinds(compare(exact, lax)) == {"item.a": "changed"}
    assert compare(snapshot({"item.a": 12.0}, tolerance=0.05), snapshot({"item.a": 12.04})) == ()


def test_a_deviation_is_of_the_approved_category_and_severity() -> None:
    approved = Snapshot.of("plc", NOW, [Item("item.a", 1, Category.PROGRAM, Severity.CRITICAL)])
    played_down = Snapshot.of("plc", NOW, [Item("item.a", 2, Category.PARAMETER, Severity.LOW)])
    (deviation,) = compare(approved, played_down)
    assert (deviation.item.category, deviation.item.severity) == (Category.PROGRAM, Severity.CRITICAL)


def test_deviations_come_in_the_order_of_their_keys() -> None:
    approved, observed = snapshot({"device.b": 1, "device.d": 1}), snapshot({"device.a": 1, "device.c": 1})
    assert [deviation.key for deviation in compare(approved, observed)] == [f"device.{each}" for each in "abcd"]


def test_verdicts_from_worst_to_best() -> None:
    assert WORST_FIRST == ("drift", "no-longer-observable", "never-seen", "stale", "no-baseline", "match")


@given(st.lists(st.sampled_from(Verdict)))
def test_the_worst_of_an_asset_is_its_verdict(found: list[Verdict]) -> None:
    expected = next((each for each in WORST_FIRST if each in found), Verdict.NO_BASELINE)
    assert worst(found) is expected


# ---- What was heard of a segment

HEARD_KEYS = ["host.m.ips", "host.m.model", "service.m.tcp.502", 'conversation."1"."2".modbus', 'address."1"']
PARTS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(sorted).map(tuple)
HEARD = st.dictionaries(st.sampled_from(HEARD_KEYS), PARTS).map(snapshot)


@given(HEARD, HEARD)
def test_what_was_heard_deviates_by_more_and_never_by_less(approved: Snapshot, observed: Snapshot) -> None:
    expected = {}
    for item in observed.items:
        known = approved.by_key.get(item.key)
        assert isinstance(item.value, tuple)
        more = item.key == "host.m.model" and "host.m.ips" in approved.by_key  # an approved host was asked who it is
        if known is None and not more and not item.key.startswith("address."):  # of a new one, the host's own key tells
            expected[item.key] = "added"
        elif known is not None and not {*item.value} <= {*known.value}:  # type: ignore[misc]
            expected[item.key] = "changed"
    assert kinds(compare(approved, observed)) == expected
    found = verdicts(approved, observed)
    for key in approved.by_key:
        assert (found[key] is Verdict.STALE) == (key not in observed.by_key)


def test_a_silent_host_whose_wire_cannot_be_seen_is_not_stale() -> None:
    approved = snapshot({"host.m.ips": ("a",)})
    assert verdicts(approved, snapshot({}, "host.m.ips"))["host.m.ips"] is Verdict.NO_LONGER_OBSERVABLE
    assert verdict(approved, snapshot({"host.m.ips": ("a",)}, "capture")) is Verdict.NEVER_SEEN


def test_a_list_that_was_polled_deviates_by_less_too() -> None:
    assert kinds(compare(snapshot({"device.a": ("a", "b")}), snapshot({"device.a": ("a",)}))) == {"device.a": "changed"}


def test_between_two_baselines_an_item_that_only_one_has_is_a_difference() -> None:
    one = Snapshot.of("plc", NOW, [Item("item.a", 1), Item("item.b", 2)])
    other = Snapshot.of("plc", NOW, [Item("item.a", 1), Item("item.c", 3)], dropped=[Dropped("item.b", "a counter")])
    assert [(each.key, each.kind) for each in between(one, other)] == [("item.b", "removed"), ("item.c", "added")]
    assert between(one, one) == ()
    assert [each.key for each in compare(one, other)] == [], "of a device they are no deviations"
