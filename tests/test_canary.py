"""The self-test: a canary that drifts, and the whole way to the message. Processes, sockets and store are real."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from baselines.alert import Alert, AlertState
from baselines.drift import Kind
from baselines.snapshot import Severity
from monitor import store
from monitor.canary import UNTESTED, Told, self_test
from monitor.config import ITSELF
from monitor.polling import utc_now
from monitor.store import Database, SelfTest, store_url
from monitor.writer import Writer
from tests.evidences import stored_flaw
from tests.floors import PlantFolder, RunningFloor, wait_for


@pytest.fixture
def home(tmp_path: Path) -> Database:
    database = Database(store_url("sqlite:///asbuilt.db", tmp_path))
    database.migrate()
    return database


def outcome(database: Database, told: Told | None = None) -> SelfTest:
    writer = Writer(database)
    try:
        return asyncio.run(self_test(writer.write, utc_now, told=told))
    finally:
        writer.stop()


def alarms(database: Database) -> list[Alert]:
    with database.read() as tx:
        return store.alerts(tx, closed=True)


def test_the_whole_way_is_timed_and_leaves_nothing_to_be_acknowledged(home: Database) -> None:
    told: list[int] = []

    async def tell(alert: int) -> float:
        told.append(alert)
        with home.read() as tx:
            (found,) = store.alerts(tx, ids=[alert])
        assert found.state is AlertState.RTN_UNACK, "it is committed, and over, when it is told"
        return 0.25

    for test in (outcome(home, tell), outcome(home, tell)):
        assert test.ok, test.text
        assert list(test.legs) == ["read", "compared", "committed", "sent"]
        assert sorted(test.legs.values()) == list(test.legs.values())
        assert test.legs["sent"] == pytest.approx(test.legs["committed"] + 0.25)
    kept = alarms(home)
    assert [alert.id for alert in kept] == told
    assert {(alert.asset, alert.kind, alert.severity, alert.state) for alert in kept} == {
        (ITSELF, Kind.SELFTEST, Severity.LOW, AlertState.NORMAL)
    }
    with home.read() as tx:
        kept_test, flaw = store.last_self_test(tx), stored_flaw(tx)
    assert kept_test is not None
    assert (kept_test.ok, list(kept_test.legs)) == (True, ["read", "compared", "committed", "sent"])
    assert flaw is None, "what it does to its own alarm is on record"
    home.close()


async def nobody(alert: int) -> None:
    """No route is made for self-tests."""


@pytest.mark.parametrize("told", [None, nobody])
def test_a_leg_that_was_not_tested_is_never_claimed(home: Database, told: Told | None) -> None:
    test = outcome(home, told)
    assert test.ok
    assert test.text == UNTESTED
    assert "sent" not in test.legs
    home.close()


def test_a_message_that_never_arrives_fails_the_test_and_is_put_away(home: Database) -> None:
    async def never(alert: int) -> None:
        raise TimeoutError

    test = outcome(home, never)
    assert not test.ok
    assert test.text.endswith("no further than committed")
    assert [alert.state for alert in alarms(home)] == [AlertState.NORMAL]
    home.close()


def test_a_store_that_refuses_fails_the_test(home: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "asbuilt.db")
    other.execute("DROP TABLE alert_move")
    other.close()
    test = outcome(home)
    assert not test.ok
    assert "the store" in test.text
    assert list(test.legs) == ["read", "compared"]
    home.close()


def test_the_command_tests_by_itself_or_asks_the_daemon(plant: PlantFolder, floor: RunningFloor) -> None:
    done = plant.asbuilt("self-test", "--json")
    assert (done.code, done.json["ok"], done.json["text"]) == (0, True, UNTESTED)
    with plant.daemon():
        assert plant.asbuilt("self-test").out.startswith("passed")
        wait_for(lambda: any(line["event"] == "self-test.passed" for line in plant.log()), "the daemon's word")
    assert [plc.seen.connections for plc in floor.plcs.values()] == [1, 1]
