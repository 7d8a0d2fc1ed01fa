"""HTTP: the message as JSON, signed where there is a secret. Of the answer only the status is read."""

from __future__ import annotations

import hmac
import json
import time
from hashlib import sha256

import httpx

from monitor.notify.channel import NotSent, read
from monitor.notify.content import Document
from monitor.routes import Webhook

TIMEOUT = 5.0  # seconds, of each step


async def send(route: Webhook, document: Document) -> None:
    """Post a message. NotSent says why it was not accepted."""
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = {"Content-Type": "application/json", "Idempotency-Key": document["key"], "User-Agent": "asbuilt"}
    if route.secret_env or route.secret_file:
        headers |= _signed(read(route.secret), body, int(time.time()))
    try:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT) as client,
            client.stream("POST", route.url, content=body, headers=headers) as answer,
        ):
            if not answer.is_success:
                raise NotSent(f"HTTP status {answer.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotSent(str(error) or type(error).__name__) from error


def _signed(secret: str, body: bytes, at: int) -> dict[str, str]:
    """When it was signed, and HMAC-SHA-256 over that, a dot, and the body: an old message cannot be played again."""
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return {"Asbuilt-Timestamp": str(at), "Asbuilt-Signature": f"sha256={signature}"}
