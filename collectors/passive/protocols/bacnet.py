"""BACnet/IP (ANSI/ASHRAE 135): virtual link layer (annex J), network layer (clause 6), application (clause 20)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from baselines.wire import Operation
from collectors.passive.protocols.bacnet_values import (
    APPLICATION,
    CHARACTERS,
    CLOSING,
    CONTEXT,
    DEVICE,
    ENUMERATED,
    OBJECT,
    OBJECTS,
    OCTETS,
    OPENING,
    SIGNED,
    UNSIGNED,
    Tag,
    characters,
    load_character_sets,
    named,
    object_text,
    primitive,
    property_text,
    read_tags,
    unsigned,
)  # fmt: skip
from collectors.passive.protocols.mixing import mixed
from collectors.passive.protocols.protocol import HEAD, Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import ip_text
from collectors.passive.said import NOTHING, SENDER, Act, Asked, Malformed, Said, Sighting

BVLC = 0x81
FORWARDED, DISTRIBUTE, UNICAST, BROADCAST = 0x04, 0x09, 0x0A, 0x0B
CARRIES = {FORWARDED: 10, DISTRIBUTE: 4, UNICAST: 4, BROADCAST: 4}  # BVLC function → bytes before the NPDU
WRITE_TABLE, DELETE_ENTRY = 1, 8
LINK_FUNCTIONS = {  # J.2; those that are not here are answers
    WRITE_TABLE: "write-broadcast-distribution-table",
    2: "read-broadcast-distribution-table",
    5: "register-foreign-device",
    6: "read-foreign-device-table",
    DELETE_ENTRY: "delete-foreign-device-table-entry",
    12: "secure-bvll",
}
LINK_ANSWERS = (0, 3, 7)
ANSWERS_ON_NETWORK = (3, 7)  # reject-message-to-network, initialize-routing-table-ack
I_AM_ROUTER, INITIALIZE_ROUTING = 1, 6
NETWORK_FUNCTIONS = {  # 6.2.4
    0: "who-is-router-to-network", I_AM_ROUTER: "i-am-router-to-network", 2: "i-could-be-router-to-network",
    4: "router-busy-to-network", 5: "router-available-to-network", INITIALIZE_ROUTING: "initialize-routing-table",
    8: "establish-connection-to-network", 9: "disconnect-connection-to-network", 18: "what-is-network-number",
    19: "network-number-is",
}  # fmt: skip
NETWORK_MESSAGE, HAS_DESTINATION, HAS_SOURCE = 0x80, 0x20, 0x08  # 6.2.2, bits of the control octet

CONFIRMED, UNCONFIRMED, SIMPLE_ACK, COMPLEX_ACK = 0, 1, 2, 3  # 20.1.1
KINDS = 8
SEGMENTED, MORE_FOLLOWS = 8, 4
LARGEST = 1 << 15  # bytes of a message that comes in segments
I_AM, I_HAVE, TIME, WHO_HAS, WHO_IS, UTC_TIME, WRITE_GROUP, WHO_AM_I, YOU_ARE = 0, 1, 6, 7, 8, 9, 10, 13, 14
COV, EVENT = (1, 2), (2, 3)  # notifications: confirmed, unconfirmed
NOTIFIES = frozenset({(CONFIRMED, 1), (CONFIRMED, 2), (UNCONFIRMED, 2), (UNCONFIRMED, 3)})  # value changes, events
WRITE_FILE, ADD_ELEMENT, REMOVE_ELEMENT, CREATE, DELETE = 7, 8, 9, 10, 11
READ_PROPERTY, READ_MULTIPLE, WRITE_PROPERTY, WRITE_MULTIPLE = 12, 14, 15, 16
COMMUNICATION_CONTROL, REINITIALIZE, LIFE_SAFETY = 17, 20, 27
CONFIRMED_SERVICES = {
    0: "acknowledge-alarm", 1: "cov-notification", 2: "event-notification", 3: "get-alarm-summary",
    4: "get-enrollment-summary", 5: "subscribe-cov", 6: "atomic-read-file", WRITE_FILE: "atomic-write-file",
    ADD_ELEMENT: "add-list-element", REMOVE_ELEMENT: "remove-list-element", CREATE: "create-object",
    DELETE: "delete-object", READ_PROPERTY: "read-property", 13: "read-property-conditional",
    READ_MULTIPLE: "read-property-multiple", WRITE_PROPERTY: "write-property",
    WRITE_MULTIPLE: "write-property-multiple", COMMUNICATION_CONTROL: "device-communication-control",
    18: "private-transfer", 19: "text-message", REINITIALIZE: "reinitialize-device", 21: "vt-open", 22: "vt-close",
    23: "vt-data", 24: "authenticate", 25: "request-key", 26: "read-range", LIFE_SAFETY: "life-safety-operation",
    28: "subscribe-cov-property", 29: "get-event-information", 30: "subscribe-cov-property-multiple",
    31: "cov-notification-multiple", 32: "audit-notification", 33: "audit-log-query",
}  # fmt: skip
UNCONFIRMED_SERVICES = {
    I_AM: "i-am", I_HAVE: "i-have", 2: "cov-notification", 3: "event-notification", 4: "private-transfer",
    5: "text-message", TIME: "time-synchronization", WHO_HAS: "who-has", WHO_IS: "who-is",
    UTC_TIME: "utc-time-synchronization", WRITE_GROUP: "write-group", 11: "cov-notification-multiple",
    12: "audit-notification", WHO_AM_I: "who-am-i", YOU_ARE: "you-are",
}  # fmt: skip
ACTS = {  # confirmed services that change a device
    WRITE_FILE: Operation.WRITE,
    ADD_ELEMENT: Operation.WRITE,
    REMOVE_ELEMENT: Operation.WRITE,
    CREATE: Operation.PROGRAM_CHANGE,
    DELETE: Operation.PROGRAM_CHANGE,
    WRITE_PROPERTY: Operation.WRITE,
    WRITE_MULTIPLE: Operation.WRITE,
    COMMUNICATION_CONTROL: Operation.MODE_CHANGE,
    REINITIALIZE: Operation.RESTART,
    LIFE_SAFETY: Operation.WRITE,
}
RESTARTS = (  # 16.4
    "coldstart", "warmstart", "startbackup", "endbackup", "startrestore", "endrestore", "abortrestore",
    "activate-changes",
)  # fmt: skip
COMMUNICATION = ("enable", "disable", "disable-initiation")  # 16.1
LIFE_SAFETY_REQUESTS = (
    "none", "silence", "silence-audible", "silence-visual", "reset", "reset-alarm", "reset-fault", "unsilence",
    "unsilence-audible", "unsilence-visual",
)  # fmt: skip
FIELDS = {  # what a property of the device object says
    12: "user_application_name",
    28: "description",
    44: "software_revision",
    58: "location",
    70: "model",
    77: "name",
    120: "vendor_id",
    121: "manufacturer",
    372: "serial_number",
}
IDENTITY = frozenset({8, 12, 44, 70, 105, 120, 121, 372})  # who reads these of a device object asks what it is

VALUES_MOST = 32
DEVICE_OBJECT = b"\x0c\x02"  # context tag 0 of four bytes, whose first ten bits are 8
# Where in nested constructs the parts of a property stand: (depth, context tag) → part. Clauses 15.5 to 15.10.
SHAPES: dict[tuple[int, int], dict[tuple[int, int], str]] = {
    (COMPLEX_ACK, READ_PROPERTY): {(0, 0): "object", (0, 1): "property", (0, 2): "index", (0, 3): "values"},
    (COMPLEX_ACK, READ_MULTIPLE): {(0, 0): "object", (1, 2): "property", (1, 3): "index", (1, 4): "values"},
    (CONFIRMED, READ_MULTIPLE): {(0, 0): "object", (1, 0): "property", (1, 1): "index"},
    (CONFIRMED, WRITE_PROPERTY): {
        (0, 0): "object", (0, 1): "property", (0, 2): "index", (0, 3): "values", (0, 4): "priority",
    },
    (CONFIRMED, WRITE_MULTIPLE): {
        (0, 0): "object", (1, 0): "property", (1, 1): "index", (1, 2): "values", (1, 3): "priority",
    },
}  # fmt: skip
SHAPES |= dict.fromkeys(((CONFIRMED, ADD_ELEMENT), (CONFIRMED, REMOVE_ELEMENT)), SHAPES[CONFIRMED, WRITE_PROPERTY])

CONFIRMED_SAYS = {service: Said((name,)) for service, name in CONFIRMED_SERVICES.items()}
Way: TypeAlias = dict[str, str]  # how a message came and where it goes, when that is not from IP to IP


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """One datagram. The length that it says it has is not looked at: UDP's is the one that counts."""
    if len(message) < 4 or message[0] != BVLC:
        raise Malformed("no BACnet/IP")
    carries = CARRIES.get(message[1])
    try:
        if carries is None:
            return _link(message[1], message[4:])
        way: Way = {}
        whom = SENDER
        if message[1] == FORWARDED and (origin := ip_text(message[4:8])):  # J.2.5: a broadcast manager passes it on
            whom = way["origin"] = origin
        return _network(message, carries, whom, way, asked)
    except (struct.error, IndexError):
        raise Malformed("BACnet ends early") from None


def _link(function: int, data: bytes) -> Said:
    if function in LINK_ANSWERS:
        return NOTHING
    name = LINK_FUNCTIONS.get(function, f"bvlc-0x{function:02x}")
    if function == WRITE_TABLE:
        entries = [_end(data[at : at + 6]) for at in range(0, min(len(data), VALUES_MOST * 10), 10)]
        return Said((name,), acts=(_act(Operation.WRITE, name, entries=entries, count=len(data) // 10),))
    if function == DELETE_ENTRY:
        return Said((name,), acts=(_act(Operation.WRITE, name, entry=_end(data[:6])),))
    return Said((name,))


def _end(data: bytes) -> str:
    """A B/IP address (J.1.2): IP address and port."""
    return f"{ip_text(data[:4])}:{int.from_bytes(data[4:6], 'big')}"


def _act(operation: Operation, function: str, /, **detail: Any) -> Act:
    return Act(operation, {"function": function, **detail})


def _network(message: bytes, at: int, whom: str, way: Way, asked: Asked) -> Said:
    """6.2: version, control; destination, source and hop count where control says so."""
    if message[at] != 1:
        raise Malformed(f"BACnet has no version {message[at]}")
    control = message[at + 1]
    at += 2
    if control & HAS_DESTINATION:
        at, way["destination"] = _address(message, at)
    if control & HAS_SOURCE:
        at, way["source"] = _address(message, at)
    if control & HAS_DESTINATION:
        at += 1  # the hop count
    if control & NETWORK_MESSAGE:
        return _network_message(message[at], message[at + 1 :], whom, way)
    return _application(message[at:], whom, way, asked)


def _address(message: bytes, at: int) -> tuple[int, str]:
    """What is behind an address on another network, and the address: the network's number and the MAC address there."""
    network, size = struct.unpack_from(">HB", message, at)
    mac = message[at + 3 : at + 3 + size].hex()
    return at + 3 + size, f"{network}.{mac}" if size else str(network)


def _network_message(kind: int, data: bytes, whom: str, way: Way) -> Said:
    if kind in ANSWERS_ON_NETWORK:
        return NOTHING
    name = NETWORK_FUNCTIONS.get(kind, f"network-message-0x{kind:02x}")
    if kind == I_AM_ROUTER and "source" not in way:
        return Said((name,), (Sighting("role", "router", whom),))
    if kind == INITIALIZE_ROUTING and data[0]:  # 6.4.7: without ports it asks for the table
        return Said((name,), acts=(_act(Operation.WRITE, name, ports=data[0], **way),))
    return Said((name,))


def _seen(found: Iterable[tuple[str, str]], whom: str, way: Way) -> tuple[Sighting, ...]:
    """Who is behind a router is another device: of it, only that it is there."""
    if "source" in way:
        prefix = f"routed.{way['source']}."
        found = [(prefix + field, value) for field, value in found if field == "object_instance"]
    return tuple(dict.fromkeys(Sighting(field, value, whom) for field, value in found if value))


def _application(data: bytes, whom: str, way: Way, asked: Asked) -> Said:
    """20.1: type and flags; an answer says nothing but what a device is."""
    kind, flags = data[0] >> 4, data[0]
    if kind >= KINDS:
        raise Malformed(f"BACnet has no PDU of type {kind}")
    if kind == UNCONFIRMED:
        return _unconfirmed(data[1], data[2:], whom, way)
    if kind not in (CONFIRMED, COMPLEX_ACK):
        return NOTHING
    at = 3 if kind == CONFIRMED else 2
    service = data[at + 2] if flags & SEGMENTED else data[at]
    if not flags & SEGMENTED:
        return _whole(kind, service, data[at + 1 :], whom, way)
    key = ("segments", kind, data[at - 1], way.get("source"), way.get("destination"))
    joined = _joined(asked, key, data[at], service, data[at + 3 :], bool(flags & MORE_FOLLOWS))
    if joined is None:
        return NOTHING
    if joined:
        return _whole(kind, service, joined, whom, way)
    if kind == CONFIRMED and (operation := ACTS.get(service)):  # a segment is lost, and with it what was to be done
        name = CONFIRMED_SERVICES[service]
        return Said((name,), acts=(_act(operation, name, incomplete=True, **way),))
    return NOTHING


def _joined(
    asked: Asked, key: tuple[object, ...], sequence: int, service: int, part: bytes, more: bool
) -> bytes | None:
    """The message whose last segment this is; None while it is incomplete, nothing in it if a segment is missing.

    5.2: segments are numbered modulo 256, and those that were not acknowledged are sent again.
    """
    held = asked.take(key)
    if sequence == 0 and (held is None or held[0] != 0 or held[1] != service):  # 0 is expected after number 255 too
        if held is not None and held[1] == service and bytes(held[2][: len(part)]) == part:
            asked.note(key, held, len(held[2]))
            return None
        held = (0, service, bytearray())
    if held is None:
        return None  # the beginning was not heard
    expected, begun, body = held
    ahead = (sequence - expected) & 0xFF
    if begun != service or 0 < ahead < 128 or len(body) + len(part) > LARGEST:
        return b""
    if ahead:  # sent again
        asked.note(key, held, len(body))
        return None
    body += part
    if not more:
        return bytes(body)
    asked.note(key, ((sequence + 1) & 0xFF, service, body), len(body))
    return None


def _whole(kind: int, service: int, body: bytes, whom: str, way: Way) -> Said:
    if kind == CONFIRMED:
        return _confirmed(service, body, whom, way)
    if service == READ_PROPERTY and _type_of(body) == DEVICE:
        instance = ("object_instance", str(unsigned(body[1:5]) & 0x3FFFFF))
        identifies = body[5] != 0x19 or body[6] in FIELDS
        return Said(sightings=_seen([instance, *(_identity(service, body) if identifies else ())], whom, way))
    if service == READ_MULTIPLE and DEVICE_OBJECT in body:
        found = _seen(_identity(service, body), whom, way)
        return Said(sightings=found) if found else NOTHING
    return NOTHING


def _type_of(body: bytes) -> int:
    """The type of the object in the context tag 0 that a service begins with."""
    if len(body) < 7 or body[0] != 0x0C:
        raise Malformed("BACnet service without its object")
    return body[1] << 2 | body[2] >> 6


def _identity(service: int, body: bytes) -> Iterator[tuple[str, str]]:
    """What the properties in an answer say of a device object."""
    for found in _properties(read_tags(body), SHAPES[COMPLEX_ACK, service]):
        if found["object"].startswith("device,"):
            yield "object_instance", found["object"].removeprefix("device,")
            field = FIELDS.get(found["property"])
            if field and "index" not in found and found["values"] and found["values"][0] is not None:
                yield field, str(found["values"][0])


def _properties(tags: Iterable[Tag], shape: dict[tuple[int, int], str]) -> Iterator[dict[str, Any]]:
    """The properties of a service, with object, property, and what else is said of each; values as JSON has them."""
    depth = inside = 0
    what = ""
    found: dict[str, Any] | None = None
    for kind, number, data in tags:
        if kind == OPENING:
            depth += 1
            if not inside and found and shape.get((depth - 1, number)) == "values":
                inside = depth
        elif kind == CLOSING:
            inside = inside if depth > inside else 0
            depth -= 1
        elif inside and found:
            found["count"] += 1
            if found["count"] <= VALUES_MOST:
                found["values"].append(primitive(kind, number, data))
        elif kind == CONTEXT and (part := shape.get((depth, number))):
            if part == "object":
                what = object_text(data)
            elif part == "property":
                if found:
                    yield found
                found = {"object": what, "property": unsigned(data), "values": [], "count": 0}
            elif found and part != "values":  # which stand between an opening and a closing tag
                found[part] = unsigned(data)
    if found:
        yield found


def _confirmed(service: int, body: bytes, whom: str, way: Way) -> Said:
    operation = ACTS.get(service)
    if operation is not None:
        name = CONFIRMED_SERVICES[service]
        return Said((name,), acts=(_act(operation, name, **_doing(service, body), **way),))
    said = CONFIRMED_SAYS.get(service)
    if said is None:
        return Said((f"service-{service}",))
    if service in (READ_PROPERTY, READ_MULTIPLE) and (read := _identity_read(service, body)):
        return Said(said.functions, acts=(_act(Operation.IDENTITY_READ, said.functions[0], **read, **way),))
    if (CONFIRMED, service) in NOTIFIES:
        return Said(said.functions, _seen(_notifier(body), whom, way))
    return said


def _identity_read(service: int, body: bytes) -> dict[str, Any]:
    """Which identity a client reads, of which device; nothing if it reads something else."""
    if service == READ_PROPERTY:
        if _type_of(body) != DEVICE:
            return {}
        number = body[6] if body[5] == 0x19 else body[6] << 8 | body[7] if body[5] == 0x1A else 0
        asked = [(object_text(body[1:5]), number)]
    elif DEVICE_OBJECT in body:
        found = _properties(read_tags(body), SHAPES[CONFIRMED, READ_MULTIPLE])
        asked = [(one["object"], one["property"]) for one in found if one["object"].startswith("device,")]
    else:
        return {}
    wanted = [property_text(number) for _, number in asked if number in IDENTITY]
    return {"object": asked[0][0], "properties": wanted[:VALUES_MOST]} if wanted else {}


def _notifier(body: bytes) -> Iterator[tuple[str, str]]:
    """13.1, 13.2, 13.6: process identifier [0], then the device that notifies [1]."""
    if body[0] & 0xF8 == 0x08:
        at = 1 + (body[0] & 7)
        if body[at : at + 1] == b"\x1c" and len(body) >= at + 5 and body[at + 1] << 2 | body[at + 2] >> 6 == DEVICE:
            yield "object_instance", str(unsigned(body[at + 1 : at + 5]) & 0x3FFFFF)


def _doing(service: int, body: bytes) -> dict[str, Any]:
    """What a service does, and to which object. Passwords are left out."""
    tags = read_tags(body)
    if service in (WRITE_PROPERTY, ADD_ELEMENT, REMOVE_ELEMENT):
        written = next(_properties(tags, SHAPES[CONFIRMED, service]), None)
        return _shown(written) if written else {}
    if service == WRITE_MULTIPLE:
        several = list(_properties(tags, SHAPES[CONFIRMED, service]))
        return {"written": [_shown(found) for found in several[:VALUES_MOST]], "count": len(several)}
    found = list(tags)
    of_context = {number: data for kind, number, data in found if kind == CONTEXT}
    if service == REINITIALIZE:
        return {"state": named(RESTARTS, unsigned(of_context.get(0, b"\xff")))}
    if service == COMMUNICATION_CONTROL:
        minutes = {"minutes": unsigned(of_context[0])} if 0 in of_context else {}
        return {"state": named(COMMUNICATION, unsigned(of_context.get(1, b"\xff"))), **minutes}
    if service == LIFE_SAFETY:
        where = {"object": object_text(of_context[3])} if 3 in of_context else {}
        return {"request": named(LIFE_SAFETY_REQUESTS, unsigned(of_context.get(2, b"\xff"))), **where}
    if service == WRITE_FILE:
        return _file(found)
    return _created(found)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"property": property_text(found["property"])}


def _file(tags: list[Tag]) -> dict[str, Any]:
    """14.2: the file, then its stream [0] or records [1]: where, and the octets."""
    plain = [(number, data) for kind, number, data in tags if kind == APPLICATION]
    access = next((number for kind, number, _ in tags if kind == OPENING), 0)
    files = [object_text(data) for number, data in plain if number == OBJECT]
    start = [int.from_bytes(data[:8], "big", signed=True) for number, data in plain if number == SIGNED]
    size = sum(len(data) for number, data in plain if number == OCTETS)
    detail = {"access": "record" if access == 1 else "stream", "bytes": size}
    return dict(zip(("object",), files, strict=False)) | dict(zip(("start",), start, strict=False)) | detail


def _created(tags: list[Tag]) -> dict[str, Any]:
    """15.3 and 15.4: the object that is deleted; the object, or the type of object, that is made."""
    for kind, number, data in tags:
        if (kind, number) == (APPLICATION, OBJECT) or (kind, number) == (CONTEXT, 1):
            return {"object": object_text(data)}
        if (kind, number) == (CONTEXT, 0):
            return {"object": named(OBJECTS, unsigned(data))}
    return {}


def _unconfirmed(service: int, body: bytes, whom: str, way: Way) -> Said:
    name = UNCONFIRMED_SERVICES.get(service, f"service-{service}")
    if service == I_AM:
        return Said((name,), _seen(_i_am(list(read_tags(body))), whom, way))
    if service == I_HAVE:
        return Said((name,), _seen(_i_have(list(read_tags(body))), whom, way))
    if (UNCONFIRMED, service) in NOTIFIES:
        return Said((name,), _seen(_notifier(body), whom, way))
    if service == WHO_AM_I:
        found = _you_are(list(read_tags(body)))
        return Said((name,), _seen(((field, str(value)) for field, value in found.items()), whom, way))
    detail: dict[str, Any]
    if service == WHO_IS:
        of_context = {number: unsigned(data) for kind, number, data in read_tags(body) if kind == CONTEXT}
        detail = {name: of_context[number] for number, name in enumerate(("low", "high")) if number in of_context}
        return Said((name,), acts=(_act(Operation.IDENTITY_READ, "who-is", **detail, **way),))
    if service == YOU_ARE:
        return Said((name,), acts=(_act(Operation.ADDRESS_CHANGE, name, **_you_are(list(read_tags(body))), **way),))
    if service == WRITE_GROUP:
        of_context = {number: unsigned(data) for kind, number, data in islice(read_tags(body), 2) if kind == CONTEXT}
        detail = {name: of_context[number] for number, name in enumerate(("group", "priority")) if number in of_context}
        return Said((name,), acts=(_act(Operation.WRITE, name, **detail, **way),))
    if service in (TIME, UTC_TIME):
        when = " ".join(str(primitive(*tag)) for tag in islice(read_tags(body), 2))
        return Said((name,), acts=(_act(Operation.WRITE, name, setting="clock", time=when, **way),))
    return Said((name,))


def _i_am(tags: list[Tag]) -> Iterator[tuple[str, str]]:
    """16.10: device, longest APDU, segmentation, vendor."""
    if len(tags) < 4 or [number for _, number, _ in tags[:4]] != [OBJECT, UNSIGNED, ENUMERATED, UNSIGNED]:
        raise Malformed("no I-Am")
    yield "object_instance", _instance(tags[0][2])
    yield "vendor_id", str(unsigned(tags[3][2]))


def _i_have(tags: list[Tag]) -> Iterator[tuple[str, str]]:
    """16.9: device, object, the object's name."""
    if len(tags) < 3 or [number for _, number, _ in tags[:3]] != [OBJECT, OBJECT, CHARACTERS]:
        raise Malformed("no I-Have")
    yield "object_instance", _instance(tags[0][2])
    if tags[1][2] == tags[0][2]:
        yield "name", characters(tags[2][2])


def _instance(data: bytes) -> str:
    found = object_text(data)
    if not found.startswith("device,"):
        raise Malformed(f"{found} is no device")
    return found.removeprefix("device,")


def _you_are(tags: list[Tag]) -> dict[str, Any]:
    """16.11: vendor, model, serial number; in You-Are also the device's new number and its new MAC address."""
    plain = [(number, data) for kind, number, data in tags[:5] if kind == APPLICATION]
    if [number for number, _ in plain[:3]] != [UNSIGNED, CHARACTERS, CHARACTERS]:
        raise Malformed("neither Who-Am-I nor You-Are")
    found: dict[str, Any] = {
        "vendor_id": unsigned(plain[0][1]),
        "model": characters(plain[1][1]),
        "serial_number": characters(plain[2][1]),
    }
    for number, data in plain[3:]:
        found |= {"object_instance": _instance(data)} if number == OBJECT else {"mac": data[:32].hex()}
    return found


def begins(payload: bytes) -> bool:
    """Whether it is BACnet/IP on a port of its own (sites take 47809 and on for networks that are to stay apart)."""
    at = CARRIES.get(payload[1], 0) if len(payload) > 12 and payload[0] == BVLC else 0
    return at > 0 and payload[2] << 8 | payload[3] == len(payload) and payload[at] == 1


# Signatures

BEGINS, ENDS = 4, 44  # the bytes that a signature can be made of
COLUMNS = np.arange(BEGINS, ENDS)
ALONE = np.zeros(256, np.bool_)  # confirmed services that say their name, whatever is in them
ALONE[[service for service in CONFIRMED_SERVICES if service not in ACTS]] = True
ALONE[[READ_PROPERTY, READ_MULTIPLE, *COV[:1], *EVENT[:1]]] = False
SAID_ALONE = np.zeros(256, np.bool_)  # and unconfirmed ones
SAID_ALONE[[4, 5, WHO_HAS, 11, 12]] = True
IS_IDENTITY = np.zeros(256, np.bool_)
IS_IDENTITY[[number for number in IDENTITY if number < 256]] = True
IS_FIELD = np.zeros(256, np.bool_)
IS_FIELD[[number for number in FIELDS if number < 256]] = True


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """The bytes from the network header to what the answer depends on, without the invoke id: to the service for what
    says only its name or nothing, to the object for what says which device speaks; 0 for what identifies or does more.
    """
    rows = np.arange(len(head))
    carried = (head[:, 0] == BVLC) & (head[:, 1] >= DISTRIBUTE) & (head[:, 1] <= BROADCAST) & (head[:, 4] == 1)
    size = (head[:, 2].astype(np.int64) << 8) + head[:, 3]
    control = head[:, 5]
    carried &= (size == length) & (control & NETWORK_MESSAGE == 0)
    at = np.full(len(head), 6)
    if (control & (HAS_DESTINATION | HAS_SOURCE)).any():
        to, of = control & HAS_DESTINATION > 0, control & HAS_SOURCE > 0
        at += np.where(to, 3 + head[:, 8].astype(np.int64), 0)
        at += np.where(of, 3 + head[rows, np.minimum(at + 2, HEAD - 1)].astype(np.int64), 0)
        at += to
    carried &= (at <= ENDS - 16) & (length >= at + 3)
    place = np.minimum(at, HEAD - 16)
    data = head[rows[:, None], place[:, None] + np.arange(16)]  # of the application, from its type on
    kind, flags = data[:, 0] >> 4, data[:, 0]
    whole = flags & SEGMENTED == 0
    asks, says, answers = (kind == CONFIRMED) & whole, kind == UNCONFIRMED, (kind == COMPLEX_ACK) & whole
    service = np.where(asks, data[:, 3], np.where(answers, data[:, 2], data[:, 1]))
    begin = np.where(asks, 4, np.where(answers, 3, 2))  # of what the service carries
    reads, multiple = service == READ_PROPERTY, service == READ_MULTIPLE
    end = np.where(asks & ALONE[service], 4, 0)
    end = np.where(says & SAID_ALONE[service], 2, end)
    end = np.where(answers & ~reads & ~multiple, 3, end)
    end = np.where((kind > UNCONFIRMED) & (kind < KINDS) & (kind != COMPLEX_ACK), 1, end)

    # Read one property: of which object, and of a device object, which property.
    body = np.where(asks[:, None], data[:, 4:12], data[:, 3:11])
    objects = (reads & (asks | answers)) & (body[:, 0] == 0x0C) & (length >= at + begin + 7)
    device = (body[:, 1] == DEVICE >> 2) & (body[:, 2] >> 6 == DEVICE & 3)
    short = body[:, 5] == 0x19
    end = np.where(objects & ~device, begin, end)
    end = np.where(objects & device & asks & short & ~IS_IDENTITY[body[:, 6]], begin, end)
    end = np.where(objects & device & answers & short & ~IS_FIELD[body[:, 6]], begin + 5, end)

    # Read several: whether a device object is among them can be seen when all of it can be seen.
    several = multiple & (asks | answers) & (length <= HEAD)
    if several.any():
        several &= ~((head[:, :-1] == DEVICE_OBJECT[0]) & (head[:, 1:] == DEVICE_OBJECT[1])).any(axis=1)
        end = np.where(several, begin, end)

    # Notifications: of which device.
    notifies = (asks & ((service == COV[0]) | (service == EVENT[0]))) | (
        says & ((service == COV[1]) | (service == EVENT[1]))
    )
    if notifies.any():
        tag = data[rows, begin]
        device_at = begin + 1 + (tag & 7)
        told = (tag & 0xF8 == 0x08) & (tag & 7 <= 4) & (length >= at + device_at + 5)
        told &= data[rows, np.minimum(device_at, 15)] == 0x1C
        end = np.where(notifies & told, device_at + 5, end)

    invoke = at + np.where(asks, 2, 1)
    used = (at + end)[:, None] > COLUMNS
    used &= (invoke[:, None] != COLUMNS) | ~(asks | answers)[:, None]
    signed = mixed(head[:, BEGINS:ENDS] * used)
    return np.where(carried & (end > 0) & (length >= at + end), signed, np.uint64(0))


BACNET = Protocol(
    "bacnet",
    Carrier.UDP,
    frozenset({47808}),
    decode,
    sign=sign,
    begins=begins,
    glance=(0, bytes([BVLC])),
    prepare=load_character_sets,
)
