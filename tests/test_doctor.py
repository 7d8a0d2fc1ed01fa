"""asbuilt doctor: what it says of a plant that is well, and of each thing that is not."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.tables import HEAD
from tests.floors import Done, PlantFolder, RunningFloor, wait_for

ROOTED = os.name == "posix" and os.geteuid() == 0


def checks(done: Done, what: str) -> list[tuple[str, str]]:
    """State and text of each check of one thing."""
    return [(each["state"], each["text"]) for each in done.json["checks"] if each["check"] == what]


def doctor(plant: PlantFolder) -> Done:
    return plant.asbuilt("doctor", "--json")


def failed(done: Done) -> list[str]:
    return [each["text"] for each in done.json["checks"] if each["state"] == "fail"]


def test_a_plant_that_is_well(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    before = [plc.seen.total for plc in floor.plcs.values()]
    done = doctor(plant)
    assert (done.code, failed(done)) == (0, [])
    assert checks(done, "schema") == [("ok", HEAD)]
    assert checks(done, "devices") == [("ok", "2 of 2 take a connection")]
    assert checks(done, "daemon") == [("warn", "none runs on this plant")]
    assert [plc.seen.total for plc in floor.plcs.values()] == before, "nothing is asked"
    assert "devices" in plant.asbuilt("doctor").out


def test_beside_the_daemon_no_device_sees_a_second_connection(plant: PlantFolder, floor: RunningFloor) -> None:
    with plant.daemon() as daemon:
        wait_for(lambda: checks(doctor(plant), "devices") == [("ok", "the daemon reaches 2 of 2 assets")], "two polls")
        assert checks(doctor(plant), "daemon") == [("ok", f"runs as process {daemon.pid}")]
        floor.apply("line1/filler", behave="silent")
        wait_for(lambda: doctor(plant).code == 3, "the outage")
        ((state, text),) = checks(doctor(plant), "line1/filler")
        assert (state, text.split()[0]) == ("unseen", "unreachable")
    assert [plc.seen.connections for plc in floor.plcs.values()][1] == 1


def test_a_device_that_takes_no_connection_is_named(floor: RunningFloor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    plant = PlantFolder(tmp_path, {"good": floor.plcs["line1/filler"].address, "gone": f"modbus://127.0.0.1:{port}/1"})
    done = doctor(plant)
    assert done.code == 3
    assert checks(done, "gone") == [("unseen", f"127.0.0.1:{port}: Connection refused")]
    assert checks(done, "store") == [("warn", "there is none yet")]
    assert not (tmp_path / "asbuilt.db").exists(), "it makes nothing"


def test_what_is_wrong_in_plant_toml_is_all_said(plant: PlantFolder) -> None:
    plant.file.write_text(plant.file.read_text().replace('every = "300ms"', 'evry = "300ms"'))
    done = doctor(plant)
    assert done.code == 2
    assert len(checks(done, "plant.toml")) == 2
    plant.file.write_bytes(b"\xff[")
    assert doctor(plant).code == 2
    plant.file.unlink()
    assert doctor(plant).code == 2


def test_where_reports_are_put_and_what_writes_them_is_looked_at(floor: RunningFloor, tmp_path: Path) -> None:
    more = '[report.r]\nkind = "inventory"\nformats = ["pdf", "html", "xlsx", "csv", "json", "cyclonedx"]\n'
    plant = PlantFolder(tmp_path, {"good": floor.plcs["line1/filler"].address}, more)
    done = doctor(plant)
    assert (done.code, checks(done, "report r")) == (0, [("ok", f"{tmp_path / 'reports'} can be written")])
    assert not (tmp_path / "reports").exists(), "it makes nothing"


@contextmanager
def broken(plant: PlantFolder, how: str) -> Iterator[str]:
    """A store in a bad way; what is said of it."""
    file = plant.folder / "asbuilt.db"
    match how:
        case "no database":
            file.write_bytes(b"this is no database" * 1000)
            yield "not a database"
        case "a damaged page":
            with file.open("r+b") as damaged:
                damaged.seek(3 * 4096)
                damaged.write(os.urandom(8 * 4096))
            yield "damaged"
        case "a newer schema":
            with sqlite3.connect(file) as store:
                store.execute("UPDATE alembic_version SET version_num = '9999'")
            yield "of a newer asbuilt"
        case "a folder":
            file.unlink()
            file.mkdir()
            yield "unable to open"
        case _:
            raise ValueError(how)


@pytest.mark.parametrize("how", ["no database", "a damaged page", "a newer schema", "a folder"])
def test_a_store_that_is_broken_is_said_to_be(plant: PlantFolder, how: str) -> None:
    plant.commissioned()
    with broken(plant, how) as said:
        done = doctor(plant)
    assert done.code == 2
    assert any(said in text for text in failed(done)), done.out


def test_an_older_schema_is_not_migrated(plant: PlantFolder) -> None:
    plant.commissioned()
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '0003'")
    assert checks(doctor(plant), "schema") == [("warn", f"0003, and this asbuilt has {HEAD}")]
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        assert store.execute("SELECT version_num FROM alembic_version").fetchone() == ("0003",)


def test_a_store_of_the_future_means_a_wrong_clock(plant: PlantFolder) -> None:
    plant.commissioned()
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        store.execute("UPDATE run SET last_at = replace(last_at, '20', '21')")
    assert any("it was set back" in text for _, text in checks(doctor(plant), "clock"))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_that_others_can_read(plant: PlantFolder) -> None:
    plant.commissioned()
    (plant.folder / "asbuilt.key").chmod(0o640)
    done = doctor(plant)
    assert done.code == 2
    assert [text for text in failed(done) if "asbuilt.key (0640)" in text]


@pytest.mark.parametrize(
    ("more", "what", "said"),
    [
        ('[segment.s]\ninterface = "eth77"\n', "segment s", "there is no interface eth77"),
        ('[notify.n]\nkind = "webhook"\nurl = "http://no-such-host.invalid/"\n', "notify.n", "has no address"),
        ('[evidence]\ncheckpoints = ["/nowhere/at/all/file"]\n', "evidence", "cannot be written"),
        ('[report.r]\nkind = "audit"\nto = "/nowhere/at/all"\n', "report r", "/nowhere/at/all cannot be written"),
        ('[report.r]\nkind = "audit"\nto = "p9.toml"\n', "report r", "p9.toml cannot be written"),
    ],
)
def test_what_else_can_be_missing(floor: RunningFloor, tmp_path: Path, more: str, what: str, said: str) -> None:
    plant = PlantFolder(tmp_path, {"good": floor.plcs["line1/filler"].address}, more)
    done = doctor(plant)
    found: list[tuple[str, Any]] = [each for each in checks(done, what) if said in each[1]]
    assert found, done.out
    assert done.code == (3 if found[0][0] == "unseen" else 2)
