"""Baselines: snapshots that people approved, and the way there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """When in a plant's life a baseline was captured."""

    FAT = "fat"
    SAT = "sat"
    AS_LEFT = "as-left"
    AS_FOUND = "as-found"


class State(StrEnum):
    """Where a baseline stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


class Step(StrEnum):
    """What happens to a baseline. SUPERSEDE: a newer one of the same asset takes its place."""

    APPROVE = "approve"
    REJECT = "reject"
    SUPERSEDE = "supersede"


NEXT: dict[tuple[State, Step], State] = {
    (State.PROPOSED, Step.APPROVE): State.APPROVED,
    (State.PROPOSED, Step.REJECT): State.REJECTED,
    (State.PROPOSED, Step.SUPERSEDE): State.SUPERSEDED,
    (State.APPROVED, Step.SUPERSEDE): State.SUPERSEDED,
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """One proposal and what became of it; `digest` is of the snapshot, `profile` of the profile it was read with."""

    id: int
    asset: str
    digest: str
    state: State
    stage: Stage
    profile: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""
