"""The OPC UA collector: keeps one session per device, and polls it through its contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from baselines.snapshot import Snapshot
from collectors.collector import Clock, CollectError, Target, Watching
from collectors.contract import Contract
from collectors.opcua.channel import Lifetimes
from collectors.opcua.faults import STALE, Fault, Gone
from collectors.opcua.link import Link
from collectors.opcua.session import log_in
from collectors.opcua.watch import Vigil
from collectors.profile import GENERIC, Profile, Profiles

RARE = 0.75  # of a session's timeout: polls that are further apart leave between them


@dataclass(slots=True)
class Device:
    """What is behind one host and port: its contract, its one session, and what is worth knowing for the next."""

    contract: Contract
    link: Link | None = None
    vigil: Vigil | None = None
    profile: Profile | None = None  # the last that an "auto" target was found to fit
    polled_at: float | None = None
    between: float = 0.0  # seconds between the last two polls


class OpcUaCollector:
    """Reads OPC UA servers. See `collectors.collector.Collector`, and `Watcher` there.

    A session stays open between polls, and is asked to last 60 s, because servers have few. Where polls turn out to be
    rarer than that and nothing is watched, or the profile says `close_after_poll`, it is closed after each poll, so
    that it never lies about unused until it expires. A session that the server has dropped is replaced once within a
    poll; a device that is silent is left alone until the next.
    """

    def __init__(self, profiles: Profiles, clock: Clock, lifetimes: Lifetimes = Lifetimes()) -> None:  # noqa: B008
        self.on_change: Callable[[str], None] | None = None
        self._profiles = profiles
        self._clock = clock
        self._lifetimes = lifetimes
        self._devices: dict[tuple[str, int], Device] = {}

    def contract(self, target: Target) -> Contract:
        return self._device(target).contract

    def follow(self, profiles: Profiles) -> None:
        self._profiles = profiles
        for device in self._devices.values():
            device.contract.loosen()
            if device.link is not None:
                device.link.follow(profiles)

    def _device(self, target: Target) -> Device:
        limits = self._profiles[GENERIC["opc.tcp"] if target.profile == "auto" else target.profile].limits
        device = self._devices.get(target.address.device)
        if device is None:
            device = self._devices[target.address.device] = Device(Contract(limits))
        device.contract.tighten(limits)
        return device

    def watching(self, target: Target) -> Watching | None:
        device = self._devices.get(target.address.device)
        if device is None or device.vigil is None or device.vigil.asset != target.asset:
            return None
        profile = device.profile if target.profile == "auto" else self._profiles[target.profile]
        if profile is None or not profile.limits.subscribe:
            return None
        watch = device.link.watch if device.link else None
        return watch.state if watch else Watching(0, len(profile.items), device.vigil.why)

    async def collect(self, target: Target, tripwire: bool = False) -> Snapshot:
        device = self._device(target)
        self._note_time(device)
        try:
            snapshot = await self._poll(device, target, tripwire)
            if self._leaves(device):
                await _leave(device)
            return snapshot
        except CollectError:
            await _leave(device)
            if device.vigil and device.vigil.missed:
                device.vigil.bell.pull()  # or nobody would tell of changes until the next poll is due
            raise
        except BaseException:
            _abandon(device)
            raise

    async def close(self, target: Target | None = None) -> None:
        devices = [self._devices.get(target.address.device)] if target else list(self._devices.values())
        for device in devices:
            if device and device.vigil:
                device.vigil.bell.silence()
        await asyncio.gather(*(_leave(device) for device in devices if device))

    async def _poll(self, device: Device, target: Target, tripwire: bool) -> Snapshot:
        if device.link is not None:
            try:
                if device.link.target == target and device.link.usable and await device.link.session.usable():
                    return await self._through(device, device.link, tripwire)
            except (Gone, Fault) as failure:
                if isinstance(failure, Fault) and failure.status not in STALE:
                    raise
            await _leave(device)
        session = await log_in(target, device.contract, self._clock, self._lifetimes)
        vigil = self._vigil(device, target)
        device.link = Link(target, session, self._profiles, self._clock, device.profile, vigil)
        return await self._through(device, device.link, tripwire)

    def _vigil(self, device: Device, target: Target) -> Vigil | None:
        if self.on_change is None:
            return None
        if device.vigil is None or device.vigil.asset != target.asset:
            device.vigil = Vigil(target.asset, self.on_change)
        return device.vigil

    async def _through(self, device: Device, link: Link, tripwire: bool) -> Snapshot:
        snapshot = await (link.poll_tripwire() if tripwire else link.poll())
        if link.target.profile == "auto":
            device.profile = link.profile
        return snapshot

    def _note_time(self, device: Device) -> None:
        now = asyncio.get_running_loop().time()
        if device.polled_at is not None:
            device.between = now - device.polled_at
        device.polled_at = now

    def _leaves(self, device: Device) -> bool:
        """Whether the session is closed until the next poll."""
        link = device.link
        if link is None or not link.session.channel.alive:
            return True
        if link.watch and link.watch.state.items:
            return False
        limits = link.profile.limits if link.profile else device.contract.limits
        return limits.close_after_poll or device.between > RARE * link.session.timeout


async def _leave(device: Device) -> None:
    link, device.link = device.link, None
    if link is not None:
        await link.close()


def _abandon(device: Device) -> None:
    link, device.link = device.link, None
    if link is not None:
        link.abort()
