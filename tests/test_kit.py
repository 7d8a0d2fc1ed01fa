"""The kit: what a technician does with it makes the device again what was approved."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from collectors.address import parse_address
from monitor.kit_pack import file_names, safe_name
from tests.floors import PlantFolder, RunningFloor, running

FILLER = """
name = "one"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1", object_128 = "S-1" }
[model.p9.point]
mode    = { table = "holding", address = 100, type = "uint16", value = 3 }
flags   = { table = "holding", address = 103, type = "uint16", value = 0b0010_1011 }
crc     = { table = "holding", address = 200, type = "bytes", count = 2, value = "deadbeef" }
limit   = { table = "holding", address = 210, type = "float32", word_order = "little", value = 12.5 }
big     = { table = "holding", address = 212, type = "int32", value = -70000 }
recipe  = { table = "holding", address = 220, type = "string", count = 8, value = "STILL-1.5L" }
trim    = { table = "holding", address = 232, type = "int16", value = -15 }
high    = { table = "holding", address = 9999, type = "float64", value = 0.1 }
guard   = { table = "coil", address = 8, type = "bool", value = true }
door    = { table = "discrete", address = 1, type = "bool", value = true }
[plc."line1/filler"]
model = "p9"
port = 0
"""
PROFILE = """
name = "p9"
about = "test"
identity = { serial_number = "object_128" }
[limits]
requests_per_second = 200
timeout = "1s"
[item]
guard   = { table = "coil", address = 8, values = { 0 = "off", 1 = "on" }, category = "security" }
mode    = { table = "holding", address = 100, type = "uint16", values = { 3 = "RUN" }, category = "mode" }
remote  = { table = "holding", address = 103, type = "uint16", bit = 2, category = "network" }
modules = { table = "holding", address = 103, type = "uint16", mask = 0xF0, shift = 4 }
crc     = { table = "holding", address = 200, type = "bytes", count = 2, category = "program" }
limit   = { table = "holding", address = 210, type = "float32", word_order = "little", tolerance = 0.05, unit = "l" }
big     = { table = "holding", address = 212, type = "int32" }
recipe  = { table = "holding", address = 220, type = "string", count = 8, about = "<b>the recipe & co</b>" }
trim    = { table = "holding", address = 232, type = "int16", scale = 0.1, offset = -40, unit = "K" }
high    = { table = "holding", address = 9999, type = "float64" }
door    = { table = "discrete", address = 1 }
"""
ASSET = "line1/filler"
KIT = ("kit", ASSET)


@pytest.fixture
def floor() -> Iterator[RunningFloor]:
    with running(FILLER) as running_floor:
        yield running_floor


@pytest.fixture
def plant(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    """One filler, not commissioned."""
    place = 'zone = "line1"\nlocation = "hall 1"\ncriticality = "high"\n'
    folder = PlantFolder(tmp_path, {ASSET: floor.plcs[ASSET].address}, place)
    (tmp_path / "p9.toml").write_text(PROFILE)
    return folder


def kit_of(plant: PlantFolder, code: int = 0) -> Any:
    done = plant.asbuilt(*KIT, "--json")
    assert done.code == code, done.err
    return done.json


def parameters(kit: Any) -> dict[str, Any]:
    return {row["item"]: row for row in kit["parameters"]}


def attach(plant: PlantFolder, name: str, content: str, kind: str, *words: str) -> None:
    (plant.folder / name).write_text(content)
    done = plant.asbuilt("vault", "add", ASSET, name, "--kind", kind, *words)
    assert done.code == 0, done.err


def test_a_technician_with_the_kit_restores_the_device(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    attach(plant, "p9.bin", "image", "firmware")
    assert plant.asbuilt(*KIT, "-o", "kit.zip").code == 0
    changed = {"mode": 7, "flags": 0b1001_1111, "limit": 14.0, "big": 12, "recipe": "SODA", "trim": 3, "high": 9.5}
    floor.apply(ASSET, set={**changed, "guard": False})
    assert len(plant.asbuilt("check", "--json").asset(ASSET)["deviations"]) == 9

    with zipfile.ZipFile(plant.folder / "kit.zip") as archive:
        kit = json.loads(archive.read("kit-line1_filler/kit.json"))
    enter(kit)

    checked = plant.asbuilt("check", "--json")
    assert (checked.code, checked.asset(ASSET)["verdict"], checked.asset(ASSET)["deviations"]) == (0, "match", [])
    assert plant.asbuilt("verify").code == 0


def enter(kit: Any) -> None:
    """What a technician does: everything to be entered, in the order of the kit, exactly as it says."""
    address = parse_address(kit["asset"]["address"])
    with ModbusTcpClient(address.host, port=address.port) as device:
        for row in kit["parameters"]:
            if not row["enter"]:
                continue
            if row["words"]:
                words = [int(each["hex"], 16) for each in row["words"]]
                assert not device.write_registers(row["words"][0]["address"], words, device_id=address.unit).isError()
            for each in row["bits"]:
                if each["bit"] is None:
                    done = device.write_coil(each["address"], bool(each["value"]), device_id=address.unit)
                else:
                    now = device.read_holding_registers(each["address"], count=1, device_id=address.unit).registers[0]
                    word = now & ~(1 << each["bit"]) | each["value"] << each["bit"]
                    done = device.write_register(each["address"], word, device_id=address.unit)
                assert not done.isError()


def test_what_a_kit_says(plant: PlantFolder) -> None:
    plant.commissioned()
    kit = kit_of(plant)
    assert (kit["asset"]["zone"], kit["asset"]["location"], kit["asset"]["criticality"]) == ("line1", "hall 1", "high")
    assert (kit["baseline"]["stage"], kit["baseline"]["reason"]) == ("as-found", "test")
    assert [(row["field"], row["value"]) for row in kit["identity"] if row["may_differ"]] == [("serial_number", "S-1")]
    assert [row["item"].removeprefix("item.") for row in kit["parameters"]] == [
        "crc", "modules", "limit", "big", "recipe", "trim", "high", "door", "remote", "mode", "guard",
    ]  # fmt: skip
    rows = parameters(kit)
    limit = rows["item.limit"]
    assert (limit["value"], limit["unit"], limit["tolerance"], limit["enter"]) == (12.5, "l", 0.05, True)
    assert limit["address"]["reference"] == "40211"
    assert limit["words"] == [
        {"address": 210, "reference": "40211", "hex": "0000", "decimal": 0},
        {"address": 211, "reference": "40212", "hex": "4148", "decimal": 0x4148},
    ]
    assert rows["item.high"]["address"]["reference"] == "410000"
    assert [(each["bit"], each["value"]) for each in rows["item.modules"]["bits"]] == [(4, 0), (5, 1), (6, 0), (7, 0)]
    assert rows["item.guard"]["bits"] == [{"address": 8, "reference": "00009", "bit": None, "value": 1}]
    assert (rows["item.crc"]["enter"], rows["item.door"]["enter"]) == (False, False)
    assert "set at the device" in rows["item.door"]["note"]
    assert kit["checks"] == [{"do": "asbuilt check line1/filler", "expect": kit["checks"][0]["expect"]}]
    text = plant.asbuilt(*KIT).out
    for said in (
        "asbuilt never writes",
        "holding 210 to 211",
        "40211, float32, little word first",
        "0x0000 0x4148",
        "× 0.1 -40",
    ):
        assert said in text, said
    assert text.index("item.mode") < text.index("item.guard") < text.index("asbuilt check line1/filler")


def test_a_kit_is_the_same_to_the_byte(plant: PlantFolder) -> None:
    plant.commissioned()
    attach(plant, "p9.bin", "image", "firmware")
    attach(plant, "SHA256SUMS", "a file of that name", "document")
    for name in ("one.zip", "two.zip", "folder"):
        assert plant.asbuilt(*KIT, "-o", name, "--by", "Ada").code == 0
    assert (plant.folder / "one.zip").read_bytes() == (plant.folder / "two.zip").read_bytes()
    with zipfile.ZipFile(plant.folder / "one.zip") as archive:
        archived = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    folder = plant.folder / "folder"
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert archived == written
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder / "files", capture_output=True, text=True)
    assert (sums.returncode, sums.stdout.count(": OK")) == (0, 2)
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        query = "SELECT actor, subject, detail FROM audit_entry WHERE action = 'kit.export'"
        entries = store.execute(query).fetchall()
    assert [(actor, subject) for actor, subject, _ in entries] == [("Ada", ASSET)] * 3
    assert json.loads(entries[0][2])["kit"] == sha256(written["kit.json"]).hexdigest()
    assert json.loads(written["kit.json"]) == kit_of(plant)  # which is shown, and is no export
    assert plant.asbuilt("verify").code == 0


def test_no_kit_where_nobody_has_approved_or_the_call_is_wrong(plant: PlantFolder) -> None:
    for before in (None, "propose"):
        if before:
            assert plant.asbuilt("baseline", before).code == 0
        refused = plant.asbuilt(*KIT, "-o", "kit.zip")
        assert (refused.code, "no approved baseline" in refused.err) == (2, True)
    plant.commissioned()
    plant.file.write_text(plant.file.read_text() + '[segment.line1]\ninterface = "lo"\n')
    assert "is a segment" in plant.asbuilt("kit", "line1", "-o", "kit.zip").err
    (plant.folder / "there.zip").write_text("mine")
    (plant.folder / "there").mkdir()
    for path, why in {
        "there.zip": "exists",
        "there": "exists",
        "no/kit.zip": "no folder",
        "no/kit": "no folder",
    }.items():
        refused = plant.asbuilt(*KIT, "-o", path)
        assert (refused.code, why in refused.err) == (2, True), refused.err
    assert (plant.folder / "there.zip").read_text() == "mine"


def test_a_file_that_is_gone_is_a_gap_and_the_kit_is_written(plant: PlantFolder) -> None:
    plant.commissioned()
    attach(plant, "p9.bin", "image", "firmware")
    attach(plant, "manual.pdf", "manual", "document")
    (digest,) = (row["digest"] for row in plant.asbuilt("vault", "list", "--json").json["artefacts"][:1])
    path = plant.folder / "asbuilt.vault" / digest[:2] / digest[2:]
    path.chmod(0o644)
    for harm, state in ((lambda: path.write_bytes(b"other"), "broken"), (path.unlink, "missing")):
        harm()
        done = plant.asbuilt(*KIT, "-o", state)
        assert (done.code, f"p9.bin is {state}" in done.err) == (3, True)
        assert sorted(each.name for each in (plant.folder / state / "files").iterdir()) == ["SHA256SUMS", "manual.pdf"]
        kit = json.loads((plant.folder / state / "kit.json").read_text())
        assert {row["name"]: (row["state"], row["path"]) for row in kit["files"]} == {
            "p9.bin": (state, None),
            "manual.pdf": ("whole", "files/manual.pdf"),
        }
        for sheet in ("kit.txt", "KIT.html"):
            assert f"p9.bin is {state} in the vault" in (plant.folder / state / sheet).read_text()


def test_files_of_earlier_baselines_come_along_as_long_as_they_fit(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    attach(plant, "p9.bin", "image", "firmware")
    attach(plant, "p9.prj", "project", "project")
    attach(plant, "manual.pdf", "manual", "document")
    first = kit_of(plant)
    assert [row["is_earlier"] for row in first["files"]] == [False] * 3

    floor.apply(ASSET, set={"limit": 13.0})
    plant.commissioned()
    kit = kit_of(plant)
    assert [row["name"] for row in kit["files"]] == ["p9.bin", "p9.prj", "manual.pdf"]
    assert {row["baseline"] for row in kit["files"]} == {first["baseline"]["digest"]}
    assert all("of an earlier baseline" in row["note"] and "still fits" in row["note"] for row in kit["files"])
    assert kit["left_out"] == []

    floor.apply(ASSET, set={"crc": "00000001"})
    plant.commissioned()
    kit = kit_of(plant)
    assert [row["name"] for row in kit["files"]] == ["p9.bin", "manual.pdf"]
    assert [(row["name"], row["why"]) for row in kit["left_out"]] == [("p9.prj", "the program was another: item.crc")]

    floor.apply(ASSET, identity={"software_revision": "2.5.0"})
    assert plant.asbuilt("baseline", "propose").code == 0
    attach(plant, "p9-2.5.0.bin", "newer", "firmware", "--proposed")
    assert plant.asbuilt("baseline", "approve", "*", "--reason", "update").code == 0
    kit = kit_of(plant)
    assert [(row["name"], row["is_earlier"]) for row in kit["files"]] == [("p9-2.5.0.bin", False), ("manual.pdf", True)]
    assert [row["name"] for row in kit["left_out"]] == ["p9.bin", "p9.prj"]
    assert "2.4.1, and is 2.5.0" in kit["left_out"][0]["why"]
    assert "p9.bin" in plant.asbuilt(*KIT).out


def test_a_file_of_a_proposal_survives_its_being_amended(plant: PlantFolder) -> None:
    assert plant.asbuilt("baseline", "propose").code == 0
    attach(plant, "manual.pdf", "manual", "document", "--proposed")
    assert plant.asbuilt("baseline", "approve", ASSET, "--without", "item.trim", "--reason", "all but one").code == 0
    kit = kit_of(plant)
    assert [(row["name"], row["is_earlier"]) for row in kit["files"]] == [("manual.pdf", True)]
    assert {"item": "item.trim", "kind": "left-out"}.items() <= kit["not_covered"][0].items()
    assert plant.asbuilt("verify").code == 0


def test_what_was_not_read_or_dropped_is_said(plant: PlantFolder, floor: RunningFloor) -> None:
    floor.apply(ASSET, remove=["trim"])
    drop = ("--drop", "item.big", "--because", "counts bottles")
    done = plant.asbuilt("commission", "--captures", "1", "--incomplete", *drop)
    assert done.code == 0, done.err
    assert plant.asbuilt("baseline", "approve", "*", "--reason", "so far").code == 0
    kit = kit_of(plant)
    assert {row["item"]: row["kind"] for row in kit["not_covered"]} == {"item.trim": "unread", "item.big": "dropped"}
    assert not {"item.trim", "item.big"} & set(parameters(kit))
    assert "counts bottles" in plant.asbuilt(*KIT).out


def test_a_profile_that_has_changed_since_is_said(plant: PlantFolder) -> None:
    plant.commissioned()
    profile = plant.folder / "p9.toml"
    moved = PROFILE.replace("address = 212", "address = 213").replace("trim    =", "another =")
    profile.write_text(moved)
    done = plant.asbuilt(*KIT, "--json")
    assert (done.code, "profile has changed" in done.err) == (0, True)
    rows = parameters(done.json)
    assert done.json["profile"]["used"] == "present"
    assert rows["item.big"]["address"]["address"] == 213
    assert "as the present profile has them" in rows["item.big"]["note"]
    assert (rows["item.trim"]["address"], rows["item.trim"]["value"]) == (None, -41.5)
    assert "has no such item" in rows["item.trim"]["note"]
    assert "profile has changed" in plant.asbuilt(*KIT).out

    profile.write_text('name = "p9"\n[item.other]\ntable = "holding"\naddress = 100\ntype = "uint16"\n')
    kit = kit_of(plant)
    assert kit["profile"]["used"] is None
    assert {row["address"] for row in kit["parameters"]} == {None}
    assert parameters(kit)["item.limit"]["value"] == 12.5
    assert "values are without addresses" in plant.asbuilt(*KIT).out


class Tags(HTMLParser):
    """All tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_people_and_devices_say_is_shown_and_never_obeyed(plant: PlantFolder, floor: RunningFloor) -> None:
    evil = "<script>x</script>"
    floor.apply(ASSET, set={"recipe": "<img src=x>\x1b[2J"}, identity={"manufacturer": f"{evil}\u202e"})
    text = plant.file.read_text().replace('"hall 1"', json.dumps('"><script>y</script>'))
    plant.file.write_text(text.replace('name = "Test"', 'name = "</style><script>z</script>"'))
    assert plant.asbuilt("baseline", "propose").code == 0
    assert plant.asbuilt("baseline", "approve", "*", "--reason", "<svg onload=z>\nnew line").code == 0
    attach(plant, "a<b>&\x1b.bin", "image", "firmware")
    assert plant.asbuilt(*KIT, "-o", "kit").code == 0
    page = (plant.folder / "kit" / "KIT.html").read_text()
    found = Tags(page)
    assert not found.tags & {"script", "img", "svg", "link", "a", "iframe"}
    assert found.attributes <= {"class", "lang", "charset", "http-equiv", "content", "name"}
    for said in ("<img src=x>", evil, "</style><script>z</script>", "<svg onload=z>", "<b>the recipe & co</b>"):
        assert said in found.text, said
    sheet = (plant.folder / "kit" / "kit.txt").read_text()
    assert not {"\x1b", "\u202e"} & {*page, *sheet, *plant.asbuilt("vault", "list").out}
    assert "url(" not in page
    assert (plant.folder / "kit" / "files" / "a_b_&_.bin").read_text() == "image"


def test_no_kit_of_what_somebody_has_changed(plant: PlantFolder) -> None:
    plant.commissioned()
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        (text,) = store.execute("SELECT text FROM snapshot WHERE text LIKE '%item.limit%'").fetchone()
        store.execute("UPDATE snapshot SET text = ?", [text.replace('"12.5"', '"99.5"')])
    refused = plant.asbuilt(*KIT, "-o", "kit")
    assert (refused.code, "is not what its digest was taken over" in refused.err) == (2, True)
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        store.execute("UPDATE snapshot SET text = ?", [text])
        store.execute("UPDATE baseline SET reason = 'another'")
    refused = plant.asbuilt(*KIT, "-o", "kit")
    assert (refused.code, "does not verify" in refused.err) == (2, True)
    assert not (plant.folder / "kit").exists()


@pytest.mark.parametrize("name", ["kit.zip", "kit"])
def test_a_full_disk_leaves_no_half_kit(plant: PlantFolder, name: str) -> None:
    plant.commissioned()
    large = plant.folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(12 << 20)
    assert plant.asbuilt("vault", "add", ASSET, "large.bin", "--kind", "firmware").code == 0
    before = sorted(path.name for path in plant.folder.iterdir())
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20));"
        "from monitor.cli import main; main()"
    )
    words = [sys.executable, "-c", program, *KIT, "-o", name]
    done = subprocess.run(words, env=plant.environment, cwd=plant.folder, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "cannot be written: File too large" in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in plant.folder.iterdir()) == before


def test_names_that_every_system_takes() -> None:
    for name, safe in {
        "a/b\\c:d.bin": "a_b_c_d.bin",
        "con.txt": "_con.txt",
        "..": "_",
        " x. ": "x",
        "": "_",
        "\u202egnp.exe": "_gnp.exe",
        "x" * 200 + ".bin": "x" * 116 + ".bin",
    }.items():
        assert safe_name(name) == safe
    files = [("A.bin", "1" * 64), ("a.bin", "2" * 64), ("sha256sums", "3" * 64), ("a.bin", "2" * 64)]
    names = file_names(files)
    assert names == ["A.bin", "a-222222222222.bin", "sha256sums-333333333333", "_a-222222222222.bin"]
