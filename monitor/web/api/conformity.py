"""Machines of one type beside each other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from monitor.conformity import compare, document, machine_types
from monitor.errors import CallError
from monitor.web.access import ViewerToken
from monitor.web.here import Here

router = APIRouter(tags=["conformity"])


@router.get("/conformity")
def conformity(
    site: Here,
    _: ViewerToken,
    type: Annotated[list[str] | None, Query(description="Only these machine types.", max_length=100)] = None,
) -> dict[str, Any]:
    """Machines of one type compared with each other and with their golden type (docs/json.md)."""
    plant, known = site.plant(), machine_types(site.plant())
    for name in type or ():
        if name not in known:
            raise CallError(f"there is no machine type {name}: plant.toml gives it to assets as machine_type")
    wanted = [name for name in known if not type or name in type]
    with site.database.read() as tx:
        found = [compare(tx, plant, name, known[name], site.clock()) for name in wanted]
    return {"types": [document(each) for each in found]}
