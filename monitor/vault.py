"""The vault: a folder of files under their SHA-256. What is in it is never changed, and hashed whenever it is read.

A file is written aside, made durable, and then given its name; so whatever has a name is whole, or was harmed later.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from monitor.errors import CallError

CHUNK = 1 << 20  # bytes that are held at once
DIGEST = re.compile(r"[0-9a-f]{64}")
ASIDE = ".aside-"  # what the name of an unfinished file begins with

Step = Callable[[int], None]  # told how many bytes more are done


class FileState(StrEnum):
    """How a file of the vault is. BROKEN: its content is not what its name says."""

    WHOLE = "whole"
    MISSING = "missing"
    BROKEN = "broken"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is in the vault; `is_new` if it was not there before. `size` is in bytes."""

    digest: str
    size: int
    is_new: bool


def quietly(_count: int) -> None:
    """The step that nobody watches."""


class Vault:
    """The files in a folder. It is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where a file is, or would be."""
        return self.folder / digest[:2] / digest[2:]

    def has(self, digest: str) -> bool:
        """Whether a file is there, or cannot be ruled out: how it is, `state` says."""
        try:
            os.lstat(self.path(digest))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        except OSError:
            return True
        return bool(DIGEST.fullmatch(digest))

    def keep(self, source: Path, step: Step = quietly) -> Kept:
        """Take a copy of a file in. CallError if it cannot be read or kept, or if it changes meanwhile."""
        with opened_file(source) as file:
            before = os.fstat(file.fileno())
            with written_aside(self.folder, f"the vault {self.folder}") as (aside, name):
                digest = _copy(chunks(file, source), aside, step)
                after = os.fstat(file.fileno())
                size = aside.tell()
                close_durably(aside)
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
                    raise CallError(f"{source} changed while it was read; add it again when nobody writes to it")
                state = self.state(digest)
                if state is FileState.MISSING:
                    _put(name, self.path(digest))
                elif state is not FileState.WHOLE:
                    path = self.path(digest)
                    raise CallError(f"the copy in the vault is {state}: move {path} away, then add {source} again")
        return Kept(digest, size, state is FileState.MISSING)

    def state(self, digest: str, step: Step = quietly) -> FileState:
        """How a file is: all of it is read."""
        if not DIGEST.fullmatch(digest):
            return FileState.MISSING
        found = sha256()
        try:
            with opened_file(self.path(digest)) as file:
                for chunk in chunks(file, self.path(digest)):
                    found.update(chunk)
                    step(len(chunk))
        except CallError:
            return FileState.UNREADABLE if self.has(digest) else FileState.MISSING
        return FileState.WHOLE if found.hexdigest() == digest else FileState.BROKEN

    def copy(self, digest: str, out: BinaryIO, step: Step = quietly) -> None:
        """Write a file out. CallError if it is not there, or is no longer what its name says: then what was written
        is worth nothing."""
        path = self.path(digest)
        if not self.has(digest):
            raise CallError(f"the vault {self.folder} has no file {digest}")
        with opened_file(path) as file:
            if _copy(chunks(file, path), out, step) != digest:
                raise CallError(f"{path} is no longer what its name says: put back the file that it was")

    def digests(self) -> list[str]:
        """What there is a file of, sorted."""
        return sorted(f"{path.parent.name}{path.name}" for path in self._files() if self._has_its_name(path))

    def strangers(self) -> list[Path]:
        """What is in the folder and is no file of the vault: left behind by a crash, or put there by somebody."""
        return sorted(path for path in self._files() if not self._has_its_name(path))

    def _has_its_name(self, path: Path) -> bool:
        return path.parent.parent == self.folder and bool(DIGEST.fullmatch(f"{path.parent.name}{path.name}"))

    def _files(self) -> Iterator[Path]:
        def refuse(error: OSError) -> None:
            if error.errno != errno.ENOENT:
                raise CallError(f"the vault {self.folder} cannot be read: {error.strerror}")

        for folder, _, names in os.walk(self.folder, onerror=refuse):
            yield from (Path(folder) / name for name in names)


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open to be read; CallError for anything else. A FIFO is not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        if path.is_dir():
            raise CallError(f"{path} is a folder; name the files in it")
        number = os.open(path, flags)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CallError(f"{path} cannot be read: {why}") from None
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise CallError(f"{path} is no regular file")
        yield file


def chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """All that is in a file, a piece at a time."""
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except OSError as error:
        raise CallError(f"{path} cannot be read: {error.strerror}") from None


@contextmanager
def written_aside(folder: Path, what: str) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in a folder, and its path, gone at the end unless it was given a name. CallError for an error of
    writing it."""
    path = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, name = mkstemp(prefix=ASIDE, dir=folder)
        path = Path(name)
        with os.fdopen(number, "w+b") as file:
            yield file, path
    except OSError as error:
        raise CallError(f"{what} cannot be written: {error.strerror}") from None
    finally:
        if path is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _copy(pieces: Iterator[bytes], out: BinaryIO, step: Step) -> str:
    """Write all of it; the SHA-256 of what was written."""
    found = sha256()
    for chunk in pieces:
        found.update(chunk)
        out.write(chunk)
        step(len(chunk))
    return found.hexdigest()


def close_durably(file: BinaryIO) -> None:
    """Make what was written to a file durable, and close it: Windows gives no name to an open file."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _put(aside: Path, path: Path) -> None:
    """Give a file its name, for good."""
    path.parent.mkdir(exist_ok=True)
    aside.chmod(0o444)
    os.rename(aside, path)  # nobody loses anything: what may stand there by now has the same content
    for folder in (path.parent, path.parent.parent):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
