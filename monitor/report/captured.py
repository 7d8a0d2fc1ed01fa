"""What is kept of how a baseline was captured, as far as anything is to be said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.capture import Captured, Decision, Sort, parse_capture
from monitor import store
from monitor.report.approvals import Told
from monitor.store import Transaction


@dataclass(frozen=True, slots=True)
class Record:
    """How often a baseline was read, from when until when; of a single reading, once when it was proposed. `captures`
    is None where the store has the record no more as it was written.

    `captured` are the items of which there is something to say: not those that were the same in every capture.
    `constant` and `varying` count all of them; None where it was a single reading, which is no series.
    """

    told: Told
    captures: int | None
    since: datetime
    until: datetime
    captured: Sequence[Captured] = ()
    decisions: Sequence[Decision] = ()
    constant: int | None = None
    varying: int | None = None


def records(tx: Transaction, of: Sequence[Told]) -> Iterator[Record]:
    """How each of the baselines was captured, in no order."""
    named: dict[str, list[Told]] = {}
    for told in of:
        named.setdefault(told.baseline.capture or "", []).append(told)
    for told in named.pop("", ()):
        yield _bare(told, 1)
    for digest, text in store.documents(tx, list(named)):
        document = json.loads(text)
        yield from (_record(told, document) for told in named.pop(digest))
    yield from (_bare(told, None) for missing in named.values() for told in missing)


def _bare(told: Told, captures: int | None) -> Record:
    return Record(told, captures, told.baseline.proposed_at, told.baseline.proposed_at)


def _record(told: Told, document: Mapping[str, Any]) -> Record:
    decided = {each["item"] for each in document["decisions"]}
    sorts = [each["sort"] for each in document["items"]]
    told_of = [
        each
        for each in document["items"]
        if told.part is not None or each["sort"] != Sort.CONSTANT or each["missed"] or each["item"] in decided
    ]
    captured, decisions = parse_capture({**document, "items": told_of})
    return Record(
        told,
        document["captures"],
        datetime.fromisoformat(document["from"]),
        datetime.fromisoformat(document["until"]),
        captured,
        decisions,
        sorts.count(Sort.CONSTANT),
        sorts.count(Sort.VARYING),
    )
