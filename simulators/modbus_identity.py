"""FC 43/14 Read Device Identification and FC 17 Report Server ID (MODBUS Application Protocol V1.1b3, 6.21, 6.13).

pymodbus looks a sub function up in a table of the class, where its own FC 43/14 stands: so these name none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU

if TYPE_CHECKING:
    from simulators.modbus import Units

MEI_IDENTIFICATION = 14
INDIVIDUAL = 4
HIGHEST_OBJECT = {1: 0x02, 2: 0x7F, 3: 0xFF}  # by the read code: basic, regular, extended stream
ROOM = 253 - 7  # of a PDU, behind its seven bytes of head
RUNNING = b"\xff"


def stream(objects: Mapping[int, bytes], code: int, first: int) -> bytes:
    """The answer to a stream read from object `first` on, with as many objects as fit."""
    wanted = sorted(number for number in objects if number <= HIGHEST_OBJECT[code])
    left = [number for number in wanted if number >= first] if first in wanted else wanted
    packed = b""
    for sent, number in enumerate(left):
        item = bytes([number, len(objects[number])]) + objects[number]
        if len(packed) + len(item) > ROOM:
            return head(objects, code) + bytes([0xFF, number, sent]) + packed
        packed += item
    return head(objects, code) + bytes([0, 0, len(left)]) + packed


def individual(objects: Mapping[int, bytes], number: int) -> bytes:
    value = objects[number]
    return head(objects, INDIVIDUAL) + bytes([0, 0, 1, number, len(value)]) + value


def head(objects: Mapping[int, bytes], code: int) -> bytes:
    """MEI type, read code, conformity level: what is offered, and that it is offered individually too."""
    highest = max(objects, default=0)
    level = 3 if highest >= 0x80 else 2 if highest > 2 else 1
    return bytes([MEI_IDENTIFICATION, code, 0x80 | level])


class Answer(ModbusPDU):
    """A PDU whose bytes are ready."""

    def __init__(self, function_code: int, body: bytes) -> None:
        super().__init__()
        self.function_code = function_code
        self._body = body

    def encode(self) -> bytes:
        return self._body


class IdentificationRequest(ModbusPDU):
    function_code = 0x2B

    def decode(self, data: bytes) -> None:
        self.mei, self.code, self.first = data[:3]

    async def datastore_update(self, context: Any, device_id: int) -> ModbusPDU:
        units: Units = context
        device = units.devices.get(device_id)
        answer = self._answer(device.objects) if device is not None else ExcCodes.GATEWAY_NO_RESPONSE
        if isinstance(answer, ExcCodes):
            return ExceptionResponse(self.function_code, answer)
        return Answer(self.function_code, answer)

    def _answer(self, objects: Mapping[int, bytes]) -> bytes | ExcCodes:
        if self.mei != MEI_IDENTIFICATION or not objects:
            return ExcCodes.ILLEGAL_FUNCTION
        if self.code in HIGHEST_OBJECT:
            return stream(objects, self.code, self.first)
        if self.code != INDIVIDUAL:
            return ExcCodes.ILLEGAL_VALUE
        return individual(objects, self.first) if self.first in objects else ExcCodes.ILLEGAL_ADDRESS


class ServerIdRequest(ModbusPDU):
    function_code = 0x11

    async def datastore_update(self, context: Any, device_id: int) -> ModbusPDU:
        units: Units = context
        device = units.devices.get(device_id)
        if device is None or not device.server_id:
            wrong = ExcCodes.ILLEGAL_FUNCTION if device is not None else ExcCodes.GATEWAY_NO_RESPONSE
            return ExceptionResponse(self.function_code, wrong)
        body = device.server_id.encode() + RUNNING
        return Answer(self.function_code, bytes([len(body)]) + body)
