"""The audit chain as people read it: who did what when, and in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baselines.snapshot import utc_text
from monitor import store
from monitor.config import Plant
from monitor.store import Entry, Transaction
from monitor.verifier import NEW_KEYS

SIGNATURE = ("key", "signature")  # in the detail of an entry that a person signed
ACTIONS = {  # an action, and what it says that somebody did; docs/evidence.md has them all
    "baseline.propose": "proposed a baseline",
    "baseline.amend": "changed a proposal",
    "baseline.sign": "signed a proposal",
    "baseline.approve": "approved a baseline",
    "baseline.reject": "rejected a proposal",
    "baseline.import": "took in baselines of elsewhere",
    "change.open": "opened a change order",
    "change.close": "closed a change order",
    "alert.acknowledge": "acknowledged an alarm",
    "alert.shelve": "shelved an alarm",
    "alert.close": "closed a case",
    "alert.suppress": "suppressed an alarm",
    "alert.unsuppress": "ended the suppression of an alarm",
    "asset.rename": "renamed an asset",
    "asset.move": "moved an asset",
    "asset.replace": "replaced a device",
    "asset.out-of-service": "took an asset out of service",
    "asset.in-service": "put an asset back into service",
    "asset.retire": "retired an asset",
    "asset.return": "brought a retired asset back",
    "artefact.add": "kept a file in the vault",
    "kit.export": "took a recovery kit",
    "report.make": "had a report made",
    "configuration.change": "changed the configuration",
    "person.add": "registered somebody",
    "person.change": "changed somebody's roles or key",
    "person.remove": "removed somebody",
    "session.begin": "signed in",
    "session.end": "signed out",
    "token.add": "made a token",
    "token.revoke": "revoked a token",
    "key.add": "made the plant's key",
    "key.rotate": "gave the plant a new key",
    "store.restore": "restored a backup",
}


def did(action: str) -> str:
    """What somebody did, in words; the action itself where we have none."""
    return ACTIONS.get(action, action)


def said(entry: Entry) -> Mapping[str, str]:
    """What an entry tells, without its signature and what is empty."""
    return {name: value for name, value in entry.detail.items() if value and name not in SIGNATURE}


def is_signed(entry: Entry) -> bool:
    """Whether it bears a person's signature. That it is theirs, verifying says."""
    return "signature" in entry.detail


def entry_document(entry: Entry) -> dict[str, Any]:
    """An entry for programs."""
    return {
        "id": entry.id,
        "at": utc_text(entry.at),
        "actor": entry.actor,
        "account": entry.account,
        "action": entry.action,
        "asset": entry.subject,
        "detail": dict(entry.detail),
        "signed": is_signed(entry),
    }


def keys_of(tx: Transaction) -> list[Entry]:
    """The entries that brought the keys of the plant, the first first."""
    return store.entries_of(tx, NEW_KEYS)


def places_of(plant: Plant) -> list[str]:
    """Where checkpoints are kept outside of the store."""
    evidence = plant.evidence
    receivers = [f"syslog at {host}:{port} ({transport})" for transport, host, port in evidence.receivers]
    return [*map(str, evidence.files), *receivers]
