"""The plant, and whoever asks."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from baselines.snapshot import utc_text
from monitor.web.access import ViewerToken
from monitor.web.here import Here

router = APIRouter(tags=["plant"])


@router.get("/plant")
def plant(site: Here, _: ViewerToken) -> dict[str, Any]:
    """What the plant is called, its time, and how much there is of it."""
    found = site.plant()
    return {
        "plant": found.name,
        "timezone": found.timezone,
        "now": utc_text(site.clock()),
        "version": version("asbuilt"),
        "assets": len(found.assets),
        "segments": len(found.segments),
        "watched": not site.vitals.lacks(),
        "why": site.vitals.lacks(),
    }


@router.get("/me")
def me(caller: ViewerToken) -> dict[str, Any]:
    """Whose token this is, and what it may: what its scopes and their roles both allow."""
    return {"person": caller.name, "roles": list(caller.person.roles), "scopes": sorted(caller.roles)}
