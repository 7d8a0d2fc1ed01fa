"""What a floor's process is told on standard input, a JSON document a line."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from simulators.floor import Floor
from simulators.scenario import Event, ScenarioError, converted


class Orders:
    """Plays the timed events once told to go, and makes the ordered ones happen at once."""

    def __init__(
        self,
        floor: Floor,
        on_event: Callable[[Event, float], None],
        on_wrong: Callable[[str], None],
        speed: float = 1.0,
    ) -> None:
        self._floor = floor
        self._on_event = on_event
        self._on_wrong = on_wrong
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._playing: asyncio.Task[None] | None = None
        self._enter_goes = False

    def listen(self, on_end: Callable[[], None]) -> None:
        """Reads standard input. The end of a pipe ends the floor: whoever held the other end is gone.

        At a terminal the Enter key starts the timed events.
        """
        try:
            number = sys.stdin.fileno()
            mode = os.fstat(number).st_mode
        except (AttributeError, OSError, ValueError):
            return  # there is none
        ends = on_end if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
        self._enter_goes = os.isatty(number)
        threading.Thread(target=self._read, args=(number, ends), daemon=True).start()

    def _read(self, number: int, on_end: Callable[[], None] | None) -> None:
        """In a thread, since not every system can wait for a pipe; unbuffered, so that it holds no lock at the end."""
        rest = b""
        with suppress(OSError, RuntimeError):  # RuntimeError: the loop was closed first
            while data := os.read(number, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            if on_end is not None:
                self._loop.call_soon_threadsafe(on_end)

    def go(self) -> None:
        """Starts the timed events, from second 0 on; a second time it does nothing."""
        if self._playing is None:
            self._begun = self._loop.time()
            self._playing = asyncio.create_task(self._floor.play(self._happened, self._speed))

    async def until(self, ended: asyncio.Event) -> None:
        """Obeys until the end; what goes wrong on the way ends it too."""
        waiting = asyncio.create_task(ended.wait())
        obeying = asyncio.create_task(self._obey())
        await asyncio.wait({waiting, obeying}, return_when=asyncio.FIRST_COMPLETED)
        if not obeying.cancel():
            obeying.result()
        if self._playing is not None and not self._playing.cancel():
            self._playing.result()

    async def _obey(self) -> None:
        while True:
            line = await self._lines.get()
            if self._enter_goes and not line.strip():
                self.go()
                continue
            try:
                await self._order(json.loads(line))
            except (ValueError, ScenarioError) as error:
                self._on_wrong(f"{line.decode('utf-8', 'replace').strip()}: {error}")

    async def _order(self, order: object) -> None:
        if order == {"go": True}:
            self.go()
            return
        problems: list[str] = []
        event = converted(Event, order, "order", problems)
        if event is None:
            raise ScenarioError("\n".join(problems))
        await self._floor.apply(event)
        self._happened(msgspec.structs.replace(event, at=self._second))

    def _happened(self, event: Event) -> None:
        self._on_event(event, self._second)

    @property
    def _second(self) -> float:
        """Of the scenario: `speed` seconds of it pass in one."""
        return (self._loop.time() - self._begun) * self._speed
