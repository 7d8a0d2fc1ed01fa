"""The signs that the daemon gives: of life to the service manager, and of how the plant stands to all who ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from monitor import store
from monitor.errors import StoreError
from monitor.logs import Trouble
from monitor.pipeline import Checked
from monitor.sd import Manager
from monitor.store import Database
from monitor.vitals import Sensed, Tally, Vitals

BEAT_EVERY = 1.0  # seconds between two signs of life, at most
COUNT_EVERY = 5.0  # seconds between two counts of how the plant stands

Standings: TypeAlias = tuple[Mapping[str, Checked | None], Mapping[str, Sensed], int]


class Signs:
    """Two chores of the daemon's loop. `trouble` is the one that the store has, if it has any."""

    def __init__(self, database: Database, vitals: Vitals, trouble: Trouble, manager: Manager) -> None:
        self._database = database
        self._vitals = vitals
        self._trouble = trouble
        self.manager = manager

    async def beat(self, next_due: Callable[[], float | None]) -> None:
        """Feed the watchdog, as long as nothing of ours hangs; say that we are ready, once we are.

        `next_due` is when the next poll is due, in seconds of the loop's clock.
        """
        loop, vitals, ready = asyncio.get_running_loop(), self._vitals, False
        every = min(BEAT_EVERY, self.manager.watchdog_every or BEAT_EVERY)
        vitals.beat(0.0, 0.0)
        while True:
            asleep = loop.time()
            await asyncio.sleep(every)
            now, due = loop.time(), next_due()
            vitals.beat(now - asleep - every, 0.0 if due is None else max(0.0, now - due))
            vitals.store_trouble = self._trouble.why
            if not vitals.hangs():
                self.manager.alive()
            if not ready and not vitals.lacks():
                ready = True
                self.manager.ready(vitals.tally.line)

    async def count(self, standings: Callable[[], Standings]) -> None:
        """Count how the plant stands. `standings` gives what is known of each asset and segment (None: it was not
        polled yet), what each segment's sensor has counted, and how many of both are not seen now."""
        while True:
            with contextlib.suppress(StoreError):  # which is said by those who need the store
                alarms, waiting, runs = await asyncio.to_thread(self._counted)
                known, sensed, blind = standings()
                self._vitals.tally = Tally(
                    len(known) - len(sensed),
                    blind,
                    Counter(str(checked.verdict) for name, checked in known.items() if checked and name not in sensed),
                    alarms,
                    waiting,
                    runs,
                    sensed,
                )
                self.manager.status(self._vitals.tally.line)
            await asyncio.sleep(COUNT_EVERY)

    def _counted(self) -> tuple[Mapping[tuple[str, str], int], int, int]:
        with self._database.read() as tx:
            return store.count_alarms(tx), store.count_waiting(tx), store.count_runs(tx)
