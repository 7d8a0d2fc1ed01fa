"""Opening and closing change orders, for whoever does it on a page or by a token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from baselines.change import Order
from monitor import ordering
from monitor.config import Plant
from monitor.errors import NotNow
from monitor.evidence import deciding
from monitor.ordering import Closed, Wish
from monitor.web.access import Caller
from monitor.web.asked import assets_of
from monitor.web.site import Site

Window = tuple[datetime, datetime]


def takes_two(plant: Plant, assets: Iterable[str]) -> bool:
    """Whether four eyes look at one of some assets, so that whoever does something about it signs."""
    return any(rules.takes_two for rules in ordering.rules_for(plant, assets).values())


def announce(
    site: Site,
    caller: Caller,
    wishes: Sequence[Wish],
    window: Window,
    ticket: str,
    reason: str,
    password: str,
    now: datetime,
) -> tuple[Order, list[str]]:
    """Open an order at a time by which its window was reckoned; and what else should be known."""
    plant, said = site.plant(), list[str]()
    assets = assets_of(plant, list(dict.fromkeys(wish.asset for wish in wishes)))
    actor = caller.signing(password, takes_two(plant, assets if wishes else ()))
    rules = ordering.rules_for(plant, assets)
    with deciding(plant, site.database, actor, said.append) as tx:
        order = ordering.announce(tx, wishes, window, ticket, reason, actor, now, rules)
    return order, said


def close(site: Site, caller: Caller, number: int, as_seen: bool, password: str) -> tuple[Closed, list[str]]:
    """Read an order's assets, and close it; NotNow where one of them could not be read, unless `as_seen`."""
    plant, said = site.plant(), list[str]()
    with site.database.read() as tx:
        order = ordering.open_order_of(tx, number)
    actor = caller.signing(password, takes_two(plant, order.assets))
    gaps = read_again(site, caller, order)
    if gaps and not as_seen:
        raise NotNow(f"{'; '.join(gaps)}. Order {number} stays open; it can be closed by what was seen last")
    rules = ordering.rules_for(plant, order.assets)
    with deciding(plant, site.database, actor, said.append, sound=True) as tx:
        closed = ordering.close_order(tx, number, actor, site.clock(), rules)
    return closed, said


def read_again(site: Site, caller: Caller, order: Order) -> list[str]:
    """Read the assets of an order now; what of it could not be seen."""
    return ordering.read_again(site.plant(), site.database, order, caller.name, lambda _: None)
