"""The store: what is kept, and how it is read back. Every function takes the transaction that it is part of."""

from monitor.store.alerts import alerts, shelved_until, store_move
from monitor.store.assets import asset_id
from monitor.store.audit import Actor, audit, audit_entries, last_audit_id
from monitor.store.baselines import add_baseline, baseline_snapshot, baselines, current_baseline, move_baseline
from monitor.store.database import Database, Transaction, part, store_url
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
from monitor.store.runs import Run, add_run, extend_runs, keep_snapshot, last_run, runs, snapshot_of

__all__ = [
    "Actor",
    "Database",
    "PollRequest",
    "Run",
    "Transaction",
    "add_baseline",
    "add_run",
    "alerts",
    "answer_poll",
    "asset_id",
    "audit",
    "audit_entries",
    "baseline_snapshot",
    "baselines",
    "current_baseline",
    "extend_runs",
    "forget_polls",
    "keep_snapshot",
    "last_audit_id",
    "last_run",
    "move_baseline",
    "open_poll_requests",
    "part",
    "poll_answers",
    "quality_records",
    "request_poll",
    "runs",
    "shelved_until",
    "snapshot_of",
    "store_move",
    "store_url",
    "withdraw_polls",
]
