"""From what was read to items: what is asked for, under which key, and what becomes of the answer. No I/O.

BuildInfo describes the server's software, a nameplate the device. `identity.*` is what BuildInfo says; what it leaves
out (it never says model, product code, hardware revision or serial number) comes from the nameplate of the first
device by name. Every nameplate stands in full under `device.<browse name>.*` as well, so nothing is lost where both
speak. BuildDate is no item: open62541 puts the start of the server there; nor is a clock or a counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from hashlib import sha1

from baselines.asset import Identity, identity_item
from baselines.snapshot import Category, Item, Severity, Unread, Value
from collectors.opcua.discovery import NAMESPACE_ARRAY, Field, Findings
from collectors.opcua.nodes import resolve
from collectors.opcua.security import label
from collectors.opcua.services import Endpoint, Reading
from collectors.opcua.status import NOT_THERE, is_bad, is_uncertain, status_name
from collectors.profile import ItemSpec, Node
from collectors.uabinary import Beyond, node_id

BUILD_INFO = {  # Part 5, 12.4: i=2260 and its parts
    "product_uri": 2262,
    "manufacturer": 2263,
    "product_name": 2261,
    "software_revision": 2264,
    "build_number": 2265,
}
STATE = 2259
STATES = ("Running", "Failed", "NoConfiguration", "Suspended", "Shutdown", "Test", "CommunicationFault", "Unknown")
UNSAID: tuple[Value, ...] = (None, "")

Outcome = Item | Unread


@dataclass(frozen=True, slots=True)
class Asked:
    """A node that is read, its key, and the item that a value makes (None: the value says nothing).

    `why` stands instead of a node that cannot be named at this server; `optional` is what a server need not have.
    """

    key: str
    make: Callable[[Value], Item | None]
    node: bytes = b""
    why: str = ""
    optional: bool = False


def asked_of_all(findings: Findings, identity: bool) -> list[Asked]:
    """What every server is asked, whatever its profile."""
    asked = [
        Asked("server.namespaces", _namespaces, NAMESPACE_ARRAY),
        Asked("server.state", _state, node_id(STATE), optional=True),
    ]
    if identity:
        asked += [
            Asked(f"identity.{name}", partial(_said, name), node_id(number), optional=True)
            for name, number in BUILD_INFO.items()
        ]
    return asked + [Asked(field.key, partial(_nameplate, field), field.node) for field in findings.fields]


def asked_of_profile(specs: Iterable[ItemSpec], namespaces: tuple[str, ...]) -> list[Asked]:
    """The profile's nodes, as this server numbers its namespaces."""
    asked = []
    for spec in specs:
        assert isinstance(spec.source, Node), "checked before"
        try:
            asked.append(Asked(spec.key, spec.item, resolve(spec.source.node, namespaces)))
        except ValueError as error:
            asked.append(Asked(spec.key, spec.item, why=str(error)))
    return asked


def outcome(asked: Asked, reading: Reading | str) -> Outcome | None:
    """What a reading becomes; None if the server has no such thing and need not."""
    if isinstance(reading, str):
        return Unread(asked.key, reading)
    if is_bad(reading.status):
        status = status_name(reading.status)
        return None if asked.optional and status in NOT_THERE else Unread(asked.key, status)
    if isinstance(reading.value, Beyond):
        return Unread(asked.key, reading.value.why)
    item = asked.make(reading.value)
    return replace(item, uncertain=True) if item and is_uncertain(reading.status) else item


def fill_identity(outcomes: dict[str, Outcome], main: str) -> None:
    """Let the nameplate of the first device say what BuildInfo leaves out."""
    for field in fields(Identity):
        said = outcomes.get(f"{main}.{field.name}")
        key = f"identity.{field.name}"
        if not main or said is None or key in outcomes:
            continue
        if isinstance(said, Unread):
            outcomes[key] = Unread(key, said.why)
        elif said.value not in UNSAID:
            outcomes[key] = replace(identity_item(field.name, said.value), uncertain=said.uncertain)


def endpoint_items(endpoints: Iterable[Endpoint]) -> list[Item]:
    """How the server may be reached, without its URLs: host names are as many as its callers.

    The thumbprint is OPC UA's own, SHA-1 over the DER of the certificate (Part 6, 6.2.2), in lower-case hex.
    """
    endpoints = tuple(endpoints)
    policies = sorted({label(endpoint) for endpoint in endpoints})
    tokens = sorted({token.kind for endpoint in endpoints for token in endpoint.tokens})
    thumbprints = sorted({sha1(endpoint.certificate).hexdigest() for endpoint in endpoints if endpoint.certificate})
    uris = sorted({endpoint.application_uri for endpoint in endpoints})
    items = [
        Item("endpoint.security_policies", tuple(policies), Category.SECURITY, Severity.HIGH),
        Item("endpoint.user_tokens", tuple(tokens), Category.SECURITY, Severity.HIGH),
        Item("endpoint.application_uri", " ".join(uris), Category.IDENTITY, Severity.MEDIUM),
    ]
    if thumbprints:
        shown = " ".join(thumbprints)
        items.append(Item("endpoint.certificate_thumbprint", shown, Category.SECURITY, Severity.HIGH))
    return items


def _namespaces(value: Value) -> Item:
    """Sorted: a server may number its namespaces anew when it starts."""
    uris = tuple(sorted(map(str, value))) if isinstance(value, tuple) else value
    return Item("server.namespaces", uris, Category.PROGRAM, Severity.LOW)


def _state(value: Value) -> Item:
    known = isinstance(value, int) and 0 <= value < len(STATES)
    return Item("server.state", value, Category.MODE, Severity.HIGH, label=STATES[int(str(value))] if known else None)


def _said(name: str, value: Value) -> Item | None:
    return None if value in UNSAID else identity_item(name, value)


def _nameplate(field: Field, value: Value) -> Item:
    group = field.key.removesuffix(f".{field.name}")
    item = identity_item(field.name, value, group)
    if field.name == "revision_counter":  # counts the changes of the configuration (Part 100, 4.5.2)
        return replace(item, category=Category.PROGRAM, severity=Severity.MEDIUM)
    return item
