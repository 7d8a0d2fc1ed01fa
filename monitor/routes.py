"""[notify.…] of plant.toml: which alarms a route tells of, how much at once, and where it leads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from baselines.snapshot import Category, Severity
from collectors.collector import Secret
from collectors.written import read_table

SYSLOG_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}  # RFC 5426, RFC 6587 (as registered), RFC 5425
MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
MAIL_PORTS = {"tls": 465, "starttls": 587, "none": 25}
SECRETS = ("secret", "password")  # what is named, and never written
FILES = ("secret_file", "password_file", "url_file", "ca_file")  # paths, found beside plant.toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What all routes have. `after`: it hears only of alarms that nobody has acknowledged for so long (0: of all)."""

    most: ClassVar[int] = 20  # alarms that one of its messages names

    kind: str
    name: str = ""
    min_severity: Severity = Severity.LOW
    zones: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    group_for: timedelta = timedelta(seconds=5)
    at_most: int = 30  # messages an hour
    after: timedelta = timedelta()
    self_test: bool = False

    @property
    def place(self) -> str:
        """Where it leads, without what may be secret."""
        return self.host

    @property
    def host(self) -> str:
        """The host that is to have an address; "" where that is a secret."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Route):
    """An HTTP server that messages are posted to, signed where there is a secret."""

    url: str
    secret_env: str = ""
    secret_file: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def secret(self) -> Secret:
        return Secret(self.secret_env, self.secret_file)

    def faults(self) -> Iterable[str]:
        if not _is_web_address(self.url):
            yield f"url: is no web address: write https://host/path, not {self.url!r}"
        yield from _one_of("secret", self.secret_env, self.secret_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Email(Route):
    """A mail server (SMTP). `security`: TLS from the beginning, STARTTLS, or none."""

    server: str
    sender: str
    to: tuple[str, ...]
    port: int = 0  # 0: that of its security
    security: Literal["tls", "starttls", "none"] = "starttls"
    user: str = ""
    password_env: str = ""
    password_file: str = ""
    ca_file: str = ""

    @property
    def place(self) -> str:
        return ", ".join(self.to)

    @property
    def host(self) -> str:
        return self.server

    @property
    def at_port(self) -> int:
        return self.port or MAIL_PORTS[self.security]

    @property
    def password(self) -> Secret:
        return Secret(self.password_env, self.password_file)

    def faults(self) -> Iterable[str]:
        if not _is_host(self.server):
            yield f"server: is no host name: {self.server!r}"
        if not 0 <= self.port <= 65535:
            yield f"port: is 1 to 65535, not {self.port}"
        if not self.to:
            yield 'to: name at least one address: ["shift@plant.example"]'
        for key, address in (("sender", self.sender), *(("to", each) for each in self.to)):
            if not _is_mail_address(address):
                yield f"{key}: is no mail address: {address!r}"
        yield from _log_in(self.user, self.password_env, self.password_file)
        if self.user and self.security == "none":
            yield "security: a password is not sent unencrypted: use tls or starttls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Syslog(Route):
    """A receiver of RFC 5424, each alarm a line of CEF: syslog+udp://, syslog+tcp:// or syslog+tls://host[:port]."""

    most: ClassVar[int] = 200

    address: str
    facility: int = 16  # local0
    ca_file: str = ""

    @property
    def place(self) -> str:
        return self.address

    @property
    def transport(self) -> str:
        return _transport(urlsplit(self.address).scheme)

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def at_port(self) -> int:
        return urlsplit(self.address).port or SYSLOG_PORTS[self.transport]

    def faults(self) -> Iterable[str]:
        parts = _parts(self.address)
        if parts is None or _transport(parts.scheme) not in SYSLOG_PORTS or parts.path.strip("/"):
            yield f"address: is syslog://host (UDP), syslog+tcp://host or syslog+tls://host, not {self.address!r}"
        if not 0 <= self.facility <= 23:
            yield f"facility: is 0 to 23, not {self.facility}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt(Route):
    """A broker (MQTT 3.1.1): mqtt:// or mqtts://host[:port]; the topics begin with `topic`."""

    most: ClassVar[int] = 200

    address: str
    topic: str = "asbuilt"
    user: str = ""
    password_env: str = ""
    password_file: str = ""
    ca_file: str = ""

    @property
    def place(self) -> str:
        return f"{self.address} {self.topic}"

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.address).scheme == "mqtts"

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def at_port(self) -> int:
        parts = urlsplit(self.address)
        return parts.port or MQTT_PORTS[parts.scheme]

    @property
    def password(self) -> Secret:
        return Secret(self.password_env, self.password_file)

    def faults(self) -> Iterable[str]:
        parts = _parts(self.address)
        if parts is None or parts.scheme not in MQTT_PORTS or parts.path.strip("/"):
            yield f"address: is mqtt://host or mqtts://host, not {self.address!r}"
        elif parts.username or parts.password:
            yield "address: no secret belongs in this file; use user, and password_env or password_file"
        if not self.topic.strip("/") or set(self.topic) & set("+#\0$") or not self.topic.isprintable():
            yield f"topic: is what topics begin with, such as plant1/asbuilt, without + and #; not {self.topic!r}"
        yield from _log_in(self.user, self.password_env, self.password_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Route):
    """Any chat that apprise knows. Its addresses hold secrets, so they are in the environment or in a file."""

    url_env: str = ""
    url_file: str = ""

    @property
    def place(self) -> str:
        return self.url_env or self.url_file

    @property
    def url(self) -> Secret:
        return Secret(self.url_env, self.url_file)

    def faults(self) -> Iterable[str]:
        if bool(self.url_env) == bool(self.url_file):
            yield "url_env: the address of a chat holds its secret: name it with either url_env or url_file"
        if find_spec("apprise") is None:
            yield "kind: chat needs apprise, which is not installed: pip install 'asbuilt[chat]'"


AnyRoute = Webhook | Email | Syslog | Mqtt | Chat
KINDS: Mapping[str, type[AnyRoute]] = {
    "webhook": Webhook,
    "email": Email,
    "syslog": Syslog,
    "mqtt": Mqtt,
    "chat": Chat,
}


def read_route(
    name: str, found: dict[str, Any], path: str, folder: Path, zones: Collection[str] | None, faults: list[str]
) -> AnyRoute | None:
    """One route, its paths beside plant.toml; None, with the faults added, if anything is wrong.

    `zones` are those of the plant, or None where they are not known because an asset is wrong.
    """
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        fault = "is required; it" if kind is None else f"is not {kind!r}; it"
        faults.append(f"{path}.kind: {fault} is one of {', '.join(KINDS)}")
        return None
    secrets = [key for key in SECRETS if key in found]
    faults += [f"{path}.{key}: no secret belongs in this file; use {key}_env or {key}_file" for key in secrets]
    found = {key: value for key, value in found.items() if key not in secrets}
    route = read_table(KINDS[kind], found, path, faults, name=name)
    if route is None:
        return None
    faults += [f"{path}.{fault}" for fault in (*_of_all(route, zones), *route.faults())]
    here = {field.name for field in fields(route)} & {*FILES}
    beside: dict[str, Any] = {key: str(folder / value) for key in here if (value := getattr(route, key))}
    return replace(route, **beside)


def _of_all(route: Route, zones: Collection[str] | None) -> Iterable[str]:
    if not 1 <= route.at_most <= 3600:
        yield f"at_most: is 1 to 3600 messages an hour, not {route.at_most}"
    if route.group_for > timedelta(hours=1):
        yield "group_for: is at most 1h"
    if route.name and not route.name.isprintable():
        yield "name: a route's name has no control characters"
    yield from unknown_zones(route.zones, zones)


def unknown_zones(named: Iterable[str], zones: Collection[str] | None) -> Iterable[str]:
    """Faults of zones that no asset and no segment is in; none where it is not known which those are."""
    for zone in named if zones is not None else ():
        if zone not in (zones or ()):
            known = ", ".join(sorted({*(zones or ())} - {""})) or "none"
            yield f"zones: no asset or segment is in zone {zone!r}; there is {known}"


def _one_of(what: str, env: str, file: str) -> Iterable[str]:
    if env and file:
        yield f"{what}_env: use either {what}_env or {what}_file"


def _log_in(user: str, env: str, file: str) -> Iterable[str]:
    if bool(user) != bool(env or file):
        yield "user: user and password belong together: user, and password_env or password_file"
    yield from _one_of("password", env, file)


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0 and address.isprintable() and " " not in address
        return parts if usable else None
    except ValueError:
        return None


def _transport(scheme: str) -> str:
    return {"syslog": "udp", "syslog+udp": "udp", "syslog+tcp": "tcp", "syslog+tls": "tls"}.get(scheme, "")


def _is_web_address(url: str) -> bool:
    parts = _parts(url)
    return parts is not None and parts.scheme in ("http", "https")


def _is_host(text: str) -> bool:
    return bool(text) and text.isprintable() and not set(text) & set(" /@")


def _is_mail_address(text: str) -> bool:
    local, at, host = text.rpartition("@")
    return bool(local and at) and _is_host(host) and text.isprintable() and not set(text) & set(' <>,;"')
