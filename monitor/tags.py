"""The tag list of a Modbus device, as CSV: rows to the items of a profile, or every fault of it in one go."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.snapshot import key_of
from collectors.profile import BIT_TABLES, parse_profile
from collectors.written import FileError, dotted
from monitor.sheets import Fault, Row, Sheet, plain, read_sheet

EXAMPLE = """\
name,table,address,type,unit,about
operating_mode,holding,100,uint16,,3 RUN and 7 PROGRAM
fill_limit,holding,210,float32,l,
write_protection,coil,8,bool,,"""

COLUMNS = {  # a heading, and the key of a profile that it means here
    "name": "name",
    "tag": "name",
    "tag_name": "name",
    "symbol": "name",
    "variable": "name",
    "item": "name",
    "table": "table",
    "area": "table",
    "register_type": "table",
    "address": "address",
    "register": "address",
    "type": "type",
    "data_type": "type",
    "datatype": "type",
    "count": "count",
    "length": "count",
    "registers": "count",
    "word_order": "word_order",
    "byte_order": "byte_order",
    "bit": "bit",
    "mask": "mask",
    "shift": "shift",
    "scale": "scale",
    "factor": "scale",
    "offset": "offset",
    "unit": "unit",
    "units": "unit",
    "category": "category",
    "severity": "severity",
    "tolerance": "tolerance",
    "values": "values",
    "about": "about",
    "description": "about",
    "comment": "about",
}
TABLES = {  # letters and digits of what people write
    "coil": "coil",
    "coils": "coil",
    "0x": "coil",
    "discrete": "discrete",
    "discreteinput": "discrete",
    "discreteinputs": "discrete",
    "1x": "discrete",
    "input": "input",
    "inputregister": "input",
    "inputregisters": "input",
    "3x": "input",
    "holding": "holding",
    "holdingregister": "holding",
    "holdingregisters": "holding",
    "4x": "holding",
}
TYPES = {  # of IEC 61131-3 and of common lists; those of a profile stand for themselves
    "boolean": "bool",
    "int": "int16",
    "uint": "uint16",
    "word": "uint16",
    "dint": "int32",
    "udint": "uint32",
    "dword": "uint32",
    "lint": "int64",
    "ulint": "uint64",
    "lword": "uint64",
    "real": "float32",
    "float": "float32",
    "single": "float32",
    "lreal": "float64",
    "double": "float64",
}
MODICON = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}  # the first of five or six digits
NOTATION = "([0134])([0-9]{4,5})"
WHOLE = ("count", "bit", "mask", "shift")
DECIMAL = ("scale", "offset", "tolerance")
CHOICES = ("word_order", "byte_order", "category", "severity")


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: its name, and the keys of a profile's item that the list gives."""

    name: str
    keys: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tags:
    """What a tag list says; `ignored` are the headings that mean nothing here."""

    tags: tuple[Tag, ...]
    ignored: tuple[str, ...]


def read_tags(path: Path) -> Tags:
    """The tags of a CSV file; FileError holds every fault, by line and column."""
    sheet = read_sheet(path, COLUMNS, _heading_faults, "name,table,address,type, and a row for each tag below it")
    reading = _Reading(sheet)
    for row in sheet.rows:
        reading.take(row)
    reading.check()
    sheet.check(reading.faults)
    return Tags(tuple(Tag(name, keys) for name, keys in reading.tags.items()), sheet.ignored)


def _heading_faults(columns: Sequence[str]) -> list[str]:
    return [
        f"has no column with the {what}: head it {heading}"
        for heading, what in (("name", "name of the tag"), ("address", "address"))
        if heading not in columns
    ]


class _Reading:
    """One reading of the rows: gathers the tags, and the faults with their lines."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.tags: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, Row] = {}
        self.faults: list[Fault] = [*sheet.faults]

    def fault(self, row: Row, column: str, text: str) -> None:
        self.faults.append(row.fault(self.sheet.headings, column, text))

    def take(self, row: Row) -> None:
        name, before = row.cells.get("name", ""), len(self.faults)
        if not name:
            self.fault(row, "name", "is empty; every tag needs a name")
        elif name in self.tags:
            first = self.rows[name].line
            self.fault(row, "name", f"line {first} has {name!r} already; rename it, or leave one of them out")
        keys = self.place(row)
        keys |= {column: self.value(row, column) for column in row.cells if column not in ("name", "table", "address")}
        if keys.get("table") in BIT_TABLES:
            keys.setdefault("type", "bool")
        if len(self.faults) == before:
            self.tags[name], self.rows[name] = keys, row

    def place(self, row: Row) -> dict[str, Any]:
        """Table and address: zero-based where a table is named, else in Modicon's notation."""
        cell = row.cells.get("address", "")
        if not cell:
            self.fault(row, "address", "is empty; every tag needs an address")
        elif "table" in row.cells:
            table = TABLES.get(plain(row.cells["table"]))
            if table is None:
                self.fault(row, "table", f"is one of coil, discrete, input, holding; not {row.cells['table']!r}")
            elif MODICON.get(cell[:1]) == table and re.fullmatch(NOTATION, cell):
                doubt = f"{cell} in the table {table} may be meant as {table} {max(int(cell[1:]) - 1, 0)}"
                self.fault(row, "address", f"{doubt}: write that; or, if {cell} it is, {int(cell):#x}")
            return {"table": table, "address": self.number(row, "address", _whole)}
        elif match := re.fullmatch(NOTATION, cell):
            return {"table": MODICON[match[1]], "address": self.one_based(row, int(match[2]))}
        else:
            remedy = "name its table (coil, discrete, input, holding), or write it as 40001, 30001, 10001 or 00001"
            self.fault(row, "address", f"{cell!r} alone does not say in which table it is: {remedy}")
        return {}

    def one_based(self, row: Row, number: int) -> int:
        if not 1 <= number <= 65536:
            self.fault(row, "address", f"{row.cells['address']!r}: this notation counts from 1 to 65536")
        return number - 1

    def value(self, row: Row, column: str) -> Any:
        cell = row.cells[column]
        if column in WHOLE:
            return self.number(row, column, _whole)
        if column in DECIMAL:
            return self.number(row, column, _decimal)
        if column == "type":
            written = plain(cell)
            return TYPES.get(written, written)
        if column == "values":
            return self.words(row, cell)
        return cell.casefold() if column in CHOICES else cell

    def number(self, row: Row, column: str, read: Callable[[str], float]) -> float:
        try:
            return read(row.cells[column])
        except ValueError:
            self.fault(row, column, f"is a number, not {row.cells[column]!r}")
            return 0

    def words(self, row: Row, cell: str) -> dict[str, str]:
        pairs = [part.partition("=") for part in re.split("[;|]", cell) if part.strip()]
        if not all(key.strip() and word.strip() for key, _, word in pairs):
            self.fault(row, "values", f"is written 3=RUN;7=PROGRAM, not {cell!r}")
        return {key.strip(): word.strip() for key, _, word in pairs}

    def check(self) -> None:
        """What the reader of profiles has to say of the tags."""
        try:
            parse_profile({"name": "tags", "item": self.tags}, str(self.sheet.path))
        except FileError as error:
            for fault in error.faults:
                self.lay(fault)

    def lay(self, fault: str) -> None:
        """A fault of the reader of profiles as one of the row that it speaks of."""
        for name, row in self.rows.items():
            path = dotted("item", key_of(name))
            if fault.startswith((f"{path}: ", f"{path}.")):
                key, _, text = fault.removeprefix(path).partition(": ")
                return self.fault(row, key[1:] or "name", text)
        return self.faults.append((0, fault))


def _whole(cell: str) -> int:
    """A whole number in decimals, or in hexadecimals behind 0x."""
    if not re.fullmatch("[0-9]{1,19}|0[xX][0-9a-fA-F]{1,16}", cell):
        raise ValueError
    return int(cell, 16 if cell[1:2] in ("x", "X") else 10)


def _decimal(cell: str) -> float:
    number = float(cell.replace(",", "."))
    if not math.isfinite(number):
        raise ValueError
    return number
