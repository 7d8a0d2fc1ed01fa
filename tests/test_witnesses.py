"""What polls say and what the wire says of one asset, held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from baselines.asset import Asset, identity_item
from baselines.rules import CLAIMED
from baselines.snapshot import Severity, Snapshot
from baselines.wire import Operation, WireEvent
from collectors.address import parse_address
from collectors.collector import Target
from collectors.passive.heard import Heard
from collectors.profile import Profiles
from monitor.config import Evidence, Plant, Polled
from monitor.segment import Segment
from monitor.witnesses import (
    AGAIN_AFTER,
    LATELY_MOST,
    Doings,
    Hosts,
    Overheard,
    Weighed,
    Witnessed,
    is_alarming,
    weigh,
)
from tests.frames import AT
from tests.spoken import CYCLE, PLC, READ, ROGUE, SCADA, WRITE, Host, Listener, arp, heard, identity

START = datetime.fromtimestamp(AT // 10**9, UTC)
REVISION = "witness.software_revision"


def plant(**addresses: str) -> Plant:
    polled = {
        name: Polled(Asset(name, address, "auto"), Target(name, parse_address(address)), timedelta(seconds=30))
        for name, address in addresses.items()
    }
    return Plant(Path("plant.toml"), "Test", "UTC", "sqlite://", polled, Profiles(), Evidence(Path("none.key")))


FILLER = plant(filler="modbus://10.0.0.2/1")


def polled(since: float, until: float, **said: str) -> Mapping[str, Witnessed]:
    items = [identity_item(field, value) for field, value in said.items()]
    moments = [START + timedelta(seconds=seconds) for seconds in (since, until)]
    return {"filler": Witnessed(moments[0], moments[1], Snapshot.of("filler", START, items))}


def came_to(
    *said: Heard, known: Mapping[str, Witnessed] | None = None, where: Plant = FILLER, oldest: float = -1,
    approved: Snapshot | None = None,
) -> Weighed:  # fmt: skip
    wires = [Overheard(each, START + timedelta(seconds=oldest), approved) for each in said]
    return weigh(where, wires, known or {}).get("filler", Weighed())


def shown(weighed: Weighed) -> list[tuple[str, Any, Any]]:
    return [
        (found.deviation.key, found.deviation.approved and found.deviation.approved.value,
         found.deviation.observed and found.deviation.observed.value)
        for found in weighed.contradictions
    ]  # fmt: skip


def answers(*revisions: tuple[float, str], protocol: int = 502) -> Heard:
    """The device answers FC 43 with a revision, each at its second."""
    listener = Listener()
    said = listener.hear(CYCLE)
    for at, revision in revisions:
        said = listener.hear(SCADA.says(PLC, identity(software_revision=revision), port=protocol), at)
    return said


@pytest.mark.parametrize(
    ("said", "since", "until", "contradicted"),
    [
        ([(10, "V2")], 0, 30, True),
        ([(10, "V1")], 0, 30, False),
        ([(10, "V2"), (20, "V1")], 0, 30, True),  # the last answer was the one to our own poll
        ([(31, "V2")], 0, 30, False),  # an update that the wire saw before the next poll
        ([(10, "V2")], 11, 30, False),  # the polls that said otherwise came later: an update back
        ([(10, "V1"), (20, "V2"), (30, "V1")], 0, 40, True),
        ([(10, " v1 "), (20, "V01")], 0, 40, False),  # spelt otherwise
    ],
)
def test_a_contradiction_is_of_the_same_time(
    said: list[tuple[float, str]], since: float, until: float, contradicted: bool
) -> None:
    weighed = came_to(answers(*said), known=polled(since, until, software_revision="V1"))
    assert shown(weighed) == ([(REVISION, "V1", "V2")] if contradicted else [])
    for finding in weighed.contradictions:
        assert (finding.severity, finding.techniques) == (Severity.HIGH, ("T0856", "T0851"))


def test_a_legitimate_update_moves_nothing_and_then_agrees() -> None:
    wire = answers((5, "V1"), (31, "V2"))
    before = came_to(wire, known=polled(0, 30, software_revision="V1"))
    assert (shown(before), REVISION in before.agreed) == ([], False)
    after = came_to(wire, known=polled(33, 33, software_revision="V2"))
    assert (shown(after), REVISION in after.agreed) == ([], True)


def test_a_lie_that_is_told_no_more_is_over_when_it_is_stale() -> None:
    wire = answers((10, "V2"), (200, "V1"))
    lying = came_to(wire, known=polled(0, 300, software_revision="V1"))
    over = came_to(wire, known=polled(0, 300, software_revision="V1"), oldest=100)
    assert (len(lying.contradictions), REVISION in lying.agreed) == (1, False)
    assert (len(over.contradictions), REVISION in over.agreed) == (0, True)


def test_where_one_witness_says_nothing_they_neither_agree_nor_contradict() -> None:
    weighed = came_to(heard(CYCLE), known=polled(0, 30, software_revision="V1"))
    assert weighed == Weighed(agreed=frozenset({CLAIMED}))
    assert came_to(answers((10, "V2"))).contradictions == ()
    assert came_to() == Weighed()


def test_only_the_protocol_of_the_address_is_compared() -> None:
    opcua = plant(filler="opc.tcp://10.0.0.2:4840")
    assert came_to(answers((10, "V2")), known=polled(0, 30, software_revision="V1"), where=opcua).contradictions == ()


def test_units_behind_one_address_are_not_told_apart_and_not_compared() -> None:
    gateway = plant(filler="modbus://10.0.0.2/1", capper="modbus://10.0.0.2/2")
    assert came_to(answers((10, "V2")), known=polled(0, 30, software_revision="V1"), where=gateway).contradictions == ()
    assert Hosts(gateway).asset_at("10.0.0.2") is None
    filler = Hosts(FILLER)
    assert (filler.asset_at("10.0.0.2"), filler.asset_at("10.0.0.3")) == ("filler", None)


@pytest.mark.parametrize(
    ("polled_as", "on_the_wire"),
    [
        ("Schneider Electric", b"Schneider Electric  \0"),
        ("M\\xfcller", b"M\xfcller"),  # no UTF-8: a poll shows it escaped
        ("ACME\0rest", b"ACME\0rest"),
        ("ACME", b" acme"),
        ("Müller", "Müller".encode()),
        ("BME P58 2040", b"BMEP582040"),
    ],
)
def test_how_witnesses_spell_things_is_no_contradiction(polled_as: str, on_the_wire: bytes) -> None:
    wire = heard(SCADA.says(PLC, identity(manufacturer=on_the_wire)), at=10)
    weighed = came_to(wire, known=polled(0, 30, manufacturer=polled_as))
    assert (shown(weighed), "witness.manufacturer" in weighed.agreed) == ([], True)


@pytest.mark.parametrize(("one", "other"), [("2.4.1", "2.4.10"), ("2.10", "21.0"), ("V2", "W2"), ("2.4", "2.4.1")])
def test_revisions_that_look_alike_are_not_the_same(one: str, other: str) -> None:
    assert shown(came_to(answers((10, other)), known=polled(0, 30, software_revision=one)))


def test_names_for_which_a_protocol_has_several_places_are_not_compared() -> None:
    wire = heard(SCADA.says(PLC, identity(product_name="Application")), at=10)
    assert came_to(wire, known=polled(0, 30, product_name="Product")).contradictions == ()


def test_who_answers_in_the_place_of_an_asset_is_a_witness_too_and_hides_nobody() -> None:
    """Another card with its address: what it says is what others are told, and the device's own words stay."""
    twin = Host("02:00:00:00:00:01", PLC.ip)  # sorts before and after the device's
    for fake in (twin, Host("ff:00:00:00:00:01".replace("ff", "fe"), PLC.ip)):
        listener = Listener()
        listener.hear([*CYCLE, *SCADA.says(PLC, identity(software_revision="V1"))])
        wire = listener.hear(SCADA.says(fake, identity(software_revision="V9")), at=10)
        wire = listener.hear(CYCLE, at=12)
        found = {key: sides for key, *sides in shown(came_to(wire, known=polled(0, 30, software_revision="V1")))}
        assert found == {CLAIMED: [PLC.mac, fake.mac], REVISION: ["V1", "V9"]}


# ---- Who has the address

GRATUITOUS = arp(ROGUE.mac, PLC.ip, PLC.ip, 2)


def claimed(frames: Sequence[bytes], then: Sequence[bytes] = (), where: Plant = FILLER) -> list[tuple[str, Any, Any]]:
    listener = Listener()
    listener.hear(frames)
    return shown(came_to(listener.hear(then, at=600) if then else listener.hear(CYCLE[-2:], at=5), where=where))


def test_without_a_baseline_of_the_segment_two_that_claim_an_asset_are_a_contradiction_at_the_asset() -> None:
    weighed = came_to(heard([*CYCLE, GRATUITOUS, *CYCLE[-2:]]))
    assert shown(weighed) == [(CLAIMED, PLC.mac, ROGUE.mac)]
    (finding,) = weighed.contradictions
    assert (finding.severity, finding.techniques) == (Severity.CRITICAL, ("T0830", "T0856"))
    assert CLAIMED not in weighed.agreed


@pytest.mark.parametrize(
    ("frames", "then"),
    [
        (CYCLE, ()),
        ([*CYCLE, arp(PLC.mac, PLC.ip, PLC.ip)], ()),  # it announces itself
        ([*CYCLE, arp(ROGUE.mac, "0.0.0.0", PLC.ip)], ()),  # a probe
        ([*CYCLE, arp(ROGUE.mac, ROGUE.ip, PLC.ip)], ()),  # a question
        ([*CYCLE, arp(ROGUE.mac, "10.0.0.77", "10.0.0.77", 2)], ()),  # of another, which is no asset
        (CYCLE, SCADA.says(Host("00:00:54:00:00:77", PLC.ip), READ)),  # a card that took the place of another
        (CYCLE, [arp("00:00:54:00:00:77", PLC.ip, SCADA.ip)]),
        (  # a router hands on, on the other side, what the device says
            [*CYCLE, arp("02:00:00:00:0f:fe", "10.9.0.254", "10.9.0.1", 2)],
            PLC.says(SCADA, READ, through="02:00:00:00:0f:fe"),
        ),
    ],
)
def test_who_has_the_address_alone(frames: list[bytes], then: Sequence[bytes]) -> None:
    assert claimed(frames, then) == []


def test_who_claims_the_address_of_a_card_that_was_just_replaced() -> None:
    spare, listener = Host("00:00:54:00:00:77", PLC.ip), Listener()
    listener.hear(CYCLE)
    listener.hear([*SCADA.says(spare, READ), GRATUITOUS], at=600)
    weighed = came_to(listener.hear(SCADA.says(spare, READ), at=610))
    assert shown(weighed) == [(CLAIMED, spare.mac, ROGUE.mac)]


def test_a_device_that_never_asks_for_an_address_has_its_own_all_the_same() -> None:
    assert claimed([*CYCLE[:6], GRATUITOUS], CYCLE[:6]) == [(CLAIMED, PLC.mac, ROGUE.mac)]


def test_a_claim_that_is_silent_for_long_is_over() -> None:
    listener = Listener()
    listener.hear([*CYCLE, GRATUITOUS, *CYCLE[-2:]])
    weighed = came_to(listener.hear(CYCLE, at=1000), oldest=500)
    assert weighed == Weighed(agreed=frozenset({CLAIMED}))


def test_what_the_baseline_of_the_segment_knows_is_its_to_say() -> None:
    segment = Segment("line3", timedelta(days=1))
    segment.hear(heard(CYCLE))
    approved = segment.snapshot(None, START + timedelta(minutes=1))
    weighed = came_to(heard([*CYCLE, GRATUITOUS, *CYCLE[-2:]]), approved=approved)
    assert weighed == Weighed(agreed=frozenset({CLAIMED}))
    elsewhere = Snapshot.of("line3", START, [])
    assert shown(came_to(heard([*CYCLE, GRATUITOUS, *CYCLE[-2:]]), approved=elsewhere))


def test_on_two_segments_one_address_has_two_cards_and_that_is_how_routers_work() -> None:
    """Beyond a router, the device's frames come from the router's card, which may also answer for it (proxy ARP)."""
    router = Host("02:00:00:00:0f:fe", PLC.ip)
    beyond = heard([*router.says(SCADA, READ), arp(router.mac, PLC.ip, SCADA.ip, 2)])
    for wires in ((heard(CYCLE), beyond), (beyond, heard(CYCLE))):
        assert came_to(*wires) == Weighed(agreed=frozenset({CLAIMED}))
    attacked = heard([*CYCLE, GRATUITOUS, *CYCLE[-2:]])
    for wires in ((attacked, beyond), (beyond, attacked), (attacked, attacked)):
        assert shown(came_to(*wires)) == [(CLAIMED, PLC.mac, ROGUE.mac)]


def test_two_segments_that_hear_the_same_device_are_no_two_devices() -> None:
    wire = heard(CYCLE)
    assert came_to(wire, wire) == Weighed(agreed=frozenset({CLAIMED}))


def test_of_many_units_behind_one_address_one_is_told() -> None:
    gateway = plant(filler="modbus://10.0.0.2/1", capper="modbus://10.0.0.2/2")
    wire = Overheard(heard([*CYCLE, GRATUITOUS, *CYCLE[-2:]]), START - timedelta(seconds=1))
    found = weigh(gateway, [wire], {})
    assert {name: len(said.contradictions) for name, said in found.items()} == {"filler": 1}


# ---- What was done


def done(operation: Operation, client: str = "10.0.0.1", server: str = "10.0.0.2", **detail: Any) -> WireEvent:
    return WireEvent(START, 1, client, server, "modbus", operation, detail)


def raised(doings: Doings, event: WireEvent, after: float) -> bool:
    now = START + timedelta(seconds=after)
    new = doings.is_new(event, now)
    doings.note([event], now)
    return new


def test_one_download_in_a_thousand_blocks_is_one_alarm() -> None:
    doings = Doings()
    block = done(Operation.PROGRAM_DOWNLOAD)
    assert [raised(doings, block, at) for at in range(0, 300, 50)] == [True] + [False] * 5
    assert raised(doings, block, 250 + AGAIN_AFTER.total_seconds())
    assert raised(doings, done(Operation.PROGRAM_DOWNLOAD, server="10.0.0.3"), 250)
    assert raised(doings, done(Operation.PROGRAM_DOWNLOAD, client="10.0.0.9"), 250)


def test_what_could_not_be_stored_is_new_the_next_time() -> None:
    doings, stop = Doings(), done(Operation.STOP)
    assert doings.is_new(stop, START)
    assert doings.is_new(stop, START), "nobody has noted that it was raised"


@pytest.mark.parametrize("operation", [Operation.LOGIN, Operation.IDENTITY_READ])
def test_what_is_daily_work_raises_nothing(operation: Operation) -> None:
    assert not is_alarming(done(operation), None)


def test_a_write_is_an_alarm_unless_somebody_approved_that_this_client_writes() -> None:
    segment = Segment("line3", timedelta(days=1))
    segment.hear(heard([*CYCLE, *SCADA.says(PLC, WRITE)]))
    approved = segment.snapshot(None, START + timedelta(minutes=1))
    single = {"function": "write-single-register"}
    assert is_alarming(done(Operation.WRITE, **single), None)
    assert not is_alarming(done(Operation.WRITE, **single), approved)
    assert not is_alarming(done(Operation.WRITE), approved)
    assert is_alarming(done(Operation.WRITE, function="write-multiple-registers"), approved)
    assert is_alarming(done(Operation.WRITE, client="10.0.0.66", **single), approved)


def test_who_writes_by_the_hour_is_told_once() -> None:
    doings = Doings()
    assert [raised(doings, done(Operation.WRITE), hour * 3600) for hour in range(48)] == [True] + [False] * 47


def test_a_flood_of_clients_is_bounded() -> None:
    doings = Doings()
    doings.note([done(Operation.STOP, client=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(30_000)], START)
    assert len(doings._lately._seen) == LATELY_MOST
