"""The words that a technician enters: read back, they are the value."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from baselines.snapshot import Value, canonical
from collectors.modbus.registers import register_value
from collectors.profile import COUNTED, INTEGERS, REGISTERS, ItemType, Register
from monitor.words import ESCAPED, Bit, Raw, encode, reference
from tests.measured import times

KINDS: tuple[ItemType, ...] = get_args(ItemType)
ORDERS = st.sampled_from(["big", "little"])
SCALES = st.sampled_from([1, 0.1, 0.01, 0.001, 2, 10, 1e-6, 0.3, -1, -0.1, 1e30])
OFFSETS = st.sampled_from([0, -40, 32, 0.5, 273.15, -1e9])


@st.composite
def registers(draw: st.DrawFn) -> Register:
    """Every kind of register that a profile may name."""
    kind = draw(st.sampled_from(KINDS))
    more: dict[str, Any] = {"word_order": draw(ORDERS), "byte_order": draw(ORDERS)}
    if kind in COUNTED:
        more["count"] = draw(st.integers(1, 9))
    elif kind == "bool":
        more["bit"] = draw(st.integers(0, 15))
    else:
        bits = 16 * REGISTERS[kind]
        part = draw(st.sampled_from(["whole", "bit", "mask", "shift"])) if kind in INTEGERS else "whole"
        if part == "bit":
            more["bit"] = draw(st.integers(0, bits - 1))
        elif part == "whole" or bits < 64:  # a scaled part of 64 bits may be rounded to what no bits of it make
            more |= {"scale": draw(SCALES), "offset": draw(OFFSETS)}
        if part in ("mask", "shift"):
            more["shift"] = draw(st.integers(0, bits - 1))
        if part == "mask":
            more["mask"] = draw(st.integers(1 << more["shift"], (1 << bits) - 1))
    return Register("holding", draw(st.integers(0, 60000)), kind, **more)


def registers_with(register: Register, raw: Raw, before: bytes) -> bytes:
    """The registers after somebody has entered what `encode` says: words as they are, bits into what was there."""
    words = [int.from_bytes(before[at : at + 2], "big") for at in range(0, len(before), 2)]
    if raw.words:
        words = list(raw.words)
    for each in raw.bits:
        assert each.bit is not None
        at = each.address - register.address
        words[at] = words[at] & ~(1 << each.bit) | each.value << each.bit
    return b"".join(word.to_bytes(2, "big") for word in words)


@settings(max_examples=times(300, 1000))
@given(st.data(), registers())
def test_what_is_entered_reads_as_the_value(data: st.DataObject, register: Register) -> None:
    seen = data.draw(st.binary(min_size=2 * register.width, max_size=2 * register.width))
    changed = data.draw(st.binary(min_size=2 * register.width, max_size=2 * register.width))
    value = register_value(register, seen)
    assume(not (isinstance(value, str) and ESCAPED.search(value)))
    raw = encode(register, value)
    assert bool(raw.words) != bool(raw.bits)
    entered = registers_with(register, raw, changed)
    assert canonical(register_value(register, entered)) == canonical(value)
    assert len(entered) == 2 * register.width


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        (Register("holding", 0, "uint16"), 850, [0x0352]),
        (Register("holding", 0, "int16", scale=0.1), -1.5, [0xFFF1]),
        (Register("holding", 0, "float32"), 12.5, [0x4148, 0x0000]),
        (Register("holding", 0, "float32", word_order="little"), 12.5, [0x0000, 0x4148]),
        (Register("holding", 0, "float32", byte_order="little"), 12.5, [0x4841, 0x0000]),
        (Register("holding", 0, "float32"), math.nan, [0x7FC0, 0x0000]),
        (Register("holding", 0, "uint32", word_order="little"), 0x00010002, [2, 1]),
        (Register("holding", 0, "string", 3), "abc", [0x6162, 0x6300, 0]),
        (Register("holding", 0, "bytes", 2), bytes.fromhex("8f1d02c4"), [0x8F1D, 0x02C4]),
    ],
)
def test_words(register: Register, value: Value, words: list[int]) -> None:
    assert encode(register, value) == Raw(words=tuple(words))


@pytest.mark.parametrize(
    ("register", "value", "bits"),
    [
        (Register("coil", 8), True, [Bit(8, None, 1)]),
        (Register("holding", 103, "uint16", bit=2), False, [Bit(103, 2, 0)]),
        (Register("holding", 103, "uint16", bit=2, byte_order="little"), True, [Bit(103, 10, 1)]),
        (Register("holding", 10, "uint32", bit=20), True, [Bit(10, 4, 1)]),
        (Register("holding", 10, "uint32", bit=20, word_order="little"), True, [Bit(11, 4, 1)]),
        (
            Register("holding", 103, "uint16", mask=0xF0, shift=4),
            2,
            [Bit(103, 4, 0), Bit(103, 5, 1), Bit(103, 6, 0), Bit(103, 7, 0)],
        ),
    ],
)
def test_bits(register: Register, value: Value, bits: list[Bit]) -> None:
    assert encode(register, value) == Raw(bits=tuple(bits))


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (Register("holding", 0, "uint16"), 65536),
        (Register("holding", 0, "uint16"), -1),
        (Register("holding", 0, "uint16"), 1.5),
        (Register("holding", 0, "uint16"), "1"),
        (Register("holding", 0, "uint16"), None),
        (Register("holding", 0, "uint16"), True),
        (Register("holding", 0, "int16", scale=0.1), math.inf),
        (Register("holding", 0, "float32"), 1e39),
        (Register("holding", 0, "float32"), 0.1234567890123),
        (Register("holding", 0, "string", 2), "abcde"),
        (Register("holding", 0, "string", 4), "a\\xff"),
        (Register("holding", 0, "bytes", 2), b"abc"),
        (Register("holding", 0, "uint16", mask=0xF0, shift=4), 16),
        (Register("holding", 0, "uint16", bit=2), 1),
        (Register("coil", 0), 1),
        (Register("holding", 0, "int64", mask=97_131_647_119_966_080, shift=1, offset=-40), 3.602879701896393e16),
    ],
)
def test_a_value_that_nothing_makes_is_said(register: Register, value: Value) -> None:
    with pytest.raises(ValueError):
        encode(register, value)


def test_the_notation_of_engineering_tools() -> None:
    assert reference("holding", 0) == "40001"
    assert reference("holding", 9998) == "49999"
    assert reference("holding", 9999) == "410000"
    assert reference("holding", 65535) == "465536"
    assert (reference("coil", 8), reference("discrete", 0), reference("input", 41)) == ("00009", "10001", "30042")
