"""Long lists, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from monitor.web.asked import LARGEST

ROWS = 200

PageNumber = Annotated[int, Query(alias="page", ge=1, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class Shown:
    """One page of a list of so many, from 1."""

    number: int
    of: int
    rows: int = ROWS

    @property
    def pages(self) -> int:
        return max(1, -(-self.of // self.rows))

    @property
    def skip(self) -> int:
        return (self.number - 1) * self.rows

    @property
    def first(self) -> int:
        return min(self.skip + 1, self.of)

    @property
    def last(self) -> int:
        return min(self.skip + self.rows, self.of)


def shown_of(number: int, of: int, rows: int = ROWS) -> Shown:
    """The page with a number, or the last one if there are not so many."""
    last = Shown(1, of, rows).pages
    return Shown(min(max(number, 1), last), of, rows)


def rest_of(asked: Mapping[str, str | Sequence[str]]) -> str:
    """What else an address asks for, for the links to other pages of a list: with & behind, if there is anything."""
    text = urlencode({name: value for name, value in asked.items() if value}, doseq=True)
    return f"{text}&" if text else ""
