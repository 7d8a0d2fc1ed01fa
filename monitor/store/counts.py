"""How much there is of what, for those who watch the watcher."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select

from baselines.alert import AlertState
from monitor import tables
from monitor.store.database import Transaction

WAITING = "waiting"  # a message that is still to be sent


def count_alarms(tx: Transaction) -> Mapping[tuple[str, str], int]:
    """The alarms that are not NORMAL, by state and severity."""
    alert = tables.alert.c
    here = [state for state in AlertState if state is not AlertState.NORMAL]  # by the index: most are NORMAL
    counted = select(alert.state, alert.severity, func.count()).where(alert.state.in_(here))
    return {(row[0], row[1]): row[2] for row in tx.execute(counted.group_by(alert.state, alert.severity))}


def count_waiting(tx: Transaction) -> int:
    """The messages that are still to be sent."""
    return int(tx.execute(select(func.count()).where(tables.message.c.state == WAITING)).scalar_one())


def count_runs(tx: Transaction) -> int:
    """The runs that were ever begun: their highest number, which takes no time to find."""
    return int(tx.execute(select(func.max(tables.run.c.id))).scalar() or 0)


def newest_moment(tx: Transaction) -> datetime | None:
    """The time of the newest that was noted: an audit entry, or the end of the newest run."""
    audited = select(tables.audit_entry.c.at).order_by(tables.audit_entry.c.id.desc()).limit(1)
    seen = select(tables.run.c.last_at).order_by(tables.run.c.id.desc()).limit(1)
    found = [at for statement in (audited, seen) if (at := tx.execute(statement).scalar()) is not None]
    return max(found, default=None)
