"""The network: hosts, conversations and levels; one host; and what was done on the wire."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from monitor import store
from monitor.happenings import happenings, happenings_document
from monitor.network import alarms_of, host_at, host_document, network, part_document, talk_document
from monitor.network_host import life, life_document
from monitor.network_view import crossing
from monitor.purdue import from_the_top, level_name
from monitor.show import alert_document
from monitor.web.access import ViewerToken
from monitor.web.asked import assets_of, assure_segments, times
from monitor.web.here import Here

USUALLY = timedelta(days=7)


class Exactly(JSONResponse):
    """JSON in ASCII: half of a surrogate pair, which a packet may hold, has no UTF-8, and stays what it is."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


router = APIRouter(tags=["network"], default_response_class=Exactly)


@router.get("/network")
def whole(
    site: Here,
    _: ViewerToken,
    segment: Annotated[list[str] | None, Query(description="Only these segments.")] = None,
) -> dict[str, Any]:
    """Hosts and conversations by Purdue level, held against what was approved (docs/network.md)."""
    plant = site.plant()
    assure_segments(plant, segment or ())
    with site.database.read() as tx:
        found = network(tx, plant, site.clock(), segment or ())
    levels = Counter(host.level.value for host in found.hosts.values())
    return {
        "segments": [part_document(part) for part in found.parts],
        "levels": [
            {"level": level, "name": level_name(level), "hosts": levels[level]}
            for level in sorted(levels, key=from_the_top)
        ],
        "hosts": [host_document(host) for host in found.hosts.values()],
        "conversations": [talk_document(talk, crossing(found.hosts, talk)) for talk in found.talks],
        "unheard": list(found.unheard),
    }


@router.get("/network/hosts/{mac}")
def one(
    site: Here,
    _: ViewerToken,
    mac: Annotated[str, Path(description="Its MAC address, or its IP address.", max_length=64)],
) -> dict[str, Any]:
    """One host: what it says of itself, its services, conversations, alarms, and since when it was heard."""
    plant, now = site.plant(), site.clock()
    with site.database.read() as tx:
        found = network(tx, plant, now)
        host = host_at(found, mac)
        if host is None:
            raise HTTPException(404)
        alarms = alarms_of(found, store.alerts(tx)).get(host.key, ())
        lived = life(tx, host)
    talks = [talk for talk in found.talks if host.key in (talk.client, talk.server)]
    return host_document(host) | {
        "heard": [life_document(each) for each in lived],
        "conversations": [talk_document(talk, crossing(found.hosts, talk)) for talk in talks],
        "alerts": [alert_document(alert) for alert in alarms],
    }


@router.get("/events")
def events(
    site: Here,
    _: ViewerToken,
    asset: Annotated[list[str] | None, Query(description="Only what was done to these assets.")] = None,
    since: Annotated[str, Query(alias="from", description="ISO 8601; 7 days before the end, if left out.")] = "",
    until: Annotated[str, Query(description='ISO 8601, or "now".')] = "now",
) -> dict[str, Any]:
    """What was done on the wire, the newest first: writes, downloads, stops, with who did it (docs/network.md)."""
    plant = site.plant()
    begin, end = times(since, until, site.clock(), plant, USUALLY)
    with site.database.read() as tx:
        found = happenings(tx, begin, end, assets_of(plant, asset) if asset else ())
    return happenings_document(found, begin, end)
