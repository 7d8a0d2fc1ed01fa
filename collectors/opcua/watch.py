"""A watch: a subscription by which a server says of itself that an item changed (Part 4, 5.13 and 5.14).

What it says is a reason to poll, and never a value: there is one way to read one. One Publish is outstanding at a time
and the next waits at least the publishing interval, so a server can tell no faster than we ask; what it tells rings a
`Bell` that rings ever more seldom while it is pulled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from collectors.collector import CollectError, Malformed, Watching
from collectors.opcua import services
from collectors.opcua.faults import STALE, Fault, Gone
from collectors.opcua.reads import Reads
from collectors.opcua.services import Published, Subscribed
from collectors.opcua.session import Session
from collectors.opcua.status import is_bad, status_name
from collectors.profile import PUBLISHING_SHARE, Profile

KEEP_ALIVE = 10.0  # seconds without a change after which the server is to say that it lives
PATIENCE = 3  # keep-alives that may be due until the subscription is taken for dead
LIFETIME = 6  # keep-alives without a Publish of ours, after which the server may drop it
RARE = 0.75  # of the time that a session or its channel lasts: keep-alives further apart would not keep it
ASK_AGAIN = 3600.0  # seconds that a server is left alone that breaks its own protocol when it publishes
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two rings
ENDED = {"BadNoSubscription", "BadSubscriptionIdInvalid", "BadTimeout", *STALE}  # a new one helps


class Bell:
    """Calls `ring` at once when pulled, and then, while it goes on, after pauses that double; no pull is lost.

    `jitter`, 0 to 1, lengthens a pause by up to a quarter, so that the end of an outage is no burst.
    """

    def __init__(
        self,
        ring: Callable[[], None],
        first: float = FIRST_PAUSE,
        longest: float = LONGEST_PAUSE,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ring = ring
        self._jitter = jitter
        self._first = first
        self._longest = longest
        self._pause = 0.0
        self._rang_at = 0.0
        self._later: asyncio.TimerHandle | None = None

    def pull(self) -> None:
        if self._later is not None:
            return
        since = asyncio.get_running_loop().time() - self._rang_at
        if since >= 2 * self._pause:
            self._pause = 0.0
        if since >= self._pause:
            self._now()
        else:
            wait = self._pause * (1 + self._jitter() / 4) - since
            self._later = asyncio.get_running_loop().call_later(wait, self._now)

    def silence(self) -> None:
        """Forget a pull that has not been rung yet."""
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _now(self) -> None:
        self._later = None
        self._rang_at = asyncio.get_running_loop().time()
        self._pause = min(max(2 * self._pause, self._first), self._longest)
        self._ring()


class Vigil:
    """What of an asset's watches outlasts their sessions: the bell, why nothing is watched, and when to ask again."""

    def __init__(self, asset: str, changed: Callable[[str], None]) -> None:
        self.asset = asset
        self.bell = Bell(partial(changed, asset))
        self.why = "it was not polled yet"
        self.missed = False  # once there was a watch, until it is given up: without one, polls are to come soon
        self._ask_at = 0.0

    @property
    def may_ask(self) -> bool:
        return asyncio.get_running_loop().time() >= self._ask_at

    def give_up(self, why: str) -> None:
        """Ask for no subscription for a while: whoever breaks the protocol there would lose each session by it."""
        self.why, self.missed = why, False
        self._ask_at = asyncio.get_running_loop().time() + ASK_AGAIN


class Watch:
    """One subscription, and the task that keeps a Publish outstanding for it. It ends with its session."""

    def __init__(self, session: Session, vigil: Vigil, subscribed: Subscribed, state: Watching) -> None:
        self.lost = False  # what is to be watched needs another session
        self._session = session
        self._channel = session.channel
        self._vigil = vigil
        self._subscribed = subscribed
        self._state = state
        self._ended = False
        self._heard = False
        self._told = asyncio.Event()  # the first values, or the end
        self._armed = False
        self._task = asyncio.create_task(self._run())
        vigil.missed = True

    @property
    def state(self) -> Watching:
        return Watching(0, self._state.of, self._vigil.why) if self._ended else self._state

    async def arm(self) -> None:
        """Wait for the first values, which are no change; what is told from here on is one.

        Who reads after this misses nothing: a change is in what is read, or it is told.
        """
        if self._armed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._subscribed.interval + self._channel.contract.limits.timeout):
                await self._told.wait()
        self._armed = True

    async def stop(self) -> None:
        """Listen no more; the subscription ends with the session (CloseSession says so)."""
        self.abandon()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()  # raises what was a bug of ours

    def abandon(self) -> None:
        """Whoever broke the protocol while it was to publish may have done so in publishing."""
        if not self._ended and isinstance(self._channel.cause, Malformed):
            self._vigil.give_up(self._channel.cause.text)
        self._end(self._channel.cause.text if self._channel.cause else "there is no session")
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._listen()
        except Malformed as failure:
            self._vigil.give_up(failure.text)
            self._lose(failure.text)
        except Fault as fault:
            self._lose(fault.text, fault.status in ENDED)
        except CollectError as failure:
            self._lose(failure.text)
        except TimeoutError:
            why = f"nothing was published for {self._patience:g} s"
            if not self._heard:
                self._vigil.give_up(why)
            self._lose(why)
        finally:
            if not self._ended:
                self._lose("a fault of ours ended it")

    @property
    def _between(self) -> float:
        """Seconds between two signs of life."""
        return self._subscribed.interval * self._subscribed.keep_alives

    @property
    def _patience(self) -> float:
        return PATIENCE * self._between + self._channel.contract.limits.timeout

    async def _listen(self) -> None:
        loop, sequence = asyncio.get_running_loop(), 0
        while True:
            asked_at = self._session.used_at = loop.time()
            if not await self._channel.renew(self._between):
                raise self._channel.cause or Gone(self._channel.asset, "the secure channel ran out")
            request = services.publish(self._subscribed.id, sequence)
            reader = await self._channel.ask_at_leisure(request, self._patience)
            read = partial(services.read_published, watched=self._state.items)
            sequence = self._take(self._channel.understood(read, reader))
            await asyncio.sleep(asked_at + self._subscribed.interval - loop.time())

    def _take(self, said: Published) -> int:
        """What is to be acknowledged of it: the number of a message, or 0 for a keep-alive."""
        if said.subscription != self._subscribed.id:
            raise self._channel.malformed(f"it published for subscription {said.subscription}, which is not ours")
        if said.ended:
            raise Gone(self._channel.asset, f"the server ended the subscription ({status_name(said.ended)})")
        self._heard = True
        if not said.changed:
            return 0
        if self._armed:
            self._vigil.bell.pull()
        self._told.set()
        return said.sequence

    def _lose(self, why: str, for_another: bool = True) -> None:
        self.lost = for_another
        self._end(why)
        self._vigil.bell.pull()

    def _end(self, why: str) -> None:
        if not self._ended:
            self._ended, self._vigil.why = True, why
        self._told.set()


async def begin(session: Session, reads: Reads, nodes: Sequence[bytes], profile: Profile, vigil: Vigil) -> Watch | None:
    """Subscribe to the values of a profile's nodes, every `publishing` seconds or as often as the contract allows.

    None if the server does not want to; `vigil` knows why.
    """
    channel = session.channel
    least = 1 / (PUBLISHING_SHARE * channel.contract.limits.requests_per_second)
    interval = max(profile.limits.publishing, least)
    try:
        subscribed = await _subscribe(session, interval)
        try:
            statuses = await _monitor(reads, subscribed, nodes, interval)
            refusal = _refusal(session, subscribed, statuses)
        except Fault as fault:
            statuses, refusal = [], fault.text
        if not refusal:
            return Watch(session, vigil, subscribed, _state(statuses, len(profile.items)))
        await channel.ask_raw(services.delete_subscriptions(subscribed.id))
        vigil.why = refusal
    except Fault as fault:
        if fault.status in STALE:
            raise
        vigil.why = fault.text
    except CollectError as failure:
        vigil.give_up(failure.text)
        raise
    return None


async def _subscribe(session: Session, interval: float) -> Subscribed:
    between = min(KEEP_ALIVE, session.timeout / PATIENCE, session.channel.lifetime / PATIENCE)
    keep_alives = max(1, int(between / interval))
    request = services.create_subscription(interval, keep_alives, LIFETIME * keep_alives)
    return await session.channel.ask(request, services.read_subscribed)


async def _monitor(reads: Reads, subscribed: Subscribed, nodes: Sequence[bytes], interval: float) -> list[int]:
    statuses: list[int] = []
    for batch in reads.to_monitor(nodes):
        request = services.create_monitored_items(subscribed.id, batch, interval)
        statuses += await reads.channel.ask(request, partial(services.read_monitored, asked=len(batch)))
    return statuses


def _refusal(session: Session, subscribed: Subscribed, statuses: Sequence[int]) -> str:
    between = subscribed.interval * subscribed.keep_alives
    longest = min(session.timeout, session.channel.lifetime)
    if between > RARE * longest:
        return f"the server would tell every {between:g} s that it lives, and its sessions last {longest:g} s"
    if all(map(is_bad, statuses)):
        return f"the server watches none of the items ({status_name(statuses[0])})"
    return ""


def _state(statuses: Sequence[int], of: int) -> Watching:
    bad = [status for status in statuses if is_bad(status)]
    why = status_name(bad[0]) if bad else "not all of the namespaces are at the server"
    items = len(statuses) - len(bad)
    return Watching(items, of, why if items < of else "")
