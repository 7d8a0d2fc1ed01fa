"""Structured logs on standard error: JSON lines for a service, coloured text for a person at a terminal.

A thing is said once when it begins and once when it ends. What goes on by itself is bounded twice: by `Trouble`, where
the end is known, and for all lines by `Bounded`, so that no fault can fill the disk with words.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

AGAIN_AFTER = 60.0  # seconds between two times that the same trouble begins
MOST_ALIKE = 10  # lines of one kind about one thing
WITHIN = 60.0  # seconds
MOST_KINDS = 10_000  # remembered
ABOUT = ("asset", "segment", "chore", "alert", "route", "text")  # what tells two lines of one event apart


class StandardError:
    """Where the log goes. A line that cannot be written, because the disk is full, is lost, and ends nothing."""

    def __init__(self) -> None:
        self._torn = False

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(f"\n{text}" if self._torn else text)
            sys.stderr.flush()
            self._torn = False
        except OSError:
            self._torn = True  # a part of it may be there

    def flush(self) -> None: ...


# Without the variables of each frame: a password may be among them.
TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def set_up() -> None:
    """Configure structlog for this process."""
    renderers: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer()] if sys.stderr.isatty() else [TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            Bounded(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, StandardError())),
        cache_logger_on_first_use=True,
    )


class Trouble:
    """Something that fails again and again until it works: `<name>.failed` once, `<name>.back` once, from any thread.

    What comes and goes is said at most once a minute.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger()
        self._name = name
        self._clock = clock
        self._alone = threading.Lock()
        self._since: float | None = None
        self._times = 0
        self._said = False  # of the trouble that there is now
        self._said_at = -AGAIN_AFTER
        self.why: str | None = None  # None: it works

    def failed(self, why: object, **about: str) -> None:
        """It failed once more."""
        with self._alone:
            now = self._clock()
            self._since = now if self._since is None else self._since
            self._times += 1
            self.why = str(why)
            if self._said or now - self._said_at < AGAIN_AFTER:
                return
            self._said, self._said_at = True, now
            self._log.error(f"{self._name}.failed", why=self.why, **about)

    def works(self) -> None:
        """It worked."""
        if self._since is None:
            return
        with self._alone:
            since, times, said = self._since, self._times, self._said
            self._since, self._times, self._said, self.why = None, 0, False, None
            if said and since is not None:
                self._log.info(f"{self._name}.back", seconds=round(self._clock() - since, 1), times=times)


@dataclass(slots=True)
class _Kind:
    began: float
    lines: int = 0


class Bounded:
    """A processor that lets at most ten lines of one kind a minute through; the first after that says how many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def __call__(self, _logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        now, key = self._clock(), (str(event.get("event")), *(str(event.get(each, "")) for each in ABOUT))
        kind = self._kinds.get(key)
        if kind is None:
            self._make_room(now)
            kind = self._kinds.setdefault(key, _Kind(now))
        elif now - kind.began >= WITHIN:
            if kind.lines > MOST_ALIKE:
                event["not_said"] = kind.lines - MOST_ALIKE
            kind.began, kind.lines = now, 0
        kind.lines += 1
        if kind.lines > MOST_ALIKE:
            raise structlog.DropEvent
        return event

    def _make_room(self, now: float) -> None:
        if len(self._kinds) < MOST_KINDS:
            return
        fresh = [(key, kind) for key, kind in self._kinds.copy().items() if now - kind.began < WITHIN]
        self._kinds = dict(fresh[len(fresh) // 2 :])
