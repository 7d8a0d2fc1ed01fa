"""Profiles: which items of a product are configuration. Loads, checks and chooses profiles/*.toml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from baselines.asset import IDENTITY_FIELDS
from baselines.snapshot import Category, Item, Severity, Value, key_of
from collectors.contract import Limits
from collectors.written import FileError, dotted, read_table, read_toml, table, unknown_keys

Table = Literal["coil", "discrete", "input", "holding"]
ItemType = Literal[
    "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string", "bytes"
]
Order = Literal["big", "little"]

REGISTERS: dict[str, int] = {  # of each type; string and bytes say `count` themselves
    "bool": 1,
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "int64": 4,
    "uint64": 4,
    "float32": 2,
    "float64": 4,
}
COUNTED = ("string", "bytes")
INTEGERS = ("int16", "uint16", "int32", "uint32", "int64", "uint64")
BIT_TABLES = ("coil", "discrete")
TELLTALE = (Category.MODE, Category.PROGRAM, Category.FIRMWARE)  # what moves when somebody works on a PLC
OBJECT = re.compile(r"object_(1?[0-9]{1,2}|2[0-4][0-9]|25[0-5])")
LONGEST_PUBLISHING = 10.0  # seconds
PUBLISHING_SHARE = 0.5  # of the requests per second
NODE_ID = re.compile(r"(nsu=[^;]+;)?([isgb])=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Register:
    """Where a Modbus item is and how its registers are read. `count` is in registers, of a bit table in bits."""

    table: Table
    address: int
    type: ItemType = "bool"
    count: int | None = None
    word_order: Order = "big"
    byte_order: Order = "big"
    bit: int | None = None
    mask: int | None = None
    shift: int = 0
    scale: float = 1
    offset: float = 0

    @property
    def width(self) -> int:
        """How many registers (or bits, of coils and discrete inputs) it takes."""
        return self.count if self.count is not None else REGISTERS[self.type]

    def __post_init__(self) -> None:
        if self.table in BIT_TABLES and (self.type != "bool" or self.bit is not None or self.count is not None):
            raise ValueError(f"a {self.table} is one bit: its type is bool, without count or bit")
        if self.count is None and self.type in COUNTED:
            raise ValueError(f'count (registers) goes with type "{self.type}", and is missing')
        if self.count is not None and self.type not in COUNTED:
            raise ValueError('count (registers) goes with type "string" and "bytes", and with no other')
        if self.count is not None and self.count < 1:
            raise ValueError("count is 1 or more registers")
        if not 0 <= self.address <= 65536 - self.width:
            raise ValueError(f"address {self.address} with {self.width} registers is not within 0 to 65535")
        if self.table not in BIT_TABLES and self.type == "bool" and self.bit is None:
            raise ValueError("a bool in a register needs `bit`, the number of the bit (0 is the lowest)")
        self._check_bits()
        scaled = self.scale != 1 or self.offset != 0
        if scaled and (self.bit is not None or self.type in ("bool", *COUNTED)):
            raise ValueError("scale and offset go with numbers")
        if self.scale == 0:
            raise ValueError("a scale of 0 would hide every change")
        if not (isfinite(self.scale) and isfinite(self.offset)):
            raise ValueError("scale and offset are finite numbers")

    def _check_bits(self) -> None:
        bits = 16 * self.width
        if self.bit is not None and (self.type not in ("bool", *INTEGERS) or not 0 <= self.bit < bits):
            raise ValueError(f"bit is 0 to {bits - 1}, of a bool or an integer")
        if self.bit is not None and (self.mask is not None or self.shift):
            raise ValueError("either bit, or mask and shift")
        if (self.mask is not None or self.shift) and self.type not in INTEGERS:
            raise ValueError("mask and shift go with integers")
        if self.mask is not None and not 0 < self.mask < 1 << bits:
            raise ValueError(f"mask is 1 to {(1 << bits) - 1:#x} for {bits} bits")
        if not 0 <= self.shift < bits:
            raise ValueError(f"shift is 0 to {bits - 1} for {bits} bits")
        if self.mask is not None and not self.mask >> self.shift:
            raise ValueError("this mask and shift leave nothing: every change would be hidden")


@dataclass(frozen=True, slots=True)
class Node:
    """An OPC UA node by namespace URI ("nsu=urn:acme:filler;s=Recipe.Version"); "i=2258" is of namespace 0."""

    node: str

    def __post_init__(self) -> None:
        if self.node.startswith("ns="):
            raise ValueError("a node is named by its namespace URI (nsu=…;s=…): indexes move from server to server")
        match = NODE_ID.fullmatch(self.node)
        if match is None or (match[2] == "i" and not (match[3].isascii() and match[3].isdigit())):
            raise ValueError(f"{self.node!r} is no NodeId: write nsu=URI;s=NAME, nsu=URI;i=NUMBER, or i=NUMBER")


@dataclass(frozen=True)
class ItemSpec:
    """One item of a profile: what it is, and where it is read."""

    name: str
    source: Register | Node
    category: Category = Category.PARAMETER
    severity: Severity = Severity.MEDIUM
    tolerance: float = 0.0
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    tripwire: bool | None = None  # None: by its category

    @cached_property
    def key(self) -> str:
        return key_of("item", self.name)

    def item(self, value: Value, uncertain: bool = False) -> Item:
        """The item with a value that was read."""
        plain_key = str(int(value)) if isinstance(value, bool | int) else str(value)
        label = self.values.get(plain_key)
        return Item(self.key, value, self.category, self.severity, self.tolerance, self.unit, label, uncertain)


@dataclass(frozen=True)
class Profile:
    """What of a product is configuration. `identity` says which private object holds which identity field."""

    name: str
    about: str = ""
    match: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    items: tuple[ItemSpec, ...] = ()

    @cached_property
    def tripwire(self) -> Profile:
        """The profile with those items alone that tell cheaply and often whether something was changed: mode, program
        and firmware, revision counters; or what the profile names (`tripwire`)."""
        chosen = (
            spec for spec in self.items if (spec.category in TELLTALE if spec.tripwire is None else spec.tripwire)
        )
        return replace(self, items=tuple(chosen))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what decides the items; wording, matching and limits may change without touching a baseline."""
        decisive = [(spec.name, str(spec.source), spec.item(None).line(), dict(spec.values)) for spec in self.items]
        text = json.dumps([sorted(self.identity.items()), sorted(decisive, key=lambda row: row[0])], sort_keys=True)
        return sha256(text.encode()).hexdigest()

    def reads(self, protocol: str) -> bool:
        """Whether its items can be read over a protocol."""
        return self._kinds <= {Register if protocol == "modbus" else Node}

    @cached_property
    def _kinds(self) -> frozenset[type]:
        return frozenset(type(spec.source) for spec in self.items)

    def fits(self, identity: Mapping[str, Any]) -> bool:
        """Whether a device that reports `identity` is of this product; values may hold * and ?."""
        return bool(self.match) and all(
            fnmatchcase(str(identity.get(name) or ""), wanted.replace("[", "[[]"))
            for name, wanted in self.match.items()
        )


SPEC_KEYS = ("category", "severity", "tolerance", "unit", "values", "about", "tripwire")
REGISTER_KEYS = tuple(Register.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class _Spec:
    """The keys that every item has, as they are written."""

    category: Category = Category.PARAMETER
    severity: Severity = Severity.MEDIUM
    tolerance: float = 0.0
    unit: str = ""
    values: dict[str, str] = field(default_factory=dict)
    about: str = ""
    tripwire: bool | None = None


@dataclass(frozen=True, slots=True)
class _Head:
    """The top of a profile, as it is written."""

    name: str
    about: str = ""
    match: dict[str, str] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)


def parse_profile(written: Mapping[str, Any], place: str) -> Profile:
    """The profile that the tables of a file say; FileError lists every fault with its key path."""
    faults: list[str] = []
    top = tuple(_Head.__dataclass_fields__)
    faults += unknown_keys(written, [*top, "limits", "item"], "")
    head = read_table(_Head, {key: value for key, value in written.items() if key in top}, "", faults)
    limits = read_table(Limits, table(written.get("limits", {}), "limits", faults), "limits", faults)
    if limits is not None:
        faults += _limit_faults(limits)
    items = [
        _read_item(name, table(found, dotted("item", key_of(name)), faults), faults)
        for name, found in table(written.get("item", {}), "item", faults).items()
    ]
    specs = [spec for spec in items if spec is not None]
    faults += _item_faults(specs, limits or Limits())
    faults += _subscription_faults(specs, limits or Limits())
    if head is not None:
        if head.name in ("", "auto"):
            faults.append(f"name: {head.name!r} is no name for a profile")
        faults += unknown_keys(head.match, [*IDENTITY_FIELDS, "vendor_url"], "match")
        faults += unknown_keys(head.identity, IDENTITY_FIELDS, "identity")
        for field_name, said in head.identity.items():
            if not (OBJECT.fullmatch(said) or said in (*IDENTITY_FIELDS, "vendor_url")):
                faults.append(f"identity.{field_name}: names an object such as object_128, not {said!r}")
    if faults or head is None or limits is None:
        raise FileError(place, faults)
    return Profile(head.name, head.about, head.match, head.identity, limits, tuple(specs))


def _read_item(name: str, found: dict[str, Any], faults: list[str]) -> ItemSpec | None:
    path = dotted("item", key_of(name))
    if ("table" in found) == ("node" in found):
        faults.append(f"{path}: needs either table, address and type (Modbus) or node (OPC UA)")
        return None
    of_source = ("node",) if "node" in found else REGISTER_KEYS
    faults += unknown_keys(found, [*of_source, *SPEC_KEYS], path)
    if "table" in found and "type" not in found and found["table"] not in BIT_TABLES:
        faults.append(f"{path}.type: is required")
    at = {key: value for key, value in found.items() if key in of_source}
    said = {key: value for key, value in found.items() if key in SPEC_KEYS}
    kind: type[Register | Node] = Node if "node" in found else Register
    source = read_table(kind, at, path, faults)
    spec = read_table(_Spec, said, path, faults)
    if source is None or spec is None:
        return None
    if spec.category is Category.WATCH:
        faults.append(f"{path}.category: watch is for alarms about the monitor itself; write another")
    try:
        said = {key: getattr(spec, key) for key in SPEC_KEYS}
        made = ItemSpec(name, source, **said)
        made.item(None)
    except ValueError as error:
        faults.append(f"{path}: {error}")
        return None
    return made


def _item_faults(specs: Iterable[ItemSpec], limits: Limits) -> list[str]:
    faults = []
    for spec in specs:
        if isinstance(spec.source, Register) and spec.source.width > limits.registers_per_request:
            width, most = spec.source.width, limits.registers_per_request
            faults.append(
                f"{dotted('item', key_of(spec.name))}: {width} registers are more than one request takes ({most})"
            )
        whole = isinstance(spec.source, Register) and spec.source.type in (*INTEGERS, "bool")
        if whole and not all(re.fullmatch("-?[0-9]+", key) for key in spec.values):
            faults.append(f"{dotted('item', key_of(spec.name))}.values: the keys are numbers")
    return faults


def _limit_faults(limits: Limits) -> list[str]:
    bounds = {
        "connections": (1, 1),
        "requests_per_second": (0.001, 1_000_000),
        "registers_per_request": (1, 125),  # MODBUS Application Protocol V1.1b3, 6.3
        "bits_per_request": (1, 2000),  # the same, 6.1
        "nodes_per_read": (1, 10_000),
    }
    return [
        f"limits.{name}: is {least:g} to {most:g}, not {value:g}"
        for name, (least, most) in bounds.items()
        if not least <= (value := getattr(limits, name)) <= most
    ]


def _subscription_faults(specs: Iterable[ItemSpec], limits: Limits) -> list[str]:
    if not limits.subscribe:
        return []
    faults = []
    if any(isinstance(spec.source, Register) for spec in specs):
        faults.append("limits.subscribe: Modbus knows no subscriptions; leave it out where items are registers")
    if limits.close_after_poll:
        faults.append("limits.subscribe: needs a session that stays open; leave out close_after_poll, or this")
    if limits.publishing > LONGEST_PUBLISHING:
        faults.append(f"limits.publishing: is at most {LONGEST_PUBLISHING:g} s; what may take longer is for polls")
    if limits.publishing * limits.requests_per_second < 1 / PUBLISHING_SHARE:
        least = 1 / PUBLISHING_SHARE / limits.requests_per_second
        faults.append(
            f"limits.publishing: is at least {least:g} s with {limits.requests_per_second:g} requests per second:"
            " each time takes one, and polls need the other half"
        )
    return faults


def load_profile(path: Path) -> Profile:
    """The profile in a file; FileError if it is none."""
    return parse_profile(read_toml(path), str(path))


GENERIC = {"modbus": "generic-modbus", "opc.tcp": "generic-opcua"}  # by protocol: where no other fits


class Profiles:
    """The profiles at hand: the bundled ones, and those that a plant adds."""

    def __init__(self, added: Iterable[Profile] = ()) -> None:
        self._by_name = {profile.name: profile for profile in (*bundled(), *added)}
        self._by_digest = {profile.digest: profile for profile in self._by_name.values()}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Profile:
        return self._by_name[name]

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    def by_digest(self, digest: str) -> Profile | None:
        """The profile that has a digest; None if none has it (any more)."""
        return self._by_digest.get(digest)

    def choose(self, identity: Mapping[str, Any], protocol: str) -> Profile:
        """The profile whose `match` fits best (most fields, then by name); the protocol's generic one if none does."""
        fitting = [each for each in self._by_name.values() if each.fits(identity) and each.reads(protocol)]
        if not fitting:
            return self._by_name[GENERIC[protocol]]
        return min(fitting, key=lambda profile: (-len(profile.match), profile.name))


def bundled() -> list[Profile]:
    """The profiles that come with asbuilt."""
    folder = files("collectors") / "profiles"
    return [
        load_profile(Path(str(entry))) for entry in sorted(folder.iterdir(), key=str) if entry.name.endswith(".toml")
    ]
