"""Modbus points: a name, a place in a table, a type; and how a value becomes coils or registers."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from simulators.varies import Varies

Table = Literal["coil", "discrete", "input", "holding"]
Scalar = bool | int | float | str
PointType = Literal[
    "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string", "bytes"
]

BIT_TABLES = ("coil", "discrete")
NUMBERS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named place in a PLC's map. `count` is in registers, for string and bytes; bytes are written in hex."""

    table: Table
    address: int
    type: PointType
    value: Scalar
    word_order: Literal["big", "little"] = "big"
    count: int | None = None
    varies: Varies | None = None

    def __post_init__(self) -> None:
        if (self.table in BIT_TABLES) and self.type != "bool":
            raise ValueError(f'a {self.table} is one bit: write type = "bool"')
        if (self.count is not None) != (self.type in ("string", "bytes")):
            raise ValueError("count (registers) goes with string and bytes, and with no other type")
        if self.varies is not None and self.type in ("string", "bytes"):
            raise ValueError("varies goes with numbers and bool")
        if not 0 <= self.address <= 65536 - self.width:
            raise ValueError(f"address {self.address} does not leave room for {self.width} within 0 to 65535")
        self.cells(self.value)

    @property
    def width(self) -> int:
        """Coils or registers that it takes."""
        if self.count is not None:
            return self.count
        return struct.calcsize(NUMBERS[self.type]) // 2 if self.type in NUMBERS else 1

    def cells(self, value: Scalar) -> list[int]:
        """What stands in the table for a value, from the lowest address on."""
        if self.type == "bool":
            if not isinstance(value, bool):
                raise ValueError(f"{value!r} is no bool: write true or false")
            return [int(value)]
        raw = self._bytes(value)
        words = [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
        return words[::-1] if self._reversed else words

    def value_of(self, cells: list[int]) -> Scalar:
        """The value that stands in the table: the inverse of `cells`."""
        if self.type == "bool":
            return bool(cells[0])
        raw = b"".join(cell.to_bytes(2, "big") for cell in (cells[::-1] if self._reversed else cells))
        if self.type == "bytes":
            return raw.hex()
        if self.type == "string":
            return raw.rstrip(b"\0").decode("utf-8", "replace")
        number: int | float = struct.unpack(NUMBERS[self.type], raw)[0]
        return number

    @property
    def _reversed(self) -> bool:
        return self.word_order == "little" and self.type in NUMBERS

    def _bytes(self, value: Scalar) -> bytes:
        if self.type in NUMBERS:
            return self._number(value)
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no text: a {self.type} is written in quotes")
        raw = value.encode() if self.type == "string" else bytes.fromhex(value)
        if len(raw) > 2 * self.width:
            raise ValueError(f"{value!r} needs more than {self.width} registers")
        return raw.ljust(2 * self.width, b"\0")

    def _number(self, value: Scalar) -> bytes:
        if isinstance(value, bool | str):
            raise ValueError(f"{value!r} is no number: {self.type} wants one")
        try:
            return struct.pack(NUMBERS[self.type], value)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value!r} does not fit into {self.type}") from error
