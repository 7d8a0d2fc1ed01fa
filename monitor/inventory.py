"""The inventory: every asset of the plant and how it stands, by what the store holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from baselines.asset import Asset, identity_values
from baselines.drift import Verdict, verdict, worst
from baselines.snapshot import Snapshot, utc_text
from monitor import store
from monitor.config import Plant
from monitor.store import Run, Transaction

REPORTED_EVERY = timedelta(seconds=30)  # a sensor reports at least so often
LAG = timedelta(minutes=1)  # that the end of a run may be behind on disk


def inventory(tx: Transaction, plant: Plant, now: datetime) -> list[dict[str, Any]]:
    """One document per asset, in the order of plant.toml; its segments at the end."""
    polled = [_document(tx, found.asset, found.every, now) for found in plant.assets.values()]
    return polled + [_document(tx, found.asset, REPORTED_EVERY, now) for found in plant.segments.values()]


def _document(tx: Transaction, asset: Asset, every: timedelta, now: datetime) -> dict[str, Any]:
    last, seen = store.last_run(tx, asset.name), store.last_run(tx, asset.name, observed=True)
    approved = store.current_baseline(tx, asset.name)
    baseline = store.baseline_snapshot(tx, approved) if approved else None
    observed = None
    if seen is not None and seen.digest is not None:
        observed = store.snapshot_of(tx, asset.name, seen.digest, seen.last_at, seen.profile or "")
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
        "verdict": standing(baseline, observed, last, now, every),
        "last_seen": utc_text(seen.last_at) if seen else None,
        "identity": identity_values(observed.items if observed else ()),
        "digest": observed.digest if observed else None,
        "baseline": approved.digest if approved else None,
        "outage": _outage(last),
    }


def standing(
    baseline: Snapshot | None, observed: Snapshot | None, last: Run | None, now: datetime, every: timedelta
) -> Verdict:
    """The verdict on an asset by what the store holds: the worst of what was seen, of an outage and of age."""
    if observed is None or last is None:
        return Verdict.NEVER_SEEN
    found = [verdict(baseline, observed)]
    if last.is_outage:
        found.append(Verdict.NO_LONGER_OBSERVABLE)
    if not -LAG < now - last.last_at < stale_after(every):  # a poll of the future was dated by a wrong clock
        found.append(Verdict.STALE)
    return worst(found)


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
