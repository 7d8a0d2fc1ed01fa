"""The inventory of a plant: what is known of its assets and by whom, what nobody knows; and as CycloneDX."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from baselines.asset import identity_item
from baselines.snapshot import Snapshot, Unread
from collectors.collector import Poll
from collectors.contract import Sent
from collectors.passive.engine import Engine
from collectors.passive.source import open_capture
from monitor.config import Plant, load_plant
from monitor.errors import CallError
from monitor.pipeline import take
from monitor.report.annexes import csv_parts
from monitor.report.document import Cell, Chart, Kind, Report, Table, Weight
from monitor.report.hbom import hbom
from monitor.report.kinds import report
from monitor.report.known import CISA, FIELDS, Known, Witnesses, heard_of, known
from monitor.report.overheard import Overheard
from monitor.report.scope import Scope
from monitor.segment import Segment
from monitor.store import Database
from tests.floors import PlantFolder, RunningFloor, running
from tests.reports import HOSTILE, sample
from tests.spoken import READ, Host, arp, heard, identity, pcap

MODBUS_AT, OPCUA_AT = "127.0.0.2", "127.0.0.3"
FILLER = """
name = "one"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1", model = "P-9/16" }
[model.p9.point]
mode  = { table = "holding", address = 100, type = "uint16", value = 3 }
crc   = { table = "holding", address = 101, type = "bytes", count = 2, value = "deadbeef" }
limit = { table = "holding", address = 210, type = "float32", value = 12.5 }
[plc.filler]
model = "p9"
port = 0
"""
LABELLER = """
name = "other"
[model.l2]
protocol = "opcua"
path = "labeller"
namespace = "urn:borealis:labeller"
policies = ["None", "Basic256Sha256:Sign"]
users = { maintenance = "label" }
anonymous = true
[model.l2.identity]
manufacturer = "Borealis"
software_revision = "3.2.0"
[[model.l2.device]]
name = "Labeller"
[model.l2.device.properties]
Manufacturer = "Borealis"
Model = "L2-800"
SerialNumber = "L2-090313"
HardwareRevision = "D"
[plc.labeller]
model = "l2"
port = 0
"""
WRITTEN = """
asset_number = "4711-0815"
role = "PLC"
criticality = "high"
zone = "line1"
purdue_level = 1
location = "hall 1, cabinet 11"
hostname = "filler1"
mac = "00-00-54-00-00-02"
operating_system = "VxWorks 6.9"
logging = "syslog to 10.0.0.5"
user_accounts = "operator, maintenance"
"""
REST = """
[asset.mixer]
address = "modbus://plc9.plant.example:502/1"
profile = "auto"
[asset.valve]
address = "modbus://127.0.0.9:502/1"
profile = "auto"
mac = "0000.5400.0007"
[segment.line1]
interface = "none0"
zone = "line1"
[segment.line2]
interface = "none1"
"""
SCADA, PLC = Host("00:00:4e:00:00:01", "127.0.0.77"), Host("00:00:54:00:00:02", MODBUS_AT)
SERVER, MOVED = Host("00:00:54:00:00:03", OPCUA_AT), Host("00:00:54:00:00:07", "127.0.0.8")
FRAMES = [
    *SCADA.says(PLC, READ, READ, identity(product_code="P-9")),
    *SCADA.says(MOVED, READ),
    *(arp(host.mac, host.ip, SCADA.ip) for host in (SCADA, PLC, SERVER, MOVED)),
]


class Works:
    """A plant with two devices that are polled, two that are not, and a segment that was heard."""

    def __init__(self, folder: Path, floors: list[RunningFloor]) -> None:
        plcs = {name: plc.address for floor in floors for name, plc in floor.plcs.items()}
        tables = "".join(
            f'[asset.{name}]\naddress = "{address}"\nprofile = "auto"\n{WRITTEN if name == "filler" else ""}'
            for name, address in plcs.items()
        )
        self.folder = PlantFolder(folder, {}, tables + REST)
        assert self.folder.asbuilt("poll", "filler", "labeller").code in (0, 3)
        self.folder.asbuilt("baseline", "propose", "filler")
        done = self.folder.asbuilt("baseline", "approve", "filler", "--reason", "as built")
        assert done.code == 0, done.err
        self.plant = load_plant(self.folder.file)
        self.database = Database(self.plant.store_url)
        self.until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        self.hear(folder / "line1.pcap", "line1")

    def hear(self, file: Path, segment: str) -> None:
        """Store what a segment hears in a capture, as the daemon does."""
        file.write_bytes(pcap(FRAMES, int(self.until.timestamp() - 10) * 10**9))
        engine = Engine(lambda event: None)
        for batch in open_capture(str(file)):
            engine.take(batch)
        engine.finish()
        known = Segment(segment, timedelta(days=1))
        known.hear(engine.heard())
        at = self.until - timedelta(seconds=2)
        with self.database.write() as tx:
            take(tx, Poll(self.plant.segments[segment].target, known.snapshot(None, at), Sent(), 0.0), at)

    def scope(self, plant: Plant | None = None, until: datetime | None = None) -> Scope:
        found, end = plant or self.plant, until or self.until
        names = (*found.assets, *found.segments)
        return Scope(found, names, True, end - timedelta(days=1), end, self.until)

    def report(self, plant: Plant | None = None, until: datetime | None = None) -> Report:
        with self.database.read() as tx:
            return report(tx, Kind.INVENTORY, self.scope(plant, until))


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    with running(FILLER, MODBUS_AT) as filler, running(LABELLER, OPCUA_AT) as labeller:
        made = Works(tmp_path_factory.mktemp("works"), [filler, labeller])
    yield made
    made.database.close()


def table(of: Report, key: str) -> Table:
    return next(found for found in of.tables if found.key == key)


def rows(of: Report, key: str) -> list[dict[str, Cell]]:
    found = table(of, key)
    return [dict(zip((column.key for column in found.columns), row, strict=True)) for row in found.rows]


def asset(of: Report, name: str) -> dict[str, Cell]:
    return next(row for row in rows(of, "inventory") if row["asset"] == name)


KNOWN = {  # of each field an asset of which it is known, the value, and where from; and one of which it is not, and why
    "protocols": (
        "filler",
        "modbus",
        "poll, wire of line1",
        "mixer",
        "it never answered a poll (modbus), and it was not",
    ),
    "criticality": (
        "filler",
        "high",
        "plant.toml",
        "valve",
        "nobody wrote it into plant.toml, so it is taken for medium",
    ),
    "asset_number": ("filler", "4711-0815", "plant.toml", "labeller", "nobody wrote it into plant.toml"),
    "role": ("filler", "PLC", "plant.toml", "labeller", "nobody wrote it into plant.toml"),
    "hostname": ("mixer", "plc9.plant.example", "plant.toml", "labeller", "it was not heard on line1"),
    "ip": ("labeller", OPCUA_AT, "poll", "mixer", "its address is a name, and nobody was heard with its MAC address"),
    "logging": ("filler", "syslog to 10.0.0.5", "plant.toml", "labeller", "nobody wrote it into plant.toml"),
    "mac": ("filler", PLC.mac, "plant.toml, wire of line1", "labeller", "it was not heard on line1"),
    "manufacturer": ("filler", "ACME", "approved baseline", "valve", "it was never read"),
    "model": ("labeller", "L2-800", "poll", "mixer", "it was never read"),
    "operating_system": ("filler", "VxWorks 6.9", "plant.toml", "labeller", "nobody wrote it into plant.toml"),
    "location": ("filler", "hall 1, cabinet 11", "plant.toml", "labeller", "nobody wrote it into plant.toml"),
    "ports": ("valve", "502/tcp modbus", "wire of line1", "mixer", "it never answered a poll, and it was not heard on"),
    "user_accounts": ("filler", "operator, maintenance", "plant.toml", "valve", "nobody wrote it into plant.toml"),
    "product_code": ("filler", "P-9", "approved baseline", "labeller", "the device does not say it"),
    "serial_number": ("labeller", "L2-090313", "poll", "filler", "the device does not say it"),
    "firmware": ("filler", "2.4.1", "approved baseline", "mixer", "it was never read"),
    "hardware_revision": ("labeller", "D", "poll", "filler", "the device does not say it"),
}


def test_there_are_fourteen_fields_and_all_are_tried() -> None:
    assert len(CISA) == 14
    assert KNOWN.keys() == {field.key for field in FIELDS}


@pytest.mark.parametrize("field", KNOWN)
def test_a_field_that_is_known_says_by_whom_and_one_that_is_not_says_why(works: Works, field: str) -> None:
    name, value, source, other, why = KNOWN[field]
    there, unknown = asset(works.report(), name), asset(works.report(), other)
    assert (there[field], there[f"{field}_from"]) == (value, source)
    assert unknown[field] is None
    assert str(unknown[f"{field}_from"]).startswith(f"unknown: {why}")


def test_what_is_no_field_of_its_own_stands_there_too(works: Works) -> None:
    filler, labeller = (asset(works.report(), name) for name in ("filler", "labeller"))
    assert (filler["zone"], filler["purdue_level"], filler["verdict"], filler["known"]) == ("line1", 1, "match", 14)
    assert (labeller["verdict"], labeller["baseline"]) == ("no-baseline", None)
    assert labeller["log_in"] == "Anonymous, UserName"
    assert isinstance(filler["last_seen"], datetime)


def test_every_table_has_every_asset_and_fits_a_page(works: Works) -> None:
    found = works.report()
    for key in ("inventory", "networks", "places", "accounts"):
        assert [row["asset"] for row in rows(found, key)] == ["filler", "labeller", "mixer", "valve"]
        assert len([column for column in table(found, key).columns if column.width]) <= 7


def test_of_how_many_a_field_is_known_and_by_whom(works: Works) -> None:
    found = works.report()
    fields = {row["field"]: row for row in rows(found, "coverage")}
    firmware, hosts = fields["Firmware"], fields["MAC address"]
    assert (firmware["known"], firmware["assets"], firmware["share"]) == (2, 4, 0.5)
    assert (firmware["by_baseline"], firmware["by_poll"], hosts["by_plant_toml"]) == (1, 1, 2)
    lacking = rows(found, "unknown")
    assert [(row["asset"], row["unknown"]) for row in lacking] == [("mixer", 13), ("valve", 10), ("labeller", 9)]
    assert "Host name, MAC address: it was not heard on line1" in str(lacking[2]["why"])
    (chart,) = (block for section in found.sections for block in section.blocks if isinstance(block, Chart))
    assert "Firmware 2" in chart.about
    assert ">2 of 4<" in chart.svg


def test_what_was_heard_and_is_no_asset_is_said(works: Works) -> None:
    strange = {row["mac"]: row for row in rows(works.report(), "unlisted")}
    assert (strange[SCADA.mac]["ip"], strange[SCADA.mac]["protocols"]) == (SCADA.ip, "modbus")
    assert not strange.keys() & {PLC.mac, MOVED.mac}


def test_what_is_written_otherwise_than_heard_is_a_finding(works: Works) -> None:
    found = works.report()
    (moved,) = rows(found, "contradictions")
    assert [*moved.values()] == ["valve", "IP address", "127.0.0.9", "127.0.0.8", "wire of line1"]
    bad = [each.text for each in found.findings if each.weight is Weight.BAD]
    assert bad == ["Of 4 assets, 1 is not as plant.toml says: valve."]


def changed(works: Works, name: str, **written: str) -> Plant:
    """The plant with an asset of which something else is written."""
    polled = works.plant.assets[name]
    other = replace(polled, asset=replace(polled.asset, **written))  # type: ignore[arg-type]
    return replace(works.plant, assets={**works.plant.assets, name: other})


def test_another_card_than_is_written_is_a_contradiction(works: Works) -> None:
    found = works.report(changed(works, "filler", mac="00:00:00:00:00:99"))
    assert ["filler", "MAC address", "00:00:00:00:00:99", PLC.mac, "wire of line1"] in [
        [*row.values()] for row in rows(found, "contradictions")
    ]
    assert asset(found, "filler")["mac_from"] == "plant.toml"


def test_a_plant_without_segments_says_that_nobody_listens(works: Works) -> None:
    found = works.report(replace(works.plant, segments={}))
    assert asset(found, "labeller")["mac_from"] == "unknown: nobody listens to its segment"
    (text,) = (each.text for each in found.findings if each.section == "unlisted")
    assert text == "Nobody listens to a segment, so a device that is not in plant.toml would not be found."


def test_before_anything_was_seen_nothing_but_what_is_written_is_known(works: Works) -> None:
    early = works.report(until=works.until - timedelta(days=2))
    filler = asset(early, "filler")
    assert (filler["manufacturer"], filler["verdict"], filler["baseline"]) == (None, "never-seen", None)
    assert (filler["location"], filler["mac_from"]) == ("hall 1, cabinet 11", "plant.toml")
    assert rows(early, "unlisted") == []
    assert asset(early, "labeller")["mac_from"] == "unknown: nothing was heard yet on any segment"


def test_a_plant_without_assets_is_no_plant_of_which_all_is_known(works: Works) -> None:
    found = works.report(replace(works.plant, assets={}, segments={}))
    assert {each.weight for each in found.findings} == {Weight.UNKNOWN}
    assert all(table.empty for table in found.tables)
    assert bom(found)["components"] == []


# ---- By witnesses that a test makes


AT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def plant_of(folder: Path, *tables: str) -> Plant:
    (folder / "plant.toml").write_text(
        '[plant]\nname = "Test"\n[store]\nurl = "sqlite:///a.db"\n' + "".join(tables), encoding="utf-8"
    )
    return load_plant(folder / "plant.toml")


def plc(name: str = "plc", address: str = "modbus://10.0.0.2/1", **written: str) -> str:
    keys = {"address": address, "profile": "auto", **written}
    return f"[asset.{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def by(plant: Plant, *frames: bytes, observed: Snapshot | None = None, approved: Snapshot | None = None) -> Witnesses:
    """What speaks of the asset plc, where these frames were heard on the segment line1."""
    segment = Segment("line1", timedelta(days=10_000))
    segment.hear(heard(frames))
    overheard = Overheard({"line1": segment.snapshot(None, AT)})
    polled = plant.assets["plc"]
    others = [each for each in plant.assets.values() if each.target.address.host == polled.target.address.host]
    return Witnesses(polled, observed, approved, heard_of(polled, overheard), len(others) > 1, "it was not heard")


HERE, ASKING = Host("00:00:54:00:00:02", "10.0.0.2"), Host("00:00:4e:00:00:01", "10.0.0.1")
SAYS = ASKING.says(HERE, READ, identity(manufacturer="ACME", product_code="P-9", software_revision="2.4"))


def test_what_polls_do_not_say_may_have_been_heard(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, plc())
    found = known(plant, by(plant, *SAYS))
    assert found["manufacturer"] == Known("ACME", ("wire of line1",))
    assert (found["firmware"].value, found["mac"].value) == ("2.4", HERE.mac)
    read = Snapshot.of("plc", AT, [identity_item("manufacturer", "Other")])
    assert known(plant, by(plant, *SAYS, observed=read))["manufacturer"] == Known("Other", ("poll",))


def test_behind_one_address_nobody_knows_which_of_several_was_heard(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, plc(), plc("other", "modbus://10.0.0.2/2"))
    found = known(plant, by(plant, *SAYS))
    assert (found["manufacturer"].value, found["mac"].value) == (None, HERE.mac)  # the card is that of them all
    assert found["hostname"].why == "several assets are behind its address"


def test_a_value_is_the_baseline_s_while_it_is_read_so(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, plc())
    old, new = (Snapshot.of("plc", AT, [identity_item("software_revision", value)]) for value in ("1.0", "2.0"))
    nothing = Snapshot.of("plc", AT, [], [Unread("identity", "no answer within 2 s")])
    empty = Snapshot.of("plc", AT, [identity_item("software_revision", " ")])
    cases = [
        (old, old, "1.0", "approved baseline"),
        (new, old, "2.0", "poll"),
        (nothing, old, "1.0", "approved baseline"),
        (empty, old, "1.0", "approved baseline"),
    ]
    for observed, approved, value, source in cases:
        found = known(plant, by(plant, observed=observed, approved=approved))["firmware"]
        assert (found.value, found.origin) == (value, source)
    unread = known(plant, by(plant, observed=nothing))["firmware"]
    assert unread.origin == "unknown: it could not be read (no answer within 2 s)"


@pytest.mark.parametrize("value", ["", " ", "\0\0", b""])
def test_nothing_said_is_nothing_known(tmp_path: Path, value: str | bytes) -> None:
    plant = plant_of(tmp_path, plc())
    read = Snapshot.of("plc", AT, [identity_item("model", value)])
    assert known(plant, by(plant, observed=read))["model"] == Known(None, why="the device does not say it")


def test_whatever_a_device_says_of_itself_is_a_cell(tmp_path: Path) -> None:
    """Through the store, to every table, and to CycloneDX."""
    said = [*HOSTILE, b"\xff\0", ("a", b"b", 1.5), 2**63, float("nan"), True, None]
    names = [f"plc{number}" for number in range(len(said))]
    plant = plant_of(tmp_path, *(plc(name, f"modbus://10.0.0.{at}/1") for at, name in enumerate(names, 2)))
    database = Database(plant.store_url)
    database.migrate()
    with database.write() as tx:
        for name, value in zip(names, said, strict=True):
            fields = ("manufacturer", "model", "software_revision", "serial_number", "hardware_revision")
            seen = Snapshot.of(name, AT, [identity_item(field, value) for field in fields])
            take(tx, Poll(plant.assets[name].target, seen, Sent(), 0.0), AT)
    until = AT + timedelta(seconds=1)
    with database.read() as tx:
        found = report(tx, Kind.INVENTORY, Scope(plant, tuple(names), True, AT, until, until))
    database.close()
    assert asset(found, "plc0")["manufacturer"] == HOSTILE[0]
    assert all(b"".join(csv_parts(each)) for each in found.tables)
    assert len(bom(found)["components"]) == len(said)


# ---- As CycloneDX


def bom(of: Report) -> Any:
    """A report as CycloneDX, which is as its schema says."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = hbom(of).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def properties(component: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component["properties"]}


def test_the_bill_of_materials_has_every_device(works: Works) -> None:
    found = bom(works.report())
    metadata = found["metadata"]
    assert (metadata["component"]["name"], metadata["component"]["type"]) == ("Test", "device")
    assert datetime.fromisoformat(metadata["timestamp"]) == works.until
    assert metadata["tools"]["components"][0]["name"] == "asbuilt"
    assert [each["name"] for each in found["components"]] == ["filler", "labeller", "mixer", "valve"]
    filler, labeller, mixer, _ = found["components"]
    assert (filler["type"], filler["manufacturer"]["name"]) == ("device", "ACME")
    assert [(part["type"], part["name"], part.get("version")) for part in filler["components"]] == [
        ("firmware", "firmware of ACME P-9/16", "2.4.1"),
        ("operating-system", "VxWorks 6.9", None),
    ]
    assert properties(filler).items() >= {
        ("cdx:device:macAddress", PLC.mac),
        ("cdx:device:sku", "4711-0815"),
        ("cdx:device:function", "PLC"),
        ("asbuilt:zone", "line1"),
        ("asbuilt:criticality", "high"),
        ("asbuilt:source:firmware", "approved baseline"),
        ("asbuilt:unknown:serial_number", "the device does not say it"),
    }
    assert (labeller["version"], properties(labeller)["cdx:device:serialNumber"]) == ("D", "L2-090313")
    assert "components" not in mixer
    on = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert on["plant"] == [each["bom-ref"] for each in found["components"]]
    assert on["asset:filler"] == [part["bom-ref"] for part in filler["components"]]


def test_the_same_data_are_the_same_bytes_and_the_same_serial_number(works: Works) -> None:
    one, other = works.report(), works.report()
    assert hbom(one) == hbom(other)
    later = replace(one, until=one.until + timedelta(seconds=1))
    else_ = works.report(changed(works, "labeller", location="elsewhere"))
    assert len({bom(each)["serialNumber"] for each in (one, later, else_)}) == 3


def hostile(works: Works) -> Report:
    """The inventory of assets that call themselves what a device may, and say nothing else."""
    whole = works.report()
    section = whole.sections[0]
    block = table(whole, "inventory")
    row = dict(zip((column.key for column in block.columns), block.rows[0], strict=True))
    texts = [*HOSTILE, "half \\ud800"]  # the last one, as the other is shown
    lines = [
        tuple(text if isinstance(row[column.key], str) else row[column.key] for column in block.columns)
        for text in texts
    ]
    other = replace(section, blocks=(replace(block, rows=lines),))
    return replace(whole, plant=HOSTILE[-1], scope=HOSTILE[7], sections=(other, *whole.sections[1:]))


def test_whatever_devices_and_people_call_themselves_it_is_cyclonedx(works: Works) -> None:
    found = bom(hostile(works))
    assert len(found["components"]) == len(HOSTILE) + 1
    assert len({each["bom-ref"] for each in found["components"]}) == len(HOSTILE) + 1
    assert all(each["name"].isprintable() for each in found["components"])


def test_a_report_without_an_inventory_is_a_sentence() -> None:
    with pytest.raises(CallError, match="is made of the inventory"):
        hbom(sample())


def test_the_annexes_of_the_inventory_are_csv(works: Works) -> None:
    for found in works.report().tables:
        assert b"".join(csv_parts(found)).startswith(found.columns[0].key.encode())
