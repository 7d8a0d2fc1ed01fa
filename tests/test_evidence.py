"""Evidence in use: made by what people do, verified by a command, and never in the way of watching the plant."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from baselines.audit import Checkpoint
from monitor import evidence, keys, persons, store, verifier
from monitor.config import load_plant
from monitor.errors import CallError, NotNow
from monitor.store import Database, Person
from tests import stranger
from tests.databases import python, said
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.histories import KIM, PLANT, History, history
from tests.measured import note, times

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def made(tmp_path: Path, database: Database) -> History:
    return history(tmp_path, database)


def plant_of(folder: Path, database: Database, checkpoints: str = '"asbuilt.checkpoints"') -> History:
    """A plant in which nothing has happened yet."""
    written = PLANT.replace('"asbuilt.checkpoints", "second.checkpoints"', checkpoints)
    (folder / "plant.toml").write_text(written)
    return History(load_plant(folder / "plant.toml"), database)


def lines(path: Path) -> list[dict[str, Any]]:
    return list(verifier.read_checkpoints(path))  # type: ignore[arg-type]


def test_the_history_of_a_plant_verifies_and_so_does_its_export(made: History, tmp_path: Path) -> None:
    result = evidence.verified_in_full(made.database, made.plant)
    assert (result.flaws, result.uncovered) == ([], 0)
    with made.database.read() as tx:
        evidence.export(tx, tmp_path / "export.jsonl")
    files = list(made.plant.evidence.files)
    assert verifier.main([str(tmp_path / "export.jsonl"), "--checkpoints", str(files[0])]) == 0
    assert stranger.verify(tmp_path / "export.jsonl", files, result.keys[0]) == result.entries
    assert files[0].read_text() == files[1].read_text()


CHANGED = [
    "UPDATE audit_entry SET actor = 'mallory' WHERE id = 9",
    "UPDATE audit_entry SET detail = '{}' WHERE id = 9",
    "DELETE FROM audit_entry WHERE id = 9",
    "DELETE FROM audit_entry WHERE id > 40",
    "UPDATE audit_entry SET at = 'yesterday' WHERE id = 48",
    "UPDATE baseline SET reason = 'because' WHERE state = 'approved'",
    "UPDATE baseline SET decided_by = NULL WHERE state = 'approved'",
    "DELETE FROM sign_off WHERE id = 2",
    "UPDATE sign_off SET baseline_id = baseline_id + 1 WHERE id = 2",
    "UPDATE person SET roles = 'admin' WHERE name = 'bo'",
    "UPDATE person SET sealed = NULL WHERE name = 'bo'",
    "UPDATE person SET removed_at = NULL WHERE name = 'dan'",
    "UPDATE change_order SET ends_at = '2027-01-01T00:00:00.000Z' WHERE id = 1",
    "UPDATE expectation SET outcome = 'as-planned' WHERE outcome = 'missing'",
    "DELETE FROM excess",
    "UPDATE alert SET acknowledged_by = 'mallory' WHERE id = 5",
    "UPDATE alert SET cause = 'device-fault' WHERE cause IS NOT NULL",
    "UPDATE alert_move SET \"by\" = 'lee' WHERE \"by\" = 'kim'",
    "UPDATE snapshot SET text = text || ' '",
    "UPDATE document SET text = '{'",
    "UPDATE checkpoint SET head = 'x' WHERE entries = 4",
    "DELETE FROM checkpoint WHERE entries = 4",
    "UPDATE asset SET name = 'other' WHERE name = 'plc'",
]


def test_what_is_changed_in_the_database_is_found_and_nothing_is_approved_on_it(made: History) -> None:
    class Undone(Exception):
        pass

    for statement in CHANGED:
        with contextlib.suppress(Undone), made.database.write() as tx:
            changed = tx.execute(text(statement)).rowcount
            assert changed, statement
            assert evidence.verified(tx, made.plant).first_bad, statement
            if "checkpoint SET" not in statement:  # of an older one, which the newest covers
                with pytest.raises(NotNow, match="the evidence does not verify, and nothing can be approved on it"):
                    evidence.assure_sound(tx, made.plant)
            raise Undone
    assert evidence.verified_in_full(made.database, made.plant).flaws == []


# The commands


def spoil(plant: PlantFolder, *statements: str) -> None:
    with closing(sqlite3.connect(plant.folder / "asbuilt.db", isolation_level=None, timeout=20)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_verify_names_the_first_bad_entry_and_ends_with_4(plant: PlantFolder) -> None:
    plant.commissioned()
    whole = plant.asbuilt("verify", "--json")
    assert whole.code == 0
    assert whole.json | {"keys": []} == {
        "entries": 6, "checkpoints": 2, "ok": True, "first_bad": None, "flaws": 0, "uncovered": 0, "keys": [],
    }  # fmt: skip
    (key,) = whole.json["keys"]
    assert plant.asbuilt("verify", "--key", key).code == 0
    assert plant.asbuilt("verify", "--key", "0" * 64).code == 4
    (plant.folder / "asbuilt.checkpoints").rename(plant.folder / "aside")
    gone = plant.asbuilt("verify")
    assert (gone.code, "are missing" in gone.out) == (4, True)
    assert plant.asbuilt("verify", "--checkpoints", "nowhere").code == 2
    cut = (plant.folder / "aside").read_text().splitlines(keepends=True)[0]
    (plant.folder / "asbuilt.checkpoints").write_text(cut)
    assert "has no checkpoint at entry 6: lines of it were cut off" in plant.asbuilt("verify").out
    (plant.folder / "aside").rename(plant.folder / "asbuilt.checkpoints")
    spoil(plant, "UPDATE audit_entry SET actor = 'mallory' WHERE id = 4")
    bad = plant.asbuilt("verify", "--json")
    assert bad.code == 4
    why = "its content is not what its hash was taken over"
    assert bad.json["first_bad"] == {"entry": 4, "why": why}
    assert plant.asbuilt("verify").out == f"entry 4 does not verify: {why}\n"


GARBAGE = [
    "UPDATE audit_entry SET detail = 'no JSON' WHERE id = (SELECT max(id) FROM audit_entry)",
    "UPDATE audit_entry SET detail = x'00ff', at = 5, actor = x'ff' WHERE id = 2",
    "UPDATE audit_entry SET detail = '[]' WHERE action = 'key.add'",
    "UPDATE audit_entry SET detail = 'null' WHERE action = 'configuration.change'",
    "UPDATE audit_entry SET id = 9000000000000000000 WHERE id = (SELECT max(id) FROM audit_entry)",
    "UPDATE document SET text = '['",
    "UPDATE checkpoint SET at = 'never', head = 9",
    "INSERT INTO checkpoint SELECT entries + 1000000, head, at, key, signature FROM checkpoint LIMIT 1",
    "UPDATE baseline SET proposed_at = 'x' WHERE id = 1",
    "UPDATE person SET roles = x'ff'",
]


@pytest.mark.parametrize("statement", GARBAGE)
def test_garbage_in_a_store_is_a_sentence(statement: str, tmp_path: Path) -> None:
    """Whatever is in the way: verifying says which entry, approving refuses, and neither is a traceback."""
    plant = PlantFolder(tmp_path, {"plc": "modbus://127.0.0.1:9/1"})
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        started = History(load_plant(plant.file), database)
        started.register("ada", "admin")
        started.propose("plc", a=1)
    spoil(plant, statement)
    verified = plant.asbuilt("verify")
    assert (verified.code, verified.err) == (4, "")
    approved = plant.asbuilt("baseline", "approve", "plc", "--reason", "r")
    assert approved.code == 2
    assert "the evidence does not verify, and nothing can be approved on it" in approved.err
    for words in (["key", "show"], ["key", "rotate", "--reason", "r"]):
        assert plant.asbuilt(*words).code in (0, 2), words


def test_nothing_is_built_on_a_broken_chain(plant: PlantFolder) -> None:
    plant.commissioned()
    assert plant.asbuilt("baseline", "export", "-o", "fat.zip").code == 0
    with sqlite3.connect(plant.folder / "asbuilt.db") as opened:
        opened.execute("UPDATE audit_entry SET actor = 'mallory' WHERE id = 2")
    for words in (
        ("baseline", "import", "fat.zip", "--reason", "FAT"),
        ("vault", "add", "line1/filler", "p9.toml", "--kind", "document"),
        ("kit", "line1/filler", "-o", "kit"),
        ("key", "rotate", "--reason", "yearly"),
    ):
        refused = plant.asbuilt(*words)
        assert (refused.code, "entry 2:" in refused.err) == (2, True), words
    assert not (plant.folder / "kit").exists()


def test_a_broken_chain_stops_approvals_and_nothing_else(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    opened = plant.asbuilt("change", "open", "--asset", "line2/filler", "--expect", "item.limit=13", "--until", "+1h",
                           "--ticket", "T")  # fmt: skip
    with plant.daemon():
        wait_for(lambda: "evidence.sound" in events(plant), "the evidence to be verified")
        spoil(
            plant,
            "UPDATE audit_entry SET detail = 'no JSON', at = 'x' WHERE id = (SELECT max(id) FROM audit_entry)",
            "INSERT INTO checkpoint SELECT entries + 1, head, at, key, signature FROM checkpoint LIMIT 1",
        )
        floor.apply("line1/filler", set={"limit": 14.0})
        wait_for(lambda: alarms(plant), "the alarm")
        (alert,) = alarms(plant)
        acknowledged = plant.asbuilt("alerts", "ack", str(alert["id"]), "--reason", "seen")
        assert acknowledged.code == 0
        assert alarms(plant)[0]["state"] == "ACKED"
        assert plant.asbuilt("baseline", "propose", "line1/filler").code == 0
        for words in (
            ["baseline", "approve", "line1/filler", "--reason", "r"],
            ["change", "close", opened.out.strip(), "--as-seen"],
            ["key", "rotate", "--reason", "r"],
        ):
            refused = plant.asbuilt(*words)
            assert (refused.code, "the evidence does not verify" in refused.err) == (2, True), words
            assert re.search(r"entry \d+: ", refused.err)
        before = floor.plcs["line2/filler"].seen.total
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > before + 9, "three more polls")
    with plant.daemon():
        wait_for(lambda: "evidence.broken" in events(plant), "the daemon to say it")
        floor.apply("line1/filler", set={"limit": 15.0})
        wait_for(lambda: any(each["observed"] == 15.0 for each in alarms(plant)), "the alarm to move on")
    (line,) = [line for line in plant.log() if line["event"] == "evidence.broken"]
    assert isinstance(line["entry"], int)
    assert not {"bug", "store.failed"} & {*events(plant)}


def alarms(plant: PlantFolder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plant.asbuilt("alerts", "list", "line1/filler", "--json").json["alerts"]
    return found


def events(plant: PlantFolder) -> list[str]:
    return [line["event"] for line in plant.log()]


def test_a_daemon_that_begins_keeps_the_newest_checkpoint_where_a_crash_left_it_out(plant: PlantFolder) -> None:
    plant.commissioned()
    outside = plant.folder / "asbuilt.checkpoints"
    whole = outside.read_text()
    outside.write_text(whole.splitlines(keepends=True)[0] + whole.splitlines()[1][:80])
    with plant.daemon():
        wait_for(lambda: whole.splitlines()[1] + "\n" in outside.read_text(), "the line to be there")
    assert plant.asbuilt("verify").code == 0


# Where checkpoints are kept outside


def decide(made: History) -> None:
    made.propose("plc", a=made.minutes)


RFC_5424 = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<at>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\d+) (?P<id>\S+) - (?P<message>.*)"
)


def parsed(message: bytes) -> dict[str, str]:
    """A syslog message, by our own reading of RFC 5424."""
    fitting = RFC_5424.fullmatch(message.decode())
    assert fitting is not None
    found = fitting.groupdict()
    assert divmod(int(found["priority"]), 8) == (13, 5)  # log audit, notice
    datetime.fromisoformat(found["at"])
    assert (found["app"], found["id"]) == ("asbuilt", "checkpoint")
    return found


def test_syslog_receivers_get_every_checkpoint(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database,
    ):
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(10)
        tcp.settimeout(10)
        places = [f"syslog://127.0.0.1:{udp.getsockname()[1]}", f"syslog+tcp://127.0.0.1:{tcp.getsockname()[1]}"]
        database.migrate()
        made = plant_of(tmp_path, database, ", ".join(f'"{place}"' for place in places))
        decide(made)
        datagram = parsed(udp.recv(65536))["message"]
        connection, _ = tcp.accept()
        with connection, connection.makefile("rb") as stream:
            framed = stream.read()
        length, _, message = framed.partition(b" ")
        assert int(length) == len(message)
        assert parsed(message)["message"] == datagram
        assert made.said == []
    (tmp_path / "syslog").write_text(f"Nov 25 20:00:00 plant asbuilt[1]: {datagram}\n")
    tables = made_tables(tmp_path)
    assert verifier.verify(tables, verifier.read_checkpoints(tmp_path / "syslog")).uncovered == 0


def made_tables(folder: Path) -> Any:
    with closing(verifier.open_store(folder / "asbuilt.db")) as opened:
        return {table: list(rows) for table, rows in verifier.read_store(opened).items()}


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system on which nothing fits any more."""
    place = folder / "full"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs a file system of its own")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_under_the_checkpoints_is_said_and_the_decision_stands(tmp_path: Path) -> None:
    with full_disk(tmp_path) as place, closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database, f'"{place / "checkpoints"}"')
        decide(made)
        ballast = place / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(100)):
                pass
        while not made.said:
            decide(made)
        assert f"could not be kept in {place / 'checkpoints'}: {os.strerror(errno.ENOSPC)}" in made.said[0]
        why = evidence.verified_in_full(database, made.plant).flaws[0].why
        assert "or could not be written" in why
        made.approve("plc")  # what could not be written is no reason to stop the plant's people
        ballast.unlink()
        decide(made)
        assert evidence.verified_in_full(database, made.plant).flaws == []


def test_receivers_that_are_gone_or_hang_hold_nobody_up(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as hanging,  # nobody accepts, nobody reads
        contextlib.ExitStack() as waiting,
        closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database,
    ):
        port = hanging.getsockname()[1]
        for _ in range(8):  # so that its queue is full
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        database.migrate()
        gone = '"syslog+tcp://127.0.0.1:1", "syslog://nowhere.invalid:514"'
        hang = ", ".join([f'"syslog+tcp://127.0.0.1:{port}"'] * 5)
        made = plant_of(tmp_path, database, f'"/nowhere/at/all", {gone}, {hang}')
        began = time.monotonic()
        decide(made)
        seconds = time.monotonic() - began
    assert seconds < evidence.SEND_SECONDS + 1
    told = "\n".join(made.said)
    assert "could not be kept in /nowhere/at/all: No such file" in told
    assert "127.0.0.1:1: Connection refused" in told
    assert "nowhere.invalid:514" in told
    assert told.count(f"127.0.0.1:{port} within 3 s") == 5
    note("a decision does not wait for places outside that hang", places=8, seconds=round(seconds, 2))


def test_a_receiver_that_accepts_and_never_reads_holds_nobody_up(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database,
    ):
        database.migrate()
        made = plant_of(tmp_path, database, f'"syslog+tcp://127.0.0.1:{server.getsockname()[1]}"')
        accepted: list[socket.socket] = []
        threading.Thread(target=lambda: accepted.append(server.accept()[0]), daemon=True).start()
        began = time.monotonic()
        decide(made)
        assert time.monotonic() - began < evidence.SEND_SECONDS
        wait_for(lambda: accepted, "the connection")
        accepted[0].close()


APPENDING = """
import sys
from monitor.evidence import _append
for number in range(int(sys.argv[2])):
    _append(sys.argv[1], f"{sys.argv[3] * 300}{number}\\n")
print("done", flush=True)
"""


def test_two_processes_that_write_checkpoints_at_once_mix_no_lines(tmp_path: Path) -> None:
    path, count = tmp_path / "checkpoints", times(100, 2000)
    both = [python(APPENDING, str(path), str(count), letter) for letter in "ab"]
    for process in both:
        with process:
            assert said(process) == "done"
    expected = {f"{letter * 300}{number}" for letter in "ab" for number in range(count)}
    assert sorted(path.read_text().split()) == sorted(expected)


DECIDING = """
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from monitor import evidence, store
from monitor.config import load_plant
from monitor.store import Actor, Database
plant = load_plant(Path(sys.argv[1]))
database = Database(plant.store_url)
for number in range(int(sys.argv[2])):
    with evidence.deciding(plant, database, Actor("kim", ""), print) as tx:
        store.audit(tx, datetime.now(UTC), Actor("kim", ""), "note", str(number))
print("done", flush=True)
"""


def test_two_processes_that_decide_at_once_make_one_chain(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        count = times(10, 200)
        both = [python(DECIDING, str(tmp_path / "plant.toml"), str(count)) for _ in range(2)]
        for process in both:
            with process:
                assert said(process) == "done"
        result = evidence.verified_in_full(database, made.plant)
        assert (result.flaws, result.uncovered) == ([], 0)
        assert result.checkpoints == 2 * count


# Crashes


def test_kill_9_at_any_moment_leaves_evidence_that_verifies(tmp_path: Path) -> None:
    """Between the commit and the writing outside too: the next decision goes on."""
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        decide(made)
        kills = times(3, 60)
        for turn in range(kills):
            process = python(DECIDING, str(tmp_path / "plant.toml"), "100000")
            with process:
                enough = entries(database) + 1 + turn % 7
                wait_for(partial(lambda enough: entries(database) >= enough, enough), "decisions")
                process.kill()
        made.approve("plc")
        assert evidence.verified_in_full(database, made.plant).flaws == []
        note("kill -9 while decisions are made leaves evidence that verifies", kills=kills, entries=entries(database))


def entries(database: Database) -> int:
    with database.read() as tx:
        return store.last_audit_id(tx)


def test_a_crash_after_the_commit_loses_only_the_line_outside(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        decide(made)
        silent = replace(made.plant, evidence=replace(made.plant.evidence, files=()))
        with evidence.deciding(silent, database, KIM, made.said.append) as tx:
            store.audit(tx, datetime.now(UTC), KIM, "note")
        result = evidence.verified_in_full(database, made.plant)
        assert (len(result.flaws), result.uncovered) == (1, 1)  # and it is said how many nobody would miss
        with database.read() as tx:
            evidence.publish_newest(tx, made.plant, made.said.append)
        assert evidence.verified_in_full(database, made.plant).flaws == []


def test_rotating_the_key_survives_a_crash_at_each_point(tmp_path: Path, database: Database) -> None:
    made = plant_of(tmp_path, database)
    decide(made)
    key = made.plant.evidence.key
    with contextlib.suppress(KeyError), database.write() as tx:  # before the commit
        evidence.rotate_key(tx, made.plant.evidence, KIM, made.now, "yearly")
        raise KeyError
    decide(made)
    old = keys.load(key).key
    with database.write() as tx:  # after the commit, before anything was published or moved
        evidence.rotate_key(tx, made.plant.evidence, KIM, made.now, "yearly")
    with database.read() as tx:
        new = dict(store.last_detail(tx, "key.rotate") or {})["public_key"]
    assert keys.load(key).key == old
    os.replace(key, key.with_name(f"{key.name}.{old[:8]}"))  # after the old one was put aside
    decide(made)
    assert keys.load(key).key == new
    made.rotate()
    made.rotate()
    decide(made)
    assert made.said == []
    result = evidence.verified_in_full(database, made.plant)
    assert (result.flaws, len(result.keys)) == ([], 4)


def test_a_file_that_somebody_put_in_the_way_of_a_rotation_takes_nothing(tmp_path: Path, database: Database) -> None:
    made = plant_of(tmp_path, database)
    decide(made)
    key = made.plant.evidence.key
    known = keys.load(key).key
    keys.save(keys.Signer.new(), key.with_name(f"{key.name}.{known[:8]}.new"))
    decide(made)
    assert (keys.load(key).key, made.said) == (known, [])


def test_a_key_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.save(keys.Signer.new(), path)
    assert (path.stat().st_mode & 0o777, [each.name for each in tmp_path.iterdir()]) == (0o600, ["key"])
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keys.save(keys.Signer.new(), path)
    assert (path.read_bytes(), len(list(tmp_path.iterdir()))) == (before, 1)


def other_key(key: Path) -> Path:
    path = key.with_name("other")
    keys.save(keys.Signer.new(), path)
    return path


@pytest.mark.parametrize(
    ("spoil_it", "why"),
    [
        (lambda key: key.write_text("no key"), "holds no Ed25519 private key"),
        (lambda key: key.chmod(0o644), "may be read by others"),
        (lambda key: key.unlink(), "cannot be read: no such file"),
        (lambda key: os.replace(other_key(key), key), "is not the key of this chain"),
    ],
)
def test_without_the_key_of_the_plant_decisions_stand_and_it_is_said(
    tmp_path: Path, database: Database, spoil_it: Callable[[Path], object], why: str
) -> None:
    made = plant_of(tmp_path, database)
    decide(made)
    spoil_it(made.plant.evidence.key)
    decide(made)
    assert len(made.said) == 1
    assert made.said[0].startswith("no checkpoint was made: ")
    assert why in made.said[0]
    assert entries(database) == 4
    with pytest.raises(CallError), database.write() as tx:
        evidence.rotate_key(tx, made.plant.evidence, KIM, made.now, "lost")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs another user")
def test_somebody_who_may_not_read_the_key_decides_all_the_same(tmp_path: Path) -> None:
    """As nobody: the key and the file of the checkpoints are root's."""
    tmp_path.chmod(0o777)
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        decide(made)
        tmp_path.parent.chmod(0o755)
        for file in tmp_path.glob("asbuilt.db*"):
            file.chmod(0o666)
        os.seteuid(65534)
        try:
            decide(made)
        finally:
            os.seteuid(0)
        assert len(made.said) == 1
        assert "cannot be read: permission denied" in made.said[0]
        decide(made)
        assert evidence.verified_in_full(database, made.plant).flaws == []


# Persons


def test_nobody_makes_themselves_admin(tmp_path: Path, database: Database) -> None:
    made = plant_of(tmp_path, database)
    made.register("ada", "admin")
    made.register("bo", "supplier", by="ada")
    with pytest.raises(NotNow, match="bo is no admin; ada can do this"):
        made.register("bo", "supplier", "admin", by="bo")
    with pytest.raises(NotNow, match="bo is no admin"):
        made.register("cem", "supplier", by="bo")
    made.register("bo", by="bo")
    twin = Person("bo", (), made.signers["ada"].key)
    with made.deciding(made.actor("bo")) as tx, pytest.raises(NotNow, match="a key is one person's own"):
        persons.add_person(tx, twin, made.actor("bo"), made.now)
    assert evidence.verified_in_full(database, made.plant).flaws == []


# What the page says


SUBJECTS = "alert|artefact|asset|baseline|change|configuration|key|person"
AUDITED = re.compile(r'\baudit\([^"()]*(?:\([^()]*\)[^"()]*)*"([a-z]+\.[a-z-]+)"')
NO_ACTIONS = {
    "alert.id",
    "asset.id",
    "baseline.id",
    "asset.back",
    "asset.gone",
    "asset.returned",
    "asset.unwatched",
    "asset.watched",
}  # columns, words of the log


def test_every_action_is_on_the_page() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", page, re.MULTILINE))
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "monitor").rglob("*.py")]
    written = {word for text in texts for word in re.findall(rf'"((?:{SUBJECTS})\.[a-z-]+)"', text)} - NO_ACTIONS
    written |= {word for text in texts for word in AUDITED.findall(text)}
    assert "kit.export" in written
    assert written <= named
    assert {*verifier.STEPS} <= named
    assert len(written) > 15


def test_a_checkpoint_is_one_line_of_canonical_json() -> None:
    made = Checkpoint(7, "h", datetime(2026, 11, 25, tzinfo=UTC), "k", "s")
    said = '"at":"2026-11-25T00:00:00.000Z","entries":7,"head":"h","key":"k"'
    assert (made.statement().decode(), made.line()) == ("{" + said + "}", "{" + said + ',"signature":"s"}')
    assert json.loads(made.line()) == {**json.loads(made.statement()), "signature": "s"}
    assert verifier.line_of(json.loads(made.line())) == made.line()
