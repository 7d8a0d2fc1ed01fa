"""CIP: what the answer to a request says of a device (ODVA's CIP Networks Library, volume 1, chapter 5)."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from

from collectors.passive.protocols.cip_names import (
    ETHERNET_LINK,
    GET_ALL,
    GET_LIST,
    IDENTITY,
    PACKET,
    PCCC,
    PORT,
    PROGRAM_NAME,
    TCP_IP,
    TEXT_MOST,
    Want,
    device_types,
    vendors,
)
from collectors.passive.protocols.cip_values import ip, parts, string, text
from collectors.passive.protocols.pccc import PCCC_ANSWER
from collectors.passive.said import Malformed, Sighting

EMBEDDED = 0x1E  # an error in one of the parts (volume 1, appendix B)
LISTED = (0x00, 0x06, 0x0A)  # success; as much as had room; some attributes are refused


def answer(data: bytes, wants: tuple[Want, ...]) -> tuple[Sighting, ...]:
    """What a message router answer (volume 1, 2-4.2) says of who is asked for by `wants`."""
    if len(data) < 4 or len(data) < 4 + 2 * data[3]:
        raise Malformed("a CIP answer shorter than its status")
    service, status, body = data[0] & 0x7F, data[2], data[4 + 2 * data[3] :]
    found: list[Sighting] = []
    if service == PACKET:
        if status in (0x00, EMBEDDED):
            places = parts(body)
            for want in wants:
                if 0 <= want.part < len(places):
                    start, end = places[want.part]
                    found += answer(body[start:end], (want._replace(part=-1),))
    elif status in LISTED and wants and wants[0].service == service and wants[0].part == -1:
        want = wants[0]
        prefix = f"module.{want.route}." if want.route else ""
        if want.instance != 1:
            prefix += f"instance.{want.instance}."
        if want.of == PCCC:
            found = _diagnostic_status(body, prefix)
        elif service == GET_ALL:
            found = _ALL[want.of](body, prefix) if want.of in _ALL and status == 0 else []
        elif service == GET_LIST:
            found = _list(want.of, body, prefix)
        elif want.attributes and status == 0:
            found = _attribute(want.of, want.attributes[0], body, 0, prefix)[0]
    return tuple(found)


def identity(data: bytes, at: int, prefix: str = "") -> tuple[list[Sighting], int]:
    """Attributes 1 to 7 of the Identity object (volume 1), in order; and where they end."""
    if at + 15 > len(data) or at + 15 + data[at + 14] > len(data):
        raise Malformed("an identity that has no end")
    found = []
    for number in range(1, 8):
        seen, at = _attribute(IDENTITY, number, data, at, prefix)
        found += seen
    return found, at


def state(number: int) -> str:
    """Attribute 8 of the Identity object (volume 1)."""
    return STATES.get(number, "" if number == 0xFF else f"state {number}")


STATES = {
    0: "nonexistent",
    1: "device self testing",
    2: "standby",
    3: "operational",
    4: "major recoverable fault",
    5: "major unrecoverable fault",
}


def _identity_all(body: bytes, prefix: str) -> list[Sighting]:
    found, at = identity(body, 0, prefix)
    if at < len(body) and (name := state(body[at])):
        found.append(Sighting(f"{prefix}state", name))
    return found


def _list(of: int, body: bytes, prefix: str) -> list[Sighting]:
    """The answer to Get_Attribute_List (volume 1, appendix A): a count; a number, a status and a value each.

    A value has no length of its own, so that what follows an attribute unknown here cannot be read.
    """
    if len(body) < 2:
        raise Malformed("a list of attributes without its count")
    (count,) = unpack_from("<H", body)
    at = 2
    found: list[Sighting] = []
    for _ in range(min(count, 32)):
        if at + 4 > len(body):
            break
        number, status = unpack_from("<HH", body, at)
        at += 4
        if status:
            continue
        seen, end = _attribute(of, number, body, at, prefix)
        found += seen
        if end <= at:
            break
        at = end
    return found


def _attribute(of: int, number: int, data: bytes, at: int, prefix: str) -> tuple[list[Sighting], int]:
    """What an attribute says, and where it ends: at its beginning if it is not known here."""
    kind = KINDS.get((of, number))
    if kind is None:
        return [], at
    (size, read), pad = kind, 0
    if size == SHORT_STRING:
        size = 1 + data[at] if at < len(data) else 1
    elif size < 0:
        before = 20 if size == INTERFACE else 0
        length = int.from_bytes(data[at + before : at + before + 2], "little")
        pad = length & 1 if size in (STRING, INTERFACE) else 0
        size = before + 2 + pad + (2 * length if size == PATH else length)
    if at + size - pad > len(data):  # some leave the pad byte of a string out
        raise Malformed("an attribute that has no end")
    found = read(data[at : at + size])
    return [Sighting(prefix + name, value[:TEXT_MOST]) for name, value in found if value], at + size


Read = Callable[[bytes], tuple[tuple[str, str], ...]]


def _nothing(data: bytes) -> tuple[tuple[str, str], ...]:
    return ()


def _vendor(data: bytes) -> tuple[tuple[str, str], ...]:
    (number,) = unpack_from("<H", data)
    return ("manufacturer", vendors().get(number) or f"vendor {number}"), ("vendor_id", str(number))


def _device_type(data: bytes) -> tuple[tuple[str, str], ...]:
    (number,) = unpack_from("<H", data)
    return (("device_type", device_types().get(number) or f"type {number}"),)


def _serial(data: bytes) -> tuple[tuple[str, str], ...]:
    """Eight hexadecimal digits, as Rockwell prints it on the device; 0 is none."""
    (number,) = unpack_from("<I", data)
    return (("serial_number", f"{number:08X}" if number else ""),)


def _product(data: bytes) -> tuple[tuple[str, str], ...]:
    name = text(data[1:])
    return ("product_name", name), ("model", name)


def _interface(data: bytes) -> tuple[tuple[str, str], ...]:
    return ("ip", ip(data[:4]) if any(data[:4]) else ""), ("domain", text(string(data, 20)))


SHORT_STRING, STRING, PATH, INTERFACE, UNPADDED = range(-1, -6, -1)
KINDS: dict[tuple[int, int], tuple[int, Read]] = {  # (class, attribute): its size, what it says
    (IDENTITY, 1): (2, _vendor),
    (IDENTITY, 2): (2, _device_type),
    (IDENTITY, 3): (2, lambda data: (("product_code", str(unpack_from("<H", data)[0])),)),
    (IDENTITY, 4): (2, lambda data: (("software_revision", f"{data[0]}.{data[1]:02d}"),)),
    (IDENTITY, 5): (2, lambda data: (("status", f"0x{unpack_from('<H', data)[0]:04x}"),)),
    (IDENTITY, 6): (4, _serial),
    (IDENTITY, 7): (SHORT_STRING, _product),
    (IDENTITY, 8): (1, lambda data: (("state", state(data[0])),)),
    (IDENTITY, 9): (2, _nothing),
    (IDENTITY, 10): (1, _nothing),
    # As pycomm3's get_plc_name asks for it; the description behind it as EIP-SoftwareUpload.pcap, frame 20, has it.
    (PROGRAM_NAME, 1): (UNPADDED, lambda data: (("user_application_name", text(data[2:])),)),
    (PROGRAM_NAME, 2): (UNPADDED, lambda data: (("description", text(data[2:])),)),
    (TCP_IP, 1): (4, _nothing),  # volume 2, TCP/IP Interface object
    (TCP_IP, 2): (4, _nothing),
    (TCP_IP, 3): (4, _nothing),
    (TCP_IP, 4): (PATH, _nothing),
    (TCP_IP, 5): (INTERFACE, _interface),
    (TCP_IP, 6): (STRING, lambda data: (("name", text(string(data, 0))),)),
    (TCP_IP, 7): (6, _nothing),
    (TCP_IP, 8): (1, _nothing),
    (TCP_IP, 9): (8, _nothing),
    (TCP_IP, 10): (1, _nothing),
    (ETHERNET_LINK, 1): (4, _nothing),  # volume 2, Ethernet Link object
    (ETHERNET_LINK, 2): (4, _nothing),
    (ETHERNET_LINK, 3): (6, lambda data: (("mac", data.hex(":") if any(data) else ""),)),
    (ETHERNET_LINK, 4): (44, _nothing),
    (ETHERNET_LINK, 5): (48, _nothing),
    (ETHERNET_LINK, 6): (4, _nothing),
    (ETHERNET_LINK, 7): (1, _nothing),
    (ETHERNET_LINK, 8): (1, _nothing),
    (ETHERNET_LINK, 9): (1, _nothing),
    (ETHERNET_LINK, 10): (SHORT_STRING, lambda data: (("port_description", text(data[1:])),)),
    (PORT, 1): (2, _nothing),  # volume 1, Port object
    (PORT, 2): (2, _nothing),
    (PORT, 3): (PATH, _nothing),
    (PORT, 4): (SHORT_STRING, lambda data: (("port_description", text(data[1:])),)),
}


def _all(of: int, last: int) -> Callable[[bytes, str], list[Sighting]]:
    """The answer to Get_Attributes_All of a class whose attributes come in the order of their numbers."""

    def read(body: bytes, prefix: str) -> list[Sighting]:
        found: list[Sighting] = []
        at = 0
        for number in range(1, last + 1):
            if at < len(body):
                seen, at = _attribute(of, number, body, at, prefix)
                found += seen
        return found

    return read


def _diagnostic_status(body: bytes, prefix: str) -> list[Sighting]:
    """The answer to PCCC diagnostic status of an SLC 500 or MicroLogix (1770-6.5.16, chapter 10): its bulletin name."""
    data = body[body[0] :] if body and body[0] <= len(body) else b""
    if len(data) < 4 + 16 or not data[0] & PCCC_ANSWER or data[1] or data[5] != 0xEE:
        return []
    name = text(data[9:20])
    return [Sighting(f"{prefix}model", name)] if name else []


_ALL: dict[int, Callable[[bytes, str], list[Sighting]]] = {
    IDENTITY: _identity_all,
    TCP_IP: _all(TCP_IP, 6),
    ETHERNET_LINK: _all(ETHERNET_LINK, 3),
    PROGRAM_NAME: _all(PROGRAM_NAME, 1),
}
