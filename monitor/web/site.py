"""What every page needs: the plant as it is now, its store, the time, and what runs beside the requests.

Without FastAPI, which the daemon does not wait for when it starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from monitor.board import Board
from monitor.config import Plant
from monitor.store import Database
from monitor.vitals import Vitals
from monitor.web.jobs import Jobs
from monitor.web.limits import Limits
from monitor.web.made import Made


@dataclass(frozen=True, slots=True)
class Site:
    """The plant that the web server shows. `plant` gives it as its file said when the daemon read it last; `database`
    is a connection of the server's own, which never leads."""

    plant: Callable[[], Plant]
    database: Database
    clock: Callable[[], datetime]
    vitals: Vitals
    jobs: Jobs = field(default_factory=Jobs)
    limits: Limits = field(default_factory=lambda: Limits(time.monotonic))
    made: Made = field(default_factory=Made)
    at_end: list[Callable[[], None]] = field(default_factory=list)  # what is to be done when the server ends
    board: Board = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "board", Board(self.database))

    def ill(self) -> list[str]:
        """What keeps the daemon from watching, as sentences; nothing where no daemon runs."""
        return self.vitals.lacks() if self.vitals.beat_at is not None else []

    def end(self) -> None:
        """The server ends: whoever listens is let go, and jobs are abandoned."""
        for each in self.at_end:
            each()
        self.jobs.close()
