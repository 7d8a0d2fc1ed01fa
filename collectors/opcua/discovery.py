"""What there is to read at a server: its namespaces, and the nameplates in its DeviceSet (Part 100, 4.5 and 5.2).

It is looked for once a session. What is found are nodes; their values are read with every poll.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from baselines.snapshot import key_of
from collectors.collector import Refused
from collectors.opcua.reads import Reads, decode
from collectors.opcua.services import Browsed, Reading, Reference
from collectors.opcua.status import NOT_THERE, is_bad, status_name
from collectors.uabinary import node_id

DI = "http://opcfoundation.org/UA/DI/"
NAMESPACE_ARRAY = node_id(2255)
MAX_NODES_PER_READ, MAX_NODES_PER_BROWSE = node_id(11705), node_id(11710)
MAX_MONITORED_ITEMS_PER_CALL = node_id(11714)
DEVICE_SET = 5001  # in DI

NAMEPLATE = {
    "Manufacturer": "manufacturer",
    "Model": "model",
    "ProductCode": "product_code",
    "HardwareRevision": "hardware_revision",
    "SoftwareRevision": "software_revision",
    "DeviceRevision": "device_revision",
    "SerialNumber": "serial_number",
    "DeviceManual": "device_manual",
    "DeviceClass": "device_class",
    "ProductInstanceUri": "product_instance_uri",
    "RevisionCounter": "revision_counter",
}
IDENTIFICATION = "Identification"  # a group of properties that are its parent's
NO_MODULES = {"ParameterSet", "MethodSet", "SupportedTypes", "Lock", "Transfer", "NetworkAddress", "ProtocolSupport"}
DEEPEST = 4  # device, group of modules, module, its Identification
MOST_BROWSED = 256  # objects below DeviceSet; some servers hang their whole program there


@dataclass(frozen=True, slots=True)
class Place:
    """An object that may have a nameplate, under the key that its fields will have."""

    node: bytes
    key: str
    depth: int


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a nameplate."""

    key: str
    name: str
    node: bytes


@dataclass(frozen=True, slots=True)
class Findings:
    """`main` is the key of the device that stands for the whole asset: the first by name; "" if there is none."""

    namespaces: tuple[str, ...]
    fields: tuple[Field, ...] = ()
    main: str = ""
    why_no_devices: str = ""


async def discover(reads: Reads, nameplates: bool) -> Findings:
    """The namespaces of the server and its limits, which are obeyed from here on; then the nameplates."""
    wanted = [NAMESPACE_ARRAY, MAX_NODES_PER_READ, MAX_NODES_PER_BROWSE, MAX_MONITORED_ITEMS_PER_CALL]
    answers = await reads.read(wanted)
    array, *limits = decode(reads.channel, answers, ())
    namespaces = namespaces_of(array)
    if namespaces is None:
        raise Refused(reads.channel.asset, f"the server does not say what its namespaces are ({_why(array)})")
    reads.most_read, reads.most_browsed, reads.most_monitored = map(_limit, limits)
    if not nameplates or DI not in namespaces:
        return Findings(namespaces)
    return await _devices(reads, namespaces)


def namespaces_of(reading: Reading | str) -> tuple[str, ...] | None:
    """The namespace array that was read, if it is one."""
    if isinstance(reading, str) or is_bad(reading.status) or not isinstance(reading.value, tuple):
        return None
    return tuple(str(uri) for uri in reading.value)


def _why(reading: Reading | str) -> str:
    return reading if isinstance(reading, str) else status_name(reading.status)


def _limit(reading: Reading | str) -> int:
    if isinstance(reading, str) or is_bad(reading.status) or not isinstance(reading.value, int):
        return 0
    return max(reading.value, 0)


async def _devices(reads: Reads, namespaces: tuple[str, ...]) -> Findings:
    reads.namespaces = namespaces
    device_set = node_id(DEVICE_SET, namespaces.index(DI))
    (top,) = await reads.browse([device_set])
    if is_bad(top.status):
        status = status_name(top.status)
        return Findings(namespaces, why_no_devices="" if status in NOT_THERE else status)
    search = _Search()
    level = search.below("device", 0, top.references)
    while level:
        below: list[Place] = []
        for place, browsed in zip(level, await reads.browse([place.node for place in level]), strict=True):
            below += search.look(place, browsed)
        level = below
    return Findings(namespaces, tuple(search.fields.values()), search.main)


class _Search:
    """A walk over DeviceSet, level by level, that meets each node once."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self._met: set[str] = set()
        self._devices: dict[str, str] = {}  # their names, by key

    @property
    def main(self) -> str:
        named = {field.key.removesuffix(f".{field.name}") for field in self.fields.values()}
        return min(named & self._devices.keys(), key=lambda key: (self._devices[key], key), default="")

    def look(self, place: Place, browsed: Browsed) -> list[Place]:
        """Note the nameplate of a place; and the places below it."""
        for reference in browsed.references:
            name = NAMEPLATE.get(reference.browse_name)
            if name is None or reference.is_object or _elsewhere(reference):
                continue
            key = f"{place.key}.{name}"
            self.fields.setdefault(key, Field(key, name, reference.node))
        return self.below(place.key, place.depth, browsed.references)

    def below(self, key: str, depth: int, references: Iterable[Reference]) -> list[Place]:
        objects = [
            reference
            for reference in references
            if reference.is_object and reference.browse_name not in NO_MODULES and not _elsewhere(reference)
        ]
        named = Counter(reference.browse_name for reference in objects)
        places = []
        for reference in objects:
            if reference.name in self._met or depth >= DEEPEST or len(self._met) >= MOST_BROWSED:
                continue
            self._met.add(reference.name)
            place = Place(reference.node, _key(key, reference, named[reference.browse_name] > 1), depth + 1)
            if place.depth == 1:
                self._devices[place.key] = reference.browse_name
            places.append(place)
        return places


def _key(above: str, reference: Reference, ambiguous: bool) -> str:
    """The browse names on the way; with the NodeId where several of one name stand side by side."""
    if reference.browse_name == IDENTIFICATION and above != "device":
        return above
    name = f"{reference.browse_name} {reference.name}" if ambiguous else reference.browse_name
    return f"{above}.{key_of(name)}"


def _elsewhere(reference: Reference) -> bool:
    """Whether it is a node of another server, or named in a way that cannot be asked for."""
    return bool(reference.node[0] & 0xC0)
