"""Clocks of the standards: told before they run out, over when the thing is done, and told once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from baselines.alert import AlertState
from monitor import store
from monitor.clocks import look_at_clocks
from monitor.ordering import close_order, open_order
from monitor.pipeline import take
from monitor.store import Database
from tests.test_pipeline import KIM, NOW, commission, polled, snapshot

DAY = timedelta(days=1)


def open_alarms(database: Database) -> dict[str, tuple[str, object]]:
    with database.read() as tx:
        return {alert.item: (alert.state.value, alert.observed) for alert in store.alerts(tx)}


def look(database: Database, days: float) -> int:
    with database.write() as tx:
        return len(look_at_clocks(tx, ["plc"], NOW + days * DAY))


def test_what_was_not_compared_for_long_is_told_a_week_before_35_days_and_once(database: Database) -> None:
    commission(database, snapshot(a=1))
    assert look(database, 27.9) == 0
    assert look(database, 28.1) == 1
    assert look(database, 34) == look(database, 50) == 0
    ((state, why),) = open_alarms(database).values()
    assert state == AlertState.UNACK
    assert "CIP-010-4 R2.1 allows until" in str(why)
    with database.write() as tx:
        take(tx, polled(snapshot(a=1)), NOW + 51 * DAY)
    assert look(database, 51) == 1
    assert open_alarms(database)["watch.compared"][0] == AlertState.RTN_UNACK


def test_a_change_that_was_done_waits_for_its_approval_no_longer_than_30_days(database: Database) -> None:
    commission(database, snapshot(a=1))
    with database.write() as tx:
        order = open_order(tx, ["plc"], ["item.a=2"], NOW, NOW + DAY, "T-1", "", KIM, NOW)
        take(tx, polled(snapshot(a=2)), NOW + timedelta(hours=1))
        assert close_order(tx, order.id, KIM, NOW + timedelta(hours=2)).order.as_planned
    assert look(database, 23) == 0
    assert look(database, 23.2) == 1
    assert "CIP-010-4 R1.3" in str(open_alarms(database)["watch.updated"][1])


@pytest.mark.parametrize("days", [0, 400])
def test_what_has_no_baseline_has_no_clock(database: Database, days: int) -> None:
    with database.write() as tx:
        take(tx, polled(snapshot(a=1)), NOW)
    assert look(database, days) == 0
