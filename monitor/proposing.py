"""Proposals: made of what was read, decided about, approved in part or whole, and found again. The same for a command,
a page and a program."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from json import loads
from typing import Any

from baselines.baseline import Baseline, Stage, State
from baselines.capture import Captured, Choice, Decision, parse_capture
from baselines.drift import between
from baselines.rules import assess
from baselines.snapshot import Snapshot
from monitor import actions, store
from monitor.actions import Rules
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.show import baseline_document, deviation_document, sign_off_document, value_text
from monitor.store import Actor, Transaction

SHORTEST_DIGEST = 6  # hex digits by which a digest may be named

Document = dict[str, Any]


def rules_of(plant: Plant, name: str) -> Rules:
    """What approving an asset takes."""
    return Rules(plant.approval, plant.criticality(name))


def objection(document: Document, incomplete: bool) -> str:
    """Why what was read cannot be proposed; "" if it can."""
    if document["error"]:
        return f"{document['error']['kind']}: {document['error']['text']}"
    if document["unread"] and not incomplete:
        gaps = ", ".join(f"{key} ({why})" for key, why in document["why_unread"].items())
        return f"not everything was read: {gaps}; mend it, or propose it as it is (--incomplete)"
    return ""


def snapshot_of(tx: Transaction, document: Document) -> Snapshot:
    """What a poll stored."""
    taken_at = datetime.fromisoformat(document["taken_at"])
    return store.snapshot_of(tx, document["asset"], document["digest"], taken_at, document["profile_digest"])


def propose_read(
    tx: Transaction,
    plant: Plant,
    documents: Iterable[Document],
    stage: Stage,
    who: Actor,
    now: datetime,
    reason: str,
    ticket: str,
    incomplete: bool,
) -> Document:
    """Propose what was read once; what was not is in "refused", each with the reason."""
    proposed, refused = [], []
    for document in documents:
        name = document["asset"]
        if why := objection(document, incomplete):
            refused.append({"asset": name, "why": why})
            continue
        snapshot, rules = snapshot_of(tx, document), rules_of(plant, name)
        made = actions.propose(tx, snapshot, stage, who, now, reason, ticket, rules=rules)
        proposed.append(baseline_document(made))
    return {"baselines": proposed, "refused": refused}


def tolerated(item: str, amount: str, because: str) -> Decision | None:
    """The decision that an item may move by an amount; None if that is no number above 0."""
    try:
        tolerance = float(amount)
    except ValueError:
        return None
    if not item or not 0 < tolerance < float("inf"):
        return None
    return Decision(item, Choice.TOLERATE, because, "", tolerance)


def decisions_for(captured: Iterable[Captured], wishes: Iterable[Decision], by: str) -> list[Decision]:
    """The decisions about the items of one asset that were named, of each the last."""
    keys = [each.key for each in captured]
    decided = {
        key: replace(wish, key=key, by=by)
        for wish in wishes
        for key in keys
        if key == wish.key or fnmatchcase(key, wish.key)
    }
    return list(decided.values())


def decide(
    tx: Transaction, plant: Plant, asset: str, wishes: Sequence[Decision], who: Actor, because: str, now: datetime
) -> tuple[Baseline, list[Captured]]:
    """Decide about items of an open proposal, named or by patterns; what `actions.decide` gives. CallError for one that
    nothing was captured of."""
    proposed = store.current_baseline(tx, asset, State.PROPOSED)
    captured = captured_of(tx, proposed)[0] if proposed else ()
    named = {wish.key for wish in wishes if not decisions_for(captured, [wish], who.name)}
    if captured and named:
        raise CallError(
            f"{asset}: nothing was captured of {', '.join(sorted(named))};"
            f" asbuilt baseline show {asset} lists what was (an item of a profile begins with item.)"
        )
    return actions.decide(
        tx, asset, decisions_for(captured, wishes, who.name), who, because, now, rules_of(plant, asset)
    )


def captured_of(tx: Transaction, baseline: Baseline) -> tuple[tuple[Captured, ...], tuple[Decision, ...]]:
    """What was captured for a baseline, and what was decided about it; nothing of a single reading."""
    record = store.document(tx, baseline.capture) if baseline.capture else None
    return parse_capture(loads(record)) if record else ((), ())


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody says who approves. `only` and `without` are items or patterns, `keys` just these items: each None
    for all of them."""

    reason: str
    ticket: str = ""
    digest: str | None = None
    only: Collection[str] | None = None
    without: Collection[str] | None = None
    keys: Collection[str] | None = None
    although_changed: bool = False


def approve(tx: Transaction, plant: Plant, asset: str, who: Actor, word: Word, now: datetime) -> Baseline:
    """Sign the open proposal of an asset off; approved when nobody else has to."""
    keys = part(tx, asset, word.only, word.without) if word.keys is None else _just(tx, asset, word.keys)
    approved, _ = actions.approve(
        tx,
        asset,
        who,
        word.reason,
        now,
        word.digest,
        word.ticket,
        keys,
        word.although_changed,
        rules_of(plant, asset),
    )
    return approved


def part(
    tx: Transaction, name: str, only: Collection[str] | None, without: Collection[str] | None
) -> Collection[str] | None:
    """The items that are approved, of an open proposal and of what was approved before; None for all of them."""
    if not only and not without:
        return None
    keys = _keys(tx, name)
    for pattern in (*(only or ()), *(without or ())):
        if not any(_fits(key, [pattern]) for key in keys):
            raise CallError(f"{name}: neither the proposal nor the baseline has an item {pattern}")
    chosen = {key for key in keys if (not only or _fits(key, only)) and not _fits(key, without or ())}
    if not chosen:
        raise CallError(f"{name}: that leaves nothing to approve")
    return chosen


def _just(tx: Transaction, name: str, keys: Collection[str]) -> Collection[str]:
    """These items, none of which is a pattern; CallError for one that there is not."""
    if unknown := sorted(set(keys) - _keys(tx, name)):
        raise CallError(f"{name}: neither the proposal nor the baseline has an item {value_text(unknown[0])}")
    return keys


def _keys(tx: Transaction, name: str) -> set[str]:
    """The keys of an open proposal and of what is approved, also those that were not read or are not compared."""
    keys: set[str] = set()
    for state in (State.PROPOSED, State.APPROVED):
        if found := store.current_baseline(tx, name, state):
            snapshot = store.baseline_snapshot(tx, found)
            keys |= {*snapshot.by_key, *snapshot.left_out, *(gap.key for gap in snapshot.unread)}
    return keys


def _fits(key: str, patterns: Iterable[str]) -> bool:
    return any(key == pattern or fnmatchcase(key, pattern) for pattern in patterns)


def to_sign(tx: Transaction, plant: Plant, baseline: Baseline) -> tuple[str, ...]:
    """The roles that have still to sign an open proposal off."""
    if baseline.state is not State.PROPOSED:
        return ()
    return plant.approval.needed(baseline.stage, store.sign_offs(tx, baseline))


def decided_document(tx: Transaction, plant: Plant, decided: Iterable[Baseline]) -> Document:
    """What became of proposals, and who has still to sign them."""
    return {"baselines": [baseline_document(each) | {"to_sign": list(to_sign(tx, plant, each))} for each in decided]}


def shown_document(tx: Transaction, plant: Plant, baseline: Baseline, snapshot: Snapshot) -> Document:
    """All of one baseline."""
    record = store.document(tx, baseline.capture) if baseline.capture else None
    return baseline_document(baseline) | {
        "items": {item.key: item.shown for item in snapshot.items},
        "unread": [gap.key for gap in snapshot.unread],
        "dropped": {each.key: each.why for each in snapshot.dropped},
        "signed": [sign_off_document(word) for word in store.sign_offs(tx, baseline)],
        "to_sign": list(to_sign(tx, plant, baseline)),
        "capture": loads(record) if record else None,
    }


def differences_document(tx: Transaction, one: str, other: str) -> Document:
    """What differs between two baselines, or between two stages."""
    found = pairs(tx, one, other)
    deviations = [
        {"asset": left.asset, **deviation_document(finding)}
        for left, right in found
        for finding in assess(between(left, replace(right, asset=left.asset)))
    ]
    return {"a": one, "b": other, "assets": [left.asset for left, _ in found], "deviations": deviations}


def pairs(tx: Transaction, one: str, other: str) -> list[tuple[Snapshot, Snapshot]]:
    """What two baselines hold; of two stages, for every asset that has both."""
    stages = {stage.value for stage in Stage}
    if (one in stages) != (other in stages):
        raise CallError("a stage is compared with a stage: write both, or asset@stage on both sides")
    if one not in stages:
        return [(resolve(tx, one)[1], resolve(tx, other)[1])]
    of_stage = {
        stage: {
            each.asset: each for each in store.baselines(tx) if each.stage == stage and each.state != State.REJECTED
        }
        for stage in (one, other)
    }
    both = [asset for asset in of_stage[one] if asset in of_stage[other]]
    if not both:
        raise NotNow(f"no asset has a baseline of stage {one} and one of stage {other}")
    return [
        (store.baseline_snapshot(tx, of_stage[one][asset]), store.baseline_snapshot(tx, of_stage[other][asset]))
        for asset in both
    ]


def resolve(tx: Transaction, reference: str) -> tuple[Baseline, Snapshot]:
    """The newest baseline that a reference names, and what it holds: an asset (its open proposal, or else what is
    approved), an asset@stage, an asset@digest, or a digest; of digests the beginning is enough."""
    reference = reference.replace("\0", "")
    asset, at, which = reference.rpartition("@")
    if at:
        fitting = [each for each in store.baselines(tx, [asset]) if _is_which(each, which)]
    else:
        states = (State.PROPOSED, State.APPROVED)
        fitting = [each for each in store.baselines(tx, [reference]) if each.state in states]
    if not fitting and len(reference) >= SHORTEST_DIGEST:
        fitting = [each for each in store.baselines(tx) if each.digest.startswith(reference.lower())]
        if len({each.digest for each in fitting}) > 1:
            raise CallError(f"{reference} begins more than one digest; write more of it")
    if not fitting:
        raise CallError(f"no baseline is named {value_text(reference)}; asbuilt baseline list shows them")
    return fitting[-1], store.baseline_snapshot(tx, fitting[-1])


def _is_which(baseline: Baseline, which: str) -> bool:
    if which in set(Stage):
        return baseline.stage == which and baseline.state is not State.REJECTED
    return len(which) >= SHORTEST_DIGEST and baseline.digest.startswith(which.lower())
