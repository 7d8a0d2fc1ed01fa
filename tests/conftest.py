"""Fixtures that several modules share."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import database, postgresql, postgresql_schema, sqlite_schema, url  # noqa: F401 (fixtures)
from tests.floors import TWO, PlantFolder, RunningFloor, running
from tests.measured import times
from tests.sites import browser, chromium  # noqa: F401 (fixtures)
from tests.wires import crossing, wire  # noqa: F401 (fixtures)

settings.register_profile("asbuilt", deadline=None, max_examples=times(25, 100))  # it takes what the machine takes
settings.load_profile("asbuilt")


def pytest_xdist_auto_num_workers() -> int:
    """One more than two cores would take: many tests wait for something that takes its time."""
    return max(3, os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is made while tests are found stays to the end: nobody looks through it for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def floor() -> Iterator[RunningFloor]:
    """Two fillers on loopback."""
    with running(TWO) as running_floor:
        yield running_floor


@pytest.fixture
def plant(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    """A plant.toml that names the two fillers."""
    return PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()})
