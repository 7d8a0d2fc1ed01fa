"""Values of BACnet (ANSI/ASHRAE 135, clauses 20.2 and 21): tags, what they hold, names of objects and properties."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

from collectors.passive.protocols.texts import LONGEST, text
from collectors.passive.said import Malformed

APPLICATION, CONTEXT, OPENING, CLOSING = 0, 1, 6, 7
BOOLEAN, UNSIGNED, SIGNED, OCTETS, CHARACTERS, ENUMERATED, OBJECT = 1, 2, 3, 6, 7, 9, 12  # numbers of application tags
TAGS_MOST = 1000
OBJECT_LIST = re.compile(rb"(?:\xc4....){8,}", re.DOTALL)  # the objects of a large device; none of them identifies it
OBJECTS = (  # BACnetObjectType
    "analog-input", "analog-output", "analog-value", "binary-input", "binary-output", "binary-value", "calendar",
    "command", "device", "event-enrollment", "file", "group", "loop", "multi-state-input", "multi-state-output",
    "notification-class", "program", "schedule", "averaging", "multi-state-value", "trend-log", "life-safety-point",
    "life-safety-zone", "accumulator", "pulse-converter", "event-log", "global-group", "trend-log-multiple",
    "load-control", "structured-view", "access-door", "timer", "access-credential", "access-point", "access-rights",
    "access-user", "access-zone", "credential-data-input", "network-security", "bitstring-value",
    "characterstring-value", "date-pattern-value", "date-value", "datetime-pattern-value", "datetime-value",
    "integer-value", "large-analog-value", "octetstring-value", "positive-integer-value", "time-pattern-value",
    "time-value", "notification-forwarder", "alert-enrollment", "channel", "lighting-output",
    "binary-lighting-output", "network-port", "elevator-group", "escalator", "lift", "staging", "audit-log",
    "audit-reporter", "color", "color-temperature",
)  # fmt: skip
DEVICE = OBJECTS.index("device")
PROPERTIES = {  # BACnetPropertyIdentifier: those that are written, and those that identify a device
    8: "all", 12: "application-software-version", 22: "cov-increment", 23: "date-list", 25: "deadband",
    28: "description", 35: "event-enable", 38: "exception-schedule", 44: "firmware-revision", 45: "high-limit",
    52: "limit-enable", 56: "local-date", 57: "local-time", 58: "location", 59: "low-limit", 65: "max-pres-value",
    69: "min-pres-value", 70: "model-name", 75: "object-identifier", 77: "object-name", 81: "out-of-service",
    85: "present-value", 87: "priority-array", 90: "program-change", 102: "recipient-list", 103: "reliability",
    104: "relinquish-default", 105: "required", 108: "setpoint", 113: "time-delay", 117: "units", 119: "utc-offset",
    120: "vendor-identifier", 121: "vendor-name", 123: "weekly-schedule", 133: "enable", 134: "log-interval",
    372: "serial-number",
}  # fmt: skip

Tag: TypeAlias = tuple[int, int, bytes]  # APPLICATION, CONTEXT, OPENING or CLOSING; its number; its data


def read_tags(data: bytes) -> Iterator[Tag]:
    """20.2.1: number (4 bits, 15: in the next byte), class, length, value or type. Long lists of objects are left out,
    and so is what comes after as many tags as no message has."""
    at = 0
    for _ in range(TAGS_MOST):
        if at >= len(data):
            return
        first = data[at]
        if first == 0xC4 and (long := OBJECT_LIST.match(data, at)):
            at = long.end()
            continue
        number, kind = first >> 4, first & 7
        at += 1
        if number == 15:
            number = data[at]
            at += 1
        if first & 8 and kind in (OPENING, CLOSING):
            yield kind, number, b""
            continue
        if not first & 8 and number == BOOLEAN:  # has its value in place of the length
            yield APPLICATION, BOOLEAN, b"\1" if kind & 1 else b""
            continue
        length = kind
        if kind == 5:
            length = data[at]
            at += 1
            if length == 254:
                length = struct.unpack_from(">H", data, at)[0]
                at += 2
            elif length == 255:
                length = struct.unpack_from(">I", data, at)[0]
                at += 4
        elif kind > 5:
            raise Malformed("a BACnet tag of no length")
        value = data[at : at + length]
        if len(value) < length:
            raise Malformed("a BACnet tag ends early")
        yield CONTEXT if first & 8 else APPLICATION, number, value
        at += length


def named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def object_text(data: bytes) -> str:
    """20.2.14: the type in ten bits, the instance in 22."""
    if len(data) != 4:
        raise Malformed("a BACnet object identifier has four bytes")
    number = unsigned(data)
    kind = number >> 22
    return f"{OBJECTS[kind] if kind < len(OBJECTS) else f'object-type-{kind}'},{number & 0x3FFFFF}"


def property_text(number: int) -> str:
    return PROPERTIES.get(number, f"property-{number}")


def unsigned(data: bytes) -> int:
    return int.from_bytes(data[:8], "big")


def primitive(kind: int, number: int, data: bytes) -> Any:
    """The value of an application tag (20.2.2 to 20.2.14); bits, octets and what a context hides stay hexadecimal."""
    if kind == CONTEXT:
        return data[:32].hex()
    match number:
        case 0:
            return None
        case 1:
            return bool(data)
        case 2 | 9:
            return unsigned(data)
        case 3:
            return int.from_bytes(data[:8], "big", signed=True)
        case 4 if len(data) == 4:
            return _finite(struct.unpack(">f", data)[0])
        case 5 if len(data) == 8:
            return _finite(struct.unpack(">d", data)[0])
        case 7:
            return characters(data)
        case 10 if len(data) == 4:
            return f"{_any(data[0], 1900):>04}-{_any(data[1]):>02}-{_any(data[2]):>02}"
        case 11 if len(data) == 4:
            return ":".join(f"{_any(part):>02}" for part in data[:3])
        case 12 if len(data) == 4:
            return object_text(data)
    return data[:32].hex()


def _any(part: int, offset: int = 0) -> str:
    """20.2.12: 255 in a part of a date or time is any."""
    return "*" if part == 0xFF else str(part + offset)


def _finite(value: float) -> float | str:
    return value if value - value == 0 else str(value)


def load_character_sets() -> None:
    for name in ("utf-32-be", "utf-16-be"):
        codecs.lookup(name)


def characters(data: bytes) -> str:
    """20.2.9: the character set, then the text: 0 UTF-8, 1 a code page (two bytes), 3 UCS-4, 4 UCS-2, 5 Latin-1."""
    kind, data = data[:1], data[1 : 1 + 4 * LONGEST]
    if kind in (b"\3", b"\4"):
        shown = data.decode("utf-32-be" if kind == b"\3" else "utf-16-be", "replace").partition("\0")[0]
        return shown.strip()[:LONGEST]
    if kind == b"\5":
        return data.decode("latin-1").partition("\0")[0].strip()[:LONGEST]
    return text(data[2:] if kind == b"\1" else data)
