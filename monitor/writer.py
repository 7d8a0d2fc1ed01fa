"""The daemon's one writer: jobs from the loop, committed in groups, each told when its commit is durable."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from monitor.errors import StoreError
from monitor.logs import Trouble
from monitor.store import Database, Transaction, part, probe
from monitor.vitals import Vitals

T = TypeVar("T")
Job = Callable[[Transaction], Any]

LARGEST_GROUP = 500  # jobs in one transaction


class Writer:
    """A thread with the daemon's only writing connection.

    Jobs that wait together are committed together: one fsync for all of them. A job that fails is rolled back alone;
    if the database or the commit fails, every job of the group fails with it.
    """

    def __init__(self, database: Database, vitals: Vitals | None = None, trouble: Trouble | None = None) -> None:
        self._database = database
        self._vitals = vitals or Vitals()
        self._trouble = trouble or Trouble("store")
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._began: float | None = None  # the transaction that is under way
        self.refusals = 0  # transactions that the database has refused so far
        self.why = ""  # the last one
        self._thread = threading.Thread(target=self._run, name="writer")
        self._thread.start()

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job in a transaction; back when it is committed. Raises what the job raised, or StoreError."""
        return await asyncio.wrap_future(self._submit(job))

    def _submit(self, job: Callable[[Transaction], T]) -> Future[T]:
        done: Future[T] = Future()
        self._jobs.put((job, done))
        return done

    @property
    def under_way(self) -> float:
        """For how many seconds a transaction has been under way."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def stop(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            group = [first]
            stopping = False
            while len(group) < LARGEST_GROUP and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    stopping = True
                    break
                group.append(following)
            self._began = time.monotonic()
            self._vitals.writing()
            self._commit([(job, done) for job, done in group if done.set_running_or_notify_cancel()])
            self._vitals.written()
            self._began = None
            if stopping:
                return

    def _commit(self, group: list[tuple[Job, Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._database.write() as tx:
                if self._trouble.why:
                    probe(tx)
                for job, done in group:
                    outcomes.append((done, *_attempt(tx, job)))
        except Exception as error:  # nothing of the group is durable: all are told
            if isinstance(error, StoreError):
                self._trouble.failed(error)
            self.refusals, self.why = self.refusals + 1, str(error)
            for _, done in group:
                done.set_exception(error)
            return
        self._trouble.works()
        for done, result, failure in outcomes:
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(result)


def _attempt(tx: Transaction, job: Job) -> tuple[Any, BaseException | None]:
    try:
        with part(tx):
            return job(tx), None
    except StoreError:  # the database itself: no job of the group can be relied on
        raise
    except Exception as error:  # given to the one who asked, who knows what it means
        return None, error
