"""When each asset is polled: spread evenly, at its own phase, and never in bursts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import LONGEST_PAUSE
from monitor.periods import Every, due
from monitor.schedule import SOON, Clockwork, DueQueue, phase

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


@pytest.mark.parametrize(
    ("settled", "first"),
    [(12.0, 12.0), (320.0, 320.0), (-3.0, None), (0.0, None), (86400.0, None), (None, None)],
)
def test_what_was_settled_before_a_start_holds_unless_it_is_over_or_absurd(
    settled: float | None, first: float | None
) -> None:
    """Overdue after an outage: each at its phase, and never all at once."""
    queue = DueQueue()
    queue.add("line3/filler", EVERY, 1000.0, in_seconds=settled)
    expected = 1000.0 + (phase("line3/filler") * EVERY.total_seconds() if first is None else first)
    assert queue.next_due() == pytest.approx(expected)
    assert queue.due_at("line3/filler") == queue.next_due()


def test_a_chore_that_was_missed_is_made_up_for_once_and_others_wait_for_their_time() -> None:
    now = datetime.now(UTC)

    async def main() -> list[datetime | None]:
        clockwork = Clockwork(run_nothing)
        clockwork.start()
        times = {"verify": time(3, 30), "backup": time(2), "self-test": time(6)}
        missed = {"verify": now - timedelta(days=40), "backup": now - timedelta(hours=1)}
        clockwork.follow(times, "Europe/Berlin", missed, now)
        found = [clockwork.next_at(name) for name in times]
        clockwork.follow({"backup": time(2)}, "Europe/Berlin", {}, now)
        found += [clockwork.next_at("verify"), clockwork.next_at("backup")]
        clockwork.stop()
        return found

    verify, backup, self_test, gone, again = asyncio.run(main())
    assert (verify, backup) == (now + SOON, now + 2 * SOON)
    assert self_test is not None
    assert again is not None
    assert (self_test.hour, again.hour, gone) == (6, 2, None)
    assert again > now + 2 * SOON, "by its time of the day, and not made up for again"


@pytest.mark.parametrize(
    ("every", "is_first"),
    [
        (Every.WEEK, lambda day: day.weekday() == 0),
        (Every.MONTH, lambda day: day.day == 1),
        (Every.QUARTER, lambda day: day.day == 1 and day.month in (1, 4, 7, 10)),
        (Every.YEAR, lambda day: (day.month, day.day) == (1, 1)),
    ],
)
def test_a_chore_of_a_period_is_due_when_the_period_is_over(every: Every, is_first: Callable[[datetime], bool]) -> None:
    now = datetime.now(UTC)

    async def main() -> tuple[datetime | None, datetime | None]:
        clockwork = Clockwork(run_nothing)
        clockwork.start()
        clockwork.follow({"report": time(5)}, "Europe/Berlin", {}, now, {"report": every})
        first = clockwork.next_at("report")
        clockwork.again("report", now + timedelta(minutes=5))
        clockwork.again("unknown", now)
        again = clockwork.next_at("report")
        clockwork.stop()
        return first, again

    first, again = asyncio.run(main())
    assert first == due(every, time(5), now, ZoneInfo("Europe/Berlin"))[1]
    assert again == now + timedelta(minutes=5)
    assert first is not None
    assert is_first(first)
    assert first.hour == 5


async def run_nothing(name: str) -> None: ...


def test_a_chore_is_done_when_its_time_has_come() -> None:
    async def main() -> list[str]:
        done: list[str] = []
        came = asyncio.Event()

        async def do(name: str) -> None:
            done.append(name)
            came.set()

        clockwork = Clockwork(do)
        clockwork.start()
        soon = datetime.now(UTC) + timedelta(seconds=1.2)
        clockwork.follow({"verify": soon.time()}, "UTC", {}, datetime.now(UTC))
        await asyncio.wait_for(came.wait(), 10)
        clockwork.stop()
        return done

    assert asyncio.run(main()) == ["verify"]


def test_who_is_polled_seldom_is_looked_at_soon_once_and_then_at_its_interval() -> None:
    queue = DueQueue()
    queue.add("line3/filler", timedelta(hours=1), 1000.0, within=10.0)
    times = [now for now, _ in run(queue, 1000.0, 9000.0)]
    assert times == pytest.approx([1000 + 10 * phase("line3/filler") + hour * 3600 for hour in range(3)])


def test_what_is_removed_or_given_another_interval_keeps_no_place() -> None:
    queue = queue_of("a", "b", "c")
    queue.remove("a")
    queue.remove("b")
    queue.add("b", timedelta(seconds=7), 0.0)
    polls = run(queue, 0, 300)
    assert {name for _, name in polls} == {"b", "c"}
    assert Counter(name for _, name in polls) == {"b": 43, "c": 10}
