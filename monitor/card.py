"""All that is known of one asset, for its page and the API: how it stands, who says so, and what waits at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from baselines.alert import Alert
from baselines.baseline import Baseline, State
from baselines.change import Order, OrderState
from baselines.snapshot import Snapshot, parse_snapshot, utc_text
from monitor import store
from monitor.artefacts import Fitting, fitting
from monitor.board import Look, Row, document
from monitor.config import Plant
from monitor.contract import contracts
from monitor.covering import Covered, coverage, coverage_document
from monitor.inventory import REPORTED_EVERY
from monitor.items import Pair, pair_document, pairs
from monitor.judged import parsed
from monitor.report.known import Contradiction, Known, Witnesses, contradictions, heard_of, known, unheard
from monitor.report.overheard import Overheard, Sighting
from monitor.show import alert_document, baseline_document
from monitor.store import Transaction
from monitor.vault import Vault

WATCHED = timedelta(days=30)  # that coverage looks back
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A known-good file, and whether the vault has it."""

    fitting: Fitting
    is_there: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One asset. `deep_at` is when all of it was read last; `known` is empty for a segment or a retired asset."""

    row: Row
    approved: Baseline | None
    deep_at: datetime | None
    pairs: list[Pair]
    alerts: list[Alert]
    proposal: Baseline | None
    orders: list[Order]
    known: dict[str, Known]
    contradictions: list[Contradiction]
    heard: tuple[Sighting, ...]
    unheard: str
    covered: Covered
    contract: Document | None
    files: list[File]


def row_of(look: Look, plant: Plant, name: str, now: datetime) -> Row | None:
    """How an asset stands, also one that is retired; None if there never was one of that name."""
    if polled := plant.assets.get(name):
        return look.row(polled.asset, polled.every, now)
    if segment := plant.segments.get(name):
        return look.row(segment.asset, REPORTED_EVERY, now, is_segment=True)
    return next((row for row in look.retired(plant, now) if row.name == name), None)


def card(tx: Transaction, plant: Plant, look: Look, row: Row, now: datetime) -> Card:
    """All that is known of an asset."""
    last, approved = store.last_run(tx, row.name, observed=True), store.current_baseline(tx, row.name)
    observed = _snapshot(tx, row.name, last.digest, last.last_at, last.profile) if last and last.digest else None
    baseline = _snapshot(tx, row.name, approved.digest, approved.proposed_at, approved.profile) if approved else None
    overheard = _overheard(tx, plant, look)
    said, contradicted, sightings = dict[str, Known](), list[Contradiction](), tuple[Sighting, ...]()
    polled = plant.assets.get(row.name)
    if polled:
        host = polled.target.address.host
        shared = sum(each.target.address.host == host for each in plant.assets.values()) > 1
        of = Witnesses(polled, observed, baseline, heard_of(polled, overheard), shared, unheard(plant, overheard))
        said, contradicted, sightings = known(plant, of), list(contradictions(of)), tuple(of.heard)
    (covered, *_) = coverage(tx, plant, [row.name], now - WATCHED, now, now)
    numbers = store.orders_about(tx, row.number) if row.number else []
    orders = [each for each in store.orders(tx, OrderState.OPEN) if each.id in numbers]
    vault = Vault(plant.vault)
    fits = fitting(tx, approved) if approved and baseline else []
    return Card(
        row,
        approved,
        last.read_at if last else None,
        pairs(baseline, observed),
        store.alerts(tx, [row.name]),
        store.current_baseline(tx, row.name, State.PROPOSED),
        orders,
        said,
        contradicted,
        sightings,
        unheard(plant, overheard) if polled and not sightings else "",
        covered,
        next(iter(contracts(tx, plant, [row.name])), None),
        [File(each, vault.has(each.artefact.digest)) for each in fits],
    )


def _snapshot(tx: Transaction, asset: str, digest: str, at: datetime, profile: str | None) -> Snapshot | None:
    """What is kept under a digest; None where somebody has changed it in the store, or taken it out."""
    return next(
        (parse_snapshot(asset, at, text, profile or "") for _, text in store.snapshot_texts(tx, [digest])), None
    )


def _overheard(tx: Transaction, plant: Plant, look: Look) -> Overheard:
    """What the segments of the plant last said of their hosts."""
    digests: dict[str, str] = {}
    for name in plant.segments:
        run = look.seen.get(kept.number) if (kept := look.kept.get(name)) else None
        if run is not None and run.digest is not None:
            digests[name] = run.digest
    texts = dict(store.snapshot_texts(tx, digests.values()))
    heard: dict[str, Snapshot] = {name: parsed(texts[digest]) for name, digest in digests.items() if digest in texts}
    return Overheard(heard)


def card_document(found: Card, now: datetime) -> Document:
    """The same as JSON; see docs/json.md."""
    return document(found.row) | {
        "all_read_at": utc_text(found.deep_at) if found.deep_at else None,
        "items": [pair_document(each) for each in found.pairs],
        "alerts": [alert_document(each) for each in found.alerts],
        "approved": baseline_document(found.approved) if found.approved else None,
        "proposal": baseline_document(found.proposal) if found.proposal else None,
        "orders": [each.id for each in found.orders],
        "known": {
            key: {"value": each.value, "sources": list(each.sources), "why": each.why}
            for key, each in found.known.items()
        },
        "contradictions": [
            {"field": each.field, "written": each.written, "found": each.found, "source": each.source}
            for each in found.contradictions
        ],
        "coverage": coverage_document([found.covered], now - WATCHED, now),
        "contract": found.contract,
        "files": [_file_document(each) for each in found.files],
    }


def _file_document(file: File) -> Document:
    artefact = file.fitting.artefact
    return {
        "digest": artefact.digest,
        "name": artefact.name,
        "kind": artefact.kind,
        "size": artefact.size,
        "added_by": artefact.added_by,
        "added_at": utc_text(artefact.added_at),
        "is_earlier": file.fitting.is_earlier,
        "misfit": file.fitting.misfit,
        "in_vault": file.is_there,
    }
