"""The inventory as a hardware bill of materials: CycloneDX 1.6, JSON. The same bytes for the same report.

A device a component, and in it its firmware and its operating system, where they are known. What CycloneDX has a field
or a property of its own for (its property taxonomy, cdx:device) stands there; the rest is in properties that begin with
"asbuilt:". What nobody knows is a property too, with the reason: asbuilt:unknown:mac.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema.schema import SchemaVersion1Dot6

from baselines.snapshot import utc_text
from monitor.errors import CallError
from monitor.report.annexes import csv_parts
from monitor.report.document import Cell, Report, Table
from monitor.report.known import FIELDS

PLANT = "plant"  # the reference of the whole
INVENTORY = "inventory"  # the table that has everything
OURS = "asbuilt:"
CDX = {  # a column, and the property that CycloneDX has for it
    "role": "cdx:device:function",
    "serial_number": "cdx:device:serialNumber",
    "asset_number": "cdx:device:sku",
    "mac": "cdx:device:macAddress",
}
PLACED = ("asset", "manufacturer", "hardware_revision", "firmware", "operating_system", "known", *CDX)  # not in OURS
VERSION_MOST = 1024  # letters, by the schema


def hbom(report: Report) -> bytes:
    """A report that has the inventory, as CycloneDX 1.6; CallError for one that has not."""
    table = next((table for table in report.tables if table.key == INVENTORY), None)
    if table is None:
        raise CallError(
            f"a hardware bill of materials is made of the inventory: asbuilt report inventory, not {report.kind}"
        )
    return "".join(_written(_frame(report, table), table)).encode()


def _frame(report: Report, table: Table) -> dict[str, Any]:
    """All but the components, and how they depend on each other."""
    own = Component(name="asbuilt", type=ComponentType.APPLICATION, version=report.version, bom_ref="asbuilt")
    said = (("scope", report.scope), ("audit-entries", report.entries), ("audit-head", report.head))
    bom = Bom(
        serial_number=_serial_number(report, table),
        metadata=BomMetaData(
            timestamp=report.until,
            tools=ToolRepository(components=[own]),
            lifecycles=[PredefinedLifecycle(LifecyclePhase.OPERATIONS)],
            component=Component(name=_text(report.plant), type=ComponentType.DEVICE, bom_ref=PLANT),
            properties=_properties((f"{OURS}{name}", value) for name, value in said),
        ),
    )
    frame: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    return {key: value for key, value in frame.items() if key not in ("components", "dependencies")}


def _written(frame: Mapping[str, Any], table: Table) -> Iterator[str]:
    """The document, a component and a dependency a line. The library would take minutes for 10,000 components at once:
    for each it looks through all."""
    keys = [column.key for column in table.columns]
    on: dict[str, list[str]] = {}
    yield json.dumps(frame).removesuffix("}") + ',\n"components": [\n'
    for row in table.rows:
        device = _device(dict(zip(keys, row, strict=True)))
        yield ",\n" * bool(on) + device.as_json(view_=SchemaVersion1Dot6)  # type: ignore[attr-defined]
        on[_ref(device)] = [_ref(part) for part in device.components]
    yield '\n],\n"dependencies": [\n' + json.dumps({"ref": PLANT, "dependsOn": [*on]})
    for ref, parts in on.items():
        yield ",\n" + json.dumps({"ref": ref, "dependsOn": parts} if parts else {"ref": ref})
    yield "\n]}\n"


def _ref(component: Component) -> str:
    return str(component.bom_ref.value)


def _device(row: Mapping[str, Cell]) -> Component:
    ref = f"asset:{quote(str(row['asset']), errors='surrogatepass')}"  # two names are never one
    named = [_text(row[key]) for key in ("manufacturer", "model") if row[key] is not None]
    what = " ".join(named)
    said = [(name, value) for key, name in CDX.items() for value in _values(row, key)]
    ours = [(f"{OURS}{key}", row[key]) for key in row if key not in PLACED and not key.endswith("_from")]
    return Component(
        name=_text(row["asset"]),
        type=ComponentType.DEVICE,
        bom_ref=ref,
        version=_version(row["hardware_revision"]),
        manufacturer=OrganizationalEntity(name=named[0]) if row["manufacturer"] is not None else None,
        description=what or None,
        components=[*_parts(row, ref, what)],
        properties=_properties([*said, *ours, *_sources(row)]),
    )


def _parts(row: Mapping[str, Cell], ref: str, what: str) -> Iterator[Component]:
    """The firmware and the operating system of a device, where they are known."""
    if row["firmware"] is not None:
        yield Component(
            name=f"firmware of {what or _text(row['asset'])}",
            type=ComponentType.FIRMWARE,
            version=_version(row["firmware"]),
            bom_ref=f"{ref}#firmware",
        )
    if row["operating_system"] is not None:
        name = _text(row["operating_system"])
        yield Component(name=name, type=ComponentType.OPERATING_SYSTEM, bom_ref=f"{ref}#operating-system")


def _values(row: Mapping[str, Cell], key: str) -> list[Cell]:
    """What a cell holds: a device may have several MAC addresses."""
    return [*str(row[key]).split(", ")] if key == "mac" and row[key] is not None else [row[key]]


def _sources(row: Mapping[str, Cell]) -> Iterator[tuple[str, Cell]]:
    """Where each value comes from, and why others are unknown."""
    for field in FIELDS:
        source = str(row[f"{field.key}_from"])
        if row[field.key] is None:
            yield f"{OURS}unknown:{field.key}", source.removeprefix("unknown: ")
        else:
            yield f"{OURS}source:{field.key}", source


def _properties(values: Iterable[tuple[str, Cell]]) -> list[Property]:
    return [Property(name=name, value=_text(value)) for name, value in values if value is not None]


def _version(cell: Cell) -> str | None:
    return None if cell is None else _text(cell)[:VERSION_MOST]


def _text(cell: Cell) -> str:
    """A cell as a text of JSON and of XML: what either cannot hold is shown as an escape."""
    text = utc_text(cell) if isinstance(cell, datetime) else str(cell)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _serial_number(report: Report, table: Table) -> UUID:
    """The same for the same plant, moment and content, and for no others."""
    digest = sha256()
    for part in csv_parts(table):
        digest.update(part)
    said = (_text(report.plant), utc_text(report.until), report.version, digest.hexdigest())
    return uuid5(NAMESPACE_URL, "\n".join(("asbuilt:hbom", *said)))
