"""Baselines: snapshots that people approved, and the way there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from baselines.asset import Criticality
from baselines.snapshot import Snapshot


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
    """One proposal and what became of it; `digest` is of the snapshot, `profile` of the profile it was read with.

    `capture` is the digest of the document that says how it was captured; `origin`, of history that was decided
    elsewhere and imported, the public key that signed its bundle.
    """

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
    ticket: str = ""
    capture: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class SignOff:
    """One person's word for a proposal, in the role in which they gave it ("" where none is asked for)."""

    by: str
    role: str
    at: datetime
    reason: str = ""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """What an approval takes ([approval] of plant.toml).

    `four_eyes`: of which assets, by criticality, whoever proposes and whoever approves are two persons, and both sign.
    `sign_off`: the roles that each have to approve a baseline of a stage, in this order or another.
    """

    four_eyes: frozenset[Criticality] = frozenset()
    sign_off: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict)

    def needed(self, stage: Stage, given: Iterable[SignOff]) -> tuple[str, ...]:
        """The roles whose word is missing yet."""
        there = {each.role for each in given}
        return tuple(role for role in self.sign_off.get(stage, ()) if role not in there)

    def takes_two(self, criticality: Criticality) -> bool:
        return criticality in self.four_eyes


def objection(
    proposed: Baseline, given: Collection[SignOff], by: str, role: str, needed: Collection[str], takes_two: bool
) -> str:
    """Why this person, in this role, cannot sign a proposal off; "" if they can."""
    if takes_two and by == proposed.proposed_by:
        return f"{by} proposed it: by four eyes somebody else approves"
    if any(each.by == by for each in given):
        return f"{by} has signed it off already; {', '.join(needed)} is still to sign"
    if needed and role not in needed:
        said = f"not {role!r}" if role else "say in which role (--role)"
        return f"a baseline of stage {proposed.stage} is signed off by {', '.join(needed)}; {said}"
    return ""


def partly(approved: Snapshot | None, proposed: Snapshot, keys: Collection[str]) -> Snapshot:
    """What is approved where of a proposal only some keys are: those as proposed, and all else as it was approved.

    Without an approved baseline nothing else is: what was left out is unapproved.
    """
    before = approved or Snapshot.of(proposed.asset, proposed.taken_at, ())
    return Snapshot.of(
        proposed.asset,
        proposed.taken_at,
        [
            *(item for item in before.items if item.key not in keys),
            *(item for item in proposed.items if item.key in keys),
        ],
        [*(gap for gap in before.unread if gap.key not in keys), *(gap for gap in proposed.unread if gap.key in keys)],
        proposed.profile,
        [
            *(each for each in before.dropped if each.key not in keys),
            *(each for each in proposed.dropped if each.key in keys),
        ],
    )
