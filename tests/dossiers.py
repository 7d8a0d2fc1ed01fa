"""A plant that was really commissioned: a FAT at the machine builder's, a bundle, and a SAT that is half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from baselines.baseline import Stage
from monitor.config import load_plant
from monitor.polling import utc_now
from monitor.report.document import Cell, Kind, Report, Table
from monitor.report.kinds import report
from monitor.report.scope import Scope
from monitor.store import Database
from tests.floors import PlantFolder, RunningFloor

THREE = """
name = "three"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1", object_128 = "SN-17" }
[model.p9.point]
crc   = { table = "holding", address = 101, type = "bytes", count = 2, value = "deadbeef" }
limit = { table = "holding", address = 210, type = "float32", value = 12.5 }
[model.p9.point.batch]
table = "holding"
address = 220
type = "uint16"
value = 7
varies = { kind = "counter", every = 0.02 }
[model.p9.point.level]
table = "holding"
address = 230
type = "float32"
value = 50.0
varies = { kind = "noise", every = 0.02, spread = 2.0 }
[plc."line1/filler"]
model = "p9"
port = 0
[plc."line2/filler"]
model = "p9"
port = 0
[plc."line3/filler"]
model = "p9"
port = 0
"""
PROFILE = """
name = "p9"
match = { manufacturer = "ACME", product_code = "P-9" }
identity = { serial_number = "object_128" }
[limits]
requests_per_second = 200
timeout = "1s"
[item.crc]
table = "holding"
address = 101
type = "bytes"
count = 2
category = "program"
severity = "critical"
[item.limit]
table = "holding"
address = 210
type = "float32"
tolerance = 0.05
unit = "l"
severity = "high"
[item.batch]
table = "holding"
address = 220
type = "uint16"
[item.level]
table = "holding"
address = 230
type = "float32"
unit = "%"
[item.absent]
table = "holding"
address = 900
type = "uint16"
"""
APPROVAL = '[approval]\nsign_off = { fat = ["supplier", "customer"], sat = ["customer", "quality"] }\n'
TYPES = '[machine_type.filler]\nmay_differ = ["item.level"]\n'


def folder(path: Path, floor: RunningFloor) -> PlantFolder:
    """A plant.toml of the three fillers, with sign-off by role."""
    path.mkdir()
    made = PlantFolder(path, {name: plc.address for name, plc in floor.plcs.items()}, APPROVAL + TYPES, profile=PROFILE)
    text = made.file.read_text().replace('every = "300ms"\n', 'every = "300ms"\nmachine_type = "filler"\n')
    made.file.write_text(text.replace('[asset."line1/filler"]\n', '[asset."line1/filler"]\nzone = "line1"\n'))
    return made


def done(plant: PlantFolder, *words: str) -> Any:
    """Run a command that ends well; its JSON document if it was asked for one."""
    ended = plant.asbuilt(*words)
    assert ended.code == 0, (words, ended.out, ended.err)
    return ended.json if "--json" in words else ended.out


def commissioned(home: Path, floor: RunningFloor) -> tuple[PlantFolder, str, datetime]:
    """The site after all that; the key of the machine builder's laptop, and when the FAT had arrived."""
    fat, site = folder(home / "laptop", floor), folder(home / "site", floor)
    words = ("--captures", "3", "--every", "100ms", "--incomplete", "--by", "Ada")
    decided = ("--drop", "item.batch", "--tolerate", "item.level=9", "--because", "the process moves it")
    done(fat, "commission", "line1/*", "line2/*", "--stage", "fat", *words, *decided, "--ticket", "FAT-17")
    for by, role in (("Bo", "supplier"), ("Cem", "customer")):
        done(fat, "baseline", "approve", "*", "--role", role, "--by", by, "--reason", "FAT protocol 17")
    stick = str(home / "stick.zip")
    key = done(fat, "baseline", "export", "-o", stick, "--json")["key"]
    done(site, "baseline", "import", stick, "--trust", key, "--by", "Dee", "--reason", "FAT of the fillers")
    arrived = utc_now()
    floor.apply("line2/filler", set={"limit": 14.0})
    done(
        site, "commission", "line1/*", "line2/*", "--stage", "sat", *words, "--keep", "item.level", "--because", "firm"
    )
    done(site, "baseline", "approve", "*", "--role", "customer", "--by", "Eve", "--reason", "SAT", "--ticket", "SAT-4")
    quality = ("--role", "quality", "--by", "Flo", "--reason", "SAT protocol 4")
    done(site, "baseline", "approve", "line1/*", *quality, "--although-changed")
    image = home / "P9-2.4.1.bin"
    image.write_bytes(b"firmware")
    done(site, "vault", "add", "line1/filler", str(image), "--kind", "firmware", "--by", "Ada", "--reason", "delivered")
    return site, key, arrived


def scope_of(plant: PlantFolder, until: datetime | None = None, stage: Stage | None = None) -> Scope:
    loaded = load_plant(plant.file)
    now = utc_now() + timedelta(seconds=1)
    made = Scope(loaded, tuple(loaded.assets), True, now - timedelta(days=30), until or now, now)
    return replace(made, stage=stage)


def dossier_of(scope: Scope) -> Report:
    with closing(Database(scope.plant.store_url)) as database, database.read() as tx:
        return report(tx, Kind.COMMISSIONING, scope)


def table(of: Report, key: str) -> Table:
    return next(each for each in of.tables if each.key == key)


def rows(of: Report, key: str) -> list[dict[str, Cell]]:
    """The rows of a table, each by the keys of its columns."""
    found = table(of, key)
    names = [column.key for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows]


def sentences(of: Report, section: str) -> Iterator[tuple[str, str]]:
    return ((each.weight.value, each.text) for each in of.findings if each.section == section)
