"""Which register words, or which bits, make a value: what a technician enters by hand. Pure, and it sends nothing.

The inverse of collectors/modbus/registers.register_value, by which every answer given here is checked.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext

from baselines.snapshot import Value, canonical
from collectors.modbus.registers import FORMATS, register_value
from collectors.profile import BIT_TABLES, INTEGERS, Register, Table

TABLE_DIGITS: dict[Table, int] = {"coil": 0, "discrete": 1, "input": 3, "holding": 4}
SHORT_MOST = 9999  # the last number that the five-digit notation has
ESCAPED = re.compile(r"\\x[0-9a-f]{2}")  # how text shows bytes that are no UTF-8
DIGITS = 60  # of decimals that are reckoned with: more than a float64 and a scale have together
NEIGHBOURS = 4  # floats to each side of the reckoned one that are tried


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit at a zero-based address: of a register its number (0 the lowest), of a coil or discrete input None."""

    address: int
    bit: int | None
    value: int


@dataclass(frozen=True, slots=True)
class Raw:
    """What makes a value: whole register words from the lowest address on, or single bits where others share theirs."""

    words: tuple[int, ...] = ()
    bits: tuple[Bit, ...] = ()


def reference(table: Table, address: int) -> str:
    """The address in the one-based notation of engineering tools: holding 100 is 40101, and 10000 is 410001."""
    number = address + 1
    return f"{TABLE_DIGITS[table]}{number:0{4 if number <= SHORT_MOST else 5}d}"


def encode(register: Register, value: Value) -> Raw:
    """The words or bits that make a value; ValueError if none do."""
    if register.table in BIT_TABLES:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is no bit")
        return Raw(bits=(Bit(register.address, None, int(value)),))
    if register.type == "bool" or register.bit is not None or register.mask is not None or register.shift:
        return Raw(bits=tuple(_bits(register, value)))
    for raw in _raws(register, value):
        if canonical(register_value(register, raw)) == canonical(value):
            return Raw(words=tuple(int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)))
    raise ValueError(f"no {register.type} reads as {value!r}")


def _bits(register: Register, value: Value) -> Iterable[Bit]:
    """The bits of an item that has not the whole of its registers, the lowest first."""
    width = 16 * register.width
    if register.bit is not None:
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is no bit")
        number, mask = int(value) << register.bit, 1 << register.bit
    else:
        whole = (1 << width) - 1 if register.mask is None else register.mask
        mask = whole >> register.shift << register.shift
        number = _unscaled(register, value) << register.shift
    if number & ~mask or _read(register, number) != canonical(value):
        raise ValueError(f"no bits of this {register.type} read as {value!r}")
    return [_bit(register, bit, number >> bit & 1) for bit in range(width) if mask >> bit & 1]


def _read(register: Register, number: int) -> object:
    """What an item reads as when its registers hold nothing but this number."""
    raw = number.to_bytes(2 * register.width, "big")
    return canonical(register_value(register, _ordered(register, raw)))


def _bit(register: Register, bit: int, value: int) -> Bit:
    """Where bit `bit` of the item's number is: in which register, and under which number there."""
    place, within = divmod(bit, 16)
    if register.word_order == "big":
        place = register.width - 1 - place
    return Bit(register.address + place, within ^ 8 if register.byte_order == "little" else within, value)


def _raws(register: Register, value: Value) -> Iterable[bytes]:
    """The bytes of the registers that may make a value, the likeliest first."""
    size = 2 * register.width
    match value:
        case bytes() if register.type == "bytes":
            plain: Iterable[bytes] = [value]
        case str() if register.type == "string":
            if ESCAPED.search(value):
                raise ValueError("the text holds bytes that are no text, and they are not known any more")
            plain = [value.encode("utf-8", "surrogatepass").ljust(size, b"\0")]
        case bool() | str() | bytes():
            raise ValueError(f"{value!r} is no {register.type}")
        case int() | float() if register.type in INTEGERS:
            plain = [struct.pack(FORMATS[register.type], _unscaled(register, value))]
        case int() | float():
            plain = _floats(register, float(value))
        case _:
            raise ValueError(f"{value!r} is no {register.type}")
    return [_ordered(register, raw) for raw in plain if len(raw) == size]


def _unscaled(register: Register, value: Value) -> int:
    """The whole number that scale and offset make a value of."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    if not math.isfinite(value):
        raise ValueError(f"no {register.type} reads as {value!r}")
    number = int(_reckoned(register, value).to_integral_value())
    bits = 16 * register.width
    signed = register.type.startswith("int") and register.mask is None and not register.shift
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return min(max(number, least), most)  # a float may have rounded past the end; what is further off reads otherwise


def _reckoned(register: Register, value: float) -> Decimal:
    """(value - offset) / scale, in decimals."""
    with localcontext() as context:
        context.prec = DIGITS
        return (Decimal(str(value)) - Decimal(str(register.offset))) / Decimal(str(register.scale))


def _floats(register: Register, value: float) -> list[bytes]:
    """A float and its neighbours: what a scale made of the value was rounded twice."""
    number = value if register.scale == 1 and register.offset == 0 else float(_reckoned(register, value))
    packed = FORMATS[register.type]
    try:
        found = [struct.pack(packed, number)]
    except OverflowError:
        raise ValueError(f"{value!r} is too large for a {register.type}") from None
    if math.isfinite(number) and number != value:
        at, size = int.from_bytes(found[0], "big"), len(found[0])
        near = (at + step * sign for step in range(1, NEIGHBOURS + 1) for sign in (1, -1))
        found += [each.to_bytes(size, "big") for each in near if 0 <= each < 1 << 8 * size]
    return found


def _ordered(register: Register, raw: bytes) -> bytes:
    """Bytes, highest first, in the order in which this item's registers hold them."""
    if register.byte_order == "little":
        raw = b"".join(raw[at : at + 2][::-1] for at in range(0, len(raw), 2))
    if register.word_order == "little":
        raw = b"".join(raw[at : at + 2] for at in range(len(raw) - 2, -2, -2))
    return raw
