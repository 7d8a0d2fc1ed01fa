"""The database: SQLite or PostgreSQL, how it is opened, migrated and locked.

SQLite: WAL and synchronous=FULL (NORMAL loses acknowledged commits in a power cut). Only the leader checkpoints: two
connections that write and checkpoint at once are in the range of a bug of SQLite before 3.51.3 (WAL reset).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.pool import NullPool

from monitor.errors import LeadLost, StoreError
from monitor.tables import HEAD

HELD_BY_OTHERS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)  # waiting helps these alone
BUSY_SECONDS = 15  # how long a command waits for another one's write
WRITE_KEY, LEADER_KEY = 0x61736275, 0x61736276  # PostgreSQL advisory locks
NO_PRIVILEGE = "42501"  # PostgreSQL
LOOK_EVERY = 0.1  # seconds between two tries for the lead
CHECKPOINT_PAGES = 1000  # SQLite's own default for wal_autocheckpoint

Transaction: TypeAlias = Connection  # what every function of the store takes


def store_url(url: str, folder: Path) -> str:
    """The URL of a store with its driver, a relative SQLite file made one in `folder`; ValueError if it is none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"{url!r} is no database URL; write sqlite:///asbuilt.db") from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if parsed.drivername != "sqlite" or parsed.host or parsed.query or "\0" in url:
        raise ValueError(f"is sqlite:///FILE or postgresql://…, not {url!r}")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError("needs a file: a store in memory forgets what was approved")
    return parsed.set(database=str(folder / parsed.database)).render_as_string()


class Database:
    """An open database. `leader` is the process that polls: the daemon, or a command where none runs."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql()
        self.name = self.url.render_as_string()  # without the password
        self._file_lock: FileLock | None = None
        self._files: list[tuple[int, int]] = []
        self._leading: Connection | None = None

    def _sqlite(self) -> Engine:
        engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            _into_wal(cursor)
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES if self._leads else 0}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _postgresql(self) -> Engine:
        try:
            return create_engine(self.url, pool_pre_ping=True)
        except ModuleNotFoundError:
            raise StoreError("PostgreSQL needs its driver: pip install 'asbuilt[postgresql]'") from None

    @property
    def _leads(self) -> bool:
        return self._file_lock is not None and self._file_lock.is_locked

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, of one moment."""
        with self._connected() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, alone; committed at the end, rolled back by an exception."""
        with self._connected() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_KEY})
                yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except DBAPIError as error:
            raise _unusable(self.name, error) from error
        with said_plainly(self.name), connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to this version's, whatever it was; StoreError if it is of a newer asbuilt."""
        if self.is_sqlite:
            folder = Path(self.url.database or "").parent
            if not folder.is_dir():
                raise StoreError(f"the store's folder {folder} does not exist; make it, or change store.url")
        with self.read() as connection:
            if revision(connection) == HEAD:
                return
        with self.write() as connection:
            upgrade(connection)

    def schema(self) -> str | None:
        """The migration that the schema is at now; None for an empty database. Nothing is migrated."""
        with self.read() as connection:
            return revision(connection)

    def assure_writable(self) -> None:
        """StoreError if nothing can be written; nothing is."""
        with contextlib.suppress(_Undone), self.write():
            raise _Undone

    def damage(self) -> str:
        """What SQLite finds wrong in its pages, or "": all of them are read. A server looks after its own."""
        if not self.is_sqlite:
            return ""
        with self.read() as connection:
            found = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
            return "" if found == "ok" else found

    def leader(self) -> int | None:
        """The process that holds the lead, where the system tells (Linux, SQLite)."""
        try:
            lock = os.stat(f"{self.url.database}.lock")
            held = Path("/proc/locks").read_text("ascii").splitlines()
        except OSError:
            return None
        place = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
        return next((int(line.split()[4]) for line in held if "FLOCK" in line and line.split()[5] == place), None)

    def lead(self, wait: float = 0) -> bool:
        """Become the one process that polls this plant, waiting at most so many seconds; False if another one is."""
        return self._lead_file(wait) if self.is_sqlite else self._lead_server(wait)

    def _lead_file(self, wait: float) -> bool:
        lock = FileLock(f"{self.url.database}.lock", timeout=wait)
        try:
            lock.acquire()
            Path(f"{self.url.database}").touch()
            self._files = self._identities()
        except Timeout:
            return False
        except OSError as error:
            raise StoreError(f"{lock.lock_file} cannot be locked: {error.strerror}") from error
        self._file_lock = lock
        self.engine.dispose()  # the next connection checkpoints
        return True

    def _identities(self) -> list[tuple[int, int]]:
        """What tells the database file and its lock from others that may come to stand in their places."""
        paths = (f"{self.url.database}", f"{self.url.database}.lock")
        return [(found.st_dev, found.st_ino) for found in map(os.stat, paths)]

    def assure_lead(self) -> None:
        """LeadLost if the store was deleted or replaced under us, or its server has let go of our lock."""
        try:
            if self._file_lock is not None and self._identities() != self._files:
                raise LeadLost(f"the store {self.name} was replaced by another while it was in use")
        except OSError as error:
            raise LeadLost(f"the store {self.name} was deleted while it was in use") from error
        try:
            if self._leading is not None:
                self._leading.execute(text("SELECT 1"))
                self._leading.commit()
        except DBAPIError as error:
            raise LeadLost(f"the connection that held the store {self.name} for us was lost") from error

    def _lead_server(self, wait: float) -> bool:
        with said_plainly(self.name):
            connection = create_engine(self.url, poolclass=NullPool).connect()
        deadline = time.monotonic() + wait
        lock = text("SELECT pg_try_advisory_lock(:key)")
        with said_plainly(self.name):
            while not connection.execute(lock, {"key": LEADER_KEY}).scalar():
                if time.monotonic() >= deadline:
                    connection.close()
                    return False
                time.sleep(LOOK_EVERY)
            connection.commit()
        self._leading = connection
        return True

    def follow(self) -> None:
        """Stop leading."""
        if self._file_lock is not None:
            self.engine.dispose()
            self._file_lock.release()
            self._file_lock = None
        if self._leading is not None:
            self._leading.close()
            self._leading = None

    def close(self) -> None:
        self.follow()
        self.engine.dispose()


class _Undone(Exception):
    """Ends a transaction that was only tried."""


def _into_wal(cursor: sqlite3.Cursor) -> None:
    """Write-ahead logging. The switch does not wait for others as everything else does, so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in HELD_BY_OTHERS or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_EVERY)


@contextmanager
def part(transaction: Transaction) -> Iterator[None]:
    """A part of a transaction that is undone alone if it raises.

    StoreError means that the database itself failed, and with it the whole transaction: SQLite rolls all of it back
    by itself when the disk is full.
    """
    with said_plainly(transaction.engine.url.render_as_string()), transaction.begin_nested():
        yield


def probe(transaction: Transaction) -> None:
    """Write what changes nothing: on a full disk a transaction that writes nothing is committed, and proves nothing."""
    transaction.execute(text("UPDATE alembic_version SET version_num = version_num"))


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the schema up to a migration, in this transaction: all of it, or nothing (SQLite's DDL too, for we say
    BEGIN ourselves). StoreError if it is of a newer asbuilt."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        found = revision(connection)
        raise StoreError(f"the store is at schema {found}, made by a newer asbuilt: upgrade asbuilt") from error


def revision(connection: Connection) -> str | None:
    """The migration that the schema is at; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def said_plainly(url: str) -> Iterator[None]:
    """The database's own errors as a sentence. What a statement of ours did wrong stays what it is, a bug."""
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError) as error:
        if getattr(error.orig, "sqlstate", "") == NO_PRIVILEGE:
            raise _unusable(url, error) from error
        raise
    except DBAPIError as error:
        raise _unusable(url, error) from error


def _unusable(url: str, error: DBAPIError) -> StoreError:
    return StoreError(f"the store {url} cannot be used: {str(error.orig).strip()}")
