"""plant.toml: what it says when it is right, and every fault at once when it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import time, timedelta
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.asset import Asset, Criticality
from baselines.snapshot import Severity
from collectors.address import Address
from collectors.collector import Access, Secret
from collectors.written import FileError
from monitor.config import AssetTable, MachineType, Plant, load_plant
from monitor.periods import Every
from monitor.report.document import Kind
from monitor.reported import Reported
from monitor.routes import Webhook
from monitor.store import Database

LEAST = """
[plant]
name = "Bottling works"
[store]
url = "sqlite:///asbuilt.db"
"""
FILLER = """
[asset."line3/filler"]
address = "modbus://10.0.3.10"
profile = "acme-p1"
"""
TYPED = FILLER + 'machine_type = "filler"\n'
LABELLER = """
[asset.labeller]
address = "opc.tcp://10.0.3.12:4840/x"
profile = "generic-opcua"
"""


def load(folder: Path, text: str) -> Plant:
    (folder / "plant.toml").write_text(text, encoding="utf-8")
    return load_plant(folder / "plant.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(FileError) as caught:
        load(folder, text)
    assert str(caught.value).startswith(f"{folder / 'plant.toml'}: ")
    return list(caught.value.faults)


def test_the_least_that_is_required_and_the_defaults(tmp_path: Path) -> None:
    plant = load(tmp_path, LEAST + FILLER)
    assert (plant.name, plant.timezone, plant.segments, plant.routes) == ("Bottling works", "UTC", {}, ())
    polled = plant.assets["line3/filler"]
    assert polled.asset == Asset("line3/filler", "modbus://10.0.3.10:502/1", "acme-p1")
    assert (polled.every, polled.allowed) == (timedelta(seconds=30), True)
    assert polled.target.address == Address("modbus", "10.0.3.10", 502, unit=1)
    assert (polled.target.profile, polled.target.access) == ("acme-p1", Access())


def test_everything_that_can_be_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n')
    plant = load(
        tmp_path,
        """
        [plant]
        name = "Bottling works"
        timezone = "Europe/Berlin"
        [store]
        url = "postgresql://asbuilt:secret@db.example:5433/plant"
        [asset.filler]
        address = "modbus://10.0.3.10:1502/7"
        profile = "mine.toml"
        every = "1m"
        zone = "line3"
        role = "PLC"
        purdue_level = 1
        criticality = "high"
        location = "hall 2"
        machine_type = "filler"
        [asset.labeller]
        address = "opc.tcp://10.0.3.12:4840"
        profile = "auto"
        security = "Basic256Sha256:SignAndEncrypt"
        certificate = "pki/asbuilt.pem"
        private_key = "/etc/asbuilt.key"
        server_certificate = "pki/labeller.der"
        user = "monitor"
        password_file = "secrets/labeller"
        [machine_type.filler]
        golden = "filler"
        may_differ = ["item.cell_number"]
        [segment.line3]
        interface = "eth1"
        [web]
        listen = "127.0.0.1:9000"
        [notify.maintenance]
        kind = "webhook"
        url = "https://chat.example/hooks/1"
        min_severity = "high"
        """,
    )
    filler, labeller = plant.assets["filler"], plant.assets["labeller"]
    assert plant.timezone == "Europe/Berlin"
    assert plant.store_url == "postgresql+psycopg://asbuilt:secret@db.example:5433/plant"
    assert filler.asset == Asset(
        "filler",
        "modbus://10.0.3.10:1502/7",
        "mine.toml",
        "line3",
        "PLC",
        1.0,
        Criticality.HIGH,
        "hall 2",
        "filler",
    )
    assert (plant.web.host, plant.web.port, plant.web.enabled) == ("127.0.0.1", 9000, True)
    assert (filler.every, filler.target.profile) == (timedelta(minutes=1), "mine")
    assert "mine" in plant.profiles
    assert labeller.target.access == Access(
        "Basic256Sha256",
        "SignAndEncrypt",
        str(tmp_path / "pki/asbuilt.pem"),
        "/etc/asbuilt.key",
        str(tmp_path / "pki/labeller.der"),
        "monitor",
        Secret("", str(tmp_path / "secrets/labeller")),
    )
    assert plant.machine_types == {"filler": MachineType("filler", {}, ("item.cell_number",))}
    assert {name: segment.interface for name, segment in plant.segments.items()} == {"line3": "eth1"}
    assert plant.routes == (
        Webhook(kind="webhook", url="https://chat.example/hooks/1", min_severity=Severity.HIGH, name="maintenance"),
    )


def test_the_example_that_init_writes_is_right(tmp_path: Path) -> None:
    example = (files("monitor") / "plant.example.toml").read_text(encoding="utf-8")
    assert load(tmp_path, example).assets == {}
    uncommented = "\n".join(line.removeprefix("# ") for line in example.split("\n") if line.startswith("# "))
    start = uncommented.index('[asset."line3/filler"]')
    tables = [line for line in uncommented[start:].split("\n") if line.startswith("[") or " = " in line]
    plant = load(tmp_path, LEAST + "\n".join(tables))
    assert list(plant.assets) == ["line3/filler", "line3/labeller"]
    assert len(plant.routes) == 1


@pytest.mark.parametrize(
    ("written", "mac"),
    [
        ("00:1B:1b:12:34:56", "00:1b:1b:12:34:56"),
        ("00-1b-1b-12-34-56", "00:1b:1b:12:34:56"),
        ("001b.1b12.3456", "00:1b:1b:12:34:56"),
        ("001B1B123456", "00:1b:1b:12:34:56"),
        ("", ""),
    ],
)
def test_a_mac_address_is_one_however_it_is_written(tmp_path: Path, written: str, mac: str) -> None:
    assert load(tmp_path, LEAST + FILLER + f'mac = "{written}"\n').assets["line3/filler"].asset.mac == mac


def test_a_safety_controller_is_polled_only_where_its_owner_says_so(tmp_path: Path) -> None:
    safety = FILLER + 'criticality = "safety"\n'
    assert not load(tmp_path, LEAST + safety).assets["line3/filler"].allowed
    assert load(tmp_path, LEAST + safety + "allow_safety = true\n").assets["line3/filler"].allowed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["plant.name: is required", "store.url: is required"]),
        (
            "plant = 5\nstore = []",
            ["plant: is a table, not 5", "plant.name: ", "store: is a table, not", "store.url: "],
        ),
        (LEAST + "[aset.x]", ["aset: unknown key; did you mean 'asset'?"]),
        (LEAST + "[asset]\nx = 5", ["asset.x: is a table, not 5", "asset.x.address: ", "asset.x.profile: "]),
        (LEAST + "[asset.x]", ["asset.x.address: is required", "asset.x.profile: is required"]),
        (LEAST + FILLER + "adress = 1", ["asset.line3/filler.adress: unknown key; did you mean 'address'?"]),
        (LEAST + FILLER.replace("line3/filler", "a b") + "zzz = 1", ['asset."a b".zzz: unknown key; known here: ']),
        (LEAST + FILLER + "every = 30", ['asset.line3/filler.every: a duration is written "30s"']),
        (LEAST + FILLER + 'every = "9999999999d"', ["asset.line3/filler.every: a duration"]),
        (LEAST + FILLER + 'criticality = "worst"', ["asset.line3/filler.criticality: is one of low, medium, high, "]),
        (
            LEAST + FILLER + 'mac = "00:1b:1b:12:34"',
            ["asset.line3/filler.mac: is a MAC address such as 00:1b:1b:12:34:56"],
        ),
        (LEAST + FILLER + 'purdue_level = "one"', ["asset.line3/filler.purdue_level: expected `float"]),
        (LEAST + FILLER + "zone = 3", ["asset.line3/filler.zone: expected `str`"]),
        (LEAST + FILLER + 'allow_safety = "yes"', ["asset.line3/filler.allow_safety: expected `bool`"]),
        (
            LEAST + FILLER.replace("10.0.3.10", "10.0.3.10/300"),
            ["asset.line3/filler.address: 'modbus://10.0.3.10/300'"],
        ),
        (LEAST + FILLER.replace("modbus:", "http:"), ["asset.line3/filler.address: 'http://10.0.3.10' is no address"]),
        (
            LEAST + FILLER.replace("acme-p1", "acme-p9"),
            ["asset.line3/filler.profile: no profile 'acme-p9'; bundled are"],
        ),
        (
            LEAST + FILLER.replace("acme-p1", "absent.toml"),
            ["asset.line3/filler.profile: absent.toml: there is no such file"],
        ),
        (LEAST + FILLER.replace("acme-p1", "."), ["asset.line3/filler.profile: no profile '.'"]),
        (LEAST + FILLER.replace("acme-p1", r"a\u0000.toml"), ["asset.line3/filler.profile: "]),
        (
            LEAST + FILLER + FILLER.replace("line3/filler", "twin").replace("10", "10", 1),
            ["asset.twin.address: asset.line3/filler has modbus://10.0.3.10:502/1 already"],
        ),
        (
            LEAST + LABELLER + LABELLER.replace("labeller", "twin"),
            ["asset.twin.address: asset.labeller has opc.tcp://10.0.3.12:4840/x already"],
        ),
        (LEAST + TYPED + "[machine_type]\nfiller = 5", ["machine_type.filler: is a table, not 5"]),
        (
            LEAST + TYPED + "[machine_type.filer]",
            ["machine_type.filer: no asset has this machine_type; there is filler"],
        ),
        (LEAST + FILLER + '[machine_type.""]', ['machine_type."": no asset has this machine_type; there is none']),
        (
            LEAST + TYPED + '[machine_type.filler]\ngoldne = "x"',
            ["machine_type.filler.goldne: unknown key; did you mean"],
        ),
        (
            LEAST + TYPED + '[machine_type.filler]\nmay_differ = "x"',
            ["machine_type.filler.may_differ: expected `array`"],
        ),
        (
            LEAST + TYPED + LABELLER + '[machine_type.filler]\ngolden = "labeller"',
            ["machine_type.filler.golden: 'labeller' is no filler; write one of line3/filler"],
        ),
        (
            LEAST + TYPED + '[machine_type.filler]\ngolden = "line3/filler"\nshared = { "item.a" = 1 }',
            ["machine_type.filler.shared: what they share is what golden has already"],
        ),
        (
            LEAST + TYPED + "[machine_type.filler.shared]\nitem.a = 1\n'item.b' = 2026-11-25\n'item.c' = [1, {}]",
            [
                "machine_type.filler.shared.item: write the whole item in quotes",
                'machine_type.filler.shared."item.b": is no value that an item can have',
                'machine_type.filler.shared."item.c": is no value that an item can have',
            ],
        ),
        (
            LEAST + FILLER + '[segment."line3/filler"]\ninterface = "eth1"',
            ["segment.line3/filler: an asset has this name"],
        ),
        (LEAST + "[segment.a]", ["segment.a.interface: is required"]),
        (
            LEAST + '[segment.a]\ninterface = "eth1"\n[segment.b]\ninterface = "eth1"',
            ["segment.b.interface: segment a listens at eth1 already"],
        ),
        (LEAST + '[segment.a]\ninterface = " "', ["segment.a.interface: name the interface"]),
        (LEAST + '[segment.a]\ninterface = "eth\\u00001"', ["segment.a.interface: name the interface"]),
        (LEAST + '[segment.""]\ninterface = "eth1"', ['segment."": a segment\'s name is not empty']),
        (LEAST + '[segment."a\\u001b"]\ninterface = "eth1"', [r'segment."a\u001b": a segment']),
        (LEAST + '[segment.a]\ninterface = "eth1"\nstale_after = "soon"', ["segment.a.stale_after: "]),
        (LEAST + '[segment.a]\ninterface = "eth1"\nstale_after = "0s"', ["segment.a.stale_after: "]),
        (LEAST + '[segment.a]\ninterface = "eth1"\nevery = "1s"', ["segment.a.every: unknown key"]),
        (LEAST + FILLER + 'password = "secret"', ["asset.line3/filler.password: no secret belongs in this file"]),
        (
            LEAST + FILLER + 'user = "x"',
            ["asset.line3/filler.password_env: a user", "asset.line3/filler.user: Modbus has no log-in"],
        ),
        (LEAST + FILLER + 'password_env = "X"', ["asset.line3/filler.password_env: Modbus has no log-in"]),
        (LEAST + FILLER + 'password_file = "x"', ["asset.line3/filler.password_file: Modbus has no log-in"]),
        (LEAST + FILLER + 'certificate = "x"', ["asset.line3/filler.certificate: Modbus has no log-in"]),
        (LEAST + FILLER + 'private_key = "x"', ["asset.line3/filler.private_key: Modbus has no log-in"]),
        (LEAST + FILLER + 'server_certificate = "x"', ["asset.line3/filler.server_certificate: Modbus has no log-in"]),
        (
            LEAST + FILLER + 'security = "Basic256Sha256:Sign"',
            [f"asset.line3/filler.{key}: " for key in ("certificate", "private_key", "security")],
        ),
        (LEAST + LABELLER + 'security = "Basic128"', ["asset.labeller.security: is one of None, Basic256Sha256:Sign"]),
        (
            LEAST + LABELLER + 'security = "Basic256Sha256:Sign"',
            ["asset.labeller.certificate: is required", "asset.labeller.private_key: is required"],
        ),
        (LEAST + LABELLER + 'user = "x"', ["asset.labeller.password_env: a user needs either"]),
        (
            LEAST + LABELLER + 'user = "x"\npassword_env = "X"\npassword_file = "x"',
            ["asset.labeller.password_env: a user needs either"],
        ),
        (
            LEAST.replace("[store]", 'timezone = "Mars/Olympus"\n[store]'),
            ["plant.timezone: 'Mars/Olympus' is not known"],
        ),
        (LEAST.replace("[store]", 'timezone = ""\n[store]'), ["plant.timezone: '' is not known"]),
        (LEAST.replace("[store]", 'timezone = "../x"\n[store]'), ["plant.timezone: '../x' is not known"]),
        (LEAST.replace("[store]", 'timezone = "Europe"\n[store]'), ["plant.timezone: 'Europe' is not known"]),
        (LEAST + "[web]\nlisten = 8470", ["web.listen: expected `str`"]),
        (
            LEAST + '[web]\nlisten = "127.0.0.1:70000"',
            ["web.listen: is an address and a port such as 127.0.0.1:8470, not '127.0.0.1:70000'"],
        ),
        (LEAST + '[web]\nenabled = "no"', ["web.enabled: expected `bool`"]),
        (LEAST + '[self_test]\nat = "6 am"', ["self_test.at: is a time of the day, such as \"06:00\", not '6 am'"]),
        (LEAST + "[zone.line3]\nrequests_per_second = 5", ["zone.line3: no asset is of this zone; there is none"]),
        (
            LEAST + '[zone.""]\nrequests_per_second = 0',
            ['zone."": no asset', 'zone."": requests_per_second is above 0'],
        ),
        (LEAST + '[self_test]\nat = "24:00"', ["self_test.at: is a time of the day"]),
        (LEAST + "[self_test]\nenable = true", ["self_test.enable"]),
        (LEAST + "[report.a]", ["report.a.kind: is required"]),
        (
            LEAST + '[report.a]\nkind = "weather"',
            ["report.a.kind: is one of audit, commissioning, inventory, changes; not 'weather'"],
        ),
        (
            LEAST + '[report.a]\nkind = "audit"\nevery = "hour"\nwhen = 5\npack = 1',
            ["report.a.every: is one of day, week,", "report.a.when: unknown key", "report.a.pack: expected `bool`"],
        ),
        (
            LEAST
            + '[report.a]\nkind = "audit"\nat = "5"\nformats = ["doc", "pdf", "pdf", "cyclonedx"]\nto = " "\nkeep = 0',
            [
                *("report.a.at: is a time of the day", "report.a.formats: is a list of pdf, html, xlsx, csv, json"),
                *("report.a.formats: names one of them twice", "report.a.formats: cyclonedx is of kind"),
                *("report.a.to: names a folder", "report.a.keep: is how many of it stay"),
            ],
        ),
        (LEAST + '[report.a]\nkind = "audit"\nformats = []', ["report.a.formats: names at least one of pdf"]),
        (
            LEAST + '[report.a]\nkind = "audit"\nzones = ["line9"]',
            ["report.a.zones: no asset or segment is in zone 'line9'; there is none"],
        ),
        (
            LEAST + '[report."../a"]\nkind = "audit"\n[report."a b"]\nkind = "audit"',
            ['report."../a": files begin with this name', 'report."a b": files begin with this name'],
        ),
        (
            LEAST + '[report.Audit]\nkind = "audit"\n[report.audit]\nkind = "audit"',
            ["report.audit: 'Audit' is a report already"],
        ),
        (LEAST + "[report]\nkind = 3", ["report.kind: is a table, not 3", "report.kind.kind: is required"]),
        (
            LEAST + '[notify.a]\nkind = "pager"\nurl = "x"',
            ["notify.a.kind: is not 'pager'; it is one of webhook, email, syslog, mqtt, chat"],
        ),
        (LEAST + '[notify.a]\nkind = "webhook"\nurl = "ftp://x"', ["notify.a.url: is no web address"]),
        (LEAST + '[notify.a]\nkind = "webhook"\nurl = "https://x"\nname = "b"', ["notify.a.name: unknown key"]),
    ],
)
def test_a_fault_has_its_key_path(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = faults(tmp_path, text)
    for part in expected:
        assert any(fault.startswith(part) for fault in found), found
    assert len(found) == len(expected), found


def test_a_report_is_found_with_its_folder_and_is_part_of_what_is_audited(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(
        LEAST + '[report.all]\nkind = "audit"\n[report.stock]\nkind = "inventory"\nevery = "week"\nat = "06:30"\n'
        'formats = ["csv", "cyclonedx"]\npack = true\nto = "/srv/reports"\nkeep = 3\n'
    )
    plant = load_plant(tmp_path / "plant.toml")
    assert plant.reports == {
        "all": Reported(Kind.AUDIT, Every.MONTH, time(5), ("pdf",), False, tmp_path / "reports", (), None),
        "stock": Reported(
            *(Kind.INVENTORY, Every.WEEK, time(6, 30), ("csv", "cyclonedx")),
            *(True, Path("/srv/reports"), (), 3),
        ),
    }
    assert plant.settings["report.stock.keep"] == "3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "asbuilt.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://asbuilt.db",
        "sqlite://host/asbuilt.db",
        "sqlite+nosuchdriver:///asbuilt.db",
        "sqlite+aiosqlite:///asbuilt.db",
        "mysql://host/db",
        "postgresql://host:port/db",
    ],
)
def test_a_store_that_cannot_be_kept_is_refused(tmp_path: Path, url: str) -> None:
    (fault,) = faults(tmp_path, LEAST.replace("sqlite:///asbuilt.db", url))
    assert fault.startswith("store.url: ")


@pytest.mark.parametrize("name", ["plain", "with space", "ümlaut", "100%", "a%41b", "what?", "x#y", "p+q", "a:b@c"])
def test_the_store_is_beside_plant_toml_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    database = Database(load(folder, LEAST).store_url)
    try:
        database.migrate()
    finally:
        database.close()
    assert (folder / "asbuilt.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_paths_are_relative_to_plant_toml_also_where_it_is_named_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    load(tmp_path / "real", LEAST)
    plant = load_plant(tmp_path / "real" / ".." / "real" / "plant.toml")
    assert plant.store_url == f"sqlite:///{tmp_path / 'real' / 'asbuilt.db'}"
    absolute = LEAST.replace("asbuilt.db", "/var/lib/asbuilt.db")
    assert load(tmp_path, absolute).store_url == "sqlite:////var/lib/asbuilt.db"


def test_two_units_behind_one_host_and_port_are_two_assets(tmp_path: Path) -> None:
    second = FILLER.replace("line3/filler", "second").replace("10.0.3.10", "10.0.3.10/2")
    assert len(load(tmp_path, LEAST + FILLER + second).assets) == 2


@pytest.mark.parametrize("name", [".", "..", "line1/../filler", "./filler", "line1/."])
def test_a_name_that_leads_a_browser_elsewhere_is_no_name(tmp_path: Path, name: str) -> None:
    for table in (FILLER.replace("line3/filler", name), f'[segment."{name}"]\ninterface = "eth1"\n'):
        (fault,) = faults(tmp_path, LEAST + table)
        assert "for the way to another page" in fault


def test_a_profile_of_the_plant_is_shared_by_its_assets_and_its_name_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n')
    (tmp_path / "other.toml").write_text('name = "mine"\n')
    (tmp_path / "thief.toml").write_text('name = "acme-p1"\n')
    one = FILLER.replace("acme-p1", "mine.toml")
    two = one.replace("line3/filler", "second").replace("3.10", "3.11")
    assert {polled.target.profile for polled in load(tmp_path, LEAST + one + two).assets.values()} == {"mine"}
    (taken,) = faults(tmp_path, LEAST + one + two.replace("mine.toml", "other.toml"))
    assert taken == "asset.second.profile: other.toml: the name 'mine' is taken; give it another"
    (taken,) = faults(tmp_path, LEAST + FILLER.replace("acme-p1", "thief.toml"))
    assert "the name 'acme-p1' is taken" in taken


def test_the_faults_of_a_profile_are_said_with_the_asset_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[item.a]\ntable = "coil"\n')
    found = faults(tmp_path, LEAST + FILLER.replace("acme-p1", "mine.toml"))
    assert found == [
        "asset.line3/filler.profile: mine.toml: name: is required",
        "asset.line3/filler.profile: mine.toml: item.a.address: is required",
    ]


def test_all_faults_are_reported_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    found = faults(
        tmp_path,
        """
        [plnat]
        [plant]
        timezone = "Mars"
        [store]
        url = "sqlite://"
        [asset.a]
        address = "modbus://plc/999"
        profile = "nope"
        password = "secret"
        every = "soon"
        [asset.b]
        address = "modbus://plc/1"
        profile = "broken.toml"
        [asset.c]
        address = "modbus://plc/2"
        profile = "auto"
        user = "x"
        [segment.a]
        [notify.m]
        kind = "webhook"
        url = "chat.example"
        """,
    )
    for expected in (
        "plnat: unknown key; did you mean 'plant'?",
        "plant.name: is required",
        "store.url: needs a file",
        "asset.a.address: 'modbus://plc/999': the unit",
        "asset.a.profile: no profile 'nope'",
        "asset.a.password: no secret belongs in this file",
        "asset.a.every: a duration",
        "asset.b.profile: broken.toml: is not TOML",
        "asset.c.user: Modbus has no log-in",
        "segment.a: an asset has this name",
        "segment.a.interface: is required",
        "notify.m.url: is no web address",
    ):
        assert any(fault.startswith(expected) for fault in found), (expected, found)
    assert not any("secret" in fault.replace("no secret belongs", "") for fault in found)


def test_a_file_that_is_no_toml_is_one_fault_with_its_line(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, LEAST + "[asset\n")
    assert "is not TOML" in fault
    assert "line 6" in fault


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


WORDS = st.sampled_from(
    [
        *["modbus://plc/1", "opc.tcp://plc", "modbus://", "auto", "acme-p1", "x.toml", "30s", "0s", "high", "safety"],
        *["UTC", "None", "Basic256Sha256:Sign", "sqlite:///a.db", "sqlite://", "postgresql://h/d", "webhook", "\0"],
    ]
)
ANYTHING = st.recursive(
    WORDS | st.text(st.characters(codec="ascii"), max_size=8) | st.booleans() | st.integers(-99, 99) | st.floats(),
    lambda value: (
        st.lists(value, max_size=2) | st.dictionaries(st.sampled_from(["a", "url", "name"]), value, max_size=2)
    ),
)
ASSET_KEYS = st.sampled_from([*AssetTable.__dataclass_fields__, "password", "x"])
ASSETS = ANYTHING | st.dictionaries(
    st.sampled_from(["a", "b", "c d", ""]), ANYTHING | st.dictionaries(ASSET_KEYS, ANYTHING), max_size=3
)
PLANTS = st.fixed_dictionaries(
    {
        "plant": ANYTHING | st.fixed_dictionaries({"name": WORDS}, optional={"timezone": ANYTHING}),
        "store": ANYTHING | st.fixed_dictionaries({"url": WORDS}, optional={"x": ANYTHING}),
    },
    optional={
        "asset": ASSETS,
        "machine_type": ANYTHING,
        "segment": ANYTHING,
        "notify": ANYTHING,
        "web": ANYTHING,
        "x": ANYTHING,
    },
)


@settings(max_examples=60)
@given(PLANTS)
def test_whatever_is_written_gives_a_plant_or_faults(written: Mapping[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        try:
            plant = load(Path(folder), "\n".join(f"{key} = {toml(value)}" for key, value in written.items()))
        except FileError as error:
            assert all(error.faults)  # noqa: PT017
            return
    assert all(polled.every > timedelta() for polled in plant.assets.values())
