"""Reports, scheduled ones too, and what takes longer than a request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import Response
from pydantic import Field

from baselines.baseline import Stage
from baselines.snapshot import utc_text
from monitor.errors import CallError, NotNow
from monitor.report.asking import this_second, whole
from monitor.report.document import Kind
from monitor.report.writing import Format
from monitor.web.access import Caller, ViewerToken
from monitor.web.api.sent import Body, Name, When
from monitor.web.here import Here
from monitor.web.jobs import Job
from monitor.web.making import File
from monitor.web.pages.reports import USUALLY, sent
from monitor.web.reports import TITLE, TYPES, Scheduled, asked_for, begin, file_of, scheduled, scheduled_file
from monitor.web.site import Site

MOST_NAMES = 1000  # of assets in one request: patterns name more
A_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            kind: {"schema": {"type": "object" if kind.endswith("json") else "string"}}
            for kind in (each.partition(";")[0] for each in TYPES.values())
        },
    }
}

router = APIRouter(tags=["reports"])


class Wanted(Body):
    """A report of a time, and of a part of the plant."""

    kind: Kind
    form: Annotated[Format | Literal["pack"], Field(alias="as")] = Format.PDF
    """`pack` is an evidence pack."""
    since: Annotated[When | None, Field(alias="from")] = None
    """90 days before the end, if left out."""
    until: When | None = None
    """Now, if left out."""
    assets: Annotated[list[Name], Field(default_factory=list, max_length=MOST_NAMES)]
    """Names, or patterns such as line3/*; all, if there are none."""
    zones: Annotated[list[Name], Field(default_factory=list, max_length=MOST_NAMES)]
    stage: Stage | None = None
    """Of the commissioning dossier; every stage, if left out."""


JobNumber = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The `id` of a job of yours.")]


@router.post("/reports", status_code=202)
def make_report(site: Here, caller: ViewerToken, body: Wanted) -> dict[str, Any]:
    """Have a report made: a job, which `GET /jobs/{number}` follows. Its file is there for you alone, for a while."""
    plant, now = site.plant(), site.clock()
    end = min(body.until or this_second(now), this_second(now))
    start = body.since or end - USUALLY
    if start >= end:
        raise CallError("the beginning is not before the end, or lies in the future: choose an earlier one")
    times = whole(start, end)
    asked = asked_for(plant, now, body.kind, body.form, times, body.assets, body.zones, body.stage)
    return job_document(begin(site, caller, asked))


@router.get("/reports")
def reports(site: Here, caller: ViewerToken) -> dict[str, Any]:
    """The reports that you had made, the newest first, and those that the daemon makes by itself."""
    made = [job_document(job) for job in site.jobs.all_of(caller.name) if job.title.startswith(TITLE)]
    return {"made": made, "scheduled": [_scheduled_document(each) for each in scheduled(site)]}


def _scheduled_document(each: Scheduled) -> dict[str, Any]:
    wanted = each.wanted
    return {
        "name": each.name,
        "kind": wanted.kind,
        "every": wanted.every,
        "formats": list(wanted.formats),
        "pack": wanted.pack,
        "zones": list(wanted.zones),
        "last_at": utc_text(each.last_at) if each.last_at else None,
        "text": each.text,
        "next_at": utc_text(each.next_at),
        "files": list(each.files),
        "why": each.why,
    }


@router.get("/reports/{number}", responses=A_FILE, response_class=Response)
def report_file(site: Here, caller: ViewerToken, number: JobNumber) -> Response:
    """The file of a report that you had made."""
    return sent(file_of(_job(site, caller, number)).path)


@router.get("/reports/scheduled/{name}/{file}", responses=A_FILE, response_class=Response)
def scheduled_report_file(
    site: Here,
    _: ViewerToken,
    name: Annotated[str, Path(max_length=60, description="The name of a report of plant.toml.")],
    file: Annotated[str, Path(max_length=200, description="One of its `files`.")],
) -> Response:
    """A file of a report that the daemon made."""
    try:
        return sent(scheduled_file(site, name, file))
    except CallError as error:
        raise HTTPException(404, str(error)) from None


@router.get("/jobs/{number}")
def job(site: Here, caller: ViewerToken, number: JobNumber) -> dict[str, Any]:
    """How far a job of yours is; `outcome` is null until it ended, and where nothing came of it, which `why` says."""
    return job_document(_job(site, caller, number))


@router.delete("/jobs/{number}")
def abandon_job(site: Here, caller: ViewerToken, number: JobNumber) -> dict[str, Any]:
    """Abandon a job of yours: it ends as soon as it can. What it has done already stays."""
    found = _job(site, caller, number)
    return job_document(site.jobs.abandon(caller.name, found.id))


def _job(site: Site, caller: Caller, number: str) -> Job:
    try:
        return site.jobs.of(caller.name, number)
    except NotNow as error:
        raise HTTPException(404, str(error)) from None


def job_document(job: Job) -> dict[str, Any]:
    """A job for programs."""
    return {
        "id": job.id,
        "title": job.title,
        "what": job.what,
        "done": job.done,
        "of": job.of,
        "ended": job.ended,
        "why": job.why,
        "outcome": _outcome(job.outcome) if job.ended else None,
    }


def _outcome(outcome: Any) -> Any:
    if not isinstance(outcome, File):
        return outcome
    return {"file": outcome.path.name, "findings": outcome.findings, "doubt": outcome.doubt}
