"""What was sent to devices, by host and port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from sqlalchemy import insert, select

from collectors.metering import Record, read_record
from monitor import tables
from monitor.store.database import Transaction


def records(tx: Transaction, devices: Iterable[str]) -> dict[str, Record]:
    """What is known of devices; those that nothing was ever sent to are left out, and so is what cannot be read: it
    begins anew, and its `since` says when."""
    found = {}
    for row in tx.execute(select(tables.device).where(tables.device.c.device.in_([*devices]))):
        with suppress(ValueError):
            found[row.device] = read_record(row.since, row.until, row.counts)
    return found


def keep_records(tx: Transaction, known: Mapping[str, Record]) -> None:
    """Put what is known of devices in the place of what was."""
    rows = [
        {
            "device": device,
            "since": record.since,
            "until": record.until,
            "counts": record.text(),
        }
        for device, record in known.items()
    ]
    if rows:
        tx.execute(tables.device.delete().where(tables.device.c.device.in_([*known])))
        tx.execute(insert(tables.device), rows)
