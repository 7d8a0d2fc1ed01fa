"""The outbox's chore: makes messages of what moved, and sends what waits.

Alarms and their moves are written in one transaction, so the moves are the record of what is still to be told. A
route's mark says how far it has been: new messages, what the route still holds, and its mark are written in one
transaction too, and only then is anything sent. Whatever ends us in between is made good after the next start, under
the same keys.

Each route has a task of its own: a receiver that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol, TypeVar
from uuid import uuid4

import structlog

from baselines.alert import Move
from baselines.snapshot import Severity
from collectors.contract import back_off
from monitor import store
from monitor.config import ITSELF, Plant
from monitor.errors import StoreError
from monitor.notify.channel import NotSent
from monitor.notify.content import NOTICE, Document, digest_document, plain_document
from monitor.notify.grouping import Digest, Held, Moved, due, gather, is_due, is_for
from monitor.routes import AnyRoute, Chat, Email, Mqtt, Syslog, Webhook
from monitor.store import Database, Message, RouteHealth, Transaction

LOOK_EVERY = 1.0
SEND_EVERY = 5.0  # seconds between two looks for messages that are to be tried again
BATCH = 2000  # moves in one transaction
TRY_SECONDS = 15.0  # that one try may take
FIRST_REST = timedelta(seconds=5)  # after a try in vain; doubled with each
LONGEST_REST = 30.0  # seconds that a route rests; one of its messages may rest for longer
GIVE_UP_AFTER = timedelta(days=3)
SHOUT_SECONDS = 10.0
TOLD_EVERY = 0.05

log = structlog.get_logger()
T = TypeVar("T")


class Write(Protocol):
    """Runs a job in a transaction; back when it is committed."""

    async def __call__(self, job: Callable[[Transaction], T], /) -> T: ...


class Dispatcher:
    """The routes of a plant and their outbox. `clock` tells the time, `jitter` a number from 0 to 1; `every`: seconds
    between two looks for what commands moved, and for what is due."""

    def __init__(
        self,
        plant: Plant,
        database: Database,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        every: float = LOOK_EVERY,
    ) -> None:
        self._plant = plant
        self._database = database
        self._clock = clock
        self._jitter = jitter
        self._every = every
        self._routes: dict[str, AnyRoute] = {route.name: route for route in plant.routes}
        self._has_begun = False  # with the routes as they are now
        self._moved = asyncio.Event()
        self._senders: dict[str, tuple[AnyRoute, asyncio.Event, asyncio.Task[None]]] = {}
        self._down: set[str] = set()

    def tell(self, moves: Sequence[Move]) -> None:
        """These moves are in the store: look at once, not only when it is time."""
        if moves:
            self._moved.set()

    def follow(self, plant: Plant) -> None:
        """Go on with the routes of a plant.toml that was read anew. What waits for those that stay is sent by them as
        they are now."""
        self._plant, self._routes = plant, {route.name: route for route in plant.routes}
        self._has_begun = False
        self._moved.set()

    def begin(self, tx: Transaction) -> None:
        """See to it that each route has its mark. To be called before anything moves that they are to tell of."""
        store.begin_routes(tx, [*self._routes])

    async def run(self, write: Write, failed: Callable[[StoreError], None]) -> None:
        """Make and send messages for ever. `failed` is told when the store refuses."""
        try:
            while True:
                self._moved.clear()
                try:
                    if not self._has_begun:
                        self._has_begun = True
                        await write(self.begin)
                        self._staff(write)
                    await self._make(write)
                except StoreError as error:
                    self._has_begun = False
                    failed(error)
                except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
                    self._has_begun = False
                    log.exception("bug", chore="notify")
                    await asyncio.sleep(LONGEST_REST)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every):
                        await self._moved.wait()
        finally:
            await self._dismiss([*self._senders])

    async def run_once(self, write: Write, seconds: float) -> None:
        """Make messages of what moved, try each once, and come back, after so many seconds at most: for a command that
        ends. What was not sent stays in the outbox."""
        await write(self.begin)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._make(write, at_once=True)
                await asyncio.gather(*(self._send_waiting(route, write) for route in self._routes.values()))

    async def _send_waiting(self, route: AnyRoute, write: Write) -> None:
        while (message := await self._next(route, self._clock())) and await self._try(route, message, write):
            pass

    def health(self) -> dict[str, RouteHealth]:
        """How each route does: what waits, since when and why. Reads the store: not for the loop's own thread."""
        with self._database.read() as tx:
            return store.route_health(tx, self._routes)

    async def told(self, alert: int) -> float | None:
        """Wait until what has moved so far was told by every route that hears of self-tests; the seconds that it took.
        None where no route does. Whoever asks says how long to wait."""
        names = [name for name, route in self._routes.items() if route.self_test]
        if not names:
            return None
        began, loop = self._clock(), asyncio.get_running_loop()
        started = loop.time()
        newest = await asyncio.to_thread(self._newest_move)
        while not await asyncio.to_thread(self._is_told, names, newest, began):
            await asyncio.sleep(TOLD_EVERY)
        return loop.time() - started

    def _newest_move(self) -> int:
        with self._database.read() as tx:
            return store.newest_move(tx)

    def _is_told(self, names: Sequence[str], move: int, since: datetime) -> bool:
        with self._database.read() as tx:
            marks, known = store.route_marks(tx), store.route_health(tx, names)
        sent = {name: known[name].sent_at for name in names}
        return all(marks[name][0] >= move and (at := sent[name]) is not None and at >= since for name in names)

    async def shout(self, text: str, severity: Severity) -> dict[str, str]:
        """Say something by every route that is fit for its severity, without the store; by route why it did not arrive,
        "" where it did. At most SHOUT_SECONDS."""
        routes = [each for each in self._routes.values() if severity.rank >= each.min_severity.rank and not each.after]
        return await say(self._plant.name, routes, NOTICE, text, severity, self._clock())

    # Making

    async def _make(self, write: Write, at_once: bool = False) -> None:
        """Make messages of all that moved, a batch at a time."""
        if not self._routes or not (at_once or await asyncio.to_thread(self._is_due)):
            return
        more = True
        while more:
            told, more = await write(lambda tx: self._step(tx, at_once))
            for name in told:
                if name in self._senders:
                    self._senders[name][1].set()

    def _is_due(self) -> bool:
        """Whether a route has moves to take in, or something to tell that it held."""
        now = self._clock()
        with self._database.read() as tx:
            newest, marks = store.newest_move(tx), store.route_marks(tx)
            return any(
                self._has_work(tx, route, marks[name], newest, now)
                for name, route in self._routes.items()
                if name in marks
            )

    def _has_work(self, tx: Transaction, route: AnyRoute, known: tuple[int, str], newest: int, now: datetime) -> bool:
        mark, text = known
        if route.after:
            first = store.first_move_after(tx, mark)
            behind = first is not None and first <= now - route.after
        else:
            behind = newest > mark
        return behind or is_due(route, Held.parsed(text), now.timestamp())

    def _step(self, tx: Transaction, at_once: bool) -> tuple[list[str], bool]:
        """One batch for every route; the routes that have new messages, and whether more is to be taken in."""
        now, told, more = self._clock(), [], False
        read: dict[int, list[Moved]] = {}
        for name, (mark, text) in store.route_marks(tx).items():
            if (route := self._routes.get(name)) is None:
                continue
            moves = self._moves(tx, route, mark, now, read)
            more = more or len(moves) == BATCH
            held = Held.parsed(text)
            had_work = bool(moves) or is_due(route, held, now.timestamp())
            for moved in moves:
                if is_for(route, moved, self._zone(moved.asset)):
                    gather(route, held, moved, now.timestamp())
            digests = due(route, held, now.timestamp(), at_once)
            for digest in digests:
                self._add(tx, route, digest, now)
            if digests:
                told.append(name)
            if had_work or digests:
                store.keep_route(tx, name, moves[-1].id if moves else mark, held.text())
        return told, more

    def _moves(
        self, tx: Transaction, route: AnyRoute, mark: int, now: datetime, read: dict[int, list[Moved]]
    ) -> list[Moved]:
        """The next moves of a route; most routes are at the same mark, so they are read once."""
        if route.after:
            return store.moves_after(tx, mark, BATCH, now, until=now - route.after)
        if mark not in read:
            read[mark] = store.moves_after(tx, mark, BATCH, now)
        return read[mark]

    def _zone(self, asset: str) -> str | None:
        if asset == ITSELF:
            return None
        known = self._plant.assets.get(asset) or self._plant.segments.get(asset)
        return known.asset.zone if known else ""

    def _add(self, tx: Transaction, route: AnyRoute, digest: Digest, now: datetime) -> None:
        named = digest.worst[: route.most]
        alerts = {alert.id: alert for alert in store.alerts(tx, ids=named, closed=True)}
        document = digest_document(self._plant.name, route.name, digest, alerts, now)
        store.add_message(tx, Message(digest.key, route.name, digest.severity, now, now, json.dumps(document)))

    # Sending

    def _staff(self, write: Write) -> None:
        """A task for each route, as it is now."""
        changed = [name for name, (route, _, _) in self._senders.items() if self._routes.get(name) != route]
        for name in changed:
            self._senders.pop(name)[2].cancel()
        for name, route in self._routes.items():
            if name not in self._senders:
                news = asyncio.Event()
                self._senders[name] = route, news, asyncio.create_task(self._send(route, news, write))

    async def _dismiss(self, names: Iterable[str]) -> None:
        tasks = [self._senders.pop(name)[2] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, route: AnyRoute, news: asyncio.Event, write: Write) -> None:
        """Send what waits for one route, for ever."""
        failures = 0
        while True:
            news.clear()
            try:
                while message := await self._next(route, self._clock()):
                    failures = 0 if await self._try(route, message, write) else failures + 1
                    if failures:
                        rest = back_off(failures, FIRST_REST, self._jitter()).total_seconds()
                        await asyncio.sleep(min(LONGEST_REST, rest))
            except StoreError:  # said by run(), which finds the same
                await asyncio.sleep(SEND_EVERY)
            except Exception:  # a bug of ours at one route: said with all that helps, and the others go on
                log.exception("bug", route=route.name)
                await asyncio.sleep(LONGEST_REST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SEND_EVERY):
                    await news.wait()

    async def _next(self, route: AnyRoute, now: datetime) -> Message | None:
        def look() -> Message | None:
            with self._database.read() as tx:
                return store.next_message(tx, route.name, now)

        return await asyncio.to_thread(look)

    async def _try(self, route: AnyRoute, message: Message, write: Write) -> bool:
        """Send a message, and write down what came of it."""
        why = await attempt(route, json.loads(message.body), TRY_SECONDS)
        now = self._clock()
        if not why:
            await write(lambda tx: store.message_sent(tx, message, now))
            if route.name in self._down:
                self._down.discard(route.name)
                log.info("notify.up", route=route.name)
            return True
        rest = back_off(message.tries + 1, FIRST_REST, self._jitter())
        due_at = now + rest if now - message.made_at < GIVE_UP_AFTER else None
        await write(lambda tx: store.message_kept(tx, message, why, due_at))
        if route.name not in self._down:
            self._down.add(route.name)
            log.error("notify.down", route=route.name, place=route.place, why=why)
        if due_at is None:
            log.error("notify.given_up", route=route.name, key=message.key, tries=message.tries + 1, why=why)
        return False


async def attempt(route: AnyRoute, document: Document, seconds: float) -> str:
    """Send a message by a route; "" if it has arrived, else why not."""
    try:
        async with asyncio.timeout(seconds):
            await _hand_over(route, document)
    except NotSent as error:
        return str(error)
    except TimeoutError:
        return f"it was not taken within {seconds:g} s"
    return ""


async def _hand_over(route: AnyRoute, document: Document) -> None:
    """Each channel's libraries are loaded where a route needs them."""
    match route:
        case Webhook():
            from monitor.notify import webhook

            await webhook.send(route, document)
        case Email():
            from monitor.notify import mail

            await mail.send(route, document)
        case Syslog():
            from monitor.notify import syslog

            await syslog.send(route, document)
        case Mqtt():
            from monitor.notify import mqtt

            await mqtt.send(route, document)
        case Chat():
            from monitor.notify import chat

            await chat.send(route, document)


async def say(
    plant: str, routes: Iterable[AnyRoute], event: str, text: str, severity: Severity, at: datetime
) -> dict[str, str]:
    """Say something by each of some routes, at once and without the outbox; by route "", or why it did not arrive."""
    once = uuid4().hex
    routes = list(routes)
    documents = [
        plain_document(
            plant, route.name, event, text, severity, sha256(f"{once} {route.name}".encode()).hexdigest(), at
        )
        for route in routes
    ]
    whys = await asyncio.gather(*map(attempt, routes, documents, [SHOUT_SECONDS] * len(routes)))
    return dict(zip([route.name for route in routes], whys, strict=True))
