"""A kit on the disk: a folder, or a zip that is the same to the byte whenever the kit is the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any, BinaryIO, Protocol

from monitor.errors import CallError
from monitor.kit import Attached
from monitor.vault import FileState, Step, Vault, close_durably, sync_folder, written_aside

CHECKSUMS = "SHA256SUMS"
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # no names of files on Windows
LONGEST = 120  # letters of a name
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say; a kit is of no time
MODE = 0o644
UNIX = 3  # the system that a zip says it was made on


def safe_name(name: str) -> str:
    """A name that every system takes as that of one file."""
    shown = UNSAFE.sub("_", "".join(letter if letter.isprintable() else "_" for letter in name)).strip(" .")
    if len(shown) > LONGEST:
        stem, suffix = PurePosixPath(shown).stem, PurePosixPath(shown).suffix[:16]
        shown = stem[: LONGEST - len(suffix)] + suffix
    return f"_{shown}" if not shown or RESERVED.fullmatch(shown) else shown


def file_names(files: Iterable[tuple[str, str]]) -> list[str]:
    """Names in one folder, each once, for files that are given by name and digest."""
    taken = {CHECKSUMS.lower()}
    names = []
    for name, digest in files:
        safe = safe_name(name)
        if safe.lower() in taken:
            path = PurePosixPath(safe)
            safe = f"{path.stem}-{digest[:12]}{path.suffix}"
        while safe.lower() in taken:
            safe = f"_{safe}"
        taken.add(safe.lower())
        names.append(safe)
    return names


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """kit.json."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def checksums(attached: Iterable[Attached]) -> bytes:
    """SHA256SUMS, as sha256sum -c reads it."""
    there = [each for each in attached if each.state is FileState.WHOLE]
    return "".join(f"{each.fitting.artefact.digest}  {each.name}\n" for each in there).encode()


class Target(Protocol):
    """Where the files of a kit are written to, one after the other."""

    def file(self, name: str, size: int) -> AbstractContextManager[Any]: ...


class Folder:
    """A kit as a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[BinaryIO]:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            yield file
            close_durably(file)


class Zip:
    """A kit as a zip: one folder in it, nothing compressed, so that every zlib makes the same of it."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self.archive = archive
        self.folder = folder

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[Any]:
        entry = zipfile.ZipInfo(f"{self.folder}/{name}", EARLIEST)
        entry.external_attr = MODE << 16
        entry.create_system = UNIX
        entry.file_size = size
        with self.archive.open(entry, "w") as file:
            yield file


def write(target: Target, vault: Vault, texts: Mapping[str, bytes], attached: Sequence[Attached], step: Step) -> None:
    """Write a kit. CallError if a file of the vault is not what it was a moment ago."""
    for name, content in texts.items():
        with target.file(name, len(content)) as file:
            file.write(content)
    for each in attached:
        if each.state is FileState.WHOLE:
            with target.file(f"files/{each.name}", each.fitting.artefact.size) as file:
                vault.copy(each.fitting.artefact.digest, file, step)


@contextmanager
def prepared(path: Path, folder: str) -> Iterator[Target]:
    """Where to write a kit to: it takes its place at the end, all of it, or leaves nothing behind."""
    if os.path.lexists(path):
        raise CallError(f"{path} exists already; it is left as it is")
    if not path.parent.is_dir():
        raise CallError(f"there is no folder {path.parent}")
    if path.suffix.lower() == ".zip":
        with written_aside(path.parent, str(path)) as (file, aside):
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield Zip(archive, folder)
            close_durably(file)
            aside.chmod(MODE)
            os.rename(aside, path)
            sync_folder(path.parent)
        return
    aside_folder: Path | None = None
    try:
        aside_folder = Path(mkdtemp(prefix=".kit-", dir=path.parent))
        yield Folder(aside_folder)
        aside_folder.chmod(0o755)
        os.rename(aside_folder, path)
        sync_folder(path.parent)
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        if aside_folder is not None and aside_folder.exists():
            shutil.rmtree(aside_folder, ignore_errors=True)
