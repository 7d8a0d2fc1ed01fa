"""A job: how far it is, and what came of it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor.web.access import Viewer
from monitor.web.forms import Sent
from monitor.web.here import Here
from monitor.web.making import File
from monitor.web.render import back_to, page

router = APIRouter()


@router.get("/jobs/{number}")
def job(request: Request, site: Here, caller: Viewer, number: str) -> Response:
    found = site.jobs.of(caller.name, number)
    return page(request, site, "job.html.j2", caller, job=found, is_file=isinstance(found.outcome, File))


@router.post("/jobs/{number}/abandon")
def abandon(site: Here, caller: Viewer, _: Sent, number: str) -> Response:
    found = site.jobs.abandon(caller.name, number)
    return back_to(f"/jobs/{found.id}", "" if found.ended else "It ends as soon as it can.")
