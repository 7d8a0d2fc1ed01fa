"""TOML files that people write: what is read, and how faults are said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.written import FileError, duration, read_table, read_toml, seconds, table, unknown_keys


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Lamp:
    watts: int
    colour: Colour = Colour.RED
    shape: Literal["bulb", "tube"] = "bulb"
    every: timedelta = timedelta(seconds=1)
    timeout: float = 2.0
    level: float | None = None
    on: bool = False

    def __post_init__(self) -> None:
        if self.watts > 100:
            raise ValueError("too bright")


def lamp(found: dict[str, Any]) -> tuple[Lamp | None, list[str]]:
    faults: list[str] = []
    return read_table(Lamp, found, "lamp", faults), faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h", 3600),
        ("1d", 86400),
        ("1.5s", 1.5),
        (" 2 s ", 2),
        ("5ms", 0.005),
    ],
)
def test_duration(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)
    assert duration(text) == timedelta(seconds=expected)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "30",
            "s",
            "-1s",
            "+1s",
            "1 week",
            "1S",
            "1s2",
            "1,5s",
            "1e3s",
            "nans",
            "0s",
            "0.0h",
            30,
            1.5,
            None,
            True,
        ],
        *["9999999999d", "9" * 400 + "s", "0.0000001ms"],
    ],
)
def test_what_is_no_duration_above_zero_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match='a duration is written "30s"'):
        duration(text)


def test_a_table_is_read_into_a_dataclass() -> None:
    dim = {"watts": 60, "colour": "blue", "shape": "tube", "every": "5m", "timeout": "500ms", "level": 2, "on": True}
    read, faults = lamp(dim)
    assert (read, faults) == (Lamp(60, Colour.BLUE, "tube", timedelta(minutes=5), 0.5, 2.0, True), [])
    assert type(read.level) is float  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, ["lamp.watts: is required"]),
        ({"watts": "60"}, ["lamp.watts: expected `int`, got `str`"]),
        ({"watts": True}, ["lamp.watts: expected `int`, got `bool`"]),
        ({"watts": 60, "wats": 1}, ["lamp.wats: unknown key; did you mean 'watts'?"]),
        ({"watts": 60, "zzz": 1}, ["lamp.zzz: unknown key; known here: colour, every, level"]),
        ({"watts": 60, "colour": "green"}, ["lamp.colour: is one of red, blue; not 'green'"]),
        ({"watts": 60, "colour": ["red"]}, ["lamp.colour: is one of red, blue; not ['red']"]),
        ({"watts": 60, "shape": 1}, ["lamp.shape: is one of bulb, tube; not 1"]),
        ({"watts": 60, "every": 30}, ['lamp.every: a duration is written "30s"']),
        ({"watts": 60, "timeout": 2}, ['lamp.timeout: a duration is written "30s"']),
        ({"watts": 500}, ["lamp: too bright"]),
        ({"wats": 1, "on": 1, "shape": "x"}, ["lamp.wats", "lamp.on", "lamp.shape", "lamp.watts: is required"]),
    ],
)
def test_every_fault_of_a_table_has_its_key_path(found: dict[str, Any], expected: list[str]) -> None:
    read, faults = lamp(found)
    assert read is None
    assert len(faults) == len(expected)
    for part in expected:
        assert any(fault.startswith(part) for fault in faults), (part, faults)


def test_earlier_faults_of_others_do_not_spoil_a_table() -> None:
    assert read_table(Lamp, {"watts": 1}, "lamp", ["elsewhere: wrong"]) == Lamp(1)


def test_a_field_that_is_given_is_not_written() -> None:
    faults: list[str] = []
    assert read_table(Lamp, {}, "lamp", faults, watts=5) == Lamp(5)
    assert read_table(Lamp, {"watts": 6}, "lamp", faults, watts=5) is None
    assert faults[0].startswith("lamp.watts: unknown key")


@pytest.mark.parametrize("value", [5, "x", [], None, [{}]])
def test_what_should_be_a_table_and_is_none_is_said(value: Any) -> None:
    faults: list[str] = []
    assert table(value, "asset.a", faults) == {}
    assert faults == [f"asset.a: is a table, not {value!r}"]


def test_unknown_keys_at_the_top_have_no_path_before_them() -> None:
    assert unknown_keys(["plnat"], ["plant"], "") == ["plnat: unknown key; did you mean 'plant'?"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a = 1\nb = ?\n", r"is not TOML: .*line 2"),
        (b"a = 1\na = 2\n", r"is not TOML: .*line 2"),
        (b"a = '\xfc'\n", r"is not UTF-8 text \(byte 5\); save it as UTF-8"),
        ("a = 1".encode("utf-16"), "is not UTF-8 text"),
        (b"a = " + b"[" * 5000, "is not TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_said_with_its_line(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=why) as caught:
        read_toml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(caught.value.faults) == 1


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(FileError, match="is a folder, not a file"):
        read_toml(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        read_toml(tmp_path / ("x" * 5000))
    with pytest.raises(FileError):
        read_toml(tmp_path / "a\0b.toml")


def test_a_byte_order_mark_of_windows_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_bytes("\ufeffname = 'Füller'\r\n".encode())
    assert read_toml(path) == {"name": "Füller"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.dates() | st.times(),
    lambda value: st.lists(value, max_size=3) | st.dictionaries(st.text(max_size=8), value, max_size=3),
)
LAMP_KEYS = st.sampled_from([*Lamp.__dataclass_fields__, "wats", ""])


@given(st.dictionaries(LAMP_KEYS, ANYTHING))
def test_whatever_is_written_gives_a_value_or_faults(found: dict[str, Any]) -> None:
    read, faults = lamp(found)
    assert (read is None) is bool(faults)


def test_every_fault_is_a_line_with_the_file() -> None:
    error = FileError(Path("a.toml"), ["x: wrong", "y: wrong"])
    assert str(error) == "a.toml: x: wrong\na.toml: y: wrong"
