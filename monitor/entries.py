"""Entries for plant.toml that a program writes: asset tables as TOML text, and the file that they are added to.

What stands in them may come from the wire or from a stranger's list: every value is escaped, and no comment ends early.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from collectors.written import FileError
from monitor.config import load_plant

PREFIX = "# "


@dataclass(frozen=True, slots=True)
class Entry:
    """An [asset."…"] table to be: its name, its keys in order, and lines about it for people."""

    name: str
    keys: Mapping[str, str | float]
    about: tuple[str, ...] = ()


def entries_text(entries: Iterable[Entry]) -> str:
    """The entries as TOML, an empty line before each."""
    return "".join(f"\n{_entry_text(entry)}" for entry in entries)


def _entry_text(entry: Entry) -> str:
    lines = [comment(line) for line in entry.about]
    lines.append(f"[asset.{toml_string(entry.name)}]\n")
    lines += [f"{key} = {_toml_value(value)}\n" for key, value in entry.keys.items()]
    return "".join(lines)


def commented_out(entries: Iterable[Entry]) -> str:
    """The same, and all of it a comment."""
    lines = entries_text(entries).split("\n")[:-1]
    return "".join((line if line.startswith(PREFIX) else PREFIX + line).rstrip() + "\n" for line in lines)


def comment(line: str) -> str:
    """One line of comment, whatever is in `line`."""
    return f"{PREFIX}{printable(line)}\n"


def printable(text: str) -> str:
    """`text` with all but letters, digits and signs as escapes: nothing in it ends a line or moves a cursor."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def toml_string(text: str) -> str:
    """A basic string of TOML 1.0 that holds `text`; half a surrogate pair, which no TOML can hold, becomes U+FFFD."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return f'"{printable(whole.translate(QUOTED))}"'


QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) <= 0xFFFF else f"\\U{ord(letter):08x}"


def _toml_value(value: str | float) -> str:
    return toml_string(value) if isinstance(value, str) else f"{value:g}"


def append(path: Path, text: str) -> None:
    """Add `text` to the end of a plant.toml; what stands there stays byte for byte. FileError as `rewrite` has it."""

    def appended(before: bytes) -> bytes:
        added = text.replace("\n", "\r\n") if b"\r\n" in before else text
        end = b"" if before.endswith(b"\n") or not before else b"\n"
        return before + end + added.encode()

    rewrite(path, appended)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Put another text in the place of a plant.toml's, whole or not at all; its rights and its owner stay.

    FileError if the plant would not be right with it, or the file cannot be written.
    """
    path = path.resolve()  # a link stays a link
    try:
        before = path.read_bytes()
        _replace(path, before, change(before))
    except OSError as error:
        raise FileError(path, [f"cannot be written: {error.strerror or error}; it is left as it was"]) from None


def _replace(path: Path, before: bytes, after: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".toml", delete=False) as file:
        new = Path(file.name)
    try:
        with new.open("wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        _check(path, new)
        _dress(path, new)
        if path.read_bytes() != before:
            raise FileError(path, ["somebody has just changed it; it is left as it is: try again"])
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _check(path: Path, new: Path) -> None:
    try:
        load_plant(new)
    except FileError as error:
        faults = [f"left as it was, for it would not be right then: {fault}" for fault in error.faults]
        raise FileError(path, faults) from None


def _dress(path: Path, new: Path) -> None:
    """Give the new file the rights and the owner of the old one."""
    shutil.copymode(path, new)
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(new, path.stat().st_uid, path.stat().st_gid)
