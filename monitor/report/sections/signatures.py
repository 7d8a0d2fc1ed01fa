"""Who proposed, signed off and approved baselines, in which role, why, and with which key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baselines.baseline import State
from monitor.report.approvals import Told, Word
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.dossier import ASSET, SHORT_KEY, Dossier, dossier, standing
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.store import Transaction

SIGNATURES = "signatures"
WORDS = (
    ASSET,
    Column("what", "What", width=1.2),
    Column("who", "By", width=1.6),
    Column("at", "When", Form.TIME, 1.3),
    Column("reason", "Reason", width=1.8),
    Column("ticket", "Ticket", width=0.9),
    Column("key_short", "Key", Form.CODE, 0.9),
    Column("stage", "Stage", width=0),
    Column("said", "What was said", width=0),
    Column("by", "Name", width=0),
    Column("role", "Role", width=0),
    Column("key", "Key, whole", Form.CODE, 0),
    Column("account", "Account", width=0),
    Column("entry", "Audit entry", Form.NUMBER, 0),
    Column("state", "State of the baseline", Form.STATE, 0),
    Column("digest", "Digest", Form.CODE, 0),
    Column("origin", "Key of the bundle", Form.CODE, 0),
)
ORIGINS = (
    Column("origin", "Key that signed the bundle", Form.CODE, 3),
    Column("baselines", "Baselines", Form.NUMBER, 0.8),
    Column("assets", "Assets", Form.NUMBER, 0.8),
)


def signatures(tx: Transaction, scope: Scope) -> Section:
    """Every word that was given for the baselines of a dossier, and for the proposals that were rejected."""
    of = dossier(tx, scope)
    listed = _listed(of)
    rows = [_row(told, word) for told in listed for word in told.words]
    about = (
        "A word with a key was signed with a key of the person's own. One without is an assertion: beside it the audit"
        " trail keeps the operating system's user and host. What was said elsewhere came in a bundle, and is vouched"
        " for by the key that signed that bundle."
    )
    blocks = (
        Text((about,)),
        Table("signatures", "Who said what", WORDS, rows, "Nobody has proposed anything."),
        Table("origins", "What came in bundles", ORIGINS, _origins(of.of), "Everything was decided here."),
    )
    return Section(SIGNATURES, "Signatures", blocks, findings=tuple(_findings(of, listed)))


def _listed(of: Dossier) -> list[Told]:
    """The baselines of a dossier, and the proposals that were rejected, the oldest of an asset first."""
    chosen = {told.baseline.id for told in of.of}
    everything = [told for name in of.scope.names for told in of.history.of[name]]
    return [told for told in everything if told.baseline.id in chosen or _is_rejected(told, of.scope)]


def _is_rejected(told: Told, scope: Scope) -> bool:
    return told.baseline.state is State.REJECTED and scope.stage in (None, told.baseline.stage)


def _row(told: Told, word: Word) -> tuple[Cell, ...]:
    of = told.baseline
    who = f"{word.by} ({word.role})" if word.role else word.by
    return (
        *(of.asset, f"{of.stage} {word.said}", who, word.at, word.reason or None, word.ticket or None),
        *(word.key[:SHORT_KEY] or None, of.stage.value, word.said.value, word.by, word.role or None),
        *(word.key or None, word.account or None, word.entry, standing(told), of.digest, of.origin),
    )


def _origins(listed: Sequence[Told]) -> list[tuple[Cell, ...]]:
    keys = sorted({told.baseline.origin for told in listed if told.baseline.origin})
    found = {key: [told.baseline for told in listed if told.baseline.origin == key] for key in keys}
    return [(key, len(there), len({each.asset for each in there})) for key, there in found.items()]


def _findings(of: Dossier, listed: Sequence[Told]) -> Iterator[Finding]:
    here = [told for told in of.of if told.was_approved and not told.baseline.origin]
    alone = sum({word.by for word in told.signed_off} <= {told.baseline.proposed_by} for told in here)
    if here:
        by = f"{alone:,} of them by nobody but who proposed it" if alone else "each by others than who proposed it"
        what = f"Approved here: {counted(len(here), 'baseline')}, {by}."
        yield Finding(Weight.ATTENTION if alone else Weight.GOOD, what, SIGNATURES)
    words = [word for told in listed if not told.baseline.origin for word in told.words]
    unsigned = sum(not word.key for word in words)
    if unsigned:
        what = f"Given here: {counted(len(words), 'word')}, {unsigned:,} of them without a key:"
        yield Finding(Weight.UNKNOWN, f"{what} who gave these is asserted, not proven.", SIGNATURES)
    elif words:
        yield Finding(Weight.GOOD, f"Every one of {counted(len(words), 'word')} is signed with a key.", SIGNATURES)
