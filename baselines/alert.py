"""Alarms by ISA-18.2: one per asset and item, moved by what is observed and by what people do."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from baselines.drift import Kind, Verdict
from baselines.rules import Direction, Finding
from baselines.snapshot import Category, Severity, Snapshot, same


class AlertState(StrEnum):
    """ANSI/ISA-18.2-2016, 5.4."""

    NORMAL = "NORMAL"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTN_UNACK = "RTN_UNACK"
    SHELVED = "SHELVED"
    SUPPRESSED = "SUPPRESSED"


class Event(StrEnum):
    """What moves an alarm. MOVES_ON: the item deviates still, but otherwise than what was acknowledged.

    SUPPRESS: by a change order that expects it, or because its asset is out of service; UNSUPPRESS: that is over.
    """

    DEVIATES = "deviates"
    MOVES_ON = "moves-on"
    CONFORMS = "conforms"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    RETIRE = "retire"  # its asset is no more


NORMAL, UNACK, ACKED, RTN_UNACK, SHELVED, SUPPRESSED = AlertState
DEVIATES, MOVES_ON, CONFORMS, ACKNOWLEDGE, SHELVE, UNSHELVE, SUPPRESS, UNSUPPRESS, RETIRE = Event

NEXT: dict[tuple[AlertState, Event], AlertState] = {  # what is not here changes nothing
    (NORMAL, DEVIATES): UNACK,
    (UNACK, ACKNOWLEDGE): ACKED,
    (UNACK, CONFORMS): RTN_UNACK,
    (ACKED, CONFORMS): NORMAL,
    (ACKED, MOVES_ON): UNACK,
    (RTN_UNACK, ACKNOWLEDGE): NORMAL,
    (RTN_UNACK, DEVIATES): UNACK,
    (UNACK, SHELVE): SHELVED,
    (ACKED, SHELVE): SHELVED,
    (RTN_UNACK, SHELVE): SHELVED,
    (SHELVED, UNSHELVE): UNACK,
    (NORMAL, SUPPRESS): SUPPRESSED,
    (UNACK, SUPPRESS): SUPPRESSED,
    (ACKED, SUPPRESS): SUPPRESSED,
    (RTN_UNACK, SUPPRESS): SUPPRESSED,
    (SUPPRESSED, UNSUPPRESS): UNACK,
    (SUPPRESSED, CONFORMS): NORMAL,
    **{(state, RETIRE): NORMAL for state in (UNACK, ACKED, RTN_UNACK, SHELVED, SUPPRESSED)},
}


OUT_OF_SERVICE = "out-of-service"  # ISA-18.2, 5.4.7: suppressed for maintenance, by a person, until a time
OF_NO_POLL = (Kind.CONFLICT, Kind.EVENT, Kind.BLIND, Kind.SELFTEST)  # a poll alone neither raises nor clears them


@dataclass(frozen=True, slots=True)
class Alert:
    """One alarm; `approved` and `observed` are as JSON shows them. `id` is 0 until it is stored."""

    asset: str
    item: str
    kind: Kind
    approved: Any
    observed: Any
    severity: Severity
    category: Category
    techniques: tuple[str, ...]
    direction: Direction | None
    raised_at: datetime
    changed_at: datetime
    state: AlertState = NORMAL
    acknowledged_by: str | None = None
    shelved_until: datetime | None = None
    reason: str = ""
    id: int = 0
    who: Mapping[str, Any] | None = None  # client, name, protocol, at: who did it, where the wire has said so
    suppressed_by: str | None = None  # the number of a change order, or OUT_OF_SERVICE
    cause: str | None = None  # of a closed case: a word of baselines.quality.Cause
    prevention: str = ""  # and what keeps it from happening again
    closed_by: str | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """An alarm that moved: what happened to it, from which state, and how it is now."""

    event: Event
    before: AlertState
    alert: Alert


def advance(
    alerts: Iterable[Alert],
    findings: Iterable[Finding],
    verdicts: Mapping[str, Verdict],
    observed: Snapshot,
    now: datetime,
) -> list[Move]:
    """The moves that an observation makes the open `alerts` of one asset take, and those that it raises.

    An alarm returns to normal only for an item that was seen to match, or that is gone as it should be: what was not
    observed moves nothing.
    """
    opened = {alert.item: alert for alert in alerts if alert.state is not NORMAL and alert.kind not in OF_NO_POLL}
    moves: list[Move] = []
    for finding in findings:
        told = _told(finding, observed.asset, now)
        known = opened.pop(finding.deviation.key, None)
        if known is None:
            moves.append(_raised(told))
        elif moved := _still_deviates(known, told, finding.deviation.item.tolerance):
            moves.append(moved)
    for alert in opened.values():
        gone = alert.item not in verdicts and not observed.misses(alert.item)
        if gone or verdicts.get(alert.item) is Verdict.MATCH:
            moves += _step(alert, CONFORMS, now)
    return moves


def contradict(
    alerts: Iterable[Alert],
    findings: Iterable[Finding],
    agreed: Collection[str],
    asset: str,
    now: datetime,
    kind: Kind = Kind.CONFLICT,
) -> list[Move]:
    """The moves that a comparison of the witnesses of an asset makes: where they contradict each other now, and the
    keys in which they agree. Where one of them said nothing, nothing moves. With BLIND for `kind`: which of them see
    nothing now, and which see again."""
    opened = {alert.item: alert for alert in alerts if alert.state is not NORMAL and alert.kind is kind}
    moves: list[Move] = []
    for finding in findings:
        told = _told(finding, asset, now)
        known = opened.pop(finding.deviation.key, None)
        if known is None:
            moves.append(_raised(told))
        elif moved := _still_deviates(known, told, 0.0):
            moves.append(moved)
    for alert in opened.values():
        if alert.item in agreed:
            moves += _step(alert, CONFORMS, now)
    return moves


def happened(alerts: Iterable[Alert], finding: Finding, asset: str, now: datetime) -> Move:
    """The move that something makes that was done over the network; done again meanwhile, it is the same alarm."""
    told = _told(finding, asset, now)
    known = next((alert for alert in alerts if alert.item == told.item and alert.state is not NORMAL), None)
    if known is None:
        return _raised(told)
    state = NEXT.get((known.state, DEVIATES), known.state)
    kept = replace(told, id=known.id, raised_at=known.raised_at, shelved_until=known.shelved_until)
    return Move(DEVIATES, known.state, replace(kept, state=state, reason=known.reason))


def _raised(told: Alert) -> Move:
    event = SUPPRESS if told.suppressed_by else DEVIATES
    return Move(event, NORMAL, replace(told, state=NEXT[NORMAL, event]))


def over(alert: Alert, now: datetime) -> Move | None:
    """What happened is over as soon as it was done: its alarm stays until somebody acknowledges it, and no longer."""
    return next(iter(_step(alert, CONFORMS, now)), None)


def _told(finding: Finding, asset: str, now: datetime) -> Alert:
    deviation = finding.deviation
    return Alert(
        asset,
        deviation.key,
        deviation.kind,
        deviation.approved and deviation.approved.shown,
        deviation.observed and deviation.observed.shown,
        finding.severity,
        deviation.item.category,
        finding.techniques,
        finding.direction,
        raised_at=now,
        changed_at=now,
        who=finding.who,
        suppressed_by=finding.suppressed_by,
    )


def _still_deviates(known: Alert, told: Alert, tolerance: float) -> Move | None:
    same_deviation = (
        known.kind is told.kind
        and _looks_same(known.approved, told.approved)
        and _looks_same(known.observed, told.observed, tolerance)
    )
    event = _what_happens(known, told, same_deviation)
    state = NEXT.get((known.state, event), known.state)
    if same_deviation and state is known.state:
        return None
    kept = replace(told, id=known.id, raised_at=known.raised_at, shelved_until=known.shelved_until, reason=known.reason)
    kept = replace(kept, acknowledged_by=known.acknowledged_by if state is ACKED else None)
    if same_deviation and kept.who is None:
        kept = replace(kept, who=known.who)
    suppressed_by = told.suppressed_by if state is SUPPRESSED else None
    return Move(event, known.state, replace(kept, state=state, suppressed_by=suppressed_by))


def _what_happens(known: Alert, told: Alert, same_deviation: bool) -> Event:
    """An order suppresses what comes to be as it says; what deviated so before is no part of it."""
    if known.state is SUPPRESSED:
        return SUPPRESS if told.suppressed_by else UNSUPPRESS
    if same_deviation or known.state is RTN_UNACK:
        return SUPPRESS if told.suppressed_by and known.state is RTN_UNACK else DEVIATES
    return SUPPRESS if told.suppressed_by else MOVES_ON


def _looks_same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two values as JSON shows them are the same, or numbers within the tolerance."""
    if type(one) is type(other) and isinstance(one, int | float):
        return same(one, other, tolerance)
    return json.dumps(one) == json.dumps(other)


def _step(alert: Alert, event: Event, now: datetime) -> list[Move]:
    state = NEXT.get((alert.state, event))
    return [] if state is None else [Move(event, alert.state, replace(alert, state=state, changed_at=now))]


def unsuppress(alert: Alert, now: datetime) -> Move | None:
    """What suppressed it is over, and it deviates still; None if nothing suppresses it."""
    for move in _step(alert, UNSUPPRESS, now):
        return replace(move, alert=replace(move.alert, suppressed_by=None))
    return None


def retire(alert: Alert, now: datetime) -> Move | None:
    """Its asset was retired; None if it is over already."""
    return next(iter(_step(alert, RETIRE, now)), None)


def acknowledge(alert: Alert, by: str, reason: str, now: datetime) -> Move | None:
    """Somebody has seen it; None if there is nothing to acknowledge."""
    for move in _step(alert, ACKNOWLEDGE, now):
        return replace(move, alert=replace(move.alert, acknowledged_by=by, reason=reason))
    return None


def shelve(alert: Alert, until: datetime, reason: str, now: datetime) -> Move | None:
    """Put it away until a time; None if it is not open."""
    for move in _step(alert, SHELVE, now):
        return replace(move, alert=replace(move.alert, shelved_until=until, reason=reason))
    return None


def unshelve(alert: Alert, now: datetime) -> Move | None:
    """Bring it back when its time is over; None if it is not."""
    if alert.shelved_until is None or alert.shelved_until > now:
        return None
    for move in _step(alert, UNSHELVE, now):
        return replace(move, alert=replace(move.alert, shelved_until=None))
    return None
