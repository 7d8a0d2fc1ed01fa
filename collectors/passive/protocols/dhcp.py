"""DHCP: who asks for an address, what it calls itself, what it is given (RFC 2131, RFC 2132), and plain BOOTP."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.passive.protocols.protocol import Carrier, Protocol
from collectors.passive.protocols.texts import LONGEST, ip_text, mac_text, text
from collectors.passive.said import Asked, Malformed, Said, Sighting

FIXED = 236
COOKIE = bytes.fromhex("63825363")
REQUEST, REPLY = 1, 2
ETHERNET = (1, 6)  # hardware type, and the length of its addresses
PAD, END, OVERLOAD = 0, 255, 52
HOST_NAME, DOMAIN, MESSAGE_TYPE, REQUESTED, VENDOR_CLASS, CLIENT_ID, FQDN = 12, 15, 53, 55, 60, 61, 81
TYPES = ("", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform")
FILE, FILE_END, SERVER_NAME = 108, 236, 44
STEPS_MOST = 1024  # options and pads
PARAMETERS_MOST = 64
BOOTP = "bootp"


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """What a client says of itself, and which address it is given: all of it is about the client's MAC address.

    The message's own operation tells who speaks; an offer or an ack is how a DHCP server is known.
    """
    if len(message) < FIXED:
        raise Malformed("BOOTP is 236 bytes long at least")
    if message[0] not in (REQUEST, REPLY):
        raise Malformed(f"BOOTP has no operation {message[0]}")
    options = _options(message)
    function = _function(options)
    if (message[1], message[2]) != ETHERNET or not any(message[28:34]):
        return Said((function,))
    whom = mac_text(message[28:34])
    says = _asked_for(message, options, function) if message[0] == REQUEST else _given(message, options, function)
    return Said((function,), tuple(dict.fromkeys(Sighting(field, said, whom) for field, said in says if said)))


def _function(options: dict[int, bytes]) -> str:
    kind = int.from_bytes(options.get(MESSAGE_TYPE, b"")[:1], "big")
    if not kind:
        return BOOTP
    return TYPES[kind] if kind < len(TYPES) else f"message-{kind}"


def _asked_for(message: bytes, options: dict[int, bytes], function: str) -> Iterator[tuple[str, str]]:
    if function in ("request", "inform"):
        yield "ip", ip_text(message[12:16])  # ciaddr: only who has the address puts it there (RFC 2131, 4.3.2, 4.4)
    yield "name", text(options.get(HOST_NAME, b""))
    yield "name", _full_name(options.get(FQDN, b""))
    yield "vendor_class", text(options.get(VENDOR_CLASS, b""))
    yield "requested_parameters", ",".join(map(str, options.get(REQUESTED, b"")[:PARAMETERS_MOST]))
    identifier = options.get(CLIENT_ID, b"")
    is_mac = identifier[:1] == b"\1" and len(identifier) == 7  # RFC 2132, 9.14: hardware type, then the address
    yield "client_id", mac_text(identifier[1:]) if is_mac else identifier[: LONGEST // 2].hex()


def _given(message: bytes, options: dict[int, bytes], function: str) -> Iterator[tuple[str, str]]:
    if function in ("ack", BOOTP):  # an offer is not yet taken
        yield "ip", ip_text(message[16:20])
        yield "name", text(options.get(HOST_NAME, b""))
        yield "name", _full_name(options.get(FQDN, b""))
        yield "domain", text(options.get(DOMAIN, b""))


def _full_name(value: bytes) -> str:
    """RFC 4702, 2: flags, two result codes, the name; bit E: as labels (RFC 1035, 3.1), else as text."""
    if not value[:1] or not value[0] & 4:
        return text(value[3:])
    labels, at = [], 3
    while at < min(len(value), LONGEST) and 0 < value[at] < 64:
        labels.append(text(value[at + 1 : at + 1 + value[at]]))
        at += 1 + value[at]
    return ".".join(labels)[:LONGEST]


def _options(message: bytes) -> dict[int, bytes]:
    """By code; one that comes in parts is put together (RFC 3396). Overloaded fields are read too (RFC 2132, 9.3)."""
    found: dict[int, bytearray] = {}
    if message[FIXED : FIXED + 4] != COOKIE:
        return {}
    _read(message[FIXED + 4 :], found)
    where = found.get(OVERLOAD, b"")[:1]
    if where in (b"\1", b"\3"):
        _read(message[FILE:FILE_END], found)
    if where in (b"\2", b"\3"):
        _read(message[SERVER_NAME:FILE], found)
    return {code: bytes(value) for code, value in found.items()}


def _read(data: bytes, found: dict[int, bytearray]) -> None:
    at = 0
    for _ in range(STEPS_MOST):
        if at >= len(data) or data[at] == END:
            return
        if data[at] == PAD:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 1
        value = data[at + 2 : at + 2 + length]
        if len(value) < length:
            raise Malformed("a DHCP option ends early")
        found.setdefault(data[at], bytearray()).extend(value)
        at += 2 + length
    raise Malformed("more DHCP options than anybody sends")


DHCP = Protocol("dhcp", Carrier.UDP, frozenset({67, 68}), decode)
