"""A session at a server and what was found out there: one `poll` after the other, as long as it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from baselines.asset import identity_values
from baselines.snapshot import Item, Snapshot, Unread
from collectors.collector import Clock, Malformed, Target, Unreachable
from collectors.opcua.discovery import Findings, discover, namespaces_of
from collectors.opcua.faults import STALE, Fault
from collectors.opcua.items import (
    Asked,
    Outcome,
    asked_of_all,
    asked_of_profile,
    endpoint_items,
    fill_identity,
    outcome,
)
from collectors.opcua.reads import Answer, Reads, decode
from collectors.opcua.services import Reading
from collectors.opcua.session import Session, decode_endpoints, get_endpoints
from collectors.opcua.watch import Vigil, Watch, begin
from collectors.profile import Profile, Profiles

TELLTALES = ("identity.", "server.state")
LOOK_AGAIN = 600.0  # seconds after which DeviceSet is browsed anew: a module may have been added


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What is read with every poll, worked out when the server was looked at."""

    findings: Findings
    asked: tuple[Asked, ...]

    @property
    def nodes(self) -> list[bytes]:
        return [asked.node for asked in self.asked if not asked.why]


@dataclass(frozen=True, slots=True)
class Seen:
    """The last poll: while the server answers the same bytes, it is the same snapshot."""

    plan: Plan
    mark: bytes
    snapshot: Snapshot


class Link:
    """One target's session. `profile` is None until an "auto" target has said who it is.

    `vigil` is None where nobody wants to be told; `watch` is what watches, once the server agreed.
    """

    def __init__(
        self,
        target: Target,
        session: Session,
        profiles: Profiles,
        clock: Clock,
        known: Profile | None,
        vigil: Vigil | None = None,
    ) -> None:
        self.target = target
        self.session = session
        self.profile = known if target.profile == "auto" else profiles[target.profile]
        self.watch: Watch | None = None
        self._vigil = vigil
        self._watched: list[bytes] | None = None  # the nodes that the server was asked to watch
        self._outdated = False
        self._profiles = profiles
        self._clock = clock
        limits = self.profile.limits if self.profile else session.channel.contract.limits
        self.reads = Reads(session.channel, limits.nodes_per_read)
        self._identity = limits.read_identity
        self._plan: Plan | None = None
        self._looked_at = 0.0
        self._bad: frozenset[str] = frozenset()
        self._seen: Seen | None = None

    @property
    def findings(self) -> Findings | None:
        """What was found out of the server with the last poll."""
        return self._plan.findings if self._plan else None

    @property
    def usable(self) -> bool:
        """False once what is to be watched needs a new session."""
        return not (self._outdated or (self.watch and self.watch.lost))

    async def close(self) -> None:
        try:
            if self.watch:
                await self.watch.stop()
        finally:
            await self.session.close()

    def abort(self) -> None:
        if self.watch:
            self.watch.abandon()
        self.session.channel.abort()

    async def poll(self) -> Snapshot:
        """What the server is now. What it leaves unanswered half-way is unread; raises CollectError if that is all."""
        endpoints = await self._endpoints()
        plan = await self._look()
        await self._have_watched(plan)
        answers = await self.reads.read(plan.nodes)
        mark = _mark(endpoints, answers)
        self.session.used_at = asyncio.get_running_loop().time()
        if self._seen and self._seen.plan is plan and self._seen.mark == mark:
            return self._seen.snapshot.again(self._clock())
        readings = self._decode(plan, answers)
        if namespaces_of(readings[0]) not in (None, plan.findings.namespaces):
            plan, readings = await self._renumbered()
            mark = b""
        outcomes = self._outcomes(plan, readings)
        await self._choose(plan, outcomes)
        snapshot = self._snapshot(plan, outcomes, endpoints)
        self._seen = Seen(plan, mark, snapshot)
        return snapshot

    def follow(self, profiles: Profiles) -> None:
        """Go on with other profiles; over a new session, where that of this target is another now."""
        self._profiles = profiles
        if self.profile is not None and (
            self.profile.name not in profiles or profiles[self.profile.name] != self.profile
        ):
            self._outdated = True

    async def poll_tripwire(self) -> Snapshot:
        """What the server says of its build and of the tripwire's items; all of it where it was not looked at yet."""
        plan, profile = self._plan, self.profile
        if plan is None or profile is None:
            return await self.poll()
        watched = {spec.key for spec in profile.tripwire.items}
        asked = [one for one in plan.asked if one.key in watched or one.key.startswith(TELLTALES)]
        nodes = [plan.asked[0].node, *(one.node for one in asked if not one.why)]
        answers = await self.reads.read(nodes)
        self.session.used_at = asyncio.get_running_loop().time()
        namespaces, *readings = self._decode(plan, answers)
        if namespaces_of(namespaces) not in (None, plan.findings.namespaces):
            return await self.poll()
        outcomes = outcomes_of(asked, readings).values()
        items = [found for found in outcomes if isinstance(found, Item)]
        unread = [found for found in outcomes if isinstance(found, Unread)]
        return Snapshot.of(self.target.asset, self._clock(), items, unread, profile.digest)

    async def _have_watched(self, plan: Plan) -> None:
        """Have the profile's nodes watched before they are read, so that no change falls between.

        A session is asked once. Other nodes than it was asked for are for the next one, with a poll at once.
        """
        if self._vigil is None or self.profile is None or not self.profile.limits.subscribe:
            return
        nodes = [asked.node for asked in plan.asked if asked.key.startswith("item.") and not asked.why]
        if self._watched not in (None, nodes):
            self._outdated = True
            self._vigil.bell.pull()
        elif self._watched is None and nodes and self._vigil.may_ask:
            self._watched = nodes
            self.session.channel.may_watch = True
            self.watch = await begin(self.session, self.reads, nodes, self.profile, self._vigil)
        if self.watch:
            await self.watch.arm()

    async def _endpoints(self) -> bytes | Unread:
        """What the server says of its endpoints; right after the log-in, what it said then."""
        if self.session.endpoints:
            said, self.session.endpoints = self.session.endpoints, b""
            return said
        try:
            return await get_endpoints(self.session.channel)
        except Fault as fault:
            if fault.status in STALE:
                raise
            return Unread("endpoint", fault.status)

    async def _look(self) -> Plan:
        """The plan as it is; a new one at first, from time to time, and when something vanished."""
        now = asyncio.get_running_loop().time()
        if self._plan is None or now - self._looked_at >= LOOK_AGAIN:
            self._looked_at = now
            self._plan = self._planned(await discover(self.reads, self._identity))
        return self._plan

    def _planned(self, findings: Findings) -> Plan:
        asked = asked_of_all(findings, self._identity)
        if self.profile is not None:
            asked += asked_of_profile(self.profile.items, findings.namespaces)
        return Plan(findings, tuple(asked))

    async def _renumbered(self) -> tuple[Plan, list[Reading | str]]:
        """Namespaces have moved since we looked: nothing that was read by index can be believed."""
        self._plan = None
        plan = await self._look()
        await self._have_watched(plan)
        readings = self._decode(plan, await self.reads.read(plan.nodes))
        if namespaces_of(readings[0]) not in (None, plan.findings.namespaces):
            raise Malformed(self.target.asset, "its namespaces change from one request to the next")
        return plan, readings

    def _decode(self, plan: Plan, answers: Sequence[Answer]) -> list[Reading | str]:
        return decode(self.session.channel, answers, plan.findings.namespaces)

    def _outcomes(self, plan: Plan, readings: Sequence[Reading | str]) -> dict[str, Outcome]:
        outcomes = outcomes_of(plan.asked, readings)
        if plan.findings.why_no_devices:
            outcomes["device"] = Unread("device", plan.findings.why_no_devices)
        fill_identity(outcomes, plan.findings.main)
        bad = frozenset(field.key for field in plan.findings.fields if isinstance(outcomes.get(field.key), Unread))
        if bad - self._bad:
            self._plan = None  # a device was swapped, perhaps: look again with the next poll
        self._bad = bad
        return outcomes

    async def _choose(self, plan: Plan, outcomes: dict[str, Outcome]) -> None:
        """For "auto": the profile that fits what the device says it is; while it says that in part, the last one."""
        identity = {key: found for key, found in outcomes.items() if key.startswith("identity.")}
        doubtful = any(isinstance(found, Unread) for found in identity.values())
        if self.target.profile != "auto" or (doubtful and self.profile is not None):
            return
        said = identity_values(found for found in identity.values() if isinstance(found, Item))
        chosen = self._profiles.choose(said, "opc.tcp")
        if chosen is self.profile:
            return
        self.profile, self._plan = chosen, None
        if self._vigil and chosen.limits.subscribe:
            self._vigil.bell.pull()  # what was read already is not watched yet
        channel = self.session.channel
        channel.contract.tighten(chosen.limits)
        self.reads.allowed = chosen.limits.nodes_per_read
        asked = asked_of_profile(chosen.items, plan.findings.namespaces)
        nodes = [one.node for one in asked if not one.why]
        try:
            answers = await self.reads.read(nodes)
        except Unreachable as silence:
            answers = [Answer(len(nodes), why=silence.text)]
        for key in [key for key in outcomes if key.startswith("item.")]:
            del outcomes[key]
        outcomes |= outcomes_of(asked, self._decode(plan, answers))

    def _snapshot(self, plan: Plan, outcomes: dict[str, Outcome], endpoints: bytes | Unread) -> Snapshot:
        items = [found for found in outcomes.values() if isinstance(found, Item)]
        unread = [found for found in outcomes.values() if isinstance(found, Unread)]
        if isinstance(endpoints, Unread):
            unread.append(endpoints)
        else:
            items += endpoint_items(decode_endpoints(self.session.channel, endpoints))
        profile = self.profile.digest if self.profile else ""
        return Snapshot.of(self.target.asset, self._clock(), items, unread, profile)


def outcomes_of(asked: Sequence[Asked], readings: Sequence[Reading | str]) -> dict[str, Outcome]:
    """What became of everything that was asked; readings are of those that could be named, in their order."""
    following = iter(readings)
    found = {one.key: outcome(one, one.why or next(following)) for one in asked}
    return {key: result for key, result in found.items() if result is not None}


def _mark(endpoints: bytes | Unread, answers: Sequence[Answer]) -> bytes:
    digest = sha256(endpoints if isinstance(endpoints, bytes) else endpoints.line().encode())
    for answer in answers:
        digest.update(f"{answer.count} {len(answer.raw)} {answer.why}".encode())
        digest.update(answer.raw)
    return digest.digest()
