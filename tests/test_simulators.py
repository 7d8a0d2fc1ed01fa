"""Scenarios, points, and Modbus PLCs, with pymodbus's own client as the witness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from simulators.floor import Floor, PortTaken
from simulators.plc import Plc
from simulators.points import Point
from simulators.scenario import Event, ScenarioError, load, parse
from simulators.seen import Seen
from simulators.varies import Varies

LINE = """
name = "line"
[model.filler]
protocol = "modbus"
server_id = "FILLER"
identity = { manufacturer = "ACME", product_code = "P-1", software_revision = "2.4.1", object_128 = "SN-0" }
[model.filler.point]
fill_limit = { table = "holding", address = 210, type = "float32", word_order = "little", value = 12.0 }
recipe = { table = "holding", address = 220, type = "string", count = 4, value = "STILL" }
lamp = { table = "coil", address = 5, type = "bool", value = true }
door = { table = "discrete", address = 5, type = "bool", value = true }
uptime = { table = "input", address = 0, type = "uint32", value = 0, varies = { kind = "counter", every = 0.01 } }
[plc.a]
model = "filler"
port = 15111
identity = { object_128 = "SN-1" }
[plc.b]
model = "filler"
port = 15111
unit = 2
values = { fill_limit = 1.5 }
"""


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def connected(plc: Plc) -> Any:
    """A client of the library; its answers carry more than their declared type."""
    client = AsyncModbusTcpClient("127.0.0.1", port=plc.gate.port, timeout=2, retries=0)
    assert await client.connect()
    return client


def on_the_floor(do: Callable[[Floor], Awaitable[None]], text: str = LINE) -> None:
    async def run() -> None:
        async with Floor(parse(text), ports="free") as floor:
            await do(floor)

    asyncio.run(run())


NUMBER_RANGES = {"int16": (-(2**15), 2**15 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}


@given(st.data(), st.sampled_from(sorted(NUMBER_RANGES)), st.sampled_from(["big", "little"]))
def test_a_number_comes_back_from_its_registers(data: st.DataObject, kind: Any, order: Any) -> None:
    value = data.draw(st.integers(*NUMBER_RANGES[kind]))
    point = Point(table="holding", address=0, type=kind, word_order=order, value=value)
    assert point.value_of(point.cells(value)) == value


@pytest.mark.parametrize(
    ("kind", "order", "value", "count", "cells"),
    [
        ("uint16", "big", 0xABCD, None, [0xABCD]),
        ("int16", "big", -2, None, [0xFFFE]),
        ("uint32", "big", 0x12345678, None, [0x1234, 0x5678]),
        ("uint32", "little", 0x12345678, None, [0x5678, 0x1234]),
        ("float32", "big", 12.0, None, [0x4140, 0x0000]),
        ("float64", "little", 1.0, None, [0, 0, 0, 0x3FF0]),
        ("string", "big", "ABC", 3, [0x4142, 0x4300, 0]),
        ("bytes", "big", "8f1d02c4", 2, [0x8F1D, 0x02C4]),
        ("bytes", "little", "8f1d02c4", 2, [0x8F1D, 0x02C4]),
    ],
)
def test_registers_of_a_value(kind: Any, order: Any, value: Any, count: Any, cells: list[int]) -> None:
    assert Point(table="input", address=0, type=kind, word_order=order, value=value, count=count).cells(value) == cells


def test_what_varies_is_a_function_of_the_uptime() -> None:
    assert Varies(kind="counter", step=3, every=0.5).steps(2.2) == 4
    assert Varies(kind="counter", step=3).value(10, 4) == 22
    assert Varies(kind="ramp", low=0, high=10, step=4).value(2, 3) == 4
    assert Varies(kind="toggle").value(True, 3) is False
    noise = Varies(kind="noise", spread=0.5)
    assert noise.value(7.0, 5) == noise.value(7.0, 5)
    assert 6.5 <= float(noise.value(7.0, 5)) <= 7.5


def test_busiest_second() -> None:
    seen = Seen()
    seen.times.extend([0.0, 0.5, 0.9, 1.0, 1.4, 3.0])
    assert seen.busiest() == 4
    assert seen.busiest(0.2) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        ("", "plc: there is none"),
        ("[floor]", "floor: unknown key"),
        ('[model.m]\nprotocol = "profinet"', 'model.m.protocol: write "modbus" or "opcua"'),
        (LINE + '[plc.c]\nmodel = "filler"\nport = 15111', 'plc."c".port: a is at 15111 already'),
        (LINE + '[plc.c]\nmodel = "capper"', "plc.\"c\".model: 'capper' is none"),
        (LINE + '[plc.c]\nmodel = "filler"\nvalues = { limit = 1 }', "no point is called 'limit'"),
        (LINE + '[plc.c]\nmodel = "filler"\nvalues = { lamp = 1 }', "write true or false"),
        (LINE + '[plc.c]\nmodel = "filler"\nbehave = "sulk"', "no such behaviour: 'sulk'"),
        (LINE + '[plc.c]\nmodel = "filler"\nbehave = "slow"', 'write "slow:N"'),
        (LINE + '[plc.c]\nmodel = "filler"\nprot = 1', "unknown field `prot`; known: model, port"),
        (LINE + '[[event]]\nplc = "z"', "event 1: no PLC is called 'z'. Known: a, b"),
        (LINE + '[[event]]\nplc = "a"\nset = { fill_limit = "full" }', "event 1: 'full' is no number"),
        (LINE + '[[event]]\nplc = "a"\nidentity = { serial = "1" }', "no identity object is called 'serial'"),
        (LINE + '[[event]]\nplc = "a"\nstatus = { fill_limit = "Bad" }', "status goes with OPC UA"),
        (
            '[model.m]\nprotocol = "modbus"\n[model.m.point]\n'
            'a = { table = "coil", address = 1, type = "uint16", value = 1 }',
            "a coil is one bit",
        ),
        (
            '[model.m]\nprotocol = "modbus"\n[model.m.point]\n'
            'a = { table = "input", address = 1, type = "uint32", value = 1 }\n'
            'b = { table = "input", address = 2, type = "uint16", value = 1 }',
            "a and b both stand at input 2",
        ),
    ],
)
def test_a_scenario_that_cannot_be_says_where_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(text)
    assert said in str(error.value)


def test_every_fault_of_a_scenario_is_said_in_one_go() -> None:
    with pytest.raises(ScenarioError) as error:
        parse(LINE + '[plc.c]\nmodel = "x"\n[plc.d]\nport = 1\n[[event]]\nplc = "z"')
    assert len(str(error.value).splitlines()) == 3


def test_no_such_scenario_names_the_bundled_ones() -> None:
    with pytest.raises(ScenarioError, match="bottling"):
        load("bottles")


def test_the_bundled_floor_is_twelve_plcs_and_about_a_minute() -> None:
    bottling = load("bottling")
    assert len(bottling.plcs) == 12
    assert {model.protocol for model in bottling.models.values()} == {"modbus", "opcua"}
    assert bottling.events[0].at >= 10
    assert bottling.events[-1].at <= 60
    assert all(event.about for event in bottling.events)


def test_points_are_read_unit_by_unit() -> None:
    async def do(floor: Floor) -> None:
        client = await connected(floor.plcs["a"])
        for unit, value in ((1, 12.0), (2, 1.5)):
            answer = await client.read_holding_registers(210, count=2, device_id=unit)
            kind = client.DATATYPE.FLOAT32
            assert client.convert_from_registers(answer.registers, kind, word_order="little") == value
        assert (await client.read_coils(5, count=1)).bits[0] is True
        assert (await client.read_discrete_inputs(5, count=1)).bits[0] is True
        assert (await client.read_holding_registers(210, count=2, device_id=9)).exception_code == 11
        client.close()
        assert floor.plcs["a"].seen.reads == {("holding", 210, 2): 1, ("coil", 5, 1): 1, ("discrete", 5, 1): 1}
        assert floor.plcs["b"].seen.requests == {3: 1}

    on_the_floor(do)


@pytest.mark.parametrize(("table", "address", "count"), [("holding", 209, 1), ("holding", 211, 2), ("coil", 4, 2)])
def test_what_is_not_mapped_is_refused_also_where_a_read_straddles(table: str, address: int, count: int) -> None:
    async def do(floor: Floor) -> None:
        client = await connected(floor.plcs["a"])
        read = client.read_coils if table == "coil" else client.read_holding_registers
        answer = await read(address, count=count)
        client.close()
        assert answer.exception_code == 2

    on_the_floor(do)


def test_a_controller_that_stops_at_an_unmapped_read() -> None:
    async def do(floor: Floor) -> None:
        plc = floor.plcs["a"]
        _, writer = await asyncio.open_connection("127.0.0.1", plc.gate.port)
        writer.write(bytes.fromhex("0001 0000 0006 01 01 0063 0001"))
        await until(lambda: plc.seen.total == 1 and not plc.seen.open)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", plc.gate.port)

    on_the_floor(do, LINE.replace('server_id = "FILLER"', 'unmapped = "stop"'))


def test_a_client_writes_as_into_a_real_plc() -> None:
    async def do(floor: Floor) -> None:
        plc = floor.plcs["a"]
        client = await connected(plc)
        await client.write_registers(210, [0, 0x4160])
        await client.write_coil(5, False)
        assert (await client.write_register(209, 1)).exception_code == 2
        client.close()
        assert (plc.value("fill_limit"), plc.value("lamp")) == (14.0, False)
        assert list(plc.seen.writes) == [("holding", 210, 2), ("coil", 5, 1), ("holding", 209, 1)]

    on_the_floor(do)


def test_two_plcs_of_one_process_say_who_they_are() -> None:
    async def do(floor: Floor) -> None:
        client = await connected(floor.plcs["a"])
        for unit, serial in ((1, b"SN-1"), (2, b"SN-0")):
            answer = await client.read_device_information(read_code=3, device_id=unit)
            assert answer.information == {0: b"ACME", 1: b"P-1", 2: b"2.4.1", 128: serial}
        one = await client.read_device_information(read_code=4, object_id=128, device_id=1)
        assert one.information == {128: b"SN-1"}
        assert (await client.read_device_information(read_code=4, object_id=5)).exception_code == 2
        assert set((await client.read_device_information(read_code=1)).information) == {0, 1, 2}
        assert (await client.report_device_id()).identifier == b"FILLER"
        client.close()

    on_the_floor(do)


def test_identity_that_does_not_fit_into_one_answer_comes_in_several() -> None:
    long = {f"object_{number}": str(number) * 60 for number in range(128, 134)}
    text = {
        "model": {"m": {"protocol": "modbus", "identity": {"manufacturer": "ACME", **long}}},
        "plc": {"p": {"model": "m"}},
    }

    async def run() -> None:
        async with Floor(parse(text)) as floor:
            client = await connected(floor.plcs["p"])
            found: dict[int, bytes] = {}
            first, more = 0, True
            while more:
                answer = await client.read_device_information(read_code=3, object_id=first)
                found |= answer.information
                first, more = answer.next_object_id, answer.more_follows == 0xFF
            client.close()
            assert found == {0: b"ACME"} | {int(name[7:]): value.encode() for name, value in long.items()}
            assert floor.plcs["p"].seen.requests == {43: 6}

    asyncio.run(run())


def test_what_varies_moves_by_itself_and_starts_again_after_a_restart() -> None:
    async def do(floor: Floor) -> None:
        plc = floor.plcs["a"]
        client = await connected(plc)
        await until(lambda: int(str(plc.value("uptime"))) > 30)
        await plc.apply({"restart": True, "identity": {"software_revision": "2.5.0"}})
        assert int(str(plc.value("uptime"))) < 30
        await until(lambda: not plc.seen.open)
        client.close()
        again = await connected(plc)
        answer = await again.read_device_information(read_code=1)
        assert answer.information[2] == b"2.5.0"
        again.close()

    on_the_floor(do)


def test_a_point_that_is_removed_is_refused_until_it_is_set_again() -> None:
    async def do(floor: Floor) -> None:
        client = await connected(floor.plcs["a"])
        await floor.apply({"plc": "a", "remove": ["recipe"]})
        assert (await client.read_holding_registers(220, count=4)).exception_code == 2
        await floor.apply(Event(plc="a", set={"recipe": "MINERAL"}))
        answer = await client.read_holding_registers(220, count=4)
        client.close()
        assert b"".join(word.to_bytes(2, "big") for word in answer.registers) == b"MINERAL\0"

    on_the_floor(do)


def test_an_event_that_does_not_fit_changes_nothing() -> None:
    async def do(floor: Floor) -> None:
        plc = floor.plcs["a"]
        for wrong in ({"set": {"fill_limit": 14.0, "limit": 1}}, {"set": {"fill_limit": 14.0}, "behave": "sulk"}):
            with pytest.raises(ScenarioError):
                await plc.apply(wrong)
        assert plc.value("fill_limit") == 12.0

    on_the_floor(do)


def test_events_are_played_in_their_order() -> None:
    events = '[[event]]\nat = 2\nplc = "a"\nset = { fill_limit = 3 }\n[[event]]\nat = 1\nplc = "b"\ndrop = true'
    told: list[tuple[float, str]] = []

    async def do(floor: Floor) -> None:
        await floor.play(lambda event: told.append((event.at, event.plc)), speed=100)
        assert floor.plcs["a"].value("fill_limit") == 3.0

    on_the_floor(do, LINE + events)
    assert told == [(1.0, "b"), (2.0, "a")]


def test_a_taken_port_is_named() -> None:
    async def run() -> None:
        async with Floor(parse(LINE), ports="free") as floor:
            taken = LINE.replace("15111", str(floor.plcs["a"].gate.port))
            with pytest.raises(PortTaken, match=f"port {floor.plcs['a'].gate.port} is taken"):
                await Floor(parse(taken)).__aenter__()

    asyncio.run(run())


def test_connections_are_counted_as_they_come_and_go() -> None:
    async def do(floor: Floor) -> None:
        seen = floor.plcs["a"].seen
        clients = [await connected(floor.plcs["a"]) for _ in range(3)]
        await until(lambda: seen.open == 3)
        for client in clients:
            client.close()
        await until(lambda: seen.open == 0)
        assert (seen.connections, seen.most_open) == (3, 3)

    on_the_floor(do)
