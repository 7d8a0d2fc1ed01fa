"""OPC UA Binary over TCP, as it passes (OPC 10000-6, 5.2, 6.7 and 7.1; the services are those of OPC 10000-4)."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from baselines.snapshot import plain
from baselines.wire import Operation
from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import text
from collectors.passive.said import NOTHING, RECEIVER, SENDER, Act, Asked, Malformed, Said, Sighting
from collectors.uabinary import FAULTS, Beyond, Reader

HELLO, ACKNOWLEDGE, ERROR, REVERSE_HELLO = b"HEL", b"ACK", b"ERR", b"RHE"
OPEN, CLOSE, MESSAGE = b"OPN", b"CLO", b"MSG"
CHUNKED = (OPEN, CLOSE, MESSAGE)
KINDS = (HELLO, ACKNOWLEDGE, ERROR, REVERSE_HELLO, *CHUNKED)
LARGEST = 1 << 24  # of one chunk; nobody announces more than a few MiB
SYMMETRIC = 24  # bytes before the body: header, channel, token, sequence number, request id
PARTIAL_MOST = 1 << 16
NONE_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#None"
HIDDEN = "encrypted"
ENCRYPTED = Said((HIDDEN,), hidden=HIDDEN)
SHOWN_MOST = 32
MODES = {1: "None", 2: "Sign", 3: "SignAndEncrypt"}

SERVICES = {  # encoding ids of requests (OPC 10000-6, annex A)
    422: "find-servers", 12208: "find-servers-on-network", 428: "get-endpoints", 437: "register-server",
    12211: "register-server-2", 446: "open-secure-channel", 452: "close-secure-channel", 461: "create-session",
    467: "activate-session", 473: "close-session", 479: "cancel", 488: "add-nodes", 494: "add-references",
    500: "delete-nodes", 506: "delete-references", 527: "browse", 533: "browse-next",
    554: "translate-browse-paths", 560: "register-nodes", 566: "unregister-nodes", 615: "query-first",
    621: "query-next", 631: "read", 664: "history-read", 673: "write", 700: "history-update", 712: "call",
    751: "create-monitored-items", 763: "modify-monitored-items", 769: "set-monitoring-mode",
    775: "set-triggering", 781: "delete-monitored-items", 787: "create-subscription",
    793: "modify-subscription", 799: "set-publishing-mode", 826: "publish", 832: "republish",
    841: "transfer-subscriptions", 847: "delete-subscriptions",
}  # fmt: skip
ANSWERS = {
    397, 425, 12209, 431, 440, 12212, 449, 455, 464, 470, 476, 482, 491, 497, 503, 509, 530, 536, 557, 563, 569, 618,
    624, 634, 667, 676, 703, 715, 754, 766, 772, 778, 784, 790, 796, 802, 829, 835, 844, 850,
}  # fmt: skip
FIND_SERVERS, GET_ENDPOINTS, REGISTER_SERVER, CREATE_SESSION, ACTIVATE_SESSION = 422, 428, 437, 461, 467
READ, WRITE, CALL, HISTORY_UPDATE, READ_ANSWER = 631, 673, 712, 700, 634
FIND_SERVERS_ANSWER, GET_ENDPOINTS_ANSWER, CREATE_SESSION_ANSWER = 425, 431, 464
NODE_CHANGES = {488, 494, 500, 506}
SAYS = {number: Said((name,)) for number, name in SERVICES.items()}
USER_NAME, CERTIFICATE_TOKEN = 324, 327
VALUE = 13  # the attribute
STATUS, BUILD_INFO = 2256, 2260
FIELDS = {  # ns=0 nodes that say who a server is
    2254: "application_uri",  # ServerArray: its first element
    2261: "product_name",
    2262: "product_uri",
    2263: "manufacturer",
    2264: "software_revision",
    2265: "build_number",
    2266: "build_date",
    STATUS: "",
    BUILD_INFO: "",
}
BUILD_INFO_TYPE, STATUS_TYPE = 340, 864  # encoding ids
STATES = ("Running", "Failed", "No Configuration", "Suspended", "Shutdown", "Test", "Communication Fault", "Unknown")
# A read names its nodes as 01 00 <number>, or in the long form 02 00 00 <number> 00 00 (5.2.2.9); attribute 13 follows.
IDENTITY_NODES = re.compile(
    b"(?:\\x01\\x00|\\x02\\x00\\x00)(?:" + b"|".join(re.escape(struct.pack("<H", number)) for number in FIELDS) + b")",
    re.DOTALL,
)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
PLAIN = {826, 527, 533, 554, 560, 566, 751, 763, 769, 781, 787, 793, 799, 832, 847, 664, 473}  # requests
TELLING = {READ_ANSWER, FIND_SERVERS_ANSWER, GET_ENDPOINTS_ANSWER, CREATE_SESSION_ANSWER, 449}
SIGNED = np.array(sorted((ANSWERS - TELLING) | PLAIN))


class Passing(Reader):
    """A reader for what others say: it needs no names for status codes."""

    __slots__ = ()

    def status(self) -> str:
        return f"0x{self.u32():08X}"


def cut(data: bytes) -> int:
    """7.1.2.2: kind, chunk, size of the whole. (Sizes of zero and of milliards are none.)"""
    if len(data) < 4:
        return 0 if any(kind.startswith(data[:3]) for kind in KINDS) else -1
    if data[:3] not in KINDS or data[3] not in b"FCA":
        return -1
    if len(data) < 8:
        return 0
    size = int.from_bytes(data[4:8], "little")
    return size if 8 <= size <= LARGEST else -1


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """One chunk; what comes in several is put together."""
    if len(message) < 8 or cut(message) != len(message):
        raise Malformed("no OPC UA message")
    kind = message[:3]
    try:
        if kind in CHUNKED:
            return _opened(message, asked) if kind == OPEN else _message(message, client, asked)
        return _hello(message) if kind in (HELLO, REVERSE_HELLO) else NOTHING
    except FAULTS:
        raise Malformed(f"{kind.decode()} ends early, or holds what it cannot") from None


def _hello(message: bytes) -> Said:
    reader = Passing(message)
    if message[:3] == REVERSE_HELLO:  # 7.1.2.6: the server's URI and endpoint
        reader.at = 8
        found = [("application_uri", _text(reader)), ("endpoint_url", _text(reader))]
        return Said(("reverse-hello",), tuple(Sighting(field, value) for field, value in found if value))
    reader.at = 28  # 7.1.2.3: five numbers, then the URL of who is called
    url = _text(reader)
    return Said(("hello",), (Sighting("endpoint_url", url, RECEIVER),) if url else ())


def _text(reader: Reader) -> str:
    return text(reader.blob() or b"")


def _opened(message: bytes, asked: Asked) -> Said:
    """6.7.2.3: the asymmetric header is readable, whatever the policy: policy, sender's certificate, thumbprint."""
    reader = Passing(message)
    reader.at = 12
    policy = _text(reader)
    certificate = reader.blob() or b""
    reader.blob()
    found = [Sighting("security_policy", policy.rpartition("#")[2], SENDER)] if policy else []
    found += [Sighting(field, value) for field, value in _certificate(certificate)]
    secure = bool(policy) and policy != NONE_POLICY
    if not secure:
        asked.keep("mode", "None")
        reader.take(8)
        kind = _encoding(reader)
        return Said(("open-secure-channel",) if kind == 446 else (), tuple(found))
    asked.keep("mode", "secure")  # Sign or SignAndEncrypt: the bodies will tell
    return Said(("open-secure-channel",), tuple(found))


def prepare() -> None:
    import cryptography.x509  # noqa: F401  (forty milliseconds that only few captures need)


def _certificate(der: bytes) -> Iterator[tuple[str, str]]:
    if len(der) < 64:
        return
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        yield "certificate_subject", text(certificate.subject.rfc4514_string().encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier)[:1]:
            yield "application_uri", text(uri.encode())
    except Exception:  # the library has a dozen for what a stranger's certificate may hold: it then says nothing
        return


def _message(message: bytes, client: bool, asked: Asked) -> Said:
    if len(message) < SYMMETRIC:
        raise Malformed("a chunk without its header")
    request = message[20:24]
    chunk = message[3:4]
    key = ("part", client, request)
    if chunk == b"A":
        asked.take(key)
        return NOTHING
    part = asked.take(key)
    if part is None and chunk == b"F":
        return _body(message, SYMMETRIC, request, asked)
    whole = (part if part is not None else message[:SYMMETRIC]) + message[SYMMETRIC:]
    if chunk == b"C":
        asked.note(key, whole[:PARTIAL_MOST], min(len(whole), PARTIAL_MOST))
        return NOTHING
    return _body(whole, SYMMETRIC, request, asked)


def _body(message: bytes, at: int, request: bytes, asked: Asked) -> Said:
    """What a service says. A body that begins with no service that there is, is encrypted."""
    if message[at : at + 2] == b"\x01\x00":
        number = message[at + 2] | message[at + 3] << 8
        begin = at + 4
    elif message[at : at + 3] == b"\x02\x00\x00":
        number = int.from_bytes(message[at + 3 : at + 7], "little")
        begin = at + 7
    else:
        number = begin = 0
    if number == READ_ANSWER:
        if (nodes := asked.take(request)) is None:
            return NOTHING
        return _read_answer(message, begin, nodes)
    said = SAYS.get(number)
    if said is None:
        if number in ANSWERS:
            return _answer(number, message, begin) if number in DESCRIBING else NOTHING
        if asked.kept("mode") == "None" and number:
            return Said((f"service-{number}",))
        return ENCRYPTED
    if number == READ:
        return _read(message, begin, request, asked)
    read = REQUESTS.get(number)
    return said if read is None else read(number, said, _after_header(message, begin))


def _encoding(reader: Reader) -> int:
    """The number of a service or type in namespace 0; 0 for any other NodeId."""
    name = reader.node_id()
    return int(name[2:]) if name.startswith("i=") else 0


def _after_header(message: bytes, at: int) -> Reader:
    """Behind the request header (OPC 10000-4, 7.33): token, time, handle, diagnostics, audit id, time-out, more."""
    reader = Passing(message)
    reader.at = at
    reader.node_id()
    reader.take(16)
    reader.blob()
    reader.take(4)
    reader.extension_object()
    return reader


def _after_answer_header(message: bytes, at: int) -> Reader:
    """Behind the response header (7.34): time, handle, result, diagnostics, string table, more."""
    reader = Passing(message)
    reader.at = at
    reader.take(16)
    reader.diagnostic_info()
    for _ in range(reader.count()):
        reader.blob()
    reader.extension_object()
    return reader


# Requests


def _read(message: bytes, begin: int, request: bytes, asked: Asked) -> Said:
    said = SAYS[READ]
    if not IDENTITY_NODES.search(message, begin):
        return said
    reader = _after_header(message, begin)
    reader.take(12)  # max age, timestamps
    nodes: list[int] = []
    for _ in range(reader.count()):
        name = reader.node_id()
        attribute = reader.u32()
        reader.blob()
        reader.qualified_name()
        nodes.append(int(name[2:]) if name.startswith("i=") and attribute == VALUE else 0)
    wanted = [node for node in nodes if node in FIELDS]
    if not wanted:
        return said
    asked.note(request, tuple(node if node in FIELDS else 0 for node in nodes[:1024]))
    detail = {"function": "read", "nodes": [f"i={node}" for node in wanted[:SHOWN_MOST]]}
    return Said(said.functions, acts=(Act(Operation.IDENTITY_READ, detail),))


def _write(number: int, said: Said, reader: Reader) -> Said:
    count = reader.count()
    nodes = []
    for _ in range(min(count, SHOWN_MOST)):
        name, attribute = reader.node_id(), reader.u32()
        reader.blob()
        value, _status = reader.data_value()
        nodes.append({"node": name, "attribute": attribute, "value": _json(value)})
    return Said(said.functions, acts=(Act(Operation.WRITE, {"function": "write", "count": count, "nodes": nodes}),))


def _call(number: int, said: Said, reader: Reader) -> Said:
    count = reader.count()
    methods = []
    for _ in range(min(count, SHOWN_MOST)):
        called, method = reader.node_id(), reader.node_id()
        arguments = [_json(reader.variant()) for _ in range(reader.count())]
        methods.append({"object": called, "method": method, "arguments": arguments[:SHOWN_MOST]})
    return Said(said.functions, acts=(Act(Operation.WRITE, {"function": "call", "count": count, "methods": methods}),))


def _json(value: Any) -> Any:
    if isinstance(value, Beyond):
        return value.why
    if isinstance(value, bytes):
        return value[:SHOWN_MOST].hex()
    if isinstance(value, tuple):
        return [_json(part) for part in value[:SHOWN_MOST]]
    shown = plain(value)
    return text(shown.encode("utf-8", "replace")) if isinstance(shown, str) else shown


def _change(number: int, said: Said, reader: Reader) -> Said:
    operation = Operation.WRITE if number == HISTORY_UPDATE else Operation.PROGRAM_CHANGE
    detail = {"function": said.functions[0], "count": reader.count()}
    return Said(said.functions, acts=(Act(operation, detail),))


def _asks_who(number: int, said: Said, reader: Reader) -> Said:
    detail = {"function": said.functions[0], "url": _text(reader)}
    return Said(said.functions, acts=(Act(Operation.IDENTITY_READ, detail),))


def _create_session(number: int, said: Said, reader: Reader) -> Said:
    """5.6.2: the client describes itself, then says whom it takes the server for."""
    found = [Sighting(field, value) for field, value in _application(reader)]
    reader.blob()
    if url := _text(reader):
        found.append(Sighting("endpoint_url", url, RECEIVER))
    return Said(said.functions, tuple(dict.fromkeys(found)))


def _register_server(number: int, said: Said, reader: Reader) -> Said:
    found = [("application_uri", _text(reader)), ("product_uri", _text(reader))]
    return Said(said.functions, tuple(Sighting(field, value) for field, value in found if value))


def _activate_session(number: int, said: Said, reader: Reader) -> Said:
    """5.6.3: signature, certificates, locales, then the token of the user: its kind, and what it holds as bytes."""
    reader.blob()
    reader.blob()
    for _ in range(reader.count()):
        reader.blob()
        reader.blob()
    for _ in range(reader.count()):
        reader.blob()
    kind = _encoding(reader)
    if kind not in (USER_NAME, CERTIFICATE_TOKEN) or reader.byte() != 1:
        return said
    token = Passing(reader.blob() or b"")
    token.blob()
    detail = {"function": "activate-session", "token": "certificate"}
    if kind == USER_NAME:
        detail = {"function": "activate-session", "token": "user name", "user_name": _text(token)}
    return Said(said.functions, acts=(Act(Operation.LOGIN, detail),))


REQUESTS: dict[int, Callable[[int, Said, Reader], Said]] = {
    FIND_SERVERS: _asks_who,
    GET_ENDPOINTS: _asks_who,
    REGISTER_SERVER: _register_server,
    CREATE_SESSION: _create_session,
    ACTIVATE_SESSION: _activate_session,
    WRITE: _write,
    CALL: _call,
    HISTORY_UPDATE: _change,
    **dict.fromkeys(NODE_CHANGES, _change),
}

# Answers


def _answer(number: int, message: bytes, begin: int) -> Said:
    reader = _after_answer_header(message, begin)
    found: list[tuple[str, str]] = []
    if number == CREATE_SESSION_ANSWER:
        reader.node_id()
        reader.node_id()
        reader.take(8)
        reader.blob()
        reader.blob()
    for _ in range(min(reader.count(), 256)):
        found += _application(reader) if number == FIND_SERVERS_ANSWER else _endpoint(reader)
    return Said(sightings=tuple(dict.fromkeys(Sighting(field, value) for field, value in found)))


DESCRIBING = {FIND_SERVERS_ANSWER, GET_ENDPOINTS_ANSWER, CREATE_SESSION_ANSWER}


def _application(reader: Reader) -> list[tuple[str, str]]:
    """ApplicationDescription (7.2): URI, product, name, type, gateway, profile, discovery URLs."""
    found = [("application_uri", _text(reader)), ("product_uri", _text(reader))]
    found.append(("product_name", text((reader.localized_text() or "").encode("utf-8", "replace"))))
    reader.take(4)
    reader.blob()
    reader.blob()
    for _ in range(reader.count()):
        reader.blob()
    return [(field, value) for field, value in found if value]


def _endpoint(reader: Reader) -> list[tuple[str, str]]:
    """EndpointDescription (7.14)."""
    url = _text(reader)
    found = _application(reader)
    certificate = reader.blob() or b""
    mode = MODES.get(reader.u32(), "?")
    policy = _text(reader).rpartition("#")[2]
    for _ in range(reader.count()):
        reader.blob()
        reader.take(4)
        for _ in range(3):
            reader.blob()
    reader.blob()
    reader.byte()
    found += [("endpoint_url", url), ("security_policy", f"{policy}:{mode}" if policy != "None" else policy)]
    found += _certificate(certificate)
    return [(field, value) for field, value in found if value]


def _read_answer(message: bytes, begin: int, nodes: tuple[int, ...]) -> Said:
    reader = _after_answer_header(message, begin)
    found: list[tuple[str, str]] = []
    for node, _ in zip(nodes, range(reader.count()), strict=False):
        if node in (STATUS, BUILD_INFO):
            found += _structure(reader)
            continue
        value, status = reader.data_value()
        if node and not status & 0x80000000:
            if isinstance(value, tuple):
                value = value[0] if value else None
            if value is not None and not isinstance(value, Beyond):
                found.append((FIELDS[node], text(str(value).encode("utf-8", "replace"))))
    sightings = tuple(Sighting(field, value) for field, value in found if value)
    return Said(sightings=sightings) if sightings else NOTHING


def _structure(reader: Reader) -> list[tuple[str, str]]:
    """A DataValue that should hold a BuildInfo or a ServerStatusDataType (OPC 10000-5, 12.4 and 12.10)."""
    start = reader.at
    mask = reader.byte()
    kind = reader.byte() if mask & 1 else 0
    inside = b""
    encoding = 0
    if kind == 22:
        encoding = _encoding(reader)
        if reader.byte() == 1:
            inside = reader.blob() or b""
    reader.at = start
    reader.data_value()
    body = Passing(inside)
    if encoding == STATUS_TYPE:
        body.take(16)
        state = body.u32()
        found = [("state", STATES[state])] if state < len(STATES) else []
        return found + _build_info(body)
    return _build_info(body) if encoding == BUILD_INFO_TYPE else []


def _build_info(reader: Reader) -> list[tuple[str, str]]:
    fields = ("product_uri", "manufacturer", "product_name", "software_revision", "build_number")
    return [*((field, _text(reader)) for field in fields), ("build_date", reader.moment())]


def begins(payload: bytes) -> bool:
    """Whether a conversation on another port is OPC UA: the kinds of its messages are unlike anything else."""
    return len(payload) >= 8 and cut(payload) > 0


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """Services whose number alone says all: subscriptions, browsing, and the answers that describe nobody."""
    words = np.ascontiguousarray(head).view("<u4")
    message = (words[:, 0] == int.from_bytes(b"MSGF", "little")) & (words[:, 1] == length)
    short = (head[:, 24] == 1) & (head[:, 25] == 0)
    number = head[:, 26].astype(np.int64) | head[:, 27].astype(np.int64) << 8
    known = message & short & (length > SYMMETRIC + 4) & np.isin(number, SIGNED)
    return np.where(known, (number.astype(np.uint64) + np.uint64(1)) * MULTIPLIER, np.uint64(0))


GLANCE = (0, bytes(kind[0] for kind in KINDS))
OPCUA = Protocol("opcua", Carrier.TCP, frozenset({4840}), decode, cut, sign, begins, GLANCE, prepare=prepare)
