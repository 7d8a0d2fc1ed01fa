"""What quality people look at."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from baselines.quality import By
from monitor.figures import quality_document
from monitor.web.access import ViewerToken
from monitor.web.here import Here
from monitor.web.quality import measured_of

router = APIRouter(tags=["quality"])


@router.get("/quality")
def quality(
    site: Here,
    _: ViewerToken,
    since: Annotated[str, Query(alias="from", description="ISO 8601; 90 days before the end, if left out.")] = "",
    until: Annotated[str, Query(description='ISO 8601, or "now".')] = "now",
    by: Annotated[By, Query(description="How long a period of the control chart is.")] = By.WEEK,
    zone: Annotated[str, Query(description="Only of the assets of a zone.")] = "",
) -> dict[str, Any]:
    """Causes of deviations, how often they come, how soon they are seen and mended, how change orders went
    (docs/json.md)."""
    found = measured_of(site, since, until, by, zone)
    return quality_document(found.figures, found.begin, found.end, by, site.plant().timezone)
