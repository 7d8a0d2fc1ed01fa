"""Coverage as people and programs see it: shares, gaps from when until when, and what is blind now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from baselines.drift import Verdict
from baselines.snapshot import Snapshot
from monitor import store
from monitor.board import inventory
from monitor.covering import Covered, coverage
from monitor.store import Gap, Run, SelfTest
from tests.floors import PlantFolder, RunningFloor
from tests.test_health import Bench, bench_in

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = bench_in(tmp_path)
    yield made
    made.database.close()


def seen(bench: Bench, name: str, first: datetime, last: datetime) -> None:
    with bench.database.write() as tx:
        snapshot = Snapshot.of(name, first, [], [])
        store.keep_snapshot(tx, snapshot)
        store.add_run(tx, Run(0, name, snapshot.digest, "", None, None, first, last, 9, 30.0))


def gap(bench: Bench, name: str, first: datetime, last: datetime | None, cause: str = "unreachable") -> None:
    with bench.database.write() as tx:
        store.add_gap(tx, Gap(name, "poll", cause, "why", first, last))


def covered(bench: Bench, since: datetime, until: datetime = NOON) -> dict[str, Covered]:
    with bench.database.read() as tx:
        found = coverage(tx, bench.plant, ["filler", "capper", "line3"], since, until, NOON)
    return {each.asset: each for each in found}


def test_the_share_is_of_the_time_since_it_was_asked_first(bench: Bench) -> None:
    seen(bench, "filler", NOON - 4 * HOUR, NOON)
    gap(bench, "filler", NOON - 2 * HOUR, NOON - HOUR)
    seen(bench, "capper", NOON - 40 * HOUR, NOON)
    gap(bench, "capper", NOON - HOUR, None)
    found = covered(bench, NOON - 10 * HOUR)
    assert found["filler"].since == NOON - 4 * HOUR
    assert found["filler"].share == pytest.approx(0.75)
    assert found["capper"].since == NOON - 10 * HOUR
    assert found["capper"].share == pytest.approx(0.9)
    assert [each.asset for each in found.values() if each.is_blind] == ["capper"]
    assert (found["line3"].since, found["line3"].share) == (None, None)


def test_gaps_outside_of_the_time_do_not_count(bench: Bench) -> None:
    seen(bench, "filler", NOON - 9 * HOUR, NOON)
    gap(bench, "filler", NOON - 8 * HOUR, NOON - 7 * HOUR)
    gap(bench, "filler", NOON - HOUR, None)
    found = covered(bench, NOON - 6 * HOUR, NOON - 2 * HOUR)["filler"]
    assert (found.share, found.gaps) == (1.0, ())


def test_where_nobody_runs_the_time_since_the_last_look_is_a_gap_that_lasts(bench: Bench) -> None:
    seen(bench, "filler", NOON - 4 * HOUR, NOON - HOUR)
    found = covered(bench, NOON - 4 * HOUR)["filler"]
    assert [(each.cause, each.first_at, each.last_at) for each in found.gaps] == [("not-running", NOON - HOUR, None)]
    assert found.share == pytest.approx(0.75)
    seen(bench, "capper", NOON - 4 * HOUR, NOON - timedelta(minutes=2))
    assert covered(bench, NOON - 4 * HOUR)["capper"].gaps == (), "it is not stale yet"


def test_what_concerns_the_monitor_itself_is_in_a_row_of_its_own(bench: Bench) -> None:
    assert "asbuilt" not in covered(bench, NOON - HOUR)
    gap(bench, "asbuilt", NOON - HOUR / 2, NOON, "disk")
    found = covered(bench, NOON - HOUR)["asbuilt"]
    assert (found.share, [each.cause for each in found.gaps]) == (None, ["disk"])


def test_a_verdict_goes_stale_to_the_second_whether_anybody_looks_or_not(bench: Bench) -> None:
    seen(bench, "filler", NOON - HOUR, NOON)
    for late, expected in ((149, Verdict.NO_BASELINE), (150, Verdict.STALE)):  # three intervals and a minute
        with bench.database.read() as tx:
            documents = inventory(tx, bench.plant, NOON + timedelta(seconds=late))
        assert next(each["verdict"] for each in documents if each["asset"] == "filler") == expected


def test_gaps_go_with_an_asset_that_is_absorbed_and_self_tests_come_back_as_they_were(bench: Bench) -> None:
    gap(bench, "capper", NOON - HOUR, None)
    test = SelfTest(NOON, False, {"read": 0.04}, "the change was not found")
    with bench.database.write() as tx:
        store.absorb_asset(tx, "capper", "filler")
        (moved,) = store.open_gaps(tx)
        assert replace(moved, id=0) == Gap("filler", "poll", "unreachable", "why", NOON - HOUR)
        store.add_self_test(tx, test)
        assert store.last_self_test(tx) == test
        assert store.last_self_test(tx, passed=True) is None


def test_the_command_names_what_is_blind_and_its_json_is_documented(plant: PlantFolder, floor: RunningFloor) -> None:
    assert "never asked: line1/filler, line2/filler" in plant.asbuilt("coverage").out
    plant.asbuilt("poll")
    assert plant.asbuilt("coverage", "line1/*").out.startswith("nothing is blind now")
    document = plant.asbuilt("coverage", "--json").json
    assert set(document) == {"from", "until", "blind_now", "assets"}
    assert [set(each) for each in document["assets"]] == [
        {"asset", "watched_since", "share", "longest_gap", "gaps"},
    ] * 2
    wrong = plant.asbuilt("coverage", "--from", "+2h")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert plant.asbuilt("coverage", "nobody").code == 2
