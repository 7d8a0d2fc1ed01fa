"""Which assets somebody means, by their names or by patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from monitor.errors import CallError

if TYPE_CHECKING:
    from monitor.config import Plant

MOST_NAMES = 20  # in a message


def chosen(plant: Plant, wanted: Sequence[str] | None) -> list[str]:
    """The assets that somebody names, segments too, in the order of plant.toml; all, if they name none."""
    names = [*plant.assets, *plant.segments]
    if not names:
        raise CallError(f"{plant.path} names no asset yet; add an [asset.…] table")
    for pattern in wanted or ():
        if not any(_named(name, pattern) for name in names):
            known = ", ".join(names[:MOST_NAMES]) + ", …" * (len(names) > MOST_NAMES)
            raise CallError(f"{plant.path} names no asset {pattern}; it has {known}")
    return [name for name in names if not wanted or any(_named(name, pattern) for pattern in wanted)]


def _named(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
