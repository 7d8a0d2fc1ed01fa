"""A proposal against what is approved, key by key: what somebody looks at before they approve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from baselines.drift import Deviation, Kind
from baselines.rules import Direction, assess
from baselines.snapshot import Item, Severity, Snapshot, same


class Difference(StrEnum):
    """What would become of a key. CONDITIONS: its value stays, and how it is compared does not (tolerance, category,
    severity, unit). UNREAD: it could not be read. DROPPED: people decided that it is not compared."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    CONDITIONS = "conditions"
    UNREAD = "unread"
    DROPPED = "dropped"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Line:
    """One key of a review. `before` and `after` are the items where there are any; `was_why` and `why` say why a key is
    unread or dropped."""

    key: str
    difference: Difference
    before: Item | None
    after: Item | None
    was_why: str = ""
    why: str = ""
    severity: Severity | None = None
    techniques: tuple[str, ...] = ()
    direction: Direction | None = None

    @property
    def item(self) -> Item | None:
        """The item as it would be approved, or else as it is."""
        return self.after or self.before


def review(approved: Snapshot | None, proposed: Snapshot) -> tuple[Line, ...]:
    """Every key of a proposal and of what is approved, by key. Two that are the same to the digest have only lines that
    are SAME, and only they have."""
    before = approved or Snapshot.of(proposed.asset, proposed.taken_at, ())
    was, will = _reasons(before), _reasons(proposed)
    keys = sorted({*before.by_key, *proposed.by_key, *was, *will})
    return tuple(_line(key, before, proposed, was.get(key), will.get(key)) for key in keys)


def differing(lines: Iterable[Line]) -> list[Line]:
    """The lines that are to be looked at."""
    return [line for line in lines if line.difference is not Difference.SAME]


def _reasons(snapshot: Snapshot) -> dict[str, tuple[Difference, str]]:
    """Of the keys that are no items, or are dropped although they are: which it is, and why."""
    unread = {gap.key: (Difference.UNREAD, gap.why) for gap in snapshot.unread}
    return unread | {each.key: (Difference.DROPPED, each.why) for each in snapshot.dropped}


def _line(
    key: str,
    before: Snapshot,
    proposed: Snapshot,
    was: tuple[Difference, str] | None,
    will: tuple[Difference, str] | None,
) -> Line:
    one, other = before.by_key.get(key), proposed.by_key.get(key)
    difference = _difference(key, one, other, was, will, proposed)
    line = Line(key, difference, one, other, was[1] if was else "", will[1] if will else "")
    if not (one or other):
        return line
    kind = Kind.CHANGED if one and other else Kind.ADDED if other else Kind.REMOVED
    (meaning,) = assess([Deviation(key, kind, one, other)])
    return replace(line, severity=meaning.severity, techniques=meaning.techniques, direction=meaning.direction)


def _difference(
    key: str,
    one: Item | None,
    other: Item | None,
    was: tuple[Difference, str] | None,
    will: tuple[Difference, str] | None,
    proposed: Snapshot,
) -> Difference:
    if (one and one.line()) == (other and other.line()) and was == will:
        return Difference.SAME
    if will is not None and will != was:
        return will[0]
    if one is None:
        return Difference.ADDED if other is not None else Difference.REMOVED
    if other is None:
        return Difference.UNREAD if proposed.misses(key) else Difference.REMOVED
    return Difference.CONDITIONS if same(one.value, other.value) and one.label == other.label else Difference.CHANGED
