"""Power cuts and failing disks: a process of ours is killed at a moment of choice, or its disk refuses."""

from __future__ import annotations

import mmap
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.floors import ROOT, Done, PlantFolder, Process, RunningFloor, wait_for
from tests.forge import Forge

SOURCE = Path(__file__).parent / "data" / "faults.c"
DONE, AT, ERROR, WHAT = range(0, 16, 4)  # where in the plan each number stands
WRITES, SYNCS = 1, 2


class Apart(PlantFolder):
    """A plant whose commands can also be run in the surroundings in which its daemon runs: `forge` is there."""

    forge: Forge

    def start(self, *words: str) -> Process:
        return self.start_apart(*words)

    def apart(self, *words: str) -> Done:
        done = self.forge.run(words, self.environment, ROOT, 60)
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


class FaultyPlant(Apart):
    """A plant whose daemon, and whose commands `apart`, have a fault between them and the machine.

    It counts what they do to the disk and to the network; faults.c says what is counted, and how it fails.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str], more: str = "") -> None:
        super().__init__(folder, addresses, more)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if sys.platform != "linux" or compiler is None:
            pytest.skip("needs Linux and a C compiler: the faults are a library that is preloaded")
        library = folder / "faults.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self._faulty = {"LD_PRELOAD": str(library)}
        self.forge = Forge(more=self._faulty)
        with (folder / "faults.plan").open("w+b") as file:
            file.truncate(16)
            self._plan = mmap.mmap(file.fileno(), 16)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self._faulty, "ASBUILT_FAULTS": str(self.folder / "faults.plan")}

    def kill_before(self, number: int) -> None:
        """Count anew, and have the process killed before the write, sync or message of this number (0: none)."""
        struct.pack_into("2i", self._plan, DONE, 0, number)

    @contextmanager
    def failing(self, error: int, what: int) -> Iterator[None]:
        """Meanwhile what is written or synced fails with this errno."""
        struct.pack_into("2i", self._plan, ERROR, error, what)
        try:
            yield
        finally:
            struct.pack_into("i", self._plan, ERROR, 0)


class SmallDisk(Apart):
    """A plant on a disk of a few megabytes that nobody else sees: it can be filled, and mounted read-only."""

    def __init__(self, folder: Path, addresses: Mapping[str, str], holder: int, more: str = "") -> None:
        self._inside, self._path = ["nsenter", f"--mount=/proc/{holder}/ns/mnt", "--"], folder
        super().__init__(Path(f"/proc/{holder}/root{folder}"), addresses, more)
        self.forge = Forge(self._inside)
        (self.folder / "run.log").symlink_to(folder / "run.log")  # as we see it: not on the small disk

    def command(self, *words: str) -> list[str]:
        return [*self._inside, *super().command(*words)]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "ASBUILT_PLANT": str(self._path / "plant.toml")}

    def asbuilt(self, *words: str) -> Done:
        return self.apart(*words)

    def mount(self, how: str) -> None:
        """Mount it again, `ro` or `rw`."""
        subprocess.run([*self._inside, "mount", "-o", f"remount,{how}", str(self._path)], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Meanwhile nothing more fits."""
        filler = self.folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    yield
        finally:
            filler.unlink()


@contextmanager
def small_disk(folder: Path, addresses: Mapping[str, str], more: str = "", size: str = "4m") -> Iterator[SmallDisk]:
    """A plant on a disk of its own, in a mount namespace that ends with the test."""
    script = f'mount -t tmpfs -o size={size} none "$1" && echo mounted && exec cat'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(folder)]
    try:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError:
        pytest.skip("needs unshare and nsenter (util-linux)")
    with holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip("needs root, to mount a disk of its own")
        plant = SmallDisk(folder, addresses, holder.pid, more)
        try:
            yield plant
        finally:
            plant.forge.close()


@dataclass
class Said:
    """What was acknowledged to somebody, and has to be so for ever: moves of alarms and decided baselines."""

    moves: dict[tuple[int, str], str] = field(default_factory=dict)  # (alarm, when it moved): asset and item
    baselines: set[tuple[str, str]] = field(default_factory=set)  # asset, and when it was approved
    alarms: set[int] = field(default_factory=set)

    def alert(self, document: Mapping[str, Any]) -> None:
        what = f"{document['asset']} {document['item']}"
        assert self.moves.setdefault((document["id"], document["changed_at"]), what) == what

    def decided(self, documents: Iterable[Mapping[str, Any]]) -> None:
        self.baselines |= {(each["asset"], each["approved_at"]) for each in documents}

    def log(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self.alarms |= {line["alert"] for line in lines if line["event"].startswith("alert.")}

    def assure_kept(self, store: Path) -> None:
        """Everything is in the store, and no deviation is there twice."""
        # first what was said, and then what is there: others go on meanwhile
        said, alarms, baselines = dict(self.moves), set(self.alarms), set(self.baselines)
        with closing(sqlite3.connect(store)) as connection:
            named = "alert JOIN asset ON asset.id = alert.asset_id"
            moved = connection.execute(
                f"SELECT alert.id, alert_move.at, asset.name, item FROM {named} JOIN alert_move ON alert.id = alert_id"
            )
            moves = {(number, at): f"{asset} {item}" for number, at, asset, item in moved}
            assert said.items() <= moves.items()
            assert alarms <= {number for number, _ in moves}
            twice = connection.execute(
                f"SELECT asset.name, item FROM {named} WHERE state != 'NORMAL' GROUP BY 1, 2 HAVING count(*) > 1"
            )
            assert twice.fetchall() == []
            decided = "SELECT name, decided_at FROM baseline JOIN asset ON asset.id = asset_id WHERE decided_by > ''"
            assert baselines <= set(connection.execute(decided))


def killed(code: int) -> bool:
    """Whether a process that ended was killed; any other end than that and a good one is a fault of ours."""
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def wait_for_end_or(process: Process, done: Callable[[], object], what: str) -> None:
    """Wait until something is done, or the process has ended."""
    wait_for(lambda: process.poll() is not None or done(), what)


def addresses(floor: RunningFloor) -> dict[str, str]:
    return {name: plc.address for name, plc in floor.plcs.items()}


def route(url: str) -> str:
    return f'[notify.shift]\nkind = "webhook"\nurl = "{url}"\n'


def sound(plant: PlantFolder) -> bool:
    """Whether the evidence verifies once a daemon ran and has published what a kill left unpublished."""
    with plant.daemon():
        wait_for(lambda: plant.asbuilt("verify").code == 0, "the evidence to verify")
    return True
