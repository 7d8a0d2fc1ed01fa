"""`python -m simulators`: what it prints, what it is told, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LINE = """
name = "line"
[model.filler]
protocol = "modbus"
[model.filler.point]
fill_limit = { table = "holding", address = 210, type = "uint16", value = 12 }
[plc."line1/filler"]
model = "filler"
port = 0
zone = "line1"
criticality = "high"
[[event]]
at = 0.2
plc = "line1/filler"
about = "the limit moves"
set = { fill_limit = 14 }
"""
READ = bytes.fromhex("0001 0000 0006 01 03 00d2 0001")


class Process:
    """A floor in a process, talked to as a script would."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulators", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        heard: dict[str, Any] = json.loads(self.process.stdout.readline())
        return heard

    def tell(self, order: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=5)
        return self.process.returncode, out, err


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    file = tmp_path / "line.toml"
    file.write_text(LINE)
    return str(file)


@pytest.fixture(scope="module")
def bottling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, dict[str, Any], Path]]:
    plant = tmp_path_factory.mktemp("plant") / "plant.toml"
    floor = Process("bottling", "--free-ports", "--hold", "--speed", "1000", "--plant", str(plant))
    ready = floor.hear()
    yield floor, ready, plant
    floor.end()


def read_limit(address: str) -> int:
    host, port = address.removeprefix("modbus://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port)), 2) as line:
        line.sendall(READ)
        return int.from_bytes(line.recv(64)[-2:], "big")


def test_events_are_told_as_they_happen(scenario: str) -> None:
    floor = Process(scenario)
    ready = floor.hear()
    plc = ready["plcs"]["line1/filler"]
    assert ready["scenario"] == "line"
    assert (plc["protocol"], plc["model"], plc["pid"]) == ("modbus", "filler", floor.process.pid)
    happened = floor.hear()
    assert (happened["plc"], happened["about"], happened["set"]) == (
        "line1/filler",
        "the limit moves",
        {"fill_limit": 14},
    )
    assert happened["at"] >= 0.2
    assert read_limit(plc["address"]) == 14
    assert floor.end() == (0, "", "")


def test_orders_are_obeyed_at_once_and_wrong_ones_said(scenario: str) -> None:
    floor = Process(scenario, "--hold")
    address = floor.hear()["plcs"]["line1/filler"]["address"]
    floor.tell({"plc": "line1/filler", "set": {"fill_limit": 13}, "about": "by hand"})
    assert floor.hear()["about"] == "by hand"
    assert read_limit(address) == 13
    floor.tell({"plc": "line1/filler", "set": {"limit": 13}})
    assert "no point is called 'limit'" in floor.hear()["error"]
    floor.tell([1])
    assert "order" in floor.hear()["error"]
    floor.tell({"go": True})
    assert floor.hear()["about"] == "the limit moves"
    assert floor.end() == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of its own is of Unix")
def test_a_terminal_takes_orders_and_enter(scenario: str) -> None:
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "simulators", scenario, "--hold", "--json"]
    with subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as floor:
        assert floor.stdout is not None
        floor.stdout.readline()
        os.write(ours, b'{"plc": "line1/filler", "set": {"fill_limit": 13}, "about": "by hand"}\n')
        assert json.loads(floor.stdout.readline())["about"] == "by hand"
        os.write(ours, b"\n")
        assert json.loads(floor.stdout.readline())["about"] == "the limit moves"
        floor.terminate()
        assert (floor.wait(timeout=5), floor.communicate()[1]) == (0, "")
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_two_seconds(scenario: str, ending: signal.Signals) -> None:
    floor = Process(scenario, "--hold")
    floor.hear()
    floor.process.send_signal(ending)
    begun = time.monotonic()
    assert floor.process.wait(timeout=2) == 0
    assert time.monotonic() - begun < 2
    assert floor.end()[2] == ""


def test_it_does_not_outlive_a_parent_that_is_killed(scenario: str) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys\n"
            "command = [sys.executable, '-m', 'simulators', sys.argv[1], '--hold']\n"
            "subprocess.Popen(command, stdin=subprocess.PIPE).wait()",
            scenario,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert "line1/filler" in parent.stdout.readline()
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""  # comes to its end when the floor, the last to hold it, is gone


def test_a_taken_port_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        file = tmp_path / "line.toml"
        file.write_text(LINE.replace("port = 0", f"port = {port}"))
        code, out, err = Process(str(file)).end()
    assert (code, out) == (2, "")
    assert err.startswith(f"port {port} is taken: ")
    assert err.count("\n") == 1


def test_a_wrong_scenario_is_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE.replace("criticality", "critical"))
    code, out, err = Process(str(file)).end()
    assert (code, out) == (2, "")
    assert 'plc."line1/filler": Object contains unknown field `critical`' in err


def test_people_get_a_table_and_sentences(scenario: str) -> None:
    floor = Process(scenario, "--table")
    assert floor.process.stdout is not None
    lines = [floor.process.stdout.readline() for _ in range(3)]
    assert lines[0].split() == ["PLC", "model", "address"]
    assert lines[1].split()[:2] == ["line1/filler", "filler"]
    assert lines[1].index("filler  modbus") == lines[0].index("model")
    assert lines[2].endswith("line1/filler: the limit moves\n")
    assert floor.end()[0] == 0


def test_a_plant_file_is_never_overwritten(scenario: str, tmp_path: Path) -> None:
    plant = tmp_path / "plant.toml"
    plant.write_text("mine")
    code, _, err = Process(scenario, "--plant", str(plant)).end()
    assert (code, plant.read_text()) == (2, "mine")
    assert err == f"{plant} exists: delete it, or name another file\n"


def test_the_bundled_floor_comes_up_and_writes_its_plant(
    bottling: tuple[Process, dict[str, Any], Path],
) -> None:
    _, ready, plant = bottling
    written = tomllib.loads(plant.read_text())
    assert len(ready["plcs"]) == 12
    assert {name: asset["address"] for name, asset in written["asset"].items()} == {
        name: plc["address"] for name, plc in ready["plcs"].items()
    }
    assert written["asset"]["line3/capper"] | {"address": ""} == {
        "address": "",
        "profile": "acme-c4",
        "every": "2s",
        "zone": "line3",
        "role": "PLC",
        "machine_type": "capper",
        "location": "hall 2, cabinet 32",
        "criticality": "high",
        "purdue_level": 1,
    }


def test_the_bundled_events_all_happen(bottling: tuple[Process, dict[str, Any], Path]) -> None:
    floor, *_ = bottling
    floor.tell({"go": True})
    told = [floor.hear() for _ in range(13)]
    assert all("error" not in event for event in told)
    assert told[0]["set"] == {"fill_limit": 14.0}
    assert {event["plc"] for event in told} >= {"line1/labeller", "line2/capper", "line4/filler"}
