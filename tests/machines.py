"""Machines of a test that nobody polls: what is approved of them, what was seen of them, and who may do something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from secrets import token_urlsafe

from baselines.baseline import Stage
from baselines.snapshot import Item, Snapshot
from monitor import store
from monitor.actions import approve, propose
from monitor.polling import utc_now
from monitor.store import Actor, Database, Run, Token
from monitor.web.access import digest_of

BO = Actor("bo", "test")


def approved(database: Database, machines: Mapping[str, Iterable[Item]], at: datetime | None = None) -> None:
    """Approve these items of each machine, and see them as they are."""
    now = at or utc_now()
    with database.write() as tx:
        known = store.known_assets(tx)
        store.add_assets(tx, [name for name in machines if name not in known])
        for name, items in machines.items():
            propose(tx, Snapshot.of(name, now, list(items)), Stage.FAT, BO, now)
            approve(tx, name, BO, "test", now, although_changed=True)
    seen(database, machines, now)


def seen(database: Database, machines: Mapping[str, Iterable[Item]], at: datetime | None = None) -> None:
    """See each machine with these items."""
    now = at or utc_now()
    with database.write() as tx:
        for name, items in machines.items():
            snapshot = Snapshot.of(name, now, list(items))
            store.keep_snapshot(tx, snapshot)
            store.add_run(tx, Run(0, name, snapshot.digest, "", None, None, now, now, 1, 0.0))


def token(database: Database, person: str, *scopes: str) -> str:
    """A token of somebody, for the API."""
    secret = token_urlsafe()
    with database.write() as tx:
        store.add_token(tx, Token(0, digest_of(secret), person, "test", scopes, utc_now(), None))
    return secret
