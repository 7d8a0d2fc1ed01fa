"""Verifies the evidence of a plant: stands alone, and needs Python 3.11 and `cryptography`, nothing of asbuilt.

    python verifier.py EVIDENCE [--checkpoints FILE]... [--key HEX]

EVIDENCE is a store (SQLite), or what `asbuilt verify --export` wrote. What is verified, and how a verifier of your own
would do it, is in docs/evidence.md: the chain of audit entries, the signatures of persons in it, the signed
checkpoints, and that every baseline, sign-off, order, person and artefact is what the chain says it is.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    "alert_move",
    "document",
    "run",
    "snapshot",
)
GENESIS = "0" * 64
FIELDS = ("account", "action", "actor", "at", "detail", "id", "previous", "subject")  # what the hash is taken over
SIGNATURE = ("key", "signature")
NEW_KEYS = ("key.add", "key.rotate")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that does not verify: at which entry (None where no entry speaks of it), and why."""

    entry: int | None
    why: str


@dataclass
class Result:
    """What verifying came to. `uncovered` entries are behind the last checkpoint: their loss would not be noticed."""

    entries: int = 0
    checkpoints: int = 0
    uncovered: int = 0
    keys: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def first_bad(self) -> Flaw | None:
        """The flaw at the lowest entry."""
        return min(self.flaws, key=lambda flaw: sys.maxsize if flaw.entry is None else flaw.entry, default=None)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """RFC 8785 of a table of strings and whole numbers with ASCII keys."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def is_signed(key: str, signature: str, statement: bytes) -> bool:
    """Whether an Ed25519 signature (RFC 8032) is of this key over this statement."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), statement)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def verify(tables: Mapping[str, Iterable[Row]], outside: Iterable[Row] = (), trusted: str | None = None) -> Result:
    """Verify evidence: its rows by table (a table that is not given is not looked at), checkpoints that were kept
    outside of it, and the public key that the first checkpoint has to be of, where the reader knows it."""
    result = Result()
    hashes = [GENESIS]
    replay = Replay()
    keys: list[tuple[int, str]] = []  # from which entry on a key signs
    for entry in _chain(tables.get("audit_entry", ()), hashes, result):
        if entry["action"] in NEW_KEYS:
            keys.append((entry["id"], str(entry["detail"].get("public_key"))))
        replay.take(entry)
    result.entries = len(hashes) - 1
    result.keys = [key for _, key in keys]
    result.flaws += replay.flaws
    if trusted is not None and result.keys[:1] != [trusted]:
        result.flaws.append(Flaw(keys[0][0] if keys else 1, f"the chain does not begin with the key {trusted}"))
    _check_checkpoints([*tables.get("checkpoint", ()), *outside], hashes, keys, result)
    result.flaws += replay.compared(tables)
    result.flaws += _contents(tables, replay)
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
        if row["detail"] != json.dumps(detail, sort_keys=True):
            return result.flaws.append(Flaw(number, "its detail is not written as asbuilt writes it"))
        hashes.append(digest)
        yield entry
    return None


def _check_checkpoints(rows: Iterable[Row], hashes: list[str], keys: list[tuple[int, str]], result: Result) -> None:
    last, covered = len(hashes) - 1, 0
    broken = bool(result.flaws)
    seen: set[tuple[int, str]] = set()
    for row in rows:
        try:
            said = {name: row[name] for name in ("at", "entries", "head", "key")}
            number, key, signature = int(row["entries"]), str(row["key"]), str(row["signature"])
        except (KeyError, TypeError, ValueError):
            result.flaws.append(Flaw(None, f"{dict(row)} is no checkpoint"))
            continue
        seen.add((number, signature))
        if not is_signed(key, signature, canonical(said)):
            result.flaws.append(Flaw(number, f"the checkpoint at entry {number} is not signed by its key"))
        elif number > last:
            if not broken:  # else the rest of the chain was not read
                why = f"the chain was cut, or rolled back: it ends at entry {last}, and at {said['at']} it had {number}"
                result.flaws.append(Flaw(last + 1, why))
        elif hashes[number] != said["head"]:
            result.flaws.append(
                Flaw(number, f"it is not the entry that was there at {said['at']}: the chain was rewritten")
            )
        elif not _may_sign(key, number, keys):
            result.flaws.append(Flaw(number, f"its checkpoint is signed by a key that is not of this chain: {key}"))
        else:
            covered = max(covered, number)
    result.checkpoints, result.uncovered = len(seen), last - covered


def _may_sign(key: str, number: int, keys: list[tuple[int, str]]) -> bool:
    """Whether a key was in use at an entry: from the one that brings it, to the one that brings its successor."""
    ends = [start for start, _ in keys[1:]] + [sys.maxsize]
    return any(key == known and start <= number <= end for (start, known), end in zip(keys, ends, strict=True))


@dataclass
class Replay:
    """What the chain says that there is: every row as its entries made it, each with the entry that did last."""

    made: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lives: dict[str, dict[str, Any]] = field(default_factory=dict)  # what befell assets, by their names now
    flaws: list[Flaw] = field(default_factory=list)

    def take(self, entry: dict[str, Any]) -> None:
        """Do what an entry says. Who signs has to be who they say they are."""
        self._check_signature(entry)
        if step := STEPS.get(entry["action"]):
            try:
                step(self, entry, entry["detail"])
            except (KeyError, ValueError, IndexError, TypeError, AttributeError):
                self.flaws.append(Flaw(entry["id"], f"it says what cannot have been: {entry['action']}"))

    def _check_signature(self, entry: dict[str, Any]) -> None:
        detail = entry["detail"]
        if "signature" not in detail:
            return
        kept = {key: value for key, value in detail.items() if key not in SIGNATURE}
        said = {**{name: entry[name] for name in FIELDS if name not in ("id", "previous")}, "detail": kept}
        known = [
            row["public_key"]
            for row in self.rows("person")
            if row["name"] == entry["actor"] and row["removed_at"] is None
        ]
        if detail.get("key") not in known:
            self.flaws.append(Flaw(entry["id"], f"it is signed by a key that is not {entry['actor']}'s"))
        elif not is_signed(detail["key"], detail["signature"], canonical(said)):
            self.flaws.append(Flaw(entry["id"], f"{entry['actor']} did not sign this"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.made.setdefault(table, [])

    def add(self, table: str, entry: dict[str, Any], **values: Any) -> dict[str, Any]:
        row = {**values, "entry": entry["id"]}
        self.rows(table).append(row)
        return row

    def live(self, entry: Row, **values: Any) -> None:
        """Something befalls the asset that an entry is about."""
        self.lives.setdefault(entry["subject"], {}).update(values, entry=entry["id"])

    def current(self, asset: str, state: str) -> dict[str, Any] | None:
        fitting = [row for row in self.rows("baseline") if row["asset"] == asset and row["state"] == state]
        return fitting[-1] if fitting else None

    def compared(self, tables: Mapping[str, Iterable[Row]]) -> Iterator[Flaw]:
        """Where what is stored is not what the chain says."""
        assets = list(tables.get("asset", ()))
        names = {row["id"]: row["name"] for row in assets}
        numbers: dict[Any, int] = {}
        if "asset" in tables:
            yield from _lives(self.lives, {row["name"]: row for row in assets})
        for table, fields in COMPARED.items():
            if table not in tables:
                continue
            stored = list(tables[table])
            if table == "baseline":
                numbers = {row["id"]: number for number, row in enumerate(stored)}
            if table == "alert_move":
                stored = [row for row in stored if row["by"] is not None]
            for said, found in zip_longest(self.rows(table), stored):
                yield from _difference(table, said, found and _named(found, names, numbers), fields)


def _lives(said: Mapping[str, Row], stored: Mapping[str, Row]) -> Iterator[Flaw]:
    """Where assets are not what the chain says of them: called so, out of service, retired."""
    for name in sorted({*said, *stored}):
        if name not in stored:
            yield Flaw(said[name]["entry"], f"the asset {name} that it speaks of is missing")
            continue
        life = said.get(name, {})
        for column in LIFE:
            if life.get(column) != stored[name].get(column):
                why = f"{column} of asset {name} is {life.get(column)!r}; stored is {stored[name].get(column)!r}"
                yield Flaw(life.get("entry"), f"it says that {why}" if life else f"no entry says so: {why}")
                break


def _named(row: Row, names: Mapping[Any, str], numbers: Mapping[Any, int]) -> dict[str, Any]:
    """A row with the name of its asset, and the place of its baseline, for their numbers."""
    named = {**row, "asset": names.get(row.get("asset_id")), "baseline": numbers.get(row.get("baseline_id"))}
    if "sealed" in row:
        named["sealed_digest"] = sha256(row["sealed"].encode()).hexdigest() if row["sealed"] else ""
    return named


def _difference(table: str, said: Row | None, found: Row | None, fields: tuple[str, ...]) -> Iterator[Flaw]:
    word = table.replace("_", " ")
    if found is None:
        assert said is not None
        yield Flaw(said["entry"], f"the {word} that it speaks of is missing")
    elif said is None:
        yield Flaw(
            None, f"no entry speaks of {word} {found.get('id', found.get('entries'))}: it was put in from outside"
        )
    else:
        for name in fields:
            if said.get(name) != found.get(name):
                what = f"{name} of {word} {found.get('id')}"
                yield Flaw(said["entry"], f"it says that {what} is {said.get(name)!r}; stored is {found.get(name)!r}")
                return


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
    "alert_move": ("alert_id", "at", "event", "by", "reason"),
}  # fmt: skip


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
        baseline=replay.rows("baseline").index(row),
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


def _person(replay: Replay, entry: Row, detail: Row) -> None:
    values = {name: detail[name] for name in ("roles", "public_key", "sealed_digest")} | {"removed_at": None}
    known = [row for row in replay.rows("person") if row["name"] == entry["subject"]]
    if known:
        known[0].update(values, entry=entry["id"])
    else:
        replay.add("person", dict(entry), name=entry["subject"], **values)


def _person_removed(replay: Replay, entry: Row, detail: Row) -> None:
    known = [row for row in replay.rows("person") if row["name"] == entry["subject"]]
    known[0].update(removed_at=entry["at"], entry=entry["id"])


def _open(replay: Replay, entry: Row, detail: Row) -> None:
    number = int(detail["order"])
    replay.add(
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
    for each in json.loads(detail["expectations"]):
        expected = {"expected": json.dumps(each["expected"]), "observed": None, "outcome": None}
        replay.add("expectation", dict(entry), order_id=number, asset=each["asset"], item=each["item"], **expected)


def _close(replay: Replay, entry: Row, detail: Row) -> None:
    number = int(detail["order"])
    (order,) = [row for row in replay.rows("change_order") if row["id"] == number]
    order.update(state="closed", closed_by=entry["actor"], closed_at=entry["at"], entry=entry["id"])
    lines = [row for row in replay.rows("expectation") if row["order_id"] == number]
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
        baseline=replay.rows("baseline").index(row),
        digest=detail["digest"],
        name=detail["name"],
        kind=detail["kind"],
        size=int(detail["size"]),
        added_by=entry["actor"],
        added_at=entry["at"],
    )


def _moved(event: str) -> Callable[[Replay, Row, Row], None]:
    def step(replay: Replay, entry: Row, detail: Row) -> None:
        said = {"alert_id": int(detail["alert"]), "event": event, "reason": detail["reason"]}
        replay.add("alert_move", dict(entry), at=entry["at"], by=entry["actor"], **said)

    return step


STEPS: dict[str, Callable[[Replay, Row, Row], None]] = {  # what an entry makes; all others make nothing
    "baseline.propose": _propose,
    "baseline.amend": _amend,
    "baseline.sign": _sign,
    "baseline.approve": _approve,
    "baseline.reject": _reject,
    "baseline.import": _import,
    "asset.rename": _rename,
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
}
NAMED = {"capture": "document", "digest": "snapshot"}  # what a baseline names by its digest


def _contents(tables: Mapping[str, Iterable[Row]], replay: Replay) -> Iterator[Flaw]:
    """Whether what is named by its digest is there, and has it."""
    there: dict[str, set[str]] = {}
    for table in ("snapshot", "document"):
        if table in tables:
            there[table] = set()
            for row in tables[table]:
                there[table].add(row["digest"])
                if sha256(str(row["text"]).encode("utf-8", "surrogatepass")).hexdigest() != row["digest"]:
                    named = [said["entry"] for said in replay.rows("baseline") if row["digest"] in said.values()]
                    why = f"the {table} {row['digest'][:12]} is not what its digest was taken over"
                    yield Flaw(named[0] if named else None, why)
    for said in replay.rows("baseline"):
        for column, table in NAMED.items():
            if table in there and said[column] is not None and said[column] not in there[table]:
                yield Flaw(said["entry"], f"the {table} {said[column][:12]} that it speaks of is missing")
    if "snapshot" in there and "run" in tables:
        for row in tables["run"]:
            if row["digest"] is not None and row["digest"] not in there["snapshot"]:
                yield Flaw(None, f"run {row['id']} was of snapshot {row['digest'][:12]}, which is missing")


def read_store(path: Path) -> dict[str, list[Row]]:
    """The evidence in a store (SQLite), read without changing it."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        store.row_factory = sqlite3.Row
        there = {row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            table: [dict(row) for row in store.execute(f"SELECT * FROM {table} ORDER BY 1")]
            for table in TABLES
            if table in there
        }


def read_lines(path: Path) -> dict[str, list[Row]]:
    """The evidence that was exported: a line for each row, {"table": …, "row": {…}}."""
    tables: dict[str, list[Row]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            said = json.loads(line)
            tables.setdefault(said["table"], []).append(said["row"])
    return tables


def read_checkpoints(path: Path) -> Iterator[Row]:
    """The checkpoints in a file, one a line; of a log that syslog wrote, whatever is behind the first brace.

    A last line that a power cut left without its end is none.
    """
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            yield json.loads(line[line.index("{") :])
        except ValueError:
            if line.strip():
                yield {"line": line.strip()}


def main(arguments: list[str] | None = None) -> int:
    """0 if the evidence verifies, 4 if it does not, 2 if it cannot be read."""
    parser = argparse.ArgumentParser(description="Verify the evidence of a plant.")
    parser.add_argument("evidence", type=Path, help="a store (SQLite), or what asbuilt verify --export wrote")
    parser.add_argument("--checkpoints", type=Path, action="append", default=[], help="checkpoints kept outside of it")
    parser.add_argument("--key", help="the public key that the chain begins with, in hexadecimal, if you know it")
    options = parser.parse_args(arguments)
    try:
        with options.evidence.open("rb") as file:
            is_store = file.read(16) == b"SQLite format 3\0"
        tables = read_store(options.evidence) if is_store else read_lines(options.evidence)
        outside = [row for path in options.checkpoints for row in read_checkpoints(path)]
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    result = verify(tables, outside, options.key)
    for flaw in sorted(result.flaws, key=lambda flaw: sys.maxsize if flaw.entry is None else flaw.entry):
        print(f"entry {flaw.entry}: {flaw.why}" if flaw.entry is not None else flaw.why)
    print(f"{result.entries} entries, {result.checkpoints} checkpoints, {result.uncovered} entries behind the last one")
    for key in result.keys:
        print(f"key {key}")
    return 4 if result.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
