"""Starts a program as a unit file would where systemd does not run: with its system calls and its memory rules.

    python -m tests.hardened UNIT PROGRAM ARGUMENT…

SystemCallFilter= and SystemCallErrorNumber= become a seccomp filter, with the sets as `systemd-analyze syscall-filter`
lists them; RestrictAddressFamilies= one more; MemoryDenyWriteExecute= is PR_SET_MDWE, as newer systemd has it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
ALLOW, EPERM, EAFNOSUPPORT = 0x7FFF0000, 0x50000 | 1, 0x50000 | 97
NUMBER, FIRST_ARGUMENT = 0, 16
NO_NEW_PRIVS, SET_SECCOMP, SET_MDWE = 38, 22, 65  # linux/prctl.h
MDWE_REFUSE_EXEC_GAIN = 1


def sets() -> dict[str, list[str]]:
    """The members of each set of system calls: sets begin lines, members are indented."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = {}
    members: list[str] = []
    for line in listed.splitlines():
        if line.startswith("@"):
            members = found.setdefault(line.strip(), [])
        elif line.startswith(" ") and not line.strip().startswith("#"):
            members.append(line.strip())
    return found


def allowed(filters: list[str]) -> set[str]:
    """The names that the lines of a unit leave: an allow-list, from which ~ takes away, and to which others add."""
    known = sets()

    def expand(name: str) -> set[str]:
        return set().union(*map(expand, known[name])) if name.startswith("@") else {name}

    names = expand("@default")
    for line in filters:
        words = set().union(*(expand(word) for word in line.lstrip("~").split()))
        names = names - words if line.startswith("~") else names | words
    return names


def program(names: set[str], families: set[int]) -> bytes:
    """The filter: what is not named is refused with EPERM, a socket of another family with EAFNOSUPPORT."""
    header = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h").read_text("ascii")
    numbers = {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", header)}
    code = [(LOAD, 0, 0, NUMBER)]
    for name in sorted(names & numbers.keys() - {"socket"}):
        code += [(EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW)]
    code += [(EQUAL, 1, 0, numbers["socket"]), (RETURN, 0, 0, EPERM), (LOAD, 0, 0, FIRST_ARGUMENT)]
    for family in sorted(families):
        code += [(EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW)]
    code.append((RETURN, 0, 0, EAFNOSUPPORT))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def harden(unit: Path) -> None:
    """Put this process, and what it becomes, under the rules of a unit."""
    lines = [line.partition("=") for line in unit.read_text("utf-8").splitlines()]
    names = allowed([value for key, _, value in lines if key == "SystemCallFilter"])
    (families,) = [value.split() for key, _, value in lines if key == "RestrictAddressFamilies"]
    code = program(names, {int(getattr(socket, family)) for family in families})
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(*arguments: object) -> None:
        padded = [each if isinstance(each, ctypes.Array) else ctypes.c_ulong(int(str(each))) for each in arguments]
        padded += [ctypes.c_ulong(0)] * (4 - len(arguments) + 1)
        if libc.prctl(*padded) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")

    prctl(NO_NEW_PRIVS, 1)
    if ("MemoryDenyWriteExecute", "=", "yes") in lines:
        prctl(SET_MDWE, MDWE_REFUSE_EXEC_GAIN)
    held = ctypes.create_string_buffer(code, len(code))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held)), 16)
    prctl(SET_SECCOMP, 2, filter_)


if __name__ == "__main__":
    harden(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
