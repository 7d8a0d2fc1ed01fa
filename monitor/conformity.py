"""Machines of one type by what the store holds: what is known of each, what their golden type is, and the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.conformity import Cell, Column, Conformity, Golden, Machine, Row, Source, Standing, conformity
from baselines.drift import Verdict
from baselines.snapshot import utc_text
from monitor.config import MachineType, Plant
from monitor.inventory import Held, held, unseen
from monitor.show import value_text
from monitor.store import Transaction

SHARED = "shared"  # instead of the name of a golden machine
MOST_NAMED = 5  # odd ones in the sentence


@dataclass(frozen=True, slots=True)
class Compared:
    """One machine type, compared. `golden` is the golden machine's name, SHARED or None, `golden_source` where what
    is known of that machine comes from; None where nothing is."""

    machine_type: str
    golden: str | None
    golden_source: Source | None
    matrix: Conformity


def machine_types(plant: Plant) -> dict[str, list[str]]:
    """The assets of each machine type, in the order of plant.toml."""
    found: dict[str, list[str]] = {}
    for name, polled in plant.assets.items():
        if polled.asset.machine_type:
            found.setdefault(polled.asset.machine_type, []).append(name)
    return found


def compare(tx: Transaction, plant: Plant, machine_type: str, assets: Sequence[str], now: datetime) -> Compared:
    """The machines of one type, by what was last observed of them, or else by what is approved."""
    said = plant.machine_types.get(machine_type, MachineType())
    known = {asset: held(tx, asset) for asset in assets}
    machines = [_machine(plant, asset, found, now) for asset, found in known.items()]
    golden, source = _golden(said, known)
    name = said.golden or (SHARED if said.shared else None)
    return Compared(machine_type, name, source, conformity(machines, golden))


def _machine(plant: Plant, asset: str, found: Held, now: datetime) -> Machine:
    source = Source.OBSERVED if found.observed else Source.APPROVED if found.baseline else None
    gap = unseen(found.observed, found.last, now, plant.assets[asset].every)
    return Machine(asset, found.observed or found.baseline, source, gap)


def _golden(said: MachineType, known: dict[str, Held]) -> tuple[Golden, Source | None]:
    """The golden type: of a golden machine what is approved, or else what was last observed."""
    held_of_it = known.get(said.golden)
    if held_of_it is None:
        return Golden(None, said.shared, said.may_differ), None
    source = Source.APPROVED if held_of_it.baseline else Source.OBSERVED if held_of_it.observed else None
    return Golden(held_of_it.baseline or held_of_it.observed, {}, said.may_differ), source


def document(found: Compared) -> dict[str, Any]:
    """One type of `asbuilt conform`."""
    return {
        "machine_type": found.machine_type,
        "golden": found.golden,
        "golden_source": found.golden_source,
        "assets": [_asset_document(column) for column in found.matrix.columns],
        "items": [_item_document(row) for row in found.matrix.rows],
    }


def _asset_document(column: Column) -> dict[str, Any]:
    machine = column.machine
    observed = machine.snapshot if machine.source is Source.OBSERVED else None
    return {
        "asset": machine.asset,
        "seen_at": utc_text(observed.taken_at) if observed else None,
        "source": machine.source,
        "unseen": machine.unseen,
        "odd": len(column.odd),
        "unread": len(column.unread),
        "verdict": column.standing,
        "severity": column.odd[0].severity if column.odd else None,
        "category": column.odd[0].category if column.odd else None,
    }


def _item_document(row: Row) -> dict[str, Any]:
    return {
        "item": row.key,
        "shared": row.shared,
        "by": row.by,
        "severity": row.severity,
        "category": row.category,
        "cells": [_cell_document(cell) for cell in row.cells],
    }


def _cell_document(cell: Cell) -> dict[str, Any]:
    return {"asset": cell.asset, "value": cell.item.shown if cell.item else None, "state": cell.state}


def is_settled(found: Compared, named: bool) -> bool:
    """Whether every machine was seen and conforms. A machine alone in its type is nobody's business unless `named`."""
    standings = {column.standing for column in found.matrix.columns}
    if found.matrix.is_alone and not named:
        standings -= {Standing.UNDECIDED}
    return standings <= {Standing.CONFORMS}


def rows_to_show(found: Conformity, everything: bool) -> list[Row]:
    """The rows that say something, or all; the worst first, else by key."""
    rows = [row for row in found.rows if everything or row.has_odd or row.is_split or row.has_unread]
    return sorted(rows, key=lambda row: -row.severity.rank if row.severity else 1)


def verdict_text(compared: Compared) -> str:
    """The verdict as a sentence: "filler: 4 machines, 3 alike; line3/filler is the odd one out in 2 items"."""
    found = compared.matrix
    machines = f"{value_text(compared.machine_type)}: {_count(len(found.columns), 'machine')}"
    told = [", ".join([machines, *_alike_texts(found)])]
    if found.odd_ones:
        told.append(_odd_text(found.odd_ones))
    if split := sum(row.is_split for row in found.rows):
        told.append(f"no majority in {_count(split, 'item')}")
    if unread := sum(row.has_unread for row in found.rows):
        told.append(f"{_count(unread, 'item')} not read everywhere")
    gaps = [column.machine.unseen for column in found.columns if column.machine.unseen]
    if never := gaps.count(Verdict.NEVER_SEEN):
        told.append(f"{never} never seen")
    if len(gaps) > never:
        told.append(f"{len(gaps) - never} not seen lately")
    return "; ".join(told)


def _alike_texts(found: Conformity) -> list[str]:
    alike = [column for column in found.columns if column.is_alike]
    if found.is_alone or not alike:
        return ["and nothing to compare it with"] if found.is_alone else []
    number = "all" if len(alike) == len(found.columns) else len(alike)
    return [f"{number} alike" + " when last seen" * any(column.machine.unseen for column in alike)]


def _odd_text(odd: Sequence[Column]) -> str:
    if len(odd) == 1:
        return f"{odd[0].machine.asset} is the odd one out in {_count(len(odd[0].odd), 'item')}"
    named = [f"{column.machine.asset} in {_count(len(column.odd), 'item')}" for column in odd[:MOST_NAMED]]
    more = [f"and {len(odd) - MOST_NAMED} more"] if len(odd) > MOST_NAMED else []
    return f"{len(odd)} odd ones out: {', '.join(named + more)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def basis_text(compared: Compared) -> str:
    """Where it comes from what the machines share."""
    if compared.golden is None:
        return "the type is what more than half of them have"
    if compared.golden == SHARED:
        return "the type is what plant.toml says that they share, else what more than half of them have"
    if compared.golden_source is None:
        return f"the golden {compared.golden} was never seen: the type is what more than half of them have"
    return f"the type is {compared.golden}, as {compared.golden_source}"


def short_names(names: Sequence[str]) -> list[str]:
    """Names without what all of them begin or end with: line1/filler and line2/filler are line1 and line2."""
    parts = [name.split("/") for name in names]
    while min(map(len, parts)) > 1 and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    while min(map(len, parts)) > 1 and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    return ["/".join(part) for part in parts]


def unseen_text(machine: Machine) -> str:
    """Why nobody can tell how a machine is by now, and what stands for it."""
    told = f"{machine.asset}: {machine.unseen}"
    if machine.source is Source.APPROVED:
        return f"{told}; what is approved stands for it"
    return f"{told}, last seen {utc_text(machine.snapshot.taken_at)}" if machine.snapshot else told
