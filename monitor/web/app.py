"""The web application: health, the page, the API; and how what goes wrong is said in each of them."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import unquote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from monitor.errors import UserError
from monitor.web import oidc, pages
from monitor.web.access import NotSignedIn, Provisional
from monitor.web.access import status_of as status_of
from monitor.web.health import health_routes
from monitor.web.live import Live
from monitor.web.live import router as live
from monitor.web.openapi import PATH as API
from monitor.web.render import page
from monitor.web.rest import rest
from monitor.web.signin import Door, inside
from monitor.web.signin import router as signing_in
from monitor.web.site import Site

log = structlog.get_logger()


def application(site: Site) -> FastAPI:
    """The application over one plant."""
    app = FastAPI(title="asbuilt", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site, app.state.door, app.state.live = site, Door(), Live(site)
    app.router.routes.extend(health_routes(site.vitals))
    app.mount("/static", StaticFiles(directory=str(files("monitor.web") / "static")))
    app.include_router(signing_in)
    app.include_router(live, include_in_schema=False)
    app.include_router(oidc.router)
    for router in pages.ROUTERS:
        app.include_router(router, include_in_schema=False)
    app.state.rest = rest(site, app.state.door)
    app.mount(API, app.state.rest)
    app.add_exception_handler(NotSignedIn, _to_sign_in)
    app.add_exception_handler(Provisional, _to_own_password)
    app.add_exception_handler(UserError, _said)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)
    return app


def is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _to_sign_in(request: Request, error: Exception) -> Response:
    """To the door. Who comes by a link of another site, such as a mail, may well be signed in: their browser keeps a
    strict cookie back, and sends it when our own page sends them on."""
    assert isinstance(error, NotSignedIn)
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        return page(request, request.app.state.site, "onward.html.j2", to=inside(unquote(error.then)))
    return RedirectResponse(f"/sign-in?then={error.then}", 303)


def _to_own_password(_: Request, error: Exception) -> Response:
    return RedirectResponse("/account/password", 303)


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


def _gone(_: Request, error: Exception) -> Response:
    """Whoever sent half a form and went: nobody reads this, and it is no bug."""
    return Response(status_code=400)


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
