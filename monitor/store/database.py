"""The database: SQLite or PostgreSQL, how it is opened, migrated and locked.

SQLite: WAL and synchronous=FULL (NORMAL loses acknowledged commits in a power cut). Only the leader checkpoints: two
connections that write and checkpoint at once are in the range of a bug of SQLite before 3.51.3 (WAL reset).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from monitor.errors import StoreError
from monitor.tables import HEAD

BUSY_SECONDS = 15  # how long a command waits for another one's write
WRITE_KEY, LEADER_KEY = 0x61736275, 0x61736276  # PostgreSQL advisory locks
OLDEST_PAGES = 1000  # SQLite's own default for wal_autocheckpoint


Transaction: TypeAlias = Connection  # what every function of the store takes


def store_url(url: str, folder: Path) -> str:
    """The URL of a store with its driver, a relative SQLite file made one in `folder`; ValueError if it is none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"{url!r} is no database URL; write sqlite:///asbuilt.db") from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if parsed.get_backend_name() != "sqlite":
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
        self._leading: Connection | None = None

    def _sqlite(self) -> Engine:
        engine = create_engine(self.url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _pragmas(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute(f"PRAGMA wal_autocheckpoint={OLDEST_PAGES if self._leads else 0}")
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
        with said_plainly(self.name), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, alone; committed at the end, rolled back by an exception."""
        with said_plainly(self.name), self.engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_KEY})
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
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", "migrations:")
        with self.write() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                found = revision(connection)
                raise StoreError(f"the store is at schema {found}, made by a newer asbuilt: upgrade asbuilt") from error

    def lead(self, wait: float = 0) -> bool:
        """Become the one process that polls this plant, waiting at most so many seconds; False if another one is."""
        if self.is_sqlite:
            lock = FileLock(f"{self.url.database}.lock", timeout=wait)
            try:
                lock.acquire()
            except Timeout:
                return False
            self._file_lock = lock
            self.engine.dispose()  # the next connection checkpoints
            return True
        connection = create_engine(self.url, poolclass=NullPool).connect()
        if wait:
            connection.execute(text(f"SET lock_timeout = {int(wait * 1000)}"))
        try:
            if wait:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LEADER_KEY})
                got = True
            else:
                got = bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LEADER_KEY}).scalar())
        except OperationalError:
            got = False
        if not got:
            connection.close()
            return False
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


def revision(connection: Connection) -> str | None:
    """The migration that the schema is at; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def said_plainly(url: str) -> Iterator[None]:
    """The database's own errors as a sentence."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"the store {url} cannot be used: {str(error.orig).strip()}") from error
