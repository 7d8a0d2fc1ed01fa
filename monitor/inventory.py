"""What the store holds of an asset, and whether that is of now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.baseline import Baseline
from baselines.drift import Verdict
from baselines.snapshot import Snapshot
from monitor import store
from monitor.store import Run, Transaction

REPORTED_EVERY = timedelta(seconds=30)  # a sensor reports at least so often
LAG = timedelta(minutes=1)  # that the end of a run may be behind on disk


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of an asset: its last run, what was last observed, and what is approved."""

    last: Run | None
    observed: Snapshot | None
    approved: Baseline | None
    baseline: Snapshot | None


def held(tx: Transaction, asset: str) -> Held:
    """What the store holds of one asset."""
    seen, approved = store.last_run(tx, asset, observed=True), store.current_baseline(tx, asset)
    observed = None
    if seen is not None and seen.digest is not None:
        observed = store.snapshot_of(tx, asset, seen.digest, seen.last_at, seen.profile or "")
    baseline = store.baseline_snapshot(tx, approved) if approved else None
    return Held(store.last_run(tx, asset), observed, approved, baseline)


def unseen(observed: Snapshot | Run | None, last: Run | None, now: datetime, every: timedelta) -> Verdict | None:
    """Why nobody can tell how an asset is by now: never seen, an outage, or age; None if it was seen lately. `observed`
    is what was seen of it, or the run in which it was."""
    if observed is None or last is None:
        return Verdict.NEVER_SEEN
    return unseen_since(last.is_outage, last.last_at, now, every)


def unseen_since(is_outage: bool, last_at: datetime, now: datetime, every: timedelta) -> Verdict | None:
    """The same of an asset that was seen once, by the end of its newest run."""
    if is_outage:
        return Verdict.NO_LONGER_OBSERVABLE
    if not -LAG < now - last_at < stale_after(every):  # a poll of the future was dated by a wrong clock
        return Verdict.STALE
    return None


def stale_after(every: timedelta) -> timedelta:
    """How long nobody may have looked at an asset before it is stale."""
    return 3 * every + LAG
