"""Known-good files: attaching them to a baseline, and which of them a device is restored with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.artefact import Artefact, ArtefactKind, misfit
from baselines.baseline import Baseline, State
from baselines.snapshot import utc_text
from monitor import store
from monitor.actions import NO_RULES, Rules, assure_person
from monitor.errors import NotNow
from monitor.store import Actor, Transaction
from monitor.vault import Kept


@dataclass(frozen=True, slots=True)
class Fitting:
    """A file that a device may be restored with. `of` is the baseline that it was attached to; `misfit` says why it
    does not belong to the approved one, "" where it may."""

    artefact: Artefact
    of: Baseline
    is_earlier: bool
    misfit: str = ""


def attachable(tx: Transaction, asset: str, state: State) -> Baseline:
    """The baseline that files are attached to; NotNow if there is none."""
    found = store.current_baseline(tx, asset, state)
    if found is not None:
        return found
    other = State.PROPOSED if state is State.APPROVED else State.APPROVED
    hint = " (there is an open proposal: --proposed)" if state is State.APPROVED else ""
    hint = hint if store.current_baseline(tx, asset, other) else "; make one with asbuilt commission"
    what = "approved baseline" if state is State.APPROVED else "open proposal"
    raise NotNow(f"{asset} has no {what} that files can be attached to{hint}")


def attach(
    tx: Transaction,
    asset: str,
    state: State,
    files: Sequence[tuple[str, Kept]],
    kind: ArtefactKind,
    actor: Actor,
    now: datetime,
    reason: str = "",
    rules: Rules = NO_RULES,
) -> list[tuple[Artefact, bool]]:
    """Attach files of the vault, each with its name, to the approved baseline of an asset or its open proposal; with
    each whether it was not attached already. NotNow if there is no such baseline, or somebody has to sign."""
    assure_person(tx, actor, rules.takes_two)
    baseline = attachable(tx, asset, state)
    known = {(each.digest, each.name, each.kind): each for each in store.artefacts(tx, [baseline.id])}
    attached: list[tuple[Artefact, bool]] = []
    for name, kept in files:
        if there := known.get((kept.digest, name, kind)):
            attached.append((there, False))
            continue
        made = Artefact(0, baseline.id, kept.digest, name, kind, kept.size, actor.name, now)
        known[kept.digest, name, kind] = made = store.add_artefact(tx, made)
        detail = {"baseline": baseline.digest, "state": baseline.state.value, "digest": made.digest, "name": name}
        detail |= {"kind": kind.value, "size": str(made.size)} | ({"reason": reason} if reason else {})
        store.audit(tx, now, actor, "artefact.add", asset, detail)
        attached.append((made, True))
    return attached


def attached(tx: Transaction) -> list[tuple[Artefact, Baseline]]:
    """Every file of every baseline, the oldest first."""
    baselines = {each.id: each for each in store.baselines(tx)}
    return [(each, baselines[each.baseline]) for each in store.artefacts(tx)]


def artefact_document(artefact: Artefact, baseline: Baseline) -> dict[str, Any]:
    """One file of a baseline."""
    return {
        "asset": baseline.asset,
        "baseline": baseline.digest,
        "state": baseline.state,
        "kind": artefact.kind,
        "name": artefact.name,
        "size": artefact.size,
        "digest": artefact.digest,
        "added_by": artefact.added_by,
        "added_at": utc_text(artefact.added_at),
    }


def fitting(tx: Transaction, approved: Baseline) -> list[Fitting]:
    """The files of a baseline, and those of earlier ones of its asset, the newest baseline first.

    Of earlier ones count also proposals that gave way to another, for the other took their place; not rejected ones.
    """
    now = store.baseline_snapshot(tx, approved)
    before = [each for each in store.baselines(tx, [approved.asset], State.SUPERSEDED) if each.id < approved.id]
    fits: dict[tuple[str, str], Fitting] = {}
    misfits: dict[tuple[str, str], Fitting] = {}
    for baseline in (approved, *reversed(before)):
        for each in store.artefacts(tx, [baseline.id]):
            is_earlier = baseline.id != approved.id
            why = misfit(each.kind, store.baseline_snapshot(tx, baseline), now) if is_earlier else ""
            (misfits if why else fits).setdefault((each.digest, each.kind), Fitting(each, baseline, is_earlier, why))
    return [*fits.values(), *(each for key, each in misfits.items() if key not in fits)]
