"""Audit reports of 10,000 assets with 100,000 deviations: time and memory of each format, in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.history import BEGIN, DAYS, ITEMS, ORDERS, OUTAGES, build
from benchmarks.results import Result, Row
from monitor.config import load_plant
from monitor.report.cells import for_programs
from monitor.report.document import Kind, Report
from monitor.report.kinds import report
from monitor.report.scope import Scope
from monitor.store import Database

ASSETS = int(os.environ.get("BENCH_ASSETS", "10000"))
DEVIATIONS = int(os.environ.get("BENCH_DEVIATIONS", "100000"))
FORMATS = ("json", "csv", "xlsx", "html", "pdf")
SECONDS, MEGABYTES = 60.0, 1000.0  # the targets
PATIENCE = 600.0


def run() -> Result:
    with TemporaryDirectory() as folder:
        plant = build(Path(folder), ASSETS, DEVIATIONS)
        gathered = measured(plant, "")
        rows = [_row("gathered from the store", gathered, "gather")]
        made = [(name, found) for name in FORMATS if (found := measured(plant, name))]
        told = "gathered and written as {}, {:.0f} MB"
        rows += [_row(told.format(name.upper(), found["size"] / 1e6), found) for name, found in made]
        if find_spec("openpyxl") and (found := measured(plant, "openpyxl")):
            seconds = found["seconds"] - found["gather"]
            rows.append(Row("the same tables by openpyxl, not gathered", f"{seconds:.1f} s, {found['peak']:.0f} MB"))
    return Result(f"An audit report of {ASSETS:,} assets and {DEVIATIONS:,} deviations", rows, [_note(gathered)])


def _row(what: str, found: dict[str, float], key: str = "seconds") -> Row:
    reached = found[key] < SECONDS and found["peak"] < MEGABYTES
    cpu = f", {found['cpu']:.1f} s of CPU" if key == "seconds" else ""
    target = f"< {SECONDS:g} s, < {MEGABYTES:,.0f} MB"
    return Row(what, f"{found[key]:.1f} s{cpu}, {found['peak']:.0f} MB", target, reached)


def _note(gathered: dict[str, float]) -> str:
    return (
        f"{gathered['rows']:,.0f} rows of {gathered['tables']:.0f} tables: {DEVIATIONS:,} alarms with their moves,"
        f" {ITEMS} items a baseline, {ORDERS:,} change orders, {OUTAGES:,} gaps, {DAYS} days, SQLite. Each row is a"
        " process of its own, from its start; its memory is the most that it and the typesetter that it starts held at"
        " the same moment, looked at 50 times a second."
    )


def measured(plant: Path, name: str) -> dict[str, float]:
    """What a process that makes this format takes; nothing where there is no such writer."""
    began = time.monotonic()
    program = "import sys; from benchmarks.report import make; make(sys.argv[1], sys.argv[2])"
    command = [sys.executable, "-c", program, str(plant), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None and time.monotonic() < began + PATIENCE:
            peak = max(peak, resident(process.pid))
            time.sleep(0.02)
        process.kill()
        said, seconds = process.communicate()[0], time.monotonic() - began
    found: dict[str, float] = json.loads(said or "{}") if process.returncode == 0 else {}
    return found and {**found, "seconds": seconds, "peak": peak / 1e6}


def resident(pid: int) -> int:
    """Bytes that a process holds in memory now, and those that it has started (proc(5))."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(resident, children))


def make(plant_file: str, name: str) -> None:
    """Gather the report, write it where a format is named, and say what it took."""
    began = time.monotonic()
    plant = load_plant(Path(plant_file))
    until = BEGIN + timedelta(days=DAYS)
    database = Database(plant.store_url)
    scope = Scope(plant, tuple(plant.assets), True, BEGIN + timedelta(hours=1), until, until)
    with database.read() as tx:
        found = report(tx, Kind.AUDIT, scope)
    gather, size = time.monotonic() - began, 0
    if name:
        write = _writer(name)
        if write is None:
            return
        path = Path(plant_file).parent / f"report.{'zip' if name == 'csv' else name}"
        write(found, path)
        size = path.stat().st_size
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    tables = list(found.tables)
    counted = {"tables": len(tables), "rows": sum(len(table.rows) for table in tables)}
    print(json.dumps({"gather": gather, "cpu": cpu, "size": size, **counted}))


def _writer(name: str) -> Callable[[Report, Path], object] | None:
    """What writes a format; None where this version has no such writer."""
    if name == "openpyxl":
        return by_openpyxl
    try:
        writing: Any = import_module("monitor.report.writing")
        format = writing.Format(name)
    except (ImportError, ValueError):
        return None
    return lambda found, path: writing.write(found, format, path)


def by_openpyxl(found: Report, path: Path) -> None:
    """What somebody would write who has rows and wants a workbook."""
    book = import_module("openpyxl").Workbook(write_only=True)
    for table in found.tables:
        sheet = book.create_sheet(table.key[:31])
        sheet.append([column.title for column in table.columns])
        for row in table.rows:
            sheet.append([for_programs(cell) for cell in row])
    book.save(path)
