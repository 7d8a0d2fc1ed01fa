"""What we cannot see, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from monitor.config import ITSELF, Plant
from monitor.covering import Covered, lasted
from monitor.covering import coverage as covered_in
from monitor.errors import CallError
from monitor.web.access import Viewer
from monitor.web.asked import assets_of, in_zone, times, zones_of
from monitor.web.bars import LOOKS, bar, look_of
from monitor.web.here import Here
from monitor.web.paging import PageNumber, rest_of, shown_of
from monitor.web.render import page, status_of

USUALLY = timedelta(days=30)
SPANS = {"24h": ("24 hours", timedelta(days=1)), "7d": ("7 days", timedelta(days=7)), "30d": ("30 days", USUALLY)}
ROWS = 100
MOST_BLIND = 20  # that are named on top
MOST_GAPS = 20  # of an asset
SHOWN = (("", "those with gaps"), ("all", "all"), ("blind", "blind now"), ("never", "never asked"))

Word = Annotated[str, Query(max_length=500)]

router = APIRouter()


@router.get("/coverage")
def coverage(
    request: Request,
    site: Here,
    caller: Viewer,
    span: Word = "",
    since: Word = "",
    until: Word = "",
    zone: Word = "",
    asset: Word = "",
    show: Word = "",
    number: PageNumber = 1,
) -> Response:
    plant, now, error, status = site.plant(), site.clock(), "", 200
    usually = SPANS.get(span, SPANS["30d"])[1]
    said = ("", "") if span in SPANS else (since, until)
    try:
        begin, end = times(*said, now, plant, usually)
    except CallError as wrong:
        error, status, (begin, end) = str(wrong), status_of(wrong), (now - usually, now)
    names = _names(plant, zone, asset.strip())
    with site.database.read() as tx:
        found = covered_in(tx, plant, names, begin, end, now)
    if zone or asset.strip():
        found = [each for each in found if each.asset != ITSELF]
    rows = sorted((each for each in found if _is_shown(each, show)), key=lambda each: _order(each, end))
    shown = shown_of(number, len(rows), ROWS)
    asked = {"span": span, "since": since, "until": until, "zone": zone, "asset": asset}
    return page(
        request,
        site,
        "coverage.html.j2",
        caller,
        error=error,
        status=status,
        begin=begin,
        end=end,
        is_now=now - end < timedelta(minutes=1),
        span=span if span in SPANS else "" if since or until else "30d",
        spans=[(key, name) for key, (name, _) in SPANS.items()],
        asked=asked,
        query=rest_of({**asked, "show": show}),
        without_show=rest_of(asked),
        without_span=rest_of({"zone": zone, "asset": asset, "show": show}),
        show=show,
        choices=SHOWN,
        zones=zones_of(plant),
        seen=sum(not each.gaps and each.since is not None for each in found),
        of=len(names),
        overall=share_text(_overall(found)),
        rows=[_row(plant, each, begin, end) for each in rows[shown.skip : shown.last]],
        shown=shown,
        looks=[(look, text) for look, (text, _) in LOOKS.items()],
        most_gaps=MOST_GAPS,
        lacks=bool(site.vitals.lacks()),
        **_unseen(found),
    )


def _names(plant: Plant, zone: str, part: str) -> list[str]:
    """The assets of a zone, or of all, with a part of their names."""
    there = in_zone(plant, zone) if zone else assets_of(plant, None)
    return [name for name in there if part.lower() in name.lower()]


def _unseen(found: Sequence[Covered]) -> dict[str, Any]:
    """What is blind now, the longest first, and what was never asked: as many as are named, and how many there are."""
    blind = sorted((gap for each in found for gap in each.gaps if gap.last_at is None), key=lambda gap: gap.first_at)
    never = [each.asset for each in found if _is_never(each)]
    return {
        "blind": blind[:MOST_BLIND],
        "blind_more": max(0, len(blind) - MOST_BLIND),
        "never": len(never),
        "never_named": never[:MOST_BLIND],
    }


def _is_never(each: Covered) -> bool:
    return each.since is None and not each.gaps


def _is_shown(each: Covered, show: str) -> bool:
    if show == "blind":
        return each.is_blind
    if show == "never":
        return _is_never(each)
    return show == "all" or bool(each.gaps)


def _order(each: Covered, end: datetime) -> tuple[int, float, str]:
    """What is blind first, then whatever was seen least, then what was never asked."""
    rank = 0 if each.is_blind else 1 if each.gaps else 2 if each.since is None else 3
    return rank, each.share if each.share is not None else -each.longest(end), each.asset


def _overall(found: Iterable[Covered]) -> float | None:
    """The mean share of the assets that were asked."""
    shares = [each.share for each in found if each.share is not None]
    return sum(shares) / len(shares) if shares else None


def _row(plant: Plant, each: Covered, begin: datetime, end: datetime) -> dict[str, object]:
    newest = sorted(each.gaps, key=lambda gap: gap.first_at, reverse=True)
    longest = each.longest(end)
    seen = "" if each.share is None else f"seen for {share_text(each.share)} of the time, "
    gaps = f"{len(each.gaps)} gap{'s' * (len(each.gaps) != 1)}"
    return {
        "asset": each.asset,
        "is_ours": each.asset == ITSELF,
        "is_known": each.asset in plant.assets or each.asset in plant.segments,
        "is_blind": each.is_blind,
        "since": each.since,
        "share": share_text(each.share),
        "longest": longest,
        "gaps": [(gap, look_of(gap.cause), lasted(gap, end)) for gap in newest[:MOST_GAPS]],
        "count": len(each.gaps),
        "bar": bar(each, begin, end),
        "text": "never asked" if _is_never(each) else seen + gaps,
    }


def share_text(share: float | None) -> str:
    """A share as people read it; what is not all is never 100 %."""
    if share is None:
        return "–"
    return "100 %" if share == 1 else f"{min(100 * share, 99.999):.3f} %"
