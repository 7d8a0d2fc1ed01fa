"""The cases of alarms: closed by a fresh reading that is as approved, with the cause and what prevents the next one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from baselines.alert import Alert
from baselines.cause import Cause
from monitor import actions
from monitor.config import Plant
from monitor.errors import NotNow
from monitor.evidence import Say, deciding
from monitor.polling import poll_assets, utc_now
from monitor.show import change_text
from monitor.store import Actor, Database, Transaction

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a fresh reading says: by asset what is not as approved, one sentence each; why some were not read."""

    observed: Mapping[str, Sequence[str]]
    unseen: Sequence[str]


def assets_of(tx: Transaction, plant: Plant, ids: Sequence[int]) -> list[str]:
    """The assets of alarms that can be read, in the order of plant.toml; NotNow names an alarm that is not there."""
    named = {alert.asset for alert in actions.alerts_of(tx, ids)}
    return [name for name in (*plant.assets, *plant.segments) if name in named]


def standing(documents: Iterable[Document]) -> Standing:
    """What the documents of a poll say against the approved baselines."""
    documents = tuple(documents)
    return Standing(
        {each["asset"]: _against(each) for each in documents if not each["error"]},
        [_unseen(each) for each in documents if each["error"]],
    )


def _unseen(document: Document) -> str:
    error = document["error"]
    return (
        f"{document['asset']} could not be read ({error['kind']}: {error['text']}):"
        " a case is closed by a fresh reading that is as approved"
    )


def _against(document: Document) -> list[str]:
    said = [
        change_text(found["item"], found["kind"], found["approved"], found["observed"], found["direction"])
        for found in document["deviations"]
    ]
    return said + [f"{key} could not be read: {why}" for key, why in document["why_unread"].items()]


def close_cases(
    tx: Transaction, ids: Sequence[int], cause: Cause, prevention: str, actor: Actor, now: datetime, seen: Standing
) -> list[Alert]:
    """Close cases by a fresh reading, all of them or none; NotNow says what is in the way."""
    if seen.unseen:
        raise NotNow("\n".join(seen.unseen))
    return actions.close_alerts(tx, ids, cause, prevention, actor, now, seen.observed)


def read_and_close(
    plant: Plant, database: Database, ids: Sequence[int], cause: Cause, prevention: str, actor: Actor, say: Say
) -> list[Alert]:
    """Read the assets of alarms, and close their cases if they are as approved."""
    with database.read() as tx:
        here = assets_of(tx, plant, ids)
    documents = poll_assets(plant, database, here, actor.name, lambda name: None) if here else []
    with deciding(plant, database, actor, say) as tx:
        return close_cases(tx, ids, cause, prevention, actor, utc_now(), standing(documents))
