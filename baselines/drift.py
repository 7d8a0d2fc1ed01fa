"""Comparing what was observed with what was approved: deviations, and a verdict per item and asset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from baselines.snapshot import Item, Snapshot, canonical, same

PROFILE_KEYS = "item."  # these keys come from the profile: a device can neither add nor remove one
HOST_KEYS = "host."  # host.<mac>.ips, and what the host says that it is
ADDRESS_KEYS = "address."  # who claims an address: a new one is told by the host that has it
HEARD_KEYS = (HOST_KEYS, "service.", "conversation.", ADDRESS_KEYS)  # of a segment: who is silent is silent, not gone


class Kind(StrEnum):
    """How an item deviates; or else what an alarm is about: two witnesses that contradict each other (of an approved
    and an observed value, `approved` is what was polled), something that somebody did over the network, a device that
    was replaced like for like, a witness that sees nothing any more (`observed` says why), or a test of the alarms
    themselves."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    CONFLICT = "conflict"
    EVENT = "event"
    REPLACED = "replaced"
    BLIND = "blind"
    SELFTEST = "selftest"


DEVIATIONS = (Kind.ADDED, Kind.REMOVED, Kind.CHANGED, Kind.REPLACED)  # the kinds that are about an item


class Verdict(StrEnum):
    """What is known of an item or an asset, the worst first. What was not seen is never a match.

    drift: seen, and it differs. no-longer-observable: looked for, seen before, not seen now. never-seen: looked for,
    not seen so far. stale: nobody has looked lately, or it has been silent. no-baseline: seen, and nobody has approved
    it.
    """

    DRIFT = "drift"
    NO_LONGER_OBSERVABLE = "no-longer-observable"
    NEVER_SEEN = "never-seen"
    STALE = "stale"
    NO_BASELINE = "no-baseline"
    MATCH = "match"


WORST_FIRST = tuple(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of the verdicts; of none, no-baseline."""
    return min(verdicts, key=WORST_FIRST.index, default=Verdict.NO_BASELINE)


@dataclass(frozen=True, slots=True)
class Deviation:
    """One item that is not as approved; `approved` is None where it was added, `observed` where it was removed."""

    key: str
    kind: Kind
    approved: Item | None
    observed: Item | None

    @property
    def item(self) -> Item:
        """The item as approved, or else as observed: its category and severity are those of the deviation."""
        found = self.approved or self.observed
        assert found is not None
        return found


def compare(approved: Snapshot, observed: Snapshot) -> tuple[Deviation, ...]:
    """The deviations of `observed` from `approved`, by key. What was not read never deviates.

    Tolerance, category and severity are the approved ones: a profile that was edited since cannot hide a change.
    What a segment's wire says is a list of what was heard: less than approved is no deviation, more is.
    """
    if approved.digest == observed.digest:
        return ()
    return tuple(sorted([*_gone_or_changed(approved, observed), *_added(approved, observed)], key=lambda d: d.key))


def between(one: Snapshot, other: Snapshot) -> tuple[Deviation, ...]:
    """The differences of two baselines, by key: also of what a device can neither add nor remove, such as an item that
    only one of their profiles has, or that was dropped from one of them."""
    found = {deviation.key: deviation for deviation in compare(one, other)}
    for item in one.items:
        if item.key not in other.by_key:
            found.setdefault(item.key, Deviation(item.key, Kind.REMOVED, item, None))
    for item in other.items:
        if item.key not in one.by_key:
            found.setdefault(item.key, Deviation(item.key, Kind.ADDED, None, item))
    return tuple(sorted(found.values(), key=lambda deviation: deviation.key))


def _gone_or_changed(approved: Snapshot, observed: Snapshot) -> Iterable[Deviation]:
    for item in approved.items:
        found = observed.by_key.get(item.key)
        if found is not None:
            if not (same(item.value, found.value, item.tolerance) or _only_less(item, found)):
                yield Deviation(item.key, Kind.CHANGED, item, found)
        elif not (observed.misses(item.key) or item.key.startswith((PROFILE_KEYS, *HEARD_KEYS))):
            yield Deviation(item.key, Kind.REMOVED, item, None)


def _only_less(approved: Item, observed: Item) -> bool:
    """Whether a list of what was heard holds nothing that was not approved."""
    if not (approved.key.startswith(HEARD_KEYS) and isinstance(approved.value, tuple)):
        return False
    known = [canonical(part) for part in approved.value]
    return isinstance(observed.value, tuple) and all(canonical(part) in known for part in observed.value)


def _added(approved: Snapshot, observed: Snapshot) -> Iterable[Deviation]:
    for item in observed.items:
        known = item.key in approved.by_key or item.key in approved.left_out
        if not (known or _unapproved(approved, item.key)):
            yield Deviation(item.key, Kind.ADDED, None, item)


def _unapproved(approved: Snapshot, key: str) -> bool:
    """Whether a key that is not in the baseline is there because we look further now, not because the device changed:
    the profile gained it, or it could not be read when the baseline was captured; or because another key says it; or
    because an approved host has said more of itself than before, as when somebody asked it."""
    if key.startswith(HOST_KEYS):
        return key.rpartition(".")[0] + ".ips" in approved.by_key
    return key.startswith((PROFILE_KEYS, ADDRESS_KEYS)) or approved.misses(key)


def verdicts(approved: Snapshot | None, observed: Snapshot) -> Mapping[str, Verdict]:
    """The verdict on every key that was approved, observed or asked for, but for those that people dropped."""
    found: dict[str, Verdict] = {item.key: Verdict.NO_BASELINE for item in observed.items}
    if approved is None:
        return found | {gap.key: Verdict.NEVER_SEEN for gap in observed.unread}
    found = {key: verdict for key, verdict in found.items() if key not in approved.left_out}
    for item in approved.items:
        found[item.key] = Verdict.MATCH if item.key in observed.by_key else _unseen(item.key, observed)
    found |= {deviation.key: Verdict.DRIFT for deviation in compare(approved, observed)}
    for gap in (*approved.unread, *observed.unread):
        if gap.key not in approved.left_out and not any(gap.covers(key) for key in found):
            found[gap.key] = Verdict.NEVER_SEEN
    return found


def _unseen(key: str, observed: Snapshot) -> Verdict:
    silent = key.startswith(HEARD_KEYS) and not observed.misses(key)
    return Verdict.STALE if silent else Verdict.NO_LONGER_OBSERVABLE


def verdict(approved: Snapshot | None, observed: Snapshot) -> Verdict:
    """The verdict on an asset that was just observed: the worst of its items."""
    return worst(verdicts(approved, observed).values())
