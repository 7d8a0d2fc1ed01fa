"""The units, as systemd's own programs judge them; and a sensor that is started by its socket."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from importlib.resources import files
from pathlib import Path
from urllib.request import urlopen

import pytest

from collectors.passive.report import Report
from monitor.ears import Deaf, Limits, hear
from monitor.reporting import MAKING
from tests.floors import ROOT, PlantFolder, RunningFloor, wait_for
from tests.test_web import address

UNITS = Path(str(files("monitor") / "units"))
MOST_EXPOSED = 2.0
LIMITS = Limits()
ANALYZE = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@ANALYZE
@pytest.mark.parametrize("name", ["asbuilt.service", "asbuilt-sensor@.service"])
def test_exposure(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED


@ANALYZE
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With a program that is there, and a user that this machine has."""
    changed = {r"/opt/asbuilt/current/bin/\w+": "/bin/true", "=asbuilt$": "=root"}
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8")
        for pattern, instead in changed.items():
            text = re.sub(pattern, instead, text, flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@", "@eth1")).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 3
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text("utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_only_the_sensor_has_a_capability_and_only_that_one() -> None:
    daemon, sensor = settings("asbuilt.service"), settings("asbuilt-sensor@.service")
    assert daemon["CapabilityBoundingSet"] == daemon["AmbientCapabilities"] == [""]
    assert sensor["CapabilityBoundingSet"] == sensor["AmbientCapabilities"] == ["CAP_NET_RAW"]
    assert "AF_PACKET" not in daemon["RestrictAddressFamilies"][0]
    assert "AF_INET" not in sensor["RestrictAddressFamilies"][0]
    assert daemon["Type"] == ["notify"]
    assert settings("asbuilt-sensor@.socket")["ListenStream"] == ["/run/asbuilt/sensor-%i.sock"]


@contextmanager
def listening(folder: Path, interface: str, *before: str) -> Iterator[None]:
    """systemd's socket of one interface: listens, and starts the sensor when somebody comes."""
    way = folder / f"sensor-{interface}.sock"
    listen = ["systemd-socket-activate", f"--listen={way}", f"--setenv=PYTHONPATH={ROOT}"]
    start = [*before, sys.executable, "-m", "monitor.activated", interface]
    process = subprocess.Popen([*listen, *start], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_for(way.is_socket, "the socket")
        yield
        wait_for(lambda: process.poll() is not None, "the sensor to end when nobody reads it")
    finally:
        process.kill()
        process.wait()


# The capability of the unit, and one by which Python is found where it lies in a folder of root's.
RIGHTS = "-all,+net_raw,+dac_read_search"
ONE_RIGHT = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
ONE_RIGHT += [f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}"]


def as_unit(name: str) -> list[str]:
    """Begin as the unit would: with its system calls alone, and no memory that can be written and executed."""
    return [sys.executable, "-m", "tests.hardened", str(UNITS / name)]


async def first(count: int, interface: str, sockets: Path, limits: Limits = LIMITS) -> list[Report | Deaf]:
    found: list[Report | Deaf] = []
    async with asyncio.timeout(20), aclosing(hear(interface, lambda _: ["/nowhere"], limits, sockets)) as reports:
        async for said in reports:
            found.append(said)
            if len(found) == count or isinstance(said, Deaf):
                break
    return found


ACTIVATE = pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not installed"
)


@LINUX
@ACTIVATE
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="takes root")
def test_a_sensor_that_its_socket_starts_hears_with_one_capability_and_ends_with_its_reader(tmp_path: Path) -> None:
    with listening(tmp_path, "lo", *ONE_RIGHT, *as_unit("asbuilt-sensor@.service")):
        said = asyncio.run(first(1, "lo", tmp_path))
    (report,) = said
    assert isinstance(report, Report)
    assert report.notes == (), "it could give up all that it had"


@LINUX
@ACTIVATE
def test_why_such_a_sensor_is_deaf_is_its_last_word(tmp_path: Path) -> None:
    with listening(tmp_path, "eth77"):
        (said,) = asyncio.run(first(1, "eth77", tmp_path))
    assert isinstance(said, Deaf)
    assert "eth77" in said.why


async def told(lines: bytes, sockets: Path, limits: Limits) -> list[Report | Deaf]:
    """What the ears make of one that says this, and then goes on saying nothing."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines)
        if lines.endswith(b"END"):
            writer.close()

    server = await asyncio.start_unix_server(speak, sockets / "sensor-eth9.sock")
    async with server:
        return await first(9, "eth9", sockets, limits)


@LINUX
@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"", "the sensor has said nothing for 0.2 s"),
        (b"word\n" * 1000, "the sensor has said nothing for 0.2 s"),
        (b"one\ntwo \x1b[2J END", "'two \\x1b[2J END'"),
        (b"{}}\n", "the sensor has said what is no report: "),
        (b"{" + b"x" * 5000, "the sensor has said what is no report: "),
    ],
)
def test_what_comes_from_a_socket_is_not_believed(tmp_path: Path, lines: bytes, why: str) -> None:
    (said,) = asyncio.run(told(lines, tmp_path, Limits(line_most=4096, silent_for=0.2)))
    assert isinstance(said, Deaf)
    assert said.why.startswith(why)


@LINUX
def test_a_socket_where_nobody_listens_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "sensor-eth9.sock"))
    (said,) = asyncio.run(first(1, "eth9", tmp_path))
    assert isinstance(said, Deaf)
    assert "Connection refused" in said.why


@LINUX
@ANALYZE
def test_the_daemon_does_all_its_work_with_the_system_calls_of_its_unit(floor: RunningFloor, tmp_path: Path) -> None:
    addresses = {name: plc.address for name, plc in floor.plcs.items()}
    plant = Hardened(tmp_path, addresses, web='listen = "127.0.0.1:0"')
    with plant.daemon() as daemon:
        plant.commissioned()
        floor.apply("line1/filler", set={"crc": "cafebabe"})
        wait_for(lambda: plant.asbuilt("alerts", "list", "--json").json["alerts"], "the alarm")
        assert plant.asbuilt("check").code == 1
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        url = address(plant)
        with urlopen(url + "/metrics", timeout=10) as answer:
            assert b"asbuilt_polls_total" in answer.read()
        daemon.terminate()
        assert daemon.wait(10) == 0
    assert not {"bug", "store.failed", "web.failed"} & {line["event"] for line in plant.log()}


BEHIND = """
import asyncio, pathlib, sys
from monitor.reporting import MAKING, run
asbuilt = [sys.executable, "-c", "import os, sys; sys.exit(str(os.getpriority(os.PRIO_PROCESS, 0)))"]
asyncio.run(run(asbuilt, 10, MAKING.niceness, pathlib.Path(sys.argv[1])))
"""


@LINUX
@ANALYZE
def test_a_report_comes_after_polls_also_with_the_system_calls_of_the_unit(tmp_path: Path) -> None:
    command = [*as_unit("asbuilt.service"), sys.executable, "-c", BEHIND, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith(f"CallError: {MAKING.niceness}")


class Hardened(PlantFolder):
    """The daemon as its unit starts it."""

    def command(self, *words: str) -> list[str]:
        own = super().command(*words)
        return [*as_unit("asbuilt.service"), *own] if words == ("run",) else own


def test_at_a_terminal_it_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.activated", "lo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "asbuilt listen" in done.stderr
