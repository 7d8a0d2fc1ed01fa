"""Commands run by a process that has imported them already, and forks for each: as real, and much faster to start.

A test worker has one such process; it is sent a line of JSON for each command, and answers with its exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMPORTED = (  # what most commands import when they run; nothing that starts a thread
    "alembic.command",
    "collectors.modbus",
    "collectors.opcua",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "monitor.adopting",
    "monitor.backup",
    "monitor.cli",
    "monitor.commands.running",
    "monitor.conformity",
    "monitor.contract",
    "monitor.daemon",
    "monitor.entries",
    "monitor.evidence",
    "monitor.figures",
    "monitor.lives",
    "monitor.ordering",
    "monitor.persons",
    "monitor.pictures",
    "monitor.polling",
    "monitor.report.making",
    "monitor.report.writing",
    "monitor.web.app",
    "monitor.logs",
    "rich.table",
    "sqlalchemy.dialects.sqlite",
)


class Forge:
    """The process that forks. One command at a time, whoever asks.

    `inside` is what starts it, where it is not to be in our namespaces; `more` is in its environment from the start.
    """

    def __init__(self, inside: Sequence[str] = (), more: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tests.forge"],
            cwd=ROOT,
            env={**os.environ, **(more or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._alone = threading.Lock()
        atexit.register(self._process.kill)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, patience: float, exact: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit code and what it wrote. `exact`: UTF-8, its line ends as they are."""
        with self._alone, tempfile.TemporaryDirectory() as aside:
            out, err = Path(aside) / "out", Path(aside) / "err"
            asked = {"words": list(words), "environment": dict(environment), "folder": str(folder)}
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(asked | {"out": str(out), "err": str(err)}) + "\n")
            self._process.stdin.flush()
            answered, _, _ = select.select([self._process.stdout], [], [], patience)
            assert answered, f"asbuilt {' '.join(words)} did not end within {patience:g} s"
            code = int(self._process.stdout.readline())
            if exact:
                said = [file.read_bytes().decode() for file in (out, err)]
            else:
                said = [file.read_text(encoding="utf-8", errors="replace") for file in (out, err)]
            return subprocess.CompletedProcess(list(words), code, *said)

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, err: Path | None = None
    ) -> Running:
        """Start a command that goes on; what it writes goes to the end of `log`, or its errors to that of `err`."""
        status = Path(tempfile.mkdtemp()) / "status"
        asked = {"words": list(words), "environment": dict(environment), "folder": str(folder)}
        places = {"out": str(log), "err": str(err or log), "status": str(status)}
        with self._alone:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(asked | places) + "\n")
            self._process.stdin.flush()
            return Running(int(self._process.stdout.readline()), status)


class Running:
    """A process that was started, as `subprocess.Popen` has it; who waits for it notes how it ended."""

    def __init__(self, pid: int, status: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        if self.returncode is None and self._status.exists():
            self.returncode = int(self._status.read_text())
            shutil.rmtree(self._status.parent)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("asbuilt", timeout or 0)
            threading.Event().wait(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def forge() -> Forge:
    """The worker's own."""
    return Forge()


def _serve() -> None:
    from monitor.cli import command

    for name in IMPORTED:
        importlib.import_module(name)
    command()
    gc.collect()
    gc.freeze()  # so that no child copies what it never changes
    for line in sys.stdin:
        asked = json.loads(line)
        goes_on = "status" in asked
        child = os.fork()
        if not child:
            (_leave if goes_on else _become)(asked)
        _, status = os.waitpid(child, 0)
        if not goes_on:
            print(os.waitstatus_to_exitcode(status), flush=True)


def _leave(asked: Mapping[str, Any]) -> None:
    """Start a command, say its number, and leave somebody behind who notes how it ends. Never returns."""
    if os.fork():
        os._exit(0)
    child = os.fork()
    if not child:
        _become(asked)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    note = Path(asked["status"])
    aside = note.with_suffix(".new")
    aside.write_text(str(os.waitstatus_to_exitcode(status)))
    aside.rename(note)
    os._exit(0)


def _become(asked: Mapping[str, Any]) -> None:
    """The command, in a process of its own. Never returns."""
    from monitor.cli import main

    code = 70
    try:
        for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        sys.argv = ["asbuilt", *asked["words"]]
        sys.stdin = os.fdopen(0, closefd=False)
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
