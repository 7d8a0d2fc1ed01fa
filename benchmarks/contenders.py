"""What a user could write with a library instead: `python -m benchmarks.contenders dpkt|scapy FILE`.

dpkt counts hosts and conversations by headers; scapy dissects every frame with the layers that it has for plants.
Prints as JSON what it found: values (any text or number of a field) and frames in which something is written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

WRITES = re.compile("ModbusPDU(05|06|0F|10|15|16|17).*Request")  # as scapy names its layers


def by_dpkt(path: str) -> dict[str, Any]:
    import dpkt

    hosts: set[bytes] = set()
    talks: dict[tuple[Any, ...], int] = {}
    with open(path, "rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            try:
                ethernet = dpkt.ethernet.Ethernet(frame)
            except dpkt.UnpackError:
                continue
            hosts.add(ethernet.src)
            ip = ethernet.data
            if isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
                inner = ip.data
                ports = (getattr(inner, "sport", 0), getattr(inner, "dport", 0))
                key = (ip.src, ip.dst, *ports)
                talks[key] = talks.get(key, 0) + 1
    return {"hosts": len(hosts), "conversations": len(talks), "values": [], "frames": []}


def by_scapy(path: str) -> dict[str, Any]:
    from scapy.all import PcapReader, load_contrib

    for name in ("lldp", "cdp", "modbus", "pnio", "pnio_dcp", "enipTCP"):
        load_contrib(name)
    values: set[str] = set()
    frames = []
    with PcapReader(path) as reader:
        for number, packet in enumerate(reader, 1):
            layer = packet
            while layer:
                if layer.name not in ("Ethernet", "IP", "TCP", "UDP", "Raw", "Padding"):
                    values.update(_texts(layer))
                if WRITES.fullmatch(type(layer).__name__):
                    frames.append(number)
                layer = layer.payload
    return {"values": sorted(values), "frames": frames}


def _texts(layer: Any) -> Iterator[str]:
    for value in layer.fields.values():
        if isinstance(value, bytes):
            yield value.decode("utf-8", "replace")
        elif isinstance(value, str | int):
            yield str(value)


if __name__ == "__main__":
    print(json.dumps({"dpkt": by_dpkt, "scapy": by_scapy}[sys.argv[1]](sys.argv[2])))
