"""Who a device says it is: FC 43/14 and FC 17 (MODBUS Application Protocol V1.1b3, 6.21 and 6.13).

No I/O: `device_objects` yields the requests and is sent the answers.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple

from pymodbus.exceptions import ModbusException
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest, ReadDeviceInformationResponse
from pymodbus.pdu.other_message import ReportDeviceIdRequest, ReportDeviceIdResponse

from baselines.asset import identity_item
from baselines.snapshot import Item
from collectors.modbus.exceptions import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    BrokenAnswer,
    exception_of,
)

MEI_TYPE = 14
BASIC, REGULAR, EXTENDED = 1, 2, 3
FIRST_REGULAR = 3
NOT_OFFERED = (ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE)

OBJECTS = {
    0: "manufacturer",
    1: "product_code",
    2: "software_revision",
    3: "vendor_url",
    4: "product_name",
    5: "model",
    6: "user_application_name",
}
REPORT_SERVER_ID = bytes([ReportDeviceIdRequest.function_code]) + ReportDeviceIdRequest().encode()


class Page(NamedTuple):
    """One answer to FC 43/14; `following` is the object to ask for next, None where nothing follows."""

    objects: tuple[tuple[int, bytes], ...]
    following: int | None


class IdentityRefused(Exception):
    """The device has something to say of itself but will not say it now (busy, failed): `code` is its exception."""

    def __init__(self, code: int) -> None:
        self.code = code


def device_objects() -> Generator[bytes, bytes, dict[int, bytes]]:
    """Asks for every object that the device offers; ends with {object: value}, empty where FC 43/14 is not offered.

    Asks for the extended level first: a device answers at its own level (6.21, "conformity level"). One that refuses
    the level, or that answers it with its private objects alone, is asked for the lower ones.
    Raises IdentityRefused, or BrokenAnswer for an answer that is none.
    """
    objects: dict[int, bytes] = {}
    for read_code in (EXTENDED, REGULAR, BASIC):
        found, refused = yield from _stream(read_code)
        objects = found | objects
        if refused == ILLEGAL_FUNCTION or any(number < FIRST_REGULAR for number in objects):
            break
    return objects


def _stream(read_code: int) -> Generator[bytes, bytes, tuple[dict[int, bytes], int]]:
    """All objects of one level, over "more follows"; and the exception with which the device refused it, or 0."""
    objects: dict[int, bytes] = {}
    asked: int | None = 0
    while asked is not None:
        answer = yield _request(read_code, asked)
        if code := exception_of(answer):
            if code in NOT_OFFERED and asked == 0:
                return objects, code
            raise IdentityRefused(code)
        page = decode_page(answer)
        objects.update(page.objects)
        if page.following is not None and page.following <= asked:
            raise BrokenAnswer(f"object {page.following} is said to follow object {asked}")
        asked = page.following
    return objects, 0


@lru_cache(16)
def _request(read_code: int, object_id: int) -> bytes:
    request = ReadDeviceInformationRequest(read_code=read_code, object_id=object_id)
    return bytes([request.function_code]) + request.encode()


@lru_cache(4096)
def decode_page(answer: bytes) -> Page:
    """The objects of one answer; BrokenAnswer if its lengths or counts lie.

    pymodbus's decoder slices past the end without a word: so what it read must encode to what came.
    """
    response = ReadDeviceInformationResponse()
    try:
        response.decode(answer[1:])
        count, response.number_of_objects = response.number_of_objects, 0
        again = response.encode()
    except (ModbusException, struct.error, IndexError) as error:
        raise BrokenAnswer(f"a broken identification: {error}") from None
    objects = tuple(response.information.items())
    if answer[1] != MEI_TYPE or again != answer[1:] or len(objects) != count:
        raise BrokenAnswer("an identification whose lengths do not add up, or with an object twice")
    return Page(objects, response.next_object_id if response.more_follows else None)


def decode_server_id(answer: bytes) -> str | bytes:
    """What FC 17 reports: text without its closing run indicator, or the bytes where it is no text."""
    response = ReportDeviceIdResponse()
    try:
        response.decode(answer[1:])
    except (ModbusException, IndexError):
        raise BrokenAnswer("a server id whose length lies") from None
    if response.byte_count != len(answer) - 2:
        raise BrokenAnswer("a server id whose length lies")
    said, everything = bytes(response.identifier), answer[2:]
    if answer[-1] in (0x00, 0xFF) and said.isascii() and said.decode("ascii").isprintable():
        return said.decode("ascii")
    return everything


@lru_cache(4096)
def identity_items(objects: tuple[tuple[int, bytes], ...], naming: tuple[tuple[str, str], ...]) -> tuple[Item, ...]:
    """The items of the objects; `naming` says which private object is which field ("serial_number", "object_128")."""
    fields = {said: field for field, said in naming}
    named = ((OBJECTS.get(number, f"object_{number}"), value) for number, value in objects)
    return tuple(
        identity_item(fields.get(name, name), value.decode("utf-8", "backslashreplace").rstrip("\0 "))
        for name, value in named
    )
