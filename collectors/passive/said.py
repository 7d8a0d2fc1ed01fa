"""What a decoder makes of one message: the functions it uses, what it says of a host, what it does to a device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from baselines.wire import Operation

SENDER = "sender"
RECEIVER = "receiver"


class Malformed(Exception):
    """The bytes are none of the protocol's; the message says what is wrong. Counted and skipped, never the end."""


class Sighting(NamedTuple):
    """One field of a host's identity, as text. `of` is SENDER, RECEIVER, or the MAC or IP address it speaks of."""

    field: str
    value: str
    of: str = SENDER


class Act(NamedTuple):
    """Something that the sender does to the receiver; `detail` is plain JSON."""

    operation: Operation
    detail: Mapping[str, Any]


class Said(NamedTuple):
    """All that one message says. `functions` are names such as "read-holding-registers"; an answer names none, as its
    request did. `hidden` says why the rest of the conversation cannot be seen ("encrypted")."""

    functions: tuple[str, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    acts: tuple[Act, ...] = ()
    hidden: str = ""


NOTHING = Said()


class Asked:
    """What a decoder remembers of one connection: what still has to be answered, or was sent in part (the newest `MOST`
    notes), and what holds for all of it (kept by name)."""

    MOST = 32
    __slots__ = ("_kept", "_notes", "_parts", "changes")

    def __init__(self) -> None:
        self._notes: dict[Hashable, Any] = {}
        self._parts: dict[Hashable, int] = {}  # the sizes of those notes that hold a part of a message
        self._kept: dict[str, Any] = {}
        self.changes = 0  # how often something was noted, taken or kept

    @property
    def waits(self) -> bool:
        """Whether anything is noted that has not been taken."""
        return bool(self._notes)

    @property
    def held_bytes(self) -> int:
        """Of all parts of messages."""
        return sum(self._parts.values())

    def note(self, key: Hashable, what: Any, size: int = 0) -> None:
        """`size`: of what is a part of a message, how many bytes it is."""
        self.changes += 1
        self.take(key)
        self._notes[key] = what
        if size:
            self._parts[key] = size
        if len(self._notes) > self.MOST:
            self.take(next(iter(self._notes)))

    def take(self, key: Hashable) -> Any:
        """What was noted under `key`, once; None if nothing was."""
        self._parts.pop(key, None)
        found = self._notes.pop(key, None)
        self.changes += found is not None
        return found

    def look(self, key: Hashable) -> Any:
        """What was noted under `key`, and it stays noted."""
        return self._notes.get(key)

    def keep(self, name: str, what: Any) -> None:
        """Remember something for as long as the connection lasts. The names are few, and the decoder's own."""
        self.changes += 1
        self._kept[name] = what

    def kept(self, name: str) -> Any:
        """What was kept by this name; None if nothing was."""
        return self._kept.get(name)

    def give_up(self) -> None:
        """The rest of what has come in part will not come."""
        for key in self._parts:
            del self._notes[key]
        self._parts.clear()
