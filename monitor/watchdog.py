"""A thread that notices when the loop stands still: a chore of the loop could not."""

from __future__ import annotations

import sys
import threading
import time
import traceback

import structlog

LOOK_EVERY = 0.1  # of the time that a beat may take

log = structlog.get_logger()


class Watchdog:
    """Says in the log, once a standstill, where the thread that made it stands: the one that it watches does not
    `beat` for `within` seconds."""

    def __init__(self, within: float) -> None:
        self._within = within
        self._watched = threading.get_ident()
        self._beat_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        self._beat_at = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._beat_at

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        said = False
        while not self._stop.wait(self._within * LOOK_EVERY):
            stalled = self.silent_for > self._within
            if stalled and not said:
                frame = sys._current_frames().get(self._watched)
                where = traceback.format_stack(frame)[-8:] if frame else []
                log.error("loop.stalled", seconds=round(self.silent_for, 1), where=[line.strip() for line in where])
            said = stalled
