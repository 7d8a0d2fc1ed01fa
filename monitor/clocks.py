"""Looks at the clocks of the standards once a day, and alarms before one runs out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from baselines.alert import Alert, Move, contradict
from baselines.baseline import State
from baselines.change import OrderState
from baselines.clocks import COMPARED, UPDATED, Clock, keys, running_out
from baselines.drift import Kind
from monitor import store
from monitor.store import Transaction


def look_at_clocks(tx: Transaction, assets: Iterable[str], now: datetime) -> list[Move]:
    """Raise what is due within its notice or overdue, and return to normal what was done."""
    alerts: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in store.alerts(tx):
        if alert.kind is Kind.BLIND:
            alerts[alert.asset].append(alert)
    began = _running(tx, set(assets))
    moves = []
    for asset in {*began, *alerts}:
        due = running_out(began.get(asset, {}), now)
        done = keys() - {finding.deviation.key for finding in due}
        moves += contradict(alerts[asset], due, done, asset, now, Kind.BLIND)
    return store.store_moves(tx, moves)


def _running(tx: Transaction, assets: set[str]) -> dict[str, dict[Clock, datetime]]:
    """By asset since when each clock runs. What has no baseline cannot be compared with it, and has none."""
    began: defaultdict[str, dict[Clock, datetime]] = defaultdict(dict)
    compared = store.compared_at(tx)
    for baseline in store.baselines(tx, state=State.APPROVED):
        if baseline.asset in assets and baseline.decided_at:
            began[baseline.asset][COMPARED] = max(
                baseline.decided_at, compared.get(baseline.asset, baseline.decided_at)
            )
    closed = {order.closed_at for order in store.orders(tx, OrderState.CLOSED)}
    for baseline in store.baselines(tx, state=State.PROPOSED):
        if baseline.asset in assets and baseline.proposed_at in closed:
            began[baseline.asset][UPDATED] = baseline.proposed_at
    return began
