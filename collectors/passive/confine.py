"""Once the capture is open, a sensor needs no right any more: it gives up all of them, for good.

It parses what strangers put on the wire. Whoever should take it over by a frame finds a process that can read its ring
and write to standard output and standard error, and nothing else: it opens no socket, sends no frame, writes no file,
starts nothing, and cannot get any of this back.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import stat
import struct
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from collectors.passive.live import occupy_standard_descriptors, open_descriptors

if sys.platform != "win32":  # here, as a user without rights may not be able to read where Python lies
    import pwd
    import resource

# linux/prctl.h
SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
CAP_AMBIENT, CAP_AMBIENT_CLEAR_ALL = 47, 4
CAPABILITY_VERSION_3, CAPABILITIES = 0x20080522, 64  # linux/capability.h; no kernel has more than 64
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_MODE_FILTER = 1, 1, 2  # linux/seccomp.h

# seccomp answers, and the fields of struct seccomp_data
ALLOW, KILL_PROCESS, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x50000 | 1, 0x50000 | 38
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
# linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_JMP | BPF_JSET, BPF_RET
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06

# platform.machine(): AUDIT_ARCH_ (linux/audit.h), the column of SYSTEM_CALLS, the number of seccomp(2)
ARCHITECTURES = {
    "x86_64": (0xC000003E, 1, 317),
    "aarch64": (0xC00000B7, 2, 277),
}
# What a confined process may ask of the kernel: the name, the number on x86-64 (asm/unistd_64.h), the one on aarch64
# (asm-generic/unistd.h; "-" where there is none). What is not here is refused, also what kernels to come will offer.
SYSTEM_CALLS = """
    read 0 63            readv 19 65            pread64 17 67          preadv 295 69          lseek 8 62
    close 3 57           close_range 436 436    fstat 5 80             newfstatat 262 79      statx 332 291
    stat 4 -             lstat 6 -              access 21 -            faccessat 269 48       faccessat2 439 439
    readlink 89 -        readlinkat 267 78      getcwd 79 17           getdents64 217 61      statfs 137 43
    fstatfs 138 44       fadvise64 221 223      recvfrom 45 207        getsockopt 55 209      getsockname 51 204
    getpeername 52 205   poll 7 -               ppoll 271 73           select 23 -            pselect6 270 72
    epoll_create1 291 20 epoll_ctl 233 21       epoll_wait 232 -       epoll_pwait 281 22     epoll_pwait2 441 441
    mmap 9 222           munmap 11 215          mremap 25 216          mprotect 10 226        madvise 28 233
    brk 12 214           mincore 27 232         futex 202 98           sched_yield 24 124     membarrier 324 283
    rseq 334 293         set_robust_list 273 99 restart_syscall 219 128
    clock_gettime 228 113  clock_getres 229 114 clock_nanosleep 230 115  nanosleep 35 101     gettimeofday 96 169
    time 201 -           times 100 153          getitimer 36 102       setitimer 38 103       alarm 37 -
    rt_sigaction 13 134  rt_sigprocmask 14 135  rt_sigreturn 15 139    rt_sigpending 127 136  rt_sigtimedwait 128 137
    rt_sigsuspend 130 133  sigaltstack 131 132  pause 34 -             getrandom 318 278      uname 63 160
    getpid 39 172        getppid 110 173        gettid 186 178         getuid 102 174         geteuid 107 175
    getgid 104 176       getegid 108 177        getrusage 98 165       getrlimit 97 163       sysinfo 99 179
    sched_getaffinity 204 123                   getcpu 309 168         capget 125 90          exit 60 93
    exit_group 231 94
"""
# The same, where an argument decides: which argument, and that it is one of these values.
OUTPUT = (0, (1, 2))  # standard output and standard error: to the capturing socket, a write is a frame
ONE_OF = {
    "write 1 64": OUTPUT,
    "writev 20 66": OUTPUT,
    "pwrite64 18 68": OUTPUT,
    "fcntl 72 25": (1, (1, 2, 3, 4)),  # F_GETFD to F_SETFL; not F_DUPFD: a duplicate can take the number 1
    # TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, SIOCGIFFLAGS; not TIOCSTI, which types
    "ioctl 16 29": (1, (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x8913)),
}
FLAGS = {"open 2 -": 1, "openat 257 56": 2}  # which argument must have none of these bits
CHANGING = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC (asm-generic/fcntl.h)
OF_ITSELF = "tgkill 234 131"  # how abort and raise(3) work: the first argument is this very process
ABSENT = "clone3 435 435"  # as if the kernel were older: then a library tries clone, and hears EPERM

Program = list[tuple[int, int, int, int]]  # code, how far to jump if true, if false, operand


def confine(keep: Collection[int] = (), *, user: str = "nobody", die_with_parent: bool = True) -> tuple[str, ...]:
    """Give up everything but the descriptors of `keep` and the three standard ones. Says what could not be given up.

    Threads that run go on, and none can be started any more: neither can a process. Import everything before, as what
    lies in a folder of root's cannot be read afterwards. A parent that is a *thread* takes us along when it ends:
    "the 'parent' in this case is considered to be the thread that created this process" (PR_SET_PDEATHSIG(2const)).
    """
    if set(keep) & {0, 1, 2}:
        raise ValueError("a capture at a standard descriptor: what is printed would be sent")
    occupy_standard_descriptors()
    if sys.platform != "linux":
        return (*_become(user), *_limits(), f"on {sys.platform}, a process cannot give up the system calls that send")
    return tuple(_confine(frozenset(keep), user, die_with_parent))


def _confine(keep: frozenset[int], user: str, die_with_parent: bool) -> Iterator[str]:
    """The order matters: each step takes away what the ones before it needed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, *arguments: int) -> str:
        """ "" or what is wrong."""
        padded = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
        return "" if libc.prctl(option, *padded) == 0 else os.strerror(ctypes.get_errno())

    for fd in open_descriptors() - keep - {0, 1, 2}:
        os.close(fd)
    # "execve(2) promises not to grant privileges to do anything that could not have been done without" it
    if wrong := prctl(SET_NO_NEW_PRIVS, 1):
        yield f"a program that it starts could gain rights: {wrong}"
        if any(prctl(CAPBSET_DROP, each) for each in range(_last_capability() + 1)):
            yield "its capability bounding set is not empty"
    else:
        for each in range(_last_capability() + 1):
            prctl(CAPBSET_DROP, each)  # takes CAP_SETPCAP; without it, the bounding set grants nothing any more
    prctl(CAP_AMBIENT, CAP_AMBIENT_CLEAR_ALL)
    yield from _become(user)
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    if libc.capset(header, bytes(24)) != 0:
        yield f"it keeps its capabilities: {os.strerror(ctypes.get_errno())}"
    yield from _limits()
    if wrong := prctl(SET_DUMPABLE, 0):
        yield f"others of its user can look into its memory: {wrong}"
    # "The parent-death signal setting is cleared … when executing a set-user-ID … and when credentials change": so late
    if die_with_parent and (wrong := prctl(SET_PDEATHSIG, signal.SIGKILL)):
        yield f"it does not end with its parent: {wrong}"
    yield from _filter_system_calls(libc)
    if rich := [name for name, capabilities in _threads() if capabilities]:
        yield f"{len(rich)} of its threads keep capabilities; OPENBLAS_NUM_THREADS=1 keeps NumPy from starting any"


def _become(user: str) -> Iterator[str]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except (KeyError, OSError) as failure:
        yield f"it stays root, and does not become {user}: {failure}"


def _limits() -> Iterator[str]:
    """No new process or thread, no core dump; no file that grows, unless the output is one."""
    if sys.platform == "win32":
        return
    wanted = {"NPROC": "start processes", "CORE": "leave a core dump"}
    if not any(stat.S_ISREG(os.fstat(fd).st_mode) for fd in (1, 2)):
        wanted["FSIZE"] = "let files grow"
    for name, what in wanted.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (0, 0))
        except (AttributeError, OSError, ValueError) as failure:
            yield f"it may {what}: {failure}"


def _last_capability() -> int:
    try:
        return int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    except (OSError, ValueError):
        return CAPABILITIES - 1


def _threads() -> Iterator[tuple[str, int]]:
    """Each with its permitted capabilities: capset(2) changes those of one thread only."""
    for status in Path("/proc/self/task").glob("*/status"):
        try:
            lines = status.read_text("ascii", "replace").splitlines()
        except OSError:  # it has ended
            continue
        yield status.parent.name, sum(int(line[7:], 16) for line in lines if line.startswith("CapPrm:"))


def _filter_system_calls(libc: ctypes.CDLL) -> Iterator[str]:
    machine = platform.machine()
    if machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        yield f"on {machine}, it may make every system call: sending is not denied to it by the kernel"
        return
    architecture, column, seccomp = ARCHITECTURES[machine]
    program = assemble(architecture, column, os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)), 16)
    every_thread = ctypes.c_ulong(SECCOMP_FILTER_FLAG_TSYNC)
    if libc.syscall(ctypes.c_long(seccomp), ctypes.c_ulong(SECCOMP_SET_MODE_FILTER), every_thread, filter_) == 0:
        return
    wrong = os.strerror(ctypes.get_errno())
    if libc.prctl(SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), filter_, ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0:
        if len(list(_threads())) > 1:
            yield f"its other threads may make every system call: {wrong}"
        return
    yield f"it may make every system call: {wrong}"


def assemble(architecture: int, column: int, process: int) -> bytes:
    """The filter as a classic BPF program. "It is very important to check the arch value … system call numbers vary
    between architectures" (Documentation/userspace-api/seccomp_filter.rst); the x32 numbers of x86-64 are in no table.
    """
    words = SYSTEM_CALLS.split()
    rules: list[tuple[str, Program]] = [
        *((" ".join(words[at : at + 3]), [(RETURN, 0, 0, ALLOW)]) for at in range(0, len(words), 3)),
        *((line, _if_one_of(which, values)) for line, (which, values) in ONE_OF.items()),
        *((line, _if_without(which, CHANGING)) for line, which in FLAGS.items()),
        (OF_ITSELF, _if_one_of(0, (process,))),
        (ABSENT, [(RETURN, 0, 0, ENOSYS)]),
    ]
    program: Program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
    ]
    for line, then in rules:
        number = line.split()[column]
        if number != "-":
            program += [(EQUAL, 0, len(then), int(number)), *then]
    program.append((RETURN, 0, 0, EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


# The low 32 bits of an argument decide: descriptors, flags and process ids have no more. Both architectures are
# little-endian.


def _if_one_of(which: int, values: tuple[int, ...]) -> Program:
    tests = [(EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [(LOAD, 0, 0, ARGUMENTS + 8 * which), *tests, (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW)]


def _if_without(which: int, bits: int) -> Program:
    load = (LOAD, 0, 0, ARGUMENTS + 8 * which)
    return [load, (ANY_BIT, 0, 1, bits), (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW)]
