"""What people do: propose, approve, reject, acknowledge, shelve. Each is audited in the transaction that does it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from baselines.alert import ACKED, NORMAL, Alert, Move, acknowledge, shelve
from baselines.asset import Criticality
from baselines.baseline import (
    NEXT,
    Approval,
    Baseline,
    SignOff,
    Stage,
    State,
    Step,
    objection,
    partly,
)
from baselines.capture import Captured, Decision, capture_document, parse_capture, proposal, undecided
from baselines.cause import Cause
from baselines.drift import compare
from baselines.rules import assess
from baselines.snapshot import Snapshot, utc_text
from monitor import store
from monitor.errors import NotNow
from monitor.pipeline import settle
from monitor.show import change_text, difference_lines
from monitor.store import Actor, Transaction

DIFFERENCES_MOST = 20  # lines in a refusal
PROPOSING = ("baseline.propose", "baseline.amend", "baseline.sign")  # the entries that say how a proposal came to be


@dataclass(frozen=True, slots=True)
class Rules:
    """What approving takes, of one asset."""

    approval: Approval = field(default_factory=Approval)
    criticality: Criticality = Criticality.MEDIUM

    @property
    def takes_two(self) -> bool:
        return self.approval.takes_two(self.criticality)


NO_RULES = Rules()


def propose(
    tx: Transaction,
    snapshot: Snapshot,
    stage: Stage,
    actor: Actor,
    now: datetime,
    reason: str = "",
    ticket: str = "",
    capture: str | None = None,
    rules: Rules = NO_RULES,
) -> Baseline:
    """Propose a snapshot as an asset's baseline; an older open proposal gives way."""
    assure_person(tx, actor, rules.takes_two)
    store.keep_snapshot(tx, snapshot)
    older = store.current_baseline(tx, snapshot.asset, State.PROPOSED)
    if older is not None:
        supersede(tx, older)
    made = Baseline(0, snapshot.asset, snapshot.digest, State.PROPOSED, stage, snapshot.profile, actor.name, now)
    proposed = store.add_baseline(tx, replace(made, reason=reason, ticket=ticket, capture=capture))
    detail = {"digest": proposed.digest, "stage": stage.value, "profile": proposed.profile, "reason": reason}
    detail |= {"ticket": ticket} if ticket else {}
    detail |= {"capture": capture} if capture else {}
    store.audit(tx, now, actor, "baseline.propose", snapshot.asset, detail)
    return proposed


def propose_captured(
    tx: Transaction,
    captures: Sequence[Snapshot],
    captured: Iterable[Captured],
    decisions: Iterable[Decision],
    stage: Stage,
    actor: Actor,
    now: datetime,
    reason: str = "",
    ticket: str = "",
    rules: Rules = NO_RULES,
) -> Baseline:
    """Propose what several captures came to; the record of all that they saw is kept with it."""
    captured, decisions = tuple(captured), tuple(decisions)
    store.keep_snapshot(tx, captures[-1])
    record = store.keep_document(tx, json.dumps(capture_document(captures, captured, decisions), sort_keys=True))
    proposed = proposal(captures[-1], captured, decisions)
    return propose(tx, proposed, stage, actor, now, reason, ticket, record, rules)


def decide(
    tx: Transaction,
    asset: str,
    decisions: Collection[Decision],
    actor: Actor,
    reason: str,
    now: datetime,
    rules: Rules = NO_RULES,
) -> tuple[Baseline, list[Captured]]:
    """Decide about items of the open proposal of an asset: a new proposal in its place, and what varies still without a
    decision. NotNow where it was not commissioned, has no such item, or where this person may not: by four eyes only
    who proposed decides, or else somebody could approve what they decided alone."""
    assure_person(tx, actor, rules.takes_two)
    proposed = open_proposal(tx, asset)
    if rules.takes_two and actor.name != proposed.proposed_by:
        raise NotNow(f"{asset}: {proposed.proposed_by} proposed it, and by four eyes decides about it too")
    record = store.document(tx, proposed.capture) if proposed.capture else None
    if record is None:
        raise NotNow(f"{asset}: the open proposal is of a single reading; asbuilt commission watches what varies")
    document = json.loads(record)
    captured, earlier = parse_capture(document)
    for decision in decisions:
        if decision.key not in {each.key for each in captured}:
            raise NotNow(f"{asset}: {decision.key} was neither read nor asked for")
    named = {decision.key for decision in decisions}
    kept = (*(each for each in earlier if each.key not in named), *decisions)
    last = store.snapshot_of(tx, asset, document["last"], proposed.proposed_at, proposed.profile)
    document["decisions"] = capture_document([last], captured, kept)["decisions"]
    changed = proposal(last, captured, kept)
    what = {"decisions": json.dumps(document["decisions"], sort_keys=True), "reason": reason}
    record = store.keep_document(tx, json.dumps(document, sort_keys=True))
    amended = _amend(tx, proposed, changed, actor, now, what, record)
    return amended, undecided(captured, kept)


def _amend(
    tx: Transaction,
    proposed: Baseline,
    changed: Snapshot,
    actor: Actor,
    now: datetime,
    what: dict[str, str],
    capture: str | None = None,
) -> Baseline:
    """Another proposal in the place of one: it stays that of who proposed it."""
    store.keep_snapshot(tx, changed)
    supersede(tx, proposed)
    amended = replace(proposed, digest=changed.digest, capture=capture or proposed.capture)
    detail = {"digest": changed.digest, "of": proposed.digest, **what} | ({"capture": capture} if capture else {})
    amended = store.add_baseline(tx, amended)
    store.audit(tx, now, actor, "baseline.amend", proposed.asset, detail)
    return amended


def approve(
    tx: Transaction,
    asset: str,
    actor: Actor,
    reason: str,
    now: datetime,
    digest: str | None = None,
    ticket: str = "",
    keys: Collection[str] | None = None,
    although_changed: bool = False,
    rules: Rules = NO_RULES,
) -> tuple[Baseline, list[Move]]:
    """Sign the open proposal of an asset off, with `keys` only these items of it. When nobody else's word is needed it
    is approved, and its alarms are settled; else it stays proposed.

    NotNow if there is no open proposal or not this one, if what was observed since differs from it (unless
    `although_changed`), or if this person may not.
    """
    proposed = open_proposal(tx, asset, digest)
    assure_person(tx, actor, rules.takes_two)
    given = store.sign_offs(tx, proposed)
    needed = rules.approval.needed(proposed.stage, given)
    role = _role(tx, actor, needed)
    if why := objection(proposed, given, actor.name, role, needed, rules.takes_two):
        raise NotNow(f"{asset}: {why}")
    if rules.takes_two:
        _assure_signed(tx, proposed)
    if not although_changed:
        _assure_unchanged(tx, proposed)
    if keys is not None:
        proposed = _narrowed(tx, proposed, keys, actor, now)
    word = SignOff(actor.name, role, now, reason, ticket)
    left = tuple(each for each in needed if each != role)
    store.add_sign_off(tx, proposed, word)
    detail = {"digest": proposed.digest, "stage": proposed.stage.value, "profile": proposed.profile}
    detail |= {"role": role, "reason": reason, "ticket": ticket}
    if left:
        store.audit(tx, now, actor, "baseline.sign", asset, detail)
        return proposed, []
    current = store.current_baseline(tx, asset)
    approved = _decide(tx, replace(proposed, ticket=ticket or proposed.ticket), Step.APPROVE, actor, reason, now)
    if current is not None:
        supersede(tx, current)
    store.audit(tx, now, actor, "baseline.approve", asset, detail)
    return approved, settle(tx, approved, now)


def _role(tx: Transaction, actor: Actor, needed: Collection[str]) -> str:
    """The role in which somebody signs: the one that they name, or of a registered person the one that is needed."""
    known = store.person(tx, actor.name) if actor.signer else None
    if known is None:
        return actor.role
    if actor.role and actor.role not in known.roles:
        raise NotNow(f"{actor.name} is registered as {', '.join(known.roles) or 'nothing'}, not as {actor.role}")
    fitting = [role for role in needed if role in known.roles]
    return actor.role or (fitting[0] if fitting else "")


def _assure_signed(tx: Transaction, proposed: Baseline) -> None:
    """NotNow unless all that a proposal came to be by was signed, and decided by who proposed it: four eyes may not
    have looked here then. Who chose a part of it is one of those who approve it."""
    asset, digest, who = proposed.asset, proposed.digest, proposed.proposed_by
    for entry in reversed(list(store.audit_entries(tx))):
        said = entry.detail
        if entry.action == "asset.rename" and said.get("to") == asset:
            asset = entry.subject
        if entry.subject != asset or entry.action not in PROPOSING or said.get("digest") != digest:
            continue
        decides = entry.action == "baseline.amend" and "items" not in said
        if "signature" not in said or (decides and entry.actor != proposed.proposed_by):
            who = entry.actor
            break
        if entry.action == "baseline.propose":
            return
        digest = said.get("of", digest)
    raise NotNow(f"{proposed.asset}: what {who} did about the proposal was done without four eyes: propose it anew")


def read_since(tx: Transaction, proposed: Baseline) -> tuple[datetime, list[str]] | None:
    """When an asset was read last since it was proposed, and what differs then, as sentences; None if it was not."""
    run = store.last_run(tx, proposed.asset, observed=True)
    if run is None or run.digest is None or run.last_at <= proposed.proposed_at:
        return None
    seen = store.snapshot_of(tx, proposed.asset, run.digest, run.last_at, run.profile or "")
    return run.last_at, difference_lines(assess(compare(store.baseline_snapshot(tx, proposed), seen)))


def _assure_unchanged(tx: Transaction, proposed: Baseline) -> None:
    """NotNow, with the difference, if what was observed last is not what is proposed."""
    at, found = read_since(tx, proposed) or (proposed.proposed_at, [])
    if found:
        more = [f"… and {len(found) - DIFFERENCES_MOST} more"] if len(found) > DIFFERENCES_MOST else []
        raise NotNow(
            "\n".join(
                [
                    f"{proposed.asset}: it was read at {utc_text(at)}, and differs from what is proposed:",
                    *(f"  {line}" for line in found[:DIFFERENCES_MOST] + more),
                    "propose it anew (asbuilt baseline propose), or approve it all the same (--although-changed)",
                ]
            )
        )


def _narrowed(tx: Transaction, proposed: Baseline, keys: Collection[str], actor: Actor, now: datetime) -> Baseline:
    """The proposal of only some items, all else as it is approved; the proposal itself if that is all of it."""
    whole = store.baseline_snapshot(tx, proposed)
    current = store.current_baseline(tx, proposed.asset)
    part = partly(store.baseline_snapshot(tx, current) if current else None, whole, keys)
    if part.digest == whole.digest:
        return proposed
    if store.sign_offs(tx, proposed):
        raise NotNow(f"{proposed.asset}: others have signed all of it already; propose the part anew")
    return _amend(tx, proposed, part, actor, now, {"items": json.dumps(sorted(keys))})


def reject(
    tx: Transaction,
    asset: str,
    actor: Actor,
    reason: str,
    now: datetime,
    rules: Rules = NO_RULES,
    digest: str | None = None,
) -> Baseline:
    """Reject the open proposal of an asset; NotNow if it is not the one of the digest."""
    assure_person(tx, actor, rules.takes_two)
    rejected = _decide(tx, open_proposal(tx, asset, digest), Step.REJECT, actor, reason, now)
    store.audit(tx, now, actor, "baseline.reject", asset, {"digest": rejected.digest, "reason": reason})
    return rejected


def assure_person(tx: Transaction, actor: Actor, has_to_sign: bool) -> None:
    """NotNow if somebody has to sign and does not, or signs as somebody whose key it is not."""
    if actor.signer is None:
        if has_to_sign:
            raise NotNow(
                f"four eyes look here, so {actor.name} signs with a key or password of their own:"
                " --key FILE, or type the password (asbuilt person add registers people)"
            )
        return
    known = store.person(tx, actor.name)
    if known is None or known.public_key != actor.signer.key:
        raise NotNow(f"this is not the key of {actor.name}; asbuilt person list shows who is registered")


def open_proposal(tx: Transaction, asset: str, digest: str | None = None) -> Baseline:
    """The open proposal of an asset; NotNow if there is none, or not the one that somebody saw."""
    proposed = store.current_baseline(tx, asset, State.PROPOSED)
    if proposed is not None:
        if digest is None or proposed.digest.startswith(digest.lower()):
            return proposed
        raise NotNow(
            f"{asset}: the open proposal is {proposed.digest}, not {digest}. It has moved on: look at the difference"
            f" (asbuilt baseline diff {digest[:12]} {proposed.digest[:12]}), then decide about what you saw"
        )
    approved = store.current_baseline(tx, asset)
    if approved is not None and approved.decided_at is not None:
        when = utc_text(approved.decided_at)
        raise NotNow(
            f"{asset}: no open proposal; {approved.digest[:12]} was approved by {approved.decided_by} at {when}"
        )
    raise NotNow(f"{asset}: no open proposal; make one with asbuilt baseline propose, or asbuilt commission")


def _decide(tx: Transaction, proposed: Baseline, step: Step, actor: Actor, reason: str, now: datetime) -> Baseline:
    state = NEXT[proposed.state, step]
    decided = replace(proposed, state=state, decided_by=actor.name, decided_at=now, reason=reason or proposed.reason)
    if not store.move_baseline(tx, decided, State.PROPOSED):
        raise NotNow(f"{proposed.asset}: somebody else decided on this proposal a moment ago")
    return decided


def supersede(tx: Transaction, older: Baseline) -> None:
    """A newer baseline takes the place of one, or its asset is retired."""
    store.move_baseline(tx, replace(older, state=NEXT[older.state, Step.SUPERSEDE]), older.state)


def acknowledge_alerts(tx: Transaction, ids: Sequence[int], actor: Actor, reason: str, now: datetime) -> list[Move]:
    """Acknowledge alarms, all of them or none; NotNow names those that cannot be, and who was quicker."""
    asked = [(alert, acknowledge(alert, actor.name, reason, now)) for alert in alerts_of(tx, ids)]
    if stuck := [alert for alert, move in asked if move is None]:
        more = f"; and {len(stuck) - DIFFERENCES_MOST} more" if len(stuck) > DIFFERENCES_MOST else ""
        none = f" (and so none of the {len(asked)} was acknowledged)" if len(asked) > 1 else ""
        raise NotNow("; ".join(map(_nothing_to_acknowledge, stuck[:DIFFERENCES_MOST])) + more + none)
    return [_do(tx, move, "alert.acknowledge", actor, {"reason": reason}, now) for _, move in asked if move]


def _nothing_to_acknowledge(alert: Alert) -> str:
    text = f"alarm {alert.id} ({alert.asset} {alert.item}) is {alert.state}: nothing to acknowledge"
    if alert.state in (ACKED, NORMAL) and alert.acknowledged_by:
        text += f", {alert.acknowledged_by} did so at {utc_text(alert.changed_at)}"
    return text


def close_alerts(
    tx: Transaction,
    ids: Sequence[int],
    cause: Cause,
    prevention: str,
    actor: Actor,
    now: datetime,
    observed: Mapping[str, Sequence[str]],
) -> list[Alert]:
    """Close the cases of alarms, all of them or none: why it came about, and what keeps it from happening again.

    `observed` has, by asset, what a fresh reading still says against its baseline: a case is closed when nothing does.
    NotNow names what is in the way. What nobody had acknowledged is acknowledged with it.
    """
    closed = []
    for alert in alerts_of(tx, ids):
        if alert.closed_at is not None:
            raise NotNow(f"the case of alarm {alert.id} was closed by {alert.closed_by} at {utc_text(alert.closed_at)}")
        if still := observed.get(alert.asset):
            raise NotNow(
                f"the case of alarm {alert.id} stays open, for {alert.asset} is not as approved yet:\n"
                + "\n".join(f"  {line}" for line in still[:DIFFERENCES_MOST])
            )
        if move := acknowledge(alert, actor.name, prevention, now):
            alert = _do(tx, move, "alert.acknowledge", actor, {"reason": prevention}, now).alert
        if alert.state is not NORMAL:
            raise NotNow(f"alarm {alert.id} ({alert.asset} {alert.item}) is {alert.state}: its case stays open")
        done = replace(alert, cause=cause.value, prevention=prevention, closed_by=actor.name, closed_at=now)
        store.keep_alert(tx, done)
        detail = {"alert": str(alert.id), "deviation": deviation(alert), "cause": cause.value, "prevention": prevention}
        store.audit(tx, now, actor, "alert.close", alert.asset, detail)
        closed.append(done)
    return closed


def shelve_alert(tx: Transaction, number: int, until: datetime, actor: Actor, reason: str, now: datetime) -> Move:
    """Put an alarm away until a time."""
    if until <= now:
        raise NotNow(f"{utc_text(until)} is not in the future: an alarm is shelved until a later time")
    (alert,) = alerts_of(tx, [number])
    move = shelve(alert, until, reason, now)
    if move is None:
        raise NotNow(f"alarm {number} ({alert.asset} {alert.item}) is {alert.state}: it cannot be shelved")
    return _do(tx, move, "alert.shelve", actor, {"reason": reason, "until": utc_text(until)}, now)


def alerts_of(tx: Transaction, ids: Sequence[int]) -> list[Alert]:
    """The alarms with these numbers, each once; NotNow names the one that is not there."""
    found = {alert.id: alert for alert in store.alerts(tx, ids=ids, closed=True)}
    for number in ids:
        if number not in found:
            raise NotNow(f"there is no alarm {number}; asbuilt alerts list shows them")
    return [found[number] for number in dict.fromkeys(ids)]


def _do(tx: Transaction, move: Move, action: str, actor: Actor, detail: dict[str, str], now: datetime) -> Move:
    alert = move.alert
    store.audit(tx, now, actor, action, alert.asset, detail | {"alert": str(alert.id), "deviation": deviation(alert)})
    return store.store_move(tx, move, actor.name)


def deviation(alert: Alert) -> str:
    """What an alarm is about, as a sentence without its asset."""
    return change_text(alert.item, alert.kind, alert.approved, alert.observed, alert.direction)
