"""The inventory: every asset, what is known of it, and where each value comes from.

The fields are those of high priority of CISA's OT asset inventory guidance (2025), and the identity that a device
reports. What people write stands in plant.toml, which has no history here: it is read as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.inventoried import Inventoried, inventoried
from monitor.report.known import CISA, FIELDS, GUIDANCE, Contradiction, log_in
from monitor.report.scope import Scope
from monitor.report.sentences import counted, is_are, named
from monitor.report.standards import clauses_of
from monitor.store import Transaction

INVENTORY = "inventory"
ALL = "inventory"  # the key of the table that has everything
NAME = Column("asset", "Asset", width=2)
CELLS = {  # what is known of an asset, in the order of the annex; on paper they stand in the tables below
    column.key: column
    for column in (
        NAME,
        Column("asset_number", "Asset number", width=1.2),
        Column("role", "Role", width=1.2),
        Column("criticality", "Criticality", width=1.1),
        Column("zone", "Zone", width=1.2),
        Column("purdue_level", "Level", Form.NUMBER, 0.6),
        Column("location", "Location", width=2),
        Column("hostname", "Host name", width=1.4),
        Column("ip", "IP address", Form.CODE, 1.3),
        Column("mac", "MAC address", Form.CODE, 1.9),
        Column("protocols", "Protocols", width=1.2),
        Column("ports", "Ports and services", Form.CODE, 1.7),
        Column("manufacturer", "Manufacturer", width=1.4),
        Column("model", "Model", width=1.4),
        Column("product_code", "Product code", Form.CODE, 1.2),
        Column("serial_number", "Serial number", Form.CODE, 1.3),
        Column("firmware", "Firmware", Form.CODE, 1.1),
        Column("hardware_revision", "Hardware", Form.CODE, 0.9),
        Column("operating_system", "Operating system", width=1.4),
        Column("logging", "Logging", width=1.6),
        Column("user_accounts", "User accounts", width=1.6),
        Column("log_in", "Log-in (OPC UA)", width=1.2),
        Column("security_policies", "Security (OPC UA)", width=1.5),
        Column("address", "Address", Form.CODE),
        Column("profile", "Profile"),
        Column("machine_type", "Machine type"),
        Column("last_seen", "Last seen", Form.TIME, 1.5),
        Column("verdict", "Verdict", Form.STATE, 1.1),
        Column("baseline", "Baseline", Form.CODE),
        Column("known", f"Known of {len(CISA)}", Form.NUMBER),
        *(Column(f"{field.key}_from", f"{field.title}: from", width=0) for field in FIELDS),
    )
}
IDENTITY = ("manufacturer", "model", "product_code", "serial_number", "firmware", "verdict")  # of all, on paper
PARTS = {  # tables that show more of the same on paper: key, title, and what they have beside the asset's name
    "networks": ("Assets in the network", ("hostname", "ip", "mac", "protocols", "ports", "last_seen")),
    "places": (
        "Assets in the plant",
        ("asset_number", "role", "criticality", "zone", "purdue_level", "location"),
    ),
    "accounts": (
        "Operating systems, logs and accounts",
        ("operating_system", "logging", "user_accounts", "log_in", "security_policies"),
    ),
}


def inventory(tx: Transaction, scope: Scope) -> Section:
    """Every asset, and all that is known of it."""
    rows, seen, unsure = [], 0, []
    for each in inventoried(tx, scope):
        rows.append(_row(each))
        seen += each.standing.seen is not None
        unsure += [(each.standing.name, found) for found in each.contradictions]
    widths = {NAME.key, *IDENTITY}
    columns = [column if column.key in widths else replace(column, width=0) for column in CELLS.values()]
    tables = [
        _table(ALL, "Assets", columns, rows),
        *(_table(key, title, [NAME, *(CELLS[each] for each in keys)], rows) for key, (title, keys) in PARTS.items()),
    ]
    return Section(
        INVENTORY,
        "Assets",
        (Text(_about(len(rows))), *tables, _contradictions_table(unsure)),
        clauses_of(INVENTORY),
        findings=(*_seen_findings(len(rows), seen), *_contradiction_findings(len(rows), unsure)),
    )


def _row(each: Inventoried) -> dict[str, Cell]:
    """The cells of an asset, by the keys of CELLS."""
    asset, standing = each.polled.asset, each.standing
    level = asset.purdue_level
    return {
        **{key: found.value for key, found in each.known.items()},
        **{f"{key}_from": found.origin for key, found in each.known.items()},
        "asset": asset.name,
        "zone": asset.zone or None,
        "purdue_level": int(level) if level is not None and level.is_integer() else level,
        "log_in": log_in(each.observed, "user_tokens"),
        "security_policies": log_in(each.observed, "security_policies"),
        "address": asset.address,
        "profile": asset.profile,
        "machine_type": asset.machine_type or None,
        "last_seen": standing.seen_at,
        "verdict": standing.verdict.value,
        "baseline": standing.approved.digest if standing.approved else None,
        "known": len(CISA) - len(each.missing),
    }


def _table(key: str, title: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> Table:
    cells = [tuple(row[column.key] for column in columns) for row in rows]
    return Table(key, title, tuple(columns), cells, "There is no asset.")


def _contradictions_table(unsure: Sequence[tuple[str, Contradiction]]) -> Table:
    titles = {field.key: field.title for field in FIELDS}
    return Table(
        "contradictions",
        "Heard otherwise than written",
        (
            NAME,
            Column("field", "Field"),
            Column("written", "Written in plant.toml", Form.CODE, 2),
            Column("found", "Heard", Form.CODE, 2),
            Column("source", "Where", width=1.5),
        ),
        [(name, titles[each.field], each.written, each.found, each.source) for name, each in unsure],
        "Nothing was heard otherwise than it is written.",
        "Whichever of the two is right: plant.toml has to be corrected, or the device is another one.",
    )


def _about(count: int) -> tuple[str, ...]:
    return (
        f"{counted(count, 'asset')}, with the {len(CISA)} fields of high priority of {GUIDANCE}, and with product code,"
        " serial number, firmware and hardware revision. What a device says of itself was read by polls; where it is as"
        " it was approved, the approved baseline is its source. What polls do not say may have been heard on a segment."
        " What nobody can read or hear is written in plant.toml, which is read as it is now.",
        "A field without a value is unknown. The annex of the table Assets names the source of each value, and of each"
        " that is missing the reason.",
    )


def _seen_findings(count: int, seen: int) -> tuple[Finding, ...]:
    of = f"Of {counted(count, 'asset')}"
    if not count:
        return (Finding(Weight.UNKNOWN, "There is no asset, so nothing is known of any.", INVENTORY),)
    if seen == count:
        return (Finding(Weight.GOOD, f"{of}, every one was read.", INVENTORY),)
    text = f"{of}, {seen:,} were read, and {count - seen:,} never: of these only what is written or heard is known."
    return (Finding(Weight.UNKNOWN, text, INVENTORY),)


def _contradiction_findings(count: int, unsure: Sequence[tuple[str, Contradiction]]) -> tuple[Finding, ...]:
    names = list(dict.fromkeys(name for name, _ in unsure))
    if not names:
        return ()
    text = f"Of {counted(count, 'asset')}, {len(names):,} {is_are(len(names))} not as plant.toml says: {named(names)}."
    return (Finding(Weight.BAD, text, INVENTORY),)
