"""Which collector reads which protocol. Imported when first needed: asyncua alone takes half a second."""

from __future__ import annotations

from collectors.collector import Collector


def collector_of(protocol: str) -> type[Collector]:
    """The collector of an address's protocol: "modbus" or "opc.tcp"."""
    match protocol:
        case "modbus":
            from collectors.modbus import ModbusCollector

            return ModbusCollector
        case "opc.tcp":
            from collectors.opcua import OpcUaCollector

            return OpcUaCollector
    raise ValueError(f"no collector reads {protocol}")
