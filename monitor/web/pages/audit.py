"""The audit chain: who did what when, whether it verifies, and what an auditor takes along."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from monitor import store
from monitor.errors import UserError
from monitor.web import trail
from monitor.web.access import Viewer, status_of
from monitor.web.asked import LARGEST, at_or_none, looked_for
from monitor.web.forms import Sent
from monitor.web.here import Here
from monitor.web.making import evidence_file, verifying_work
from monitor.web.paging import rest_of
from monitor.web.render import back_to, page

ROWS = 100

router = APIRouter()


@router.get("/audit")
def audit(
    request: Request,
    site: Here,
    caller: Viewer,
    person: str = "",
    action: str = "",
    asset: str = "",
    since: str = "",
    until: str = "",
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
) -> Response:
    plant, asked = site.plant(), {"person": person, "action": action, "asset": asset, "since": since, "until": until}
    error, status, begin, end = "", 200, None, None
    try:
        begin, end = at_or_none(since, site.clock(), plant), at_or_none(until, site.clock(), plant)
    except UserError as wrong:
        error, status = str(wrong), status_of(wrong)
    with site.database.read() as tx:
        found = store.entries_page(
            tx,
            before=before,
            limit=ROWS + 1,
            actor=looked_for(person),
            action=looked_for(action),
            subject=looked_for(asset),
            since=begin,
            until=end,
        )
        newest, entries, plant_keys = store.newest_checkpoint(tx), store.last_audit_id(tx), trail.keys_of(tx)
    return page(
        request,
        site,
        "audit.html.j2",
        caller,
        form=asked,
        error=error,
        status=status,
        found=found[:ROWS],
        more=len(found) > ROWS,
        query=rest_of(asked),
        first=before is None,
        newest=newest,
        entries=entries,
        keys=plant_keys,
        places=trail.places_of(plant),
        did=trail.did,
        says=trail.said,
        is_signed=trail.is_signed,
        actions=[("", "anything"), ("session.", "signing in and out"), *sorted(trail.ACTIONS.items(), key=str)],
    )


@router.post("/audit/verify")
def verify(site: Here, caller: Viewer, _: Sent) -> Response:
    """Verify all of it now."""
    job = site.jobs.begin(caller.name, "verifying the evidence", verifying_work(site, site.plant()), "/audit")
    return back_to(f"/jobs/{job.id}")


@router.get("/audit/evidence")
def evidence(site: Here, _: Viewer) -> Response:
    """All evidence, for a verifier elsewhere."""
    return evidence_file(site)
