"""Taking a bundle in: what was decided elsewhere becomes history, and the newest of it a proposal here.

History is what people said elsewhere: it keeps who proposed, signed and approved it and when, has the state superseded
and an `origin`, and nothing is compared with it. What counts here is approved here: the newest baseline of each asset
is proposed anew by whoever imports it, under the plant's own rules. So with four eyes the importer signs, as every
proposer does, and somebody else approves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from baselines.baseline import Baseline, State
from monitor import actions, store
from monitor.actions import Rules
from monitor.baseline_toml import Record
from monitor.bundle import Contents, history, last_of, word_fields
from monitor.errors import CallError, Unverified
from monitor.seal import Seal
from monitor.store import Actor, Transaction
from monitor.verifier import NEW_KEYS

ACTION = "baseline.import"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the baselines of one asset: taken in as history, known already, and what is proposed of them."""

    history: tuple[Baseline, ...] = ()
    skipped: tuple[Baseline, ...] = ()
    proposed: tuple[Baseline, ...] = ()


def assure_trusted(tx: Transaction, where: str, seal: Seal, trust: str) -> None:
    """Unverified unless the key that signed a bundle is the one that the caller trusts; or, if they name none, one of
    this chain's own, or of a bundle that was taken in before."""
    if trust and trust.lower() != seal.key:
        raise Unverified(f"{where} is signed by {seal.key}, not by {trust.lower()}")
    if not trust and seal.key not in _known_keys(tx):
        raise Unverified(
            f"{where} is signed by {seal.key}, and nothing signed by this key was taken in here before.\n"
            "Compare it with what the other side reads out (asbuilt key show); if it is theirs, name it: --trust KEY"
        )


def _known_keys(tx: Transaction) -> set[str]:
    names = dict.fromkeys(NEW_KEYS, "public_key") | {ACTION: "origin"}
    return {entry.detail[names[entry.action]] for entry in store.audit_entries(tx) if entry.action in names}


def renamed(contents: Contents, known: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """The assets of a bundle by the name that each has there, with the one that it has here; CallError if this plant
    has none such, or two would become one."""
    if strange := [name for name in names if name not in contents.assets]:
        raise CallError(f"--rename: the bundle has no asset {', '.join(strange)}; it has {', '.join(contents.assets)}")
    here = {name: names.get(name, name) for name in contents.assets}
    if missing := [name for name in here.values() if name not in known]:
        raise CallError(
            f"this plant.toml names no asset {', '.join(missing)}; nothing is taken in."
            " Add them, or say what they are called here: --rename OLD=NEW"
        )
    if len(set(here.values())) < len(here):
        raise CallError("--rename makes one asset of two; nothing is taken in")
    return here


def take(
    tx: Transaction,
    asset: str,
    there: str,
    contents: Contents,
    who: Actor,
    reason: str,
    now: datetime,
    rules: Rules,
) -> Taken:
    """Take in the baselines of an asset, which is called `there` in the bundle.

    What is known here already as it stands in the bundle is skipped, by whichever way it came: it may be our own.
    """
    records, seal = contents.of(there), contents.seal
    known = {_same(each) for each in store.baselines(tx, [asset])}
    here = [replace(record.baseline, asset=asset, origin=seal.key) for record in records]
    new = [(record, each) for record, each in zip(records, here, strict=True) if _same(each) not in known]
    skipped = tuple(each for each in here if _same(each) in known)
    if not new:
        return Taken(skipped=skipped)
    actions.assure_person(tx, who, rules.takes_two)
    kept = tuple(_keep(tx, replace(each, state=State.SUPERSEDED), record, contents) for record, each in new)
    said = [_said(each, record) for each, (record, _) in zip(kept, new, strict=True)]
    detail = {"baselines": json.dumps(said, sort_keys=True), "origin": seal.key, "manifest": seal.manifest}
    detail |= {"asset": there, "reason": reason}
    store.audit(tx, now, who, ACTION, asset, detail)
    newest = _newest(records)
    if newest not in [record for record, _ in new] or not _is_news(tx, asset, newest.baseline):
        return Taken(kept, skipped)
    snapshot = replace(newest.snapshot, asset=asset)
    of = newest.baseline
    proposed = actions.propose(tx, snapshot, of.stage, who, now, reason, of.ticket, of.capture, rules)
    return Taken(kept, skipped, (proposed,))


def _same(baseline: Baseline) -> tuple[object, ...]:
    return baseline.digest, baseline.stage, baseline.proposed_by, baseline.proposed_at, baseline.decided_at


def _keep(tx: Transaction, baseline: Baseline, record: Record, contents: Contents) -> Baseline:
    store.keep_snapshot(tx, record.snapshot)
    if baseline.capture is not None:
        text = contents.captures[baseline.capture]
        store.keep_document(tx, text)
        store.keep_snapshot(tx, contents.snapshots[last_of(text)])
    kept = store.add_baseline(tx, baseline)
    for word in record.signed:
        store.add_sign_off(tx, kept, word)
    return kept


def _said(baseline: Baseline, record: Record) -> dict[str, object]:
    """All that the verifier needs to say what is stored of a baseline."""
    said: dict[str, object] = {**history(baseline)}
    del said["asset"], said["origin"]  # which the entry says of all of them
    return said | {"signed": [word_fields(word) for word in record.signed]}


def _newest(records: Sequence[Record]) -> Record | None:
    """What stands in the bundle: the open proposal, or else what is approved."""
    for state in (State.PROPOSED, State.APPROVED):
        if fitting := [record for record in records if record.baseline.state is state]:
            return fitting[-1]
    return None


def _is_news(tx: Transaction, asset: str, baseline: Baseline) -> bool:
    """Whether it is neither approved here nor proposed already."""
    approved = store.current_baseline(tx, asset)
    proposed = store.current_baseline(tx, asset, State.PROPOSED)
    return (approved is None or approved.digest != baseline.digest) and (
        proposed is None or (proposed.digest, proposed.stage) != (baseline.digest, baseline.stage)
    )
