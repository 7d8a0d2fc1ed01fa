"""What takes the processor for long is done by a program of its own, behind the polls: the command that people run.

A job waits for it, says how far it is, and ends it when nobody wants it any more.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from monitor import evidence
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.report.asking import Asked
from monitor.reporting import MAKING, run, turn
from monitor.web.jobs import Progress, Work
from monitor.web.site import Site

PROGRESS = "--progress"
LOOK_EVERY = 0.3  # seconds between two looks whether it is still wanted
WAITS = "waiting until another one is made"

_EXPORTING = threading.Lock()


@dataclass(frozen=True, slots=True)
class File:
    """A file that was made. `doubt` is why it should not be relied on, `findings` what is in it in a few words."""

    path: Path
    findings: str = ""
    doubt: str = ""


def report_work(plant: Plant, asked: Asked, path: Path) -> Work:
    """Have a report made, in a place that is kept for it."""

    def work(progress: Progress) -> File:
        said: list[str] = []
        try:
            doubt = asyncio.run(_done([*asked.words(plant.path, path, PROGRESS)], path.parent, progress, said.append))
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        if not path.is_file():
            raise CallError(doubt or f"{path.name} was not made")
        findings = next((line.partition(":")[2].strip() for line in said if line.startswith("  findings:")), "")
        return File(path, findings, doubt)

    return work


def verifying_work(site: Site, plant: Plant) -> Work:
    """Have all evidence verified; the document of `asbuilt verify --json`."""

    def work(progress: Progress) -> dict[str, Any]:
        place, said = site.made.place(), list[str]()
        progress("verifying the evidence", 0, 0)
        words = ["verify", "--json", "--plant", str(plant.path.resolve())]
        try:
            asyncio.run(_done(words, place, progress, said.append))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        found: dict[str, Any] = json.loads("\n".join(said))
        return found

    return work


def evidence_file(site: Site) -> Response:
    """All evidence, as a file for a verifier elsewhere. It is written first and then sent: whoever takes it slowly does
    not hold the store."""
    if not _EXPORTING.acquire(blocking=False):
        raise NotNow("somebody else takes the evidence at this moment: try again when they have it")
    try:
        path = site.made.place() / "evidence.jsonl"
        with site.database.read() as tx:
            evidence.export(tx, path)
    finally:
        _EXPORTING.release()
    gone = BackgroundTask(shutil.rmtree, path.parent, ignore_errors=True)
    return FileResponse(path, media_type="application/jsonl", filename=path.name, background=gone)


async def _done(words: Sequence[str], aside: Path, progress: Progress, hear: Callable[[str], None]) -> str:
    """Run a command when it is its turn; its last words if what it says is in doubt, or else ""."""
    last: tuple[str, int, int] = ("", 0, 0)

    def listen(line: str) -> None:
        nonlocal last
        if line.startswith("[") and PROGRESS in words:
            last = tuple(json.loads(line))
        else:
            hear(line)

    async with turn(lambda: progress(WAITS, 0, 0)):
        argv = [*MAKING.program, *words]
        running = asyncio.create_task(run(argv, MAKING.within, MAKING.niceness, aside, listen))
        try:
            while not running.done():
                progress(*last)
                await asyncio.wait({running}, timeout=LOOK_EVERY)
            return await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
