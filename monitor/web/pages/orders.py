"""Change orders: what is announced, what was seen of it so far, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response

from baselines.baseline import State
from baselines.change import Order, OrderState
from monitor import ordering, store
from monitor.config import Plant
from monitor.errors import NotNow, UserError
from monitor.show import value_text
from monitor.store import OrderFilter, Transaction
from monitor.web import orders
from monitor.web.access import Caller, Engineer, Role, Viewer, status_of
from monitor.web.asked import LARGEST, looked_for
from monitor.web.drafts import Draft, blocks_of, draft_of_form, draft_of_query, with_more
from monitor.web.forms import Form, Sent
from monitor.web.here import Here
from monitor.web.orders import takes_two
from monitor.web.paging import ROWS, PageNumber, Shown, rest_of
from monitor.web.render import back_to, page
from monitor.web.site import Site

MOST_FORESEEN = 20  # open orders in the list of which it is said what was seen so far
MOST_SUGGESTED = 2000  # names of assets beside the field
USUAL_WINDOW = timedelta(hours=4)
CHOICES = (
    ("", "open and closed"),
    ("open", "open"),
    ("closed", "closed"),
    ("as-planned", "closed, as planned"),
    ("otherwise", "closed, with another outcome"),
)

router = APIRouter()
Number = Annotated[int, Path(ge=1, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class Listed:
    """An order in the list: as it is, and of an open one what closing it would make of it now, if that is known."""

    order: Order
    seen: Order | None


@router.get("/orders")
def listed(
    request: Request,
    site: Here,
    caller: Viewer,
    state: str = "",
    asset: str = "",
    words: str = "",
    number: PageNumber = 1,
) -> Response:
    now, after = site.clock(), (number - 1) * ROWS
    asset, words = looked_for(asset), looked_for(words)
    asked = {"state": state, "asset": asset, "words": words}
    planned = {"as-planned": True, "otherwise": False}.get(state)
    with site.database.read() as tx:
        opened: tuple[int, list[Order]] = (0, [])
        closed: tuple[int, list[Order]] = (0, [])
        if state in ("", "open"):
            opened = store.find_orders(tx, OrderFilter(OrderState.OPEN, asset, words), ROWS)
        if state != "open":
            closed = store.find_orders(tx, OrderFilter(OrderState.CLOSED, asset, words, planned), ROWS, after)
        rows = _foreseen(tx, opened[1], caller, now)
    return page(
        request,
        site,
        "orders.html.j2",
        caller,
        opened=rows,
        open_count=opened[0],
        closed=closed[1],
        shown=Shown(number, closed[0]),
        asked=asked,
        query=rest_of(asked),
        choices=CHOICES,
        expected_text=ordering.expected_text,
    )


def _foreseen(tx: Transaction, opened: Iterable[Order], caller: Caller, now: datetime) -> list[Listed]:
    opened, found = list(opened), list[Listed]()
    others = store.orders(tx, since=min(each.starts_at for each in opened)) if opened else []
    for place, order in enumerate(opened):
        seen = None
        if place < MOST_FORESEEN:
            seen, _ = _closing(tx, order, caller, now, others)
        found.append(Listed(order, seen))
    return found


def _closing(
    tx: Transaction, order: Order, caller: Caller, now: datetime, others: Iterable[Order] | None = None
) -> tuple[Order | None, str]:
    """What closing an order would make of it, or why that cannot be said."""
    try:
        return ordering.foreseen(tx, order, caller.name, now, others), ""
    except NotNow as error:
        return None, str(error)


@router.get("/orders/new")
def new(
    request: Request,
    site: Here,
    caller: Engineer,
    asset: Annotated[list[str] | None, Query()] = None,
    item: Annotated[list[str] | None, Query()] = None,
    alarm: str = "",
) -> Response:
    with site.database.read() as tx:
        draft = draft_of_query(tx, site.plant(), asset or [], item or [], alarm)
    return _new_page(request, site, caller, draft)


@router.post("/orders/new")
def open_(request: Request, site: Here, caller: Engineer, form: Sent) -> Response:
    draft = Draft()
    try:
        draft = draft_of_form(site.plant(), form)
        if added := form.text("add", "the asset"):
            draft = with_more(site.plant(), draft, added)
        if added or form.text("do") != "open":  # also where an asset is left out, or items are looked for
            return _new_page(request, site, caller, draft, form)
        ticket, reason = form.text("ticket", "the ticket", required=True), form.text("reason", "the reason")
        now = site.clock()
        window = _window(site, form, now)
        order, said = orders.announce(site, caller, draft.wishes(), window, ticket, reason, form.secret(), now)
    except UserError as error:
        return _new_page(request, site, caller, draft, form, error)
    until = order.ends_at.astimezone(_zone(site)).strftime("%Y-%m-%d %H:%M %z")
    return back_to(f"/orders/{order.id}", "\n".join([f"order {order.id} is open, until {until}", *said]))


def _zone(site: Site) -> ZoneInfo:
    return ZoneInfo(site.plant().timezone)


def _window(site: Site, form: Form, now: datetime) -> orders.Window:
    timezone = site.plant().timezone
    begins = form.moment("from", "the beginning", now, timezone) if form.text("begin") == "at" else now
    return begins, form.moment("until", "the end", now, timezone)


def _new_page(
    request: Request,
    site: Site,
    caller: Caller,
    draft: Draft,
    form: Form | None = None,
    error: UserError | None = None,
) -> Response:
    plant = site.plant()
    with site.database.read() as tx:
        blocks, left_out = blocks_of(tx, draft)
    return page(
        request,
        site,
        "order_new.html.j2",
        caller,
        form=form,
        error=str(error or ""),
        status=status_of(error) if error else 200,
        draft=draft,
        blocks=blocks,
        left_out=left_out,
        names=_suggested(plant, draft),
        until=site.clock() + USUAL_WINDOW,
        signs=takes_two(plant, draft.assets),
    )


def _suggested(plant: Plant, draft: Draft) -> list[str]:
    names = [name for name in (*plant.assets, *plant.segments) if name not in draft.assets]
    return names[:MOST_SUGGESTED]


@router.get("/orders/{number}")
def shown(request: Request, site: Here, caller: Viewer, number: Number) -> Response:
    return _order_page(request, site, caller, number)


@router.post("/orders/{number}/read")
def read(request: Request, site: Here, caller: Engineer, number: Number, form: Sent) -> Response:
    try:
        with site.database.read() as tx:
            order = ordering.open_order_of(tx, number)
        gaps = orders.read_again(site, caller, order)
    except UserError as error:
        return _order_page(request, site, caller, number, form, error)
    return back_to(f"/orders/{number}", "\n".join(gaps) or f"{_count(len(order.assets), 'asset')} read")


@router.post("/orders/{number}/close")
def close(request: Request, site: Here, caller: Engineer, number: Number, form: Sent) -> Response:
    try:
        closed, said = orders.close(site, caller, number, form.is_ticked("as_seen"), form.secret())
    except UserError as error:
        return _order_page(request, site, caller, number, form, error)
    outcome = "done as planned" if closed.order.as_planned else "closed; it was not done as planned"
    proposed = [f"a new baseline of {each.asset} is proposed, and waits for approval" for each in closed.proposed]
    return back_to(f"/orders/{number}", "\n".join([f"order {number} is {outcome}", *proposed, *said]))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _order_page(
    request: Request,
    site: Site,
    caller: Caller,
    number: int,
    form: Form | None = None,
    error: UserError | None = None,
) -> Response:
    plant, now = site.plant(), site.clock()
    with site.database.read() as tx:
        found = store.orders(tx, number=number)
        if not found:
            raise HTTPException(404)
        (order,) = found
        seen, why = (order, "") if order.state is OrderState.CLOSED else _closing(tx, order, caller, now)
        approved = {asset: _approved(tx, asset, order) for asset in order.assets}
        suppressed = store.suppressed(tx, str(number))
        proposed = ordering.proposed_by(tx, order)
        waiting = [each for asset in order.assets if (each := store.current_baseline(tx, asset, State.PROPOSED))]
    return page(
        request,
        site,
        "order.html.j2",
        caller,
        form=form,
        error=str(error or ""),
        status=status_of(error) if error else 200,
        order=order,
        seen=seen,
        why=why,
        approved=approved,
        suppressed=suppressed,
        proposed=proposed,
        waiting=waiting if order.state is OrderState.OPEN else [],
        may_close=order.state is OrderState.OPEN and caller.may(Role.ENGINEER),
        signs=takes_two(plant, order.assets),
        expected_text=ordering.expected_text,
    )


def _approved(tx: Transaction, asset: str, order: Order) -> dict[str, str]:
    """What was approved of the expected items when the order was opened."""
    baseline = store.baseline_at(tx, asset, order.opened_at) or store.current_baseline(tx, asset)
    known = store.baseline_snapshot(tx, baseline).by_key if baseline else {}
    return {key: value_text(item.shown) for key in order.items(asset) if (item := known.get(key))}
