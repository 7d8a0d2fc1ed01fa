"""What programs send: the words that every subject shares. Whatever is not declared is refused, and nothing is done.

Texts are of letters that every database takes, numbers of a size that it takes; a time has its zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from monitor.errors import CallError
from monitor.web.asked import LARGEST, NO_NUL

LONGEST_LINE, LONGEST_TEXT, LONGEST_PASSWORD = 200, 4000, 1000  # letters
FIRST_YEAR, LAST_YEAR = 1970, 2999  # of a time that somebody may mean
ROWS, MOST_ROWS = 200, 1000  # of one page of a list

BLANK = r"\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
CONTROL = r"\u0000-\u001f\u007f"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


class Body(BaseModel):
    """What an operation takes. An undeclared key is refused: it is most likely a slip."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _moment(value: object) -> datetime:
    """A time of RFC 3339; ValueError if it is none, CallError if nobody can mean it."""
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("a time is like 2026-11-23T18:00:00Z, with its zone")
    at = datetime.fromisoformat(value.upper())
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise CallError(f"{value} is no time of a plant: the years {FIRST_YEAR} to {LAST_YEAR} are")
    return at.astimezone(UTC)


def _whole(value: object) -> object:
    """JSON has one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# In bodies:
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, pattern=NO_NUL), AfterValidator(str.strip)]
"""Text of any lines; it may be empty."""
Reason = Annotated[
    str,
    StringConstraints(max_length=LONGEST_TEXT, pattern=rf"^[^\u0000]*[^{BLANK}][^\u0000]*$"),
    AfterValidator(str.strip),
]
"""Text that says something."""
Line = Annotated[
    str, StringConstraints(max_length=LONGEST_LINE, pattern=rf"^[^{CONTROL}]*$"), AfterValidator(str.strip)
]
"""One line; it may be empty."""
Name = Annotated[
    str,
    StringConstraints(max_length=LONGEST_LINE, pattern=rf"^[^{CONTROL}]*[^{BLANK}][^{CONTROL}]*$"),
    AfterValidator(str.strip),
]
"""The name of an asset, an item, a person: one line that says something."""
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""A SHA-256."""
Password = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_PASSWORD, pattern=NO_NUL),
    Field(json_schema_extra={"format": "password", "writeOnly": True}),
]
"""A person's password, as it is typed: with it they sign."""
whole = BeforeValidator(_whole)  # to stand behind the limits of a number, so that the document has them
Id = Annotated[int, Field(strict=True, ge=1, le=LARGEST), whole]
"""The number of an alarm, an order."""
Yes = Annotated[bool, Field(strict=True)]
When = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time with its zone; as Python has it, in UTC."""

# In paths and queries, where all is text:
IdIn = Annotated[int, Field(ge=1, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which rows of a list are wanted."""

    offset: int
    limit: int

    def of(self, key: str, rows: Sequence[Any]) -> dict[str, Any]:
        """A document with one page of a list, how many there are, and where the next page begins."""
        end = self.offset + self.limit
        following = end if end < len(rows) else None
        return {key: list(rows[self.offset : end]), "total": len(rows), "next_offset": following}


def _paging(
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="How many rows to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many rows to give at most.")] = ROWS,
) -> Paging:
    return Paging(offset, limit)


Paged = Annotated[Paging, Depends(_paging)]
