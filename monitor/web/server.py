"""The web server: a thread with a loop of its own, so that no page ever holds up a poll."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog
import uvicorn

from monitor.config import WebTable

if TYPE_CHECKING:
    from monitor.web.site import Site

MOST_AT_ONCE = 64  # requests; more are answered with 503
IDLE = 5  # seconds that a connection is kept for another request
FAREWELL = 2.0  # seconds

log = structlog.get_logger()


@contextlib.contextmanager
def served(web: WebTable, site: Site) -> Iterator[str]:
    """Serve while the daemon runs; gives the address, or "" where it cannot: that is said, and monitoring goes on."""
    try:
        listener = _listener(web)
    except OSError as error:
        log.error("web.failed", listen=web.listen, why=f"{error.strerror or error}; change [web] listen in plant.toml")
        yield ""
        return
    with listener:
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        running: list[uvicorn.Server] = []
        thread = threading.Thread(target=_serve, args=(site, listener, url, running), name="web", daemon=True)
        thread.start()
        try:
            yield url
        finally:
            for server in running:
                server.should_exit = True
            site.end()
            thread.join(FAREWELL)
            site.made.close()


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


def _serve(site: Site, listener: socket.socket, url: str, running: list[uvicorn.Server]) -> None:
    try:
        server = uvicorn.Server(_config(site, url))
        running.append(server)
        log.info("web.listening", url=url)
        asyncio.run(server.serve([listener]))
    except Exception:  # a bug of ours or of theirs: said with all that helps, and monitoring goes on
        log.exception("bug", chore="web")


def _config(site: Site, url: str) -> uvicorn.Config:
    from monitor.web.app import application  # here, in its thread: it takes a second that no poll waits for
    from monitor.web.signin import say_code

    app = application(site)
    say_code(site, app.state.door, url)
    return uvicorn.Config(
        app,
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
