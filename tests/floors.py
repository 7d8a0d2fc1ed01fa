"""A simulated floor beside a synchronous test, and the commands run against it as a person runs them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from simulators.floor import Floor
from simulators.gate import HOST
from simulators.plc import Plc
from simulators.scenario import parse
from tests.forge import forge

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 20.0  # seconds that a test waits for what must come

TWO = """
name = "two"
[model.p9]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "P-9", software_revision = "2.4.1" }
[model.p9.point]
mode  = { table = "holding", address = 100, type = "uint16", value = 3 }
crc   = { table = "holding", address = 101, type = "bytes", count = 2, value = "deadbeef" }
limit = { table = "holding", address = 210, type = "float32", value = 12.5 }
[plc."line1/filler"]
model = "p9"
port = 0
[plc."line2/filler"]
model = "p9"
port = 0
"""
PROFILE = """
name = "p9"
match = { manufacturer = "ACME", product_code = "P-9" }
[limits]
requests_per_second = 200
timeout = "1s"
[item.mode]
table = "holding"
address = 100
type = "uint16"
values = { 3 = "RUN", 7 = "PROGRAM" }
category = "mode"
severity = "critical"
[item.crc]
table = "holding"
address = 101
type = "bytes"
count = 2
category = "program"
severity = "critical"
[item.limit]
table = "holding"
address = 210
type = "float32"
tolerance = 0.05
unit = "l"
"""


class RunningFloor:
    """A floor in a thread of its own."""

    def __init__(self, floor: Floor, loop: asyncio.AbstractEventLoop) -> None:
        self._floor = floor
        self._loop = loop

    @property
    def plcs(self) -> Mapping[str, Plc]:
        return self._floor.plcs

    def apply(self, plc: str, **event: Any) -> None:
        """Make an event happen, and wait until it has."""
        asyncio.run_coroutine_threadsafe(self._floor.apply({"plc": plc, **event}), self._loop).result(PATIENCE)


@contextmanager
def running(scenario: str, host: str = HOST, enter: Callable[[], None] = lambda: None) -> Iterator[RunningFloor]:
    """The scenario's PLCs on free ports; its thread first enters a network, if that is not this one."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        enter()
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    floor = Floor(parse(scenario), ports="free", host=host)
    try:
        asyncio.run_coroutine_threadsafe(floor.__aenter__(), loop).result(PATIENCE)
        yield RunningFloor(floor, loop)
    finally:
        asyncio.run_coroutine_threadsafe(floor.close(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Process(Protocol):
    """What a test asks of a process: `subprocess.Popen`, or one that the forge started."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def asset(self, name: str) -> Any:
        """One asset of the JSON document."""
        return next(asset for asset in self.json["assets"] if asset["asset"] == name)


@dataclass(frozen=True)
class Meanwhile:
    """A command that runs while the test goes on."""

    process: Process
    aside: Path

    def ended(self) -> Done:
        """Wait for its end."""
        code = self.process.wait(60)
        done = Done(code, *((self.aside / name).read_text(encoding="utf-8") for name in ("out", "err")))
        shutil.rmtree(self.aside)
        return done


class PlantFolder:
    """A plant.toml in a folder, and the commands on it."""

    def __init__(
        self,
        folder: Path,
        addresses: Mapping[str, str],
        more: str = "",
        every: str = "300ms",
        profile: str = PROFILE,
        web: str = "enabled = false",
    ) -> None:
        self.folder = folder
        self.file = folder / "plant.toml"
        self.more: Mapping[str, str] = {}  # of the environment
        (folder / "p9.toml").write_text(profile)
        assets = "".join(
            f'[asset."{name}"]\naddress = "{address}"\nprofile = "p9.toml"\nevery = "{every}"\n'
            for name, address in addresses.items()
        )
        self.file.write_text(
            f'[plant]\nname = "Test"\n[store]\nurl = "sqlite:///asbuilt.db"\n[web]\n{web}\n{assets}{more}'
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "monitor.cli", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ASBUILT_PLANT": str(self.file), "PYTHONPATH": str(ROOT), **self.more}

    def asbuilt(self, *words: str) -> Done:
        """Run a command to its end."""
        done = forge().run(words, self.environment, self.folder, 60)
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def meanwhile(self, *words: str) -> Meanwhile:
        """Start a command that ends by itself."""
        aside = Path(tempfile.mkdtemp())
        process = forge().start(words, self.environment, self.folder, aside / "out", aside / "err")
        return Meanwhile(process, aside)

    def start(self, *words: str) -> Process:
        """Start a command; its log goes to run.log."""
        if type(self).command is not PlantFolder.command:  # in surroundings of its own
            return self.start_apart(*words)
        (self.folder / "run.log").touch()
        return forge().start(words, self.environment, self.folder, self.folder / "run.log")

    def start_apart(self, *words: str) -> subprocess.Popen[str]:
        """The same as a program of its own: with a library preloaded, or in namespaces."""
        with (self.folder / "run.log").open("a") as log:
            return subprocess.Popen(
                self.command(*words), env=self.environment, cwd=self.folder, stdout=log, stderr=log, text=True
            )

    def log(self) -> list[dict[str, Any]]:
        """What the daemon has logged so far."""
        return [json.loads(line) for line in (self.folder / "run.log").read_text().splitlines()]

    @contextmanager
    def daemon(self) -> Iterator[Process]:
        """`asbuilt run`, ready; ended at the end if it still runs."""
        before = len(self.log()) if (self.folder / "run.log").exists() else 0
        process = self.start("run")
        try:
            wait_for(lambda: any(line["event"] == "run.started" for line in self.log()[before:]), "the daemon to start")
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def commissioned(self) -> None:
        """Capture and approve what is there now."""
        for words in (("propose",), ("approve", "*", "--reason", "test")):
            done = self.asbuilt("baseline", *words)
            assert done.code == 0, done.out + done.err


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds; AssertionError says what never came."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s in vain for {what}"
        threading.Event().wait(0.02)
