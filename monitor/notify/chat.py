"""Any chat that apprise knows (an extra: pip install 'asbuilt[chat]')."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module

from monitor.evidence import begun
from monitor.notify.channel import NotSent, read
from monitor.notify.content import Document, lines, subject
from monitor.routes import Chat


async def send(route: Chat, document: Document) -> None:
    """Hand a message to a chat. NotSent if it was not taken: apprise does not say why."""
    job = partial(_notify, read(route.url), subject(document), "\n".join(lines(document)))
    await asyncio.wrap_future(begun(job))


def _notify(url: str, title: str, body: str) -> None:
    try:
        apprise = import_module("apprise")
    except ImportError:
        raise NotSent("apprise is not installed: pip install 'asbuilt[chat]'") from None
    service = apprise.Apprise()
    if not service.add(url):
        raise NotSent("apprise does not know an address like this one")
    if not service.notify(title=title, body=body):
        raise NotSent("the chat did not take it")
