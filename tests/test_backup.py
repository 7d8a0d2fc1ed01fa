"""Backups and restores: one moment, all that a plant needs, and nothing believed that was tampered with."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from baselines.artefact import ArtefactKind
from baselines.baseline import State
from monitor import artefacts, evidence, store, tables, verifier
from monitor.archive import opened_archive
from monitor.backup import ABOUT, Made, back_up, scheduled
from monitor.bundle_files import MANIFEST, SIGNATURE
from monitor.config import load_plant
from monitor.errors import CallError, NotNow, Unverified, UserError
from monitor.keys import Signer
from monitor.restoring import Restored, check, restore
from monitor.seal import KEY, seal_of
from monitor.store import Database, store_url
from monitor.store.dump import TABLES
from monitor.vault import Vault
from tests.databases import ROOT, python
from tests.floors import PlantFolder
from tests.histories import KIM, PLANT, History, history
from tests.measured import note, times

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
IMAGE = b"firmware 2.4.1" * 1000


@dataclass
class Site:
    """A plant with a history, and its backup."""

    folder: Path
    made: History
    backup: Made

    @property
    def path(self) -> Path:
        return self.backup.path


def attach(made: History, folder: Path) -> None:
    image = folder / "image.bin"
    image.write_bytes(IMAGE)
    kept = [("image.bin", Vault(made.plant.vault).keep(image))]
    with made.deciding(made.actor("ada")) as tx:
        artefacts.attach(tx, "plc", State.APPROVED, kept, ArtefactKind.FIRMWARE, made.actor("ada"), made.now)


@contextlib.contextmanager
def lived(folder: Path, database: Database) -> Iterator[History]:
    """A plant that went through a little, in a folder."""
    folder.mkdir()
    (folder / "plant.toml").write_text(PLANT)
    made = History(load_plant(folder / "plant.toml"), database)
    made.register("ada", "admin")
    made.propose("plc", a=1, b=2)
    made.approve("plc")
    attach(made, folder)
    for values in ({"a": 5, "b": 6}, {"a": 1, "b": 2}):
        made.observe("plc", **values)
    yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with contextlib.closing(Database(store_url("sqlite:///plant/asbuilt.db", folder))) as database:
        (folder / "plant").mkdir()
        database.migrate()
        made = history(folder / "plant", database)
        attach(made, folder)
        yield Site(folder, made, back_up(made.plant, database, folder / "backup.zip", NOW))


def restored(path: Path, into: Path, url: str = "", said: list[str] | None = None) -> Restored:
    with opened_archive(path) as archive:
        found = check(archive)
        assert not found.result.flaws
        say = said.append if said is not None else pytest.fail
        return restore(archive, found, into, lambda *_: KIM, NOW, "the disk died", say, url)


def all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.read() as tx:
        return {
            name: [json.loads(line) for part in store.dumped(tx, name) for line in part.splitlines()] for name in TABLES
        }


@contextlib.contextmanager
def plant_in(file: Path) -> Iterator[tuple[Any, Database]]:
    plant = load_plant(file)
    with contextlib.closing(Database(plant.store_url)) as database:
        database.migrate()
        yield plant, database


def test_a_plant_goes_on_elsewhere_with_all_that_it_had(site: Site, url: str, tmp_path: Path) -> None:
    """Also on the other kind of database."""
    before = all_rows(site.made.database)
    done = restored(site.path, tmp_path / "new", url)
    with plant_in(done.plant) as (plant, database):
        after = all_rows(database)
        for name in TABLES:
            assert all(row in after[name] for row in before[name]), name
        result = evidence.verified_in_full(database, plant)
        assert (result.flaws, result.uncovered) == ([], 0)
        with database.read() as tx:
            (entry,) = [each for each in store.audit_entries(tx) if each.action == "store.restore"]
        assert (entry.id, entry.actor, entry.detail["reason"]) == (done.entry, "kim", "the disk died")
        assert entry.detail["entries"] == str(len(before["audit_entry"]))
        assert entry.detail["manifest"] == site.backup.seal.manifest
        digest = sha256(IMAGE).hexdigest()
        assert Vault(plant.vault).path(digest).read_bytes() == IMAGE
        assert plant.evidence.key.stat().st_mode & 0o077 == 0
        on = History(plant, database, minutes=10_000)
        on.propose("plc", a=77)  # numbers go on, the key signs
        on.observe("oven", a=3)
        assert on.said == []
        assert not evidence.verified_in_full(database, plant).flaws


def test_every_kind_of_database_is_backed_up(database: Database, tmp_path: Path) -> None:
    with lived(tmp_path / "plant", database) as made:
        back_up(made.plant, database, tmp_path / "backup", NOW)
        done = restored(tmp_path / "backup", tmp_path / "new", "sqlite:///asbuilt.db")
        with plant_in(done.plant) as (_, copy):
            assert all_rows(copy)["alert_move"] == all_rows(database)["alert_move"]


def test_what_is_in_it_is_for_its_owner_alone_and_says_so(site: Site, tmp_path: Path) -> None:
    assert site.backup.is_secret
    assert site.path.stat().st_mode & 0o077 == 0
    made = back_up(site.made.plant, site.made.database, tmp_path / "b", NOW, with_vault=False, with_key=False)
    assert not made.is_secret
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "b").rglob("*") if path.is_file())
    left = {each.path for each in made.about.left_out}
    assert {"asbuilt.key", "asbuilt.vault"} <= left
    private = site.made.plant.evidence.key.read_bytes()
    assert not any(path.read_bytes() == private for path in (tmp_path / "b").rglob("*") if path.is_file())
    said: list[str] = []
    done = restored(tmp_path / "b", tmp_path / "new", said=said)
    assert len(said) == 1
    assert said[0].startswith("no checkpoint was made: the key")
    done.plant.with_name("asbuilt.key").write_bytes(private)
    done.plant.with_name("asbuilt.key").chmod(0o600)
    with plant_in(done.plant) as (plant, database):
        evidence.cover(plant, database, pytest.fail)
        assert not evidence.verified_in_full(database, plant).flaws


def test_secrets_are_named_and_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "plant"
    folder.mkdir()
    for name in ("ours.pem", "ours.key", "password", "theirs.der"):
        (folder / name).write_text(f"content of {name}")
    (folder / "plant.toml").write_text(
        '[plant]\nname = "T"\n[store]\nurl = "sqlite:///asbuilt.db"\n[asset."a.b"]\naddress = "opc.tcp://10.0.0.9:4840"\n'
        'profile = "auto"\nsecurity = "Basic256Sha256:Sign"\ncertificate = "ours.pem"\nprivate_key = "ours.key"\n'
        'server_certificate = "theirs.der"\nuser = "u"\npassword_file = "password"\n'
    )
    with plant_in(folder / "plant.toml") as (plant, database):
        made = back_up(plant, database, tmp_path / "b", NOW)
        assert {each.path for each in made.about.left_out} == {"ours.key", "password"}
        assert {each.path for each in made.about.files} >= {"ours.pem", "theirs.der", "plant.toml", "asbuilt.key"}
        everything = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())
        assert b"content of password" not in everything
        assert b"content of ours.key" not in everything
    done = restored(tmp_path / "b", tmp_path / "new")
    assert done.plant.with_name("theirs.der").read_text() == "content of theirs.der"


# Tampered with.


def refused(path: Path) -> str:
    """Why a backup is refused; nothing of it is there afterwards."""
    with pytest.raises((CallError, Unverified)) as caught, opened_archive(path) as archive:
        check(archive)
    return str(caught.value)


@pytest.fixture
def folder(site: Site, tmp_path: Path) -> Path:
    """The backup as a folder, to be changed."""
    with zipfile.ZipFile(site.path) as packed:
        packed.extractall(tmp_path / "b")
    return tmp_path / "b"


def test_every_file_is_held_against_the_manifest(folder: Path) -> None:
    with opened_archive(folder) as archive:
        assert not check(archive).result.flaws
    for path in [each for each in folder.rglob("*") if each.is_file()]:
        content = path.read_bytes()
        harmed = [content + b" ", content[:-1], bytes([content[0] ^ 1, *content[1:]])] if content else [b"\n"]
        for other in harmed:
            path.write_bytes(other)
            assert path.name in refused(folder) or path.name.startswith(MANIFEST), path
        path.unlink()
        assert refused(folder), path
        path.write_bytes(content)
    (folder / "store" / "more.jsonl").write_bytes(b"")
    assert "MANIFEST does not name it" in refused(folder)


def test_a_byte_of_a_zip_that_is_another_is_found_or_changes_nothing(site: Site, tmp_path: Path) -> None:
    content, path = site.path.read_bytes(), tmp_path / "b.zip"
    step = max(1, len(content) // times(40, 2000))
    places, found = [*range(0, len(content), step), *range(len(content) - 60, len(content), 7)], 0
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            with opened_archive(path) as archive:
                for name in archive.listed:
                    list(archive.pieces(name))
                assert archive.seal == site.backup.seal
        except UserError:
            found += 1
    note("a byte of a backup that is another is found, or changes nothing", bytes=len(places), found=found)
    for end in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        assert refused(path)


def resealed(folder: Path, signer: Signer, **changes: object) -> None:
    """What somebody makes who has a key: another BACKUP.json, and a seal."""
    about = json.loads((folder / ABOUT).read_text()) | changes
    (folder / ABOUT).write_text(json.dumps(about))
    (folder / KEY).write_text(verifier.pem(signer.key))
    there = [each for each in folder.rglob("*") if each.is_file() and each.name not in (MANIFEST, SIGNATURE)]
    digests = {each.relative_to(folder).as_posix(): sha256(each.read_bytes()).hexdigest() for each in there}
    for name, content in seal_of(digests, signer).items():
        (folder / name).write_bytes(content)


def plant_signer(site: Site) -> Signer:
    from monitor import keys

    return keys.load(site.made.plant.evidence.key)


def test_who_signs_has_to_be_the_plant_in_it(site: Site, folder: Path) -> None:
    with opened_archive(folder) as archive, pytest.raises(Unverified, match="and not by"):
        check(archive, trust="ab" * 32)
    with opened_archive(folder) as archive:
        check(archive, trust=site.backup.seal.key.upper())
    resealed(folder, Signer.new())
    assert "is no key of the plant in it" in refused(folder)


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "a//b", "/etc/../evil", "a\\b", "C:evil", ".", "a\0b"])
def test_no_path_leads_out_of_the_folder(site: Site, folder: Path, path: str) -> None:
    about = json.loads((folder / ABOUT).read_text())
    about["files"][1]["path"] = path
    resealed(folder, plant_signer(site), files=about["files"])
    assert "is no place for a file" in refused(folder)


def test_an_absolute_path_is_written_elsewhere_and_said(site: Site, folder: Path, tmp_path: Path) -> None:
    about = json.loads((folder / ABOUT).read_text())
    about["files"][-1]["path"] = str(tmp_path / "outside" / "other.key")
    resealed(folder, plant_signer(site), files=about["files"])
    done = restored(folder, tmp_path / "new")
    assert not (tmp_path / "outside").exists()
    (is_at,) = done.elsewhere.values()
    assert Path(is_at).parent == tmp_path / "new" / "elsewhere"


@pytest.mark.parametrize("name", ["../evil", "/evil", "store/../../evil", "C:/evil"])
def test_no_name_in_a_zip_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as packed:
        packed.writestr(MANIFEST, "")
        packed.writestr(name, "evil")
    assert "is no name of a file" in refused(tmp_path / "b.zip")


def test_a_bomb_does_not_go_off(site: Site, folder: Path, tmp_path: Path) -> None:
    """A file that says that it is large is refused before it is unpacked; one that is larger than it says, at once."""
    (folder / "vault" / "00").mkdir(parents=True)
    (folder / "vault" / "00" / ("0" * 62)).write_bytes(bytes(2**20))
    resealed(folder, plant_signer(site))
    for claimed, why in ((2**52, "MB free"), (5, "broken: Bad CRC")):
        with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                packed.write(path, path.relative_to(folder).as_posix())
            packed.getinfo("vault/00/" + "0" * 62).file_size = claimed
        assert why in refused(tmp_path / "b.zip")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"backup": 99, "more": {}}, "made by a newer asbuilt"),
        ({"schema": "0099"}, "made by a newer asbuilt"),
        ({"tables": {"strange": 1}}, "nothing that asbuilt puts"),
        ({"entries": 3}, "does not end as"),
        ({"files": []}, "nothing that asbuilt puts"),
        ({"plant": 7}, "cannot be read"),
    ],
)
def test_what_a_backup_says_of_itself_is_checked(site: Site, folder: Path, changes: Any, why: str) -> None:
    resealed(folder, plant_signer(site), **changes)
    assert why in refused(folder)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"id": 1}', b'{"id":null,"name":null}', b"\xff", b"[" * 100_000])
def test_a_row_that_is_none_is_said(site: Site, folder: Path, line: bytes) -> None:
    with (folder / "store" / "asset.jsonl").open("ab") as file:
        file.write(line + b"\n")
    resealed(folder, plant_signer(site))
    assert "asset" in refused(folder)


def test_what_is_no_backup_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("text" * 100)
    for name in ("empty", "text", "nothing"):
        assert str(tmp_path / name) in refused(tmp_path / name)


# Restored.


def test_nothing_is_restored_over_a_plant(site: Site, url: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(NotNow, match=r"is not empty: it holds notes\.txt"):
        restored(site.path, tmp_path / "there")
    assert os.listdir(tmp_path / "there") == ["notes.txt"]
    restored(site.path, tmp_path / "new", url)
    with pytest.raises(NotNow, match="is not empty; name an empty one with --url"):
        restored(site.path, tmp_path / "other", url)
    assert not (tmp_path / "other").exists()
    with pytest.raises(NotNow, match="is not empty: it holds"):
        restored(site.path, tmp_path / "new", url)


def test_a_restore_that_fails_leaves_nothing(site: Site, url: str, tmp_path: Path) -> None:
    def fail(*_: object) -> Any:
        raise NotNow("this is not the key of kim")

    for into in (tmp_path / "new", tmp_path / "deep" / "er"):
        with opened_archive(site.path) as archive, pytest.raises(NotNow, match="not the key"):
            restore(archive, check(archive), into, fail, NOW, "", pytest.fail, url)
        assert not into.exists()
    restored(site.path, tmp_path / "new", url)


def test_a_store_of_an_older_schema_is_brought_up_to_date(site: Site, folder: Path, tmp_path: Path) -> None:
    about = json.loads((folder / ABOUT).read_text())
    new = ("pulse", "gap", "message", "route", "device", "self_test", "chore", "token")
    for name in new:
        (folder / "store" / f"{name}.jsonl").unlink()
    kept = {name: count for name, count in about["tables"].items() if name not in new}
    resealed(folder, plant_signer(site), schema="0003", tables=kept)
    with plant_in(restored(folder, tmp_path / "new").plant) as (plant, database):
        assert not evidence.verified_in_full(database, plant).flaws


def test_news_of_then_are_no_news(tmp_path: Path) -> None:
    with contextlib.closing(Database(store_url("sqlite:///asbuilt.db", tmp_path))) as database:
        database.migrate()
        with lived(tmp_path / "plant", database) as made:
            with database.write() as tx:
                rows = [("sent", "sent", NOW), ("waits", "waiting", None), ("fails", "failed", None)]
                for key, state, sent_at in rows:
                    values = {"route": "r", "severity": "high", "made_at": NOW, "due_at": NOW, "tries": 1, "body": "{}"}
                    tx.execute(insert(tables.message).values(key=key, state=state, sent_at=sent_at, why="", **values))
                tx.execute(insert(tables.route).values(name="r", move_id=1, held='{"a": 1}'))
                last = tx.execute(select(tables.alert_move.c.id).order_by(tables.alert_move.c.id.desc())).scalar()
            back_up(made.plant, database, tmp_path / "b.zip", NOW)
    assert last is not None
    done = restored(tmp_path / "b.zip", tmp_path / "new")
    assert (done.held.messages, done.held.moves) == (2, last - 1)
    with plant_in(done.plant) as (_, database), database.read() as tx:
        states = {row.key: row.state for row in tx.execute(select(tables.message))}
        assert states == {"sent": "sent", "waits": "dropped", "fails": "dropped"}
        assert [tuple(row) for row in tx.execute(select(tables.route))] == [("r", last, "")]


def test_newer_checkpoints_are_put_aside_and_prove_what_is_lost(tmp_path: Path) -> None:
    place = tmp_path / "worm" / "plant.checkpoints"
    place.parent.mkdir()
    with contextlib.closing(Database(store_url("sqlite:///asbuilt.db", tmp_path))) as database:
        database.migrate()
        with lived(tmp_path / "plant", database) as made:
            text = (tmp_path / "plant" / "plant.toml").read_text()
            (tmp_path / "plant" / "plant.toml").write_text(text.replace("second.checkpoints", str(place)))
            made.plant = load_plant(tmp_path / "plant" / "plant.toml")
            made.propose("oven", a=4)
            back_up(made.plant, database, tmp_path / "b.zip", NOW)
            kept = place.read_bytes()
            done = restored(tmp_path / "b.zip", tmp_path / "same")
            assert done.aside == []  # nothing came after the backup
            place.write_bytes(kept)
            made.propose("oven", a=5)
            made.propose("oven", a=6)
    lost = place.read_bytes()
    done = restored(tmp_path / "b.zip", tmp_path / "new")
    (aside,) = done.aside
    assert aside == place.with_name("plant.checkpoints.before-restore-20261125T020000Z")
    assert aside.read_bytes() == lost
    with plant_in(done.plant) as (plant, database):
        assert not evidence.verified_in_full(database, plant).flaws
        shown = evidence.verified_in_full(database, plant, more=[aside])
        assert shown.first_bad is not None
        assert f"entry {done.entry} says that a backup was restored" in shown.first_bad.why
        with database.write() as tx:  # a restore of what never was
            wrong = {"entries": "5", "head": "0" * 64}
            store.audit(tx, NOW, KIM, "store.restore", "", wrong)
        with database.read() as tx:
            found = verifier.verify(store.evidence(tx)).first_bad
        assert found is not None
        assert "another one" in found.why


# Killed, crowded, full.

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from sqlalchemy import Engine, event
import alembic.command, monitor.evidence
from monitor.archive import opened_archive
from monitor.backup import back_up
from monitor.config import load_plant
from monitor.restoring import check, restore
from monitor.store import Actor, Database
NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
what, source, folder, first, step, most = sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:])

def run(target):
    if what == "backup":
        plant = load_plant(Path(source))
        back_up(plant, Database(plant.store_url), target, NOW)
    else:
        with opened_archive(Path(source)) as archive:
            restore(archive, CHECKED[0], target, lambda *_: KIM, NOW, "", print)

CHECKED = []
if what == "restore":
    with opened_archive(Path(source)) as archive:
        CHECKED.append(check(archive))

def child(number):
    left = number
    def count(*_):
        nonlocal left
        left -= 1
        if left == -1:  # the call is an event itself
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    sys.addaudithook(lambda name, _: count() if name.split(".")[0] in ("open", "os") else None)
    run(folder / f"{number}" if what == "restore" else folder / f"{number}.zip")
    os._exit(0)

number = first
while number < most:
    pid = os.fork()
    if not pid:
        try:
            child(number)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(number, status, flush=True)
    if status == 0:
        break
    number += step
"""


def killed(what: str, source: Path, folder: Path, step: int) -> dict[int, int]:
    """Killed at every so-many-th statement and file that is touched, until one finishes; how each ended."""
    folder.mkdir()
    process = python(KILLED, what, str(source), str(folder), "0", str(step), "100000")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    ended = {int(number): int(code) for number, code in (line.split() for line in out.splitlines()[-100_000:])}
    assert list(ended.values())[-1] == 0, err
    assert set(list(ended.values())[:-1]) <= {-9}
    return ended


def test_a_killed_backup_has_no_name(site: Site, tmp_path: Path) -> None:
    ended = killed("backup", site.made.plant.path, tmp_path / "out", times(53, 1))
    there = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert max(ended) > times(60, 60)
    for name in there:
        with opened_archive(tmp_path / "out" / name) as archive:
            check(archive)
    assert f"{max(ended)}.zip" in there
    note("a killed backup has no name, or is whole", kills=len(ended) - 1)


def test_a_killed_restore_is_no_plant(site: Site, tmp_path: Path) -> None:
    ended = killed("restore", site.path, tmp_path / "out", times(131, 3))
    assert len(ended) > 3
    for number, code in ended.items():
        into = tmp_path / "out" / str(number)
        if code == 0 or (into / "plant.toml").exists():
            with plant_in(into / "plant.toml") as (plant, database):
                assert not evidence.verified_in_full(database, plant).flaws
        elif into.exists() and os.listdir(into):
            assert not (into / "plant.toml").exists()
            with pytest.raises(NotNow, match="did not finish: delete it"):
                restored(site.path, into)
    note("a killed restore is no plant, or a whole one", kills=len(ended) - 1)


def test_a_backup_is_of_one_moment_while_others_write(database: Database, tmp_path: Path) -> None:
    """A thousand rows a second, in pairs: no pair is torn, and nobody waits for the backup."""
    stop, written, longest = threading.Event(), [0], [0.0]
    with lived(tmp_path / "plant", database) as made:

        def write() -> None:
            values = {"asset_id": 1, "cause": "unreachable", "first_at": NOW, "last_at": NOW, "polls": 1}
            while not stop.is_set():
                began = datetime.now(UTC)
                with database.write() as tx:
                    tx.execute(insert(tables.run), [values | {"longest_gap": 0.0, "cause_text": "pair"}] * 10)
                    written[0] += 10
                longest[0] = max(longest[0], (datetime.now(UTC) - began).total_seconds())
                stop.wait(0.01)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(3):
                before = written[0]
                made_backup = back_up(made.plant, database, tmp_path / f"{number}.zip", NOW)
                with opened_archive(made_backup.path) as archive:
                    rows = [json.loads(line) for line in archive.lines("store/run.jsonl")]
                    pairs = sum(row["cause_text"] == "pair" for row in rows)
                assert pairs % 10 == 0
                assert pairs >= before - 10
        finally:
            stop.set()
            thread.join()
    assert written[0] > 0
    assert longest[0] < 2


def test_a_full_disk_is_said_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    """No file may be larger than a few blocks here."""
    command = (
        f"ulimit -f 8; exec {sys.executable} -m monitor.cli backup {tmp_path}/b.zip --plant {site.made.plant.path}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot be written: file too large; nothing is left of it" in done.stderr
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_is_said(site: Site, tmp_path: Path) -> None:
    (tmp_path / "there.zip").write_text("mine")
    for path, why in ((tmp_path / "no" / "b.zip", "there is no folder"), (tmp_path / "there.zip", "exists already")):
        with pytest.raises(CallError, match=why):
            back_up(site.made.plant, site.made.database, path, NOW)
    assert (tmp_path / "there.zip").read_text() == "mine"


# Every day.


def test_a_scheduled_backup_keeps_so_many_and_deletes_nothing_else(site: Site, tmp_path: Path) -> None:
    file = site.folder / "plant" / "scheduled.toml"
    file.write_text(
        (site.folder / "plant" / "plant.toml").read_text()
        + f'[backup]\nto = "{tmp_path / "kept"}"\nkeep = 2\nat = "03:30"\n'
    )
    plant = load_plant(file)
    for number in range(4):
        made, gone = scheduled(plant, site.made.database, NOW + timedelta(days=number))
        assert len(gone) == (number > 1)
        (tmp_path / "kept" / "notes.zip").write_text("mine")
    (tmp_path / "kept" / ".asbuilt-20261101T020000Z.zip.0123abcd.part").write_text("torn")
    made, _ = scheduled(plant, site.made.database, NOW + timedelta(days=9))
    names = ["asbuilt-20261128T020000Z.zip", made.path.name, "notes.zip"]
    assert sorted(os.listdir(tmp_path / "kept")) == names
    with pytest.raises(CallError, match="exists already"):
        scheduled(plant, site.made.database, NOW + timedelta(days=9))
    assert sorted(os.listdir(tmp_path / "kept")) == names
    with pytest.raises(NotNow, match="has no"):
        scheduled(site.made.plant, site.made.database, NOW)


def test_the_commands(plant: PlantFolder, tmp_path: Path) -> None:
    plant.commissioned()
    done = plant.asbuilt("backup", "b.zip", "--json")
    assert (done.code, done.json["is_secret"]) == (0, True)
    assert {each["path"] for each in done.json["files"]} >= {"plant.toml", "p9.toml", "asbuilt.key"}
    assert plant.asbuilt("backup", "b.zip").code == 2
    shown = plant.asbuilt("backup", "b", "--without-key")
    assert "left out: asbuilt.key" in shown.out
    assert plant.asbuilt("backup", "--check", "b.zip").code == 0
    checked = plant.asbuilt("backup", "--check", "b", "--json")
    assert (checked.code, checked.json["ok"], checked.json["first_bad"]) == (0, True, None)
    assert plant.asbuilt("backup", "--check", "b", "--trust", "0" * 64).code == 4
    restored_to = plant.asbuilt("restore", "b.zip", "--into", "new", "--reason", "new disk", "--by", "Ada", "--json")
    assert restored_to.code == 0, restored_to.err
    assert plant.asbuilt("restore", "b.zip", "--into", "new", "--reason", "again").code == 2
    assert plant.asbuilt("verify", "--plant", "new/plant.toml").code == 0
    checked = plant.asbuilt("check", "--plant", "new/plant.toml")
    assert checked.code == 0, checked.out + checked.err
    with plant_in(plant.folder / "new" / "plant.toml") as (_, database), database.write() as tx:
        tx.execute(update(tables.baseline).values(reason="other"))
    assert plant.asbuilt("backup", "bad.zip", "--plant", "new/plant.toml").code == 0
    assert plant.asbuilt("backup", "--check", "bad.zip").code == 4
    assert plant.asbuilt("restore", "bad.zip", "--into", "bad", "--reason", "x").code == 4
    assert not (plant.folder / "bad").exists()
    assert plant.asbuilt("restore", "bad.zip", "--into", "bad", "--reason", "x", "--although-broken").code == 0
