"""Which functions of a protocol change something, by their names: those that the decoders give them. Pure.

Whether a conversation writes or only reads has to be seen at a glance on the map. Where a name does not say, it is not
taken for a write; what was really done is an event, which the decoders tell by the message itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

VERBS = {
    *("write", "set", "mask", "modify", "insert", "remove", "delete", "create", "add", "clear", "force", "password"),
    *("reset", "restart", "start", "stop", "restore", "apply", "download", "swap", "call", "signal", "flash"),
    *("initialize", "reinitialize", "install"),
}
WHOLE = {
    *("pi-service", "pi-inse", "pi-p-program", "pi-modu", "pi-garb", "device-communication-control"),
    *("umas-upload-block", "umas-initialize-upload", "umas-end-upload", "umas-backup"),
}
HARMLESS = {  # of a session, a subscription, or the way from the device
    *("start-upload", "create-session", "create-subscription", "create-monitored-items", "delete-subscriptions"),
    *("delete-monitored-items", "modify-subscription", "modify-monitored-items", "set-publishing-mode", "delete-job"),
    *("set-monitoring-mode", "set-triggering", "change-driven-transfer-modify", "umas-initialize-download"),
    *("umas-download-block", "umas-end-download", "setup-communication"),
}  # UMAS says upload and download the other way round: see collectors/passive/protocols/modbus.py


@lru_cache(4096)
def is_acting(function: str) -> bool:
    """Whether a function changes something at the device."""
    if function in HARMLESS:
        return False
    return function in WHOLE or not VERBS.isdisjoint(function.split("-"))


def acting(functions: Iterable[str]) -> Sequence[str]:
    """Those of some functions that do."""
    return [each for each in functions if is_acting(each)]
