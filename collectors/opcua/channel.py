"""One TCP connection to an OPC UA server with its secure channel (Part 6, 6.7 and 7.1).

Every request leaves through `_send`, which lets through the services of SERVICES, and those of WATCHING where a profile
lets us subscribe, and nothing else; only Hello, which is a part of connecting and no service, goes before it. One
request is under way at a time, beside one Publish that a server may answer when it likes: answers find their requests
by number, and what comes unasked, late, too large or broken ends the connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.uaerrors import UaStatusCodeError

from collectors.address import Address
from collectors.collector import Clock, CollectError, Malformed, Refused, Unreachable
from collectors.contract import Contract
from collectors.opcua import services
from collectors.opcua.faults import UNTRUSTED, Fault, Gone
from collectors.opcua.services import (
    ALLOWED,
    ALLOWED_WATCHING,
    CLOSE_CHANNEL,
    MODES,
    OPEN_CHANNEL,
    PUBLISH,
    RESPONSES,
    SERVICE_FAULT,
    SERVICE_NAMES,
    Request,
)
from collectors.patience import Patience
from collectors.uabinary import FAULTS, Reader, node_id, text, u32

T = TypeVar("T")

LARGEST_CHUNK = 1 << 16
LARGEST_MESSAGE = 1 << 22
MOST_CHUNKS = LARGEST_MESSAGE >> 13  # a server may cut its messages into pieces of 8 KiB
SMALLEST_SEND_BUFFER = 1024
KINDS = {b"ACK", b"ERR", b"OPN", b"MSG"}
HEADER = struct.Struct("<3scI")
MESSAGES = {OPEN_CHANNEL: ua.MessageType.SecureOpen, CLOSE_CHANNEL: ua.MessageType.SecureClose}
RESPONSE_TOO_LARGE = 0x80B90000
CLOSED = "the connection was closed by the device"
RENEW_AT = 0.75  # of the channel's lifetime (Part 4, 5.5.2.1)


class Forbidden(RuntimeError):
    """A service that we may not ask for was about to be sent: a fault of ours, and nothing was sent."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """What we ask for, in seconds. A session is one of few: if we die, it should not be taken for long."""

    channel: float = 3600
    session: float = 60


@dataclass(frozen=True, slots=True)
class Awaited:
    """An answer that is due: the kind of message that it comes in, and who waits for it, for its body."""

    kind: Any  # bytes, which asyncua calls MessageType
    waiter: asyncio.Future[bytes]
    at_leisure: bool = False


class OwnLimits(TransportLimits):
    """asyncua's limits, but they stay ours: the library would take them from whatever the server acknowledges."""

    def __init__(self) -> None:
        super().__init__(LARGEST_CHUNK, LARGEST_CHUNK, MOST_CHUNKS, LARGEST_MESSAGE)

    def update_client_limits(self, msg: ua.Acknowledge) -> None:
        pass


class Channel(asyncio.Protocol):
    """A connection with a secure channel; `open` makes one, `close` or `abort` ends it."""

    def __init__(
        self, asset: str, address: Address, contract: Contract, clock: Clock, security: SecurityPolicy
    ) -> None:
        self.asset = asset
        self.address = address
        self.contract = contract
        self.token = services.NO_NODE  # of the session, once there is one
        self.largest_request = LARGEST_MESSAGE
        self.may_watch = False  # the profile lets us subscribe
        self._clock = clock
        self.security = security
        self._limits = OwnLimits()
        self._connection = SecureConnection(security, self._limits)
        self._transport: asyncio.Transport | None = None
        self._ended = asyncio.get_running_loop().create_future()
        self._awaited: dict[int, Awaited] = {}  # by the number of the request; 0 is that of Hello
        self._line = asyncio.Lock()  # held by the one request that is under way
        self._renewing = asyncio.Lock()
        self.cause: CollectError | None = None  # why the connection ended
        self._inbox = bytearray()
        self._number = 0
        self.lifetime = 0.0  # seconds, of the secure channel until it is renewed
        self._renewed_at = 0.0

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.contract.meter.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.contract.meter.closed()
        if not self._ended.done():
            self._ended.set_result(None)
        self._end(Gone(self.asset, "the connection was reset" if exc else CLOSED))

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        self.contract.meter.received(len(data))
        try:
            while len(self._inbox) >= HEADER.size and self.alive:
                kind, piece, size = HEADER.unpack_from(self._inbox)
                self._check(kind, size)
                if len(self._inbox) < size:
                    return
                whole = bytes(self._inbox[:size])
                del self._inbox[:size]
                self._piece(kind, piece, whole)
        except CollectError as failure:
            self._end(failure)

    def _check(self, kind: bytes, size: int) -> None:
        """What a header says, before anything is kept for it."""
        if kind not in KINDS:
            raise Malformed(self.asset, f"it does not speak OPC UA: it sent {kind!r}")
        if not HEADER.size < size <= LARGEST_CHUNK:
            raise Malformed(self.asset, f"it announced a piece of {size} bytes; at most {LARGEST_CHUNK} were agreed")
        if kind == b"ERR":
            return
        expected = {awaited.kind for awaited in self._awaited.values()}
        if not expected:
            raise Malformed(self.asset, "it sent something that nobody asked for")
        if kind not in expected:
            raise Malformed(self.asset, f"it sent {kind!r} where {' or '.join(map(repr, expected))} was expected")

    def _piece(self, kind: bytes, piece: bytes, whole: bytes) -> None:
        if kind == b"ERR":
            raise self.understood(lambda reader: Fault(self.asset, reader.u32(), reader.text() or ""), whole[8:])
        if kind == b"ACK":
            self._answer(0, kind, whole[8:])
            return
        try:
            buffer = Buffer(whole)
            message = self._connection.receive_from_header_and_body(ua.ua_binary.header_from_binary(buffer), buffer)
        except UaStatusCodeError:  # of its own bounds, which are ours
            raise Malformed(self.asset, f"its answer has more than {LARGEST_MESSAGE} bytes") from None
        except Exception as error:  # asyncua's decoder on the peer's bytes: whatever it trips over, they are wrong
            raise Malformed(self.asset, f"its message cannot be read: {str(error) or type(error).__name__}") from error
        if piece == b"A":  # it found out half-way that its answer is too large (Part 6, 6.7.3)
            self._abandoned()
        elif message is not None:
            self._answer(message.request_id(), kind, bytes(message.body()))

    def _abandoned(self) -> None:
        """Which it is, asyncua does not say: the request under way, or if there is none the Publish."""
        number = min(self._awaited, key=lambda number: self._awaited[number].at_leisure)
        _fail(self._awaited.pop(number).waiter, Fault(self.asset, RESPONSE_TOO_LARGE))

    def _answer(self, number: int, kind: bytes, body: bytes) -> None:
        awaited = self._awaited.get(number)
        if awaited is None or awaited.kind != kind:
            asked = " or ".join(map(str, self._awaited))
            raise Malformed(self.asset, f"it answered request {number} where {asked} was asked")
        del self._awaited[number]
        if not awaited.waiter.done():
            awaited.waiter.set_result(body)

    def _end(self, cause: CollectError) -> None:
        self.cause = self.cause or cause
        self.abort()

    # To the server.

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def open(self, lifetimes: Lifetimes) -> None:
        """Connect, agree on sizes, open the secure channel; ends the connection if that fails."""
        await self.contract.connecting()
        try:
            await self._connect()
            await self.contract.turn()
            await self._hello()
            await self._open_channel(lifetimes.channel, renew=False)
        except BaseException:
            self.abort()
            raise

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self.address.device
        limit = self.contract.limits.timeout
        try:
            async with asyncio.timeout(limit):
                await loop.create_connection(lambda: self, host, port)
        except TimeoutError:
            raise Unreachable(self.asset, f"no connection to {host}:{port} within {limit:g} s") from None
        except OSError as error:
            raise Unreachable(self.asset, f"no connection to {host}:{port}: {_why(error)}") from None

    async def _hello(self) -> None:
        """Part 6, 7.1.2.3. What is acknowledged binds what we send, not take."""
        sizes = u32(LARGEST_CHUNK) + u32(LARGEST_CHUNK) + u32(LARGEST_MESSAGE) + u32(MOST_CHUNKS)
        body = u32(0) + sizes + text(str(self.address))
        if self._transport is None:
            raise self.cause or Gone(self.asset, CLOSED)
        waiter = self._await(0, b"ACK")
        self._transport.write(HEADER.pack(b"HEL", b"F", HEADER.size + len(body)) + body)
        self.contract.meter.sent("Hello", HEADER.size + len(body), asyncio.get_running_loop().time())
        answer = await self._within(waiter)
        self.contract.answered()
        _, takes, _, largest, chunks = self.understood(lambda reader: [reader.u32() for _ in range(5)], answer)
        if takes < SMALLEST_SEND_BUFFER:
            raise Malformed(self.asset, f"it takes pieces of {takes} bytes; no request fits into that")
        self._limits.max_send_buffer = min(takes, LARGEST_CHUNK)
        room = [limit for limit in (largest, chunks * (self._limits.max_send_buffer - 256)) if limit]
        self.largest_request = min([*room, LARGEST_MESSAGE])

    async def renew(self, ahead: float = 0.0) -> bool:
        """See to it that the channel lasts through a poll, or until we come again in `ahead` seconds.

        False if it has run out, or is gone.
        """
        async with self._renewing:
            age = asyncio.get_running_loop().time() - self._renewed_at
            if not self.alive or age >= self.lifetime:
                return False
            if age + ahead >= RENEW_AT * self.lifetime:
                await self._open_channel(self.lifetime, renew=True)
            return True

    async def _open_channel(self, lifetime: float, renew: bool) -> None:
        nonce = os.urandom(self.security.secure_channel_nonce_length)
        mode = MODES[int(self.security.Mode)]
        asked_at = asyncio.get_running_loop().time()
        try:
            opened = await self.ask(services.open_channel(renew, mode, nonce, lifetime), services.read_opened)
        except Unreachable as failure:
            if renew or mode == "None":
                raise
            kind = Refused if isinstance(failure, Gone) else Unreachable
            raise kind(self.asset, f"{failure.text} when it saw our certificate: {UNTRUSTED}") from None
        request_type = ua.SecurityTokenRequestType.Renew if renew else ua.SecurityTokenRequestType.Issue
        life = min(max(opened.lifetime, 1000), (1 << 31) - 1)
        result = ua.OpenSecureChannelResult(
            SecurityToken=ua.ChannelSecurityToken(
                ChannelId=ua.UInt32(opened.channel),
                TokenId=ua.UInt32(opened.token),
                CreatedAt=self._clock(),
                RevisedLifetime=ua.UInt32(life),
            ),
            ServerNonce=opened.nonce,
        )
        if len(opened.nonce) != len(nonce) and mode != "None":
            raise Malformed(self.asset, f"its nonce is {len(opened.nonce)} bytes long and not {len(nonce)}")
        self._connection.set_channel(result, request_type, nonce)
        if renew:
            self._connection.revolve_tokens()
        self.lifetime, self._renewed_at = life / 1000, asked_at

    async def ask(self, request: Request, read: Callable[[Reader], T]) -> T:
        """Send a request when its turn has come, and read the answer; a connection that fails is ended."""
        return self.understood(read, await self.ask_raw(request))

    async def ask_raw(self, request: Request) -> Reader:
        """The same, but the answer is left unread behind its header."""
        async with self._line:
            number, waiter = await self._leave(request)
            body = await self._within(waiter)
            self.contract.answered()
        return self._checked(Reader(body), RESPONSES[request.service], number)

    async def ask_at_leisure(self, request: Request, limit: float) -> Reader:
        """The same, but the answer may take up to `limit` seconds, and other requests go on meanwhile; TimeoutError."""
        async with self._line:
            number, waiter = await self._leave(request, at_leisure=True)
        async with asyncio.timeout(limit):
            body = await waiter
        return self._checked(Reader(body), RESPONSES[request.service], number)

    async def _leave(self, request: Request, at_leisure: bool = False) -> tuple[int, asyncio.Future[bytes]]:
        """Send a request when its turn has come; its number, and what will hold the answer."""
        if not self.alive:
            raise self.cause or Gone(self.asset, CLOSED)
        await self.contract.turn()
        number = self._send(request)
        return number, self._await(number, _kind(request), at_leisure)

    def _checked(self, reader: Reader, wanted: int | None, number: int) -> Reader:
        kind = self.understood(lambda reader: reader.node_id(), reader)
        handle, status = self.understood(services.read_header, reader)
        if kind == f"i={SERVICE_FAULT}" or status & 0x80000000:
            self.contract.meter.refused()
            raise Fault(self.asset, status)
        if kind != f"i={wanted}" or handle != number:
            raise self.malformed(f"it answered with {kind} to request {handle} where i={wanted} to {number} was due")
        return reader

    def _send(self, request: Request) -> int:
        """The one place where requests leave, and the guard in front of it: it looks at the bytes themselves."""
        limit = 0 if request.service == PUBLISH else self.contract.limits.timeout
        header = services.request_header(self.token, self._clock(), self._number + 1, limit)
        message = node_id(request.service) + header + request.body
        if (ALLOWED_WATCHING if self.may_watch else ALLOWED).get(message[:4]) is None:
            why = f"{message[:4].hex()} is no service that a monitor may ask for"
            self.contract.meter.forbade(why)
            raise Forbidden(why)
        if self._transport is None:
            raise self.cause or Gone(self.asset, CLOSED)
        self._number += 1
        whole = self._connection.message_to_binary(message, _kind(request), self._number)
        self._transport.write(whole)
        name = SERVICE_NAMES.get(request.service, f"i={request.service}")
        self.contract.meter.sent(name, len(whole), asyncio.get_running_loop().time())
        return self._number

    def _await(self, number: int, kind: Any, at_leisure: bool = False) -> asyncio.Future[bytes]:
        assert not any(awaited.at_leisure == at_leisure for awaited in self._awaited.values()), "one at a time"
        waiter = asyncio.get_running_loop().create_future()
        self._awaited[number] = Awaited(kind, waiter, at_leisure)
        return waiter

    async def _within(self, waiter: asyncio.Future[bytes]) -> bytes:
        """The answer, if it is whole before the deadline: a device that dribbles is a device that is silent."""
        limit = self.contract.limits.timeout
        patience = Patience(limit, lambda: _fail(waiter, TimeoutError()))
        try:
            return await waiter
        except TimeoutError:
            self.contract.meter.timed_out()
            self.abort()
            raise Unreachable(self.asset, f"no answer within {limit:g} s") from None
        except BaseException:
            self.abort()
            raise
        finally:
            patience.end()

    def understood(self, read: Callable[[Reader], T], message: Reader | bytes) -> T:
        try:
            return read(message if isinstance(message, Reader) else Reader(message))
        except FAULTS as error:
            raise self.malformed(f"its answer is broken: {error}") from error

    def malformed(self, why: str) -> Malformed:
        """End the connection for something that the device said; the error to raise."""
        failure = Malformed(self.asset, why)
        self._end(failure)
        return failure

    async def close(self) -> None:
        """Say good-bye and let go; a server that does not listen is left all the same."""
        try:
            if self.alive:
                await self.contract.turn()
                self._send(services.close_channel())
                assert self._transport is not None
                self._transport.close()
                async with asyncio.timeout(self.contract.limits.timeout):
                    await asyncio.shield(self._ended)
        except (TimeoutError, CollectError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection at once, without a word."""
        awaited, self._awaited = self._awaited, {}
        for each in awaited.values():
            _fail(each.waiter, self.cause or Gone(self.asset, CLOSED))
        self._inbox.clear()
        if self._transport is not None:
            with suppress(OSError):
                self._transport.abort()


def _kind(request: Request) -> Any:
    return MESSAGES.get(request.service, ua.MessageType.SecureMessage)


def _fail(waiter: asyncio.Future[bytes], cause: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(cause)


def _why(error: OSError) -> str:
    """What the operating system says; asyncio puts the address where that should stand."""
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known"
    return os.strerror(error.errno).lower() if error.errno else str(error)
