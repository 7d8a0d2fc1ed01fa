"""Every misbehaviour, seen at the bytes by raw sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from simulators.floor import Floor
from simulators.modbus_faults import BEHAVIOURS
from simulators.plc import Plc
from simulators.scenario import parse

LINE = """
[model.filler]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-1" }
point.fill_limit = { table = "holding", address = 210, type = "float32", word_order = "little", value = 12.0 }
[plc.a]
model = "filler"
"""
READ = bytes.fromhex("0007 0000 0006 01 03 00d2 0002")
HONEST = bytes.fromhex("0007 0000 0007 01 03 04 00004140")
IDENTIFY = bytes.fromhex("0009 0000 0005 01 2b 0e 01 00")
IDENTITY = bytes.fromhex("0009 0000 0013 01 2b 0e 01 81 00 00 02 00 04 41434d45 01 03 502d31")

REWRITTEN = {
    "honest": "0007 0000 0007 01 03 04 00004140",
    "exception:6": "0007 0000 0003 01 83 06",
    "wrong_function": "0007 0000 0007 01 04 04 00004140",
    "wrong_unit": "0007 0000 0007 02 03 04 00004140",
    "wrong_protocol": "0007 0001 0007 01 03 04 00004140",
    "too_few": "0007 0000 0005 01 03 02 0000",
    "too_many": "0007 0000 0009 01 03 06 00004140 1234",
    "short_count": "0007 0000 0007 01 03 02 00004140",
    "long_length": "0007 0000 006b 01 03 04 00004140",
    "stale_transaction": "fff8 0000 0007 01 03 04 00004140",
    "duplicate": "0007 0000 0007 01 03 04 00004140" * 2,
    "slow:0.05": "0007 0000 0007 01 03 04 00004140",
    "identity_loop": "0007 0000 0007 01 03 04 00004140",
    "identity_lies": "0007 0000 0007 01 03 04 00004140",
    "no_identity": "0007 0000 0007 01 03 04 00004140",
    "garbage": bytes(range(255, -1, -1)).hex(),
}
OTHERS = {"silent", "drip", "half", "reset", "hang_up", "endless"}  # each has a test of its own


class Line:
    """A raw connection to a PLC."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes, size: int) -> bytes:
        self.writer.write(request)
        async with asyncio.timeout(2):
            return await self.reader.readexactly(size)

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(0.1):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return True


async def line_to(plc: Plc) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", plc.gate.port))


def with_plc(do: Callable[[Plc], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Floor(parse(LINE)) as floor:
            await do(floor.plcs["a"])

    asyncio.run(run())


def test_every_behaviour_has_a_test() -> None:
    assert set(BEHAVIOURS) | {"honest"} == {name.partition(":")[0] for name in REWRITTEN} | OTHERS


@pytest.mark.parametrize("behave", REWRITTEN)
def test_the_answer_is_spoilt(behave: str) -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": behave})
        line = await line_to(plc)
        expected = bytes.fromhex(REWRITTEN[behave])
        begun = time.monotonic()
        assert await line.ask(READ, len(expected)) == expected
        if behave.startswith("slow:"):
            assert time.monotonic() - begun >= 0.05
        assert await line.hears_nothing()
        assert plc.seen.requests == {3: 1}
        line.writer.close()

    with_plc(do)


@pytest.mark.parametrize(
    ("behave", "answer"),
    [
        ("honest", IDENTITY.hex()),
        ("identity_loop", "0009 0000 0013 01 2b 0e 01 81 ff 00 02 00 04 41434d45 01 03 502d31"),
        ("identity_lies", "0009 0000 0013 01 2b 0e 01 81 00 00 02 00 ff 41434d45 01 03 502d31"),
        ("no_identity", "0009 0000 0004 01 ab 0e 01"),
    ],
)
def test_the_identity_is_spoilt(behave: str, answer: str) -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": behave})
        line = await line_to(plc)
        expected = bytes.fromhex(answer)
        assert await line.ask(IDENTIFY, len(expected)) == expected
        line.writer.close()

    with_plc(do)


def test_stale_transaction_is_that_of_the_answer_before() -> None:
    async def do(plc: Plc) -> None:
        line = await line_to(plc)
        await line.ask(READ, len(HONEST))
        await plc.apply({"behave": "stale_transaction"})
        assert await line.ask(b"\0\x08" + READ[2:], len(HONEST)) == HONEST
        line.writer.close()

    with_plc(do)


def test_silent_reads_counts_and_never_answers_and_recovers() -> None:
    async def do(plc: Plc) -> None:
        line = await line_to(plc)
        await plc.apply({"behave": "silent", "for": 0.3})
        line.writer.write(READ + READ)
        assert await line.hears_nothing()
        assert plc.seen.requests == {3: 2}
        while plc.behaviour != "honest":
            await asyncio.sleep(0.01)
        assert await line.ask(READ, len(HONEST)) == HONEST
        line.writer.close()

    with_plc(do)


def test_drip_comes_byte_by_byte() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "drip"})
        line = await line_to(plc)
        line.writer.write(READ)
        begun = time.monotonic()
        assert [await line.reader.read(99) for _ in range(3)] == [HONEST[0:1], HONEST[1:2], HONEST[2:3]]
        assert time.monotonic() - begun >= 0.35
        line.writer.close()

    with_plc(do)


def test_half_an_answer_and_then_silence() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "half"})
        line = await line_to(plc)
        assert await line.ask(READ, len(HONEST) // 2) == HONEST[: len(HONEST) // 2]
        assert await line.hears_nothing()
        line.writer.close()

    with_plc(do)


def test_reset_in_the_middle_of_an_answer() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "reset"})
        line = await line_to(plc)
        assert await line.ask(READ, len(HONEST) // 2) == HONEST[: len(HONEST) // 2]
        with pytest.raises(ConnectionResetError):
            await line.reader.read(1)

    with_plc(do)


def test_hang_up_answers_and_closes() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "hang_up"})
        line = await line_to(plc)
        assert await line.ask(READ, len(HONEST)) == HONEST
        assert await line.reader.read(1) == b""
        line.writer.close()

    with_plc(do)


def test_endless_floods_until_the_client_leaves() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "endless"})
        line = await line_to(plc)
        assert len(await line.ask(READ, 1 << 20)) == 1 << 20
        line.writer.transport.abort()
        async with asyncio.timeout(2):
            while plc.seen.open:
                await asyncio.sleep(0.01)

    with_plc(do)


def test_refuse_drops_everybody_and_opens_again_on_the_same_port() -> None:
    async def do(plc: Plc) -> None:
        port = plc.gate.port
        line = await line_to(plc)
        await line.ask(READ, len(HONEST))
        await plc.apply({"behave": "refuse"})
        with pytest.raises(ConnectionResetError):
            await line.reader.read(1)
        with pytest.raises(ConnectionRefusedError):
            await line_to(plc)
        await plc.apply({"behave": "honest"})
        assert plc.gate.port == port
        assert await (await line_to(plc)).ask(READ, len(HONEST)) == HONEST
        assert plc.seen.connections == 2

    with_plc(do)


def test_close_accepts_and_closes_at_once() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"behave": "close"})
        line = await line_to(plc)
        assert await line.reader.read(1) == b""
        assert (plc.seen.connections, plc.seen.total) == (1, 0)

    with_plc(do)


def test_restart_for_a_while_refuses_for_that_while() -> None:
    async def do(plc: Plc) -> None:
        await plc.apply({"restart": True, "for": 0.2})
        with pytest.raises(ConnectionRefusedError):
            await line_to(plc)
        while plc.behaviour != "honest":
            await asyncio.sleep(0.01)
        assert await (await line_to(plc)).ask(READ, len(HONEST)) == HONEST

    with_plc(do)


def test_what_is_no_modbus_is_counted_and_the_line_closed() -> None:
    async def do(plc: Plc) -> None:
        line = await line_to(plc)
        line.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await line.reader.read(1) == b""
        assert (plc.seen.malformed, plc.seen.total) == (1, 0)

    with_plc(do)


def test_requests_sent_in_one_go_are_answered_one_after_the_other() -> None:
    async def do(plc: Plc) -> None:
        line = await line_to(plc)
        second = b"\0\x08" + READ[2:]
        assert await line.ask(READ + second, 2 * len(HONEST)) == HONEST + b"\0\x08" + HONEST[2:]
        assert await line.hears_nothing()
        line.writer.close()

    with_plc(do)
