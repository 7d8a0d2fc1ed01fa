"""The Modbus TCP collector: one poll is an identification and the profile's register blocks."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Generator
from dataclasses import dataclass, field

from baselines.asset import identity_item, identity_values
from baselines.snapshot import Item, Snapshot, Unread
from collectors.address import Address
from collectors.collector import Clock, CollectError, Malformed, Refused, Target, Unreachable
from collectors.contract import Contract
from collectors.modbus.exceptions import GATEWAY, ILLEGAL_FUNCTION, BrokenAnswer, exception_of, exception_text
from collectors.modbus.identification import (
    REPORT_SERVER_ID,
    IdentityRefused,
    decode_server_id,
    device_objects,
    identity_items,
)
from collectors.modbus.link import Link
from collectors.modbus.registers import Block, decode, plan
from collectors.profile import GENERIC, Profile, Profiles

Objects = tuple[tuple[int, bytes], ...]  # of FC 43/14, by number

SERVER_ID = "identity.server_id"
ASK_AGAIN = 600.0  # seconds after which a device that refused FC 43 is asked once more
CONNECT_FAILURES = {
    errno.ECONNREFUSED: "nothing listens there (connection refused)",
    errno.EHOSTUNREACH: "there is no route to it (host unreachable)",
    errno.ENETUNREACH: "there is no route to it (network unreachable)",
    errno.ECONNRESET: "it reset the connection at once",
}


@dataclass(slots=True)
class Device:
    """What is behind one host and port: its contract and its one connection."""

    contract: Contract
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The last poll of an asset: while the device answers the same bytes, it is the same snapshot."""

    profile: Profile
    transcript: tuple[bytes, ...]
    snapshot: Snapshot


class ModbusCollector:
    """Reads Modbus TCP devices. See `collectors.collector.Collector`."""

    def __init__(self, profiles: Profiles, clock: Clock) -> None:
        self._profiles = profiles
        self._clock = clock
        self._devices: dict[tuple[str, int], Device] = {}
        self._plans: dict[tuple[str, bool], tuple[Profile, tuple[Block, ...]]] = {}
        self._seen: dict[tuple[str, bool], Seen] = {}

    def contract(self, target: Target) -> Contract:
        return self._device(target).contract

    def follow(self, profiles: Profiles) -> None:
        self._profiles = profiles
        for device in self._devices.values():
            device.contract.loosen()

    def _device(self, target: Target) -> Device:
        limits = self._profile(target).limits
        device = self._devices.get(target.address.device)
        if device is None:
            device = self._devices[target.address.device] = Device(Contract(limits))
        device.contract.tighten(limits)
        return device

    def _profile(self, target: Target) -> Profile:
        return self._profiles[GENERIC["modbus"] if target.profile == "auto" else target.profile]

    def plan(self, profile: Profile, tripwire: bool = False) -> tuple[Block, ...]:
        """The reads of a profile, or of its tripwire, worked out once."""
        planned = self._plans.get((profile.name, tripwire))
        if planned is None or planned[0] is not profile:
            planned = profile, plan(profile.tripwire if tripwire else profile)
            self._plans[profile.name, tripwire] = planned
        return planned[1]

    async def collect(self, target: Target, tripwire: bool = False) -> Snapshot:
        session = _Session(target, self._device(target), self._profile(target), tripwire)
        try:
            objects = await session.identify() if session.profile.limits.read_identity else ()
            if target.profile == "auto":
                session.profile = self._chosen(target, objects, session.unread)
                session.device.contract.tighten(session.profile.limits)
            server_id = await session.server_id() if session.profile.limits.report_server_id else []
            answers = await session.read(self.plan(session.profile, tripwire))
            snapshot = self._snapshot(session, objects, server_id, answers)
            session.remember()
            return snapshot
        except BrokenAnswer as lie:
            session.hang_up()
            raise Malformed(target.asset, str(lie)) from lie
        except Malformed:
            session.hang_up()
            raise
        finally:
            if session.profile.limits.close_after_poll:
                session.hang_up()

    def _chosen(self, target: Target, objects: Objects, unread: list[Unread]) -> Profile:
        """The profile that fits what the device says it is; while it does not say that, the last one."""
        seen = self._seen.get((target.asset, False))
        if unread and seen:
            return seen.profile
        return self._profiles.choose(identity_values(identity_items(objects, ())), "modbus")

    def _snapshot(
        self, session: _Session, objects: Objects, server_id: list[Item], answers: list[tuple[Block, bytes]]
    ) -> Snapshot:
        asset, transcript = session.target.asset, tuple(session.transcript)
        seen = self._seen.get((asset, session.tripwire))
        if seen and seen.profile is session.profile and seen.transcript == transcript and not session.unread:
            return seen.snapshot.again(self._clock())
        items = _once([*identity_items(objects, tuple(session.profile.identity.items())), *server_id])
        items += [item for block, answer in answers for item in decode(block, answer)]
        if not items:
            raise session.failure or Refused(asset, "it says nothing of itself, and the profile reads nothing else")
        snapshot = Snapshot.of(asset, self._clock(), items, session.unread, session.profile.digest)
        if not session.unread:
            self._seen[asset, session.tripwire] = Seen(session.profile, transcript, snapshot)
        return snapshot

    async def close(self, target: Target | None = None) -> None:
        devices = [self._device(target)] if target else list(self._devices.values())
        for device in devices:
            if device.link is not None:
                device.link.close()
                device.link = None


@dataclass(slots=True)
class _Session:
    """One poll of one target: what it asked, what it heard, and what stays unread."""

    target: Target
    device: Device
    profile: Profile
    tripwire: bool = False
    transcript: list[bytes] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    failure: CollectError | None = None
    no_identity: bool = False

    async def identify(self) -> Objects:
        """The objects of FC 43/14; what the device does not offer is no gap, what it keeps silent about is.

        Some devices never answer a function that they do not know: so silence here does not end the poll.
        """
        if not self._offers_identity():
            return ()
        try:
            return tuple((await self._objects(device_objects())).items())
        except IdentityRefused as refusal:
            self._miss(Refused(self.target.asset, exception_text(refusal.code)), "identity")
        except Unreachable as silence:
            self._bear(silence, "identity")
        return ()

    async def server_id(self) -> list[Item]:
        """What FC 17 says."""
        try:
            answer = await self._ask(REPORT_SERVER_ID)
        except Unreachable as silence:
            self._bear(silence, SERVER_ID)
            return []
        if code := exception_of(answer):
            if code != ILLEGAL_FUNCTION:
                self.unread.append(Unread(SERVER_ID, exception_text(code)))
            return []
        return [identity_item("server_id", decode_server_id(answer))]

    def _bear(self, silence: Unreachable, key: str) -> None:
        """Go on after silence, unless the connection went with it."""
        if self.device.link is None or self.device.link.broken:
            raise silence
        self._miss(silence, key)

    def _offers_identity(self) -> bool:
        """Whether FC 43 is worth asking. It is a strain on some devices that do not know it: after a refusal they are
        asked again over a new connection, or after a while."""
        link, now = self.device.link, asyncio.get_running_loop().time()
        if link is None or link.broken:
            return True
        return now - link.refused_identity.get(self.target.address.unit, -ASK_AGAIN) >= ASK_AGAIN

    def remember(self) -> None:
        """After a poll that gave something: whether the device knows FC 43."""
        if self.no_identity and self.device.link is not None:
            self.device.link.refused_identity[self.target.address.unit] = asyncio.get_running_loop().time()

    async def _objects(self, asking: Generator[bytes, bytes, dict[int, bytes]]) -> dict[int, bytes]:
        try:
            request = next(asking)
            while True:
                answer = await self._ask(request)
                self.no_identity = exception_of(answer) == ILLEGAL_FUNCTION
                if exception_of(answer) and self.failure is None:
                    text = f"identification (FC 43/14): {exception_text(exception_of(answer))}"
                    self.failure = Refused(self.target.asset, text)
                request = asking.send(answer)
        except StopIteration as done:
            objects: dict[int, bytes] = done.value
            return objects

    async def read(self, blocks: tuple[Block, ...]) -> list[tuple[Block, bytes]]:
        """The blocks that the device answered. One that it refuses stays unread; its silence ends the reading."""
        answers: list[tuple[Block, bytes]] = []
        for number, block in enumerate(blocks):
            try:
                answer = await self._ask(block.request)
            except Unreachable as silence:
                for missed in blocks[number:]:
                    self._miss(silence, *(spec.key for spec, _ in missed.items))
                break
            if code := exception_of(answer):
                refusal = Refused(self.target.asset, f"{block}: {exception_text(code)}")
                self._miss(refusal, *(spec.key for spec, _ in block.items))
            else:
                answers.append((block, answer))
        return answers

    def _miss(self, failure: CollectError, *keys: str) -> None:
        self.unread += [Unread(key, failure.text) for key in keys]
        if self.failure is None or isinstance(failure, Unreachable):
            self.failure = failure

    async def _ask(self, pdu: bytes) -> bytes:
        link, contract = self.device.link, self.device.contract
        if link is not None and link.broken and link.broken[0] is Malformed:  # since the last answer
            raise Malformed(self.target.asset, link.broken[1])
        reused = link is not None and link.broken is None and not self.transcript
        if link is None or link.broken is not None:
            link = await self._connect()
        try:
            answer = await self._ask_over(link, pdu)
        except Unreachable:
            # That a device dropped a kept connection says nothing of the device: ask once more, on a new one.
            if not (reused and link.dropped):
                raise
            answer = await self._ask_over(await self._connect(), pdu)
        contract.answered()
        self.transcript.append(answer)
        if exception_of(answer) in GATEWAY:
            raise Unreachable(self.target.asset, exception_text(exception_of(answer)))
        return answer

    async def _ask_over(self, link: Link, pdu: bytes) -> bytes:
        await self.device.contract.turn()
        return await link.ask(self.target.asset, self.target.address.unit, pdu, self.profile.limits.timeout)

    async def _connect(self) -> Link:
        self.hang_up()
        address, limit = self.target.address, self.profile.limits.timeout
        meter = self.device.contract.meter
        await self.device.contract.connecting()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                _, self.device.link = await loop.create_connection(lambda: Link(meter), address.host, address.port)
        except OSError as error:  # TimeoutError and gaierror are OSErrors too
            why = _why_not_connected(error, address, limit)
            self.device.contract.out_of_reach(why)
            raise Unreachable(self.target.asset, why) from None
        return self.device.link

    def hang_up(self) -> None:
        if self.device.link is not None:
            self.device.link.close()
            self.device.link = None


def _why_not_connected(error: OSError, address: Address, limit: float) -> str:
    where = f"{address.host}:{address.port}"
    if isinstance(error, TimeoutError):
        return f"no connection to {where} within {limit:g} s"
    if isinstance(error, socket.gaierror):
        return f"the name {address.host} is not known"
    return f"no connection to {where}: {CONNECT_FAILURES.get(error.errno or 0, error.strerror or str(error))}"


def _once(items: list[Item]) -> list[Item]:
    """Each key once: a profile may have named a private object like one that the device also fills; the named wins."""
    return list({item.key: item for item in items}.values())
