"""The life of an alarm as its moves tell it: how it stood at a moment, whatever became of it later."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from baselines.alert import (
    ACKNOWLEDGE,
    CONFORMS,
    DEVIATES,
    MOVES_ON,
    NORMAL,
    RTN_UNACK,
    SHELVE,
    SHELVED,
    SUPPRESS,
    UNACK,
    AlertState,
    Event,
)
from baselines.drift import DEVIATIONS, Deviation, Kind
from baselines.quality import How
from baselines.rules import assess
from baselines.snapshot import Category, Item, Severity

ENDED = (NORMAL, RTN_UNACK, SHELVED)  # where what has conformed can stand; shelved: if it had conformed before
NOTHING = "null"  # no value, as JSON


class Moved(NamedTuple):
    """One move of an alarm; `observed` is as JSON, `until` is how long it was shelved for."""

    at: datetime
    event: Event
    before: AlertState
    after: AlertState
    observed: str | None
    by: str | None
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """One alarm up to a moment; `approved` is as JSON, `cause` and what follows are None where its case was open then.

    `announced_by` is what suppressed it last: the number of a change order, or OUT_OF_SERVICE.
    """

    number: int
    asset_id: int
    asset: str
    item: str
    kind: Kind
    approved: str
    severity: Severity
    category: Category
    techniques: str
    direction: str | None
    raised_at: datetime
    who: Mapping[str, Any] | None
    announced_by: str | None
    cause: str | None
    prevention: str | None
    closed_by: str | None
    closed_at: datetime | None
    moves: tuple[Moved, ...]

    @property
    def observed(self) -> str:
        return self.moves[-1].observed or NOTHING

    @property
    def state(self) -> AlertState:
        return self.moves[-1].after

    @property
    def is_open(self) -> bool:
        return self.state is not NORMAL

    @property
    def is_announced(self) -> bool:
        """Whether it was announced from the beginning, and never stood before people as an alarm."""
        return self.moves[0].event is SUPPRESS and all(move.after is not UNACK for move in self.moves)

    @property
    def acknowledged(self) -> Moved | None:
        """How it was acknowledged first."""
        return next((move for move in self.moves if move.event is ACKNOWLEDGE), None)

    @property
    def shelved(self) -> Moved | None:
        """How it was shelved last."""
        return next((move for move in reversed(self.moves) if move.event is SHELVE), None)

    @property
    def ended(self) -> Moved | None:
        """The move with which it came to be as approved, if it is so still."""
        if self.state in ENDED:
            for move in reversed(self.moves):
                if move.event in (DEVIATES, MOVES_ON):
                    return None
                if move.event is CONFORMS:
                    return move
        return None

    def how(self, approvals: Collection[datetime]) -> How | None:
        """How it ended; None while it has not. An approval (`approvals`: when the asset's were) ends it in the
        transaction and at the time of its decision."""
        if ended := self.ended:
            return How.APPROVED if ended.at in approvals else How.MENDED
        return How.OTHERWISE if self.state is NORMAL else None


def as_it_was(life: Life, approved: Item | None) -> Life:
    """An alarm that was about something else later, by the item that was approved then: kind, severity and what follows
    from them as far as both values tell. (None: no such item was approved.)"""
    if life.kind not in DEVIATIONS or life.observed == NOTHING == life.approved:
        return life
    if approved is None:
        return replace(life, kind=Kind.ADDED, approved=NOTHING, direction=None)
    kind = Kind.REMOVED if life.observed == NOTHING else Kind.CHANGED
    observed = None if life.observed == NOTHING else replace(approved, value=_value(json.loads(life.observed)))
    (found,) = assess([Deviation(life.item, kind, approved, observed)])
    told = replace(
        life,
        kind=kind,
        approved=json.dumps(approved.shown),
        severity=found.severity,
        category=approved.category,
        techniques=" ".join(found.techniques),
        direction=found.direction,
    )
    is_swap = life.kind is Kind.REPLACED and kind is Kind.CHANGED
    return replace(told, kind=Kind.REPLACED, severity=Severity.MEDIUM) if is_swap else told


def _value(shown: Any) -> Any:
    return tuple(map(_value, shown)) if isinstance(shown, list) else shown
