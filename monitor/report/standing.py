"""How the assets of a report stood at its `until`: by a few queries over everything, for every section that asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from baselines.asset import Asset
from baselines.baseline import Baseline
from baselines.coverage import Cause
from baselines.drift import Verdict, worst
from baselines.snapshot import Snapshot
from monitor import store
from monitor.inventory import REPORTED_EVERY, unseen
from monitor.judged import GAP_LINES, Pair, has_gaps, judged, parsed
from monitor.report.scope import Scope
from monitor.store import Entry, Gap, Run, Transaction

LIVES = ("asset.out-of-service", "asset.in-service", "asset.retire", "asset.return", "asset.rename")


@dataclass(frozen=True, slots=True)
class Standing:
    """One asset at a moment.

    `asset` is what plant.toml says of it. `last` is its newest run, `seen` the newest in which it was seen; both end at
    the moment at the latest. `unseen` is why nobody could tell how it was; None if it was seen lately. `verdict` is the
    worst of that and of what was seen. `approved` and `proposed` are its baselines, `out_until` until when it was out
    of service.
    """

    asset: Asset
    is_segment: bool
    last: Run | None
    seen: Run | None
    unseen: Verdict | None
    verdict: Verdict
    approved: Baseline | None
    proposed: Baseline | None
    out_until: datetime | None
    allowed: bool  # False: a safety controller that nobody may poll

    @property
    def name(self) -> str:
        return self.asset.name

    @property
    def seen_at(self) -> datetime | None:
        return self.seen.last_at if self.seen else None


@dataclass(frozen=True, slots=True)
class Life:
    """What was decided about an asset: until when it is out of service, and when it was retired."""

    out_until: datetime | None = None
    retired_at: datetime | None = None


def standings(tx: Transaction, scope: Scope) -> list[Standing]:
    """The assets of a report, in the order of its names."""
    until = scope.until
    last, seen = store.runs_at(tx, until), store.runs_at(tx, until, observed=True)
    for gap in _lasting(tx, scope):  # a run may go on behind a gap: then it was seen last when the gap began
        last = _not_after(last, gap.asset, gap.first_at)
        seen = _not_after(seen, gap.asset, gap.first_at)
    approved, proposed = store.baselines_at(tx, until), store.proposals_at(tx, until)
    lives = lives_at(tx, until)
    worst_of = _verdicts(tx, approved, seen)
    found = []
    for name in scope.names:
        run = _ended(last.get(name), until)
        shown = _ended(seen.get(name), until)
        polled, segment = scope.plant.assets.get(name), scope.plant.segments.get(name)
        why = unseen(shown, run, until, polled.every if polled else REPORTED_EVERY)
        known = polled or segment
        found.append(
            Standing(
                known.asset if known else Asset(name, "", ""),
                segment is not None,
                run,
                shown,
                why,
                Verdict.NEVER_SEEN if shown is None else worst([worst_of[name], *([why] if why else [])]),
                approved.get(name),
                proposed.get(name),
                out if (out := lives.get(name, Life()).out_until) and out > until else None,
                polled.allowed if polled else True,
            )
        )
    return found


def _lasting(tx: Transaction, scope: Scope) -> list[Gap]:
    """The gaps that lasted at the moment: a run that went on behind one, or was heard to be silent, hides it."""
    return [gap for gap in store.gaps(tx, scope.names, scope.until, scope.until) if hides_all(gap)]


def hides_all(gap: Gap) -> bool:
    """Whether nothing is looked at while it lasts. What is heard beside lost frames, or garbage, is compared."""
    return gap.cause not in (Cause.FRAMES_LOST, Cause.GARBAGE)


def _not_after(runs: dict[str, Run], asset: str, at: datetime) -> dict[str, Run]:
    run = runs.get(asset)
    if run is not None and run.first_at <= at < run.last_at:
        runs[asset] = replace(run, last_at=at)
    return runs


def _ended(run: Run | None, until: datetime) -> Run | None:
    """A run as far as it had come: what came later is left out."""
    if run is None or run.last_at <= until:
        return run
    return replace(run, last_at=until, deep_at=min(run.deep_at, until) if run.deep_at else None)


def _verdicts(tx: Transaction, approved: Mapping[str, Baseline], seen: Mapping[str, Run]) -> dict[str, Verdict]:
    """By asset the verdict on what was seen last, whenever that was. Equal pairs are compared once."""
    pairs: dict[str, Pair] = {
        name: (approved[name].digest if name in approved else None, run.digest)
        for name, run in seen.items()
        if run.digest is not None
    }
    known = {pair: verdict for pair, verdict, _ in judged(tx, pairs.values())}
    return {name: known[pair] for name, pair in pairs.items()}


def baseline_snapshots(tx: Transaction, found: Iterable[Baseline]) -> Iterator[tuple[str, Snapshot]]:
    """What baselines hold, each with its digest and once, one after the other: of 10,000 assets it is much."""
    for digest, text in store.snapshot_texts(tx, {each.digest for each in found}):
        yield digest, parsed(text)


def snapshots_with_gaps(tx: Transaction, digests: Collection[str]) -> dict[str, Snapshot]:
    """By digest what was not read and what is not compared, of the snapshots that have any: they come without items."""
    found = store.snapshot_texts(tx, digests)
    return {digest: parsed(_gaps_of(text)) for digest, text in found if has_gaps(text)}


def _gaps_of(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.startswith(GAP_LINES))


def lives_at(tx: Transaction, until: datetime) -> dict[str, Life]:
    """What was decided about the lives of assets before a moment, by the names that they have today."""
    lives: dict[str, Life] = {}
    for told in store.entries_of(tx, LIVES):
        if told.action == "asset.rename":  # a later one too: the name is that of today
            if told.subject in lives:
                lives[told.detail.get("to", told.subject)] = lives.pop(told.subject)
        elif told.at < until:
            lives[told.subject] = _life(lives.get(told.subject, Life()), told)
    return lives


def _life(life: Life, told: Entry) -> Life:
    match told.action:
        case "asset.out-of-service":
            return replace(life, out_until=moment(told.detail.get("until", "")))
        case "asset.in-service":
            return replace(life, out_until=None)
        case "asset.retire":
            return Life(retired_at=told.at)
        case _:
            return replace(life, retired_at=None)


def moment(text: str) -> datetime | None:
    """A time in the detail of an audit entry; None if it is none, which verifying says."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def retired(tx: Transaction, scope: Scope) -> list[tuple[str, datetime]]:
    """The assets that were retired by then and are not back, with when they were. Their zones are not known any more,
    so only a report of the whole plant has them."""
    there = frozenset(scope.names)
    lives = lives_at(tx, scope.until).items()
    gone = [(name, life.retired_at) for name, life in lives if life.retired_at and name not in there]
    return sorted(gone) if scope.whole else []
