"""Which files belong to which baseline; the files themselves are in the vault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import insert, select

from baselines.artefact import Artefact, ArtefactKind
from monitor import tables
from monitor.store.database import Transaction


def add_artefact(tx: Transaction, artefact: Artefact) -> Artefact:
    """A new artefact; the one given with its number."""
    values = {
        "baseline_id": artefact.baseline,
        "digest": artefact.digest,
        "name": artefact.name,
        "kind": artefact.kind,
        "size": artefact.size,
        "added_by": artefact.added_by,
        "added_at": artefact.added_at,
    }
    number = tx.execute(insert(tables.artefact).values(values).returning(tables.artefact.c.id)).scalar_one()
    return replace(artefact, id=number)


def artefacts(tx: Transaction, baselines: Sequence[int] | None = None) -> list[Artefact]:
    """The artefacts of the baselines with these numbers (None: of all), the oldest first."""
    statement = select(tables.artefact).order_by(tables.artefact.c.id)
    if baselines is not None:
        statement = statement.where(tables.artefact.c.baseline_id.in_(baselines))
    return [
        Artefact(
            row.id,
            row.baseline_id,
            row.digest,
            row.name,
            ArtefactKind(row.kind),
            row.size,
            row.added_by,
            row.added_at,
        )
        for row in tx.execute(statement)
    ]
