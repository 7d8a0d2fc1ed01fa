"""Files of a bundle, by name: written to a folder or a zip, whole or not at all, and read from what a stranger made.

Whatever is read is bounded, and refused by name: a link, a name that leads elsewhere or means two things, a file that
is packed so that it grows without end.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from monitor import verifier
from monitor.errors import CallError

LARGEST = 256 * 2**20  # bytes, of all files together
MOST_FILES = 100_000
MANIFEST, SIGNATURE = verifier.MANIFEST, verifier.SEAL
LISTED, PART, LONGEST_NAME = verifier.LISTED, verifier.PART, verifier.LONGEST_NAME  # of a line, and of names
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold: the same content is the same bytes
PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
END_MARK, LARGE_MARK = b"PK\5\6", b"PK\6\7"  # end of central directory; where the one of a zip of over 4 GB is
ZIP_END = struct.Struct("<12xI6x")  # the size of the central directory
LARGE_END, LOCATOR = struct.Struct("<40xQ8x"), 20  # the same of a zip of over 4 GB; and how far it is from there
ZIP_TAIL = 2**16 + 128  # where these can be: before a comment
LARGEST_DIRECTORY = MOST_FILES * (46 + LONGEST_NAME)
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    OverflowError,
)

Files = Mapping[str, bytes]


def write(path: Path, files: Files) -> None:
    """Write files to a zip, if that is what `path` is called, or else to a folder; what an earlier export wrote there
    is replaced. They are written aside first: a call that ends early leaves what was there.

    CallError if something else is there, or it cannot be written.
    """
    path = Path(os.path.abspath(path))
    into_zip = is_zip(path)
    try:
        _assure_replaceable(path, into_zip)
        with aside(path) as new:
            if into_zip:
                _write_zip(new, files)
                os.replace(new, path)
            else:
                _write_folder(new, files)
                change_places(new, path)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CallError(f"{path} cannot be written: {why}; what was there is left as it was") from None


def is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _assure_replaceable(path: Path, into_zip: bool) -> None:
    """CallError unless nothing is there, or what an earlier export wrote."""
    if not path.parent.is_dir():
        raise CallError(f"there is no folder {path.parent}; make it first")
    if not os.path.lexists(path):
        return
    what = f"{path} exists already, and no export wrote it; name another place"
    if path.is_symlink() or (into_zip != path.is_file()):
        raise CallError(what)
    if into_zip:
        try:
            with zipfile.ZipFile(path) as packed:
                if MANIFEST in packed.namelist():
                    return
        except BROKEN:
            pass
        raise CallError(what)
    try:
        there = set(names_in(path))
    except CallError as error:
        raise CallError(f"{error}; no export wrote it, so name another place") from None
    if not there:
        return
    listed = (path / MANIFEST).read_text("utf-8", "replace") if MANIFEST in there else ""
    more = there - {match[2] for match in map(LISTED.fullmatch, listed.splitlines()) if match} - {MANIFEST, SIGNATURE}
    if more or MANIFEST not in there:
        example = min(more or there)
        raise CallError(f"{path} holds {example}, which no export wrote; name a new folder, or one in it")


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A name beside `path` for what is not whole yet; nothing is left of it in the end."""
    new = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        yield new
    finally:
        if new.is_dir():
            shutil.rmtree(new, ignore_errors=True)
        else:
            new.unlink(missing_ok=True)


def _write_zip(path: Path, files: Files) -> None:
    """Stored, not packed: how well a library packs differs from one to the next."""
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for name in sorted(files):
                said = zipfile.ZipInfo(name, EPOCH)
                said.create_system, said.external_attr = 3, PLAIN_FILE
                packed.writestr(said, files[name])
        file.flush()
        os.fsync(file.fileno())


def _write_folder(path: Path, files: Files) -> None:
    path.mkdir()
    for name in sorted(files):
        place = path.joinpath(*name.split("/"))
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.write(files[name])
            file.flush()
            os.fsync(file.fileno())


def change_places(new: Path, path: Path) -> None:
    """Put the new folder in the place of the old one."""
    if not path.exists():
        return os.rename(new, path)
    with aside(path) as old:
        try:
            os.rename(path, old)
            os.rename(new, path)
        except BaseException:
            if not path.exists():
                os.rename(old, path)
            raise
    return None


def read(path: Path) -> dict[str, bytes]:
    """The files in a folder or a zip. CallError, with the name, for what no bundle holds, and for what is too large."""
    try:
        if path.is_dir():
            return _read_folder(path)
        if not stat.S_ISREG(path.stat().st_mode):
            raise CallError(f"{path} is neither a folder nor a zip")
        with path.open("rb") as file:
            assure_small_directory(path, file)
            return _read_zip(path, zipfile.ZipFile(file))
    except OSError as error:
        raise CallError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except BROKEN as error:
        raise CallError(f"{path} is no bundle, or it is broken: {error}") from None


def _read_folder(folder: Path) -> dict[str, bytes]:
    if not os.path.lexists(folder / MANIFEST):
        raise CallError(f"{folder} is no bundle: it has no {MANIFEST}")
    names = checked(folder, names_in(folder))
    left = LARGEST
    files = {}
    for name in names:
        with folder.joinpath(*name.split("/")).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            left = _less(folder, left, size)
            files[name] = file.read(size)
    return files


def names_in(folder: Path) -> Iterator[str]:
    """The names of the files in a folder, and below it; CallError for what is none, such as a link."""

    def stop(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=stop):
        for each in (*folders, *files):
            mode = os.lstat(os.path.join(place, each)).st_mode
            if not (stat.S_ISREG(mode) or (each in folders and stat.S_ISDIR(mode))):
                what = "a link" if stat.S_ISLNK(mode) else "no file"
                raise CallError(f"{folder}: {_relative(folder, place, each)!r} is {what}")
        yield from (_relative(folder, place, each) for each in files)


def _relative(folder: Path, place: str, name: str) -> str:
    return Path(place, name).relative_to(folder).as_posix()


def assure_small_directory(path: Path, file: BinaryIO, over_4_gb: bool = False) -> None:
    """CallError if the directory of a zip is larger than of any bundle: it is read as a whole (APPNOTE 6.3.10, 4.3).

    A zip `over_4_gb` says the size once more, for large ones, right before its end.
    """
    start = file.seek(0, os.SEEK_END)
    file.seek(max(0, start - ZIP_TAIL))
    tail = file.read()
    bare = tail[-ZIP_END.size :]
    at = len(tail) - len(bare) if bare.startswith(END_MARK) and bare.endswith(b"\0\0") else tail.rfind(END_MARK)
    end = tail[at:] if at >= 0 else b""
    if len(end) < ZIP_END.size:
        raise CallError(f"{path} is neither a folder nor a zip")
    size = ZIP_END.unpack_from(end)[0]
    if over_4_gb and tail[:at][-LOCATOR:].startswith(LARGE_MARK) and at >= LOCATOR + LARGE_END.size:
        size = max(size, LARGE_END.unpack_from(tail, at - LOCATOR - LARGE_END.size)[0])
    if size > LARGEST_DIRECTORY or (LARGE_MARK in tail and not over_4_gb):
        raise CallError(f"{path} is larger than any bundle")


def _read_zip(path: Path, packed: zipfile.ZipFile) -> dict[str, bytes]:
    entries = zip_entries(path, packed)
    left = LARGEST
    for each in entries:
        left = _less(path, left, each.file_size)
    files = {}
    for each in entries:
        with packed.open(each) as file:
            files[each.filename] = file.read(each.file_size + 1)
        if len(files[each.filename]) != each.file_size:
            raise CallError(f"{path}: {each.filename} is not as long as the zip says")
    return files


def zip_entries(path: Path, packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in a zip; CallError, with the name, for what asbuilt never puts into one."""
    entries = [each for each in packed.infolist() if not (each.filename.endswith("/") and each.file_size == 0)]
    checked(path, (each.filename for each in entries))
    for each in entries:
        if each.flag_bits & 0x1:
            raise CallError(f"{path}: {each.filename} is encrypted; a bundle is not")
        if stat.S_ISLNK(each.external_attr >> 16):
            raise CallError(f"{path}: {each.filename} is a link")
        if each.compress_type not in PACKED:
            raise CallError(f"{path}: {each.filename} is packed in a way that asbuilt does not unpack")
    return entries


def checked(path: Path, names: Iterable[str]) -> list[str]:
    """The names, if every one is one that a bundle may hold, and each means one file on every system."""
    found: dict[str, str] = {}
    for name in names:
        if len(name) > LONGEST_NAME or not all(PART.fullmatch(part) for part in name.split("/")):
            raise CallError(f"{path}: {name[:LONGEST_NAME]!r} is no name of a file in a bundle")
        if name.lower() in found:
            raise CallError(f"{path}: {name} is there twice")
        found[name.lower()] = name
        if len(found) > MOST_FILES:
            raise CallError(f"{path} holds more than {MOST_FILES} files: it is no bundle")
    return list(found.values())


def _less(path: Path, left: int, size: int) -> int:
    if size > left:
        raise CallError(f"{path} holds more than {LARGEST // 2**20} MB: it is no bundle")
    return left - size
