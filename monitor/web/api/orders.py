"""Change orders: what was announced, and whether it was done."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import Field

from baselines.change import ANY, OrderState
from monitor import store
from monitor.moments import moment
from monitor.ordering import Wish, order_document, wish_text
from monitor.show import baseline_document
from monitor.store import OrderFilter
from monitor.web import orders
from monitor.web.access import EngineerToken, ViewerToken
from monitor.web.api.sent import MOST_ROWS, ROWS, Body, Id, Password, Yes
from monitor.web.asked import LARGEST, NO_NUL
from monitor.web.here import Here

MOST_EXPECTED = 1000  # items of one order

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
Told = Annotated[str, Field(max_length=4000, pattern=NO_NUL)]
When = Annotated[str, Field(min_length=1, max_length=40, pattern=NO_NUL)]
One = Yes | Annotated[int, Field(strict=True, ge=-(2**63), le=2**64)] | Annotated[float, Field(strict=True)] | Told
Value = One | Annotated[list[One], Field(max_length=1000)]  # each strict: what was sent as 1 or as "on" is not true

router = APIRouter(tags=["change orders"])


class Which(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Expected(Body):
    """An item of an asset, and the value that it will have; "*" is any other value than now."""

    asset: Line
    item: Annotated[str, Field(min_length=1, max_length=500, pattern=NO_NUL)]
    expected: Annotated[Value, Field(union_mode="left_to_right", examples=[12.5, ANY])]


class Announced(Body):
    """What will change, and when. Times are ISO 8601 (without a zone: of the plant's), "now", or such as "+2h"."""

    ticket: Line
    reason: Told = ""
    begins: When = Field("now", alias="from")
    until: When
    expectations: Annotated[list[Expected], Field(min_length=1, max_length=MOST_EXPECTED)]
    password: Password | None = None


class Closing(Body):
    """Which order to close; with `as_seen` also where an asset cannot be read, by what was seen of it last."""

    id: Id
    as_seen: Yes = False
    password: Password | None = None


@router.get("/changes")
def listed(
    site: Here,
    _: ViewerToken,
    state: Annotated[Which, Query(description="Open ones, or closed ones.")] = Which.OPEN,
    asset: Annotated[str, Query(max_length=200, pattern=NO_NUL, description="A part of an asset's name.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
    offset: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
) -> dict[str, Any]:
    """Orders (docs/json.md): the open ones by their end, the closed ones with the newest first."""
    with site.database.read() as tx:
        count, found = store.find_orders(tx, OrderFilter(OrderState(state), asset), limit, offset)
    following = offset + len(found)
    return {
        "orders": [order_document(each, site.clock()) for each in found],
        "total": count,
        "next_offset": following if following < count else None,
    }


@router.get("/changes/{number}")
def shown(site: Here, _: ViewerToken, number: Annotated[int, Path(ge=1, le=LARGEST)]) -> dict[str, Any]:
    """One order: what was expected, and once it is closed what became of it (docs/json.md)."""
    with site.database.read() as tx:
        found = store.orders(tx, number=number)
    if not found:
        raise HTTPException(404)
    return order_document(found[0], site.clock())


@router.post("/changes", status_code=201)
def announce(site: Here, caller: EngineerToken, body: Announced) -> dict[str, Any]:
    """Announce what will change: while the window lasts, just that is suppressed, and on record."""
    now, zone = site.clock(), ZoneInfo(site.plant().timezone)
    wishes = [Wish(each.asset, each.item, wish_text(each.expected)) for each in body.expectations]
    window = moment(body.begins, now, zone), moment(body.until, now, zone)
    order, _ = orders.announce(site, caller, wishes, window, body.ticket, body.reason, body.password or "", now)
    return order_document(order, now)


@router.post("/changes/close")
def close(site: Here, caller: EngineerToken, body: Closing) -> dict[str, Any]:
    """Read the order's assets, and close it by what was seen. What was done as planned is proposed as the new
    baseline: `baselines`."""
    closed, _ = orders.close(site, caller, body.id, body.as_seen, body.password or "")
    proposed = [baseline_document(each) for each in closed.proposed]
    return order_document(closed.order, site.clock()) | {"baselines": proposed}
