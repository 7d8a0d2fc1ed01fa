"""Machines of one type by what the store holds: what is known of each, what their golden type is, and the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.conformity import Cell, Column, Conformity, Golden, Machine, Row, Source, Standing, conformity
from baselines.snapshot import utc_text
from monitor.config import MachineType, Plant
from monitor.inventory import Held, held, unseen
from monitor.store import Transaction

SHARED = "shared"  # instead of the name of a golden machine


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
