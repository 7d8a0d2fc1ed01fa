"""A process beside the one that is measured, and the pipe to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def apart(serve: Callable[..., None], *words: Any) -> Iterator[Connection]:
    """Our end of the pipe to a process that runs `serve(its end, *words)`, which ends when ours is closed."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *words), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()
