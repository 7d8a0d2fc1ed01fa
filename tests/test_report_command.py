"""`asbuilt report`, as people and scripts call it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openpyxl
import pytest

from tests.floors import ROOT, TWO, Done, PlantFolder, RunningFloor, running

UNTIL = "2100-01-01"  # not yet: so it is now
NAME = "Wörk <i>1</i> ../../x"
KINDS = ["audit", "commissioning", "inventory", "changes"]
SUFFIXES = ["pdf", "html", "xlsx", "zip", "json"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantFolder]:
    """A plant with a hostile name and two zones, commissioned, changed, and looked at."""
    with running(TWO) as floor:
        folder = PlantFolder(tmp_path_factory.mktemp("plant"), {name: plc.address for name, plc in floor.plcs.items()})
        zoned(folder)
        folder.commissioned()
        changed(folder, floor)
        yield folder


def zoned(plant: PlantFolder) -> None:
    text = plant.file.read_text().replace('name = "Test"', f'name = "{NAME}"\ntimezone = "Europe/Berlin"')
    for number in (1, 2):
        text = text.replace(f'[asset."line{number}/filler"]', f'[asset."line{number}/filler"]\nzone = "zone {number}"')
    plant.file.write_text(text)


def changed(plant: PlantFolder, floor: RunningFloor) -> None:
    floor.apply("line1/filler", set={"limit": 14.0})
    assert plant.asbuilt("check").code == 1


def files_in(plant: PlantFolder) -> set[str]:
    return {path.name for path in plant.folder.iterdir() if not path.name.startswith("asbuilt.")}


def report(plant: PlantFolder, *words: str) -> Done:
    return plant.asbuilt("report", *words)


def test_json_goes_to_standard_output_and_is_all_of_it(watched: PlantFolder) -> None:
    before = files_in(watched)
    done = report(watched, "audit", "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = done.json
    assert [*found] == [
        *("report", "title", "plant", "from", "until", "timezone", "scope", "version", "chain", "findings"),
        *("sections", "tables"),
    ]
    assert (found["report"], found["plant"], found["timezone"]) == ("audit", NAME, "Europe/Berlin")
    assert found["scope"] == "all of the plant: 2 assets"
    since, until = (datetime.fromisoformat(found[name]) for name in ("from", "until"))
    assert until - since == timedelta(days=90)
    assert (since.microsecond, until.microsecond) == (0, 0)
    assert timedelta(0) <= datetime.now(UTC) - until < timedelta(minutes=2)  # it is over: nothing of it is left out
    entries = watched.asbuilt("verify", "--json").json["entries"]
    assert found["chain"]["entries"] == entries
    assert found["chain"]["head"]
    tables = [key for section in found["sections"] for key in section["tables"]]
    assert tables == [*found["tables"]]
    assert files_in(watched) == before


def test_a_report_is_written_in_every_format(watched: PlantFolder, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"a.{suffix}"
        done = report(watched, "audit", "-o", str(path))
        assert (done.code, done.err) == (0, ""), suffix
        assert done.out.startswith(f"wrote {path}: Audit report, all of the plant: 2 assets\n")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    page = (tmp_path / "a.html").read_text()
    assert "<i>1</i>" not in page
    assert "Wörk &lt;i&gt;1&lt;/i&gt;" in page
    found = json.loads((tmp_path / "a.json").read_text())
    assert openpyxl.load_workbook(tmp_path / "a.xlsx").sheetnames[0] == "Summary"
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == [*sorted(f"{key}.csv" for key in found["tables"]), "SHA256SUMS"]
        for key, table in found["tables"].items():
            head, *rows = csv.reader(io.StringIO(packed.read(f"{key}.csv").decode(), newline=""))
            assert head == [column["key"] for column in table["columns"]]
            assert len(rows) == len(table["rows"])


def test_an_evidence_pack_is_one_zip(watched: PlantFolder, tmp_path: Path) -> None:
    done = report(watched, "audit", "--pack", "-o", str(tmp_path / "a.zip"))
    assert (done.code, done.err) == (0, "")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert any(name.endswith("MANIFEST") for name in packed.namelist())
        assert packed.testzip() is None


def test_the_inventory_is_a_bill_of_materials(watched: PlantFolder, tmp_path: Path) -> None:
    done = report(watched, "inventory", "-o", str(tmp_path / "a.cdx.json"))
    assert (done.code, done.err) == (0, "")
    found = json.loads((tmp_path / "a.cdx.json").read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert {"line1/filler", "line2/filler"} <= {each["name"] for each in found["components"]}


def test_without_a_name_it_is_called_by_plant_report_and_date(watched: PlantFolder) -> None:
    before = files_in(watched)
    done = report(watched, "changes", "--format", "html", "--until", "2026-11-25T23:30Z", "--from", "2026-11-01")
    (name,) = files_in(watched) - before
    assert done.code == 0
    assert re.fullmatch(r"Wörk-_i_1__i_-.*-changes-2026-11-26\.html", name)  # in Berlin it is the next day
    assert "/" not in name
    (watched.folder / name).unlink()


def test_the_same_question_has_the_same_answer(watched: PlantFolder) -> None:
    until = report(watched, "audit", "--format", "json").json["until"]
    words = watched.command("report", "audit", "--until", until, "--format", "json")
    one, other = (
        subprocess.run(
            words,
            env={**watched.environment, "PYTHONHASHSEED": seed},
            cwd=watched.folder,
            check=True,
            capture_output=True,
        ).stdout
        for seed in "12"
    )
    assert one == other


def test_some_of_the_assets(watched: PlantFolder) -> None:
    def scope(*words: str) -> str:
        return str(report(watched, "changes", *words, "--format", "json").json["scope"])

    assert scope("line1/*") == "1 asset: line1/filler"
    assert scope("--zone", "zone 2") == "zone zone 2: 1 asset"
    assert scope("--zone", "zone 2", "--zone", "zone 1") == "all of the plant: 2 assets"
    assert scope("line1/*", "--zone", "zone 1") == "zone zone 1: 1 asset"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--zone", "zone 3"], "has no zone zone 3; it has zone 1, zone 2"),
        (["line3/*"], "names no asset line3/*; it has line1/filler, line2/filler"),
        (["line1/*", "--zone", "zone 2"], "none of these assets is in zone 2"),
        (["--format", "docx"], "no format docx; changes can be written as pdf, html, xlsx, csv, json"),
        (["--format", "cyclonedx"], "only inventory is written as cyclonedx; changes can be written as pdf"),
        (["-o", "a.cdx.json"], "only inventory is written as cyclonedx"),
        (["-o", "a.docx"], "a.docx: what is it to be? End its name in .pdf, .html"),
        (["-o", "none/a.pdf"], "there is no folder"),
        (["-o", "plant.toml", "--format", "json"], "exists already"),
        (["-o", ".", "--format", "html"], "is a folder; name a file in it"),
        (["-o", ".", "--format", "csv"], "which no report wrote; name a new folder"),
        (["-o", "/dev/null", "--format", "json"], "is no regular file"),
        (["--from", "yesterday"], "is no time"),
        (["--from", "2026-03-01", "--until", "2026-02-01"], "--from is not before --until"),
        (["--from", "+2h"], "--from"),
        (["--until", "0001-01-02"], "--until"),
        (["--pack", "--format", "pdf"], "leave --format out"),
        (["--pack", "-o", "a.pdf"], "an evidence pack is a zip: name it a.zip"),
    ],
)
def test_a_call_that_is_wrong_says_what_to_do(watched: PlantFolder, words: list[str], said: str) -> None:
    before = files_in(watched)
    done = report(watched, "changes", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert files_in(watched) == before


def test_which_reports_there_are(watched: PlantFolder) -> None:
    done = report(watched, "everything")
    assert done.code == 2
    for kind in KINDS:
        assert kind in done.err


def test_until_what_comes_is_until_now(watched: PlantFolder) -> None:
    found = report(watched, "audit", "--until", UNTIL, "--format", "json").json
    assert datetime.fromisoformat(found["until"]) <= datetime.now(UTC)


def test_a_report_of_evidence_that_does_not_verify_is_written_and_says_so(plant: PlantFolder) -> None:
    plant.commissioned()
    spoil(plant, "UPDATE audit_entry SET actor = 'mallory' WHERE id = 2")
    why = "entry 2: its content is not what its hash was taken over"
    done = report(plant, "audit", "--format", "json")
    assert done.code == 4
    assert done.err == f"asbuilt: the evidence does not verify, and the report says so: {why}\n"
    assert any(why in each["text"] for each in done.json["findings"] if each["weight"] == "bad")
    found = report(plant, "changes", "--format", "json").json
    assert found["sections"][0]["key"] == "evidence"
    text = f"The evidence in the store does not verify: {why}."
    assert found["findings"][0] == {"weight": "bad", "text": text, "section": "evidence"}
    written = report(plant, "inventory", "-o", "a.html")
    assert written.code == 4
    assert text in (plant.folder / "a.html").read_text()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entry SET detail = 'no JSON' WHERE id = (SELECT max(id) FROM audit_entry)",
        "UPDATE audit_entry SET detail = x'00ff', at = 5, actor = x'ff' WHERE id = 2",
        "UPDATE baseline SET state = 'maybe'",
        "DELETE FROM audit_entry",
    ],
)
def test_a_spoilt_store_is_never_a_traceback(plant: PlantFolder, change: str) -> None:
    plant.commissioned()
    spoil(plant, change)
    done = report(plant, "audit", "--format", "json")  # asbuilt() fails for a traceback
    assert done.code == 4
    assert "the evidence does not verify" in done.err


def spoil(plant: PlantFolder, change: str) -> None:
    with closing(sqlite3.connect(plant.folder / "asbuilt.db")) as opened, opened:
        assert opened.execute(change).rowcount


def test_a_report_changes_nothing(watched: PlantFolder) -> None:
    before = watched.asbuilt("verify", "--json").json
    for kind in KINDS:
        assert report(watched, kind, "--format", "json").code == 0
    assert watched.asbuilt("verify", "--json").json == before


def test_a_plant_in_which_nothing_has_happened(plant: PlantFolder) -> None:
    for kind in KINDS:
        assert report(plant, kind, "--format", "json").json["report"] == kind
    for suffix in SUFFIXES:
        assert report(plant, "audit", "-o", f"a.{suffix}").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudoterminals")
def test_somebody_who_watches_sees_how_far_it_is(watched: PlantFolder, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "monitor.cli", "report", "changes", "-o", str(tmp_path / "a.xlsx")]
    environment = {**watched.environment, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(
        words, env=environment, cwd=watched.folder, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = read_all(ours)
    assert process.returncode == 0
    assert out.startswith("wrote ")
    assert "\x1b" not in out
    assert "verifying the evidence" in shown
    assert "reading the store" in shown
    assert "writing the sheets" in shown


def read_all(descriptor: int) -> str:
    """What was written to a pseudoterminal whose other end is closed."""
    found = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # Linux says so that there is no more
            break
        if not piece:
            break
        found += piece
    os.close(descriptor)
    return found.decode()
