"""Machines as the plant groups them, and what of them needs attention. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from baselines.asset import Asset
from baselines.drift import WORST_FIRST, Verdict
from baselines.snapshot import Severity
from monitor.board import NO_ALARMS, Row

NO_LINE = "(no line)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which assets somebody wants to see; what is empty asks for all."""

    text: str = ""
    verdict: str = ""
    zone: str = ""
    line: str = ""
    alarms: str = ""  # "open", "waiting" or "none"

    @property
    def is_any(self) -> bool:
        return self == Wanted()

    def has(self, row: Row) -> bool:
        asset, alarms = row.asset, row.alarms
        if self.verdict and row.verdict != self.verdict:
            return False
        if (self.zone and asset.zone != self.zone) or (self.line and line_of(asset) != self.line):
            return False
        if not {"open": alarms.open > 0, "waiting": alarms.waiting > 0, "none": not alarms.open}.get(self.alarms, True):
            return False
        return not self.text or self.text.casefold() in words_of(row)


def words_of(row: Row) -> str:
    """Everything of an asset that somebody may look for, in small letters."""
    asset = row.asset
    said = (str(value) for value in row.identity.values() if value is not None)
    written = (asset.name, asset.address, asset.zone, asset.role, asset.location, asset.machine_type)
    return "\n".join([*written, *said]).casefold()


def line_of(asset: Asset) -> str:
    """The line that a machine belongs to: its name up to the last slash, or else its zone."""
    head, _, _ = asset.name.rpartition("/")
    return head or asset.zone or NO_LINE


def machine_of(asset: Asset) -> str:
    """What a machine is called on its line."""
    head, _, name = asset.name.rpartition("/")
    return name if head and name else asset.name


def needs_attention(row: Row) -> bool:
    """Whether somebody has to look at an asset: it is not as approved, not seen any more, or an alarm stands. Not one
    that is out of service, nor one that nobody has finished setting up."""
    if row.out is not None:
        return False
    bad = row.verdict in (Verdict.DRIFT, Verdict.NO_LONGER_OBSERVABLE, Verdict.STALE)
    return bad or row.alarms.open > 0


def urgency(row: Row) -> tuple[int, int, int]:
    """By what the worst comes first: alarms that wait, by severity; then the verdict."""
    rank = row.alarms.severity.rank if row.alarms.severity else -1
    return (-rank if row.alarms.waiting else 1, WORST_FIRST.index(row.verdict), -rank)


@dataclass(slots=True)
class Tally:
    """What some assets come to: how many of each verdict, and their alarms."""

    name: str = ""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    assets: int = 0
    out: int = 0
    open: int = 0
    waiting: int = 0
    severity: Severity | None = None  # the worst of the open ones
    attention: int = 0

    def add(self, row: Row) -> bool:
        """Count one more; whether it needs attention."""
        alarms, attention = row.alarms, needs_attention(row)
        self.verdicts[row.verdict] += 1
        self.assets += 1
        self.out += row.out is not None
        self.attention += attention
        if alarms is not NO_ALARMS:
            self._add_alarms(alarms.open, alarms.waiting, alarms.severity)
        return attention

    def take(self, other: Tally) -> None:
        """Count what another one has."""
        self.verdicts.update(other.verdicts)
        self.assets += other.assets
        self.out += other.out
        self.attention += other.attention
        self._add_alarms(other.open, other.waiting, other.severity)

    def _add_alarms(self, open_ones: int, waiting: int, worst: Severity | None) -> None:
        self.open += open_ones
        self.waiting += waiting
        if worst and (self.severity is None or worst.rank > self.severity.rank):
            self.severity = worst

    @property
    def worst_first(self) -> list[tuple[Verdict, int]]:
        return [(verdict, self.verdicts[verdict]) for verdict in WORST_FIRST if self.verdicts[verdict]]

    @property
    def look(self) -> str:
        """Its colour: good only where everything was really seen to match, and no alarm stands."""
        if self.verdicts[Verdict.DRIFT]:
            return "bad"
        if self.verdicts[Verdict.NO_LONGER_OBSERVABLE] or self.verdicts[Verdict.NEVER_SEEN]:
            return "unknown"
        if self.verdicts[Verdict.STALE] or self.open:
            return "attention"
        return "good" if self.assets and self.verdicts[Verdict.MATCH] == self.assets else "plain"


def tallied(rows: Iterable[Row]) -> Tally:
    """What all of these come to."""
    found = Tally()
    for row in rows:
        found.add(row)
    return found


def look_of(row: Row) -> str:
    """The colour of one machine, by the same rule."""
    return tallied([row]).look
