"""One asset: who it is, how it stands and by whose word, its items side by side, and what happened to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from baselines.drift import Verdict
from monitor import contract, service
from monitor.board import Row
from monitor.card import WATCHED, card, row_of
from monitor.errors import UserError
from monitor.inventory import stale_after
from monitor.lines import line_of, look_of
from monitor.lives import Reason
from monitor.moments import moment
from monitor.polling import poll_assets
from monitor.report.known import FIELDS
from monitor.store import Gap
from monitor.timeline import A_DAY, timeline
from monitor.web.access import Caller, Engineer, Operator, Viewer, status_of
from monitor.web.asked import say
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.paging import PageNumber, shown_of
from monitor.web.render import asset_path, back_to, page
from monitor.web.site import Site

NEWEST = 15  # lines of the history on the page of the asset
HISTORY_ROWS = 100
HISTORY_PAGES = 50  # further back one goes by time
BAR = 600  # the width of the picture of coverage

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Stripe:
    """A gap in the picture of coverage: where it begins, and how wide it is."""

    x: float
    width: float
    gap: Gap


@router.get("/assets/{name:path}")
def asset(request: Request, site: Here, caller: Viewer, name: str, number: PageNumber = 1) -> Response:
    return _page(request, site, caller, name, number=number)


def _page(
    request: Request,
    site: Site,
    caller: Caller,
    name: str,
    form: Form | None = None,
    error: str = "",
    status: int = 200,
    number: int = 1,
) -> Response:
    plant, now, look = site.plant(), site.clock(), site.board.look()
    row = row_of(look, plant, name, now)
    if row is None:
        raise HTTPException(404)
    with site.database.read() as tx:
        found = card(tx, plant, look, row, now)
        history = timeline(tx, row.name, row.number, now + A_DAY, NEWEST + 1)
    shown = shown_of(number, len(found.pairs))
    return page(
        request,
        site,
        "asset.html.j2",
        caller,
        form=form,
        error=error,
        status=status,
        row=row,
        found=found,
        line=line_of(row.asset),
        look=look_of(row),
        why=_why(site, row, len([each for each in found.pairs if each.verdict is Verdict.DRIFT])),
        pairs=found.pairs[shown.skip : shown.skip + shown.rows],
        shown=shown,
        fields=FIELDS,
        clauses=contract.lines(found.contract) if found.contract and found.contract["sent"] else [],
        stripes=list(_stripes(found.covered.gaps, now)),
        bar=BAR,
        watched_x=_across(found.covered.since, now) if found.covered.since else None,
        since=now - WATCHED,
        history=history[:NEWEST],
        has_more=len(history) > NEWEST,
        is_polled=name in plant.assets,
        every=plant.assets[name].every if name in plant.assets else None,
        deep_every=plant.assets[name].deep_every if name in plant.assets else None,
        until=(now + timedelta(hours=8)),
    )


def _why(site: Site, row: Row, different: int) -> str:
    """The verdict in a sentence."""
    zone = ZoneInfo(site.plant().timezone)
    at = row.last_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if row.last_at else ""
    polled = site.plant().assets.get(row.name)
    stale = ""
    if row.last and not row.last.is_outage and row.last_at and polled:
        if site.clock() - row.last_at >= stale_after(polled.every):
            stale = f" Nobody has looked since {at}."
    elif row.last and row.last.is_outage:
        stale = f" It has not answered since {row.last.first_at.astimezone(zone).strftime('%Y-%m-%d %H:%M:%S')}."
    match row.verdict:
        case Verdict.DRIFT:
            items = "1 item is" if different == 1 else f"{different} items are"
            return f"{items} not as approved.{stale}"
        case Verdict.MATCH:
            return "Everything that is approved was read, and is as approved."
        case Verdict.NO_BASELINE:
            return "It was seen, and something of it was never approved: nobody can say whether it is right."
        case Verdict.STALE:
            return f"What stands here is old, or was not heard lately.{stale}"
        case Verdict.NO_LONGER_OBSERVABLE:
            return f"Something that was seen before is not seen now.{stale}"
    if row.seen_at is None:
        return f"It was never seen.{stale}"
    return f"Something of it was asked for, and never read.{stale}"


def _across(at: datetime, now: datetime) -> float:
    return round(BAR * min(1.0, max(0.0, (at - (now - WATCHED)) / WATCHED)), 1)


def _stripes(gaps: tuple[Gap, ...], now: datetime) -> Iterator[Stripe]:
    for gap in gaps:
        begin, end = _across(gap.first_at, now), _across(gap.last_at or now, now)
        yield Stripe(min(begin, BAR - 1), max(1.0, round(end - begin, 1)), gap)


@router.get("/history")
def history(
    request: Request,
    site: Here,
    caller: Viewer,
    asset: Annotated[str, Query(max_length=2000)],
    until: Annotated[str, Query(max_length=40)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=HISTORY_PAGES)] = 1,
) -> Response:
    plant, now = site.plant(), site.clock()
    row = row_of(site.board.look(), plant, asset, now)
    if row is None:
        raise HTTPException(404)
    end = moment(until, now, ZoneInfo(plant.timezone)) if until else now + A_DAY
    most = number * HISTORY_ROWS
    with site.database.read() as tx:
        found = timeline(tx, row.name, row.number, end, most + 1)
    kept = found[most - HISTORY_ROWS : most]
    return page(
        request,
        site,
        "history.html.j2",
        caller,
        row=row,
        history=kept,
        until=until,
        number=number,
        has_more=len(found) > most,
        is_last=number == HISTORY_PAGES,
    )


@router.post("/assets/poll")
def poll(request: Request, site: Here, caller: Engineer, form: Sent) -> Response:
    name = form.text("asset", "the asset", required=True)
    plant = site.plant()
    if name not in plant.assets and name not in plant.segments:
        raise HTTPException(404)
    try:
        (answer,) = poll_assets(plant, site.database, [name], caller.name, lambda _: None)
    except UserError as error:
        return _page(request, site, caller, name, form, str(error), status_of(error))
    failed = answer["error"]
    came = f"{failed['kind']}: {failed['text']}" if failed else f"the verdict of this poll is {answer['verdict']}"
    return back_to(asset_path(name), f"{name} was polled: {came}.")


@router.post("/assets/out-of-service")
def out_of_service(request: Request, site: Here, caller: Operator, form: Sent) -> Response:
    name, plant = form.text("asset", "the asset", required=True), site.plant()
    try:
        until = form.moment("until", "the end", site.clock(), plant.timezone)
        reason = Reason(caller.actor(), site.clock(), form.text("reason", "the reason", required=True))
        step = service.take_out(plant, site.database, name, until, reason, say)
    except UserError as error:
        return _page(request, site, caller, name, form, str(error), status_of(error))
    return back_to(asset_path(name), f"{name} is out of service until {step.detail['until']}.")


@router.post("/assets/in-service")
def in_service(request: Request, site: Here, caller: Operator, form: Sent) -> Response:
    name = form.text("asset", "the asset", required=True)
    reason = Reason(caller.actor(), site.clock(), form.text("reason"))
    try:
        step = service.bring_back(site.plant(), site.database, name, reason, say)
    except UserError as error:
        return _page(request, site, caller, name, form, str(error), status_of(error))
    back = f", and {len(step.moves)} of its alarms are back" if step.moves else ""
    return back_to(asset_path(name), f"{name} is in service again{back}.")
