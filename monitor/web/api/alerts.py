"""Alarms: those that there are, their lives, and what people do about them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.exceptions import HTTPException

from baselines.alert import NORMAL, AlertState
from baselines.cause import Cause
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from monitor import actions, store
from monitor.cases import read_and_close
from monitor.evidence import deciding
from monitor.responses import response, techniques
from monitor.show import alert_document, move_document
from monitor.store import Wanted
from monitor.web.access import EngineerToken, OperatorToken, ViewerToken
from monitor.web.api.sent import MOST_ROWS, ROWS, Body, Id, IdIn, Name, Password, Reason, Text, When
from monitor.web.asked import LARGEST, in_zone, say
from monitor.web.here import Here

MOST_AT_ONCE = 1000  # alarms of one call
NOT_OVER = tuple(state for state in AlertState if state is not NORMAL)

Ids = Annotated[list[Id], Field(min_length=1, max_length=MOST_AT_ONCE)]

router = APIRouter(tags=["alarms"])


class Acknowledging(Body):
    """Somebody has seen alarms."""

    ids: Ids
    reason: Text = ""
    password: Password | None = None
    """With it, it is signed."""


class Shelving(Body):
    """An alarm is put away until a time."""

    id: Id
    until: When
    reason: Reason
    password: Password | None = None


class Closing(Body):
    """Why alarms came about, and what keeps them from coming again."""

    ids: Ids
    cause: Cause
    prevention: Reason
    password: Password | None = None


def wanted_of(
    site: Here,
    state: Annotated[list[AlertState] | None, Query(description="Those that are open, if left out.")] = None,
    severity: Annotated[list[Severity] | None, Query()] = None,
    category: Annotated[list[Category] | None, Query()] = None,
    kind: Annotated[list[Kind] | None, Query()] = None,
    asset: Annotated[list[Name] | None, Query(description="Of these alone.", max_length=MOST_AT_ONCE)] = None,
    zone: Annotated[Name | None, Query(description="Only those of assets in this zone.")] = None,
) -> Wanted:
    """Which alarms are asked for."""
    assets = asset
    if zone is not None:
        assets = [name for name in in_zone(site.plant(), zone) if asset is None or name in asset]
    return Wanted(state or NOT_OVER, severity or (), category or (), kind or (), assets)


@router.get("/alerts")
def alerts(
    site: Here,
    _: ViewerToken,
    wanted: Annotated[Wanted, Depends(wanted_of)],
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Only those with higher numbers.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
) -> dict[str, Any]:
    """Alarms in the order of their numbers. `next` is what to ask for with `after`; null where there are no more."""
    with site.database.read() as tx:
        found = store.alerts_after(tx, wanted, after, limit + 1)
    more = found[limit - 1].id if len(found) > limit else None
    return {"alerts": [alert_document(each) for each in found[:limit]], "next": more}


@router.get("/alerts/{number}")
def alert(site: Here, _: ViewerToken, number: IdIn) -> dict[str, Any]:
    """One alarm: its life move by move, what it may be the trace of, and what to do about it."""
    with site.database.read() as tx:
        found = store.alerts(tx, ids=[number], closed=True)
        moves = store.moves_of(tx, number)
    if not found:
        raise HTTPException(404, f"there is no alarm {number}")
    what = response(found[0])
    return {
        "alert": alert_document(found[0]),
        "moves": [move_document(each) for each in moves],
        "techniques": [
            {"technique": each.number, "name": each.name, "means": each.means}
            for each in techniques(found[0].techniques)
        ],
        "what_to_do": {"title": what.title, "steps": [each.say for each in what.steps]},
    }


@router.post("/alerts/ack")
def acknowledge(site: Here, caller: OperatorToken, body: Acknowledging) -> dict[str, Any]:
    """Acknowledge alarms, all of them or none."""
    who = caller.signing(body.password)
    with deciding(site.plant(), site.database, who, say) as tx:
        moves = actions.acknowledge_alerts(tx, body.ids, who, body.reason, site.clock())
    return {"alerts": [alert_document(each.alert) for each in moves]}


@router.post("/alerts/shelve")
def shelve(site: Here, caller: OperatorToken, body: Shelving) -> dict[str, Any]:
    """Put an alarm away until a time; then it comes back."""
    who = caller.signing(body.password)
    with deciding(site.plant(), site.database, who, say) as tx:
        move = actions.shelve_alert(tx, body.id, body.until, who, body.reason, site.clock())
    return {"alerts": [alert_document(move.alert)]}


@router.post("/alerts/close")
def close(site: Here, caller: EngineerToken, body: Closing) -> dict[str, Any]:
    """Close cases, all of them or none: reads their assets, and closes only if they are as approved."""
    who = caller.signing(body.password)
    closed = read_and_close(site.plant(), site.database, body.ids, body.cause, body.prevention, who, say)
    return {"alerts": [alert_document(each) for each in closed]}
