"""Lists of assets as CSV: what people's spreadsheets give, and every fault of them at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from collectors.written import FileError
from monitor.config import Plant, load_plant
from monitor.entries import entries_text
from monitor.listed import COLUMNS, Listed, read_list
from tests.floors import PlantFolder

PLANT = """
[plant]
name = "Test"
[store]
url = "sqlite:///asbuilt.db"
[asset.old]
address = "modbus://10.0.0.9/1"
profile = "auto"
[segment.line3]
interface = "eth9"
"""


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    (tmp_path / "plant.toml").write_text(PLANT)
    return load_plant(tmp_path / "plant.toml")


def listed(plant: Plant, text: str | bytes) -> Listed:
    path = plant.path.with_name("list.csv")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_list(path, plant)


def assets(plant: Plant, text: str | bytes) -> dict[str, dict[str, object]]:
    """The asset tables that a list comes to, as TOML says them and as plant.toml takes them."""
    toml = entries_text(listed(plant, text).entries)
    plant.path.write_text(PLANT + toml, encoding="utf-8", newline="")
    load_plant(plant.path)
    found: dict[str, dict[str, object]] = tomllib.loads(toml)["asset"]
    return found


def faults(plant: Plant, text: str | bytes) -> list[str]:
    with pytest.raises(FileError) as caught:
        listed(plant, text)
    return list(caught.value.faults)


FILLER = {"address": "modbus://10.0.0.5:502/1", "profile": "auto"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name,address\nfiller,modbus://10.0.0.5:502/1\n", FILLER),
        ("NAME;Address;\nfiller;modbus://10.0.0.5:502/1;\n", FILLER),
        ("Tag\tIP\tProtocol\r\nfiller\t10.0.0.5\tModbus/TCP\r\n", FILLER),
        (
            "asset,host,protocol,port,unit\nfiller,10.0.0.5,modbus,1502,7\n",
            FILLER | {"address": "modbus://10.0.0.5:1502/7"},
        ),
        ("asset,host,protocol\nfiller,plc5.local,OPC UA\n", FILLER | {"address": "opc.tcp://plc5.local:4840"}),
        ("asset,ip address,protocol\nfiller,fd00::5,modbus\n", FILLER | {"address": "modbus://[fd00::5]:502/1"}),
        ("name,address,protocol\nfiller,10.0.0.5,modbus\n", FILLER),  # an address that is but a host
        ("name,ip,address\nfiller,10.0.0.5,modbus://10.0.0.5:502/1\n", FILLER),
        ("\n\nname;address\n\n ;\nfiller;modbus://10.0.0.5:502/1\n;;\n", FILLER),  # empty lines, empty cells
        (
            "Name;Address;Zone;Role;Criticality;Location;Machine Type;Purdue-Level;Every;Profile\n"
            'filler;modbus://10.0.0.5:502/1;"line ""3""; hall 2";PLC;High;hall 2\\4;filler;2,5;10s;generic-modbus\n',
            FILLER
            | {"profile": "generic-modbus", "zone": 'line "3"; hall 2', "role": "PLC", "criticality": "high"}
            | {"location": "hall 2\\4", "machine_type": "filler", "purdue_level": 2.5, "every": "10s"},
        ),
        (
            "Name;Address;Asset number;MAC address;OS;Logging;User accounts\n"
            "filler;modbus://10.0.0.5:502/1;0815;00-1B-1B-12-34-56;VxWorks 6.9;syslog;operator, maintenance\n",
            FILLER
            | {"asset_number": "0815", "mac": "00-1B-1B-12-34-56", "operating_system": "VxWorks 6.9"}
            | {"logging": "syslog", "user_accounts": "operator, maintenance"},
        ),
    ],
)
def test_what_a_list_says(plant: Plant, text: str, found: dict[str, object]) -> None:
    (table,) = assets(plant, text).values()
    assert table == found | {"address": table["address"]}
    assert str(load_plant(plant.path).assets["filler"].target.address) == found["address"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_umlauts_as_excel_writes_them(plant: Plant, encoding: str, delimiter: str) -> None:
    rows = [["Name", "Address", "Zone"], ["Füller 3", "modbus://10.0.0.5/1", "Straße – Süd"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    assert assets(plant, text.encode(encoding))["Füller 3"]["zone"] == "Straße – Süd"


def test_a_quoted_cell_may_hold_all_that_divides(plant: Plant) -> None:
    found = assets(plant, 'name,address,location\nfiller,modbus://10.0.0.5/1,"hall 2,\n""left"";\tback"\n')
    assert found["filler"]["location"] == 'hall 2,\n"left";\tback'


def test_headings_that_mean_nothing_are_named(plant: Plant) -> None:
    assert listed(plant, "name,Vendor,address,,Rack\na,ACME,modbus://10.0.0.5/1,,7\n").ignored == ("Vendor", "Rack")


def test_every_heading_is_one_that_it_would_find() -> None:
    assert all(heading == heading.casefold() and " " not in heading for heading in COLUMNS)


def test_every_fault_is_said_at_once_by_line_and_column(plant: Plant) -> None:
    text = (
        "Tag;IP;Protocol;Port;Unit;Level;Purdue level;Criticality;Profile;Every\n"
        "a;10.0.0.5;modbus;502;1;;1;high;auto;30s\n"
        ";10.0.0.6;modbus;;;;;;;\n"
        'b;10.0.0.7;profibus;x;300;;six;urgent;acme-p9;"often"\n'
        "a;10.0.0.8;modbus;;;;;;;\n"
        "old;10.0.0.10;modbus;;;;;;;\n"
        "line3;10.0.0.11;modbus;;;;7;;;\n"
        "c;;modbus;;;;;;;\n"
        "d;10.0.0.5;modbus;;;;;;;\n"
        "e;10.0.0.9;modbus;;;;;;;\n"
        "f;10.0.0;x.y;;;;;;;\n"
        "g;10 0 0 5;opcua;;;;;;;;surplus\n"
        '"h\n";10.0.0.12;modbus;;;;;;;\n'
        '"i\nj";10.0.0.13;modbus;;;;;;;\n'
        "k;10.0.0.14;;;;;;;;\n"
    )
    found = faults(plant, text)
    assert [fault.split(":")[0] for fault in found] == [
        "line 3, column Tag",
        "line 4, column Protocol",
        "line 4, column Port",
        "line 4, column Unit",
        "line 4, column Purdue level",
        "line 4, column Profile",
        "line 4, column Every",
        "line 4, column Criticality",
        "line 5, column Tag",
        "line 6, column Tag",
        "line 7, column Tag",
        "line 7, column Purdue level",
        "line 8, column IP",
        "line 9, column IP",
        "line 10, column IP",
        "line 11, column Protocol",
        "line 12",
        "line 12, column IP",
        "line 15, column Tag",
        "line 17, column Protocol",
    ]
    said = "\n".join(found)
    for remedy in (
        "asbuilt does not speak 'profibus'; write modbus or opcua",
        "is a number from 1 to 65535, not 'x'",
        "is a number from 0 to 5, not 'six'",
        "is one of low, medium, high, safety; not 'urgent'",
        "no profile 'acme-p9'; bundled are",
        "line 2 has 'a' already",
        "plant.toml has 'old' already; rename it, or leave the row out",
        "plant.toml has 'line3' already",
        "asset.a has modbus://10.0.0.5:502/1 already",
        "asset.old has modbus://10.0.0.9:502/1 already",
        "has 11 cells, and 10 have a heading",
        "'10 0 0 5' is no host name and no IP address",
    ):
        assert remedy in said, remedy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "needs a row of headings"),
        ("name,address\n", "needs a row of headings"),
        ("filler,modbus://10.0.0.5/1\nfiller2,modbus://10.0.0.6/1\n", "has no column with the name of the asset"),
        ("name,zone\nfiller,line3\n", "has no column with the address"),
        ("name,tag,address\na,b,c\n", "the headings name, tag mean the same: leave one out"),
        ('name,address\n"filler,modbus://10.0.0.5/1\n', "line 2: is no CSV: unexpected end of data"),
        ('name,address\n"a"b,modbus://10.0.0.5/1\n', "line 2: is no CSV: ',' expected after '\"'"),
        ("name,address\n".encode("utf-16"), "save it as CSV UTF-8"),
        (b"name,address\n\x81\x8d,modbus", "save it as CSV UTF-8"),
    ],
)
def test_what_is_no_list_is_said(plant: Plant, text: str | bytes, why: str) -> None:
    assert why in "\n".join(faults(plant, text))


# ---- The command


def test_a_list_is_shown_written_and_refused_the_second_time(tmp_path: Path) -> None:
    folder = PlantFolder(tmp_path, {"old": "modbus://10.0.0.9:502/3"})
    (tmp_path / "list.csv").write_bytes("Tag;IP;Protocol;Rack\nFüller;10.0.0.5;modbus;7\n".encode("cp1252"))
    before = folder.file.read_text()

    shown = folder.asbuilt("assets", "import", "list.csv")
    assert (shown.code, tomllib.loads(shown.out)) == (0, {"asset": {"Füller": FILLER}})
    assert "ignored, for asbuilt knows no such column: Rack" in shown.err
    document = folder.asbuilt("assets", "import", "list.csv", "--json").json
    assert document["assets"] == [{"asset": "Füller", **FILLER}]
    assert (document["ignored"], document["toml"], document["written"]) == (["Rack"], shown.out, None)
    assert folder.file.read_text() == before

    written = folder.asbuilt("assets", "import", "list.csv", "--write")
    assert written.code == 0
    assert written.out.startswith("Füller: added, modbus://10.0.0.5:502/1\n")
    assert folder.file.read_text() == before + document["toml"]

    again = folder.asbuilt("assets", "import", "list.csv", "--write")
    assert (again.code, again.out) == (2, "")
    assert "asbuilt: list.csv: line 2, column Tag: plant.toml has 'Füller' already" in again.err
    assert folder.file.read_text() == before + document["toml"]


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    done = PlantFolder(tmp_path, {}).asbuilt("assets", "import", "list.csv")
    assert (done.code, done.err) == (2, "asbuilt: list.csv: cannot be read: No such file or directory\n")
