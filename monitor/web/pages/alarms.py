"""Alarms by ISA-18.2: what stands before people, what is put away, and all that is known of each."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from baselines.alert import (
    ACKED,
    ACKNOWLEDGE,
    CONFORMS,
    DEVIATES,
    MOVES_ON,
    NEXT,
    NORMAL,
    OUT_OF_SERVICE,
    RETIRE,
    RTN_UNACK,
    SHELVE,
    SHELVED,
    SUPPRESS,
    SUPPRESSED,
    UNACK,
    UNSHELVE,
    UNSUPPRESS,
    Alert,
    AlertState,
    Event,
)
from baselines.cause import CHOOSE, Cause
from baselines.change import Order
from baselines.drift import DEVIATIONS, Kind
from baselines.life import Moved
from baselines.snapshot import Category, Item, Severity
from monitor import actions, store
from monitor.cases import read_and_close
from monitor.config import ITSELF, Plant
from monitor.errors import CallError, UserError
from monitor.evidence import deciding
from monitor.happenings import done_at
from monitor.moments import moment
from monitor.responses import response, techniques
from monitor.store import OPEN, Transaction, Wanted
from monitor.web.access import Caller, Engineer, Operator, Role, Viewer
from monitor.web.asked import LARGEST, in_zone, looked_for, say, zones_of
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.paging import PageNumber, rest_of, shown_of
from monitor.web.render import asset_path, back_to, page, status_of
from monitor.web.site import Site

MOST_ASIDE = 50  # alarms that are put away, below those that are open
MOST_OTHERS = 20  # other alarms of an asset
MOST_BEFORE = 10  # cases like this one

STATES: dict[str, tuple[str, tuple[AlertState, ...]]] = {  # what one may ask for: its name, and its states
    "": ("open", OPEN),
    "unacknowledged": ("not acknowledged", (UNACK, RTN_UNACK)),
    "acknowledged": ("acknowledged", (ACKED,)),
    "shelved": ("shelved", (SHELVED,)),
    "suppressed": ("suppressed", (SUPPRESSED,)),
    "over": ("over", (NORMAL,)),
    "cases": ("over, and nobody has said why", (NORMAL,)),
    "all": ("all that there ever were", ()),
}
KINDS: dict[Kind, str] = {
    Kind.ADDED: "something new",
    Kind.REMOVED: "something is gone",
    Kind.CHANGED: "something changed",
    Kind.CONFLICT: "witnesses contradict each other",
    Kind.EVENT: "somebody did something",
    Kind.REPLACED: "replaced like for like",
    Kind.BLIND: "we see nothing",
    Kind.SELFTEST: "a self-test",
}
MOVES: dict[Event, str] = {
    DEVIATES: "raised",
    MOVES_ON: "changed further",
    CONFORMS: "over",
    ACKNOWLEDGE: "acknowledged",
    SHELVE: "shelved",
    UNSHELVE: "back from the shelf",
    SUPPRESS: "suppressed: announced, or out of service",
    UNSUPPRESS: "no longer suppressed",
    RETIRE: "ended, because its asset was retired",
}
AGAIN, AS_APPROVED = "seen again", "over: as approved again"
SHELVINGS = (("+1h", "for 1 hour"), ("+8h", "for 8 hours"), ("", "until the time below"))
CHOICES: dict[str, list[tuple[str, str]]] = {
    "state": [(key, name) for key, (name, _) in STATES.items()],
    "severity": [("", "any"), *((each.value, each.value) for each in reversed(Severity))],
    "category": [("", "any"), *((each.value, each.value) for each in Category)],
    "kind": [("", "any"), *((kind.value, name) for kind, name in KINDS.items())],
}
CAUSES = tuple((cause.value, cause.value.replace("-", " ")) for cause in Cause)

Word = Annotated[str, Query(max_length=500)]
Number = Annotated[int, Path(ge=1, le=LARGEST)]

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see, as the address says it; what it says that is no word of ours chooses nothing."""

    state: str = ""
    severity: str = ""
    category: str = ""
    kind: str = ""
    zone: str = ""
    asset: str = ""

    def wanted(self, plant: Plant, states: Sequence[AlertState]) -> Wanted:
        """The same for the store. `asset` is an asset, or else a part of names of assets and items."""
        exact = self.asset in plant.assets or self.asset in plant.segments or self.asset == ITSELF
        assets = [self.asset] if exact else None
        if self.zone:
            assets = [name for name in in_zone(plant, self.zone) if assets is None or name in assets]
        return Wanted(
            states,
            [each for each in Severity if each == self.severity],
            [each for each in Category if each == self.category],
            [each for each in Kind if each == self.kind],
            assets,
            "" if exact else looked_for(self.asset),
            self.state == "cases",
        )

    @property
    def query(self) -> str:
        return rest_of({name: getattr(self, name) for name in self.__slots__})


def asked(
    state: Word = "", severity: Word = "", category: Word = "", kind: Word = "", zone: Word = "", asset: Word = ""
) -> Asked:
    return Asked(state if state in STATES else "", severity, category, kind, zone, asset.strip())


Filter = Annotated[Asked, Depends(asked)]


@router.get("/alarms")
def alarms(request: Request, site: Here, caller: Viewer, wanted: Filter, number: PageNumber = 1) -> Response:
    return page(request, site, "alarms.html.j2", caller, **_listed(site, wanted, number))


@router.post("/alarms/acknowledge")
def acknowledge_some(
    request: Request, site: Here, caller: Operator, form: Sent, wanted: Filter, number: PageNumber = 1
) -> Response:
    """Acknowledge those that were chosen, with one comment: all of them, or none."""
    try:
        ids = form.numbers("id", "the alarms")
        if not ids:
            raise CallError("no alarm is chosen: tick those that you have seen, then acknowledge them")
        _acknowledge(site, caller, form, ids)
    except UserError as error:
        again: dict[str, Any] = {"form": form, "error": str(error), "status": status_of(error)}
        return page(request, site, "alarms.html.j2", caller, **again, **_listed(site, wanted, number, form.texts("id")))
    said = "1 alarm was" if len(set(ids)) == 1 else f"{len(set(ids))} alarms were"
    there = wanted.query + (f"page={number}" if number > 1 else "")
    return back_to(f"/alarms?{there}".rstrip("?&"), f"{said} acknowledged.")


def _listed(site: Site, wanted: Asked, number: int, ticked: Collection[str] = ()) -> dict[str, Any]:
    """What the list shows."""
    plant = site.plant()
    states = STATES[wanted.state][1]
    chosen = wanted.wanted(plant, states)
    with site.database.read() as tx:
        shown = shown_of(number, store.count_alerts(tx, chosen))
        found = store.find_alerts(tx, chosen, shown.rows, shown.skip)
        with_aside = wanted.state == "" and shown.number == 1
        aside = {
            state: store.find_alerts(tx, wanted.wanted(plant, (state,)), MOST_ASIDE)
            for state in (SHELVED, SUPPRESSED)
            if with_aside
        }
        everything = [*found, *(alert for each in aside.values() for alert in each)]
        return {
            "found": found,
            "aside": aside,
            "shown": shown,
            "wanted": wanted,
            "ticked": ticked,
            **_tiles(store.count_alarms(tx)),
            "shelved_by": store.who_shelved(tx, [each.id for each in everything if each.state is SHELVED]),
            "orders": _orders(tx, everything),
            "zones": zones_of(plant),
            "is_filtered": any(getattr(wanted, name) for name in wanted.__slots__),
            "title": STATES[wanted.state][0],
            "choices": CHOICES,
            "most_aside": MOST_ASIDE,
        }


def _tiles(counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """How many alarms are open, by severity, not acknowledged and acknowledged; and how many are put away."""

    def of(severity: Severity, *states: AlertState) -> int:
        return sum(counts.get((state, severity), 0) for state in states)

    return {
        "open": [(each.value, of(each, UNACK, RTN_UNACK), of(each, ACKED)) for each in reversed(Severity)],
        "put_away": [
            (state.value.lower(), sum(of(each, state) for each in Severity)) for state in (SHELVED, SUPPRESSED)
        ],
    }


def _orders(tx: Transaction, alerts: Iterable[Alert]) -> dict[str, Order]:
    """The change orders that suppress alarms."""
    numbers = {int(by) for each in alerts if (by := each.suppressed_by or "").isdigit()}
    return {str(order.id): order for order in store.orders_of(tx, numbers)}


def _acknowledge(site: Site, caller: Caller, form: Form, ids: Sequence[int]) -> None:
    who, reason = caller.signing(form.secret()), form.text("comment", "the comment")
    with deciding(site.plant(), site.database, who, say) as tx:
        actions.acknowledge_alerts(tx, ids, who, reason, site.clock())


@router.get("/alarms/{number}")
def alarm(request: Request, site: Here, caller: Viewer, number: Number, sign: bool = False) -> Response:
    return page(request, site, "alarm.html.j2", caller, sign=sign, **_told(site, caller, number))


@router.post("/alarms/{number}/acknowledge")
def acknowledge_one(request: Request, site: Here, caller: Operator, form: Sent, number: Number) -> Response:
    def do() -> str:
        _acknowledge(site, caller, form, [number])
        return "Acknowledged: you have seen it."

    return _done(request, site, caller, form, number, do)


@router.post("/alarms/{number}/shelve")
def shelve(request: Request, site: Here, caller: Operator, form: Sent, number: Number) -> Response:
    def do() -> str:
        plant, now = site.plant(), site.clock()
        who, reason = caller.signing(form.secret()), form.text("reason", "the reason", required=True)
        written = form.text("for") or form.text("until", "the time until which it is shelved", required=True)
        until = moment(written, now, ZoneInfo(plant.timezone))
        with deciding(plant, site.database, who, say) as tx:
            actions.shelve_alert(tx, number, until, who, reason, now)
        return "Shelved: it comes back by itself."

    return _done(request, site, caller, form, number, do)


@router.post("/alarms/{number}/close")
def close(request: Request, site: Here, caller: Engineer, form: Sent, number: Number) -> Response:
    def do() -> str:
        who, prevention = caller.signing(form.secret()), form.text("prevention", "what prevents it", required=True)
        why = next((each for each in Cause if each == form.text("cause")), None)
        if why is None:
            raise CallError("the cause is missing: choose why it came about")
        read_and_close(site.plant(), site.database, [number], why, prevention, who, say)
        return "The case is closed: the asset was read, and is as approved."

    return _done(request, site, caller, form, number, do)


def _done(request: Request, site: Site, caller: Caller, form: Form, number: int, do: Callable[[], str]) -> Response:
    """What came of something that was done about an alarm; its page again, with what was typed, if nothing did."""
    try:
        return back_to(f"/alarms/{number}", do())
    except UserError as error:
        again: dict[str, Any] = {"form": form, "error": str(error), "status": status_of(error)}
        again["sign"] = "sign" in request.query_params
        return page(request, site, "alarm.html.j2", caller, **again, **_told(site, caller, number))


def _told(site: Site, caller: Caller, number: int) -> dict[str, Any]:
    """All that is known of an alarm; 404 if there is none."""
    plant = site.plant()
    with site.database.read() as tx:
        alert = next(iter(store.alerts(tx, ids=[number], closed=True)), None)
        if alert is None:
            raise HTTPException(404)
        others = store.find_alerts(tx, Wanted(OPEN, assets=[alert.asset]), MOST_OTHERS + 1)
        told = {
            "moves": [_moved(alert, move) for move in store.moves_of(tx, number)],
            "before": store.alerts_like(tx, alert, MOST_BEFORE),
            "others": [each for each in others if each.id != number][:MOST_OTHERS],
            "item": _item(tx, alert),
            "order": _orders(tx, [alert]).get(alert.suppressed_by or ""),
            "shelved_by": store.who_shelved(tx, [number]).get(number, ""),
        }
    polled = plant.assets.get(alert.asset) or plant.segments.get(alert.asset)
    what = response(alert)
    return told | {
        "alert": alert,
        "asset": polled.asset if polled else None,
        "techniques": techniques(alert.techniques),
        "title": what.title,
        "steps": [(step.say, *_link(step.go, alert, caller)) for step in what.steps],
        "can": {event.value: (alert.state, event) in NEXT for event in (ACKNOWLEDGE, SHELVE)}
        | {"close": alert.closed_at is None and alert.state not in (SHELVED, SUPPRESSED)},
        "causes": CAUSES,
        "choose": [(cause.value.replace("-", " "), text) for cause, text in CHOOSE.items()],
        "shelvings": SHELVINGS,
        "deviates": alert.kind in DEVIATIONS,
        "done_at": done_at(alert),
        "out_of_service": alert.suppressed_by == OUT_OF_SERVICE,
        "is_ours": alert.asset == ITSELF,
    }


def _item(tx: Transaction, alert: Alert) -> Item | None:
    """The item that an alarm is about, as it is approved, or else as it was seen last; it has the unit."""
    approved = store.current_baseline(tx, alert.asset)
    if approved and (found := store.baseline_snapshot(tx, approved).by_key.get(alert.item)):
        return found
    run = store.last_run(tx, alert.asset, observed=True)
    if run is None or run.digest is None:
        return None
    return store.snapshot_of(tx, alert.asset, run.digest, run.last_at).by_key.get(alert.item)


def _moved(alert: Alert, move: Moved) -> dict[str, Any]:
    """One move for people: what a person said stands with it, what others said before does not."""
    observed = json.loads(move.observed) if move.observed else None
    shows = alert.kind in DEVIATIONS and move.event in (DEVIATES, MOVES_ON)
    text = AGAIN if move.event is DEVIATES and move.before is not NORMAL else MOVES[move.event]
    if move.event is CONFORMS and alert.kind in DEVIATIONS:
        text = AS_APPROVED
    look = {DEVIATES: "bad", MOVES_ON: "bad", UNSHELVE: "bad", UNSUPPRESS: "bad", CONFORMS: "good"}
    return {
        "at": move.at,
        "text": text,
        "observed": observed,
        "shows": shows and observed is not None,
        "by": move.by,
        "reason": move.reason if move.by else "",
        "look": look.get(move.event, "attention"),
    }


def _link(go: str, alert: Alert, caller: Caller) -> tuple[str, str]:
    """Where a step is done, and what the link there says, or the command where no page does it; nothing for the watch
    itself, which is no device, and for what this person may not do."""
    if go in ("asset", "kit", "propose", "order") and alert.asset == ITSELF:
        return "", ""
    if go in ("propose", "order") and not caller.may(Role.ENGINEER):
        return "", ""
    return {
        "asset": (asset_path(alert.asset), "Look at the asset"),
        "kit": ("", f"asbuilt kit {shlex.quote(alert.asset)} -o kit.zip"),
        "propose": (f"/baselines/propose?asset={quote(alert.asset, safe='')}", "Propose what is there"),
        "order": (f"/orders/new?alarm={alert.id}", "Open a change order"),
        "network": ("/network", "The network"),
        "coverage": ("/coverage", "Coverage"),
        "watch": ("/watch", "How the watch is"),
        "audit": ("/audit", "The audit trail"),
    }.get(go, ("", ""))
