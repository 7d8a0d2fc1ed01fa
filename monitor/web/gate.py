"""Before any operation of the API: who calls, and whether what they send is what JSON and a database can hold.

It stands before the routes, so that a stranger learns nothing, not even which operations there are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.access import Caller

JSON_MOST = 2_000_000  # bytes of a document
DEEPEST = 32  # levels in it
OCTETS = "application/octet-stream"
LARGE = {"/baselines/import": 64 << 20}  # the same where a document holds a file
FILES = {"/vault": 1 << 30}  # bytes of what an operation takes as it is, whatever it is
UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")  # NUL, and halves of letters

Who = Callable[[Request], Caller]
Allowed = Callable[[Scope], list[str]]


class Gate:
    """What every request passes first. `who` gives the caller or raises; `allowed` gives the methods of a path;
    `failed` makes an answer of what was raised."""

    def __init__(
        self, app: ASGIApp, who: Who, allowed: Allowed, failed: Callable[[Request, Exception], Response]
    ) -> None:
        self._app, self._who, self._allowed, self._failed = app, who, allowed, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            request.state.caller = await run_in_threadpool(self._who, request)
            allowed = self._allowed(scope)
            _check_method(scope["method"], allowed)
            _check_text(request)
            receive = await _checked(request, receive)
        except Exception as error:
            await self._failed(request, error)(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers={"Allow": ", ".join(allowed)})(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # as GET; the server leaves the body away (RFC 9110, 9.3.2)
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _check_method(method: str, allowed: list[str]) -> None:
    """HTTPException for a path that is not there, or a method that it does not have (RFC 9110, 15.5.6)."""
    if not allowed:
        raise HTTPException(404)
    if method not in allowed:
        raise HTTPException(405, f"this takes {' or '.join(allowed)}, not {method}", {"Allow": ", ".join(allowed)})


def _check_text(request: Request) -> None:
    """HTTPException for a NUL in the path or the query: no name has one, and PostgreSQL takes none."""
    if "\0" in request.scope["path"] or any(
        "\0" in text for pair in request.query_params.multi_items() for text in pair
    ):
        raise HTTPException(422, "the address holds a NUL character, and no name has one")


async def _checked(request: Request, receive: Receive) -> Receive:
    """How the body is received further on; HTTPException if it is too large, or no JSON that can be stored."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    if request.method == "POST" and path in FILES:
        if kind != OCTETS:
            raise HTTPException(415, f"send the file as it is, as {OCTETS}")
        return _bounded(request, receive, FILES[path])
    body = await _read(request, receive, LARGE.get(path, JSON_MOST))
    if body:
        if kind != "application/json":
            raise HTTPException(415, "send JSON, as application/json")
        _check_json(body)
    return _again(body, receive)


def _bounded(request: Request, receive: Receive, most: int) -> Receive:
    """The same way to receive, which ends where there is too much."""
    _check_length(request, most)
    came = 0

    async def bounded() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > most:
            raise _too_large(most)
        return message

    return bounded


async def _read(request: Request, receive: Receive, most: int) -> bytes:
    bounded, body, more = _bounded(request, receive, most), bytearray(), True
    while more:
        message = await bounded()
        body += message.get("body", b"")
        more = message.get("more_body", False) and message["type"] == "http.request"
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, and then what comes after it."""
    left = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return again


def _check_length(request: Request, most: int) -> None:
    text = request.headers.get("content-length", "0")
    if not text.isdigit() or int(text) > most:
        raise _too_large(most)


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"this is more than {most} bytes")


def _check_json(body: bytes) -> None:
    """HTTPException unless it is JSON in UTF-8 whose texts and numbers can be stored."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise HTTPException(422, "the body is not UTF-8") from None
    except RecursionError:
        raise HTTPException(422, f"the body is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        raise HTTPException(422, f"the body is no JSON: {error}") from None
    for value, level in _values(document):
        if level > DEEPEST:
            raise HTTPException(422, f"the body is nested more than {DEEPEST} levels deep")
        if isinstance(value, float) and not math.isfinite(value):
            raise HTTPException(422, "a number of the body is too large")
        if isinstance(value, str) and UNSTORABLE.search(value):
            raise HTTPException(422, "a text of the body holds a NUL, or half a character")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _values(document: Any) -> Iterator[tuple[Any, int]]:
    """All that is in a document, and on which level; the keys too."""
    waiting = [(document, 1)]
    while waiting:
        value, level = waiting.pop()
        yield value, level
        if level > DEEPEST:
            continue
        if isinstance(value, dict):
            waiting += [(part, level + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, level + 1) for part in value]
