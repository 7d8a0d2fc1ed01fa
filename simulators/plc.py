"""One simulated PLC: an honest device behind a gate, and what happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from simulators.gate import Gate
from simulators.model import Nameplate, OpcUaModel, Value
from simulators.scenario import Event, PlcEntry, Scenario, ScenarioError, converted
from simulators.seen import Seen


class Device(Protocol):
    """What a PLC is, whatever it speaks."""

    def value(self, name: str) -> Value: ...
    async def set(self, values: Mapping[str, Value]) -> None: ...
    async def remove(self, names: Iterable[str]) -> None: ...
    async def identify(self, identity: Mapping[str, str]) -> None: ...
    async def label(self, nameplate: Nameplate) -> None: ...
    async def mark(self, statuses: Mapping[str, str]) -> None: ...
    async def restart(self) -> None: ...
    async def tick(self) -> None: ...


class Plc:
    """A PLC of a floor. `seen` is its witness, `address` where a client finds it once the floor is open."""

    gate: Gate
    device: Device

    def __init__(self, name: str, entry: PlcEntry, scenario: Scenario) -> None:
        self.name = name
        self.entry = entry
        self.model = scenario.models[entry.model]
        self.seen = Seen()
        self.behaviour = entry.behave
        self._scenario = scenario
        self._recovery: asyncio.Task[None] | None = None

    @property
    def protocol(self) -> str:
        return self.model.protocol

    @property
    def address(self) -> str:
        if isinstance(self.model, OpcUaModel):
            return f"opc.tcp://{self.gate.host}:{self.gate.port}/{self.model.path}"
        return f"modbus://{self.gate.host}:{self.gate.port}/{self.entry.unit}"

    def value(self, name: str) -> Value:
        """What a point or node holds now."""
        return self.device.value(name)

    async def apply(self, change: Event | Mapping[str, Any]) -> None:
        """Makes it happen now. Raises ScenarioError if it does not fit this PLC, and then nothing happens."""
        event = change if isinstance(change, Event) else self._event(change)
        self._scenario.check(event)
        await self.device.identify(event.identity)
        await self.device.label(event.nameplate)
        await self.device.mark(event.status)
        await self.device.set(event.set)
        await self.device.remove(event.remove)
        if event.restart:
            await self.device.restart()
        if event.restart or event.drop:
            await self.gate.drop()
        behave = "refuse" if event.restart and event.seconds and event.behave is None else event.behave
        if behave is not None:
            await self.behave(behave, event.seconds)

    async def behave(self, behaviour: str, seconds: float | None = None) -> None:
        """Changes how it answers, for good or for so many seconds."""
        if self._recovery is not None:
            self._recovery.cancel()
            self._recovery = None
        await self._turn(behaviour)
        if seconds is not None:
            self._recovery = asyncio.create_task(self._recover(seconds))

    def stop(self) -> None:
        """Stops as some controllers do at a request that they cannot take."""
        self._recovery = asyncio.create_task(self._turn("refuse"))

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()

    async def _recover(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._turn("honest")

    async def _turn(self, behaviour: str) -> None:
        self.behaviour = behaviour
        if behaviour == "refuse":
            await self.gate.refuse()
        else:
            await self.gate.open()
        if behaviour == "close":
            await self.gate.drop()

    def _event(self, change: Mapping[str, Any]) -> Event:
        problems: list[str] = []
        event = converted(Event, {"plc": self.name, **change}, self.name, problems)
        if event is None:
            raise ScenarioError("\n".join(problems))
        return event
