"""What takes longer than a page may: it runs in a thread, and whoever asked for it looks how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import structlog

from monitor.errors import NotNow, UserError

MOST_AT_ONCE = 4  # that run
MOST_KEPT = 50  # that ended, and may be looked at
FAREWELL = 1.0  # seconds that those which run have to end when the server does
ABANDONED = "abandoned: nothing came of it"

log = structlog.get_logger()

Progress = Callable[[str, int, int], None]  # what is done now, how much of it, of how much
Work = Callable[[Progress], Any]


@dataclass(slots=True)
class Job:
    """Something that somebody asked for. `outcome` is what came of it; `why` is a sentence where nothing did.

    Work that notes how far it is ends there if it was abandoned."""

    id: str
    person: str
    title: str
    what: str = ""
    done: int = 0
    of: int = 0
    ended: bool = False
    why: str = ""
    outcome: Any = None
    abandoned: bool = False
    address: str = ""  # the page on which somebody began it

    def note(self, what: str, done: int, of: int) -> None:
        """Say how far it is; NotNow if nobody wants it any more."""
        if self.abandoned:
            raise NotNow(ABANDONED)
        self.what, self.done, self.of = what, done, of


@dataclass(slots=True)
class Jobs:
    """The jobs of one run of the server. They end with it."""

    _jobs: dict[str, Job] = field(default_factory=dict)
    _threads: dict[str, threading.Thread] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, person: str, title: str, work: Work, address: str = "/") -> Job:
        """Begin one, from the page at an address; NotNow where too many run already."""
        job = Job(token_hex(8), person, title, address=address)
        with self._lock:
            if sum(not each.ended for each in self._jobs.values()) >= MOST_AT_ONCE:
                raise NotNow(f"{MOST_AT_ONCE} other jobs run at this moment: try again when one of them has ended")
            ended = [each.id for each in self._jobs.values() if each.ended]
            for old in ended[: max(0, len(ended) - MOST_KEPT + 1)]:
                del self._jobs[old]
            self._jobs[job.id] = job
            thread = threading.Thread(target=self._run, args=(job, work), name=f"job {title}", daemon=True)
            self._threads[job.id] = thread
        thread.start()
        return job

    def _run(self, job: Job, work: Work) -> None:
        try:
            job.outcome = work(job.note)
        except UserError as error:
            job.why = str(error)
        except Exception:  # a bug of ours: said with all that helps, and the next goes on
            job.why = "a bug of asbuilt's: its log says more"
            log.exception("bug", job=job.title)
        finally:
            job.ended = True
            with self._lock:
                del self._threads[job.id]

    def of(self, person: str, number: str) -> Job:
        """A job of somebody; NotNow where they have none of this number."""
        job = self._jobs.get(number)
        if job is None or job.person != person:
            raise NotNow("this job is not there any more: the server keeps a few, and none over a start of its own")
        return job

    def all_of(self, person: str) -> list[Job]:
        """The jobs of somebody, the newest first."""
        with self._lock:
            return [job for job in reversed(self._jobs.values()) if job.person == person]

    def abandon(self, person: str, number: str) -> Job:
        """Have a job of somebody end before it is done."""
        job = self.of(person, number)
        job.abandoned = True
        return job

    def close(self) -> None:
        """Have all of them end, and wait a little until they have: what they started is not left behind."""
        with self._lock:
            running = list(self._threads.values())
            for job in self._jobs.values():
                job.abandoned = True
        deadline = time.monotonic() + FAREWELL
        for thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))

    def mark(self) -> object:
        """Something that is another one when a job has moved."""
        with self._lock:
            return [(job.id, job.what, job.done, job.of, job.ended) for job in self._jobs.values()]
