"""Changes of one table of a plant.toml: its name, a key of it, or that it goes. All else stays as people wrote it:
comments, order, quotes, line endings.

Whatever a change comes to is read again before it is written: it says what was meant and nothing else, or nothing
changes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, Key, SingleKey, Table

from collectors.written import FileError
from monitor.entries import rewrite

BOM = "\ufeff"
MARK = "asbuilt-was-here"  # stands for the name of a table while its place is looked for

Tables = dict[str, Any]


def rename_table(path: Path, section: str, old: str, new: str) -> None:
    """Give the table `[section.old]` another name."""

    def meant(tables: Tables) -> None:
        tables[section][new] = tables[section].pop(old)

    _edit(path, lambda text: _renamed(text, section, old, new), meant)


def set_key(path: Path, section: str, name: str, key: str, value: str) -> None:
    """Give a key of the table `[section.name]` another value."""

    def changed(text: str) -> str:
        document = tomlkit.parse(text)
        for place in _places(document, section, name):
            if key in place.table:
                place.table[key] = value
        return tomlkit.dumps(document)

    def meant(tables: Tables) -> None:
        tables[section][name][key] = value

    _edit(path, changed, meant)


def set_in_section(path: Path, section: str, key: str, value: str) -> None:
    """Give a key of the table `[section]` another value."""

    def changed(text: str) -> str:
        document = tomlkit.parse(text)
        document[section][key] = value
        return tomlkit.dumps(document)

    def meant(tables: Tables) -> None:
        tables[section][key] = value

    _edit(path, changed, meant)


def take_table_out(path: Path, section: str, name: str) -> str:
    """Take the table `[section.name]` out, with the comment right above it; the text that it was."""
    removed: list[str] = []

    def changed(text: str) -> str:
        after, gone = _without(text, section, name)
        removed.append(gone)
        return after

    def meant(tables: Tables) -> None:
        del tables[section][name]
        if not tables[section]:
            del tables[section]

    _edit(path, changed, meant)
    return removed[-1]


def _edit(path: Path, change: Callable[[str], str], meant: Callable[[Tables], None]) -> None:
    """Change a file as `change` does, if that comes to just what `meant` makes of its tables."""

    def changed(before: bytes) -> bytes:
        text = before.decode("utf-8")
        bom = BOM if text.startswith(BOM) else ""
        text = text.removeprefix(BOM)
        with suppress(TOMLKitError, ValueError, KeyError):
            wanted = tomllib.loads(text)
            meant(wanted)
            after = change(text)
            if _full(tomllib.loads(after)) == _full(wanted):
                return (bom + after).encode()
        raise FileError(path, ["is written in a way that asbuilt cannot change for you: change it by hand"])

    rewrite(path, changed)


def _full(tables: Tables) -> Tables:
    """Without sections that hold nothing."""
    return {name: found for name, found in tables.items() if found != {}}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a table stands; a table whose keys are dotted stands in several places."""

    parent: Container
    key: Key
    table: AbstractTable


def _places(document: Container, section: str, name: str) -> list[_Place]:
    return [
        _Place(within.value, key, found)
        for top, within in document.body
        if top is not None and top.key == section and isinstance(within, AbstractTable)
        for key, found in within.value.body
        if key is not None and key.key == name and isinstance(found, AbstractTable)
    ]


def _renamed(text: str, section: str, old: str, new: str) -> str:
    document = tomlkit.parse(text)
    for place in _places(document, section, old):
        _rename(place, section, new)
    return tomlkit.dumps(document)


def _rename(place: _Place, section: str, new: str) -> None:
    key = SingleKey(new)
    key.sep, key._dotted = place.key.sep, place.key.is_dotted()
    if isinstance(place.table, Table) and place.table.display_name:
        place.table.display_name = f"{section}.{key.as_string()}"
    place.parent.body[:] = [(key if each is place.key else each, found) for each, found in place.parent.body]


def _without(text: str, section: str, name: str) -> tuple[str, str]:
    """The text without a table, and the text of the table. What is behind its last key and an empty line stays: it is
    about what follows."""
    document = tomlkit.parse(text)
    places = _places(document, section, name)
    if len(places) == 1 and isinstance(table := places[0].table, Table) and table.display_name:
        head, own = _head(text, section, name), _own_text(table)
        lines = text.splitlines(keepends=True)
        first = head
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        begin, body = len("".join(lines[:first])), len("".join(lines[: head + 1]))
        if text.startswith(own, body):
            return _joined(text[:begin], text[body + len(own) :]), text[begin : body + len(own)]
    removed = "".join(f"{place.key.as_string()} = {place.table.as_string()}\n" for place in places)
    for place in places:
        place.parent.body[:] = [pair for pair in place.parent.body if pair[0] is not place.key]
    return tomlkit.dumps(document), removed


def _head(text: str, section: str, name: str) -> int:
    """The line that the header of a table is on."""
    lines = _renamed(text, section, name, MARK).splitlines()
    return next(number for number, line in enumerate(lines) if MARK in line)


def _own_text(table: Table) -> str:
    """A table's keys and the comments between them, as they are written, up to an empty line behind the last."""
    body = list(table.value.body)
    keys = [number for number, (key, _) in enumerate(body) if key is not None]
    last = keys[-1] if keys else -1
    end = last + 1
    while end < len(body) and body[end][1].as_string().strip():
        end += 1
    whole = Container()
    whole.body.extend(body[:end])
    return whole.as_string()


def _joined(before: str, after: str) -> str:
    """Two parts of a file, with one empty line between them where each had one."""
    for ending in ("\r\n", "\n"):
        if before.endswith(ending * 2) and after.startswith(ending):
            return before + after.removeprefix(ending)
    return before + after
