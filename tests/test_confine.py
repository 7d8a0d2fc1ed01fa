"""A sensor that gave up its rights: what fails in it, what still works, and what its filter says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("what a process can give up is of Linux", allow_module_level=True)

from collectors.passive import confine
from tests.test_ring import LIBPCAP, PLAIN, ROOT, TAGGED, child
from tests.wires import Wire

DENIED = {  # the names are what is printed of each that was *not* denied
    "send": "capture._socket.send(frame)",
    "sendto": "capture._socket.sendto(frame, (interface, 3))",
    "sendmsg": "capture._socket.sendmsg([frame])",
    "write": "os.write(fd, frame)",
    "writev": "os.writev(fd, [frame])",
    "pwrite": "os.pwrite(fd, frame, 0)",
    "write to the mapping's duplicate": "os.write(max(capture.descriptors), frame)",
    "write to standard input": "os.write(0, b'x')",
    "sendfile": "os.sendfile(fd, readable, 0, 60)",
    "splice": "os.splice(readable, fd, 60)",
    "dup": "os.dup(fd)",
    "dup2": "os.dup2(fd, 1)",
    "fcntl": "fcntl.fcntl(fd, fcntl.F_DUPFD, 0)",
    "setsockopt": "capture._socket.setsockopt(263, 23, 0)",
    "bind": "capture._socket.bind((interface, 3))",
    "connect": "capture._socket.connect((interface, 3))",
    "listen": "capture._socket.listen()",
    "accept": "capture._socket.accept()",
    "socket": "socket.socket()",
    "packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)",
    "socketpair": "socket.socketpair()",
    "execve": "os.execv('/bin/true', ['true'])",
    "fork": "os.fork()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "thread": "threading.Thread(target=print).start()",
    "open for writing": "os.open('/dev/null', os.O_WRONLY)",
    "open for both": "os.open('/dev/null', os.O_RDWR)",
    "open to create": "os.open('/tmp/asbuilt-confined', os.O_CREAT)",
    "open to truncate": "os.open('/dev/null', os.O_TRUNC)",
    "memfd": "os.memfd_create('x')",
    "mkdir": "os.mkdir('/tmp/asbuilt-confined')",
    "unlink": "os.unlink('/tmp/asbuilt-confined')",
    "rename": "os.rename('/tmp/asbuilt-confined', '/tmp/asbuilt-confined-2')",
    "chmod": "os.chmod('/tmp', 0o777)",
    "symlink": "os.symlink('/', '/tmp/asbuilt-confined')",
    "utime": "os.utime('/tmp')",
    "kill": "os.kill(os.getppid(), 0)",
    "kill all": "os.kill(-1, 0)",
    "setuid": "os.setuid(0)",
    "ioctl": "fcntl.ioctl(fd, 0x8914, bytes(40))",  # SIOCSIFFLAGS
    "ioctl that types": "fcntl.ioctl(0, 0x5412, b'x')",  # TIOCSTI
}
NUMBERS = """
    ptrace mount bpf io_uring_setup unshare setns sendmmsg vmsplice tee execveat pidfd_open pidfd_getfd
    process_vm_writev perf_event_open init_module prctl setrlimit
"""

SCRIPT = """
import ctypes, fcntl, json, os, socket, sys, threading, time
from pathlib import Path
from collectors.passive.{module} import {name} as Capture
from collectors.passive.confine import confine

interface, frame, denied, numbers = json.loads({arguments!r})
frame = bytes.fromhex(frame)
capture = Capture(interface, ring_bytes=4 << 20)
fd = min(capture.descriptors)
readable = os.open("/etc/passwd", os.O_RDONLY)
unkept = os.open("/etc/passwd", os.O_RDONLY)
code = {{name: compile(text, name, "eval") for name, text in denied.items()}}
syscall = ctypes.CDLL(None, use_errno=True).syscall
report = confine({{*capture.descriptors, readable}})
threads = [path.read_text().splitlines() for path in Path("/proc/self/task").glob("*/status")]
threads = [dict(line.split(":\\t", 1) for line in lines if ":\\t" in line) for lines in threads]
# now, as an attempt to fork ends NumPy's own threads

allowed = []
for name in denied:
    try:
        eval(code[name])
    except (PermissionError, RuntimeError):  # a thread: "can't start new thread"
        continue
    except OSError as failure:
        allowed.append(f"{{name}}: {{failure}}")
    else:
        allowed.append(name)
for name, number in numbers.items():
    if syscall(number, fd, frame, 60, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
        allowed.append(name)
try:
    os.fstat(unkept)
    allowed.append("a descriptor that was not to be kept")
except OSError:
    pass
time.sleep(0.001)
os.urandom(8), os.listdir("/"), sys.stdout.isatty(), os.getpid(), time.localtime(), fcntl.fcntl(0, fcntl.F_GETFL)
open('/etc/passwd').read()
print(json.dumps([report, allowed, threads]), flush=True)
frames = []
for batch in capture.batches():
    for at, captured in zip(*(() , ()) if batch is None else (batch.offset, batch.captured)):
        frames.append(batch.data[at : at + captured].tobytes().hex())
    if len(frames) >= 2:
        break
print(json.dumps([frames, capture.statistics()]), flush=True)
os.abort()
"""


def syscalls() -> dict[str, int]:
    """The numbers of this machine, or none where its headers are not installed."""
    for path in Path("/usr/include").glob(f"{os.uname().machine}-linux-gnu/asm/unistd_64.h"):
        return {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", path.read_text())}
    return {}


def confined(wire: Wire, capture: str, *before: str) -> subprocess.Popen[str]:
    module, name = capture.split(".")
    known = syscalls()
    numbers = {name: known[name] for name in NUMBERS.split() if name in known}
    if os.uname().machine == "x86_64":
        numbers["write, as x32 numbers it"] = 0x40000001
    script = SCRIPT.format(
        module=module, name=name, arguments=json.dumps([wire.sensor, PLAIN.hex(), _for(capture), numbers])
    )
    command = ["ip", "netns", "exec", wire.namespace, *before, sys.executable, "-c", script]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1" if before else "2"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """It waits for frames without end: a test that fails must not wait with it."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


def _for(capture: str) -> dict[str, str]:
    """Only the ring's socket is an object of Python."""
    return {name: code for name, code in DENIED.items() if capture == "ring.Ring" or "capture._socket" not in code}


AMBIENT = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw"


@pytest.mark.parametrize(
    ("capture", "before"),
    [("ring.Ring", ""), pytest.param("libpcap.Pcap", "", marks=LIBPCAP), ("ring.Ring", AMBIENT)],
    ids=["ring, as root", "libpcap, as root", "ring, with the one capability"],
)
def test_in_a_confined_process_everything_fails_but_listening_and_telling(
    wire: Wire, capture: str, before: str
) -> None:
    if before and shutil.which("setpriv") is None:
        pytest.skip("takes setpriv (the package util-linux)")
    with confined(wire, capture, *before.split()) as process, ended(process):
        assert process.stdout is not None
        report, allowed, threads = json.loads(process.stdout.readline())
        assert (report, allowed) == ([], [])
        for status in threads:
            assert {status[each].strip() for each in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
            assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
            assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
            assert status["Groups"].strip() == ""
        assert before or len(threads) > 1 or os.cpu_count() == 1, "NumPy's own threads are confined too"
        wire.send(PLAIN, TAGGED)
        frames, statistics = json.loads(process.stdout.readline())
        assert frames == [PLAIN.hex(), TAGGED.hex()]
        assert statistics[:2] == [2, 0]
    assert process.returncode == -signal.SIGABRT, "it may still end itself"
    assert wire.transmitted() == 0


def test_what_could_not_be_given_up_is_said(wire: Wire) -> None:
    script = """
from collectors.passive import confine
confine.ARCHITECTURES = {}
print(confine.confine(user="nobody of this name", die_with_parent=False))
"""
    said = child(wire, script).stdout
    assert "it stays root, and does not become nobody of this name" in said
    assert "it may make every system call" in said


def test_it_dies_with_its_parent() -> None:
    script = "import time; from collectors.passive import confine as c; c.confine(); print('here', flush=True)"
    script += "; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()
        assert process.stdout.read() == "", "the end of the file: nobody holds the other end any more"


def test_a_capture_at_a_standard_descriptor_is_refused() -> None:
    with pytest.raises(ValueError, match="standard descriptor"):
        confine.confine({1})


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would make of a system call: classic BPF, as far as the filter uses it."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    instructions = [*struct.iter_unpack("HBBI", program)]
    at = accumulator = 0
    while True:
        code, true, false, operand = instructions[at]
        at += 1
        match code:
            case confine.LOAD:
                accumulator = struct.unpack_from("<I", data, operand)[0]
            case confine.EQUAL:
                at += true if accumulator == operand else false
            case confine.ANY_BIT:
                at += true if accumulator & operand else false
            case confine.RETURN:
                return int(operand)


X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, EPERM, ENOSYS, KILL = confine.ALLOW, confine.EPERM, confine.ENOSYS, confine.KILL_PROCESS


@pytest.mark.parametrize(
    ("what", "x86", "arm", "arguments", "expected"),
    [
        ("read", 0, 63, (3,), ALLOW),
        ("write", 1, 64, (1,), ALLOW),
        ("write", 1, 64, (2,), ALLOW),
        ("write", 1, 64, (0,), EPERM),
        ("write", 1, 64, (3,), EPERM),
        ("write", 1, 64, (1 << 32 | 3,), EPERM),
        ("writev", 20, 66, (4,), EPERM),
        ("openat", 257, 56, (-100 & 0xFFFFFFFF, 0, os.O_CLOEXEC), ALLOW),
        ("openat", 257, 56, (0, 0, os.O_WRONLY), EPERM),
        ("openat", 257, 56, (0, 0, os.O_RDWR | os.O_CLOEXEC), EPERM),
        ("openat", 257, 56, (0, 0, os.O_TRUNC), EPERM),
        ("tgkill", 234, 131, (77, 78, 6), ALLOW),
        ("tgkill", 234, 131, (1, 1, 6), EPERM),
        ("fcntl", 72, 25, (3, 4), ALLOW),
        ("fcntl F_DUPFD_CLOEXEC", 72, 25, (3, 1030), EPERM),
        ("sendto", 44, 206, (3,), EPERM),
        ("socket", 41, 198, (17,), EPERM),
        ("clone", 56, 220, (0,), EPERM),
        ("clone3", 435, 435, (0,), ENOSYS),
        ("execve", 59, 221, (), EPERM),
        ("x32 write", 0x40000001, 0x40000001, (1,), EPERM),
        ("what does not exist yet", 999, 999, (), EPERM),
    ],
)
def test_the_filter_of_both_architectures(
    what: str, x86: int, arm: int, arguments: tuple[int, ...], expected: int
) -> None:
    for architecture, column, number, other in ((X86, 1, x86, ARM), (ARM, 2, arm, X86)):
        program = confine.assemble(architecture, column, process=77)
        assert verdict(program, architecture, number, *arguments) == expected, what
        assert verdict(program, other, number, *arguments) == KILL


@pytest.mark.parametrize(("column", "header"), [(1, "x86_64-linux-gnu/asm/unistd_64.h"), (2, "asm-generic/unistd.h")])
def test_the_numbers_are_those_of_the_headers(column: int, header: str) -> None:
    path = Path("/usr/include") / header
    if not path.exists():
        pytest.skip(f"takes {path} (the package linux-libc-dev)")
    there = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text("utf-8")))
    there.setdefault("newfstatat", there.get("fstatat", ""))  # the same, by another macro
    words = confine.SYSTEM_CALLS.split()
    lines = [words[at : at + 3] for at in range(0, len(words), 3)]
    lines += [line.split() for line in (*confine.ONE_OF, *confine.FLAGS, confine.OF_ITSELF, confine.ABSENT)]
    ours = {line[0]: line[column] for line in lines if line[column] != "-"}
    assert ours == {name: there.get(name) for name in ours}
