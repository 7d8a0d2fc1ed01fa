"""What we cannot see, and since when."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from monitor.covering import coverage as covered_in
from monitor.covering import coverage_document
from monitor.web.access import ViewerToken
from monitor.web.asked import assets_of, times
from monitor.web.here import Here

USUALLY = timedelta(days=30)

router = APIRouter(tags=["coverage"])


@router.get("/coverage")
def coverage(
    site: Here,
    _: ViewerToken,
    asset: Annotated[list[str] | None, Query(description="Only these assets.")] = None,
    since: Annotated[str, Query(alias="from", description="ISO 8601; 30 days before the end, if left out.")] = "",
    until: Annotated[str, Query(description='ISO 8601, or "now".')] = "now",
) -> dict[str, Any]:
    """For how much of a time each asset was seen, and when and why it was not (docs/json.md)."""
    plant, now = site.plant(), site.clock()
    begin, end = times(since, until, now, plant, USUALLY)
    with site.database.read() as tx:
        found = covered_in(tx, plant, assets_of(plant, asset), begin, end, now)
    return coverage_document(found, begin, end)
