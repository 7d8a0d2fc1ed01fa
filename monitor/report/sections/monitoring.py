"""CIP-010 R2.1: the longest time in which each asset was not compared with its baseline, against 35 days."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from baselines.clocks import COMPARED
from baselines.coverage import Span
from baselines.lapses import Compared, compared
from monitor import store
from monitor.config import Plant
from monitor.pictures import duration_text
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, has_have, is_are, was_were
from monitor.report.standards import clauses_of
from monitor.report.standing import hides_all
from monitor.store import Transaction

KEY = "monitoring"
OVER, NEVER, UNKNOWN, BARE, DUE, WITHIN = "over", "never compared", "unknown", "no baseline", "due soon", "within"
WORST_FIRST = (OVER, NEVER, UNKNOWN, BARE, DUE, WITHIN)
COLUMNS = (
    Column("asset", "Asset", width=1.7),
    Column("state", "State", Form.STATE, 1),
    Column("longest", "Longest without", Form.SECONDS, 0.9),
    Column("start", "From", Form.TIME, 1.4),
    Column("end", "Until", Form.TIME, 1.4),
    Column("compared_at", "Compared last", Form.TIME, 1.4),
    Column("left", "Left", Form.SECONDS, 0.7),
    Column("is_exact", "From and until are exact", width=0),
    Column("is_sure", "It was in this period", width=0),
    Column("surely", "Longest that was surely in this period", Form.SECONDS, 0),
    Column("due_at", "Due", Form.TIME, 0),
    Column("approved_at", "First approved", Form.TIME, 0),
)
DAYS = COMPARED.within.days
ABOUT = (
    f"{COMPARED.clause} asks that the baseline of each asset is monitored for changes at least once every {DAYS}"
    " calendar days. An asset is compared whenever all of it is read, or it is heard, and a baseline of it is approved;"
    " an asset without one is compared with nothing. The clock of an asset begins with its first approval; a time"
    " without a comparison that began before the period counts from its beginning.",
    f"“Left” is how much of the {DAYS} days remained at the end of the period. Where the longest time lies between two"
    " polls of one unbroken observation, it is known how long it was and not when: from and until are then those of the"
    " observation, and the annex says that they are not exact. If such an observation reaches beyond the period, it may"
    " have been outside of it: it was so long at most, and “unknown” stands where that is too long.",
)


@dataclass(frozen=True, slots=True)
class _Line:
    """One asset; without `how` there was nothing to compare it with."""

    asset: str
    state: str
    how: Compared | None
    approved_at: datetime | None
    until: datetime

    @property
    def due_at(self) -> datetime | None:
        began = self.how.last_at if self.how and self.how.last_at else self.approved_at
        return began + COMPARED.within if began else None

    @property
    def left(self) -> float | None:
        """Seconds; 0 where it is overdue."""
        return max((self.due_at - self.until).total_seconds(), 0.0) if self.due_at else None

    @property
    def longest(self) -> timedelta:
        return self.how.longest.length if self.how else timedelta()


def monitoring(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    lines = _lines(tx, scope)
    worst = sorted(lines, key=lambda each: (WORST_FIRST.index(each.state), -each.longest))
    return Section(
        KEY,
        f"Monitoring: compared at least every {DAYS} days",
        (
            Text(ABOUT),
            Table("comparisons", "Longest time without a comparison", COLUMNS, [*map(_row, worst)], "No assets."),
        ),
        clauses_of(KEY),
        tuple(_findings(lines)),
    )


def _lines(tx: Transaction, scope: Scope) -> list[_Line]:
    approved = store.first_approvals(tx, scope.until)
    gaps = _gaps(tx, scope, approved)
    wanted = frozenset(name for name in scope.names if name in approved)
    found: dict[str, Compared] = {}
    for name, sightings in store.sightings_at(tx, scope.since, scope.until):
        if name in wanted:
            deep = _deep(scope.plant, name)
            found[name] = compared(approved[name], sightings, gaps[name], scope.since, scope.until, deep)
    for name in wanted - found.keys():
        found[name] = compared(approved[name], (), (), scope.since, scope.until)
    return [_line(name, found.get(name), approved.get(name), scope.until) for name in scope.names]


def _gaps(tx: Transaction, scope: Scope, approved: Mapping[str, datetime]) -> defaultdict[str, list[Span]]:
    """By asset when it was not looked at."""
    found: defaultdict[str, list[Span]] = defaultdict(list)
    for gap in store.gaps(tx, approved.keys(), scope.since, scope.until):
        if hides_all(gap):
            found[gap.asset].append(Span(gap.first_at, gap.last_at or scope.until))
    return found


def _deep(plant: Plant, name: str) -> timedelta:
    polled = plant.assets.get(name)
    return polled.deep_every or timedelta() if polled else timedelta()


def _line(name: str, how: Compared | None, approved_at: datetime | None, until: datetime) -> _Line:
    return _Line(name, _state(how, approved_at, until), how, approved_at, until)


def _state(how: Compared | None, approved_at: datetime | None, until: datetime) -> str:
    if how is None or approved_at is None:
        return BARE
    if how.surely.length > COMPARED.within:
        return OVER
    if how.last_at is None:
        return NEVER
    if how.longest.length > COMPARED.within:
        return UNKNOWN
    return DUE if until >= how.last_at + COMPARED.within - COMPARED.notice else WITHIN


def _row(line: _Line) -> tuple[Cell, ...]:
    if line.how is None:
        return (line.asset, line.state, *(None,) * (len(COLUMNS) - 2))
    longest = line.how.longest
    return (
        line.asset,
        line.state,
        longest.length.total_seconds(),
        longest.start,
        longest.end,
        line.how.last_at,
        line.left,
        longest.exact,
        longest.sure,
        line.how.surely.length.total_seconds(),
        line.due_at,
        line.approved_at,
    )


def _findings(lines: Sequence[_Line]) -> Iterator[Finding]:
    states = Counter(each.state for each in lines)
    assets = counted(len(lines), "asset")
    good = states[WITHIN] + states[DUE]
    text = f"Of {assets} {good:,} {was_were(good)} compared at least every {DAYS} days ({COMPARED.clause})"
    yield Finding(Weight.GOOD if good == len(lines) else Weight.ATTENTION, f"{text}{_longest(lines)}.", KEY)
    if over := states[OVER]:
        text = f"{over:,} of {assets} {was_were(over)} not compared for longer than {DAYS} days"
        yield Finding(Weight.BAD, f"{text}: {_named(lines, OVER)}.", KEY)
    if never := states[NEVER]:
        text = f"{never:,} of {assets} {has_have(never)} a baseline and {was_were(never)} never compared with it"
        yield Finding(Weight.UNKNOWN, f"{text}: {_named(lines, NEVER)}.", KEY)
    if unknown := states[UNKNOWN]:
        text = f"Of {unknown:,} of {assets} it is not known whether a time without a comparison was too long here"
        yield Finding(Weight.UNKNOWN, f"{text}: {_named(lines, UNKNOWN)}.", KEY)
    if bare := states[BARE]:
        text = f"{bare:,} of {assets} {has_have(bare)} no approved baseline, and {is_are(bare)} compared with nothing."
        yield Finding(Weight.UNKNOWN, text, KEY)
    if due := states[DUE]:
        text = f"{due:,} of {assets} {is_are(due)} due within {COMPARED.notice.days} days: {_named(lines, DUE)}."
        yield Finding(Weight.ATTENTION, text, KEY)


def _longest(lines: Sequence[_Line]) -> str:
    """Which time without a comparison was the longest of all."""
    known = [(each.asset, each.how.longest) for each in lines if each.how and each.how.longest.length]
    if not known:
        return ""
    asset, lapse = max(known, key=lambda each: each[1].length)
    most = "" if lapse.sure else " at most"
    return f"; the longest time without was {duration_text(lapse.length.total_seconds())}{most}, of {asset}"


def _named(lines: Sequence[_Line], state: str, most: int = 3) -> str:
    names = [each.asset for each in lines if each.state == state]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
