"""What else the store knows of a host: since when it was heard, and what polls say of the assets that it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.asset import identity_values
from baselines.snapshot import key_of, utc_text
from monitor import store
from monitor.inventory import held
from monitor.network import Host
from monitor.store import Transaction

RUNS_MOST = 200  # that are searched for when a host was heard first
ASSETS_MOST = 8  # behind one address whose polls are shown


@dataclass(frozen=True, slots=True)
class Lived:
    """When a segment's snapshots first and last had a host; `is_at_least`: it may have been there before."""

    segment: str
    first_at: datetime
    last_at: datetime
    is_at_least: bool


def life(tx: Transaction, host: Host) -> list[Lived]:
    """Since when a host was heard, by segment; one that only others speak of was never heard."""
    said = f'"key":{json.dumps(key_of("host", host.key, "ips"))}'
    found = ((name, store.runs_that_say(tx, name, said, RUNS_MOST)) for name in host.segments)
    return [Lived(name, *times) for name, times in found if times]


def polled_identities(tx: Transaction, host: Host) -> Sequence[tuple[str, datetime, Mapping[str, Any]]]:
    """What polls last read of the identity of each asset that the host is: its name, when, and by field."""
    found = ((name, held(tx, name).observed) for name in host.assets[:ASSETS_MOST])
    return [(name, seen.taken_at, identity_values(seen.items)) for name, seen in found if seen]


def life_document(lived: Lived) -> dict[str, Any]:
    """One segment's part of the life of a host."""
    return {
        "segment": lived.segment,
        "first_at": utc_text(lived.first_at),
        "last_at": utc_text(lived.last_at),
        "is_at_least": lived.is_at_least,
    }
