"""What was sent to devices, by host and port."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import insert, select

from collectors.metering import Record, read_record
from monitor import tables
from monitor.store.database import Transaction


def records(tx: Transaction, devices: Iterable[str]) -> dict[str, Record]:
    """What is known of devices; those that nothing was ever sent to are left out."""
    statement = select(tables.device).where(tables.device.c.device.in_([*devices]))
    return {row.device: read_record(row.since, row.until, json.loads(row.counts)) for row in tx.execute(statement)}


def keep_records(tx: Transaction, known: Mapping[str, Record]) -> None:
    """Put what is known of devices in the place of what was."""
    rows = [
        {
            "device": device,
            "since": record.since,
            "until": record.until,
            "counts": json.dumps(record.document(), separators=(",", ":")),
        }
        for device, record in known.items()
    ]
    if rows:
        tx.execute(tables.device.delete().where(tables.device.c.device.in_([*known])))
        tx.execute(insert(tables.device), rows)
