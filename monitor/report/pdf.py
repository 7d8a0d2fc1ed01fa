"""A report as PDF/A-2b, by typst: tagged, with vector charts, and the same bytes for the same report.

Texts and template never mix: the template stands as it is, and reads what it shows from a JSON file beside it. It is
typeset in a process of its own that may take so much memory and so much time: whatever devices call themselves, and
however much there is of it, neither a daemon nor a command ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from monitor.errors import CallError
from monitor.report.document import Report
from monitor.report.pages import charts, page_data

TEMPLATE = "report.typ"
REMEDY = "make it of fewer assets or of a shorter time, or write it as HTML, which needs no typesetter"
MIB = 1024 * 1024
UNLOADED = 2  # how typesetting.py ends where there is no compiler
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}  # each takes address space, and there is a limit


@dataclass(frozen=True, slots=True)
class Limits:
    """What the typesetter may take: bytes of address space (on Windows the system's own limits hold), and seconds."""

    memory: int = 1024 * MIB
    seconds: float = 120.0


LIMITS = Limits()


def pdf(report: Report, limits: Limits = LIMITS) -> bytes:
    """The report as PDF/A-2b. CallError where it cannot be typeset within the limits."""
    with tempfile.TemporaryDirectory(prefix="asbuilt-pdf-") as name:
        folder = Path(name)
        _lay_out(report, folder)
        return typeset(folder, int(report.until.timestamp()), limits)


def _lay_out(report: Report, folder: Path) -> None:
    """All that the typesetter reads."""
    (folder / TEMPLATE).write_bytes((files("monitor.report") / TEMPLATE).read_bytes())
    (folder / "report.json").write_text(json.dumps(page_data(report)), "ascii")
    for name, svg in charts(report).items():
        (folder / name).write_text(svg, "utf-8")


def typeset(folder: Path, timestamp: int, limits: Limits = LIMITS) -> bytes:
    """The PDF of a folder's report.typ as of a time in seconds since 1970. CallError says why there is none."""
    program = Path(__file__).with_name("typesetting.py")
    command = [sys.executable, "-I", str(program), str(folder), str(timestamp), str(limits.memory)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.seconds,
            check=False,
            env={**os.environ, **ONE_THREAD},
        )
    except subprocess.TimeoutExpired:
        raise CallError(f"the PDF was not typeset within {limits.seconds:g} s: {REMEDY}") from None
    except OSError as error:
        raise CallError(f"the typesetter of PDFs cannot be started: {error.strerror}; free some memory") from None
    if done.returncode:
        raise CallError(_why(done.returncode, done.stderr.decode("utf-8", "backslashreplace").strip(), limits))
    return done.stdout


def _why(code: int, said: str, limits: Limits) -> str:
    """Why there is no PDF. Where memory is refused the compiler says so, and aborts; else the last line says it."""
    said, whole = said.rpartition("\n")[2], said
    if "memory allocation" in whole or "MemoryError" in whole or code == -signal.SIGABRT:
        return f"the PDF takes more than the {limits.memory // MIB:,} MiB of memory that it may take: {REMEDY}"
    if code < 0:
        return f"the typesetter of PDFs was ended by signal {-code}; if memory is short, {REMEDY}"
    if code == UNLOADED:
        return f"the typesetter of PDFs cannot be loaded: {said}; install asbuilt again, or write it as HTML"
    return (
        f"the PDF cannot be typeset: {said}; this is a bug of asbuilt: please report it, and write it as HTML meanwhile"
    )
