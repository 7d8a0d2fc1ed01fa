"""Which items of an asset a write on the wire touches, and what it makes of them, by the asset's profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from baselines.wire import Operation, WireEvent, Written
from collectors.profile import ItemSpec, Node, Profile, Register

TABLES = {  # MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16, 6.17
    "write-single-coil": "coil",
    "write-multiple-coils": "coil",
    "write-single-register": "holding",
    "write-multiple-registers": "holding",
    "mask-write-register": "holding",
    "read-write-multiple-registers": "holding",
}
VALUE = 13  # the attribute (OPC UA Part 4, 5.4)


def touched(event: WireEvent, profile: Profile, unit: int | None, name: str = "") -> list[Written]:
    """The items that an event writes, with the values that it writes where it says all of them.

    `unit` is the asset's, for several can be behind one address; `name` is that of the client. OPC UA names nodes on
    the wire by the server's namespace numbers, which only its own clients know: they are known by what follows.
    """
    if event.operation is not Operation.WRITE:
        return []
    found = _of_registers if event.protocol == "modbus" else _of_nodes if event.protocol == "opcua" else _of_nothing
    who = {"client": event.client, "name": name or None, "protocol": event.protocol}
    return [Written(spec.key, event.at, value, who) for spec, value in found(event, profile.items, unit)]


def _of_nothing(event: WireEvent, specs: Iterable[ItemSpec], unit: int | None) -> Iterator[tuple[ItemSpec, Any]]:
    yield from ()


def _of_registers(event: WireEvent, specs: Iterable[ItemSpec], unit: int | None) -> Iterator[tuple[ItemSpec, Any]]:
    said = event.detail
    table = TABLES.get(said.get("function", ""))
    if table is None or unit not in (None, said.get("unit")):
        return
    first, values = said["address"], said.get("values", [])
    last = first + said["count"]
    for spec in specs:
        register = spec.source
        if not isinstance(register, Register) or register.table != table:
            continue
        if first < register.address + register.width and register.address < last:
            yield spec, _written(spec, register, register.address - first, values)


def _written(spec: ItemSpec, register: Register, at: int, values: list[Any]) -> Any:
    from collectors.modbus.registers import register_value

    own = values[at : at + register.width] if at >= 0 else []
    if len(own) < register.width:
        return None
    if register.table == "coil":
        return spec.item(bool(own[0])).shown
    return spec.item(register_value(register, b"".join(int(word).to_bytes(2, "big") for word in own))).shown


def _of_nodes(event: WireEvent, specs: Iterable[ItemSpec], unit: int | None) -> Iterator[tuple[ItemSpec, Any]]:
    known: dict[str, list[ItemSpec]] = {}
    for spec in specs:
        if isinstance(spec.source, Node):
            known.setdefault(_identifier(spec.source.node), []).append(spec)
    for said in event.detail.get("nodes", ()):
        fitting = known.get(_identifier(str(said.get("node"))), [])
        if said.get("attribute") == VALUE and len(fitting) == 1:
            yield fitting[0], said.get("value")


def _identifier(node: str) -> str:
    """A NodeId without its namespace."""
    return node.partition(";")[2] if node.startswith("ns") else node
