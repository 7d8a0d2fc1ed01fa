"""What people's actions have in common, on the page and in the API."""

from __future__ import annotations

import structlog

from monitor.store import Actor
from monitor.web.access import Caller

log = structlog.get_logger()


def signed(caller: Caller, password: str) -> Actor:
    """Who acts; with a password, which opens their own key, they sign it."""
    return caller.actor(signer=caller.signer(password) if password else None)


def say(text: str) -> None:
    """What else should be known of a decision: it stands in the log."""
    log.warning("web", text=text)
