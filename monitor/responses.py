"""What to do about an alarm, and what its techniques are: looked up in responses.toml, which people can read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from baselines.alert import Alert


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique of MITRE ATT&CK for ICS: its number, its name there, and what it means here, in our words."""

    number: str
    name: str
    means: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do. `go` names the page where it is done, if there is one."""

    say: str
    go: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What to do about alarms of a kind: those that have all that `when` names. `item` is what a key begins with."""

    title: str
    steps: tuple[Step, ...]
    when: Mapping[str, str]

    def fits(self, alert: Alert) -> bool:
        has = {"kind": alert.kind, "category": alert.category, "direction": alert.direction, "asset": alert.asset}
        return all(
            alert.item == value or alert.item.startswith(f"{value}.") if name == "item" else has[name] == value
            for name, value in self.when.items()
        )


@cache
def _written() -> Mapping[str, Any]:
    return tomllib.loads((files("monitor") / "responses.toml").read_text("utf-8"))


@cache
def responses() -> tuple[Response, ...]:
    """All of them, the most particular first; the last one fits any alarm."""
    return tuple(
        Response(each["title"], tuple(Step(**step) for step in each["do"]), each.get("when", {}))
        for each in _written()["response"]
    )


def response(alert: Alert) -> Response:
    """What to do about an alarm."""
    return next(each for each in responses() if each.fits(alert))


def techniques(numbers: Iterable[str]) -> list[Technique]:
    """The techniques with these numbers; of one that is not written down, the number is all there is."""
    known = _written()["technique"]
    return [Technique(each, **known.get(each, {"name": "", "means": ""})) for each in numbers]
