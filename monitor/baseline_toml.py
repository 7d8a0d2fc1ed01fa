"""A baseline as TOML that people read and review: what became of it at the head, then its items, one a line, by key.

What TOML cannot hold stands as a table with one key: bytes as { bytes = "hexadecimal" }, null as { null = true }, a
whole number of more than 64 bits as { int = "digits" }, text with half a surrogate pair as { json = "a JSON string" }.
So every value comes back as it was, and with it the canonical form and its digest. docs/bundle.md has the format.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.baseline import Baseline, SignOff, Stage, State
from baselines.snapshot import Category, Dropped, Item, Severity, Snapshot, Unread, Value, utc_text
from monitor.entries import toml_string

FORMAT = 1
WHOLE = range(-(2**63), 2**63)  # what a whole number in TOML has to hold at least (TOML 1.0)
NEEDED = (
    "format",
    "asset",
    "number",
    "digest",
    "stage",
    "state",
    "profile",
    "profile_digest",
    "proposed_by",
    "proposed_at",
    "reason",
    "ticket",
    "signed",
    "items",
)
OPTIONAL = ("decided_by", "decided_at", "capture", "origin", "unread", "dropped")
SIGNED = ("by", "role", "at", "reason", "ticket")
ITEM = ("value", "label", "unit", "tolerance", "uncertain", "category", "severity")


@dataclass(frozen=True, slots=True)
class Record:
    """A baseline with all that is written of it.

    `number` is its place among the baselines of its asset in the store that it is of, from 1; `profile` the name of the
    profile that it was read with, "" where that is not known any more; `signed` who signed it off, the first first.
    """

    baseline: Baseline
    snapshot: Snapshot
    number: int
    profile: str = ""
    signed: tuple[SignOff, ...] = ()


def record_text(record: Record) -> str:
    """The TOML of a baseline. The same baseline is always written the same."""
    snapshot = record.snapshot
    lines = [
        *(f"{key} = {text}" for key, text in _head(record)),
        *_signed_lines(record.signed),
        "",
        "[items]",
        *(f"{_key_text(item.key)} = {_item_text(item)}" for item in snapshot.items),
    ]
    for name, gaps in (("unread", snapshot.unread), ("dropped", snapshot.dropped)):
        if gaps:
            lines += ["", f"[{name}]", *(f"{_key_text(gap.key)} = {_value_text(gap.why)}" for gap in gaps)]
    return "".join(line + "\n" for line in lines)


def _head(record: Record) -> Iterator[tuple[str, str]]:
    baseline = record.baseline
    yield "format", str(FORMAT)
    yield "asset", toml_string(baseline.asset)
    yield "number", str(record.number)
    yield "digest", toml_string(baseline.digest)
    yield "stage", toml_string(baseline.stage)
    yield "state", toml_string(baseline.state)
    yield "profile", toml_string(record.profile)
    yield "profile_digest", toml_string(baseline.profile)
    yield "proposed_by", toml_string(baseline.proposed_by)
    yield "proposed_at", utc_text(baseline.proposed_at)
    if baseline.decided_by is not None and baseline.decided_at is not None:
        yield "decided_by", toml_string(baseline.decided_by)
        yield "decided_at", utc_text(baseline.decided_at)
    yield "reason", toml_string(baseline.reason)
    yield "ticket", toml_string(baseline.ticket)
    for name, digest in (("capture", baseline.capture), ("origin", baseline.origin)):
        if digest is not None:
            yield name, toml_string(digest)


def _signed_lines(signed: Iterable[SignOff]) -> list[str]:
    words = [
        f"    {{ by = {toml_string(word.by)}, role = {toml_string(word.role)}, at = {utc_text(word.at)},"
        f" reason = {toml_string(word.reason)}, ticket = {toml_string(word.ticket)} }},"
        for word in signed
    ]
    return ["signed = [", *words, "]"] if words else ["signed = []"]


def _item_text(item: Item) -> str:
    said = {"value": _value_text(item.value)}
    if item.label is not None:
        said["label"] = _value_text(item.label)
    if item.unit:
        said["unit"] = _value_text(item.unit)
    if item.tolerance:
        said["tolerance"] = str(float(item.tolerance))
    if item.uncertain:
        said["uncertain"] = "true"
    said |= {"category": toml_string(item.category), "severity": toml_string(item.severity)}
    return "{ " + ", ".join(f"{key} = {text}" for key, text in said.items()) + " }"


def _value_text(value: Value) -> str:
    match value:
        case None:
            return "{ null = true }"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if value in WHOLE else f'{{ int = "{value}" }}'
        case float():
            return str(value)
        case bytes():
            return f'{{ bytes = "{value.hex()}" }}'
        case tuple():
            return "[" + ", ".join(map(_value_text, value)) + "]"
    return toml_string(value) if _is_whole(value) else f"{{ json = {toml_string(json.dumps(value))} }}"


def _key_text(key: str) -> str:
    """A key; one that begins like a JSON string, or that TOML cannot hold, as a JSON string."""
    return toml_string(key if _is_whole(key) and not key.startswith('"') else json.dumps(key))


def _is_whole(text: str) -> bool:
    """Whether no half of a surrogate pair stands alone in it."""
    try:
        text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return False
    return True


def parse_record(text: str) -> Record:
    """The baseline that `record_text` wrote; ValueError names the line, or the key, of what it would not write."""
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    if found.get("format") != FORMAT:
        raise ValueError(f"its format is {found.get('format')!r}, and this asbuilt reads {FORMAT}: upgrade asbuilt")
    _check_keys(found, NEEDED, OPTIONAL)
    baseline = _baseline(found)
    parts = {name: _table(found, name) for name in ("items", "unread", "dropped")}
    if not isinstance(found["signed"], list):
        raise ValueError("signed: is a list of people's words")
    snapshot = Snapshot(
        baseline.asset,
        baseline.proposed_at,
        tuple(_item(key, said) for key, said in parts["items"].items()),
        tuple(Unread(_key(key), _why(key, why)) for key, why in parts["unread"].items()),
        baseline.profile,
        tuple(Dropped(_key(key), _why(key, why)) for key, why in parts["dropped"].items()),
    )
    return Record(baseline, snapshot, baseline.id, _text(found, "profile"), tuple(map(_word, found["signed"])))


def _baseline(found: Mapping[str, Any]) -> Baseline:
    number = found["number"]
    if type(number) is not int or number < 1:
        raise ValueError(f"number: is 1 or more, not {number!r}")
    return Baseline(
        number,
        _text(found, "asset"),
        _text(found, "digest"),
        State(_text(found, "state")),
        Stage(_text(found, "stage")),
        _text(found, "profile_digest"),
        _text(found, "proposed_by"),
        _moment(found, "proposed_at"),
        _text(found, "decided_by") if "decided_by" in found else None,
        _moment(found, "decided_at") if "decided_at" in found else None,
        _text(found, "reason"),
        _text(found, "ticket"),
        _text(found, "capture") if "capture" in found else None,
        _text(found, "origin") if "origin" in found else None,
    )


def _word(said: Any) -> SignOff:
    if not isinstance(said, dict):
        raise ValueError(f"signed: {said!r} is nobody's word")
    _check_keys(said, SIGNED, ())
    by, role, reason, ticket = (_text(said, name) for name in ("by", "role", "reason", "ticket"))
    return SignOff(by, role, _moment(said, "at"), reason, ticket)


def _item(key: str, said: Any) -> Item:
    if not isinstance(said, dict):
        raise ValueError(f"{key}: is a table with a value, a category and a severity, not {said!r}")
    try:
        _check_keys(said, ("value", "category", "severity"), ITEM)
        tolerance, uncertain = said.get("tolerance", 0.0), said.get("uncertain", False)
        if type(tolerance) is not float or type(uncertain) is not bool:
            raise ValueError("its tolerance is a number with a point, and uncertain is true or false")
        return Item(
            _key(key),
            _value(said["value"]),
            Category(_text(said, "category")),
            Severity(_text(said, "severity")),
            tolerance,
            _string(said.get("unit", "")),
            _string(said["label"]) if "label" in said else None,
            uncertain,
        )
    except RecursionError:
        raise ValueError(f"{key}: nests too deep") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _value(found: Any) -> Value:
    match found:
        case bool() | int() | float() | str():
            return found
        case list():
            return tuple(map(_value, found))
        case {"null": True} if len(found) == 1:
            return None
        case {"int": str(digits)} if len(found) == 1:
            return int(digits)
        case {"bytes": str(digits)} if len(found) == 1:
            return bytes.fromhex(digits)
        case {"json": str(text)} if len(found) == 1:
            return _json_string(text)
    raise ValueError(f"{found!r} is no value")


def _string(found: Any) -> str:
    value = _value(found)
    if not isinstance(value, str):
        raise ValueError(f"{found!r} is no text")
    return value


def _why(key: str, found: Any) -> str:
    try:
        return _string(found)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _key(written: str) -> str:
    return _json_string(written) if written.startswith('"') else written


def _json_string(written: str) -> str:
    found = json.loads(written)
    if not isinstance(found, str):
        raise ValueError(f"{written} is no text in JSON")
    return found


def _check_keys(found: Mapping[str, Any], needed: Iterable[str], optional: Iterable[str]) -> None:
    if missing := [name for name in needed if name not in found]:
        raise ValueError(f"{', '.join(missing)} is missing")
    if unknown := [name for name in found if name not in {*needed, *optional}]:
        raise ValueError(f"{unknown[0]}: stands in no baseline")


def _table(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = found.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"{name}: is a table")
    return table


def _text(found: Mapping[str, Any], name: str) -> str:
    text = found[name]
    if not isinstance(text, str) or "\0" in text:  # which not every database keeps
        raise ValueError(f"{name}: is text, not {text!r}")
    return text


def _moment(found: Mapping[str, Any], name: str) -> datetime:
    moment = found[name]
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(f"{name}: is a time in UTC, such as 2026-11-23T08:00:00.000Z, not {moment!r}")
    return moment
