"""The machines that the archive installs on, and what each of them takes of the lock file. Pure.

pip cannot be asked this: it picks wheels for another platform, but evaluates markers such as `sys_platform == 'win32'`
by the machine that it runs on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13")
GLIBC = ("2_34", "2_28", "2_27", "2_17")  # Debian 12 has 2.36
BUILD = "asbuilt (pyproject.toml:build)"  # what only the making of wheels takes is not shipped


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of machine with a Python."""

    platform: str  # linux-x86_64, linux-aarch64 or windows-x86_64
    python: str

    @property
    def tags(self) -> list[str]:
        """The platform tags of wheels that run there, as pip takes them."""
        if self.platform == "windows-x86_64":
            return ["win_amd64"]
        machine = self.platform.removeprefix("linux-")
        return [f"manylinux_{glibc}_{machine}" for glibc in GLIBC] + [f"manylinux2014_{machine}"]

    @property
    def environment(self) -> dict[str, str]:
        """What markers ask about."""
        windows = self.platform == "windows-x86_64"
        return {
            "os_name": "nt" if windows else "posix",
            "sys_platform": "win32" if windows else "linux",
            "platform_system": "Windows" if windows else "Linux",
            "platform_machine": "AMD64" if windows else self.platform.removeprefix("linux-"),
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_release": "",
            "platform_version": "",
        }

    def wants(self, requirement: Requirement, extras: Iterable[str] = ()) -> bool:
        """Whether the marker of a requirement holds there, for a package taken with these extras."""
        marker = requirement.marker
        return marker is None or any(marker.evaluate({**self.environment, "extra": extra}) for extra in ("", *extras))


PLATFORMS = ("linux-x86_64", "linux-aarch64", "windows-x86_64")
TARGETS = [Target(platform, python) for platform in PLATFORMS for python in PYTHONS]


@dataclass(frozen=True, slots=True)
class Pin:
    """A package of the lock file: `numpy==2.4.6 ; python_full_version < '3.12'`, its hashes, and who asks for it."""

    requirement: Requirement
    hashes: tuple[str, ...]  # sha256, hex
    via: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")


def pins(lock: str) -> list[Pin]:
    """What a lock file of uv holds."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return [_pin(block) for block in blocks if "==" in block]


def _pin(block: str) -> Pin:
    requirement, _, rest = block.partition(" \\\n")
    comments = "\n".join(re.findall(r"^ +#(.*)$", rest, flags=re.MULTILINE)).replace(" via", "", 1)
    return Pin(
        Requirement(requirement),
        tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)),
        tuple(line.strip() for line in comments.splitlines() if line.strip()),
    )


def needed_to_run(locked: Iterable[Pin]) -> list[Pin]:
    """The pins without those that only the making of wheels asks for."""
    kept = list(locked)
    dropped = {BUILD}
    while spare := [pin for pin in kept if set(pin.via) <= dropped]:
        dropped |= {pin.name for pin in spare}
        kept = [pin for pin in kept if pin not in spare]
    return kept


def missing(root: Requirement, wheels: Mapping[str, Metadata], target: Target) -> list[str]:
    """What `root` takes there, by the metadata of the wheels (by name), that is not among them; empty if complete."""
    seen, waiting, absent = set(), [root], []
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        found = wheels.get(name)
        if found is None or not _fits(found, wanted, target):
            absent.append(f"{wanted} ({target.platform}, Python {target.python})")
            continue
        waiting += [one for one in found.requires_dist or [] if target.wants(one, wanted.extras)]
    return absent


def _fits(found: Metadata, wanted: Requirement, target: Target) -> bool:
    python = found.requires_python
    fits = python is None or python.contains(f"{target.python}.0")
    return fits and wanted.specifier.contains(found.version, prereleases=True)
