"""Backups: all that a plant needs to go on on another machine, of one moment, signed. docs/backup.md has the format."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from baselines.snapshot import utc_text
from monitor import store, verifier
from monitor.archive import Sealing, new_archive
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.evidence import plant_key
from monitor.keys import Signer
from monitor.seal import Seal
from monitor.store import Database, Transaction
from monitor.store.dump import TABLES
from monitor.vault import Vault, chunks, opened_file

FORMAT = 1
ABOUT, STORE, FILES, VAULT = "BACKUP.json", "store/", "files/", "vault/"
PROFILE, CERTIFICATE, CHECKPOINTS, PLANT, KEY_FILE = "profile", "certificate", "checkpoints", "plant", "key"
NAMED = {"profile": PROFILE, "certificate": CERTIFICATE, "server_certificate": CERTIFICATE, "ca_file": CERTIFICATE}
SECRETS = ("private_key", "password_file", "secret_file", "token_file")  # keys of plant.toml that name a secret
SECTIONS = ("asset.", "notify.")  # in which plant.toml names files
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
SCHEDULED = re.compile(r"asbuilt-[0-9]{8}T[0-9]{6}Z\.zip")
UNFINISHED = re.compile(r"\.asbuilt-[0-9]{8}T[0-9]{6}Z\.zip\.[0-9a-f]{8}\.part")

Step = Callable[[str], None]  # told of each part that is done


@dataclass(frozen=True, slots=True)
class Kept:
    """A file in a backup: its name there, its path as plant.toml has it (relative to its folder, or absolute), and
    what it is."""

    name: str
    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not in a backup, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class About:
    """BACKUP.json: `tables` has the number of rows, `entries` and `head` are of the audit chain. `vault` is the path of
    its folder, null without."""

    backup: int
    asbuilt: str
    plant: str
    made_at: str
    schema: str
    entries: int
    head: str
    tables: dict[str, int]
    files: list[Kept]
    left_out: list[LeftOut]
    vault: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    path: Path
    about: About
    seal: Seal
    artefacts: int

    @property
    def is_secret(self) -> bool:
        """Whether whoever has it can sign as the plant."""
        return any(kept.kind == KEY_FILE for kept in self.about.files)


def back_up(
    plant: Plant,
    database: Database,
    path: Path,
    now: datetime,
    with_vault: bool = True,
    with_key: bool = True,
    step: Step = lambda _: None,
) -> Made:
    """Write a backup, while others go on. CallError if that cannot be done; then nothing is there."""
    signer = _signer(plant, database, now)
    with new_archive(path) as sink:
        packing = _Packing(plant, Sealing(sink), step)
        packing.configuration()
        packing.checkpoints()  # before the store: each was in it before it was there
        with database.read() as tx:
            schema, (entries, head) = store.schema(tx) or "", store.audit_head(tx) or (0, verifier.GENESIS)
            tables = {name: packing.table(tx, name) for name in TABLES}
        packing.keys(with_key)  # after the store: a new key may have come
        packing.vault(with_vault)
        about = About(
            FORMAT,
            version("asbuilt"),
            plant.name,
            utc_text(now),
            schema,
            entries,
            head,
            tables,
            packing.files,
            packing.left_out,
            packing.relative(plant.vault) if with_vault else None,
        )
        packing.archive.add(ABOUT, [json.dumps(msgspec.to_builtins(about), indent=2).encode()])
        seal = packing.archive.seal(signer)
    return Made(path, about, seal, packing.artefacts)


def _signer(plant: Plant, database: Database, now: datetime) -> Signer:
    with database.read() as tx:
        if store.last_detail(tx, *verifier.NEW_KEYS) is not None:
            return plant_key(tx, plant.evidence, now)
    with database.write() as tx:  # the first one is an entry of the chain
        return plant_key(tx, plant.evidence, now)


class _Packing:
    """What goes into one archive, and what was left out of it."""

    def __init__(self, plant: Plant, archive: Sealing, step: Step) -> None:
        self._plant, self.archive, self._step = plant, archive, step
        self._folder = plant.path.resolve().parent
        self.files: list[Kept] = []
        self.left_out: list[LeftOut] = []
        self.artefacts = 0

    def relative(self, path: Path) -> str:
        """A path as it is restored: below the folder of plant.toml, or absolute where it is elsewhere."""
        path = Path(os.path.abspath(path))
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else path.as_posix()

    def configuration(self) -> None:
        """plant.toml, and the files that it names; of the secret ones, the names."""
        self._keep(self._plant.path.resolve(), PLANT)
        if not self.files:
            raise CallError(f"{self._plant.path} cannot be read, and without it there is no backup")
        for place, text in self._plant.settings.items():
            value, key = json.loads(text) if place.startswith(SECTIONS) else None, place.rpartition(".")[2]
            if not isinstance(value, str) or not value:
                continue
            path = self._folder / value
            if key in SECRETS:
                self._leave_out(path, "a secret: no backup holds passwords, or keys of OPC UA")
            elif key in NAMED and (key != "profile" or value.endswith(".toml")):
                self._keep(path, NAMED[key])

    def checkpoints(self) -> None:
        for path in self._plant.evidence.files:
            if path.exists():
                self._keep(path, CHECKPOINTS)

    def keys(self, wanted: bool) -> None:
        """The plant's private key, and those that came before it or are about to."""
        key = self._plant.evidence.key
        for path in (key, *sorted(key.parent.glob(f"{key.name}.[0-9a-f]*"))):
            if not path.is_file() or path.name.endswith(".part"):
                continue
            if wanted:
                self._keep(path, KEY_FILE)
            else:
                self._leave_out(path, "the plant's key was not wanted: --without-key")

    def table(self, tx: Transaction, name: str) -> int:
        """The rows of a table; how many."""
        count = 0

        def counted() -> Iterator[bytes]:
            nonlocal count
            for lines in store.dumped(tx, name):
                count += lines.count(b"\n")
                yield lines

        self.archive.add(f"{STORE}{name}.jsonl", counted())
        self._step(f"table {name}")
        return count

    def vault(self, wanted: bool) -> None:
        vault = Vault(self._plant.vault)
        if not wanted:
            self._leave_out(self._plant.vault, "the vault was not wanted: --without-vault")
            return
        for digest in vault.digests():
            place = f"{VAULT}{digest[:2]}/{digest[2:]}"
            if self._copy(vault.path(digest), place):
                self.artefacts += 1
                self._step(f"vault {digest[:12]}")

    def _keep(self, path: Path, kind: str) -> None:
        where = self.relative(path)
        if any(kept.path == where for kept in self.files):
            return
        name = f"{FILES}{len(self.files) + 1:04}-{UNSAFE.sub('_', path.name)[-60:].rstrip('.') or '_'}"
        if self._copy(path, name):
            self.files.append(Kept(name, where, kind))

    def _copy(self, path: Path, name: str) -> bool:
        """Whether a file is in the archive now; one that cannot be opened is left out, with the reason."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(opened_file(path))
            except CallError as error:
                self._leave_out(path, str(error))
                return False
            self.archive.add(name, chunks(file, path))
        return True

    def _leave_out(self, path: Path, why: str) -> None:
        left = LeftOut(self.relative(path), why)
        if left not in self.left_out:
            self.left_out.append(left)


def scheduled(plant: Plant, database: Database, now: datetime) -> tuple[Made, list[Path]]:
    """The backup of the day, as [backup] says, and the old ones that gave way to it: as many stay as are to be kept.

    NotNow without [backup]; CallError or StoreError if it fails, and then the old ones stay.
    """
    wanted = plant.backups
    if wanted is None:
        raise NotNow(f"{plant.path} has no [backup]")
    folder = wanted.folder
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CallError(f"the folder {folder} for backups cannot be made: {error.strerror}") from None
    path = folder / f"asbuilt-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.zip"
    made = back_up(plant, database, path, now, wanted.with_vault, wanted.with_key)
    return made, _pruned(folder, wanted.keep)


def _pruned(folder: Path, keep: int) -> list[Path]:
    """Delete what scheduled backups wrote, but for the newest, and what one that was killed left; nothing else."""
    names = sorted(os.listdir(folder))
    old = [name for name in names if SCHEDULED.fullmatch(name)][:-keep]
    torn = [name for name in names if UNFINISHED.fullmatch(name)]
    for name in (*old, *torn):
        try:
            (folder / name).unlink()
        except OSError as error:
            raise CallError(f"the old backup {folder / name} cannot be deleted: {error.strerror}") from None
    return [folder / name for name in old]


def made_document(made: Made) -> Mapping[str, object]:
    """A backup that was made, as JSON shows it."""
    about = made.about
    return {
        "path": str(made.path),
        "made_at": about.made_at,
        "schema": about.schema,
        "entries": about.entries,
        "head": about.head,
        "tables": about.tables,
        "files": [{"path": kept.path, "kind": kept.kind} for kept in about.files],
        "artefacts": made.artefacts,
        "left_out": [{"path": left.path, "why": left.why} for left in about.left_out],
        "is_secret": made.is_secret,
        "key": made.seal.key,
        "manifest": made.seal.manifest,
    }
