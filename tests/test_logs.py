"""The log: a thing is said once down and once up, and nothing fills the disk with words."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from monitor.daemon import SWEEP_EVERY
from monitor.logs import AGAIN_AFTER, MOST_ALIKE, MOST_KINDS, WITHIN, Bounded, Trouble
from tests.floors import ROOT, PlantFolder, RunningFloor, wait_for

SMALL = 32768  # bytes: enough for what the daemon says, and for SQLite's shared memory


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_trouble_is_said_once_down_and_once_up() -> None:
    clock = Clock()
    with capture_logs() as lines:
        trouble = Trouble("store", clock)
        trouble.works()
        for _ in range(500):
            trouble.failed("the disk is full", asset="filler")
            clock.now += 1
        assert trouble.why == "the disk is full"
        trouble.works()
        trouble.works()
    assert lines == [
        {"event": "store.failed", "why": "the disk is full", "asset": "filler", "log_level": "error"},
        {"event": "store.back", "seconds": 500.0, "times": 500, "log_level": "info"},
    ]
    assert trouble.why is None


def test_trouble_that_comes_and_goes_is_said_once_a_minute() -> None:
    clock = Clock()
    with capture_logs() as lines:
        trouble = Trouble("store", clock)
        for _ in range(int(AGAIN_AFTER * 10)):
            trouble.failed("busy")
            clock.now += 0.5
            trouble.works()
            clock.now += 0.5
    said = [line["event"] for line in lines]
    assert said == ["store.failed", "store.back"] * 10


def passed(bounded: Bounded, **event: Any) -> dict[str, Any] | None:
    try:
        return dict(bounded(None, "info", event))
    except structlog.DropEvent:
        return None


def test_lines_that_are_alike_are_bounded_and_counted() -> None:
    clock = Clock()
    bounded = Bounded(clock)
    said = [passed(bounded, event="bug", asset="filler") for _ in range(1000)]
    assert sum(line is not None for line in said) == MOST_ALIKE
    assert passed(bounded, event="bug", asset="capper") == {"event": "bug", "asset": "capper"}
    clock.now += WITHIN
    assert passed(bounded, event="bug", asset="filler") == {"event": "bug", "asset": "filler", "not_said": 990}


def test_lines_about_different_things_are_all_said_and_take_no_memory_without_end() -> None:
    bounded = Bounded(Clock())
    assert all(passed(bounded, event="alert.deviates", alert=number) for number in range(3 * MOST_KINDS))
    assert len(bounded._kinds) <= MOST_KINDS


@pytest.mark.skipif(sys.platform != "linux", reason="takes prlimit")
def test_a_store_that_fails_under_the_daemon_is_said_once_down_and_once_up(
    plant: PlantFolder, floor: RunningFloor
) -> None:
    """No file may grow: every commit fails, as on a full disk. Reads go on, so that it does not look well meanwhile."""

    def said(event: str) -> list[dict[str, Any]]:
        return [line for line in plant.log() if line["event"] == event]

    plant.commissioned()
    with plant.daemon() as daemon:
        log_file = plant.folder / "asbuilt.db-wal"
        floor.apply("line1/filler", set={"limit": 20.0, "crc": "cafebabe"})
        floor.apply("line2/filler", set={"limit": 20.0, "crc": "cafebabe"})
        wait_for(lambda: log_file.exists() and log_file.stat().st_size > SMALL, "a log that cannot grow any more")
        limit_files(daemon.pid, SMALL)
        for limit in (1.0, 2.0, 3.0):  # each is a new snapshot, and a commit
            floor.apply("line1/filler", set={"limit": limit})
            floor.apply("line2/filler", set={"limit": limit})
            before = floor.plcs["line2/filler"].seen.total
            wait_for(lambda before=before: floor.plcs["line2/filler"].seen.total > before + 6, "polls that go on")  # type: ignore[misc]
        sweeps = time.monotonic() + SWEEP_EVERY + 1  # which write nothing, and must not be taken for a store that works
        wait_for(lambda: time.monotonic() > sweeps, "a sweep")
        assert len(said("store.failed")) == 1
        assert said("store.back") == []
        limit_files(daemon.pid, None)
        wait_for(lambda: said("store.back"), "the store to be back")
        (back,) = said("store.back")
        assert back["times"] >= 3
    assert len(said("store.failed")) == 1


def limit_files(pid: int, size: int | None) -> None:
    """Let no file of a process grow over a size."""
    wanted = f"{size}:unlimited" if size is not None else "unlimited:unlimited"
    subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={wanted}"], check=True)


def test_lines_are_json_for_a_service(tmp_path: Path) -> None:
    code = "from monitor import logs; import structlog; logs.set_up(); structlog.get_logger().info('x', why='y\\nz')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert json.loads(line).items() >= {"event": "x", "why": "y\nz", "level": "info"}.items()
