"""The items of an asset, what is approved and what was seen side by side: what differs first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from baselines.drift import WORST_FIRST, Verdict, compare, verdicts
from baselines.rules import Finding, assess
from baselines.snapshot import Item, Snapshot


@dataclass(frozen=True, slots=True)
class Pair:
    """One item. `verdict` is None of one that people dropped; `why` says why it was not read, or was dropped."""

    key: str
    verdict: Verdict | None
    approved: Item | None
    observed: Item | None
    finding: Finding | None
    why: str = ""

    @property
    def item(self) -> Item | None:
        """As approved, or else as seen."""
        return self.approved or self.observed


def pairs(approved: Snapshot | None, observed: Snapshot | None) -> list[Pair]:
    """All items of an asset, the worst first, then by key."""
    seen = observed.by_key if observed else {}
    known = approved.by_key if approved else {}
    found = {each.deviation.key: each for each in assess(compare(approved, observed))} if approved and observed else {}
    judged = verdicts(approved, observed) if observed else dict.fromkeys(known, Verdict.NEVER_SEEN)
    lines = [
        Pair(key, verdict, known.get(key), seen.get(key), found.get(key), _unread(observed, approved, key))
        for key, verdict in judged.items()
    ]
    lines.sort(key=lambda each: (WORST_FIRST.index(each.verdict or Verdict.MATCH), each.key))
    dropped = approved.dropped if approved else ()
    return lines + [Pair(each.key, None, None, seen.get(each.key), None, each.why) for each in dropped]


def _unread(observed: Snapshot | None, approved: Snapshot | None, key: str) -> str:
    if observed is not None and key in observed.by_key:
        return ""
    for snapshot in (observed, approved):
        if snapshot is not None:
            for gap in snapshot.unread:
                if gap.covers(key):
                    return gap.why
    return ""


def pair_document(pair: Pair) -> dict[str, Any]:
    """One item, as JSON."""
    item = pair.item
    return {
        "item": pair.key,
        "verdict": pair.verdict,
        "approved": pair.approved.shown if pair.approved else None,
        "observed": pair.observed.shown if pair.observed else None,
        "category": item.category if item else None,
        "severity": pair.finding.severity if pair.finding else item.severity if item else None,
        "unit": item.unit if item else "",
        "tolerance": item.tolerance if item else 0.0,
        "kind": pair.finding.deviation.kind if pair.finding else None,
        "techniques": list(pair.finding.techniques) if pair.finding else [],
        "dropped": pair.verdict is None,
        "why": pair.why,
    }
