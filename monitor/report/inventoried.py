"""What the store and plant.toml say of every asset of a scope, read with a few queries over all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from baselines.snapshot import Snapshot, parse_snapshot
from monitor import store
from monitor.config import Polled
from monitor.report.known import CISA, Contradiction, Known, Witnesses, contradictions, heard_of, known, unheard
from monitor.report.overheard import Overheard
from monitor.report.scope import Scope
from monitor.report.standing import Standing, standings
from monitor.store import Transaction

AT_ONCE = 400  # assets whose snapshots are in memory together
OF_INTEREST = ('{"key":"identity.', '{"key":"endpoint.', '{"unread":')  # begin the lines that say what a device is


@dataclass(frozen=True, slots=True)
class Inventoried:
    """All that is known of one asset at the end of the scope. `observed` holds of its last snapshot what the device
    says that it is, and what was not read."""

    polled: Polled
    standing: Standing
    known: Mapping[str, Known]
    contradictions: tuple[Contradiction, ...]
    observed: Snapshot | None

    @property
    def missing(self) -> list[str]:
        """The fields of CISA's that nobody knows."""
        return [key for key in CISA if self.known[key].value is None]


def inventoried(tx: Transaction, scope: Scope) -> Iterator[Inventoried]:
    """The assets of a scope, without its segments; some at a time: the snapshots of all would take too much memory."""
    plant = scope.plant
    overheard = overheard_at(tx, scope, [*plant.segments])
    deaf = unheard(plant, overheard)
    behind = Counter(polled.target.address.host for polled in plant.assets.values())
    stand = [each for each in standings(tx, scope) if each.name in plant.assets]
    for start in range(0, len(stand), AT_ONCE):
        some = stand[start : start + AT_ONCE]
        texts = dict(store.snapshot_texts(tx, {digest for each in some for digest in _digests(each)}))
        for each in some:
            polled = plant.assets[each.name]
            seen = _said(each.seen.digest, each.seen.last_at, texts) if each.seen and each.seen.digest else None
            approved = _approved(each, seen, texts)
            heard = heard_of(polled, overheard)
            shared = behind[polled.target.address.host] > 1
            witnesses = Witnesses(polled, seen, approved, heard, shared, "" if heard else deaf)
            yield Inventoried(polled, each, known(plant, witnesses), tuple(contradictions(witnesses)), seen)


def overheard_at(tx: Transaction, scope: Scope, segments: Sequence[str]) -> Overheard:
    """What these segments had heard at the end of a scope."""
    runs = store.runs_at(tx, scope.until, observed=True)
    digests = {name: digest for name in segments if name in runs and (digest := runs[name].digest)}
    texts = dict(store.snapshot_texts(tx, {*digests.values()}))
    return Overheard(
        {name: parse_snapshot(name, scope.until, texts[digest]) for name, digest in digests.items() if digest in texts}
    )


def _approved(standing: Standing, seen: Snapshot | None, texts: Mapping[str, str]) -> Snapshot | None:
    baseline = standing.approved
    if baseline is None:
        return None
    if standing.seen and standing.seen.digest == baseline.digest:
        return seen
    return _said(baseline.digest, baseline.proposed_at, texts)


def _digests(standing: Standing) -> Iterator[str]:
    if standing.seen and standing.seen.digest:
        yield standing.seen.digest
    if standing.approved:
        yield standing.approved.digest


def _said(digest: str, at: datetime, texts: Mapping[str, str]) -> Snapshot | None:
    """Of a snapshot what the device says that it is, and what was not read; None if it is not kept any more."""
    if digest not in texts:
        return None
    lines = [line for line in texts[digest].splitlines() if line.startswith(OF_INTEREST)]
    return parse_snapshot("", at, "\n".join(lines))
