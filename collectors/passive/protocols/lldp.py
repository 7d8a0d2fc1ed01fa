"""LLDP (IEEE 802.1AB-2016), with the extensions of IEEE 802.1Q, LLDP-MED (ANSI/TIA-1057) and PROFINET."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.passive.protocols.protocol import Carrier, Protocol
from collectors.passive.protocols.texts import ip_text, mac_text, text
from collectors.passive.said import Asked, Malformed, Said, Sighting

END, CHASSIS, PORT, TTL, PORT_DESCRIPTION, NAME, DESCRIPTION, CAPABILITIES, MANAGEMENT, ORGANIZATION = *range(9), 127
MANDATORY = (CHASSIS, PORT, TTL)  # 8.2: in this order
TLVS_MOST = 256
TEXTS = {PORT_DESCRIPTION: "port_description", NAME: "name", DESCRIPTION: "description"}
NETWORK_ADDRESS = {CHASSIS: 5, PORT: 4}  # subtypes of chassis and port ids (8.5.2, 8.5.3)
MAC_ADDRESS = {CHASSIS: 4, PORT: 3}
IPV4, IPV6 = 1, 2  # IANA address family numbers
CAPABILITY_NAMES = (  # 8.5.8.1, from the lowest bit
    "Other", "Repeater", "Bridge", "WLAN AP", "Router", "Telephone", "DOCSIS", "Station",
    "C-VLAN", "S-VLAN", "TPMR",
)  # fmt: skip
IEEE_802_1, TIA, PROFIBUS = b"\x00\x80\xc2", b"\x00\x12\xbb", b"\x00\x0e\xcf"
PORT_VLAN, VLAN_NAME = 1, 3  # IEEE 802.1Q, D.2
ALIAS, CHASSIS_MAC = 3, 5  # IEC 61158-6-10
MED_CAPABILITIES, MED_LOCATION = 1, 3  # TIA-1057, 10.2
MED_CAPABILITY_NAMES = ("Capabilities", "Network Policy", "Location", "Power PSE", "Power PD", "Inventory")
MED_CLASSES = {1: "Endpoint Class I", 2: "Endpoint Class II", 3: "Endpoint Class III", 4: "Network Connectivity"}
COORDINATES, CIVIC, ELIN = 1, 2, 3  # TIA-1057, 10.2.4
LANGUAGE, SCRIPT = 0, 128  # parts of a civic address that are none of its text (RFC 4776, 3.4)
INVENTORY = {  # TIA-1057, 10.2.6
    5: "hardware_revision",
    6: "firmware_revision",
    7: "software_revision",
    8: "serial_number",
    9: "manufacturer",
    10: "model",
    11: "asset_id",
}
FUNCTION = ("advertisement",)
SHUTDOWN = Said(("shutdown",))


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """What a neighbour says of itself."""
    found: list[Sighting] = []
    place = 0
    for kind, value in _tlvs(message):
        if place < len(MANDATORY):
            if kind != MANDATORY[place]:
                raise Malformed("LLDP begins with chassis, port and time to live")
            place += 1
            if kind == TTL:
                if len(value) < 2:
                    raise Malformed("an LLDP time to live has two bytes")
                if value[:2] == b"\0\0":
                    return SHUTDOWN  # 8.5.4.1
        found += [Sighting(field, said) for field, said in _said(kind, value) if said]
    if place < len(MANDATORY):
        raise Malformed("LLDP ends before its time to live")
    return Said(FUNCTION, tuple(dict.fromkeys(found)))


def _tlvs(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Type (7 bits), length (9 bits), value (8.4)."""
    at = 0
    for _ in range(TLVS_MOST):
        if at + 2 > len(message):
            return
        header = message[at] << 8 | message[at + 1]
        kind, length = header >> 9, header & 0x1FF
        value = message[at + 2 : at + 2 + length]
        if kind == END:
            return
        if len(value) < length:
            raise Malformed("an LLDP TLV ends early")
        yield kind, value
        at += 2 + length


def _said(kind: int, value: bytes) -> Iterator[tuple[str, str]]:
    if kind in TEXTS:
        yield TEXTS[kind], text(value)
    elif kind in (CHASSIS, PORT) and len(value) > 1:
        yield from _id(kind, value[0], value[1:])
    elif kind == CAPABILITIES and len(value) >= 4:
        yield "capabilities", _set_bits(value[2:4], CAPABILITY_NAMES)  # those enabled, not those that it might have
    elif kind == MANAGEMENT and len(value) > 2:
        yield from _address(value[1], value[2 : 1 + value[0]])
    elif kind == ORGANIZATION and len(value) > 4:
        who, subtype = value[:3], value[3]
        if who == TIA:
            yield from _media(subtype, value[4:])
        elif who == IEEE_802_1:
            yield from _vlan(subtype, value[4:])
        elif who == PROFIBUS and subtype == CHASSIS_MAC and len(value) == 10:
            yield "mac", mac_text(value[4:])
        elif who == PROFIBUS and subtype == ALIAS:
            yield "alias", text(value[4:])


def _set_bits(value: bytes, names: tuple[str, ...]) -> str:
    bits = int.from_bytes(value, "big")
    return ", ".join(sorted(name for bit, name in enumerate(names) if bits >> bit & 1))


def _id(kind: int, subtype: int, value: bytes) -> Iterator[tuple[str, str]]:
    name = "chassis_id" if kind == CHASSIS else "port_id"
    if subtype == MAC_ADDRESS[kind] and len(value) == 6:
        yield name, mac_text(value)
    elif subtype == NETWORK_ADDRESS[kind]:
        yield name, ip_text(value[1:])
        if kind == CHASSIS:
            yield from _address(value[0], value[1:])
    else:
        yield name, text(value)


def _address(family: int, value: bytes) -> Iterator[tuple[str, str]]:
    if (family, len(value)) in ((IPV4, 4), (IPV6, 16)):
        yield "ip", ip_text(value)
    elif len(value) == 6:  # family 6, "802", as most write it; some leave it 0
        yield "mac", mac_text(value)


def _vlan(subtype: int, value: bytes) -> Iterator[tuple[str, str]]:
    if subtype == PORT_VLAN and len(value) >= 2 and any(value[:2]):  # 0: it has none
        yield "vlan", str(value[0] << 8 | value[1])
    elif subtype == VLAN_NAME and len(value) > 3:
        yield "vlan_name", text(value[3 : 3 + value[2]])


def _media(subtype: int, value: bytes) -> Iterator[tuple[str, str]]:
    if subtype in INVENTORY:
        yield INVENTORY[subtype], text(value)
    elif subtype == MED_CAPABILITIES and len(value) >= 3:
        yield "med_capabilities", _set_bits(value[:2], MED_CAPABILITY_NAMES)
        yield "med_class", MED_CLASSES.get(value[2], "")
    elif subtype == MED_LOCATION and len(value) > 1:
        yield "location", _location(value[0], value[1:])


def _location(form: int, value: bytes) -> str:
    """Where a switch says that what is plugged in stands."""
    if form == COORDINATES and len(value) == 16:  # RFC 3825, 2: degrees of 9 bits, of which 25 more are the fraction
        bits = int.from_bytes(value, "big")
        degrees = (_signed(bits >> shift & (1 << 34) - 1, 34) / (1 << 25) for shift in (88, 48))
        return ", ".join(f"{found:.6f}" for found in degrees)
    if form == CIVIC and len(value) > 4:
        return ", ".join(found for found in _civic(value[2:4], value[4 : 1 + value[0]]) if found)
    return text(value) if form == ELIN else ""


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _civic(country: bytes, parts: bytes) -> Iterator[str]:
    """RFC 4776, 3.1: a country, then parts from the large to the small: type, length, text."""
    yield text(country)
    at = 0
    while at + 2 <= len(parts):
        if parts[at] not in (LANGUAGE, SCRIPT):
            yield text(parts[at + 2 : at + 2 + parts[at + 1]])
        at += 2 + parts[at + 1]


LLDP = Protocol("lldp", Carrier.ETHERNET, frozenset({0x88CC}), decode)
