"""The inventory: every asset of the plant and how it stands, by what the store holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from baselines.asset import Asset, identity_values
from baselines.baseline import Baseline
from baselines.drift import Verdict, verdict, worst
from baselines.snapshot import Snapshot, utc_text
from monitor import store
from monitor.config import Plant
from monitor.store import OutOfService, Run, Transaction

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


def inventory(tx: Transaction, plant: Plant, now: datetime) -> list[dict[str, Any]]:
    """One document per asset, in the order of plant.toml; its segments at the end."""
    out = store.out_of_service(tx, now)
    polled = [_document(tx, found.asset, found.every, now, out) for found in plant.assets.values()]
    return polled + [_document(tx, found.asset, REPORTED_EVERY, now, out) for found in plant.segments.values()]


def retired(tx: Transaction, plant: Plant, now: datetime) -> list[dict[str, Any]]:
    """The assets that were retired, and are not back in plant.toml: as they were seen last."""
    gone = {name: at for name, at in store.known_assets(tx).items() if at is not None}
    return [
        _document(tx, Asset(name, "", ""), timedelta(), now, {}) | {"retired_at": utc_text(at)}
        for name, at in gone.items()
        if name not in plant.assets and name not in plant.segments
    ]


def _document(
    tx: Transaction, asset: Asset, every: timedelta, now: datetime, out: Mapping[str, OutOfService]
) -> dict[str, Any]:
    found = held(tx, asset.name)
    observed, last = found.observed, found.last
    return {
        "asset": asset.name,
        "address": asset.address,
        "profile": asset.profile,
        "zone": asset.zone,
        "role": asset.role,
        "purdue_level": asset.purdue_level,
        "criticality": asset.criticality,
        "location": asset.location,
        "machine_type": asset.machine_type,
        "verdict": standing(found.baseline, observed, last, now, every),
        "last_seen": utc_text(observed.taken_at) if observed else None,
        "identity": identity_values(observed.items if observed else ()),
        "digest": observed.digest if observed else None,
        "baseline": found.approved.digest if found.approved else None,
        "outage": _outage(last),
        "out_of_service": _out(out.get(asset.name)),
        "retired_at": None,
    }


def _out(said: OutOfService | None) -> dict[str, Any] | None:
    return {"until": utc_text(said.until), "by": said.by, "reason": said.reason} if said else None


def standing(
    baseline: Snapshot | None, observed: Snapshot | None, last: Run | None, now: datetime, every: timedelta
) -> Verdict:
    """The verdict on an asset by what the store holds: the worst of what was seen, of an outage and of age."""
    gap = unseen(observed, last, now, every)
    if observed is None or gap is Verdict.NEVER_SEEN:
        return Verdict.NEVER_SEEN
    return worst([verdict(baseline, observed), *([gap] if gap else [])])


def unseen(observed: Snapshot | Run | None, last: Run | None, now: datetime, every: timedelta) -> Verdict | None:
    """Why nobody can tell how an asset is by now: never seen, an outage, or age; None if it was seen lately. `observed`
    is what was seen of it, or the run in which it was."""
    if observed is None or last is None:
        return Verdict.NEVER_SEEN
    if last.is_outage:
        return Verdict.NO_LONGER_OBSERVABLE
    if not -LAG < now - last.last_at < stale_after(every):  # a poll of the future was dated by a wrong clock
        return Verdict.STALE
    return None


def stale_after(every: timedelta) -> timedelta:
    """How long nobody may have looked at an asset before it is stale."""
    return 3 * every + LAG


def _outage(last: Run | None) -> dict[str, Any] | None:
    """The outage that an asset is in: since when, why, how many polls."""
    if last is None or not last.is_outage:
        return None
    return {
        "kind": last.cause,
        "text": last.cause_text,
        "first_at": utc_text(last.first_at),
        "last_at": utc_text(last.last_at),
        "polls": last.polls,
    }
