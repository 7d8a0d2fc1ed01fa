"""The bar of an asset: when it was seen in a time, and when it was not and why, as rectangles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.coverage import Cause
from monitor.covering import Covered
from monitor.store import Gap

WIDTH = 1000  # units of the picture
LEAST = 3  # units of a gap, however short it was
DEVICE, HEARING, WATCH = "silent", "deaf", "unwatched"
LOOKS: dict[str, tuple[str, tuple[Cause, ...]]] = {  # how gaps look: what that means, and their causes
    DEVICE: ("the device does not answer as it should", (Cause.UNREACHABLE, Cause.REFUSED, Cause.MALFORMED)),
    HEARING: (
        "the sensor does not hear, or not all",
        (Cause.DEAF, Cause.NO_REPORT, Cause.NO_FRAMES, Cause.FRAMES_LOST, Cause.GARBAGE),
    ),
    WATCH: ("asbuilt did not look", ()),  # and every other cause
}
LOOK_OF = {cause.value: look for look, (_, causes) in LOOKS.items() for cause in causes}


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of a bar: where it begins, how wide it is, and how it looks."""

    x: float
    width: float
    look: str


def look_of(cause: str) -> str:
    """How a gap with a cause looks."""
    return LOOK_OF.get(cause, WATCH)


def bar(covered: Covered, begin: datetime, end: datetime) -> list[Piece]:
    """The bar of an asset in a time: the time since it was asked first, and its gaps on it. Gaps that look the same and
    lie so close that nobody could tell them apart are one."""
    since = covered.since
    seen = [] if since is None or since >= end else [Piece(*_placed(since, end, begin, end), "seen")]
    return seen + [piece for look in LOOKS for piece in _merged(_of(covered.gaps, look), begin, end, look)]


def _of(gaps: Iterable[Gap], look: str) -> list[Gap]:
    return sorted((gap for gap in gaps if look_of(gap.cause) == look), key=lambda gap: gap.first_at)


def _merged(gaps: Iterable[Gap], begin: datetime, end: datetime, look: str) -> list[Piece]:
    found: list[Piece] = []
    for gap in gaps:
        x, width = _placed(gap.first_at, gap.last_at or end, begin, end)
        x, width = min(x, WIDTH - LEAST), max(width, LEAST)
        if found and x <= found[-1].x + found[-1].width + 1:
            last = found.pop()
            x, width = last.x, max(last.x + last.width, x + width) - last.x
        found.append(Piece(round(x, 1), round(width, 1), look))
    return found


def _placed(start: datetime, finish: datetime, begin: datetime, end: datetime) -> tuple[float, float]:
    """Where a time lies in another: its beginning and its length, in units of the picture."""
    unit = (end - begin) / timedelta(seconds=WIDTH)
    x = max((start - begin).total_seconds() / unit, 0.0)
    return x, max(min((finish - begin).total_seconds() / unit, WIDTH) - x, 0.0)
