"""A floor of simulated PLCs: starts them, plays the scenario's events, and closes everything again."""

from __future__ import annotations

import asyncio
import errno
import gc
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, Self

from simulators.gate import HOST, Gate
from simulators.modbus import ModbusDevice, ModbusServer
from simulators.model import ModbusModel, OpcUaModel
from simulators.plc import Plc
from simulators.scenario import Event, Scenario, ScenarioError
from simulators.wire import WIRES

TICK = 0.1


class PortTaken(Exception):
    """A port of the scenario that another program holds."""


class Server(Protocol):
    """An honest server behind a gate. It is told the gate's port and says its own."""

    async def start(self, public_port: int) -> int: ...
    async def stop(self) -> None: ...


class Floor:
    """`async with Floor(load("bottling")) as floor:`, and every PLC answers.

    `ports="free"` puts every port of the scenario on any free one; PLCs that share a port still do.
    They listen at `host`: loopback, unless the floor is in a network of its own.
    """

    def __init__(self, scenario: Scenario, ports: Literal["scenario", "free"] = "scenario", host: str = HOST) -> None:
        self.scenario = scenario
        self.plcs = {name: Plc(name, entry, scenario) for name, entry in scenario.plcs.items()}
        self._host = host
        self._free = ports == "free"
        self._gates: list[Gate] = []
        self._servers: list[Server] = []
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        collecting = gc.isenabled()
        gc.disable()  # an OPC UA server makes its 6,000 standard nodes twice as fast
        try:
            async with asyncio.TaskGroup() as starting:
                for plcs in self._sharing():
                    starting.create_task(self._start(plcs))
        except BaseExceptionGroup as failures:
            await self.close()
            raise failures.exceptions[0] from None
        finally:
            if collecting:
                gc.enable()
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def apply(self, event: Event | Mapping[str, Any]) -> None:
        """Makes an event happen now, whatever its second."""
        name = event.plc if isinstance(event, Event) else str(event.get("plc"))
        if name not in self.plcs:
            raise ScenarioError(f"no PLC is called {name!r}. Known: {', '.join(self.plcs)}")
        await self.plcs[name].apply(event)

    async def play(self, on_event: Callable[[Event], None] = lambda _: None, speed: float = 1.0) -> None:
        """Plays the events of the scenario from second 0 on, `speed` times as fast."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for event in self.scenario.events:
            await asyncio.sleep(begun + event.at / speed - loop.time())
            await self.apply(event)
            on_event(event)

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        for plc in self.plcs.values():
            await plc.close()
        await asyncio.gather(*(gate.close() for gate in self._gates))
        await asyncio.gather(*(server.stop() for server in self._servers))

    def _sharing(self) -> list[list[Plc]]:
        """The PLCs by the port that they share; port 0 is a port of one's own."""
        groups: dict[object, list[Plc]] = {}
        for plc in self.plcs.values():
            groups.setdefault(plc.entry.port or plc.name, []).append(plc)
        return list(groups.values())

    async def _start(self, plcs: list[Plc]) -> None:
        wire = WIRES[plcs[0].protocol]
        gate = Gate(wire, {plc.entry.unit if wire.in_turn else 0: plc for plc in plcs}, self._host)
        self._gates.append(gate)
        await self._bind(gate, plcs[0].entry.port)
        for plc in plcs:
            plc.gate = gate
        server = self._server(plcs)
        self._servers.append(server)
        gate.upstream = await server.start(gate.port)
        if not any(plc.behaviour == "refuse" for plc in plcs):
            await gate.open()

    async def _bind(self, gate: Gate, port: int) -> None:
        try:
            await gate.bind(0 if self._free else port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(
                f"port {port} is taken: end the program that holds it, give another in the scenario, "
                "or use --free-ports"
            ) from error

    def _server(self, plcs: list[Plc]) -> Server:
        if plcs[0].protocol == "opcua":
            return opcua(plcs[0])
        return ModbusServer({plc.entry.unit: unit(plc) for plc in plcs})

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for plc in self.plcs.values():
                await plc.device.tick()


def unit(plc: Plc) -> ModbusDevice:
    """The Modbus device of a PLC."""
    assert isinstance(plc.model, ModbusModel)
    plc.device = device = ModbusDevice(plc.model, plc.entry, plc.stop)
    return device


def opcua(plc: Plc) -> Server:
    """The OPC UA device of a PLC, which is its server too."""
    from simulators.opcua import OpcUaDevice  # here, since asyncua takes half a second to import

    assert isinstance(plc.model, OpcUaModel)
    plc.device = device = OpcUaDevice(plc.name, plc.model, plc.entry, plc.seen)
    return device
