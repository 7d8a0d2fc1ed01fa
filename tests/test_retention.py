"""What was polled long ago is forgotten, and nothing else: not evidence, not figures, not the last of an asset."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from monitor import store, tables
from monitor.config import load_plant
from monitor.retention import BATCH_SECONDS, LARGEST, SMALLEST, forget, resized
from monitor.store import Database, Transaction
from tests.evidences import stored_flaw
from tests.histories import history
from tests.test_quality_store import Life

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAY = timedelta(days=1)
KEEP = timedelta(days=400)
PLANT = '[plant]\nname = "T"\n[store]\nurl = "sqlite:///asbuilt.db"\nkeep = "400d"\n'


def snapshot_row(number: int) -> dict[str, str]:
    text = f'{{"key":"item.a","value":{number}}}' + " " * 500
    return {"digest": sha256(text.encode()).hexdigest(), "text": text}


def add_runs(tx: Transaction, asset: str, *spans: tuple[float, float, int | None]) -> list[int]:
    """Runs, each from so many days ago until so many, of a snapshot (None: an outage); their numbers."""
    numbers = []
    for first, last, seen in spans:
        digest = None
        if seen is not None:
            row = snapshot_row(seen)
            digest = row["digest"]
            known = select(tables.snapshot.c.digest).where(tables.snapshot.c.digest == digest)
            if tx.execute(known).first() is None:
                tx.execute(insert(tables.snapshot).values(row))
        values: dict[str, Any] = {"asset_id": store.asset_id(tx, asset), "digest": digest, "profile": "p" * 64}
        values |= {"first_at": NOW - first * DAY, "last_at": NOW - last * DAY, "polls": 5, "longest_gap": 30.0}
        values |= {"cause": None if digest else "unreachable"}
        numbers.append(tx.execute(insert(tables.run).values(values).returning(tables.run.c.id)).scalar_one())
    return numbers


def forgotten(database: Database, folder: Path, now: datetime = NOW) -> dict[str, int]:
    """Retention as the daemon does it."""
    (folder / "plant.toml").write_text(PLANT)

    async def write(job: Callable[[Transaction], int]) -> int:
        with database.write() as tx:
            return job(tx)

    return dict(asyncio.run(forget(load_plant(folder / "plant.toml"), database, write, now)))


def kept(database: Database, table: Any) -> list[Any]:
    with database.read() as tx:
        return list(tx.execute(select(table.c.id).order_by(table.c.id)).scalars())


def test_old_runs_go_with_their_snapshots_and_the_last_of_every_asset_stays(database: Database, tmp_path: Path) -> None:
    with database.write() as tx:
        old = add_runs(tx, "a", (900, 800, 1), (800, 700, 2), (700, 690, None), (690, 500, 1), (500, 300, 3))
        gone_quiet = add_runs(tx, "b", (990, 980, 4), (980, 970, 5), (970, 960, None), (960, 950, None))
        young = add_runs(tx, "c", (399, 300, 6), (300, 0, 7))
        never_seen = add_runs(tx, "d", (900, 890, None), (890, 880, None))
    assert forgotten(database, tmp_path) == {"run": 6, "snapshot": 2}
    last_before, reaches_in = old[3:]
    seen_last, last = gone_quiet[1], gone_quiet[3]
    assert kept(database, tables.run) == sorted([last_before, reaches_in, seen_last, last, *young, never_seen[1]])
    with database.read() as tx:
        digests = set(tx.execute(select(tables.snapshot.c.digest)).scalars())
        assert digests == {snapshot_row(number)["digest"] for number in (1, 3, 5, 6, 7)}
        for asset, number in (("a", 3), ("b", 5), ("c", 7)):
            run = store.last_run(tx, asset, observed=True)
            assert run is not None
            assert run.digest == snapshot_row(number)["digest"]
    assert forgotten(database, tmp_path) == {}


def test_the_run_before_one_that_goes_on_stays(database: Database, tmp_path: Path) -> None:
    """How far the current run goes is said by its pulse; its row is of when it began."""
    with database.write() as tx:
        numbers = add_runs(tx, "a", (900, 800, 1), (800, 700, 2), (700, 699, 3))
        values = {"asset_id": 1, "run_id": numbers[2], "last_at": NOW, "polls": 9}
        tx.execute(insert(tables.pulse).values(**values, longest_gap=30.0))
    assert forgotten(database, tmp_path) == {"run": 1, "snapshot": 1}
    assert kept(database, tables.run) == numbers[1:]


def test_what_an_open_order_needs_stays(database: Database, tmp_path: Path) -> None:
    with database.write() as tx:
        numbers = add_runs(tx, "a", (900, 800, 1), (800, 700, 2), (700, 600, 3), (600, 0, 4))
        values = {"ticket": "T", "reason": "r", "starts_at": NOW - 750 * DAY, "ends_at": NOW, "state": "open"}
        tx.execute(insert(tables.change_order).values(**values, opened_by="kim", opened_at=NOW))
    forgotten(database, tmp_path)
    assert kept(database, tables.run) == numbers


def test_evidence_is_not_touched(database: Database, tmp_path: Path) -> None:
    """Three years later every poll of the history is old."""
    made = history(tmp_path, database)
    before = made.tables()
    gone = forgotten(database, tmp_path, made.now + timedelta(days=1200))
    assert set(gone) == {"run", "snapshot"}
    after = made.tables()
    assert {name for name in before if before[name] != after[name]} == {"run", "snapshot"}
    with database.read() as tx:
        assert stored_flaw(tx) is None


def test_a_capture_that_comes_meanwhile_keeps_its_snapshot(database: Database, tmp_path: Path) -> None:
    with database.write() as tx:
        add_runs(tx, "a", (900, 800, 1), (800, 700, 2), (600, 0, 3))
    with database.read() as tx:
        state = store.forgetting(tx, NOW - KEEP, NOW)
    first, other = (snapshot_row(number)["digest"] for number in (1, 3))
    with database.write() as tx:
        capture = store.keep_document(tx, json.dumps({"last": first}))
        values = {"asset_id": 1, "digest": other, "state": "proposed", "stage": "sat", "profile": "p", "reason": ""}
        values |= {"proposed_by": "kim", "proposed_at": NOW, "capture": capture}
        tx.execute(insert(tables.baseline).values(values))
    while not state.is_done:
        with database.write() as tx:
            store.forget_some(tx, state, 1)
    with database.read() as tx:
        assert first in set(tx.execute(select(tables.snapshot.c.digest)).scalars())
    assert state.gone == {"run": 1}


def test_figures_of_what_is_kept_are_the_same(database: Database, tmp_path: Path) -> None:
    """A random life of two years; the quality of every period that is kept."""
    life, rng = Life(database), random.Random(7)
    life.approved(0, 1, 1)
    minute = 0
    for _ in range(25):
        minute += rng.randrange(60, 60 * 24 * 60)
        if rng.random() < 0.2:
            life.silent(minute)
        else:
            life.polled(minute, 1, rng.choice([1, 1, 2, 3]), unread=("item.x",) if rng.random() < 0.2 else ())
    with database.write() as tx:
        number = store.asset_id(tx, life.name)
        start = datetime(2026, 11, 23, 8, tzinfo=UTC)
        rows = [
            {"asset_id": number, "item": "item.i1", "at": start + timedelta(minutes=each), "value": "2", "who": "{}"}
            for each in range(0, minute, 20_000)
        ]
        tx.execute(insert(tables.item_write), rows)
    now = start + timedelta(minutes=minute)

    def figures() -> list[Any]:
        with database.read() as tx:
            found = []
            for days in (400, 300, 200, 7):
                cases, watches, orders = store.quality_records(tx, now - days * DAY, now)
                found.append((cases, watches, orders))
            return found

    before = figures()
    gone = forgotten(database, tmp_path, now)
    assert gone["run"] > 3
    assert gone["item_write"] > 3
    assert figures() == before


def test_the_rest_that_is_old_goes_too(database: Database, tmp_path: Path) -> None:
    with database.write() as tx:
        number = store.asset_id(tx, "a")
        for days in (500, 399):
            at = NOW - days * DAY
            tx.execute(insert(tables.self_test).values(at=at, ok=1, legs="{}", text=""))
            values = {"asset_id": number, "witness": "poll", "cause": "silent", "text": "", "first_at": at}
            tx.execute(insert(tables.gap), [values | {"last_at": at + DAY}, values | {"last_at": None}])
        message = {"route": "r", "severity": "low", "due_at": NOW, "tries": 0, "body": "{}", "why": ""}
        for days, sent in ((500, False), (95, True), (85, True), (95, False)):
            at = NOW - days * DAY
            values = message | {"key": f"{days}{sent}", "state": "x", "made_at": at, "sent_at": at if sent else None}
            tx.execute(insert(tables.message).values(values))
    assert forgotten(database, tmp_path) == {"gap": 1, "self_test": 1, "message": 2}
    with database.read() as tx:
        assert set(tx.execute(select(tables.message.c.key)).scalars()) == {"85True", "95False"}


def test_others_write_meanwhile_and_wait_for_no_long_batch(tmp_path: Path) -> None:
    """10,000 old runs; the time that a batch holds the writer, and that somebody else's write takes."""
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        with database.write() as tx:
            add_runs(tx, "a", (2000, 1999, 0))
            rows = [snapshot_row(number) for number in range(1, 10_001)]
            tx.execute(insert(tables.snapshot), rows)
            values = {"asset_id": 1, "profile": "p", "polls": 1, "longest_gap": 0.0, "first_at": NOW - 900 * DAY}
            tx.execute(insert(tables.run), [values | {"last_at": NOW - 900 * DAY, "digest": r["digest"]} for r in rows])
        stop, waited = threading.Event(), list[float]()

        def write() -> None:
            while not stop.is_set():
                began = time.monotonic()
                with database.write() as tx:
                    store.request_poll(tx, "a", NOW, "kim")
                waited.append(time.monotonic() - began)
                stop.wait(0.01)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            gone = forgotten(database, tmp_path)
        finally:
            stop.set()
            thread.join()
        assert gone == {"run": 10_000, "snapshot": 10_000}
        assert len(waited) > 20
        assert sorted(waited)[len(waited) // 2] < 0.25  # busy as the machine may be; benchmarks measure it


def test_a_batch_finds_its_size() -> None:
    assert resized(100, 2 * BATCH_SECONDS) == 50
    assert resized(100, BATCH_SECONDS / 10) == 200
    assert resized(100, BATCH_SECONDS / 2) == 100
    assert resized(SMALLEST, 9) == SMALLEST
    assert resized(LARGEST, 0) == LARGEST


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Years of change: pages that were freed are used again."""
    sizes = []
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        assert database.lead()
        for year in range(8):
            with database.write() as tx:
                rows = [snapshot_row(year * 10_000 + number) for number in range(1000)]
                tx.execute(insert(tables.snapshot), rows)
                at = NOW + 365 * year * DAY
                values = {"asset_id": store.asset_id(tx, "a"), "profile": "p", "polls": 1, "longest_gap": 0.0}
                values |= {"first_at": at, "last_at": at}
                tx.execute(insert(tables.run), [values | {"digest": row["digest"]} for row in rows])
            forgotten(database, tmp_path, NOW + 365 * year * DAY)
            with database.read() as tx:
                sizes.append(int(tx.exec_driver_sql("PRAGMA page_count").scalar_one()))
                assert tx.execute(select(func.count()).select_from(tables.run)).scalar_one() <= 2001
    assert sizes[-1] <= sizes[3] * 1.05


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('keep = "399d"', "store.keep: is at least 400d"),
        ('keep = "soon"', "store.keep"),
        ('[backup]\nto = ""', "backup.to: names a folder"),
        ("[backup]\nkeep = 3", "backup.to: is required"),
        ('[backup]\nto = "b"\nkeep = 0', "backup.keep: is how many backups stay"),
        ('[backup]\nto = "b"\nat = "24:00"', "backup.at: is a time of day"),
    ],
)
def test_what_is_wrong_in_the_plant_is_said(tmp_path: Path, written: str, fault: str) -> None:
    from collectors.written import FileError

    (tmp_path / "plant.toml").write_text(f'[plant]\nname = "T"\n[store]\nurl = "sqlite:///asbuilt.db"\n{written}\n')
    with pytest.raises(FileError) as caught:
        load_plant(tmp_path / "plant.toml")
    assert any(each.startswith(fault) for each in caught.value.faults), caught.value.faults
