"""What a deviation means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.drift import Deviation, Kind
from baselines.rules import (
    CLAIMED,
    OPERATION_CATEGORIES,
    Direction,
    Finding,
    assess,
    contradiction,
    direction,
    impersonation,
    occurrence,
)
from baselines.snapshot import Category, Item, Severity, Value
from baselines.wire import OPERATIONS, Operation, WireEvent

UP, DOWN = Direction.UPGRADE, Direction.DOWNGRADE


def changed(
    approved: Value, observed: Value, category: Category = Category.FIRMWARE, key: str = "identity.software_revision"
) -> Finding:
    before, after = (Item(key, value, category, Severity.LOW) for value in (approved, observed))
    (finding,) = assess([Deviation(key, Kind.CHANGED, before, after)])
    return finding


@pytest.mark.parametrize(
    ("approved", "observed", "expected"),
    [
        ("v2.9", "v2.10", UP),
        ("2.9", "V2.10.1", UP),
        ("V4.0.2", "V4.0.10", UP),
        ("4.0.2", "V4.0.2", None),
        ("2.1", "2.1.0", None),
        ("2.1.0.0", "2.1", None),
        ("2.1", "2.1.1", UP),
        ("2.09", "2.9", None),
        ("2.1 build 17", "2.1 build 9", DOWN),
        ("B2.1", "2.1", None),
        ("B2.1", "2.0", None),
        ("B2.1", "C2.0", None),
        ("B2.1", "b2.2", UP),
        ("V17_Update_7", "V17_Update_12", UP),
        ("FW_2_1", "FW_2_2", UP),
        ("2.1-rc1", "2.1", None),
        ("0", "0.0", None),
        ("0.0", "0.1", UP),
        ("1.0", "0.9", DOWN),
        (209, 210, UP),
        (210, 209, DOWN),
        (210, "2.11", DOWN),
        ("release", "stable", None),
        ("", "1.0", None),
        (None, "1.0", None),
        ("1.0", None, None),
        (True, False, None),
        (2.1, 2.0, None),
        (b"\x02\x01", b"\x02\x00", None),
        (("2.1",), ("2.0",), None),
        ("1" * 5000, "2" * 5000, UP),
    ],
)
def test_direction(approved: Value, observed: Value, expected: Direction | None) -> None:
    opposite = {UP: DOWN, DOWN: UP, None: None}
    assert direction(approved, observed) is expected
    assert direction(observed, approved) is opposite[expected]


NUMBERS = st.lists(st.integers(0, 300), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS, st.sampled_from(["{}", "v{}", "V{}", "FW {}"]))
def test_a_revision_is_ordered_by_its_numbers(old: list[int], new: list[int], spelling: str) -> None:
    padded_old, padded_new = ([*numbers, *[0] * (4 - len(numbers))] for numbers in (old, new))
    expected = UP if padded_new > padded_old else DOWN if padded_new < padded_old else None
    assert direction(*(spelling.format(".".join(map(str, numbers))) for numbers in (old, new))) is expected


@given(st.text(), st.text())
def test_whatever_a_device_calls_its_revision_the_two_ways_do_not_contradict(one: str, other: str) -> None:
    assert {direction(one, other), direction(other, one)} in ({None}, {UP, DOWN})


def test_a_downgrade_of_firmware_is_critical_whatever_the_profile_says() -> None:
    assert (changed("2.1", "2.0").severity, changed("2.1", "2.0").direction) == (Severity.CRITICAL, DOWN)
    assert (changed("2.0", "2.1").severity, changed("2.0", "2.1").direction) == (Severity.LOW, UP)


@pytest.mark.parametrize("category", [each for each in Category if each is not Category.FIRMWARE])
def test_only_firmware_has_a_direction(category: Category) -> None:
    finding = changed("2.1", "2.0", category)
    assert (finding.severity, finding.direction) == (Severity.LOW, None)


@pytest.mark.parametrize(
    ("category", "key", "techniques"),
    [
        (Category.FIRMWARE, "identity.software_revision", ("T0857",)),
        (Category.FIRMWARE, "device.slot1.software_revision", ("T0839",)),
        (Category.PROGRAM, "item.crc", ("T0843", "T0889")),
        (Category.PROGRAM, "device.slot1.program", ("T0843", "T0889")),
        (Category.PARAMETER, "item.limit", ("T0836",)),
        (Category.MODE, "item.mode", ("T0858",)),
        (Category.IDENTITY, "identity.model", ()),
        (Category.NETWORK, "item.address", ()),
        (Category.SECURITY, "endpoint.security_policies", ()),
    ],
)
def test_techniques(category: Category, key: str, techniques: tuple[str, ...]) -> None:
    assert changed(1, 2, category, key).techniques == techniques


@pytest.mark.parametrize("kind", [Kind.ADDED, Kind.REMOVED])
def test_what_came_or_went_keeps_its_severity_and_has_no_direction(kind: Kind) -> None:
    item = Item("device.slot1.software_revision", "2.1", Category.FIRMWARE, Severity.HIGH)
    sides = (None, item) if kind is Kind.ADDED else (item, None)
    (finding,) = assess([Deviation(item.key, kind, *sides)])
    assert (finding.severity, finding.direction, finding.techniques) == (Severity.HIGH, None, ("T0839",))


# ---- What was heard


@pytest.mark.parametrize(
    ("key", "kind", "category", "techniques"),
    [
        ("host.m.ips", Kind.ADDED, Category.NETWORK, ("T0864",)),
        ("host.m.ips", Kind.CHANGED, Category.NETWORK, ()),
        ('conversation."1"."2".modbus', Kind.ADDED, Category.NETWORK, ("T0848",)),
        ('conversation."1"."2".modbus', Kind.CHANGED, Category.NETWORK, ("T0855",)),
        ('address."1"', Kind.CHANGED, Category.NETWORK, ("T0830", "T0856")),
        ("service.m.tcp.502", Kind.ADDED, Category.NETWORK, ()),
        ("host.m.software_revision", Kind.CHANGED, Category.FIRMWARE, ("T0857",)),
        ("host.m.model", Kind.CHANGED, Category.IDENTITY, ()),
    ],
)
def test_techniques_of_what_was_heard(key: str, kind: Kind, category: Category, techniques: tuple[str, ...]) -> None:
    before, after = (Item(key, (value,), category, Severity.HIGH) for value in ("1", "2"))
    (finding,) = assess([Deviation(key, kind, None if kind is Kind.ADDED else before, after)])
    assert (finding.techniques, finding.severity) == (techniques, Severity.HIGH)


@pytest.mark.parametrize(
    ("approved", "observed", "expected"),
    [
        (("V2.4",), ("V2.3",), DOWN),
        (("V2.4",), ("V2.5",), UP),
        (("V2.4",), ("V2.3", "V2.4"), None),
        (("V2.3", "V2.4"), ("V2.3",), None),
        ((), ("V2.4",), None),
    ],
)
def test_a_revision_that_was_heard_has_a_direction_where_its_witnesses_say_one(
    approved: Value, observed: Value, expected: Direction | None
) -> None:
    finding = changed(approved, observed, key="host.m.software_revision")
    assert finding.direction is expected
    assert finding.severity is (Severity.CRITICAL if expected is DOWN else Severity.LOW)


def test_witnesses_that_contradict_each_other() -> None:
    told = contradiction("model", "P-1", "P-2")
    assert (told.deviation.key, told.deviation.kind, told.techniques) == (
        "witness.model", Kind.CONFLICT, ("T0856", "T0851"),
    )  # fmt: skip
    claimed = impersonation("a", ["b", "c"])
    assert (claimed.deviation.key, claimed.deviation.kind) == (CLAIMED, Kind.CONFLICT)
    assert (claimed.deviation.approved and claimed.deviation.approved.value) == "a"
    assert (claimed.deviation.observed and claimed.deviation.observed.value) == "b, c"
    assert (claimed.severity, claimed.techniques) == (Severity.CRITICAL, ("T0830", "T0856"))


@pytest.mark.parametrize("operation", Operation)
def test_what_was_done_says_who_did_it(operation: Operation) -> None:
    event = WireEvent(datetime(2026, 11, 23, 8, 0, tzinfo=UTC), 7, "10.0.0.1", "10.0.0.2", "modbus", operation)
    told = occurrence(event, "ENG-7")
    assert told.deviation.key == f'wire.{operation}."10.0.0.1"."10.0.0.2"'
    assert told.deviation.item.value == f"{operation} of 10.0.0.2 by ENG-7 over modbus"
    assert told.who == {
        "client": "10.0.0.1", "name": "ENG-7", "protocol": "modbus", "at": "2026-11-23T08:00:00.000Z",
    }  # fmt: skip
    assert (told.severity, told.techniques) == OPERATIONS[operation]
    assert told.deviation.item.category is OPERATION_CATEGORIES.get(operation, Category.PARAMETER)
    nameless = occurrence(event, "")
    assert (nameless.who or {})["name"] is None
    assert nameless.deviation.item.value == f"{operation} of 10.0.0.2 by 10.0.0.1 over modbus"
