"""What we cannot see, and since when."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor.covering import coverage as covered_in
from monitor.web.access import Viewer
from monitor.web.asked import assets_of, times
from monitor.web.here import Here
from monitor.web.render import page

USUALLY = timedelta(days=30)

router = APIRouter()


@router.get("/coverage")
def coverage(request: Request, site: Here, caller: Viewer, since: str = "", until: str = "") -> Response:
    plant, now = site.plant(), site.clock()
    begin, end = times(since, until, now, plant, USUALLY)
    with site.database.read() as tx:
        found = covered_in(tx, plant, assets_of(plant, None), begin, end, now)
    return page(request, site, "coverage.html.j2", caller, found=found, begin=begin, end=end)
