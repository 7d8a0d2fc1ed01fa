"""What a protocol is to the engine: where it is spoken, how its messages are cut, decoded, and known again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from collectors.passive.said import Asked, Said

Bytes: TypeAlias = NDArray[np.uint8]
Lengths: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Signatures: TypeAlias = NDArray[np.uint64]

GLANCE = 4  # bytes of a payload in which a glance lies
HEAD = 64  # bytes of a payload that a signature is made of


class Carrier(StrEnum):
    """What a protocol travels on."""

    ETHERNET = "ethernet"
    UDP = "udp"
    TCP = "tcp"


# Decode one whole message. The flag says whether the client of the conversation sent it. Pure but for the notes in
# Asked; for any bytes it returns, or raises Malformed and nothing else.
Decode: TypeAlias = Callable[[bytes, bool, Asked], Said]

# The length of the message that a stream's next bytes begin, 0 if they are too few to tell, -1 if they begin none.
Cut: TypeAlias = Callable[[bytes], int]

# Signatures of n payloads, from their first HEAD bytes (n × HEAD, zero-filled), their lengths, and whether the client
# of the conversation sent each. 0: decode it always.
# Two payloads that went the same way of the same conversation with the same signature say the same, do nothing to a
# device, leave no note in Asked and take none: so the second needs no decoding. A payload that is not exactly one whole
# message has the signature 0. Signatures below CONTINUES are for messages that only go on with what was begun, such as
# the thousands of blocks of one firmware: of each such signature one connection's first is decoded, and decode, by a
# note in Asked, tells them no more than once either.
CONTINUES = 256
Sign: TypeAlias = Callable[[Bytes, Lengths, Flags], Signatures]

# A whole message without what only numbers it. Two of which it is the same, and that went the same way of one flow,
# say the same while nothing waits in Asked: so what said nothing once is known to say nothing again. For messages that
# say all that they say by their content, too much of it for a signature. A message that says something else because of
# what is kept in Asked keeps that anew each time: what leaves a note is never known again.
Unnumbered: TypeAlias = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One row of the table of protocols.

    `ports` are those of its servers (of an Ethernet protocol: its EtherTypes). `cut` is needed on TCP alone. `begins`
    tells a conversation on any other port by its first payload; without it the protocol is known by its port only.
    With it goes `glance`, a place in every message and the bytes that can stand there: what has none is not looked at.
    `prepare` loads what its decoder would otherwise load when it first needs it.
    """

    name: str
    carrier: Carrier
    ports: frozenset[int]
    decode: Decode
    cut: Cut | None = None
    sign: Sign | None = None
    begins: Callable[[bytes], bool] | None = None
    glance: tuple[int, bytes] = (0, bytes(range(256)))
    unnumbered: Unnumbered | None = None
    prepare: Callable[[], None] | None = None
