"""Every deviation: what differed from what was approved, who did it, and what became of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from baselines.alert import NORMAL, SUPPRESSED
from baselines.clocks import UPDATED
from baselines.drift import DEVIATIONS
from baselines.life import Life
from baselines.quality import OF_THE_WIRE, How
from baselines.snapshot import Severity
from monitor import store
from monitor.report.document import Cell, Column, Facts, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sections.told import (
    DOER_COLUMNS,
    announced_by,
    count,
    doer,
    seconds,
    sentence,
    shown,
    wanted,
    were,
    worst_first,
)
from monitor.store import Transaction

KEY = "deviations"
OPEN = "open"
SEVERE = (Severity.CRITICAL, Severity.HIGH)

COLUMNS = (
    Column("alarm", "Alarm", Form.CODE, 0),
    Column("asset", "Asset", width=1.3),
    Column("deviation", "Deviation", width=2.8),
    Column("item", "Item", Form.CODE, 0),
    Column("kind", "Kind", Form.TEXT, 0),
    Column("approved", "Approved", Form.CODE, 0),
    Column("observed", "Observed", Form.CODE, 0),
    Column("unit", "Unit", Form.TEXT, 0),
    Column("severity", "Severity", Form.STATE, 0.8),
    Column("category", "Category", Form.TEXT, 0),
    Column("techniques", "ATT&CK techniques", Form.CODE, 0),
    Column("raised_at", "Raised", Form.TIME, 1.1),
    *DOER_COLUMNS,
    Column("became", "What became of it", Form.STATE, 1),
    Column("ended_at", "Ended", Form.TIME, 0),
    Column("lasted", "Lasted", Form.SECONDS, 0),
    Column("state", "Alarm state", Form.STATE, 0),
    Column("cause", "Cause", Form.TEXT, 1),
    Column("prevention", "Prevention", Form.TEXT, 0),
    Column("case_closed_by", "Case closed by", Form.TEXT, 0),
    Column("case_closed_at", "Case closed", Form.TIME, 0),
    Column("announced", "Announced", Form.TEXT, 0),
    Column("announced_by", "Announced by", Form.TEXT, 0),
)
WIRE_COLUMNS = (
    Column("alarm", "Alarm", Form.CODE, 0),
    Column("asset", "Asset", width=1.3),
    Column("what", "What was seen", width=3),
    Column("item", "Key", Form.CODE, 0),
    Column("kind", "Kind", Form.TEXT, 0),
    Column("severity", "Severity", Form.STATE, 0.8),
    Column("category", "Category", Form.TEXT, 0),
    Column("techniques", "ATT&CK techniques", Form.CODE, 1),
    Column("raised_at", "Raised", Form.TIME, 1.1),
    *DOER_COLUMNS,
    Column("state", "Alarm state", Form.STATE, 0.9),
    Column("cause", "Cause", Form.TEXT, 0),
    Column("announced_by", "Announced by", Form.TEXT, 0),
)


def deviations(tx: Transaction, scope: Scope) -> Section:
    """What deviated in the time, and what of before was open at its end; what the wire saw apart from it."""
    approvals = store.approvals_by_name(tx)
    here: list[tuple[Cell, ...]] = []
    wire: list[tuple[Cell, ...]] = []
    units = _units(tx, scope)
    tally = _Tally(scope)
    for life in store.lives(tx, scope.since, scope.until, wanted(scope)):
        if life.kind in DEVIATIONS:
            how = life.how(approvals.get(life.asset, ()))
            if _deviated_since(life, how, scope.since):
                tally.add(life, how)
                here.append(_row(life, how, units, scope.until))
        elif life.kind in OF_THE_WIRE and (life.is_open or life.raised_at >= scope.since):
            wire.append(_wire_row(life))
    worst_first(COLUMNS, here, "became", list(How))
    worst_first(WIRE_COLUMNS, wire, "state", [NORMAL])
    return Section(
        KEY,
        "Deviations",
        (
            Text((_INTRODUCTION,)),
            Facts(tally.facts()),
            Table(KEY, "Deviations", COLUMNS, here, "Nothing deviated, and nothing of before was open.", _NOTE),
            Table(
                "wire-alarms",
                "What the network showed",
                WIRE_COLUMNS,
                wire,
                "No alarm of the network was raised, and none of before was open.",
                "Operations, writes and contradictions that were seen on the wire; they are not counted as deviations.",
            ),
        ),
        ("cip-010-4/r2.1", "iec-62443-3-3/sr-3.4"),
        tuple(tally.findings()),
    )


_INTRODUCTION = (
    "A deviation is an item that was not as approved. It ends when the value comes back (mended), or when what was"
    " found is approved (approved); otherwise: its alarm ended without the item having been seen as approved, such as"
    " when its asset was retired. Who did it is said where the network was heard. Here are those that were raised in"
    " this time, and those of before that had not ended when it began."
)
_NOTE = "What stands open comes first, the most severe of it foremost."


def _deviated_since(life: Life, how: How | None, since: datetime) -> bool:
    """Whether it had not ended before a time."""
    ended = life.ended or (life.moves[-1] if how else None)
    return ended is None or ended.at >= since


def _units(tx: Transaction, scope: Scope) -> dict[tuple[int, str], str]:
    """The units of the items that have one, as they are approved."""
    pairs = store.deviating(tx, scope.since, scope.until)
    return {pair: item.unit for pair, item in store.approved_items(tx, pairs, scope.until) if item.unit}


def _row(life: Life, how: How | None, units: dict[tuple[int, str], str], until: datetime) -> tuple[Cell, ...]:
    who, ended = doer(life.who), life.ended
    return (
        life.number,
        life.asset,
        sentence(life),
        life.item,
        life.kind.value,
        shown(life.approved),
        shown(life.observed),
        units.get((life.asset_id, life.item)),
        life.severity.value,
        life.category.value,
        life.techniques or None,
        life.raised_at,
        who.text,
        *who,
        how.value if how else OPEN,
        ended.at if ended else None,
        seconds(life.raised_at, ended.at if ended else until if how is None else None),
        life.state.value,
        life.cause,
        life.prevention or None,
        life.closed_by,
        life.closed_at,
        _announced(life),
        announced_by(life),
    )


def _announced(life: Life) -> str:
    """Whether it was announced: from the beginning and all along, for a time only, or not."""
    if life.is_announced:
        return "yes"
    was = any(move.after is SUPPRESSED for move in life.moves)
    return "for a time" if was else "no"


def _wire_row(life: Life) -> tuple[Cell, ...]:
    who = doer(life.who)
    return (
        life.number,
        life.asset,
        sentence(life),
        life.item,
        life.kind.value,
        life.severity.value,
        life.category.value,
        life.techniques or None,
        life.raised_at,
        who.text,
        *who,
        life.state.value,
        life.cause,
        announced_by(life),
    )


class _Tally:
    """What is counted while the alarms go by."""

    def __init__(self, scope: Scope) -> None:
        self.since, self.until = scope.since, scope.until
        self.became: Counter[str] = Counter()  # of those that were raised in the time, and nobody had announced
        self.before: Counter[str] = Counter()  # of those that had not ended when it began
        self.announced = self.uncaused = self.seen_who = self.severe = self.open = self.old = self.afterwards = 0

    def add(self, life: Life, how: How | None) -> None:
        if how is None:
            self.open += 1
            self.old += self.until - life.raised_at > UPDATED.within
            self.severe += life.severity in SEVERE and not life.is_announced
        if life.raised_at < self.since:
            self.before[how or OPEN] += 1
        elif life.is_announced:
            self.announced += 1
        else:
            self.became[how or OPEN] += 1
            self.uncaused += how is not None and life.cause is None
            self.seen_who += life.who is not None
            self.afterwards += how is How.APPROVED and not life.announced_by

    def facts(self) -> tuple[tuple[str, Cell, str], ...]:
        became, before = self.became, self.before
        return (
            ("Raised in this time", became.total(), "that nobody had announced"),
            ("Mended", became[How.MENDED], "the value came back"),
            ("Approved", became[How.APPROVED], "what was found became what is approved"),
            ("Ended otherwise", became[How.OTHERWISE], "without having been seen as approved again"),
            ("Open at its end", became[OPEN], ""),
            ("Ended without a cause", self.uncaused, "that somebody gave when the case was closed"),
            ("With who did it", self.seen_who, "the network showed it"),
            ("Announced", self.announced, "by a change order, or by taking the asset out of service"),
            ("From before", before.total(), f"of these {before[OPEN]:,} open at its end too"),
        )

    def findings(self) -> list[Finding]:
        became, total = self.became, self.became.total()
        if not (total or self.before or self.announced):
            return [Finding(Weight.GOOD, "Nothing deviated, and nothing of before was open.", KEY)]
        left = became[OPEN] + self.before[OPEN]
        weight = Weight.BAD if self.severe else Weight.ATTENTION if left else Weight.GOOD
        said = [
            (
                weight,
                f"Of {count(total, 'unannounced deviation')} {became[How.MENDED]:,} {were(became[How.MENDED])} mended,"
                f" {became[How.APPROVED]:,} approved; {became[OPEN]:,} {were(became[OPEN])} open at the end, and"
                f" {self.before[OPEN]:,} of before. High or critical among the open ones: {self.severe:,} of {left:,}.",
            )
        ]
        if self.afterwards:
            told = f"{self.afterwards:,} of {count(total, 'unannounced deviation')} {were(self.afterwards)} approved"
            said.append((Weight.ATTENTION, f"{told} afterwards: no change order had announced what was approved."))
        if self.old:
            told = f"{self.old:,} of {count(self.open, 'deviation')} that {were(self.open)} open, announced or not, had"
            told += (
                f" been so for more than {UPDATED.within.days} days: neither mended nor approved ({UPDATED.clause})."
            )
            said.append((Weight.BAD, told))
        if otherwise := became[How.OTHERWISE]:
            told = f"{otherwise:,} of {count(total, 'deviation')} ended without having been seen as approved again."
            said.append((Weight.UNKNOWN, told))
        if self.uncaused:
            ended = total - became[OPEN]
            told = f"{self.uncaused:,} of {count(ended, 'deviation')} that ended {were(self.uncaused)} given no cause."
            said.append((Weight.ATTENTION, told))
        return [Finding(weight, text, KEY) for weight, text in said]
