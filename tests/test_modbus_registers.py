"""Register blocks: few reads, none of what is not mapped, and every value as the data sheet means it."""

from __future__ import annotations

import math
import struct
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.snapshot import Value, same
from collectors.contract import Limits
from collectors.modbus.registers import Block, decode, plan, register_value
from collectors.numbers import shortest_float32
from collectors.profile import ItemSpec, Node, Order, Profile, Register, Table

ORDERS: tuple[Order, ...] = get_args(Order)
FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def holding(**said: Any) -> Register:
    return Register("holding", 0, **said)


@pytest.mark.parametrize(
    ("said", "wire", "expected"),
    [
        ({"type": "int16"}, "fffe", -2),
        ({"type": "int16", "byte_order": "little"}, "feff", -2),
        ({"type": "uint16"}, "fffe", 65534),
        ({"type": "int32"}, "fffe7960", -100000),
        ({"type": "int32", "word_order": "little"}, "7960fffe", -100000),
        ({"type": "int32", "byte_order": "little"}, "feff6079", -100000),
        ({"type": "int32", "word_order": "little", "byte_order": "little"}, "6079feff", -100000),
        ({"type": "uint32"}, "000186a0", 100000),
        ({"type": "uint32", "word_order": "little"}, "86a00001", 100000),
        ({"type": "int64"}, "fffffffffffffffe", -2),
        ({"type": "uint64", "word_order": "little"}, "0004000300020001", 0x0001000200030004),
        ({"type": "float32"}, "4144cccd", 12.3),
        ({"type": "float32", "word_order": "little"}, "cccd4144", 12.3),
        ({"type": "float32", "byte_order": "little"}, "4441cdcc", 12.3),
        ({"type": "float32", "word_order": "little", "byte_order": "little"}, "cdcc4441", 12.3),
        ({"type": "float32"}, "7fc00000", math.nan),
        ({"type": "float32"}, "ff800000", -math.inf),
        ({"type": "float32"}, "80000000", -0.0),
        ({"type": "float64"}, "402899999999999a", 12.3),
        ({"type": "float64", "word_order": "little"}, "999a999999994028", 12.3),
        ({"type": "string", "count": 3}, "5354494c4c00", "STILL"),
        ({"type": "string", "count": 3}, "5354494c4c20", "STILL"),
        ({"type": "string", "count": 3}, "53544900ffff", "STI"),
        ({"type": "string", "count": 3, "byte_order": "little"}, "54534c49004c", "STILL"),
        ({"type": "string", "count": 2, "word_order": "little"}, "4c4c5354", "STLL"),
        ({"type": "string", "count": 2}, "c3bc2000", "ü"),
        ({"type": "string", "count": 2}, "41ff4200", "A\\xffB"),
        ({"type": "string", "count": 2}, "00000000", ""),
        ({"type": "bytes", "count": 2}, "deadbeef", b"\xde\xad\xbe\xef"),
        ({"type": "bytes", "count": 2, "word_order": "little"}, "beefdead", b"\xde\xad\xbe\xef"),
        ({"type": "bytes", "count": 1}, "0000", b"\0\0"),
        ({"type": "bool", "bit": 0}, "0001", True),
        ({"type": "bool", "bit": 0}, "fffe", False),
        ({"type": "bool", "bit": 15}, "8000", True),
        ({"type": "uint16", "bit": 2}, "0004", True),
        ({"type": "int16", "bit": 15}, "8000", True),
        ({"type": "uint16", "bit": 8, "byte_order": "little"}, "0001", True),
        ({"type": "uint32", "bit": 16}, "00010000", True),
        ({"type": "uint32", "bit": 16, "word_order": "little"}, "00000001", True),
        ({"type": "uint16", "mask": 0x00F0, "shift": 4}, "1234", 3),
        ({"type": "uint16", "mask": 0xFF00}, "1234", 0x1200),
        ({"type": "uint16", "shift": 12}, "1234", 1),
        ({"type": "int16", "mask": 0xF000, "shift": 12}, "f000", 15),
        ({"type": "int16", "shift": 12}, "f000", 15),
        ({"type": "uint16", "scale": 0.1}, "0003", 0.3),
        ({"type": "int16", "scale": 0.1}, "fffd", -0.3),
        ({"type": "uint16", "scale": 0.01, "offset": -40}, "1a0a", 26.66),
        ({"type": "uint16", "offset": 1.5}, "0001", 2.5),
        ({"type": "uint16", "scale": 10}, "0003", 30.0),
        ({"type": "float32", "scale": 0.1}, "4144cccd", 1.23),
        ({"type": "float32", "scale": 0.1}, "7fc00000", math.nan),
        ({"type": "float64", "scale": 0.1}, "7ff0000000000000", math.inf),
        ({"type": "uint16", "mask": 0x0F, "scale": 0.5}, "0013", 1.5),
    ],
)
def test_value(said: dict[str, Any], wire: str, expected: Value) -> None:
    value = register_value(holding(**said), bytes.fromhex(wire))
    assert same(value, expected), value  # the type too: 30.0 is not 30


def on_the_wire(big_endian: bytes, word_order: Order, byte_order: Order) -> bytes:
    """Registers as a device would send them."""
    words = list(struct.unpack(f">{len(big_endian) // 2}H", big_endian))
    if word_order == "little":
        words.reverse()
    return struct.pack(f"{'<' if byte_order == 'little' else '>'}{len(words)}H", *words)


NUMBERS = {
    "int16": ("h", st.integers(-(2**15), 2**15 - 1)),
    "uint16": ("H", st.integers(0, 2**16 - 1)),
    "int32": ("i", st.integers(-(2**31), 2**31 - 1)),
    "uint32": ("I", st.integers(0, 2**32 - 1)),
    "int64": ("q", st.integers(-(2**63), 2**63 - 1)),
    "uint64": ("Q", st.integers(0, 2**64 - 1)),
    "float64": ("d", st.floats()),
}


@pytest.mark.parametrize(("word_order", "byte_order"), list(product(ORDERS, ORDERS)))
@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data())
def test_every_number_in_every_order(kind: Any, word_order: Order, byte_order: Order, data: st.DataObject) -> None:
    form, numbers = NUMBERS[kind]
    value = data.draw(numbers)
    wire = on_the_wire(struct.pack(f">{form}", value), word_order, byte_order)
    assert same(register_value(holding(type=kind, word_order=word_order, byte_order=byte_order), wire), value)


@given(st.integers(1, 8), st.sampled_from(ORDERS), st.sampled_from(ORDERS), st.data())
def test_bytes_and_strings_in_every_order(
    count: int, word_order: Order, byte_order: Order, data: st.DataObject
) -> None:
    raw = data.draw(st.binary(min_size=2 * count, max_size=2 * count))
    text = data.draw(st.text("AZ09", min_size=1, max_size=2 * count))
    said: dict[str, Any] = {"count": count, "word_order": word_order, "byte_order": byte_order}
    assert register_value(holding(type="bytes", **said), on_the_wire(raw, word_order, byte_order)) == raw
    padded = text.encode().ljust(2 * count, b"\0")
    assert register_value(holding(type="string", **said), on_the_wire(padded, word_order, byte_order)) == text


@given(st.binary(min_size=16, max_size=16))
def test_whatever_text_a_device_holds_it_is_text(raw: bytes) -> None:
    value = register_value(holding(type="string", count=8), raw)
    assert isinstance(value, str)
    value.encode()  # no lone surrogate


@given(st.integers(1, 999_999), st.integers(-30, 30))
def test_a_float32_reads_as_people_wrote_it(digits: int, exponent: int) -> None:
    written = float(f"{digits}e{exponent}")
    assert shortest_float32(struct.unpack(">f", struct.pack(">f", written))[0]) == written


@given(st.floats(width=32, allow_nan=False))
def test_a_float32_that_is_written_short_is_the_same_float32(value: float) -> None:
    assert struct.pack(">f", shortest_float32(value)) == struct.pack(">f", value)


@pytest.mark.parametrize("value", [0.1, 12.3, 16777216.0, 3.4028235e38, 1.17549435e-38, -2.5])
def test_known_float32(value: float) -> None:
    (stored,) = struct.unpack(">f", struct.pack(">f", value))
    assert len(repr(shortest_float32(stored))) <= len(repr(value))


WIDTHS: dict[int, dict[str, Any]] = {
    1: {"type": "uint16"},
    2: {"type": "uint32"},
    3: {"type": "bytes", "count": 3},
    4: {"type": "uint64"},
}


def profile(places: list[tuple[Table, int, int]], **limits: Any) -> Profile:
    """A profile with items of a table, address and width."""
    registers = [
        Register(table, at) if table in ("coil", "discrete") else Register(table, at, **WIDTHS[n])
        for table, at, n in places
    ]
    specs = [ItemSpec(str(number), register) for number, register in enumerate(registers)]
    return Profile("p", limits=Limits(**limits), items=tuple(specs))


def fewest(items: set[tuple[int, int]], most: int, gaps: bool) -> int:
    """The least number of reads that hold all the items (start, end) whole, by trying all."""
    mapped = {at for start, end in items for at in range(start, end)}
    reads = [
        frozenset(item for item in items if start <= item[0] and item[1] <= end)
        for start in {item[0] for item in items}
        for end in {item[1] for item in items}
        if 0 < end - start <= most and (gaps or set(range(start, end)) <= mapped)
    ]
    reached, count = {frozenset[tuple[int, int]]()}, 0
    while frozenset(items) not in reached:
        reached = {held | read for held in reached for read in reads}
        count += 1
    return count


PLACES = st.lists(
    st.tuples(st.sampled_from(get_args(Table)), st.integers(0, 12), st.integers(1, 4)), max_size=7, unique=True
)


@given(PLACES, st.booleans(), st.integers(4, 8))
def test_a_plan_reads_every_item_once_whole_and_nothing_unmapped(
    places: list[tuple[Table, int, int]], gaps: bool, most: int
) -> None:
    made = profile(places, read_gaps=gaps, registers_per_request=most, bits_per_request=most)
    blocks = plan(made)
    assert sorted(spec.name for block in blocks for spec, _ in block.items) == sorted(spec.name for spec in made.items)
    for block in blocks:
        assert 1 <= block.count <= most
        assert block.request == struct.pack(">BHH", FUNCTIONS[block.table], block.address, block.count)
        read = range(block.address, block.address + block.count)
        mapped = set[int]()
        for spec, register in block.items:
            assert (spec.source, register.table) == (register, block.table)
            mapped |= set(range(register.address, register.address + register.width))
        assert mapped <= set(read)
        assert {read[0], read[-1]} <= mapped
        assert gaps or mapped == set(read)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4)), max_size=6), st.booleans(), st.integers(4, 8))
def test_a_plan_is_the_fewest_reads(places: list[tuple[int, int]], gaps: bool, most: int) -> None:
    made = profile([("holding", at, n) for at, n in places], read_gaps=gaps, registers_per_request=most)
    assert len(plan(made)) == fewest({(at, at + n) for at, n in places}, most, gaps)


def test_items_of_opc_ua_are_no_part_of_a_plan() -> None:
    assert plan(Profile("p", items=(ItemSpec("a", Node("i=1")),))) == ()


def test_the_largest_reads_that_modbus_allows() -> None:
    registers = plan(profile([("holding", at, 1) for at in range(126)]))
    bits = plan(profile([("coil", at, 1) for at in range(2001)]))
    assert [(block.address, block.count) for block in registers] == [(0, 125), (125, 1)]
    assert [(block.address, block.count) for block in bits] == [(0, 2000), (2000, 1)]
    assert [str(block) for block in registers] == ["holding 0 to 124", "holding 125"]


def answer(block: Block) -> bytes:
    """What a device answers whose registers hold their own address, and whose bits are set where 3 divides it."""
    addresses = range(block.address, block.address + block.count)
    if block.table in ("coil", "discrete"):
        number = sum(1 << place for place, at in enumerate(addresses) if at % 3 == 0)
        values = number.to_bytes((block.count + 7) // 8, "little")  # V1.1b3, 6.1: the first bit is the lowest
    else:
        values = struct.pack(f">{block.count}H", *addresses)
    return bytes([FUNCTIONS[block.table], len(values)]) + values


@given(PLACES, st.booleans())
def test_every_item_gets_its_own_registers(places: list[tuple[Table, int, int]], gaps: bool) -> None:
    made = profile(places, read_gaps=gaps)
    values = {item.key: item.value for block in plan(made) for item in decode(block, answer(block))}
    for spec, (table, at, n) in zip(made.items, places, strict=True):
        raw = struct.pack(f">{n}H", *range(at, at + n))
        if table in ("coil", "discrete"):
            assert values[spec.key] is (at % 3 == 0)
        elif n == 3:
            assert values[spec.key] == raw
        else:
            assert values[spec.key] == int.from_bytes(raw, "big")


BLOCKS = [*plan(profile([("holding", 100, 2), ("coil", 3, 1), ("coil", 12, 1)], read_gaps=True))]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
@given(data=st.data())
def test_an_answer_of_another_length_is_refused(block: Block, data: st.DataObject) -> None:
    right = answer(block)
    wrong = data.draw(
        st.binary(max_size=300).filter(lambda wrong: len(wrong) != len(right) or wrong[1:2] != right[1:2])
        | st.integers(0, len(right) - 1).map(lambda size: right[:size])
        | st.binary(min_size=1, max_size=250).map(lambda more: right + more)
        | st.integers(0, 255).filter(lambda n: n != right[1]).map(lambda n: right[:1] + bytes([n]) + right[2:])
    )
    with pytest.raises(ValueError, match=r"where [24] were asked for"):
        decode(block, wrong)
