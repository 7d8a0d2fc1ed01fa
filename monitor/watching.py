"""How the watch itself is: whether it is ready, its self-test, what it does at which time, and who is told."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Any

from baselines.snapshot import utc_text
from monitor import store
from monitor.canary import SELF_TEST, self_test_document
from monitor.config import ITSELF, Plant
from monitor.contract import ATTEMPTED, EXCEEDED, KEPT, NEVER_POLLED
from monitor.errors import StoreError
from monitor.notify.grouping import Held
from monitor.polling import utc_now
from monitor.routes import AnyRoute
from monitor.store import Chore, Database, RouteHealth, SelfTest, Transaction

PATIENCE = 90.0  # seconds that a self-test of the daemon may take
LOOK_EVERY = 0.1
STATIONS = ("read", "compared", "committed", "sent")  # of a self-test, in the order in which they are passed
CONTRACT = (EXCEEDED, ATTEMPTED, NEVER_POLLED, KEPT)  # verdicts, the worst first
FILES_OF_SQLITE = ("", "-wal", "-shm")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """How it is. `passed` is the newest self-test that passed, `bytes` the size of the store where it is a file."""

    test: SelfTest | None
    passed: SelfTest | None
    chores: tuple[Chore, ...]
    routes: tuple[Document, ...]
    bytes: int | None


def watch(tx: Transaction, plant: Plant, database: Database) -> Watch:
    """How the watch of a plant is, by its store."""
    return Watch(
        store.last_self_test(tx),
        store.last_self_test(tx, passed=True),
        tuple(store.chores(tx).values()),
        tuple(route_documents(tx, plant)),
        _size(database),
    )


def _size(database: Database) -> int | None:
    if not database.is_sqlite:
        return None
    found = 0
    for ending in FILES_OF_SQLITE:
        with contextlib.suppress(FileNotFoundError):  # without a reader there is none beside the database
            found += os.stat(f"{database.url.database}{ending}").st_size
    return found


def watch_document(found: Watch) -> Document:
    """The JSON document; see docs/json.md."""
    return {
        "self_test": self_test_document(found.test) if found.test else None,
        "self_test_passed_at": utc_text(found.passed.at) if found.passed else None,
        "chores": [
            {
                "chore": each.name,
                "last_at": utc_text(each.last_at) if each.last_at else None,
                "next_at": utc_text(each.next_at) if each.next_at else None,
                "text": each.text,
            }
            for each in found.chores
        ],
        "routes": list(found.routes),
        "store": {"bytes": found.bytes},
    }


def route_documents(tx: Transaction, plant: Plant) -> list[Document]:
    """The routes of a plant: what waits to be sent, what is held back, what arrived last, and why it does not."""
    names = [route.name for route in plant.routes]
    health, marks = store.route_health(tx, names), store.route_marks(tx)
    return [_route(route, health[route.name], Held.parsed(marks.get(route.name, (0, ""))[1])) for route in plant.routes]


def _route(route: AnyRoute, health: RouteHealth, held: Held) -> Document:
    return {
        "route": route.name,
        "kind": route.kind,
        "place": route.place,
        "min_severity": route.min_severity,
        "waiting": health.waiting,
        "oldest": utc_text(health.oldest) if health.oldest else None,
        "held": held.urgent.count + held.others.count,
        "flapping": len(held.flapping),
        "sent_at": utc_text(health.sent_at) if health.sent_at else None,
        "failed": health.failed,
        "why": health.why,
    }


def ask_for_self_test(plant: Plant, database: Database, by: str) -> Document:
    """Have the daemon test itself; the document of what came of it. StoreError if it does not answer."""
    with database.write() as tx:
        number = store.request_poll(tx, ITSELF, utc_now(), by, SELF_TEST)
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until:
            with database.read() as tx:
                if answer := store.poll_answers(tx, [number]).get(number):
                    return answer
            time.sleep(LOOK_EVERY)
    finally:
        with database.write() as tx:
            store.withdraw_polls(tx, [number])
    raise StoreError(f"the asbuilt that watches {plant.name} does not answer; is the daemon stuck? (asbuilt run)")
