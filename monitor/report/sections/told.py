"""What the sections about events share: which assets, values and persons as cells, numbers in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from baselines.alert import OUT_OF_SERVICE
from baselines.life import Life
from baselines.snapshot import Severity
from monitor.report.document import Cell, Column, Form
from monitor.report.scope import Scope
from monitor.show import change_text, value_text

SHOWN_MOST = 10_000  # values that are kept, for most are there many times


DOER_COLUMNS = (  # a `Doer`, after its text
    Column("done_by", "Done by", width=1.2),
    Column("client", "Client", Form.CODE, 0),
    Column("host", "Host", Form.TEXT, 0),
    Column("protocol", "Protocol", Form.TEXT, 0),
    Column("done_at", "Done", Form.TIME, 0),
)


class Doer(NamedTuple):
    """Who did something, as the wire has seen it: the address, what it is called, over what, and when."""

    client: str | None
    host: str | None
    protocol: str | None
    at: datetime | None

    @property
    def text(self) -> str | None:
        return f"{self.host} ({self.client})" if self.host else self.client


NOBODY = Doer(None, None, None, None)


def wanted(scope: Scope) -> Callable[[str], bool]:
    """Whether an asset is in the scope. All of a plant includes what has left plant.toml meanwhile."""
    names = frozenset(scope.names)
    return lambda name: scope.whole or name in names


@lru_cache(SHOWN_MOST)
def shown(text: str | None) -> str | None:
    """A value that is kept as JSON, as a cell: always a text, for "1,502" is not what a device says."""
    return text_of(json.loads(text)) if text else None


def text_of(value: Any) -> str | None:
    """A value as JSON shows it, as a cell."""
    return value if value is None or isinstance(value, str) else value_text(value)


def doer(who: Mapping[str, Any] | None) -> Doer:
    if not who:
        return NOBODY
    client, host, protocol = (str(who[key]) if who.get(key) else None for key in ("client", "name", "protocol"))
    return Doer(client, host, protocol, datetime.fromisoformat(who["at"]) if who.get("at") else None)


def sentence(life: Life) -> str:
    """What an alarm is about, without its asset."""
    return change_text(life.item, life.kind, _value(life.approved), _value(life.observed), life.direction)


@lru_cache(SHOWN_MOST)
def _value(text: str) -> Any:
    return json.loads(text)


def announced_by(life: Life) -> str | None:
    """What had announced it, in words."""
    if not life.announced_by:
        return None
    return "out of service" if life.announced_by == OUT_OF_SERVICE else f"order {life.announced_by}"


def worst_first(columns: Sequence[Column], rows: list[tuple[Cell, ...]], state: str, over: Collection[str]) -> None:
    """Put what is not over first, the most severe of it foremost, the oldest before the younger ones."""
    keys = [column.key for column in columns]
    place, severity, raised_at = keys.index(state), keys.index("severity"), keys.index("raised_at")
    rank = {each.value: each.rank for each in Severity}
    rows.sort(key=lambda row: (row[place] in over, -rank[str(row[severity])], row[raised_at]))


def seconds(since: datetime, until: datetime | None) -> float | None:
    """How long; never negative, also where a clock was set back."""
    return None if until is None else max((until - since).total_seconds(), 0.0)


def count(number: int, what: str) -> str:
    """A number of things: "1 order", "2,000 orders"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    return "was" if number == 1 else "were"
