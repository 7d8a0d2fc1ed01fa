"""Archives of a backup or a report: a zip or a folder of any size, written and read a piece at a time.

An archive is there with all of its content under its name, or not at all. The same content is the same bytes, where the
library that packs it is the same. Nobody but its owner may read one that is `SECRET`.
Whatever is read is held against MANIFEST to its last byte, each time that it is read.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from monitor import verifier
from monitor.bundle_files import (
    BROKEN,
    EPOCH,
    MANIFEST,
    SIGNATURE,
    aside,
    assure_small_directory,
    checked,
    is_zip,
    names_in,
    zip_entries,
)
from monitor.errors import CallError, Unverified
from monitor.seal import KEY, Seal, opened_seal, seal_of
from monitor.store import Signing
from monitor.vault import CHUNK, sync_folder

SECRET, PLAIN = 0o600, 0o644  # of what only its owner may read, and of what is made to be given to others
LARGEST_TEXT = 64 * 2**20  # bytes, of what is read as a whole: MANIFEST, BACKUP.json
LONGEST_LINE = 2**26  # bytes, of a row
FAST = 1  # of zlib: rows come to a tenth, and the daemon needs the core too


class Sink(Protocol):
    """Where an archive is written to."""

    def add(self, name: str, pieces: Iterable[bytes]) -> str:
        """A new file; its SHA-256."""


class ZipSink:
    def __init__(self, packed: zipfile.ZipFile, mode: int) -> None:
        self._packed, self._mode = packed, mode

    def add(self, name: str, pieces: Iterable[bytes]) -> str:
        said = zipfile.ZipInfo(name, EPOCH)
        said.create_system, said.external_attr = 3, (stat.S_IFREG | self._mode) << 16
        said.compress_type = zipfile.ZIP_DEFLATED
        with self._packed.open(said, "w", force_zip64=True) as file:
            return _written(file, pieces)


class FolderSink:
    def __init__(self, folder: Path, mode: int) -> None:
        self._folder, self._mode = folder, mode

    def add(self, name: str, pieces: Iterable[bytes]) -> str:
        place = self._folder.joinpath(*name.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_file(place, self._mode) as file:
            return _written(file, pieces)


class Sealing:
    """An archive that is being written, and is sealed at its end: MANIFEST lists all that was added, and is signed."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digests: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        self._digests[name] = self._sink.add(name, pieces)

    def seal(self, signer: Signing) -> Seal:
        """Adds the key that signs, MANIFEST, and its signature."""
        key = verifier.pem(signer.key).encode()
        self.add(KEY, [key])
        seal = seal_of(self._digests, signer)
        for name, content in seal.items():
            self._sink.add(name, [content])
        return opened_seal("", {**seal, KEY: key}, "archive")[0]


def _written(file: IO[bytes], pieces: Iterable[bytes]) -> str:
    found = sha256()
    for piece in pieces:
        found.update(piece)
        file.write(piece)
    return found.hexdigest()


@contextmanager
def new_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file with just these rights, durable at the end."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(number, "wb") as file:
        yield file
        file.flush()
        os.fsync(number)


@contextmanager
def new_archive(path: Path, mode: int = SECRET) -> Iterator[Sink]:
    """A new archive, a zip if it is called so, or else a folder. It has its name at the end, when all of it is durable.

    CallError if something is there, or it cannot be written; then nothing is left of it.
    """
    path = Path(os.path.abspath(path))
    assure_place(path)
    try:
        with aside(path) as new:
            if is_zip(path):
                with (
                    new_file(new, mode) as file,
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=FAST) as packed,
                ):
                    yield ZipSink(packed, mode)
            else:
                new.mkdir(0o700 if mode == SECRET else 0o755)
                yield FolderSink(new, mode)
                _sync_all(new)
            _assure_free(path)
            os.rename(new, path)
            sync_folder(path.parent)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CallError(f"{path} cannot be written: {why}; nothing is left of it") from None


def assure_place(path: Path) -> None:
    """CallError if no archive can be made there."""
    _assure_free(path)
    if not Path(os.path.abspath(path)).parent.is_dir():
        raise CallError(f"there is no folder {path.parent}; make it first")


def _assure_free(path: Path) -> None:
    if os.path.lexists(path):
        raise CallError(f"{path} exists already; it is left as it is: name another")


def _sync_all(folder: Path) -> None:
    for place, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(place))


class Archive:
    """An archive that is read. `sizes` are in bytes, by the name of each file."""

    def __init__(self, path: Path, packed: zipfile.ZipFile | None) -> None:
        self.path = path
        self._packed = packed
        if packed is not None:
            self.sizes = {each.filename: each.file_size for each in zip_entries(path, packed)}
        else:
            names = checked(path, names_in(path))
            self.sizes = {name: path.joinpath(*name.split("/")).stat().st_size for name in names}
        head = {name: self._whole(name) for name in (MANIFEST, SIGNATURE, KEY) if name in self.sizes}
        self.seal, self.listed = opened_seal(str(path), head, "backup")
        self._assure_complete()

    @property
    def size(self) -> int:
        """In bytes, of all files, unpacked."""
        return sum(self.sizes.values())

    def _assure_complete(self) -> None:
        for name in sorted({*self.listed, *self.sizes} - {MANIFEST, SIGNATURE}):
            if name not in self.sizes:
                raise Unverified(f"{self.path}: {name} is missing")
            if name not in self.listed:
                raise Unverified(f"{self.path}: {name} is not of this backup: {MANIFEST} does not name it")

    def _open(self, name: str) -> IO[bytes]:
        if self._packed is not None:
            return self._packed.open(name)
        return self.path.joinpath(*name.split("/")).open("rb")

    def _whole(self, name: str) -> bytes:
        if self.sizes[name] > LARGEST_TEXT:
            raise CallError(f"{self.path}: {name} is larger than in any backup")
        with self._open(name) as file:
            return file.read(self.sizes[name])

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file, a piece at a time; Unverified at its end if it is not what MANIFEST says."""
        found, left = sha256(), self.sizes[name]
        with _plainly(self.path), self._open(name) as file:
            while piece := file.read(min(CHUNK, left + 1)):
                left -= len(piece)
                if left < 0:
                    break
                found.update(piece)
                yield piece
        if found.hexdigest() != self.listed[name] or left:
            raise Unverified(f"{self.path}: {name} was changed: it is not what {MANIFEST} says")

    def text(self, name: str) -> bytes:
        """A whole file that is not large."""
        if name not in self.sizes or self.sizes[name] > LARGEST_TEXT:
            raise CallError(f"{self.path} is no backup: it has no {name}, or one that is too large")
        return b"".join(self.pieces(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file."""
        rest = b""
        for piece in self.pieces(name):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_LINE:
                raise Unverified(f"{self.path}: {name} has a line that is longer than any row")
        if rest:
            yield rest


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """An archive. CallError if it is none, or cannot be read; Unverified, with the name of the file, if one was added,
    lost or changed, or the signature is not of its key."""
    with ExitStack() as stack:
        with _plainly(path):
            if path.is_dir():
                archive = Archive(path, None)
            elif not stat.S_ISREG(path.stat().st_mode):
                raise CallError(f"{path} is neither a folder nor a zip")
            else:
                file = stack.enter_context(path.open("rb"))
                assure_small_directory(path, file, over_4_gb=True)
                archive = Archive(path, stack.enter_context(zipfile.ZipFile(file)))
        yield archive


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """What may go wrong with reading an archive as a sentence."""
    try:
        yield
    except OSError as error:
        raise CallError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except BROKEN as error:
        raise Unverified(f"{path} is no backup, or it is broken: {error}") from None


def assure_room(archive: Archive, folder: Path, what: str) -> None:
    """CallError if what is packed would not go onto a disk: a real one lacks room, and a bomb does not go off."""
    free = shutil.disk_usage(folder).free
    if archive.size * 2 > free:  # rows and their indexes; a transaction is on the disk twice
        need = archive.size * 2 // 2**20 + 1
        raise CallError(f"{folder} has {free // 2**20} MB free, and {what} needs up to {need} MB")
