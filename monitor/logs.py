"""Structured logs on standard error: JSON lines for a service, coloured text for a person at a terminal."""

from __future__ import annotations

import sys
from typing import TextIO, cast

import structlog


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


def set_up() -> None:
    """Configure structlog for this process."""
    renderers: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, StandardError())),
        cache_logger_on_first_use=True,
    )
