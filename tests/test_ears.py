"""The ears: one sensor process a segment, whatever it does. Scripts stand for the sensor; the reports are real."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from collectors.passive.heard import Counts, Heard
from collectors.passive.report import Report, decode_report, encode_report, gathered
from monitor.ears import Deaf, Limits, hear, hear_until
from tests.floors import ROOT, wait_for
from tests.spoken import CYCLE, PLC, RESTART, ROGUE, WRITE, Listener

HEARD = encode_report(Report(heard=Heard(Counts(packets=7), (), ())))
QUICK = Limits(first_wait=0.01)
SAY = f"import os, sys, time; say = lambda: os.write(1, {HEARD!r});"


def script(text: str) -> Callable[[str], list[str]]:
    """A sensor that is a script; its interface is argv[1]."""
    return lambda interface: [sys.executable, "-S", "-c", SAY + text, interface]


async def first(count: int, reports: AsyncGenerator[Report | Deaf, None]) -> list[Report | Deaf]:
    found: list[Report | Deaf] = []
    async with asyncio.timeout(20), aclosing(reports):
        async for said in reports:
            found.append(said)
            if len(found) == count:
                break
    return found


def said(text: str, count: int = 1, limits: Limits = QUICK) -> list[Report | Deaf]:
    return asyncio.run(first(count, hear("eth9", script(text), limits)))


def alive(pid: int) -> bool:
    """Whether a process is there; one that has ended and was not waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_report_says_what_was_said() -> None:
    listener = Listener()
    told = listener.hear([*CYCLE, *ROGUE.says(PLC, WRITE, WRITE, RESTART)])
    report = Report(gathered(listener.events), told, ("a note",))
    assert decode_report(encode_report(report)) == report
    assert [(each.event.operation, each.times) for each in report.happened] == [("write", 2), ("restart", 1)]


def test_reports_come_one_by_one_and_a_new_sensor_after_each_end() -> None:
    report = decode_report(HEARD)
    assert said("say(); say()", 5) == [report, report, Deaf("the sensor ended (0)"), report, report]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sys.exit('there is no interface ' + sys.argv[1])", "there is no interface eth9"),
        ("sys.stderr.write('one\\n' * 90000 + 'last\\n'); sys.exit(3)", "last"),
        ("os.kill(os.getpid(), 9)", "the sensor ended (-9)"),
        ("os.close(1); time.sleep(60)", "the sensor ended (-15)"),
        ("sys.stderr.write('\\x1b[2Jgone'); sys.exit(1)", "'\\x1b[2Jgone'"),
        ("os.write(2, b'\\xff\\n'); sys.exit(1)", "\ufffd"),
        ("raise OSError(5, 'no')", "OSError: [Errno 5] no"),
    ],
)
def test_why_it_is_deaf_is_its_last_word(text: str, why: str) -> None:
    assert said(text, limits=Limits(kill_after=0.2)) == [Deaf(why)]


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"{}}\n",
        b"\n",
        b"\xff\xfe\n",
        b'{"happened": [{"event": {"operation": "explode"}}]}\n',
        b'{"heard": {"counts": {"packets": "many"}, "hosts": [], "conversations": []}}\n',
        b"[" * 100_000 + b"\n",
        HEARD[:-9],
    ],
)
def test_garbage_is_no_report_and_ends_that_sensor(line: bytes) -> None:
    (told,) = said(f"os.write(1, {line!r}) and time.sleep(60 * {line.endswith(bytes([10]))})")
    assert isinstance(told, Deaf)
    assert told.why.startswith("the sensor has said what is no report: ")


def test_a_report_without_end_takes_no_memory_without_end() -> None:
    (told,) = said("[os.write(1, bytes(1 << 16)) for _ in range(1 << 20)]", limits=Limits(1 << 16))
    assert isinstance(told, Deaf)
    assert "no report" in told.why


def test_a_sensor_that_says_nothing_is_taken_for_stuck() -> None:
    assert said("say(); time.sleep(60)", 2, Limits(silent_for=0.2))[1] == Deaf("the sensor has said nothing for 0.2 s")


def test_a_sensor_that_cannot_be_started_is_said() -> None:
    missing = hear("eth9", lambda interface: ["/nowhere/python", interface], QUICK)
    assert asyncio.run(first(2, missing)) == [Deaf("the sensor cannot be started: No such file or directory")] * 2


def test_it_waits_longer_each_time_also_where_a_sensor_dies_of_what_it_hears() -> None:
    async def ends(count: int) -> list[float]:
        clock, at = asyncio.get_running_loop().time, []
        async with aclosing(hear("eth9", script("say()"), Limits(first_wait=0.05))) as reports:
            async for told in reports:
                at += [clock()] if isinstance(told, Deaf) else []
                if len(at) == count:
                    break
        return at

    at = asyncio.run(ends(5))
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert all(gap >= wait for gap, wait in zip(gaps, (0.05, 0.1, 0.2, 0.4), strict=True))


def test_a_sensor_is_told_to_end_and_killed_if_it_does_not(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    stubborn = f"import signal; signal.signal(15, signal.SIG_IGN); open({str(file)!r}, 'w').write(str(os.getpid()));"
    said(stubborn + "say(); time.sleep(60)", limits=Limits(kill_after=0.2))
    assert not alive(int(file.read_text()))


def test_what_was_heard_last_is_told_when_listening_stops() -> None:
    async def heard() -> list[Report | Deaf]:
        stop, found = asyncio.Event(), []
        ending = "import signal; signal.signal(15, lambda *_: (say(), sys.exit(0))); say(); time.sleep(60)"
        async with asyncio.timeout(20), aclosing(hear_until(stop, "eth9", script(ending))) as reports:
            async for told in reports:
                found.append(told)
                stop.set()
        return found

    report = decode_report(HEARD)
    assert asyncio.run(heard()) == [report, report, Deaf("the sensor ended (0)")]


def test_ctrl_c_at_a_terminal_is_not_for_the_sensor() -> None:
    (told,) = said("os.getpgrp() == os.getpid() and say(); time.sleep(60)")
    assert isinstance(told, Report)


def test_numpy_starts_no_thread_in_the_sensor() -> None:
    """It would keep the capability to capture, which one thread alone gives up; and it would compute nothing."""
    threads = "import numpy, pathlib; len(list(pathlib.Path('/proc/self/task').iterdir())) == 1 and say()"
    (told,) = asyncio.run(first(1, hear("eth9", lambda _: [sys.executable, "-c", SAY + threads])))
    assert isinstance(told, Report) or sys.platform != "linux"


def test_the_real_sensor_says_what_is_missing() -> None:
    (told,) = asyncio.run(first(1, hear("no-such-interface")))
    assert isinstance(told, Deaf)
    if os.geteuid() == 0:
        assert told.why.startswith("there is no interface no-such-interface; there are ")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="takes root on Linux")
def test_the_real_sensor_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Killed, it can tell nobody: the kernel ends the sensor (PR_SET_PDEATHSIG)."""
    program = (
        "import asyncio, sys\nfrom monitor.ears import hear\n"
        "async def main():\n    async for _ in hear('lo'): print('heard', flush=True)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert said_by(parent) == "heard\n"
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
    assert children
    wait_for(lambda: not any(alive(int(child)) for child in children), "the sensor to end")


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
