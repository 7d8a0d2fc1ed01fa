"""Reports for whoever asks on the page or by the API: what is asked for is looked at first, and put on record, and then
a job makes it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from baselines.baseline import Stage
from baselines.snapshot import utc_text
from monitor import store
from monitor.choosing import chosen
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.evidence import deciding
from monitor.periods import due
from monitor.report.asking import PACK, Asked, assure_stage, assure_writable, file_name, format_named
from monitor.report.document import Kind
from monitor.report.making import scope_of
from monitor.reported import Reported
from monitor.reporting import CHORE, SUFFIXES
from monitor.web.access import Caller
from monitor.web.asked import say
from monitor.web.jobs import Job
from monitor.web.making import File, report_work
from monitor.web.site import Site

TITLE = "report "  # how the title of such a job begins
MOST_FILES = 12  # of a scheduled report that a page lists
TYPES = {  # of files, by their endings
    ".pdf": "application/pdf",
    ".html": "text/html; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A report that the daemon makes by itself: its files that are there, the newest first (`why` there are none to be
    had, if their folder cannot be read), what came of it last, and when it is made next."""

    name: str
    wanted: Reported
    files: tuple[str, ...]
    why: str
    last_at: datetime | None
    text: str
    next_at: datetime


def asked_for(
    plant: Plant,
    now: datetime,
    kind: Kind,
    form: str,
    times: tuple[datetime, datetime],
    names: Sequence[str] = (),
    zones: Sequence[str] = (),
    stage: Stage | None = None,
) -> Asked:
    """What somebody asks for, in whole seconds, as a format or as a pack; CallError if there is no such report."""
    assure_stage(kind, stage)
    format = None if form == PACK else format_named(kind, form)
    scope_of(plant, chosen(plant, names), zones, *times, now)
    return Asked(kind, format, *times, tuple(names), tuple(zones), stage)


def begin(site: Site, caller: Caller, asked: Asked) -> Job:
    """Have it made; NotNow if they are having one made already."""
    plant = site.plant()
    if any(not job.ended and job.title.startswith(TITLE) for job in site.jobs.all_of(caller.name)):
        raise NotNow("you are having a report made already: wait for it, or abandon it")
    path = site.made.place() / file_name(plant, asked.kind, asked.until, asked.format)
    try:
        assure_writable(plant, site.database, asked.format, path)
        with deciding(plant, site.database, caller.actor(), say) as tx:
            store.audit(tx, site.clock(), caller.actor(), "report.make", "", _detail(asked))
        return site.jobs.begin(caller.name, f"{TITLE}{path.name}", report_work(plant, asked, path), "/reports")
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def _detail(asked: Asked) -> dict[str, str]:
    said = {
        "report": asked.kind,
        "as": asked.format or PACK,
        "from": utc_text(asked.since),
        "until": utc_text(asked.until),
        "assets": "\n".join(asked.names),
        "zones": "\n".join(asked.zones),
        "stage": asked.stage or "",
    }
    return {name: value for name, value in said.items() if value}


def file_of(job: Job) -> File:
    """The file that a job has made; NotNow if there is none, or none any more."""
    if not job.ended:
        raise NotNow("it is not made yet")
    if not isinstance(job.outcome, File):
        raise NotNow(job.why or "this is no report")
    if not job.outcome.path.is_file():
        raise NotNow("it is not kept any more: the newest twenty are, for a day; have it made again")
    return job.outcome


def scheduled(site: Site) -> list[Scheduled]:
    """The reports of plant.toml."""
    plant, now = site.plant(), site.clock()
    with site.database.read() as tx:
        kept = store.chores(tx)
    return [_scheduled(name, wanted, kept.get(CHORE + name), now, plant) for name, wanted in plant.reports.items()]


def _scheduled(name: str, wanted: Reported, kept: store.Chore | None, now: datetime, plant: Plant) -> Scheduled:
    following = due(wanted.every, wanted.at, now, ZoneInfo(plant.timezone))[1]
    try:
        files, why = tuple(_files(name, wanted))[:MOST_FILES], ""
    except OSError as error:
        files, why = (), "" if isinstance(error, FileNotFoundError) else f"{wanted.folder}: {error.strerror}"
    last, text, then = (kept.last_at, kept.text, kept.next_at) if kept else (None, "", None)
    return Scheduled(name, wanted, files, why, last, text, then or following)


def _files(name: str, wanted: Reported) -> Iterator[str]:
    """The names of its files, the newest first."""
    endings = "|".join(re.escape(SUFFIXES.get(form, form)) for form in (*wanted.formats, PACK))
    ours = re.compile(rf"{re.escape(name)}-([0-9-]{{10}})-([0-9-]{{10}})\.({endings})")
    there = [found for found in map(ours.fullmatch, os.listdir(wanted.folder)) if found]
    yield from (found[0] for found in sorted(there, key=lambda found: (found[2], found[1], found[0]), reverse=True))


def scheduled_file(site: Site, name: str, file: str) -> Path:
    """A file of a scheduled report; CallError if there is no such one."""
    wanted = site.plant().reports.get(name)
    try:
        if wanted is not None and file in _files(name, wanted) and (wanted.folder / file).is_file():
            return wanted.folder / file
    except OSError as error:
        raise CallError(f"{file} cannot be read: {error.strerror}") from None
    raise CallError("there is no such report, or it is not kept any more")


def type_of(path: Path) -> str:
    """The media type of a file of a report."""
    return TYPES.get(path.suffix.lower(), "application/octet-stream")
