"""The audit chain: every entry holds the hash of the one before, so that no edit goes unseen.

The hash of an entry is SHA-256 over its canonical JSON (RFC 8785) without the hash itself. Entries hold strings and
whole numbers only, keys in ASCII: for these `json.dumps` with sorted keys and no white space writes RFC 8785.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from baselines.snapshot import utc_text

GENESIS = "0" * 64  # what the first entry holds for the one before


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
        fields = {
            "account": self.account,
            "action": self.action,
            "actor": self.actor,
            "at": utc_text(self.at),
            "detail": dict(self.detail),
            "id": self.id,
            "previous": self.previous,
            "subject": self.subject,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def computed_hash(self) -> str:
        return sha256(self.canonical()).hexdigest()


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first entry that does not verify, and why."""

    entry: int
    why: str


def verify(entries: Iterable[AuditEntry]) -> Flaw | None:
    """The first flaw in a chain that should be whole from its first entry on; None if there is none."""
    previous, expected = GENESIS, 1
    for entry in entries:
        if entry.id != expected:
            return Flaw(expected, f"entry {expected} is missing: {entry.id} comes in its place")
        if entry.previous != previous:
            return Flaw(entry.id, "it does not follow from the entry before it")
        if entry.hash != entry.computed_hash():
            return Flaw(entry.id, "its content is not what its hash was taken over")
        previous, expected = entry.hash, expected + 1
    return None
