"""From what somebody asks for to a report: gathered, and in doubt where its evidence does not verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from monitor import evidence
from monitor.config import Plant
from monitor.errors import CallError, Unverified, UserError
from monitor.report.document import Finding, Kind, Report, Section, Table, Text, Weight
from monitor.report.kinds import report
from monitor.report.scope import Progress, Scope, silent
from monitor.store import Database
from monitor.verifier import Flaw

MOST_ZONES = 20  # in a message
DOUBT = "evidence"  # the key of the section
TOLD = "flaws"  # the key of the table in which a report says itself what does not verify: entry, why


def scope_of(
    plant: Plant,
    names: Sequence[str],
    zones: Sequence[str],
    since: datetime,
    until: datetime,
    now: datetime,
    progress: Progress = silent,
) -> Scope:
    """What a report is of: those of the assets that are in one of the zones, if any are named.

    CallError for a zone that no asset is of, and where no asset is left.
    """
    every = [*plant.assets, *plant.segments]
    known = sorted({zone_of(plant, name) for name in every} - {""})
    for zone in zones:
        if zone not in known:
            there = ", ".join(known[:MOST_ZONES]) + ", …" * (len(known) > MOST_ZONES)
            raise CallError(f"{plant.path} has no zone {zone}; it has {there or 'none: give assets a zone'}")
    kept = tuple(name for name in names if not zones or zone_of(plant, name) in zones)
    if not kept:
        raise CallError(f"none of these assets is in {' or '.join(zones)}: leave the assets out, or the zone")
    return Scope(plant, kept, len(kept) == len(every), since, until, now, tuple(dict.fromkeys(zones)), progress)


def zone_of(plant: Plant, name: str) -> str:
    """The zone of an asset or a segment; "" for none."""
    return (plant.assets.get(name) or plant.segments[name]).asset.zone


def made(plant: Plant, database: Database, kind: Kind, scope: Scope) -> tuple[Report, Flaw | None]:
    """The report of a scope, and what is wrong with the evidence in the store, if something is. The report says so.

    Unverified where somebody has changed the store so that nothing can be read out of it.
    """
    try:
        with database.read() as tx:
            found = report(tx, kind, scope)
    except UserError:
        raise
    except Exception as error:
        if (flaw := _flaw(plant, database, scope)) is None:
            raise
        why = f"the evidence does not verify, and what is stored cannot be read: {flaw_text(flaw)} (asbuilt verify)"
        raise Unverified(why) from error
    told = next((table for table in found.tables if table.key == TOLD), None)
    if told is not None:  # its own section has verified it all
        return found, _first(told)
    flaw = _flaw(plant, database, scope)
    return (doubted(found, flaw) if flaw else found), flaw


def _first(flaws: Table) -> Flaw | None:
    return next((Flaw(entry if isinstance(entry, int) else None, str(why)) for entry, why in flaws.rows), None)


def _flaw(plant: Plant, database: Database, scope: Scope) -> Flaw | None:
    """What is wrong with the evidence; also that it cannot be read."""
    scope.progress("verifying the evidence", 0, 1)
    try:
        return evidence.verified_in_full(database, plant).first_bad
    except CallError as error:
        return Flaw(None, str(error))
    finally:
        scope.progress("verifying the evidence", 1, 1)


def doubted(report: Report, flaw: Flaw) -> Report:
    """A report whose first section says that its evidence does not verify."""
    text = f"The evidence in the store does not verify: {flaw_text(flaw)}."
    why = (
        "What this report says about decisions is as the store has it, and somebody has changed the store, or lost a"
        " part of it. Do not rely on it before that is cleared up (asbuilt verify)."
    )
    finding = Finding(Weight.BAD, text, DOUBT)
    section = Section(DOUBT, "This report is in doubt", (Text((text, why)),), findings=(finding,))
    return replace(report, sections=(section, *report.sections))


def flaw_text(flaw: Flaw) -> str:
    """What is wrong, and at which entry."""
    return f"entry {flaw.entry}: {flaw.why}" if flaw.entry is not None else flaw.why
