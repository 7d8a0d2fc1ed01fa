"""A segment as an asset: what was heard becomes items that deviate by more, never by less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.drift import Kind, Verdict, compare, verdict, verdicts
from baselines.rules import Direction, assess
from baselines.snapshot import Category, Severity, Snapshot
from collectors.passive.heard import Conversation, Counts, Evidence, Heard
from monitor.segment import KEYS_MOST, TOLD_AFTER, Segment
from tests.frames import AT
from tests.spoken import CYCLE, PLC, READ, RESTART, ROGUE, SCADA, WRITE, Host, Listener, arp, heard, identity

START = datetime.fromtimestamp(AT // 10**9, UTC)
DAY = timedelta(days=1)
PLC_KEY, ROGUE_KEY = f"host.{PLC.mac}", f"host.{ROGUE.mac}"
PLC_ADDRESS = 'address."10.0.0.2"'
TALK = 'conversation."10.0.0.1"."10.0.0.2".modbus'


def listening(*frames: bytes, at: float = 0.0) -> Segment:
    segment = Segment("line3", DAY)
    segment.hear(heard(frames, at))
    return segment


def taken(segment: Segment, approved: Snapshot | None = None, after: timedelta = timedelta(minutes=1)) -> Snapshot:
    return segment.snapshot(approved, START + after)


def restored(snapshot: Snapshot, *frames: bytes, at: float = 60.0) -> Segment:
    """The segment after a restart of the daemon, whose new sensor has heard some frames."""
    segment = Segment("line3", DAY)
    segment.restore(replace(snapshot, taken_at=START + timedelta(seconds=59)))
    segment.hear(heard(frames, at))
    return segment


def deviations(approved: Snapshot, observed: Snapshot) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        found.deviation.key: (found.deviation.kind, found.techniques) for found in assess(compare(approved, observed))
    }


APPROVED = taken(listening(*CYCLE))


def test_what_was_heard_is_items() -> None:
    assert {item.key: item.value for item in APPROVED.items} == {
        f"host.{SCADA.mac}.ips": ("10.0.0.1",),
        f"{PLC_KEY}.ips": ("10.0.0.2",),
        f"service.{PLC.mac}.tcp.502": ("modbus",),
        'address."10.0.0.1"': (SCADA.mac,),
        PLC_ADDRESS: (PLC.mac,),
        TALK: ("read-holding-registers",),
    }
    assert APPROVED.by_key[PLC_ADDRESS].severity is Severity.CRITICAL
    assert verdict(APPROVED, APPROVED) is Verdict.MATCH


def test_cyclic_traffic_is_one_snapshot_whatever_the_counters_and_the_clients_ports() -> None:
    listener, segment = Listener(), Segment("line3", DAY)
    digests = set()
    for minute in range(20):
        segment.hear(listener.hear([*SCADA.says(PLC, *[READ] * (minute + 1)), *CYCLE[-2:]], at=60 * minute))
        digests.add(taken(segment, APPROVED, timedelta(minutes=minute + 1)).digest)
    assert digests == {APPROVED.digest}


def test_a_rogue_host_that_becomes_a_second_master_is_added_and_says_which_techniques() -> None:
    observed = taken(listening(*CYCLE, *ROGUE.says(PLC, READ)), APPROVED)
    assert deviations(APPROVED, observed) == {
        f"{ROGUE_KEY}.ips": ("added", ("T0864",)),
        'conversation."10.0.0.66"."10.0.0.2".modbus': ("added", ("T0848",)),
    }


def test_an_approved_client_that_begins_to_write_is_changed() -> None:
    observed = taken(listening(*CYCLE, *SCADA.says(PLC, WRITE)), APPROVED)
    assert deviations(APPROVED, observed) == {TALK: ("changed", ("T0855",))}


def test_a_new_service_is_added() -> None:
    observed = taken(listening(*CYCLE, *SCADA.says(PLC, (b"GET /", b"200"), port=8080)), APPROVED)
    assert deviations(APPROVED, observed) == {f"service.{PLC.mac}.tcp.8080": ("added", ())}


def test_a_silent_host_is_stale_and_nothing_is_removed() -> None:
    listener, segment = Listener(), Segment("line3", DAY)
    segment.hear(listener.hear(CYCLE))
    later = timedelta(days=1, minutes=10)
    segment.hear(listener.hear([arp(SCADA.mac, SCADA.ip, "10.0.0.9")], at=later.total_seconds() - 60))
    observed = taken(segment, APPROVED, later)
    assert compare(APPROVED, observed) == ()
    found = verdicts(APPROVED, observed)
    assert found[f"{PLC_KEY}.ips"] == found[TALK] == found[PLC_ADDRESS] == Verdict.STALE
    assert found[f"host.{SCADA.mac}.ips"] is Verdict.MATCH
    assert verdict(APPROVED, observed) is Verdict.STALE
    segment.hear(listener.hear(CYCLE, at=later.total_seconds()))
    assert verdict(APPROVED, taken(segment, APPROVED, later)) is Verdict.MATCH, "it was heard again"


def test_what_nobody_approved_is_forgotten_when_it_is_silent() -> None:
    segment = listening(*CYCLE, *ROGUE.says(PLC, READ))
    segment.hear(heard(CYCLE, at=DAY.total_seconds()))
    assert taken(segment, APPROVED, DAY + timedelta(minutes=1)).digest == APPROVED.digest


@given(st.sets(st.sampled_from(range(len(CYCLE)))))
def test_a_restart_of_the_daemon_restores_what_was_heard(few: set[int]) -> None:
    """Whatever the new sensor hears first, it is a part of what is known."""
    segment = restored(APPROVED, *[CYCLE[at] for at in sorted(few)])
    assert taken(segment, APPROVED, timedelta(minutes=2)).digest == APPROVED.digest


def test_after_a_long_rest_what_was_known_is_stale_and_no_deviation() -> None:
    segment = Segment("line3", DAY)
    segment.restore(APPROVED)
    observed = taken(segment, APPROVED, timedelta(days=3))
    assert (observed.items, verdict(APPROVED, observed)) == ((), Verdict.STALE)


# ---- Addresses


def test_another_card_that_claims_an_approved_address_never_takes_it() -> None:
    claim = arp(ROGUE.mac, PLC.ip, PLC.ip, 2)
    observed = taken(listening(*CYCLE, claim), APPROVED)
    found = deviations(APPROVED, observed)
    assert found == {
        PLC_ADDRESS: ("changed", ("T0830", "T0856")),
        f"{ROGUE_KEY}.ips": ("added", ("T0864",)),
    }
    assert observed.by_key[PLC_ADDRESS].value == (PLC.mac, ROGUE.mac)
    assert observed.by_key[f"{PLC_KEY}.ips"].value == (PLC.ip,)
    (claimed,) = [each for each in assess(compare(APPROVED, observed)) if each.deviation.key == PLC_ADDRESS]
    assert claimed.severity is Severity.CRITICAL


def test_a_claim_that_is_made_no_more_returns_to_normal() -> None:
    segment = listening(*CYCLE, arp(ROGUE.mac, PLC.ip, PLC.ip, 2))
    segment.hear(heard(CYCLE, at=DAY.total_seconds()))
    assert verdict(APPROVED, taken(segment, APPROVED, DAY + timedelta(minutes=1))) is Verdict.MATCH


@pytest.mark.parametrize(
    "frame",
    [
        arp(ROGUE.mac, "0.0.0.0", PLC.ip),  # RFC 5227: a probe
        arp(ROGUE.mac, "10.0.0.66", PLC.ip),  # who asks for an address does not claim it
    ],
)
def test_who_asks_for_an_address_claims_nothing(frame: bytes) -> None:
    assert deviations(APPROVED, taken(listening(*CYCLE, frame), APPROVED)).keys() == {f"{ROGUE_KEY}.ips"}


def test_the_device_may_announce_itself() -> None:
    observed = taken(listening(*CYCLE, arp(PLC.mac, PLC.ip, PLC.ip)), APPROVED)
    assert verdict(APPROVED, observed) is Verdict.MATCH


def test_a_card_that_was_replaced_is_a_new_host_that_has_the_address() -> None:
    segment = listening(*CYCLE)
    spare = Host("00:00:54:00:00:77", PLC.ip)
    segment.hear(heard([*SCADA.says(spare, READ), arp(spare.mac, PLC.ip, SCADA.ip)], at=2 * DAY.total_seconds()))
    observed = taken(segment, APPROVED, 2 * DAY)
    assert deviations(APPROVED, observed).keys() == {
        PLC_ADDRESS,
        f"host.{spare.mac}.ips",
        f"service.{spare.mac}.tcp.502",
    }
    assert observed.by_key[PLC_ADDRESS].value == (spare.mac,), "the old one is silent"
    assert verdict(observed, observed) is Verdict.MATCH


ROUTER = "02:00:00:00:0f:fe"
FAR = [Host("", f"192.168.7.{number}") for number in range(1, 4)]
BEHIND = [frame for host in FAR for frame in host.says(PLC, READ, through=ROUTER)]
ROUTED = [*CYCLE, arp(ROUTER, "10.0.0.254", PLC.ip, 2), *BEHIND]


def test_hosts_behind_a_router_are_hosts_and_the_router_does_not_claim_their_addresses() -> None:
    items = taken(listening(*ROUTED)).by_key
    assert items[f"host.{ROUTER}.ips"].value == ("10.0.0.254",)
    assert {key for key in items if key.startswith('host."')} == {f'host."192.168.7.{at}".ips' for at in (1, 2, 3)}
    assert not {key for key in items if key.startswith('address."192')}


@pytest.mark.parametrize("first", [BEHIND[:1], BEHIND[:7], BEHIND, [*CYCLE, *BEHIND[:2]]])
def test_after_a_restart_a_router_that_has_not_yet_said_so_is_still_one(first: Sequence[bytes]) -> None:
    """Its first frames look as if it had the addresses of those behind it; and what they say is not its own."""
    serving = Host("", "192.168.7.9")
    first = [*first, *SCADA.says(serving, identity(model="P-9"))[2:]]
    approved = taken(listening(*ROUTED, *SCADA.says(serving, identity(model="P-9"), READ)))
    segment = restored(approved, *first)
    assert compare(approved, taken(segment, approved, timedelta(minutes=2))) == ()


def test_a_router_that_answers_for_an_approved_address_claims_it() -> None:
    """Proxy ARP for a device of this very segment: nobody can tell it from an attack, so a person has to."""
    approved = taken(listening(*ROUTED))
    observed = taken(listening(*ROUTED, arp(ROUTER, PLC.ip, SCADA.ip, 2)), approved)
    assert PLC_ADDRESS in deviations(approved, observed)


# ---- Identity


def test_a_downgrade_that_the_wire_saw_is_critical() -> None:
    listener, segment = Listener(), Segment("line3", DAY)
    segment.hear(listener.hear([*CYCLE, *SCADA.says(PLC, identity(software_revision="V2.4"))]))
    approved = taken(segment)
    segment.hear(listener.hear(SCADA.says(PLC, identity(software_revision="V2.3")), at=30))
    (found,) = assess(compare(approved, taken(segment, approved)))
    assert (found.deviation.key, found.severity) == (f"{PLC_KEY}.software_revision", Severity.CRITICAL)
    assert (found.direction, found.techniques) == (Direction.DOWNGRADE, ("T0857",))
    assert found.deviation.item.category is Category.FIRMWARE
    segment.hear(listener.hear(SCADA.says(PLC, identity(software_revision="V2.4")), at=40))
    assert verdict(approved, taken(segment, approved)) is Verdict.MATCH, "it was put back"


def test_units_behind_one_gateway_say_by_turns_what_they_are_and_that_settles() -> None:
    listener, segment = Listener(), Segment("line3", DAY)
    digests = []
    for turn in range(12):
        unit = turn % 3 + 1
        segment.hear(listener.hear(SCADA.says(PLC, identity(unit, model=f"P-{unit}")), at=turn))
        digests.append(taken(segment).digest)
    assert len(set(digests[6:])) == 1
    assert taken(segment).by_key[f"{PLC_KEY}.model"].value == ("P-1", "P-2", "P-3")


def test_what_a_device_answers_more_rarely_is_still_known() -> None:
    approved = taken(listening(*CYCLE, *SCADA.says(PLC, identity(model="P-9"))))
    observed = taken(restored(approved, *CYCLE), approved, timedelta(minutes=2))
    assert observed.by_key[f"{PLC_KEY}.model"].value == ("P-9",)


@given(st.text(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_no_name_breaks_a_snapshot(model: str, manufacturer: bytes) -> None:
    said = identity(model=model.encode("utf-8", "replace")[:200], manufacturer=manufacturer)
    snapshot = taken(listening(*SCADA.says(PLC, said)))
    assert Snapshot.of("line3", START, snapshot.items).text.encode()


# ---- Conversations


def talk(protocol: str, packets: int = 100, **more: object) -> Heard:
    at = AT + 10**9
    told = Conversation("10.0.0.1", "10.0.0.2", protocol, 2000, packets, 0, (), answered=True, last_at=at)
    return Heard(Counts(), (), (replace(told, **more),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (talk("tcp"), {"tcp": ("port-2000",)}),
        (talk("tcp", TOLD_AFTER - 1), {}),  # what it speaks may yet be told
        (talk("tcp", answered=False), {}),
        (talk("tcp", port=50_000), {}),  # given out by a system for a while
        (talk("udp"), {}),
        (talk("ip-1"), {}),
        (talk("dhcp"), {}),
        (talk("arp"), {}),
        (talk("modbus", 1, answered=False), {"modbus": ()}),
    ],
)
def test_which_conversations_are_items(said: Heard, expected: dict[str, tuple[str, ...]]) -> None:
    segment = Segment("line3", DAY)
    segment.hear(said)
    found = {item.key.rpartition(".")[2]: item.value for item in taken(segment).items}
    assert found == expected


def test_a_service_that_is_not_told_takes_nothing_back() -> None:
    """After a restart, a connection on a port of its own is for a while just TCP."""
    used = SCADA.says(PLC, *[READ] * 12, port=4999)
    approved = taken(listening(*used))
    assert approved.by_key[f"service.{PLC.mac}.tcp.4999"].value == ("modbus",)
    observed = taken(restored(approved, *SCADA.says(PLC, port=4999)), approved, timedelta(minutes=2))
    assert observed.digest == approved.digest


def test_an_approved_conversation_that_is_encrypted_now_can_no_longer_be_seen() -> None:
    segment = listening(*CYCLE)
    hidden = talk("modbus", hidden="encrypted", port=502)
    segment.hear(hidden)
    observed = taken(segment, APPROVED)
    assert {gap.key for gap in observed.unread} == {TALK}
    assert compare(APPROVED, observed) == ()
    assert verdicts(APPROVED, observed)[TALK] is Verdict.NO_LONGER_OBSERVABLE
    assert verdict(APPROVED, observed) is Verdict.NO_LONGER_OBSERVABLE
    approved_hidden = taken(listening())  # one that was approved as it is
    segment = Segment("line3", DAY)
    segment.hear(hidden)
    approved_hidden = taken(segment)
    assert approved_hidden.by_key[TALK].value == ("encrypted",)
    assert verdict(approved_hidden, taken(segment, approved_hidden)) is Verdict.MATCH


def test_a_tls_handshake_on_the_port_of_a_protocol_hides_it() -> None:
    hello = bytes.fromhex("160301002f010000 2b0303") + bytes(32) + bytes.fromhex("00000213010100000000")
    secret = SCADA.says(PLC, (hello, hello))
    segment = listening(*CYCLE)
    segment.hear(heard([*CYCLE, *secret], at=10))
    assert verdicts(APPROVED, taken(segment, APPROVED))[TALK] is Verdict.NO_LONGER_OBSERVABLE


def test_lost_frames_are_said_and_no_match() -> None:
    segment = listening(*CYCLE)
    observed = segment.snapshot(APPROVED, START + timedelta(minutes=1), lost=True)
    assert {gap.key for gap in observed.unread} == {"capture"}
    assert compare(APPROVED, observed) == ()
    assert verdict(APPROVED, observed) is not Verdict.MATCH


def test_an_event_is_no_item_and_the_restart_of_a_device_is_a_function() -> None:
    observed = taken(listening(*CYCLE, *SCADA.says(PLC, RESTART)), APPROVED)
    assert observed.by_key[TALK].value == ("diagnostics", "read-holding-registers")
    assert {found.kind for found in compare(APPROVED, observed)} == {Kind.CHANGED}


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_clock_breaks_it(at: int) -> None:
    host = replace(heard(CYCLE).hosts[0], last_at=at, evidence=(Evidence("model", "x", "modbus", 1, at),))
    segment = Segment("line3", DAY)
    segment.hear(Heard(Counts(), (host,), ()))
    taken(segment)


def test_a_flood_of_hosts_is_bounded_and_said() -> None:
    (host,) = [host for host in heard(CYCLE).hosts if host.mac == PLC.mac]
    made_up = tuple(
        replace(host, mac=f"02:00:00:{n >> 8:04x}:{n & 255:02x}", ips=(), evidence=()) for n in range(60_000)
    )
    segment = listening(*CYCLE)
    segment.hear(Heard(Counts(), made_up, ()))
    observed = taken(segment, APPROVED)
    assert len(observed.items) == KEYS_MOST
    assert {gap.key for gap in observed.unread} == {"capture"}
    segment.hear(heard(CYCLE, at=DAY.total_seconds()))
    assert verdict(APPROVED, taken(segment, APPROVED, DAY + timedelta(minutes=1))) is Verdict.MATCH, "it is over"
