"""Assets: how they stand, all that is known of one, its history; polls, and taking assets out of service."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field
from starlette.exceptions import HTTPException

from baselines.drift import Verdict
from baselines.snapshot import utc_text
from monitor import service
from monitor.board import Row, encoded
from monitor.card import card, card_document, row_of
from monitor.lines import Wanted
from monitor.lives import Reason, step_document
from monitor.moments import moment
from monitor.polling import poll_assets
from monitor.timeline import A_DAY, happened_document, timeline
from monitor.web.access import Caller, EngineerToken, OperatorToken, ViewerToken
from monitor.web.api.sent import MOST_ROWS, ROWS, Body, Name, Password, Text, When
from monitor.web.api.sent import Reason as Why
from monitor.web.asked import LONGEST, assets_of, say
from monitor.web.here import Here
from monitor.web.site import Site

LONGEST_NAME = 2000
POLLED_MOST = 500  # assets that one request may ask for: it waits for all of them

router = APIRouter(tags=["assets"])


class Polls(Body):
    """Which assets to poll."""

    assets: Annotated[list[Name], Field(min_length=1, max_length=POLLED_MOST)]


class OutOfService(Body):
    """Which asset is out of service until when, and why."""

    asset: Name
    until: When
    reason: Why
    ticket: Text = ""
    password: Password | None = None


class InService(Body):
    """Which asset is back in service before its time."""

    asset: Name
    reason: Text = ""
    ticket: Text = ""
    password: Password | None = None


@router.get("/assets", response_class=Response, responses={200: {"content": {"application/json": {}}}})
def assets(
    site: Here,
    _: ViewerToken,
    q: Annotated[str, Query(max_length=LONGEST, description="Text that an asset's names or identity hold.")] = "",
    verdict: Annotated[Verdict | None, Query()] = None,
    zone: Annotated[str, Query(max_length=LONGEST)] = "",
    line: Annotated[str, Query(max_length=LONGEST)] = "",
    retired: Annotated[bool, Query(description="Those that are retired too.")] = False,
) -> Response:
    """How every asset stands: the document of `asbuilt assets` (docs/json.md)."""
    plant, now, look = site.plant(), site.clock(), site.board.look()
    wanted = Wanted(q.strip(), verdict or "", zone, line)
    rows = (row for row in look.rows(plant, now) if wanted.is_any or wanted.has(row))
    gone = (row for row in look.retired(plant, now) if wanted.has(row)) if retired else ()
    return Response(encoded(chain(rows, gone)), media_type="application/json")


@router.get("/assets/{asset:path}")
def asset(site: Here, _: ViewerToken, asset: str) -> dict[str, Any]:
    """All that is known of one asset, also of one that is retired (docs/json.md)."""
    plant, now, look = site.plant(), site.clock(), site.board.look()
    row = _found(site, asset)
    with site.database.read() as tx:
        return card_document(card(tx, plant, look, row, now), now)


@router.get("/history")
def history(
    site: Here,
    _: ViewerToken,
    asset: Annotated[str, Query(min_length=1, max_length=LONGEST_NAME)],
    until: Annotated[str, Query(max_length=40, description="ISO 8601; only what came before.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
) -> dict[str, Any]:
    """What happened to an asset, and who did it, the newest first (docs/json.md)."""
    row, now = _found(site, asset), site.clock()
    end = moment(until, now, ZoneInfo(site.plant().timezone)) if until else now + A_DAY
    with site.database.read() as tx:
        found = timeline(tx, row.name, row.number, end, limit + 1)
    return {
        "asset": row.name,
        "events": [happened_document(each) for each in found[:limit]],
        "more": len(found) > limit,
    }


def _found(site: Site, name: str) -> Row:
    row = row_of(site.board.look(), site.plant(), name, site.clock())
    if row is None:
        raise HTTPException(404)
    return row


@router.post("/polls")
def polls(site: Here, caller: EngineerToken, sent: Polls) -> dict[str, Any]:
    """Poll assets, and wait for what they say: the document of `asbuilt poll`."""
    return _polled(site, caller, sent)


@router.post("/checks")
def checks(site: Here, caller: EngineerToken, sent: Polls) -> dict[str, Any]:
    """Poll assets, and compare them with what is approved: the document of `asbuilt check`."""
    return _polled(site, caller, sent)


def _polled(site: Site, caller: Caller, sent: Polls) -> dict[str, Any]:
    plant = site.plant()
    names = assets_of(plant, sent.assets)
    found = poll_assets(plant, site.database, names, caller.name, lambda _: None)
    return {"checked_at": utc_text(site.clock()), "assets": found}


@router.post("/assets/out-of-service")
def out_of_service(site: Here, caller: OperatorToken, sent: OutOfService) -> dict[str, Any]:
    """Take an asset out of service until a time: new alarms of it wait until then."""
    reason = _reason(site, caller, sent.reason, sent.ticket, sent.password)
    return step_document(service.take_out(site.plant(), site.database, sent.asset, sent.until, reason, say), reason)


@router.post("/assets/in-service")
def in_service(site: Here, caller: OperatorToken, sent: InService) -> dict[str, Any]:
    """Take an asset back into service: the alarms that waited come back."""
    reason = _reason(site, caller, sent.reason, sent.ticket, sent.password)
    return step_document(service.bring_back(site.plant(), site.database, sent.asset, reason, say), reason)


def _reason(site: Site, caller: Caller, why: str, ticket: str, password: str | None) -> Reason:
    return Reason(caller.signing(password), site.clock(), why, ticket)
