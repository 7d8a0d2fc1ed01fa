"""From an outcome to what it changes: record → compare → assess → advance → apply, in one transaction.

The pure functions of `baselines` decide; this reads what they need and stores what they say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from baselines.alert import (
    OUT_OF_SERVICE,
    SUPPRESSED,
    Alert,
    Move,
    advance,
    contradict,
    happened,
    over,
    unshelve,
    unsuppress,
)
from baselines.baseline import Baseline, State
from baselines.change import Order, OrderState, announced, covers, meets
from baselines.doer import attributed, doer, unattributed
from baselines.drift import Kind, Verdict, compare, verdicts, worst
from baselines.rules import Finding, assess, replaced, tampering
from baselines.snapshot import Snapshot, same
from baselines.wire import Written
from collectors.collector import CollectError, Poll
from collectors.contract import Sent
from monitor import store
from monitor.store import Run, Transaction
from monitor.witnesses import Weighed

SLACK = timedelta(seconds=10)  # by which a sensor's report may be late, and its clock off


@dataclass(frozen=True, slots=True)
class Checked:
    """What one poll of an asset came to."""

    asset: str
    at: datetime
    verdict: Verdict
    snapshot: Snapshot | None
    error: CollectError | None
    findings: tuple[Finding, ...]
    unread: tuple[str, ...]
    sent: Sent
    unapproved: tuple[str, ...] = ()  # what was read, and the approved baseline says nothing of


@dataclass(slots=True)
class Standing:
    """Where an asset stands after a poll: what an equal poll would come to again, without asking the store."""

    run: Run
    snapshot: Snapshot | None
    baseline: Snapshot | None
    checked: Checked


def take(tx: Transaction, poll: Poll, now: datetime, keep: bool = False) -> tuple[Standing, list[Move]]:
    """Store what a poll brought, and move the alarms that it moves.

    With `keep` the snapshot is kept as it is, also where it only continues the one before: a person asked for it, and
    may approve it. Gone if the asset was renamed or retired meanwhile.
    """
    name, outcome = poll.target.asset, poll.outcome
    store.asset_id(tx, name)  # Gone where nothing is to be kept of it any more
    approved = store.current_baseline(tx, name)
    baseline = _baseline(tx, approved, outcome) if approved else None
    if isinstance(outcome, CollectError):
        seen_before = store.last_run(tx, name, observed=True) is not None
        run = _record_outage(tx, name, outcome, now)
        checked = unseen(name, now, baseline, seen_before, outcome, poll.sent)
        return Standing(run, None, baseline, checked), []
    before = store.last_run(tx, name, observed=True)
    run, stored = _record(tx, outcome, baseline, now, keep)
    checked = judge(outcome, baseline, poll.sent)
    found = _attributed(tx, name, checked.findings, before.last_at - SLACK) if before else checked.findings
    checked = replace(checked, findings=_kept_back(tx, name, found, now))
    moves = move_alarms(tx, baseline, outcome, checked.findings, now) if baseline else []
    return Standing(run, stored, baseline, checked), moves


def _baseline(tx: Transaction, approved: Baseline, outcome: Snapshot | CollectError) -> Snapshot:
    """What is approved; where just that was read, the same object, for most of a plant is as approved."""
    if isinstance(outcome, Snapshot) and (outcome.digest, outcome.profile) == (approved.digest, approved.profile):
        return outcome
    return store.baseline_snapshot(tx, approved)


def judge(snapshot: Snapshot, baseline: Snapshot | None, sent: Sent) -> Checked:
    """What a snapshot comes to against the approved baseline."""
    findings = assess(compare(baseline, snapshot)) if baseline else ()
    unread = tuple(gap.key for gap in snapshot.unread)
    by_key = verdicts(baseline, snapshot)
    unapproved = [key for key, found in by_key.items() if baseline and found is Verdict.NO_BASELINE]
    return Checked(
        snapshot.asset,
        snapshot.taken_at,
        worst(by_key.values()),
        snapshot,
        None,
        findings,
        unread,
        sent,
        tuple(unapproved),
    )


def unseen(
    name: str, at: datetime, baseline: Snapshot | None, seen_before: bool, error: CollectError, sent: Sent
) -> Checked:
    """What a poll that failed comes to: nothing is known, least of all that nothing changed."""
    found = Verdict.NO_LONGER_OBSERVABLE if seen_before else Verdict.NEVER_SEEN
    unread = tuple(item.key for item in baseline.items) if baseline else ()
    return Checked(name, at, found, None, error, (), unread, sent)


def move_alarms(
    tx: Transaction, baseline: Snapshot, observed: Snapshot, findings: Iterable[Finding], now: datetime
) -> list[Move]:
    """Move the asset's alarms by what was observed."""
    alerts, findings = store.alerts(tx, [observed.asset]), tuple(findings)
    swapped = replaced(findings, observed)
    moves = advance(alerts, [swapped] if swapped else findings, verdicts(baseline, observed), observed, now)
    return _store(tx, moves)


def _store(tx: Transaction, moves: Sequence[Move]) -> list[Move]:
    """Store moves; of alarms that the program itself keeps back, or lets go, write down that it did."""
    stored = store.store_moves(tx, moves)
    for move in stored:
        _note_kept_back(tx, move)
    return stored


def _note_kept_back(tx: Transaction, move: Move) -> None:
    alert = move.alert
    if SUPPRESSED in (move.before, alert.state) and move.before is not alert.state:
        action = "alert.suppress" if alert.state is SUPPRESSED else "alert.unsuppress"
        detail = {
            "alert": str(alert.id),
            "item": alert.item,
            "by": alert.suppressed_by or "",
            "state": alert.state.value,
        }
        store.audit(tx, alert.changed_at, store.ITSELF, action, alert.asset, detail)


def _kept_back(tx: Transaction, asset: str, findings: tuple[Finding, ...], now: datetime) -> tuple[Finding, ...]:
    """The findings, each with what keeps its alarm back: an order that expects it, or its asset is out of service."""
    if not findings:
        return ()
    findings = announced(_in_force(tx, asset, now), asset, findings)
    if asset not in store.out_of_service(tx, now):
        return findings
    return tuple(replace(each, suppressed_by=each.suppressed_by or OUT_OF_SERVICE) for each in findings)


def _attributed(tx: Transaction, asset: str, findings: tuple[Finding, ...], since: datetime) -> tuple[Finding, ...]:
    """The findings, each with who did it, where the wire has seen it since the asset was read last."""
    if not findings:
        return ()
    return attributed(findings, store.written(tx, asset, since), store.alerts(tx, [asset], closed=True, since=since))


def _in_force(tx: Transaction, asset: str, now: datetime) -> list[Order]:
    """The orders that keep alarms of an asset back: those that are open, while their window lasts; and the one that was
    done as planned, while what it proposed waits for its approval."""
    proposed = store.current_baseline(tx, asset, State.PROPOSED)
    done = store.orders(tx, OrderState.CLOSED, closed_at=proposed.proposed_at) if proposed else []
    pending = [order for order in store.orders(tx, OrderState.OPEN) if order.in_window(now)]
    return pending + [order for order in done if order.as_planned and asset in order.assets]


def release_due(tx: Transaction, now: datetime) -> list[Move]:
    """Let go of the alarms that nothing keeps back any more."""
    return _store(tx, [move for alert in _released(tx, now) if (move := unsuppress(alert, now))])


def return_alarms(tx: Transaction, now: datetime) -> list[Move]:
    """Bring back the alarms that were put away, or kept back, until now."""
    return [*unshelve_due(tx, now), *release_due(tx, now)]


def is_due(tx: Transaction, now: datetime) -> bool:
    """Whether an alarm is to come back that was put away, or kept back, until now."""
    return bool(store.shelved_until(tx, now) or _released(tx, now))


def _released(tx: Transaction, now: datetime) -> list[Alert]:
    """The alarms that are kept back by nothing any more: the window of their order is over, or it was closed, or their
    asset is back in service."""
    kept, out = store.suppressed(tx), store.out_of_service(tx, now)
    keeping = {
        asset: {str(order.id) for order in _in_force(tx, asset, now)} | ({OUT_OF_SERVICE} if asset in out else set())
        for asset in {alert.asset for alert in kept}
    }
    return [alert for alert in kept if alert.suppressed_by not in keeping[alert.asset]]


def settle(tx: Transaction, approved: Baseline, now: datetime) -> list[Move]:
    """After an approval: the alarms against the new baseline, by what was seen last."""
    assert approved.state is State.APPROVED
    run = store.last_run(tx, approved.asset, observed=True)
    if run is None or run.digest is None:
        return []
    observed = store.snapshot_of(tx, approved.asset, run.digest, run.last_at, run.profile or "")
    baseline = store.baseline_snapshot(tx, approved)
    findings = _kept_back(tx, approved.asset, assess(compare(baseline, observed)), now)
    return move_alarms(tx, baseline, observed, findings, now)


def occur(tx: Transaction, asset: str, finding: Finding, now: datetime, items: Collection[str] = ()) -> list[Move]:
    """Raise what somebody did to an asset over the network, to `items` of it where that is known. It is over at once:
    the alarm waits to be acknowledged, or is on record only, where an order is about just this."""
    alerts = store.alerts(tx, [asset])
    category = finding.deviation.item.category
    approved = store.current_baseline(tx, asset)
    baseline = store.baseline_snapshot(tx, approved) if approved else None
    for order in _in_force(tx, asset, now):
        if covers(order, asset, category, items, baseline):
            finding = replace(finding, suppressed_by=str(order.id))
    if asset in store.out_of_service(tx, now):
        finding = replace(finding, suppressed_by=finding.suppressed_by or OUT_OF_SERVICE)
    [raised] = _store(tx, [happened(alerts, finding, asset, now)])
    ended = over(raised.alert, now)
    return [raised, *_store(tx, [ended])] if ended else [raised]


def take_written(tx: Transaction, asset: str, write: Written, now: datetime) -> list[Move]:
    """Keep a write to an item of an asset that the wire saw; and raise it where it puts another value than the approved
    one there, whatever polls see before and after."""
    store.add_written(tx, asset, write)
    for alert in unattributed(store.alerts(tx, [asset]), write.item, write.at - SLACK):
        if write.value is None or write.value == alert.observed:  # a poll was quicker than the sensor's report
            store.keep_alert(tx, replace(alert, who=doer(write)))
    approved = store.current_baseline(tx, asset)
    item = store.baseline_snapshot(tx, approved).by_key.get(write.item) if approved else None
    if item is None or (write.value is not None and meets(write.value, item, item.tolerance)):
        return []
    return occur(tx, asset, tampering(write, item), now, [write.item])


def confront(tx: Transaction, found: Mapping[str, Weighed], now: datetime) -> list[Move]:
    """Move the alarms of witnesses that contradict each other, by what they came to now for each asset."""
    alerts: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in store.alerts(tx):
        alerts[alert.asset].append(alert)
    moves = [
        move
        for asset, said in found.items()
        for move in contradict(alerts[asset], said.contradictions, said.agreed, asset, now)
    ]
    return store.store_moves(tx, moves)


def move_blind(
    tx: Transaction, found: Mapping[str, Iterable[Finding]], seen: Mapping[str, Collection[str]], now: datetime
) -> list[Move]:
    """Move the alarms about our own watch: what of it is blind now by asset, and the keys of what sees again. Those of
    an asset that is out of service are kept back."""
    if not found and not seen:
        return []
    alerts: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in store.alerts(tx, [*{**found, **seen}], kind=Kind.BLIND):
        alerts[alert.asset].append(alert)
    out = store.out_of_service(tx, now)
    moves: list[Move] = []
    for asset in {**found, **seen}:
        findings = found.get(asset, ())
        if asset in out:
            findings = [replace(each, suppressed_by=OUT_OF_SERVICE) for each in findings]
        moves += contradict(alerts[asset], findings, seen.get(asset, ()), asset, now, Kind.BLIND)
    return _store(tx, moves)


def unshelve_due(tx: Transaction, now: datetime) -> list[Move]:
    """Bring back the shelved alarms whose time is over."""
    return store.store_moves(tx, [move for alert in store.shelved_until(tx, now) if (move := unshelve(alert, now))])


def goes_on(held: Snapshot, observed: Snapshot, baseline: Snapshot | None) -> bool:
    """Whether what was observed belongs to the run that `held` began: the same, or within the tolerances of it and
    just as far from the baseline. (12.04 and 12.08 are within 0.05 of each other, but not both of 12.)"""
    if observed.digest == held.digest:
        return True
    if observed.profile != held.profile or not observed.continues(held, baseline):
        return False
    return baseline is None or compare(baseline, held) == compare(baseline, observed)


def tripped(held: Snapshot, seen: Snapshot) -> bool:
    """Whether what the tripwire reads differs from what was held when all was read: then all is read again.

    Its gaps trip it too, unless they were there before.
    """
    known = held.by_key
    if seen.profile != held.profile or any(gap not in held.unread for gap in seen.unread):
        return True
    return any(
        item.key not in known or not same(known[item.key].value, item.value, item.tolerance) for item in seen.items
    )


def _record(
    tx: Transaction, snapshot: Snapshot, baseline: Snapshot | None, now: datetime, keep: bool
) -> tuple[Run, Snapshot]:
    """Extend the asset's current run if this goes on with it, else begin a new one; the run and what it holds."""
    last = store.last_run(tx, snapshot.asset)
    if last and last.digest and last.profile == snapshot.profile and last.can_go_on(now):
        held = _held(tx, last, snapshot)
        if snapshot.digest == held.digest or (not keep and goes_on(held, snapshot, baseline)):
            extended = last.extended(now)
            store.extend_runs(tx, [extended])
            return extended, held
    store.keep_snapshot(tx, snapshot)
    begun = Run(0, snapshot.asset, snapshot.digest, snapshot.profile, None, None, now, now, 1, 0.0)
    return store.add_run(tx, begun), snapshot


def _held(tx: Transaction, run: Run, snapshot: Snapshot) -> Snapshot:
    """What a run holds; where it is what was read now, the same object."""
    if run.digest == snapshot.digest:
        return snapshot
    return store.snapshot_of(tx, run.asset, run.digest or "", run.first_at, snapshot.profile)


def _record_outage(tx: Transaction, name: str, error: CollectError, now: datetime) -> Run:
    last = store.last_run(tx, name)
    if last and last.is_outage and last.cause == error.kind and last.can_go_on(now):
        extended = replace(last.extended(now), cause_text=error.text)
        store.extend_runs(tx, [extended])
        if last.cause_text != error.text:
            store.retell_outage(tx, extended)
        return extended
    return store.add_run(tx, Run(0, name, None, None, error.kind, error.text, now, now, 1, 0.0))
