"""What was heard on the wire: somebody did something to a device, and what that may be the trace of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from baselines.snapshot import Severity


class Operation(StrEnum):
    """What was done to a device over the network."""

    WRITE = "write"
    PROGRAM_DOWNLOAD = "program-download"
    PROGRAM_UPLOAD = "program-upload"
    PROGRAM_CHANGE = "program-change"  # a block deleted or put in place, an online edit
    START = "start"
    STOP = "stop"
    MODE_CHANGE = "mode-change"
    FIRMWARE_UPDATE = "firmware-update"
    RESTART = "restart"
    ADDRESS_CHANGE = "address-change"  # its IP address, its name, its protocol settings
    LOGIN = "login"
    IDENTITY_READ = "identity-read"


OPERATIONS: dict[Operation, tuple[Severity, tuple[str, ...]]] = {  # MITRE ATT&CK for ICS
    Operation.WRITE: (Severity.MEDIUM, ("T0836", "T0855")),  # Modify Parameter, Unauthorized Command Message
    Operation.PROGRAM_DOWNLOAD: (Severity.CRITICAL, ("T0843",)),  # Program Download
    Operation.PROGRAM_UPLOAD: (Severity.MEDIUM, ("T0845",)),  # Program Upload
    Operation.PROGRAM_CHANGE: (Severity.CRITICAL, ("T0889",)),  # Modify Program
    Operation.START: (Severity.HIGH, ("T0858",)),  # Change Operating Mode
    Operation.STOP: (Severity.CRITICAL, ("T0858", "T0816")),  # … , Device Restart/Shutdown
    Operation.MODE_CHANGE: (Severity.HIGH, ("T0858",)),
    Operation.FIRMWARE_UPDATE: (
        Severity.CRITICAL,
        ("T0857", "T0800"),
    ),  # System Firmware, Activate Firmware Update Mode
    Operation.RESTART: (Severity.CRITICAL, ("T0816",)),
    Operation.ADDRESS_CHANGE: (Severity.HIGH, ("T0836",)),
    Operation.LOGIN: (Severity.MEDIUM, ("T0859",)),  # Valid Accounts
    Operation.IDENTITY_READ: (Severity.LOW, ("T0888",)),  # Remote System Information Discovery
}


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One operation: when, in which frame, who (`client`) to whom (`server`); addresses are IP, or MAC below IP.

    `detail` is what the protocol says of it, as JSON has it: addresses written, values, names of blocks.
    """

    at: datetime
    frame: int
    client: str
    server: str
    protocol: str
    operation: Operation
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        return OPERATIONS[self.operation][0]

    @property
    def techniques(self) -> tuple[str, ...]:
        return OPERATIONS[self.operation][1]


@dataclass(frozen=True, slots=True)
class Written:
    """A write to an item of an asset; `value` as JSON shows it, None where the wire did not say; `who` has client, name
    and protocol."""

    item: str
    at: datetime
    value: Any
    who: Mapping[str, Any]
