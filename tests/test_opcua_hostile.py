"""The OPC UA collector before servers that lie, stall, flood, forget and refuse."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_to_binary

from collectors.collector import Malformed, Poll, Refused, Unreachable, poll
from collectors.opcua import Lifetimes, services
from collectors.opcua.channel import Channel, Forbidden
from collectors.opcua.security import NONE, Keys
from collectors.opcua.services import Request
from tests.opcua_servers import chunk, collector_of, endpoint, fake, now, profile_of, serving, target_of, until, values

NODES = {f"n{number}": f"nsu=urn:fake;i={number}" for number in range(10)}


def status(name: str) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(getattr(StatusCodes, name)))


async def polled(address: str, timeout: str = "2s", **limits: Any) -> Poll:
    collector = collector_of(profile_of(NODES, timeout=timeout, **limits))
    try:
        return await poll(collector, target_of(address))
    finally:
        await collector.close()


def test_a_fake_that_is_honest_is_read() -> None:
    async def main() -> None:
        async with fake() as server:
            result = await polled(server.address)
            assert not isinstance(result.outcome, Exception)
            assert result.outcome.by_key["item.n3"].value == 1
            assert result.outcome.unread == ()
            assert await until(lambda: server.open == 0)
            assert server.requests["CloseSession"] == server.requests["CLO"] == 1

    asyncio.run(main())


async def endless(writer: asyncio.StreamWriter) -> None:
    """Intermediate pieces for ever."""
    sequence = 100
    while True:
        sequence += 1
        writer.write(chunk(b"MSG", bytes(60_000), sequence, 3, b"C"))
        await writer.drain()


async def numbered_endless(writer: asyncio.StreamWriter) -> None:
    """The same, with right sequence numbers, in the answer to the first request after OpenSecureChannel."""
    sequence = 1
    while True:
        sequence += 1
        writer.write(chunk(b"MSG", bytes(60_000), sequence, 2, b"C"))
        await writer.drain()


async def two_gigabytes(writer: asyncio.StreamWriter) -> None:
    writer.write(b"MSGF" + struct.pack("<I", 0x7FFFFFFF))
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    for byte in chunk(b"MSG", bytes(60_000), 2, 2):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


def raw(data: bytes) -> Callable[[Any], bytes]:
    return lambda _: data


def nulls(_: Any) -> ua.ReadResponse:
    return ua.ReadResponse(Results=[ua.DataValue(ua.Variant(1))] * 7)


def two_milliard_nulls(_: Any) -> bytes:
    """A well-formed message whose one value is an array of nulls, which take no byte."""
    header = struct_to_binary(ua.ReadResponse(ResponseHeader=ua.ResponseHeader(RequestHandle=6)))[:-8]
    return chunk(b"MSG", header + struct.pack("<i", 3) + b"\x01\x80" + struct.pack("<i", 2**31 - 1), 5, 6)


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("garbage instead of a greeting", {"HEL": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")}),
    ("a greeting that is too short", {"HEL": raw(b"ACKF" + struct.pack("<II", 12, 0))}),
    ("buffers of nothing", {"HEL": raw(b"ACKF" + struct.pack("<6I", 28, 0, 0, 0, 0, 0))}),
    ("a message of another kind", {"HEL": raw(chunk(b"MSG", b"", 1, 1))}),
    ("pieces without end", {"GetEndpoints": lambda _: endless}),
    ("pieces without end, in order", {"GetEndpoints": lambda _: numbered_endless}),
    ("a piece of two gigabytes", {"GetEndpoints": lambda _: two_gigabytes}),
    ("a piece of no size", {"GetEndpoints": raw(b"MSGF" + struct.pack("<I", 0))}),
    ("garbage in a piece", {"GetEndpoints": raw(chunk(b"MSG", b"\xff" * 40, 2, 2))}),
    ("the answer to another request", {"GetEndpoints": raw(chunk(b"MSG", b"\x00" * 40, 2, 77))}),
    ("another answer", {"GetEndpoints": lambda _: ua.ReadResponse()}),
    ("too few values", {"Read": nulls}),
    ("values that take no byte", {"Read": two_milliard_nulls}),
    ("two answers", {"HEL": raw((b"ACKF" + struct.pack("<6I", 28, 0, 65536, 65536, 0, 0)) * 2)}),
    ("a lying array of endpoints", {"GetEndpoints": raw(chunk(b"MSG", b"\x01\x00\xaf\x01" + bytes(24), 2, 2))}),
]


@pytest.mark.parametrize("answers", [case for _, case in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_server_that_breaks_the_protocol_is_malformed_at_once(answers: dict[str, Any]) -> None:
    async def main() -> None:
        async with fake(**answers) as server:
            tracemalloc.start()
            result = await polled(server.address)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert isinstance(result.outcome, Malformed), result.outcome
            assert result.seconds < 2
            assert peak < 32 << 20
            assert await until(lambda: server.open == 0)

    asyncio.run(main())


SILENT: list[tuple[str, dict[str, Any]]] = [
    ("no greeting", {"HEL": lambda _: None}),
    ("no channel", {"OpenSecureChannel": lambda _: None}),
    ("no session", {"CreateSession": lambda _: None}),
    ("drop by drop", {"GetEndpoints": lambda _: dripping}),
]


@pytest.mark.parametrize("answers", [case for _, case in SILENT], ids=[name for name, _ in SILENT])
def test_a_server_that_stays_silent_is_unreachable_in_time(answers: dict[str, Any]) -> None:
    async def main() -> None:
        async with fake(**answers) as server:
            result = await polled(server.address, timeout="300ms")
            assert isinstance(result.outcome, Unreachable)
            assert result.outcome.text == "no answer within 0.3 s"
            assert result.seconds < 1
            assert result.sent.connections == 1
            assert await until(lambda: server.open == 0)

    asyncio.run(main())


def test_nobody_there() -> None:
    async def main() -> None:
        async with serving(lambda reader, writer: asyncio.sleep(0)) as port:
            pass
        result = await polled(f"opc.tcp://127.0.0.1:{port}")
        assert isinstance(result.outcome, Unreachable)
        assert "connection refused" in result.outcome.text
        assert result.sent.connections == 1

    asyncio.run(main())


REFUSALS = [
    ("CreateSession", "BadTooManySessions", "all sessions of the server are taken"),
    ("ActivateSession", "BadUserAccessDenied", "refused the user name or password: check user and password_env"),
    ("ActivateSession", "BadIdentityTokenRejected", "refused the user name or password"),
    ("OpenSecureChannel", "BadSecurityChecksFailed", "list of trusted clients"),
    ("Read", "BadServerHalted", "has stopped"),
    ("Read", "BadOutOfMemory", "says no (BadOutOfMemory)"),
]


@pytest.mark.parametrize(("service", "code", "sentence"), REFUSALS)
def test_a_refusal_is_a_sentence(service: str, code: str, sentence: str) -> None:
    async def main() -> None:
        async with fake(**{service: lambda _: status(code)}) as server:
            result = await polled(server.address)
            assert isinstance(result.outcome, Refused)
            assert sentence in result.outcome.text
            assert code in result.outcome.text
            assert await until(lambda: server.open == 0)
            assert server.requests["CLO"] == (service != "OpenSecureChannel")  # left in good order
            assert server.requests["CloseSession"] == (service in ("ActivateSession", "Read"))

    asyncio.run(main())


def test_without_a_name_where_names_are_wanted() -> None:
    def names_only(_: Any) -> Any:
        described = endpoint()
        described.UserIdentityTokens = [ua.UserTokenPolicy(PolicyId="u", TokenType=ua.UserTokenType.UserName)]
        return ua.GetEndpointsResponse(Endpoints=[described])

    async def main() -> None:
        async with fake(GetEndpoints=names_only) as server:
            result = await polled(server.address)
            assert isinstance(result.outcome, Refused)
            assert "set user and password_env of the asset" in result.outcome.text
            assert server.requests["ActivateSession"] == 0
            assert server.requests["CloseSession"] == 1

    asyncio.run(main())


def test_an_error_message_is_a_refusal_too() -> None:
    error = struct.pack("<I", StatusCodes.BadTcpServerTooBusy) + struct.pack("<i", 4) + b"full"
    message = b"ERRF" + struct.pack("<I", 8 + len(error)) + error

    async def main() -> None:
        async with fake(HEL=raw(message)) as server:
            result = await polled(server.address)
            assert isinstance(result.outcome, Refused)
            assert "all sessions" in result.outcome.text
            assert "full" in result.outcome.text

    asyncio.run(main())


def test_silence_half_way_leaves_the_rest_unread() -> None:
    reads = 0

    def two(request: Any) -> Any:
        nonlocal reads
        reads += 1
        return values(request, {}) if reads <= 6 else None

    async def main() -> None:
        async with fake(Read=two) as server:
            result = await polled(server.address, timeout="300ms", nodes_per_read=2)
            assert not isinstance(result.outcome, Exception)
            unread = {gap.key: gap.why for gap in result.outcome.unread}
            assert unread == {f"item.n{number}": "no answer within 0.3 s" for number in range(1, 10)}
            assert result.outcome.by_key["item.n0"].value == 1
            assert await until(lambda: server.open == 0)

    asyncio.run(main())


def test_a_session_that_the_server_forgot_is_replaced_once() -> None:
    forgets = False

    def forgetful(request: Any) -> Any:
        nonlocal forgets
        if forgets:
            forgets = False
            return status("BadSessionIdInvalid")
        return values(request, {})

    async def main() -> None:
        nonlocal forgets
        async with fake(Read=forgetful) as server:
            collector = collector_of(profile_of(NODES))
            target = target_of(server.address)
            first = await poll(collector, target)
            forgets = True
            second = await poll(collector, target)
            assert not isinstance(first.outcome, Exception)
            assert not isinstance(second.outcome, Exception)
            assert second.outcome.digest == first.outcome.digest
            assert second.sent.connections == 1
            await collector.close()

    asyncio.run(main())


def test_a_session_that_is_always_forgotten_is_not_tried_for_ever() -> None:
    async def main() -> None:
        async with fake(Read=lambda _: status("BadSessionIdInvalid")) as server:
            result = await polled(server.address)
            assert isinstance(result.outcome, Refused)
            assert result.sent.connections == 1

    asyncio.run(main())


def test_a_read_that_is_too_much_is_halved_and_stays_so() -> None:
    def at_most_four(request: Any) -> Any:
        answer = values(request, {})
        return answer if len(answer.Results) <= 4 else status("BadTooManyOperations")

    async def main() -> None:
        async with fake(Read=at_most_four) as server:
            collector = collector_of(profile_of(NODES))
            first = await poll(collector, target_of(server.address))
            assert not isinstance(first.outcome, Exception)
            assert first.outcome.unread == ()
            before = server.requests["Read"]
            await poll(collector, target_of(server.address))
            assert server.requests["Read"] - before <= 6  # 17 nodes in fours, or a little less
            await collector.close()

    asyncio.run(main())


def test_namespaces_that_move_during_a_session_are_followed() -> None:
    moved = ["http://opcfoundation.org/UA/", "urn:new", "urn:fake"]
    array = moved[::2]

    def read(request: Any) -> Any:
        at = array.index("urn:fake")
        return values(request, {"i=2255": array} | {f"ns={at};i={number}": 40 + at for number in range(10)})

    async def main() -> None:
        nonlocal array
        async with fake(Read=read) as server:
            collector = collector_of(profile_of(NODES))
            first = await poll(collector, target_of(server.address))
            array = moved
            second = await poll(collector, target_of(server.address))
            assert not isinstance(first.outcome, Exception)
            assert not isinstance(second.outcome, Exception)
            assert first.outcome.by_key["item.n0"].value == 41
            assert second.outcome.by_key["item.n0"].value == 42
            assert second.sent.connections == 0
            await collector.close()

    asyncio.run(main())


def test_a_session_is_not_left_lying_about_where_polls_are_rare() -> None:
    def short(_: Any) -> Any:
        response = ua.CreateSessionResponse()
        response.Parameters.RevisedSessionTimeout = 200.0
        return response

    async def main() -> None:
        async with fake(CreateSession=short) as server:
            collector = collector_of(profile_of(NODES))
            target = target_of(server.address)
            await poll(collector, target)
            loop = asyncio.get_running_loop()
            started = loop.time()
            assert await until(lambda: loop.time() - started > 0.25)
            assert server.open == 1
            second = await poll(collector, target)
            assert not isinstance(second.outcome, Exception)
            assert second.sent.connections == 1
            assert await until(lambda: server.open == 0)  # closed by itself, in good order
            assert server.requests["CLO"] == 2
            assert server.requests["CloseSession"] == 1  # the first had expired

    asyncio.run(main())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the entries of /proc/self/fd")
@pytest.mark.parametrize(
    "answers",
    [
        {"HEL": lambda _: None},
        {"HEL": raw(b"nonsense")},
        {"ActivateSession": lambda _: status("BadUserAccessDenied")},
        {"GetEndpoints": raw(b"MSGF" + struct.pack("<I", 0))},
    ],
)
def test_fifty_failures_leave_nothing_open(answers: dict[str, Any]) -> None:
    async def main() -> None:
        async with fake(**answers) as server:
            collector = collector_of(profile_of(NODES, timeout="30ms"))
            tasks, files = len(asyncio.all_tasks()), open_files()
            for _ in range(50):
                result = await poll(collector, target_of(server.address))
                assert isinstance(result.outcome, Exception)
            assert await until(lambda: server.open == 0)
            assert await until(lambda: open_files() == files)
            assert await until(lambda: len(asyncio.all_tasks()) == tasks)

    asyncio.run(main())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts the entries of /proc/self/fd")
@pytest.mark.parametrize("service", ["HEL", "OpenSecureChannel", "CreateSession", "Read"])
def test_a_poll_that_is_cancelled_leaves_nothing_open(service: str) -> None:
    async def main() -> None:
        async with fake(**{service: lambda _: None}) as server:
            collector = collector_of(profile_of(NODES))
            tasks, files = len(asyncio.all_tasks()), open_files()
            polling = asyncio.create_task(poll(collector, target_of(server.address)))
            assert await until(lambda: server.requests[service] == 1)
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            assert await until(lambda: open_files() == files)
            assert await until(lambda: len(asyncio.all_tasks()) == tasks)

    asyncio.run(main())


FORBIDDEN = {
    "Write": 673,
    "Call": 712,
    "AddNodes": 488,
    "DeleteNodes": 500,
    "HistoryUpdate": 700,
    "CreateSubscription": 787,
    "CreateMonitoredItems": 751,
    "Publish": 826,
    "DeleteSubscriptions": 847,
    "ModifySubscription": 793,
    "TransferSubscriptions": 841,
    "RegisterNodes": 560,
    "RegisterServer": 437,
}


@pytest.mark.parametrize("number", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("may_watch", [False, True])
def test_what_is_no_reading_never_leaves(number: int, may_watch: bool) -> None:
    if may_watch and number in services.WATCHING:
        return  # the profile lets us subscribe: tests/test_opcua_watch.py

    async def main() -> None:
        async with fake() as server:
            collector = collector_of(profile_of(NODES))
            target = target_of(server.address)
            security = Keys(NONE, "None").security(b"")
            channel = Channel("press", target.address, collector.contract(target), now, security)
            await channel.open(Lifetimes())
            channel.may_watch = may_watch
            before = server.requests.total()
            with pytest.raises(Forbidden):
                await channel.ask_raw(Request(number, b""))
            await channel.ask_raw(services.get_endpoints(server.address))  # and the channel is as good as before
            assert server.requests.total() == before + 1
            assert sum(channel.contract.meter.take().forbidden.values()) == 1
            await channel.close()

    asyncio.run(main())
