"""TOML files that people write: every fault found in one go, each with its key path and the remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta
from enum import EnumType
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")

DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)")
SHORTEST, LONGEST = 0.001, 10 * 366 * 86400.0  # seconds
DURATIONS = ("timeout", "publishing")  # fields that are written as one
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class FileError(Exception):
    """A file that cannot be used as it is. `faults` are sentences, each beginning with the place."""

    def __init__(self, path: Path | str, faults: Iterable[str]) -> None:
        self.path = str(path)
        self.faults = tuple(faults)
        super().__init__("\n".join(f"{self.path}: {fault}" for fault in self.faults))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; FileError says why it cannot be read, a syntax error with its line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileError(path, ["there is no such file"]) from None
    except IsADirectoryError:
        raise FileError(path, ["is a folder, not a file"]) from None
    except OSError as error:
        raise FileError(path, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise FileError(path, [f"is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise FileError(path, [f"is not TOML: {error}"]) from None
    except RecursionError:
        raise FileError(path, ["is not TOML that anybody would write: it nests too deep"]) from None
    except ValueError as error:  # of the path itself
        raise FileError(path, [f"cannot be read: {error}"]) from None


def seconds(text: Any) -> float:
    """Seconds in a duration such as "30s", "500ms", "5m", "1h"; ValueError for what is none, or not above 0."""
    match = DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    found = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not SHORTEST <= found <= LONGEST:
        raise ValueError(f'a duration is written "30s", "500ms", "5m", "1h" or "1d", not {text!r}')
    return found


def duration(text: Any) -> timedelta:
    """The same as a timedelta."""
    return timedelta(seconds=seconds(text))


def table(value: Any, path: str, faults: list[str]) -> dict[str, Any]:
    """`value` if it is a table; else a fault, and an empty one."""
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    faults.append(f"{path}: is a table, not {value!r}")
    return {}


def unknown_keys(found: Iterable[str], known: Iterable[str], path: str) -> list[str]:
    """A fault for each key that means nothing here, with the one that was probably meant."""
    known = list(known)
    faults = []
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
            faults.append(f"{dotted(path, key)}: unknown key; {hint}")
    return faults


def dotted(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def read_table(cls: type[T], found: Mapping[str, Any], path: str, faults: list[str], **given: Any) -> T | None:
    """A dataclass from a table; its fields are the keys. None, with the faults added, if anything is wrong.

    A timedelta field and those of DURATIONS, in seconds, are written as durations; `given` are fields that are not
    written in the file.
    """
    assert is_dataclass(cls)
    hints = _hints(cls)
    before = len(faults)
    known = [field for field in fields(cls) if field.name not in given]
    faults += unknown_keys(found, [field.name for field in known], path)
    values: dict[str, Any] = dict(given)
    for field in known:
        place = dotted(path, field.name)
        if field.name in found:
            try:
                values[field.name] = _convert(found[field.name], hints[field.name], field.name)
            except (ValueError, msgspec.ValidationError) as error:
                faults.append(f"{place}: {_lower(str(error))}")
        elif field.default is MISSING and field.default_factory is MISSING:
            faults.append(f"{place}: is required")
    if len(faults) > before:
        return None
    try:
        return cast(T, cls(**values))
    except ValueError as error:
        faults.append(f"{path}: {error}" if path else str(error))
        return None


@cache
def _hints(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields: worked out once, for thousands of tables are of one."""
    return get_type_hints(cls)


def _convert(value: Any, wanted: Any, name: str) -> Any:
    if wanted in (timedelta, timedelta | None):
        return duration(value)
    if name in DURATIONS:
        return seconds(value)
    choices = [*wanted] if isinstance(wanted, EnumType) else get_args(wanted) if get_origin(wanted) is Literal else ()
    if choices and value not in choices:
        raise ValueError(f"is one of {', '.join(map(str, choices))}; not {value!r}")
    return msgspec.convert(value, wanted)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
