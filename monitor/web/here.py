"""The site, as a request finds it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from monitor.web.site import Site


def site_of(request: Request) -> Site:
    found: Site = request.app.state.site
    return found


Here = Annotated[Site, Depends(site_of)]
