"""Power cuts, disks that fail, and devices that lie: small in `make test`, in full in `make proof`."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulators.seen import Seen
from tests.faults import (
    SYNCS,
    WRITES,
    FaultyPlant,
    Said,
    SmallDisk,
    addresses,
    killed,
    route,
    small_disk,
    sound,
    wait_for_end_or,
)
from tests.floors import PROFILE, ROOT, TWO, PlantFolder, RunningFloor, running, wait_for
from tests.measured import NOTES, note, times
from tests.test_daemon import events, open_alerts, webhook

# Power cuts at a write, a sync or a message


def test_killed_at_every_write_sync_and_message_the_daemon_loses_nothing(floor: RunningFloor, tmp_path: Path) -> None:
    """From its start, by a change that it finds, the alarm's commit, the message, the checkpoint, to its end."""
    asset, said, kills = "line1/filler", Said(), 0
    with webhook() as (url, posted):
        plant = FaultyPlant(tmp_path, addresses(floor), route(url))
        plant.commissioned()
        for number in range(1, 1000) if NOTES else range(7, 1000, 45):
            drifts = state_of(plant, asset) == "UNACK"
            floor.apply(asset, set={"crc": "deadbeef" if drifts else "cafebabe"})
            before = len(posted)
            plant.kill_before(number)
            process = plant.start("run")
            wait_for_end_or(process, partial(lambda before: len(posted) > before, before), "the message, or the kill")
            process.terminate()
            code = process.wait(20)
            for each in list(posted):
                said.alert(each["alert"])
            said.log(plant.log())
            said.assure_kept(tmp_path / "asbuilt.db")
            if not killed(code):
                break
            kills += 1
        plant.kill_before(0)
        assert sound(plant)
    assert kills > 1
    note("kill -9 before each write, sync and message of a daemon that raises an alarm", kills=kills)


def state_of(plant: PlantFolder, asset: str) -> str:
    with closing(sqlite3.connect(plant.folder / "asbuilt.db")) as store:
        rows = "SELECT state FROM alert JOIN asset ON asset.id = asset_id WHERE asset.name = ? ORDER BY alert.id DESC"
        found = store.execute(rows, (asset,)).fetchone()
    return str(found[0]) if found else "NORMAL"


def test_killed_at_every_write_sync_and_message_an_approval_is_whole_or_not_at_all(
    floor: RunningFloor, tmp_path: Path
) -> None:
    asset, said, kills = "line1/filler", Said(), 0
    plant = FaultyPlant(tmp_path, addresses(floor))
    plant.commissioned()
    for number in range(1, 1000) if NOTES else range(3, 1000, 12):
        floor.apply(asset, set={"limit": 20.0 + number})
        assert plant.asbuilt("baseline", "propose", asset).code == 0
        assert plant.asbuilt("verify").code == 0  # whatever the kill before left unpublished
        plant.kill_before(number)
        done = plant.apart("baseline", "approve", asset, "--reason", "new recipe", "--json")
        if done.out:
            said.decided(done.json["baselines"])
        said.assure_kept(tmp_path / "asbuilt.db")
        if not killed(done.code):
            break
        kills += 1
        assert plant.asbuilt("baseline", "approve", asset, "--reason", "again").code in (0, 2)
    assert kills > 1
    note("kill -9 before each write, sync and message of an approval", kills=kills)


# Disks that fail

STORE_FAILED = "asbuilt: the store sqlite:///"
DISKS = {
    "syncs fail": (errno.EIO, SYNCS),
    "writes fail": (errno.EIO, WRITES),
    "mounted read-only by the kernel": (errno.EROFS, WRITES | SYNCS),
}


@pytest.mark.parametrize("disk", list(DISKS)[: times(1, len(DISKS))])
def test_a_disk_that_fails(
    floor: RunningFloor, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, disk: str
) -> None:
    plant = FaultyPlant(tmp_path, addresses(floor))
    survives(plant, floor, plant.failing(*DISKS[disk]), disk, tmp_path_factory.mktemp("kept"))


def test_a_disk_that_is_full(floor: RunningFloor, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with small_disk(tmp_path, addresses(floor)) as plant:
        survives(plant, floor, plant.full(), "full", tmp_path_factory.mktemp("kept"))


def survives(
    plant: FaultyPlant | SmallDisk, floor: RunningFloor, fault: AbstractContextManager[None], disk: str, kept: Path
) -> None:
    """While the disk fails nothing is acknowledged; then the daemon goes on by itself, with all that changed."""
    plant.commissioned()
    said, changed = Said(), floor.plcs["line1/filler"].seen
    with plant.daemon() as daemon:
        floor.apply("line2/filler", set={"limit": 14.0})
        wait_for(lambda: deviating(plant), "the alarm before the disk fails")
        alert = next(alert for alert in open_alerts(plant) if alert["item"] == "item.limit")
        assert plant.asbuilt("baseline", "propose", "line2/filler").code == 0
        before = standing(plant)
        with fault:
            floor.apply("line1/filler", set={"crc": "cafebabe"})
            wait_for(lambda: refuses(plant), "the failure to be said")
            for words in (
                ("alerts", "ack", str(alert["id"])),
                ("baseline", "approve", "*", "--reason", "x"),
                ("check",),
            ):
                done = plant.apart(*words)
                assert (done.code, STORE_FAILED in done.err) == (2, True), done
            requests = changed.total
            wait_for(lambda: changed.total > requests + 30, "the device to be polled as ever, ten times")
            assert standing(plant) == before
        began = time.monotonic()
        wait_for(lambda: deviating(plant) == {"item.limit", "item.crc"}, "what changed")
        recovered = time.monotonic() - began
        assert plant.apart("baseline", "approve", "*", "--reason", "x").code == 0
        moved = plant.apart("alerts", "ack", str(alert["id"]), "--json")
        assert moved.code == 0
        for each in [*moved.json["alerts"], *open_alerts(plant)]:
            said.alert(each)
        said.log(plant.log())
        wait_for(lambda: plant.asbuilt("verify").code == 0, "the evidence to verify")
        daemon.kill()
        daemon.wait()
    assert events(plant).count("run.started") == 1
    assert plant.asbuilt("verify").code == 0
    for name in ("asbuilt.db", "asbuilt.db-wal"):  # SQLite would look for a disk of another namespace in ours
        if (plant.folder / name).exists():
            shutil.copy(plant.folder / name, kept / name)
    said.assure_kept(kept / "asbuilt.db")
    note(
        f"a disk that fails ({disk}): nothing is acknowledged meanwhile, and the daemon goes on",
        seconds=round(recovered, 1),
    )


def refuses(plant: PlantFolder) -> bool:
    """Whether the daemon has said that the store refuses."""
    return "store.failed" in events(plant)


def deviating(plant: PlantFolder) -> set[str]:
    """The items that are alarmed; what is said of our own watch is another matter."""
    return {alert["item"] for alert in open_alerts(plant) if alert["item"].startswith("item.")}


def standing(plant: PlantFolder) -> list[Any]:
    """What people are told: the alarms, the baselines, and how long the audit chain is."""
    told = [plant.asbuilt(*words, "--json").json for words in (("alerts", "list"), ("baseline", "list"), ("verify",))]
    return [told[0]["alerts"], told[1]["baselines"], told[2]["entries"]]


def test_who_asks_while_the_store_refuses_the_answer_gets_it_when_it_takes_it(
    floor: RunningFloor, tmp_path: Path
) -> None:
    plant, asset = FaultyPlant(tmp_path, addresses(floor)), "line1/filler"
    plant.commissioned()
    with plant.daemon(), ThreadPoolExecutor() as people:
        wait_for(lambda: min(plc.seen.total for plc in floor.plcs.values()) > 12, "polls that bring nothing new")
        floor.apply(asset, behave="slow:0.15")  # the poll lasts until the disk fails
        checked = people.submit(plant.asbuilt, "check", asset)
        wait_for(lambda: waiting(plant), "the question")
        with plant.failing(errno.EIO, SYNCS):
            wait_for(lambda: refuses(plant), "the answer to be refused")
        assert checked.result(20).code == 0
        floor.apply(asset, behave="honest")


def waiting(plant: PlantFolder) -> int:
    """How many wait for the answer to a poll."""
    with closing(sqlite3.connect(plant.folder / "asbuilt.db")) as store:
        asked = store.execute("SELECT count(*) FROM poll_request WHERE answered_at IS NULL").fetchone()
    return int(asked[0])


def test_on_a_disk_that_is_mounted_read_only_every_command_says_so(floor: RunningFloor, tmp_path: Path) -> None:
    with small_disk(tmp_path, addresses(floor)) as plant:
        plant.commissioned()
        plant.mount("ro")
        for words in (("run",), ("check",), ("baseline", "approve", "*", "--reason", "x"))[times(1, 0) :]:
            done = plant.asbuilt(*words)
            assert (done.code, STORE_FAILED in done.err) == (2, True), (words, done)
        plant.mount("rw")
        assert plant.asbuilt("check").code == 0


def test_a_log_on_a_full_disk_ends_nothing() -> None:
    text = "from monitor import logs; import structlog; logs.set_up(); structlog.get_logger().info('x'); print('on')"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=full, text=True, check=True)
    assert done.stdout == "on\n"


# Devices that lie

MODBUS = (
    "silent", "slow:1", "drip", "half", "reset", "duplicate", "garbage", "exception:4", "wrong_function", "wrong_unit",
    "wrong_protocol", "too_few", "too_many", "short_count", "long_length", "stale_transaction", "identity_loop",
    "identity_lies", "endless", "refuse", "close",
)[:: times(6, 1)]  # fmt: skip
OPCUA = ("silent", "drip", "half", "reset", "duplicate", "garbage", "endless", "huge_chunk", "bad_hello")[times(8, 0) :]
READ_ALL_THE_SAME = {"opcua-bad_hello"}  # what it promises is not believed, and the rest of it is honest
UNITS = times(2, 100)  # behind one gateway that is silent
EVERY = 1.0  # seconds between two polls of a device
LATE = 0.1  # of that: what the good ones may be held up
LARGEST_GROWTH = 32  # MB: what one peer may cost, and what all of them together do not
MODEL = TWO.partition("[model.")[2].partition("[plc.")[0]
UA_MODEL = """
[model.ua]
protocol = "opcua"
namespace = "urn:acme:filler"
node."Limit" = { type = "Float", value = 12.3 }
"""
UA_PROFILE = """
name = "ua"
limits = { timeout = "300ms", requests_per_second = 200 }
item.limit = { node = "nsu=urn:acme:filler;s=Limit" }
"""
GOOD = "".join(f'[plc."{kind}{number}"]\nmodel = "p9"\n' for kind in ("good", "calm") for number in range(20))
HOSTILE = {
    **{f"modbus-{how}": ("p9", how) for how in MODBUS},
    **{f"opcua-{how}": ("ua", how) for how in OPCUA},
    **{f"unit{number}": ("p9", "silent") for number in range(1, UNITS + 1)},
}


class Strangers:
    """The hostile devices, in a process of their own; honest until they are let loose."""

    def __init__(self, folder: Path) -> None:
        entries = "".join(
            f'[plc."{name}"]\nmodel = "{model}"\n'
            + (f"port = 5020\nunit = {name[4:]}\n" if name.startswith("unit") else "")
            for name, (model, _) in HOSTILE.items()
        )
        (folder / "hostile.toml").write_text(f'name = "hostile"\n[model.{MODEL}{UA_MODEL}{entries}')
        command = [sys.executable, "-m", "simulators", str(folder / "hostile.toml"), "--free-ports", "--json", "--hold"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.addresses = {
            name: plc["address"] for name, plc in json.loads(self._process.stdout.readline())["plcs"].items()
        }

    def let_loose(self) -> None:
        orders = "".join(json.dumps({"plc": name, "behave": how}) + "\n" for name, (_, how) in HOSTILE.items())
        assert self._process.stdin is not None
        self._process.stdin.write(orders)
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_thirty_hostile_behaviours_at_once_hold_up_nobody(tmp_path: Path) -> None:
    """How late polls are is held against those of a daemon beside, which has good devices alone: both are on a machine
    that has other things to do."""
    with running(f'name = "good"\n[model.{MODEL}{GOOD}') as floor, closing(Strangers(tmp_path)) as strangers:
        good = {name: address for name, address in addresses(floor).items() if name.startswith("good")}
        calm = {name: address for name, address in addresses(floor).items() if name.startswith("calm")}
        plant, beside = plant_of(tmp_path, good | strangers.addresses), plant_of(tmp_path / "beside", calm)
        with plant.daemon() as daemon, beside.daemon():
            wait_for(lambda: fewest_polls(floor, 0) >= 1, "polls of the good devices", patience=60)
            before, loose = resident(daemon.pid), time.monotonic()
            strangers.let_loose()
            wait_for(
                lambda: (
                    fewest_polls(floor, loose) >= times(2, 30) and set(named(plant)) >= set(HOSTILE) - READ_ALL_THE_SAME
                ),
                "every hostile device to be named",
                patience=times(20, 150),
            )
            growth = resident(daemon.pid) - before
        assert not {"bug", "store.failed"} & set(events(plant))
        assert set(named(plant)) <= set(HOSTILE)
    found, expected = lateness(floor, good, loose), lateness(floor, calm, loose)
    assert growth < LARGEST_GROWTH
    assert found.median <= expected.median + LATE
    assert not NOTES or found.most <= expected.most + LATE
    note(
        "hostile behaviours at once, beside 20 good devices: each is named with its cause",
        behaviours=len(MODBUS) + len(OPCUA),
        units_of_a_silent_gateway=UNITS,
        polls_of_good_devices=found.polls,
        percent_late_at_p99=round(100 * found.most, 1),
        percent_late_in_a_daemon_beside_without_hostile_devices=round(100 * expected.most, 1),
        MB_more_than_while_all_were_honest=round(growth, 1),
    )


def plant_of(folder: Path, assets: dict[str, str]) -> PlantFolder:
    """Devices that are polled once in EVERY seconds, the good ones with the usual patience."""
    folder.mkdir(exist_ok=True)
    plant = PlantFolder(folder, assets, every=f"{EVERY:g}s")
    (folder / "ua.toml").write_text(UA_PROFILE)
    (folder / "good.toml").write_text(PROFILE.replace('"1s"', '"2s"').replace('"p9"', '"good"'))
    written = re.sub(r'("opc\.tcp://.*"\nprofile = ")p9', r"\1ua", plant.file.read_text())
    plant.file.write_text(re.sub(r'(\[asset\."(?:good|calm).*\n.*\nprofile = ")p9', r"\1good", written))
    return plant


@dataclass(frozen=True)
class Lateness:
    """How much later than its interval polls were, as a part of it: at the median, and at p99."""

    polls: int
    median: float
    most: float


def lateness(floor: RunningFloor, names: Iterable[str], since: float) -> Lateness:
    found = sorted(gap / EVERY - 1 for name in names for gap in between_polls(floor.plcs[name].seen, since))
    return Lateness(len(found), found[len(found) // 2], found[len(found) * 99 // 100])


def between_polls(seen: Seen, since: float) -> list[float]:
    """Seconds from one poll to the next, as the device saw them begin: it is asked nothing for half an interval."""
    asked = [moment for moment in list(seen.times) if moment >= since]
    began = [later for before, later in pairwise(asked) if later - before > EVERY / 2]
    return [later - before for before, later in pairwise(began)]


def fewest_polls(floor: RunningFloor, since: float) -> int:
    return min(len(between_polls(plc.seen, since)) for plc in floor.plcs.values())


def named(plant: PlantFolder) -> dict[str, str]:
    """Why an asset could not be read, by the log."""
    return {line["asset"]: line["why"] for line in plant.log() if line["event"].startswith("asset.") and "why" in line}


def resident(pid: int) -> float:
    """The most memory that a process has had, in MB (proc(5), status: VmHWM)."""
    most = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert most is not None
    return int(most[1]) / 1024
