"""Taking an asset out of service and back (ISA-18.2, 5.4.7), as commands, the page and the API do it."""

from __future__ import annotations

from datetime import datetime

from monitor import lives
from monitor.config import Plant
from monitor.errors import CallError
from monitor.evidence import Say, deciding
from monitor.lives import Reason, Step
from monitor.polling import begin_routes, tell
from monitor.store import Database


def take_out(
    plant: Plant, database: Database, name: str, until: datetime, reason: Reason, say: Say, however_long: bool = False
) -> Step:
    """Take an asset or a segment out of service until a time."""
    _assure_named(plant, name)
    with deciding(plant, database, reason.actor, say) as tx:
        return lives.take_out(tx, name, until, reason, however_long)


def bring_back(plant: Plant, database: Database, name: str, reason: Reason, say: Say) -> Step:
    """Take it back before its time: the alarms that waited come back, and people are told of them."""
    _assure_named(plant, name)
    with deciding(plant, database, reason.actor, say) as tx:
        begin_routes(tx, plant)
        step = lives.bring_back(tx, name, reason)
    tell(plant, database)
    return step


def _assure_named(plant: Plant, name: str) -> None:
    if name not in plant.assets and name not in plant.segments:
        raise CallError(f"{plant.path} names no asset {name}; asbuilt assets shows what there is")
