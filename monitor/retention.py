"""Retention: what was polled longer ago than `[store] keep` is forgotten, once a day, a small batch at a time.

A batch holds the only writer for some milliseconds, and then as long lets others have it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from monitor import store
from monitor.config import Plant
from monitor.store import Database, Transaction

SENT = timedelta(days=90)  # that a sent message is kept
BATCH_SECONDS = 0.02  # that a batch should take: others wait for it
SMALLEST, LARGEST = 20, 2000  # rows that a batch looks at

T = TypeVar("T")
Write = Callable[[Callable[[Transaction], int]], Awaitable[int]]


async def forget(plant: Plant, database: Database, write: Write, now: datetime) -> Mapping[str, int]:
    """Forget what is old; how many rows went, by table. `write` runs a job in a transaction of the daemon's writer."""
    with database.read() as tx:
        state = store.forgetting(tx, now - plant.keep, now - SENT)
    most = SMALLEST
    while not state.is_done:
        took: list[float] = []
        await write(partial(_batch, state=state, most=most, took=took))
        most = resized(most, took[0])
        await asyncio.sleep(took[0])
    return state.gone


def _batch(tx: Transaction, state: store.Forgetting, most: int, took: list[float]) -> int:
    began = time.monotonic()
    count = store.forget_some(tx, state, most)
    took.append(time.monotonic() - began)
    return count


def resized(most: int, seconds: float) -> int:
    """How many rows the next batch looks at, when one of `most` rows took so long."""
    if seconds > BATCH_SECONDS:
        return max(SMALLEST, most // 2)
    return min(LARGEST, most * 2) if seconds < BATCH_SECONDS / 3 else most
