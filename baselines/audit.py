"""The audit chain: every entry holds the hash of the one before, so that no edit goes unseen. docs/evidence.md has its
format; monitor/verifier.py verifies it.

The hash of an entry is SHA-256 over its canonical JSON (RFC 8785) without the hash itself. Entries hold strings and
whole numbers only, keys in ASCII: for these `json.dumps` with sorted keys and no white space writes RFC 8785.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from baselines.snapshot import utc_text

GENESIS = "0" * 64  # what the first entry holds for the one before
SIGNATURE = ("key", "signature")  # in the detail of an entry that a person signed


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which asset, when. `actor` is who they say they are, `account` the operating system's word.

    `action` is a word such as "baseline.approve"; `subject` the asset, or "" where it is the whole plant.
    """

    id: int
    at: datetime
    actor: str
    account: str
    action: str
    subject: str
    detail: Mapping[str, str] = field(default_factory=dict)
    previous: str = GENESIS
    hash: str = ""

    def canonical(self) -> bytes:
        """What the hash is taken over."""
        return canonical_json(self._said() | {"id": self.id, "previous": self.previous})

    def computed_hash(self) -> str:
        return sha256(self.canonical()).hexdigest()

    def statement(self) -> bytes:
        """What a person signs: the entry without its place in the chain, which it does not have yet."""
        detail = {key: value for key, value in self.detail.items() if key not in SIGNATURE}
        return canonical_json(self._said() | {"detail": detail})

    def _said(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "action": self.action,
            "actor": self.actor,
            "at": utc_text(self.at),
            "detail": dict(self.detail),
            "subject": self.subject,
        }


def canonical_json(fields: Mapping[str, Any]) -> bytes:
    """RFC 8785, of strings, whole numbers and tables with ASCII keys: for these it is what is written here."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of the chain at a time, signed: what was in the chain then can no longer be changed unseen.

    `entries` is how many there were, `head` the hash of the last, `key` an Ed25519 public key.
    """

    entries: int
    head: str
    at: datetime
    key: str
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        return canonical_json(self._said())

    def line(self) -> str:
        """How it is kept outside of the store: one line of JSON, without the line break."""
        return canonical_json(self._said() | {"signature": self.signature}).decode()

    def _said(self) -> dict[str, Any]:
        return {"at": utc_text(self.at), "entries": self.entries, "head": self.head, "key": self.key}
