"""What a deviation means: how severe it is, and which ATT&CK for ICS techniques it may be the trace of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from baselines.drift import Deviation, Kind
from baselines.snapshot import Category, Severity, Value

TECHNIQUES: dict[Category, tuple[str, ...]] = {  # MITRE ATT&CK for ICS
    Category.FIRMWARE: ("T0857",),  # System Firmware
    Category.PROGRAM: ("T0843", "T0889"),  # Program Download, Modify Program
    Category.PARAMETER: ("T0836",),  # Modify Parameter
    Category.MODE: ("T0858",),  # Change Operating Mode
}
MODULE_TECHNIQUES = ("T0839",)  # Module Firmware
MODULE_KEYS = "device."
ZERO = (0, "")


class Direction(StrEnum):
    """Which way a revision moved."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"


@dataclass(frozen=True, slots=True)
class Finding:
    """A deviation with what it means."""

    deviation: Deviation
    severity: Severity
    techniques: tuple[str, ...] = ()
    direction: Direction | None = None


def assess(deviations: Iterable[Deviation]) -> tuple[Finding, ...]:
    """What each deviation means. Older firmware brings old holes back: a downgrade is always critical."""
    return tuple(_assess(deviation) for deviation in deviations)


def _assess(deviation: Deviation) -> Finding:
    item = deviation.item
    techniques = TECHNIQUES.get(item.category, ())
    if item.category is Category.FIRMWARE and item.key.startswith(MODULE_KEYS):
        techniques = MODULE_TECHNIQUES
    way = None
    if item.category is Category.FIRMWARE and deviation.kind is Kind.CHANGED:
        assert deviation.approved is not None
        assert deviation.observed is not None
        way = direction(deviation.approved.value, deviation.observed.value)
    severity = Severity.CRITICAL if way is Direction.DOWNGRADE else item.severity
    return Finding(deviation, severity, techniques, way)


def direction(approved: Value, observed: Value) -> Direction | None:
    """Whether one revision is older than another: "V2.10.1" is newer than "v2.9". None where that cannot be told.

    Only the numbers count, and only where the words around them are the same: "2.1" and "B2.1" cannot be compared.
    """
    if not (isinstance(approved, str | int) and isinstance(observed, str | int)):
        return None
    (words, old), (other_words, new) = _revision(str(approved)), _revision(str(observed))
    if not old or not new or words != other_words or old == new:
        return None
    return Direction.UPGRADE if new > old else Direction.DOWNGRADE


def _revision(text: str) -> tuple[tuple[str, ...], tuple[tuple[int, str], ...]]:
    """The words and the numbers of a revision; a number as its length and digits, which sort as it does."""
    words = tuple(word for word in re.split(r"[\W\d_]+", text.lower().removeprefix("v")) if word)
    numbers = [(len(digits), digits) for digits in (found.lstrip("0") for found in re.findall(r"\d+", text))]
    while len(numbers) > 1 and numbers[-1] == ZERO:
        numbers.pop()  # 2.1 and 2.1.0 are one revision
    return words, tuple(numbers)
