"""Many nodes in few requests: as many at a time as the contract, the server and its buffers allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from collectors.collector import Unreachable
from collectors.opcua import services
from collectors.opcua.channel import Channel
from collectors.opcua.faults import TOO_LARGE, Fault
from collectors.opcua.services import Browsed, Reading
from collectors.uabinary import Reader

ROOM_FOR_HEADERS = 1024
MOST_PAGES = 20  # BrowseNext until then; a server may go on for ever


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a batch: the bytes of its values, still to be decoded, or why there are none."""

    count: int
    raw: bytes = b""
    why: str = ""


class Reads:
    """Reads and browses over a channel; `allowed` is what the profile lets us ask for at once.

    `most_read`, `most_browsed` and `most_monitored` are the server's own bounds (0: none); the first shrinks when it
    says that a request was too much.
    """

    def __init__(self, channel: Channel, allowed: int) -> None:
        self.channel = channel
        self.allowed = allowed
        self.most_read = 0
        self.most_browsed = 0
        self.most_monitored = 0
        self.namespaces: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        return min(self.allowed, self.most_read or self.allowed)

    async def read(self, nodes: Sequence[bytes], attribute: int = services.VALUE) -> list[Answer]:
        """The answers in the order of the nodes. After a silence the rest is not asked for: it has the reason instead.

        Raises Unreachable only if nothing at all came back.
        """
        answers: list[Answer] = []
        done = 0
        for batch in self._batches(nodes):
            try:
                answers += await self._read(batch, attribute)
            except Unreachable as silence:
                if not answers:
                    raise
                return [*answers, Answer(len(nodes) - done, why=silence.text)]
            done += len(batch)
        return answers

    async def _read(self, batch: Sequence[bytes], attribute: int) -> list[Answer]:
        try:
            reader = await self.channel.ask_raw(services.read(batch, attribute))
        except Fault as fault:
            if fault.status not in TOO_LARGE:
                raise
            if len(batch) == 1:
                return [Answer(1, why=fault.status)]
            self.most_read = len(batch) // 2
            return [answer for part in self._batches(batch) for answer in await self._read(part, attribute)]
        return [Answer(len(batch), reader.rest())]

    def _batches(self, nodes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        return self._fitting(nodes, services.PER_NODE, lambda: self.at_once)

    def to_monitor(self, nodes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Nodes, as many at a time as may be monitored with one request."""
        return self._fitting(
            nodes, services.PER_MONITORED, lambda: min(self.allowed, self.most_monitored or self.allowed)
        )

    def _fitting(self, nodes: Sequence[bytes], more: int, at_once: Callable[[], int]) -> Iterator[Sequence[bytes]]:
        """`more` are the bytes that go with each node; `at_once` may shrink meanwhile."""
        room = self.channel.largest_request - ROOM_FOR_HEADERS
        start = 0
        while start < len(nodes):
            end, size = start, 0
            while end < len(nodes) and end - start < at_once():
                size += len(nodes[end]) + more
                if size > room and end > start:
                    break
                end += 1
            yield nodes[start:end]
            start = end

    async def browse(self, nodes: Sequence[bytes], wanted: int = services.NAMES) -> list[Browsed]:
        """What is below each node, to the end of it or of our patience: then its point is not empty."""
        found: list[Browsed] = []
        at_once = min(self.allowed, self.most_browsed or self.allowed)
        for start in range(0, len(nodes), at_once):
            batch = nodes[start : start + at_once]
            request = services.browse(batch, wanted)
            page = self._browsed(await self.channel.ask_raw(request), len(batch))
            found += await self._pages(page)
        return found

    async def _pages(self, page: list[Browsed]) -> list[Browsed]:
        whole = list(page)
        for turn in range(MOST_PAGES):
            open_ends = [place for place, browsed in enumerate(whole) if browsed.point]
            if not open_ends:
                break
            points = [whole[place].point or b"" for place in open_ends]
            references = sum(len(browsed.references) for browsed in whole)
            release = turn == MOST_PAGES - 1 or references > services.MOST_BROWSED
            reader = await self.channel.ask_raw(services.browse_next(points, release))
            if release:
                break
            more = self._browsed(reader, len(points))
            for place, browsed in zip(open_ends, more, strict=True):
                before = whole[place]
                whole[place] = Browsed(before.status, browsed.point, before.references + browsed.references)
        return whole

    def _browsed(self, reader: Reader, asked: int) -> list[Browsed]:
        reader.namespaces = self.namespaces
        return self.channel.understood(partial(services.read_browsed, asked=asked), reader)


def _status_name(code: int) -> str:
    from collectors.opcua.status import status_name  # asyncua has the names: half a second where it is first needed

    return status_name(code)


def decode(channel: Channel, answers: Sequence[Answer], namespaces: Sequence[str]) -> list[Reading | str]:
    """A reading of each node, or why there is none."""
    readings: list[Reading | str] = []
    for answer in answers:
        if answer.why:
            readings += [answer.why] * answer.count
        else:
            reader = Reader(answer.raw, namespaces, _status_name)
            readings += channel.understood(partial(services.read_values, asked=answer.count), reader)
    return readings
