"""The address space of an OPC UA PLC: nameplates under DeviceSet (Part 100), and the vendor's own nodes."""

from __future__ import annotations

from collections.abc import Mapping

from asyncua import ua
from asyncua.common.node import Node as UaNode
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from simulators.model import Device, Nameplate, Node, OpcUaModel, Value
from simulators.scenario import ScenarioError

DI = "http://opcfoundation.org/UA/DI/"
TOPOLOGY_ELEMENT_TYPE, COMPONENT_TYPE, DEVICE_TYPE, DEVICE_SET = 1001, 15063, 1002, 5001  # of the DI nodeset
LOCALIZED = ("Manufacturer", "Model")
ACCESS = {"read": 0b01, "write": 0b11, "none": 0}


class Space:
    """The nodes that a model adds to the standard ones, by the names that the scenario gives them."""

    def __init__(self, server: Server, model: OpcUaModel) -> None:
        self.nodes: dict[str, UaNode] = {}
        self.nameplates: dict[str, dict[str, UaNode]] = {}
        self._server = server
        self._model = model
        self._folders: dict[str, UaNode] = {"": server.nodes.objects}
        self._vendor = 0

    async def build(self, nameplate: Nameplate) -> None:
        """`nameplate` holds what differs from the model's."""
        for uri in self._model.extra_namespaces:
            await self._server.register_namespace(uri)
        di = await self._server.register_namespace(DI)
        self._vendor = await self._server.register_namespace(self._model.namespace)
        if self._model.devices:
            await self._devices(di, nameplate)
        for name, node in self._model.nodes.items():
            await self.add(name, node)

    async def add(self, name: str, node: Node) -> UaNode:
        """A variable s=Recipe.Version, browse name Version, in the folder s=Recipe."""
        path, _, leaf = name.rpartition(".")
        folder = await self._folder(path)
        kind = ua.VariantType[node.type]
        variable = await folder.add_variable(
            node_id(name, self._vendor),
            ua.QualifiedName(leaf, self._vendor),
            variant(node, node.value),
            kind,
        )
        level = ua.DataValue(ua.Variant(ACCESS[node.access], ua.VariantType.Byte))
        await variable.write_attribute(AttributeIds.AccessLevel, level)
        await variable.write_attribute(AttributeIds.UserAccessLevel, level)
        if node.access == "none":  # asyncua's server reads it all the same
            await write(variable, node, node.value, "BadNotReadable")
        elif node.status != "Good":
            await write(variable, node, node.value, node.status)
        self.nodes[name] = variable
        return variable

    async def label(self, name: str, properties: Mapping[str, str | int]) -> None:
        for key, value in properties.items():
            await self.nameplates[name][key].write_value(nameplate_variant(key, value))

    async def _folder(self, path: str) -> UaNode:
        if path not in self._folders:
            parent = await self._folder(path.rpartition(".")[0])
            leaf = ua.QualifiedName(path.rpartition(".")[2], self._vendor)
            self._folders[path] = await parent.add_object(node_id(path, self._vendor), leaf)
        return self._folders[path]

    async def _devices(self, di: int, nameplate: Nameplate) -> None:
        device_type = await self._device_type(di)
        device_set = await self._server.nodes.objects.add_object(
            node_id(DEVICE_SET, di), ua.QualifiedName("DeviceSet", di)
        )
        for device in self._model.devices:
            instance = await device_set.add_object(
                node_id(f"DeviceSet.{device.name}", self._vendor),
                ua.QualifiedName(device.name, self._vendor),
                objecttype=device_type.nodeid,
                instantiate_optional=False,
            )
            properties = {**device.properties, **nameplate.get(device.name, {})}
            self.nameplates[device.name] = await self._nameplate(di, instance, device, properties)

    async def _nameplate(
        self, di: int, instance: UaNode, device: Device, properties: Mapping[str, str | int]
    ) -> dict[str, UaNode]:
        return {
            key: await instance.add_property(
                node_id(f"DeviceSet.{device.name}.{key}", self._vendor),
                ua.QualifiedName(key, di),
                nameplate_variant(key, value),
            )
            for key, value in properties.items()
        }

    async def _device_type(self, di: int) -> UaNode:
        """A concrete subtype of DeviceType; DeviceType and what stands above it are abstract."""
        above = self._server.nodes.base_object_type
        for number, name in (
            (TOPOLOGY_ELEMENT_TYPE, "TopologyElementType"),
            (COMPONENT_TYPE, "ComponentType"),
            (DEVICE_TYPE, "DeviceType"),
        ):
            above = await above.add_object_type(node_id(number, di), ua.QualifiedName(name, di))
            await above.write_attribute(AttributeIds.IsAbstract, ua.DataValue(ua.Variant(True)))
        name = f"{self._model.namespace.rpartition(':')[2].capitalize()}DeviceType"
        return await above.add_object_type(node_id(name, self._vendor), ua.QualifiedName(name, self._vendor))


def node_id(identifier: str | int, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(identifier, namespace)  # type: ignore[arg-type]  # asyncua's own types subclass str and int


def variant(node: Node, value: Value) -> ua.Variant:
    return ua.Variant(node.python(value), ua.VariantType[node.type])


def nameplate_variant(key: str, value: str | int) -> ua.Variant:
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int32)
    return ua.Variant(ua.LocalizedText(value)) if key in LOCALIZED else ua.Variant(value, ua.VariantType.String)


async def write(variable: UaNode, node: Node, value: Value, status: str) -> None:
    await variable.write_value(ua.DataValue(variant(node, value), status_code(status)))


def status_code(name: str) -> ua.StatusCode:
    if (number := getattr(StatusCodes, name, None)) is None:
        raise ScenarioError(f"no status code is called {name!r}: write one of Part 6, such as BadSensorFailure")
    return ua.StatusCode(number)
