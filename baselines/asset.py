"""Assets: a device and where it stands; and the identity that it reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from baselines.snapshot import Category, Item, Severity, Value, key_of


class Criticality(StrEnum):
    """How much hangs on an asset; a safety controller is polled only where its owner says so."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    SAFETY = "safety"


@dataclass(frozen=True, slots=True)
class Asset:
    """A device, and where it stands (IEC 62443 zone, Purdue level 0 to 5); and what of it people write down, because
    nobody can read it over a network, or to have it held against what is heard."""

    name: str
    address: str
    profile: str
    zone: str = ""
    role: str = ""
    purdue_level: float | None = None
    criticality: Criticality = Criticality.MEDIUM
    location: str = ""
    machine_type: str = ""
    asset_number: str = ""
    hostname: str = ""
    mac: str = ""  # lower-case, with colons
    operating_system: str = ""
    logging: str = ""
    user_accounts: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device says it is (OPC UA Part 100, 4.5.2; Modbus FC 43/14 maps onto it); None where it says nothing."""

    manufacturer: str | None = None
    product_code: str | None = None
    model: str | None = None
    hardware_revision: str | None = None
    software_revision: str | None = None
    serial_number: str | None = None


# What an identity field is, and how much it matters that it changed; a field that is not here is LOW.
IDENTITY_FIELDS: dict[str, tuple[Category, Severity]] = {
    "manufacturer": (Category.IDENTITY, Severity.HIGH),
    "product_code": (Category.IDENTITY, Severity.HIGH),
    "model": (Category.IDENTITY, Severity.HIGH),
    "hardware_revision": (Category.IDENTITY, Severity.HIGH),
    "software_revision": (Category.FIRMWARE, Severity.HIGH),
    "serial_number": (Category.IDENTITY, Severity.HIGH),
    "device_revision": (Category.FIRMWARE, Severity.MEDIUM),
    "build_number": (Category.FIRMWARE, Severity.HIGH),
    "product_uri": (Category.IDENTITY, Severity.MEDIUM),
    "product_name": (Category.IDENTITY, Severity.MEDIUM),
    "user_application_name": (Category.PROGRAM, Severity.MEDIUM),
    "server_id": (Category.IDENTITY, Severity.MEDIUM),
}


def identity_item(field: str, value: Value, group: str = "identity") -> Item:
    """The item of one identity field; `group` is "identity", or the key under which a module's nameplate stands."""
    category, severity = IDENTITY_FIELDS.get(field, (Category.IDENTITY, Severity.LOW))
    return Item(f"{group}.{key_of(field)}", value, category, severity)


def identity_values(items: Iterable[Item]) -> dict[str, Any]:
    """What a device says of itself, by field: the six of `Identity` always (None if unsaid), others as they come."""
    said = {item.key.removeprefix("identity."): item.shown for item in items if item.key.startswith("identity.")}
    return {field.name: said.pop(field.name, None) for field in fields(Identity)} | said
