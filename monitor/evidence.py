"""Evidence: decisions in transactions that are audited, checkpointed, and refused where the evidence does not verify.

The plant's key signs the head of the audit chain in the transaction that made it; after the commit the checkpoint is
kept outside of the store too, in files and at syslog receivers, so that a store that was rolled back is found out.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from baselines.audit import AuditEntry, Checkpoint
from baselines.snapshot import utc_text
from collectors.written import FileError, read_toml
from monitor import keys, store, verifier
from monitor.config import Evidence, Plant
from monitor.errors import CallError, NotNow
from monitor.store import Actor, Database, Transaction
from monitor.verifier import Result

NOTICE = 8 * 13 + 5  # RFC 5424, 6.2.1: facility log audit, severity notice
SEND_SECONDS = 3.0
CHANGES_MOST = 200  # lines of a changed configuration that an entry tells; its document holds it all
WITHOUT_RUNS = tuple(name for name in verifier.TABLES if name not in ("run", "snapshot"))

Say = Callable[[str], None]


@contextmanager
def deciding(plant: Plant, database: Database, actor: Actor, say: Say, sound: bool = False) -> Iterator[Transaction]:
    """A transaction in which a person decides something. `say` is told what else should be known.

    With `sound` NotNow if the evidence does not verify: nobody approves on top of a chain that somebody has changed.
    """
    made: list[Checkpoint] = []
    with database.write() as tx:
        if sound:
            assure_sound(tx, plant)
        now = datetime.now(UTC)
        note_configuration(tx, plant, actor, now)
        for name in note_assets(tx, plant, actor, now):
            say(returned(name))
        yield tx
        with _spoken(say):
            made = checkpoint(tx, plant.evidence, now)
    publish(plant, made, say)


@contextmanager
def _spoken(say: Say) -> Iterator[None]:
    try:
        yield
    except CallError as error:  # the decision stands; only its checkpoint has to wait
        say(f"no checkpoint was made: {error}")


def assure_sound(tx: Transaction, plant: Plant) -> None:
    """NotNow if the audit chain, what it speaks of, or a checkpoint outside does not verify."""
    flaw = verified(tx, plant, WITHOUT_RUNS).first_bad
    if flaw:
        at = f"entry {flaw.entry}: " if flaw.entry is not None else ""
        raise NotNow(
            f"the evidence does not verify, and nothing can be approved on it: {at}{flaw.why} (asbuilt verify)"
        )


def verified(
    tx: Transaction,
    plant: Plant,
    tables: tuple[str, ...] = verifier.TABLES,
    key: str | None = None,
    more: Iterable[Path] = (),
) -> Result:
    """The evidence in the store, and the checkpoints that are kept outside of it (`more` of them in other files),
    verified. CallError if one of these cannot be read."""
    outside, missing = [], []
    for path in (*plant.evidence.files, *more):
        try:
            outside += list(verifier.read_checkpoints(path))
        except FileNotFoundError:
            missing.append(path)
        except OSError as error:
            raise CallError(f"the checkpoints in {path} cannot be read: {error.strerror}") from None
    result = verifier.verify(store.evidence(tx, tables), outside, key)
    if result.checkpoints:
        why = "the checkpoints outside of the store are missing: {}; put the file back, or take it out of [evidence]"
        result.flaws += [verifier.Flaw(None, why.format(path)) for path in missing]
    return result


def export(tx: Transaction, path: Path) -> None:
    """Write the evidence to a file that the verifier reads alone: a line for each row of each table."""
    try:
        with path.open("w", encoding="utf-8") as file:
            for table, rows in store.evidence(tx).items():
                for row in rows:
                    file.write(json.dumps({"table": table, "row": dict(row)}) + "\n")
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None


def note_configuration(tx: Transaction, plant: Plant, actor: Actor, now: datetime) -> None:
    """Write down what is configured, if it is not what was written down last."""
    text = json.dumps(plant.settings, sort_keys=True)
    last = store.last_audit(tx, "configuration.change")
    digest = store.keep_document(tx, text)
    if last and last.detail["digest"] == digest:
        return
    before = json.loads(store.document(tx, last.detail["digest"]) or "{}") if last else {}
    detail = {"digest": digest, "changes": _changes(before, plant.settings) if last else "first seen"}
    store.audit(tx, now, replace(actor, signer=None), "configuration.change", "", detail)


def unnoted(tx: Transaction, plant: Plant) -> list[str]:
    """The assets of the plant that have no number yet, or were retired and are there again."""
    known = store.known_assets(tx)
    return [name for name in (*plant.assets, *plant.segments) if name not in known or known[name] is not None]


def returned(name: str) -> str:
    """What people are told of an asset that was retired and is there again."""
    return f"{name} was retired, and is there again with all of its history"


def note_assets(tx: Transaction, plant: Plant, actor: Actor, now: datetime) -> list[str]:
    """Give every asset of the plant its number; one that was retired is there again, with its history. These are named.

    The plant may have been read a while ago: what its file no longer names is left alone. Whoever takes a name out of
    the file does it in a transaction that writes, so nobody does while this one lasts.
    """
    new = unnoted(tx, plant)
    if not new:
        return []
    there, known = _names_in(plant), store.known_assets(tx)
    store.add_assets(tx, [name for name in new if name in there and name not in known])
    back = {name: at for name in new if name in there and (at := known.get(name))}
    for name, retired_at in back.items():
        store.retire_asset(tx, name, None)
        detail = {"retired_at": utc_text(retired_at)}
        store.audit(tx, now, replace(actor, signer=None), "asset.return", name, detail)
    return list(back)


def _names_in(plant: Plant) -> set[str]:
    """The assets and segments that the file names now; those of the plant if it cannot be read."""
    try:
        written = read_toml(plant.path)
    except FileError:
        return {*plant.assets, *plant.segments}
    return {name for section in ("asset", "segment") for name in written.get(section, {})}


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    lines = [
        f"{key}: {before.get(key, '–')} → {after.get(key, '–')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    more = [f"and {len(lines) - CHANGES_MOST} more"] if len(lines) > CHANGES_MOST else []
    return "\n".join(lines[:CHANGES_MOST] + more)


def checkpoint(tx: Transaction, evidence: Evidence, now: datetime) -> list[Checkpoint]:
    """Sign the head of the chain, if it has grown; the plant's key is made when there is none yet.

    CallError if the key cannot be used; the chain waits for whoever can.
    """
    entries = store.last_audit_id(tx)
    if entries == store.last_checkpoint(tx):
        return []
    signer = plant_key(tx, evidence, now)
    head = store.last_audit(tx)
    assert head is not None
    return [_sign(tx, head, signer, now)]


def plant_key(tx: Transaction, evidence: Evidence, now: datetime) -> keys.Signer:
    """The key that signs for the plant now, made where there is none yet; CallError if it cannot be used."""
    known = store.last_audit(tx, *verifier.NEW_KEYS)
    if known is None:
        signer = _new_key(evidence)
        store.audit(tx, now, store.ITSELF, "key.add", "", {"public_key": signer.key})
        return signer
    key = known.detail["public_key"]
    fresh = _fresh(evidence, key)
    if fresh.exists():  # rotated: what the chain has taken in takes the old one's place
        old = keys.load(evidence.key)
        os.replace(evidence.key, evidence.key.with_name(f"{evidence.key.name}.{old.key[:8]}"))
        os.replace(fresh, evidence.key)
    signer = keys.load(evidence.key)
    if signer.key != key:
        raise CallError(f"{evidence.key} is not the key of this chain; that is {key}")
    return signer


def _new_key(evidence: Evidence) -> keys.Signer:
    signer = keys.Signer.new()
    try:
        keys.save(signer, evidence.key)
    except FileExistsError:
        return keys.load(evidence.key)
    except OSError as error:
        raise CallError(f"the key {evidence.key} cannot be written: {error.strerror}") from None
    return signer


def _fresh(evidence: Evidence, key: str) -> Path:
    return evidence.key.with_name(f"{evidence.key.name}.{key[:8]}.new")


def rotate_key(tx: Transaction, evidence: Evidence, actor: Actor, now: datetime, reason: str) -> list[Checkpoint]:
    """Give the plant a new key. The old one signs the entry that brings it; the files change places after the commit,
    when the new one is first needed, and the old one stays beside it."""
    old, new = plant_key(tx, evidence, now), keys.Signer.new()
    keys.save(new, _fresh(evidence, new.key))
    entry = store.audit(tx, now, actor, "key.rotate", "", {"public_key": new.key, "reason": reason})
    return [_sign(tx, entry, old, now)]


def _sign(tx: Transaction, head: AuditEntry, signer: keys.Signer, now: datetime) -> Checkpoint:
    made = Checkpoint(head.id, head.hash, now, signer.key)
    made = replace(made, signature=signer.sign(made.statement()))
    store.add_checkpoint(tx, made)
    return made


def publish(plant: Plant, made: list[Checkpoint], say: Say) -> None:
    """Keep checkpoints outside of the store. What fails is said, and stops nothing: the next one covers it too."""
    for each in made:
        for path in plant.evidence.files:
            try:
                _append(str(path), each.line() + "\n")
            except OSError as error:
                say(f"the checkpoint could not be kept in {path}: {error.strerror}")
        for transport, host, port in plant.evidence.receivers:
            try:
                _send(transport, host, port, _syslog(each))
            except OSError as error:
                say(f"the checkpoint could not be sent to syslog at {host}:{port}: {error}")


def _append(path: str, line: str) -> None:
    """One write to the end, so that two processes do not mix their lines; durable before we go on."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.lseek(number, 0, os.SEEK_END)
        torn = size > 0 and os.pread(number, 1, size - 1) != b"\n" if hasattr(os, "pread") else False
        os.write(number, (("\n" if torn else "") + line).encode())
        os.fsync(number)
    finally:
        os.close(number)


def _syslog(made: Checkpoint) -> bytes:
    """RFC 5424, 6: the checkpoint as the message."""
    head = f"<{NOTICE}>1 {utc_text(made.at)} {socket.gethostname()} asbuilt {os.getpid()} checkpoint -"
    return f"{head} {made.line()}".encode()


def _send(transport: str, host: str, port: int, message: bytes) -> None:
    if transport == "udp":
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        with contextlib.closing(socket.socket(family, kind, protocol)) as sender:
            sender.sendto(message, address)  # RFC 5426
        return
    with socket.create_connection((host, port), SEND_SECONDS) as stream:
        stream.sendall(f"{len(message)} ".encode() + message)  # RFC 6587, 3.4.1
