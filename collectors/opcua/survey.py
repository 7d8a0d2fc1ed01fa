"""A look around a server, for a person who will write a profile: which variables it has, and which of them move.

No poll does this. It goes through a session like every other: browse by browse within the contract, and within bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from baselines.asset import identity_values
from baselines.snapshot import Value
from collectors.collector import Clock, CollectError, Target, Unreachable
from collectors.contract import Contract, Limits
from collectors.drafting import Seen, Surveyed, Watch
from collectors.opcua import services
from collectors.opcua.channel import Lifetimes
from collectors.opcua.discovery import NAMESPACE_ARRAY, discover
from collectors.opcua.faults import TOO_LARGE, Fault
from collectors.opcua.link import Link
from collectors.opcua.nodes import resolve
from collectors.opcua.reads import Reads, decode
from collectors.opcua.services import Browsed, Reading, Reference
from collectors.opcua.session import Session, log_in
from collectors.opcua.status import is_bad, status_name
from collectors.profile import GENERIC, Node, Profiles
from collectors.uabinary import FAULTS, Beyond, Reader, node_id

OBJECTS, SERVER = node_id(85), "i=2253"
HAS_PROPERTY, PROPERTY_TYPE = "i=46", "i=68"
ASKED = services.NAMES | services.REFERENCE_TYPE | services.TYPE_DEFINITION
ATTRIBUTES = (
    services.DESCRIPTION,
    services.ACCESS_LEVEL,
    services.USER_ACCESS_LEVEL,
    services.MINIMUM_SAMPLING,
    services.HISTORIZING,
)
CURRENT_WRITE = 0b10  # of an access level (Part 3, 8.57)
UNITS = "EngineeringUnits"
ALIVE = 0.5  # of a session's timeout: how long it is left without a request
LARGEST = 1 << 14  # bytes or elements of a value: recipes and checksums are smaller, files and histories are not
LATE = "there was no time for it"
MOST_TOLD = 5  # names in a message

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far it goes. `seconds` are for the browsing, for what is said of the nodes, and for one look, each."""

    nodes: int = 5000
    depth: int = 12
    seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Found:
    """A node below Objects: as it is written and by namespace URI, and the names and types on the way to it."""

    node: bytes
    name: str
    above: bytes = b""
    path: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    is_property: bool = False


async def survey(
    target: Target,
    watch: Watch,
    clock: Clock,
    tell: Tell,
    limits: Limits = Limits(),  # noqa: B008
    bounds: Bounds = Bounds(),
) -> Surveyed:
    """Everything that one session gives; raises CollectError. `tell` hears how far it is."""
    session = await log_in(target, Contract(limits), clock, Lifetimes())
    try:
        link = Link(replace(target, profile=GENERIC["opc.tcp"]), session, Profiles(), clock, None)
        link.reads.allowed = limits.nodes_per_read
        snapshot = await link.poll()
        findings = link.findings or await discover(link.reads, True)
        link.reads.namespaces = findings.namespaces
        walk = _Walk(session, link.reads, bounds, {field.node for field in findings.fields}, tell)
        await walk.go()
        tell(_outlook(link.reads, len(walk.variables), watch))
        looking = _Looking(session, link.reads, findings.namespaces, walk.variables, tell)
        await looking.describe(bounds.seconds)
        await looking.watch(watch, bounds.seconds)
        seen = sorted(looking.seen(), key=lambda one: one.path)
        return Surveyed(identity_values(snapshot.items), tuple(seen), (*walk.stopped, *looking.stopped))
    finally:
        await session.close()


def _outlook(reads: Reads, variables: int, watch: Watch) -> str:
    batches = -(-variables // reads.at_once)
    requests = batches * (len(ATTRIBUTES) + watch.looks)
    rate = reads.channel.contract.limits.requests_per_second
    seconds = batches * len(ATTRIBUTES) / rate + max(batches * watch.looks / rate, watch.seconds)
    return f"{variables:,} variables: {requests:,} more requests, about {seconds:.0f} s"


async def _lasting(session: Session) -> None:
    """See to it that the session lasts for the request that comes next; Unreachable if it is over."""
    if not await session.usable():
        raise Unreachable(session.channel.asset, "the server ended the session")
    session.used_at = asyncio.get_running_loop().time()


class _Walk:
    """The way down from Objects, level by level; each node is met once, so that circles end."""

    def __init__(self, session: Session, reads: Reads, bounds: Bounds, known: Iterable[bytes], tell: Tell) -> None:
        self.variables: list[Found] = []
        self.stopped: list[str] = []
        self._session = session
        self._reads = reads
        self._bounds = bounds
        self._known = {*known}  # what the identity has read already
        self._met = {SERVER, "i=85"}
        self._elsewhere = 0
        self._cut: list[str] = []
        self._tell = tell

    async def go(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._bounds.seconds
        level, depth = [Found(OBJECTS, "i=85")], 0
        while level and not self.stopped:
            if depth == self._bounds.depth:
                self._stop(f"{depth} levels", f"{len(level):,} nodes there were not looked into")
                break
            level, depth = await self._level(level, deadline), depth + 1
        if self._cut:
            shown = ", ".join(self._cut[:MOST_TOLD]) + ", …" * (len(self._cut) > MOST_TOLD)
            self.stopped.append(f"not all that is below {shown} was told")
        if self._elsewhere:
            self.stopped.append(f"{self._elsewhere:,} nodes of other servers are left out")

    def _stop(self, after: str, what: str = "what lies beyond was not looked at") -> None:
        self.stopped.append(f"stopped after {after}: {what}")

    async def _level(self, level: Sequence[Found], deadline: float) -> list[Found]:
        below: list[Found] = []
        done = 0
        while done < len(level):
            if asyncio.get_running_loop().time() >= deadline:
                self._stop(f"{self._bounds.seconds:g} s")
                return below
            at_once = min(self._reads.allowed, self._reads.most_browsed or self._reads.allowed)
            batch = level[done : done + at_once]
            for place, browsed in zip(batch, await self._browse(batch), strict=True):
                for reference in browsed.references:
                    if len(self._met) - 2 >= self._bounds.nodes:
                        self._stop(f"{self._bounds.nodes:,} nodes")
                        return below
                    below += self._meet(place, reference)
                if browsed.point or is_bad(browsed.status):
                    self._cut.append(".".join(place.path) or "Objects")
            done += len(batch)
            self._tell(f"browsed: {len(self._met) - 2:,} nodes, {len(self.variables):,} variables")
        return below

    async def _browse(self, batch: Sequence[Found]) -> list[Browsed]:
        """One batch; in halves where the server finds that too much."""
        await _lasting(self._session)
        try:
            return await self._reads.browse([place.node for place in batch], ASKED)
        except Fault as fault:
            if fault.status not in TOO_LARGE:
                raise
            if len(batch) == 1:
                return [Browsed(services.BAD, None, ())]
            half = self._reads.most_browsed = len(batch) // 2
            return [*await self._browse(batch[:half]), *await self._browse(batch[half:])]

    def _meet(self, place: Found, reference: Reference) -> list[Found]:
        """Note a node; it is given back if there may be more below it."""
        if reference.name in self._met or reference.node in self._known:
            return []
        self._met.add(reference.name)
        if reference.node[0] & 0xC0:
            self._elsewhere += 1
            return []
        found = Found(
            reference.node,
            reference.name,
            place.node,
            (*place.path, reference.browse_name),
            (*place.types, reference.type),
            reference.kind == HAS_PROPERTY or reference.type == PROPERTY_TYPE,
        )
        if not reference.is_object:
            self.variables.append(found)
        return [] if found.is_property else [found]


class _Looking:
    """Attributes and values of the variables that were found."""

    def __init__(
        self, session: Session, reads: Reads, namespaces: tuple[str, ...], variables: Sequence[Found], tell: Tell
    ) -> None:
        self.stopped: list[str] = []
        self._session = session
        self._reads = reads
        self._namespaces = namespaces
        self._variables = variables
        self._nodes = [found.node for found in variables]
        self._attributes: dict[int, list[Reading | str]] = {}
        self._looks: list[list[Reading | str]] = []
        self._tell = tell

    async def _read(self, attribute: int, deadline: float) -> list[Reading | str]:
        """One attribute of them all until a moment; of each answer only that is kept which an item could hold."""
        readings: list[Reading | str] = []
        while len(readings) < len(self._nodes) and asyncio.get_running_loop().time() < deadline:
            batch = self._nodes[len(readings) : len(readings) + self._reads.at_once]
            await _lasting(self._session)
            answers = await self._reads.read(batch, attribute)
            readings += map(_kept, decode(self._reads.channel, answers, self._namespaces))
        return [*readings, *[LATE] * (len(self._nodes) - len(readings))]

    async def describe(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        for attribute in ATTRIBUTES:
            self._attributes[attribute] = await self._read(attribute, deadline)
        if LATE in (said[-1] for said in self._attributes.values() if said):
            self.stopped.append(f"stopped after {seconds:g} s: it is not known of every node whether it is writable")

    async def watch(self, watch: Watch, seconds: float) -> None:
        """Look as often as that; if the server falls silent, what was seen until then counts."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for look in range(watch.looks if self._variables else 0):
                await self._until(began + watch.at(look))
                self._looks.append(await self._read(services.VALUE, loop.time() + seconds))
                self._tell(f"look {look + 1} of {watch.looks}")
                if self._looks[-1][-1] == LATE:
                    self.stopped.append(f"stopped in look {look + 1}: it takes longer than {seconds:g} s")
                    break
        except CollectError as failure:
            if not self._looks:
                raise
            self.stopped.append(f"stopped after {len(self._looks)} looks: {failure.text}")

    async def _until(self, moment: float) -> None:
        """Wait, and let the session not run out."""
        loop = asyncio.get_running_loop()
        while (left := moment - loop.time()) > 0:
            await asyncio.sleep(min(left, max(ALIVE * self._session.timeout, 0.1)))
            if loop.time() < moment:
                await _lasting(self._session)
                await self._reads.read([NAMESPACE_ARRAY])

    def seen(self) -> list[Seen]:
        units = {
            found.above: unit
            for place, found in enumerate(self._variables)
            if found.path[-1] == UNITS and (unit := _unit(self._last(place)))
        }
        return [self._seen(place, found, units.get(found.node, "")) for place, found in enumerate(self._variables)]

    def _seen(self, place: int, found: Found, unit: str) -> Seen:
        readings = [look[place] for look in self._looks]
        good = [each.value for each in readings if isinstance(each, Reading) and not is_bad(each.status)]
        values = tuple(value for value in good if not isinstance(value, Beyond) and value is not None)
        sampling = self._said(services.MINIMUM_SAMPLING, place)
        levels = [self._said(each, place) for each in (services.ACCESS_LEVEL, services.USER_ACCESS_LEVEL)]
        return Seen(
            found.path,
            {"node": found.name},
            values,
            "" if values and not _unnameable(found, self._namespaces) else _gap(found, readings, self._namespaces),
            {"unit": unit} if unit else {},
            writable=any(isinstance(level, int) and level & CURRENT_WRITE for level in levels),
            is_property=found.is_property,
            historized=self._said(services.HISTORIZING, place) is True,
            sampling=sampling if isinstance(sampling, float) else 0.0,
            types=found.types[:-1],
            description=str(self._said(services.DESCRIPTION, place) or ""),
        )

    def _said(self, attribute: int, place: int) -> Value:
        reading = self._attributes[attribute][place]
        if isinstance(reading, str) or is_bad(reading.status) or isinstance(reading.value, Beyond):
            return None
        return reading.value

    def _last(self, place: int) -> Value:
        reading = self._looks[-1][place] if self._looks else ""
        return None if isinstance(reading, str) or isinstance(reading.value, Beyond) else reading.value


def _kept(reading: Reading | str) -> Reading | str:
    if isinstance(reading, str) or isinstance(reading.value, Beyond) or (size := _size(reading.value)) <= LARGEST:
        return reading
    return Reading(Beyond(f"{size:,} bytes or elements"), reading.status)


def _size(value: Value) -> int:
    match value:
        case str() | bytes():
            return len(value)
        case tuple():
            return sum(map(_size, value))
    return 1


def _gap(found: Found, readings: Sequence[Reading | str], namespaces: tuple[str, ...]) -> str:
    """Why no item can be made of it."""
    if why := _unnameable(found, namespaces):
        return why
    last = readings[-1]
    if isinstance(last, str):
        return f"not read: {last}"
    if is_bad(last.status):
        return f"not read: {status_name(last.status)}"
    return f"too large for an item: {last.value.why}" if isinstance(last.value, Beyond) else "it has no value"


def _unnameable(found: Found, namespaces: tuple[str, ...]) -> str:
    """Why a profile cannot name the node: some servers number nodes in namespaces that they do not have."""
    try:
        encoded = resolve(Node(found.name).node, namespaces)
    except ValueError as error:
        return f"no profile can name it: {error}"
    numeric = found.node[0] <= 2
    return "" if numeric or encoded == found.node else "no profile can name it: its NodeId is no text"


def _unit(value: Value) -> str:
    """What an EUInformation calls the unit (Part 8, 5.6.4.3): namespace, number, display name."""
    if not isinstance(value, bytes):
        return ""
    reader = Reader(value)
    try:
        reader.text()
        reader.u32()
        return reader.localized_text() or ""
    except FAULTS:
        return ""
