"""What a commissioning dossier is of: per asset and stage the baseline that was approved, and the open proposal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from weakref import WeakKeyDictionary

from baselines.baseline import Stage, State
from baselines.snapshot import Snapshot, parse_snapshot
from monitor import store
from monitor.report.approvals import History, Told, history
from monitor.report.captured import Record, records
from monitor.report.document import Column, Form
from monitor.report.scope import Scope
from monitor.store import Transaction

SHORT = 12  # hex digits of a digest that people read; the whole one is in the annex
SHORT_KEY = 8  # of a key
OF_NOTHING = sha256().hexdigest()  # the digest of what holds no item
AT_ONCE = 500  # baselines whose content is in memory
ASSET = Column("asset", "Asset", width=1.8)
STAGE = Column("stage", "Stage", width=0.8)


@dataclass(frozen=True, slots=True)
class Dossier:
    """`of` is what was commissioned, in the order of the assets and of the stages, what was approved before what is
    proposed; `records` say how, by the number of the baseline; `history` is all that there was."""

    scope: Scope
    history: History
    of: Sequence[Told]
    records: Mapping[int, Record]

    @property
    def contents(self) -> list[Told]:
        """The same without a proposal of just what was approved elsewhere: who takes a bundle in proposes it anew."""
        there = {_content(told): told for told in reversed(self.of)}
        return [told for told in self.of if there[_content(told)] is told]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that it is of: the one that was asked for, or those of which there is something."""
        if self.scope.stage:
            return (self.scope.stage,)
        there = {told.baseline.stage for told in self.of}
        return tuple(stage for stage in Stage if stage in there)

    def words_missing(self, told: Told) -> tuple[str, ...]:
        """The roles that have still to sign an open proposal off; ("",) where it is anybody's to approve."""
        if not told.is_open:
            return ()
        left = self.scope.plant.approval.needed(told.baseline.stage, told.signed_off)
        return left or ("",)


_found: WeakKeyDictionary[Transaction, Dossier] = WeakKeyDictionary()


def dossier(tx: Transaction, scope: Scope) -> Dossier:
    """What was commissioned of a scope. It is found once for all sections of a report, which see one moment."""
    known = _found.get(tx)
    if known is None or known.scope is not scope:
        known = _found[tx] = _dossier(tx, scope)
    return known


def _dossier(tx: Transaction, scope: Scope) -> Dossier:
    found = history(tx, scope)
    stages = (scope.stage,) if scope.stage else tuple(Stage)
    of = [told for name in scope.names for told in _of(found.of[name], stages)]
    return Dossier(scope, found, of, {record.told.baseline.id: record for record in records(tx, of)})


def _content(told: Told) -> tuple[str | None, ...]:
    return told.baseline.asset, told.baseline.stage, told.baseline.digest, told.baseline.capture


def _of(listed: Sequence[Told], stages: Sequence[Stage]) -> Iterator[Told]:
    for stage in stages:
        of_stage = [told for told in listed if told.baseline.stage is stage]
        yield from [told for told in of_stage if told.was_approved][-1:]
        yield from [told for told in of_stage if told.is_open][-1:]


def newest(listed: Sequence[Told], stage: Stage) -> Told | None:
    """The newest baseline of a stage, as `baseline diff` takes it: approved or not, but not rejected."""
    fitting = [told for told in listed if told.baseline.stage is stage and told.baseline.state is not State.REJECTED]
    return fitting[-1] if fitting else None


def standing(told: Told) -> str:
    """How a baseline stands, in a word. What was approved elsewhere and taken in is "imported"."""
    if told.baseline.origin and told.was_approved:
        return "imported"
    return told.baseline.state


def digest_columns(title: str = "Digest") -> tuple[Column, Column]:
    """A digest as people read it, and whole."""
    return Column("digest_short", title, Form.CODE, 1.2), Column("digest", f"{title}, whole", Form.CODE, 0)


def snapshot_lines(tx: Transaction, of: Sequence[Told]) -> Iterator[tuple[Told, list[str]]]:
    """Baselines with what each holds, as the lines of its canonical form; only some are in memory at a time. No lines
    where the store has it no more as it was approved."""
    for start in range(0, len(of), AT_ONCE):
        part = of[start : start + AT_ONCE]
        texts = dict(store.snapshot_texts(tx, [told.baseline.digest for told in part]))
        yield from ((told, texts.get(told.baseline.digest, "").splitlines()) for told in part)


def is_gone(told: Told, lines: Sequence[str]) -> bool:
    """Whether nobody can say any more what a baseline holds."""
    return not lines and told.baseline.digest != OF_NOTHING


def snapshot(told: Told, lines: Iterable[str]) -> Snapshot:
    """What a baseline holds, or a part of it, by its lines."""
    of = told.baseline
    return parse_snapshot(of.asset, of.proposed_at, "\n".join(lines), of.profile)
