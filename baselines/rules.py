"""What a deviation means: how severe it is, and which ATT&CK for ICS techniques it may be the trace of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from baselines.drift import HEARD_KEYS, Deviation, Kind
from baselines.snapshot import Category, Item, Severity, Snapshot, Value, key_of, parts_of, utc_text
from baselines.wire import OPERATIONS, Operation, WireEvent, Written

TECHNIQUES: dict[Category, tuple[str, ...]] = {  # MITRE ATT&CK for ICS
    Category.FIRMWARE: ("T0857",),  # System Firmware
    Category.PROGRAM: ("T0843", "T0889"),  # Program Download, Modify Program
    Category.PARAMETER: ("T0836",),  # Modify Parameter
    Category.MODE: ("T0858",),  # Change Operating Mode
}
HEARD_TECHNIQUES: dict[tuple[str, Kind], tuple[str, ...]] = {  # by what the key of a segment's item begins with
    ("host.", Kind.ADDED): ("T0864",),  # Transient Cyber Asset
    ("conversation.", Kind.ADDED): ("T0848",),  # Rogue Master
    ("conversation.", Kind.CHANGED): ("T0855",),  # Unauthorized Command Message
    ("address.", Kind.CHANGED): ("T0830", "T0856"),  # Adversary-in-the-Middle, Spoof Reporting Message
}
CONFLICT_TECHNIQUES = ("T0856", "T0851")  # Spoof Reporting Message, Rootkit
CLAIMED = "witness.mac"  # the contradiction of two devices that both say they have the address of an asset
MODULE_TECHNIQUES = ("T0839",)  # Module Firmware
MODULE_KEYS = "device."
SERIAL_NUMBER = "identity.serial_number"
SERIAL_FIELDS = ("serial_number", "product_instance_uri")  # of a nameplate (OPC UA Part 100, 4.5.2)
ZERO = (0, "")
OPERATION_CATEGORIES: dict[Operation, Category] = {  # what of a device an operation changes
    Operation.PROGRAM_DOWNLOAD: Category.PROGRAM,
    Operation.PROGRAM_UPLOAD: Category.PROGRAM,
    Operation.PROGRAM_CHANGE: Category.PROGRAM,
    Operation.START: Category.MODE,
    Operation.STOP: Category.MODE,
    Operation.MODE_CHANGE: Category.MODE,
    Operation.RESTART: Category.MODE,
    Operation.FIRMWARE_UPDATE: Category.FIRMWARE,
    Operation.ADDRESS_CHANGE: Category.NETWORK,
    Operation.LOGIN: Category.SECURITY,
    Operation.IDENTITY_READ: Category.IDENTITY,
}


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
    who: Mapping[str, Any] | None = None
    suppressed_by: str | None = None  # the change order that expects it, or what else keeps its alarm back


def assess(deviations: Iterable[Deviation]) -> tuple[Finding, ...]:
    """What each deviation means. Older firmware brings old holes back: a downgrade is always critical."""
    return tuple(_assess(deviation) for deviation in deviations)


def _assess(deviation: Deviation) -> Finding:
    item = deviation.item
    techniques = TECHNIQUES.get(item.category, ())
    if item.key.startswith(HEARD_KEYS) and item.category is Category.NETWORK:
        techniques = HEARD_TECHNIQUES.get((item.key.partition(".")[0] + ".", deviation.kind), ())
    if item.category is Category.FIRMWARE and item.key.startswith(MODULE_KEYS):
        techniques = MODULE_TECHNIQUES
    way = None
    if item.category is Category.FIRMWARE and deviation.kind is Kind.CHANGED:
        assert deviation.approved is not None
        assert deviation.observed is not None
        way = direction(_only(deviation.approved.value), _only(deviation.observed.value))
    severity = Severity.CRITICAL if way is Direction.DOWNGRADE else item.severity
    return Finding(deviation, severity, techniques, way)


def _only(value: Value) -> Value:
    """What a list of one holds: what was heard of a host is a list of what its witnesses say."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def replaced(findings: Sequence[Finding], observed: Snapshot) -> Finding | None:
    """A like-for-like replacement (CIP-010 R3.3): the device differs in its serial number and in nothing else, and all
    of it was read. Its nameplate may say the same number in several places."""
    serial = next((each for each in findings if each.deviation.key == SERIAL_NUMBER), None)
    if serial is None or observed.unread or serial.deviation.kind is not Kind.CHANGED:
        return None
    for finding in findings:
        if finding.deviation.kind is not Kind.CHANGED or not bears_serial(finding.deviation.key):
            return None
    return replace(serial, deviation=replace(serial.deviation, kind=Kind.REPLACED), severity=Severity.MEDIUM)


def bears_serial(key: str) -> bool:
    """Whether an item says which one of many equal devices it is."""
    return key == SERIAL_NUMBER or (key.startswith(MODULE_KEYS) and key.rpartition(".")[2] in SERIAL_FIELDS)


def contradiction(field: str, polled: Value, heard: Value) -> Finding:
    """Two witnesses of one asset: what it answered to us, and what the wire says that it answers to others."""
    key = f"witness.{field}"
    approved, observed = (Item(key, value, Category.IDENTITY, Severity.HIGH) for value in (polled, heard))
    return Finding(Deviation(key, Kind.CONFLICT, approved, observed), Severity.HIGH, CONFLICT_TECHNIQUES)


def impersonation(mac: str, others: Iterable[str]) -> Finding:
    """Several devices say that they have the address of one asset: the one that was heard first, and the others."""
    sides = (Item(CLAIMED, value, Category.NETWORK, Severity.CRITICAL) for value in (mac, ", ".join(others)))
    claimed = Deviation(CLAIMED, Kind.CONFLICT, *sides)
    return Finding(claimed, Severity.CRITICAL, HEARD_TECHNIQUES["address.", Kind.CHANGED])


def occurrence(event: WireEvent, name: str) -> Finding:
    """Something that `event.client` (its name, if it has one) did: one alarm for each client, server and operation."""
    key = key_of("wire", event.operation, event.client, event.server)
    category = OPERATION_CATEGORIES.get(event.operation, Category.PARAMETER)
    told = f"{event.operation} of {event.server} by {name or event.client} over {event.protocol}"
    who = {"client": event.client, "name": name or None, "protocol": event.protocol, "at": utc_text(event.at)}
    done = Deviation(key, Kind.EVENT, None, Item(key, told, category, event.severity))
    return Finding(done, event.severity, event.techniques, who=who)


def tampering(written: Written, item: Item) -> Finding:
    """A write to an approved item that the wire saw, whatever polls say of it before and after."""
    key = key_of("wire", "write", written.who["client"], *parts_of(written.item))
    value = "another value" if written.value is None else json.dumps(written.value, ensure_ascii=False)
    by = written.who.get("name") or written.who["client"]
    told = f"{written.item} was written {value} by {by} over {written.who['protocol']}"
    done = Deviation(key, Kind.EVENT, None, Item(key, told, item.category, item.severity))
    techniques = OPERATIONS[Operation.WRITE][1]
    return Finding(done, item.severity, techniques, who={**written.who, "at": utc_text(written.at)})


def blind(what: str, why: str, severity: Severity) -> Finding:
    """Something that should watch sees nothing: `what` as in "poll" or "capture". `why` stays the same while the cause
    does, for another one takes an acknowledgement back."""
    key = f"watch.{what}"
    item = Item(key, why, Category.WATCH, severity)
    return Finding(Deviation(key, Kind.BLIND, None, item), severity)


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
