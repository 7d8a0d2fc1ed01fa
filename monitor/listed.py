"""A list of assets that somebody has, as CSV: rows to entries for plant.toml, or every fault of it in one go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from baselines.snapshot import key_of
from collectors.address import DEFAULT_PORTS, Address
from collectors.written import FileError, dotted
from monitor.config import Plant, plant_with
from monitor.entries import Entry
from monitor.sheets import Fault, Row, plain, read_sheet

COLUMNS = {  # a heading, and what it means here
    "name": "name",
    "asset": "name",
    "asset_name": "name",
    "tag": "name",
    "address": "address",
    "ip": "host",
    "ip_address": "host",
    "host": "host",
    "hostname": "host",
    "protocol": "protocol",
    "port": "port",
    "unit": "unit",
    "unit_id": "unit",
    "profile": "profile",
    "every": "every",
    "zone": "zone",
    "role": "role",
    "purdue_level": "purdue_level",
    "criticality": "criticality",
    "location": "location",
    "machine_type": "machine_type",
    "asset_number": "asset_number",
    "inventory_number": "asset_number",
    "mac": "mac",
    "mac_address": "mac",
    "operating_system": "operating_system",
    "os": "operating_system",
    "logging": "logging",
    "user_accounts": "user_accounts",
}
TOLD = (  # as they are written
    *("every", "zone", "role", "purdue_level", "criticality", "location", "machine_type"),
    *("asset_number", "mac", "operating_system", "logging", "user_accounts"),
)
PROTOCOLS = {  # letters and digits of what people write
    "modbus": "modbus",
    "modbustcp": "modbus",
    "opcua": "opc.tcp",
    "opctcp": "opc.tcp",
}
BOUNDS = {"port": (1, 65535), "unit": (0, 255)}


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list says: the entries, and the headings that mean nothing here."""

    entries: tuple[Entry, ...]
    ignored: tuple[str, ...]


def read_list(path: Path, plant: Plant) -> Listed:
    """The entries of a CSV file that can be added to a plant; FileError holds every fault, by line and column."""
    sheet = read_sheet(path, COLUMNS, _heading_faults, "name;address, and a row for each asset below it")
    reading = _Reading(plant, sheet.headings)
    reading.faults += sheet.faults
    for row in sheet.rows:
        reading.take(row)
    reading.check()
    sheet.check(reading.faults)
    return Listed(tuple(reading.entries.values()), sheet.ignored)


def _heading_faults(columns: Sequence[str]) -> list[str]:
    faults = []
    if "name" not in columns:
        faults.append("has no column with the name of the asset: head it name, asset or tag")
    if not {"address", "host"} & {*columns}:
        faults.append(
            "has no column with the address: head it address (modbus://host:port/unit, opc.tcp://host:port/path) or ip"
        )
    return faults


class _Reading:
    """One reading of the rows: gathers the entries, and the faults with their lines."""

    def __init__(self, plant: Plant, headings: Mapping[str, str]) -> None:
        self.plant = plant
        self.headings = headings
        self.entries: dict[str, Entry] = {}  # by what it is checked as: a name that is there twice cannot be
        self.rows: dict[str, Row] = {}
        self.faults: list[Fault] = []

    def fault(self, row: Row, column: str, text: str) -> None:
        self.faults.append(row.fault(self.headings, column, text))

    def take(self, row: Row) -> None:
        name = row.cells.get("name", "")
        own = f"{name} (line {row.line})"
        if not name:
            self.fault(row, "name", "is empty; every asset needs a name")
        elif name in self.plant.assets or name in self.plant.segments:
            self.fault(row, "name", f"{self.plant.path.name} has {name!r} already; rename it, or leave the row out")
        elif name in self.entries:
            first = self.rows[name].line
            self.fault(row, "name", f"line {first} has {name!r} already; rename it, or leave one of them out")
        else:
            own = name
        keys: dict[str, str | float] = {"address": self.address(row), "profile": row.cells.get("profile", "auto")}
        keys |= {key: self.value(row, key) for key in TOLD if key in row.cells}
        self.entries[own], self.rows[own] = Entry(name, keys), row

    def value(self, row: Row, key: str) -> str | float:
        cell = row.cells[key]
        if key == "criticality":
            return cell.casefold()
        if key == "purdue_level":
            try:
                return float(cell.replace(",", "."))
            except ValueError:
                self.fault(row, key, f"is a number from 0 to 5, not {cell!r}")
                return 0
        return cell

    def address(self, row: Row) -> str:
        """The address as plant.toml has it: written in full, or put together; "" if that cannot be."""
        column = "address" if "address" in row.cells else "host"
        host = row.cells.get(column, "")
        if "://" in host:
            return host
        if not host:
            self.fault(row, column if column in self.headings else "address", "is empty; every asset needs an address")
            return ""
        protocol = PROTOCOLS.get(plain(row.cells.get("protocol", "")), "")
        if not protocol:
            said = f"asbuilt does not speak {row.cells['protocol']!r}" if "protocol" in row.cells else "is missing"
            self.fault(row, "protocol", f"{said}; write modbus or opcua, or an address with either")
        port, unit = self.number(row, "port", DEFAULT_PORTS.get(protocol, 1)), self.number(row, "unit", 1)
        return str(Address(protocol, host, port, unit)) if protocol else ""

    def number(self, row: Row, column: str, default: int) -> int:
        least, most = BOUNDS[column]
        cell = row.cells.get(column, str(default))
        if not (re.fullmatch("[0-9]{1,5}", cell) and least <= int(cell) <= most):
            self.fault(row, column, f"is a number from {least} to {most}, not {cell!r}")
            return default
        return int(cell)

    def check(self) -> None:
        """What the reader of plant.toml has to say of the entries."""
        added = {own: {**entry.keys} for own, entry in self.entries.items()}
        try:
            plant_with(self.plant.path, added)
        except FileError as error:
            for fault in error.faults:
                self.place(fault)

    def place(self, fault: str) -> None:
        """A fault of plant.toml's reader as one of the row that it speaks of."""
        for own, row in self.rows.items():
            path = dotted("asset", key_of(own))
            if fault.startswith((f"{path}: ", f"{path}.")):
                key, _, text = fault.removeprefix(path).partition(": ")
                column = {"": "name", ".address": "address" if "address" in row.cells else "host"}.get(key, key[1:])
                if key != ".address" or self.entries[own].keys["address"]:
                    self.fault(row, column, text)
                return
        self.faults.append((0, f"{self.plant.path.name}: {fault}"))
