"""What the API offers, for whoever writes a program against it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor.web.access import Viewer
from monitor.web.here import Here
from monitor.web.openapi import PATH
from monitor.web.reference import subjects
from monitor.web.render import page

router = APIRouter()


@router.get("/api")
def reference(request: Request, site: Here, caller: Viewer) -> Response:
    document = request.app.state.rest.openapi()
    found = subjects(document, f"{str(request.base_url).rstrip('/')}{PATH}")
    return page(
        request, site, "reference.html.j2", caller, subjects=found, base=PATH, version=document["info"]["version"]
    )
