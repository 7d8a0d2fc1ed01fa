"""What the sensor tells and when, from a capture that a test makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from collectors.passive.live import CaptureLost, Statistics
from collectors.passive.report import Report
from collectors.passive.sensor import listen
from collectors.passive.source import Batch
from tests.frames import batch
from tests.spoken import CYCLE, PLC, RESTART, ROGUE, SCADA, WRITE, identity


class Capture:
    """Frames in turns, and an end: told to stop after the last, or the interface goes down."""

    link = 1
    descriptors: frozenset[int] = frozenset()

    def __init__(self, *turns: Sequence[bytes], lost: bool = False, dropped: int = 0) -> None:
        self._turns, self._lost, self._dropped = turns, lost, dropped
        self.over = False

    def batches(self, timeout: float = 0.1) -> Iterator[Batch | None]:
        for number, frames in enumerate(self._turns, 1):
            self.over = number == len(self._turns) and not self._lost
            yield batch(frames) if frames else None
        raise CaptureLost("eth9 went down")

    def statistics(self) -> Statistics:
        return Statistics(0, self._dropped, 0)

    def close(self) -> None: ...


def told(capture: Capture) -> list[Report]:
    reports: list[Report] = []
    listen(capture, reports.append, lambda: capture.over, ("a note",))
    return reports


def hosts(report: Report) -> set[str | None]:
    assert report.heard is not None
    return {host.mac for host in report.heard.hosts}


def test_that_it_listens_is_told_first_and_what_is_new_at_once() -> None:
    first, second, *rest, last = told(Capture([], CYCLE, CYCLE, ROGUE.says(PLC, WRITE), []))
    assert (first.notes, hosts(first)) == (("a note",), set())
    assert hosts(second) == {SCADA.mac, PLC.mac}
    assert rest == [], "what is new a moment later waits"
    assert hosts(last) == {SCADA.mac, PLC.mac, ROGUE.mac}
    assert [each.event.operation for each in last.happened] == ["write"]


def test_what_was_not_yet_told_is_told_when_the_capture_is_lost() -> None:
    reports: list[Report] = []
    capture = Capture(CYCLE, ROGUE.says(PLC, RESTART, RESTART), lost=True)
    with pytest.raises(CaptureLost):
        listen(capture, reports.append, lambda: False)
    assert [(each.event.operation, each.times) for each in reports[-1].happened] == [("restart", 2)]


def test_a_message_whose_rest_never_came_does_not_stop_the_end() -> None:
    cut = SCADA.says(PLC, (identity(model="P-9")[0][:5], b""))
    assert hosts(told(Capture(cut))[-1]) == {SCADA.mac, PLC.mac}


def test_lost_frames_are_in_the_report() -> None:
    last = told(Capture(CYCLE, dropped=7))[-1]
    assert last.heard is not None
    assert last.heard.counts.kernel_dropped == 7
