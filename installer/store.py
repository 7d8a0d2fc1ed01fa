"""What install.sh asks about the store, run by the Python of a release: store.py PLANT COMMAND.

`check`: is a store named at all. `knows`: does this release know its schema (exit code 1 if not).
`copy TO`: all of the store. `restore FROM ASIDE`: a copy in the store's place, and the store aside.

Nothing of the program is imported: a release that does not start must not keep its store from being copied.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import sysconfig
import tomllib
from contextlib import closing
from pathlib import Path

POSTGRESQL = "the store is in PostgreSQL: copying it is up to you (pg_dump)"


def main(plant: Path, command: str, *paths: str) -> int:
    url = _url(plant)
    if command == "check":
        return 0
    if command == "knows":
        return 0 if _revision(url, plant) in (None, *_known()) else 1
    file = _file(url, plant)
    if file is None:
        print(POSTGRESQL)
        return 0 if command == "copy" else 2
    if command == "copy" and file.exists():
        copy(file, Path(paths[0]))
        print(f"copied the store to {paths[0]}")
    elif command == "restore":
        saved, aside = map(Path, paths)
        copy(file, aside)
        restore(saved, file)
        print(f"the store is now as in {saved}; what it was is in {aside}")
    return 0


def copy(store: Path, to: Path) -> None:
    """A whole copy, whatever was in the write-ahead log; at `to` there is all of it or what was there before."""
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    part.chmod(0o600)
    _into_place(part, to)


def restore(saved: Path, store: Path) -> None:
    """The copy in the store's place; its log goes first, since it would be taken for the copy's."""
    part = store.with_name(f"{store.name}.part")
    part.unlink(missing_ok=True)
    copy(saved, part)
    with closing(sqlite3.connect(store)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for log in ("-wal", "-shm"):
        store.with_name(store.name + log).unlink(missing_ok=True)
    _into_place(part, store)


def _into_place(part: Path, to: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(to)
    folder = os.open(to.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _url(plant: Path) -> str:
    try:
        return str(tomllib.loads(plant.read_text(encoding="utf-8"))["store"]["url"])
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"{plant} cannot be read: {error}")
    except (KeyError, TypeError):
        sys.exit(f"{plant} does not say where the store is: [store] url")


def _file(url: str, plant: Path) -> Path | None:
    """The file of an SQLite store; None for PostgreSQL."""
    return plant.parent / url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


def _revision(url: str, plant: Path) -> str | None:
    """The schema that the store is at; None if there is none yet."""
    file = _file(url, plant)
    if file is None:
        import psycopg

        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
            if not found or not found[0]:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(row[0]) if row else None
    if not file.exists():
        return None
    with closing(sqlite3.connect(file)) as store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        row = store.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _known() -> list[str]:
    """The schemas that this release knows, by its migrations."""
    versions = Path(sysconfig.get_path("purelib"), "migrations", "versions").glob("*.py")
    found = (re.search(r'^revision = "(\w+)"', one.read_text(encoding="utf-8"), re.MULTILINE) for one in versions)
    return [match[1] for match in found if match]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
