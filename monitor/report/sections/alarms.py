"""The history of alarms by ISA-18.2: when each came, who saw it and how soon, what was put away, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator

from baselines.alert import NORMAL, SHELVE, SHELVED, SUPPRESSED, UNACK
from baselines.life import Life
from baselines.quality import Times
from monitor import store
from monitor.pictures import duration_text
from monitor.report.document import Cell, Column, Facts, Finding, Form, Section, Table, Weight
from monitor.report.scope import Scope
from monitor.report.sections.told import announced_by, count, seconds, sentence, shown, wanted, were, worst_first
from monitor.store import Transaction

KEY = "alarms"

COLUMNS = (
    Column("alarm", "No.", Form.CODE, 0.5),
    Column("asset", "Asset", width=1.3),
    Column("about", "About", width=2.6),
    Column("item", "Item", Form.CODE, 0),
    Column("kind", "Kind", Form.TEXT, 0),
    Column("severity", "Severity", Form.STATE, 0),
    Column("raised_at", "Raised", Form.TIME, 1.1),
    Column("acknowledged_after", "Acknowledged after", Form.SECONDS, 0.9),
    Column("acknowledged_by", "by", width=0.9),
    Column("acknowledged_at", "Acknowledged", Form.TIME, 0),
    Column("acknowledged_reason", "Said on acknowledging", Form.TEXT, 0),
    Column("shelved_at", "Shelved", Form.TIME, 0),
    Column("shelved_until", "Shelved until", Form.TIME, 0),
    Column("shelved_by", "Shelved by", Form.TEXT, 0),
    Column("shelved_reason", "Reason for shelving", Form.TEXT, 0),
    Column("suppressed_by", "Suppressed by", Form.TEXT, 0),
    Column("returned_at", "Returned to normal", Form.TIME, 0),
    Column("over_at", "Over", Form.TIME, 0),
    Column("state", "State", Form.STATE, 0.9),
    Column("case_closed_by", "Case closed by", Form.TEXT, 0),
    Column("case_closed_at", "Case closed", Form.TIME, 0),
    Column("cause", "Cause", Form.TEXT, 0),
    Column("moves", "Moves", Form.NUMBER, 0),
)
MOVE_COLUMNS = (
    Column("alarm", "Alarm", Form.CODE, 0.5),
    Column("asset", "Asset", width=1.2),
    Column("item", "Item", Form.CODE, 0),
    Column("at", "At", Form.TIME, 1.1),
    Column("event", "What happened", width=0.9),
    Column("before", "From", Form.STATE, 0),
    Column("after", "To", Form.STATE, 0.9),
    Column("observed", "Observed", Form.CODE, 0),
    Column("by", "By", width=0.8),
    Column("reason", "Reason", width=1.3),
    Column("until", "Shelved until", Form.TIME, 0),
)


def alarms(tx: Transaction, scope: Scope) -> Section:
    """Every alarm that was raised, open or handled in the time, and all of its moves until the end of it."""
    rows: list[tuple[Cell, ...]] = []
    moves: list[tuple[Cell, ...]] = []
    tally = _Tally(scope)
    for life in store.lives(tx, scope.since, scope.until, wanted(scope)):
        tally.add(life)
        rows.append(_row(life))
        moves += _moves(life)
    worst_first(COLUMNS, rows, "state", [NORMAL])
    return Section(
        KEY,
        "Alarms",
        (
            Facts(tally.facts()),
            Table(
                KEY,
                "Alarms",
                COLUMNS,
                rows,
                "No alarm was raised, open or handled in this time.",
                "What is open comes first.",
            ),
            Table("alarm-moves", "Every move of every alarm", MOVE_COLUMNS, moves, "No alarm has moved."),
        ),
        ("iec-62443-3-3/sr-6.2",),
        tuple(tally.findings()),
    )


def _row(life: Life) -> tuple[Cell, ...]:
    seen, shelved, ended = life.acknowledged, life.shelved, life.ended
    return (
        life.number,
        life.asset,
        sentence(life),
        life.item,
        life.kind.value,
        life.severity.value,
        life.raised_at,
        seconds(life.raised_at, seen.at if seen else None),
        seen.by if seen else None,
        seen.at if seen else None,
        (seen.reason or None) if seen else None,
        shelved.at if shelved else None,
        shelved.until if shelved else None,
        shelved.by if shelved else None,
        (shelved.reason or None) if shelved else None,
        announced_by(life),
        ended.at if ended else None,
        None if life.is_open else life.moves[-1].at,
        life.state.value,
        life.closed_by,
        life.closed_at,
        life.cause,
        len(life.moves),
    )


def _moves(life: Life) -> Iterator[tuple[Cell, ...]]:
    for move in life.moves:
        told = (move.at, move.event.value, move.before.value, move.after.value, shown(move.observed))
        yield (life.number, life.asset, life.item, *told, move.by, move.reason or None, move.until)


class _Tally:
    """What is counted while the alarms go by."""

    def __init__(self, scope: Scope) -> None:
        self.since = scope.since
        self.total = self.raised = self.announced = self.shelved = self.shelved_now = self.suppressed_now = 0
        self.unseen = self.unseen_now = 0  # of those raised in the time: nobody has acknowledged them; and open still
        self.to_acknowledge: list[float] = []

    def add(self, life: Life) -> None:
        self.total += 1
        self.shelved += any(move.event is SHELVE and move.at >= self.since for move in life.moves)
        self.shelved_now += life.state is SHELVED
        self.suppressed_now += life.state is SUPPRESSED
        if life.raised_at < self.since:
            return
        self.raised += 1
        if life.is_announced:
            self.announced += 1
        elif seen := life.acknowledged:
            self.to_acknowledge.append((seen.at - life.raised_at).total_seconds())
        else:
            self.unseen += 1
            self.unseen_now += life.state is UNACK

    def facts(self) -> tuple[tuple[str, Cell, str], ...]:
        times = Times.of(self.to_acknowledge)
        return (
            ("Raised in this time", self.raised, f"{count(self.total, 'alarm')} with those of before"),
            ("Announced from the beginning", self.announced, "suppressed, so nobody had to acknowledge them"),
            ("Acknowledged", len(times.values), "of those that nobody had announced"),
            ("Never acknowledged", self.unseen, f"of these {self.unseen_now:,} deviate still"),
            ("Time to acknowledge, median", duration_text(times.median), ""),
            ("Time to acknowledge, nine in ten within", duration_text(times.p90), ""),
            ("Shelved in this time", self.shelved, f"at its end {self.shelved_now:,} {were(self.shelved_now)} shelved"),
            ("Suppressed at its end", self.suppressed_now, "by a change order, or out of service"),
        )

    def findings(self) -> list[Finding]:
        shown_to_people = self.raised - self.announced
        if not shown_to_people:
            return [Finding(Weight.GOOD, "No alarm was raised that somebody had to acknowledge.", KEY)]
        times = Times.of(self.to_acknowledge)
        soon = f", half of them within {duration_text(times.median)}, nine in ten within {duration_text(times.p90)}"
        told = (
            f"Of {count(shown_to_people, 'alarm')} that came before people {len(times.values):,}"
            f" {were(len(times.values))} acknowledged{soon if times.values else ''}; {self.unseen:,}"
            f" {were(self.unseen)} not."
        )
        found = [Finding(Weight.ATTENTION if self.unseen else Weight.GOOD, told, KEY)]
        if self.shelved_now:
            away = f"{count(self.shelved_now, 'alarm')} of {self.total:,} {were(self.shelved_now)} put away (shelved)"
            found.append(Finding(Weight.ATTENTION, f"{away} at the end.", KEY))
        return found
