"""What takes longer than a page may: it runs in a thread, and whoever asked for it looks how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import structlog

from monitor.errors import NotNow, UserError

MOST_AT_ONCE = 4  # that run
MOST_KEPT = 50  # that ended, and may be looked at

log = structlog.get_logger()

Progress = Callable[[str, int, int], None]  # what is done now, how much of it, of how much
Work = Callable[[Progress], Any]


@dataclass(slots=True)
class Job:
    """Something that somebody asked for. `outcome` is what came of it; `why` is a sentence where nothing did."""

    id: str
    person: str
    title: str
    what: str = ""
    done: int = 0
    of: int = 0
    ended: bool = False
    why: str = ""
    outcome: Any = None

    def note(self, what: str, done: int, of: int) -> None:
        self.what, self.done, self.of = what, done, of


@dataclass(slots=True)
class Jobs:
    """The jobs of one run of the server. They end with it."""

    _jobs: dict[str, Job] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, person: str, title: str, work: Work) -> Job:
        """Begin one; NotNow where too many run already."""
        job = Job(token_hex(8), person, title)
        with self._lock:
            if sum(not each.ended for each in self._jobs.values()) >= MOST_AT_ONCE:
                raise NotNow(f"{MOST_AT_ONCE} other jobs run at this moment: try again when one of them has ended")
            ended = [each.id for each in self._jobs.values() if each.ended]
            for old in ended[: max(0, len(ended) - MOST_KEPT + 1)]:
                del self._jobs[old]
            self._jobs[job.id] = job
        threading.Thread(target=self._run, args=(job, work), name=f"job {title}", daemon=True).start()
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

    def of(self, person: str, number: str) -> Job:
        """A job of somebody; NotNow where they have none of this number."""
        job = self._jobs.get(number)
        if job is None or job.person != person:
            raise NotNow("this job is not there any more: the server keeps a few, and none over a start of its own")
        return job
