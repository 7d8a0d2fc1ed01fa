"""Evidence for tests: entries as the verifier reads them, and what it finds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from baselines.audit import AuditEntry
from baselines.snapshot import utc_text
from monitor import store
from monitor.store import Transaction
from monitor.verifier import Flaw, verify


def row(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is stored."""
    return {
        "id": entry.id,
        "at": utc_text(entry.at),
        "actor": entry.actor,
        "account": entry.account,
        "action": entry.action,
        "subject": entry.subject,
        "detail": json.dumps(dict(entry.detail), sort_keys=True),
        "previous": entry.previous,
        "hash": entry.hash,
    }


def flaw_of(entries: Iterable[AuditEntry]) -> Flaw | None:
    """The first flaw of a chain alone."""
    return verify({"audit_entry": [row(entry) for entry in entries]}).first_bad


def stored_flaw(tx: Transaction) -> Flaw | None:
    """The first flaw of all that is stored."""
    return verify(store.evidence(tx)).first_bad
