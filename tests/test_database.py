"""The database: its schema, its locks, and what it says when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from baselines.alert import AlertState, Event, Move
from baselines.drift import Kind
from monitor import store
from monitor.errors import LeadLost, StoreError
from monitor.store import Database
from monitor.store.database import BUSY_SECONDS, revision
from monitor.tables import HEAD, asset, metadata, snapshot
from tests.databases import python, said

LEAD = """
import sys
from monitor.store import Database
database = Database(sys.argv[1])
print(database.lead(), flush=True)
sys.stdin.readline()
"""
MIGRATE = """
import sys
from monitor.store import Database
for url in sys.stdin:
    try:
        Database(url.strip()).migrate()
        print("migrated", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


@contextlib.contextmanager
def running(program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = python(program, *words)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.write() as tx:
        number = store.asset_id(tx, "plc")
    database.migrate()
    with database.read() as tx:
        assert revision(tx) == HEAD
        assert tx.execute(select(asset.c.id)).scalars().all() == [number]


def upgrade(database: Database, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    with database.write() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, to)


def test_a_store_of_the_first_version_is_brought_up_to_date_with_all_that_it_holds(url: str) -> None:
    moment = "2026-11-23T08:00:00.000Z"
    old = Database(url)
    with contextlib.closing(old):
        upgrade(old, "0001")
        with old.write() as tx:
            tx.execute(text("INSERT INTO asset (id, name) VALUES (1, 'plc')"))
            tx.execute(
                text(
                    "INSERT INTO alert (asset_id, item, kind, approved, observed, severity, category, techniques, "
                    "state, raised_at, changed_at, reason) VALUES (1, 'item.a', 'changed', '1', '2', 'high', "
                    f"'program', 'T0843', 'ACKED', '{moment}', '{moment}', 'seen')"
                )
            )
        old.migrate()
        with old.write() as tx:
            assert revision(tx) == HEAD
            (alert,) = store.alerts(tx)
            assert (alert.state, alert.observed, alert.who) == ("ACKED", 2, None)
            told = replace(alert, id=0, item="wire.stop", kind=Kind.EVENT, who={"client": "10.0.0.1", "name": "Ü"})
            store.store_move(tx, Move(Event.DEVIATES, AlertState.NORMAL, told))
            conflict = replace(alert, id=0, item="witness.model", kind=Kind.CONFLICT)
            store.store_move(tx, Move(Event.DEVIATES, AlertState.NORMAL, conflict))
            assert [(found.kind, found.who) for found in store.alerts(tx)] == [
                (Kind.CHANGED, None), (Kind.EVENT, told.who), (Kind.CONFLICT, None),
            ]  # fmt: skip
        old.migrate()


def test_a_store_of_a_newer_asbuilt_is_refused_and_left_as_it_is(database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="the store is at schema 9999, made by a newer asbuilt: upgrade asbuilt"):
        database.migrate()
    with database.read() as tx:
        assert revision(tx) == "9999"


def test_processes_that_make_a_store_at_once_both_succeed(url: str) -> None:
    urls = [url, *(f"{url}{number}" for number in range(9 if url.startswith("sqlite") else 0))]
    with running(MIGRATE) as one, running(MIGRATE) as other:
        for fresh in urls:
            for process in (one, other):
                assert process.stdin is not None
                process.stdin.write(fresh + "\n")
                process.stdin.flush()
            assert [said(one), said(other)] == ["migrated"] * 2


def test_one_process_leads_and_when_it_is_killed_another_can(database: Database, url: str) -> None:
    other = database
    with running(LEAD, url) as leader:
        assert said(leader) == "True"
        assert not other.lead()
        assert not other.lead(wait=0.05)
        with running(LEAD, url) as third:
            assert said(third) == "False"
        leader.kill()  # SIGKILL
        leader.wait()
        assert other.lead(wait=10)


def test_who_follows_lets_another_lead(database: Database, url: str) -> None:
    one, other = database, Database(url)
    with contextlib.closing(other):
        assert one.lead()
        assert not other.lead()
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(other.lead, 10)
            one.follow()
            assert waiting.result()
        assert not one.lead()
        other.close()
        assert one.lead()


def test_who_leads_notices_that_the_store_was_deleted_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "asbuilt.db"
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        database.migrate()
        assert database.lead()
        database.assure_lead()
        aside = path.rename(tmp_path / "aside.db")
        with pytest.raises(LeadLost, match="was deleted while it was in use"):
            database.assure_lead()
        path.write_bytes(aside.read_bytes())
        with pytest.raises(LeadLost, match="was replaced by another"):
            database.assure_lead()
        path.unlink()
        aside.rename(path)
        database.assure_lead()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_who_leads_notices_that_the_server_let_go_of_its_lock(database: Database, url: str) -> None:
    assert database.lead()
    database.assure_lead()
    with database.write() as tx:
        tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND pid <> pg_backend_pid()"
            )
        )
    with contextlib.closing(Database(url)) as other:
        assert other.lead(wait=5)
        with pytest.raises(LeadLost, match="was lost"):
            database.assure_lead()


def test_writers_are_alone_so_that_no_count_is_lost(database: Database) -> None:
    """What was read in a transaction that writes still holds when it is written."""
    with database.write() as tx:
        store.asset_id(tx, "0")

    def count_up(_: int) -> None:
        with database.write() as tx:
            last = int(tx.execute(select(asset.c.name).order_by(asset.c.id.desc()).limit(1)).scalar_one())
            tx.execute(insert(asset).values(name=str(last + 1)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count_up, range(40)))
    with database.read() as tx:
        names = [int(name) for name in tx.execute(select(asset.c.name).order_by(asset.c.id)).scalars()]
    assert names == list(range(41))


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(database: Database) -> None:
    with database.read() as tx:
        before = tx.execute(select(func.count()).select_from(asset)).scalar()
        with database.write() as writing:
            store.asset_id(writing, "meanwhile")
        assert tx.execute(select(func.count()).select_from(asset)).scalar() == before
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(asset)).scalar() == 1


def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    def fail() -> None:
        with database.write() as tx:
            store.asset_id(tx, "plc")
            raise KeyError("a bug of ours")

    with pytest.raises(KeyError):
        fail()
    with database.read() as tx:
        assert tx.execute(select(asset)).all() == []


def test_a_statement_of_ours_that_is_wrong_stays_a_bug_and_is_no_fault_of_the_store(database: Database) -> None:
    twice = [{"digest": "a" * 64, "text": "x"}] * 2
    with pytest.raises(IntegrityError), database.write() as tx:
        tx.execute(insert(snapshot), twice)
    with database.read() as tx:
        assert tx.execute(select(snapshot)).all() == []


def test_sqlite_loses_nothing_in_a_power_cut_and_only_the_leader_checkpoints(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")
    database.migrate()

    def pragmas() -> dict[str, object]:
        with database.read() as tx:
            names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
            return {name: tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    with contextlib.closing(database):
        safe = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        assert pragmas() == safe | {"wal_autocheckpoint": 0}
        assert database.lead()
        assert pragmas() == safe | {"wal_autocheckpoint": 1000}
        database.follow()
        assert pragmas() == safe | {"wal_autocheckpoint": 0}


def test_a_command_waits_for_the_write_of_another(tmp_path: Path) -> None:
    one, other = (Database(f"sqlite:///{tmp_path / 'asbuilt.db'}") for _ in range(2))
    one.migrate()
    writing, finish = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with one.write() as tx:
            store.asset_id(tx, "first")
            writing.set()
            finish.wait()

    with contextlib.closing(one), contextlib.closing(other), ThreadPoolExecutor() as threads:
        slow = threads.submit(write_slowly)
        writing.wait()
        threading.Timer(0.2, finish.set).start()
        with other.write() as tx:
            assert store.asset_id(tx, "second") == 2
        slow.result()


def test_a_store_that_another_process_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite calls no busy handler for the switch to WAL: it says "database is locked" at once."""
    making = sqlite3.connect(tmp_path / "asbuilt.db", isolation_level=None, check_same_thread=False)
    making.execute("BEGIN IMMEDIATE")
    finish = threading.Timer(0.2, making.execute, ["COMMIT"])
    finish.start()
    with contextlib.closing(making), contextlib.closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        try:
            database.migrate()
        finally:
            finish.join()


def refusal(url: str) -> str:
    database = Database(url)
    with contextlib.closing(database), pytest.raises(StoreError) as caught:
        database.migrate()
    return str(caught.value)


def test_a_missing_folder_is_said_with_the_remedy(tmp_path: Path) -> None:
    said = refusal(f"sqlite:///{tmp_path / 'absent' / 'asbuilt.db'}")
    assert said == f"the store's folder {tmp_path / 'absent'} does not exist; make it, or change store.url"


@pytest.mark.parametrize("content", [b"this is no database " * 100, b"\0" * 4096])
def test_a_file_that_is_no_database_is_said_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert "cannot be used: file is not a database" in refusal(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_folder_that_should_be_a_file_is_said(tmp_path: Path) -> None:
    assert "cannot be used: unable to open database file" in refusal(f"sqlite:///{tmp_path}")


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder in which this process may read but not write, also where the tests run as root."""
    if sys.platform == "win32":
        pytest.skip("needs the permissions of POSIX")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # nobody
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_folder_in_which_nothing_can_be_written_is_said(read_only: Path) -> None:
    began = time.monotonic()
    assert "cannot be used: unable to open database file" in refusal(f"sqlite:///{read_only / 'asbuilt.db'}")
    assert time.monotonic() - began < BUSY_SECONDS / 2, "nobody holds it, so there is nothing to wait for"


def test_leading_in_a_folder_in_which_nothing_can_be_written_is_said(read_only: Path) -> None:
    with pytest.raises(StoreError):
        Database(f"sqlite:///{read_only / 'asbuilt.db'}").lead()


NOWHERE = "postgresql+psycopg://asbuilt:secret@127.0.0.1:1/plant"


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    said = refusal(NOWHERE)
    assert "cannot be used: connection failed" in said
    assert "secret" not in said


@pytest.mark.parametrize("wait", [0, 1])
def test_leading_without_a_server_is_said_too(wait: float) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        Database(NOWHERE).lead(wait)
