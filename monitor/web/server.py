"""The web server: a thread with a loop of its own, so that no page ever holds up a poll."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.applications import Starlette

from monitor.config import WebTable
from monitor.vitals import Vitals
from monitor.web.health import health_routes

MOST_AT_ONCE = 64  # requests; more are answered with 503
IDLE = 5  # seconds that a connection is kept for another request
FAREWELL = 2.0  # seconds

log = structlog.get_logger()


@contextlib.contextmanager
def served(web: WebTable, vitals: Vitals) -> Iterator[None]:
    """Serve while the daemon runs. Where that cannot be, it is said, and monitoring goes on."""
    try:
        listener = _listener(web)
    except OSError as error:
        log.error("web.failed", listen=web.listen, why=f"{error.strerror or error}; change [web] listen in plant.toml")
        yield
        return
    with listener:
        host, port = listener.getsockname()[:2]
        log.info("web.listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        server = uvicorn.Server(_config(vitals))
        thread = threading.Thread(target=_serve, args=(server, listener), name="web", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(FAREWELL)


def _listener(web: WebTable) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _config(vitals: Vitals) -> uvicorn.Config:
    return uvicorn.Config(
        Starlette(routes=health_routes(vitals)),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=1,
    )


def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        asyncio.run(server.serve([listener]))
    except Exception:  # a bug of ours or of theirs: said with all that helps, and monitoring goes on
        log.exception("bug", chore="web")
