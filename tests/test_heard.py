"""Who was heard: which addresses make up a host, whom to believe, and what stays in memory in a flood."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.passive import inventory as inventory_module
from collectors.passive.heard import HeardHost, Service
from collectors.passive.inventory import (
    EVIDENCE_FEW,
    EVIDENCE_MOST,
    FUNCTIONS_MOST,
    UNSURE_MOST,
    Address,
    Inventory,
    Marks,
    contradicted,
    mac_text,
)
from collectors.passive.makers import listed, maker

SECOND = 10**9
A, B, C = 0x001B1B000001, 0x000054000002, 0x00004E000003


def sent(inventory: Inventory, mac: int, ip: str = "", at: int = SECOND, frame: int = 1) -> Address:
    found = inventory.address(mac, ip, at, frame)
    found.sent = True
    found.last_at = max(found.last_at, at)
    return found


def keys(inventory: Inventory) -> list[tuple[str | None, tuple[str, ...]]]:
    return [(host.mac, host.ips) for host in inventory.hosts()]


# ---- Addresses and hosts


def test_a_host_is_its_card_and_its_address() -> None:
    inventory = Inventory()
    sent(inventory, A, "")  # below IP, as in ARP and LLDP
    sent(inventory, A, "10.0.0.1")
    sent(inventory, A, "fe80::1")
    sent(inventory, A, "169.254.3.4")
    assert keys(inventory) == [(mac_text(A), ("10.0.0.1", "169.254.3.4", "fe80::1"))]


def test_two_addresses_on_one_card_are_one_host() -> None:
    inventory = Inventory()
    for ip in ("10.0.0.2", "10.0.0.1", "fd00::1", "fd00::2"):
        sent(inventory, A, ip)
    assert keys(inventory) == [(mac_text(A), ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"))]


@pytest.mark.parametrize("claims", [True, False])
def test_behind_a_router_each_address_is_a_host(claims: bool) -> None:
    """A router is known by what it says of itself, or by sending for more than four; identities are not its own."""
    inventory = Inventory()
    router = sent(inventory, A, "")
    router.saw("name", "gateway", "lldp", 1, 1)
    if claims:
        router.saw("ip", "10.0.0.254", "arp", 1, 1)
    for n in range(2 if claims else 6):
        far = sent(inventory, A, f"192.168.7.{n}")
        far.saw("serial_number", f"S{n}", "modbus", 3, 3)
    sent(inventory, A, "fe80::9")
    hosts = {host.key: host for host in inventory.hosts()}
    assert hosts[mac_text(A)].ips == (("10.0.0.254", "fe80::9") if claims else ("fe80::9",))
    assert hosts[mac_text(A)].identity.serial_number is None
    assert hosts[mac_text(A)].names == ("gateway",)
    assert [hosts[f"192.168.7.{n}"].identity.serial_number for n in range(2 if claims else 6)][:2] == ["S0", "S1"]
    assert hosts["192.168.7.0"].mac is None


def test_two_addresses_that_were_both_claimed() -> None:
    inventory = Inventory()
    for ip in ("10.0.0.1", "10.0.0.2"):
        sent(inventory, A, ip)
        sent(inventory, A).saw("ip", ip, "arp", 1, 1)
    assert keys(inventory) == [(mac_text(A), ("10.0.0.1", "10.0.0.2"))]


def test_without_cards_each_address_is_a_host() -> None:
    """Loopback, raw IP: there are no MAC addresses."""
    inventory = Inventory()
    for ip in ("10.0.0.1", "10.0.0.2", "fd00::1", ""):
        sent(inventory, 0, ip)
    inventory.address(0, "10.0.0.3", SECOND, 1)  # was only sent to
    assert keys(inventory) == [(None, ("10.0.0.1",)), (None, ("10.0.0.2",)), (None, ("fd00::1",))]


def test_what_is_said_of_another_belongs_to_that_one() -> None:
    inventory = Inventory()
    sent(inventory, A, "10.0.0.1")
    for whom in ("10.0.0.1", mac_text(A), mac_text(A).upper()):
        found = inventory.of(whom, SECOND, 5)
        assert found is not None
        found.saw("name", f"by {whom}", "dhcp", 5, 5)
    nobody = inventory.of("10.9.9.9", SECOND, 6)
    assert nobody is not None
    nobody.saw("name", "silent", "dhcp", 6, 6)
    assert {host.key: len(host.names) for host in inventory.hosts()} == {mac_text(A): 3, "10.9.9.9": 1}
    # the receiver's card is not in a cooked capture: what it was told is its own all the same
    inventory.address(0, "10.0.0.1", SECOND, 7).saw("model", "P-1", "modbus", 7, 7)
    assert {host.key for host in inventory.hosts()} == {mac_text(A), "10.9.9.9"}


@pytest.mark.parametrize(
    "whom", ["", "nobody", "0.0.0.0", "::", "-1:22:33:44:55:66", "1_:22:33:44:55:66", "10.0.0", "1:2:3:4:5:6"]
)
def test_what_is_no_address(whom: str) -> None:
    assert Inventory().of(whom, 1, 1) is None


def test_an_ipv6_address_of_17_letters_is_no_card() -> None:
    found = Inventory().of("2001:db8::12:34:5", 1, 1)
    assert found is not None
    assert (found.mac, found.ip) == (0, "2001:db8::12:34:5")


@given(st.lists(st.sampled_from(["0.0.0.0", "10.0.0.1", "none", "", "fe80::1%3", "::", "10.0.0.1/24"])))
def test_no_claim_breaks_it(claims: list[str]) -> None:
    inventory = Inventory()
    for claim in claims:
        sent(inventory, A).saw("ip", claim, "profinet-dcp", 1, 1)
    for host in inventory.hosts():
        assert set(host.ips) <= {"10.0.0.1", "fe80::1%3"}


def test_a_card_with_thousands_of_addresses_is_soon_told() -> None:
    inventory = Inventory()
    for n in range(20_000):
        sent(inventory, A, f"fe80::{n:x}")
        sent(inventory, B, f"10.{n >> 8}.{n & 255}.7")
    assert len(inventory.hosts()) == 20_001


# ---- Whom to believe


def only(inventory: Inventory) -> HeardHost:
    (host,) = inventory.hosts()
    return host


def test_the_best_witness_says_who_it_is() -> None:
    inventory = Inventory()
    card = sent(inventory, A, "10.0.0.1")
    host = only(inventory)
    assert host.identity.manufacturer == maker(A) == "Siemens AG"
    assert (host.evidence[0].protocol, host.contradicted) == ("mac", ())
    for n, (protocol, value) in enumerate((("dhcp", "Some Client"), ("lldp", "SIEMENS"), ("s7comm", "Siemens AG"))):
        card.saw("manufacturer", value, protocol, n, n)
        assert only(inventory).identity.manufacturer == value
    assert only(inventory).contradicted == ("manufacturer",)


def test_the_newest_of_what_one_witness_says() -> None:
    inventory = Inventory()
    card = sent(inventory, A, "10.0.0.1")
    for n, value in enumerate(("V1", "V2", "V1")):
        card.saw("software_revision", value, "modbus", n + 10, n)
    host = only(inventory)
    said = {found.value: (found.frame, found.at, found.newest) for found in host.evidence if found.protocol == "modbus"}
    assert said == {"V1": (10, 2, True), "V2": (11, 1, False)}
    assert host.identity.software_revision == "V1"
    assert host.contradicted == ("software_revision",)


@pytest.mark.parametrize(
    ("witnesses", "expected"),
    [
        ({"modbus": ["V3.2.6"], "lldp": ["3.2.6"]}, False),
        ({"modbus": ["Siemens AG"], "lldp": ["SIEMENS"]}, False),
        ({"modbus": ["0007"], "lldp": ["7"]}, False),
        ({"modbus": ["A-1"], "mac": ["B"]}, False),
        ({"modbus": ["A-1", "a1"]}, False),
        ({"modbus": ["A-1", "A-2"]}, True),
        ({"modbus": ["Acme"], "lldp": ["Bolt"]}, True),
        ({}, False),
    ],
)
def test_contradictions(witnesses: dict[str, list[str]], expected: bool) -> None:
    assert contradicted(witnesses) == expected


def test_evidence_is_bounded() -> None:
    inventory = Inventory()
    card = sent(inventory, A, "10.0.0.1")
    for n in range(3 * EVIDENCE_MOST):
        inventory.saw(card, "name", f"n{n}", "dhcp", n, n)
    assert len(card.evidence) == EVIDENCE_MOST
    assert f"n{3 * EVIDENCE_MOST - 1}" in only(inventory).names


def test_roles_and_services() -> None:
    inventory = Inventory()
    client, server = sent(inventory, A, "10.0.0.1"), sent(inventory, B, "10.0.0.2")
    known, plain = (inventory.talk(client, server, "tcp", name, port) for name, port in (("modbus", 502), ("tcp", 80)))
    ping = inventory.talk(client, server, "ip", "ip-1", 0)
    ping.answered = True
    roles = {host.mac: (host.role, host.services) for host in inventory.hosts()}
    assert roles == {mac_text(A): ("client", ()), mac_text(B): ("client", ())}, "nobody answered yet"
    known.answered = plain.answered = True
    other = inventory.talk(sent(inventory, C, "10.0.0.3"), server, "tcp", "tcp", 502)  # not told, this one
    other.answered = True
    found = {host.mac: host for host in inventory.hosts()}
    assert found[mac_text(A)].role == "client"
    assert found[mac_text(B)].role == "controller"
    assert found[mac_text(B)].services == (Service("tcp", 80, "tcp"), Service("tcp", 502, "modbus"))
    server.saw("capabilities", "Bridge, Router", "lldp", 1, 1)
    assert {host.mac: host.role for host in inventory.hosts()}[mac_text(B)] == "router"
    server.saw("role", "IO controller", "profinet-dcp", 1, 1)
    assert {host.mac: host.role for host in inventory.hosts()}[mac_text(B)] == "IO controller"


# ---- Floods


@pytest.fixture
def small_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_module, "MARKS", 1 << 21)


@pytest.mark.usefixtures("small_marks")
def test_a_flood_of_cards_leaves_the_real_ones() -> None:
    """60,000 made-up cards of one frame each, in a minute. Who talks for a while, said what it is, or sent for long, is
    kept. A new device is told when it sends again; so is who has said something in one frame: a flood may say things
    too."""
    inventory, rng, now = Inventory(2000, 2000), random.Random(14), 1000 * SECOND
    client, server = sent(inventory, A, "10.0.0.1", now), sent(inventory, B, "10.0.0.2", now)
    talk = inventory.talk(client, server, "tcp", "modbus", 502, now)
    talk.answered, talk.last_at = True, now + 2 * SECOND
    sent(inventory, C, "", now).saw("serial_number", "S-1", "lldp", 1, now)
    quiet = sent(inventory, 0x000054000099, "10.0.0.3", now)
    quiet.last_at = now + 2 * SECOND
    new, let_go, told = 0x00004E0000AA, 0, []
    for n in range(60_000):
        now += SECOND // 1000
        ip = f"10.{rng.randrange(256)}.{n >> 8}.{n & 255}"
        sent(inventory, rng.randrange(1 << 40) << 8 & ~(1 << 40), ip, now, n)
        if n in (20_000, 45_000):
            sent(inventory, new, "10.0.0.77", now, n)
        if n % 500 == 0:
            let_go += inventory.forget(now)
            assert len(inventory.addresses) <= 2500
            assert len(inventory._by_ip) <= 2500
            assert (C, "") in inventory.addresses
            told.append({host.mac for host in inventory.hosts(sure=True)})
    real = {mac_text(mac) for mac in (A, B, 0x000054000099)}
    assert all(real <= found for found in told)
    assert let_go > 50_000
    assert all(len(found) <= UNSURE_MOST + len(real) + 30 for found in told[2:]), "hardly any that was made up"
    assert mac_text(new) not in set().union(*told[:90])
    assert all(mac_text(new) in found for found in told[91:])


def test_a_flood_of_cards_that_say_things_does_not_push_out_who_answers() -> None:
    inventory, now = Inventory(1000, 1000), SECOND
    client, server = sent(inventory, A, "10.0.0.1", now), sent(inventory, B, "10.0.0.2", now)
    inventory.talk(client, server, "tcp", "modbus", 502).answered = True
    for n in range(5000):
        now += SECOND // 100
        sent(inventory, 0x020000000000 + n, "", now).saw("ip", f"10.1.{n >> 8}.{n & 255}", "arp", n, now)
        if n % 300 == 0:
            inventory.forget(now)
    inventory.forget(now)
    assert {(A, "10.0.0.1"), (B, "10.0.0.2")} <= set(inventory.addresses)


def test_a_flood_of_conversations() -> None:
    """A scan of every port: what was answered stays."""
    inventory, now = Inventory(1000, 1000), SECOND
    client, server = sent(inventory, A, "10.0.0.1", now), sent(inventory, B, "10.0.0.2", now)
    for port in range(5000):
        talk = inventory.talk(client, server, "tcp", "tcp", port + 1, now + port)
        talk.last_at = now + port
        talk.answered = port == 501
        if inventory.full:
            assert inventory.forget(now + port) > 400
    assert [talk.port for talk in inventory.conversations() if talk.answered] == [502]
    assert len(inventory.talks) < 1000


def test_made_up_clients_that_are_answered_push_out_nobody() -> None:
    """Whoever opens connections from made-up addresses makes a device answer each of them."""
    inventory, now = Inventory(1000, 1000), SECOND
    client, server = sent(inventory, A, "10.0.0.1", now), sent(inventory, B, "10.0.0.2", now)
    talk = inventory.talk(client, server, "tcp", "modbus", 502, now)
    client.last_at = server.last_at = talk.last_at = now + 20 * SECOND
    talk.answered = True
    for n in range(5000):
        now += SECOND // 100
        made_up = sent(inventory, 0x020000000000 + n, f"10.1.{n >> 8}.{n & 255}", now)
        opened = inventory.talk(made_up, server, "tcp", "modbus", 502, now)
        opened.answered, opened.last_at = True, now
        inventory.forget(now)
    assert {(A, "10.0.0.1"), (B, "10.0.0.2")} <= set(inventory.addresses)
    assert ("10.0.0.1", "10.0.0.2", "tcp", 502) in inventory.talks
    assert len(inventory.talks) < 1000
    assert len(inventory.hosts(sure=True)) < 20


def test_what_made_up_cards_say_has_a_bound_too() -> None:
    inventory, now = Inventory(1000, 1000, values_most=2000), SECOND
    real = sent(inventory, A, "10.0.0.1", now)
    real.last_at = now + 20 * SECOND
    for n in range(100):
        inventory.saw(real, "name", f"plc{n}", "lldp", n, now)
    for n in range(900):
        made_up = sent(inventory, 0x020000000000 + n, "", now + n)
        for name in range(100):
            inventory.saw(made_up, "name", f"n{name}", "lldp", n, now + n)
    held = sum(len(found.evidence) for found in inventory.addresses.values())
    assert held < 2000 + 900 * EVIDENCE_FEW + 100
    inventory.forget(now)
    held = sum(len(found.evidence) for found in inventory.addresses.values())
    assert 900 < held <= 1000
    assert not inventory.full
    assert len(real.evidence) == 100
    assert (A, "10.0.0.1") in inventory.addresses


def test_the_functions_of_conversations_have_a_bound_too() -> None:
    inventory, now = Inventory(1000, 1000, values_most=2000), SECOND
    client, server = sent(inventory, A, "10.0.0.1", now), sent(inventory, B, "10.0.0.2", now)
    talk = inventory.talk(client, server, "tcp", "modbus", 502, now)
    talk.last_at = now + 20 * SECOND
    inventory.used(talk, ("read-coils",))
    for port in range(100):
        made_up = inventory.talk(client, server, "tcp", "enip", 1000 + port, now)
        for n in range(FUNCTIONS_MOST + 100):
            inventory.used(made_up, (f"service-{n}",))
        assert len(made_up.functions) == FUNCTIONS_MOST
        inventory.forget(now)
        assert sum(len(one.functions) for one in inventory.talks.values()) <= 2000
    assert talk in inventory.talks.values()
    assert len(inventory.talks) > 1


def test_nothing_is_forgotten_while_there_is_room() -> None:
    inventory = Inventory(100, 100)
    sent(inventory, A, "10.0.0.1")
    assert inventory.forget(SECOND) == 0
    assert keys(inventory) == [(mac_text(A), ("10.0.0.1",))]


@pytest.mark.usefixtures("small_marks")
def test_marks_last_a_minute_or_two() -> None:
    marks, values = Marks(), [hash((n, "x")) for n in range(5000)]
    assert not marks
    marks.turn(0)
    for value in values:
        marks.mark(value)
    assert all(map(marks.holds, values))
    assert sum(marks.holds(hash((n, "other"))) for n in range(5000)) < 10
    marks.turn(61 * SECOND)
    assert all(map(marks.holds, values)), "one field later"
    marks.turn(90 * SECOND)
    assert all(map(marks.holds, values)), "the minute is not over"
    marks.turn(122 * SECOND)
    assert not any(map(marks.holds, values))
    marks.mark(values[0])
    for back in (3, 2):  # a clock that was wrong for a while does not keep the marks for ever
        marks.turn(back * SECOND)
    marks.turn(63 * SECOND + 3 * SECOND)
    assert sys.getsizeof(marks._now) < 1 << 20
    assert not marks.holds(values[1])


# ---- Makers


@pytest.mark.parametrize(
    ("mac", "name"),
    [
        (0x001B1B123456, "Siemens AG"),  # 24 bits
        (0x001BC5000123, "Converging Systems Inc."),  # 36 bits, of a block that is given out in parts
        (0x001BC5001123, "OpenRB.com, Direct SIA"),
        (0x021B1B123456, None),  # made up: the second bit of the first byte
        (0x000000000001, None),
        (0xFFFFFFFFFFFF, None),
    ],
)
def test_makers(mac: int, name: str | None) -> None:
    assert maker(mac) == name


def test_the_longest_prefix_says_who_made_it() -> None:
    """Of 28 bits: the block of 24 bits around it belongs to the registry."""
    registry = maker(0x0055DA << 24 | 0xFFFFFF)
    parts = {maker(0x0055DA << 24 | part << 20) for part in range(15)}
    assert registry not in parts - {None}
    assert len(parts) > 10


def test_the_list_of_makers_is_in_order() -> None:
    """Or else a maker would not be found in it."""
    prefixes = [line for line in listed() if line[:1] not in (b"", b"#")]
    assert len(prefixes) > 50_000
    assert prefixes == sorted(prefixes)
