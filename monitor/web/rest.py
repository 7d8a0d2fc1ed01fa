"""The REST API as a whole: an application of its own under /api/v1, where every answer is JSON, errors too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route
from starlette.types import Scope

from monitor.errors import StoreError, UserError
from monitor.web import api
from monitor.web.access import (
    Caller,
    Denied,
    NotSignedIn,
    Provisional,
    Unknown,
    WrongPassword,
    program,
    visitor,
)
from monitor.web.gate import Gate
from monitor.web.limits import TooOften
from monitor.web.openapi import PATH, described, id_of
from monitor.web.signin import Door
from monitor.web.site import Site

DOCUMENT = "/openapi.json"
MOST_FAULTS = 10  # of one body that are said

log = structlog.get_logger()


def rest(site: Site, door: Door) -> FastAPI:
    """The API over one plant."""
    app = FastAPI(
        title="asbuilt",
        docs_url=None,
        redoc_url=None,
        openapi_url=DOCUMENT,
        redirect_slashes=False,
        generate_unique_id_function=id_of,
    )
    app.state.site, app.state.door = site, door
    for router in api.ROUTERS:
        app.include_router(router)
    document = cache(lambda: described(app, operations()))
    app.openapi = document  # type: ignore[method-assign]
    every = [route for route in (*app.routes, *operations()) if isinstance(route, Route)]
    app.add_middleware(Gate, who=_who, allowed=lambda scope: _allowed(every, scope), failed=answer_of)
    for kind in (Unknown, UserError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, answer_of)
    return app


def operations() -> Iterator[APIRoute]:
    """Every operation of the API."""
    for router in api.ROUTERS:
        yield from (route for route in router.routes if isinstance(route, APIRoute))


def _allowed(every: list[Route], scope: Scope) -> list[str]:
    """The methods of a path; none where there is no such path. One without a parameter goes before one with it."""
    matching = [route for route in every if route.matches(scope)[0] is not Match.NONE]
    exact = [route for route in matching if "{" not in route.path]
    found = {method for route in exact or matching for method in route.methods or ()}
    return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())) if found else []


def _who(request: Request) -> Caller:
    """Whose token it is. The document of the API is also for whoever is signed in, so that a browser can load it."""
    site: Site = request.app.state.site
    own = request.url.path == f"{PATH}{DOCUMENT}"
    if own and "authorization" not in request.headers:
        with suppress(NotSignedIn, Provisional):
            return visitor(request, site)
    return program(request, site)


def _status(error: Exception) -> int:
    """The status of an error (RFC 9110, 15.5). 422 is kept for what is not of the declared shape: that is a program's
    fault. What is of the shape, and cannot be done as things stand, is 409: its sentence is for people."""
    if isinstance(error, Unknown):
        return 401
    if isinstance(error, Denied | WrongPassword):
        return 403
    if isinstance(error, TooOften):
        return 429
    if isinstance(error, StoreError):
        return 503
    if isinstance(error, UserError):
        return 409
    if isinstance(error, RequestValidationError):
        return 422
    if isinstance(error, ClientDisconnect):  # nobody reads it, and it is no bug
        return 400
    return error.status_code if isinstance(error, HTTPException) else 500


def answer_of(request: Request, error: Exception) -> Response:
    """What is answered to an error: always `{"error": sentence}`."""
    status, headers = _status(error), {}
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
    if status == 401:
        headers |= {"WWW-Authenticate": "Bearer"}
    if status == 500:
        log.error("bug", path=request.url.path, exc_info=error)
    return JSONResponse({"error": _sentence(error, status)}, status, headers)


def _sentence(error: Exception, status: int) -> str:
    if isinstance(error, Unknown):
        return error.why
    if isinstance(error, RequestValidationError):
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:MOST_FAULTS]]
        return "; ".join(faults)
    if isinstance(error, HTTPException):
        return "there is nothing here" if status == 404 and error.detail == "Not Found" else str(error.detail)
    if isinstance(error, ClientDisconnect):
        return "the rest of it did not come"
    return "a bug of asbuilt's: its log says more" if status == 500 else str(error)
