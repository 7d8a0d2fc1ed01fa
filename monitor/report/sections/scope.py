"""What a report is of, with denominators: of so many assets, how many are watched, and how all of them stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from baselines.asset import Criticality
from baselines.drift import WORST_FIRST, Verdict
from monitor.report.bars import Bar, Fill, bars
from monitor.report.document import Cell, Chart, Column, Facts, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, has_have, is_are, listed, was_were
from monitor.report.standards import clauses_of
from monitor.report.standing import Standing, retired, standings
from monitor.store import Transaction

KEY = "scope"
UNSEEN = (Verdict.STALE, Verdict.NEVER_SEEN, Verdict.NO_LONGER_OBSERVABLE)
FILLS = {
    Verdict.MATCH: Fill.SOLID,
    Verdict.DRIFT: Fill.HATCHED,
    Verdict.NO_BASELINE: Fill.OPEN,
    **dict.fromkeys(UNSEEN, Fill.DOTTED),
}
COUNTS = (
    Column("assets", "Assets", Form.NUMBER, 0.8),
    Column("watched", "Watched", Form.NUMBER, 0.8),
    Column("stale", "Stale", Form.NUMBER, 0.8),
    Column("never_seen", "Never seen", Form.NUMBER, 0.8),
    Column("no_longer_observable", "No longer observable", Form.NUMBER, 1),
    Column("without_baseline", "Without baseline", Form.NUMBER, 1),
    Column("out_of_service", "Out of service", Form.NUMBER, 0.8),
    Column("drift", "Drift", Form.NUMBER, 0),
    Column("match", "Match", Form.NUMBER, 0),
)
ASSETS = (
    Column("asset", "Asset", width=2),
    Column("verdict", "Verdict", Form.STATE, 1.3),
    Column("zone", "Zone"),
    Column("criticality", "Criticality", width=0.8),
    Column("seen_at", "Last look", Form.TIME, 1.4),
    Column("baseline", "Baseline", Form.CODE, 1.2),
    Column("unseen", "Not seen, because", Form.STATE, 1.2),
    Column("kind", "Kind", width=0),
    Column("address", "Address", Form.CODE, 0),
    Column("profile", "Profile", width=0),
    Column("role", "Role", width=0),
    Column("purdue_level", "Purdue level", Form.NUMBER, 0),
    Column("location", "Location", width=0),
    Column("machine_type", "Machine type", width=0),
    Column("outage", "Outage", width=0),
    Column("outage_since", "Outage since", Form.TIME, 0),
    Column("observed_digest", "Digest of what was seen last", Form.CODE, 0),
    Column("baseline_digest", "Digest of the approved baseline", Form.CODE, 0),
    Column("proposed_digest", "Digest of the open proposal", Form.CODE, 0),
    Column("out_of_service_until", "Out of service until", Form.TIME, 0),
    Column("polling_allowed", "Polling allowed", width=0),
)
RETIRED = (Column("asset", "Asset", width=2), Column("retired_at", "Retired", Form.TIME))
NONE_RETIRED = "No asset was retired."
ZONELESS = "Of a retired asset nobody knows the zone any more: a report of the whole plant names them."
MEANS = (
    "Watched: a poll has read it, or it was heard, within three intervals and a minute before the end of the period."
    " Stale: nobody has looked, or it was silent, for longer. Never seen: it was never read or heard. No longer"
    " observable: it was seen before, and the last poll failed. What was not seen is never counted as a match.",
    "The verdict on an asset is the worst of its items: drift, no longer observable, never seen, stale, no baseline,"
    " match.",
)


def scope(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    found, gone = standings(tx, scope), retired(tx, scope)
    return Section(
        KEY,
        "Scope: what is watched, and how it stands",
        (
            Text((f"This report is of {scope.words}.", *MEANS)),
            _facts(found, gone, scope.whole, scope.until),
            _chart(found),
            _groups("by-zone", "By zone", "zone", found, lambda each: each.asset.zone or "(no zone)"),
            _groups(
                "by-criticality", "By criticality", "criticality", found, lambda each: each.asset.criticality.value
            ),
            Table("assets", "All assets", ASSETS, [_row(each) for each in _worst_first(found)], "There are no assets."),
            Table("retired", "Retired assets", RETIRED, gone, NONE_RETIRED if scope.whole else ZONELESS),
        ),
        clauses_of(KEY),
        tuple(_findings(found)),
    )


def _facts(found: Sequence[Standing], gone: Sequence[object], whole: bool, until: datetime) -> Facts:
    unseen = Counter(each.unseen for each in found)
    segments = sum(1 for each in found if each.is_segment)
    proposed = sum(1 for each in found if each.approved is None and each.proposed is not None)
    return Facts(
        (
            ("At", until, "how things stood"),
            ("Assets in scope", len(found), f"{len(found) - segments} devices, {counted(segments, 'network segment')}"),
            ("Watched", unseen[None], "seen by a poll or heard lately"),
            ("Stale", unseen[Verdict.STALE], "not looked at lately"),
            ("Never seen", unseen[Verdict.NEVER_SEEN], ""),
            ("No longer observable", unseen[Verdict.NO_LONGER_OBSERVABLE], "looked for, and not seen"),
            ("Without an approved baseline", _bare(found), f"{proposed} of them with an open proposal"),
            ("Out of service", _out(found), "their alarms are kept back"),
            ("Safety controllers not polled", _spared(found), "their owner has not allowed it"),
            ("Retired", len(gone) if whole else None, "not among the assets in scope"),
        )
    )


def _bare(found: Sequence[Standing]) -> int:
    return sum(1 for each in found if each.approved is None)


def _out(found: Sequence[Standing]) -> int:
    return sum(1 for each in found if each.out_until is not None)


def _spared(found: Sequence[Standing]) -> int:
    return sum(1 for each in found if not each.allowed)


def _chart(found: Sequence[Standing]) -> Chart:
    verdicts = Counter(each.verdict for each in found)
    rows = [
        Bar(each.value, verdicts[each], f"{verdicts[each]:,} of {len(found):,}", FILLS[each])
        for each in reversed(WORST_FIRST)
    ]
    return bars("verdicts", "Verdicts", "assets by the worst of their items", rows)


def _groups(key: str, title: str, what: str, found: Sequence[Standing], of: Callable[[Standing], str]) -> Table:
    groups: dict[str, list[Standing]] = {}
    for each in found:
        groups.setdefault(of(each), []).append(each)
    ranks = [each.value for each in reversed(Criticality)]
    names = sorted(groups, key=lambda name: (ranks.index(name) if name in ranks else -1, name))
    columns = (Column(what, what.capitalize(), width=1.6), *COUNTS)
    return Table(key, title, columns, [(name, *_counts(groups[name])) for name in names], "There are no assets.")


def _counts(found: Sequence[Standing]) -> Iterator[Cell]:
    unseen, verdicts = Counter(each.unseen for each in found), Counter(each.verdict for each in found)
    yield len(found)
    yield from (unseen[each] for each in (None, *UNSEEN))
    yield from (_bare(found), _out(found), verdicts[Verdict.DRIFT], verdicts[Verdict.MATCH])


def _worst_first(found: Sequence[Standing]) -> list[Standing]:
    return sorted(found, key=lambda each: WORST_FIRST.index(each.verdict))


def _row(each: Standing) -> tuple[Cell, ...]:
    asset, outage = each.asset, each.last if each.last and each.last.is_outage else None
    return (
        asset.name,
        each.verdict.value,
        asset.zone or None,
        asset.criticality.value,
        each.seen_at,
        each.approved.digest[:12] if each.approved else None,
        each.unseen.value if each.unseen else None,
        "segment" if each.is_segment else "device",
        asset.address or None,
        asset.profile or None,
        asset.role or None,
        asset.purdue_level,
        asset.location or None,
        asset.machine_type or None,
        f"{outage.cause}: {outage.cause_text}" if outage else None,
        outage.first_at if outage else None,
        each.seen.digest if each.seen else None,
        each.approved.digest if each.approved else None,
        each.proposed.digest if each.proposed else None,
        each.out_until,
        each.allowed,
    )


def _findings(found: Sequence[Standing]) -> Iterator[Finding]:
    assets = counted(len(found), "asset")
    unseen = Counter(each.unseen for each in found)
    watched = f"Of {assets} {unseen[None]:,} {is_are(unseen[None])} watched"
    words = {
        Verdict.STALE: (is_are, "stale"),
        Verdict.NEVER_SEEN: (was_were, "never seen"),
        Verdict.NO_LONGER_OBSERVABLE: (is_are, "no longer observable"),
    }
    missing = [f"{unseen[each]:,} {verb(unseen[each])} {word}" for each, (verb, word) in words.items() if unseen[each]]
    if missing:
        yield Finding(Weight.UNKNOWN, f"{watched}; {listed(missing)}: how these are is not known.", KEY)
    else:
        yield Finding(Weight.GOOD, f"{watched}: none is stale, unseen or out of reach.", KEY)
    drift = sum(1 for each in found if each.verdict is Verdict.DRIFT)
    match = sum(1 for each in found if each.verdict is Verdict.MATCH)
    if drift:
        yield Finding(Weight.BAD, f"{drift:,} of {assets} {is_are(drift)} not as approved; {match:,} match.", KEY)
    else:
        weight = Weight.GOOD if match == len(found) else Weight.ATTENTION
        yield Finding(weight, f"{match:,} of {assets} {is_are(match)} as approved; none drifts.", KEY)
    if bare := _bare(found):
        yield Finding(Weight.ATTENTION, f"{bare:,} of {assets} {has_have(bare)} no approved baseline.", KEY)
    if out := _out(found):
        yield Finding(Weight.ATTENTION, f"{out:,} of {assets} {is_are(out)} out of service.", KEY)
    if spared := _spared(found):
        text = f"{counted(spared, 'safety controller')} {is_are(spared)} not polled, for nobody has allowed it."
        yield Finding(Weight.UNKNOWN, text, KEY)
