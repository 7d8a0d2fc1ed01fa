"""Reports: those that somebody has made now, and those that the daemon makes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from baselines.baseline import Stage
from monitor.errors import CallError, UserError
from monitor.report.asking import PACK, Asked, this_second, whole
from monitor.report.document import Kind
from monitor.report.writing import Format
from monitor.web.access import Caller, Viewer, status_of
from monitor.web.asked import times, zones_of
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.render import back_to, page
from monitor.web.reports import TITLE, asked_for, begin, file_of, scheduled, scheduled_file, type_of
from monitor.web.site import Site

USUALLY = timedelta(days=90)
KINDS = {  # a report, and what it is for
    Kind.AUDIT: "Audit report: what was approved by whom, every deviation, alarm and change, what was not seen",
    Kind.COMMISSIONING: "Commissioning dossier: what was captured, who signed, with a sheet to sign",
    Kind.INVENTORY: "Inventory: every asset, and who says what of it",
    Kind.CHANGES: "Changes: what changed, and on whose word",
}
FORMATS = {
    Format.PDF: "PDF, for print",
    Format.HTML: "HTML, for a browser",
    Format.XLSX: "Excel",
    Format.CSV: "CSV: a zip of all tables",
    Format.JSON: "JSON, for programs",
    Format.CYCLONEDX: "CycloneDX, of the inventory alone",
    PACK: "Evidence pack: all of it, signed, with what verifies it",
}

router = APIRouter()


@router.get("/reports")
def reports(request: Request, site: Here, caller: Viewer, form: str = "") -> Response:
    return _page(request, site, caller, {"form": form})


@router.post("/reports")
def make(request: Request, site: Here, caller: Viewer, form: Sent) -> Response:
    try:
        job = begin(site, caller, _asked(site, form))
    except UserError as error:
        return _page(request, site, caller, form, str(error), status_of(error))
    return back_to(f"/jobs/{job.id}")


def _asked(site: Site, form: Form) -> Asked:
    plant, now = site.plant(), site.clock()
    kind, stage = form.text("kind"), form.text("stage")
    if kind not in list(Kind):
        raise CallError("choose which report")
    if stage and stage not in list(Stage):
        raise CallError("choose a stage of the list")
    end = this_second(now)
    asked = whole(*times(form.text("since"), form.text("until"), end, plant, USUALLY))
    names = [line.strip() for line in form.text("assets", "the assets").splitlines() if line.strip()]
    zones = [zone for zone in form.texts("zone") if zone]
    return asked_for(plant, now, Kind(kind), form.text("form"), asked, names, zones, Stage(stage) if stage else None)


def _page(
    request: Request,
    site: Site,
    caller: Caller,
    form: Mapping[str, str],
    error: str = "",
    status: int = 200,
) -> Response:
    plant = site.plant()
    shown: Mapping[str, object] = {
        "kinds": [*KINDS.items()],
        "forms": [*FORMATS.items()],
        "stages": [("", "every stage"), *((stage, stage) for stage in Stage)],
        "zones": zones_of(plant),
        "ticked": form.texts("zone") if isinstance(form, Form) else (),
        "jobs": [job for job in site.jobs.all_of(caller.name) if job.title.startswith(TITLE)],
        "made": lambda job: getattr(job.outcome, "path", None) is not None and job.outcome.path.is_file(),
        "scheduled": scheduled(site),
    }
    return page(request, site, "reports.html.j2", caller, form=form, error=error, status=status, **shown)


@router.get("/reports/made/{number}")
def made(site: Here, caller: Viewer, number: str) -> Response:
    """What a job has made, for whom it was made."""
    return sent(file_of(site.jobs.of(caller.name, number)).path)


@router.get("/reports/scheduled/{name}/{file}")
def scheduled_one(site: Here, caller: Viewer, name: str, file: str) -> Response:
    """What the daemon has made."""
    return sent(scheduled_file(site, name, file))


def sent(path: Path) -> Response:
    """A file to be kept, never shown as a page of ours."""
    return FileResponse(path, media_type=type_of(path), filename=path.name)
