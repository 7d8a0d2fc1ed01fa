"""From a template and what it shows to an answer. Every text is escaped: whatever a device says is data."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from baselines.snapshot import utc_text
from monitor.actions import deviation
from monitor.pictures import duration_text
from monitor.show import value_text
from monitor.web.access import Caller, Role
from monitor.web.access import status_of as status_of
from monitor.web.site import Site

SAID = "asbuilt_said"  # the cookie that carries a sentence to the next page
NAV = (  # path, name
    ("/", "Plant"),
    ("/alarms", "Alarms"),
    ("/baselines", "Baselines"),
    ("/orders", "Change orders"),
    ("/conformity", "Conformity"),
    ("/quality", "Quality"),
    ("/network", "Network"),
    ("/coverage", "Coverage"),
    ("/reports", "Reports"),
    ("/audit", "Audit"),
)


def page(
    request: Request,
    site: Site,
    name: str,
    caller: Caller | None = None,
    *,
    form: Mapping[str, str] | None = None,
    error: str = "",
    status: int = 200,
    **shown: Any,
) -> HTMLResponse:
    """A page. `form` and `error` are what somebody typed, and what was wrong with it: the page shows both."""
    plant = site.plant()
    text = (
        environment()
        .get_template(name)
        .render(
            plant=plant.name,
            zone=ZoneInfo(plant.timezone),
            now=site.clock(),
            me=caller,
            form=form or {},
            error=error,
            said=_said(request),
            path=request.url.path,
            ill=site.ill(),
            **shown,
        )
    )
    answer = HTMLResponse(text.encode("utf-8", "replace"), status)  # a device may say half a character
    if SAID in request.cookies:
        answer.delete_cookie(SAID)
    return answer


def back_to(path: str, said: str = "") -> Response:
    """Go to a page after something was done (RFC 9110, 15.4.4), and say there what."""
    answer = RedirectResponse(path, 303)
    if said:
        text = urlsafe_b64encode(json.dumps(said[:1500]).encode()).decode()
        answer.set_cookie(SAID, text, max_age=60, httponly=True, samesite="strict")
    return answer


def _said(request: Request) -> str:
    try:
        return str(json.loads(urlsafe_b64decode(request.cookies.get(SAID, "") or "IiI=")))
    except (ValueError, RecursionError):  # it is whatever a browser sends
        return ""


def asset_path(name: str) -> str:
    """Where the page of an asset is."""
    return f"/assets/{quote(name, safe='/')}"


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("monitor.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "when": when,
        "value": value_text,
        "brief": brief,
        "ago": ago,
        "local_input": local_input,
        "asset_path": asset_path,
        "deviation": deviation,
        "duration": duration_text,
    }
    made.globals |= {"NAV": NAV, "Role": Role, "static": static}
    return made


@cache
def static(name: str) -> str:
    """Where a file of ours is; its address changes with it, so browsers may keep it."""
    digest = sha256((files("monitor.web") / "static" / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


def when(at: datetime | str | None, zone: ZoneInfo) -> Markup | str:
    """A time by the plant's clock, to the second; what is exact, in UTC, shows where one points at it."""
    if at is None:
        return "–"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    local = moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(utc_text(moment), local)


def ago(at: datetime | str | None, now: datetime) -> Markup | str:
    """How long ago, for people; the script of the page keeps it true."""
    if at is None:
        return "never"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    past = max(now - moment, timedelta())
    text = f"{duration_text(past.total_seconds())} ago"
    return Markup('<time datetime="{0}" title="{0}" data-ago>{1}</time>').format(utc_text(moment), text)


def brief(value: Any, most: int = 1000) -> str:
    """A value for people, of so many letters at most: a browser takes seconds to break a word of ten thousand."""
    text = value_text(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} letters)"


def local_input(at: datetime, zone: ZoneInfo) -> str:
    """A time as the value of `<input type="datetime-local">`."""
    return escape(at.astimezone(zone).strftime("%Y-%m-%dT%H:%M"))
