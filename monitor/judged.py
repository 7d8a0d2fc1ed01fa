"""What was seen against what is approved, by their digests alone: equal pairs are compared once, and most need not be
read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from baselines.drift import Verdict, verdict
from baselines.snapshot import Snapshot, parse_snapshot
from monitor import store
from monitor.store import Transaction

Pair = tuple[str | None, str]  # the digests of what is approved, if anything is, and of what was seen
PAIRS_AT_ONCE = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GAP_LINES = ('{"unread":', '{"dropped":')  # begin lines of a canonical text: there, quotes are escaped


def judged(tx: Transaction, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, Verdict, str]]:
    """Each pair once, with its verdict and the canonical text of what was seen, "" where the store has it no more."""
    wanted = sorted({*pairs}, key=lambda pair: (pair[1], pair[0] or ""))
    for start in range(0, len(wanted), PAIRS_AT_ONCE):
        part = wanted[start : start + PAIRS_AT_ONCE]
        texts = dict(store.snapshot_texts(tx, {digest for pair in part for digest in pair if digest is not None}))
        yield from ((pair, _verdict(pair, texts), texts.get(pair[1], "")) for pair in part)


def _verdict(pair: Pair, texts: Mapping[str, str]) -> Verdict:
    """What somebody has changed in the store since it was kept says nothing: `texts` does not have it."""
    before, after = pair
    if (text := texts.get(after)) is None:
        return Verdict.NEVER_SEEN
    if before == after and text and not has_gaps(text):
        return Verdict.MATCH  # most are so, and need not be read
    baseline = texts.get(before) if before else None
    return verdict(None if baseline is None else parsed(baseline), parsed(text))


def has_gaps(text: str) -> bool:
    """Whether a canonical text has what was not read, or is not compared."""
    return any(line in text for line in GAP_LINES)


def parsed(text: str) -> Snapshot:
    """What a canonical text holds, of no asset and no time."""
    return parse_snapshot("", EPOCH, text)
