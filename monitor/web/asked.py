"""What a request asks for, read the same way by pages and the API; and what should be known beside its answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from monitor.config import Plant
from monitor.errors import CallError
from monitor.moments import moment

log = structlog.get_logger()

LARGEST = 2**31 - 1  # of a number, in every database
NO_NUL = r"^[^\u0000]*$"  # the pattern of a text that every database takes
LONGEST = 200  # letters that somebody may look for
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def times(since: str, until: str, now: datetime, plant: Plant, usually: timedelta) -> tuple[datetime, datetime]:
    """From when until when: without a beginning the usual time before the end; CallError where that is none."""
    zone = ZoneInfo(plant.timezone)  # what people write on a page is of the plant's clock
    end = min(moment(until or "now", now, zone), now)
    if end < EARLIEST:
        raise CallError(f"{until} is before any plant was watched")
    begin = moment(since, now, zone) if since else end - usually
    if begin >= end:
        raise CallError("the beginning is not before the end, or lies in the future: choose an earlier one")
    return begin, end


def assets_of(plant: Plant, wanted: list[str] | None) -> list[str]:
    """The assets that a request names, segments too, in the order of plant.toml; all, if it names none."""
    names = [*plant.assets, *plant.segments]
    for name in wanted or ():
        if name not in names:
            raise CallError(f"there is no asset {name}: the list of assets has those of plant.toml")
    return [name for name in names if not wanted or name in wanted]


def assure_segments(plant: Plant, wanted: Iterable[str]) -> None:
    """CallError if a request names a segment that there is not."""
    for name in wanted:
        if name not in plant.segments:
            known = ", ".join(plant.segments) or "none"
            raise CallError(f"there is no segment {name}: plant.toml has {known}")


def say(text: str) -> None:
    """What a decision has to tell beside its answer: the log has it."""
    log.warning("web", text=text)


def _zones(plant: Plant) -> dict[str, str]:
    """By asset or segment the zone that it is in."""
    assets = {name: each.asset.zone for name, each in plant.assets.items()}
    return assets | {name: each.asset.zone for name, each in plant.segments.items()}


def zones_of(plant: Plant) -> list[str]:
    """The zones that assets and segments are in."""
    return sorted({zone for zone in _zones(plant).values() if zone})


def in_zone(plant: Plant, zone: str) -> list[str]:
    """The assets and segments of a zone."""
    return [name for name, each in _zones(plant).items() if each == zone]


def looked_for(text: str) -> str:
    """What somebody looks for, as every database can look for it."""
    return text.replace("\0", "").strip()[:LONGEST]


def at_or_none(text: str, now: datetime, plant: Plant) -> datetime | None:
    """A time by the plant's clock; None for none."""
    return moment(text, now, ZoneInfo(plant.timezone)) if text.strip() else None
