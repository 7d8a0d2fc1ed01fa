"""Items and snapshots: what a device was at one moment, in one canonical form.

The canonical form is text, one JSON object a line, sorted by key; its SHA-256 is the digest. It is what is stored
and what is approved, so `sha256sum` over the stored text is all that it takes to check a digest.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from operator import attrgetter
from typing import Any, TypeAlias

Value: TypeAlias = "bool | int | float | str | bytes | tuple[Value, ...] | None"

TYPE_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    bytes: "bytes",
    tuple: "list",
}
BARE_PART = re.compile(r"[^\s.\"'\x00-\x1f\x7f]+")
WRITTEN_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[^."]+')


class Category(StrEnum):
    """What kind of configuration an item is."""

    IDENTITY = "identity"
    FIRMWARE = "firmware"
    PROGRAM = "program"
    PARAMETER = "parameter"
    MODE = "mode"
    NETWORK = "network"
    SECURITY = "security"
    WATCH = "watch"  # of the watch itself, and of no device: what is blind, and the tests of the alarms


class Severity(StrEnum):
    """How much a deviation matters."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return tuple(Severity).index(self)


def key_of(*parts: str) -> str:
    """The dotted key of `parts`; a part that holds a dot, a space or a quote is quoted, as in TOML."""
    return ".".join(part if BARE_PART.fullmatch(part) else _quoted(part) for part in parts)


def parts_of(key: str) -> tuple[str, ...]:
    """The parts that `key_of` put together."""
    return tuple(json.loads(part) if part.startswith('"') else part for part in WRITTEN_PART.findall(key))


def _quoted(part: str) -> str:
    return json.dumps(part, ensure_ascii=False).replace("\x7f", "\\u007f")


def canonical(value: Value) -> tuple[str, Any]:
    """Type name and canonical text of a value (for a list: a list of such pairs).

    Two values are the same when these are: so NaN equals itself, 1 is not True and -0.0 is not 0.0.
    """
    kind = TYPE_NAMES[type(value)]
    match value:
        case None:
            return kind, ""
        case bool():
            return kind, "true" if value else "false"
        case bytes():
            return kind, value.hex()
        case tuple():
            return kind, [list(canonical(part)) for part in value]
        case str() if not value.isascii():  # two surrogates are the character that they make, as in JSON
            return kind, value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        case _:
            return kind, str(value)


def parse_canonical(kind: str, text: Any) -> Value:
    """The value that `canonical` wrote; ValueError if it did not."""
    try:
        return _parsed(kind, text)
    except (KeyError, TypeError):
        raise ValueError(f"{text!r} is no {kind}") from None


def _parsed(kind: str, text: Any) -> Value:
    match kind:
        case "null":
            return None
        case "bool":
            return {"true": True, "false": False}[text]
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "str":
            return str(text)
        case "bytes":
            return bytes.fromhex(text)
        case "list":
            return tuple(parse_canonical(*part) for part in text)
    raise ValueError(f"{kind!r} is no type of a value")


def plain(value: Value) -> Any:
    """The value as JSON has it: bytes as lower-case hex, NaN and infinities as strings."""
    match value:
        case bytes():
            return value.hex()
        case tuple():
            return [plain(part) for part in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def same(one: Value, other: Value, tolerance: float = 0.0) -> bool:
    """Whether two values are the same, or two numbers of one type no further apart than `tolerance`.

    Reckoned in decimals as people read them: 12.05 is within 0.05 of 12.0, which binary fractions deny.
    """
    if canonical(one) == canonical(other):
        return True
    if not tolerance or type(one) is not type(other) or type(one) not in (int, float):
        return False
    assert isinstance(one, int | float)
    assert isinstance(other, int | float)
    if not (math.isfinite(one) and math.isfinite(other)):
        return False
    return abs(Decimal(str(one)) - Decimal(str(other))) <= Decimal(str(tolerance))


@dataclass(frozen=True, slots=True)
class Item:
    """One dotted key and one typed value, with what the profile says of it.

    `label` is the profile's word for the value ("RUN" for 3); `uncertain` that the device itself doubts the value
    (OPC UA status Uncertain). Raises ValueError for a tolerance that is no finite number of 0 or more.
    """

    key: str
    value: Value
    category: Category = Category.PARAMETER
    severity: Severity = Severity.MEDIUM
    tolerance: float = 0.0
    unit: str = ""
    label: str | None = None
    uncertain: bool = False

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("an item needs a key")
        if type(self.value) not in TYPE_NAMES:
            raise ValueError(f"{self.key}: a value cannot be of type {type(self.value).__name__}")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"{self.key}: a tolerance is a finite number of 0 or more, not {self.tolerance}")

    @property
    def shown(self) -> Any:
        """The value as people and JSON see it: its label, or else the plain value."""
        return plain(self.value) if self.label is None else self.label

    def line(self) -> str:
        """The canonical text of the item: one JSON object; what has its default is left out."""
        kind, text = canonical(self.value)
        fields: dict[str, Any] = {"key": self.key, "type": kind, "value": text, "category": self.category}
        fields["severity"] = self.severity
        if self.tolerance:
            fields["tolerance"] = str(float(self.tolerance))
        if self.unit:
            fields["unit"] = self.unit
        if self.label is not None:
            fields["label"] = self.label
        if self.uncertain:
            fields["uncertain"] = True
        return ENCODE(fields)


ENCODE = json.JSONEncoder(separators=(",", ":")).encode  # made once: it is asked for every item
DESCRIPTION = attrgetter("key", "category", "severity", "tolerance", "unit", "label", "uncertain")  # all but the value


@dataclass(frozen=True, slots=True)
class Unread:
    """A key that was asked for and not answered, and why. It stands for every key below it too."""

    key: str
    why: str = ""

    def covers(self, key: str) -> bool:
        return key == self.key or key.startswith(self.key + ".")

    def line(self) -> str:
        return ENCODE({"unread": self.key, "why": self.why})


@dataclass(frozen=True, slots=True)
class Dropped:
    """A key that people decided is no configuration, and why. Only in baselines: it is read still, and not compared."""

    key: str
    why: str

    def line(self) -> str:
        return ENCODE({"dropped": self.key, "why": self.why})


@dataclass(frozen=True)
class Snapshot:
    """What was read of an asset at one moment.

    `items`, `unread` and `dropped` are sorted by key, each key once; `profile` is the digest of the profile that it was
    read with. Make one with `Snapshot.of`; raises ValueError for a key that is there twice or a time without a zone.
    """

    asset: str
    taken_at: datetime
    items: tuple[Item, ...]
    unread: tuple[Unread, ...] = ()
    profile: str = ""
    dropped: tuple[Dropped, ...] = ()

    @classmethod
    def of(
        cls,
        asset: str,
        taken_at: datetime,
        items: Iterable[Item],
        unread: Iterable[Unread] = (),
        profile: str = "",
        dropped: Iterable[Dropped] = (),
    ) -> Snapshot:
        return cls(
            asset,
            taken_at,
            tuple(sorted(items, key=lambda item: item.key)),
            tuple(sorted(unread, key=lambda gap: gap.key)),
            profile,
            tuple(sorted(dropped, key=lambda each: each.key)),
        )

    def __post_init__(self) -> None:
        if self.taken_at.tzinfo is None:
            raise ValueError("a snapshot's time needs a time zone")
        for keys in ([each.key for each in part] for part in (self.items, self.unread, self.dropped)):
            for key, following in pairwise(keys):
                if key >= following:
                    raise ValueError(f"{following}: is there twice, or not in order")

    @property
    def text(self) -> str:
        """The canonical form; asset, time and profile are no part of it. Made anew each time: of 10,000 assets it would
        be 100 MB."""
        lines = [each.line() for part in (self.items, self.unread, self.dropped) for each in part]
        return "".join(line + "\n" for line in lines)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form, 64 hex digits."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def by_key(self) -> Mapping[str, Item]:
        return {item.key: item for item in self.items}

    @cached_property
    def left_out(self) -> frozenset[str]:
        """The keys that were dropped."""
        return frozenset(each.key for each in self.dropped)

    def misses(self, key: str) -> bool:
        """Whether `key` was asked for and not answered."""
        return any(gap.covers(key) for gap in self.unread)

    def continues(self, earlier: Snapshot, approved: Snapshot | None = None) -> bool:
        """Whether nothing was seen that the earlier snapshot does not say: values may move within their tolerance, be
        it the profile's or the approved one, and what was dropped from the baseline as it likes."""
        if self.digest == earlier.digest:
            return True
        if self.unread != earlier.unread or len(self.items) != len(earlier.items):
            return False
        return all(
            DESCRIPTION(now) == DESCRIPTION(before)
            and (same(before.value, now.value, before.tolerance) or _may_move(before, now, approved))
            for now, before in zip(self.items, earlier.items, strict=True)
        )

    def again(self, taken_at: datetime) -> Snapshot:
        """The same, seen at another time. Cheap: what was derived once is kept."""
        later = object.__new__(Snapshot)
        later.__dict__.update(self.__dict__, taken_at=taken_at)
        return later


def _may_move(before: Item, now: Item, approved: Snapshot | None) -> bool:
    """Whether people decided that an item may move so, against what its profile says."""
    if approved is None:
        return False
    known = approved.by_key.get(before.key)
    return before.key in approved.left_out or (known is not None and same(before.value, now.value, known.tolerance))


def parse_snapshot(asset: str, taken_at: datetime, text: str, profile: str = "") -> Snapshot:
    """The snapshot whose canonical form is `text`; ValueError names the line that is none."""
    items: list[Item] = []
    unread: list[Unread] = []
    dropped: list[Dropped] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            fields = json.loads(line)
            if "unread" in fields:
                unread.append(Unread(_key(fields["unread"]), fields["why"]))
            elif "dropped" in fields:
                dropped.append(Dropped(_key(fields["dropped"]), fields["why"]))
            else:
                items.append(parse_item(fields))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} of a snapshot of {asset} is broken: {error}") from error
    return Snapshot(asset, taken_at, tuple(items), tuple(unread), profile, tuple(dropped))


def _key(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError(f"{found!r} is no key")
    return found


def parse_item(fields: Mapping[str, Any]) -> Item:
    """The item whose canonical line holds `fields`."""
    return Item(
        _key(fields["key"]),
        parse_canonical(fields["type"], fields["value"]),
        Category(fields["category"]),
        Severity(fields["severity"]),
        float(fields.get("tolerance", 0.0)),
        fields.get("unit", ""),
        fields.get("label"),
        fields.get("uncertain", False),
    )


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with Z, to the millisecond."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
