"""Drafting profiles: what is proposed of real devices, what a hostile one can do, and what never leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.snapshot import Category, Snapshot
from collectors.collector import CollectError, poll
from collectors.contract import Limits
from collectors.drafting import Seen, Surveyed, Watch, item_names, judge
from collectors.modbus import ModbusCollector
from collectors.modbus.survey import survey as survey_tags
from collectors.opcua.survey import Bounds, survey
from collectors.profile import Profiles, load_profile, parse_profile
from collectors.written import FileError
from monitor.drafting import Draft, document, draft
from monitor.tags import EXAMPLE, read_tags
from simulators.opcua_space import node_id
from simulators.scenario import load
from tests.floors import ROOT, PlantFolder, RunningFloor, running, wait_for
from tests.opcua_servers import background, collector_of, fake, now, target_of, until, values

BUNDLED = ROOT / "collectors" / "profiles"
FLOOR = """
[plc.filler]
model = "acme-p1"
[plc.capper]
model = "acme-c4"
[plc.labeller]
model = "borealis-l2"
"""
FAST = Limits(requests_per_second=10_000)
BRIEFLY = Watch(3.0, 4)  # the slowest of the simulated points moves every 2.1 s
ONCE = Watch(0.01, 2)
POINTS = load("bottling").models


@pytest.fixture(scope="module")
def bottling() -> Iterator[RunningFloor]:
    """One of each kind of the bundled plant's PLCs."""
    models = (ROOT / "simulators" / "scenarios" / "bottling.toml").read_text("utf-8").partition('[plc."')[0]
    with running(models + FLOOR) as floor:
        yield floor


@pytest.fixture
def folder(tmp_path: Path) -> PlantFolder:
    return PlantFolder(tmp_path, {})


def silent(text: str) -> None:
    """Nobody watches how far it is."""


def drafted(surveyed: Surveyed, address: str = "opc.tcp://h:1") -> Draft:
    return draft(address, None, "2026-11-25T20:00:00Z", surveyed)


def survey_of(address: str, watch: Watch = ONCE, bounds: Bounds = Bounds(), limits: Limits = FAST) -> Surveyed:  # noqa: B008
    return asyncio.run(survey(target_of(address, "auto"), watch, now, silent, limits, bounds))


def uncommented(toml: str) -> dict[str, Any]:
    """The items of a draft, those that it leaves out too: every one of them is written so that it can be taken."""
    proposed, _, left_out = toml.partition("# NOT PROPOSED")
    lines = [line.removeprefix("#").removeprefix(" ") for line in left_out.split("\n")[2:]]
    return dict(tomllib.loads(proposed + "\n".join(lines))["item"])


def tag_list(model: str, folder: Path, more: str = "") -> Path:
    """The tag list that the vendor of a simulated Modbus PLC would give."""
    lines = ["Name;Area;Address;Data type;Registers;Word order"]
    for name, point in POINTS[model].points.items():  # type: ignore[union-attr]
        lines.append(f"{name};{point.table};{point.address};{point.type};{point.count or ''};{point.word_order}")
    path = folder / f"{model}.csv"
    path.write_text("\n".join(lines) + more)
    return path


# What is configuration.


@pytest.mark.parametrize(
    ("path", "more", "category"),
    [
        ("Anlage.Drehzahl.Sollwert", {}, Category.PARAMETER),
        ("Ofen.TemperaturGrenzwert", {}, Category.PARAMETER),
        ("Ofen.Prüfsumme", {}, Category.PROGRAM),
        ("Convoyeur.Seuil_Alarme", {}, Category.PARAMETER),
        ("Horno.Contraseña", {}, Category.SECURITY),
        ("Drive.ParameterSet.P1082", {}, Category.PARAMETER),
        ("Drive.P1082", {"types": ("i=58", "nsu=http://opcfoundation.org/UA/DI/;i=1004")}, Category.PARAMETER),
        ("Drive.Ramp", {"is_property": True}, Category.PARAMETER),
        ("PLC.FirmwareRevision", {}, Category.FIRMWARE),
        ("PLC.TimeServer", {}, Category.NETWORK),
        ("PLC.OperatingMode", {}, Category.MODE),
        ("PLC.Programs.Main.MaxSpeed", {}, Category.PARAMETER),
        ("PLC.X17", {"description": "upper limit of the tank"}, Category.PARAMETER),
        ("Tank.LevelHighAlarm", {}, Category.PARAMETER),
        ("Server.TimeMax", {}, Category.PARAMETER),
    ],
)
def test_what_looks_like_configuration(path: str, more: dict[str, Any], category: Category) -> None:
    found = judge(Seen(tuple(path.split(".")), {"node": "i=1"}, (7, 7, 7), **{"writable": True, **more}))
    assert found.proposed, found
    assert found.category is category
    assert "constant in 3 looks" in found.why


@pytest.mark.parametrize(
    ("path", "looks", "more", "why"),
    [
        ("Drive.MaxSpeed", (1, 2, 2), {"writable": True}, "varies: 1 to 2 in 3 looks"),
        ("Drive.Mode", ("a", "b"), {"writable": True}, "varies: 2 values in 2 looks"),
        ("Drive.Gain", (10.0, 10.1), {}, "varies a little: 10.0 to 10.1 in 2 looks"),
        ("Drive.Istwert", (5, 5), {}, 'named "istwert"'),
        ("Drive.Uptime", (5, 5), {}, 'named "uptime"'),
        ("Drive.Level", (5, 5), {"historized": True}, "historized"),
        ("Drive.Torque", (5, 5), {"sampling": 10.0}, "sampled every 10 ms"),
        ("Drive.Diagnostics.Text", ("ok", "ok"), {}, "in Diagnostics"),
        ("PLC.Resources.Programs.X", (5, 5), {}, "nothing says that it is configuration"),
        ("Drive.Limit", (), {"gap": "not read: BadNotReadable"}, "not read: BadNotReadable"),
        ("Web.AdminPassword", ("hunter2", "hunter2"), {"writable": True}, "perhaps a secret"),
        ("T.EngineeringUnits", (b"x", b"x"), {"is_property": True}, "describes its variable"),
    ],
)
def test_what_does_not(path: str, looks: tuple[Any, ...], more: dict[str, Any], why: str) -> None:
    found = judge(Seen(tuple(path.split(".")), {"node": "i=1"}, looks, **more))
    assert not found.proposed
    assert any(reason.startswith(why) for reason in found.why), found


def test_names_say_no_more_than_they_must() -> None:
    paths = ["Recipe.Name", "Program.Name", "Vision.JobName", "A.B.C", "X.B.C", "Same.Same", "Same.Same", "T.ÖlStand"]
    assert item_names([tuple(path.split(".")) for path in paths]) == [
        "recipe_name",
        "program_name",
        "job_name",
        "a_b_c",
        "x_b_c",
        "same_same",
        "same_same_2",
        "oel_stand",
    ]


# The bundled plant, against the profiles that people wrote for it.


def test_the_draft_of_the_labeller_is_what_its_profile_holds(bottling: RunningFloor, tmp_path: Path) -> None:
    labeller = bottling.plcs["labeller"]
    requests = labeller.seen.requests.copy()
    made = drafted(survey_of(labeller.address, BRIEFLY), labeller.address)
    held = {item["node"] for item in tomllib.loads((BUNDLED / "borealis-l2.toml").read_text("utf-8"))["item"].values()}
    proposed = {each.seen.where["node"] for each in made.proposed}
    assert held == proposed  # recall and precision are 1
    assert {each.name for each in made.left_out} >= {"process_uptime", "process_speed", "process_glue_temperature"}
    assert (made.stopped, made.fitting, made.name) == (None, "borealis-l2", "borealis-bl2-800")
    asked = labeller.seen.requests - requests
    assert {*asked} <= {"HEL", "OPN", "CLO", "GetEndpoints", "CreateSession", "ActivateSession", "CloseSession"} | {
        "Read",
        "Browse",
        "BrowseNext",
    }
    assert asked["HEL"] == 1
    assert not labeller.seen.writes
    assert len(uncommented(made.toml)) == len(made.drafted)

    (tmp_path / "l2.toml").write_text(made.toml, encoding="utf-8")
    profile = load_profile(tmp_path / "l2.toml")
    assert profile.fits(made.surveyed.identity)
    found = asyncio.run(polled(collector_of(profile), labeller.address, profile.name))
    assert len([item for item in found.items if item.key.startswith("item.")]) == len(held)
    assert not found.unread


async def polled(collector: Any, address: str, profile: str) -> Snapshot:
    try:
        found = (await poll(collector, target_of(address, profile))).outcome
        assert isinstance(found, Snapshot), found
        return found
    finally:
        await collector.close()


def places(item: Mapping[str, Any]) -> tuple[str, int]:
    return item["table"], item["address"]


@pytest.mark.parametrize(
    ("plc", "model", "still"), [("filler", "acme-p1", "door_closed"), ("capper", "acme-c4", "guard_closed")]
)
def test_the_draft_from_a_tag_list_is_what_the_profile_holds(
    bottling: RunningFloor, tmp_path: Path, plc: str, model: str, still: str
) -> None:
    device = bottling.plcs[plc]
    tags = {tag.name: tag.keys for tag in read_tags(tag_list(model, tmp_path)).tags}
    before = device.seen.reads.copy()
    target = target_of(device.address, "auto")
    made = drafted(asyncio.run(survey_tags(target, tags, BRIEFLY, now, silent, FAST)), device.address)
    held = {places(item) for item in tomllib.loads((BUNDLED / f"{model}.toml").read_text("utf-8"))["item"].values()}
    assert held == {places(each.seen.where) for each in made.proposed}
    assert still in {each.name for each in made.left_out}
    mapped = {(keys["table"], keys["address"] + offset) for keys in tags.values() for offset in range(width(keys))}
    asked = device.seen.reads - before
    assert {(table, address + n) for table, address, count in asked for n in range(int(count))} == mapped  # type: ignore[operator]
    assert not device.seen.writes
    assert (
        f'match = {{ manufacturer = "ACME", product_code = "{made.surveyed.identity["product_code"]}" }}' in made.toml
    )

    (tmp_path / "drafted.toml").write_text(made.toml, encoding="utf-8")
    profile = load_profile(tmp_path / "drafted.toml")
    found = asyncio.run(polled(ModbusCollector(Profiles([profile]), now), device.address, profile.name))
    assert not found.unread


def width(keys: Mapping[str, Any]) -> int:
    """How many registers, or bits, a tag takes."""
    item = parse_profile({"name": "one", "item": {"one": keys}}, "one").items[0]
    return item.source.width  # type: ignore[union-attr]


def test_a_tag_that_the_device_refuses_takes_no_other_with_it(bottling: RunningFloor, tmp_path: Path) -> None:
    listed = tag_list("acme-p1", tmp_path, "\nghost;holding;233;uint16;;\nfill_valve_2;coil;1;bool;;")
    tags = {tag.name: tag.keys for tag in read_tags(listed).tags}
    target = target_of(bottling.plcs["filler"].address, "auto")
    made = drafted(asyncio.run(survey_tags(target, tags, ONCE, now, silent, FAST)), "modbus://h/1")
    by_name = {each.name: each for each in made.drafted}
    assert by_name["temperature_trim"].judged.proposed  # its neighbour, and in one request with it
    assert not by_name["ghost"].judged.proposed
    assert by_name["ghost"].why == ["not read: holding 233: exception 2 (illegal data address)"]
    assert made.stopped is None


# Tag lists.


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "tags.csv").write_text(text, encoding="utf-8")
    return {tag.name: dict(tag.keys) for tag in read_tags(tmp_path / "tags.csv").tags}


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("name,table,address,type\na,holding,100,uint16\n", {"table": "holding", "address": 100, "type": "uint16"}),
        ("Tag;Register;Data type\na;40101;REAL\n", {"table": "holding", "address": 100, "type": "float32"}),
        ("Tag;Register;Type\na;400101;dint\n", {"table": "holding", "address": 100, "type": "int32"}),
        ("Tag;Register;Type\na;30001;word\n", {"table": "input", "address": 0, "type": "uint16"}),
        ("Tag;Register\na;00001\n", {"table": "coil", "address": 0, "type": "bool"}),
        ("Tag;Register\na;10001\n", {"table": "discrete", "address": 0, "type": "bool"}),
        ("name,table,address\na,Discrete Inputs,0x1F\n", {"table": "discrete", "address": 31, "type": "bool"}),
        (
            "name;table;address;type;mask;shift;scale;tolerance;unit;category;severity;values;about\n"
            'a;holding register;1;UINT;0xF0;4;0,5;0,1;K;Mode;HIGH;"3=RUN; 7=PROGRAM";why\n',
            {
                "table": "holding",
                "address": 1,
                "type": "uint16",
                "mask": 240,
                "shift": 4,
                "scale": 0.5,
                "tolerance": 0.1,
                "unit": "K",
                "category": "mode",
                "severity": "high",
                "values": {"3": "RUN", "7": "PROGRAM"},
                "about": "why",
            },
        ),
    ],
)
def test_a_tag_list_is_read_as_people_write_it(tmp_path: Path, text: str, keys: dict[str, Any]) -> None:
    assert read(tmp_path, text) == {"a": keys}


def test_the_example_is_a_tag_list(tmp_path: Path) -> None:
    assert [*read(tmp_path, EXAMPLE)] == ["operating_mode", "fill_limit", "write_protection"]


def test_every_fault_of_a_tag_list_is_said_at_once(tmp_path: Path) -> None:
    text = """name,table,address,type,count,values,severity
a,holding,1,uint16,,,
a,holding,2,uint16,,,
,holding,3,uint16,,,
b,nowhere,4,uint16,,,
c,holding,x,uint16,,,
d,holding,70000,uint16,,,
e,holding,5,string,,,
f,holding,6,uint16,,RUN,
g,holding,7,uint16,,,awful
h,holding,40101,uint16,,,
i,,9,uint16,,,
j,,400000,uint16,,,
k,holding,8,quux,,,
"""
    with pytest.raises(FileError) as caught:
        read(tmp_path, text)
    lines = [int(fault.split(",")[0].split(":")[0].removeprefix("line ")) for fault in caught.value.faults]
    assert lines == [*range(3, 15)]
    assert "may be meant as holding 100" in caught.value.faults[8]


def test_a_secret_is_not_shown() -> None:
    seen = Seen(("Web", "AdminPassword"), {"node": "nsu=urn:x;s=P"}, ("hunter2", "hunter3"), writable=True)
    made = drafted(Surveyed({}, (seen,)))
    assert "hunter" not in str(document(made))


async def drive() -> Server:
    """A server that says all that one can say of a variable."""
    server = Server()
    server.set_endpoint("opc.tcp://127.0.0.1:0/drive")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.init()
    index = await server.register_namespace("urn:drive")
    parameters = await (await server.nodes.objects.add_object(index, "Drive")).add_object(index, "ParameterSet")
    ramp = await parameters.add_variable(index, "P1120", 10.0)
    unit = ua.EUInformation(DisplayName=ua.LocalizedText("s"), UnitId=5457219)
    await ramp.add_property(node_id("unit", index), ua.QualifiedName("EngineeringUnits"), unit)
    await ramp.add_property(node_id("range", index), ua.QualifiedName("EURange"), ua.Range(0.0, 650.0))
    said: dict[str, dict[AttributeIds, Any]] = {
        "Writable": {AttributeIds.UserAccessLevel: ua.Variant(3, ua.VariantType.Byte)},
        "Kept": {AttributeIds.Historizing: ua.Variant(True)},
        "Quick": {AttributeIds.MinimumSamplingInterval: ua.Variant(10.0)},
        "Told": {AttributeIds.Description: ua.Variant(ua.LocalizedText("upper limit of the bearing"))},
        "Archive": {},
        "Nothing": {},
    }
    held = {"Archive": ua.Variant(bytes(100_000)), "Nothing": ua.Variant(None, ua.VariantType.Null)}
    for name, attributes in said.items():
        variable = await server.nodes.objects.add_variable(index, name, held.get(name, ua.Variant(5)))
        for attribute, value in attributes.items():
            await variable.write_attribute(attribute, ua.DataValue(value))
    await server.start()
    return server


def test_what_a_server_says_of_its_variables_counts() -> None:
    with background() as running_loop:
        server = running_loop.do(drive())
        try:
            assert server.bserver is not None
            made = drafted(survey_of(f"opc.tcp://127.0.0.1:{server.bserver.port}/drive"))
        finally:
            running_loop.do(server.stop())
    by_name = {each.seen.path[-1]: each for each in made.drafted}
    assert {name for name, each in by_name.items() if each.judged.proposed} == {"P1120", "EURange", "Writable", "Told"}
    assert by_name["P1120"].keys["unit"] == "s"
    assert {name: by_name[name].why[0] for name in ("P1120", "EURange", "Writable", "Told", "Kept", "Quick")} == {
        "P1120": "in ParameterSet",
        "EURange": "a property",
        "Writable": "writable",
        "Told": 'described as "limit"',
        "Kept": "historized",
        "Quick": "sampled every 10 ms",
    }
    assert by_name["Archive"].why == ["too large for an item: 100,000 bytes or elements"]
    assert by_name["Nothing"].why == ["it has no value"]


# A hostile server.


def nodes(*listed: tuple[Any, str, bool], kind: int = 47) -> list[Any]:
    """References to nodes: identifier, browse name, whether it is an object."""
    return [
        ua.ReferenceDescription(
            ReferenceTypeId=ua.NodeId(ua.Int32(kind)),
            NodeId=ua.ExpandedNodeId(identifier, ua.Int16(1)),
            BrowseName=ua.QualifiedName(name, 1),
            NodeClass=ua.NodeClass.Object if is_object else ua.NodeClass.Variable,
        )
        for identifier, name, is_object in listed
    ]


def browsing(below: Callable[[Any], list[Any]], page: int = 10**9) -> dict[str, Callable[[Any], Any]]:
    """Answers to Browse and BrowseNext; `below` gives the references of an identifier."""
    rest: dict[bytes, list[Any]] = {}

    def result(references: list[Any]) -> Any:
        point = f"p{len(rest)}".encode() if len(references) > page else None
        if point:
            rest[point] = references[page:]
        return ua.BrowseResult(References=references[:page], ContinuationPoint=point)

    def browse(request: Any) -> Any:
        asked = struct_from_binary(ua.BrowseParameters, request).NodesToBrowse
        return ua.BrowseResponse(Results=[result(below(node.NodeId.Identifier)) for node in asked])

    def browse_next(request: Any) -> Any:
        points = struct_from_binary(ua.BrowseNextParameters, request).ContinuationPoints
        response = ua.BrowseNextResponse()
        response.Parameters.Results = [result(rest[bytes(point)]) for point in points]
        return response

    return {"Browse": browse, "BrowseNext": browse_next}


async def hostile(below: Callable[[Any], list[Any]], bounds: Bounds, page: int = 10**9, **answers: Any) -> Surveyed:
    async with fake(**browsing(below, page), **answers) as server:
        found = await survey(target_of(server.address, "auto"), ONCE, now, silent, FAST, bounds)
        assert await until(lambda: server.open == 0)
        return found


def test_circles_end() -> None:
    around = {85: ["a"], "a": ["b", "v"], "b": ["a", "b", "v"]}

    def below(node: Any) -> list[Any]:
        return nodes(*((name, name, name != "v") for name in around.get(node, [])))

    found = asyncio.run(hostile(below, Bounds()))
    assert [seen.path for seen in found.seen] == [("a", "v")]
    assert found.stopped == ()


def test_ten_thousand_children_are_bounded_and_said() -> None:
    def below(node: Any) -> list[Any]:
        return nodes(*((f"v{number}", f"v{number}", False) for number in range(12_000))) if node == 85 else []

    few = asyncio.run(hostile(below, Bounds(nodes=500), 200))
    assert len(few.seen) == 500
    assert few.stopped == ("stopped after 500 nodes: what lies beyond was not looked at",)
    many = asyncio.run(hostile(below, Bounds(nodes=10_000), 200))
    assert len(many.seen) == 4000
    assert many.stopped == ("not all that is below Objects was told",)
    assert "# INCOMPLETE: not all that is below Objects was told." in drafted(many).toml


def test_a_bottomless_space_is_bounded_in_depth_and_in_time() -> None:
    def below(node: Any) -> list[Any]:
        return nodes((f"{node}x", "deeper", True), (f"{node}v", "value", False))

    found = asyncio.run(hostile(below, Bounds(depth=7)))
    assert len(found.seen) > 7
    assert found.stopped[0].startswith("stopped after 7 levels: ")
    assert len({each.name for each in drafted(found).drafted}) == len(found.seen)
    in_time = asyncio.run(hostile(below, Bounds(depth=10**6, nodes=10**6, seconds=0.2)))
    assert in_time.stopped[0] == "stopped after 0.2 s: what lies beyond was not looked at"


EVIL = [
    'quote " and \\',
    "line\nbreak\r[item.x]",
    '"""',
    "\x00\x1b[2J",
    "# no",
    "a" * 5000,
    "",
    "🙂",
    "x]\n",
    "ns=1;s=x",
]


def test_names_and_values_are_data() -> None:
    def below(node: Any) -> list[Any]:
        return nodes(*((name, name, False) for name in EVIL), kind=46) if node == 85 else []

    said = {f"ns=1;s={name}": f"value of {name}" for name in EVIL}
    found = asyncio.run(hostile(below, Bounds(), Read=lambda request: values(request, said)))
    made = drafted(found)
    items = tomllib.loads(made.toml)["item"]
    kept = [name for name in EVIL if name]  # no profile can name a node without an identifier
    assert sorted(item["node"] for item in items.values()) == sorted(f"nsu=urn:fake;s={name}" for name in kept)
    assert [each.why[0][:22] for each in made.left_out] == ["no profile can name it"]
    assert not any(ord(letter) < 32 and letter != "\n" for letter in made.toml)
    assert document(made)["toml"] == made.toml


def test_a_browse_that_is_too_much_is_halved() -> None:
    def below(node: Any) -> list[Any]:
        if node == 85:
            return nodes(*((f"o{number}", f"o{number}", True) for number in range(40)))
        return nodes((f"{node}v", "v", False)) if str(node).startswith("o") and str(node)[-1] != "v" else []

    honest = browsing(below)["Browse"]

    def picky(request: Any) -> Any:
        asked = struct_from_binary(ua.BrowseParameters, request.copy()).NodesToBrowse
        return ua.StatusCode(ua.UInt32(0x80B90000)) if len(asked) > 8 else honest(request)

    async def main() -> Surveyed:
        async with fake(Browse=picky) as server:
            return await survey(target_of(server.address, "auto"), ONCE, now, silent, FAST)

    assert len(asyncio.run(main()).seen) == 40


def test_a_server_that_falls_silent_while_it_is_watched_is_drafted_from_what_it_said() -> None:
    reads = 0

    def until_the_second_look(request: Any) -> Any:
        nonlocal reads
        reads += 1
        return values(request, {}) if reads <= 8 else None  # two for the server, five attributes, a look

    def below(node: Any) -> list[Any]:
        return nodes(("v", "Limit", False)) if node == 85 else []

    async def main() -> Surveyed:
        async with fake(**browsing(below), Read=until_the_second_look) as server:
            limits = Limits(requests_per_second=10_000, timeout=0.2)
            return await survey(target_of(server.address, "auto"), ONCE, now, silent, limits)

    found = asyncio.run(main())
    assert found.seen[0].values == (1,)
    assert found.stopped == ("stopped after 1 looks: no answer within 0.2 s",)


def test_what_a_server_has_no_time_for_is_left_out_and_said() -> None:
    def below(node: Any) -> list[Any]:
        return nodes(*((f"v{number}", f"Limit{number}", False) for number in range(600))) if node == 85 else []

    async def main() -> Surveyed:
        slow = Limits(requests_per_second=20, nodes_per_read=100)
        async with fake(**browsing(below)) as server:
            return await survey(target_of(server.address, "auto"), ONCE, now, silent, slow, Bounds(seconds=0.1))

    found = asyncio.run(main())
    assert [stop.partition(":")[0] for stop in found.stopped[-2:]] == ["stopped after 0.1 s", "stopped in look 1"]
    gaps = [seen.gap for seen in found.seen]
    assert {*gaps} == {"", "not read: there was no time for it"}
    assert gaps.count("") >= 100


@pytest.mark.parametrize("service", ["Browse", "Read", "CreateSession"])
def test_a_server_that_never_answers_gives_nothing(service: str) -> None:
    async def main() -> None:
        async with fake(**{**browsing(lambda node: []), service: lambda _: None}) as server:
            with pytest.raises(CollectError):
                await survey(target_of(server.address, "auto"), ONCE, now, silent, Limits(10_000, timeout=0.1))
            assert await until(lambda: server.open == 0)

    asyncio.run(main())


names = st.text(max_size=40)
scalars = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=80), st.binary(max_size=80))


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.lists(names, min_size=1, max_size=4), names, st.lists(scalars, max_size=3), names), max_size=12
    ),
    st.dictionaries(st.sampled_from(["manufacturer", "product_code", "model", "object_128"]), names),
)
def test_whatever_a_device_says_the_draft_can_be_loaded(found: list[Any], identity: dict[str, str]) -> None:
    seen = [
        Seen(
            tuple(path), {"node": f"nsu=urn:x;s=n{node}"}, tuple(looks), "" if looks else "no value", description=about
        )
        for path, node, looks, about in found
    ]
    made = drafted(Surveyed(identity, tuple(seen), ("stopped: \n",)))
    profile = parse_profile(tomllib.loads(made.toml), "draft")
    assert len(profile.items) == len(made.proposed)
    assert not profile.match or profile.fits(identity)
    assert len({each.name for each in made.drafted}) == len(seen)


# The command.


def test_the_command_drafts_a_profile(bottling: RunningFloor, folder: PlantFolder) -> None:
    address = bottling.plcs["labeller"].address
    words = ("profile", "draft", address, "--watch", "1s", "--looks", "2", "--name", "mine")
    done = folder.asbuilt(*words, "-o", "l2.toml", "--json")
    assert done.code == 0, done.err
    assert done.json["toml"] == (folder.folder / "l2.toml").read_text("utf-8")
    assert {*done.json} == {
        *("address", "identity", "profile", "proposed", "left_out", "stopped", "bundled", "error", "toml")
    }
    assert (done.json["profile"], done.json["stopped"], done.json["error"]) == ("mine", None, None)
    assert done.json["identity"]["manufacturer"] == "Borealis"
    (mode,) = (each for each in done.json["proposed"] if each["name"] == "machine_mode")
    assert mode == {
        "name": "machine_mode",
        "node": "nsu=urn:borealis:labeller;s=Machine.Mode",
        "category": "mode",
        "severity": "high",
        "value": 1,
        "why": ['named "mode"', "constant in 2 looks"],
    }
    assert load_profile(folder.folder / "l2.toml").name == "mine"
    again = folder.asbuilt(*words, "-o", "l2.toml")
    assert again.code == 2
    assert "not written over" in again.err


def test_the_command_drafts_from_a_tag_list(bottling: RunningFloor, folder: PlantFolder) -> None:
    address, listed = bottling.plcs["filler"].address, tag_list("acme-p1", folder.folder)
    done = folder.asbuilt("profile", "draft", address, "--tags", str(listed), "--watch", "1s", "--looks", "2")
    assert done.code == 0
    profile = parse_profile(tomllib.loads(done.out), "draft")
    assert profile.name == "acme-p-1"
    assert "# fill_limit = 12.0: writable, named" in done.out
    assert "left out" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("modbus://127.0.0.1:1/1",), 2, "name,table,address,type"),
        (("opc.tcp://127.0.0.1:1", "--tags", "x.csv"), 2, "--tags is for Modbus"),
        (("opc.tcp://127.0.0.1:1", "--watch", "soon"), 2, "--watch: a duration is written"),
        (("opc.tcp://127.0.0.1:1", "--watch", "2h"), 2, "at most an hour"),
        (("opc.tcp://127.0.0.1:1", "--name", "acme-p1"), 2, "comes with a profile"),
        (("opc.tcp://127.0.0.1:1", "-o", "plant.toml"), 2, "is not written over"),
        (("opc.tcp://127.0.0.1:1", "-o", "nowhere/x.toml"), 2, "there is no folder nowhere"),
        (("modbus://127.0.0.1:1/1", "--tags", "none.csv"), 2, "none.csv: cannot be read"),
        (("http://x",), 2, "is no address"),
        (("opc.tcp://127.0.0.1:1",), 3, "unreachable: "),
    ],
)
def test_what_cannot_be_is_said(folder: PlantFolder, words: tuple[str, ...], code: int, said: str) -> None:
    done = folder.asbuilt("profile", "draft", *words)
    assert done.code == code
    assert said in done.err
    assert done.out == ""


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal here")
@pytest.mark.parametrize("plc", ["labeller", "filler"])
def test_ctrl_c_ends_it_and_leaves_the_device_in_order(bottling: RunningFloor, folder: PlantFolder, plc: str) -> None:
    device = bottling.plcs[plc]
    wait_for(lambda: device.seen.open == 0, "the tests before to leave")
    before, closed = device.seen.total, device.seen.requests["CloseSession"]
    tags = ["--tags", str(tag_list("acme-p1", folder.folder))] if plc == "filler" else []
    process = folder.start("profile", "draft", device.address, "--watch", "10m", *tags)
    wait_for(lambda: device.seen.total - before >= 6, "the draft to be at work")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    wait_for(lambda: device.seen.open == 0, "the connection to be closed")
    assert "Traceback" not in (folder.folder / "run.log").read_text()
    assert device.seen.requests["CloseSession"] <= closed + 1
