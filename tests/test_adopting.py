"""Entries for plant.toml from what was heard: on a segment, or in a capture."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.asset import Identity
from baselines.snapshot import Snapshot, parse_snapshot
from collectors.address import Address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from collectors.passive.heard import Conversation, Counts, Evidence, Heard, HeardHost, Service
from monitor.adopting import Proposal, propose
from monitor.config import Plant, load_plant
from monitor.entries import commented_out, entries_text
from monitor.pipeline import take
from monitor.segment import Segment
from monitor.store import Database
from tests.floors import PlantFolder
from tests.frames import PCAPS

needs_pcaps = pytest.mark.skipif(
    not PCAPS.is_dir(), reason=f"no real captures in {PCAPS} (ASBUILT_PCAPS names a folder)"
)

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NANOSECONDS = int(AT.timestamp()) * 10**9
MODBUS, OPCUA, S7 = Service("tcp", 502, "modbus"), Service("tcp", 4840, "opcua"), Service("tcp", 102, "s7comm")
PLANT = '[plant]\nname = "Test"\n[store]\nurl = "sqlite:///asbuilt.db"\n'
SEGMENT = '[segment.line3]\ninterface = "eth9"\nzone = "line 3"\n'


def host(
    number: int, *services: Service, names: Sequence[str] = (), ips: Sequence[str] | None = None, **said: str
) -> HeardHost:
    """Host 10.0.0.`number`, which says of itself what is `said`."""
    found = [Evidence(name, value, "modbus", 1) for name, value in said.items()]
    mac = f"02:00:00:00:00:{number:02x}"
    spoken = tuple(service.protocol for service in services)
    addresses = (f"10.0.0.{number}",) if ips is None else tuple(ips)
    times = NANOSECONDS - 10**10, NANOSECONDS
    return HeardHost(mac, addresses, tuple(names), Identity(), None, spoken, services, *times, tuple(found))


def talk(client: str, server: str, protocol: str, *functions: str) -> Conversation:
    return Conversation(client, server, protocol, 502, 1, 1, functions, answered=True, last_at=NANOSECONDS)


def snapshot(*hosts: HeardHost, talks: Sequence[Conversation] = ()) -> Snapshot:
    """What the store gives back of a segment on which these were heard."""
    segment = Segment("line3", timedelta(days=1))
    segment.hear(Heard(Counts(), hosts, tuple(talks)))
    return parse_snapshot("line3", AT, segment.snapshot(None, AT).text)


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return described(tmp_path)


def described(folder: Path, more: str = "") -> Plant:
    (folder / "plant.toml").write_text(PLANT + SEGMENT + more)
    return load_plant(folder / "plant.toml")


def asset(name: str, address: str) -> str:
    return f'[asset."{name}"]\naddress = "{address}"\nprofile = "auto"\n'


def addresses(proposal: Proposal) -> dict[str, object]:
    return {found.entry.name: found.entry.keys["address"] for found in proposal.adoptable}


# ---- What is proposed


def test_a_controller_is_proposed_with_what_it_said(plant: Plant) -> None:
    heard = host(5, MODBUS, S7, names=["filler"], manufacturer="ACME", model="P 9", software_revision="2.4")
    (found,) = propose(snapshot(heard, host(9)), plant, "line 3").adoptable
    assert found.entry.name == "filler"
    keys = {"address": "modbus://10.0.0.5:502/1", "profile": "auto", "zone": "line 3", "role": "controller"}
    assert found.entry.keys == keys
    assert found.entry.about == (
        "manufacturer ACME, model P 9, firmware 2.4",
        "MAC 02:00:00:00:00:05; IP 10.0.0.5; calls itself filler; speaks s7comm",
    )


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ([host(5, MODBUS, names=["filler"], model="P 9")], ["filler"]),
        ([host(5, MODBUS, model="P 9"), host(6, MODBUS, model="P 9")], ["P-9-5", "P-9-6"]),
        ([host(5, MODBUS, product_code="B100")], ["B100-5"]),
        ([host(5, MODBUS)], ["modbus-5"]),
        ([host(5, MODBUS, names=["plc"]), host(6, MODBUS, names=["plc"])], ["plc", "plc-6"]),
        ([host(5, MODBUS, names=["line3"])], ["line3-5"]),  # a segment is an asset too
        ([host(5, MODBUS, names=["old"])], ["old-5"]),
        ([host(5, MODBUS, OPCUA, names=["plc"])], ["plc-502", "plc-4840"]),
        ([host(5, MODBUS, names=["\x1b\x00", "--help\n"])], ["help"]),
        ([host(5, MODBUS, ips=["fd00::1:5"])], ["modbus-5"]),
        ([host(5, MODBUS), host(6, MODBUS, ips=["10.0.1.5"])], ["modbus-5", "modbus-5-2"]),
    ],
)
def test_names_are_those_that_hosts_give_and_nobody_has_yet(
    tmp_path: Path, hosts: list[HeardHost], names: list[str]
) -> None:
    proposal = propose(snapshot(*hosts), described(tmp_path, asset("old", "modbus://10.9.9.9/1")))
    assert [found.entry.name for found in proposal.adoptable] == names


def test_the_address_is_the_one_at_which_it_was_asked(plant: Plant) -> None:
    several = host(5, MODBUS, ips=["169.254.1.1", "10.0.0.4", "10.0.0.5", "fe80::1"])
    assert addresses(propose(snapshot(several), plant)) == {"modbus-4": "modbus://10.0.0.4:502/1"}
    asked = snapshot(several, talks=[talk("10.0.0.1", "10.0.0.5", "modbus", "read-coils")])
    assert addresses(propose(asked, plant)) == {"modbus-5": "modbus://10.0.0.5:502/1"}
    six = host(6, OPCUA, ips=["fd00::6"])
    assert addresses(propose(snapshot(six), plant)) == {"opcua-6": "opc.tcp://[fd00::6]:4840"}


@pytest.mark.parametrize(
    ("address", "is_known"),
    [
        ("modbus://10.0.0.5/1", True),
        ("modbus://10.0.0.5/7", True),  # a gateway: which other units there are was not heard
        ("modbus://10.0.0.4/1", True),  # its other address
        ("modbus://10.0.0.5:503/1", False),
        ("opc.tcp://10.0.0.5:4840/path", False),
        ("modbus://10.0.0.6/1", False),
    ],
)
def test_who_is_there_already_is_said_and_not_proposed(tmp_path: Path, address: str, is_known: bool) -> None:
    heard = snapshot(host(5, MODBUS, ips=["10.0.0.4", "10.0.0.5"]))
    proposal = propose(heard, described(tmp_path, asset("old", address)))
    assert [[*known.assets] for known in proposal.known] == [["old"]] * is_known
    assert len(proposal.adoptable) == (not is_known)


def test_an_address_that_two_hosts_claim_is_proposed_once(plant: Plant) -> None:
    proposal = propose(snapshot(host(5, MODBUS), host(6, MODBUS, ips=["10.0.0.5"])), plant)
    assert addresses(proposal) == {"modbus-5": "modbus://10.0.0.5:502/1"}
    assert [(known.host.mac, [*known.assets]) for known in proposal.known] == [("02:00:00:00:00:06", ["modbus-5"])]


def test_who_speaks_what_cannot_be_polled_is_not_dropped(tmp_path: Path) -> None:
    enip = [Service("tcp", 44818, "enip"), Service("udp", 44818, "enip-udp"), Service("udp", 2222, "cip-io")]
    profinet = [talk("02:00:00:00:00:07", "02:00:00:00:00:08", "profinet-dcp", "rt-cyclic")]
    hosts = [host(5, S7, names=["s7"]), host(6, *enip), host(7, ips=[]), host(8, names=["io"]), host(9, ips=[])]
    proposal = propose(snapshot(*hosts, talks=profinet), described(tmp_path, asset("old", "opc.tcp://10.0.0.5")))
    assert (proposal.hosts, proposal.adoptable) == (5, ())
    assert [(found.entry.name, found.host.unpolled) for found in proposal.unpolled] == [
        ("enip-6", ("enip",)),
        ("io", ("profinet",)),
        ("profinet-07", ("profinet",)),
    ]
    assert [(known.host.names, dict(known.assets)) for known in proposal.known] == [
        (("s7",), {"old": "opc.tcp://10.0.0.5:4840"})
    ]


def test_what_nobody_polls_is_not_proposed(plant: Plant) -> None:
    heard = snapshot(host(5, Service("tcp", 80, "tcp"), model="A printer"), host(6, MODBUS, ips=[]))
    proposal = propose(heard, plant)
    assert (proposal.hosts, proposal.adoptable, proposal.unpolled) == (2, (), ())


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ['"]\n[store]\nurl = "sqlite:///evil.db"\n#', "\r\n[plant]", "\\", '"""', "line3", "*", "\x1b[2J", "-x"]
    ),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), TEXTS)
def test_whatever_is_said_on_the_wire_is_right_toml(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str, str]], zone: str
) -> None:
    """Only assets come in, under the names proposed; a name that can be one is taken as it was said."""
    folder = tmp_path_factory.mktemp("plant")
    hosts = [
        host(number, MODBUS, names=[name], manufacturer=maker, model=model)
        for number, (name, maker, model) in enumerate(said)
    ]
    proposal = propose(snapshot(*hosts), described(folder), zone)
    text = entries_text(found.entry for found in proposal.adoptable)
    rest = commented_out(found.entry for found in proposal.adoptable)
    assert tomllib.loads(rest) == {}
    assert all(line.startswith("#") for line in rest.splitlines())
    with (folder / "plant.toml").open("a", encoding="utf-8", newline="") as file:
        file.write(text + rest)
    found = load_plant(folder / "plant.toml")
    assert (found.name, found.store_url) == ("Test", described(folder).store_url)
    assert [*found.assets] == [found.entry.name for found in proposal.adoptable]
    assert {polled.asset.zone for polled in found.assets.values()} == {zone}
    proper = {name for name, *_ in said if name.isprintable() and name == name.strip() and name[:1] not in ("-", "")}
    assert proper - {"line3"} <= {*found.assets}


# ---- The commands


def stored(folder: PlantFolder, *hosts: HeardHost) -> None:
    """Store what was heard, as the daemon does."""
    database = Database(load_plant(folder.file).store_url)
    try:
        database.migrate()
        with database.write() as tx:
            take(tx, Poll(Target("line3", Address("segment", "eth9", 0)), snapshot(*hosts), Sent(), 0.0), AT)
    finally:
        database.close()


@pytest.fixture
def folder(tmp_path: Path) -> PlantFolder:
    return PlantFolder(tmp_path, {"old": "modbus://10.0.0.9:502/3"}, SEGMENT)


def test_what_was_heard_is_proposed_written_and_known_then(folder: PlantFolder) -> None:
    stored(folder, host(5, MODBUS, names=["filler"], model="P-9"), host(6, S7, names=["s7"]), host(9, MODBUS))
    before = folder.file.read_text()

    shown = folder.asbuilt("assets", "adopt", "line3")
    assert shown.code == 0
    assert tomllib.loads(before + shown.out)["asset"]["filler"]["zone"] == "line 3"
    assert '# [asset."s7"]' in shown.out
    assert "10.0.0.9 is not proposed, for there is old (modbus://10.0.0.9:502/3)" in shown.err
    assert "3 hosts heard on line3: 1 proposed, 1 there already, 1 cannot be polled yet" in shown.err

    document = folder.asbuilt("assets", "adopt", "line3", "--json").json
    (proposed,), (known,), (unpolled,) = document["assets"], document["known"], document["unpolled"]
    assert (proposed["asset"], proposed["address"], proposed["profile"]) == (
        "filler",
        "modbus://10.0.0.5:502/1",
        "auto",
    )
    assert (proposed["heard"]["mac"], proposed["heard"]["model"]) == ("02:00:00:00:00:05", "P-9")
    assert (known["assets"], known["heard"]["ips"]) == (["old"], ["10.0.0.9"])
    assert (unpolled["asset"], unpolled["protocols"]) == ("s7", ["s7comm"])
    assert (document["segment"], document["heard_until"]) == ("line3", "2026-11-23T08:00:00.000Z")
    assert (document["toml"] in shown.out, document["written"]) == (True, None)
    assert folder.file.read_text() == before

    assert folder.asbuilt("assets", "adopt", "line3", "--write").code == 0
    assert folder.file.read_text() == before + document["toml"]
    assert [each["asset"] for each in folder.asbuilt("assets", "--json").json["assets"]] == ["old", "filler", "line3"]

    again = folder.asbuilt("assets", "adopt", "line3", "--write")
    assert (again.code, "nothing to add" in again.out) == (0, True)
    assert "s7 (02:00:00:00:00:06) cannot be polled yet: s7comm" in again.err
    assert folder.file.read_text() == before + document["toml"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["line3"], "nothing was heard on line3 yet: let asbuilt run listen"),
        (["line4"], "names no segment line4; it has line3"),
        (["old"], "names no segment old; it has line3"),
        ([], "say of which segment (it has line3), or of which capture"),
        (["--from", "p9.toml"], "is no pcap"),
        (["--from", "gone.pcap"], "gone.pcap cannot be read: No such file"),
        (["line4", "--from", "p9.toml"], "names no segment line4"),
        (["line3", "--plant", "gone.toml"], "there is no gone.toml: write one with asbuilt init"),
    ],
)
def test_what_cannot_be_adopted_is_a_sentence(folder: PlantFolder, words: list[str], why: str) -> None:
    done = folder.asbuilt("assets", "adopt", *words)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


def test_a_plant_without_segments_is_told_how_to_have_one(tmp_path: Path) -> None:
    done = PlantFolder(tmp_path, {}).asbuilt("assets", "adopt", "line3")
    assert (done.code, "it has none yet: add a [segment.NAME] table" in done.err) == (2, True)


def test_an_option_before_the_command_is_not_lost(folder: PlantFolder) -> None:
    done = folder.asbuilt("assets", "--plant", "gone.toml", "adopt", "line3")
    assert (done.code, done.err) == (2, "asbuilt: write --plant behind adopt\n")


@needs_pcaps
def test_a_capture_is_enough(folder: PlantFolder) -> None:
    capture = str(PCAPS / "ICS-Security-Tools" / "modicon_test.pcap")
    (proposed,) = folder.asbuilt("assets", "adopt", "line3", "--from", capture, "--json").json["assets"]
    assert (proposed["asset"], proposed["zone"]) == ("140-CPU-311-10-253", "line 3")
    assert (proposed["heard"]["manufacturer"], proposed["heard"]["software_revision"]) == ("Schneider Electric", "2.70")
    assert folder.asbuilt("assets", "adopt", "--from", capture, "--write").code == 0
    assert "140-CPU-311-10-253" in load_plant(folder.file).assets
    assert not (folder.folder / "asbuilt.db").exists()  # no store is needed


@needs_pcaps
def test_a_capture_of_what_cannot_be_polled(folder: PlantFolder) -> None:
    capture = str(PCAPS / "icsnpp-s7comm" / "s7ident.pcap")
    done = folder.asbuilt("assets", "adopt", "--from", capture)
    assert (done.code, tomllib.loads(done.out)) == (0, {})
    assert "CPU 315-2 PN/DP" in done.out
