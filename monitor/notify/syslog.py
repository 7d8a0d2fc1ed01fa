"""Syslog by RFC 5424, over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425); each alarm is a line of CEF.

Nobody says whether it has come: over UDP never, over TCP and TLS only where the receiver resets the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from datetime import datetime
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any

from monitor.notify.channel import NotSent, tls
from monitor.notify.content import Document
from monitor.routes import Syslog

LONGEST = 2048  # bytes of a line: what every receiver should take (RFC 5424, 6.1)
HEAD = 360  # of these, that stand before the CEF; a host name has 255
SHORTEST = 16  # characters of a value, 8 of which fit in any case
FAREWELL = 1.0  # seconds that a receiver may take to say that it has read all
SEVERITIES = {"critical": 2, "high": 3, "medium": 4, "low": 5}  # RFC 5424, 6.2.1
CEF_SEVERITIES = {"critical": 10, "high": 8, "medium": 5, "low": 3}
UNPRINTABLE = re.compile(r"[^!-~]")


async def send(route: Syslog, document: Document) -> None:
    """Send a message: a line for each alarm that it names, and one for the rest. NotSent says why it could not."""
    messages = syslog_lines(route.facility, document)
    try:
        if route.transport == "udp":
            await _datagrams(route, messages)
        else:
            await _stream(route, messages)
    except OSError as error:
        raise NotSent(str(error) or type(error).__name__) from error


async def _datagrams(route: Syslog, messages: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(route.host, route.at_port, type=socket.SOCK_DGRAM)
    with socket.socket(family, kind, protocol) as sender:
        sender.setblocking(False)
        sender.connect(address)  # so that "nobody listens there" comes back as an error
        for message in messages:
            await loop.sock_sendall(sender, message)
        await asyncio.sleep(0)
        if error := sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))


async def _stream(route: Syslog, messages: list[bytes]) -> None:
    context = tls(route.ca_file) if route.transport == "tls" else None
    reader, writer = await asyncio.open_connection(route.host, route.at_port, ssl=context)
    try:
        for message in messages:
            writer.write(f"{len(message)} ".encode() + message)  # octet counting: RFC 6587, 3.4.1, RFC 5425, 4.3
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await reader.read(1)  # the end, or that it was reset
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await writer.wait_closed()


def syslog_lines(facility: int, document: Document) -> list[bytes]:
    """A line for each alarm; for what is not named, or is about no alarm, one for all of it."""
    named: list[Document | None] = [*document["alerts"]]
    rest: list[Document | None] = [None] if document["more"] or not named else []
    return [_line(facility, document, told) for told in named + rest]


def _line(facility: int, document: Document, told: Document | None) -> bytes:
    """<PRI>1 TIMESTAMP HOST APP PROCID MSGID SD MSG. The MSGID is the event."""
    severity = told["alert"]["severity"] if told else document["severity"]
    priority = facility * 8 + SEVERITIES[severity]
    host = UNPRINTABLE.sub("-", socket.gethostname())[:255] or "-"
    event = UNPRINTABLE.sub("-", (told or document)["event"])[:32] or "-"
    head = f"<{priority}>1 {document['made_at']} {host} asbuilt {os.getpid()} {event} -"
    return f"{head} {cef(document, told)}".encode("utf-8", "replace")


def cef(document: Document, told: Document | None) -> str:
    """One line of CEF:0, its values as long as LONGEST allows beside the head of the line."""
    lines = (_cef(document, told, most) for most in (400, 200, 100, 50, SHORTEST))
    return next(line for line in lines if len(line.encode("utf-8", "replace")) <= LONGEST - HEAD)


def _cef(document: Document, told: Document | None, most: int) -> str:
    alert = told["alert"] if told else None
    severity = alert["severity"] if alert else document["severity"]
    kind = alert["kind"] if alert else (document["event"] if not document["count"] else "more")
    name = alert["item"] if alert else "alarms that are not named one by one" if document["count"] else kind
    head = "|".join(_header(each, most) for each in ("asbuilt", "asbuilt", version("asbuilt"), kind, name))
    pairs = _of_alert(told, alert) if told and alert else _of_all(document)
    pairs |= {"dvchost": document["plant"]}
    shown = " ".join(f"{key}={_value(value, most)}" for key, value in pairs.items() if value not in (None, ""))
    return f"CEF:0|{head}|{CEF_SEVERITIES[severity]}|{shown} cs6Label=key cs6={document['key']}"


def _of_alert(told: Document, alert: Document) -> dict[str, Any]:
    who = alert["who"] or {}
    client = str(who.get("client", ""))
    return {
        "rt": _milliseconds(alert["changed_at"]),
        "externalId": alert["id"],
        "dhost": alert["asset"],
        "cat": alert["category"],
        "act": told["event"],
        "outcome": alert["state"],
        "msg": told["text"],
        "cs1Label": "approved",
        "cs1": alert["approved"],
        "cs2Label": "observed",
        "cs2": alert["observed"],
        "cs3Label": "item",
        "cs3": alert["item"],
        "cs4Label": "techniques",
        "cs4": " ".join(alert["techniques"]),
        "src": client if _is_address(client) else "",
        "shost": who.get("name", ""),
    }


def _of_all(document: Document) -> dict[str, Any]:
    count = document["more"] or ""
    return {"rt": _milliseconds(document["made_at"]), "act": document["event"], "msg": document["text"], "cnt": count}


def _header(text: str, most: int) -> str:
    """Of the header, the backslash and the bar are escaped; a line break cannot be."""
    return _plain(text, most, " ").replace("\\", "\\\\").replace("|", "\\|")


def _value(value: Any, most: int) -> str:
    """Of an extension's value, the backslash and the equals sign are escaped, and a line break is written as \\n."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    kept = "\n".join(_plain(line, most, " ") for line in text[:most].split("\n"))
    return kept.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")


def _plain(text: str, most: int, instead: str) -> str:
    return "".join(letter if letter.isprintable() else instead for letter in text[:most])


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
