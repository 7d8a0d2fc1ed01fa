"""Who did it: what a poll found changed, and what the wire saw somebody do, brought together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from baselines.alert import NORMAL, Alert
from baselines.change import meets
from baselines.drift import Kind
from baselines.rules import Finding
from baselines.snapshot import Category, Item, utc_text
from baselines.wire import Written

LOADED = (Category.PROGRAM, Category.FIRMWARE, Category.MODE)  # what is changed as a whole, not by writing an item


def attributed(findings: Iterable[Finding], written: Sequence[Written], done: Iterable[Alert]) -> tuple[Finding, ...]:
    """The findings, each with who did it where the wire saw it: who wrote this value to the item last, or one that the
    wire could not read; of a program, firmware or mode, who did last something to it. `written` (the oldest first)
    and `done` (alarms of events) are since it was seen otherwise."""
    latest_first = written[::-1]
    doers = {alert.category: alert.who for alert in sorted(done, key=_done_at) if alert.kind is Kind.EVENT}
    return tuple(
        finding if finding.who else replace(finding, who=_doer(finding, latest_first, doers)) for finding in findings
    )


def _doer(
    finding: Finding, latest_first: Iterable[Written], doers: Mapping[Category, Mapping[str, Any] | None]
) -> Mapping[str, Any] | None:
    item = finding.deviation.observed
    if item is None:
        return None
    for write in latest_first:
        if write.item == item.key and may_be(write, item):
            return doer(write)
    return doers.get(item.category) if item.category in LOADED else None


def may_be(write: Written, item: Item) -> bool:
    """Whether a write may have put an item's value there."""
    return write.value is None or meets(write.value, item, item.tolerance)


def doer(write: Written) -> Mapping[str, Any]:
    """Who wrote: client, name, protocol, and when."""
    return {**write.who, "at": utc_text(write.at)}


def _done_at(alert: Alert) -> str:
    return str((alert.who or {}).get("at") or "")


def unattributed(alerts: Iterable[Alert], item: str, since: datetime) -> list[Alert]:
    """The alarms of an item that a poll raised or moved since a time, and of which nobody knows who did it."""
    return [
        alert
        for alert in alerts
        if alert.item == item
        and alert.kind is Kind.CHANGED
        and alert.state is not NORMAL
        and alert.who is None
        and alert.changed_at >= since
    ]
