"""What was heard of a network: hosts with the evidence for each field, conversations, and what could not be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baselines.asset import Identity


@dataclass(frozen=True, slots=True)
class Evidence:
    """One value that was seen of a host: where, in which frame first, and when last (nanoseconds since 1970, UTC).

    `newest` says that this witness has said nothing else of the field since.
    """

    field: str
    value: str
    protocol: str
    frame: int
    at: int = 0
    newest: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """A port that a host answers on; `protocol` is "tcp" or "udp" where it is none that we know."""

    carrier: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class HeardHost:
    """A host that was heard. `mac` is None for one behind a router, or where the capture has no MAC addresses.

    `identity` holds for each field the value of the best witness; where others say otherwise, the field is in
    `contradicted`, and `evidence` shows who says what. Times are nanoseconds since 1970, UTC.
    """

    mac: str | None
    ips: tuple[str, ...]
    names: tuple[str, ...]
    identity: Identity
    role: str | None
    protocols: tuple[str, ...]
    services: tuple[Service, ...]
    first_at: int
    last_at: int
    evidence: tuple[Evidence, ...]
    contradicted: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What it is known by: its MAC address, or else its IP address."""
        return self.mac or self.ips[0]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Who uses what of whom. `client` and `server` are IP addresses, MAC addresses below IP; `port` is the server's.

    `hidden` says why its functions cannot be seen ("encrypted"); `answered` that the server has sent something too.
    """

    client: str
    server: str
    protocol: str
    port: int
    packets: int
    bytes: int
    functions: tuple[str, ...]
    hidden: str = ""
    answered: bool = False
    last_at: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What went past, and how much of it was seen. A sensor that is blind says so here.

    `kernel_dropped` were lost before us, `not_kept` are hosts and conversations beyond the bounds of memory;
    `unreadable` are frames whose headers claim more than there is, `malformed` messages that were none, by protocol.
    """

    packets: int = 0
    bytes: int = 0
    first_at: int = 0
    last_at: int = 0
    kernel_dropped: int = 0
    not_kept: int = 0
    unreadable: int = 0
    skipped: int = 0  # bytes of streams that were no message, or a part of one whose rest never came
    decoded: int = 0  # messages
    malformed: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return (self.last_at - self.first_at) / 1e9


@dataclass(frozen=True, slots=True)
class Heard:
    """All that an engine has heard so far."""

    counts: Counts
    hosts: tuple[HeardHost, ...]
    conversations: tuple[Conversation, ...]
