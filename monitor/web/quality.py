"""What quality people look at, of the time and zone that a request asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.quality import By, Quality
from monitor.errors import CallError
from monitor.figures import assure_periods, measured
from monitor.web.asked import in_zone, times, zones_of
from monitor.web.site import Site

USUALLY = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures, and of which time."""

    figures: Quality
    begin: datetime
    end: datetime


def measured_of(site: Site, since: str, until: str, by: By, zone: str) -> Measured:
    """The figures between two times, of a zone if one is named; CallError for a time or zone that there is not."""
    plant, now = site.plant(), site.clock()
    begin, end = times(since, until, now, plant, USUALLY)
    assure_periods(begin, end, by)
    if zone and zone not in zones_of(plant):
        raise CallError(f"there is no zone {zone}: plant.toml has {', '.join(zones_of(plant)) or 'none'}")
    with site.database.read() as tx:
        found = measured(tx, plant, begin, end, by, now, in_zone(plant, zone) if zone else None)
    return Measured(found, begin, end)
