"""Stores of every earlier schema come up to date with all that they hold, wherever the upgrade is killed.

tests/data/stores has what asbuilt wrote at each schema: a statement for each row.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import inspect, text

from monitor.store import Database
from monitor.store.database import Transaction, revision, upgrade
from monitor.tables import HEAD
from tests.databases import NUMBERS, python, said
from tests.evidences import stored_flaw
from tests.measured import NOTES, note, times
from tests.test_database import MIGRATE, running

STORES = Path(__file__).parent / "data" / "stores"
SCHEMAS = sorted(path.stem for path in STORES.glob("*.sql"))
Rows = dict[str, list[tuple[Any, ...]]]

UPGRADING = """
import os, signal, sys
from sqlalchemy import Engine, event
import alembic.command, sqlalchemy.dialects.postgresql, psycopg
from monitor.store import Database

def die(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

print("ready", flush=True)
for line in sys.stdin:
    url, number = line.split()
    left = int(number)
    pid = os.fork()
    if not pid:
        for name in ("before_cursor_execute", "after_cursor_execute", "begin", "commit"):
            event.listen(Engine, name, die)
        code = 1
        try:
            database = Database(url)
            database.migrate()
            database.close()
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Old:
    """A store of an earlier schema, and what is in it."""

    schema: str
    url: str
    rows: Rows

    def copy(self, folder: Path) -> str:
        """Another store like it; its URL."""
        if self.url.startswith("sqlite"):
            path = folder / f"{next(NUMBERS)}.db"
            shutil.copyfile(self.url.removeprefix("sqlite:///"), path)
            return f"sqlite:///{path}"
        server, _, name = self.url.replace("+psycopg", "").rpartition("/")
        name, _, query = name.partition("?")
        copy = f"copy{next(NUMBERS)}"
        with psycopg.connect(f"{server}/postgres?{query}", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {copy} TEMPLATE {name}".encode())
        return self.url.replace(f"/{name}", f"/{copy}", 1)


@pytest.fixture(params=SCHEMAS)
def old(request: pytest.FixtureRequest, url: str) -> Old:
    """A store as that version made it, on both databases."""
    return made(request.param, url)


def made(schema: str, url: str) -> Old:
    with contextlib.closing(Database(url)) as database, database.write() as tx:
        upgrade(tx, schema)
        for statement in (STORES / f"{schema}.sql").read_text(encoding="utf-8").split(";\n"):
            if statement.strip():  # to psycopg a percent sign begins a parameter
                tx.exec_driver_sql(statement if database.is_sqlite else statement.replace("%", "%%"))
        if not database.is_sqlite:  # these rows were counted when they came
            for table in inspect(tx).get_table_names():
                if any(column["name"] == "id" for column in inspect(tx).get_columns(table)) and table != "audit_entry":
                    count = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                    tx.execute(text(count))
        return Old(schema, url, rows_of(tx))


def rows_of(tx: Transaction, columns: dict[str, list[str]] | None = None) -> Rows:
    """All rows, by table, of these columns or all."""
    names = columns or {
        table: [column["name"] for column in inspect(tx).get_columns(table)]
        for table in inspect(tx).get_table_names()
        if table != "alembic_version"
    }
    found: Rows = {}
    for table, of in names.items():
        listed = ", ".join(f'"{name}"' for name in of)
        rows = tx.execute(text(f"SELECT {listed} FROM {table} ORDER BY 1")).all()
        found[f"{table}: {' '.join(of)}"] = [tuple(row) for row in rows]
    return found


def columns_of(rows: Rows) -> dict[str, list[str]]:
    return {key.partition(": ")[0]: key.partition(": ")[2].split() for key in rows}


def assure_new(database: Database, old: Old) -> None:
    """It is of this version's schema, and has all that it had."""
    with database.read() as tx:
        assert revision(tx) == HEAD
        assert rows_of(tx, columns_of(old.rows)) == old.rows
        assert stored_flaw(tx) is None


def test_there_is_a_store_of_every_earlier_schema() -> None:
    assert [f"{number:04}" for number in range(1, int(HEAD))] == SCHEMAS
    for path in STORES.glob("*.sql"):
        assert re.search(r"INSERT INTO (run|baseline|alert|audit_entry) ", path.read_text(encoding="utf-8"))


def test_a_store_comes_up_to_date_with_all_that_it_holds(old: Old) -> None:
    with contextlib.closing(Database(old.url)) as database:
        database.migrate()
        assure_new(database, old)
        database.migrate()
        assure_new(database, old)


def test_what_fails_in_the_middle_has_changed_nothing(old: Old) -> None:
    """Also the tables that were made meanwhile are gone: DDL is a part of the transaction, in SQLite too."""

    def fail(database: Database) -> None:
        with database.write() as tx:
            upgrade(tx)
            assert revision(tx) == HEAD
            raise KeyError

    with contextlib.closing(Database(old.url)) as database:
        with pytest.raises(KeyError):
            fail(database)
        with database.read() as tx:
            assert revision(tx) == old.schema
            assert rows_of(tx) == old.rows


@contextlib.contextmanager
def upgrading() -> Iterator[Any]:
    """A process that upgrades stores and dies at the statement that it is told; how it ended."""
    with python(UPGRADING) as process:
        assert said(process) == "ready"

        def at(url: str, number: int) -> int:
            assert process.stdin is not None
            process.stdin.write(f"{url} {number}\n")
            process.stdin.flush()
            return int(said(process))

        try:
            yield at
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def found_after(url: str, old: Old) -> str | None:
    """The schema that a killed upgrade left, after which the next start finishes."""
    with contextlib.closing(Database(url)) as database:
        with database.read() as tx:
            left = revision(tx)
            assert left in (old.schema, HEAD)
            if left == old.schema:
                assert rows_of(tx) == old.rows
        database.migrate()
        assure_new(database, old)
    return left


def test_killed_at_any_statement_it_is_old_or_new_and_the_next_start_finishes(old: Old, tmp_path: Path) -> None:
    number, step, left = 1, times(41, 1), []
    if not old.url.startswith("sqlite"):
        step = times(83, 1)
    with upgrading() as upgrade_until:
        while True:
            url = old.copy(tmp_path)
            code = upgrade_until(url, number)
            left.append(found_after(url, old))
            if code == 0:
                break
            assert code == -9
            number += step
    assert left[0] == old.schema
    assert left[-1] == HEAD
    assert left == sorted(left, key=str)
    what = "SQLite" if old.url.startswith("sqlite") else "PostgreSQL"
    note(f"upgrade from {old.schema} on {what}: old or new wherever killed, and then finished", kills=len(left) - 1)


@pytest.mark.skipif(not NOTES, reason="a part of make proof: any statement is what make test kills at")
def test_killed_at_random_moments_too(old: Old, tmp_path: Path) -> None:
    rng, left = random.Random(old.schema), []
    for _ in range(40):
        url = old.copy(tmp_path)
        with running(MIGRATE) as process:
            assert process.stdin is not None
            process.stdin.write(url + "\n")
            process.stdin.flush()
            time.sleep(rng.uniform(0, 1.5))  # no condition: any moment will do
            process.kill()
            process.wait()
        left.append(found_after(url, old))
    note(f"the same at random moments, from {old.schema}", kills=len(left), finished_before=left.count(HEAD))


@pytest.mark.parametrize("old", SCHEMAS[:1], indirect=True)
def test_of_two_that_upgrade_at_once_one_waits(old: Old) -> None:
    with running(MIGRATE) as one, running(MIGRATE) as other:
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write(old.url + "\n")
            process.stdin.flush()
        assert [said(one), said(other)] == ["migrated"] * 2
    with contextlib.closing(Database(old.url)) as database:
        assure_new(database, old)
