"""The list of all assets, to search, sort and print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from baselines.drift import WORST_FIRST
from monitor.board import Row
from monitor.lines import line_of, urgency
from monitor.web.access import Viewer
from monitor.web.here import Here
from monitor.web.pages.plant import Asked, query_of
from monitor.web.paging import PageNumber, rest_of, shown_of
from monitor.web.render import page
from monitor.web.site import Site

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
ORDERS: dict[str, tuple[str, Callable[[Row], Any]]] = {  # what one can sort by: its heading, and the key of a row
    "name": ("Asset", lambda row: row.name.casefold()),
    "verdict": ("Verdict", lambda row: WORST_FIRST.index(row.verdict)),
    "alarms": ("Alarms", urgency),
    "zone": ("Zone", lambda row: row.asset.zone.casefold()),
    "line": ("Line", lambda row: line_of(row.asset).casefold()),
    "manufacturer": ("Manufacturer", lambda row: _said(row, "manufacturer")),
    "model": ("Model", lambda row: _said(row, "model") or _said(row, "product_code")),
    "firmware": ("Firmware", lambda row: _said(row, "software_revision")),
    "serial": ("Serial number", lambda row: _said(row, "serial_number")),
    "seen": ("Seen", lambda row: row.seen_at or NEVER),
}

router = APIRouter()


def _said(row: Row, field: str) -> str:
    return str(row.identity.get(field) or "").casefold()


@router.get("/assets")
def assets(
    request: Request,
    site: Here,
    caller: Viewer,
    asked: Asked,
    sort: Annotated[str, Query(max_length=20)] = "",
    down: bool = False,
    retired: bool = False,
    number: PageNumber = 1,
) -> Response:
    zones: dict[str, None] = {}
    lines: set[str] = {""}
    rows, of = [], 0
    for row in _rows(site, retired):
        zones.setdefault(row.asset.zone)
        lines.add(line_of(row.asset))
        of += 1
        if asked.has(row):
            rows.append(row)
    if sort in ORDERS:
        rows.sort(key=ORDERS[sort][1], reverse=down)
    shown = shown_of(number, len(rows))
    kept = query_of(asked) | ({"retired": "true"} if retired else {})
    order = {"sort": sort, "down": "true" if down else ""} if sort in ORDERS else {}
    return page(
        request,
        site,
        "assets.html.j2",
        caller,
        rows=rows[shown.skip : shown.skip + shown.rows],
        of=of,
        found=len(rows),
        zones=[zone for zone in zones if zone],
        verdicts=WORST_FIRST,
        asked=asked,
        shown=shown,
        orders=ORDERS,
        sort=sort,
        down=down,
        retired=retired,
        kept=rest_of(kept),
        query=rest_of(kept | order),
        line_of=line_of,
        has_zones=any(zone not in lines for zone in zones),
    )


def _rows(site: Site, retired: bool) -> Iterator[Row]:
    described, now, look = site.plant(), site.clock(), site.board.look()
    return chain(look.rows(described, now), look.retired(described, now) if retired else ())
