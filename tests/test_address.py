"""Addresses of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modbus://10.0.3.10:502/1", Address("modbus", "10.0.3.10", 502, unit=1)),
        ("modbus://10.0.3.10", Address("modbus", "10.0.3.10", 502, unit=1)),
        ("modbus://10.0.3.10/", Address("modbus", "10.0.3.10", 502, unit=1)),
        ("modbus://plc.line3.example:1502/0", Address("modbus", "plc.line3.example", 1502, unit=0)),
        ("modbus://plc/255/", Address("modbus", "plc", 502, unit=255)),
        ("MODBUS://PLC/7", Address("modbus", "plc", 502, unit=7)),
        ("modbus://[fe80::1]:1502/3", Address("modbus", "fe80::1", 1502, unit=3)),
        ("opc.tcp://10.0.3.12:4841/server/a", Address("opc.tcp", "10.0.3.12", 4841, path="/server/a")),
        ("opc.tcp://10.0.3.12", Address("opc.tcp", "10.0.3.12", 4840)),
        ("opc.tcp://[::1]/x", Address("opc.tcp", "::1", 4840, path="/x")),
    ],
)
def test_address(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert parse_address(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"write modbus://host\[:port\]/unit or opc.tcp://host:port/path"),
        ("10.0.3.10", "write modbus://"),
        ("10.0.3.10:502", "write modbus://"),
        ("modbus:10.0.3.10", "write modbus://"),
        ("modbus:///1", "write modbus://"),
        ("modbus://:502/1", "write modbus://"),
        ("http://10.0.3.10/", "write modbus://"),
        ("modbus://plc:0/1", "port 0 is no port"),
        ("modbus://plc:65536/1", "[Pp]ort"),
        ("modbus://plc:x/1", "[Pp]ort"),
        ("modbus://[::1/1", "IPv6"),
        ("modbus://plc/256", "the unit is a number from 0 to 255, not '256'"),
        ("modbus://plc/-1", "the unit is a number"),
        ("modbus://plc/one", "the unit is a number"),
        ("modbus://plc/1/2", "the unit is a number"),
        ("modbus://plc/1.0", "the unit is a number"),
        ("modbus://plc/²", "the unit is a number"),
        ("modbus://user@plc/1", "more than host, port and unit"),
        ("modbus://plc/1?unit=2", "more than host, port and unit"),
        ("opc.tcp://user@plc/path", "more than host, port and path"),
        ("opc.tcp://plc/path#x", "more than host, port and path"),
        ("modbus://10.0.3.10 /1", "is no address"),
    ],
)
def test_what_is_no_address_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_address(text)


HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True) | st.ip_addresses().map(str)
PORTS = st.integers(1, 65535)
PATHS = st.lists(st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True), max_size=3).map(
    lambda parts: "".join("/" + part for part in parts)
)
ADDRESSES = st.builds(Address, st.just("modbus"), HOSTS, PORTS, unit=st.integers(0, 255)) | st.builds(
    Address, st.just("opc.tcp"), HOSTS, PORTS, path=PATHS
)


@given(ADDRESSES)
def test_an_address_comes_back_from_its_text(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(st.text() | st.text().map("modbus://{}".format) | st.text().map("opc.tcp://{}".format))
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
    assert 1 <= address.port <= 65535


def test_units_behind_one_host_and_port_are_one_device() -> None:
    assert parse_address("modbus://PLC/1").device == parse_address("modbus://plc:502/2").device == ("plc", 502)
