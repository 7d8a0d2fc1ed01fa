"""The daemon's one writer: groups, failures, and nothing acknowledged before it is durable."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import IntegrityError

from monitor import store, tables
from monitor.errors import StoreError
from monitor.store import Database, Transaction
from monitor.writer import LARGEST_GROUP, Writer


def add(name: str) -> Callable[[Transaction], str]:
    def job(tx: Transaction) -> str:
        store.asset_id(tx, name)
        return name

    return job


def fail_after(name: str, failure: Exception) -> Callable[[Transaction], None]:
    def job(tx: Transaction) -> None:
        store.asset_id(tx, name)
        raise failure

    return job


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Database]:
    """SQLite alone, for what only it does."""
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as opened:
        opened.migrate()
        yield opened


def kept(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(select(tables.asset.c.name).order_by(tables.asset.c.id)).scalars())


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[Writer]:
    writer = Writer(database)
    try:
        yield writer
    finally:
        await asyncio.to_thread(writer.stop)


@asynccontextmanager
async def busy(writer: Writer) -> AsyncIterator[None]:
    """While the writer is held up, so that what comes meanwhile waits together."""
    started, go_on = threading.Event(), threading.Event()

    def job(_: Transaction) -> None:
        started.set()
        go_on.wait()

    held = asyncio.create_task(writer.write(job))
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        go_on.set()
        await held


async def submitted(writer: Writer, *jobs: Callable[[Transaction], object]) -> list[asyncio.Task[object]]:
    """The jobs as tasks that wait for their commit."""
    tasks = [asyncio.create_task(writer.write(job)) for job in jobs]
    await asyncio.sleep(0)  # each has put its job into the queue
    return tasks


def test_jobs_that_wait_together_are_one_transaction(database: Database) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)

    async def run() -> list[object]:
        async with writing(database) as writer:
            async with busy(writer):
                tasks = await submitted(writer, *(add(str(number)) for number in range(50)))
            return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [str(number) for number in range(50)]
    assert len(commits) == 2  # of the job that held the writer up, and of the fifty
    assert kept(database) == [str(number) for number in range(50)]


def test_a_group_has_a_largest_size(database: Database) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)

    async def run() -> None:
        async with writing(database) as writer:
            async with busy(writer):
                tasks = await submitted(writer, *[lambda tx: None] * (LARGEST_GROUP + 1))
            await asyncio.gather(*tasks)

    asyncio.run(run())
    assert len(commits) == 3


def test_a_job_that_fails_is_undone_alone(database: Database) -> None:
    bug = KeyError("a bug of ours")

    def twice(tx: Transaction) -> None:
        tx.execute(insert(tables.asset), [{"name": "twice"}, {"name": "twice"}])

    async def run() -> list[object]:
        async with writing(database) as writer:
            async with busy(writer):
                tasks = await submitted(writer, add("a"), fail_after("b", bug), add("c"), twice, add("d"))
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, failure, second, clash, third = asyncio.run(run())
    assert [first, second, third] == ["a", "c", "d"]
    assert failure is bug
    assert isinstance(clash, Exception)
    assert kept(database) == ["a", "c", "d"]


def test_nothing_is_acknowledged_before_it_is_durable(database: Database, url: str) -> None:
    acknowledged, early = threading.Event(), list[bool]()
    # Called just before the commit: whoever is told too early is told now.
    event.listen(database.engine, "commit", lambda _: early.append(acknowledged.wait(0.2)))

    async def run() -> None:
        with contextlib.closing(Database(url)) as other:
            async with writing(database) as writer:
                assert await writer.write(add("a")) == "a"
                acknowledged.set()
                assert kept(other) == ["a"]

    asyncio.run(run())
    assert early == [False]


def test_if_the_commit_fails_every_job_of_the_group_is_told(small: Database) -> None:
    def fail_at_the_commit(tx: Transaction) -> None:
        tx.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        tx.execute(
            text("INSERT INTO poll_request (asset_id, asked_at, asked_by) VALUES (99, '2026-01-01T00:00:00Z', '')")
        )

    async def run() -> list[object]:
        async with writing(small) as writer:
            async with busy(writer):
                tasks = await submitted(writer, add("a"), fail_at_the_commit, add("b"))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            return [*outcomes, await writer.write(add("c"))]

    *outcomes, last = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes] == [IntegrityError] * 3
    assert last == "c"
    assert kept(small) == ["c"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_database_that_comes_back_is_written_to_again(database: Database) -> None:
    def lose_the_connection(tx: Transaction) -> None:
        tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async def run() -> list[object]:
        async with writing(database) as writer:
            async with busy(writer):
                tasks = await submitted(writer, add("a"), lose_the_connection, add("b"))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            return [*outcomes, await writer.write(add("c"))]

    *outcomes, last = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3
    assert last == "c"
    assert kept(database) == ["c"]


def fill_the_disk(tx: Transaction) -> None:
    tx.exec_driver_sql("PRAGMA max_page_count = 1")  # not less than there are: the disk is full now
    tx.execute(insert(tables.snapshot).values(digest="f" * 64, text="x" * 1_000_000))


def on_a_full_disk(database: Database, *jobs: Callable[[Transaction], object]) -> list[object]:
    """What becomes of the jobs of one group, one of which fills the disk."""

    async def run() -> list[object]:
        async with writing(database) as writer:
            async with busy(writer):
                tasks = await submitted(writer, *jobs)
            return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_what_was_acknowledged_is_kept_also_if_a_neighbour_fills_the_disk(small: Database) -> None:
    """SQLite rolls all of the transaction back by itself when the disk is full."""
    before, _, after = on_a_full_disk(small, add("before"), fill_the_disk, add("after"))
    assert [outcome for outcome in (before, after) if isinstance(outcome, str)] == kept(small)


def test_a_full_disk_is_an_error_of_the_store_and_no_bug(small: Database) -> None:
    (full,) = on_a_full_disk(small, fill_the_disk)
    assert isinstance(full, StoreError)


def test_stopping_finishes_what_waits(database: Database) -> None:
    async def run() -> None:
        writer = Writer(database)
        async with busy(writer):
            tasks = await submitted(writer, *(add(str(number)) for number in range(30)))
            stopping = asyncio.create_task(asyncio.to_thread(writer.stop))
        await stopping
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert len(kept(database)) == 30


def test_a_job_whose_asker_gave_up_is_not_run(database: Database) -> None:
    async def run() -> None:
        async with writing(database) as writer:
            async with busy(writer):
                given_up, other = await submitted(writer, add("given up"), add("other"))
                given_up.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await given_up
            await other

    asyncio.run(run())
    assert kept(database) == ["other"]
