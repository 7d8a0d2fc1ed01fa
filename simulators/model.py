"""What every PLC of a model holds: Modbus points, or OPC UA nodes and nameplates; and what it says it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from simulators import modbus_faults, opcua_faults
from simulators.behaviours import check
from simulators.points import Point, Scalar
from simulators.varies import Varies

OBJECTS = (  # Modbus device identification, by number
    "manufacturer",
    "product_code",
    "software_revision",
    "vendor_url",
    "product_name",
    "model",
    "user_application_name",
)
BUILD_INFO = (
    "manufacturer",
    "product_uri",
    "product_name",
    "software_revision",
    "build_number",
    "build_date",
)
NAMEPLATE = (  # OPC UA Part 100, 4.5
    "Manufacturer",
    "ManufacturerUri",
    "Model",
    "ProductCode",
    "HardwareRevision",
    "SoftwareRevision",
    "DeviceRevision",
    "SerialNumber",
    "DeviceManual",
    "DeviceClass",
    "RevisionCounter",
    "ProductInstanceUri",
)
LONGEST_OBJECT = 244
INTEGERS = {
    "Byte": (0, 2**8),
    "Int16": (-(2**15), 2**15),
    "UInt16": (0, 2**16),
    "Int32": (-(2**31), 2**31),
    "UInt32": (0, 2**32),
    "Int64": (-(2**63), 2**63),
    "UInt64": (0, 2**64),
}
POLICIES = ("None", "Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt")

Value = Scalar | list[Scalar]
Nameplate = Mapping[str, Mapping[str, str | int]]  # properties by device
Policy = Literal["None", "Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt"]
NodeType = Literal[
    "Boolean", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
    "Float", "Double", "String", "DateTime", "ByteString",
]  # fmt: skip


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A variable. `value` may be an array; a DateTime is written in ISO 8601, a ByteString in hex."""

    type: NodeType
    value: Value
    status: str = "Good"
    access: Literal["read", "write", "none"] = "read"
    varies: Varies | None = None

    def __post_init__(self) -> None:
        self.python(self.value)
        if self.varies is not None and (isinstance(self.value, str | list)):
            raise ValueError("varies goes with numbers and bool")

    def python(self, value: Value) -> object:
        """The value as OPC UA's type wants it in Python."""
        if isinstance(value, list):
            return [self._scalar(each) for each in value]
        return self._scalar(value)

    def _scalar(self, value: Scalar) -> object:
        if self.type in INTEGERS:
            low, high = INTEGERS[self.type]
            if isinstance(value, bool | float | str) or not low <= value < high:
                raise ValueError(f"{value!r} is no {self.type}")
            return value
        if self.type in ("Float", "Double"):
            if isinstance(value, bool | str):
                raise ValueError(f"{value!r} is no number")
            return float(value)
        if self.type == "Boolean":
            if not isinstance(value, bool):
                raise ValueError(f"{value!r} is no bool: write true or false")
            return value
        return self._text(value)

    def _text(self, value: Scalar) -> object:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no text: a {self.type} is written in quotes")
        if self.type == "ByteString":
            return bytes.fromhex(value)
        return datetime.fromisoformat(value) if self.type == "DateTime" else value


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A nameplate under DeviceSet."""

    name: str
    properties: Mapping[str, str | int]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.properties) - set(NAMEPLATE)):
            raise ValueError(f"no property of a nameplate: {', '.join(unknown)}. Known: {', '.join(NAMEPLATE)}")


class ModbusModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`unmapped` says what a read of an address outside the map does: refuse, read as zero, or stop the PLC."""

    protocol: Literal["modbus"] = "modbus"
    about: str = ""
    identity: Mapping[str, str] = {}
    server_id: str = ""
    unmapped: Literal["refuse", "zero", "stop"] = "refuse"
    points: Mapping[str, Point] = msgspec.field(name="point", default_factory=dict)

    def __post_init__(self) -> None:
        self.objects()
        taken: dict[tuple[str, int], str] = {}
        for name, point in self.points.items():
            for address in range(point.address, point.address + point.width):
                if (other := taken.setdefault((point.table, address), name)) != name:
                    raise ValueError(f"{other} and {name} both stand at {point.table} {address}: move one")

    def objects(self) -> dict[int, bytes]:
        return self.objects_of(self.identity)

    @staticmethod
    def objects_of(identity: Mapping[str, str]) -> dict[int, bytes]:
        """Device identification objects by number."""
        objects = {_object_number(name): value.encode() for name, value in identity.items()}
        if any(len(value) > LONGEST_OBJECT for value in objects.values()):
            raise ValueError(f"an identity object is at most {LONGEST_OBJECT} bytes, or it fits into no answer")
        return objects

    def check_values(self, values: Mapping[str, Value]) -> None:
        """Raises ValueError for a name that is no point, or a value that does not fit its type."""
        for name, value in values.items():
            point = self.points[_known(name, self.points, "point")]
            if isinstance(value, list):
                raise ValueError(f"{name}: a point holds one value, not a list")
            point.cells(value)

    def check_identity(self, identity: Mapping[str, str]) -> None:
        self.objects_of(identity)

    def check_behaviour(self, behave: str) -> str | None:
        return check(behave, modbus_faults.BEHAVIOURS)


class OpcUaModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`identity` is the BuildInfo; `extra_namespaces` stand before the vendor's own, so that its index moves."""

    protocol: Literal["opcua"] = "opcua"
    namespace: str
    about: str = ""
    path: str = ""
    identity: Mapping[str, str] = {}
    extra_namespaces: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ("None",)
    users: Mapping[str, str] = {}
    anonymous: bool = True
    nodes: Mapping[str, Node] = msgspec.field(name="node", default_factory=dict)
    devices: tuple[Device, ...] = msgspec.field(name="device", default=())

    def __post_init__(self) -> None:
        self.check_identity(self.identity)
        if not self.policies:
            raise ValueError(f"policies is empty: give at least one of {', '.join(POLICIES)}")
        if not self.anonymous and not self.users:
            raise ValueError("nobody can log in: set anonymous = true, or name users")

    def check_values(self, values: Mapping[str, Value]) -> None:
        """Raises ValueError for a name that is no node, or a value that does not fit its type."""
        for name, value in values.items():
            self.nodes[_known(name, self.nodes, "node")].python(value)

    def check_identity(self, identity: Mapping[str, str]) -> None:
        for name in identity:
            _known(name, BUILD_INFO, "field of BuildInfo")
        if "build_date" in identity:
            datetime.fromisoformat(identity["build_date"])

    def check_behaviour(self, behave: str) -> str | None:
        return check(behave, opcua_faults.BEHAVIOURS)


Model = ModbusModel | OpcUaModel


def _known(name: str, names: Mapping[str, object] | tuple[str, ...], what: str) -> str:
    if name not in names:
        raise ValueError(f"no {what} is called {name!r}. Known: {', '.join(names) or 'none'}")
    return name


def _object_number(name: str) -> int:
    if name in OBJECTS:
        return OBJECTS.index(name)
    prefix, _, number = name.partition("_")
    if prefix == "object" and number.isdigit() and int(number) <= 255:
        return int(number)
    raise ValueError(f"no identity object is called {name!r}. Known: {', '.join(OBJECTS)}, object_7 to object_255")
