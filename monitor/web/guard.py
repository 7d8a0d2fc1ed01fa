"""Around every request: whom it is meant for, how much of it there may be, and what the answer tells a browser.

It stands around the whole application, so that a bug's answer has the headers as well.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.config import WebTable
from monitor.web.gate import FILES, LARGE
from monitor.web.openapi import PATH

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
HSTS = "max-age=31536000"  # RFC 6797; over TLS alone
YEAR = "public, max-age=31536000, immutable"
LARGEST, LARGEST_FILES = 2_000_000, 100_000_000  # bytes of a body; of a form with files, which go to the disk
LARGER = {PATH + path: most for path, most in (FILES | LARGE).items()}  # of what the API takes
BODY_WITHIN = 120.0  # seconds


class Guard:
    """An ASGI application around another one. `web` gives the table as the file says it now."""

    def __init__(self, app: ASGIApp, web: Callable[[], WebTable]) -> None:
        self.app = app
        self.web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        sending = _with_headers(scope, send)
        web = self.web()
        name = hostname(headers.get("host", ""))
        if not is_ours(name, (web.host, *web.hosts)):
            text = f"nobody is called {name[:100]!r} here: add the name to [web] hosts in plant.toml"
            return await _refuse(scope, receive, sending, 421, text)
        most = LARGEST_FILES if headers.get("content-type", "").startswith("multipart/form-data") else LARGEST
        most = LARGER.get(scope["path"], most)
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            return await _refuse(scope, receive, sending, 413, too_large(most))
        return await self.app(scope, _bounded(receive, most), sending)


def hostname(place: str) -> str:
    """The name or address of `name:port` (RFC 9110, 7.2), in small letters."""
    if place.startswith("["):
        return place[1:].partition("]")[0].lower()
    return place.partition(":")[0].lower().removesuffix(".")


def is_ours(name: str, names: Sequence[str]) -> bool:
    """Whether a request is meant for us. An address always is: what a foreign page's name can be made to stand for
    (DNS rebinding) is an address, and its name would be here."""
    try:
        ip_address(name)
    except ValueError:
        return name in ("localhost", socket.gethostname().lower(), *(each.lower() for each in names))
    return True


def too_large(most: int) -> str:
    return f"this is more than is taken here: {most // 1_000_000} MB at most"


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    """Answer without reading what is still to come; the connection ends with it."""
    headers = {"Connection": "close"}
    if scope["path"].startswith("/api/"):
        return await JSONResponse({"error": text}, status, headers)(scope, receive, send)
    return await PlainTextResponse(text, status, headers)(scope, receive, send)


def _bounded(receive: Receive, most: int) -> Receive:
    """A body that ends in time and is no larger than that, also where nobody said before how large it is."""
    taken, whole, until = 0, False, time.monotonic() + BODY_WITHIN

    async def received() -> Message:
        nonlocal taken, whole
        if whole:  # what comes now is the end of the connection, whenever that is
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the rest of it did not come in time") from None
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > most:
            raise HTTPException(413, too_large(most), {"Connection": "close"})
        return message

    return received


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if scope["scheme"] == "https":
                headers.setdefault("Strict-Transport-Security", HSTS)
            kept = scope["path"].startswith("/static/") and scope["query_string"]
            headers.setdefault("Cache-Control", YEAR if kept else "no-store")
        await send(message)

    return sent
