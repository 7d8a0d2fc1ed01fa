"""Modbus TCP: identity by FC 43/14 and 17, items by FC 1 to 4. One connection a device, one request at a time."""

from collectors.modbus.collector import ModbusCollector

__all__ = ["ModbusCollector"]
