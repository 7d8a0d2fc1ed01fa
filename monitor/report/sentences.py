"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 asset", "2 assets"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def is_are(number: int) -> str:
    return "is" if number == 1 else "are"


def was_were(number: int) -> str:
    return "was" if number == 1 else "were"


def has_have(number: int) -> str:
    return "has" if number == 1 else "have"


def listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def named(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many there are besides: "a, b and 3 more"."""
    return ", ".join(names[:most]) + f" and {len(names) - most:,} more" * (len(names) > most)
