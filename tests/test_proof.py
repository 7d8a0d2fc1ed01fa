"""The long proofs: small in `make test`, in full in `make proof`."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from baselines.drift import compare
from baselines.snapshot import Snapshot
from collectors.address import parse_address
from collectors.collector import CollectError, Target, poll
from collectors.modbus import ModbusCollector
from collectors.modbus.identification import decode_page, decode_server_id
from collectors.modbus.registers import decode, plan
from collectors.opcua import services
from collectors.profile import Profiles, parse_profile
from collectors.uabinary import FAULTS, Reader
from simulators.floor import Floor
from simulators.scenario import parse
from tests.floors import TWO, PlantFolder, RunningFloor, wait_for
from tests.measured import note, times
from tests.test_modbus import PROFILE as EVERY_TABLE

SLOWEST = 0.1  # seconds that one input may take

PAGE = bytes.fromhex("2b0e0383000003000441434d450103502d310205322e342e31")
SERVER_ID = b"\x11\x09ACME P-1\xff"


def mutated(recorded: bytes, chance: random.Random) -> bytes:
    """A recorded answer with a few bytes changed, cut, doubled or made up."""
    data = bytearray(recorded)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at:]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(9))
            case 3:
                data[at:at] = data[: chance.randrange(9)]
            case _:
                data[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0")
                )
    return bytes(data)


def fuzz(name: str, recorded: bytes, decoder: Callable[[bytes], object], allowed: tuple[type[Exception], ...]) -> None:
    """Feed a decoder mutations: only the errors that it says may come out, and each at once."""
    chance, inputs, slowest = random.Random(name), times(2_000, 1_000_000), 0.0
    for _ in range(inputs):
        data = mutated(recorded, chance)
        began = time.perf_counter()
        with suppress(*allowed):
            decoder(data)
        slowest = max(slowest, time.perf_counter() - began)
    note(f"no other error escapes: {name}", inputs=inputs, ms_for_the_slowest=round(1000 * slowest, 1))
    assert slowest < SLOWEST


def test_no_modbus_identification_breaks_its_decoder() -> None:
    fuzz("FC 43/14", PAGE, lambda data: decode_page.__wrapped__(data + b"\0\0"), (ValueError,))
    fuzz("FC 17", SERVER_ID, lambda data: decode_server_id(data + b"\0\0"), (ValueError,))


def test_no_register_answer_breaks_its_decoder() -> None:
    block = plan(parse_profile(EVERY_TABLE, "p9.toml"))[2]
    size = 2 * block.count
    fuzz("FC 3", bytes([3, size]) + bytes(size), lambda data: decode(block, data), (ValueError,))


OPC_UA_VALUES = bytes.fromhex(
    "03000000"  # three values: a string, a double, an array of integers with its status
    "010c05000000322e342e31"
    "010b0000000000002940"
    "0386030000000100000002000000040000000000b080"
)


def test_no_opc_ua_answer_breaks_its_decoder() -> None:
    def read(data: bytes) -> object:
        return services.read_values(Reader(data, ("urn:a", "urn:b")), 3)

    assert len(services.read_values(Reader(OPC_UA_VALUES), 3)) == 3
    fuzz("OPC UA Read", OPC_UA_VALUES, read, FAULTS)


LIES = (
    *("silent", "reset", "close", "half", "exception:4", "wrong_function", "wrong_unit", "too_few", "too_many"),
    *("short_count", "stale_transaction", "duplicate", "garbage", "identity_lies", "identity_loop"),
)


def test_no_loss_and_no_lie_is_ever_taken_for_a_change() -> None:
    async def play() -> None:
        chance, polls, outcomes = random.Random(7), times(300, 20_000), Counter[str]()
        written = {**EVERY_TABLE, "limits": {"requests_per_second": 100_000, "timeout": "20ms"}}
        async with Floor(parse(TWO), ports="free") as floor:
            plc = floor.plcs["line1/filler"]
            written["item"] = {key: EVERY_TABLE["item"][key] for key in ("mode", "crc")}  # type: ignore[index]
            collector = ModbusCollector(Profiles([parse_profile(written, "p9.toml")]), lambda: datetime.now(UTC))
            target = Target("filler", parse_address(plc.address), "p9")
            approved = (await poll(collector, target)).outcome
            assert isinstance(approved, Snapshot)
            for _ in range(polls):
                await plc.behave(chance.choice(LIES) if chance.random() < 0.4 else "honest")
                outcome = (await poll(collector, target)).outcome
                if isinstance(outcome, CollectError):
                    outcomes[outcome.kind] += 1
                else:
                    outcomes["read in part" if outcome.unread else "read"] += 1
                    assert compare(approved, outcome) == ()
            await collector.close()
        assert outcomes["read"] > polls * 0.4
        note("no loss and no lie is taken for a change", polls=polls, **{kind: outcomes[kind] for kind in outcomes})

    asyncio.run(play())


def test_kill_9_at_any_moment_loses_nothing_that_was_said(plant: PlantFolder, floor: RunningFloor) -> None:
    """Approvals, acknowledgements and alarms that a command has shown are there after every kill."""
    chance, kills = random.Random(9), times(4, 100)
    plant.commissioned()
    shown: dict[int, str] = {}
    for turn in range(kills):
        with plant.daemon() as daemon:
            floor.apply("line1/filler", set={"limit": 20.0 + turn})
            alerts = plant.asbuilt("alerts", "list", "--json").json["alerts"]
            for alert in alerts:
                if alert["state"] == "UNACK" and chance.random() < 0.5:
                    assert plant.asbuilt("alerts", "ack", str(alert["id"]), "--reason", "seen").code in (0, 2)
            time.sleep(chance.random())
            daemon.kill()
            daemon.wait()
        alerts = plant.asbuilt("alerts", "list", "--all", "--json").json["alerts"]
        items = Counter((alert["asset"], alert["item"]) for alert in alerts if alert["state"] != "NORMAL")
        assert all(count == 1 for count in items.values()), items
        assert set(shown) <= {alert["id"] for alert in alerts}
        shown = {alert["id"]: alert["state"] for alert in alerts}
        assert plant.asbuilt("verify").code == 0
    wait_for(lambda: plant.asbuilt("check").code == 1, "the drift to be seen after the last kill")
    note("kill -9 of the daemon loses nothing that was said", kills=kills, alarms=len(shown))
