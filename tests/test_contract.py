"""The poll contract, on a real loop: never faster than allowed, whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import LONGEST_PAUSE, Contract, Limits, Pace, Sent, back_off

RATE = 50.0
LATE = 0.005  # seconds: a busy machine notes a time after it has been
REQUESTS = 20


def times_of(ask: Callable[[Contract, Callable[[], None]], Awaitable[None]], contract: Contract) -> list[float]:
    """When requests left, on the loop's clock."""

    async def run() -> list[float]:
        loop, times = asyncio.get_running_loop(), list[float]()
        await ask(contract, lambda: times.append(loop.time()))
        return times

    return asyncio.run(run())


async def time_goes_by(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over


async def one_after_the_other(contract: Contract, left: Callable[[], None]) -> None:
    for _ in range(REQUESTS):
        await contract.turn()
        left()


async def all_at_once(contract: Contract, left: Callable[[], None]) -> None:
    async def one() -> None:
        await contract.turn()
        left()

    await asyncio.gather(*(one() for _ in range(REQUESTS)))


async def with_a_pause_that_is_not_saved_up(contract: Contract, left: Callable[[], None]) -> None:
    await contract.turn()
    left()
    await time_goes_by(10 / RATE)
    await all_at_once(contract, left)


async def with_waits_that_are_cancelled(contract: Contract, left: Callable[[], None]) -> None:
    async def give_up() -> None:
        async with asyncio.timeout(0.2 / RATE):
            await contract.turn()
            left()

    for _ in range(10):
        await asyncio.gather(*(give_up() for _ in range(3)), return_exceptions=True)


@pytest.mark.parametrize(
    "ask",
    [one_after_the_other, all_at_once, with_a_pause_that_is_not_saved_up, with_waits_that_are_cancelled],
    ids=lambda ask: ask.__name__,
)
def test_no_stretch_of_time_holds_more_requests_than_allowed(
    ask: Callable[[Contract, Callable[[], None]], Awaitable[None]],
) -> None:
    contract = Contract(Limits(requests_per_second=RATE))
    times = times_of(ask, contract)
    assert contract.sent == Sent(requests=len(times))
    for first, start in enumerate(times):
        for last, end in enumerate(times[first:]):
            assert last <= (end - start + LATE) * RATE, "a burst"


def test_requests_are_not_slower_than_need_be() -> None:
    times = times_of(all_at_once, Contract(Limits(requests_per_second=RATE)))
    assert len(times) == REQUESTS
    assert times[-1] - times[0] < 3 * REQUESTS / RATE


def test_a_device_that_answers_slowly_rests_as_long_as_it_took() -> None:
    async def slow(contract: Contract, left: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        await contract.turn()
        asked = loop.time()
        await time_goes_by(0.05)
        contract.answered()
        answered = loop.time()
        await contract.turn()
        assert loop.time() - answered >= (answered - asked) - 1e-6
        left()

    assert times_of(slow, Contract(Limits(requests_per_second=1000)))


def test_a_second_unit_can_make_a_device_slower_and_never_faster() -> None:
    contract = Contract(Limits(requests_per_second=10))
    contract.tighten(Limits(requests_per_second=50))
    assert contract.limits.requests_per_second == 10
    contract.tighten(Limits(requests_per_second=2))
    assert contract.limits.requests_per_second == 2


def test_limits_that_are_read_anew_hold_from_then_on_and_the_old_ones_until_then() -> None:
    contract = Contract(Limits(requests_per_second=2))
    contract.loosen()
    assert contract.limits.requests_per_second == 2, "a poll that is under way goes on as it was promised"
    contract.tighten(Limits(requests_per_second=10))
    contract.tighten(Limits(requests_per_second=20))
    assert (contract.limits.requests_per_second, contract.meter.allowed) == (10, 10)


def test_what_was_sent_is_counted_and_can_be_told_apart() -> None:
    contract = Contract(Limits(requests_per_second=RATE))

    async def connect_and_ask() -> Sent:
        await contract.connecting()
        before = contract.sent
        await contract.connecting()
        await contract.turn()
        return before

    before = asyncio.run(connect_and_ask())
    assert (before, contract.sent) == (Sent(1, 0), Sent(2, 1))
    assert contract.sent - before == Sent(1, 1)


def test_the_defaults_are_the_safe_ones() -> None:
    limits = Limits()
    assert (limits.connections, limits.requests_per_second, limits.timeout) == (1, 5, 2)
    assert (limits.registers_per_request, limits.bits_per_request, limits.nodes_per_read) == (125, 2000, 100)
    assert not any([limits.read_gaps, limits.report_server_id, limits.close_after_poll])


@pytest.mark.parametrize(
    ("failures", "every", "expected"),
    [
        (0, 30, 30),
        (1, 30, 30),
        (2, 30, 60),
        (3, 30, 120),
        (4, 30, 240),
        (5, 30, 300),
        (1000, 30, 300),
        (1, 600, 600),
        (9, 600, 600),
    ],
)
def test_failures_back_off_to_five_minutes_or_to_the_interval(failures: int, every: int, expected: int) -> None:
    assert back_off(failures, timedelta(seconds=every), 0) == timedelta(seconds=expected)


@given(st.integers(1, 100), st.timedeltas(timedelta(milliseconds=10), timedelta(days=400)), st.floats(0, 1))
def test_a_pause_grows_and_is_spread_over_a_quarter(failures: int, every: timedelta, jitter: float) -> None:
    pause, shortest = back_off(failures, every, jitter), back_off(failures, every, 0)
    assert every <= shortest <= pause <= shortest * 1.25 + timedelta(microseconds=1)
    assert shortest <= back_off(failures + 1, every, 0) <= max(LONGEST_PAUSE, every)


def test_the_devices_of_a_zone_share_its_pace_and_each_keeps_its_own() -> None:
    async def run() -> dict[int, list[float]]:
        loop, zone = asyncio.get_running_loop(), Pace(2 * RATE)
        contracts = [Contract(Limits(requests_per_second=RATE)) for _ in range(5)]
        left: dict[int, list[float]] = {number: [] for number in range(len(contracts))}

        async def ask(number: int) -> None:
            await contracts[number].turn()
            left[number].append(loop.time())

        for contract in contracts:
            contract.shared = zone
        await asyncio.gather(*(ask(number) for number in range(len(contracts)) for _ in range(6)))
        return left

    left = asyncio.run(run())
    every = sorted(moment for times in left.values() for moment in times)
    assert all(later - earlier >= 1 / (2 * RATE) - LATE for earlier, later in pairwise(every))
    assert every[-1] - every[0] >= 29 / (2 * RATE) - LATE
    for times in left.values():
        assert len(times) == 6, "nobody is left out"
        assert all(later - earlier >= 1 / RATE - LATE for earlier, later in pairwise(times))
