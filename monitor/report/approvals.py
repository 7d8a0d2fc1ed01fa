"""Baselines as they stood at a moment, with every word that people gave for them: by the audit chain alone.

The rows of the store know how a baseline stands now. The chain knows how it stood, and who signed what with which key;
it is replayed as the verifier does it, up to the entry with which the report ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from baselines.artefact import Artefact, ArtefactKind
from baselines.audit import AuditEntry
from baselines.baseline import Baseline, SignOff, Stage, State
from baselines.snapshot import utc_text
from monitor import store
from monitor.report.scope import Scope
from monitor.store import Transaction
from monitor.verifier import Replay

RENAME = "asset.rename"
ACTIONS = (
    *("baseline.propose", "baseline.amend", "baseline.sign", "baseline.approve", "baseline.reject", "baseline.import"),
    *("artefact.add", "asset.retire", RENAME),
)


class Said(StrEnum):
    """What somebody said about a baseline."""

    PROPOSED = "proposed"
    DECIDED = "decided about items"
    NARROWED = "took a part of it"
    SIGNED = "signed off"
    APPROVED = "approved"
    REJECTED = "rejected"


SAID = {
    "baseline.propose": Said.PROPOSED,
    "baseline.sign": Said.SIGNED,
    "baseline.approve": Said.APPROVED,
    "baseline.reject": Said.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody said, in which role ("" where none was asked for), and why. `key` is the one that they signed it
    with: without one ("") it is an assertion. `account` is the operating system's word for them, and `entry` the number
    of the audit entry; of what came in a bundle, the one by which it was taken in."""

    said: Said
    by: str
    role: str
    at: datetime
    reason: str
    ticket: str
    key: str
    account: str
    entry: int


@dataclass(slots=True)
class Told:
    """A baseline at the report's moment, the words that were given for it, the first first, and its files.

    `id` of the baseline is its place in the chain, from 0. `part` are the items that the approver took, where it was
    not all of them.
    """

    baseline: Baseline
    words: list[Word] = field(default_factory=list)
    part: frozenset[str] | None = None
    files: list[Artefact] = field(default_factory=list)

    @property
    def was_approved(self) -> bool:
        """Whether somebody approved it, here or elsewhere, though another may have taken its place by now."""
        return self.baseline.decided_at is not None and self.baseline.state is not State.REJECTED

    @property
    def is_open(self) -> bool:
        return self.baseline.state is State.PROPOSED

    @property
    def signed_off(self) -> list[SignOff]:
        given = [each for each in self.words if each.said in (Said.SIGNED, Said.APPROVED)]
        return [SignOff(each.by, each.role, each.at, each.reason, each.ticket) for each in given]


@dataclass(frozen=True, slots=True)
class History:
    """Every baseline of the assets of a report, the oldest first, by asset; and the entries of the chain that say what
    cannot have been."""

    of: Mapping[str, list[Told]]
    broken: tuple[int, ...]


def history(tx: Transaction, scope: Scope) -> History:
    """What the chain says of the baselines of a scope, before `until`."""
    last, _ = store.head_at(tx, scope.until)
    replay, told = Replay(), _Told()
    for entry in store.audit_entries(tx, actions=ACTIONS):
        if entry.id <= last or entry.action == RENAME:  # assets are called what they are called now
            told.take(replay, entry)
    found: dict[str, list[Told]] = {name: [] for name in scope.names}
    broken = [flaw.entry for flaw in replay.flaws if flaw.entry is not None]
    for row, words, part in zip(replay.rows("baseline"), told.words, told.parts, strict=True):
        if row["asset"] in found:
            try:
                found[row["asset"]].append(Told(_baseline(row), words, part))
            except (ValueError, TypeError):  # forged: no stage, or no time
                broken.append(row["entry"])
    known = {each.baseline.id: each for listed in found.values() for each in listed}
    for row in replay.rows("artefact"):
        if of := known.get(row["baseline"]):
            of.files.append(_artefact(row))
    return History(found, tuple(sorted(broken)))


@dataclass(slots=True)
class _Told:
    """What was said, by the number of the baseline, as the chain is gone through."""

    words: list[list[Word]] = field(default_factory=list)
    parts: list[frozenset[str] | None] = field(default_factory=list)

    def take(self, replay: Replay, entry: AuditEntry) -> None:
        open_ = replay.current(entry.subject, State.PROPOSED)
        flaws, given = len(replay.flaws), len(replay.rows("sign_off"))
        replay.take(_unsigned(entry))
        signed = replay.rows("sign_off")[given:]
        for row in replay.rows("baseline")[len(self.words) :]:
            self.words.append(_elsewhere(row, signed, entry) if row["origin"] else [])
            self.parts.append(None)
        if len(replay.flaws) > flaws:
            return
        if entry.action == "baseline.amend" and open_:
            self._amended(open_["number"], entry)
        elif said := SAID.get(entry.action):
            number = len(self.words) - 1 if said is Said.PROPOSED else open_["number"] if open_ else None
            if number is not None:
                self.words[number].append(_word(said, entry))

    def _amended(self, before: int, entry: AuditEntry) -> None:
        """The words for a proposal hold for the one that took its place, but not those that signed it off."""
        kept = [each for each in self.words[before] if each.said is not Said.SIGNED]
        narrowed = entry.detail.get("items")
        self.words[-1] = [*kept, _word(Said.NARROWED if narrowed else Said.DECIDED, entry)]
        self.parts[-1] = _keys(narrowed) if narrowed else None


def _keys(text: str) -> frozenset[str]:
    """The items that an approver took; none if the text was forged."""
    try:
        return frozenset(json.loads(text))
    except (ValueError, TypeError):
        return frozenset()


def _unsigned(entry: AuditEntry) -> dict[str, Any]:
    """An entry as the verifier takes it. Whether signatures are right is asked when the evidence is verified."""
    detail = {key: value for key, value in entry.detail.items() if key != "signature"}
    fields = {"id": entry.id, "at": utc_text(entry.at), "actor": entry.actor, "account": entry.account}
    return fields | {"action": entry.action, "subject": entry.subject, "detail": detail}


def _word(said: Said, entry: AuditEntry) -> Word:
    detail = entry.detail
    about = (detail.get("role", ""), entry.at, detail.get("reason", ""), detail.get("ticket", ""))
    return Word(said, entry.actor, *about, detail.get("key", ""), entry.account, entry.id)


def _elsewhere(row: Mapping[str, Any], signed: Sequence[Mapping[str, Any]], entry: AuditEntry) -> list[Word]:
    """What was said about a baseline where it came from; nothing if it was forged, and has no times."""
    try:
        return list(_imported(row, [word for word in signed if word["baseline"] == row["number"]], entry))
    except (ValueError, TypeError):
        return []


def _imported(row: Mapping[str, Any], given: Sequence[Mapping[str, Any]], entry: AuditEntry) -> Iterator[Word]:
    yield _told(Said.PROPOSED, row["proposed_by"], row["proposed_at"], entry)
    for word in given:
        said = Said.APPROVED if _is_last(word, row) else Said.SIGNED
        told = _told(said, word["by"], word["at"], entry)
        yield replace(told, role=word["role"], reason=word["reason"], ticket=word["ticket"])
    if row["decided_at"] is not None and not any(_is_last(word, row) for word in given):
        told = _told(Said.APPROVED, row["decided_by"], row["decided_at"], entry)
        yield replace(told, reason=row["reason"], ticket=row["ticket"] or "")


def _is_last(word: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether it is the word by which a baseline was approved."""
    return (word["by"], word["at"]) == (row["decided_by"], row["decided_at"])


def _told(said: Said, by: str, at: str, entry: AuditEntry) -> Word:
    return Word(said, by, "", _moment(at), "", "", "", "", entry.id)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _baseline(row: Mapping[str, Any]) -> Baseline:
    return Baseline(
        row["number"],
        row["asset"],
        row["digest"],
        State(row["state"]),
        Stage(row["stage"]),
        row["profile"],
        row["proposed_by"],
        _moment(row["proposed_at"]),
        row["decided_by"],
        _moment(row["decided_at"]) if row["decided_at"] else None,
        row["reason"],
        row["ticket"] or "",
        row["capture"],
        row["origin"],
    )


def _artefact(row: Mapping[str, Any]) -> Artefact:
    kind = ArtefactKind(row["kind"])
    added = (row["added_by"], _moment(row["added_at"]))
    return Artefact(row["entry"], row["baseline"], row["digest"], row["name"], kind, row["size"], *added)
