"""The history of one asset as people read it: who changed what when, and what was seen of it, the newest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from baselines.alert import Event
from baselines.coverage import Cause
from baselines.drift import DEVIATIONS
from baselines.snapshot import utc_text
from monitor import store
from monitor.show import change_text, value_text
from monitor.store import AlarmMove, Entry, Gap, Run, Transaction

DECISIONS: Mapping[str, tuple[str, str]] = {  # by action: how it looks, and what it says
    "baseline.propose": ("plain", "a baseline was proposed ({stage})"),
    "baseline.amend": ("plain", "the proposal was amended"),
    "baseline.sign": ("plain", "the proposal was signed off {role}"),
    "baseline.approve": ("good", "a baseline was approved ({stage})"),
    "baseline.reject": ("attention", "the proposal was rejected"),
    "baseline.import": ("plain", "baselines of a bundle were taken in as history"),
    "artefact.add": ("plain", "the file {name} ({kind}) was attached"),
    "asset.rename": ("plain", "{subject} was renamed to {to}"),
    "asset.move": ("plain", "it was given another address: {from}, now {to}"),
    "asset.replace": ("plain", "the device was replaced like for like: {from}, now {to}"),
    "asset.out-of-service": ("attention", "it was taken out of service until {until}"),
    "asset.in-service": ("plain", "it was taken back into service"),
    "asset.retire": ("attention", "it was retired"),
    "asset.return": ("plain", "it is there again, with its history"),
    "alert.acknowledge": ("plain", "alarm {alert} was acknowledged: {deviation}"),
    "alert.shelve": ("plain", "alarm {alert} was shelved until {until}: {deviation}"),
    "alert.close": ("plain", "the case of alarm {alert} was closed as {cause}: {deviation}"),
    "kit.export": ("plain", "a kit for restoring it was exported"),
}
TOLD_BY_CHAIN = (Event.ACKNOWLEDGE, Event.SHELVE, Event.RETIRE)  # with who did it and why
A_DAY = timedelta(days=1)  # what another clock dated a little later is not left out


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the history. `look` is good, bad, attention or plain; `by` a person, or who was seen on the wire."""

    at: datetime
    what: str  # decision, order, deviation, alarm, seen, outage, gap, write
    look: str
    text: str
    by: str = ""
    why: str = ""
    ticket: str = ""
    alarm: int | None = None
    order: int | None = None
    digest: str | None = None


def timeline(tx: Transaction, name: str, number: int | None, until: datetime, most: int) -> list[Happened]:
    """What happened to an asset before a moment, the newest first; `most` lines at most. `number` is that of its row,
    None if nothing was ever stored of it."""
    names = store.names_of(tx, name)
    found = [*_decisions(store.entries_about(tx, names, DECISIONS, until, most))]
    if number is not None:
        found += _orders(tx, number, until)
        found += map(_moved, _untold(store.alarm_moves(tx, number, until, most)))
        found += _seen(store.runs_before(tx, number, until, most + 1), most)
        found += map(_gap, _self_gaps(store.gaps_before(tx, number, until, most)))
        found += [
            Happened(each.at, "write", "attention", _written_text(each.item, each.value), _client(each.who))
            for each in store.writes_before(tx, number, until, most)
        ]
    return sorted(found, key=lambda each: each.at, reverse=True)[:most]


def happened_document(each: Happened) -> dict[str, Any]:
    """One line, as JSON."""
    known = {"at": utc_text(each.at), "what": each.what, "text": each.text, "by": each.by or None}
    return known | {
        "why": each.why,
        "ticket": each.ticket,
        "alarm": each.alarm,
        "order": each.order,
        "digest": each.digest,
    }


def _decisions(entries: Iterable[Entry]) -> Iterator[Happened]:
    for entry in entries:
        look, text = DECISIONS[entry.action]
        said = defaultdict(str, {**entry.detail, "subject": entry.subject})
        role = said["role"]
        said["role"] = f"as {role}" if role else ""
        told = text.format_map(said).strip()
        why = said["reason"] or said["prevention"]
        alarm = int(said["alert"]) if said["alert"].isdecimal() and len(said["alert"]) < 10 else None
        digest = said["digest"] if entry.action.startswith("baseline.") else ""
        by = entry.actor
        yield Happened(entry.at, "decision", look, told, by, why, said["ticket"], alarm, None, digest or None)


def _orders(tx: Transaction, number: int, until: datetime) -> Iterator[Happened]:
    for order in (each for known in store.orders_about(tx, number) for each in store.orders(tx, number=known)):
        of = f"order {order.id}"
        if order.opened_at < until:
            text = f"{of} was opened for it, from {utc_text(order.starts_at)} until {utc_text(order.ends_at)}"
            yield Happened(
                order.opened_at, "order", "plain", text, order.opened_by, order.reason, order.ticket, None, order.id
            )
        if order.closed_at is not None and order.closed_at < until:
            came = "all as planned" if order.as_planned else "not all as planned"
            look = "good" if order.as_planned else "bad"
            text, by = f"{of} was closed: {came}", order.closed_by or ""
            yield Happened(order.closed_at, "order", look, text, by, "", order.ticket, None, order.id)


def _untold(moves: Iterable[AlarmMove]) -> Iterator[AlarmMove]:
    return (move for move in moves if move.event not in TOLD_BY_CHAIN)


def _moved(move: AlarmMove) -> Happened:
    is_deviation = move.kind in DEVIATIONS
    by = _client(move.who) if move.who and is_deviation else ""
    telling: dict[str, tuple[str, str]] = {
        Event.CONFORMS: ("good", f"{move.item} is over: as approved again, or gone"),
        Event.UNSHELVE: ("attention", f"alarm {move.alarm} is no longer shelved: {move.item}"),
        Event.UNSUPPRESS: ("attention", f"alarm {move.alarm} is no longer suppressed: {move.item}"),
    }
    if told := telling.get(move.event):
        return Happened(move.at, "alarm", told[0], told[1], alarm=move.alarm)
    text = change_text(move.item, move.kind, move.approved, move.observed, move.direction)
    if move.event == Event.SUPPRESS:
        return Happened(move.at, "deviation", "plain", f"{text} (suppressed: announced, or out of service)", by)
    return Happened(move.at, "deviation", "bad", text, by, alarm=move.alarm)


def _seen(runs: list[Run], most: int) -> Iterator[Happened]:
    """The outages, and where what was read became another; `runs` has the newest first."""
    digest: str | None = None
    whole = len(runs) <= most  # else the oldest is only there to be compared with
    for place, run in enumerate(reversed(runs)):
        if run.is_outage:
            lasted = f"{run.polls} poll{'s' * (run.polls != 1)} until {utc_text(run.last_at)}"
            told = Happened(run.first_at, "outage", "attention", f"{run.cause}: {run.cause_text} ({lasted})")
        else:
            told = Happened(run.first_at, "seen", "plain", _seen_text(digest, run.digest, whole), digest=run.digest)
        digest = run.digest or digest
        if whole or place > 0:
            yield told


def _seen_text(before: str | None, digest: str | None, whole: bool) -> str:
    if before is None:
        return "it was seen for the first time" if whole else "it was seen"
    return "it was seen again, as before" if before == digest else "what was read of it was different from then on"


def _self_gaps(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """What failed polls say already is left out."""
    return (gap for gap in gaps if gap.witness != "poll" or gap.cause == Cause.NOT_POLLED)


def _gap(gap: Gap) -> Happened:
    end = f"until {utc_text(gap.last_at)}" if gap.last_at else "and it lasts"
    return Happened(gap.first_at, "gap", "attention", f"not seen ({gap.witness}): {gap.text}, {end}")


def _written_text(item: str, value: Any) -> str:
    said = "" if value is None else f", to {value_text(value)}"
    return f"{item} was written over the network{said}"


def _client(who: Mapping[str, Any]) -> str:
    client, name = value_text(who.get("client")), who.get("name")
    return f"{value_text(name)} ({client})" if name else client
