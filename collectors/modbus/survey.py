"""A look at the registers of a tag list, for a person who will write a profile. No other address is ever asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from baselines.asset import identity_values
from baselines.snapshot import Snapshot, Value
from collectors.collector import LONGEST_POLL, Clock, CollectError, Refused, Target, Unreachable, poll
from collectors.contract import Limits
from collectors.drafting import Seen, Surveyed, Watch
from collectors.modbus.collector import ModbusCollector
from collectors.profile import ItemSpec, Profile, Profiles, Register, parse_profile

CHANGED_BY_OTHERS = ("coil", "holding")  # what the protocol lets others write
ADDRESSING = tuple(Register.__dataclass_fields__)
MOST_SILENCES = 3  # in a row, of tags that are asked for alone

Keys = Mapping[str, Mapping[str, Any]]  # of an item in a profile, by the tag's name
Tell = Callable[[str], None]


async def survey(
    target: Target,
    tags: Keys,
    watch: Watch,
    clock: Clock,
    tell: Tell,
    limits: Limits = Limits(),  # noqa: B008
) -> Surveyed:
    """What the device says of itself, and what the tags read; raises CollectError if it gives nothing of either."""
    items = parse_profile({"name": "draft", "item": tags}, "the tag list").items
    looking = _Looking(target, clock, limits, tell)
    await looking.sift(items)
    await looking.watch(watch)
    if not looking.identity and not any(looking.values.values()):
        raise looking.failure or Refused(target.asset, "it answers to none of the tags")
    return Surveyed(looking.identity, tuple(looking.seen(spec, tags[spec.name]) for spec in items), looking.stopped)


@dataclass(slots=True)
class _Looking:
    """One survey: which tags the device answers to, why not to others, and what they read."""

    target: Target
    clock: Clock
    limits: Limits
    tell: Tell
    identity: dict[str, Any] = field(default_factory=dict)
    answering: list[ItemSpec] = field(default_factory=list)
    gaps: dict[str, CollectError] = field(default_factory=dict)
    values: dict[str, list[Value]] = field(default_factory=dict)
    failure: CollectError | None = None
    stopped: tuple[str, ...] = ()

    async def sift(self, items: tuple[ItemSpec, ...]) -> None:
        """Find those that the device refuses: in one block with others, they would take these with them."""
        outcome = (await self._polls([Profile("draft", limits=self.limits, items=items)]))[0]
        if isinstance(outcome, Snapshot):
            self.identity = identity_values(outcome.items)
            missed = [spec for spec in items if spec.key not in outcome.by_key]
        elif isinstance(outcome, Refused):
            self.failure, missed = outcome, [*items]
        else:
            raise outcome
        alone = replace(self.limits, read_identity=False)
        singles = [Profile(f"draft {number}", limits=alone, items=(spec,)) for number, spec in enumerate(missed)]
        for spec, single in zip(missed, await self._polls(singles), strict=True):
            if isinstance(single, CollectError):
                self.gaps[spec.name] = single
        self.answering = [spec for spec in items if spec.name not in self.gaps]

    async def _polls(self, profiles: list[Profile]) -> list[Snapshot | CollectError]:
        """One poll for each profile, over one connection; after silences the rest is not asked for."""
        collector = ModbusCollector(Profiles(profiles), self.clock)
        outcomes: list[Snapshot | CollectError] = []
        try:
            for profile in profiles:
                last = outcomes[-MOST_SILENCES:]
                if len(last) == MOST_SILENCES and all(isinstance(each, Unreachable) for each in last):
                    outcomes += last[-1:]
                else:
                    outcomes.append(await self._poll(collector, profile))
                self.tell(f"asked for alone: {len(outcomes)} of {len(profiles)}" if len(profiles) > 1 else "read once")
        finally:
            await collector.close()
        return outcomes

    async def _poll(self, collector: ModbusCollector, profile: Profile) -> Snapshot | CollectError:
        patience = LONGEST_POLL + len(profile.items) / self.limits.requests_per_second
        return (await poll(collector, replace(self.target, profile=profile.name), limit=patience)).outcome

    async def watch(self, watch: Watch) -> None:
        """Look at what answers as often as that; if the device falls silent, what was seen until then counts."""
        profile = Profile("draft", limits=self.limits, items=tuple(self.answering))
        collector, loop = ModbusCollector(Profiles([profile]), self.clock), asyncio.get_running_loop()
        began = loop.time()
        try:
            for look in range(watch.looks if self.answering else 0):
                await asyncio.sleep(began + watch.at(look) - loop.time())
                outcome = await self._poll(collector, profile)
                if isinstance(outcome, CollectError):
                    self.stopped = (f"stopped after {look} looks: {outcome.text}",)
                    break
                self._take(outcome)
                self.tell(f"look {look + 1} of {watch.looks}")
        finally:
            await collector.close()

    def _take(self, snapshot: Snapshot) -> None:
        gaps = {gap.key: gap.why for gap in snapshot.unread}
        for spec in self.answering:
            if spec.key in snapshot.by_key:
                self.values.setdefault(spec.name, []).append(snapshot.by_key[spec.key].value)
            elif spec.key in gaps:
                self.gaps[spec.name] = Unreachable(self.target.asset, gaps[spec.key])

    def seen(self, spec: ItemSpec, keys: Mapping[str, Any]) -> Seen:
        values, gap = self.values.get(spec.name, []), self.gaps.get(spec.name)
        return Seen(
            (spec.name,),
            {key: value for key, value in keys.items() if key in ADDRESSING},
            tuple(values),
            "" if values else f"not read: {gap.text}" if gap else "not read",
            {key: value for key, value in keys.items() if key not in ADDRESSING},
            writable=keys["table"] in CHANGED_BY_OTHERS,
            description=spec.about,
            listed=True,
            refused=isinstance(gap, Refused) and not values,
        )
