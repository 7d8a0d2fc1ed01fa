"""Modbus PLCs: the tables of each unit, and pymodbus's server over them.

pymodbus refuses an unmapped coil only in steps of 16 and keeps one identity for the whole process, so the
tables are ours and so are FC 43 and 17 (`modbus_identity`); framing, decoding and checking are pymodbus's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.gate import HOST
from simulators.modbus_identity import IdentificationRequest, ServerIdRequest
from simulators.model import ModbusModel, Nameplate, Value
from simulators.points import Point, Scalar
from simulators.scenario import PlcEntry

TABLES = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 4: "input"}  # every other function means holding


class ModbusDevice:
    """One unit: its points, and the coils and registers that they stand in."""

    def __init__(self, model: ModbusModel, entry: PlcEntry, on_stop: Callable[[], None]) -> None:
        self.points = model.points
        self.objects = model.objects() | ModbusModel.objects_of(entry.identity)
        self.server_id = model.server_id
        self._unmapped = model.unmapped
        self._on_stop = on_stop
        self._cells: dict[str, dict[int, int]] = {"coil": {}, "discrete": {}, "input": {}, "holding": {}}
        self._bases: dict[str, Scalar] = {}
        self._started = time.monotonic()
        for name, point in self.points.items():
            self._set(name, entry.values.get(name, point.value))

    def value(self, name: str) -> Scalar:
        point = self.points[name]
        table = self._cells[point.table]
        return point.value_of([table[address] for address in self._addresses(point)])

    async def set(self, values: Mapping[str, Value]) -> None:
        """Moves points to values; a point that was removed is back on the map."""
        for name, value in values.items():
            self._set(name, value)

    async def remove(self, names: Iterable[str]) -> None:
        """Takes points off the map: their addresses are refused from now on."""
        for name in names:
            del self._bases[name]
            point = self.points[name]
            for address in self._addresses(point):
                del self._cells[point.table][address]

    async def identify(self, identity: Mapping[str, str]) -> None:
        self.objects |= ModbusModel.objects_of(identity)

    async def label(self, nameplate: Nameplate) -> None:
        """Modbus knows no nameplate: the scenario was checked."""

    async def mark(self, statuses: Mapping[str, str]) -> None:
        """Modbus knows no status codes: the scenario was checked."""

    async def restart(self) -> None:
        self._started = time.monotonic()
        await self.tick()

    async def tick(self) -> None:
        """Moves what varies to where it stands now."""
        uptime = time.monotonic() - self._started
        for name, base in self._bases.items():
            point = self.points[name]
            if point.varies is not None and not isinstance(base, str):
                self._put(point, point.varies.value(base, point.varies.steps(uptime)))

    def _set(self, name: str, value: Value) -> None:
        assert not isinstance(value, list)  # the scenario was checked
        point = self.points[name]
        self._put(point, value)
        self._bases[name] = self.value(name)

    def read(self, table: str, address: int, count: int) -> list[int] | ExcCodes:
        cells = self._cells[table]
        wanted = range(address, address + count)
        if all(at in cells for at in wanted):
            return [cells[at] for at in wanted]
        if self._unmapped == "zero":
            return [cells.get(at, 0) for at in wanted]
        if self._unmapped == "stop":
            self._on_stop()
        return ExcCodes.ILLEGAL_ADDRESS

    def write(self, table: str, address: int, values: list[int]) -> ExcCodes | None:
        cells = self._cells[table]
        if any(address + offset not in cells for offset in range(len(values))):
            return ExcCodes.ILLEGAL_ADDRESS
        cells.update({address + offset: int(value) for offset, value in enumerate(values)})
        self._bases |= {name: self.value(name) for name in self._bases if self.points[name].varies is None}
        return None

    def _put(self, point: Point, value: Scalar) -> None:
        self._cells[point.table].update(zip(self._addresses(point), point.cells(value), strict=True))

    @staticmethod
    def _addresses(point: Point) -> range:
        return range(point.address, point.address + point.width)


class Units:
    """What pymodbus's server reads and writes: the units behind one port. Other units are no such device."""

    def __init__(self, devices: Mapping[int, ModbusDevice]) -> None:
        self.devices = devices

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        device = self.devices.get(device_id)
        if device is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        return device.read(TABLES.get(func_code, "holding"), address, count)

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> ExcCodes | None:
        device = self.devices.get(device_id)
        if device is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        return device.write(TABLES.get(func_code, "holding"), address, values)


class ModbusServer:
    """The honest server of the units behind one port."""

    def __init__(self, devices: Mapping[int, ModbusDevice]) -> None:
        self._units = Units(devices)
        self._server: ModbusTcpServer | None = None

    async def start(self, _public_port: int) -> int:
        """Serves on a free port of loopback and says which."""
        nothing = SimDevice(0, SimData(0, datatype=DataType.INVALID))
        server = ModbusTcpServer(
            nothing,
            framer=FramerType.SOCKET,
            address=(HOST, 0),
            custom_pdu=[IdentificationRequest, ServerIdRequest],
        )
        server.context = self._units  # type: ignore[assignment]
        await server.serve_forever(background=True)
        self._server = server
        port: int = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return port

    async def stop(self) -> None:
        """Closes the server and its connections."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
