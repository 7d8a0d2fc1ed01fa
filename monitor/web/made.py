"""Files that somebody had made: kept for a while, in a folder that goes with the server."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST = 20  # files
LARGEST = 512 * 2**20  # bytes of all of them
LONGEST = 24 * 3600.0  # seconds


@dataclass(slots=True)
class Made:
    """The files of one run of the server, each in a folder of its own; the oldest go first."""

    _folder: tempfile.TemporaryDirectory[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self) -> Path:
        """A new folder for one file."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="asbuilt-made-")
            self._prune(Path(self._folder.name))
            return Path(tempfile.mkdtemp(dir=self._folder.name))

    def _prune(self, folder: Path) -> None:
        places = sorted(folder.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
        size = 0
        for number, place in enumerate(places, 1):
            size += sum(path.stat().st_size for path in _files(place))
            if number >= MOST or size > LARGEST or time.time() - place.stat().st_mtime > LONGEST:
                shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Delete all of them."""
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None


def _files(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.is_file())
