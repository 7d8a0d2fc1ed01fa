"""Which topics of the pages moved between two looks at the store."""

from __future__ import annotations

from monitor import store
from monitor.store import Marks, Transaction

PULSE = 15_000  # milliseconds: how fresh everything is moves with every poll, and is shown anew so often
OF_ACTIONS = {  # what an audit entry moves, by the first word of its action
    "alert": ("alarms", "assets"),
    "artefact": ("assets", "baselines"),
    "asset": ("assets", "alarms", "coverage", "network"),
    "baseline": ("baselines", "assets", "alarms", "network"),
    "change": ("orders", "alarms", "assets"),
    "configuration": ("assets", "network", "coverage"),
    "person": ("people",),
    "session": (),
    "token": ("people",),
}
TOPICS = ("assets", "alarms", "baselines", "orders", "network", "coverage", "people")


def moved(tx: Transaction, before: Marks, now: Marks) -> frozenset[str]:
    """The topics that moved between two marks, the later of them of this transaction. Without a change it costs
    nothing; else it reads the audit entries between them. What becomes stale by the clock alone moves no mark."""
    if before == now:
        return frozenset()
    topics: set[str] = set()
    if now.run != before.run or now.asset != before.asset:
        topics |= {"assets", "network", "coverage"}
    if now.move != before.move:
        topics |= {"alarms", "assets"}
    if (now.gap, now.blind) != (before.gap, before.blind):
        topics |= {"coverage", "assets"}
    if now.pulse // PULSE != before.pulse // PULSE:
        topics.add("assets")
    if now.entry < before.entry:  # another store
        return frozenset(TOPICS)
    for entry in store.audit_news(tx, before.entry) if now.entry != before.entry else ():
        topics.update(OF_ACTIONS.get(entry.action.partition(".")[0], ()))
    return frozenset(topics)
