"""When each asset is polled: spread evenly, at its own phase, and never in bursts."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import LONGEST_PAUSE
from monitor.schedule import DueQueue, phase

EVERY = timedelta(seconds=30)
ASSETS = [f"line{number // 20}/plc{number}" for number in range(1000)]


def queue_of(*names: str, every: timedelta = EVERY, now: float = 0.0) -> DueQueue:
    queue = DueQueue()
    for name in names:
        queue.add(name, every, now)
    return queue


def run(queue: DueQueue, start: float, end: float) -> list[tuple[float, str]]:
    """Every poll until a time, each of which succeeds at once."""
    polls = []
    while (due := queue.next_due()) is not None and due <= end:
        now = max(due, start)
        for name in queue.take_due(now):
            polls.append((now, name))
            queue.polled(name, True, now, 0.0)
    return polls


def test_phases_are_spread_evenly() -> None:
    tenths = Counter(int(10 * phase(name)) for name in ASSETS)
    assert set(tenths) == set(range(10))
    assert all(60 <= held <= 140 for held in tenths.values())


def test_a_phase_is_the_same_after_every_start() -> None:
    assert phase("line3/filler") == pytest.approx(0.461521, abs=1e-6)
    assert 0 <= min(map(phase, ASSETS)) <= max(map(phase, ASSETS)) < 1


def test_no_second_holds_many_more_polls_than_another() -> None:
    polls = run(queue_of(*ASSETS), 0, 300)
    seconds = Counter(int(now) for now, _ in polls if now < 300)
    assert len(seconds) == 300
    assert max(seconds.values()) <= 3 * len(ASSETS) / EVERY.total_seconds()


@given(st.sampled_from(ASSETS), st.timedeltas(timedelta(milliseconds=100), timedelta(hours=1)), st.floats(0, 1e6))
def test_an_asset_is_polled_first_within_one_interval_and_then_keeps_its_phase(
    name: str, every: timedelta, start: float
) -> None:
    times = [now for now, _ in run(queue_of(name, every=every, now=start), start, start + 5 * every.total_seconds())]
    assert start <= times[0] <= start + every.total_seconds()
    assert len(times) in (5, 6)
    for number, now in enumerate(times):
        assert now == pytest.approx(times[0] + number * every.total_seconds())


@given(st.lists(st.floats(0, 0.9), min_size=1, max_size=20))
def test_a_poll_that_takes_its_time_does_not_move_the_phase(durations: list[float]) -> None:
    queue = queue_of("plc")
    first = now = queue.next_due() or 0.0
    for number, part in enumerate(durations, 1):
        assert queue.take_due(now) == ["plc"]
        assert queue.polled("plc", True, now + part * EVERY.total_seconds(), 0.0) >= 0
        now = queue.next_due() or 0.0
        assert now == pytest.approx(first + number * EVERY.total_seconds())


def test_an_asset_is_out_of_the_queue_while_it_is_polled() -> None:
    queue = queue_of("plc")
    assert queue.take_due(EVERY.total_seconds()) == ["plc"]
    assert queue.take_due(1e9) == []
    assert queue.next_due() is None


@pytest.mark.parametrize("slept", [31, 3600, 86400 * 7])
def test_after_a_long_sleep_each_asset_is_polled_once_and_then_at_its_phase(slept: float) -> None:
    queue = queue_of(*ASSETS)
    before = {name: now for now, name in run(queue, 0, EVERY.total_seconds())}
    woken = EVERY.total_seconds() + slept
    due = queue.take_due(woken)
    assert len(due) == len(set(due))
    for name in due:
        assert queue.polled(name, True, woken, 0.0) > 0
    polls = run(queue, woken, woken + EVERY.total_seconds() - 1e-6)
    assert len(polls) == len({name for _, name in polls}) == len(ASSETS)
    for now, name in polls:
        turns = (now - before[name]) / EVERY.total_seconds()
        assert turns == pytest.approx(round(turns))


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_an_asset_that_fails_rests_longer_and_longer_to_a_limit(jitter: float) -> None:
    queue, now, rests = queue_of("plc"), 0.0, list[float]()
    for _ in range(8):
        now = queue.next_due() or 0.0
        assert queue.take_due(now) == ["plc"]
        rests.append(queue.polled("plc", False, now, jitter))
    most = LONGEST_PAUSE.total_seconds()
    doubled = [min(30 * 2**n, most) * (1 + jitter / 4) for n in range(1, 8)]
    assert rests == pytest.approx([10 * (1 + jitter), *doubled])


def test_a_second_look_is_never_sooner_than_the_interval() -> None:
    queue = queue_of("plc", every=timedelta(seconds=2))
    now = queue.next_due() or 0.0
    queue.take_due(now)
    assert queue.polled("plc", False, now, 0.0) == pytest.approx(2)


def test_a_success_ends_the_back_off() -> None:
    queue, rests = queue_of("plc"), list[float]()
    for succeeded in (False, False, False, True, False):
        now = queue.next_due() or 0.0
        queue.take_due(now)
        rests.append(queue.polled("plc", succeeded, now, 0.0))
    assert rests == pytest.approx([10, 60, 120, 30, 10])


def test_after_an_outage_of_all_the_returns_are_spread() -> None:
    queue, down = queue_of(*ASSETS), 1000.0
    for name in queue.take_due(down):
        queue.polled(name, False, down, phase(name + "!"))
    returns = [queue.next_due() or 0.0]
    while (due := queue.next_due()) is not None:
        returns += [due] * len(queue.take_due(due))
    assert max(returns) - min(returns) > EVERY.total_seconds() / 5


def test_what_was_removed_is_due_no_more_also_while_it_is_polled() -> None:
    queue = queue_of("one", "other")
    queue.remove("one")
    assert {name for _, name in run(queue, 0, 300)} == {"other"}
    queue.take_due(queue.next_due() or 0.0)
    queue.remove("other")
    queue.remove("other")
    assert queue.next_due() is None
