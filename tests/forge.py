"""Commands run by a process that has imported them already, and forks for each: as real, and much faster to start.

A test worker has one such process; it is sent a line of JSON for each command, and answers with its exit code.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
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
    "monitor.cli",
    "monitor.evidence",
    "monitor.ordering",
    "monitor.persons",
    "monitor.polling",
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
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, patience: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its exit code and what it wrote."""
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
            said = (file.read_text(encoding="utf-8", errors="replace") for file in (out, err))
            return subprocess.CompletedProcess(list(words), code, *said)


@cache
def forge() -> Forge:
    """The worker's own."""
    return Forge()


def _serve() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: Mapping[str, Any]) -> None:
    """The command, in a process of its own. Never returns."""
    from monitor.cli import main

    code = 70
    try:
        for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
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
