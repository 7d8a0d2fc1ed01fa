"""The demo: a bottling plant on loopback, commissioned, changed behind its back, alarmed, reported.

It runs the very commands that people run, against simulated PLCs in a process of their own. Its page is there while its
daemon runs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import typer

from monitor.errors import CallError
from simulators.scenario import load

SCENARIO = "bottling"
SPEED = 2.5  # so much faster than the scenario says
LOOK_EVERY = 0.5  # seconds between two looks for new alarms
LAST_LOOKS = 12  # after the last event, for the daemon to poll once more
PAGE_WITHIN = 30.0  # seconds
HOST, USUAL_PORT = "127.0.0.1", 8470
VISITOR, ROLES = "demo", ("viewer", "operator", "engineer", "approver", "admin")  # who is registered for the page
REPORTS = ("audit.pdf", "audit.html", "commissioning.pdf", "commissioning.html")


def run_demo(once: bool, folder: Path | None, speed: float = SPEED) -> int:
    """Run the demo; 0 when it went through to its end. Without `once` it has a page, and, where somebody sits at a
    terminal, the plant then goes on until Ctrl-C.

    Without a folder its files are gone at the end.
    """
    stays = not once and sys.stdin.isatty()
    with tempfile.TemporaryDirectory(prefix="asbuilt-demo-") as temporary:
        home = folder or Path(temporary)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CallError(f"{home} cannot be made: {error.strerror}") from None
        if (home / "plant.toml").exists():
            raise CallError(f"{home} holds a plant.toml already; give the demo an empty folder")
        try:
            with _floor(home, speed) as floor:
                _play(Stage(home), floor, not once, stays, keeps=folder is not None)
        except KeyboardInterrupt:
            typer.echo("\nended; nothing is left running")
    return 0


@contextmanager
def _floor(home: Path, speed: float) -> Iterator[subprocess.Popen[str]]:
    """The simulated PLCs; they end when their standard input does, even if we are killed."""
    command = [sys.executable, "-P", "-m", "simulators", SCENARIO, "--free-ports", "--hold", "--speed", str(speed)]
    command += ["--plant", str(home / "plant.toml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as floor:
        try:
            yield floor
        finally:
            floor.terminate()


class Stage:
    """The demo's plant: its commands are shown, then run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.plant = home / "plant.toml"
        self.log = home / "run.log"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "monitor.cli", *words, "--plant", str(self.plant)]

    def write_web(self, page: bool) -> None:
        """Say in plant.toml where the page is, or that there is none."""
        text = f'listen = "{HOST}:{_port()}"' if page else "enabled = false"
        with self.plant.open("a", encoding="utf-8") as file:
            file.write(f"\n[web]\n{text}\n")

    def show(self, *words: str, says: Sequence[int] = (0,), secret: str = "") -> str:
        """Show a command and what it prints; RuntimeError if it ends with another exit code than it should. `secret` is
        the password of somebody new."""
        typer.secho(
            "\n$ asbuilt " + " ".join(f'"{word}"' if set(word) & set(" *") else word for word in words),
            bold=True,
        )
        environment = {**os.environ, **({"ASBUILT_NEW_PASSWORD": secret} if secret else {})}
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, env=environment)
        typer.echo(done.stdout + done.stderr, nl=False)
        if done.returncode not in says:
            raise RuntimeError(f"asbuilt {' '.join(words)} ended with {done.returncode}")
        return done.stdout

    def ask(self, *words: str) -> dict[str, list[dict[str, object]]]:
        """The JSON document of a command."""
        done = subprocess.run(self.command(*words, "--json"), capture_output=True, text=True, check=True)
        document: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
        return document

    def address(self) -> str:
        """Where the page is, once it is there; "" if it will not be."""
        deadline = time.monotonic() + PAGE_WITHIN
        while time.monotonic() < deadline:
            for line in self.log.read_text("utf-8").splitlines():
                said = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
                if said.get("event") in ("web.listening", "web.failed"):
                    return str(said.get("url", ""))
            time.sleep(LOOK_EVERY)
        return ""

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """`asbuilt run`, its log in a file."""
        typer.secho(f"\n$ asbuilt run   (its log: {self.log})", bold=True)
        with self.log.open("w", encoding="utf-8") as log, subprocess.Popen(self.command("run"), stderr=log) as daemon:
            try:
                yield
            finally:
                daemon.terminate()


def _play(stage: Stage, floor: subprocess.Popen[str], page: bool, stays: bool, keeps: bool) -> None:
    say("A bottling plant: four lines, each with a filler, a capper and a labeller. Starting its twelve PLCs …")
    assert floor.stdout is not None
    first = floor.stdout.readline()
    if not first:
        raise RuntimeError("the simulated plant did not start")
    say(f"They speak Modbus TCP and OPC UA on loopback. The plant's description: {stage.plant}")
    stage.write_web(page)

    say("1. Commissioning: read everything twice, propose it, and have it approved.")
    stage.show("commission", "--stage", "fat", "--captures", "2", "--every", "1s", "--by", "Ada (commissioning)")
    stage.show("baseline", "approve", "*", "--by", "Bo (plant)", "--reason", "FAT protocol 17 signed")
    stage.show("check")

    say("2. One change is announced: the filler of line 1 will get firmware 2.5.0 within the hour.")
    announced = ("--asset", "line1/filler", "--expect", "identity.software_revision=2.5.0", "--until", "+1h")
    stage.show("change", "open", *announced, "--ticket", "CHG-1042", "--by", "Ada (commissioning)")

    say("3. The daemon watches. Now things change, most of them behind its back:")
    with stage.daemon():
        way_in = open_page(stage) if page else ""
        _watch(stage, floor)
        say("4. What the plant sees when it looks:")
        stage.show("alerts", "list")
        _acknowledge(stage)
        stage.show("check", says=(0, 1, 3))
        stage.show("assets")
        say("5. Was exactly that done which was announced? And which machine is not like its sisters?")
        stage.show("change", "close", "1", "--by", "Ada (commissioning)")
        stage.show("baseline", "approve", "line1/filler", "--by", "Bo (plant)", "--reason", "CHG-1042 done as planned")
        stage.show("conform", "filler", says=(0, 1, 3))
        stage.show("verify")
        say("6. What an auditor asks for, and what was handed over after the FAT, as documents:")
        _report(stage, keeps or stays)
        if stays:
            say(f"The plant goes on until Ctrl-C. In another terminal: asbuilt alerts list --plant {stage.plant}")
            say(way_in)
            threading.Event().wait()
    say("Done. Now your own plant: asbuilt init, then put your PLC's address into plant.toml.")


def open_page(stage: Stage) -> str:
    """Register somebody for the page, and say how they come in; "" where there is no page, and why."""
    address = stage.address()
    if not address:
        say(f"There is no page: {stage.log} says why.")
        return ""
    password = "-".join(token_hex(2) for _ in range(3))
    roles = [word for role in ROLES for word in ("--role", role)]
    stage.show("person", "add", VISITOR, *roles, "--by", VISITOR, secret=password)
    way_in = f"The page: {address}\n  sign in as {VISITOR}, password {password}"
    say(way_in)
    return way_in


def _port() -> int:
    """The port that the page usually has, if nobody else has it; or 0, which is any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        try:
            probe.bind((HOST, USUAL_PORT))
        except OSError:
            return 0
    return USUAL_PORT


def _report(stage: Stage, stay: bool) -> None:
    """Write the reports into the demo's folder, where people find them as long as it is there."""
    for name in REPORTS:
        stage.show("report", Path(name).stem, "-o", str(stage.home / name))
    if not stay:
        say("They go with the demo; asbuilt demo --once --folder demo keeps them.")


def _watch(stage: Stage, floor: subprocess.Popen[str]) -> None:
    """Let the scenario's events happen; tell each, and each alarm as it is raised."""
    told: set[object] = set()
    ended = threading.Event()
    last = load(SCENARIO).events[-1].about

    def tell_events() -> None:
        assert floor.stdout is not None
        for line in floor.stdout:
            event = json.loads(line)
            if event.get("about"):
                typer.echo(f"{event['at']:5.1f} s  {event['about']}")
            if event.get("about") == last:
                break
        ended.set()

    assert floor.stdin is not None
    floor.stdin.write('{"go": true}\n')
    floor.stdin.flush()
    threading.Thread(target=tell_events, daemon=True).start()
    looks_left = LAST_LOOKS
    while looks_left:
        time.sleep(LOOK_EVERY)
        looks_left -= ended.is_set()
        for alert in stage.ask("alerts", "list")["alerts"]:
            if alert["id"] not in told:
                told.add(alert["id"])
                typer.secho(f"         ALARM {alert['id']}, {alert['severity']}: {alert['text']}", fg="red")


def _acknowledge(stage: Stage) -> None:
    alerts = stage.ask("alerts", "list")["alerts"]
    first = next(alert for alert in alerts if alert["state"] == "UNACK")
    stage.show("alerts", "ack", str(first["id"]), "--by", "Cem (shift B)", "--reason", "called the line engineer")


def say(text: str) -> None:
    typer.secho(f"\n{text}", fg="cyan")
