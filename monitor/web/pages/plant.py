"""The plant: lines and machines as its people know them, in their places; what needs attention stands before them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from baselines.drift import WORST_FIRST
from monitor import store
from monitor.board import Row
from monitor.config import ITSELF
from monitor.lines import Tally, Wanted, line_of, look_of, machine_of, urgency
from monitor.store import Gap, Transaction
from monitor.web.access import Viewer
from monitor.web.asked import LONGEST
from monitor.web.here import Here
from monitor.web.paging import PageNumber, Shown, rest_of, shown_of
from monitor.web.render import page
from monitor.web.site import Site

OPEN_MOST = 120  # machines of a plant whose lines are all open; of a larger one, each line is a count that opens
URGENT_MOST = 8  # machines that are named before all others

router = APIRouter()


def wanted(
    q: Annotated[str, Query(max_length=LONGEST)] = "",
    verdict: Annotated[str, Query(max_length=LONGEST)] = "",
    zone: Annotated[str, Query(max_length=LONGEST)] = "",
    line: Annotated[str, Query(max_length=LONGEST)] = "",
    alarms: Annotated[str, Query(max_length=LONGEST)] = "",
) -> Wanted:
    return Wanted(q.strip(), verdict, zone, line, alarms)


Asked = Annotated[Wanted, Depends(wanted)]


def query_of(asked: Wanted) -> dict[str, str]:
    """What an address asks for, for the links on its page."""
    named = {"q": asked.text, "verdict": asked.verdict, "zone": asked.zone, "line": asked.line, "alarms": asked.alarms}
    return {name: value for name, value in named.items() if value}


@dataclass(slots=True)
class Floor:
    """The plant on one page: what all of it comes to, line by line, and the machines that are shown."""

    all: Tally = field(default_factory=Tally)
    open: int = 0  # alarms of the whole plant, also of its segments and of the monitor itself
    waiting: int = 0
    segments: list[Row] = field(default_factory=list)
    lines: dict[str, Tally] = field(default_factory=dict)
    zones: dict[str, None] = field(default_factory=dict)
    machines: list[Row] = field(default_factory=list)
    urgent: list[Row] = field(default_factory=list)

    def groups(self, shown: Shown) -> list[tuple[str, list[Row]]]:
        """The machines of one page, line by line."""
        found: dict[str, list[Row]] = {}
        for row in self.machines[shown.skip : shown.skip + shown.rows]:
            found.setdefault(line_of(row.asset), []).append(row)
        return [(name, found[name]) for name in self.lines if name in found]


@router.get("/")
def plant(request: Request, site: Here, caller: Viewer, asked: Asked, number: PageNumber = 1) -> Response:
    floor = _floor(site, asked)
    is_open = not asked.is_any or floor.all.assets <= OPEN_MOST
    shown = shown_of(number, len(floor.machines if is_open else floor.lines))
    groups = floor.groups(shown) if is_open else []
    closed = [] if is_open else [*floor.lines.values()][shown.skip : shown.skip + shown.rows]
    tiles = [*floor.urgent, *floor.segments, *(row for _, rows in groups for row in rows)]
    with site.database.read() as tx:
        doers = _doers(tx, tiles)
        blind = _blind(tx)
    return page(
        request,
        site,
        "plant.html.j2",
        caller,
        floor=floor,
        groups=groups,
        closed=closed,
        shown=shown,
        asked=asked,
        query=rest_of(query_of(asked)),
        verdicts=WORST_FIRST,
        doers=doers,
        blind=blind,
        lacks=site.vitals.lacks(),
        look_of=look_of,
        machine_of=machine_of,
    )


def _floor(site: Site, asked: Wanted) -> Floor:
    """In two ways through all assets, of which only those are kept that are shown."""
    described, now = site.plant(), site.clock()
    look = site.board.look()
    floor = Floor(
        open=sum(each.open for each in look.alarms.values()),
        waiting=sum(each.waiting for each in look.alarms.values()),
    )
    urgent: list[Row] = []
    is_open = not asked.is_any or len(described.assets) <= OPEN_MOST
    for row in look.rows(described, now):
        if row.is_segment:
            floor.segments.append(row)
            continue
        name = line_of(row.asset)
        if (tally := floor.lines.get(name)) is None:
            tally = floor.lines[name] = Tally(name)
        floor.zones.setdefault(row.asset.zone)
        if tally.add(row):
            urgent.append(row)
        if is_open and asked.has(row):
            floor.machines.append(row)
    for tally in floor.lines.values():
        floor.all.take(tally)
    floor.urgent = heapq.nsmallest(URGENT_MOST, urgent, key=urgency)
    order = {name: place for place, name in enumerate(floor.lines)}
    floor.machines.sort(key=lambda row: order[line_of(row.asset)])  # plant.toml may have a line in several places
    return floor


def _doers(tx: Transaction, rows: Collection[Row]) -> Mapping[int, Mapping[str, Any]]:
    """Who did what an open alarm of these assets is about, where the wire has said so."""
    numbers = [row.number for row in rows if row.number is not None and row.alarms.open]
    return {number: json.loads(who) for number, who in store.last_doers(tx, numbers).items()}


def _blind(tx: Transaction) -> list[Gap]:
    """Where the monitor itself does not work as it should."""
    return [gap for gap in store.open_gaps(tx) if gap.asset == ITSELF]
