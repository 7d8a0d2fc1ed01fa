"""Evidence: decisions in transactions that are audited, checkpointed, and refused where the evidence does not verify.

The plant's key signs the head of the audit chain in the transaction that made it; after the commit the checkpoint is
kept outside of the store too, in files and at syslog receivers, so that a store that was rolled back is found out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from baselines.audit import Checkpoint
from baselines.snapshot import utc_text
from collectors.written import FileError, read_toml
from monitor import keys, store, verifier
from monitor.actions import assure_person
from monitor.config import Evidence, Plant
from monitor.errors import CallError, NotNow
from monitor.store import Actor, Database, Transaction
from monitor.verifier import Result

NOTICE = 8 * 13 + 5  # RFC 5424, 6.2.1: facility log audit, severity notice
NEWEST_BYTES = 2**16  # of a file outside, at its end, that an approval reads: some two hundred checkpoints
SEND_SECONDS = 3.0  # that a decision waits for the places outside of the store
CATCH_UP_SECONDS = 3.0  # that verifying waits for a checkpoint that is just being written there
LINES_AT_ONCE = 500  # of an export
CHANGES_MOST = 200  # lines of a changed configuration that an entry tells; its document holds it all
WITHOUT_RUNS = tuple(name for name in verifier.TABLES if name != "run")

T = TypeVar("T")
Say = Callable[[str], None]
Place = tuple[str, Callable[[], None]]  # what it is called when it fails, and how a checkpoint gets there


@contextmanager
def deciding(plant: Plant, database: Database, actor: Actor, say: Say, sound: bool = False) -> Iterator[Transaction]:
    """A transaction in which a person decides something. `say` is told what else should be known.

    NotNow if the actor signs as somebody whose key it is not: the chain would never verify again. With `sound` also if
    the evidence does not verify: nobody approves on top of a chain that somebody has changed.
    """
    with database.write() as tx, decided(tx, plant, actor, say, sound) as made:
        yield tx
    publish(plant, made, say)


@contextmanager
def decided(tx: Transaction, plant: Plant, actor: Actor, say: Say, sound: bool = False) -> Iterator[list[Checkpoint]]:
    """What `deciding` does within its transaction. The checkpoints that it makes at the end are to be published after
    the commit: they are in the list then."""
    assure_person(tx, actor, False)
    if sound:
        assure_sound(tx, plant)
    now, made = datetime.now(UTC), list[Checkpoint]()
    note_configuration(tx, plant, actor, now)
    for name in note_assets(tx, plant, actor, now):
        say(returned(name))
    yield made
    with _spoken(say):
        made += checkpoint(tx, plant.evidence, now)


@contextmanager
def _spoken(say: Say) -> Iterator[None]:
    try:
        yield
    except CallError as error:  # the decision stands; only its checkpoint has to wait
        say(f"no checkpoint was made: {error}")


def assure_sound(tx: Transaction, plant: Plant) -> None:
    """NotNow if the audit chain, what it speaks of, or a checkpoint outside does not verify."""
    flaw = verified(tx, plant, WITHOUT_RUNS, every_signature=False).first_bad
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
    every_signature: bool = True,
    begun: datetime | None = None,
) -> Result:
    """The evidence in the store, and the checkpoints that are kept outside of it (`more` of them in other files),
    verified. CallError if one of these cannot be read.

    They are read before anything is read in `tx`: each was in the store before it was there. Where something was, as
    since `begun`, those that were made from then on are left out. Without `every_signature` only the newest are read,
    which cover all that the others do.
    """
    outside, missing = [], []
    for path in (*plant.evidence.files, *more):
        try:
            outside += list(verifier.read_checkpoints(path, None if every_signature else NEWEST_BYTES))
        except FileNotFoundError:
            if path not in plant.evidence.files:
                raise CallError(f"there is no file {path}") from None
            missing.append(path)
        except OSError as error:
            raise CallError(f"the checkpoints in {path} cannot be read: {error.strerror}") from None
    if begun is not None:
        outside = [row for row in outside if not _is_later(row, begun)]
    with store.any_text(tx):
        result = verifier.verify(store.evidence(tx, tables, whole=False), outside, key, every_signature)
    if result.checkpoints:
        why = "the checkpoints outside of the store are missing: {}; put the file back, or take it out of [evidence]"
        noted = _noted_files(tx, plant) if missing else ()
        result.flaws += [verifier.Flaw(None, why.format(path)) for path in missing if path in noted]
    return result


def _is_later(row: verifier.Row, begun: datetime) -> bool:
    at = row.get("at")
    return isinstance(at, str) and at >= utc_text(begun)


def verified_within(tx: Transaction, plant: Plant, begun: datetime) -> Result:
    """All that there is verified in full, in a transaction in which things were read already, as since `begun`."""
    result = verified(tx, plant, begun=begun)
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while (late := _behind(tx, plant)) and time.monotonic() < deadline:
        time.sleep(CATCH_UP_SECONDS / 10)
    result.flaws += late
    return result


def _noted_files(tx: Transaction, plant: Plant) -> Collection[Path]:
    """The files that were configured when the configuration was last written down: one that is new has nothing yet."""
    last = store.last_detail(tx, "configuration.change")
    noted = _settings(store.document(tx, last.get("digest", ""))) if last else {}
    try:
        places = json.loads(noted.get("evidence.checkpoints", "null"))
    except (ValueError, TypeError):
        places = None
    if not isinstance(places, list):  # the default, or it cannot be read
        return plant.evidence.files
    return [plant.path.resolve().parent / place for place in places if isinstance(place, str)]


def verified_in_full(database: Database, plant: Plant, key: str | None = None, more: Iterable[Path] = ()) -> Result:
    """The same with all that there is, and with it that no line is missing at the end of a file outside."""
    more = tuple(more)
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        with database.read() as tx:
            result = verified(tx, plant, key=key, more=more)
            late = _behind(tx, plant)
        if result.flaws or not late or time.monotonic() > deadline:
            result.flaws += late
            return result
        time.sleep(CATCH_UP_SECONDS / 10)  # the decision is committed, and its line is about to be written


def _behind(tx: Transaction, plant: Plant) -> list[verifier.Flaw]:
    """The files outside that do not hold the newest checkpoint of the store."""
    newest = store.newest_checkpoint(tx)
    if newest is None:
        return []
    why = "{} has no checkpoint at entry {}: lines of it were cut off, or could not be written (the next decision will)"
    return [
        verifier.Flaw(None, why.format(path, newest.entries))
        for path in plant.evidence.files
        if os.path.exists(path) and not _holds(path, newest)
    ]


def _holds(path: Path, newest: Checkpoint) -> bool:
    """Whether a file has a checkpoint, or a later one."""
    with contextlib.suppress(OSError):
        return any(row.get("entries", 0) >= newest.entries for row in verifier.read_checkpoints(path))
    return False


def export(tx: Transaction, path: Path) -> None:
    """Write the evidence to a file that the verifier reads alone."""
    try:
        with path.open("wb") as file:
            file.writelines(exported(tx))
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None


def exported(tx: Transaction) -> Iterator[bytes]:
    """The evidence, a line for each row of each table, many at once, whatever its cells hold.

    It leaves the house: of private keys that are kept sealed it has the digest, which is all that the chain says of
    them.
    """
    encode = json.JSONEncoder(default=str).encode
    with store.any_text(tx):
        for table, rows in store.evidence(tx).items():
            said = map(_without_keys if table == "person" else dict, rows)
            while lines := [encode({"table": table, "row": row}) for row in islice(said, LINES_AT_ONCE)]:
                yield "".join(f"{line}\n" for line in lines).encode()


def _without_keys(row: Mapping[str, Any]) -> dict[str, Any]:
    sealed = row["sealed"]
    digest = verifier.digest_of(str(sealed)) if sealed is not None else ""
    return {**{name: value for name, value in row.items() if name != "sealed"}, "sealed_digest": digest}


def note_configuration(tx: Transaction, plant: Plant, actor: Actor, now: datetime) -> None:
    """Write down what is configured, if it is not what was written down last."""
    text = json.dumps(plant.settings, sort_keys=True)
    last = store.last_detail(tx, "configuration.change")
    digest = store.keep_document(tx, text)
    if last is not None and last.get("digest") == digest:
        return
    before = _settings(store.document(tx, last.get("digest", ""))) if last else {}
    detail = {"digest": digest, "changes": "first seen" if last is None else _changes(before, plant.settings)}
    store.audit(tx, now, replace(actor, signer=None), "configuration.change", "", detail)


def _settings(text: str | None) -> dict[str, str]:
    """A configuration that was written down; nothing where it is missing or broken, which verifying says."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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
    head = store.audit_head(tx)
    assert head is not None
    return [_sign(tx, *head, signer, now)]


def cover(plant: Plant, database: Database, say: Say) -> None:
    """Sign and publish what the program decided by itself meanwhile, if it did."""
    with database.read() as tx:
        if store.last_audit_id(tx) == store.last_checkpoint(tx):
            return
    made: list[Checkpoint] = []
    with database.write() as tx, _spoken(say):
        made = checkpoint(tx, plant.evidence, datetime.now(UTC))
    publish(plant, made, say)


def plant_key(tx: Transaction, evidence: Evidence, now: datetime) -> keys.Signer:
    """The key that signs for the plant now, made where there is none yet; CallError if it cannot be used."""
    known = store.last_detail(tx, *verifier.NEW_KEYS)
    if known is None:
        signer = _new_key(evidence)
        store.audit(tx, now, store.ITSELF, "key.add", "", {"public_key": signer.key})
        return signer
    key = known.get("public_key", "")
    _take_rotated(evidence, key)
    signer = keys.load(evidence.key)
    if signer.key != key:
        raise CallError(f"{evidence.key} is not the key of this chain; that is {key}")
    return signer


def _take_rotated(evidence: Evidence, key: str) -> None:
    """After a rotation: the key that the chain has taken in takes the place of the old one, which is put aside.

    A crash after the first half leaves no key in the old one's place; then the second half is still to be done.
    """
    fresh = _fresh(evidence, key)
    if not os.path.exists(fresh) or keys.load(fresh).key != key:
        return
    try:
        if os.path.exists(evidence.key):
            old = keys.load(evidence.key).key
            os.replace(evidence.key, evidence.key.with_name(f"{evidence.key.name}.{old[:8]}"))
        os.replace(fresh, evidence.key)
    except OSError as error:
        raise CallError(f"the new key cannot be put in the place of {evidence.key}: {error.strerror}") from None


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
    fresh = _fresh(evidence, new.key)
    try:
        keys.save(new, fresh)
    except OSError as error:
        raise CallError(f"the key {fresh} cannot be written: {error.strerror}") from None
    entry = store.audit(tx, now, actor, "key.rotate", "", {"public_key": new.key, "reason": reason})
    return [_sign(tx, entry.id, entry.hash, old, now)]


def _sign(tx: Transaction, entries: int, head: str, signer: keys.Signer, now: datetime) -> Checkpoint:
    made = Checkpoint(entries, head, now, signer.key)
    made = replace(made, signature=signer.sign(made.statement()))
    store.add_checkpoint(tx, made)
    return made


def publish(plant: Plant, made: list[Checkpoint], say: Say) -> None:
    """Keep checkpoints outside of the store, in all places at once, none of which may hold up a decision for long. What
    fails is said, and stops nothing: the next checkpoint covers it too."""
    places = [place for each in made for place in _places(plant.evidence, each)]
    sending = [(what, begun(job)) for what, job in places]
    deadline = time.monotonic() + SEND_SECONDS
    for what, done in sending:
        try:
            done.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            say(f"the checkpoint could not be {what} within {SEND_SECONDS:g} s")
        except OSError as error:
            say(f"the checkpoint could not be {what}: {error.strerror or error}")


def publish_newest(tx: Transaction, plant: Plant, say: Say) -> None:
    """Keep the newest checkpoint where it is not kept yet: a crash came between its commit and its way outside."""
    newest = store.newest_checkpoint(tx)
    if newest is None:
        return
    files = tuple(path for path in plant.evidence.files if os.path.exists(path) and not _holds(path, newest))
    publish(replace(plant, evidence=replace(plant.evidence, files=files)), [newest], say)


def _places(evidence: Evidence, made: Checkpoint) -> Iterator[Place]:
    for path in evidence.files:
        yield f"kept in {path}", partial(_append, str(path), made.line() + "\n")
    for transport, host, port in evidence.receivers:
        send = _send_udp if transport == "udp" else _send_tcp
        yield f"sent to syslog at {host}:{port}", partial(send, host, port, _syslog(made))


def begun(job: Callable[[], T]) -> Future[T]:
    """A job in a thread that does not keep the process from ending: a name server or a share may hang for minutes."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(job())
        except Exception as error:  # given to the one who asked, who knows what it means
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def _append(path: str, line: str) -> None:
    """One write to the end, so that two processes do not mix their lines; durable before we go on."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size = os.lseek(number, 0, os.SEEK_END)
        if size:
            os.lseek(number, size - 1, os.SEEK_SET)
        torn = size > 0 and os.read(number, 1) != b"\n"
        data = (("\n" if torn else "") + line).encode()
        if os.write(number, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(number)
    finally:
        os.close(number)


def _syslog(made: Checkpoint) -> bytes:
    """RFC 5424, 6: the checkpoint as the message."""
    head = f"<{NOTICE}>1 {utc_text(made.at)} {socket.gethostname()} asbuilt {os.getpid()} checkpoint -"
    return f"{head} {made.line()}".encode()


def _send_udp(host: str, port: int, message: bytes) -> None:
    """RFC 5426: a message is a datagram, and nobody says whether it has come."""
    (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    with socket.socket(family, kind, protocol) as sender:
        sender.sendto(message, address)


def _send_tcp(host: str, port: int, message: bytes) -> None:
    """RFC 6587, 3.4.1: the length before the message."""
    with socket.create_connection((host, port), SEND_SECONDS) as stream:
        stream.sendall(f"{len(message)} ".encode() + message)
