"""The audit chain: how long it was, who signs it, which persons there were, and whether all of it verifies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from baselines.audit import Checkpoint
from monitor import store
from monitor.errors import CallError
from monitor.evidence import verified_within
from monitor.report.document import Cell, Column, Facts, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, is_are, was_were
from monitor.report.standards import clauses_of
from monitor.report.standing import moment
from monitor.store import Entry, Transaction
from monitor.verifier import NEW_KEYS, Result

KEY = "integrity"
RESTORE = "store.restore"
PERSONS = ("person.add", "person.change", "person.remove")
KEYS = (
    Column("entry", "Entry", Form.NUMBER, 0.5),
    Column("at", "At", Form.TIME, 1.2),
    Column("action", "What", width=0.8),
    Column("public_key", "Public key (Ed25519)", Form.CODE, 3.2),
    Column("by", "By", width=0.8),
    Column("reason", "Reason", width=1.2),
)
PEOPLE = (
    Column("person", "Person", width=1.2),
    Column("roles", "Roles", width=1.5),
    Column("public_key", "Public key (Ed25519)", Form.CODE, 3.2),
    Column("at", "As they are since", Form.TIME, 1.2),
)
RESTORES = (
    Column("entry", "Entry", Form.NUMBER, 0.5),
    Column("at", "Restored", Form.TIME, 1.2),
    Column("by", "By", width=0.8),
    Column("made_at", "Backup of", Form.TIME, 1.2),
    Column("entries", "Entries in it", Form.NUMBER, 0.7),
    Column("reason", "Reason", width=1.5),
    Column("aside", "Checkpoints put aside", width=1.6),
    Column("manifest", "Digest of the backup", Form.CODE, 0),
)
DECISIONS = (Column("action", "Action", Form.CODE, 2), Column("entries", "Entries in the period", Form.NUMBER))
FLAWS = (Column("entry", "Entry", Form.NUMBER, 0.5), Column("why", "Why it does not verify", width=5))
FLAWS_MOST = 1000
FIRST = f"No more than the first {FLAWS_MOST:,}; asbuilt verify counts them all."
ABOUT = (
    "Whatever people decide, and whatever asbuilt decides by itself, is an entry of one chain, each with the hash of"
    " the one before. The plant's key signs the newest (a checkpoint), and this is kept outside of the store too. What"
    " was approved, signed off, ordered, acknowledged and registered is held against what the chain says of it. How"
    " this is verified without asbuilt is in docs/evidence.md; the first public key is to be compared with the one that"
    " was written down at commissioning.",
)


def integrity(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    until = scope.until
    entries, head = store.head_at(tx, until)
    checkpoints, newest = store.checkpoints_at(tx, until)
    keys, restores = store.entries_of(tx, NEW_KEYS, until), store.entries_of(tx, [RESTORE], until)
    people = _people(store.entries_of(tx, PERSONS, until))
    try:
        result, why = verified_within(tx, scope.plant, scope.now), ""
    except CallError as error:  # a file outside cannot be read: the report says so, and is made
        result, why = None, str(error)
    flaws = _first_flaws(result) if result else []
    counts = store.count_audited(tx, scope.since, until)
    return Section(
        KEY,
        "Integrity of the evidence",
        (
            Text(ABOUT),
            _facts(entries, head, keys, checkpoints, newest),
            Table("flaws", "What does not verify", FLAWS, flaws, _empty(result), FIRST if flaws else ""),
            Table("keys", "The plant's keys", KEYS, [_key_row(each) for each in keys], "The chain has no key yet."),
            Table("persons", "Persons with a key of their own", PEOPLE, people, "Nobody was registered."),
            Table(
                "restores", "Restores", RESTORES, [_restore_row(each) for each in restores], "It was never restored."
            ),
            Table("decisions", "Entries by action", DECISIONS, [*counts.items()], "There was no entry in this period."),
        ),
        clauses_of(KEY),
        (
            *_verified_findings(result, why, entries, checkpoints),
            *_restore_findings(restores),
            *_people_findings(people),
        ),
    )


def _first_flaws(result: Result) -> list[tuple[Cell, ...]]:
    """Where the chain is broken early, everything behind it is a flaw: the first ones say what there is to say."""
    found = sorted(result.flaws, key=lambda each: (each.entry is None, each.entry or 0, each.why))
    return [(each.entry, each.why) for each in found[:FLAWS_MOST]]


def _empty(result: Result | None) -> str:
    return "Everything verifies." if result else "It could not be verified."


def _facts(entries: int, head: str, keys: Sequence[Entry], checkpoints: int, newest: Checkpoint | None) -> Facts:
    rotations = len(keys) - 1 if keys else 0
    return Facts(
        (
            ("Entries", entries, "of the audit chain at the end of the period"),
            ("Head", head or None, "the hash of the last of them"),
            ("First public key", keys[0].detail.get("public_key") if keys else None, "compare it with the paper"),
            ("Key rotations", rotations, ""),
            ("Checkpoints", checkpoints, "in the store"),
            ("Newest checkpoint", newest.at if newest else None, f"at entry {newest.entries}" if newest else ""),
        )
    )


def _key_row(told: Entry) -> tuple[Cell, ...]:
    what = "the first key" if told.action == "key.add" else "rotated to"
    return told.id, told.at, what, told.detail.get("public_key"), told.actor, told.detail.get("reason")


def _people(told: Sequence[Entry]) -> list[tuple[Cell, ...]]:
    """Who was registered, by name."""
    known: dict[str, Entry] = {}
    for each in told:
        if each.action == "person.remove":
            known.pop(each.subject, None)
        else:
            known[each.subject] = each
    return [
        (name, each.detail.get("roles") or None, each.detail.get("public_key"), each.at)
        for name, each in sorted(known.items())
    ]


def _restore_row(told: Entry) -> tuple[Cell, ...]:
    said = told.detail
    entries = said.get("entries", "")
    return (
        told.id,
        told.at,
        told.actor,
        moment(said.get("made_at", "")),
        int(entries) if entries.isdecimal() else None,
        said.get("reason") or None,
        said.get("aside") or None,
        said.get("manifest"),
    )


def _verified_findings(result: Result | None, why: str, entries: int, checkpoints: int) -> Iterator[Finding]:
    if result is None:
        yield Finding(Weight.UNKNOWN, f"The evidence could not be verified: {why}.", KEY)
        return
    if bad := result.first_bad:
        at = f"entry {bad.entry}: " if bad.entry is not None else ""
        text = f"The evidence does not verify; the first of {counted(len(result.flaws), 'flaw')} is at {at}{bad.why}."
        yield Finding(Weight.BAD, text if at else text.replace(" is at ", ": ", 1), KEY)
        return
    text = f"The audit chain of {counted(entries, 'entry', 'entries')} is whole, and all records are as it says"
    if checkpoints:
        yield Finding(Weight.GOOD, f"{text}; {counted(checkpoints, 'checkpoint')} {is_are(checkpoints)} signed.", KEY)
    else:
        yield Finding(Weight.ATTENTION, f"{text}; but no checkpoint was signed.", KEY)
    uncovered = max(0, entries - result.covered)
    if uncovered:
        of = f"{uncovered:,} of {counted(entries, 'entry', 'entries')}"
        text = f"{of} {is_are(uncovered)} under no checkpoint outside of the store: their loss would not be noticed."
        yield Finding(Weight.ATTENTION, text, KEY)


def _restore_findings(restores: Sequence[Entry]) -> Iterator[Finding]:
    if restores:
        last = restores[-1]
        text = (
            f"The store was restored from a backup {counted(len(restores), 'time')}, last by {last.actor} (entry"
            f" {last.id}): what was decided between the backup and the restore is not in it."
        )
        yield Finding(Weight.ATTENTION, text, KEY)


def _people_findings(people: Sequence[object]) -> Iterator[Finding]:
    if people:
        text = (
            f"{counted(len(people), 'person', 'persons')} {was_were(len(people))} registered with a key of their own."
        )
        yield Finding(Weight.GOOD, text, KEY)
    else:
        text = "Nobody was registered with a key of their own: who decided what rests on the name that was given."
        yield Finding(Weight.ATTENTION, text, KEY)
