"""Which item is of which of the five of CIP-010 R1.1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from baselines.five import Part, five, port_text, ports_by_ip
from baselines.snapshot import Category, Item, Snapshot

NOW = datetime(2026, 11, 26, tzinfo=UTC)
OPC_UA = Item("endpoint.application_uri", "urn:x", Category.IDENTITY)


@pytest.mark.parametrize(
    ("key", "category", "parts"),
    [
        ("identity.software_revision", Category.FIRMWARE, [Part.SYSTEM]),
        ("device.Vision.software_revision", Category.FIRMWARE, [Part.SYSTEM]),
        ("item.program_crc", Category.PROGRAM, [Part.CUSTOM]),
        ("identity.user_application_name", Category.PROGRAM, [Part.CUSTOM]),
        ("server.namespaces", Category.PROGRAM, []),
        ("item.runtime", Category.PARAMETER, [Part.SOFTWARE]),
        ("item.patch_level", Category.FIRMWARE, [Part.PATCHES]),
        ("item.dispatcher", Category.PARAMETER, []),  # a word that only holds another
        ("identity.product_name", Category.IDENTITY, []),  # of a Modbus device it is the device
        ("item.limit", Category.PARAMETER, []),
    ],
)
def test_part(key: str, category: Category, parts: list[Part]) -> None:
    found = five(Snapshot.of("plc", NOW, [Item(key, "x", category)]))
    assert [part for part in Part if found[part]] == parts


def test_an_opc_ua_server_says_which_software_it_is() -> None:
    items = [OPC_UA, Item("identity.product_name", "S", Category.IDENTITY), Item("identity.build_number", "7")]
    found = five(Snapshot.of("plc", NOW, items))
    assert [item.key for item in found[Part.SOFTWARE]] == ["identity.build_number", "identity.product_name"]


def test_ports_are_of_the_addresses_of_their_host() -> None:
    items = [
        Item("host.00:11.ips", ("10.0.0.1", "10.0.0.2")),
        Item("service.00:11.tcp.502", ("modbus",)),
        Item("service.00:11.udp.161", ()),
        Item('service."10.9.9.9".tcp.80', ("http",)),  # behind a router: it goes by its address
        Item('host."10.9.9.9".ips', ("10.9.9.9",)),
        Item("service.22:33.tcp.22", ("ssh",)),  # nobody knows its address
    ]
    found = {ip: [port_text(each) for each in ports] for ip, ports in ports_by_ip(Snapshot.of("s", NOW, items)).items()}
    both = ["tcp/502 (modbus)", "udp/161"]
    assert found == {"10.0.0.1": both, "10.0.0.2": both, "10.9.9.9": ["tcp/80 (http)"]}
