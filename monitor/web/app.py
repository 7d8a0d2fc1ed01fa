"""The web application: health, the page, the API; and how what goes wrong is said in each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from monitor.errors import UserError
from monitor.web import api, pages
from monitor.web.access import NotSignedIn, Unknown
from monitor.web.access import status_of as status_of
from monitor.web.health import health_routes
from monitor.web.live import Live
from monitor.web.live import router as live
from monitor.web.render import page
from monitor.web.signin import Door
from monitor.web.signin import router as signing_in
from monitor.web.site import Site

API = "/api/v1"
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
YEAR = "public, max-age=31536000, immutable"

log = structlog.get_logger()


def application(site: Site) -> FastAPI:
    """The application over one plant."""
    app = FastAPI(title="asbuilt", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site, app.state.door, app.state.live = site, Door(), Live(site)
    app.router.routes.extend(health_routes(site.vitals))
    app.mount("/static", StaticFiles(directory=str(files("monitor.web") / "static")))
    app.include_router(signing_in)
    app.include_router(live, include_in_schema=False)
    for router in pages.ROUTERS:
        app.include_router(router, include_in_schema=False)
    for router in api.ROUTERS:
        app.include_router(router, prefix=API)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(NotSignedIn, _to_sign_in)
    app.add_exception_handler(Unknown, _unknown)
    app.add_exception_handler(UserError, _said)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)
    return app


async def _with_headers(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    answer = await go_on(request)
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    kept = request.url.path.startswith("/static/") and request.url.query
    answer.headers.setdefault("Cache-Control", YEAR if kept else "no-store")
    return answer


def is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _to_sign_in(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotSignedIn)
    return RedirectResponse(f"/sign-in?then={error.then}", 303)


def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, Unknown)
    return JSONResponse({"error": error.why}, 401, {"WWW-Authenticate": "Bearer"})


def _said(request: Request, error: Exception) -> Response:
    return _answer(request, str(error), status_of(error))


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "there is nothing here" if error.status_code == 404 else str(error.detail)
    return _answer(request, text, error.status_code, dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in error.errors()]
    return _answer(request, "; ".join(faults), 422)


def _bug(request: Request, error: Exception) -> Response:
    log.error("bug", path=request.url.path, exc_info=error)
    return _answer(request, "a bug of asbuilt's: its log says more", 500)


def _answer(request: Request, text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    if is_api(request):
        return JSONResponse({"error": text}, status, headers)
    try:
        answer: Response = page(request, request.app.state.site, "error.html.j2", error=text, status=status)
    except Exception:  # a page that says what is wrong must not fail in its turn
        log.exception("bug", path=request.url.path)
        answer = Response(text, status, media_type="text/plain")
    answer.headers.update(headers or {})
    return answer
