"""Like-for-like replacements (CIP-010 R3.3), and what else became of assets: who, when, and what the chain says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from baselines.baseline import Baseline, State
from monitor import store
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Weight
from monitor.report.scope import Scope
from monitor.report.sections.told import count, wanted, were
from monitor.store import Entry, Transaction

KEY = "replacements"
REPLACE = "asset.replace"
EVENTS = {  # what else may become of an asset, and how it is called
    "asset.move": "moved",
    "asset.rename": "renamed",
    "asset.out-of-service": "taken out of service",
    "asset.in-service": "taken back into service",
    "asset.retire": "retired",
    "asset.return": "returned",
}

COLUMNS = (
    Column("asset", "Asset", width=1.4),
    Column("at", "Recorded", Form.TIME, 1.1),
    Column("by", "By", width=0.9),
    Column("account", "Account", Form.TEXT, 0),
    Column("signed", "Signed", Form.TEXT, 0),
    Column("before", "Serial number before", Form.CODE, 1.2),
    Column("after", "Serial number after", Form.CODE, 1.2),
    Column("items", "Items", Form.CODE, 0),
    Column("ticket", "Ticket", width=0.8),
    Column("reason", "Reason", Form.TEXT, 0),
    Column("digest", "Baseline proposed", Form.CODE, 0),
    Column("approved_by", "Approved by", width=0.9),
    Column("approved_at", "Approved", Form.TIME, 0),
    Column("entry", "Audit entry", Form.CODE, 0),
)
LIFE_COLUMNS = (
    Column("asset", "Asset", width=1.4),
    Column("at", "At", Form.TIME, 1.1),
    Column("what", "What", width=1.1),
    Column("before", "Before", Form.CODE, 1.3),
    Column("after", "After", Form.CODE, 1.3),
    Column("by", "By", width=0.9),
    Column("account", "Account", Form.TEXT, 0),
    Column("signed", "Signed", Form.TEXT, 0),
    Column("ticket", "Ticket", Form.TEXT, 0),
    Column("reason", "Reason", Form.TEXT, 0),
    Column("entry", "Audit entry", Form.CODE, 0),
)


def replacements(tx: Transaction, scope: Scope) -> Section:
    """What was replaced like for like in the time, and what else became of assets."""
    is_wanted, name = wanted(scope), store.names_now(tx)
    said = store.entries_of(tx, (REPLACE, *EVENTS), scope.until, scope.since)
    here = [(name(entry), entry) for entry in said if is_wanted(name(entry))]
    approved = _approved(tx, scope.until)
    swaps = [_row(asset, entry, approved) for asset, entry in here if entry.action == REPLACE]
    lives = [_life_row(asset, entry) for asset, entry in here if entry.action != REPLACE]
    return Section(
        KEY,
        "Replacements, and the lives of assets",
        (
            Table(KEY, "Like-for-like replacements", COLUMNS, swaps, "Nothing was recorded as replaced like for like."),
            Table(
                "asset-lives",
                "What else became of assets",
                LIFE_COLUMNS,
                lives,
                "No asset was moved, renamed or retired.",
            ),
        ),
        ("cip-010-4/r3.3", "iec-62443-3-3/sr-7.4"),
        tuple(_findings(tx, scope, here, swaps)),
    )


def _approved(tx: Transaction, until: datetime) -> Mapping[tuple[str, str], Sequence[Baseline]]:
    """By asset and digest what was approved by the end of the time."""
    found: dict[tuple[str, str], list[Baseline]] = {}
    for each in store.baselines(tx):
        here = each.state in (State.APPROVED, State.SUPERSEDED) and each.origin is None
        if here and each.decided_at is not None and each.decided_at < until:
            found.setdefault((each.asset, each.digest), []).append(each)
    return found


def _row(asset: str, entry: Entry, approved: Mapping[tuple[str, str], Sequence[Baseline]]) -> tuple[Cell, ...]:
    said = entry.detail
    digest = said.get("digest", "")
    made = next((b for b in approved.get((asset, digest), ()) if b.decided_at and b.decided_at >= entry.at), None)
    return (
        asset,
        entry.at,
        entry.actor,
        entry.account or None,
        _signed(entry),
        said.get("from"),
        said.get("to"),
        said.get("items"),
        said.get("ticket") or None,
        said.get("reason") or None,
        digest or None,
        made.decided_by if made else None,
        made.decided_at if made else None,
        entry.id,
    )


def _life_row(asset: str, entry: Entry) -> tuple[Cell, ...]:
    said = entry.detail
    before, after = _change(entry)
    told = (_signed(entry), said.get("ticket") or None, said.get("reason") or None, entry.id)
    return (asset, entry.at, EVENTS[entry.action], before, after, entry.actor, entry.account or None, *told)


def _change(entry: Entry) -> tuple[str | None, str | None]:
    """What was before and what is after, as far as an entry says."""
    said = entry.detail
    match entry.action:
        case "asset.rename":
            return entry.subject, said.get("to")
        case "asset.move":
            return said.get("from"), said.get("to")
        case "asset.out-of-service":
            return None, f"until {said['until']}" if "until" in said else None
        case "asset.in-service":
            return f"until {said['until']}" if "until" in said else None, None
        case "asset.return":
            return f"retired at {said['retired_at']}" if "retired_at" in said else None, None
    return None, None


def _signed(entry: Entry) -> str:
    return "yes" if "signature" in entry.detail else "no"


def _findings(
    tx: Transaction, scope: Scope, here: Sequence[tuple[str, Entry]], swaps: Sequence[tuple[Cell, ...]]
) -> list[Finding]:
    recorded = Counter(asset for asset, entry in here if entry.action == REPLACE)
    seen = Counter(asset for asset in store.swapped(tx, scope.since, scope.until) if wanted(scope)(asset))
    if not (recorded or seen):
        return [Finding(Weight.GOOD, "No device was seen to be replaced like for like.", KEY)]
    found = []
    if silent := (seen - recorded).total():
        told = f"{silent:,} of {count(seen.total(), 'like-for-like replacement')} that {were(seen.total())} seen"
        told += f" {were(silent)} recorded by nobody (CIP-010-4 R3.3)."
        found.append(Finding(Weight.ATTENTION, told, KEY))
    if swaps:
        done = sum(row[COLUMNS.index(_APPROVED_AT)] is not None for row in swaps)
        told = f"Of {count(len(swaps), 'like-for-like replacement')} that {were(len(swaps))} recorded, {done:,}"
        told += f" {were(done)} approved as the new baseline."
        found.append(Finding(Weight.GOOD if done == len(swaps) else Weight.ATTENTION, told, KEY))
    return found


_APPROVED_AT = next(column for column in COLUMNS if column.key == "approved_at")
