"""A change order that somebody is about to announce: what they chose and typed, and what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from baselines.change import ANY
from baselines.drift import DEVIATIONS
from baselines.snapshot import Category, Item
from monitor import store
from monitor.config import Plant
from monitor.errors import CallError
from monitor.ordering import Wish
from monitor.show import value_text
from monitor.store import Transaction
from monitor.web.forms import Form

MOST_ASSETS = 50  # of one order
MOST_ROWS = 1500  # of a form; beyond that one looks for items by a part of their name
FEW_ROWS = 60  # of which those that people change are shown without being folded up
OFTEN_CHANGED = (Category.FIRMWARE, Category.PROGRAM, Category.PARAMETER, Category.MODE)
VALUE, WHATEVER = "value:", "any:"  # before the asset and item in the name of a field
DAMAGED = "this form is damaged: open it again"

Pair = tuple[str, str]  # asset and item


@dataclass(frozen=True, slots=True)
class Draft:
    """What was chosen so far. `typed` are new values as text, `whatever` the items that are to change to any value."""

    assets: tuple[str, ...] = ()
    typed: Mapping[Pair, str] = field(default_factory=dict)
    whatever: frozenset[Pair] = frozenset()
    chosen: frozenset[Pair] = frozenset()  # by whoever made the link: they stand first
    find: str = ""
    new: tuple[str, str, str] = ("", "", "")  # asset, item, value of what is not there yet
    note: str = ""

    def wishes(self) -> list[Wish]:
        """What it announces; CallError where something is said twice, or half."""
        both = sorted(self.whatever & {pair for pair, text in self.typed.items() if text})
        if both:
            asset, item = both[0]
            raise CallError(f"{item} of {asset}: either type its new value, or say that any will do")
        asset, item, value = self.new
        if bool(item) != bool(value):
            raise CallError("what is not there yet: its item and its value are both needed")
        texts = {pair: text for pair, text in self.typed.items() if text} | dict.fromkeys(self.whatever, ANY)
        wishes = [Wish(*pair, text) for pair, text in texts.items() if pair[0] in self.assets]
        return wishes + ([Wish(asset, item, value)] if item else [])


@dataclass(frozen=True, slots=True)
class Row:
    """An item that may be announced: its field is called by `name`."""

    name: str
    item: Item
    approved: str
    typed: str
    whatever: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Block:
    """The items of an asset, by category; `why` none can be announced."""

    asset: str
    groups: Sequence[tuple[Category, Sequence[Row]]] = ()
    why: str = ""
    unfolded: Collection[Category] = ()


def draft_of_query(tx: Transaction, plant: Plant, assets: Sequence[str], items: Sequence[str], alarm: str) -> Draft:
    """A draft as a link begins it: assets, items of each, and an alarm's item with the value that was seen."""
    typed: dict[Pair, str] = {}
    note = ""
    for each in store.alerts(tx, ids=[int(alarm)], closed=True) if alarm.isdecimal() and len(alarm) < 10 else ():
        assets, items = [*assets, each.asset], [*items, each.item]
        if each.kind in DEVIATIONS and each.observed is not None:
            typed[each.asset, each.item] = value_text(each.observed)
            note = (
                f"Alarm {each.id} says that {each.item} of {each.asset} is {value_text(each.observed)}. What deviates"
                " already is not announced by an order: its alarm goes on, and the order would end as outside-window,"
                " unless the value goes back and comes again within the window."
            )
    named = _named(plant, assets)
    known = {asset: {item.key for item in _items(tx, asset)} for asset in named}
    new = [(asset, item, typed.get((asset, item), "")) for asset in named for item in items if item not in known[asset]]
    chosen = frozenset((asset, item) for asset in named for item in items)
    return Draft(named, typed, chosen=chosen, new=new[0] if new else ("", "", ""), note=note)


def draft_of_form(plant: Plant, form: Form) -> Draft:
    """A draft as it was sent; CallError if it cannot have been sent by our page."""
    without = form.text("without")
    assets = _named(plant, [name for name in form.texts("asset") if name != without])
    fields = [name for name in form if name.startswith((VALUE, WHATEVER))]
    typed = {_pair(name, VALUE): form.text(name, "a value") for name in fields if name.startswith(VALUE)}
    return Draft(
        assets,
        typed,
        frozenset(_pair(name, WHATEVER) for name in fields if name.startswith(WHATEVER)),
        frozenset(pair for pair, text in typed.items() if text),
        form.text("find"),
        (form.text("new_asset") or next(iter(assets), ""), form.text("new_item", "the item"), form.text("new_value")),
    )


def with_more(plant: Plant, draft: Draft, pattern: str) -> Draft:
    """A draft with more assets, by their name or a pattern; CallError if there is none."""
    names = [*plant.assets, *plant.segments]
    found = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
    if not found:
        raise CallError(f"there is no asset {pattern}: the list of assets has those of plant.toml")
    return replace(draft, assets=_named(plant, [*draft.assets, *found]))


def _named(plant: Plant, assets: Iterable[str]) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(name for name in assets if name in plant.assets or name in plant.segments))
    if len(named) > MOST_ASSETS:
        raise CallError(f"these are {len(named)} assets; an order is about {MOST_ASSETS} at most: open several")
    return named


def _pair(name: str, kind: str) -> Pair:
    """The asset and item that a field is about; CallError if it is none of ours."""
    try:
        asset, item = map(str, json.loads(name.removeprefix(kind)))
        (asset + item).encode()  # what no database can hold is a ValueError
    except (ValueError, TypeError, RecursionError):
        raise CallError(DAMAGED) from None
    if "\0" in asset + item:
        raise CallError(DAMAGED)
    return asset, item


def blocks_of(tx: Transaction, draft: Draft) -> tuple[list[Block], int]:
    """What there is to choose from, and how many items had to be left out of it."""
    approved = {asset: _items(tx, asset) for asset in draft.assets}
    room, whole = MOST_ROWS, sum(map(len, approved.values()))
    unfolded = tuple(Category) if draft.find else OFTEN_CHANGED if whole <= FEW_ROWS and not draft.chosen else ()
    blocks, left_out = [], 0
    for asset, items in approved.items():
        rows = [row for item in items if (row := _row(draft, asset, item)).chosen or draft.find in item.key]
        rows.sort(key=lambda row: not row.chosen)
        most = max(room, sum(row.chosen for row in rows))  # what somebody has typed is never left out
        left_out += max(len(rows) - most, 0)
        rows, room = rows[:most], max(room - len(rows), 0)
        why = "" if items else f"{asset} has no approved baseline yet, so there is nothing to hold a change against"
        blocks.append(Block(asset, _groups(rows), why, unfolded))
    return blocks, left_out


def _items(tx: Transaction, asset: str) -> Sequence[Item]:
    baseline = store.current_baseline(tx, asset)
    return store.baseline_snapshot(tx, baseline).items if baseline else ()


def _row(draft: Draft, asset: str, item: Item) -> Row:
    pair = asset, item.key
    typed, whatever = draft.typed.get(pair, ""), pair in draft.whatever
    return Row(
        json.dumps(pair), item, value_text(item.shown), typed, whatever, pair in draft.chosen or whatever or bool(typed)
    )


def _groups(rows: Sequence[Row]) -> list[tuple[Category, Sequence[Row]]]:
    found: dict[Category, list[Row]] = {}
    for row in rows:
        found.setdefault(row.item.category, []).append(row)
    return [(category, found[category]) for category in Category if category in found]
