"""The store: what is kept, and how it is read back. Every function takes the transaction that it is part of."""

from monitor.store.alerts import alerts, keep_alert, shelved_until, store_move, suppressed
from monitor.store.artefacts import add_artefact, artefacts
from monitor.store.assets import (
    OutOfService,
    asset_id,
    known_assets,
    out_of_service,
    rename_asset,
    retire_asset,
    take_out,
)
from monitor.store.audit import ITSELF, Actor, Signing, audit, audit_entries, last_audit, last_audit_id
from monitor.store.baselines import (
    add_baseline,
    add_sign_off,
    baseline_at,
    baseline_snapshot,
    baselines,
    current_baseline,
    move_baseline,
    sign_offs,
)
from monitor.store.checkpoints import add_checkpoint, evidence, last_checkpoint
from monitor.store.database import Database, Transaction, part, store_url
from monitor.store.documents import document, keep_document
from monitor.store.orders import add_order, add_written, close_order, orders, written
from monitor.store.persons import Person, keep_person, person, persons
from monitor.store.quality import quality_records
from monitor.store.requests import (
    PollRequest,
    answer_poll,
    forget_polls,
    open_poll_requests,
    poll_answers,
    request_poll,
    withdraw_polls,
)
from monitor.store.runs import Run, add_run, extend_runs, keep_snapshot, last_run, runs, runs_since, snapshot_of

__all__ = [
    "Actor",
    "Database",
    "ITSELF",
    "OutOfService",
    "Person",
    "PollRequest",
    "Run",
    "Signing",
    "Transaction",
    "add_artefact",
    "add_baseline",
    "add_checkpoint",
    "add_order",
    "add_run",
    "add_sign_off",
    "add_written",
    "alerts",
    "answer_poll",
    "artefacts",
    "asset_id",
    "audit",
    "audit_entries",
    "baseline_at",
    "baseline_snapshot",
    "baselines",
    "close_order",
    "current_baseline",
    "document",
    "evidence",
    "extend_runs",
    "forget_polls",
    "keep_alert",
    "keep_document",
    "keep_person",
    "keep_snapshot",
    "known_assets",
    "last_audit",
    "last_audit_id",
    "last_checkpoint",
    "last_run",
    "move_baseline",
    "open_poll_requests",
    "orders",
    "out_of_service",
    "part",
    "person",
    "persons",
    "poll_answers",
    "rename_asset",
    "quality_records",
    "request_poll",
    "retire_asset",
    "runs",
    "runs_since",
    "shelved_until",
    "sign_offs",
    "snapshot_of",
    "store_move",
    "store_url",
    "suppressed",
    "take_out",
    "withdraw_polls",
    "written",
]
