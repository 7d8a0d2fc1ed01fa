"""What a report is of: a plant, some of its assets, and a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from baselines.baseline import Stage
from monitor.config import Plant

Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, and how much there is


def silent(_what: str, _done: int, _of: int) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Scope:
    """`names` are the assets, in the order of plant.toml (segments at the end), and `whole` says that these are all.

    A report says how things stood at `until`: what was decided or seen later is not in it, so that the same question
    has the same answer later. `since` is where its time begins. `now` is when it is made, for what has no history.
    """

    plant: Plant
    names: tuple[str, ...]
    whole: bool
    since: datetime
    until: datetime
    now: datetime
    zones: tuple[str, ...] = ()  # that somebody asked for
    progress: Progress = field(default=silent, compare=False)
    stage: Stage | None = None  # of the baselines that a dossier is of; None: of every stage

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.plant.timezone)

    @property
    def words(self) -> str:
        """Which assets, in words; and which stage, where a report is of one."""
        return f"{self._assets}, stage {self.stage}" if self.stage else self._assets

    @property
    def _assets(self) -> str:
        count = f"{len(self.names)} asset{'s'[: len(self.names) != 1]}"
        if self.whole:
            return f"all of the plant: {count}"
        if self.zones:
            return f"zone{'s'[: len(self.zones) != 1]} {', '.join(self.zones)}: {count}"
        return f"{count}: {', '.join(self.names[:5])}{', …' if len(self.names) > 5 else ''}"
