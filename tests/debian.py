"""A bare Debian to install on: made by debootstrap, booted by systemd-nspawn, with no network but its own loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "unshare")
NOT_FILES = ("proc", "sys", "dev", "run", "tmp")  # what a kernel or a boot puts there
BOOT_WRITES = ("var/log", "var/lib/systemd", "etc/machine-id", "etc/.updated", "var/.updated", "root")
BOOT_SECONDS = 60
RUNS = ("running", "degraded")


def lacking() -> str:
    """Why this machine cannot do it; empty if it can."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return "takes root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"takes {', '.join(absent)} (apt-get install debootstrap systemd-container)" if absent else ""


def bootstrap(suite: str, folder: Path) -> Path:
    """Debian's smallest, with an init and Python; made in the folder where it is not there yet."""
    root, part = folder / suite, folder / f"{suite}.part"
    if not root.exists():
        shutil.rmtree(part, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        packages = "--include=python3,systemd-sysv"
        subprocess.run(["debootstrap", "--variant=minbase", packages, suite, part], check=True, capture_output=True)
        part.rename(root)
    return root


class Debian:
    """A root to run commands in: by chroot without a network, or while `booted`, beside its systemd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._leader = 0

    def run(
        self, *command: str, code: int | None = 0, env: dict[str, str] | None = None, input: str | None = None
    ) -> str:
        """What a command says, both streams; it has to end with `code` unless that is None."""
        done = subprocess.run(
            [*self._inside(), "env", *(f"{name}={value}" for name, value in (env or {}).items()), *command],
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        self.code = done.returncode
        return done.stdout

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """A command that goes on, its standard input and output as pipes."""
        return subprocess.Popen(
            [*self._inside(), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _inside(self) -> list[str]:
        if self._leader:
            return ["nsenter", f"--target={self._leader}", "--all", "--"]
        enter = 'mount -t proc proc "$0/proc" && mount -t tmpfs none "$0/run" && chroot "$0" "$@"; exit $?'
        return ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", enter, str(self.root)]

    @contextmanager
    def booted(self) -> Iterator[None]:
        """With its systemd running, in a network of its own."""
        nspawn = subprocess.Popen(
            [
                "systemd-nspawn",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--private-network",
                "--boot",
                "-D",
                self.root,
            ],
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
            deadline = time.monotonic() + BOOT_SECONDS
            state = ""
            while state not in RUNS:
                assert nspawn.poll() is None, "systemd-nspawn ended"
                assert time.monotonic() < deadline, f"the container does not come up: {state}"
                self._leader = int((children.read_text().split() or ["0"])[0])
                state = self.run("systemctl", "is-system-running", "--wait", code=None).strip() if self._leader else ""
            yield
        finally:
            self._leader = 0
            nspawn.terminate()
            nspawn.wait()

    def files(self, *, but: tuple[str, ...] = NOT_FILES) -> dict[str, str]:
        """Everything that is there: path to kind, mode, owner, and target or digest."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            inside = Path(folder).relative_to(self.root)
            folders[:] = [name for name in folders if str(inside / name) not in but]
            for name in [*folders, *names]:
                if str(inside / name) not in but:
                    found[str(inside / name)] = _what(Path(folder, name))
        return found


def _what(path: Path) -> str:
    status = path.lstat()
    what = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if path.is_symlink():
        return f"{what} -> {os.readlink(path)}"
    return f"{what} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else what
