"""Verifies the evidence of a plant: stands alone, and needs Python 3.9, nothing of asbuilt and no network.

    python verifier.py [EVIDENCE] [--checkpoints FILE]... [--key HEX]

EVIDENCE is an evidence pack (a zip, or the folder that it was unpacked into; the one that this file is in if nothing is
named), a store (SQLite), or what `asbuilt verify --export` wrote. What is verified, and how a verifier of your own
would do it, is in docs/evidence.md: the chain of audit entries, the signatures of persons in it, the signed
checkpoints, and that every baseline, sign-off, order, person and artefact is what the chain says it is. What a pack is
on top of that is in docs/pack.md.

Signatures are checked by `cryptography` where it is installed, and else by what is in this file, which takes longer.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import sqlite3
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256, sha512
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, BinaryIO

if sys.version_info < (3, 9):  # noqa: UP036  (asbuilt needs a newer one; whoever verifies may have an older one)
    print("this needs Python 3.9 or newer; here it is " + sys.version.split()[0], file=sys.stderr)
    sys.exit(2)

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
INSTEAD = {"sealed": "sealed_digest"}  # an export has no private keys, not even sealed ones
ADMIN = "admin"  # the role that says who is registered, once somebody has it


@dataclass(frozen=True)
class Flaw:
    """Something that does not verify: at which entry (None where no entry speaks of it), and why."""

    entry: int | None
    why: str

    def __post_init__(self) -> None:
        """What was found may hold anything, also what a terminal would obey."""
        object.__setattr__(self, "why", _shown(self.why))


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


@dataclass
class Result:
    """What verifying came to. `covered` is the last entry under a checkpoint that was kept outside; the loss of the
    `uncovered` ones behind it would not be noticed. `signed` is how many entries a person signed."""

    entries: int = 0
    signed: int = 0
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
    if not (isinstance(key, str) and KEY.fullmatch(key) and is_canonical(bytes.fromhex(key))):
        return False
    if not (isinstance(signature, str) and SIGNATURE_FORM.fullmatch(signature)):
        return False
    return signed_by(bytes.fromhex(key), bytes.fromhex(signature), statement)


# Ed25519 (RFC 8032). Nothing here is secret, so nothing has to take the same time.

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME  # d
ROOT = pow(2, (PRIME - 1) // 4, PRIME)  # of -1
BASE = (4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little")
Point = tuple[int, int, int, int]  # X, Y, Z, T: x = X / Z, y = Y / Z, x * y = T / Z
NEUTRAL: Point = (0, 1, 1, 0)


def is_canonical(key: bytes) -> bool:
    """Whether this is how a point is written, if it is one (5.1.3). OpenSSL takes it for one also if it is not; then
    one key could be written in two ways."""
    number = int.from_bytes(key, "little")
    height = number % 2**255
    return height < PRIME and not (number >> 255 and height in (1, PRIME - 1))  # of x = 0 there is no odd one


def _by_library() -> Callable[[bytes, bytes, bytes], bool] | None:
    """Signatures by `cryptography`, many times as fast; None where it is not installed."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return None

    def check(key: bytes, signature: bytes, statement: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
        except (InvalidSignature, ValueError):
            return False
        return True

    return check


def ed25519(key: bytes, signature: bytes, statement: bytes) -> bool:
    """5.1.7, without the cofactor, as OpenSSL does: whether R is [S]B - [k]A."""
    known, base = _multiples(key, True), _multiples(BASE, False)
    scalar = int.from_bytes(signature[32:], "little")
    if known is None or base is None or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + key + statement).digest(), "little") % ORDER
    found = NEUTRAL
    for number, rows in ((scalar, base), (challenge, known)):
        for row in rows:
            found = _sum(found, row[number & 15])
            number >>= 4
    inverse = pow(found[2], -1, PRIME)
    x, y = found[0] * inverse % PRIME, found[1] * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


@lru_cache(maxsize=64)  # 0.4 MB each; most signatures of a plant are of a few keys
def _multiples(key: bytes, negative: bool) -> list[list[Point]] | None:
    """Of a point, or of its opposite, j * 16^i times it by i and j, ready for `_sum`: any multiple of it is then a sum
    of 64 of these. None if the key is no point."""
    point = _point(key)
    if point is None:
        return None
    if negative:
        point = -point[0] % PRIME, point[1], 1, -point[3] % PRIME
    rows = []
    for _ in range(64):
        row, multiple, step = [], NEUTRAL, _ready(point)
        for _ in range(16):
            row.append(_ready(multiple))
            multiple = _sum(multiple, step)
        rows.append(row)
        point = multiple
    return rows


def _point(key: bytes) -> Point | None:
    """5.1.3; None if it is no point."""
    if len(key) != 32 or not is_canonical(key):
        return None
    number = int.from_bytes(key, "little")
    y = number % 2**255
    over, under = (y * y - 1) % PRIME, (CURVE * y * y + 1) % PRIME
    x = over * pow(under, 3, PRIME) * pow(over * pow(under, 7, PRIME), (PRIME - 5) // 8, PRIME) % PRIME
    if (under * x * x + over) % PRIME == 0:
        x = x * ROOT % PRIME
    if (under * x * x - over) % PRIME:
        return None
    if x & 1 != number >> 255:
        x = -x % PRIME
    return x, y, 1, x * y % PRIME


def _ready(point: Point) -> Point:
    x, y, z, t = point
    return (y - x) % PRIME, (y + x) % PRIME, 2 * CURVE * t % PRIME, 2 * z % PRIME


def _sum(one: Point, other: Point) -> Point:
    """5.1.4: of a point and one that is ready for it. It holds for any two."""
    x, y, z, t = one
    minus, plus, twisted, doubled = other
    a, b, c, d = (y - x) * minus % PRIME, (y + x) * plus % PRIME, t * twisted % PRIME, z * doubled % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


signed_by = _by_library() or ed25519


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
    result.signed = replay.signed
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
            value = row.get(name, row.get(INSTEAD.get(name, ""), b""))
            if type(value) is not int if name in NUMBERS else not isinstance(value, (str, type(None))):
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
    return any(key == known and start <= number <= ends[place] for place, (start, known, _) in enumerate(keys))


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
    signed: int = 0  # entries that a person signed

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
        else:
            self.signed += 1

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
        named["sealed_digest"] = digest_of(row["sealed"]) if row["sealed"] is not None else ""
    return named


def digest_of(text: str) -> str:
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
        _value(one.get(name)) == _value(found[place].get(name)) for place, one in enumerate(said) for name in fields
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
    said = json.loads(detail["expectations"])
    if len(said) != len(lines):
        raise ValueError(f"order {number} has {len(lines)} expectations")
    for row, each in zip(lines, said):  # noqa: B905  (strict came with Python 3.10)
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
            if digest_of(row["text"] or "") != digest:
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
    with path.open(encoding="utf-8") as file:
        return _tables(file)


def _tables(file: IO[str], most: int = sys.maxsize) -> dict[str, Iterable[Row]]:
    tables: dict[str, list[Row]] = {table: [] for table in TABLES}
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if number > most:
            raise ValueError(f"it holds more than {most} rows")
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
        if last is not None and path.stat().st_size > last:
            file.seek(path.stat().st_size - last)
            file.readline(LONGEST_LINE)  # the rest of one
        yield from _checkpoints(file)


def _checkpoints(file: IO[str]) -> Iterator[Row]:
    only_ours = False
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


# Evidence packs: docs/pack.md

MANIFEST, SEAL, KEY_FILE = "MANIFEST", "MANIFEST.sig", "KEY.pem"
EVIDENCE, CHECKPOINTS, ITSELF = "evidence.jsonl", "checkpoints.jsonl", "verify.py"
PAPER, PAGE, REPORT, DATA = "report.pdf", "report.html", "report.json", "data/"
IN_A_PACK = (MANIFEST, SEAL, KEY_FILE, EVIDENCE, CHECKPOINTS, PAPER, PAGE, REPORT, ITSELF)
ABOUT = ("title", "plant", "until")  # of a report
LISTED = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._%~/-]+)")  # a line of sha256sum
PART = re.compile(r"[A-Za-z0-9._%~-]*[A-Za-z0-9_%~-]")  # of a name, between slashes: one file on every system
LONGEST_NAME, MOST_FILES = 400, 10_000
LARGEST = 16 * 2**30  # bytes, of all files of a pack
BOUNDS = {  # bytes, of what is read as a whole: several times what a plant of 10,000 assets makes in twenty years
    MANIFEST: 2**23,
    SEAL: 64,
    KEY_FILE: 1000,
    REPORT: 2**28,
    PAGE: 2**28,
    EVIDENCE: 2**30,
    CHECKPOINTS: 2**28,
}
MOST_ROWS = 5_000_000  # of evidence
PIECE = 2**20  # bytes
SPKI = bytes.fromhex("302a300506032b6570032100")  # what stands before an Ed25519 key (RFC 8410, 4)
PEM = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"
LOCAL = struct.Struct("<4s5H3I2H")  # APPNOTE 6.3.10, 4.3.7: what stands before a file in a zip
ZIP_END = struct.Struct("<4s4H2IH")  # 4.3.16: the end of a zip
ZIP_LONG = struct.Struct("<2H2Q")  # 4.5.3: its sizes, where they may be long
BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    UnicodeError,
    OverflowError,
)


class NoPack(Exception):
    """Something is no pack as asbuilt writes it, and what it says is not read any further."""


def pem(key: str) -> str:
    """A public key as PEM (RFC 8410)."""
    return PEM.format(base64.b64encode(SPKI + bytes.fromhex(key)).decode())


def key_in(written: bytes) -> str | None:
    """The public key, in hexadecimal, that is written so; None if it is not as `pem` writes it."""
    try:
        key = base64.b64decode(written.split(b"\n")[1])[len(SPKI) :].hex()
    except (ValueError, IndexError):
        return None
    return key if KEY.fullmatch(key) and pem(key).encode() == written else None


def listed_in(manifest: bytes) -> dict[str, str]:
    """The SHA-256 of each file that MANIFEST lists, by name; ValueError for another line."""
    listed: dict[str, str] = {}
    for number, line in enumerate(manifest.decode("utf-8", "replace").splitlines(), 1):
        match = LISTED.fullmatch(line)
        if match is None or match[2] in listed:
            raise ValueError(f"{MANIFEST} line {number} is no line of sha256sum, or is there twice")
        listed[match[2]] = match[1]
    return listed


class Folder:
    """A pack that was unpacked: `sizes` of its files, by name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sizes: dict[str, int] = {}
        for place, folders, files in os.walk(path, onerror=_stop):
            for each in (*folders, *files):
                name = Path(place, each).relative_to(path).as_posix()
                found = os.lstat(os.path.join(place, each))
                if not stat.S_ISREG(found.st_mode) and not (each in folders and stat.S_ISDIR(found.st_mode)):
                    raise NoPack(f"{name} is a link, or no file")
                if each in files:
                    self.sizes[name] = found.st_size
            if len(self.sizes) > MOST_FILES:
                break
        _assure_bounded(self.sizes)

    def open(self, name: str) -> IO[bytes]:
        return self._path.joinpath(*name.split("/")).open("rb")


def _stop(error: OSError) -> None:
    raise error


class Zip:
    """A pack as it was made, if it is laid out just so: whatever two programs could read differently is refused, for
    who verifies with one may read the report with another."""

    def __init__(self, file: BinaryIO) -> None:
        start = _directory_of(file)
        self._packed = zipfile.ZipFile(file)
        found = self._packed.infolist()
        self.sizes = {each.orig_filename: each.file_size for each in found}
        if len(self.sizes) < len(found):
            names = [each.orig_filename for each in found]
            raise NoPack(f"{max(names, key=names.count)!r} is in it twice")
        _assure_bounded(self.sizes)
        at = 0
        for each in found:
            at = _next_of(file, at, each)
        if at != start:
            raise NoPack("something lies hidden between its files")

    def open(self, name: str) -> IO[bytes]:
        return self._packed.open(name)


def _directory_of(file: BinaryIO) -> int:
    """Where the directory of a zip begins, which ends with the file and is not long."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - ZIP_END.size))
    end = file.read()
    mark, disk, first, here, count, length, start, comment = ZIP_END.unpack(end.rjust(ZIP_END.size, b"\0"))
    if mark != b"PK\5\6" or comment or disk or first or here != count or start + length + ZIP_END.size != size:
        raise NoPack(
            "it does not end as asbuilt ends a pack: it was cut, or something was added (if another program packed it,"
            " unpack it and verify the folder)"
        )
    if count > MOST_FILES or length > MOST_FILES * (LONGEST_NAME + 100):
        raise NoPack(f"it holds more than {MOST_FILES} files")
    return int(start)


def _next_of(file: BinaryIO, at: int, each: zipfile.ZipInfo) -> int:
    """Where a file in a zip ends, which begins here, and of which both places that speak of it say the same."""
    name = each.orig_filename
    if each.flag_bits & 1:
        raise NoPack(f"{name} is encrypted")
    if stat.S_ISLNK(each.external_attr >> 16):
        raise NoPack(f"{name} is a link")
    if each.header_offset != at:
        raise NoPack(f"something lies hidden before {name}")
    file.seek(at)
    mark, _, flags, method, _, _, crc, packed, size, length, more = LOCAL.unpack(file.read(LOCAL.size))
    said, extra = file.read(length), file.read(more)
    if len(extra) == ZIP_LONG.size and packed == size == 2**32 - 1:
        kind, rest, size, packed = ZIP_LONG.unpack(extra)
        extra = b"" if (kind, rest) == (1, 16) else extra
    of_it = (b"PK\3\4", name.encode(), each.flag_bits, each.compress_type, each.CRC, each.compress_size, each.file_size)
    if (mark, said, flags, method, crc, packed, size) != of_it or extra or flags or (each.extra and size < 2**31):
        raise NoPack(f"what the zip says of {name} is not the same in both places, or not as asbuilt writes it")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NoPack(f"{name} is packed in a way that asbuilt does not pack")
    return at + LOCAL.size + int(length) + int(more) + int(packed)


def _assure_bounded(sizes: Mapping[str, int]) -> None:
    spelled: set[str] = set()
    for name in sizes:
        if len(name) > LONGEST_NAME or not all(PART.fullmatch(part) for part in name.split("/")):
            raise NoPack(f"{name[:LONGEST_NAME]!r} is no name of a file in a pack")
        if name.lower() in spelled:
            raise NoPack(f"{name} is there twice, for systems that take A for a")
        spelled.add(name.lower())
    if len(sizes) > MOST_FILES or sum(sizes.values()) > LARGEST:
        raise NoPack(f"it holds more than {MOST_FILES} files, or more than {LARGEST // 2**30} GB: it is no pack")


@dataclass
class Account:
    """What verifying a pack came to, in sentences: what holds, what does not, and what cannot be known from it."""

    holds: list[str] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Pack:
    """A pack that is verified."""

    def __init__(self, files: Folder | Zip, outside: Iterable[Row], trusted: str | None, account: Account) -> None:
        self._files, self._outside, self._trusted = files, list(outside), trusted
        self._holds, self._flaws, self._unknown = account.holds, account.flaws, account.unknown
        self._listed: dict[str, str] = {}
        self._key = ""  # that signed

    def verify(self) -> None:
        for name, most in BOUNDS.items():
            if self._files.sizes.get(name, 0) > most:
                raise NoPack(f"{name} is larger than in any pack: {self._files.sizes[name]} bytes")
        missing = [name for name in IN_A_PACK if name not in self._files.sizes]
        self._flaws += [f"{name} is missing" for name in missing]
        if MANIFEST in missing:
            return
        self._seal()
        self._contents()
        report = self._report() if REPORT not in missing else {}
        if EVIDENCE not in missing and CHECKPOINTS not in missing:
            self._chain(report)

    def _whole(self, name: str) -> bytes:
        """A file; b"" if it is not there."""
        if name not in self._files.sizes:
            return b""
        try:
            with self._files.open(name) as file:
                return file.read(self._files.sizes[name])
        except BROKEN_ZIP as error:
            raise NoPack(f"{name} was changed: it cannot be unpacked ({error})") from None

    def _seal(self) -> None:
        """MANIFEST is signed, by the key that is there."""
        manifest = self._whole(MANIFEST)
        try:
            self._listed = listed_in(manifest)
        except ValueError as error:
            self._flaws.append(str(error))
        key = key_in(self._whole(KEY_FILE))
        if key is None:
            self._flaws.append(f"{KEY_FILE} is no Ed25519 public key as asbuilt writes it")
        elif not is_signed(key, self._whole(SEAL).hex(), manifest):
            self._flaws.append(f"{MANIFEST} is not signed by the key in {KEY_FILE}: {MANIFEST} or {SEAL} was changed")
        else:
            self._key = key
            self._holds.append(f"{MANIFEST} is signed with the key {key}")

    def _contents(self) -> None:
        """Each file is listed, and is what the list says."""
        wrong = len(self._flaws)
        for name in sorted({*self._listed, *self._files.sizes} - {MANIFEST, SEAL}):
            if name not in self._files.sizes:
                self._flaws += [f"{name} is missing"] if name not in IN_A_PACK else []
            elif name not in self._listed:
                self._flaws.append(f"{name} is not of this pack: {MANIFEST} does not name it")
            elif self._digest(name) != self._listed[name]:
                self._flaws.append(f"{name} was changed: it is not what {MANIFEST} says")
        if len(self._flaws) == wrong:
            self._holds.append(f"{len(self._listed)} files: each is what {MANIFEST} says, and no other is there")

    def _digest(self, name: str) -> str:
        """The SHA-256 of a file, or why there is none."""
        found, left = sha256(), self._files.sizes[name]
        try:
            with self._files.open(name) as file:
                while piece := file.read(min(PIECE, left + 1)):
                    left -= len(piece)
                    found.update(piece)
                    if left < 0:
                        break
        except BROKEN_ZIP as error:
            return str(error)
        return found.hexdigest() if left == 0 else "its size is another"

    def _report(self) -> Row:
        """What the report says of itself; {} if that cannot be read. The annexes that are here are its own."""
        try:
            report = json.loads(self._whole(REPORT))
            named = {f"{DATA}{key}.csv" for key in report["tables"]}
            said = {"title": report["title"], "plant": report["plant"], "until": report["until"], **report["chain"]}
            said = {name: (int if name == "entries" else str)(said[name]) for name in (*ABOUT, "entries", "head")}
            page = self._whole(PAGE)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            self._flaws.append(f"{REPORT} is no report as asbuilt writes it")
            return {}
        except NoPack as error:
            self._flaws.append(str(error))
            return {}
        wrong = len(self._flaws)
        there = {name for name in self._files.sizes if name.startswith(DATA)}
        self._flaws += [f"{name} is an annex of the report, and is missing" for name in sorted(named - there)]
        self._flaws += [f"{name} is no annex of the report" for name in sorted(there - named)]
        for name in sorted(there & named):
            if _printed(page, name[len(DATA) :]) != {self._listed.get(name, "")}:
                self._flaws.append(f"{name} is not the annex whose SHA-256 is printed in {PAGE}")
        if len(self._flaws) == wrong:
            self._holds.append(
                f"{len(there)} annexes: all that the report has, each with the SHA-256 printed in {PAGE}"
            )
        return said

    def _chain(self, report: Row) -> None:
        """The evidence verifies, it is of the one who signed, and the report is of it."""
        try:
            with io.TextIOWrapper(self._files.open(EVIDENCE), encoding="utf-8") as file:
                tables = _tables(file, MOST_ROWS)
            with io.TextIOWrapper(
                self._files.open(CHECKPOINTS), encoding="utf-8", errors="replace", newline="\n"
            ) as file:
                kept = list(_checkpoints(file))
        except (ValueError, *BROKEN_ZIP) as error:
            self._flaws.append(f"{EVIDENCE} or {CHECKPOINTS} cannot be read: {error}")
            return
        result = verify(tables, [*kept, *self._outside], self._trusted)
        for flaw in sorted(result.flaws, key=_place):
            self._flaws.append(f"{EVIDENCE}: " + _sentence(flaw))
        self._is_of_the_report(list(tables.get("audit_entry", ())), report)
        if self._key and result.keys[-1:] != [self._key]:
            last = result.keys[-1] if result.keys else "none"
            self._flaws.append(
                f"{MANIFEST} is signed with another key than the plant's: the chain in {EVIDENCE} ends with {last}"
            )
        if not result.flaws:
            self._say_what_holds(result)
        self._say_what_is_open(result)

    def _is_of_the_report(self, entries: Sequence[Row], report: Row) -> None:
        """The report ends with an entry of this chain."""
        if not report:
            return
        count, head = report["entries"], report["head"]
        found = entries[count - 1].get("hash") if 0 < count <= len(entries) else ""
        if found != head or (count == 0) != (head == ""):
            self._flaws.append(f"{REPORT} is of another chain than {EVIDENCE}: its entry {count} is {head[:12]}…")
        else:
            what = "{title} of {plant}, until {until}".format(**report)
            self._holds.append(f"the report ({what}) is of this chain, as it was at entry {count}")

    def _say_what_holds(self, result: Result) -> None:
        if self._trusted is not None:
            self._holds.append("the chain begins with the key that you named")
        if self._outside:
            count, newest = len(self._outside), self._newest_outside()
            self._holds.append(f"{count} checkpoints that you kept yourself: of this chain, the last at entry {newest}")
        self._holds += [
            f"{result.entries} audit entries: each follows from the one before, and the records are what they say",
            f"{result.signed} of them are signed by persons, each with the key that was registered for the one who"
            " decided; the others bear the names that were typed in, or are the program's own",
            f"{result.checkpoints} checkpoints: each is signed with the plant's key of its time, over this chain",
        ]

    def _say_what_is_open(self, result: Result) -> None:
        first = result.keys[0] if result.keys else "none"
        if self._trusted is None:
            self._unknown.append(
                f"whose key this is. The chain begins with the key {first}: compare it with what was written on paper"
                " at commissioning (--key HEX does)"
            )
        if not self._outside:
            self._unknown.append(
                f"whether this is the chain that there once was, and whether it goes on after entry {result.entries}:"
                " hold checkpoints that you kept yourself against it (--checkpoints FILE)"
            )
        elif self._newest_outside() < result.entries:
            self._unknown.append(
                f"what was decided after entry {self._newest_outside()}: no checkpoint of yours is newer"
            )
        self._unknown += [
            "whether the devices told the truth, the clock was right, and those who held the keys were who they said",
            f"whether {PAPER} and {PAGE} show what {REPORT} and the annexes say: they are signed as they are",
        ]

    def _newest_outside(self) -> int:
        return max((int(row.get("entries", 0)) for row in self._outside), default=0)


def _printed(page: bytes, name: str) -> set[str]:
    """Each SHA-256 that a page prints behind the name of an annex, which stands in an element of its own."""
    pattern = re.compile(
        rb">%s<.{0,2000}?(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])" % re.escape(name.encode()), re.DOTALL
    )
    return {found[1].decode() for found in pattern.finditer(page)}


def _sentence(flaw: Flaw) -> str:
    return f"entry {flaw.entry}: {flaw.why}" if flaw.entry is not None else flaw.why


def verify_pack(path: Path, outside: Iterable[Row] = (), trusted: str | None = None) -> Account:
    """Verify a pack, a zip or a folder. OSError if it cannot be read."""
    account = Account()
    try:
        if path.is_dir():
            Pack(Folder(path), outside, trusted, account).verify()
        else:
            with path.open("rb") as file:
                Pack(Zip(file), outside, trusted, account).verify()
    except NoPack as error:
        account.flaws.append(str(error))
    except BROKEN_ZIP as error:
        account.flaws.append(f"it is broken: {error}")
    return account


def main(arguments: list[str] | None = None) -> int:
    """0 if the evidence verifies, 4 if it does not, 2 if it cannot be read."""
    here = Path(__file__).absolute()
    parser = argparse.ArgumentParser(description="Verify the evidence of a plant.")
    parser.add_argument(
        "evidence",
        type=Path,
        nargs="?",
        help="an evidence pack (a zip, or a folder; the one that this file is in if nothing is named),"
        " a store (SQLite), or what asbuilt verify --export wrote",
    )
    parser.add_argument("--checkpoints", type=Path, action="append", default=[], help="checkpoints kept outside of it")
    parser.add_argument("--key", help="the public key that the chain begins with, in hexadecimal, if you know it")
    options = parser.parse_args(arguments)
    path = options.evidence or here.parent
    if options.evidence is None and here.name != ITSELF:
        parser.error("say what to verify")
    try:  # first what is kept outside: a decision meanwhile is in the store before it is there
        outside = [row for each in options.checkpoints for row in read_checkpoints(each)]
        kind = _kind(path)
        if kind in ("folder", "zip"):
            return _say_account(path, verify_pack(path, outside, options.key), here)
        if kind == "store":
            with closing(open_store(path)) as store:
                result = verify(read_store(store), outside, options.key)
        else:
            result = verify(read_lines(path), outside, options.key)
    except (OSError, ValueError, sqlite3.Error, OverflowError, MemoryError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    for flaw in sorted(result.flaws, key=_place):
        _say(_sentence(flaw))
    _say(f"{result.entries} entries, {result.checkpoints} checkpoints: {'do not verify' if result.flaws else 'verify'}")
    if result.uncovered:
        _say(f"{result.uncovered} entries are under no checkpoint from outside: their loss would not be noticed")
    for key in result.keys:
        _say(f"key {key}")
    return 4 if result.flaws else 0


def _kind(path: Path) -> str:
    """What is to be verified; ValueError for a folder that never was a pack."""
    if path.is_dir():
        if not any(os.path.lexists(path / name) for name in IN_A_PACK if name != ITSELF):
            raise ValueError(f"{path} is a folder, and no pack")
        return "folder"
    with path.open("rb") as file:
        begin = file.read(16)
    if begin.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    return "store" if begin == b"SQLite format 3\0" else "export"


def _say_account(path: Path, account: Account, here: Path) -> int:
    if here.name == ITSELF:
        digest = sha256(here.read_bytes()).hexdigest()
        account.unknown.append(
            f"whether this program is asbuilt's, if it came with the pack. Its SHA-256 is {digest}, as that of"
            " monitor/verifier.py in the asbuilt that the report names: take it from there, and verify with that"
        )
    for title, sentences in (
        ("This was checked, and holds:", account.holds),
        ("This does not verify:", account.flaws),
        ("This cannot be known from the pack alone:", account.unknown),
    ):
        if sentences:
            _say(title)
        for sentence in sentences:
            _say(f"  - {_shown(sentence)}")
    _say(f"{_shown(str(path))}: {'DOES NOT VERIFY' if account.flaws else 'verifies'}")
    return 4 if account.flaws else 0


def _say(text: str) -> None:
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
