"""TCP streams in order, message by message, with bounded memory; also those that are joined in the middle.

Most segments are exactly one message, and those that can teach nothing never come here. So a stream does not see every
sequence number, and cannot tell a gap from what it was spared: it takes whole messages as they come, remembers what it
took, and waits only while a message is incomplete. Nothing malformed ends it, and nothing waits for ever.
"""

from __future__ import annotations

from collectors.passive.protocols.protocol import Cut

WRAP = 1 << 32
HALF = WRAP >> 1
NEAR = 1 << 20  # a segment further than this from the newest belongs to another connection on the same ports
LARGEST = 1 << 18  # bytes of an incomplete message that are kept, and of what waits
PATIENCE = 32  # segments after which what is incomplete is given up
WAITING_MOST = 64  # parts of segments
TAKEN_MOST = 32  # ranges of sequence numbers that are remembered
LOOK = 1024  # bytes in which a message says how long it is


class Stream:
    """One way of one connection. `skipped` counts the bytes given up: no message, or the rest of one never came.

    Positions are sequence numbers that do not wrap.
    """

    __slots__ = (
        "_doubted", "_end", "_fed", "_held", "_held_end", "_held_since", "_needs", "_taken", "_waiting",
        "_waiting_bytes", "skipped", "spoken",
    )  # fmt: skip

    def __init__(self) -> None:
        self._fed = 0  # segments
        self._end: int | None = None  # the position behind all that was taken
        self._taken: list[tuple[int, int]] = []  # from where to where, the newest at the end
        self._held = bytearray()  # the message that is not complete
        self._held_end = 0  # the position at which it goes on
        self._held_since = 0  # the segment by which it grew last
        self._needs = 0  # bytes that it will have; 0 while that is not told
        self._doubted = False  # whether what came in the place of its rest was whole messages
        self._waiting: dict[int, tuple[bytes, int]] = {}  # by position; with the segment that it was
        self._waiting_bytes = 0
        self.skipped = 0
        self.spoken = False  # whether there was a message

    @property
    def pending(self) -> bool:
        """Whether the next segment matters, whatever it holds."""
        return bool(self._held or self._waiting)

    @property
    def held_bytes(self) -> int:
        return len(self._held) + self._waiting_bytes

    def begin(self, sequence: int) -> None:
        """A connection is opened (SYN): its first byte has the number after `sequence`."""
        self._begin_anew((sequence + 1) % WRAP)

    def give_up(self) -> None:
        """What is incomplete will stay so."""
        self.skipped += self.held_bytes
        self._held.clear()
        self._waiting.clear()
        self._waiting_bytes = 0

    def alone(self, sequence: int, payload: bytes, cut: Cut) -> bool:
        """Take a segment that is exactly one message, behind all that was taken, while nothing is incomplete: as most
        are. Whether it was; if not, feed it."""
        return cut(payload) == len(payload) <= LARGEST and self.follows(sequence, len(payload))

    def follows(self, sequence: int, length: int) -> bool:
        """The same of a segment that is known to be exactly one message."""
        end = self._end
        if end is None or self._held or self._waiting:
            return False
        ahead = (sequence - end + HALF) % WRAP - HALF
        if not 0 <= ahead <= NEAR:
            return False
        self._fed += 1
        self._note(end + ahead, length)
        self.spoken = True
        return True

    def feed(self, sequence: int, payload: bytes, cut: Cut, cut_short: bool = False) -> list[bytes]:
        """The messages that are whole now. `cut_short`: the end of this segment was not captured."""
        self._fed += 1
        end = sequence if self._end is None else self._end
        at = end + (sequence - end + HALF) % WRAP - HALF  # RFC 9293, 3.4
        if self._end is None or abs(at - end) > NEAR:
            self._begin_anew(at)
        held = bool(self._held)
        messages = self._feed(at, payload, cut)
        if cut_short:
            self.give_up()
        elif held or self._held or self._waiting:
            messages += self._go_on(cut, held or bool(self._held))
        self.spoken |= bool(messages)
        return messages

    def flush(self, cut: Cut) -> list[bytes]:
        """What can still be had of what waits for bytes that will not come."""
        messages: list[bytes] = []
        while self._held:
            self._drop_held()
            messages += self._take_waiting(cut)
        self.give_up()
        return messages

    def _begin_anew(self, at: int) -> None:
        self.give_up()
        self._end = at
        self._taken.clear()

    def _feed(self, at: int, payload: bytes, cut: Cut) -> list[bytes]:
        messages: list[bytes] = []
        for begin, part in self._new(at, payload):
            messages += self._take(begin, part, cut)
        return messages

    def _new(self, at: int, payload: bytes) -> list[tuple[int, bytes]]:
        """The parts of a segment that were not taken before, each with its position."""
        assert self._end is not None
        if at >= self._end:
            return [(at, payload)]
        parts = [(at, at + len(payload))]
        for begin, end in self._taken:
            halves = (half for low, high in parts for half in ((low, min(high, begin)), (max(low, end), high)))
            parts = [(low, high) for low, high in halves if low < high]
        return [(low, payload[low - at : high - at]) for low, high in parts]

    def _take(self, at: int, payload: bytes, cut: Cut) -> list[bytes]:
        """Take bytes that are new. Those that neither begin a message nor continue one wait."""
        if self._held and at == self._held_end:
            self._note(at, len(payload))
            return self._join(payload, cut)
        length = _length(payload, cut)
        if length == len(payload):
            self._note(at, length)
            return [payload]
        alone = _whole(payload, cut) if self._held else []
        if alone:
            self._note(at, len(payload))
            return alone
        if self._held or length == -1:
            self._wait(at, payload)
            return self._complete(at, cut) if self._held else []
        self._note(at, len(payload))
        return self._messages(payload, at + len(payload), cut)

    def _note(self, at: int, length: int) -> None:
        """Remember what was taken."""
        assert self._end is not None
        if self._taken and self._taken[-1][1] == at:
            self._taken[-1] = self._taken[-1][0], at + length
        else:
            self._taken.append((at, at + length))
            if len(self._taken) > TAKEN_MOST:
                del self._taken[0]
        self._end = max(self._end, at + length)

    def _join(self, payload: bytes, cut: Cut) -> list[bytes]:
        """Continue the message that is held. One that claims to be longer than it is must not swallow those that
        follow: what is whole messages by itself is given as such too, unless it ends exactly what is held."""
        alone, doubted, before = _whole(payload, cut), self._doubted, len(self._held)
        self._held += payload
        self._held_end += len(payload)
        self._held_since = self._fed
        if len(self._held) < self._needs:
            self._doubted |= bool(alone)
            return alone
        skipped = self.skipped
        messages = self._messages(bytes(self._held), self._held_end, cut)
        if not messages and not self._held:  # it began no message
            self.skipped = skipped + before
            return alone or self._messages(payload, self._held_end, cut)
        if alone and (doubted or self._held or self.skipped > skipped):
            self._doubted = bool(self._held)
            messages += alone
        return messages

    def _messages(self, data: bytes, end: int, cut: Cut) -> list[bytes]:
        """The messages that data begins with, which reaches to `end`. What is there of the next one is held."""
        messages, at = [], 0
        self._held.clear()
        self._doubted = False
        self._held_end, self._held_since = end, self._fed
        while at < len(data):
            length = _length(data[at : at + LOOK], cut)
            if length == -1:
                self.skipped += len(data) - at
                break
            if not length or at + length > len(data):
                self._held += data[at:]
                self._needs = length
                break
            messages.append(data[at : at + length])
            at += length
        return messages

    def _go_on(self, cut: Cut, moved: bool) -> list[bytes]:
        """Take what waited for what has come (if anything `moved`), and give up what has waited too long."""
        messages = self._take_waiting(cut) if moved else []
        while self._held and self._fed - self._held_since > PATIENCE:
            self._drop_held()
            messages += self._take_waiting(cut)
        while self._waiting:
            at, (_, since) = next(iter(self._waiting.items()))
            late = self._fed - since > PATIENCE
            if not late and self._waiting_bytes <= LARGEST and len(self._waiting) <= WAITING_MOST:
                break
            self.skipped += sum(len(part) for _, part in self._new(at, self._waiting_taken(at)))
        return messages

    def _drop_held(self) -> None:
        self.skipped += len(self._held)
        self._held.clear()

    def _wait(self, at: int, payload: bytes) -> None:
        if len(payload) > len(self._waiting.get(at, (b"",))[0]):
            if at in self._waiting:
                self._waiting_taken(at)
            self._waiting[at] = payload, self._fed
            self._waiting_bytes += len(payload)

    def _complete(self, at: int, cut: Cut) -> list[bytes]:
        """The messages that what waits at `at` is, with all that waits right before and behind it; they then wait no
        more. So the beginning of a later message keeps none waiting that overtook one another before it."""
        before = {begin + len(payload): begin for begin, (payload, _) in self._waiting.items()}
        while at in before:
            at = before[at]
        run, end = [at], at + len(self._waiting[at][0])
        while end in self._waiting:
            run.append(end)
            end += len(self._waiting[end][0])
        messages = _whole(b"".join(self._waiting[begin][0] for begin in run), cut)
        if messages:
            self._note(at, end - at)
            for begin in run:
                self._waiting_taken(begin)
        return messages

    def _take_waiting(self, cut: Cut) -> list[bytes]:
        messages: list[bytes] = []
        while (at := self._ready(cut)) is not None:
            payload, since = self._waiting[at]
            self._waiting_taken(at)
            before = max(0, self._held_end - at) if self._held else 0
            now, self._fed = self._fed, since  # what is incomplete then is so since it came
            messages += self._feed(at + before, payload[before:], cut)
            self._fed = now
        return messages

    def _ready(self, cut: Cut) -> int | None:
        """The first of what waits that continues what is held, or begins a message while nothing is held."""
        for at in sorted(self._waiting):
            payload, _ = self._waiting[at]
            if at <= self._held_end < at + len(payload) if self._held else _length(payload, cut) != -1:
                return at
        return None

    def _waiting_taken(self, at: int) -> bytes:
        payload, _ = self._waiting.pop(at)
        self._waiting_bytes -= len(payload)
        return payload


def _length(data: bytes, cut: Cut) -> int:
    """As `cut` says; of a message that is longer than we keep: none."""
    length = cut(data[:LOOK])
    return -1 if length > LARGEST else length


def _whole(data: bytes, cut: Cut) -> list[bytes]:
    """The messages that data is, to its last byte; none if it is not."""
    messages, at = [], 0
    while at < len(data):
        length = _length(data[at : at + LOOK], cut)
        if length <= 0 or at + length > len(data):
            return []
        messages.append(data[at : at + length])
        at += length
    return messages
