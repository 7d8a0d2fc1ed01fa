"""Reports on the disk: which formats there are, and how a file gets its place. All of it is there, or nothing.

A writer makes bytes; here they are written aside, made durable, and given their name. What is replaced is what a report
of this format may have been; anything else that stands there is left as it is.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from monitor.bundle_files import BROKEN, EPOCH, LISTED, PLAIN_FILE, aside, change_places, names_in
from monitor.errors import CallError
from monitor.report.annexes import annex_tables, csv_parts
from monitor.report.document import Kind, Report, Table
from monitor.report.scope import Progress, silent
from monitor.vault import close_durably, sync_folder

CHECKSUMS = "SHA256SUMS"
LOOKED_AT = 4096  # bytes at the beginning of a file that say what it is
CORE = "docProps/core.xml"  # of a workbook: who made it


class Format(StrEnum):
    """As what a report is written."""

    PDF = "pdf"
    HTML = "html"
    XLSX = "xlsx"
    CSV = "csv"
    JSON = "json"
    CYCLONEDX = "cyclonedx"


SUFFIXES = {  # the first of a format is what its files are called
    ".pdf": Format.PDF,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xlsx": Format.XLSX,
    ".zip": Format.CSV,
    ".csv": Format.CSV,
    ".cdx.json": Format.CYCLONEDX,
    ".json": Format.JSON,
}
ONLY = {Format.CYCLONEDX: (Kind.INVENTORY,)}  # the reports that there are in a format, if not all
TABLE = re.compile(rb"[a-z0-9_]+(,[a-z0-9_]+)*\r?\n")  # how a table begins: the keys of its columns
MARKS = {  # what is in the first bytes of a file of ours
    Format.PDF: b"%PDF-",
    Format.HTML: b'name="generator" content="asbuilt ',
    Format.JSON: b'{"report": ',
    Format.CYCLONEDX: b"cyclonedx.org/schema/bom",
}


def suffix_of(format: Format) -> str:
    return next(suffix for suffix, each in SUFFIXES.items() if each is format)


def format_of(path: Path) -> Format | None:
    """What a file of this name is; None if its name does not say so."""
    name = path.name.lower()
    return next((format for suffix, format in SUFFIXES.items() if name.endswith(suffix)), None)


def formats_of(kind: Kind) -> list[Format]:
    """As what this report can be written."""
    return [format for format in Format if kind in ONLY.get(format, Kind)]


def assure_format(kind: Kind, format: Format) -> None:
    """CallError if this report cannot be written so."""
    if format not in formats_of(kind):
        only, there = " and ".join(ONLY[format]), ", ".join(formats_of(kind))
        raise CallError(f"only {only} is written as {format}; {kind} can be written as {there}")


def write(report: Report, format: Format, path: Path, progress: Progress = silent) -> None:
    """Write a report to a file; CSV also to a folder, or a zip.

    CallError if that cannot be done: nothing is left of it then, and what was there is as it was.
    """
    assure_format(report.kind, format)
    path = Path(os.path.abspath(path))
    try:
        assure_place(format, path)
        if format is Format.CSV:
            _write_tables(report, path, progress)
        else:
            _write_file(path, parts(report, format, progress))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CallError(f"{path} cannot be written: {why}; what was there is left as it was") from None


def parts(report: Report, format: Format, progress: Progress = silent) -> Iterator[bytes]:
    """What the one file of a format holds. Not for CSV, of which there is a file for each table."""
    match format:
        case Format.PDF:
            from monitor.report.pdf import pdf

            yield pdf(report)
        case Format.HTML:
            from monitor.report.html import html

            yield html(report)
        case Format.XLSX:
            from monitor.report.xlsx import xlsx

            yield xlsx(report, progress)
        case Format.CYCLONEDX:
            from monitor.report.hbom import hbom

            yield hbom(report)
        case Format.JSON:
            from monitor.report.documents import json_parts

            yield from json_parts(report, progress)
        case Format.CSV:
            raise ValueError("CSV is no single file")


def assure_place(format: Format, path: Path) -> None:
    """CallError unless there is nothing, or what an earlier report of this format may be."""
    path = Path(os.path.abspath(path))
    if not path.parent.is_dir():
        raise CallError(f"there is no folder {path.parent}; make it first")
    if not os.path.lexists(path):
        return None
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode) and _is_folder(format, path):
        return _assure_folder(path)
    if stat.S_ISDIR(mode):
        raise CallError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise CallError(f"{path} is no regular file; name another")
    if _is_folder(format, path) or (path.stat().st_size and not _is_like(format, path)):
        raise CallError(f"{path} exists already, and no report of ours is like it; it is left as it is: name another")
    return None


def _is_folder(format: Format, path: Path) -> bool:
    """Whether a report is written as a folder."""
    return format is Format.CSV and path.suffix.lower() not in (".zip", ".csv")


def _assure_folder(path: Path) -> None:
    """CallError if there is anything in a folder that no report wrote."""
    there = set(names_in(path))
    listed = (path / CHECKSUMS).read_text("utf-8", "replace").splitlines() if CHECKSUMS in there else []
    strange = there - {found[2] for found in map(LISTED.fullmatch, listed) if found} - {CHECKSUMS}
    if strange:
        raise CallError(f"{path} holds {min(strange)}, which no report wrote; name a new folder, or one in it")


def _is_like(format: Format, path: Path) -> bool:
    """Whether a file begins, or is packed, as one of this format is."""
    with path.open("rb") as file:
        begins = file.read(LOOKED_AT)
    if format in MARKS:
        return MARKS[format] in begins
    if format is Format.CSV and path.suffix.lower() == ".csv":
        return TABLE.match(begins) is not None
    try:
        with zipfile.ZipFile(path) as packed:
            names = set(packed.namelist())
            if format is Format.XLSX:
                return b"asbuilt" in packed.read(CORE)[:LOOKED_AT]
    except (*BROKEN, KeyError):
        return False
    return CHECKSUMS in names and all(name.endswith(".csv") for name in names - {CHECKSUMS})


def _write_file(path: Path, pieces: Iterable[bytes]) -> None:
    with aside(path) as new:
        with new.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            close_durably(file)
        os.replace(new, path)
    sync_folder(path.parent)


def _write_tables(report: Report, path: Path, progress: Progress) -> None:
    tables = annex_tables(report)
    match path.suffix.lower():
        case ".zip":
            _write_zip(path, tables, progress)
        case ".csv":
            _write_file(path, _single(report, path, tables))
        case _:
            _write_folder(path, tables, progress)


def _single(report: Report, path: Path, tables: dict[str, Table]) -> Iterator[bytes]:
    """The only table, or the one that the report is called by: what others need of the inventory is in it."""
    found = next((table for table in tables.values() if len(tables) == 1 or table.key == report.kind), None)
    if found is None:
        raise CallError(
            f"this report has {len(tables)} tables, and {path.name} can hold one: name a .zip, or a folder with"
            " --format csv"
        )
    return csv_parts(found)


def _write_zip(path: Path, tables: dict[str, Table], progress: Progress) -> None:
    """The files by name, then their checksums. Nothing is packed: how well a library does that differs."""
    with aside(path) as new:
        with new.open("xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:

                def add(name: str, pieces: Iterable[bytes]) -> None:
                    said = zipfile.ZipInfo(name, EPOCH)
                    said.create_system, said.external_attr = 3, PLAIN_FILE
                    with packed.open(said, "w", force_zip64=True) as entry:
                        for piece in pieces:
                            entry.write(piece)

                _add_tables(add, tables, progress)
            close_durably(file)
        os.replace(new, path)
    sync_folder(path.parent)


def _write_folder(path: Path, tables: dict[str, Table], progress: Progress) -> None:
    with aside(path) as new:
        new.mkdir()

        def add(name: str, pieces: Iterable[bytes]) -> None:
            with (new / name).open("xb") as file:
                for piece in pieces:
                    file.write(piece)
                close_durably(file)

        _add_tables(add, tables, progress)
        sync_folder(new)
        change_places(new, path)
    sync_folder(path.parent)


def _add_tables(add: Callable[[str, Iterable[bytes]], None], tables: dict[str, Table], progress: Progress) -> None:
    sums = []
    for number, name in enumerate(sorted(tables)):
        progress("writing the tables", number, len(tables))
        digest = sha256()
        add(name, _hashed(csv_parts(tables[name]), digest.update))
        sums.append(f"{digest.hexdigest()}  {name}\n")
    add(CHECKSUMS, ["".join(sums).encode()])
    progress("writing the tables", len(tables), len(tables))


def _hashed(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece
