"""What could not be observed: how much of the time each asset was seen, every gap with its cause, what was asked
for and not answered, what nobody compares; and how well the monitor watched itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from baselines.coverage import Span, unseen_seconds
from baselines.snapshot import Snapshot
from monitor import store
from monitor.config import ITSELF
from monitor.covering import Covered, coverage, lasted
from monitor.pictures import duration_text
from monitor.report.bars import Bar, bars
from monitor.report.cells import share_text
from monitor.report.document import Cell, Chart, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, was_were
from monitor.report.standards import clauses_of
from monitor.report.standing import snapshots_with_gaps
from monitor.store import Gap, SelfTest, Transaction

KEY = "unseen"
COVERAGE = (
    Column("asset", "Asset", width=2),
    Column("share", "Seen", Form.SHARE, 0.8),
    Column("since", "Watched since", Form.TIME, 1.4),
    Column("gaps", "Gaps", Form.NUMBER, 0.6),
    Column("unseen", "Not seen for", Form.SECONDS, 0.9),
    Column("longest", "Longest gap", Form.SECONDS, 0.9),
    Column("is_blind", "Blind at the end", width=0.8),
)
CAUSES = (
    Column("cause", "Cause", width=1.5),
    Column("assets", "Assets", Form.NUMBER, 0.8),
    Column("gaps", "Gaps", Form.NUMBER, 0.8),
    Column("seconds", "Added up over the assets", Form.SECONDS, 1.2),
    Column("longest", "Longest", Form.SECONDS),
)
GAPS = (
    Column("asset", "Asset", width=1.7),
    Column("witness", "Witness", width=0.7),
    Column("cause", "Cause", width=1),
    Column("start", "From", Form.TIME, 1.4),
    Column("end", "Until", Form.TIME, 1.4),
    Column("seconds", "Lasted", Form.SECONDS, 0.8),
    Column("text", "What was said", width=2.4),
)
ITEMS = (
    Column("asset", "Asset", width=1.5),
    Column("item", "Item", Form.CODE, 2),
    Column("what", "What", width=1.6),
    Column("why", "Why", width=2.5),
)
TESTS = (
    Column("at", "At", Form.TIME),
    Column("passed", "Passed", width=0.6),
    Column("seconds", "To the last station", Form.SECONDS, 0.9),
    Column("text", "What came of it", width=3),
    Column("stations", "Stations", width=0),
)
ABOUT = (
    "A gap begins at the last good look and ends at the next one. An asset counts as seen for the share of the period,"
    " or of the time since it was first asked, in which no gap lasted; gaps that overlap count once. A gap of lost"
    " frames or of garbage counts in full, although most of what passed may have been seen: the share is what can be"
    " relied on.",
)
READ, APPROVED = "not read at the last look", "not read when the baseline was captured"
DROPPED = "taken out of the comparison by people"


def unseen(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    covered = [
        _at_the_end(each, scope.until)
        for each in coverage(tx, scope.plant, scope.names, scope.since, scope.until, scope.until)
    ]
    assets = [each for each in covered if each.asset != ITSELF]
    gaps = [gap for each in assets for gap in each.gaps]
    own = [gap for each in covered if each.asset == ITSELF for gap in each.gaps]
    tests = store.self_tests(tx, scope.since, scope.until)
    items, causes = _item_rows(tx, scope), _causes(gaps, scope)
    until = scope.until
    return Section(
        KEY,
        "What could not be observed",
        (
            Text(ABOUT),
            *_charts(causes),
            Table(
                "coverage",
                "Coverage",
                COVERAGE,
                [_covered_row(each, scope) for each in sorted(assets, key=_least_seen)],
                "There are no assets.",
            ),
            Table("unseen-causes", "Gaps by cause", CAUSES, causes, "There was no gap."),
            Table("gaps", "Gaps", GAPS, _gap_rows(gaps, until), "There was no gap."),
            Table("unseen-items", "Items that are not compared", ITEMS, items, "All that was asked for was read."),
            Table("monitor-gaps", "Gaps of the monitor itself", GAPS, _gap_rows(own, until), "The monitor had no gap."),
            Table("self-tests", "Self-tests", TESTS, [_test_row(each) for each in tests], "There was no self-test."),
        ),
        clauses_of(KEY),
        (
            *_covered_findings(assets),
            *_item_findings(items, len(scope.names)),
            *_own_findings(own, tests),
        ),
    )


def _at_the_end(covered: Covered, until: datetime) -> Covered:
    """As it was known then: a gap that ended later lasted, and what was first asked later was not watched."""
    gaps = (replace(gap, last_at=None) if gap.last_at and gap.last_at > until else gap for gap in covered.gaps)
    since = covered.since if covered.since and covered.since < until else None
    return replace(covered, since=since, gaps=tuple(gaps))


def _least_seen(covered: Covered) -> tuple[float, float]:
    return (-1.0 if covered.share is None else covered.share, -len(covered.gaps))


def _covered_row(covered: Covered, scope: Scope) -> tuple[Cell, ...]:
    return (
        covered.asset,
        covered.share,
        covered.since,
        len(covered.gaps),
        _seconds(covered.gaps, scope),
        covered.longest(scope.until),
        covered.is_blind,
    )


def _seconds(gaps: Sequence[Gap], scope: Scope) -> float:
    """The seconds of the period in which at least one gap lasted."""
    return unseen_seconds((Span(gap.first_at, gap.last_at or scope.until) for gap in gaps), scope.since, scope.until)


class _Cause(NamedTuple):
    """What one cause came to; `seconds` are added up over the assets."""

    cause: str
    assets: int
    gaps: int
    seconds: float
    longest: float


def _causes(gaps: Sequence[Gap], scope: Scope) -> list[_Cause]:
    """The cause that took the most time first."""
    by_cause: defaultdict[str, defaultdict[str, list[Gap]]] = defaultdict(lambda: defaultdict(list))
    for gap in gaps:
        by_cause[gap.cause][gap.asset].append(gap)
    found = []
    for cause, assets in by_cause.items():
        seconds = sum(_seconds(each, scope) for each in assets.values())
        lengths = [lasted(gap, scope.until) for each in assets.values() for gap in each]
        found.append(_Cause(cause, len(assets), len(lengths), seconds, max(lengths)))
    return sorted(found, key=lambda each: (-each.seconds, each.cause))


def _charts(causes: Sequence[_Cause]) -> Iterator[Chart]:
    rows = [
        Bar(each.cause, each.seconds, f"{duration_text(each.seconds)}, {counted(each.gaps, 'gap')}") for each in causes
    ]
    if rows:
        yield bars("unseen-by-cause", "Not seen, by cause", "time added up over all assets", rows)


def _gap_rows(gaps: Sequence[Gap], until: datetime) -> list[tuple[Cell, ...]]:
    """What lasts first, then the longest."""
    ordered = sorted(gaps, key=lambda gap: (gap.last_at is not None, -lasted(gap, until), gap.asset, gap.first_at))
    return [
        (gap.asset, gap.witness, gap.cause, gap.first_at, gap.last_at, lasted(gap, until), gap.text) for gap in ordered
    ]


def _item_rows(tx: Transaction, scope: Scope) -> list[tuple[Cell, ...]]:
    """What was asked for and not answered, and what people decided not to compare."""
    approved, seen = store.baselines_at(tx, scope.until), store.runs_at(tx, scope.until, observed=True)
    digests = {name: (seen[name].digest if name in seen else None) for name in scope.names}
    baselines = {name: approved[name].digest for name in scope.names if name in approved}
    wanted = {digest for digest in (*digests.values(), *baselines.values()) if digest is not None}
    held: Mapping[str, Snapshot] = snapshots_with_gaps(tx, wanted)
    rows: list[tuple[Cell, ...]] = []
    for name in scope.names:
        looked, baseline = held.get(digests[name] or ""), held.get(baselines.get(name, ""))
        rows += [(name, gap.key, READ, gap.why or None) for gap in looked.unread] if looked else []
        rows += [(name, gap.key, APPROVED, gap.why or None) for gap in baseline.unread] if baseline else []
        rows += [(name, each.key, DROPPED, each.why or None) for each in baseline.dropped] if baseline else []
    return rows


def _test_row(test: SelfTest) -> tuple[Cell, ...]:
    stations = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in test.legs.items())
    return test.at, test.ok, max(test.legs.values(), default=None), test.text, stations or None


def _covered_findings(assets: Sequence[Covered]) -> Iterator[Finding]:
    of = counted(len(assets), "asset")
    shares = [(each.share, each.asset) for each in assets if each.share is not None]
    never = len(assets) - len(shares)
    if never:
        yield Finding(Weight.UNKNOWN, f"{never:,} of {of} {was_were(never)} not watched in this period.", KEY)
    if shares:
        whole = sum(1 for share, _ in shares if share == 1)
        least, asset = min(shares)
        text = (
            f"Of {counted(len(shares), 'asset')} that {was_were(len(shares))} watched, {whole:,} {was_were(whole)} seen"
        )
        less = "" if whole == len(shares) else f"; {asset} the least: {share_text(max(least, 0.0))} of it"
        yield Finding(Weight.GOOD if not less else Weight.ATTENTION, f"{text} all of the time{less}.", KEY)
    if blind := [each.asset for each in assets if each.is_blind]:
        text = f"At the end of the period {len(blind):,} of {of} {was_were(len(blind))} not seen"
        yield Finding(Weight.UNKNOWN, f"{text}: {', '.join(blind[:3])}{' and more' if len(blind) > 3 else ''}.", KEY)


def _item_findings(items: Sequence[tuple[Cell, ...]], assets: int) -> Iterator[Finding]:
    for what, weight in ((READ, Weight.UNKNOWN), (APPROVED, Weight.UNKNOWN), (DROPPED, Weight.ATTENTION)):
        found = [row for row in items if row[2] == what]
        if found:
            where = len({row[0] for row in found})
            of = f"{counted(len(found), 'item')} of {where:,} of {counted(assets, 'asset')}"
            yield Finding(weight, f"{of} {was_were(len(found))} {what}.", KEY)


def _own_findings(own: Sequence[Gap], tests: Sequence[SelfTest]) -> Iterator[Finding]:
    if own:
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(Counter(gap.cause for gap in own).items()))
        text = f"The monitor itself had {counted(len(own), 'gap')}: {causes}."
        yield Finding(Weight.ATTENTION, text, KEY)
    passed = sum(1 for test in tests if test.ok)
    if not tests:
        yield Finding(Weight.UNKNOWN, "No self-test was made in this period: that an alarm arrives is not shown.", KEY)
    else:
        weight = Weight.GOOD if passed == len(tests) else Weight.BAD
        text = f"Of {counted(len(tests), 'self-test')} {passed:,} {was_were(passed)} passed"
        yield Finding(weight, f"{text}: a change was found, and its alarm was stored.", KEY)
