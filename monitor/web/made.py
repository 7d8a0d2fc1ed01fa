"""Files that somebody had made: kept for a while, in a folder that goes with the server."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.errors import CallError

MOST = 20  # files
LARGEST = 512 * 2**20  # bytes of all of them
LONGEST = 24 * 3600.0  # seconds


@dataclass(slots=True)
class Made:
    """The files of one run of the server, each in a folder of its own; the oldest go first."""

    _folder: tempfile.TemporaryDirectory[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self) -> Path:
        """A new folder for one file; CallError where there can be none."""
        with self._lock:
            try:
                if self._folder is None or not Path(self._folder.name).is_dir():  # whoever clears /tmp takes it away
                    self._folder = tempfile.TemporaryDirectory(prefix="asbuilt-made-", ignore_cleanup_errors=True)
                self._prune(Path(self._folder.name))
                return Path(tempfile.mkdtemp(dir=self._folder.name))
            except OSError as error:
                where = error.filename or tempfile.tempdir
                raise CallError(f"there is no place for a file: {where}: {error.strerror or error}") from None

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
