"""What was heard, as JSON has it (DESIGN: replay) and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

import msgspec

from baselines.snapshot import utc_text
from baselines.wire import Operation, WireEvent
from collectors.passive.heard import Conversation, Counts, HeardHost

ENCODE = msgspec.json.Encoder().encode
IN_MEMORY = 16 << 20  # bytes of events; more are kept in a temporary file


class Events:
    """The events of a capture, however many: in memory at first, then in a temporary file, and counted by kind."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (it lives as long as this does)
        self.first: dict[tuple[str, str, str, Operation], WireEvent] = {}
        self.counts: Counter[tuple[str, str, str, Operation]] = Counter()

    def add(self, event: WireEvent, times: int = 1) -> None:
        """Take an event; one that live listening has summed up counts `times`."""
        key = (event.client, event.server, event.protocol, event.operation)
        self.first.setdefault(key, event)
        self.counts[key] += times
        document = event_document(event) | ({"times": times} if times > 1 else {})
        self._file.write(ENCODE(document) + b"\n")

    def __len__(self) -> int:
        return self.counts.total()

    def lines(self) -> Iterator[str]:
        """Every event as one line of JSON."""
        self._file.seek(0)
        for line in self._file:
            yield line.decode().rstrip("\n")


def event_document(event: WireEvent) -> dict[str, Any]:
    return {
        "at": utc_text(event.at),
        "frame": event.frame,
        "client": event.client,
        "server": event.server,
        "protocol": event.protocol,
        "operation": event.operation,
        "detail": event.detail,
        "techniques": event.techniques,
    }


def capture_document(counts: Counts, truncated: bool, why: str) -> dict[str, Any]:
    return {
        "packets": counts.packets,
        "bytes": counts.bytes,
        "seconds": counts.seconds,
        "truncated": truncated,
        "why_truncated": why or None,
        "malformed": dict(counts.malformed),
        "unreadable": counts.unreadable,
        "skipped_bytes": counts.skipped,
        "decoded": counts.decoded,
        "not_kept": counts.not_kept,
        "kernel_dropped": counts.kernel_dropped,
    }


def host_document(host: HeardHost) -> dict[str, Any]:
    return {
        "mac": host.mac,
        "ips": list(host.ips),
        "names": list(host.names),
        **asdict(host.identity),
        "role": host.role,
        "protocols": list(host.protocols),
        "services": [f"{found.carrier}/{found.port} {found.protocol}" for found in host.services],
        "first_seen": utc_text(moment(host.first_at)),
        "last_seen": utc_text(moment(host.last_at)),
        "contradicted": list(host.contradicted),
        "evidence": [
            {"field": found.field, "value": found.value, "protocol": found.protocol, "frame": found.frame}
            for found in host.evidence
        ],
    }


def conversation_document(talk: Conversation) -> dict[str, Any]:
    return {
        "client": talk.client,
        "server": talk.server,
        "protocol": talk.protocol,
        "port": talk.port,
        "packets": talk.packets,
        "bytes": talk.bytes,
        "functions": list(talk.functions),
        "hidden": talk.hidden or None,
    }


def moment(at: int) -> datetime:
    """Nanoseconds since 1970 as a time; one that no calendar holds is the nearest that it does."""
    micros = min(max(at // 1_000, -62_135_596_800_000_000), 253_402_300_799_000_000)
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
