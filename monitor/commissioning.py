"""Commissioning: what is there is captured several times and sorted; what was constant or decided about is proposed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.baseline import Stage
from baselines.capture import Captured, Decision, sort_captures, undecided
from baselines.snapshot import Snapshot
from collectors.written import seconds
from monitor import actions
from monitor.config import Plant
from monitor.errors import CallError
from monitor.proposing import objection, rules_of, snapshot_of
from monitor.show import baseline_document, value_text
from monitor.store import Actor, Database, Transaction

SORTS = ("constant", "varying", "unread")

Document = dict[str, Any]


def pause_of(every: str, what: str) -> float:
    """Seconds between two captures, as people write them; CallError, which calls them `what`."""
    try:
        return seconds(every)
    except ValueError as error:
        raise CallError(f"{what}: {error}") from None


def capture(
    wanted: Sequence[str],
    captures: int,
    pause: float,
    read: Callable[[], list[Document]],
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, list[Document]]:
    """The documents of several polls of assets, `pause` seconds between two, by asset."""
    series: dict[str, list[Document]] = {name: [] for name in wanted}
    for number in range(captures):
        if number:
            wait(pause)
        for document in read():
            series[document["asset"]].append(document)
    return series


@dataclass(frozen=True, slots=True)
class Series:
    """What several captures came to, by asset: of those that can be proposed. `refused` says why others cannot."""

    taken: Mapping[str, Sequence[Snapshot]]
    captured: Mapping[str, Sequence[Captured]]
    refused: Sequence[Document]


def sort_series(database: Database, series: Mapping[str, Sequence[Document]], incomplete: bool) -> Series:
    """Sort what was captured."""
    refused = [
        {"asset": name, "why": why}
        for name, documents in series.items()
        if (why := objection(documents[-1], incomplete))
    ]
    good = [name for name in series if name not in {refusal["asset"] for refusal in refused}]
    with database.read() as tx:
        taken = {name: [snapshot_of(tx, each) for each in series[name] if not each["error"]] for name in good}
    return Series(taken, {name: sort_captures(captures) for name, captures in taken.items()}, refused)


def propose_series(
    tx: Transaction,
    plant: Plant,
    series: Series,
    decided: Mapping[str, Sequence[Decision]],
    stage: Stage,
    who: Actor,
    now: Callable[[], datetime],
    reason: str,
    ticket: str,
) -> Document:
    """Propose what was captured; `decided` are the decisions about what varies, by asset."""
    proposed = []
    for name, captured in series.captured.items():
        rules, decisions = rules_of(plant, name), decided.get(name, ())
        made = actions.propose_captured(
            tx, series.taken[name], captured, decisions, stage, who, now(), reason, ticket, rules
        )
        proposed.append(baseline_document(made))
    open_ = {
        name: {each.key for each in undecided(captured, decided.get(name, ()))}
        for name, captured in series.captured.items()
    }
    varying = [
        varying_document(name, each, each.key in open_[name])
        for name, captured in series.captured.items()
        for each in captured
        if each.sort == "varying"
    ]
    counts = [
        {"asset": name, **{sort: sum(each.sort == sort for each in captured) for sort in SORTS}}
        for name, captured in series.captured.items()
    ]
    return {"baselines": proposed, "refused": list(series.refused), "varying": varying, "sorted": counts}


def varying_document(name: str, each: Captured, is_open: bool) -> Document:
    """An item that was not the same in every capture."""
    return {
        "asset": name,
        "item": each.key,
        "values": list(each.values),
        "low": each.low,
        "high": each.high,
        "changes": each.changes,
        "missed": each.missed,
        "decided": not is_open,
    }


def varying_text(row: Document) -> str:
    """The same as a sentence."""
    times = "once" if row["changes"] == 1 else f"{row['changes']} times"
    return f"{row['item']} varies by itself: {range_text(row)}, it changed {times}"


def range_text(row: Document) -> str:
    """Between which values an item moved."""
    if row["low"] is not None:
        return f"between {value_text(row['low'])} and {value_text(row['high'])}"
    return ", ".join(map(value_text, row["values"]))
