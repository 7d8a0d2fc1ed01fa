"""Real receivers of messages on loopback: HTTP, SMTP with TLS, syslog over UDP, TCP and TLS, an MQTT broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from amqtt.broker import Broker

HOST = "127.0.0.1"


@dataclass
class Authority:
    """A certificate authority, and what a server with a certificate of it uses."""

    ca_file: Path
    context: ssl.SSLContext

    @classmethod
    def made(cls, folder: Path) -> Authority:
        authority, ca_file = trustme.CA(), folder / "ca.pem"
        authority.cert_pem.write_to_path(ca_file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(HOST, "localhost").configure_cert(context)
        return cls(ca_file, context)


@dataclass
class Web:
    """A web server: what was posted, as headers and body. `behaviour`: a status, or "hang", "close", "drip"."""

    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    behaviour: int | str = 204
    url: str = ""

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posted]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            if self.behaviour == "hang":
                await asyncio.Event().wait()
            if isinstance(self.behaviour, int):
                if self.behaviour < 300:
                    self.posted.append((headers, body))
                writer.write(f"HTTP/1.1 {self.behaviour} Hm\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
            elif self.behaviour == "endless":
                self.posted.append((headers, body))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A TCP server on a free port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await answer(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, HOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    served = Web()
    async with serving(served.answer) as port:
        served.url = f"http://{HOST}:{port}/hook"
        yield served


@dataclass
class Mails:
    """What a mail server took in: who from, for whom, and the mail."""

    taken: list[tuple[str, list[str], Message]] = field(default_factory=list)
    refuses: bool = False
    port: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuses:
            return "452 the mailbox is full"
        content = envelope.content
        assert isinstance(content, bytes)
        self.taken.append((envelope.mail_from or "", envelope.rcpt_tos, message_from_bytes(content, policy=default)))
        return "250 OK"


def _authenticated(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"asbuilt", b"sesame"))


@asynccontextmanager
async def mail_server(authority: Authority, at_once: bool) -> AsyncIterator[Mails]:
    """An SMTP server that takes nothing without TLS and a log-in: TLS at once, or by STARTTLS."""
    mails, loop = Mails(), asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            mails,
            hostname="localhost",
            tls_context=None if at_once else authority.context,
            require_starttls=not at_once,
            auth_required=True,
            auth_require_tls=not at_once,
            authenticator=_authenticated,
            loop=loop,
        )

    server = await loop.create_server(protocol, HOST, 0, ssl=authority.context if at_once else None)
    mails.port = server.sockets[0].getsockname()[1]
    try:
        yield mails
    finally:
        server.close()


class Datagrams(asyncio.DatagramProtocol):
    """What came by UDP."""

    def __init__(self) -> None:
        self.came: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.append(data)


@asynccontextmanager
async def syslog_udp() -> AsyncIterator[tuple[int, list[bytes]]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, local_addr=(HOST, 0))
    try:
        yield transport.get_extra_info("sockname")[1], protocol.came
    finally:
        transport.close()


@asynccontextmanager
async def syslog_stream(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A receiver that reads frames by their length (RFC 6587, 3.4.1), and nothing that is framed otherwise."""
    came: list[bytes] = []

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while length := (await reader.readuntil(b" ") if not reader.at_eof() else b""):
            came.append(await reader.readexactly(int(length)))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await read(reader, writer)

    async with serving(answer, tls) as port:
        yield port, came


@asynccontextmanager
async def broker() -> AsyncIterator[int]:
    """An MQTT broker that lets only one user in."""
    listener = {"type": "tcp", "bind": f"{HOST}:0"}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    running = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await running.start()
    try:
        (served,) = running._servers.values()
        yield served.instance.sockets[0].getsockname()[1]
    finally:
        await running.shutdown()
