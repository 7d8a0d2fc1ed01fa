"""Proposing: which assets are read, once or several times, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from baselines.baseline import Stage
from monitor.commissioning import pause_of, range_text
from monitor.errors import CallError, UserError
from monitor.web.access import Caller, Engineer, Viewer, status_of
from monitor.web.asked import assets_of, zones_of
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.proposals import Wanted, begin, matching, takes_password
from monitor.web.render import back_to, page
from monitor.web.site import Site

LISTED = 200  # assets that are listed to be ticked
BETWEEN = "the time between two captures"

router = APIRouter()


@router.get("/baselines/propose")
def propose(
    request: Request,
    site: Here,
    caller: Engineer,
    q: str = "",
    zone: str = "",
    asset: Annotated[list[str] | None, Query()] = None,
) -> Response:
    return _form(request, site, caller, q, zone, assets_of(site.plant(), asset) if asset else [])


def _form(
    request: Request,
    site: Site,
    caller: Caller,
    q: str,
    zone: str,
    ticked: Sequence[str],
    form: Form | None = None,
    **more: Any,
) -> Response:
    """What can be read: the assets that are asked for, those that are ticked first."""
    plant = site.plant()
    names = list(dict.fromkeys([*ticked, *matching(plant, q, zone)]))
    return page(
        request,
        site,
        "propose.html.j2",
        caller,
        form=form,
        names=names[:LISTED],
        of=len(names),
        asked={"q": q, "zone": zone},
        zones=zones_of(plant),
        stages=list(reversed(Stage)),
        ticked=set(ticked),
        takes_password=takes_password(plant, names),
        **more,
    )


@router.post("/baselines/propose")
def proposed(request: Request, site: Here, caller: Engineer, form: Sent) -> Response:
    q, zone = form.text("q"), form.text("zone")
    try:
        job = begin(site, caller, _wanted(site, form, q, zone), form.secret())
    except UserError as error:
        ticked = [name for name in form.texts("asset") if name in site.plant().assets]
        return _form(request, site, caller, q, zone, ticked, form, error=str(error), status=status_of(error))
    return back_to(f"/baselines/jobs/{job.id}")


def _wanted(site: Site, form: Form, q: str, zone: str) -> Wanted:
    plant = site.plant()
    names = matching(plant, q, zone) if form.is_ticked("all") else form.texts("asset")
    if not names:
        raise CallError("tick an asset at least: what is to be read?")
    stage, how = form.text("stage"), form.text("how")
    if stage not in list(Stage):
        raise CallError(f"the stage is one of {', '.join(Stage)}, not {stage!r}")
    wanted = assets_of(plant, names)
    reason, ticket, incomplete = form.text("reason"), form.text("ticket"), form.is_ticked("incomplete")
    if how != "commission":
        return Wanted(wanted, Stage(stage), reason, ticket, incomplete)
    typed = form.text("captures", "captures", required=True)
    captures = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 5 else 0
    pause = pause_of(form.text("every", BETWEEN, required=True), BETWEEN)
    return Wanted(wanted, Stage(stage), reason, ticket, incomplete, captures, pause, commissioning=True)


@router.get("/baselines/jobs/{number}")
def job(request: Request, site: Here, caller: Viewer, number: str) -> Response:
    """How far a job is, and what came of it."""
    found = site.jobs.of(caller.name, number)
    outcome = found.outcome if found.ended else None
    return page(request, site, "reading.html.j2", caller, job=found, outcome=outcome, range_text=range_text)
