"""What has moved, told to the pages that show it: server-sent events (HTML, 9.2). One watcher looks for all listeners.

A page says with `at` of which time it is, or its browser with Last-Event-ID; what moved since is told at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from baselines.snapshot import utc_text
from monitor import store
from monitor.errors import StoreError
from monitor.store import Marks, Transaction
from monitor.web.access import IDLE, LONGEST, NotSignedIn, Provisional, Role, roles_of, visitor
from monitor.web.here import Here
from monitor.web.marks import TOPICS, moved
from monitor.web.site import Site

LOOK_EVERY = 1.0  # seconds between two looks at the store
LOOKS_APART = 3  # of these, between two looks whether the listeners are still signed in
LINGER = 60.0  # seconds that the watcher goes on after the last has gone: people go from page to page
BEAT_EVERY = 5.0  # seconds between two signs of life: a page that hears none says that it is not up to date
AGAIN = 2000  # milliseconds, after which a browser that was cut off comes back
STREAMS_MOST = 32  # pages; one that finds no place asks by itself, now and then
RENDERING = timedelta(seconds=5)  # that a page may have been in the making at the time that it names
EVERYTHING = frozenset((*TOPICS, "jobs", "audit"))

log = structlog.get_logger()
router = APIRouter()


@dataclass(eq=False, slots=True)
class Listener:
    """A page that is open somewhere, in a session (its digest). `topics` is what moved, and it was not told yet."""

    session: str
    topics: set[str] = field(default_factory=set)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def tell(self, topics: Iterable[str]) -> None:
        self.topics.update(topics)
        if self.topics:
            self.wake.set()

    def end(self) -> None:
        self.ended = True
        self.wake.set()


@dataclass(frozen=True, slots=True)
class Look:
    """How all that is shown stood at one look: how far the store had come, what of it moved since the look before, how
    much keeps the daemon from watching, and the jobs."""

    at: datetime
    marks: Marks
    moved: frozenset[str]
    ill: int
    jobs: object

    def since(self, last: Look) -> set[str]:
        """The topics that moved."""
        if self.ill != last.ill:
            return set(EVERYTHING)
        more = {"audit": self.marks.entry != last.marks.entry, "jobs": self.jobs != last.jobs}
        return {*self.moved, *(topic for topic, moved in more.items() if moved)}


class Live:
    """The listeners of one server. All of it happens in the server's loop, but for the looks at the store."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._listeners: set[Listener] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._since: datetime | None = None  # when the watcher looked first
        self._moved: dict[str, datetime] = {}  # when each topic was seen to have moved last
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        site.at_end.append(self._close_soon)

    def join(self, session: str, at: datetime | None) -> Listener | None:
        """A listener whose page is of a time (None: nobody knows); None if there are too many."""
        if self._closed or len(self._listeners) >= STREAMS_MOST:
            return None
        listener = Listener(session)
        listener.tell(self._missed(at))
        self._listeners.add(listener)
        if self._watcher is None or self._watcher.done():
            self._loop = asyncio.get_running_loop()
            self._watcher = asyncio.create_task(self._watch())
        return listener

    def _missed(self, at: datetime | None) -> Iterable[str]:
        """What moved since a page was made, or may have."""
        if at is None or self._since is None or at - RENDERING < self._since:
            return EVERYTHING
        return [topic for topic, when in self._moved.items() if when >= at - RENDERING]

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def _close_soon(self) -> None:
        """The server ends, says another thread: it would wait for the streams until its patience ends."""
        with contextlib.suppress(RuntimeError):  # its loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        """End all streams, and take no more."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
        self._end()

    def _end(self) -> None:
        for listener in self._listeners:
            listener.end()

    async def _watch(self) -> None:
        """Look, and tell, until nobody has listened for a while. Where nothing can be seen, nobody is told that all is
        well: the streams end."""
        loop = asyncio.get_running_loop()
        last, looks, heard = None, 0, loop.time()
        try:
            while self._listeners or loop.time() - heard < LINGER:
                asked = {each.session for each in self._listeners} if looks % LOOKS_APART == 0 else set()
                look, gone = await asyncio.to_thread(self._look, last, asked)
                self._tell(look, last)
                for listener in [each for each in self._listeners if each.session in gone]:
                    listener.end()
                last, looks = look, looks + 1
                heard = loop.time() if self._listeners else heard
                await asyncio.sleep(LOOK_EVERY)
        except StoreError as error:
            log.warning("web.live", why=str(error))
        except Exception:  # a bug of ours: said with all that helps; the pages ask by themselves
            log.exception("bug", chore="live")
        finally:
            self._since, self._moved = None, {}
            self._end()

    def _tell(self, look: Look, last: Look | None) -> None:
        if last is None:
            self._since = look.at
            return
        topics = look.since(last)
        self._moved.update(dict.fromkeys(topics, look.at))
        for listener in self._listeners:
            listener.tell(topics)

    def _look(self, last: Look | None, asked: set[str]) -> tuple[Look, set[str]]:
        """How everything stands, and which of the sessions that are asked about have ended."""
        site = self._site
        with site.database.read() as tx:
            marks = store.marks(tx)
            topics = moved(tx, last.marks, marks) if last else frozenset()
            gone = {session for session in asked if _has_ended(tx, session, site.clock())}
        return Look(site.clock(), marks, topics, len(site.ill()), site.jobs.mark()), gone

    async def events(self, listener: Listener) -> AsyncIterator[str]:
        """What a listener is told: topics, and signs of life between them. Each has the time that a page which heeds it
        is of."""
        try:
            yield f"retry: {AGAIN}\n\n"
            while not listener.ended:
                topics = " ".join(sorted(listener.topics))
                listener.topics.clear()
                listener.wake.clear()
                event = f"event: moved\ndata: {topics}" if topics else "event: beat\ndata:"
                yield f"id: {utc_text(self._site.clock())}\n{event}\n\n"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        await listener.wake.wait()
        finally:
            self.leave(listener)


@router.get("/live")
async def live(request: Request, site: Here, at: str = "") -> Response:
    """The stream of one page; 401, and no way to sign in, for whoever is not: a stream cannot show it."""
    told: Live = request.app.state.live
    try:
        caller = await run_in_threadpool(visitor, request, site)
    except (NotSignedIn, Provisional):
        return PlainTextResponse("sign in first", 401)
    assert caller.session is not None
    caller.assure(Role.VIEWER)
    listener = told.join(caller.session.digest, _moment(request.headers.get("last-event-id") or at))
    if listener is None:
        return PlainTextResponse("too many pages listen at this moment", 503)
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(told.events(listener), media_type="text/event-stream", headers=headers)


def _has_ended(tx: Transaction, digest: str, now: datetime) -> bool:
    """Whether nobody is signed in by a session any more."""
    found = store.session(tx, digest)
    if found is None or now - found.seen_at > IDLE or now - found.began_at > LONGEST:
        return True
    person = store.person(tx, found.person)
    return person is None or Role.VIEWER not in roles_of(person)


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
