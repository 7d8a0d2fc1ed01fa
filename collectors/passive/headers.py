"""The header pass: what every frame of a batch says up to its payload, one column a field, no Python per frame."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.passive.source import Batch

Column = NDArray[Any]

ETHERNET, RAW_IP, NULL, LOOP, SLL, SLL2 = 1, 101, 0, 108, 113, 276  # tcpdump.org/linktypes.html
RAW_IPV4, RAW_IPV6 = 228, 229
IPV4, IPV6 = 0x0800, 0x86DD
VLAN_TAGS = (0x8100, 0x88A8, 0x9100)  # IEEE 802.1Q, 802.1ad, and what came before it
TAGS_MOST = 4
SMALLEST_ETHERTYPE = 0x0600  # below, the field is a length (IEEE 802.3, 3.2.6)
SNAP = 0xAAAA03
CISCO = 0x00000C
LLC = 0x10000  # marks a kind that is no EtherType: LLC | DSAP
UNREADABLE = 0x20000  # the kind of a frame that is too short for the headers that it claims, or of an unknown link type
TCP, UDP = 6, 17
SYN, RST, ACK = 0x02, 0x04, 0x10  # flags of TCP (RFC 9293, 3.1)
EXTENSIONS = (0, 43, 60, 135)  # IPv6 hop-by-hop, routing, destination, mobility: in units of 8 bytes (RFC 8200, 4)
FRAGMENT = 44
EXTENSIONS_MOST = 6
MULTIPLIERS = tuple(np.uint64(secrets.randbits(64) | 1) for _ in range(6))  # nobody can prepare frames that collide
HALF = np.uint64(32)


@dataclass(slots=True)
class Headers:
    """One row a frame. Positions are in the batch's `data`; what a frame does not have is 0.

    `kind` is the EtherType, or LLC | DSAP, or UNREADABLE; for a Cisco SNAP frame its protocol id. `flow` is a hash of
    everything that tells one way of one conversation: MAC addresses, IP addresses, protocol, ports.
    `whole` says that the payload is here to its end; `fragment` that it is a part of a datagram.
    """

    flow: Column
    kind: Column
    protocol: Column  # of IP
    source_mac: Column
    destination_mac: Column
    network: Column  # where the header behind the last tag begins
    transport: Column  # where TCP or UDP begins
    source_port: Column
    destination_port: Column
    sequence: Column
    flags: Column
    payload: Column  # where it begins
    length: Column  # of the payload, as far as it was captured
    whole: Column
    fragment: Column


def read_headers(batch: Batch) -> Headers:
    """The headers of every frame. For any bytes: what claims more than there is, is UNREADABLE."""
    count = len(batch.offset)
    end = batch.offset + batch.captured
    source_mac, destination_mac, kind, network = _LINKS.get(batch.link, _unknown)(batch)
    kind = np.where(network > end, UNREADABLE, kind)
    zero = np.zeros(count, np.int64)
    columns = Headers(
        flow=source_mac,
        kind=kind,
        protocol=zero.copy(),
        source_mac=source_mac,
        destination_mac=destination_mac,
        network=network,
        transport=network.copy(),
        source_port=zero.copy(),
        destination_port=zero.copy(),
        sequence=zero.copy(),
        flags=zero.copy(),
        payload=network.copy(),
        length=np.maximum(end - network, 0),
        whole=batch.captured >= batch.wire,
        fragment=np.zeros(count, np.bool_),
    )
    addresses = np.zeros(count, np.uint64)
    on_wire = batch.offset + batch.wire
    for version, read in ((IPV4, _ipv4), (IPV6, _ipv6)):
        rows = np.flatnonzero(kind == version)
        if len(rows) == count:
            read(batch.data, end, on_wire, columns, addresses, slice(None))
        elif len(rows):
            read(batch.data, end, on_wire, columns, addresses, rows)
    _transports(batch.data, end, columns)
    columns.flow = _flows(columns, addresses)
    return columns


def gather(data: Column, position: Column, width: int) -> Column:
    """The `width` bytes at each position, a row each. The data must be readable that far."""
    windows = np.ndarray((max(0, len(data) - width + 1),), f"V{width}", data.data, strides=(1,))
    return windows[position].view(np.uint8).reshape(len(position), width)


def numbers(rows: Column, at: int, form: str) -> Column:
    """The big-endian number at byte `at` of every row: form "u2", "u4" or "u8"."""
    size = int(form[1])
    return np.ndarray((len(rows),), ">" + form, rows.data, offset=at, strides=(rows.shape[1],)).astype(
        np.uint64 if size == 8 else np.int64
    )


# Link layers: source MAC, destination MAC, kind, where the network header begins


def _ethernet(batch: Batch) -> tuple[Column, Column, Column, Column]:
    rows = gather(batch.data, batch.offset, 16)
    source = numbers(rows, 6, "u8")
    destination = numbers(rows, 0, "u8") >> np.uint64(16)
    kind = (source & np.uint64(0xFFFF)).astype(np.int64)
    network = batch.offset + 14
    _untag(batch, kind, network)
    return source >> np.uint64(16), destination, kind, network


def _untag(batch: Batch, kind: Column, network: Column) -> None:
    """Past VLAN tags, and from 802.3 lengths to what LLC says: `kind` and `network` are changed in place."""
    readable = len(batch.data) - 16
    for _ in range(TAGS_MOST):
        tagged = np.flatnonzero((kind == VLAN_TAGS[0]) | (kind == VLAN_TAGS[1]) | (kind == VLAN_TAGS[2]))
        if not len(tagged):
            break
        kind[tagged] = numbers(gather(batch.data, np.minimum(network[tagged], readable), 4), 2, "u2")
        network[tagged] += 4
    short = np.flatnonzero(kind < SMALLEST_ETHERTYPE)
    if len(short):
        rows = gather(batch.data, np.minimum(network[short], readable), 8)
        room = (batch.offset + batch.captured)[short] - network[short]
        word = numbers(rows, 0, "u8")
        snap = (word >> np.uint64(40)) == SNAP
        vendor = (word >> np.uint64(16)) & np.uint64(0xFFFFFF)
        protocol = (word & np.uint64(0xFFFF)).astype(np.int64)
        bridged = snap & (vendor == 0)
        network[short[bridged]] += 8
        named = snap & ((vendor == 0) | (vendor == CISCO))
        said = np.where(named, protocol, LLC | rows[:, 0].astype(np.int64))
        kind[short] = np.where(room >= np.where(snap, 8, 3), said, UNREADABLE)


def _raw_ip(batch: Batch) -> tuple[Column, Column, Column, Column]:
    version = batch.data[batch.offset] >> 4
    kind = np.where(version == 4, IPV4, np.where(version == 6, IPV6, UNREADABLE))
    return _without_macs(batch, kind, 0)


def _null(batch: Batch) -> tuple[Column, Column, Column, Column]:
    """BSD loopback: the address family in the byte order of the host that captured; 2 is IPv4, 24, 28, 30 IPv6."""
    rows = gather(batch.data, batch.offset, 4)
    family = np.maximum(rows[:, 0], rows[:, 3])
    kind = np.where(family == 2, IPV4, np.where(np.isin(family, (24, 28, 30)), IPV6, UNREADABLE))
    return _without_macs(batch, kind, 4)


def _sll(batch: Batch) -> tuple[Column, Column, Column, Column]:
    """Linux cooked capture: the sender's address is there, the receiver's is not."""
    rows = gather(batch.data, batch.offset, 16)
    source, _, kind, network = _without_macs(batch, numbers(rows, 14, "u2"), 16)
    six = numbers(rows, 4, "u2") == 6
    source = np.where(six, numbers(rows, 6, "u8") >> np.uint64(16), source)
    _untag(batch, kind, network)
    return source, np.zeros_like(source), kind, network


def _sll2(batch: Batch) -> tuple[Column, Column, Column, Column]:
    rows = gather(batch.data, batch.offset, 20)
    source, _, kind, network = _without_macs(batch, numbers(rows, 0, "u2"), 20)
    six = rows[:, 11] == 6
    source = np.where(six, numbers(rows, 12, "u8") >> np.uint64(16), source)
    _untag(batch, kind, network)
    return source, np.zeros_like(source), kind, network


def _unknown(batch: Batch) -> tuple[Column, Column, Column, Column]:
    return _without_macs(batch, np.full(len(batch.offset), UNREADABLE, np.int64), 0)


def _without_macs(batch: Batch, kind: Column, header: int) -> tuple[Column, Column, Column, Column]:
    nobody = np.zeros(len(batch.offset), np.uint64)
    return nobody, nobody.copy(), kind, batch.offset + header


_LINKS: dict[int, Callable[[Batch], tuple[Column, Column, Column, Column]]] = {
    ETHERNET: _ethernet,
    RAW_IP: _raw_ip,
    RAW_IPV4: _raw_ip,
    RAW_IPV6: _raw_ip,
    12: _raw_ip,  # as OpenBSD and old captures number it
    NULL: _null,
    LOOP: _null,
    SLL: _sll,
    SLL2: _sll2,
}


# The network layer. `rows` are those that have the version.


def _ipv4(data: Column, end: Column, on_wire: Column, columns: Headers, addresses: Column, rows: Any) -> None:
    """RFC 791, 3.1."""
    network = columns.network[rows]
    header = gather(data, np.minimum(network, len(data) - 20), 20)
    first = header[:, 0].astype(np.int64)
    transport = network + (first & 15) * 4
    total = numbers(header, 2, "u2")
    total = np.where(total == 0, on_wire[rows] - network, total)  # left to the card to fill in (segmentation offload)
    wrong = (first < 0x45) | (first > 0x4F) | (transport > end[rows]) | (network + total < transport)
    fragment = (numbers(header, 6, "u2") & 0x3FFF) != 0
    _network(columns, rows, transport, network + total, end[rows], header[:, 9], fragment, wrong)
    addresses[rows] = numbers(header, 12, "u8")


def _ipv6(data: Column, end: Column, on_wire: Column, columns: Headers, addresses: Column, rows: Any) -> None:
    """RFC 8200, 3."""
    network = columns.network[rows]
    header = gather(data, np.minimum(network, len(data) - 40), 40)
    following = header[:, 6].astype(np.int64)
    transport = network + 40
    length = numbers(header, 4, "u2")
    last = np.where(length == 0, on_wire[rows], transport + length)
    wrong = (header[:, 0] >> 4 != 6) | (transport > end[rows])
    readable = len(data) - 8
    for _ in range(EXTENSIONS_MOST):
        more = np.flatnonzero(np.isin(following, EXTENSIONS) & (transport + 8 <= end[rows]))
        if not len(more):
            break
        extension = gather(data, np.minimum(transport[more], readable), 8)
        following[more] = extension[:, 0]
        transport[more] += (extension[:, 1].astype(np.int64) + 1) * 8
    fragment = following == FRAGMENT
    wrong |= (transport > end[rows]) | (last < transport)
    wrong |= (fragment | np.isin(following, EXTENSIONS)) & (transport + 8 > end[rows])
    _network(columns, rows, transport, last, end[rows], following, fragment, wrong)
    words = [numbers(header, at, "u8") for at in (8, 16, 24, 32)]
    mixed = words[0]
    for word in words[1:]:
        mixed = (mixed ^ (mixed >> HALF)) * MULTIPLIERS[0] + word
    addresses[rows] = mixed


def _network(
    columns: Headers,
    rows: Any,
    transport: Column,
    last: Column,
    end: Column,
    protocol: Column,
    fragment: Column,
    wrong: Column,
) -> None:
    columns.kind[rows] = np.where(wrong, UNREADABLE, columns.kind[rows])
    columns.transport[rows] = columns.payload[rows] = transport
    columns.length[rows] = np.maximum(np.minimum(last, end) - transport, 0)
    columns.whole[rows] = last <= end
    columns.fragment[rows] = fragment & ~wrong
    columns.protocol[rows] = np.where(wrong, 0, protocol)


def _transports(data: Column, end: Column, columns: Headers) -> None:
    """RFC 9293, 3.1; RFC 768. A fragment's ports are read when it has been put together."""
    carried = ((columns.protocol == TCP) | (columns.protocol == UDP)) & ~columns.fragment
    rows = np.flatnonzero(carried)
    if not len(rows):
        return
    at = columns.transport[rows]
    header = gather(data, np.minimum(at, len(data) - 20), 20)
    ports = numbers(header, 0, "u4")
    tcp = columns.protocol[rows] == TCP
    size = np.where(tcp, (header[:, 12] >> 4).astype(np.int64) * 4, 8)
    length, datagram = columns.length[rows], numbers(header, 4, "u2")
    # What follows a UDP datagram inside its packet is no part of it; 0 says nothing (RFC 2675, 4).
    length = np.where(tcp | (datagram == 0), length, np.minimum(length, datagram))
    fits = (size >= np.where(tcp, 20, 8)) & (length >= size)
    columns.kind[rows[~fits]] = UNREADABLE
    columns.protocol[rows[~fits]] = 0
    columns.source_port[rows] = ports >> 16
    columns.destination_port[rows] = ports & 0xFFFF
    columns.sequence[rows] = np.where(tcp, numbers(header, 4, "u4"), 0)
    columns.flags[rows] = np.where(tcp, header[:, 13], 0)
    columns.payload[rows] = at + np.where(fits, size, 0)
    columns.length[rows] = np.where(fits, length - size, 0)


def _flows(columns: Headers, addresses: Column) -> Column:
    ports = (columns.source_port << 40) | (columns.destination_port << 24) | columns.protocol
    ports |= columns.fragment.astype(np.int64) << 56
    words = (columns.destination_mac, addresses, (ports ^ (columns.kind << 8)).astype(np.uint64))
    mixed = columns.source_mac * MULTIPLIERS[1]
    for word, multiplier in zip(words, MULTIPLIERS[2:], strict=False):
        mixed = ((mixed ^ (mixed >> HALF)) + word) * multiplier
    return (mixed ^ (mixed >> HALF)) | np.uint64(1)  # 0 is no flow
