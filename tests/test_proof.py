"""The long proofs: small in `make test`, in full in `make proof`."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import tomllib
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
from tests.floors import TWO
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


class Unsteady(asyncio.Protocol):
    """A device with a block of registers that never change; of its answers a few are lost, late, torn or wrong."""

    def __init__(self, chance: random.Random, spoilt: float) -> None:
        self._chance, self._spoilt = chance, spoilt

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        transaction, _, _, unit, function, address, count = struct.unpack_from(">HHHBBHH", data)
        registers = b"".join(struct.pack(">H", 7 * address + number) for number in range(count))
        answer = struct.pack(">HHHBBB", transaction, 0, 3 + len(registers), unit, function, len(registers)) + registers
        if self._chance.random() < self._spoilt:
            return self._spoil(answer)
        return self._transport.write(answer)

    def _spoil(self, answer: bytes) -> None:
        match self._chance.randrange(9):
            case 0:
                return None  # lost
            case 1:
                return self._transport.abort()
            case 2:
                answer = answer[:-2]
            case 3:
                answer = bytes([answer[0] ^ 1]) + answer[1:]  # of another transaction
            case 4:
                answer = answer[:7] + bytes([answer[7] ^ 7]) + answer[8:]  # of another function
            case 5:
                answer = answer[:8] + bytes([answer[8] ^ 2]) + answer[9:]  # of another size
            case 6:
                answer = answer[:5] + b"\x03" + answer[6:7] + bytes([answer[7] | 0x80, 4])  # an exception
            case 7:
                answer = answer[:6] + bytes([answer[6] ^ 1]) + answer[7:]  # of another unit
            case _:
                answer = self._chance.randbytes(len(answer))
        return self._transport.write(answer)


STEADY = """
name = "steady"
limits = { requests_per_second = 100000, timeout = "300ms", read_identity = false }
item.a = { table = "holding", address = 100, type = "uint32" }
item.b = { table = "holding", address = 102, type = "float32" }
"""


def test_millions_of_unchanged_polls_with_loss_and_wrong_answers_are_no_change() -> None:
    devices, spoilt, polls = 64, 0.01, times(3_200, 2_000_000)

    async def play() -> None:
        loop, outcomes, began = asyncio.get_running_loop(), Counter[str](), time.monotonic()
        profiles = Profiles([parse_profile(tomllib.loads(STEADY), "steady.toml")])
        collector = ModbusCollector(profiles, lambda: datetime.now(UTC))
        chance = random.Random(3)
        servers = [await loop.create_server(lambda: Unsteady(chance, spoilt), "127.0.0.1", 0) for _ in range(devices)]

        async def watch(number: int, server: asyncio.Server) -> None:
            port = server.sockets[0].getsockname()[1]
            target = Target(f"plc{number}", parse_address(f"modbus://127.0.0.1:{port}/1"), "steady")
            approved: Snapshot | None = None
            for _ in range(polls // devices):
                outcome = (await poll(collector, target)).outcome
                if isinstance(outcome, CollectError):
                    outcomes[outcome.kind] += 1
                    continue
                outcomes["read in part" if outcome.unread else "read"] += 1
                approved = approved if approved or outcome.unread else outcome
                assert approved is None or compare(approved, outcome) == ()

        await asyncio.gather(*(watch(number, server) for number, server in enumerate(servers)))
        await collector.close()
        for server in servers:
            server.close()
        assert outcomes["read"] > polls * 0.5
        assert outcomes["malformed"] + outcomes["unreachable"] > 0
        note(
            "unchanged polls with loss, time-outs and wrong answers: no false deviation",
            **outcomes,
            seconds=round(time.monotonic() - began),
        )

    asyncio.run(play())
