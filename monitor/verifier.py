"""Verifies the evidence of a plant: stands alone, and needs Python 3.11 and `cryptography`, nothing of asbuilt.

    python verifier.py EVIDENCE [--checkpoints FILE]... [--key HEX]

EVIDENCE is a store (SQLite), or what `asbuilt verify --export` wrote. What is verified, and how a verifier of your own
would do it, is in docs/evidence.md: the chain of audit entries, the signatures of persons in it, the signed
checkpoints, and that every baseline, sign-off, order, person and artefact is what the chain says it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Row = Mapping[str, Any]

TABLES = (
    "audit_entry",
    "checkpoint",
    "asset",
    "baseline",
    "sign_off",
    "person",
    "change_order",
    "expectation",
    "excess",
    "artefact",
    "alert",
    "alert_move",
    "document",
    "run",
    "snapshot",
)
GENESIS = "0" * 64
FIELDS = ("account", "action", "actor", "at", "detail", "id", "previous", "subject")  # what the hash is taken over
SIGNED = ("at", "entries", "head", "key")  # what the signature of a checkpoint is over
SIGNATURE = ("key", "signature")
NEW_KEYS = ("key.add", "key.rotate")
KEY, SIGNATURE_FORM = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")
OF_A_CHECKPOINT = ('"entries":', '"head":', '"signature":')  # what tells it in a log of many programs
LONGEST_LINE = 2**26  # characters; no row that asbuilt exports comes near it
NUMBERS = frozenset(("id", "entries", "asset_id", "baseline_id", "order_id", "alert_id", "size"))
CASE = ("cause", "prevention", "closed_by", "closed_at")  # of an alarm
ADMIN = "admin"  # the role that says who is registered, once somebody has it


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that does not verify: at which entry (None where no entry speaks of it), and why."""

    entry: int | None
    why: str

    def __post_init__(self) -> None:
        """What was found may hold anything, also what a terminal would obey."""
        shown = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in self.why)
        object.__setattr__(self, "why", shown)


@dataclass
class Result:
    """What verifying came to. `covered` is the last entry under a checkpoint that was kept outside; the loss of the
    `uncovered` ones behind it would not be noticed."""

    entries: int = 0
    checkpoints: int = 0
    covered: int = 0
    keys: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def uncovered(self) -> int:
        return max(0, self.entries - self.covered)

    @property
    def first_bad(self) -> Flaw | None:
        """The flaw at the lowest entry."""
        return min(self.flaws, key=_place, default=None)


def _place(flaw: Flaw) -> int:
    return sys.maxsize if flaw.entry is None else flaw.entry


def canonical(fields: Mapping[str, Any]) -> bytes:
    """RFC 8785 of a table of strings and whole numbers with ASCII keys; ValueError for half a surrogate pair."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def is_signed(key: Any, signature: Any, statement: bytes) -> bool:
    """Whether an Ed25519 signature (RFC 8032) is of this key over this statement."""
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        return False
    if not (isinstance(signature, str) and SIGNATURE_FORM.fullmatch(signature)):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(
    tables: Mapping[str, Iterable[Row]],
    outside: Iterable[Row] = (),
    trusted: str | None = None,
    every_signature: bool = True,
) -> Result:
    """Verify evidence: its rows by table (a table that is not given is not looked at), checkpoints that were kept
    outside of it, and the public key that the first checkpoint has to be of, where the reader knows it.

    Without `every_signature`, of the checkpoints only those are verified that others do not cover: the newest, and
    those that brought a key. An edit of the chain is found all the same; one of an older checkpoint is not.
    """
    result = Result()
    hashes = [GENESIS]
    replay = Replay()
    for entry in _chain(tables.get("audit_entry", ()), hashes, result):
        replay.take(entry)
    result.entries = len(hashes) - 1
    result.keys = [key for _, key, _ in replay.keys]
    whole = not result.flaws
    result.flaws += [*replay.flaws, *_restores(replay, hashes)]
    if trusted is not None and result.keys[:1] != [trusted.strip().lower()]:
        first = replay.keys[0][0] if replay.keys else 1
        result.flaws.append(Flaw(first, f"the chain does not begin with the key {trusted}"))
    witnesses = Witnesses(hashes, replay, whole, every_signature, result)
    if "checkpoint" in tables:
        witnesses.stored(_sound(tables, "checkpoint", result))
    witnesses.outside(outside, "checkpoint" in tables)
    if whole and not witnesses.cut and not replay.flaws:  # else what is stored is not what was read tells
        result.flaws += replay.compared(tables, result)
    result.flaws += _contents(tables, replay, result)
    return result


def _chain(rows: Iterable[Row], hashes: list[str], result: Result) -> Iterator[dict[str, Any]]:
    """The entries in order, as far as they verify."""
    for row in rows:
        number = len(hashes)
        try:
            detail = json.loads(row["detail"])
            entry = {**{name: row[name] for name in FIELDS}, "detail": detail}
            digest = sha256(canonical(entry)).hexdigest()
        except (KeyError, TypeError, ValueError, RecursionError):
            return result.flaws.append(Flaw(number, "it is broken, or it is missing"))
        if row["id"] != number:
            return result.flaws.append(Flaw(number, f"entry {number} is missing: {row['id']} comes in its place"))
        if row["previous"] != hashes[-1]:
            return result.flaws.append(Flaw(number, "it does not follow from the entry before it"))
        if row["hash"] != digest:
            return result.flaws.append(Flaw(number, "its content is not what its hash was taken over"))
        if not _is_plain(entry) or row["detail"] != json.dumps(detail, sort_keys=True):
            return result.flaws.append(Flaw(number, "it is not written as asbuilt writes it"))
        hashes.append(digest)
        yield entry
    return None


def _is_plain(entry: Row) -> bool:
    """Whether an entry holds strings, a whole number and a flat table of strings, of which there is one way to write
    them in RFC 8785."""
    detail = entry["detail"]
    return (
        type(entry["id"]) is int
        and all(type(entry[name]) is str for name in FIELDS if name not in ("id", "detail"))
        and type(detail) is dict
        and all(key.isascii() and type(value) is str for key, value in detail.items())
    )


def _sound(tables: Mapping[str, Iterable[Row]], table: str, result: Result) -> Iterator[Row]:
    """The rows of a table that have what is read of them; the others are flaws."""
    for row in tables.get(table, ()):
        for name in NEEDED[table]:
            value = row.get(name, b"")
            if type(value) is not int if name in NUMBERS else not isinstance(value, str | None):
                why = f"a row of {table} is not as asbuilt writes it: its {name} is {str(value)[:40]!r}"
                result.flaws.append(Flaw(None, why))
                break
        else:
            yield row


class Witnesses:
    """The checkpoints of a chain, held against it.

    `whole` says that the chain was read to its end.
    """

    def __init__(self, hashes: list[str], replay: Replay, whole: bool, every_signature: bool, result: Result) -> None:
        self._hashes, self._keys, self._whole = hashes, replay.keys, whole
        self._restored = replay.restored
        self._every, self._result = every_signature, result
        self._known: dict[int, Row] = {}  # those in the store, by their entry
        self.cut = False

    def stored(self, rows: Iterable[Row]) -> None:
        """The checkpoints in the store."""
        found = list(rows)
        for row in found:
            if row["entries"] in self._known:
                self._flaw(row["entries"], f"the checkpoint at entry {row['entries']} is there twice")
            self._known[row["entries"]] = row
        self._bring_keys()
        newest = max(self._known, default=0)
        brought = {start for start, _, _ in self._keys}
        for row in found:
            needed = self._every or row["entries"] == newest or row["entries"] in brought
            self._is_of_the_chain(row, needed)
        self._result.checkpoints = len(found)

    def outside(self, rows: Iterable[Row], is_stored: bool) -> None:
        """The checkpoints that were kept elsewhere; each was in the store first."""
        given: list[Row] = []
        fragments: list[Row] = []
        for row in rows:
            (given if _is_whole(row) else fragments).append(row)
        if not is_stored and given:
            self._known = {row["entries"]: row for row in given}
            self._bring_keys()
        newest = max((row["entries"] for row in given), default=0)
        for row in given:
            kept = self._known.get(row["entries"])
            twin = kept is not None and all(kept.get(name) == row[name] for name in (*SIGNED, "signature"))
            needed = (self._every and not (twin and is_stored)) or row["entries"] == newest or not twin
            if self._is_of_the_chain(row, needed):
                self._result.covered = max(self._result.covered, row["entries"])
                if is_stored and not twin:
                    self._flaw(row["entries"], f"the checkpoint of {row['at']} is not in the store any more")
        if not is_stored:
            self._result.checkpoints = len(given)
        self._allow_torn(fragments)

    def _allow_torn(self, fragments: list[Row]) -> None:
        """A power cut leaves the beginning of a line; of a checkpoint that the store holds, for it was committed."""
        if not fragments:
            return
        lines = [line_of(row) for row in self._known.values()]
        for row in fragments:
            text = str(row.get("line", row))
            if not (text and any(line.startswith(text) for line in lines)):
                self._flaw(None, f"kept outside is what is no checkpoint: {text[:200]}")

    def _bring_keys(self) -> None:
        """A key counts from the checkpoint on by which the key before it has signed for it."""
        for place in range(1, len(self._keys)):
            start, _, action = self._keys[place]
            row, before = self._known.get(start), self._keys[place - 1][1]
            fits = row is not None and (row["head"], row["key"]) == (self._hashes[start], before)
            if action == "key.add" or row is None or not fits or not _is_signed_row(row):
                self._flaw(start, "it brings a key, and the key before it has not signed for that")
                del self._keys[place:]
                return

    def _is_of_the_chain(self, row: Row, needed: bool) -> bool:
        """Whether a checkpoint is of this chain; what speaks against it is a flaw."""
        number, last, key = row["entries"], len(self._hashes) - 1, row["key"]
        if key not in {known for _, known, _ in self._keys} and self._whole:
            self._flaw(number, f"the checkpoint of {row['at']} is signed by a key that is not of this chain: {key}")
        elif needed and not _is_signed_row(row):
            self._flaw(number, f"the checkpoint at entry {number} is not signed by its key")
        elif number > last:
            if self._whole:  # else the rest of the chain was not read
                self.cut = True
                why = f"the chain was cut, or rolled back: it ends at entry {last}, and at {row['at']} it had {number}"
                self._flaw(last + 1, why + self._why_lost(number))
        elif number < 1 or self._hashes[number] != row["head"]:
            why = f"it is not the entry that was there at {row['at']}: the chain was rewritten"
            self._flaw(number, why + self._why_lost(number))
        elif not _may_sign(key, number, self._keys):
            if self._whole:
                self._flaw(number, f"its checkpoint is signed by a key that was not in use then: {key}")
        else:
            return True
        return False

    def _why_lost(self, number: int) -> str:
        """What the chain itself says of an entry that is no more."""
        for entry, entries, _ in self._restored:
            if number > entries:
                return f" (entry {entry} says that a backup was restored, without what came after entry {entries})"
        return ""

    def _flaw(self, entry: int | None, why: str) -> None:
        self._result.flaws.append(Flaw(entry, why))


def _restores(replay: Replay, hashes: list[str]) -> Iterator[Flaw]:
    """A restore says where the chain ended that it restored; that is still there."""
    for entry, entries, head in replay.restored:
        if not (0 <= entries < entry and hashes[entries] == head):
            yield Flaw(entry, f"it says that a store of {entries} entries was restored, and it is another one")


def _is_whole(row: Row) -> bool:
    """Whether a row that was kept elsewhere is a checkpoint, in its form."""
    return (
        set(row) == {*SIGNED, "signature"}
        and type(row["entries"]) is int
        and all(isinstance(row[name], str) for name in ("at", "head", "key", "signature"))
    )


def _is_signed_row(row: Row) -> bool:
    try:
        return is_signed(row["key"], row["signature"], canonical({name: row[name] for name in SIGNED}))
    except ValueError:
        return False


def line_of(row: Row) -> str:
    """A checkpoint as it is kept outside of the store."""
    return json.dumps(
        {name: row[name] for name in (*SIGNED, "signature")}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def _may_sign(key: str, number: int, keys: list[tuple[int, str, str]]) -> bool:
    """Whether a key was in use at an entry: from the one that brings it, to the one that brings its successor."""
    ends = [start for start, _, _ in keys[1:]] + [sys.maxsize]
    return any(key == known and start <= number <= end for (start, known, _), end in zip(keys, ends, strict=True))


@dataclass
class Replay:
    """What the chain says that there is: every row as its entries made it, each with the entry that did last."""

    made: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lives: dict[str, dict[str, Any]] = field(default_factory=dict)  # what befell assets, by their names now
    flaws: list[Flaw] = field(default_factory=list)
    keys: list[tuple[int, str, str]] = field(default_factory=list)  # of the plant: from which entry on, by which action
    named: list[tuple[int, str]] = field(default_factory=list)  # documents: by which entry, and their digest
    moving: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # baselines that may still move, by asset
    cases: dict[int, dict[str, Any]] = field(default_factory=dict)  # alarms whose case was closed, by their number
    restored: list[tuple[int, int, str]] = field(default_factory=list)  # by which entry, how many there were, the last
    orders: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = field(default_factory=dict)  # with their lines

    def take(self, entry: dict[str, Any]) -> None:
        """Do what an entry says. Who signs has to be who they say they are."""
        self._check_signature(entry)
        if step := STEPS.get(entry["action"]):
            try:
                step(self, entry, entry["detail"])
            except ValueError as error:
                self.flaws.append(Flaw(entry["id"], f"it says what cannot have been: {entry['action']}: {error}"))
            except (KeyError, IndexError, TypeError, AttributeError, RecursionError):
                self.flaws.append(Flaw(entry["id"], f"it says what cannot have been: {entry['action']}"))
        if entry["action"] == "asset.rename":
            self.moving = {}
            for row in self.rows("baseline"):
                self.moving.setdefault(row["asset"], []).append(row)

    def _check_signature(self, entry: dict[str, Any]) -> None:
        detail = entry["detail"]
        if "signature" not in detail:
            return
        kept = {key: value for key, value in detail.items() if key not in SIGNATURE}
        said = {**{name: entry[name] for name in FIELDS if name not in ("id", "previous")}, "detail": kept}
        known = [row["public_key"] for row in self.registered() if row["name"] == entry["actor"]]
        if detail.get("key") not in known:
            self.flaws.append(Flaw(entry["id"], f"it is signed by a key that is not {entry['actor']}'s"))
        elif not is_signed(detail["key"], detail["signature"], canonical(said)):
            self.flaws.append(Flaw(entry["id"], f"{entry['actor']} did not sign this"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.made.setdefault(table, [])

    def add(self, table: str, entry: dict[str, Any], **values: Any) -> dict[str, Any]:
        row = {**values, "entry": entry["id"]}
        self.rows(table).append(row)
        if table == "baseline":
            row["number"] = len(self.rows(table)) - 1
            self.moving.setdefault(row["asset"], []).append(row)
        return row

    def live(self, entry: Row, **values: Any) -> None:
        """Something befalls the asset that an entry is about."""
        self.lives.setdefault(entry["subject"], {}).update(values, entry=entry["id"])

    def current(self, asset: str, state: str) -> dict[str, Any] | None:
        """The one baseline of an asset that is proposed, or approved."""
        moving = [row for row in self.moving.get(asset, ()) if row["state"] in ("proposed", "approved")]
        self.moving[asset] = moving
        fitting = [row for row in moving if row["state"] == state]
        return fitting[-1] if fitting else None

    def registered(self) -> list[dict[str, Any]]:
        """The persons who sign, as far as the chain was read."""
        return [row for row in self.rows("person") if row["removed_at"] is None]

    def compared(self, tables: Mapping[str, Iterable[Row]], result: Result) -> list[Flaw]:
        """Where what is stored is not what the chain says."""
        flaws: list[Flaw] = []
        assets = list(_sound(tables, "asset", result))
        names = {row["id"]: row["name"] for row in assets}
        if not len(assets) == len(names) == len(set(names.values())):
            flaws.append(Flaw(None, "an asset is there twice"))
        if "asset" in tables:
            flaws += _lives(self.lives, {row["name"]: row for row in assets})
        numbers: dict[int, int] = {}
        alarms = Alarms(self, names)
        if "alert" in tables:
            alarms.take_alerts(_sound(tables, "alert", result))
        for table, fields in COMPARED.items():
            if table not in tables:
                continue
            stored = list(_sound(tables, table, result))
            if table == "baseline":
                numbers = {row["id"]: number for number, row in enumerate(stored)}
            if table == "alert_move":
                flaws += alarms.flaws(stored)
                stored = [row for row in stored if row["by"] is not None]
            found = [_named(row, names, numbers, alarms.assets) for row in stored]
            flaws += _differences(table, self.rows(table), found, fields)
        return flaws


def _lives(said: Mapping[str, Row], stored: Mapping[str, Row]) -> Iterator[Flaw]:
    """Where assets are not what the chain says of them: called so, out of service, retired."""
    for name in sorted({*said, *stored}, key=str):
        if not isinstance(name, str):
            yield Flaw(None, "an asset has no name")
            continue
        if name not in stored:
            yield Flaw(said[name]["entry"], f"the asset {name} that it speaks of is missing")
            continue
        life = said.get(name, {})
        for column in LIFE:
            if life.get(column) != stored[name].get(column):
                why = f"{column} of asset {name} is {life.get(column)!r}; stored is {stored[name].get(column)!r}"
                yield Flaw(life.get("entry"), f"it says that {why}" if life else f"no entry says so: {why}")
                break


class Alarms:
    """What is stored of alarms, held against what people said of them."""

    def __init__(self, replay: Replay, names: Mapping[int, str]) -> None:
        self._replay, self._names = replay, names
        self._alerts: dict[int, Row] = {}
        self.twice: list[int] = []
        self.assets: dict[int, str | None] = {}  # of which asset an alarm is

    def take_alerts(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row["id"] in self._alerts:
                self.twice.append(row["id"])
            self._alerts[row["id"]] = row
        self.assets = {number: self._names.get(row["asset_id"]) for number, row in self._alerts.items()}

    def flaws(self, moves: list[Row]) -> Iterator[Flaw]:
        """Each move begins where the one before it ended; and what an alarm says of people, they said."""
        last: dict[int, Row] = {}
        for row in moves:
            before = last[row["alert_id"]]["after"] if row["alert_id"] in last else "NORMAL"
            if row["before"] != before:
                yield Flaw(None, f"move {row['id']} of alarm {row['alert_id']} does not follow from the one before it")
            last[row["alert_id"]] = row
        said: dict[int, Row] = {row["alert_id"]: row for row in self._replay.rows("alert_move")}
        seen = {row["alert_id"]: row for row in self._replay.rows("alert_move") if row["event"] == "acknowledge"}
        for number in [*self.twice, *(last.keys() - self._alerts.keys())]:
            yield Flaw(said[number]["entry"] if number in said else None, f"alarm {number} is not there, or twice")
        for number, alert in self._alerts.items():
            why = self._objection(alert, last.get(number), said.get(number), seen.get(number))
            case = self._replay.cases.get(number, {})
            wrong = [name for name in CASE if (alert[name] or None) != (case.get(name) or None)]
            if wrong and not why:
                why = f"its {wrong[0]} is {alert[wrong[0]]!r}, and the chain says {case.get(wrong[0])!r}"
            if why:
                word = said.get(number)
                yield Flaw(word["entry"] if word else None, f"alarm {number}: {why}")

    def _objection(self, alert: Row, last: Row | None, said: Row | None, seen: Row | None) -> str:
        if last is None or alert["state"] != last["after"]:
            return f"it is {alert['state']}, and its last move says {last and last['after']}"
        if alert["acknowledged_by"] is not None and (seen is None or seen["by"] != alert["acknowledged_by"]):
            return f"{alert['acknowledged_by']} has not acknowledged it"
        if last["by"] is None or said is None:
            return ""
        if alert["reason"] != said["reason"]:
            return f"its reason is {alert['reason']!r}, and {said['by']} said {said['reason']!r}"
        if said["event"] == "acknowledge" and alert["acknowledged_by"] != said["by"]:
            return f"{said['by']} acknowledged it"
        if said["event"] == "shelve" and alert["shelved_until"] != said["until"]:
            return f"{said['by']} shelved it until {said['until']}"
        return ""


def _named(
    row: Row, names: Mapping[int, str], numbers: Mapping[int, int], alarms: Mapping[int, str | None]
) -> dict[str, Any]:
    """A row with the name of its asset, and the place of its baseline, for their numbers."""
    asset = alarms.get(row["alert_id"]) if "alert_id" in row else names.get(row.get("asset_id", 0))
    named = {**row, "asset": asset, "baseline": numbers.get(row.get("baseline_id", -1))}
    if "sealed" in row:
        named["sealed_digest"] = _digest(row["sealed"]) if row["sealed"] is not None else ""
    return named


def _digest(text: str) -> str:
    try:
        return sha256(text.encode()).hexdigest()
    except ValueError:  # half a surrogate pair
        return ""


def _differences(table: str, said: Sequence[Row], found: Sequence[Row], fields: tuple[str, ...]) -> Iterator[Flaw]:
    """Where the rows of a table are not what they were said to be; where some are missing or too many, the first."""
    for place, (one, other) in enumerate(zip_longest(said, found)):
        why = _difference(table, one, other, fields)
        if not why:
            continue
        if len(found) > len(said) and _are_same(said[place : place + 1], found[place + 1 : place + 2], fields):
            why = f"no entry speaks of {_word(table)} {other.get('id')}: it was put in from outside"
            yield Flaw(None, why)
        else:
            yield Flaw(one["entry"] if one else None, why)
        if len(found) != len(said):
            return


def _are_same(said: Sequence[Row], found: Sequence[Row], fields: tuple[str, ...]) -> bool:
    return len(said) == len(found) and all(
        _value(one.get(name)) == _value(other.get(name))
        for one, other in zip(said, found, strict=True)
        for name in fields
    )


def _difference(table: str, said: Row | None, found: Row | None, fields: tuple[str, ...]) -> str:
    if found is None:
        return f"the {_word(table)} that it speaks of is missing"
    if said is None:
        return f"no entry speaks of {_word(table)} {found.get('id')}: it was put in from outside"
    for name in fields:
        if _value(said.get(name)) != _value(found.get(name)):
            what = f"{name} of {_word(table)} {found.get('id')}"
            return f"it says that {what} is {said.get(name)!r}; stored is {found.get(name)!r}"
    return ""


def _value(value: Any) -> tuple[type, Any]:
    """So that 1 is not true."""
    return type(value), value


def _word(table: str) -> str:
    return table.replace("_", " ")


LIFE = ("out_until", "out_by", "out_reason", "retired_at")
BASELINE = (
    "asset", "digest", "state", "stage", "profile", "proposed_by", "proposed_at", "decided_by", "decided_at", "reason",
    "ticket", "capture", "origin",
)  # fmt: skip
COMPARED: dict[str, tuple[str, ...]] = {
    "baseline": BASELINE,
    "sign_off": ("baseline", "by", "role", "at", "reason", "ticket"),
    "person": ("name", "roles", "public_key", "sealed_digest", "removed_at"),
    "change_order": (
        "id", "ticket", "reason", "starts_at", "ends_at", "state", "opened_by", "opened_at", "closed_by", "closed_at",
    ),
    "expectation": ("order_id", "asset", "item", "expected", "observed", "outcome"),
    "excess": ("order_id", "asset", "item", "approved", "observed"),
    "artefact": ("baseline", "digest", "name", "kind", "size", "added_by", "added_at"),
    "alert_move": ("alert_id", "asset", "at", "event", "by", "reason"),
}  # fmt: skip
NEEDED: dict[str, tuple[str, ...]] = {  # the columns of each table that are looked at
    "checkpoint": (*SIGNED, "signature"),
    "asset": ("id", "name", *LIFE),
    "baseline": ("id", "asset_id", *(name for name in BASELINE if name != "asset")),
    "sign_off": ("id", "baseline_id", "by", "role", "at", "reason", "ticket"),
    "person": ("id", "name", "roles", "public_key", "sealed", "removed_at"),
    "change_order": COMPARED["change_order"],
    "expectation": ("id", "order_id", "asset_id", "item", "expected", "observed", "outcome"),
    "excess": ("id", "order_id", "asset_id", "item", "approved", "observed"),
    "artefact": ("id", "baseline_id", "digest", "name", "kind", "size", "added_by", "added_at"),
    "alert": ("id", "asset_id", "state", "acknowledged_by", "shelved_until", "reason", *CASE),
    "alert_move": ("id", "alert_id", "at", "event", "before", "after", "by", "reason"),
    "document": ("digest", "text"),
    "run": ("id", "digest"),
    "snapshot": ("digest", "text"),
}


def _propose(replay: Replay, entry: Row, detail: Row) -> None:
    _supersede(replay, entry, "proposed")
    replay.add(
        "baseline",
        dict(entry),
        asset=entry["subject"],
        digest=detail["digest"],
        state="proposed",
        stage=detail["stage"],
        profile=detail["profile"],
        proposed_by=entry["actor"],
        proposed_at=entry["at"],
        decided_by=None,
        decided_at=None,
        reason=detail["reason"],
        ticket=detail.get("ticket") or None,
        capture=detail.get("capture") or None,
        origin=None,
    )


def _supersede(replay: Replay, entry: Row, state: str) -> None:
    if row := replay.current(entry["subject"], state):
        row.update(state="superseded", entry=entry["id"])


def _proposed(replay: Replay, entry: Row, digest: str) -> dict[str, Any]:
    row = replay.current(entry["subject"], "proposed")
    if row is None or row["digest"] != digest:
        raise ValueError("there is no such proposal")
    return row


def _amend(replay: Replay, entry: Row, detail: Row) -> None:
    """Another proposal in the place of one, by the same person at the same time, for the approver took a part of it."""
    row = _proposed(replay, entry, detail["of"])
    changed = {**row, "digest": detail["digest"], "capture": detail.get("capture") or row["capture"]}
    row.update(state="superseded", entry=entry["id"])
    replay.add("baseline", dict(entry), **{key: value for key, value in changed.items() if key != "entry"})


def _sign(replay: Replay, entry: Row, detail: Row) -> None:
    row = _proposed(replay, entry, detail["digest"])
    replay.add(
        "sign_off",
        dict(entry),
        baseline=row["number"],
        by=entry["actor"],
        role=detail["role"],
        at=entry["at"],
        reason=detail["reason"],
        ticket=detail["ticket"],
    )


def _decide(replay: Replay, entry: Row, detail: Row, state: str) -> None:
    row = _proposed(replay, entry, detail["digest"])
    row.update(
        state=state,
        decided_by=entry["actor"],
        decided_at=entry["at"],
        reason=detail["reason"] or row["reason"],
        ticket=detail.get("ticket") or row["ticket"],
        entry=entry["id"],
    )


def _approve(replay: Replay, entry: Row, detail: Row) -> None:
    if "role" in detail:  # sign-offs came with schema 3
        _sign(replay, entry, detail)
    _supersede(replay, entry, "approved")
    _decide(replay, entry, detail, "approved")


def _reject(replay: Replay, entry: Row, detail: Row) -> None:
    _decide(replay, entry, detail, "rejected")


def _import(replay: Replay, entry: Row, detail: Row) -> None:
    """What was decided elsewhere, as history, with the words that were given for it. What of it is proposed here has an
    entry of its own."""
    for said in json.loads(detail["baselines"]):
        values = {name: said[name] for name in BASELINE if name not in ("asset", "origin")}
        replay.add("baseline", dict(entry), **values, asset=entry["subject"], origin=detail["origin"])
        number = len(replay.rows("baseline")) - 1
        for word in said["signed"]:
            values = {name: word[name] for name in ("by", "role", "at", "reason", "ticket")}
            replay.add("sign_off", dict(entry), baseline=number, **values)


def _rename(replay: Replay, entry: Row, detail: Row) -> None:
    for rows in replay.made.values():
        for row in rows:
            if row.get("asset") == entry["subject"]:
                row["asset"] = detail["to"]
    replay.lives[detail["to"]] = {**replay.lives.pop(entry["subject"], {}), "entry": entry["id"]}


def _out(replay: Replay, entry: Row, detail: Row) -> None:
    replay.live(entry, out_until=detail["until"], out_by=entry["actor"], out_reason=detail["reason"])


def _in(replay: Replay, entry: Row, detail: Row) -> None:
    replay.live(entry, out_until=None, out_by=None, out_reason=None)


def _retire(replay: Replay, entry: Row, detail: Row) -> None:
    """Its open proposal gives way, and its open alarms end."""
    _supersede(replay, entry, "proposed")
    replay.live(entry, retired_at=entry["at"])
    for number in detail["alerts"].split():
        _moved("retire")(replay, entry, {"alert": number, "reason": detail["reason"]})


def _return(replay: Replay, entry: Row, detail: Row) -> None:
    replay.live(entry, retired_at=None)


def _new_key(replay: Replay, entry: Row, detail: Row) -> None:
    replay.keys.append((entry["id"], detail["public_key"], entry["action"]))


def _restore(replay: Replay, entry: Row, detail: Row) -> None:
    replay.restored.append((entry["id"], int(detail["entries"]), detail["head"]))


def _configure(replay: Replay, entry: Row, detail: Row) -> None:
    replay.named.append((entry["id"], detail["digest"]))


def _assure_may(replay: Replay, entry: Row, roles: str) -> None:
    """Who is registered is said by who signs already: an admin, once there is one. Others change only their own key."""
    known = replay.registered()
    if not known:
        return
    if "signature" not in entry["detail"]:
        raise ValueError("whoever is registered already has to sign for it")
    admins = [row["name"] for row in known if ADMIN in row["roles"].split()]
    own = [row for row in known if row["name"] == entry["actor"] == entry["subject"]]
    if admins and entry["actor"] not in admins and not (own and set(roles.split()) <= set(own[0]["roles"].split())):
        raise ValueError(f"{entry['actor']} is no admin")


def _person(replay: Replay, entry: Row, detail: Row) -> None:
    _assure_may(replay, entry, detail["roles"])
    values = {name: detail[name] for name in ("roles", "public_key", "sealed_digest")} | {"removed_at": None}
    known = [row for row in replay.rows("person") if row["name"] == entry["subject"]]
    if known:
        known[0].update(values, entry=entry["id"])
    else:
        replay.add("person", dict(entry), name=entry["subject"], **values)


def _person_removed(replay: Replay, entry: Row, detail: Row) -> None:
    _assure_may(replay, entry, "")
    known = [row for row in replay.registered() if row["name"] == entry["subject"]]
    known[0].update(removed_at=entry["at"], entry=entry["id"])


def _open(replay: Replay, entry: Row, detail: Row) -> None:
    number = int(detail["order"])
    order = replay.add(
        "change_order",
        dict(entry),
        id=number,
        ticket=detail["ticket"],
        reason=detail["reason"],
        starts_at=detail["from"],
        ends_at=detail["until"],
        state="open",
        opened_by=entry["actor"],
        opened_at=entry["at"],
        closed_by=None,
        closed_at=None,
    )
    replay.orders[number] = order, []
    for each in json.loads(detail["expectations"]):
        expected = {"expected": json.dumps(each["expected"]), "observed": None, "outcome": None}
        said = {"order_id": number, "asset": each["asset"], "item": each["item"], **expected}
        replay.orders[number][1].append(replay.add("expectation", dict(entry), **said))


def _close(replay: Replay, entry: Row, detail: Row) -> None:
    number = int(detail["order"])
    order, lines = replay.orders[number]
    if order["state"] != "open":
        raise ValueError(f"order {number} is closed already")
    order.update(state="closed", closed_by=entry["actor"], closed_at=entry["at"], entry=entry["id"])
    for row, each in zip(lines, json.loads(detail["expectations"]), strict=True):
        row.update(observed=json.dumps(each["observed"]), outcome=each["outcome"], entry=entry["id"])
    for each in json.loads(detail["excess"]):
        values = {"approved": json.dumps(each["approved"]), "observed": json.dumps(each["observed"])}
        replay.add("excess", dict(entry), order_id=number, asset=each["asset"], item=each["item"], **values)


def _artefact(replay: Replay, entry: Row, detail: Row) -> None:
    row = replay.current(entry["subject"], detail["state"])
    if row is None or row["digest"] != detail["baseline"]:
        raise ValueError("there is no such baseline")
    replay.add(
        "artefact",
        dict(entry),
        baseline=row["number"],
        digest=detail["digest"],
        name=detail["name"],
        kind=detail["kind"],
        size=int(detail["size"]),
        added_by=entry["actor"],
        added_at=entry["at"],
    )


def _moved(event: str) -> Callable[[Replay, Row, Row], None]:
    def step(replay: Replay, entry: Row, detail: Row) -> None:
        said = {"alert_id": int(detail["alert"]), "asset": entry["subject"], "event": event}
        said |= {"reason": detail["reason"], "until": detail.get("until")}
        replay.add("alert_move", dict(entry), at=entry["at"], by=entry["actor"], **said)

    return step


def _close_case(replay: Replay, entry: Row, detail: Row) -> None:
    said = {"cause": detail["cause"], "prevention": detail["prevention"]}
    replay.cases[int(detail["alert"])] = said | {"closed_by": entry["actor"], "closed_at": entry["at"]}


STEPS: dict[str, Callable[[Replay, Row, Row], None]] = {  # what an entry makes; all others make nothing
    "baseline.propose": _propose,
    "baseline.amend": _amend,
    "baseline.sign": _sign,
    "baseline.approve": _approve,
    "baseline.reject": _reject,
    "baseline.import": _import,
    "asset.rename": _rename,
    "key.add": _new_key,
    "key.rotate": _new_key,
    "configuration.change": _configure,
    "store.restore": _restore,
    "asset.out-of-service": _out,
    "asset.in-service": _in,
    "asset.retire": _retire,
    "asset.return": _return,
    "person.add": _person,
    "person.change": _person,
    "person.remove": _person_removed,
    "change.open": _open,
    "change.close": _close,
    "artefact.add": _artefact,
    "alert.acknowledge": _moved("acknowledge"),
    "alert.shelve": _moved("shelve"),
    "alert.close": _close_case,
}
NAMED = {"capture": "document", "digest": "snapshot"}  # what a baseline names by its digest


def _contents(tables: Mapping[str, Iterable[Row]], replay: Replay, result: Result) -> Iterator[Flaw]:
    """Whether what is named by its digest is there, and has it."""
    named = {digest: entry for entry, digest in reversed(replay.named)}
    for said in reversed(replay.rows("baseline")):
        named |= {said[column]: said["entry"] for column in NAMED if said[column] is not None}
    there: dict[str, set[str]] = {}
    last: dict[str, int] = {}  # snapshots that a capture ended with, and the entry that speaks of it
    captures = {said["capture"]: said["entry"] for said in replay.rows("baseline") if said["capture"] is not None}
    for table in ("document", "snapshot"):
        if table not in tables:
            continue
        there[table] = set()
        for row in _sound(tables, table, result):
            digest = row["digest"] or ""
            if digest in there[table]:
                yield Flaw(named.get(digest), f"the {table} {digest[:12]} is there twice")
            there[table].add(digest)
            if _digest(row["text"] or "") != digest:
                yield Flaw(named.get(digest), f"the {table} {digest[:12]} is not what its digest was taken over")
            elif digest in captures and (snapshot := _last_of(row["text"])):
                last[snapshot] = captures[digest]
    yield from _missing(there, replay, last)
    if "snapshot" in there:
        for row in _sound(tables, "run", result):
            if row["digest"] is not None and row["digest"] not in there["snapshot"]:
                yield Flaw(None, f"run {row['id']} was of snapshot {row['digest'][:12]}, which is missing")


def _last_of(capture: str) -> str | None:
    """The snapshot with which a capture ended."""
    try:
        return str(json.loads(capture)["last"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _missing(there: Mapping[str, set[str]], replay: Replay, last: Mapping[str, int]) -> Iterator[Flaw]:
    wanted = [(entry, "document", digest) for entry, digest in replay.named]
    wanted += [(entry, "snapshot", digest) for digest, entry in last.items()]
    for said in replay.rows("baseline"):
        wanted += [(said["entry"], table, said[column]) for column, table in NAMED.items() if said[column] is not None]
    for entry, table, digest in wanted:
        if table in there and digest not in there[table]:
            yield Flaw(entry, f"the {table} {digest[:12]} that it speaks of is missing")


def open_store(path: Path) -> sqlite3.Connection:
    """A store (SQLite), to be read without changing it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def read_store(store: sqlite3.Connection) -> dict[str, Iterable[Row]]:
    """The evidence in a store, of one moment; a table that is not there has no rows."""
    store.row_factory = sqlite3.Row
    store.text_factory = lambda data: data.decode(errors="surrogateescape")
    store.execute("BEGIN")
    there = {row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {table: _stored(store, table) if table in there else () for table in TABLES}


def _stored(store: sqlite3.Connection, table: str) -> Iterator[Row]:
    for row in store.execute(f"SELECT * FROM {table} ORDER BY 1"):
        yield dict(row)


def read_lines(path: Path) -> dict[str, Iterable[Row]]:
    """The evidence that was exported: a line for each row, {"table": …, "row": {…}}; ValueError for another line."""
    tables: dict[str, list[Row]] = {table: [] for table in TABLES}
    with path.open(encoding="utf-8") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            try:
                said = json.loads(line)
                tables.setdefault(said["table"], []).append(dict(said["row"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ValueError(f"line {number} is no row of evidence") from None
    return dict(tables)


def read_checkpoints(path: Path, last: int | None = None) -> Iterator[Row]:
    """The checkpoints in a file, one a line; of a log that syslog wrote, whatever is behind the first brace.

    What other programs wrote into such a log is passed over; a file that begins with a checkpoint has nothing else.
    What should be a checkpoint, and is none, is given as {"line": …}. With `last` only so many bytes at the end are
    read.
    """
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        only_ours = False
        if last is not None and path.stat().st_size > last:
            file.seek(path.stat().st_size - last)
            file.readline(LONGEST_LINE)  # the rest of one
        while line := file.readline(LONGEST_LINE):
            at = line.find("{")
            only_ours = only_ours or at == 0
            if line.strip() and (only_ours or any(mark in line for mark in OF_A_CHECKPOINT)):
                yield _checkpoint(line[max(at, 0) :].rstrip("\r\n"))


def _checkpoint(text: str) -> Row:
    try:
        row = json.loads(text)
        if isinstance(row, dict) and _is_whole(row) and line_of(row) == text:
            return row
    except (ValueError, RecursionError):
        pass
    return {"line": text}


def main(arguments: list[str] | None = None) -> int:
    """0 if the evidence verifies, 4 if it does not, 2 if it cannot be read."""
    parser = argparse.ArgumentParser(description="Verify the evidence of a plant.")
    parser.add_argument("evidence", type=Path, help="a store (SQLite), or what asbuilt verify --export wrote")
    parser.add_argument("--checkpoints", type=Path, action="append", default=[], help="checkpoints kept outside of it")
    parser.add_argument("--key", help="the public key that the chain begins with, in hexadecimal, if you know it")
    options = parser.parse_args(arguments)
    try:  # first what is kept outside: a decision meanwhile is in the store before it is there
        outside = [row for path in options.checkpoints for row in read_checkpoints(path)]
        with options.evidence.open("rb") as file:
            is_store = file.read(16) == b"SQLite format 3\0"
        if is_store:
            with closing(open_store(options.evidence)) as store:
                result = verify(read_store(store), outside, options.key)
        else:
            result = verify(read_lines(options.evidence), outside, options.key)
    except (OSError, ValueError, sqlite3.Error, OverflowError, MemoryError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    for flaw in sorted(result.flaws, key=_place):
        _say(f"entry {flaw.entry}: {flaw.why}" if flaw.entry is not None else flaw.why)
    _say(f"{result.entries} entries, {result.checkpoints} checkpoints: {'do not verify' if result.flaws else 'verify'}")
    if result.uncovered:
        _say(f"{result.uncovered} entries are under no checkpoint from outside: their loss would not be noticed")
    for key in result.keys:
        _say(f"key {key}")
    return 4 if result.flaws else 0


def _say(text: str) -> None:
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
