"""What blindness is, by what facts: pure, second by second."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from baselines.coverage import (
    LIMITS,
    WHAT,
    Cause,
    Hearing,
    Looks,
    Passed,
    Span,
    short_of_disk,
    unseen_seconds,
)
from tests.spoken import PLC, READ, SCADA, Listener

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def first(hearing: Hearing, reports: Iterable[Passed], until: int) -> tuple[int, Cause] | None:
    """The first tick, of one every 5 s, that finds a segment blind, and why."""
    waiting = sorted(reports, key=lambda each: each.at)
    for now in range(0, until, int(LIMITS.tick)):
        while waiting and waiting[0].at <= now:
            hearing.report(waiting.pop(0))
        if found := hearing.blind(now):
            return now, found[0].cause
    return None


def busy(until: int, every: int, rate: int = 50, lost_from: int = 10**9, lost: int = 0) -> list[Passed]:
    """Reports of a busy segment; from a second on it loses so many frames a second."""
    return [
        Passed(at, rate * at, max(0, at - lost_from) * lost, decoded=rate * at) for at in range(every, until + 1, every)
    ]


# ---- Polls


@pytest.mark.parametrize(("every", "latest"), [(1, 31), (10, 40), (30, 60), (60, 90)])
def test_who_does_not_answer_is_blind_within_its_interval_and_half_a_minute(every: float, latest: int) -> None:
    looks = Looks(every, 0.0, NOON, error=("unreachable", "no answer"))
    found = [now for now in range(0, 200, 5) if looks.blind(now, LIMITS)]
    assert every + 25 < found[0] <= latest
    assert looks.blind(found[0], LIMITS) == looks.blind(found[-1], LIMITS), "what it says stays the same"


def test_nobody_who_looks_is_blindness_as_well_and_a_long_poll_is_none() -> None:
    assert Looks(30, 0.0).blind(56, LIMITS).cause is Cause.NOT_POLLED  # type: ignore[union-attr]
    assert Looks(30, 0.0, took=40).blind(90, LIMITS) is None


def test_behind_a_slow_gateway_an_asset_waits_for_its_turn_and_that_is_no_blindness() -> None:
    looks, blind = Looks(30, 0.0), []
    for now in range(5, 1000, 5):
        if now % 100 == 0:
            looks.see(now, NOON, 5.0)
        blind += [now] if looks.blind(now, LIMITS) else []
    assert max(blind) < 200, "but for the first round, when nobody knows yet"
    looks.error = ("unreachable", "no answer")
    looks.see(1500, NOON, 5.0)
    assert looks.longest(LIMITS) == 130, "an outage is not how long it usually takes"


# ---- Segments


@pytest.mark.parametrize("every", [5, 15, 30])
@pytest.mark.parametrize("dies", range(60, 91, 7))
def test_a_dead_mirror_port_is_found_within_a_minute(every: int, dies: int) -> None:
    reports = [
        Passed(at, 50 * min(at, dies), idle=max(0, at - dies), decoded=50 * min(at, dies))
        for at in range(every, 300, every)
    ]
    found = first(Hearing(0, LIMITS), reports, 300)
    assert found is not None
    assert found[1] is Cause.NO_FRAMES
    assert dies + 30 < found[0] <= dies + 60


def test_a_segment_on_which_little_is_said_may_be_quiet() -> None:
    reports = [Passed(at, at // 40, idle=at % 40) for at in range(30, 900, 30)]
    assert first(Hearing(0, LIMITS), reports, 900) is None


def test_nothing_from_the_start_is_blindness_only_where_something_was_heard_before() -> None:
    silence = [Passed(at) for at in range(0, 200, 30)]
    assert first(Hearing(0, LIMITS), silence, 200) is None
    assert first(Hearing(0, LIMITS, lively=True), silence, 200) == (45, Cause.NO_FRAMES)


@pytest.mark.parametrize("every", [5, 15, 30])
@pytest.mark.parametrize("begins", range(60, 91, 7))
def test_ten_percent_of_the_frames_lost_are_found_within_a_minute(every: int, begins: int) -> None:
    found = first(Hearing(0, LIMITS), busy(400, every, rate=45, lost_from=begins, lost=5), 400)
    assert found is not None
    assert found[1] is Cause.FRAMES_LOST
    assert found[0] <= begins + 60


def test_two_percent_lost_are_none_and_little_is_not_judged() -> None:
    assert first(Hearing(0, LIMITS), busy(400, 30, rate=98, lost_from=0, lost=2), 400) is None
    assert first(Hearing(0, LIMITS), [Passed(30, 60, 30)], 60) is None


def test_loss_about_the_limit_does_not_flap_and_ends_after_a_calm_minute() -> None:
    hearing, lost, states = Hearing(0, LIMITS), 0, []
    for turn in range(1, 40):
        lost += (6, 3)[turn % 2] if turn < 20 else 0
        hearing.report(Passed(30 * turn, 100 * turn, lost))
        states.append(hearing.loss.since is not None)
    changes = [turn for turn, (one, other) in enumerate(pairwise(states)) if one != other]
    assert len(changes) == 2, states
    assert changes[1] >= 19 + LIMITS.calm // 30 - 1


@pytest.mark.parametrize("begins", range(60, 91, 7))
def test_a_decoder_that_sees_garbage_is_found_within_a_minute(begins: int) -> None:
    reports = [Passed(at, 50 * at, decoded=at, malformed=max(0, at - begins)) for at in range(30, 400, 30)]
    found = first(Hearing(0, LIMITS), reports, 400)
    assert found is not None
    assert found[1] is Cause.GARBAGE
    assert found[0] <= begins + 60


def test_what_the_real_decoder_makes_of_noise_is_garbage() -> None:
    def counted(frames: list[bytes], at: float) -> Passed:
        counts = listening.hear(frames).counts
        read = counts.decoded, sum(counts.malformed.values()), counts.skipped
        return Passed(at, counts.packets, counts.kernel_dropped, counts.unreadable, *read)

    noise = random.Random(5)
    listening, hearing = Listener(10**18), Hearing(0, LIMITS)
    hearing.report(counted(SCADA.says(PLC, *[READ] * 60), 30))
    assert hearing.blind(30) == []
    hearing.report(counted(SCADA.says(PLC, *[(noise.randbytes(40), noise.randbytes(40))] * 60), 60))
    assert [found.cause for found in hearing.blind(60)] == [Cause.GARBAGE]


def test_frames_that_cannot_be_read_are_garbage_too_and_a_few_of_them_are_not() -> None:
    assert first(Hearing(0, LIMITS), [Passed(30, 200, unreadable=190)], 60) == (30, Cause.GARBAGE)
    assert first(Hearing(0, LIMITS), [Passed(30, 200, unreadable=10, decoded=100, malformed=40)], 60) is None


def test_a_sensor_that_ends_for_a_moment_is_no_alarm_and_one_that_stays_away_is() -> None:
    hearing = Hearing(0, LIMITS)
    hearing.report(Passed(100, 5000))
    hearing.fall_deaf(125, "the sensor ended (-9)")
    assert hearing.blind(130) == []
    hearing.report(Passed(131, 10))
    assert hearing.blind(150) == []
    hearing.fall_deaf(160, "eth9 is gone")
    hearing.fall_deaf(170, "there is no interface eth9")
    (found,) = hearing.blind(180)
    assert (found.cause, found.text, found.since) == (Cause.DEAF, "eth9 is gone", 131)


def test_a_sensor_that_hangs_is_found_before_it_is_killed() -> None:
    assert first(Hearing(0, LIMITS), busy(60, 30), 200) == (100, Cause.NO_REPORT)


def test_counts_that_begin_anew_are_no_loss() -> None:
    hearing = Hearing(0, LIMITS)
    hearing.report(Passed(30, 1000, 100))
    hearing.report(Passed(60, 1000, 100))
    hearing.loss.since = None
    hearing.report(Passed(65, 200, 0))
    assert hearing.loss.since is None


# ---- The rest


def test_a_disk_is_short_by_bytes_or_by_share_and_well_again_only_with_some_room() -> None:
    giga = 10**9
    cases = [
        (150_000_000, 10 * giga, False, True),
        (300_000_000, 10 * giga, False, False),
        (210_000_000, 10 * giga, True, True),
        (3 * giga, 200 * giga, False, True),
        (30 * giga, 4000 * giga, False, False),
    ]
    assert [short_of_disk(free, total, before, LIMITS) for free, total, before, _ in cases] == [
        expected for *_, expected in cases
    ]


def test_seconds_in_which_two_gaps_last_count_once() -> None:
    def at(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds)

    gaps = [
        Span(at(10), at(20)),
        Span(at(15), at(30)),
        Span(at(-50), at(2)),
        Span(at(95), at(500)),
        Span(at(16), at(17)),
    ]
    assert unseen_seconds(gaps, at(0), at(100)) == 2 + 20 + 5
    assert unseen_seconds([], at(0), at(100)) == 0


def test_every_cause_says_what_it_blinds() -> None:
    assert set(WHAT) == set(Cause)
