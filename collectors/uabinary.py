"""OPC UA Binary (Part 6, 5.2): a reader for what a server sends, a writer for what we ask. No I/O.

The reader is our own because asyncua's believes every length that it is told: a negative one moves it backwards
without end, and an array of two milliard nulls takes no byte on the wire and 16 GB here. Ours raises `Broken`, holds
at most `MOST_ELEMENTS` array elements of one answer, and is about seven times faster.
"""

from __future__ import annotations

import base64
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import prod
from struct import Struct
from typing import Any

from baselines.snapshot import Value
from collectors.numbers import shortest_float32

MOST_ELEMENTS = 1 << 17  # of all arrays of one answer
LONGEST_ARRAY = 1 << 16  # of one value
DEEPEST = 16  # variants within variants

U16, U32, I32, I64, F64 = Struct("<H"), Struct("<I"), Struct("<i"), Struct("<q"), Struct("<d")
NUMBERS = {  # of each built-in type that is one (Part 6, 5.1.2)
    kind: Struct("<" + code)
    for kind, code in {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}.items()
}
FLOAT, VARIANT = 10, 24
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
TICKS = 10_000_000  # a second
LAST_TICK = int((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH).total_seconds()) * TICKS


class Broken(ValueError):
    """Bytes that are no OPC UA."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """Stands where a value would be that cannot be kept, and says why."""

    why: str


class Reader:
    """Reads one message from its first byte to its last; every method takes what it is named after.

    A short message raises Broken, struct.error or IndexError: `FAULTS` are all that it can raise. `status_name` says
    how a status code among the values is written.
    """

    __slots__ = ("data", "at", "namespaces", "_status_name", "_elements", "_depth")

    def __init__(
        self, data: bytes, namespaces: Sequence[str] = (), status_name: Callable[[int], str] = "0x{:08X}".format
    ) -> None:
        self.data = data
        self.at = 0
        self.namespaces = namespaces
        self._status_name = status_name
        self._elements = 0
        self._depth = 0

    def rest(self) -> bytes:
        return self.data[self.at :]

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if size < 0 or self.at > len(self.data):
            raise Broken(f"{size} bytes are said to follow, {len(self.data) - start} do")
        return self.data[start : self.at]

    def number(self, form: Struct) -> Any:
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return value

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def u32(self) -> int:
        return int(self.number(U32))

    def blob(self) -> bytes | None:
        size = self.number(I32)
        return None if size == -1 else self.take(size)

    def text(self) -> str | None:
        raw = self.blob()
        return None if raw is None else raw.decode(errors="backslashreplace")

    def count(self) -> int:
        """The length of an array; of a null one, 0."""
        length = int(self.number(I32))
        if length < -1:
            raise Broken(f"an array of {length} elements")
        self._elements += max(length, 0)
        if self._elements > MOST_ELEMENTS:
            raise Broken(f"an answer of more than {MOST_ELEMENTS} array elements")
        return max(length, 0)

    def raw_node_id(self) -> bytes:
        """A NodeId or ExpandedNodeId as it is written."""
        start = self.at
        self._node_id()
        return self.data[start : self.at]

    def node_id(self) -> str:
        """A NodeId or ExpandedNodeId by namespace URI: nsu=urn:acme;s=Recipe."""
        index, name, uri = self._node_id()
        if uri:
            return f"nsu={uri};{name}"
        if index == 0:
            return name
        return f"nsu={self.namespaces[index]};{name}" if index < len(self.namespaces) else f"ns={index};{name}"

    def _node_id(self) -> tuple[int, str, str | None]:
        encoding = self.byte()
        match encoding & 0x3F:  # Part 6, 5.2.2.9
            case 0:
                index, name = 0, f"i={self.byte()}"
            case 1:
                index, name = self.byte(), f"i={self.number(U16)}"
            case 2:
                index, name = self.number(U16), f"i={self.u32()}"
            case 3:
                index, name = self.number(U16), f"s={self.text() or ''}"
            case 4:
                index, name = self.number(U16), f"g={self.guid()}"
            case 5:
                index, name = self.number(U16), f"b={base64.b64encode(self.blob() or b'').decode()}"
            case other:
                raise Broken(f"a NodeId of kind {other}")
        uri = self.text() if encoding & 0x80 else None
        if encoding & 0x40:
            self.u32()  # which server
        return index, name, uri

    def guid(self) -> str:
        return str(uuid.UUID(bytes_le=self.take(16)))

    def moment(self) -> str:
        """ISO 8601 in UTC, as precise as it was written (100 ns)."""
        seconds, ticks = divmod(min(max(self.number(I64), 0), LAST_TICK), TICKS)
        text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{ticks:07d}".rstrip("0") if ticks else "") + "Z"

    def status(self) -> str:
        """A StatusCode, as `status_name` writes it."""
        return self._status_name(self.u32())

    def qualified_name(self) -> str:
        self.number(U16)
        return self.text() or ""

    def localized_text(self) -> str | None:
        mask = self.byte()
        if mask & 1:
            self.text()
        return self.text() if mask & 2 else None

    def extension_object(self) -> Value:
        """The body as bytes (an XML body as text): what is in it only its own type knows."""
        self._node_id()
        match self.byte():
            case 0:
                return None
            case 1:
                return self.blob()
            case 2:
                return self.text()
            case other:
                raise Broken(f"an ExtensionObject of encoding {other}")

    def extension_body(self) -> Reader:
        """The body of an ExtensionObject whose type was read already, to be read on its own."""
        if (encoding := self.byte()) != 1:
            raise Broken(f"an ExtensionObject of encoding {encoding}")
        return Reader(self.blob() or b"", self.namespaces, self._status_name)

    def diagnostic_info(self) -> Value:
        mask = self.byte()
        for bit in (1, 2, 4, 8):
            if mask & bit:
                self.number(I32)
        if mask & 0x10:
            self.text()
        if mask & 0x20:
            self.u32()
        if mask & 0x40:
            self._deeper(self.diagnostic_info)
        return None

    def data_value(self) -> tuple[Value | Beyond, int]:
        """The value and its status code; timestamps are passed over."""
        mask = self.byte()
        if mask & 0xC0:
            raise Broken(f"a DataValue of mask {mask:#x}")
        value = self.variant() if mask & 0x01 else None
        status = self.u32() if mask & 0x02 else 0
        for bit, size in ((0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)):
            if mask & bit:
                self.take(size)
        return value, status

    def variant(self) -> Value | Beyond:
        encoding = self.data[self.at]
        self.at += 1
        kind = encoding & 0x3F
        if not encoding & 0xC0:
            return self._scalar(kind)
        if not encoding & 0x80:
            raise Broken("a matrix that is no array")
        values = self._array(kind)
        if not encoding & 0x40:
            return values
        sides = [self.number(I32) for _ in range(self.count())]
        return values if not isinstance(values, tuple) else _matrix(values, sides)

    def _scalar(self, kind: int) -> Value | Beyond:
        form = NUMBERS.get(kind)
        if form is not None:
            (value,) = form.unpack_from(self.data, self.at)
            self.at += form.size
            return shortest_float32(value) if kind == FLOAT else value
        read = OTHERS.get(kind, Reader.blob)  # 26 to 31 are reserved, and read as ByteStrings
        if kind > 31:
            raise Broken(f"a value of type {kind}")
        return self._deeper(lambda: read(self)) if kind >= 23 else read(self)

    def _array(self, kind: int) -> Value | Beyond:
        form = NUMBERS.get(kind)
        if form is None:
            return self._others(kind)
        length = int(self.number(I32))
        if length > LONGEST_ARRAY:
            self.take(length * form.size)
            return Beyond(f"an array of {length} elements; asbuilt keeps at most {LONGEST_ARRAY}")
        self.at -= I32.size
        length = self.count()
        values = struct.unpack(f"<{length}{form.format[1:]}", self.take(length * form.size))
        return tuple(map(shortest_float32, values)) if kind == FLOAT else values

    def _others(self, kind: int) -> Value | Beyond:
        if kind == 0:
            raise Broken("an array of nulls")
        values = [self._scalar(kind) for _ in range(self.count())]
        beyond = [value for value in values if isinstance(value, Beyond)]
        return beyond[0] if beyond else tuple(value for value in values if not isinstance(value, Beyond))

    def _deeper(self, read: Callable[[], Value | Beyond]) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Broken(f"a value that is nested more than {DEEPEST} deep")
        value = read()
        self._depth -= 1
        return value


FAULTS = (Broken, struct.error, IndexError)

OTHERS: dict[int, Callable[[Reader], Value | Beyond]] = {  # the built-in types that are no numbers
    0: lambda reader: None,
    12: Reader.text,
    13: Reader.moment,
    14: Reader.guid,
    15: Reader.blob,
    16: Reader.text,  # XmlElement
    17: Reader.node_id,
    18: Reader.node_id,
    19: lambda reader: reader.status(),
    20: Reader.qualified_name,
    21: Reader.localized_text,
    22: Reader.extension_object,
    23: lambda reader: reader.data_value()[0],
    VARIANT: Reader.variant,
    25: Reader.diagnostic_info,
}


def _matrix(values: tuple[Value, ...], sides: list[int]) -> Value:
    """Rows of rows, the last index running fastest; the flat list where the sides do not multiply to its length."""
    if not 1 < len(sides) <= DEEPEST or min(sides) < 1 or prod(sides) != len(values):
        return values
    for side in reversed(sides[1:]):
        values = tuple(values[start : start + side] for start in range(0, len(values), side))
    return values


def u32(value: int) -> bytes:
    return U32.pack(value)


def i32(value: int) -> bytes:
    return I32.pack(value)


def blob(value: bytes | None) -> bytes:
    return I32.pack(-1) if value is None else I32.pack(len(value)) + value


def text(value: str | None) -> bytes:
    return blob(None if value is None else value.encode())


def array(parts: Sequence[bytes]) -> bytes:
    return I32.pack(len(parts)) + b"".join(parts)


def moment(value: datetime) -> bytes:
    since = value - EPOCH
    return I64.pack((since.days * 86400 + since.seconds) * TICKS + since.microseconds * 10)


def node_id(number: int, index: int = 0) -> bytes:
    """A numeric NodeId in its shortest form, which some servers insist on (Part 6, 5.2.2.9)."""
    if index == 0 and number < 1 << 8:
        return bytes((0, number))
    if index < 1 << 8 and number < 1 << 16:
        return bytes((1, index)) + U16.pack(number)
    return b"\x02" + U16.pack(index) + U32.pack(number)
