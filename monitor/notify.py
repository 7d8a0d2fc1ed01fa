"""Tells people of alarms that moved, after the commit. A message that cannot be delivered stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import httpx
import structlog

from baselines.alert import Event, Move
from monitor.config import Route
from monitor.show import alert_document, move_text

TELLING = (
    Event.DEVIATES,
    Event.MOVES_ON,
    Event.CONFORMS,
    Event.UNSHELVE,
    Event.UNSUPPRESS,
)  # what people did they know
ATTEMPTS = 4
FIRST_PAUSE = 1.0  # seconds, doubled after each attempt
TIMEOUT = 5.0  # seconds
LONGEST_QUEUE = 10_000

log = structlog.get_logger()


class Notifier:
    """Posts alarms to the plant's webhooks, one after the other, in the order in which they moved."""

    def __init__(self, plant: str, routes: Sequence[Route]) -> None:
        self._plant = plant
        self._routes = routes
        self._queue: asyncio.Queue[Move] = asyncio.Queue(LONGEST_QUEUE)

    def tell(self, moves: Iterable[Move]) -> None:
        """Queue the moves that people should hear of. Never waits; what no longer fits is logged."""
        if not self._routes:
            return
        for move in moves:
            if move.event in TELLING:
                try:
                    self._queue.put_nowait(move)
                except asyncio.QueueFull:
                    log.error("notify.dropped", alert=move.alert.id, reason=f"{LONGEST_QUEUE} messages wait already")

    def follow(self, plant: str, routes: Sequence[Route]) -> None:
        self._plant, self._routes = plant, routes

    async def run(self) -> None:
        """Deliver for ever."""
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            while True:
                await self._deliver(client, await self._queue.get())
                self._queue.task_done()

    async def drain(self) -> None:
        """Deliver what is queued, and come back: for a command that ends."""
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            while not self._queue.empty():
                await self._deliver(client, self._queue.get_nowait(), attempts=1)

    async def _deliver(self, client: httpx.AsyncClient, move: Move, attempts: int = ATTEMPTS) -> None:
        for route in self._routes:
            if move.alert.severity.rank >= route.min_severity.rank:
                await self._post(client, route, move, attempts)

    async def _post(self, client: httpx.AsyncClient, route: Route, move: Move, attempts: int) -> None:
        document = alert_document(move.alert)
        message = {"plant": self._plant, "event": move.event, "text": move_text(move), "alert": document}
        why = ""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                answer = await client.post(route.url, json=message)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return
            why = f"HTTP status {answer.status_code}"
        log.error("notify.failed", route=route.name, alert=move.alert.id, why=why, attempts=attempts)
