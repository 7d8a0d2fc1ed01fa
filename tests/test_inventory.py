"""Where an asset stands by what the store holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from baselines.drift import Verdict
from baselines.snapshot import Item, Snapshot
from monitor.inventory import standing
from monitor.store import Run

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EVERY = timedelta(seconds=30)


def snapshot(value: int) -> Snapshot:
    return Snapshot.of("plc", NOW, [Item("item.a", value)])


def run(age: timedelta = timedelta(), outage: bool = False) -> Run:
    digest, cause = (None, "unreachable") if outage else (snapshot(1).digest, None)
    return Run(1, "plc", digest, "", cause, cause, NOW - age, NOW - age, 1, 0.0)


LAGGING, OLD = timedelta(seconds=149), timedelta(seconds=151)  # three intervals, and the minute that the disk may lag


@pytest.mark.parametrize(
    ("baseline", "observed", "last", "expected"),
    [
        (None, None, None, Verdict.NEVER_SEEN),
        (1, None, None, Verdict.NEVER_SEEN),
        (1, None, run(outage=True), Verdict.NEVER_SEEN),
        (None, 1, run(), Verdict.NO_BASELINE),
        (1, 1, run(), Verdict.MATCH),
        (1, 1, run(LAGGING), Verdict.MATCH),
        (1, 1, run(OLD), Verdict.STALE),
        (None, 1, run(OLD), Verdict.STALE),
        (1, 1, run(outage=True), Verdict.NO_LONGER_OBSERVABLE),
        (1, 2, run(), Verdict.DRIFT),
        (1, 2, run(outage=True), Verdict.DRIFT),
        (1, 2, run(OLD), Verdict.DRIFT),
        (1, 1, run(OLD, outage=True), Verdict.NO_LONGER_OBSERVABLE),
    ],
)
def test_standing(baseline: int | None, observed: int | None, last: Run | None, expected: Verdict) -> None:
    approved, seen = (None if value is None else snapshot(value) for value in (baseline, observed))
    assert standing(approved, seen, last, NOW, EVERY) is expected
