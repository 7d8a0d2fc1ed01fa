"""The Modbus collector against simulated PLCs that tell the truth, and against those that do not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from baselines.snapshot import Snapshot
from collectors.address import parse_address
from collectors.collector import CollectError, Poll, Target, poll
from collectors.metering import Meter
from collectors.modbus import ModbusCollector
from collectors.modbus.link import Forbidden, Link
from collectors.profile import Profile, Profiles, parse_profile
from simulators.floor import Floor
from simulators.plc import Plc
from simulators.scenario import parse

SCENARIO = """
name = "one"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1", object_128 = "SN-9" }
server_id = "ACME P-9"
[model.p9.point]
mode    = { table = "holding", address = 100, type = "uint16", value = 3 }
crc     = { table = "holding", address = 101, type = "bytes", count = 2, value = "deadbeef" }
limit   = { table = "holding", address = 210, type = "float32", word_order = "little", value = 12.3 }
recipe  = { table = "input", address = 7, type = "string", count = 4, value = "STILL" }
forced  = { table = "coil", address = 3, type = "bool", value = true }
key     = { table = "discrete", address = 9, type = "bool", value = false }
[plc.plc]
model = "p9"
unit = 1
port = 15021
"""
PROFILE = {
    "name": "p9",
    "match": {"manufacturer": "ACME", "product_code": "P-9"},
    "identity": {"serial_number": "object_128"},
    "limits": {"requests_per_second": 1000, "timeout": "300ms"},
    "item": {
        "mode": {"table": "holding", "address": 100, "type": "uint16", "values": {"3": "RUN"}},
        "crc": {"table": "holding", "address": 101, "type": "bytes", "count": 2},
        "limit": {"table": "holding", "address": 210, "type": "float32", "word_order": "little"},
        "recipe": {"table": "input", "address": 7, "type": "string", "count": 4},
        "forced": {"table": "coil", "address": 3},
        "key": {"table": "discrete", "address": 9},
    },
}
TRUTH = {
    "identity.manufacturer": "ACME",
    "identity.product_code": "P-9",
    "identity.serial_number": "SN-9",
    "identity.software_revision": "2.4.1",
    "item.crc": "deadbeef",
    "item.forced": True,
    "item.key": False,
    "item.limit": 12.3,
    "item.mode": "RUN",
    "item.recipe": "STILL",
}


def clock() -> datetime:
    return datetime.now(UTC)


def profile(**limits: object) -> Profile:
    written = dict(PROFILE, limits={**PROFILE["limits"], **limits})  # type: ignore[dict-item]
    return parse_profile(written, "p9.toml")


class Bench:
    """One simulated PLC and one collector on it."""

    def __init__(self, plc: Plc, profiles: Profiles) -> None:
        self.plc = plc
        self.collector = ModbusCollector(profiles, clock)
        self.target = Target("filler", parse_address(plc.address), "p9")

    async def poll(self) -> Poll:
        return await poll(self.collector, self.target)

    async def snapshot(self) -> Snapshot:
        outcome = (await self.poll()).outcome
        assert isinstance(outcome, Snapshot), outcome
        return outcome

    async def failure(self) -> CollectError:
        outcome = (await self.poll()).outcome
        assert isinstance(outcome, CollectError), outcome
        return outcome


def on_bench(scene: Callable[[Bench], Awaitable[None]], used: Profile | None = None) -> None:
    """Play a scene with a fresh PLC."""

    async def play() -> None:
        async with Floor(parse(SCENARIO), ports="free") as floor:
            bench = Bench(floor.plcs["plc"], Profiles([used or profile()]))
            try:
                await asyncio.wait_for(scene(bench), 20)
            finally:
                await bench.collector.close()

    asyncio.run(play())


def shown(snapshot: Snapshot) -> dict[str, object]:
    return {item.key: item.shown for item in snapshot.items}


def test_reads_identity_and_every_table_with_as_few_requests_as_can_be() -> None:
    async def scene(bench: Bench) -> None:
        found = await bench.poll()
        assert isinstance(found.outcome, Snapshot)
        assert shown(found.outcome) == TRUTH
        assert not found.outcome.unread
        assert bench.plc.seen.requests == {43: 1, 1: 1, 2: 1, 3: 2, 4: 1}
        assert (found.sent.connections, found.sent.requests) == (1, 6)
        assert (bench.plc.seen.connections, bench.plc.seen.total) == (1, 6)

    on_bench(scene)


def test_keeps_its_one_connection_and_the_same_bytes_are_the_same_snapshot() -> None:
    async def scene(bench: Bench) -> None:
        first, second = await bench.snapshot(), await bench.snapshot()
        assert first.digest == second.digest
        assert second.taken_at > first.taken_at
        assert bench.plc.seen.connections == 1
        await bench.plc.apply({"set": {"limit": 14.0}})
        assert shown(await bench.snapshot()) == TRUTH | {"item.limit": 14.0}

    on_bench(scene)


def test_reads_only_what_is_mapped() -> None:
    async def scene(bench: Bench) -> None:
        await bench.snapshot()
        assert set(bench.plc.seen.reads) == {
            ("holding", 100, 3),
            ("holding", 210, 2),
            ("input", 7, 4),
            ("coil", 3, 1),
            ("discrete", 9, 1),
        }
        assert not bench.plc.seen.writes

    on_bench(scene)


def test_auto_chooses_the_profile_by_identity() -> None:
    async def scene(bench: Bench) -> None:
        bench.target = Target("filler", bench.target.address, "auto")
        found = await bench.snapshot()
        assert shown(found) == TRUTH
        assert found.profile == profile().digest

    on_bench(scene)


def test_server_id_is_asked_for_only_where_the_profile_says_so() -> None:
    async def scene(bench: Bench) -> None:
        assert shown(await bench.snapshot())["identity.server_id"] == "ACME P-9"
        assert bench.plc.seen.requests[17] == 1

    on_bench(scene, profile(report_server_id=True))


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("silent", "unreachable"),
        ("refuse", "unreachable"),
        ("reset", "unreachable"),
        ("close", "unreachable"),
        ("half", "unreachable"),
        ("drip", "unreachable"),
        ("exception:11", "unreachable"),
        ("exception:4", "refused"),
        ("exception:1", "refused"),
        ("wrong_function", "malformed"),
        ("wrong_unit", "malformed"),
        ("wrong_protocol", "malformed"),
        ("short_count", "malformed"),
        ("long_length", "unreachable"),
        ("too_few", "malformed"),
        ("too_many", "malformed"),
        ("stale_transaction", "malformed"),
        ("duplicate", "malformed"),
        ("endless", "malformed"),
        ("garbage", "malformed"),
        ("identity_loop", "malformed"),
        ("identity_lies", "malformed"),
    ],
)
def test_a_lie_is_an_error_and_never_a_value(behaviour: str, kind: str) -> None:
    async def scene(bench: Bench) -> None:
        await bench.plc.apply({"behave": behaviour})
        before = bench.plc.seen.total
        found = await bench.poll()
        assert isinstance(found.outcome, CollectError), found.outcome
        assert found.outcome.kind == kind, found.outcome.text
        assert found.sent.requests <= 7
        assert found.sent.connections <= 2
        assert bench.plc.seen.total - before <= found.sent.requests
        await bench.plc.apply({"behave": "honest"})
        assert shown(await bench.snapshot()) == TRUTH

    on_bench(scene)


def test_what_the_device_refuses_is_unread_and_the_rest_is_read() -> None:
    async def scene(bench: Bench) -> None:
        snapshot = await bench.snapshot()
        assert [gap.key for gap in snapshot.unread] == ["item.gone"]
        assert snapshot.unread[0].why == "holding 300: exception 2 (illegal data address)"
        assert shown(snapshot) == TRUTH

    items = {**PROFILE["item"], "gone": {"table": "holding", "address": 300, "type": "uint16"}}  # type: ignore[dict-item]
    on_bench(scene, parse_profile({**PROFILE, "item": items}, "p9.toml"))


def test_silence_half_way_leaves_the_rest_unread() -> None:
    async def scene(bench: Bench) -> None:
        polling = asyncio.create_task(bench.poll())
        while bench.plc.seen.total < 2:
            await asyncio.sleep(0.001)
        await bench.plc.apply({"behave": "silent"})
        outcome = (await polling).outcome
        assert isinstance(outcome, Snapshot)
        assert "identity.manufacturer" in shown(outcome)
        assert outcome.unread
        assert set(shown(outcome)) | {gap.key for gap in outcome.unread} == set(TRUTH)

    on_bench(scene, profile(requests_per_second=10))


def test_a_connection_that_the_device_dropped_meanwhile_is_no_outage() -> None:
    async def scene(bench: Bench) -> None:
        await bench.snapshot()
        await bench.plc.apply({"restart": True})
        assert shown(await bench.snapshot()) == TRUTH
        assert bench.plc.seen.connections == 2

    on_bench(scene)


def test_a_device_that_takes_one_client_at_a_time_is_let_go_after_each_poll() -> None:
    async def scene(bench: Bench) -> None:
        await bench.snapshot()
        async with asyncio.timeout(2):
            while bench.plc.seen.open:
                await asyncio.sleep(0.01)
        await bench.snapshot()
        assert (bench.plc.seen.connections, bench.plc.seen.most_open) == (2, 1)

    on_bench(scene, profile(close_after_poll=True))


def test_never_more_requests_a_second_than_the_contract_allows() -> None:
    async def scene(bench: Bench) -> None:
        for _ in range(3):
            await bench.snapshot()
        assert bench.plc.seen.busiest(1.0) <= 10
        await bench.plc.apply({"behave": "silent"})
        for _ in range(3):
            await bench.failure()
        assert bench.plc.seen.busiest(1.0) <= 10

    on_bench(scene, profile(requests_per_second=10, timeout="100ms"))


def test_units_behind_one_port_share_one_connection() -> None:
    async def play() -> None:
        scenario = SCENARIO + '[plc.second]\nmodel = "p9"\nunit = 2\nport = 15021\nvalues = { limit = 1.5 }\n'
        async with Floor(parse(scenario), ports="free") as floor:
            collector = ModbusCollector(Profiles([profile()]), clock)
            targets = [Target(name, parse_address(plc.address), "p9") for name, plc in floor.plcs.items()]
            found = await asyncio.gather(*(poll(collector, target) for target in targets))
            limits = [shown(each.outcome)["item.limit"] for each in found if isinstance(each.outcome, Snapshot)]
            assert limits == [12.3, 1.5]
            assert [each.sent.requests for each in found] == [6, 6]
            assert floor.plcs["plc"].seen.connections == 1
            await collector.close()

    asyncio.run(play())


@pytest.mark.parametrize("function", [0, 5, 6, 7, 8, 11, 12, 15, 16, 20, 21, 22, 23, 24, 90, 100, 127])
def test_the_guard_lets_no_other_function_out(function: int) -> None:
    async def scene(bench: Bench) -> None:
        meter = Meter(allowed=1)
        _, link = await asyncio.get_running_loop().create_connection(lambda: Link(meter), *bench.target.address.device)
        with pytest.raises(Forbidden):
            await link.ask("filler", 1, bytes([function, 0, 0, 0, 1]), 1)
        with pytest.raises(Forbidden):
            await link.ask("filler", 1, bytes([43, 13, 0, 0]), 1)
        assert (await link.ask("filler", 1, bytes([3, 0, 100, 0, 1]), 1)) == bytes([3, 2, 0, 3])
        assert bench.plc.seen.requests == {3: 1}
        counts = meter.take()
        assert counts.forbidden == Counter(f"function {each} is no read; nothing was sent" for each in (function, 43))
        assert (counts.requests, counts.bytes_sent) == ({"FC 3": 1}, 12)
        link.close()

    on_bench(scene)


def test_a_device_that_refuses_identification_is_not_asked_again_over_the_same_connection() -> None:
    async def scene(bench: Bench) -> None:
        await bench.plc.apply({"behave": "no_identity"})
        first, second = await bench.snapshot(), await bench.snapshot()
        assert shown(first) == shown(second) == {key: value for key, value in TRUTH.items() if key.startswith("item.")}
        assert bench.plc.seen.requests[43] == 1
        await bench.plc.apply({"behave": "honest", "restart": True})
        assert shown(await bench.snapshot()) == TRUTH

    on_bench(scene)


def test_units_that_wait_while_their_device_is_out_of_reach_share_the_finding() -> None:
    async def scene(bench: Bench) -> None:
        await bench.plc.apply({"behave": "refuse"})
        host, port = bench.target.address.device
        targets = [Target(f"unit{unit}", parse_address(f"modbus://{host}:{port}/{unit}"), "p9") for unit in range(9)]
        found = await asyncio.gather(*(poll(bench.collector, target) for target in targets))
        assert {each.outcome.kind for each in found if isinstance(each.outcome, CollectError)} == {"unreachable"}
        assert sum(each.sent.connections for each in found) == 1

    on_bench(scene)
