"""OPC UA PLCs: asyncua's server, with BuildInfo, nameplates and nodes of a model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.callback import CallbackType, ServerItemCallback
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from simulators.certificate import self_signed
from simulators.gate import HOST
from simulators.model import Nameplate, Node, OpcUaModel, Value
from simulators.opcua_space import Space, node_id, write
from simulators.scenario import PlcEntry
from simulators.seen import Seen

POLICY_TYPES = {
    "None": ua.SecurityPolicyType.NoSecurity,
    "Basic256Sha256:Sign": ua.SecurityPolicyType.Basic256Sha256_Sign,
    "Basic256Sha256:SignAndEncrypt": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
}


class Users:
    """Who may log in: those with the right password, and anybody where anonymous is allowed."""

    def __init__(self, passwords: Mapping[str, str], anonymous: bool) -> None:
        self._passwords = passwords
        self._anonymous = anonymous

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        text = password.decode() if isinstance(password, bytes) else password
        known = self._anonymous if username is None else self._passwords.get(username, object()) == text
        return User(role=UserRole.User) if known else None


class OpcUaDevice:
    """A PLC that speaks OPC UA, and the honest server that it speaks through."""

    def __init__(self, name: str, model: OpcUaModel, entry: PlcEntry, seen: Seen) -> None:
        self._name = name
        self._model = model
        self._entry = entry
        self._seen = seen
        self._identity = {**model.identity, **entry.identity}
        self._server = Server(user_manager=Users(model.users, model.anonymous))  # type: ignore[arg-type]
        self._space = Space(self._server, model)
        self._bases: dict[str, Value] = {}
        self._statuses: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._namespaces: list[str] = []
        self._started = time.monotonic()

    async def start(self, public_port: int) -> int:
        """Serves on a free port of loopback, under the address of the public one, and says which."""
        server = self._server
        application_uri = f"{self._model.namespace}:{self._name.replace('/', ':')}"
        server.name = self._identity.get("product_name", self._name)
        server.product_uri = self._identity.get("product_uri", self._model.namespace)
        server.application_type = ua.ApplicationType.Server
        server.set_endpoint(f"opc.tcp://{HOST}:{public_port}/{self._model.path}")
        server.socket_address = (HOST, 0)
        await server.init()
        await server.set_application_uri(application_uri)
        await self.identify({})
        await self._secure(application_uri)
        await self._space.build(self._entry.nameplate)
        for name, node in self._model.nodes.items():
            self._bases[name] = node.value
        await self.set(self._entry.values)
        server.iserver.callback_service.addListener(CallbackType.PreRead, self._read)  # type: ignore[arg-type]
        server.iserver.callback_service.addListener(CallbackType.PreWrite, self._written)  # type: ignore[arg-type]
        self._namespaces = await server.get_namespace_array()
        await server.start()
        assert server.bserver is not None
        return server.bserver.port

    async def stop(self) -> None:
        if self._server.bserver is not None:
            if self._server.iserver.time_task is not None:
                self._server.iserver.time_task.cancel()  # asyncua would wait for it, up to a second
                self._server.iserver.time_task = None
            await self._server.stop()

    def value(self, name: str) -> Value:
        """What the node holds now, also after a client wrote it."""
        space = self._server.iserver.aspace
        held = space.read_attribute_value(self._space.nodes[name].nodeid, AttributeIds.Value)
        value: Value = held.Value.Value if held.Value is not None else ""
        return value

    async def set(self, values: Mapping[str, Value]) -> None:
        """Moves nodes to values, with the status that they have; a node that was removed is back."""
        for name, value in values.items():
            self._bases[name] = value
            if name not in self._space.nodes:
                await self._space.add(name, self._model.nodes[name])
            await self._put(name, value)

    async def mark(self, statuses: Mapping[str, str]) -> None:
        """Gives nodes a status code. A bad one takes the value away, until the status is good again."""
        for name, status in statuses.items():
            self._statuses[name] = status
            await self._put(name, self._bases[name])

    async def remove(self, names: Iterable[str]) -> None:
        for name in names:
            await self._server.delete_nodes([self._space.nodes.pop(name)])

    async def identify(self, identity: Mapping[str, str]) -> None:
        self._identity |= identity
        told = self._identity
        await self._server.set_build_info(
            told.get("product_uri", ""),
            told.get("manufacturer", ""),
            told.get("product_name", ""),
            told.get("software_revision", ""),
            told.get("build_number", ""),
            datetime.fromisoformat(told.get("build_date", "2026-01-01T00:00:00+00:00")),
        )

    async def label(self, nameplate: Nameplate) -> None:
        for name, properties in nameplate.items():
            await self._space.label(name, properties)

    async def restart(self) -> None:
        self._started = time.monotonic()
        start_time = self._server.get_node(node_id(ObjectIds.Server_ServerStatus_StartTime))
        await start_time.write_value(datetime.now(UTC))
        await self.tick()

    async def tick(self) -> None:
        """Moves what varies to where it stands now."""
        uptime = time.monotonic() - self._started
        for name in self._space.nodes:
            node, base = self._model.nodes[name], self._bases[name]
            if node.varies is None or isinstance(base, str | list):
                continue
            steps = node.varies.steps(uptime)
            if self._steps.get(name) != steps:
                self._steps[name] = steps
                await self._put(name, node.varies.value(base, steps))

    async def _put(self, name: str, value: Value) -> None:
        node: Node = self._model.nodes[name]
        await write(self._space.nodes[name], node, value, self._statuses.get(name, node.status))

    async def _secure(self, application_uri: str) -> None:
        tokens: list[type] = [ua.AnonymousIdentityToken] if self._model.anonymous else []
        if self._model.users:
            tokens.append(ua.UserNameIdentityToken)
        self._server.set_identity_tokens(tokens)
        self._server.set_security_policy([POLICY_TYPES[policy] for policy in self._model.policies])
        if self._model.policies != ("None",):
            organization = self._identity.get("manufacturer", "")
            certificate, key = self_signed(application_uri, self._name, organization)
            await self._server.load_certificate(certificate, "der")
            await self._server.load_private_key(key, format="der")

    def _read(self, event: ServerItemCallback, _: object) -> None:
        if event.is_external:
            for item in event.request_params.NodesToRead:
                self._seen.reads[self._node_id(item.NodeId), attribute(item.AttributeId)] += 1

    def _written(self, event: ServerItemCallback, _: object) -> None:
        if event.is_external:
            for item in event.request_params.NodesToWrite:
                self._seen.writes.append((self._node_id(item.NodeId), attribute(item.AttributeId)))

    def _node_id(self, node: ua.NodeId) -> str:
        """By the namespace's URI: nsu=urn:borealis:labeller;s=Recipe.Version, i=2258."""
        if not 0 < node.NamespaceIndex < len(self._namespaces):
            return node.to_string()
        return f"nsu={self._namespaces[node.NamespaceIndex]};{node.to_string().partition(';')[2]}"


def attribute(number: int) -> str:
    try:
        return AttributeIds(number).name
    except ValueError:
        return str(number)
