"""The services that a monitor may ask for (Part 4), as bytes; and what comes back. No I/O.

`SERVICES` is the whole of it, and `WATCHING` what is added where a profile lets us subscribe: what is not in these
tables cannot be asked, because `Channel` sends nothing that is not. There is no Write, no Call, no node management and
no file transfer to be found here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from baselines.snapshot import Value
from collectors.uabinary import F64, I32, Beyond, Broken, Reader, array, blob, i32, moment, node_id, text, u32

GET_ENDPOINTS, OPEN_CHANNEL, CLOSE_CHANNEL = 428, 446, 452  # encoding ids (Part 6, Annex A.3)
CREATE_SESSION, ACTIVATE_SESSION, CLOSE_SESSION = 461, 467, 473
BROWSE, BROWSE_NEXT, READ = 527, 533, 631
CREATE_SUBSCRIPTION, CREATE_MONITORED_ITEMS, PUBLISH, DELETE_SUBSCRIPTIONS = 787, 751, 826, 847

SERVICES: dict[int, int | None] = {  # each request, and its response
    GET_ENDPOINTS: 431,
    OPEN_CHANNEL: 449,
    CLOSE_CHANNEL: None,  # is not answered
    CREATE_SESSION: 464,
    ACTIVATE_SESSION: 470,
    CLOSE_SESSION: 476,
    BROWSE: 530,
    BROWSE_NEXT: 536,
    READ: 634,
}
WATCHING: dict[int, int | None] = {  # the same, where a profile says `subscribe`
    CREATE_SUBSCRIPTION: 790,
    CREATE_MONITORED_ITEMS: 754,
    PUBLISH: 829,
    DELETE_SUBSCRIPTIONS: 850,
}
RESPONSES = SERVICES | WATCHING
SERVICE_NAMES = {
    GET_ENDPOINTS: "GetEndpoints",
    OPEN_CHANNEL: "OpenSecureChannel",
    CLOSE_CHANNEL: "CloseSecureChannel",
    CREATE_SESSION: "CreateSession",
    ACTIVATE_SESSION: "ActivateSession",
    CLOSE_SESSION: "CloseSession",
    BROWSE: "Browse",
    BROWSE_NEXT: "BrowseNext",
    READ: "Read",
    CREATE_SUBSCRIPTION: "CreateSubscription",
    CREATE_MONITORED_ITEMS: "CreateMonitoredItems",
    PUBLISH: "Publish",
    DELETE_SUBSCRIPTIONS: "DeleteSubscriptions",
}
SERVICE_FAULT = 397
ALLOWED = {node_id(request): request for request in SERVICES}  # the first four bytes of all that may leave
ALLOWED_WATCHING = {node_id(request): request for request in RESPONSES}

DESCRIPTION, VALUE = 5, 13  # attributes (Part 6, Annex A.1)
ACCESS_LEVEL, USER_ACCESS_LEVEL, MINIMUM_SAMPLING, HISTORIZING = 17, 18, 19, 20
WHOLE = text(None) + bytes(2) + text(None)  # all of an attribute, in the default encoding
PER_NODE = 4 + len(WHOLE)
PER_MONITORED = PER_NODE + 4 + 4 + 8 + 3 + 4 + 1
NEITHER = 3  # of the two timestamps
HIERARCHICAL = 33
BAD = 0x80000000
REPORTING = 2  # a monitoring mode: sampled, and told
DATA_CHANGE, STATUS_CHANGE = "i=811", "i=820"  # what a notification may be (Part 6, Annex A.3)
OBJECT, VARIABLE = 1, 2
REFERENCE_TYPE, NODE_CLASS, BROWSE_NAME, TYPE_DEFINITION = 1, 4, 8, 32  # what a Browse is to say of each reference
NAMES = NODE_CLASS | BROWSE_NAME
NO_NODE = node_id(0)
ANONYMOUS, USER_NAME = 321, 324  # identity tokens
MOST_ENDPOINTS = 500
MOST_REFERENCES = 200  # of one node in one answer are asked for; some servers send all that they have
MOST_BROWSED = 20_000  # references in one answer
MODES = {1: "None", 2: "Sign", 3: "SignAndEncrypt"}
TOKENS = {0: "Anonymous", 1: "UserName", 2: "Certificate", 3: "IssuedToken"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a key of SERVICES or WATCHING, and what follows its header."""

    service: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """A way for a user to log in. An empty `policy` is that of the endpoint (Part 4, 7.42)."""

    id: str
    kind: str
    policy: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A way in, as the server describes it; `certificate` is the first of a chain, in DER."""

    application_uri: str
    certificate: bytes
    policy: str
    mode: str
    tokens: tuple[TokenPolicy, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to OpenSecureChannel; the lifetime in milliseconds."""

    channel: int
    token: int
    lifetime: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to CreateSession; `token` as it is written, `timeout` in seconds."""

    token: bytes
    timeout: float
    nonce: bytes
    certificate: bytes
    endpoints: tuple[Endpoint, ...]
    signature: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A node below another: its NodeId as it is written, and by namespace URI.

    `kind` is the type of the reference and `type` that of the node, by namespace URI; "i=0" where it was not asked for.
    """

    node: bytes
    name: str
    browse_name: str
    is_object: bool
    kind: str
    type: str


@dataclass(frozen=True, slots=True)
class Browsed:
    """What is below one node, and the point from which to go on."""

    status: int
    point: bytes | None
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that was read, and the status code that came with it."""

    value: Value | Beyond
    status: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The answer to CreateSubscription, as the server revised it; `interval` in seconds."""

    id: int
    interval: float
    keep_alives: int  # publishing intervals without a change after which it says that it lives


@dataclass(frozen=True, slots=True)
class Published:
    """What a server told by itself, without the values: a value is what a Read says.

    `changed` counts the notifications of data changes (none: a keep-alive); `ended` is the status code with which the
    subscription ended, 0 while it goes on.
    """

    subscription: int
    sequence: int
    changed: int
    ended: int


def request_header(token: bytes, now: datetime, handle: int, timeout: float) -> bytes:
    """Part 4, 7.33: no diagnostics, no audit entry, nothing additional."""
    hint = u32(min(int(timeout * 1000), (1 << 32) - 1))
    return token + moment(now) + u32(handle) + u32(0) + text(None) + hint + NO_NODE + b"\x00"


def read_header(reader: Reader) -> tuple[int, int]:
    """The handle and the service result of a response header (Part 4, 7.34)."""
    reader.take(8)
    handle, status = reader.u32(), reader.u32()
    reader.diagnostic_info()
    for _ in range(reader.count()):
        reader.text()
    reader.extension_object()
    return handle, status


def open_channel(renew: bool, mode: str, nonce: bytes, lifetime: float) -> Request:
    number = next(number for number, name in MODES.items() if name == mode)
    body = u32(0) + i32(1 if renew else 0) + i32(number) + blob(nonce) + u32(int(lifetime * 1000))
    return Request(OPEN_CHANNEL, body)


def read_opened(reader: Reader) -> Opened:
    reader.u32()
    channel, token = reader.u32(), reader.u32()
    reader.take(8)
    return Opened(channel, token, reader.u32(), reader.blob() or b"")


def get_endpoints(url: str) -> Request:
    return Request(GET_ENDPOINTS, text(url) + array([]) + array([]))


def read_endpoints(reader: Reader) -> tuple[Endpoint, ...]:
    count = reader.count()
    if count > MOST_ENDPOINTS:
        raise Broken(f"{count} endpoints")
    return tuple(_endpoint(reader) for _ in range(count))


def _endpoint(reader: Reader) -> Endpoint:
    reader.text()  # where: a host name, of which a server has as many as its callers
    application_uri = reader.text() or ""
    reader.text()
    reader.localized_text()
    reader.u32()
    reader.text()
    reader.text()
    for _ in range(reader.count()):
        reader.text()
    certificate = first_certificate(reader.blob() or b"")
    mode = MODES.get(reader.u32(), "?")
    policy = reader.text() or ""
    tokens = tuple(_token_policy(reader) for _ in range(reader.count()))
    reader.text()
    reader.byte()
    return Endpoint(application_uri, certificate, policy, mode, tokens)


def _token_policy(reader: Reader) -> TokenPolicy:
    name, kind = reader.text() or "", TOKENS.get(reader.u32(), "?")
    reader.text()
    reader.text()
    return TokenPolicy(name, kind, reader.text() or "")


def first_certificate(chain: bytes) -> bytes:
    """The first certificate of a chain in DER: its own length says where it ends."""
    if len(chain) < 2 or chain[1] < 0x80:
        return chain
    digits = chain[1] & 0x7F
    return chain[: 2 + digits + int.from_bytes(chain[2 : 2 + digits], "big")]


def create_session(
    url: str, application_uri: str, nonce: bytes, certificate: bytes | None, timeout: float, longest: int
) -> Request:
    us = text(application_uri) + text("urn:asbuilt") + b"\x02" + text("asbuilt") + i32(1)  # 1: a client
    us += text(None) + text(None) + array([])
    session = text(None) + text(url) + text("asbuilt") + blob(nonce) + blob(certificate)
    return Request(CREATE_SESSION, us + session + F64.pack(timeout * 1000) + u32(longest))


def read_created(reader: Reader) -> Created:
    reader.raw_node_id()
    token = reader.raw_node_id()
    timeout = reader.number(F64) / 1000
    nonce, certificate = reader.blob() or b"", first_certificate(reader.blob() or b"")
    endpoints = read_endpoints(reader)
    for _ in range(reader.count()):
        reader.blob()
        reader.blob()
    reader.text()
    return Created(token, timeout if math.isfinite(timeout) else 0, nonce, certificate, endpoints, reader.blob() or b"")


def activate_session(algorithm: str | None, signature: bytes | None, token: tuple[int, bytes]) -> Request:
    kind, body = token
    identity = node_id(kind) + b"\x01" + blob(body)
    ours = text(algorithm) + blob(signature) + array([]) + array([])
    return Request(ACTIVATE_SESSION, ours + identity + text(None) + blob(None))


def anonymous(policy_id: str) -> tuple[int, bytes]:
    return ANONYMOUS, text(policy_id)


def user_name(policy_id: str, user: str, password: bytes, algorithm: str | None) -> tuple[int, bytes]:
    return USER_NAME, text(policy_id) + text(user) + blob(password) + text(algorithm)


def close_session() -> Request:
    return Request(CLOSE_SESSION, b"\x01")


def close_channel() -> Request:
    return Request(CLOSE_CHANNEL, b"")


def read(nodes: Sequence[bytes], attribute: int = VALUE) -> Request:
    """One attribute of nodes, each as it is now; timestamps are not asked for, so that unchanged answers are equal."""
    what = u32(attribute) + WHOLE
    return Request(READ, F64.pack(0) + i32(NEITHER) + array([node + what for node in nodes]))


def read_values(reader: Reader, asked: int) -> list[Reading]:
    _counted(reader, asked, "values")
    return [Reading(*reader.data_value()) for _ in range(asked)]


def browse(nodes: Sequence[bytes], wanted: int = NAMES) -> Request:
    """The objects and variables below nodes; `wanted` is what is to be said of each."""
    how = i32(0) + node_id(HIERARCHICAL) + b"\x01" + u32(OBJECT | VARIABLE) + u32(wanted)
    no_view = NO_NODE + bytes(8) + u32(0)
    return Request(BROWSE, no_view + u32(MOST_REFERENCES) + array([node + how for node in nodes]))


def browse_next(points: Sequence[bytes], release: bool) -> Request:
    return Request(BROWSE_NEXT, (b"\x01" if release else b"\x00") + array([blob(point) for point in points]))


def read_browsed(reader: Reader, asked: int) -> list[Browsed]:
    _counted(reader, asked, "nodes")
    browsed: list[Browsed] = []
    references = 0
    for _ in range(asked):
        status, point, count = reader.u32(), reader.blob(), reader.count()
        references += count
        if references > MOST_BROWSED:
            raise Broken(f"{references} references")
        browsed.append(Browsed(status, point or None, tuple(_reference(reader) for _ in range(count))))
    return browsed


def _reference(reader: Reader) -> Reference:
    kind = reader.node_id()
    reader.byte()
    start = reader.at
    name = reader.node_id()
    node = reader.data[start : reader.at]
    browse_name = reader.qualified_name()
    reader.localized_text()
    is_object = reader.u32() == OBJECT
    return Reference(node, name, browse_name, is_object, kind, reader.node_id())


def _counted(reader: Reader, asked: int, what: str) -> None:
    answered = reader.number(I32)
    if answered != asked:
        raise Broken(f"{answered} {what} in answer to {asked}")


def create_subscription(interval: float, keep_alives: int, lifetime: int) -> Request:
    """Part 4, 5.14.2; `interval` in seconds, the others in intervals. As many notifications a message as there are."""
    return Request(
        CREATE_SUBSCRIPTION, F64.pack(interval * 1000) + u32(lifetime) + u32(keep_alives) + u32(0) + b"\x01\x00"
    )


def read_subscribed(reader: Reader) -> Subscribed:
    number, interval = reader.u32(), reader.number(F64) / 1000
    reader.u32()
    keep_alives = reader.u32()
    if not (math.isfinite(interval) and interval > 0 and keep_alives):
        raise Broken(
            f"a subscription that publishes every {interval:g} s, with {keep_alives} intervals between two signs"
        )
    return Subscribed(number, interval, keep_alives)


def create_monitored_items(subscription: int, nodes: Sequence[bytes], interval: float) -> Request:
    """The values of nodes, sampled every `interval` seconds (Part 4, 5.13.2); of each only the newest is kept.

    Without a filter: told when value or status is another than before. The handles are all 0, for it does not matter
    which changed.
    """
    how = i32(REPORTING) + u32(0) + F64.pack(interval * 1000) + NO_NODE + b"\x00" + u32(1) + b"\x01"
    items = [node + u32(VALUE) + WHOLE + how for node in nodes]
    return Request(CREATE_MONITORED_ITEMS, u32(subscription) + i32(NEITHER) + array(items))


def read_monitored(reader: Reader, asked: int) -> list[int]:
    """The status code of each item."""
    _counted(reader, asked, "monitored items")
    return [_monitored(reader) for _ in range(asked)]


def _monitored(reader: Reader) -> int:
    status = reader.u32()
    reader.take(4 + 8 + 4)  # its id, and the revised sampling interval and queue size
    reader.extension_object()
    return status


def publish(subscription: int, sequence: int) -> Request:
    """Let the server tell something by itself, once; `sequence` is what we have taken in (0: nothing)."""
    return Request(PUBLISH, array([u32(subscription) + u32(sequence)] if sequence else []))


def read_published(reader: Reader, watched: int) -> Published:
    """Part 4, 5.14.5; more notifications than there are items in one message are Broken, for each queue holds one."""
    subscription = reader.u32()
    reader.take(4 * reader.count())  # what could be asked for again
    reader.byte()
    sequence = reader.u32()
    reader.take(8)
    changed = ended = 0
    for _ in range(reader.count()):
        kind, body = reader.node_id(), reader.extension_body()
        if kind == DATA_CHANGE:
            changed += body.count()
        elif kind == STATUS_CHANGE:
            ended = body.u32() or BAD
        else:
            raise Broken(f"a notification of {kind}, which nobody asked for")
        if changed > watched:
            raise Broken(f"{changed} changes at once of {watched} items")
    return Published(subscription, sequence, changed, ended)


def delete_subscriptions(subscription: int) -> Request:
    return Request(DELETE_SUBSCRIPTIONS, array([u32(subscription)]))
