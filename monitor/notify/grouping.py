"""From moves of alarms to messages: routing, grouping, limits, flapping, escalation. Pure: no store, no clock.

What a route has gathered, and not told yet, is its `Held`: bounded, whatever happens, and stored with the route's mark.
Times are seconds since 1970.

A route tells of critical alarms apart from the others, within seconds. The others are gathered, the longer the more
messages there were lately, and each takes one from a bucket that fills again at the rate of `at_most` an hour: what is
over waits in `Held` for the next, as numbers, the worst of it by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from baselines.alert import ACKED, NORMAL, RTN_UNACK, SHELVED, SUPPRESSED, UNACK, AlertState, Event
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from monitor.routes import Route

TELLING = (Event.DEVIATES, Event.MOVES_ON, Event.CONFORMS, Event.UNSHELVE, Event.UNSUPPRESS)  # the rest people did
RAISING = tuple(event for event in TELLING if event is not Event.CONFORMS)
WAITING = (UNACK, RTN_UNACK)  # for somebody to acknowledge it
ELSEWHERE = (NORMAL, ACKED, SHELVED, SUPPRESSED)
AWAY = (SHELVED, SUPPRESSED)  # nobody is to be told of these
OVER_AT_ONCE = (Kind.EVENT, Kind.SELFTEST)  # that it is over says nothing

UNACKNOWLEDGED = "unacknowledged"  # what alarms are told as, beside the names of events
FLAPPING = "flapping"
SETTLED = "settled"

HOUR = 3600.0
URGENT_FOR, LONGEST_URGENT = 1.0, 20.0  # seconds that critical alarms are gathered
LONGEST_GROUP = 600.0  # seconds; more, only for want of a message
MOST_NAMED = 200  # alarms of one message that are kept by number
MOST_ASSETS = 200  # that are kept by name

FLAPS = 4  # raised more often than this
FLAP_SECONDS = 600.0  # within this: it flaps
CALM = 600.0  # seconds without a move: it does no longer
AGAIN_AFTER = 3600.0  # seconds: that it flaps still is said again
MOST_FLAPPING = 500  # alarms that are held back; of one more, the calmest is let go


@dataclass(frozen=True, slots=True)
class Moved:
    """A move behind a route's mark. `raised`: how often the alarm was raised in the last FLAP_SECONDS; `waits`: nobody
    has acknowledged it, or put it away, since."""

    id: int
    alert: int
    event: Event
    before: AlertState
    after: AlertState
    asset: str
    severity: Severity
    category: Category
    kind: Kind
    raised: int = 0
    waits: bool = False


@dataclass(slots=True)
class Told:
    """One alarm of a message: what it is told as, how severe it is (its rank), and whether it is over meanwhile."""

    event: str
    rank: int
    asset: str
    over: bool = False
    moves: int = 1


@dataclass(slots=True)
class Bucket:
    """What one message will tell: the worst alarms by number, of more only how many by rank."""

    since: float = 0.0
    alarms: dict[int, Told] = field(default_factory=dict)
    beyond: dict[int, int] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)
    elsewhere: int = 0  # moves at assets that are not named
    lowest: int = 0  # no alarm that is kept has a lower rank

    @property
    def count(self) -> int:
        """How many alarms; of those that are not kept by number, one that moved twice counts twice."""
        return len(self.alarms) + sum(self.beyond.values())

    def put(self, alert: int, told: Told, now: float) -> None:
        self.since = self.since or now
        known = self.alarms.get(alert)
        if known is None:
            self._count_asset(told.asset)
            if len(self.alarms) >= MOST_NAMED and told.rank <= self.lowest:
                return self._count_rank(told.rank)
            self.alarms[alert] = told
            if len(self.alarms) > MOST_NAMED:
                least = min(self.alarms, key=lambda each: (self.alarms[each].rank, -each))
                self._count_rank(self.alarms.pop(least).rank)
                self.lowest = min(told.rank for told in self.alarms.values())
            return None
        known.moves += told.moves
        known.rank = max(known.rank, told.rank)
        known.over = told.over or told.event == Event.CONFORMS
        if known.event == Event.CONFORMS or told.event in (FLAPPING, SETTLED):
            known.event, known.over = told.event, told.over
        return None

    def _count_asset(self, asset: str) -> None:
        if asset in self.assets or len(self.assets) < MOST_ASSETS:
            self.assets[asset] = self.assets.get(asset, 0) + 1
        else:
            self.elsewhere += 1

    def _count_rank(self, rank: int) -> None:
        self.beyond[rank] = self.beyond.get(rank, 0) + 1


@dataclass(slots=True)
class Flap:
    """An alarm that goes back and forth: when it last did, when that was said, and how often since."""

    last: float
    said: float
    moves: int
    rank: int
    asset: str


@dataclass(slots=True)
class Held:
    """What a route has gathered: the critical, and the others; what flaps; and how many messages of both it had sent
    lately by `at`, less what it has gained since."""

    urgent: Bucket = field(default_factory=Bucket)
    others: Bucket = field(default_factory=Bucket)
    flapping: dict[int, Flap] = field(default_factory=dict)
    spent_urgent: float = 0.0
    spent: float = 0.0
    at: float = 0.0

    @classmethod
    def parsed(cls, text: str) -> Held:
        return msgspec.json.decode(text, type=cls) if text else cls()

    def text(self) -> str:
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Digest:
    """A message to be made. Equal content has an equal key."""

    key: str
    severity: Severity
    bucket: Bucket

    @property
    def worst(self) -> list[int]:
        """The numbers of the alarms, the worst first; of equally bad ones the first first."""
        alarms = self.bucket.alarms
        return sorted(alarms, key=lambda each: (-alarms[each].rank, alarms[each].over, each))


def is_for(route: Route, moved: Moved, zone: str | None) -> bool:
    """Whether a route tells of a move, by what it is and where. A zone of None is that of an alarm about the monitor
    itself, which concerns all zones."""
    if moved.kind is Kind.SELFTEST:
        return route.self_test and moved.event is not Event.CONFORMS
    return (
        moved.severity.rank >= route.min_severity.rank
        and (not route.zones or zone is None or zone in route.zones)
        and (not route.categories or moved.category in route.categories)
        and _is_news(route, moved)
    )


def _is_news(route: Route, moved: Moved) -> bool:
    if route.after:
        return moved.before not in WAITING and moved.after in WAITING and moved.waits
    if moved.event not in TELLING or moved.after in AWAY:
        return False
    return moved.event is not Event.CONFORMS or (moved.kind not in OVER_AT_ONCE and moved.before not in AWAY)


def gather(route: Route, held: Held, moved: Moved, now: float) -> None:
    """Take in a move that the route tells of."""
    rank = moved.severity.rank
    if route.after:
        return _put(held, moved, Told(UNACKNOWLEDGED, rank, moved.asset), now)
    flap = held.flapping.get(moved.alert)
    if flap is not None:
        flap.last, flap.moves, flap.rank = now, flap.moves + 1, max(flap.rank, rank)
        return None
    if moved.event in RAISING and moved.raised > FLAPS and moved.kind is not Kind.SELFTEST:
        held.flapping[moved.alert] = Flap(now, now, moved.raised, rank, moved.asset)
        _put(held, moved, Told(FLAPPING, rank, moved.asset, moves=moved.raised), now)
        if len(held.flapping) > MOST_FLAPPING:
            _settle(held, min(held.flapping, key=lambda each: held.flapping[each].last), now)
        return None
    return _put(held, moved, Told(moved.event, rank, moved.asset), now)


def _put(held: Held, moved: Moved, told: Told, now: float) -> None:
    urgent = moved.severity is Severity.CRITICAL or moved.kind is Kind.SELFTEST
    (held.urgent if urgent else held.others).put(moved.alert, told, now)


def _settle(held: Held, alert: int, now: float) -> None:
    flap = held.flapping.pop(alert)
    bucket = held.urgent if flap.rank == Severity.CRITICAL.rank else held.others
    bucket.put(alert, Told(SETTLED, flap.rank, flap.asset, moves=flap.moves), now)


def due(route: Route, held: Held, now: float, at_once: bool = False) -> list[Digest]:
    """Take out what is to be told now. With `at_once` nothing waits to be gathered, but the limits hold."""
    _set_back(held, now)
    _calm(held, now)
    _refill(route, held, now)
    digests, burst = [], _burst(route)
    if held.urgent.alarms and (at_once or _urgent_at(route, held) <= now):
        digests.append(_digest(route, held.urgent))
        held.urgent, held.spent_urgent = Bucket(), min(held.spent_urgent + 1, burst)
    if held.others.alarms and _others_at(route, held, at_once) <= now:
        digests.append(_digest(route, held.others))
        held.others, held.spent = Bucket(), min(held.spent + 1, burst)
    return digests


def is_due(route: Route, held: Held, now: float) -> bool:
    """Whether `due` has something to do now."""
    at = next_at(route, held)
    return _set_back(held, now) or (at is not None and at <= now)


def next_at(route: Route, held: Held) -> float | None:
    """When there will be something to do, if nothing more moves; None if never."""
    times = [min(flap.last + CALM, flap.said + AGAIN_AFTER) for flap in held.flapping.values()]
    if held.urgent.alarms:
        times.append(_urgent_at(route, held))
    if held.others.alarms:
        times.append(_others_at(route, held, at_once=False))
    return min(times, default=None)


def _set_back(held: Held, now: float) -> bool:
    """Where the clock was set back, nothing waits for it to come this far again. Whether it was."""
    times = [held.at, held.urgent.since, held.others.since, *(flap.last for flap in held.flapping.values())]
    if max(times) <= now:
        return False
    held.at = min(held.at, now)
    for bucket in (held.urgent, held.others):
        bucket.since = min(bucket.since, now)
    for flap in held.flapping.values():
        flap.last, flap.said = min(flap.last, now), min(flap.said, now)
    return True


def _calm(held: Held, now: float) -> None:
    for alert, flap in [*held.flapping.items()]:
        if now >= flap.last + CALM:
            _settle(held, alert, now)
        elif now >= flap.said + AGAIN_AFTER:
            flap.said = now
            bucket = held.urgent if flap.rank == Severity.CRITICAL.rank else held.others
            bucket.put(alert, Told(FLAPPING, flap.rank, flap.asset, moves=flap.moves), now)


def _burst(route: Route) -> float:
    """Messages that a route may send one after the other: a third of those of an hour, which leaves the rest of them to
    be spread over the hour."""
    return max(1.0, route.at_most // 3)


def _rate(route: Route) -> float:
    """Messages a second that it gains meanwhile."""
    return max(route.at_most - _burst(route), 0.5) / HOUR


def _refill(route: Route, held: Held, now: float) -> None:
    passed = min(now - held.at, HOUR * 3)
    held.spent_urgent = max(0.0, min(held.spent_urgent, _burst(route)) - passed * _rate(route))
    held.spent = max(0.0, min(held.spent, _burst(route)) - passed * _rate(route))
    held.at = now


def _urgent_at(route: Route, held: Held) -> float:
    first = min(URGENT_FOR, route.group_for.total_seconds())
    return held.urgent.since + min(LONGEST_URGENT, first * 2.0 ** min(round(held.spent_urgent), 10))


def _others_at(route: Route, held: Held, at_once: bool) -> float:
    base = route.group_for.total_seconds()
    gathered = held.others.since + min(max(LONGEST_GROUP, base), base * 2.0 ** min(round(held.spent), 10))
    over = held.spent + 1 - _burst(route)
    allowed = held.at + max(0.0, over) / _rate(route)
    return allowed if at_once else max(gathered, allowed)


def _digest(route: Route, bucket: Bucket) -> Digest:
    ranks = [told.rank for told in bucket.alarms.values()]
    text = f"{route.name}\n".encode() + msgspec.json.encode(bucket)
    return Digest(sha256(text).hexdigest(), tuple(Severity)[max(ranks)], bucket)
