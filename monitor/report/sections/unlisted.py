"""Who was heard on the plant's segments, and is no asset of plant.toml."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Weight
from monitor.report.inventoried import overheard_at
from monitor.report.overheard import Overheard, Sighting
from monitor.report.scope import Scope
from monitor.report.sentences import counted, is_are, named
from monitor.store import Transaction

UNLISTED, TITLE = "unlisted", "Heard, and not in plant.toml"
COLUMNS = (
    Column("segment", "Segment"),
    Column("mac", "MAC address", Form.CODE, 1.9),
    Column("ip", "IP address", Form.CODE, 1.5),
    Column("names", "Calls itself", width=1.5),
    Column("manufacturer", "Manufacturer", width=1.4),
    Column("model", "Model", width=1.4),
    Column("protocols", "Protocols", width=1.3),
    Column("ports", "Ports and services", Form.CODE, 0),
    Column("product_code", "Product code", Form.CODE, 0),
    Column("serial_number", "Serial number", Form.CODE, 0),
    Column("firmware", "Firmware", Form.CODE, 0),
    Column("hardware_revision", "Hardware", Form.CODE, 0),
)


def unlisted(tx: Transaction, scope: Scope) -> Section:
    """Hosts of the scope's segments that are no asset: neither their address nor their card is one of plant.toml's."""
    plant = scope.plant
    segments = [name for name in scope.names if name in plant.segments]
    overheard = overheard_at(tx, scope, segments)
    addresses = {polled.target.address.host for polled in plant.assets.values()}
    cards = {polled.asset.mac for polled in plant.assets.values()} - {""}
    strange = [each for each in overheard.sightings if not (addresses.intersection(each.ips) or each.host.mac in cards)]
    heard = len(overheard.sightings)
    nobody = f"All {counted(heard, 'host')} that were heard are assets of plant.toml." if heard else "Nobody was heard."
    return Section(
        UNLISTED,
        TITLE,
        (Table(UNLISTED, TITLE, COLUMNS, [_row(each) for each in strange], nobody),),
        findings=_findings(segments, overheard, len(strange)),
    )


def _row(sighting: Sighting) -> tuple[Cell, ...]:
    host = sighting.host
    said = {name: ", ".join(values) or None for name, values in host.said.items()}
    return (
        sighting.segment,
        host.mac,
        ", ".join(sighting.ips) or None,
        said.get("names"),
        said.get("manufacturer"),
        said.get("model"),
        ", ".join(sighting.protocols) or None,
        ", ".join(sighting.ports) or None,
        said.get("product_code"),
        said.get("serial_number"),
        said.get("software_revision"),
        said.get("hardware_revision"),
    )


def _findings(segments: Sequence[str], overheard: Overheard, strange: int) -> tuple[Finding, ...]:
    if not segments:
        text = "Nobody listens to a segment, so a device that is not in plant.toml would not be found."
        return (Finding(Weight.UNKNOWN, text, UNLISTED),)
    found = []
    if silent := [name for name in segments if name not in overheard.segments]:
        text = f"Of {counted(len(segments), 'segment')}, {len(silent):,} never told anything: {named(silent)}."
        found.append(Finding(Weight.UNKNOWN, text, UNLISTED))
    heard = counted(len(overheard.sightings), "host")
    if strange:
        text = f"Of {heard} heard, {strange:,} {is_are(strange)} not in plant.toml."
        found.append(Finding(Weight.ATTENTION, text, UNLISTED))
    elif overheard.sightings:
        found.append(Finding(Weight.GOOD, f"Of {heard} heard, every one is in plant.toml.", UNLISTED))
    return tuple(found)
