"""Killed at random moments while people acknowledge and approve: few kills in `make test`, 200 in `make proof`."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import Said, addresses, route, sound
from tests.floors import TWO, PlantFolder, running, wait_for
from tests.measured import NOTES, note, times
from tests.test_daemon import events, webhook

READY = 3.0  # seconds from the start of a daemon until it says that it polls
FILLERS = [f"line{number}/filler" for number in range(1, 7)]
SIX = TWO.partition("[plc.")[0] + "".join(f'[plc."{name}"]\nmodel = "p9"\nport = 0\n' for name in FILLERS)
CRCS = ("deadbeef", "cafebabe", "0badf00d")


@contextmanager
def meanwhile(job: Callable[[], object]) -> Iterator[None]:
    """Do a thing over and over in a thread; what goes wrong in it comes out at the end."""
    over, wrong = threading.Event(), list[BaseException]()

    def go() -> None:
        try:
            while not over.is_set():
                job()
        except BaseException as error:  # raised below, in the test's own thread
            wrong.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if wrong:
        raise wrong[0]


class People:
    """Who acknowledge, propose and approve all the time; what a command said with exit code 0 was said."""

    def __init__(self, plant: PlantFolder, said: Said, chance: random.Random) -> None:
        self._plant, self._said, self._chance = plant, said, chance
        self.decisions = 0

    def decide(self) -> None:
        if self._chance.random() < 0.3:
            return self._approve(self._chance.choice(FILLERS))
        found = self._plant.asbuilt("alerts", "list", "--json").json["alerts"]
        for alert in found:
            self._said.alert(alert)
        waiting = [str(alert["id"]) for alert in found if alert["state"] in ("UNACK", "RTN_UNACK")]
        if waiting:
            self._say("alerts", "ack", self._chance.choice(waiting), "--reason", "seen")
        return None

    def _approve(self, asset: str) -> None:
        if self._plant.asbuilt("baseline", "propose", asset).code == 0:
            self._say("baseline", "approve", asset, "--reason", "as it should be")

    def _say(self, *words: str) -> None:
        done = self._plant.asbuilt(*words, "--json")
        assert done.code in (0, 2), done.err
        if done.code == 0:
            self.decisions += 1
            for alert in done.json.get("alerts", ()):
                self._said.alert(alert)
            self._said.decided(done.json.get("baselines", ()))


def test_kill_9_at_random_moments_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance, kills, said, ready = random.Random(11), times(2, 200), Said(), list[tuple[float, float]]()
    with running(SIX) as floor, webhook() as (url, posted):
        plant = PlantFolder(tmp_path, addresses(floor), route(url), every="200ms")
        plant.commissioned()
        people = People(plant, said, chance)

        def change() -> None:
            floor.apply(chance.choice(FILLERS), set={"crc": chance.choice(CRCS), "limit": chance.choice((12.5, 14.0))})
            threading.Event().wait(0.03)

        with meanwhile(change), meanwhile(people.decide):
            for _ in range(kills):
                ready.append(restarted(plant, chance.random() * 1.5))
                said.log(plant.log())
                for each in list(posted):
                    said.alert(each["alert"])
                said.assure_kept(tmp_path / "asbuilt.db")
        assert sound(plant)
    clock, processor = (sorted(times) for times in zip(*ready, strict=True))
    assert (clock if NOTES else processor)[-1] < READY  # beside other tests, the clock says how busy the machine is
    note(
        "kill -9 at random moments loses nothing that was acknowledged, and no alarm is there twice",
        kills=kills,
        decisions=people.decisions,
        alarms=len(said.alarms),
        webhooks=len(posted),
    )
    note(
        "ready again after a kill, under that load",
        seconds_at_the_median=round(clock[kills // 2], 2),
        seconds_at_most=round(clock[-1], 2),
        of_the_processor_at_most=round(processor[-1], 2),
    )


def restarted(plant: PlantFolder, then: float) -> tuple[float, float]:
    """Start the daemon, and kill it so many seconds after it is ready; how long that took, by the clock and of the
    processor."""
    before = len(plant.log()) if (plant.folder / "run.log").exists() else 0
    began = time.monotonic()
    process = plant.start_apart("run")  # with all that it has to load
    wait_for(lambda: "run.started" in events(plant)[before:], "the daemon to be ready")
    took = time.monotonic() - began, processor_seconds(process.pid)
    time.sleep(then)
    process.kill()
    process.wait()
    return took


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor (proc(5), stat: utime and stime)."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
