"""Bundles: baselines with their history, signed, to carry from one store to another. docs/bundle.md has the format.

A bundle is files by name. `packed` makes them of a store; `sealed_by` says who signed them, and that nothing was added,
lost or changed since; `verified` holds what they say against the audit chain that travels with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from baselines.baseline import Baseline, SignOff, Stage, State
from baselines.capture import parse_capture
from baselines.snapshot import Snapshot, parse_snapshot, utc_text
from monitor import store, verifier
from monitor.baseline_toml import Record, parse_record, record_text
from monitor.bundle_files import MANIFEST, SIGNATURE, Files
from monitor.entries import printable
from monitor.errors import Unverified
from monitor.seal import KEY, Seal, opened_seal, seal_of
from monitor.store import Signing, Transaction

AUDIT, CHECKPOINTS, README, GIT = "audit.jsonl", "checkpoints.jsonl", "README.txt", ".gitattributes"
BASELINES, CAPTURES, SNAPSHOTS = "baselines/", "captures/", "snapshots/"
NAMES = frozenset({AUDIT, CHECKPOINTS, KEY, README, GIT, MANIFEST, SIGNATURE})
BASELINE = re.compile(rf"{BASELINES}.+\.toml")
CAPTURE = re.compile(rf"{CAPTURES}[0-9a-f]{{64}}\.json")
SNAPSHOT = re.compile(rf"{SNAPSHOTS}[0-9a-f]{{64}}\.jsonl")
STATES = (State.APPROVED, State.SUPERSEDED, State.PROPOSED)
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # device names of Windows
LONGEST_PATH, CUT_PATH = 150, 100
SHOWN = 12  # hex digits of a digest in the name of a file
AUDIT_TABLE = "audit_entry"
WRITTEN = {"profile": "profile_digest"}  # where a key of the file is not what the chain calls it
NO_TIME = datetime.fromtimestamp(0, UTC)  # of a snapshot of which only the canonical form is wanted

ABOUT = """\
Baselines of {plant}, as asbuilt exported them.

Each file below baselines/ is one baseline: what a controller was when it was read, who proposed it, and who
signed it off. captures/ says how it was captured, snapshots/ what was read last then; audit.jsonl is the log of
every decision, checkpoints.jsonl the signatures under it.

It is signed with this key, which whoever gave you this can read out to you (asbuilt key show):

  {key}

To check it without asbuilt, in this folder:

  sha256sum -c MANIFEST
  openssl pkeyutl -verify -pubin -inkey KEY.pem -rawin -in MANIFEST -sigfile MANIFEST.sig
  openssl pkey -pubin -in KEY.pem -outform DER | tail -c 32 | xxd -p -c 32

The first says that no file listed in MANIFEST was changed, the second that the list is signed, the third prints the
key. A file that MANIFEST does not name does not belong here.

To take it in: asbuilt baseline import PATH --reason TEXT. The format is docs/bundle.md of asbuilt.
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """A bundle that verifies: its baselines by the name of their file; captures and what was read, by digest."""

    seal: Seal
    records: Mapping[str, Record]
    captures: Mapping[str, str]
    snapshots: Mapping[str, Snapshot]

    def of(self, asset: str) -> list[Record]:
        """The baselines of an asset, the oldest first."""
        found = [record for record in self.records.values() if record.baseline.asset == asset]
        return sorted(found, key=lambda record: record.number)

    @property
    def assets(self) -> list[str]:
        return sorted({record.baseline.asset for record in self.records.values()})


def records_of(
    tx: Transaction, assets: Sequence[str], profile_name: Callable[[str], str], stage: Stage | None = None
) -> list[Record]:
    """What is exported of some assets: what is or was approved, and the open proposals, asset by asset."""
    return [
        record_of(tx, baseline, profile_name)
        for name in assets
        for baseline in store.baselines(tx, [name])
        if baseline.state in STATES and stage in (None, baseline.stage)
    ]


def record_of(tx: Transaction, baseline: Baseline, profile_name: Callable[[str], str]) -> Record:
    """A baseline with all that is written of it."""
    number = [each.id for each in store.baselines(tx, [baseline.asset])].index(baseline.id) + 1
    name, signed = profile_name(baseline.profile), tuple(store.sign_offs(tx, baseline))
    return Record(baseline, store.baseline_snapshot(tx, baseline), number, name, signed)


def packed(tx: Transaction, plant: str, records: Sequence[Record], signer: Signing) -> dict[str, bytes]:
    """The files of a bundle."""
    tables = store.evidence(tx, (AUDIT_TABLE, "checkpoint"))
    texts = {name: record_text(record) for name, record in _named(records).items()}
    texts[AUDIT] = "".join(_entry_line(row) for row in tables[AUDIT_TABLE])
    texts[CHECKPOINTS] = "".join(_line(row) for row in tables["checkpoint"])
    held = {record.baseline.digest for record in records}
    for digest in sorted({record.baseline.capture for record in records if record.baseline.capture}):
        if (text := store.document(tx, digest)) is not None:
            texts[f"{CAPTURES}{digest}.json"] = text
            last = last_of(text)
            if last not in held:  # what was left out of a proposal can be decided about still
                texts[f"{SNAPSHOTS}{last}.jsonl"] = store.snapshot_of(tx, "", last, NO_TIME).text
    texts[README] = ABOUT.format(plant=printable(plant), key=signer.key)
    texts[KEY] = verifier.pem(signer.key)
    texts[GIT] = "* -text\n"  # git leaves the ends of lines alone: they are signed
    return sealed({name: text.encode() for name, text in texts.items()}, signer)


def sealed(files: Files, signer: Signing) -> dict[str, bytes]:
    """The files with their MANIFEST, in the format of sha256sum, and its signature."""
    return {**files, **seal_of({name: sha256(text).hexdigest() for name, text in files.items()}, signer)}


def _line(fields: Mapping[str, Any]) -> str:
    return verifier.canonical(fields).decode() + "\n"


def _entry_line(row: Mapping[str, Any]) -> str:
    return _line({**row, "detail": json.loads(row["detail"])})


def _named(records: Iterable[Record]) -> dict[str, Record]:
    """The records by the names of their files. Of two that would have one name, the later has its number in it."""
    records = sorted(records, key=lambda record: (record.baseline.asset, record.number))
    paths = asset_paths({record.baseline.asset for record in records})
    named: dict[str, Record] = {}
    for record in records:
        baseline = record.baseline
        name = f"{BASELINES}{paths[baseline.asset]}/{baseline.stage}-{baseline.digest[:SHOWN]}"
        named[f"{name}.toml" if f"{name}.toml" not in named else f"{name}-{record.number}.toml"] = record
    return named


def asset_paths(assets: Iterable[str]) -> dict[str, str]:
    """The path of each asset, safe on every system: also where a and A are one file."""
    spelled: dict[str, str] = {}
    paths = {}
    for asset in sorted(assets):
        parts = _asset_path(asset).split("/")
        for number in range(len(parts)):
            path = "/".join(parts[: number + 1])
            if spelled.setdefault(path.lower(), path) != path:
                parts[number] += f"~{sha256(path.encode()).hexdigest()[:8]}"
        paths[asset] = "/".join(parts)
    return paths


def _asset_path(asset: str) -> str:
    path = "/".join(map(_path_part, asset.split("/")))
    if len(path) > LONGEST_PATH:
        return f"{path[:CUT_PATH]}~{sha256(asset.encode()).hexdigest()[:16]}"
    return path


def _path_part(part: str) -> str:
    """One part of an asset's name as the name of a folder: what may not be there as %XX of its UTF-8."""
    text = "".join(letter if letter in SAFE else _escaped(letter) for letter in part) or "%"
    if text.lower().endswith(".toml"):
        text = f"{text[:-5]}%2E{text[-4:]}"
    if text[-1] == ".":
        text = f"{text[:-1]}%2E"
    if text[0] == "." or RESERVED.fullmatch(text):
        text = _escaped(text[0]) + text[1:]
    return text


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def sealed_by(where: str, files: Files) -> Seal:
    """Who signed these files. CallError if they are no bundle; Unverified, with the name of the file, if one was
    added, lost or changed, or the signature is not of its key."""
    seal, listed = opened_seal(where, files, "bundle")
    for name in sorted({*listed, *files} - {MANIFEST, SIGNATURE}):
        if name not in files:
            raise Unverified(f"{where}: {name} is missing")
        if name not in listed:
            raise Unverified(f"{where}: {name} is not of this bundle: {MANIFEST} does not name it; take it out")
        if sha256(files[name]).hexdigest() != listed[name]:
            raise Unverified(f"{where}: {name} was changed: it is not what {MANIFEST} says")
    return seal


def verified(where: str, files: Files, seal: Seal) -> Contents:
    """What a bundle holds, if all of it is what its audit chain says; Unverified with the file and the line if not."""
    for name in files:
        if name not in NAMES and not any(pattern.fullmatch(name) for pattern in (BASELINE, CAPTURE, SNAPSHOT)):
            raise Unverified(f"{where}: {name} is nothing that asbuilt puts in a bundle")
    replay = _replayed(where, files, seal)
    captures = {_digest(where, name, files): name for name in files if CAPTURE.fullmatch(name)}
    snapshots = {
        _digest(where, name, files): _snapshot(where, name, files) for name in files if SNAPSHOT.fullmatch(name)
    }
    records: dict[str, Record] = {}
    for name in sorted(name for name in files if BASELINE.fullmatch(name)):
        text = _text(where, name, files)
        try:
            record = parse_record(text)
            _check_record(record, replay, captures)
        except ValueError as error:
            raise Unverified(f"{where}: {name}{_place(text, str(error))}: {error}") from None
        records[name] = record
    numbers = [(record.baseline.asset, record.number) for record in records.values()]
    if len(set(numbers)) < len(numbers):
        raise Unverified(f"{where}: two files hold one and the same baseline")
    snapshots |= {record.baseline.digest: record.snapshot for record in records.values()}
    texts = {digest: _capture(where, name, files, snapshots) for digest, name in captures.items()}
    return Contents(seal, records, texts, snapshots)


def _replayed(where: str, files: Files, seal: Seal) -> verifier.Replay:
    """What the bundle's chain says that there was; Unverified if the chain does not verify, or is not the signer's."""
    entries, checkpoints = _rows(where, AUDIT, files), _rows(where, CHECKPOINTS, files)
    rows = [{**row, "detail": json.dumps(row.get("detail"), sort_keys=True)} for row in entries]
    if flaw := verifier.verify({AUDIT_TABLE: rows}).first_bad:
        place = f" line {flaw.entry}" if flaw.entry is not None else ""
        raise Unverified(f"{where}: {AUDIT}{place}: {flaw.why}")
    result = verifier.verify({AUDIT_TABLE: rows, "checkpoint": checkpoints})
    if flaw := result.first_bad:
        lines = [number for number, row in enumerate(checkpoints, 1) if row.get("entries") == flaw.entry]
        raise Unverified(f"{where}: {CHECKPOINTS}{f' line {lines[0]}' if lines else ''}: {flaw.why}")
    if result.keys[-1:] != [seal.key]:
        raise Unverified(f"{where}: {AUDIT} is the chain of another key than the one that signed {MANIFEST}")
    replay = verifier.Replay()
    for entry in entries:
        replay.take({name: entry[name] for name in verifier.FIELDS})
    return replay


def _rows(where: str, name: str, files: Files) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(_text(where, name, files).split("\n")[:-1], 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise Unverified(f"{where}: {name} line {number} is not JSON, or no table")
        rows.append(row)
    return rows


def _text(where: str, name: str, files: Files) -> str:
    if name not in files:
        raise Unverified(f"{where}: {name} is missing")
    try:
        return files[name].decode()
    except UnicodeDecodeError as error:
        raise Unverified(f"{where}: {name} is not UTF-8 (byte {error.start})") from None


def _digest(where: str, name: str, files: Files) -> str:
    """The digest that a file is named by."""
    digest = sha256(files[name]).hexdigest()
    if name.rpartition("/")[2].partition(".")[0] != digest:
        raise Unverified(f"{where}: {name} is not what its name says: its digest is {digest}")
    return digest


def _snapshot(where: str, name: str, files: Files) -> Snapshot:
    try:
        return parse_snapshot("", NO_TIME, _text(where, name, files))
    except ValueError as error:
        raise Unverified(f"{where}: {name}: {error}") from None


def _capture(where: str, name: str, files: Files, snapshots: Iterable[str]) -> str:
    """A record of how something was captured, if it is one, and what it was captured from is there."""
    text = _text(where, name, files)
    try:
        parse_capture(json.loads(text))
        last = last_of(text)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unverified(f"{where}: {name} does not say how something was captured") from None
    if last not in snapshots:
        raise Unverified(f"{where}: {SNAPSHOTS}{last}.jsonl, which {name} speaks of, is missing")
    return text


def last_of(capture: str) -> str:
    """The digest of what was read last in a capture."""
    return str(json.loads(capture)["last"])


def _check_record(record: Record, replay: verifier.Replay, captures: Iterable[str]) -> None:
    """ValueError if a baseline is not what its digest and the chain say."""
    baseline = record.baseline
    if baseline.digest != record.snapshot.digest:
        raise ValueError(f"digest: says {baseline.digest}, and the items come to {record.snapshot.digest}")
    if baseline.capture is not None and baseline.capture not in captures:
        raise ValueError(f"capture: {CAPTURES}{baseline.capture}.json is missing")
    if baseline.state not in STATES:
        raise ValueError(f"state: {baseline.state} baselines are not in bundles")
    rows = replay.rows("baseline")
    of_asset = [number for number, row in enumerate(rows) if row["asset"] == baseline.asset]
    if record.number > len(of_asset):
        raise ValueError(f"number: the chain knows {len(of_asset)} baselines of {baseline.asset}, and no such one")
    place = of_asset[record.number - 1]
    for name, found in history(baseline).items():
        if rows[place][name] != found:
            raise ValueError(f"{WRITTEN.get(name, name)}: says {found}, and the chain {rows[place][name]}")
    words = [row for row in replay.rows("sign_off") if row["baseline"] == place]
    said = [{name: row[name] for name in verifier.COMPARED["sign_off"][1:]} for row in words]
    if said != [word_fields(word) for word in record.signed]:
        raise ValueError("signed: is not who signed it off by the chain")


def history(baseline: Baseline) -> dict[str, str | None]:
    """A baseline as the chain has it."""
    return {
        "asset": baseline.asset,
        "digest": baseline.digest,
        "state": baseline.state.value,
        "stage": baseline.stage.value,
        "profile": baseline.profile,
        "proposed_by": baseline.proposed_by,
        "proposed_at": utc_text(baseline.proposed_at),
        "decided_by": baseline.decided_by,
        "decided_at": utc_text(baseline.decided_at) if baseline.decided_at else None,
        "reason": baseline.reason,
        "ticket": baseline.ticket or None,
        "capture": baseline.capture,
        "origin": baseline.origin,
    }


def word_fields(word: SignOff) -> dict[str, str]:
    """A sign-off as the chain has it."""
    return {"by": word.by, "role": word.role, "at": utc_text(word.at), "reason": word.reason, "ticket": word.ticket}


def _place(text: str, why: str) -> str:
    """ " line 7", where what is wrong is that of a key that stands in line 7."""
    key = why.partition(": ")[0]
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith((f"{key} =", f'"{key}" =')):
            return f" line {number}"
    return ""
