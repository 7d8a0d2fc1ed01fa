"""What quality people look at: causes, the control chart, times, the yield of change orders."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup

from baselines.quality import NO_CAUSE, By, cautions
from monitor.pictures import number_text, pictures, times_rows
from monitor.web.access import Viewer
from monitor.web.asked import zones_of
from monitor.web.here import Here
from monitor.web.quality import measured_of
from monitor.web.render import page

router = APIRouter()


@router.get("/quality")
def quality(
    request: Request,
    site: Here,
    caller: Viewer,
    since: str = "",
    until: str = "",
    by: By = By.WEEK,
    zone: str = "",
) -> Response:
    plant = site.plant()
    found = measured_of(site, since, _with_its_day(until), by, zone)
    drawn = pictures(found.figures, by, ZoneInfo(plant.timezone))
    return page(
        request,
        site,
        "quality.html.j2",
        caller,
        figures=found.figures,
        begin=found.begin,
        end=found.end,
        last=found.end - timedelta(milliseconds=1),
        by=by,
        # drawn by monitor/drawing.py, which escapes every text: the pages' style gives it the colours of the page
        pictures={name: Markup(svg) for name, svg in drawn.items()},
        times=times_rows(found.figures),
        cautions=cautions(found.figures),
        number=number_text,
        no_cause=NO_CAUSE,
        zones=zones_of(plant),
        asked_zone=zone,
    )


def _with_its_day(until: str) -> str:
    """A day that people choose as the last one is meant with all of it; any other text as it is."""
    with suppress(ValueError, OverflowError):
        return (date.fromisoformat(until) + timedelta(days=1)).isoformat()
    return until
