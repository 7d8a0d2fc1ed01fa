"""Commissioning: several captures of one asset, sorted into what is constant, what varies and what was not read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

from baselines.snapshot import Dropped, Item, Snapshot, plain, same, utc_text

VALUES_MOST = 20  # different values that are kept of an item; its range says the rest


class Sort(StrEnum):
    """What a key was over all captures."""

    CONSTANT = "constant"
    VARYING = "varying"
    UNREAD = "unread"


class Choice(StrEnum):
    """What people decide about a key: not compared at all; compared within a tolerance; or as it is, exactly."""

    DROP = "drop"
    TOLERATE = "tolerate"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a key, whose it was and why; `tolerance` goes with TOLERATE."""

    key: str
    choice: Choice
    reason: str
    by: str
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Captured:
    """One key over all captures: how often its value changed, between which values, how often it was not read."""

    key: str
    sort: Sort
    values: tuple[Any, ...]  # the different ones, as JSON shows them, in the order in which they came
    low: Any = None
    high: Any = None
    changes: int = 0
    missed: int = 0
    why: str = ""


def sort_captures(captures: Sequence[Snapshot]) -> tuple[Captured, ...]:
    """Every key that was read or asked for, by key. What stays within its profile's tolerance is constant."""
    read = {item.key for snapshot in captures for item in snapshot.items}
    keys = sorted(read | {gap.key for snapshot in captures for gap in snapshot.unread})
    return tuple(_captured(key, captures) for key in keys)


def _captured(key: str, captures: Sequence[Snapshot]) -> Captured:
    read = [item for snapshot in captures if (item := snapshot.by_key.get(key))]
    missed = len(captures) - len(read)
    if not captures[-1].by_key.get(key):
        whys = [gap.why for snapshot in captures for gap in snapshot.unread if gap.covers(key)]
        return Captured(key, Sort.UNREAD, _different(read), missed=missed, why=whys[-1] if whys else "it went away")
    changes = sum(not same(one.value, other.value) for one, other in pairwise(read))
    last = read[-1]
    steady = all(same(last.value, item.value, last.tolerance) for item in read)
    low, high = _range(read)
    return Captured(key, Sort.CONSTANT if steady else Sort.VARYING, _different(read), low, high, changes, missed)


def _different(items: Iterable[Item]) -> tuple[Any, ...]:
    return tuple({json.dumps(item.shown): item.shown for item in items}.values())[:VALUES_MOST]


def _range(items: Sequence[Item]) -> tuple[Any, Any]:
    """The least and the greatest number that was read; of what is no number, nothing."""
    numbers = [item.value for item in items if type(item.value) in (int, float) and item.value == item.value]
    if not numbers or len(numbers) < len(items):
        return None, None
    return plain(min(numbers)), plain(max(numbers))  # type: ignore[type-var]


def proposal(last: Snapshot, captured: Iterable[Captured], decisions: Iterable[Decision]) -> Snapshot:
    """What is proposed: what was constant, as read last; what varies as it was decided. What nobody decided about is
    left out, and so stays unapproved."""
    decided = {decision.key: decision for decision in decisions}
    items: list[Item] = []
    dropped = [Dropped(key, each.reason) for key, each in decided.items() if each.choice is Choice.DROP]
    for each in captured:
        item, decision = last.by_key.get(each.key), decided.get(each.key)
        if item is None or (decision is None and each.sort is Sort.VARYING):
            continue
        if decision is None or decision.choice is Choice.KEEP:
            items.append(item)
        elif decision.choice is Choice.TOLERATE:
            items.append(replace(item, tolerance=decision.tolerance))
    unread = [gap for gap in last.unread if gap.key not in {each.key for each in dropped}]
    return Snapshot.of(last.asset, last.taken_at, items, unread, last.profile, dropped)


def undecided(captured: Iterable[Captured], decisions: Iterable[Decision]) -> list[Captured]:
    """What varies, and nobody has decided about."""
    known = {decision.key for decision in decisions}
    return [each for each in captured if each.sort is Sort.VARYING and each.key not in known]


def capture_document(
    captures: Sequence[Snapshot], captured: Iterable[Captured], decisions: Iterable[Decision]
) -> dict[str, Any]:
    """The record of a commissioning: nothing that was seen is left out of it."""
    return {
        "asset": captures[-1].asset,
        "captures": len(captures),
        "from": utc_text(captures[0].taken_at),
        "until": utc_text(captures[-1].taken_at),
        "last": captures[-1].digest,
        "profile": captures[-1].profile,
        "items": [_captured_document(each) for each in captured],
        "decisions": [_decision_document(decision) for decision in decisions],
    }


def _captured_document(each: Captured) -> dict[str, Any]:
    return {
        "item": each.key,
        "sort": each.sort,
        "values": list(each.values),
        "low": each.low,
        "high": each.high,
        "changes": each.changes,
        "missed": each.missed,
        "why": each.why,
    }


def _decision_document(decision: Decision) -> dict[str, Any]:
    return {
        "item": decision.key,
        "choice": decision.choice,
        "tolerance": decision.tolerance if decision.choice is Choice.TOLERATE else None,
        "reason": decision.reason,
        "by": decision.by,
    }


def parse_capture(document: Mapping[str, Any]) -> tuple[tuple[Captured, ...], tuple[Decision, ...]]:
    """What `capture_document` wrote."""
    captured = tuple(
        Captured(
            found["item"],
            Sort(found["sort"]),
            tuple(found["values"]),
            found["low"],
            found["high"],
            found["changes"],
            found["missed"],
            found["why"],
        )
        for found in document["items"]
    )
    decisions = tuple(
        Decision(found["item"], Choice(found["choice"]), found["reason"], found["by"], found["tolerance"] or 0.0)
        for found in document["decisions"]
    )
    return captured, decisions
