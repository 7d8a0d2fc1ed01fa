"""ARP for IPv4 on Ethernet (RFC 826, RFC 5227): who says that an IP address is his."""

from __future__ import annotations

import numpy as np

from collectors.passive.protocols.mixing import mixed
from collectors.passive.protocols.protocol import Bytes, Carrier, Flags, Lengths, Protocol, Signatures
from collectors.passive.protocols.texts import ip_text, mac_text
from collectors.passive.said import Asked, Malformed, Said, Sighting

SIZE, PADDED = 28, 32
ETHERNET_IPV4 = bytes.fromhex("000108000604")  # hardware 1, protocol 0x0800, lengths 6 and 4
REQUEST, REPLY = 1, 2
GROUP_BIT = 1  # of a MAC address's first byte
NOBODY = bytes(6)
LOOPBACK, MULTICAST = 127, 224  # no host's address begins with the one, or with the other or more (RFC 1122, 3.2.1.3)
PROBE = Said(("probe",))


def decode(message: bytes, client: bool, asked: Asked) -> Said:
    """The sender's claim. A probe (sender 0.0.0.0, RFC 5227, 1.1) claims nothing."""
    if len(message) < SIZE:
        raise Malformed("ARP is 28 bytes long")
    if message[:6] != ETHERNET_IPV4:
        raise Malformed("no ARP for IPv4 on Ethernet")
    operation = message[6] << 8 | message[7]
    if operation not in (REQUEST, REPLY):
        return Said((f"operation-{operation}",))  # RFC 826 has two; those of RARP and InARP are not of this EtherType
    sender, address = message[8:14], message[14:18]
    if not any(address):
        return PROBE
    announces = address == message[24:28]  # RFC 5227, 1.1: both addresses are the sender's
    function = "announcement" if announces else "request" if operation == REQUEST else "reply"
    if sender[0] & GROUP_BIT or sender == NOBODY or address[0] == LOOPBACK or address[0] >= MULTICAST:
        return Said((function,))
    return Said((function,), (Sighting("ip", ip_text(address), mac_text(sender)),))


def sign(head: Bytes, length: Lengths, client: Flags) -> Signatures:
    """The message itself: what was claimed before is claimed again."""
    claim = head[:, :PADDED].copy()
    claim[:, SIZE:] = 0  # padding, or what a network card left there
    return np.where(length >= SIZE, mixed(claim), np.uint64(0))


ARP = Protocol("arp", Carrier.ETHERNET, frozenset({0x0806}), decode, sign=sign)
