"""OPC UA servers for tests: a floor of simulated PLCs in a thread of its own, and one that answers as a test says."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIdNames
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

from collectors.address import parse_address
from collectors.collector import Target
from collectors.opcua import Lifetimes, OpcUaCollector
from collectors.profile import Profile, Profiles, parse_profile

T = TypeVar("T")
FAST = {"requests_per_second": 10_000.0, "timeout": "2s"}


class Background:
    """An event loop in a thread, so that servers outlive the loop of a test."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def background() -> Iterator[Background]:
    running = Background()
    try:
        yield running
    finally:
        running.close()


def now() -> datetime:
    """The real time, because certificates are made for it."""
    return datetime.now(UTC)


def profile_of(nodes: Mapping[str, str], name: str = "test", **limits: Any) -> Profile:
    items = {item: {"node": node} for item, node in nodes.items()}
    return parse_profile({"name": name, "item": items, "limits": {**FAST, **limits}}, "test")


def collector_of(*profiles: Profile, lifetimes: Lifetimes = Lifetimes()) -> OpcUaCollector:  # noqa: B008
    return OpcUaCollector(Profiles(profiles), now, lifetimes)


def target_of(address: str, profile: str = "test", **more: Any) -> Target:
    return Target("press", parse_address(address), profile, **more)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether the condition comes true in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    return condition()


Behaviour = Callable[[Any], Any]


class Fake:
    """An OPC UA server without security whose every answer a test decides.

    `answers` holds, by service, a function of the request: what it returns is sent, a response or bytes as they are;
    None is silence, a StatusCode a ServiceFault. What a test leaves out is answered honestly, every value being 1; of
    Publish the first, and the others when the test says so (`tell`).
    """

    def __init__(self, answers: Mapping[str, Behaviour]) -> None:
        self.answers = answers
        self.requests: Counter[str] = Counter()
        self.open = 0
        self.port = 0
        self.asked = (0, 0)  # the number and the handle of the last request
        self.held: list[tuple[int, int]] = []  # of each Publish that is outstanding
        self.items = 0
        self._begun = False
        self._sequence = 0
        self._line: asyncio.StreamWriter | None = None

    @property
    def address(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line, self.held = writer, []
        while True:
            kind, size = struct.unpack("<3sxI", await reader.readexactly(8))
            body = await reader.readexactly(size - 8)
            if kind == b"HEL":
                answer = self._decide("HEL", None, b"ACKF" + struct.pack("<6I", 28, 0, 65536, 65536, 0, 0))
            elif kind == b"CLO":
                self.requests["CLO"] += 1
                return
            else:
                answer = self._message(kind, body)
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            elif answer is not None:
                await answer(writer)

    async def tell(self, response: Any) -> None:
        """Answer the Publish that is outstanding; bytes are sent as they are."""
        assert self._line is not None
        self.asked = self.held.pop(0)
        self._line.write(response if isinstance(response, bytes) else self._answer(b"MSG", response))
        await self._line.drain()

    def _answer(self, kind: bytes, response: Any) -> bytes:
        if isinstance(response, ua.StatusCode):
            fault = ua.ServiceFault()
            fault.ResponseHeader.ServiceResult = response
            response = fault
        number, handle = self.asked
        response.ResponseHeader.RequestHandle = handle
        self._sequence += 1
        return chunk(kind, struct_to_binary(response), self._sequence, number)

    def _message(self, kind: bytes, body: bytes) -> Any:
        buffer = Buffer(body[4:])
        if kind == b"OPN":
            struct_from_binary(ua.AsymmetricAlgorithmHeader, buffer)
        else:
            buffer.skip(4)
        asked = struct_from_binary(ua.SequenceHeader, buffer)
        service = ObjectIdNames[int(nodeid_from_binary(buffer).Identifier)].removesuffix(
            "Request_Encoding_DefaultBinary"
        )
        header = struct_from_binary(ua.RequestHeader, buffer)
        self.asked = asked.RequestId, header.RequestHandle
        response = self._decide(service, buffer, None)
        if response is None or isinstance(response, bytes) or callable(response):
            return response
        return self._answer(kind, response)

    def _decide(self, service: str, request: Any, default: Any) -> Any:
        self.requests[service] += 1
        decide = self.answers.get(service, getattr(self, f"_{service.lower()}", lambda _: default))
        return decide(request)

    def _opensecurechannel(self, _: Any) -> Any:
        response = ua.OpenSecureChannelResponse()
        response.Parameters.SecurityToken.ChannelId = 7
        response.Parameters.SecurityToken.TokenId = 9
        response.Parameters.SecurityToken.RevisedLifetime = 3_600_000
        return response

    def _getendpoints(self, _: Any) -> Any:
        response = ua.GetEndpointsResponse()
        response.Endpoints = [endpoint()]
        return response

    def _createsession(self, _: Any) -> Any:
        response = ua.CreateSessionResponse()
        response.Parameters.AuthenticationToken = ua.NodeId(ua.Int32(99))
        response.Parameters.RevisedSessionTimeout = 60_000.0
        return response

    def _activatesession(self, _: Any) -> Any:
        return ua.ActivateSessionResponse()

    def _closesession(self, _: Any) -> Any:
        return ua.CloseSessionResponse()

    def _createsubscription(self, request: Any) -> Any:
        asked = struct_from_binary(ua.CreateSubscriptionParameters, request)
        self._begun, self.items = False, 0
        return subscribed(asked.RequestedPublishingInterval, asked.RequestedMaxKeepAliveCount)

    def _createmonitoreditems(self, request: Any) -> Any:
        asked = struct_from_binary(ua.CreateMonitoredItemsParameters, request).ItemsToCreate
        self.items += len(asked)
        return ua.CreateMonitoredItemsResponse(Results=[ua.MonitoredItemCreateResult()] * len(asked))

    def _publish(self, _: Any) -> Any:
        if self._begun:
            self.held.append(self.asked)
            return None
        self._begun = True
        return published(self.items)

    def _deletesubscriptions(self, _: Any) -> Any:
        return ua.DeleteSubscriptionsResponse(Results=[ua.StatusCode()])

    def _read(self, request: Any) -> Any:
        return values(request, {})


def subscribed(interval: float, keep_alives: int) -> ua.CreateSubscriptionResponse:
    """A subscription of number 5; the interval in milliseconds."""
    response = ua.CreateSubscriptionResponse()
    response.Parameters.SubscriptionId = ua.IntegerId(5)
    response.Parameters.RevisedPublishingInterval = ua.Duration(interval)
    response.Parameters.RevisedMaxKeepAliveCount = ua.Counter(keep_alives)
    return response


def published(changes: int, subscription: int = 5, sequence: int = 1, more: Sequence[Any] = ()) -> ua.PublishResponse:
    """So many changes (none: a keep-alive), and other notifications."""
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = ua.IntegerId(subscription)
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = ua.Counter(sequence)
    item = ua.MonitoredItemNotification(Value=ua.DataValue(ua.Variant(1)))
    message.NotificationData = [ua.DataChangeNotification(MonitoredItems=[item] * changes)] if changes else []
    message.NotificationData += more
    return response


def endpoint() -> ua.EndpointDescription:
    made = ua.EndpointDescription()
    made.SecurityMode = ua.MessageSecurityMode.None_
    made.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#None"
    made.UserIdentityTokens = [ua.UserTokenPolicy(PolicyId="anonymous", TokenType=ua.UserTokenType.Anonymous)]
    return made


def values(request: Any, said: Mapping[str, Any]) -> ua.ReadResponse:
    """An answer to a Read: 1 to everything but the namespaces and what is said by NodeId."""
    nodes = struct_from_binary(ua.ReadParameters, request).NodesToRead
    known: dict[str, Any] = {"i=2255": ["http://opcfoundation.org/UA/", "urn:fake"], "i=11705": 0, "i=11710": 0}
    known |= {"i=11714": 4, **said}
    response = ua.ReadResponse()
    response.Results = [ua.DataValue(ua.Variant(known.get(node.NodeId.to_string(), 1))) for node in nodes]
    return response


def chunk(kind: bytes, body: bytes, sequence: int, request: int, piece: bytes = b"F") -> bytes:
    """A piece of a message without security."""
    if kind == b"OPN":
        security = struct_to_binary(ua.AsymmetricAlgorithmHeader(endpoint().SecurityPolicyUri))
    else:
        security = struct.pack("<I", 9)
    channel = 0 if kind == b"OPN" else 7
    rest = struct.pack("<I", channel) + security + struct.pack("<II", sequence, request) + body
    return kind + piece + struct.pack("<I", 8 + len(rest)) + rest


@asynccontextmanager
async def fake(**answers: Behaviour) -> Any:
    """`async with fake(Read=…) as server:`"""
    server = Fake(answers)
    async with serving(server.serve) as port:
        server.port = port
        yield server


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> Any:
    """A TCP server on a free port of loopback; its connections end with it."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
