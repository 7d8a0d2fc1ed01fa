"""Restoring a backup into an empty folder and an empty database: checked as a whole, then written, and a decision.

What is written has no plant.toml until all of it is there: what a kill leaves is no plant. The rows come in one
transaction, with the entry that says who restored what.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from collectors.written import FileError
from monitor import evidence, store, verifier
from monitor.archive import Archive, assure_room, new_file
from monitor.backup import ABOUT, CHECKPOINTS, FILES, FORMAT, KEY_FILE, PLANT, PROFILE, STORE, VAULT, About, Kept
from monitor.config import Plant, load_plant
from monitor.edits import set_in_section
from monitor.errors import CallError, NotNow, Unverified
from monitor.seal import KEY
from monitor.store import Actor, Database, Held, Transaction, store_url
from monitor.store.dump import TABLES
from monitor.vault import sync_folder
from monitor.verifier import Result

UNFINISHED = ".unfinished"  # behind the name of plant.toml, until all is there
ELSEWHERE = "elsewhere"  # the folder for what had its place outside of plant.toml's folder
PART = re.compile(r"[^/\\:\0]+")
ARTEFACT = re.compile(rf"{VAULT}[0-9a-f]{{2}}/[0-9a-f]{{62}}")
BEFORE = "before-restore"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that is whole: what it says of itself, what its evidence came to, and the files of the vault that a
    baseline names and it does not hold, or that are not what their name says."""

    about: About
    result: Result
    missing: list[str]
    broken: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: `aside` has the files of checkpoints that were put aside, `elsewhere` the files whose place is
    outside of the folder, by where they are now."""

    plant: Path
    entry: int
    held: Held
    aside: list[Path]
    elsewhere: dict[str, str]


def about(archive: Archive) -> About:
    """What a backup says of itself; CallError if it is none, or of a newer asbuilt."""
    where = archive.path
    try:
        said = msgspec.json.decode(archive.text(ABOUT))
        if isinstance(said, dict) and isinstance(said.get("backup"), int) and said["backup"] > FORMAT:
            raise CallError(f"{where} was made by a newer asbuilt: upgrade asbuilt first")
        found = msgspec.convert(said, About)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CallError(f"{where} is no backup: {ABOUT} cannot be read: {error}") from None
    known = {ABOUT, KEY, *(kept.name for kept in found.files), *(f"{STORE}{name}.jsonl" for name in found.tables)}
    for name in archive.sizes:
        listed = name in known or (found.vault is not None and ARTEFACT.fullmatch(name))
        if name.startswith((FILES, STORE, VAULT)) and not listed:
            raise Unverified(f"{where}: {name} is nothing that asbuilt puts in a backup")
    for kept in found.files:
        _assure_plain(where, kept.path)
    if found.vault is not None:
        _assure_plain(where, found.vault)
    if strange := set(found.tables) - set(TABLES):
        raise CallError(f"{where} has a table that this asbuilt does not know: {min(strange)}; upgrade asbuilt first")
    if sum(kept.kind == PLANT for kept in found.files) != 1 or not all(k.name in archive.sizes for k in found.files):
        raise CallError(f"{where} is no backup: it has no plant.toml, or not all of its files")
    return found


def _assure_plain(where: Path, path: str) -> None:
    """Unverified for a path that leads out of the folder in a way that asbuilt never writes."""
    parts = path.lstrip("/").split("/")
    if not all(PART.fullmatch(part) and part not in (".", "..") for part in parts) and not _is_drive(path):
        raise Unverified(f"{where}: {path!r} is no place for a file of a plant")


def _is_drive(path: str) -> bool:
    """Whether it is a path of Windows, from a drive on: it is elsewhere, and never written to."""
    return bool(re.fullmatch(r"[A-Za-z]:/[^\0]*", path))


def _is_inside(path: str) -> bool:
    return not path.startswith("/") and not _is_drive(path)


def check(archive: Archive, trust: str = "") -> Checked:
    """Read all of a backup, put its rows into a store aside, and verify the evidence in it.

    Unverified if anything was changed, or if another key than `trust` signed it.
    """
    said, where = about(archive), archive.path
    if trust and archive.seal.key != trust.lower():
        raise Unverified(f"{where} is signed by {archive.seal.key}, and not by {trust.lower()}")
    files = [name for name in archive.sizes if name.startswith(VAULT)]
    broken = [_digest_in(name) for name in files if archive.listed[name] != _digest_in(name)]
    with tempfile.TemporaryDirectory(prefix="asbuilt-backup-") as temporary:
        aside = Path(temporary)
        assure_room(archive, aside, "checking this backup (TMPDIR names another place)")
        for name in archive.listed:
            _consume(archive.pieces(name))
        outside = list(_checkpoints_in(archive, said, aside))
        with closing(Database(f"sqlite:///{aside / 'asbuilt.db'}")) as database, database.write() as tx:
            _load(tx, archive, said)
            with store.any_text(tx):
                result = verifier.verify(store.evidence(tx), outside)
            if (store.audit_head(tx) or (0, verifier.GENESIS)) != (said.entries, said.head):
                raise Unverified(f"{where}: the audit chain in it does not end as {ABOUT} says")
            named = {each.digest for each in store.artefacts(tx)}
    if result.keys and archive.seal.key not in result.keys:
        raise Unverified(f"{where} is signed by {archive.seal.key}, which is no key of the plant in it")
    missing = sorted(named - set(map(_digest_in, files))) if said.vault is not None else []
    return Checked(said, result, missing, sorted(broken))


def _consume(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


def _digest_in(name: str) -> str:
    return name.removeprefix(VAULT).replace("/", "")


def _checkpoints_in(archive: Archive, said: About, aside: Path) -> Iterator[verifier.Row]:
    for number, kept in enumerate(said.files):
        if kept.kind == CHECKPOINTS:
            path = aside / f"{number}.checkpoints"
            with new_file(path, 0o600) as file:
                file.writelines(archive.pieces(kept.name))
            yield from verifier.read_checkpoints(path)


def _load(tx: Transaction, archive: Archive, said: About) -> None:
    """The rows of a backup, in an empty database, at this version's schema."""
    store.make_schema(tx, said.schema)
    for name in TABLES:
        if name in said.tables:
            count = store.load(tx, name, archive.lines(f"{STORE}{name}.jsonl"))
            if count != said.tables[name]:
                raise Unverified(f"{archive.path}: {name} has {count} rows, and {ABOUT} says {said.tables[name]}")
    store.bring_up(tx)


def restore(
    archive: Archive,
    checked: Checked,
    folder: Path,
    who: Callable[[Transaction, Plant], Actor],
    now: datetime,
    reason: str,
    say: Say,
    url: str = "",
) -> Restored:
    """Restore a backup that was checked. All of it is there in the end, or what was written is taken away again.

    CallError, NotNow or FileError if the folder or the database is not empty, or it cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    assure_empty(folder)
    said = checked.about
    place = url or _url_in(archive, said)
    try:
        database = Database(store_url(place, folder))
    except ValueError as error:
        raise CallError(f"--url {error}" if url else f"store.url: {error}; name another with --url") from None
    with closing(database):
        _assure_none(database)
        writing = _Writing(archive, folder)
        try:
            return _restored(writing, said, database, who, now, reason, say, url)
        except BaseException as error:
            writing.undo()
            database.close()
            _take_away(database)
            if isinstance(error, OSError):
                raise CallError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
            raise


def _restored(
    writing: _Writing,
    said: About,
    database: Database,
    who: Callable[[Transaction, Plant], Actor],
    now: datetime,
    reason: str,
    say: Say,
    url: str,
) -> Restored:
    archive, folder = writing.archive, writing.folder
    assure_room(archive, _existing(folder), "restoring this backup")
    plant_file = writing.files(said)
    if url:
        set_in_section(plant_file, "store", "url", url)
    try:
        plant = load_plant(plant_file)
    except FileError as error:
        raise FileError(plant_file.name.removesuffix(UNFINISHED), error.faults) from None
    with database.write() as tx:
        if not store.is_empty(tx):
            raise _not_empty(database)
        _load(tx, archive, said)
        held, actor = store.hold_back_news(tx), who(tx, plant)
        aside = _put_aside(tx, plant, now, say)
        with evidence.decided(tx, plant, actor, say) as made:
            detail = {"manifest": archive.seal.manifest, "made_at": said.made_at, "reason": reason}
            detail |= {"entries": str(said.entries), "head": said.head, "signed_by": archive.seal.key}
            detail |= {"messages": str(held.messages), "aside": "\n".join(map(str, aside))}
            entry = store.audit(tx, now, actor, "store.restore", "", detail)
    finished = plant_file.with_name(plant_file.name.removesuffix(UNFINISHED))
    evidence.publish(replace(plant, path=finished), made, say)
    os.rename(plant_file, finished)
    sync_folder(folder)
    return Restored(finished, entry.id, held, aside, writing.elsewhere)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def assure_empty(folder: Path) -> None:
    """NotNow unless a folder is empty, or not there."""
    try:
        there = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CallError(f"{folder} cannot be used: {(error.strerror or str(error)).lower()}") from None
    if any(name.endswith(UNFINISHED) for name in there):
        raise NotNow(f"{folder} holds what a restore left that did not finish: delete it, then restore again")
    if there:
        raise NotNow(f"{folder} is not empty: it holds {there[0]}; name a new folder, a plant is never restored over")


def _url_in(archive: Archive, said: About) -> str:
    """Where the plant has its store; CallError if its plant.toml does not say so."""
    (kept,) = [kept for kept in said.files if kept.kind == PLANT]
    try:
        url = tomllib.loads(archive.text(kept.name).decode())["store"]["url"]
    except (ValueError, KeyError, TypeError):
        url = None
    if not isinstance(url, str):
        raise CallError(f"{archive.path}: its plant.toml names no store")
    return url


def _assure_none(database: Database) -> None:
    """NotNow if a store, or anything else, is in the database already."""
    if database.is_sqlite:
        if os.path.lexists(database.url.database or ""):
            raise _not_empty(database)
        return
    with database.read() as tx:
        if not store.is_empty(tx):
            raise _not_empty(database)


def _not_empty(database: Database) -> NotNow:
    return NotNow(f"the database {database.name} is not empty; name an empty one with --url, none is written over")


def _take_away(database: Database) -> None:
    """The file of a database that was made just now. One on a server was rolled back."""
    if database.is_sqlite:
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{database.url.database}{end}").unlink(missing_ok=True)


class _Writing:
    """What is written into the folder, so that it can be taken away again."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive, self.folder = archive, folder
        self.elsewhere: dict[str, str] = {}
        self._made: list[Path] = []

    def files(self, said: About) -> Path:
        """All files but the rows; where plant.toml is, under a name that says that it is not finished."""
        self._folder(self.folder)
        plant_file = None
        for kept in sorted(said.files, key=lambda kept: kept.kind != PLANT):
            if kept.kind == PLANT:
                plant_file = self.folder / f"{Path(kept.path).name}{UNFINISHED}"
                self._write(kept.name, plant_file)
            else:
                self._write(kept.name, self._place(kept), 0o600 if kept.kind == KEY_FILE else 0o644)
        if said.vault is not None:
            vault = self.folder / (said.vault if _is_inside(said.vault) else f"{ELSEWHERE}/vault")
            names = [name for name in self.archive.sizes if name.startswith(VAULT)]
            if names and not _is_inside(said.vault):
                self.elsewhere[said.vault] = str(vault)
            for name in names:
                self._write(name, vault / name.removeprefix(VAULT), 0o444)
        assert plant_file is not None
        return plant_file

    def _place(self, kept: Kept) -> Path:
        if _is_inside(kept.path):
            return self.folder / kept.path
        there = Path(kept.path)
        if kept.kind == PROFILE and not there.exists():
            why = f"plant.toml names {kept.path}, which is outside of its folder, where a restore writes nothing"
            raise CallError(f"{why}: unpack {kept.name} of the backup there first")
        place = self.folder / ELSEWHERE / kept.name.removeprefix(FILES)
        if kept.kind != CHECKPOINTS and not there.exists():
            self.elsewhere[kept.path] = str(place)
        return place

    def _write(self, name: str, path: Path, mode: int = 0o644) -> None:
        self._folder(path.parent)
        self._made.append(path)
        with new_file(path, mode) as file:
            file.writelines(self.archive.pieces(name))

    def _folder(self, folder: Path) -> None:
        for each in reversed([folder, *folder.parents]):
            if not each.is_dir():
                each.mkdir()
                self._made.append(each)

    def undo(self) -> None:
        """Take away what was written."""
        for path in reversed(self._made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()


def _put_aside(tx: Transaction, plant: Plant, now: datetime, say: Say) -> list[Path]:
    """Give the files of checkpoints that hold what is not in the restored store another name: they prove what was lost.
    A file that cannot be renamed is said; the evidence does not verify beside it."""
    (rows,) = store.evidence(tx, ("checkpoint",)).values()
    known = {verifier.line_of(row) for row in rows}
    aside = []
    for path in plant.evidence.files:
        if not path.is_file():
            continue
        try:
            if all("line" in row or verifier.line_of(row) in known for row in verifier.read_checkpoints(path)):
                continue
            new = path.with_name(f"{path.name}.{BEFORE}-{now:%Y%m%dT%H%M%SZ}")
            os.rename(path, new)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            say(f"{path} has checkpoints that are newer than the backup, and cannot be put aside: {why}")
            continue
        aside.append(new)
    return aside
