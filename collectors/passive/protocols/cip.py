"""CIP, the Common Industrial Protocol: what a request does (ODVA's CIP Networks Library, volume 1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from struct import unpack_from
from typing import Any

from baselines.wire import Operation
from collectors.passive.protocols.cip_names import (
    ACTING,
    BLOCK,
    CLASS_SERVICES,
    CLASSES,
    CLOCK,
    CONNECTIONS,
    CREATE,
    DATA_MOST,
    DELETE,
    DEPTH_MOST,
    ETHERNET_LINK,
    EXECUTE_LOCAL_PCCC,
    EXECUTE_PCCC,
    FILE,
    FIRMWARE,
    FORWARD_OPEN,
    GET_ALL,
    GET_LIST,
    GET_SINGLE,
    GETS,
    IDENTITY,
    LARGE_FORWARD_OPEN,
    MODIFY_TAG,
    PACKET,
    PARTS_MOST,
    PASSING,
    PCCC,
    PROJECT,
    READ_FRAGMENT,
    READ_TAG,
    RESET,
    ROUTER,
    SERVICES,
    SET_LIST,
    SET_SINGLE,
    START,
    STOP,
    SYMBOL,
    TAG_SERVICES,
    TCP_IP,
    TELLING,
    TEXT_MOST,
    UNCONNECTED_SEND,
    WRITE_FRAGMENT,
    WRITE_TAG,
    WRITES,
    Connection,
    Heard,
    Target,
    Want,
)
from collectors.passive.protocols.cip_values import ip, parts, string, text, values
from collectors.passive.protocols.pccc import pccc
from collectors.passive.said import Act, Malformed

# Paths


def target(data: bytes, at: int, end: int) -> Target:
    """A padded path. What leads through a class to another of its parts leads to the last of them."""
    of = instance = attribute = None
    tag = route = ""
    while at < end:
        kind = data[at]
        if kind < 0x20:  # port
            hop, at = _hop(data, at, end)
            route = f"{route}.{hop}" if route else hop
        elif kind < 0x40:  # logical
            if kind == 0x34:  # an electronic key: of no target
                at += 2 + 2 * data[at + 1] if at + 1 < end else 2
                continue
            size = (2, 4, 6)[kind & 3] if kind & 3 < 3 else 0
            if not size or at + size > end:
                raise Malformed("a path whose segment has no end")
            number = data[at + 1] if size == 2 else int.from_bytes(data[at + 2 : at + size], "little")
            match kind & 0x1C:
                case 0x00 if not tag:
                    of, instance, attribute = number, None, None
                case 0x04:
                    instance = number
                case 0x08:
                    tag += f"[{number}]"
                case 0x10:
                    attribute = number
            at += size
        elif kind < 0x60:  # network: one byte, or a length in words
            at += 2 + 2 * data[at + 1] if kind & 0x10 and at + 1 < end else 2
        elif kind == 0x91:  # a name
            if at + 2 > end or at + 2 + data[at + 1] > end:
                raise Malformed("a path whose name has no end")
            length = data[at + 1]
            name = text(data[at + 2 : at + 2 + length])
            tag = f"{tag}.{name}" if tag else name
            at += 2 + length + (length & 1)
        elif kind == 0x80:  # data
            at += 2 + 2 * data[at + 1] if at + 1 < end else 2
        else:
            raise Malformed(f"a path with a segment 0x{kind:02x}")
    return Target(None if tag and of is None else of, instance, attribute, tag[:TEXT_MOST], route[:TEXT_MOST])


def _hop(data: bytes, at: int, end: int) -> tuple[str, int]:
    """A port segment (volume 1, appendix C): the number of the port, and the link address behind it."""
    port, long = data[at] & 0x0F, data[at] & 0x10
    begin = at
    at += 1
    length = 1
    if long and at < end:
        length = data[at]
        at += 1
    if port == 0x0F:
        if at + 2 > end:
            raise Malformed("a path whose port has no end")
        (port,) = unpack_from("<H", data, at)
        at += 2
    if at + length > end:
        raise Malformed("a path whose port has no end")
    link = text(data[at : at + length]) if long else str(data[at])
    at += length
    return f"{port}.{link}", at + ((at - begin) & 1)


def _route(one: str, other: str) -> str:
    return f"{one}.{other}"[:TEXT_MOST] if one and other else one or other


# Requests


def function(service: int, of: int | None) -> str:
    """The name of a service; of a class that keeps its services to itself, its number."""
    if of is not None and (found := CLASS_SERVICES.get(of, {}).get(service)):
        return found
    if found := SERVICES.get(service):
        return found
    if (of is None or of == SYMBOL or service == 0x55) and (found := TAG_SERVICES.get(service)):
        return found
    return f"service-0x{service:02x}" if of is None else f"service-0x{service:02x}-class-0x{of:02x}"


def request(data: bytes, heard: Heard, route: str = "", part: int = -1, depth: int = 0) -> None:
    """A message router request (volume 1, 2-4.1). `route` is how the whole message came to the one it is for."""
    if len(data) < 2 or len(data) < 2 + 2 * data[1]:
        raise Malformed("a CIP request shorter than its path")
    service, begin = data[0], 2 + 2 * data[1]
    if service in (READ_TAG, READ_FRAGMENT) and begin > 2 and data[2] == 0x91:
        heard.function(TAG_SERVICES[service])
        return
    whom = target(data, 2, begin)
    of, body = whom.of, data[begin:]
    heard.function(function(service, of))
    if service == PACKET and (of is None or of == ROUTER):
        _packet(body, heard, route, part, depth)
    elif of == CONNECTIONS and service == UNCONNECTED_SEND:
        _unconnected(body, heard, route, part, depth)
    elif of == CONNECTIONS and service in (FORWARD_OPEN, LARGE_FORWARD_OPEN):
        heard.connection = _forward_open(body, route, service == LARGE_FORWARD_OPEN)
    elif of == PCCC and service in (EXECUTE_PCCC, EXECUTE_LOCAL_PCCC):
        if not body or len(body) < body[0]:
            raise Malformed("a PCCC command without its requester")
        pccc(body[body[0] :], heard, Want(part, service, PCCC, 1, (), route))
    elif of in TELLING and service in GETS:
        _get(service, whom, body, heard, _route(route, whom.route), part)
    else:
        _act(service, whom, body, heard, _route(route, whom.route))


def _packet(body: bytes, heard: Heard, route: str, part: int, depth: int) -> None:
    """Multiple_Service_Packet (volume 1, appendix A): a count, as many offsets, and there a request each.

    One that is wrong is refused by the device, and the others are done; so it is here.
    """
    if depth >= DEPTH_MOST:
        raise Malformed("packets in packets without end")
    places = parts(body)
    heard.parts += len(places)
    if heard.parts > PARTS_MOST:
        raise Malformed(f"packets of {heard.parts} parts")
    for number, (start, end) in enumerate(places):
        try:
            # The answer to a packet in a packet is not looked into: no device was seen to take one.
            request(body[start:end], heard, route, number if part == -1 else -2, depth + 1)
        except Malformed as wrong:
            heard.wrong = heard.wrong or wrong


def _unconnected(body: bytes, heard: Heard, route: str, part: int, depth: int) -> None:
    """Unconnected_Send (volume 1, 3-5): ticks, the length of a request, the request, and the way that it goes."""
    if depth >= DEPTH_MOST:
        raise Malformed("requests in requests without end")
    if len(body) < 4:
        raise Malformed("an Unconnected_Send without a message")
    (length,) = unpack_from("<H", body, 2)
    at = 4 + length + (length & 1)
    if 4 + length > len(body):
        raise Malformed("an Unconnected_Send shorter than its message")
    way = ""
    if at + 2 <= len(body):
        end = at + 2 + 2 * body[at]
        way = target(body, at + 2, end).route if end <= len(body) else "?"
    request(body[4 : 4 + length], heard, _route(route, way), part, depth + 1)


def _forward_open(body: bytes, route: str, large: bool) -> Connection:
    """Forward_Open and Large_Forward_Open (volume 1, 3-5)."""
    size = 38 if large else 34
    if len(body) < size + 2 or len(body) < size + 2 + 2 * body[size + 1]:
        raise Malformed("a Forward_Open shorter than its path")
    (to_originator,) = unpack_from("<I", body, 6)
    return Connection(to_originator, _route(route, target(body, size + 2, size + 2 + 2 * body[size + 1]).route))


def _get(service: int, whom: Target, body: bytes, heard: Heard, route: str, part: int) -> None:
    of = whom.of or 0
    instance = 1 if whom.instance is None else whom.instance
    attributes: tuple[int, ...] = ()
    if service == GET_SINGLE:
        attributes = () if whom.attribute is None else (whom.attribute,)
    elif service == GET_LIST:
        if len(body) < 2 or len(body) < 2 + 2 * (count := int.from_bytes(body[:2], "little")):
            raise Malformed("a list of attributes shorter than its count")
        attributes = unpack_from(f"<{min(count, 32)}H", body, 2)
    if not instance:
        return  # of the class itself, not of a device
    if part >= -1:
        heard.want(Want(part, service, of, instance, attributes, route))
    # An engineering station asks for the status (attribute 5) each second: that reads no identity.
    if of == IDENTITY and (service == GET_ALL or any(number in (1, 2, 3, 4, 6, 7) for number in attributes)):
        heard.acts.append(Act(Operation.IDENTITY_READ, _detail(service, whom, route)))


def _detail(service: int, whom: Target, route: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"function": function(service, whom.of)}
    if route:
        detail["route"] = route
    if whom.tag:
        detail["tag"] = whom.tag
    if whom.of is not None:
        detail["class"] = whom.of
        if whom.of in CLASSES:
            detail["object"] = CLASSES[whom.of]
    if whom.instance is not None:
        detail["instance"] = whom.instance
    if whom.attribute is not None:
        detail["attribute"] = whom.attribute
    return detail


def _act(service: int, whom: Target, body: bytes, heard: Heard, route: str) -> None:
    of = whom.of
    if of is None and service in (WRITE_TAG, WRITE_FRAGMENT, MODIFY_TAG):
        of = SYMBOL
    operation = ACTING.get((-1 if of is None else of, service))
    if operation is None:
        if service in WRITES:
            operation = Operation.ADDRESS_CHANGE if of in (TCP_IP, ETHERNET_LINK) else Operation.WRITE
        elif service == START:
            operation = Operation.START
        elif service == STOP:
            operation = Operation.STOP
        elif service in (CREATE, DELETE):
            if of in PASSING:
                return
            operation = Operation.PROGRAM_CHANGE if of in PROJECT else Operation.WRITE
        elif of == FIRMWARE and service >= 0x4B:
            operation = Operation.FIRMWARE_UPDATE
        else:
            return
    detail = _detail(service, whom, route)
    if of == SYMBOL and service in WRITTEN:
        WRITTEN[service](body, detail)
    elif of == FILE:
        operation = _file(operation, service, whom, body, detail)
    elif of == FIRMWARE:
        if len(body) >= 4:  # as EIP-FirmwareChange.pcap has it: 1.8 MB announced, then blocks from 0 up
            detail["offset" if service == BLOCK else "size"] = int.from_bytes(body[:4], "little")
    elif service == RESET:
        detail["type"] = body[0] if body else 0  # volume 1, Identity object: 0 power cycle, 1 as it left the factory, …
    elif service == SET_LIST:
        _set_list(whom, body, detail)
    elif service == SET_SINGLE:
        _set(of, whom.attribute, body, detail)
    elif body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    heard.acts.append(Act(operation, detail))


def _file(operation: Operation, service: int, whom: Target, body: bytes, detail: dict[str, Any]) -> Operation:
    """File object (volume 1): an upload comes from the device. Instance 0xC8 is its electronic data sheet."""
    if service == 0x4C and len(body) >= 4:
        detail["size"] = int.from_bytes(body[:4], "little")
    if body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    if whom.instance in (0xC8, 0xC9) and operation is Operation.PROGRAM_UPLOAD:
        detail["file"] = "electronic-data-sheet"
        return Operation.IDENTITY_READ
    return operation


def _set_list(whom: Target, body: bytes, detail: dict[str, Any]) -> None:
    """Set_Attribute_List (volume 1, appendix A): whose the bytes are is known if there is but one attribute."""
    if len(body) < 2:
        return
    (count,) = unpack_from("<H", body)
    if count == 1 and len(body) >= 4:
        (detail["attribute"],) = unpack_from("<H", body, 2)
        _set(whom.of, detail["attribute"], body[4:], detail)
    else:
        detail |= {"count": count, "length": len(body) - 2, "data": body[2 : 2 + DATA_MOST].hex()}


def _set(of: int | None, attribute: int | None, data: bytes, detail: dict[str, Any]) -> None:
    """What is set, in words where they are known: an address, a name, a time; the bytes otherwise."""
    if of == TCP_IP and attribute == 3 and len(data) >= 4:  # volume 2, TCP/IP Interface object
        control = int.from_bytes(data[:4], "little") & 0x0F
        detail["control"] = {0: "static", 1: "bootp", 2: "dhcp"}.get(control, f"0x{control:x}")
    elif of == TCP_IP and attribute == 5 and len(data) >= 22:  # volume 2, TCP/IP Interface object
        names = ("ip", "mask", "gateway", "name_server", "name_server_2")
        detail |= {name: ip(data[4 * at : 4 * at + 4]) for at, name in enumerate(names)}
        detail["domain"] = text(string(data, 20))
    elif of == TCP_IP and attribute == 6 and len(data) >= 2:  # volume 2, TCP/IP Interface object
        detail["name"] = text(string(data, 0))
    elif of == CLOCK and attribute == 6 and len(data) >= 8:
        # Microseconds since 1970, as pycomm3's set_plc_time sends them (and EIP-ChangeDateAttempt.pcap, frame 138).
        detail["microseconds"] = micros = int.from_bytes(data[:8], "little")
        if micros < 1 << 53:
            detail["time"] = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()
    elif data:
        detail |= {"length": len(data), "data": data[:DATA_MOST].hex()}


# Tags

ATOMIC = {  # volume 1, appendix C
    0xC1: ("BOOL", "?"),
    0xC2: ("SINT", "b"),
    0xC3: ("INT", "h"),
    0xC4: ("DINT", "i"),
    0xC5: ("LINT", "q"),
    0xC6: ("USINT", "B"),
    0xC7: ("UINT", "H"),
    0xC8: ("UDINT", "I"),
    0xC9: ("ULINT", "Q"),
    0xCA: ("REAL", "f"),
    0xCB: ("LREAL", "d"),
    0xD1: ("BYTE", "B"),
    0xD2: ("WORD", "H"),
    0xD3: ("DWORD", "I"),
    0xD4: ("LWORD", "Q"),
}
STRUCTURE = 0x02A0


def _written(body: bytes, detail: dict[str, Any], fragment: bool) -> None:
    """Write Tag, Write Tag Fragmented (1756-PM020): a type, a count, an offset in bytes if fragmented, the values."""
    at = 0
    if len(body) < 4:
        raise Malformed("a tag written without type and count")
    (kind,) = unpack_from("<H", body)
    if kind == STRUCTURE and len(body) >= 6:
        detail["type"] = f"structure 0x{int.from_bytes(body[2:4], 'little'):04x}"
        at = 2
    else:
        detail["type"] = ATOMIC[kind][0] if kind in ATOMIC else f"0x{kind:04x}"
    (detail["count"],) = unpack_from("<H", body, at + 2)
    at += 4
    if fragment and len(body) >= at + 4:
        (detail["offset"],) = unpack_from("<I", body, at)
        at += 4
    if kind in ATOMIC:
        detail["values"] = values(body[at:], ATOMIC[kind][1], detail["count"])
    else:
        detail |= {"length": len(body) - at, "data": body[at : at + DATA_MOST].hex()}


def _modified(body: bytes, detail: dict[str, Any]) -> None:
    """Read Modify Write Tag (1756-PM020): the size of the masks, the one to be ored, the one to be anded."""
    if len(body) < 2:
        raise Malformed("a tag modified without its masks")
    (size,) = unpack_from("<H", body)
    size = min(size, 12)
    detail |= {"or": body[2 : 2 + size].hex(), "and": body[2 + size : 2 + 2 * size].hex()}


WRITTEN: dict[int, Callable[[bytes, dict[str, Any]], None]] = {
    WRITE_TAG: lambda body, detail: _written(body, detail, fragment=False),
    WRITE_FRAGMENT: lambda body, detail: _written(body, detail, fragment=True),
    MODIFY_TAG: _modified,
}
