"""Which protocol a conversation speaks, and who is its client: by its ports, by who opens it, by its first payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.passive.flows import FIRST, OTHER, UNTOLD
from collectors.passive.headers import ACK, SYN, TCP, UDP, Headers, gather
from collectors.passive.inventory import Talk
from collectors.passive.protocols.protocol import GLANCE, Carrier, Protocol
from collectors.passive.protocols.tls import TLS
from collectors.passive.source import Batch


class Telling:
    """The table of protocols, by number: UNTOLD, OTHER, or FIRST and the place in the table."""

    def __init__(self, protocols: tuple[Protocol, ...]) -> None:
        self._protocols = protocols
        self._ports = {
            (protocol.carrier, port): FIRST + number
            for number, protocol in enumerate(protocols)
            for port in protocol.ports
        }
        self._beginning: dict[str, list[tuple[int, Callable[[bytes], bool]]]] = {
            carrier: [
                (FIRST + number, protocol.begins)
                for number, protocol in enumerate(protocols)
                if protocol.begins and protocol.carrier is carrier
            ]
            for carrier in Carrier
        }
        self._glances = {
            number: [
                (protocol.glance[0], np.isin(np.arange(256), list(protocol.glance[1])))
                for protocol in protocols
                if protocol.begins and protocol.carrier is carrier
            ]
            for number, carrier in ((TCP, Carrier.TCP), (UDP, Carrier.UDP))
        }
        self.tls = FIRST + protocols.index(TLS) if TLS in protocols else OTHER

    def at_port(self, carrier: Carrier, port: int) -> int:
        """The protocol of a server's port (of Ethernet: of an EtherType); OTHER if it has none."""
        return self._ports.get((carrier, port), OTHER)

    def name(self, number: int, carrier: Carrier) -> str:
        """What a conversation is called by: its protocol, or else what it travels on."""
        return self._protocols[number - FIRST].name if number >= FIRST else str(carrier)

    def roles(self, carrier: Carrier, source_port: int, destination_port: int, flags: int) -> tuple[bool, int]:
        """Whether the sender is the client, and the protocol: by who opens it, by known ports, by the lower port."""
        to, of = self._ports.get((carrier, destination_port)), self._ports.get((carrier, source_port))
        if carrier is Carrier.TCP and flags & SYN:
            from_client = not flags & ACK
        elif (to is None) != (of is None):
            from_client = to is not None
        else:
            from_client = destination_port <= source_port
        return from_client, (to if from_client else of) or UNTOLD

    def begun(self, talk: Talk, payload: bytes = b"") -> int:
        """The protocol that begins with this payload, or that an earlier connection to the same port was told by."""
        if talk.protocol != talk.carrier:
            return next(FIRST + at for at, known in enumerate(self._protocols) if known.name == talk.protocol)
        for known, begins in self._beginning[talk.carrier]:
            if begins(payload):
                return known
        return UNTOLD

    def could_begin(self, batch: Batch, headers: Headers, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the rows may hold a message of a protocol that is known by more than its port."""
        head = gather(batch.data, headers.payload[rows], GLANCE)
        found = np.zeros(len(rows), np.bool_)
        for number, glances in self._glances.items():
            of_it = headers.protocol[rows] == number
            for place, allowed in glances:
                found |= of_it & allowed[head[:, place]]
        return found
