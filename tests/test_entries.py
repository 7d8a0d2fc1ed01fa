"""Entries for plant.toml: TOML that says exactly what was meant, and a file that is right or left alone."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.written import FileError
from monitor.config import load_plant
from monitor.entries import Entry, append, comment, commented_out, entries_text, toml_string

PLANT = '[plant]\nname = "Test"\n\n[store]\nurl = "sqlite:///asbuilt.db"\n'
HOSTILE = [
    '"',
    "\\",
    'a"]\n[store]\nurl = "sqlite:///evil.db',
    "\x00\x1b[2J\x7f\x85\u2028\r\n",
    "🏭\u202e",
    "'''",
    "# x",
]
FILLER = Entry("filler", {"address": "modbus://10.0.0.5:502/1", "profile": "auto"}, ("said\nso",))


TEXTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(HOSTILE))


@given(TEXTS)
def test_a_string_is_read_back_as_it_was(text: str) -> None:
    assert tomllib.loads(f"[{toml_string(text)}]\nkey = {toml_string(text)}") == {text: {"key": text}}


@given(st.one_of(TEXTS, st.text()))
def test_no_text_breaks_out_of_a_comment(text: str) -> None:
    line = comment(text)
    assert line.startswith("# ")
    assert line.splitlines() == [line[:-1]]
    assert tomllib.loads(line) == {}


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_an_entry_is_what_it_says_and_commented_out_it_says_nothing(name: str, zone: str, about: list[str]) -> None:
    entry = Entry(
        name, {"address": "modbus://plc/1", "profile": "auto", "zone": zone, "purdue_level": 1.5}, tuple(about)
    )
    (table,) = tomllib.loads(entries_text([entry]))["asset"].values()
    assert (table["address"], table["purdue_level"]) == ("modbus://plc/1", 1.5)
    assert tomllib.loads(commented_out([entry])) == {}


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert tomllib.loads(f"a = {toml_string(chr(0xD800))}") == {"a": "\ufffd"}
    assert tomllib.loads(f"a = {toml_string(chr(0xD83C) + chr(0xDFED))}") == {"a": "🏭"}


@pytest.mark.parametrize(
    "before",
    [PLANT, PLANT.rstrip(), PLANT.replace("\n", "\r\n"), "\ufeff" + PLANT],
    ids=["lf", "no end", "crlf", "bom"],
)
def test_what_stands_in_the_file_stays_byte_for_byte(tmp_path: Path, before: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_bytes(before.encode())
    append(path, entries_text([FILLER]))
    after = path.read_bytes()
    assert after.startswith(before.encode())
    assert (b"\r\n" in after, after.count(b"\n") - after.count(b"\r\n")) in [(False, after.count(b"\n")), (True, 0)]
    assert str(load_plant(path).assets["filler"].target.address) == "modbus://10.0.0.5:502/1"
    assert [each.name for each in tmp_path.iterdir()] == ["plant.toml"]


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (PLANT + '[asset.filler]\naddress = "modbus://10.0.0.9/1"\nprofile = "auto"\n', "is not TOML"),
        (
            PLANT + '[asset.other]\naddress = "modbus://10.0.0.5/1"\nprofile = "auto"\n',
            "asset.other has modbus://10.0.0.5",
        ),
        (PLANT + "[asset]\nother = 3\n", "asset.other: is a table"),
    ],
)
def test_what_would_not_be_right_changes_nothing(tmp_path: Path, before: str, why: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(before)
    with pytest.raises(FileError, match=f"left as it was.*{why}"):
        append(path, entries_text([FILLER]))
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["plant.toml"]


@pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX")
def test_a_link_stays_a_link_and_rights_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "plant.toml", tmp_path / "link.toml"
    path.write_text(PLANT)
    path.chmod(0o640)
    link.symlink_to(path)
    append(link, entries_text([FILLER]))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "filler" in load_plant(path).assets


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written: No such file"):
        append(tmp_path / "plant.toml", entries_text([FILLER]))
