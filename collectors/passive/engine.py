"""The engine: batches of frames in, what was heard out. Its cost follows what is new, not what goes past.

Every frame is counted; those that can teach something go to a decoder: all frames of a flow whose protocol is not yet
told, every message that does something, bears identity or is not exactly one message, and of all others the first with
its signature (protocols/protocol.py says what a signature promises). So nothing is lost by it, which a test holds: with
`everything` the engine decodes every message, and must hear the same.
"""

from __future__ import annotations

import gc
import socket
import traceback
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from baselines.wire import WireEvent
from collectors.passive.flows import FIRST, OTHER, UNTOLD, Flows
from collectors.passive.fragments import Fragments
from collectors.passive.headers import (
    HALF,
    IPV4,
    IPV6,
    MULTIPLIERS,
    RST,
    SYN,
    TCP,
    UDP,
    UNREADABLE,
    Headers,
    gather,
    read_headers,
)
from collectors.passive.heard import Counts, Heard
from collectors.passive.inventory import GROUP_BIT, Address, Inventory
from collectors.passive.protocols.catalogue import PROTOCOLS
from collectors.passive.protocols.protocol import CONTINUES, HEAD, Carrier, Protocol, Unnumbered
from collectors.passive.protocols.tls import HIDDEN
from collectors.passive.protocols.tls import cut as tls_record
from collectors.passive.said import NOTHING, RECEIVER, SENDER, Asked, Malformed, Said
from collectors.passive.source import PAD, Batch
from collectors.passive.streams import LARGEST, Stream
from collectors.passive.table import ABSENT, Table
from collectors.passive.telling import Telling

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRIES_MOST = 6  # payloads of one way of a conversation that are looked at for a protocol
FLOWS_MOST = 1 << 17
DULL_MOST, DULL_LONGEST = 1 << 14, 600  # messages that said nothing and are remembered; bytes of one
SIGNATURES_MOST = 1 << 19
HELD_MOST = 32 << 20  # bytes of incomplete messages in all streams together, and as many in all notes
MANY_PAIRS = np.uint64(1 << 40)  # tells the number of a flow from that of a pair
OPENINGS = np.uint64(41)  # bits to the left: how often the flow was opened
MIX = np.uint64(0xD6E8FEB86659FD93)
COLUMNS = np.arange(HEAD)

MANY = 256
TLS_VERSION = b"\x03"  # its major version, the second byte of a record

Row = NDArray[Any]
Frame: TypeAlias = tuple[int, ...]


def spare_the_collector() -> None:
    """Let Python look for cycles seldom: an engine makes many objects, and no cycles. For a process that only hears."""
    gc.set_threshold(200_000, 20, 20)


class Engine:
    """Listens to batches. `on_event` is called for everything that somebody does to a device, in order."""

    def __init__(
        self,
        on_event: Callable[[WireEvent], None],
        protocols: tuple[Protocol, ...] = PROTOCOLS,
        everything: bool = False,
    ) -> None:
        self._on_event = on_event
        self._protocols = protocols
        self._everything = everything
        self._telling = Telling(protocols)
        self.inventory = Inventory()
        self.version = 0  # moves on whenever there is something new to tell
        self.bugs: dict[str, str] = {}  # by protocol, the traceback of the first error of its decoder that is ours
        self._flows = Flows()
        self._known = Table(FLOWS_MOST)
        self._signatures = Table(SIGNATURES_MOST)
        self._dull: set[tuple[int, bytes]] = set()  # flow, and an unnumbered message that said nothing in it
        self._ends: dict[tuple[str, str, int, int, int], int] = {}
        self._fragments = Fragments()
        self._malformed: Counter[str] = Counter()
        self._packets = self._bytes = self._unreadable = self._decoded = self._not_kept = self._skipped = 0
        self._sightings = self._told = 0
        self._weighed = 0  # bytes that had been heard when it was looked how much the notes hold
        self._first_at = self._last_at = 0

    # What was heard

    def heard(self, kernel_dropped: int = 0, *, sure: bool = False) -> Heard:
        """All that was heard so far. `sure`: in a flood of addresses, only hosts that are more than one frame."""
        self._flows.settle()
        skipped = self._skipped + sum(stream.skipped for stream in self._flows.streams.values())
        counts = Counts(
            self._packets,
            self._bytes,
            self._first_at,
            self._last_at,
            kernel_dropped,
            self._not_kept + self._fragments.lost,
            self._unreadable,
            skipped,
            self._decoded,
            dict(sorted(self._malformed.items())),
        )
        return Heard(counts, self.inventory.hosts(sure), self.inventory.conversations())

    def finish(self) -> None:
        """No more frames will come: what waits for missing segments is decoded as it is."""
        held = self._flows
        for number, stream in held.streams.items():
            if stream.pending:
                protocol = self._protocols[int(held.protocol[number]) - FIRST]
                assert protocol.cut is not None
                for message in stream.flush(protocol.cut):
                    self._say(protocol, message, number, held.from_client[number], self._packets, self._last_at)
        held.pending[:] = False

    # A batch

    def take(self, batch: Batch) -> None:
        """Hear a batch of frames."""
        if not len(batch.offset):
            return
        self._packets += len(batch.offset)
        self._bytes += int(batch.wire.sum())
        times = batch.at[batch.at > 0]  # 0: the capture does not say
        if len(times):
            self._first_at = min(self._first_at or int(times[0]), int(times.min()))
            self._last_at = max(self._last_at, int(times.max()))
        if self._known.full or self.inventory.full:
            self._begin_anew()
        batch, headers = self._readable(batch)
        if headers.fragment.any():
            batch, headers = self._put_together(batch, headers)
        flows = self._flow_of(batch, headers)
        self._flows.seen(flows, batch.wire, batch.at)
        hand, signed = self._novel(batch, headers, flows)
        if len(hand):
            self._decode(batch, headers, flows, hand, signed)
            self._relieve()
            if self._bytes - self._weighed > HELD_MOST:
                self._relieve_notes()

    def _readable(self, batch: Batch) -> tuple[Batch, Headers]:
        headers = read_headers(batch)
        readable = headers.kind != UNREADABLE
        if not readable.all():
            self._unreadable += int(np.count_nonzero(~readable))
            batch = Batch(**{name: _part(getattr(batch, name), readable, name) for name in Batch.__slots__})
            headers = Headers(**{name: getattr(headers, name)[readable] for name in Headers.__slots__})
        return batch, headers

    def _put_together(self, batch: Batch, headers: Headers) -> tuple[Batch, Headers]:
        """The batch with the datagrams that came in parts: each is a frame of its own behind the last of its parts."""
        rows: list[int] = []
        found: list[bytes] = []
        for row in np.flatnonzero(headers.fragment).tolist():
            begin = int(batch.offset[row])
            frame = bytes(batch.data.data[begin : begin + int(batch.captured[row])])
            whole = self._fragments.take(frame, int(headers.network[row]) - begin)
            if whole is not None:
                rows.append(row)
                found.append(whole)
        if not rows:
            return batch, headers
        sizes, behind = np.array([len(whole) for whole in found]), np.array(rows) + 1
        return self._readable(
            Batch(
                np.concatenate([batch.data, np.frombuffer(b"".join(found) + bytes(PAD), np.uint8)]),
                np.insert(batch.offset, behind, len(batch.data) + np.cumsum(sizes) - sizes),
                np.insert(batch.captured, behind, sizes),
                np.insert(batch.wire, behind, sizes),
                np.insert(batch.at, behind, batch.at[rows]),
                np.insert(batch.number, behind, batch.number[rows]),
                batch.link,
            )
        )

    def _relieve(self) -> None:
        """What all streams hold together has a bound too: those that hold most give it up."""
        held = self._flows
        pending = np.flatnonzero(held.pending[: held.count]).tolist()
        if len(pending) * 2 * LARGEST <= HELD_MOST:
            return
        sizes = {number: held.streams[number].held_bytes for number in pending}
        total = sum(sizes.values())
        if total <= HELD_MOST:
            return
        for number in sorted(pending, key=sizes.__getitem__, reverse=True):
            held.streams[number].give_up()
            held.pending[number] = False
            total -= sizes[number]
            if total <= HELD_MOST // 2:
                return

    def _relieve_notes(self) -> None:
        """As of the streams, of the messages that decoders hold in part."""
        self._weighed = self._bytes
        sizes = {asked: asked.held_bytes for asked in self._flows.asked.values()}
        total = sum(sizes.values())
        if total <= HELD_MOST:
            return
        for asked in sorted(sizes, key=sizes.__getitem__, reverse=True):
            asked.give_up()
            self._skipped += sizes[asked]
            total -= sizes[asked]
            if total <= HELD_MOST // 2:
                return

    def _begin_anew(self) -> None:
        """Too many flows or addresses: what was counted is kept, what they were is learned again."""
        self._flows.settle()
        self._not_kept += self.inventory.forget(self._last_at)
        self._skipped += sum(stream.skipped + stream.held_bytes for stream in self._flows.streams.values())
        self._flows.clear()
        self._known.clear()
        self._signatures.clear()
        self._dull.clear()
        self._ends.clear()

    # Flows

    def _flow_of(self, batch: Batch, headers: Headers) -> Row:
        flows = self._known.find(headers.flow)
        unknown = np.flatnonzero(flows == ABSENT)
        if len(unknown):
            keys, first = np.unique(headers.flow[unknown], return_index=True)
            order = np.argsort(first)
            rows = unknown[first[order]]
            self._known.add(keys[order], self._open(batch, headers, rows))
            flows[unknown] = self._known.find(headers.flow[unknown])
        return flows

    def _open(self, batch: Batch, headers: Headers, rows: Row) -> Row:
        """The numbers of new flows, whose first frames are `rows`."""
        data = batch.data.data
        columns = (
            headers.kind, headers.source_mac, headers.destination_mac, headers.network, headers.protocol,
            headers.source_port, headers.destination_port, headers.flags, headers.fragment, batch.at, batch.number,
        )  # fmt: skip
        opened = [
            self._open_one(data, *columns)
            for columns in zip(*(column[rows].tolist() for column in columns), strict=True)
        ]
        return np.array(opened, np.int64)

    def _open_one(
        self, data: memoryview, kind: int, source_mac: int, destination_mac: int, network: int, ip_protocol: int,
        source_port: int, destination_port: int, flags: int, fragment: bool, at: int, number: int,
    ) -> int:  # fmt: skip
        self.version += 1
        source_ip, destination_ip = _ips(data, kind, network)
        source = self.inventory.address(source_mac, source_ip, at, number)
        source.sent = True
        destination = self.inventory.address(destination_mac, destination_ip, at, number)
        if fragment:
            return self._flows.add(source, destination, None, OTHER, True)
        if not source_ip and not destination_ip:
            return self._open_below_ip(source, destination, kind, at)
        ends = (source_ip, destination_ip, source_port, destination_port, ip_protocol)
        back = self._ends.get((destination_ip, source_ip, destination_port, source_port, ip_protocol), -1)
        carrier = Carrier.TCP if ip_protocol == TCP else Carrier.UDP if ip_protocol == UDP else None
        if back >= 0:
            talk, from_client = self._flows.talk[back], not self._flows.from_client[back]
            protocol = int(self._flows.protocol[back])
            if protocol == OTHER and carrier:
                protocol = UNTOLD  # one way was looked at in vain; the other may tell
        elif carrier is None:
            talk, from_client, protocol = (
                self.inventory.talk(source, destination, "ip", f"ip-{ip_protocol}", 0, at),
                True,
                OTHER,
            )
        else:
            from_client, protocol = self._telling.roles(carrier, source_port, destination_port, flags)
            from_client |= bool(destination_mac & GROUP_BIT)  # nobody answers to a group
            client, server = (source, destination) if from_client else (destination, source)
            port = destination_port if from_client else source_port
            name = self._telling.name(protocol, carrier)
            talk = self.inventory.talk(client, server, str(carrier), name, port, at)
            if talk.protocol != talk.carrier and protocol == UNTOLD:  # told by an earlier connection to this port
                protocol = self._telling.begun(talk)
        opened = self._flows.add(source, destination, talk, protocol, from_client)
        if talk and not from_client and not flags & RST:
            talk.answered = True
        if back >= 0:
            self._flows.back[opened], self._flows.back[back] = back, opened
        self._ends[ends] = opened
        return opened

    def _open_below_ip(self, source: Address, destination: Address, kind: int, at: int) -> int:
        protocol = self._telling.at_port(Carrier.ETHERNET, kind)
        talk = None
        if protocol != OTHER:
            name = self._protocols[protocol - FIRST].name
            source.protocols.add(name)
            if name != "arp" and not destination.mac & GROUP_BIT:
                talk = self.inventory.talk(source, destination, "ethernet", name, 0, at)
        return self._flows.add(source, destination, talk, protocol, True)

    # Novelty

    def _novel(self, batch: Batch, headers: Headers, flows: Row) -> tuple[Row, Row]:
        """The rows that can teach something, in order; and for each whether it is the first of its signature."""
        protocol = self._flows.protocol[flows]
        spoken = (protocol != OTHER) & (headers.length > 0)
        untold = np.flatnonzero(spoken & (protocol == UNTOLD))
        untold = untold[~self._telling.could_begin(batch, headers, untold)]
        spoken[untold] = False
        hand = (headers.flags & SYN).astype(np.bool_) & (protocol >= FIRST)
        signed = np.zeros(len(flows), np.bool_)
        if self._everything:
            rows = np.flatnonzero(hand | spoken)
            return rows, signed[rows]
        hand |= spoken & (self._flows.pending[flows] | self._flows.telling[flows])
        hand[_first_of_each(flows, np.flatnonzero(spoken & (protocol == UNTOLD)), TRIES_MOST)] = True
        spoken &= protocol != UNTOLD
        rest = np.flatnonzero(spoken & ~hand)
        which = protocol[rest]
        opening = flows[np.flatnonzero(headers.flags & SYN)]
        self._flows.opening[opening] = True
        for number in np.unique(which).tolist():
            rows = rest[which == number]
            always, first = self._teaches(self._protocols[number - FIRST], batch, headers, flows, rows)
            hand[rows[always | first]] = True
            signed[rows[first]] = True
        self._flows.opening[opening] = False
        self._flows.opened[opening] += np.uint64(1)
        rows = np.flatnonzero(hand)
        return rows, signed[rows]

    def _teaches(self, protocol: Protocol, batch: Batch, headers: Headers, flows: Row, rows: Row) -> tuple[Row, Row]:
        """Which of the rows have no signature, and which are the first with theirs in their conversation."""
        first = np.zeros(len(rows), np.bool_)
        if protocol.sign is None:
            return ~first, first
        length = headers.length[rows]
        head = gather(batch.data, headers.payload[rows], HEAD)
        short = np.flatnonzero(length < HEAD)
        head[short] *= length[short, None] > COLUMNS
        signed = protocol.sign(head, length, self._flows.from_client[flows[rows]])
        of = flows[rows]
        goes_on = signed < CONTINUES  # with what began on this connection; one that opens in this batch is new
        unsigned: Row = (signed == 0) | ~headers.whole[rows] | (goes_on & self._flows.opening[of])
        connection = of.astype(np.uint64) | MANY_PAIRS | self._flows.opened[of] << OPENINGS
        whose = np.where(goes_on, connection, self._flows.pair[of])
        keys = (whose * MULTIPLIERS[0] ^ signed) * MIX
        keys = (keys ^ (keys >> HALF)) * MIX | np.uint64(1)
        unknown = np.flatnonzero((self._signatures.find(keys) == ABSENT) & ~unsigned)
        if len(unknown):
            if self._signatures.full:
                self._signatures.clear()
            new, at = np.unique(keys[unknown], return_index=True)
            self._signatures.add(new, np.zeros(len(new), np.int64))
            first[unknown[at]] = True
        return unsigned, first

    # Decoding

    def _decode(self, batch: Batch, headers: Headers, flows: Row, hand: Row, signed: Row) -> None:
        held, protocols, tls = self._flows, self._protocols, self._telling.tls
        todo = self._frames(batch, headers, flows, hand, signed)
        data = batch.data.tobytes() if len(todo) >= MANY else batch.data.data  # bytes are sliced in a third of the time
        more: list[Frame] = []  # a heap: later frames of flows that turned out to matter
        given = set(hand.tolist())
        followed: set[int] = set()  # flows all of whose later frames are decoded
        speaking: _Rows | None = None
        now: dict[int, int] = {}  # the protocols of flows that were told, or told anew, in this batch
        place = 0
        while place < len(todo) or more:
            if more and (place == len(todo) or more[0] < todo[place]):
                frame = heappop(more)
            else:
                frame = todo[place]
                place += 1
            row, flow, known, start, length, whole, sequence, flags, client, number, at, first = frame
            if now:
                known = now.get(flow, known)
            payload = bytes(data[start : start + length])
            told, follow = known, [flow]
            if known < FIRST or known == tls or payload[1:2] == TLS_VERSION:
                told = self._tell(flow, known, payload, flags)
                if told < FIRST:
                    continue
                if told != known:
                    follow = self._turn(flow, told)
                    now.update(dict.fromkeys(follow, told))
            protocol, sightings, goes_on = protocols[told - FIRST], self._sightings, False
            if protocol.cut is None:
                self._say(protocol, payload, flow, client, number, at)
            elif protocol.unnumbered is None or self._everything:
                goes_on = self._stream(protocol, payload, flow, client, whole, sequence, flags, number, at)
            else:
                known_again = self._unnumbered(protocol.unnumbered, payload, flow, whole, flags)
                stream = held.streams.get(flow)
                if known_again in self._dull and stream and stream.follows(sequence, length):
                    continue
                before = self._told, self._decoded + 1, self._changes(flow)
                goes_on = self._stream(protocol, payload, flow, client, whole, sequence, flags, number, at)
                if known_again and not goes_on and before == (self._told, self._decoded, self._changes(flow)):
                    self._remember_dull(known_again, payload, protocol.cut)
            if first and self._sightings > sightings:
                held.telling[flow] = goes_on = True
            if told == known and not goes_on:
                continue
            for way in follow:
                if way not in followed:
                    followed.add(way)
                    speaking = speaking or _Rows(flows, (headers.length > 0) | (headers.flags & SYN > 0))
                    later = [found for found in speaking.of(way, row) if found not in given]
                    if later:
                        given.update(later)
                        rows = np.array(later)
                        for found in self._frames(batch, headers, flows, rows, np.zeros(len(later), np.bool_)):
                            heappush(more, found)

    def _frames(self, batch: Batch, headers: Headers, flows: Row, rows: Row, signed: Row) -> list[Frame]:
        """What decoding needs of each row, as plain numbers."""
        of_flow = flows[rows]
        columns = (
            rows, of_flow, self._flows.protocol[of_flow], headers.payload[rows], headers.length[rows],
            headers.whole[rows], headers.sequence[rows], headers.flags[rows], self._flows.from_client[of_flow],
            batch.number[rows], batch.at[rows], signed,
        )  # fmt: skip
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def _unnumbered(
        self, unnumbered: Unnumbered, payload: bytes, flow: int, whole: int, flags: int
    ) -> tuple[int, bytes] | None:
        """What a message that says nothing could be known again by; None if its content is not all that matters."""
        if not whole or flags & SYN or not 0 < len(payload) <= DULL_LONGEST:
            return None
        asked = self._noted(flow)
        if (asked and asked.waits) or self._flows.pending[flow]:
            return None
        return flow, unnumbered(payload)

    def _remember_dull(self, message: tuple[int, bytes], payload: bytes, cut: Callable[[bytes], int]) -> None:
        if cut(payload) == len(payload):
            if len(self._dull) >= DULL_MOST:
                self._dull.clear()
            self._dull.add(message)

    def _changes(self, flow: int) -> int:
        asked = self._noted(flow)
        return asked.changes if asked else 0

    def _noted(self, flow: int) -> Asked | None:
        """What is noted of the connection that a flow is one way of."""
        asked = self._flows.asked
        return asked.get(flow) or asked.get(int(self._flows.back[flow]))

    def _asked(self, flow: int) -> Asked:
        """The same; from its first message on there is one."""
        asked = self._flows.asked.get(flow)
        if asked is None:
            asked = self._flows.asked[flow] = self._noted(flow) or Asked()
        return asked

    def _stream(
        self, protocol: Protocol, payload: bytes, flow: int, client: int, whole: int, sequence: int, flags: int,
        number: int, at: int,
    ) -> bool:  # fmt: skip
        """Take a TCP segment; whether the next one matters, whatever it holds."""
        held, cut = self._flows, protocol.cut
        assert cut is not None
        stream = held.streams.get(flow)
        if stream is None:
            stream = held.streams[flow] = Stream()
        elif not flags & SYN and stream.alone(sequence, payload, cut):
            self._say(protocol, payload, flow, client, number, at)
            return False
        if flags & SYN:
            stream.begin(sequence)
            held.asked.pop(flow, None)
            sequence += 1
        if payload:
            for message in stream.feed(sequence, payload, cut, not whole):
                self._say(protocol, message, flow, client, number, at)
        pending = stream.pending
        if pending or held.pending[flow]:
            held.pending[flow] = pending
        return pending

    def _tell(self, flow: int, known: int, payload: bytes, flags: int) -> int:
        """The protocol of a payload. One that is not yet known may be told by it, one that is known contradicted: a
        connection to a port of ours that begins with TLS is hidden."""
        held, tls = self._flows, self._telling.tls
        talk = held.talk[flow]
        if known < FIRST:
            number = int(held.protocol[flow])  # OTHER, if it was looked at in vain meanwhile
            if number == UNTOLD and talk:
                number = self._telling.begun(talk, payload)
                held.tries[flow] += 1
                if number == UNTOLD and held.tries[flow] >= TRIES_MOST:
                    held.protocol[flow] = OTHER
            if number < FIRST:
                return number
        elif known == tls and flags & SYN and talk and self._telling.at_port(Carrier.TCP, talk.port) != OTHER:
            number = self._telling.at_port(Carrier.TCP, talk.port)  # the next connection there may be a plain one
        elif self._is_hidden(known, payload, flow):
            number = tls
        else:
            return known
        if talk and talk.protocol == talk.carrier:
            talk.protocol = self._protocols[number - FIRST].name
        if talk and number == tls:
            talk.hidden = HIDDEN
        return number

    def _turn(self, flow: int, number: int) -> list[int]:
        """Take a flow for one of this protocol from here on, its other way too, and all connections to the same port
        that were not told, or looked at in vain; which flows these are."""
        held = self._flows
        ways = [way for way in (flow, int(held.back[flow])) if way >= 0]
        if held.protocol[flow] == UNTOLD:
            same = held.untold.pop(id(held.talk[flow]), ())
            ways += [way for way in same if held.protocol[way] < FIRST and way not in ways]
        for way in ways:
            held.protocol[way] = number
            held.pending[way] = False
            if stream := held.streams.pop(way, None):
                self._skipped += stream.skipped + stream.held_bytes
        return ways

    def _is_hidden(self, known: int, payload: bytes, flow: int) -> bool:
        cut, stream = self._protocols[known - FIRST].cut, self._flows.streams.get(flow)
        if cut is None or self._telling.tls in (known, OTHER) or (stream and stream.spoken):
            return False
        return tls_record(payload) > 0 and cut(payload) == -1

    def _say(self, protocol: Protocol, message: bytes, flow: int, client: int, number: int, at: int) -> None:
        self._decoded += 1
        try:
            said = protocol.decode(message, bool(client), self._asked(flow))
        except Malformed:
            self._not_understood(protocol)
            return
        except Exception:  # a bug of ours in one decoder must not make us deaf to everything else: it is told
            self._not_understood(protocol)
            self.bugs.setdefault(protocol.name, traceback.format_exc())
            return
        if said is not NOTHING:
            self._keep(protocol, said, flow, number, at)

    def _not_understood(self, protocol: Protocol) -> None:
        self._malformed[protocol.name] += 1
        self._told += 1

    def _keep(self, protocol: Protocol, said: Said, flow: int, number: int, at: int) -> None:
        talk = self._flows.talk[flow]
        if talk and not talk.functions.issuperset(said.functions):
            self.version += self.inventory.used(talk, said.functions)
        if talk and said.hidden and talk.hidden != said.hidden:
            talk.hidden = said.hidden
            self.version += 1
        if not said.sightings and not said.acts:
            return
        self._told += 1
        source, destination = self._flows.source[flow], self._flows.destination[flow]
        for sighting in said.sightings:
            self._sightings += 1
            whom = (
                source if sighting.of == SENDER
                else destination if sighting.of == RECEIVER
                else self.inventory.of(sighting.of, at, number)
            )  # fmt: skip
            if whom and self.inventory.saw(whom, sighting.field, sighting.value, protocol.name, number, at):
                self.version += 1
        for act in said.acts:
            moment = EPOCH + timedelta(microseconds=at // 1000)
            self._on_event(
                WireEvent(moment, number, source.text, destination.text, protocol.name, act.operation, act.detail)
            )


class _Rows:
    """Which rows `speak`, by their flow, to ask for those of many flows."""

    def __init__(self, flows: Row, speak: Row) -> None:
        rows = np.flatnonzero(speak)
        order = rows[np.argsort(flows[rows], kind="stable")]
        self._flows: list[int] = flows[order].tolist()
        self._rows: list[int] = order.tolist()

    def of(self, flow: int, after: int) -> list[int]:
        """The rows of a flow that come after that one."""
        rows = self._rows[bisect_left(self._flows, flow) : bisect_right(self._flows, flow)]
        return rows[bisect_right(rows, after) :]


def _first_of_each(flows: Row, rows: Row, most: int) -> Row:
    """The first `most` of the rows of each flow."""
    order = np.argsort(flows[rows], kind="stable")
    grouped = flows[rows][order]
    begins = np.flatnonzero(np.diff(grouped, prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
    return rows[order[rank < most]]


def _part(value: Any, rows: Row, name: str) -> Any:
    return value if name in ("data", "link") else value[rows]


def _ips(data: memoryview, kind: int, network: int) -> tuple[str, str]:
    if kind == IPV4:
        source, destination = (
            socket.inet_ntop(socket.AF_INET, data[at : at + 4]) for at in (network + 12, network + 16)
        )
        return ("" if source == "0.0.0.0" else source), destination
    if kind == IPV6:
        source, destination = (
            socket.inet_ntop(socket.AF_INET6, data[at : at + 16]) for at in (network + 8, network + 24)
        )
        return ("" if source == "::" else source), destination
    return "", ""
