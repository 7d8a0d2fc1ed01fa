"""Changing one table of a plant.toml: what was meant and nothing else, or nothing at all."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.written import FileError
from monitor.edits import rename_table, set_key, take_table_out
from monitor.entries import toml_string

HEAD = '[plant]\nname = "Test"\n[store]\nurl = "sqlite:///asbuilt.db"\n'
PLANT = (
    HEAD
    + """
# --- line 1 ---

# the filler: mind its clock
[asset."line1/filler"]     # hall 2
address = "modbus://plc1/1"   # until the new switch
profile = 'auto'

# the capper
[asset.capper]
address = "modbus://plc2/1"
profile = "auto"
# it is old

[segment.line1]
interface = "eth1"

# the last one
[asset.'last']
address = "modbus://plc3/1"
profile = "auto"
"""
)
OTHER_WAYS = [
    HEAD + '[asset]\nplc = { address = "modbus://plc/1", profile = "auto" } # inline\nq.address = "modbus://q/1"\n'
    'q.profile = "auto"\n',
    'asset.plc.address = "modbus://plc/1"\nasset.plc.profile = "auto"\n' + HEAD,
    HEAD + '[asset]\n[asset.plc]\naddress = "modbus://plc/1"\nprofile = "auto"',
    HEAD + '[ asset . "plc" ]\naddress = """modbus://plc/1"""\nprofile = "auto"\n[notify.x]\nkind = "webhook"\n'
    'url = "http://h/"\n',
]


def plant(folder: Path, text: str = PLANT) -> Path:
    path = folder / "plant.toml"
    path.write_bytes(text.encode())
    return path


def test_a_name_changes_where_it_stands(tmp_path: Path) -> None:
    path = plant(tmp_path)
    rename_table(path, "asset", "line1/filler", "line1/filler A")
    assert path.read_text() == PLANT.replace('"line1/filler"', '"line1/filler A"')
    rename_table(path, "segment", "line1", "hall")
    assert "\n[segment.hall]\n" in path.read_text()


def test_a_key_changes_and_keeps_its_comment(tmp_path: Path) -> None:
    path = plant(tmp_path)
    set_key(path, "asset", "line1/filler", "address", "modbus://plc9:502/1")
    assert path.read_text() == PLANT.replace("modbus://plc1/1", "modbus://plc9:502/1")


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        (
            "line1/filler",
            '# the filler: mind its clock\n[asset."line1/filler"]     # hall 2\n'
            "address = \"modbus://plc1/1\"   # until the new switch\nprofile = 'auto'\n",
        ),
        (
            "capper",
            '# the capper\n[asset.capper]\naddress = "modbus://plc2/1"\nprofile = "auto"\n# it is old\n',
        ),
        ("last", '# the last one\n[asset.\'last\']\naddress = "modbus://plc3/1"\nprofile = "auto"\n'),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_table_goes_with_what_is_said_of_it_and_no_more(tmp_path: Path, name: str, removed: str, ending: str) -> None:
    path = plant(tmp_path, PLANT.replace("\n", ending))
    assert take_table_out(path, "asset", name) == removed.replace("\n", ending)
    left = PLANT.replace(removed, "").replace("\n\n\n", "\n\n")
    assert path.read_bytes() == left.replace("\n", ending).encode()


@pytest.mark.parametrize("text", OTHER_WAYS)
def test_other_ways_to_write_a_table_are_changed_too(tmp_path: Path, text: str) -> None:
    before = tomllib.loads(text)
    path = plant(tmp_path, text)
    rename_table(path, "asset", "plc", 'a "new".name')
    set_key(path, "asset", 'a "new".name', "address", "modbus://there:502/2")
    after = tomllib.loads(path.read_text())
    assert after["asset"].pop('a "new".name') == {"address": "modbus://there:502/2", "profile": "auto"}
    path = plant(tmp_path, text)
    take_table_out(path, "asset", "plc")
    gone = tomllib.loads(path.read_text())
    del before["asset"]["plc"]
    assert gone.get("asset", {}) == after["asset"] == before["asset"]


def test_what_would_not_be_right_changes_nothing(tmp_path: Path) -> None:
    path = plant(tmp_path)
    with pytest.raises(FileError, match="left as it was"):
        set_key(path, "asset", "capper", "address", "modbus://plc1:502/1")
    with pytest.raises(FileError, match="change it by hand"):
        rename_table(path, "asset", "nobody", "somebody")
    with pytest.raises(FileError, match=r"left as it was.*control characters"):
        rename_table(path, "asset", "capper", "a\nb")
    assert path.read_text() == PLANT
    assert [each.name for each in tmp_path.iterdir()] == ["plant.toml"]


@settings(max_examples=30)  # each waits for the disk four times
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.isprintable), st.booleans())
def test_any_name_can_be_given_and_taken_back(tmp_path_factory: pytest.TempPathFactory, name: str, bom: bool) -> None:
    path = plant(tmp_path_factory.mktemp("plant"), "\ufeff" * bom + PLANT)
    if name in ("line1", "capper", "last"):
        return
    rename_table(path, "asset", "line1/filler", name)
    assert f"[asset.{toml_string(name)}]" in path.read_text() or f"[asset.{name}]" in path.read_text()
    rename_table(path, "asset", name, "line1/filler")
    assert path.read_text() == "\ufeff" * bom + PLANT
