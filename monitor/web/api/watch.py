"""How the watch itself is, and what was really sent to devices."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Query

from baselines.snapshot import utc_text
from monitor.contract import ask_for_counts, contracts
from monitor.watching import CONTRACT, watch, watch_document
from monitor.web.access import EngineerToken, ViewerToken
from monitor.web.api.sent import MOST_ROWS, ROWS
from monitor.web.asked import LARGEST, assets_of
from monitor.web.here import Here
from monitor.web.self_test import test_itself

router = APIRouter(tags=["watch"])


@router.get("/watch")
def how_it_is(site: Here, _: ViewerToken) -> dict[str, Any]:
    """Whether the plant is watched and what keeps it from being, the self-test, the chores, and the routes."""
    plant, lacks = site.plant(), site.vitals.lacks()
    with site.database.read() as tx:
        found = watch(tx, plant, site.database)
    at = {"at": utc_text(site.clock()), "version": version("asbuilt")}
    return {"ready": not lacks, "why": lacks, **at, **watch_document(found)}


@router.post("/self-test")
def self_test(site: Here, caller: EngineerToken) -> dict[str, Any]:
    """Have a simulated PLC drift on purpose, and time the way from that to the message."""
    return test_itself(site, caller)


@router.get("/contract")
def contract(
    site: Here,
    caller: ViewerToken,
    asset: Annotated[list[str] | None, Query(description="Only the devices that these assets are behind.")] = None,
    fresh: Annotated[bool, Query(description="Have the daemon tell its newest counts first.")] = False,
    offset: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
) -> dict[str, Any]:
    """The poll contract, device by device: what was allowed, and what was really sent. Polls nobody."""
    plant = site.plant()
    names = assets_of(plant, asset)
    is_fresh = fresh and ask_for_counts(site.database, caller.name)
    with site.database.read() as tx:
        found = contracts(tx, plant, names)
    verdicts = Counter(each["verdict"] for each in found)
    return {
        "is_fresh": is_fresh,
        "devices": len(found),
        "verdicts": {word: verdicts[word] for word in CONTRACT},
        "contracts": found[offset : offset + limit],
    }
