"""What waits for a decision, and all that somebody has to see before they make it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import loads
from typing import Any

from baselines.baseline import Baseline, SignOff, Stage, State
from baselines.capture import Captured, Decision, Sort, parse_capture, undecided
from baselines.review import Difference, Line, differing, review
from baselines.snapshot import Item, Snapshot, parse_snapshot, utc_text
from monitor import actions, store
from monitor.actions import Rules
from monitor.commissioning import varying_document
from monitor.config import Plant
from monitor.proposing import captured_of, rules_of
from monitor.show import baseline_document, sign_off_document
from monitor.store import Transaction

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    """An open proposal beside what is approved. `since` is when it was read again, and what differs then; None if it
    was not. `to_sign` are the roles whose word is missing."""

    proposal: Baseline
    approved: Baseline | None
    lines: tuple[Line, ...]
    since: tuple[datetime, list[str]] | None
    captured: tuple[Captured, ...]
    decisions: tuple[Decision, ...]
    signed: tuple[SignOff, ...]
    to_sign: tuple[str, ...]
    rules: Rules

    @property
    def asset(self) -> str:
        return self.proposal.asset

    @property
    def differing(self) -> list[Line]:
        return differing(self.lines)

    @property
    def same(self) -> list[Line]:
        return [line for line in self.lines if line.difference is Difference.SAME]

    @property
    def varying(self) -> list[tuple[Captured, Decision | None]]:
        """What was not the same in every capture, or was decided about, with the decision where there is one."""
        decided = {decision.key: decision for decision in self.decisions}
        return [
            (each, decided.get(each.key)) for each in self.captured if each.sort is Sort.VARYING or each.key in decided
        ]

    @property
    def undecided(self) -> list[Captured]:
        return undecided(self.captured, self.decisions)


def review_of(tx: Transaction, plant: Plant, asset: str) -> Review | None:
    """The open proposal of an asset as it is reviewed; None if there is none."""
    proposal = store.current_baseline(tx, asset, State.PROPOSED)
    if proposal is None:
        return None
    approved = store.current_baseline(tx, asset)
    before = store.baseline_snapshot(tx, approved) if approved else None
    captured, decisions = captured_of(tx, proposal)
    signed = tuple(store.sign_offs(tx, proposal))
    return Review(
        proposal,
        approved,
        review(before, store.baseline_snapshot(tx, proposal)),
        actions.read_since(tx, proposal),
        captured,
        decisions,
        signed,
        plant.approval.needed(proposal.stage, signed),
        rules_of(plant, asset),
    )


def review_document(found: Review) -> Document:
    """A review as JSON; of what stays the same only how much it is."""
    at, since = found.since or (None, [])
    open_ = {each.key for each in found.undecided}
    return baseline_document(found.proposal) | {
        "approved": baseline_document(found.approved) if found.approved else None,
        "differences": [line_document(line) for line in found.differing],
        "unchanged": len(found.same),
        "read_since": utc_text(at) if at else None,
        "changed_since": since,
        "varying": [
            varying_document(found.asset, each, each.key in open_)
            for each in found.captured
            if each.sort is Sort.VARYING
        ],
        "signed": [sign_off_document(word) for word in found.signed],
        "to_sign": list(found.to_sign),
        "takes_two": found.rules.takes_two,
    }


def line_document(line: Line) -> Document:
    """One difference between a proposal and what is approved."""
    return {
        "item": line.key,
        "difference": line.difference,
        "approved": line.before.shown if line.before else None,
        "proposed": line.after.shown if line.after else None,
        "why": line.why or line.was_why,
        "category": line.item.category if line.item else None,
        "severity": line.severity,
        "techniques": list(line.techniques),
        "direction": line.direction,
        "unit": line.item.unit if line.item else "",
        "tolerance": [each.tolerance if each else None for each in (line.before, line.after)],
    }


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open proposal in a list: how many keys differ from what is approved, and how many nobody has decided about."""

    proposal: Baseline
    differing: int
    undecided: int
    to_sign: tuple[str, ...]


def waiting(tx: Transaction, plant: Plant, proposals: Sequence[Baseline]) -> list[Waiting]:
    """Open proposals as a list shows them; a few queries for all of them."""
    names = [each.asset for each in proposals]
    approved = {each.asset: each.digest for each in store.baselines(tx, names, State.APPROVED)} if names else {}
    texts = dict(store.snapshot_texts(tx, [*(each.digest for each in proposals), *approved.values()]))
    records = dict(store.documents(tx, [each.capture for each in proposals if each.capture]))
    words = store.sign_offs_of(tx, [each.id for each in proposals])
    return [
        Waiting(
            each,
            count_differing(texts.get(approved.get(each.asset, ""), ""), texts.get(each.digest, "")),
            len(undecided(*parse_capture(loads(records[each.capture])))) if each.capture in records else 0,
            plant.approval.needed(each.stage, words.get(each.id, ())),
        )
        for each in proposals
    ]


def count_differing(before: str, after: str) -> int:
    """How many keys differ between two canonical texts, which have a line for each: as many as their review has lines
    to be looked at, and a tenth of the work."""
    lines = map(loads, set(before.splitlines()) ^ set(after.splitlines()))
    return len({line.get("key") or line.get("unread") or line.get("dropped") for line in lines})


def snapshots(tx: Transaction, wanted: Iterable[Baseline]) -> dict[int, Snapshot]:
    """What baselines hold, by their numbers; not those whose text somebody has changed in the store."""
    wanted = list(wanted)
    texts = dict(store.snapshot_texts(tx, [each.digest for each in wanted]))
    return {
        each.id: parse_snapshot(each.asset, each.proposed_at, texts[each.digest], each.profile)
        for each in wanted
        if each.digest in texts
    }


def newest_of_stages(found: Iterable[Baseline]) -> dict[Stage, Baseline]:
    """Of the baselines of an asset, the oldest first, the newest of each stage that was not rejected."""
    newest = {each.stage: each for each in found if each.state is not State.REJECTED}
    return {stage: newest[stage] for stage in Stage if stage in newest}


@dataclass(frozen=True, slots=True)
class Row:
    """One key over several baselines: its item in each (None where it has none), what stands there instead, and which
    of them differ from the first."""

    key: str
    items: tuple[Item | None, ...]
    instead: tuple[str, ...]
    differs: tuple[bool, ...]


def side_by_side(found: Sequence[Snapshot]) -> list[Row]:
    """Several baselines key by key."""
    reasons: list[Mapping[str, str]] = [
        {gap.key: f"not read: {gap.why}" for gap in each.unread}
        | {gone.key: f"dropped: {gone.why}" for gone in each.dropped}
        for each in found
    ]
    keys = sorted({key for each in found for key in each.by_key} | {key for each in reasons for key in each})
    return [_row(key, found, reasons) for key in keys]


def _row(key: str, found: Sequence[Snapshot], reasons: Sequence[Mapping[str, str]]) -> Row:
    items = tuple(each.by_key.get(key) for each in found)
    instead = tuple("" if item else why.get(key, "–") for item, why in zip(items, reasons, strict=True))
    lines = [item.line() if item else "" for item in items]
    return Row(key, items, instead, tuple(line != lines[0] for line in lines))
