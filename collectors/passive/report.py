"""What the sensor's process tells the one that started it: one JSON document a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from baselines.wire import WireEvent
from collectors.passive.heard import Heard


@dataclass(frozen=True, slots=True)
class Happened:
    """What one client did to one server since the last report: the first time in full, and how many times."""

    event: WireEvent
    times: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What happened, what was heard if anything new was, and what the sensor wants said (`notes`), as sentences."""

    happened: tuple[Happened, ...] = ()
    heard: Heard | None = None
    notes: tuple[str, ...] = ()


def gathered(events: Iterable[WireEvent]) -> tuple[Happened, ...]:
    """Events by who did what to whom."""
    found: dict[tuple[str, str, str, str], list[WireEvent]] = {}
    for event in events:
        found.setdefault((event.client, event.server, event.protocol, event.operation), []).append(event)
    return tuple(Happened(same[0], len(same)) for same in found.values())


def encode_report(report: Report) -> bytes:
    """One line."""
    return msgspec.json.encode(report) + b"\n"


def decode_report(line: bytes) -> Report:
    """The report of one line; ValueError if it is none: what the sensor says is checked like a device's answer."""
    return _DECODER.decode(line)


_DECODER = msgspec.json.Decoder(Report)
