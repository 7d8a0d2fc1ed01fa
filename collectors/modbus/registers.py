"""Register blocks: merging a profile's items into few reads, and decoding the answers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from baselines.snapshot import Item, Value
from collectors.contract import Limits
from collectors.modbus.exceptions import BrokenAnswer
from collectors.numbers import shortest_float32
from collectors.profile import BIT_TABLES, ItemSpec, Profile, Register, Table

REQUESTS: dict[Table, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One read request, and the items that its answer holds with their registers."""

    table: Table
    address: int
    count: int
    request: bytes
    items: tuple[tuple[ItemSpec, Register], ...]

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{self.table} {self.address}" if last == self.address else f"{self.table} {self.address} to {last}"


def plan(profile: Profile) -> tuple[Block, ...]:
    """The fewest reads that cover the profile's items, none split over two, no address read that no item maps.

    With `read_gaps` unmapped addresses between two items may be read along.
    """
    blocks: list[Block] = []
    for table in REQUESTS:
        mapped = [
            (spec, spec.source)
            for spec in profile.items
            if isinstance(spec.source, Register) and spec.source.table == table
        ]
        mapped.sort(key=lambda entry: (entry[1].address, entry[1].width))
        blocks += _merge(table, mapped, profile.limits)
    return tuple(blocks)


def _merge(table: Table, mapped: Iterable[tuple[ItemSpec, Register]], limits: Limits) -> Iterable[Block]:
    most = limits.bits_per_request if table in BIT_TABLES else limits.registers_per_request
    run: list[tuple[ItemSpec, Register]] = []
    start = end = 0
    for spec, register in mapped:
        reach = max(end, register.address + register.width)
        if run and (register.address <= end or limits.read_gaps) and reach - start <= most:
            run.append((spec, register))
            end = reach
            continue
        if run:
            yield _block(table, start, end, run)
        run, start, end = [(spec, register)], register.address, register.address + register.width
    if run:
        yield _block(table, start, end, run)


def _block(table: Table, start: int, end: int, run: list[tuple[ItemSpec, Register]]) -> Block:
    request = REQUESTS[table](address=start, count=end - start)
    pdu = bytes([request.function_code]) + request.encode()
    return Block(table, start, end - start, pdu, tuple(run))


def decode(block: Block, answer: bytes) -> list[Item]:
    """The items in an answer PDU; BrokenAnswer if it does not hold exactly what was asked for (V1.1b3, 6.1 to 6.4)."""
    size = (block.count + 7) // 8 if block.table in BIT_TABLES else 2 * block.count
    if len(answer) < 2 or answer[1] != size or len(answer) != size + 2:
        raise BrokenAnswer(f"{len(answer) - 2} bytes of values for {block}, where {size} were asked for")
    return [spec.item(_value(block, register, answer)) for spec, register in block.items]


def _value(block: Block, register: Register, answer: bytes) -> Value:
    at = register.address - block.address
    if block.table in BIT_TABLES:
        return bool(answer[2 + at // 8] >> at % 8 & 1)
    return register_value(register, answer[2 + 2 * at : 2 + 2 * (at + register.width)])


def register_value(register: Register, raw: bytes) -> Value:
    """The value in the bytes of an item's registers, each register big-endian as the wire has it."""
    if register.word_order == "little":
        raw = b"".join(raw[at : at + 2] for at in range(len(raw) - 2, -2, -2))
    if register.byte_order == "little":
        raw = b"".join(raw[at : at + 2][::-1] for at in range(0, len(raw), 2))
    match register.type:
        case "bytes":
            return raw
        case "string":
            return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace").rstrip(" ")
        case "bool":
            return _bit(int.from_bytes(raw, "big"), register.bit)
        case "float32":
            return _scaled(shortest_float32(struct.unpack(">f", raw)[0]), register)
        case "float64":
            return _scaled(struct.unpack(">d", raw)[0], register)
    return _integer(struct.unpack(FORMATS[register.type], raw)[0], int.from_bytes(raw, "big"), register)


def _integer(number: int, bits: int, register: Register) -> Value:
    if register.bit is not None:
        return _bit(bits, register.bit)
    if register.mask is not None or register.shift:
        number = (bits if register.mask is None else bits & register.mask) >> register.shift
    return _scaled(number, register)


def _bit(bits: int, bit: int | None) -> bool:
    return bool(bits >> (bit or 0) & 1)


def _scaled(number: float, register: Register) -> float:
    """In decimals, as the data sheet means it: 3 × 0.1 is 0.3. What has no scale keeps its type."""
    if register.scale == 1 and register.offset == 0:
        return number
    return float(Decimal(str(number)) * Decimal(str(register.scale)) + Decimal(str(register.offset)))
