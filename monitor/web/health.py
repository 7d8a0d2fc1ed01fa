"""/healthz, /readyz and /metrics: no log-in, and nothing in them that a stranger may not know."""

from __future__ import annotations

from prometheus_client.exposition import choose_encoder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.vitals import Vitals
from monitor.web.metrics import registry_of

NO_STORE = {"Cache-Control": "no-store"}


def health_routes(vitals: Vitals) -> list[Route]:
    """The three, for one daemon."""
    registry = registry_of(vitals)

    async def healthz(_: Request) -> Response:
        """Whether we live: if not, a restart may help."""
        return _said("ok", vitals.hangs())

    async def readyz(_: Request) -> Response:
        """Whether the plant is watched and what is seen is stored; if not, what keeps us from it."""
        return _said("ready", vitals.lacks())

    async def metrics(request: Request) -> Response:
        try:
            encode, kind = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # it takes a version for a number
            encode, kind = choose_encoder("")
        text = await run_in_threadpool(encode, registry)
        return Response(text, headers={"Content-Type": kind, **NO_STORE})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def _said(word: str, wrong: list[str]) -> Response:
    return JSONResponse({word: not wrong, "why": wrong}, 503 if wrong else 200, NO_STORE)
