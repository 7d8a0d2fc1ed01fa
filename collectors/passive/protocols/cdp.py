"""CDP, Cisco's discovery protocol, behind LLC and SNAP; the fields are those that Wireshark reads."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from collectors.passive.protocols.protocol import Carrier, Protocol
from collectors.passive.protocols.texts import ip_text, text
from collectors.passive.said import Asked, Malformed, Said, Sighting

SNAP = bytes.fromhex("aaaa0300000c2000")
HEADER = len(SNAP) + 4  # version, time to live, checksum
TLVS_MOST = 256
ADDRESSES_MOST = 32
DEVICE_ID, ADDRESSES, PORT_ID, CAPABILITIES, VERSION, PLATFORM, DOMAIN, NATIVE_VLAN = 1, 2, 3, 4, 5, 6, 9, 10
SYSTEM_NAME, MANAGEMENT, LOCATION = 0x14, 0x16, 0x17
TEXTS = {
    DEVICE_ID: "name",
    PORT_ID: "port_id",
    VERSION: "description",
    PLATFORM: "model",
    DOMAIN: "domain",  # of VTP
    SYSTEM_NAME: "system_name",
}
CAPABILITY_NAMES = (  # from the lowest bit
    "Router", "Transparent Bridge", "Source Route Bridge", "Switch", "Host", "IGMP", "Repeater", "Telephone",
    "Remotely Managed", "CVTA", "Two-Port MAC Relay",
)  # fmt: skip
# "Cisco IOS Software, C2960 Software (C2960-LANBASE-M), Version 12.2(25)SEE2, RELEASE SOFTWARE (fc1)"
RELEASE = re.compile(r"\bIOS\b.*\bVersion (\d[\w.()]*),", re.DOTALL)
READ_FOR_RELEASE = 256  # characters
IPV4 = bytes.fromhex("cc")  # NLPID
IPV6 = bytes.fromhex("aaaa0300000086dd")  # SNAP
FUNCTION = ("advertisement",)


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """What a neighbour says of itself. The checksum is not verified: Cisco's own differs for odd lengths."""
    if message[: len(SNAP)] != SNAP:
        raise Malformed("no CDP behind LLC and SNAP")
    if len(message) < HEADER:
        raise Malformed("CDP ends in its header")
    if not 1 <= message[len(SNAP)] <= 2:
        raise Malformed(f"CDP has no version {message[len(SNAP)]}")
    try:
        found = [Sighting(field, said) for kind, value in _tlvs(message) for field, said in _said(kind, value) if said]
    except (struct.error, IndexError):
        raise Malformed("a CDP address ends early") from None
    return Said(FUNCTION, tuple(dict.fromkeys(found)))


def _tlvs(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Type, length of the whole TLV, value."""
    at = HEADER
    for _ in range(TLVS_MOST):
        if at + 4 > len(message):
            return
        kind, length = struct.unpack_from(">HH", message, at)
        if length < 4:
            return  # padding, or a lie: nothing behind it can be found
        if at + length > len(message):
            raise Malformed("a CDP TLV ends early")
        yield kind, message[at + 4 : at + length]
        at += length


def _said(kind: int, value: bytes) -> Iterator[tuple[str, str]]:
    if kind in TEXTS:
        said = text(value)
        yield TEXTS[kind], said
        if kind == VERSION and (release := RELEASE.search(said, 0, READ_FOR_RELEASE)):
            yield "software_revision", release[1]
    elif kind in (ADDRESSES, MANAGEMENT):
        yield from (("ip", address) for address in _addresses(value))
    elif kind == CAPABILITIES and len(value) >= 4:
        bits = int.from_bytes(value[:4], "big")
        yield "capabilities", ", ".join(sorted(name for bit, name in enumerate(CAPABILITY_NAMES) if bits >> bit & 1))
    elif kind == NATIVE_VLAN and len(value) == 2:
        yield "vlan", str(value[0] << 8 | value[1])
    elif kind == LOCATION and len(value) > 1:
        yield "location", text(value[1:])


def _addresses(value: bytes) -> Iterator[str]:
    """A count, then protocol type, protocol with its length (8 bits), address with its length (16 bits)."""
    at = 4
    for _ in range(min(int.from_bytes(value[:4], "big"), ADDRESSES_MOST)):
        size = value[at + 1]
        protocol = value[at + 2 : at + 2 + size]
        length = struct.unpack_from(">H", value, at + 2 + size)[0]
        at += 4 + size
        if protocol in (IPV4, IPV6):
            yield ip_text(value[at : at + length])
        at += length


CDP = Protocol("cdp", Carrier.ETHERNET, frozenset({0x2000}), decode)
