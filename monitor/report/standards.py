"""The standards that reports are mapped to, as data: `standards.toml` beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "standards.toml"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: what it asks, and which sections give evidence for it (by their keys), or why none does.

    `key` is that of the standard and its own: "cip-010-4/r1.1.1".
    """

    key: str
    title: str
    asks: str
    answered_by: tuple[str, ...] = ()
    not_covered: str = ""

    def __post_init__(self) -> None:
        if bool(self.answered_by) == bool(self.not_covered):
            raise ValueError(f"{self.key}: either sections give evidence for a clause, or it is said why none does")


@dataclass(frozen=True, slots=True)
class Standard:
    """One standard in one revision; a date is None where there is none, or we are not sure of it.

    `until` is the first day on which it is not in force any more, `look_again` the day from which somebody has to look
    whether it is still.
    """

    key: str
    name: str
    title: str
    publisher: str
    revision: str
    clauses: tuple[Clause, ...]
    look_again: date
    published: date | None = None
    effective: date | None = None
    until: date | None = None
    replaced_by: str = ""

    def has_expired(self, day: date) -> bool:
        return self.until is not None and day >= self.until

    def is_to_be_looked_at(self, day: date) -> bool:
        return day >= self.look_again


@cache
def standards() -> tuple[Standard, ...]:
    """All of them, in the order of the file."""
    written = tomllib.loads((files("monitor.report") / FILE).read_text("utf-8"))
    return tuple(_standard(key, found) for key, found in written["standard"].items())


def _standard(key: str, found: dict[str, Any]) -> Standard:
    clauses = tuple(_clause(f"{key}/{name}", each) for name, each in found["clause"].items())
    return Standard(key=key, clauses=clauses, **{name: value for name, value in found.items() if name != "clause"})


def _clause(key: str, found: dict[str, Any]) -> Clause:
    return Clause(key=key, **{**found, "answered_by": tuple(found.get("answered_by", ()))})


def clauses() -> Iterator[Clause]:
    """The clauses of all standards."""
    return (clause for standard in standards() for clause in standard.clauses)


@cache
def _names() -> dict[str, str]:
    return {clause.key: f"{standard.name} {clause.title}" for standard in standards() for clause in standard.clauses}


def clause_name(key: str) -> str:
    """A clause as people call it: "NERC CIP-010-4 R1.1.1"; the key of one that is not there."""
    return _names().get(key, key)


def clauses_of(section: str) -> tuple[str, ...]:
    """The keys of the clauses that a section gives evidence for."""
    return tuple(clause.key for clause in clauses() if section in clause.answered_by)
