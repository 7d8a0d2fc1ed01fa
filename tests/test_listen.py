"""asbuilt listen, as a process at a veth pair: what it tells, how it ends, and that it sends nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.floors import ROOT, Done, wait_for
from tests.spoken import CYCLE, PLC, RESTART, ROGUE, WRITE
from tests.wires import Wire

if sys.platform != "linux":
    pytest.skip("network namespaces are of Linux", allow_module_level=True)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PYTHON = [sys.executable, "-m", "monitor.cli", "listen"]


class Listening:
    """`asbuilt listen`, listening; what it writes goes to files, so that it waits for nobody."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    @property
    def sensor(self) -> int:
        """The process of its sensor, once there is one."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def confined(self) -> bool:
        """Whether the sensor has its ring and has given up its rights: what is sent from now on is heard."""
        return bool(self.sensor) and "Seccomp:\t2" in Path(f"/proc/{self.sensor}/status").read_text()

    def ended(self) -> Done:
        code = self.process.wait(20)
        assert "Traceback" not in self.err, self.err
        return Done(code, self.out, self.err)


@contextmanager
def listening(wire: Wire, folder: Path, *words: str) -> Iterator[Listening]:
    command = ["ip", "netns", "exec", wire.namespace, *PYTHON, wire.sensor, *words]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=out, stderr=err, start_new_session=True)
    listening = Listening(process, folder)
    try:
        wait_for(listening.confined, "the sensor to listen")
        yield listening
    finally:
        process.kill()
        process.wait()


def test_what_happens_is_told_as_it_happens_and_ctrl_c_ends_it_with_the_summary(wire: Wire, tmp_path: Path) -> None:
    before = wire.transmitted()
    with listening(wire, tmp_path) as listen:
        wire.send(*CYCLE, *ROGUE.says(PLC, WRITE))
        wait_for(lambda: "10.0.0.66 → 10.0.0.2  modbus  write  " in listen.out, "the write")
        wire.send(*ROGUE.says(PLC, RESTART))
        sensor = listen.sensor
        os.killpg(listen.process.pid, signal.SIGINT)  # as a terminal does
        done = listen.ended()
    assert (done.code, done.err) == (0, f"listening at {wire.sensor}; Ctrl-C ends it\n")
    assert "modbus  restart" in done.out, "what was heard last is told too"
    assert "3 hosts, 2 conversations, 2 events" in done.out
    assert "not seen" not in done.out
    assert not Path(f"/proc/{sensor}").exists()
    assert wire.transmitted() == before == 0


def test_for_a_while_as_one_document(wire: Wire, tmp_path: Path) -> None:
    with listening(wire, tmp_path, "--for", "0.5", "--json") as listen:
        wire.send(*CYCLE, *ROGUE.says(PLC, *[WRITE] * 3))
        done = listen.ended()
    assert done.code == 0
    assert {host["mac"] for host in done.json["hosts"]} >= {PLC.mac, ROGUE.mac}
    (event,) = done.json["events"]
    assert (event["operation"], event["client"], event["techniques"]) == ("write", ROGUE.ip, ["T0836", "T0855"])
    assert event["times"] == 3
    assert (done.json["capture"]["packets"], done.json["capture"]["truncated"]) == (len(CYCLE) + 8, False)


def test_a_silent_wire_is_an_empty_document(wire: Wire, tmp_path: Path) -> None:
    with listening(wire, tmp_path, "--for", "0", "--json") as listen:
        done = listen.ended()
    assert (done.code, done.json["hosts"], done.json["capture"]["packets"]) == (0, [], 0)


def test_a_name_on_the_wire_does_not_reach_the_terminal(wire: Wire, tmp_path: Path) -> None:
    from tests.test_replay import hostile

    with listening(wire, tmp_path) as listen:
        wire.send(*hostile()[:60])
        wait_for(lambda: "identity-read" in listen.out, "an event")
        listen.process.send_signal(signal.SIGTERM)
        done = listen.ended()
    assert done.code == 0
    assert all(letter.isprintable() or letter == "\n" for letter in done.out)


def test_lost_frames_are_said_and_exit_code_3(wire: Wire, tmp_path: Path) -> None:
    with listening(wire, tmp_path) as listen:
        os.kill(listen.sensor, signal.SIGSTOP)
        wire.send(*[CYCLE[0] + bytes(8900)] * 8500)  # more than its ring holds
        os.kill(listen.sensor, signal.SIGCONT)
        wire.send(*CYCLE)
        listen.process.send_signal(signal.SIGINT)
        done = listen.ended()
    assert done.code == 3
    assert "lost before they reached us" in done.out


def test_a_sensor_that_is_killed_is_said_with_what_was_heard(wire: Wire, tmp_path: Path) -> None:
    with listening(wire, tmp_path) as listen:
        wire.send(*ROGUE.says(PLC, WRITE))
        wait_for(lambda: "  write  " in listen.out, "the write to be told")
        os.kill(listen.sensor, signal.SIGKILL)
        done = listen.ended()
    assert done.code == 3
    assert "the sensor ended (-9)" in done.err
    assert "1 events" in done.out


def test_an_interface_that_goes_down_ends_it(wire: Wire, tmp_path: Path) -> None:
    with listening(wire, tmp_path) as listen:
        wire.send(*CYCLE)
        try:
            wire.link("set", wire.sensor, "down")
            done = listen.ended()
        finally:
            wire.link("set", wire.sensor, "up")
    assert done.code == 3
    assert f"{wire.sensor} went down" in done.err


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_no_such_interface_is_a_sentence(words: list[str]) -> None:
    done = subprocess.run([*PYTHON, "eth99", *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    if os.geteuid() == 0:
        assert "there is no interface eth99; there are lo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to give it up")
def test_no_permission_names_the_remedy() -> None:
    without = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 13, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", without, *PYTHON, "lo"]  # PR_CAPBSET_DROP, CAP_NET_RAW
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    assert "CAP_NET_RAW" in done.stderr
    assert "setcap cap_net_raw" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_time_is_a_sentence() -> None:
    done = subprocess.run([*PYTHON, "lo", "--for", "-1"], env=ENVIRONMENT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
