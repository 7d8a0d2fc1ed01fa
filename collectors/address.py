"""Where a device is: modbus://host[:port]/unit or opc.tcp://host[:port]/path."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

HOST_NAME = re.compile(r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*\.?")
DEFAULT_PORTS = {"modbus": 502, "opc.tcp": 4840}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. `unit` is the Modbus unit identifier; `path` the path of an OPC UA endpoint, with its slash."""

    protocol: str
    host: str
    port: int
    unit: int = 0
    path: str = ""

    @property
    def device(self) -> tuple[str, int]:
        """What shares one connection and one rate: everything behind one host and port."""
        return self.host, self.port

    def __str__(self) -> str:
        tail = f"/{self.unit}" if self.protocol == "modbus" else self.path
        return f"{self.protocol}://{device_text(self.device)}{tail}"


def device_text(device: tuple[str, int]) -> str:
    """A host and its port as one writes them."""
    host, port = device
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """The address that `text` names; ValueError says what is wrong with it and what it should look like."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from None
    default = DEFAULT_PORTS.get(parts.scheme)
    if default is None or not parts.hostname:
        raise ValueError(f"{text!r} is no address: write modbus://host[:port]/unit or opc.tcp://host:port/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has more than host, port and {'unit' if parts.scheme == 'modbus' else 'path'}")
    if port == 0:
        raise ValueError(f"{text!r}: port 0 is no port")
    host = _host(parts.hostname)
    if host is None:
        raise ValueError(f"{text!r} is no address: {parts.hostname!r} is no host name and no IP address")
    if parts.scheme == "opc.tcp":
        return Address("opc.tcp", host, port or default, path="" if parts.path == "/" else parts.path)
    unit = parts.path.strip("/") or "1"
    if not (unit.isascii() and unit.isdigit() and int(unit) <= 255):
        raise ValueError(f"{text!r}: the unit is a number from 0 to 255, not {unit!r}")
    return Address("modbus", host, port or default, unit=int(unit))


def _host(written: str) -> str | None:
    """One spelling per host, so that one device is not taken for two; None for what is no host."""
    try:
        return str(ipaddress.ip_address(written))
    except ValueError:
        return written.removesuffix(".") if HOST_NAME.fullmatch(written) else None
