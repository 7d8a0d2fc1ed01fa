"""What a service manager is told, by the words alone and by the real daemon."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from monitor.sd import Manager
from monitor.vitals import LATEST_POLL, LONGEST_BEAT, LONGEST_LOOK, LONGEST_WRITE, Vitals
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.managers import service_manager

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


def test_each_word_at_a_path_and_in_the_abstract_namespace(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "notify")):
        with service_manager(path=path) as systemd:
            manager = Manager(systemd.environment)
            before = time.monotonic_ns() // 1000
            manager.reloading()
            assert int(systemd.wait_for("MONOTONIC_USEC=").partition("=")[2]) >= before
            assert systemd.heard == [["RELOADING=1", systemd.heard[0][1]]]
            manager.ready("2 assets")
            manager.status("one\nline = READY=1")
            manager.alive()
            manager.stopping()
            systemd.wait_for("STOPPING")
        assert systemd.heard[1:] == [
            ["READY=1", "STATUS=2 assets"],
            ["STATUS=one line = READY=1"],
            ["WATCHDOG=1"],
            ["STOPPING=1"],
        ]


def test_without_a_manager_nothing_is_said_and_nothing_fails() -> None:
    for environment in (
        {},
        {"NOTIFY_SOCKET": "/nowhere/notify"},
        {"NOTIFY_SOCKET": "@nobody"},
        {"NOTIFY_SOCKET": "x" * 500},
    ):
        Manager(environment).ready("fine")


@pytest.mark.parametrize(
    ("environment", "every"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_how_often_a_sign_of_life_is_wanted(environment: dict[str, str], every: float | None) -> None:
    assert Manager(environment).watchdog_every == every


def test_what_hangs_and_what_is_not_ready() -> None:
    now = 1000.0
    vitals = Vitals(lambda: now)
    assert vitals.hangs() == ["the loop has not begun"]
    vitals.beat(0.0, 0.0)
    assert vitals.hangs() == []
    assert vitals.lacks() == [
        "the store is not led by this process",
        "the first look at the store was not made yet",
    ]
    vitals.leads, vitals.looked_at = True, now
    assert vitals.lacks() == []
    vitals.writing()
    now += LONGEST_WRITE + 1
    vitals.beat(0.0, LATEST_POLL + 1)
    assert [each.split()[:2] for each in vitals.hangs()] == [["the", "writer"], ["polls", "are"]]
    vitals.written()
    vitals.beat(0.0, 0.0)
    assert vitals.hangs() == []
    vitals.looked_at = now
    now += max(LONGEST_BEAT, LONGEST_LOOK) + 1
    assert [each.split()[1] for each in vitals.lacks()] == ["loop", "store"]
    vitals.beat(0.0, 0.0)
    vitals.looked_at, vitals.store_trouble = now, "the disk is full"
    assert (vitals.hangs(), vitals.lacks()) == ([], ["the disk is full"])


def test_the_daemon_says_that_it_is_ready_how_it_is_and_that_it_ends(plant: PlantFolder, floor: RunningFloor) -> None:
    with service_manager(watchdog=0.4) as systemd:
        plant.more = systemd.environment
        with plant.daemon() as daemon:
            systemd.wait_for("READY=1")
            assert ["WATCHDOG=1"] in systemd.heard, "the loop turned before"
            systemd.wait_for("STATUS=2 assets, 0 blind, 0 alarms")
            systemd.wait_for("WATCHDOG=1")
            daemon.send_signal(signal.SIGSTOP)  # a loop that turns no more
            systemd.forget()
            assert systemd.is_silent(1.0)
            daemon.send_signal(signal.SIGCONT)
            systemd.wait_for("WATCHDOG=1")
            daemon.terminate()
            systemd.wait_for("STOPPING=1")
            assert daemon.wait(10) == 0


def test_a_store_that_others_hold_is_no_reason_to_be_restarted_but_to_be_not_ready(plant: PlantFolder) -> None:
    """A restart would not free it. What is not ready says so at /readyz; the watchdog is fed."""
    assert plant.asbuilt("assets").code in (0, 3)
    with service_manager(watchdog=0.4) as systemd, sqlite3.connect(plant.folder / "asbuilt.db") as held:
        plant.more = systemd.environment
        with plant.daemon():
            systemd.wait_for("READY=1")
            held.execute("BEGIN IMMEDIATE")
            systemd.wait_for("WATCHDOG=1")
            systemd.forget()
            systemd.wait_for("WATCHDOG=1")
            held.rollback()
            wait_for(lambda: plant.asbuilt("check").code == 3, "the store to be free")
