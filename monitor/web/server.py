"""The web server: a thread with a loop of its own, so that no page ever holds up a poll."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor import tls
from monitor.config import WebTable
from monitor.errors import CallError

if TYPE_CHECKING:
    from monitor.web.site import Site

MOST_AT_ONCE = 256  # connections; more are answered with 503
IDLE = 5  # seconds that a connection is kept for another request
HEAD_WITHIN = 10.0  # seconds: who has not asked for anything by then is let go of
FAREWELL = 2.0  # seconds

log = structlog.get_logger()


@contextlib.contextmanager
def served(web: WebTable, site: Site) -> Iterator[str]:
    """Serve while the daemon runs; gives the address, or "" where it cannot: that is said, and monitoring goes on."""
    try:
        secured, doubt = tls.context(web), tls.objection(web)
        listener = _listener(web)
    except CallError as error:
        log.error("web.failed", listen=web.listen, why=f"{error} ([web] in plant.toml)")
        yield ""
        return
    except OSError as error:
        log.error("web.failed", listen=web.listen, why=f"{error.strerror or error}; change [web] listen in plant.toml")
        yield ""
        return
    if doubt:
        log.warning("web.doubt", text=doubt)
    with listener:
        host, port = listener.getsockname()[:2]
        url = f"{'https' if secured else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        running: list[uvicorn.Server] = []
        thread = threading.Thread(target=_serve, args=(web, site, secured, listener, url, running), daemon=True)
        thread.name = "web"
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
    family, kind, protocol, _, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)  # asyncio sets TCP_NODELAY where it is said that this is TCP
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _serve(
    web: WebTable,
    site: Site,
    secured: ssl.SSLContext | None,
    listener: socket.socket,
    url: str,
    running: list[uvicorn.Server],
) -> None:
    try:
        server = uvicorn.Server(_config(web, site, secured, url))
        running.append(server)
        log.info("web.listening", url=url)
        asyncio.run(server.serve([listener]))
    except Exception:  # a bug of ours or of theirs: said with all that helps, and monitoring goes on
        log.exception("bug", chore="web")


def _config(web: WebTable, site: Site, secured: ssl.SSLContext | None, url: str) -> uvicorn.Config:
    from monitor.web.app import application  # here, in its thread: it takes a second that no poll waits for
    from monitor.web.guard import Guard
    from monitor.web.signin import say_code

    app = application(site)
    say_code(site, app.state.door, url)
    return uvicorn.Config(
        Guard(app, lambda: site.plant().web),
        loop="asyncio",
        http=Impatient,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what strangers send is no warning: they would fill the log, and not as JSON
        access_log=False,
        server_header=False,
        proxy_headers=bool(web.proxies),
        forwarded_allow_ips=web.proxies,
        ssl_context_factory=(lambda *_: secured) if secured else None,
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=1,
    )


class Impatient(H11Protocol):
    """A connection that is let go of when no request came in time: else some hundred silent ones shut everybody out."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_or_not()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_or_not()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_or_not(self) -> None:
        cycle: Any = self.cycle  # None at first
        if cycle and not cycle.response_complete:
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
