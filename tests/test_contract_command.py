"""`asbuilt contract`: what the store says of each device, who puts it there, and what is made of it."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.address import parse_address
from collectors.collector import Target
from collectors.metering import Counts, new_record
from collectors.profile import Profiles
from monitor import store
from monitor.contract import Ledger
from monitor.errors import StoreError
from monitor.logs import Trouble
from monitor.polling import Poller, utc_now
from monitor.store import Database
from tests.floors import PATIENCE, PlantFolder, RunningFloor, wait_for

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ONE, TWO = "line1/filler", "line2/filler"


def contract_of(plant: PlantFolder, name: str) -> Any:
    contracts = plant.asbuilt("contract", name, "--json").json["contracts"]
    return next(each for each in contracts if name in each["assets"])


def kept(plant: PlantFolder, device: str, counts: Counts) -> None:
    """Put counts into the store, as if they had been polled."""
    database = Database(f"sqlite:///{plant.folder / 'asbuilt.db'}")
    with database.write() as tx:
        store.keep_records(tx, {device: new_record(NOON).plus(counts, NOON, NOON)})
    database.close()


def device_of(floor: RunningFloor, name: str) -> str:
    host, port = parse_address(floor.plcs[name].address).device
    return f"{host}:{port}"


def test_what_commands_send_adds_up_and_is_what_the_device_saw(floor: RunningFloor, plant: PlantFolder) -> None:
    assert plant.asbuilt("contract").code == 3, "never polled"
    assert contract_of(plant, ONE)["verdict"] == "never-polled"
    for words in (("check",), ("poll", ONE)):
        plant.asbuilt(*words)
    done = plant.asbuilt("contract", "--json")
    assert done.code == 0
    for document in done.json["contracts"]:
        seen = floor.plcs[document["assets"][0]].seen
        sent = document["sent"]
        assert document["verdict"] == "kept"
        named = {"FC 43/14": 43, "FC 3": 3}
        assert {named[name]: count for name, count in sent["services"].items()} == seen.requests
        assert (sent["connections"], sent["bytes_sent"]) == (seen.connections, seen.bytes_received)
        assert document["response"]["first"]["count"] == sent["requests"]
        assert document["allowed"]["services"] == ["FC 1", "FC 2", "FC 3", "FC 4", "FC 43/14"]
    assert [each["sent"]["connections"] for each in done.json["contracts"]] == [2, 1]


def test_a_daemon_gives_its_counts_when_asked_and_when_it_ends(floor: RunningFloor, plant: PlantFolder) -> None:
    with plant.daemon():
        wait_for(lambda: floor.plcs[ONE].seen.total >= 5, "polls")
        first = plant.asbuilt("contract", ONE, "--json").json
        assert first["is_fresh"]
        assert first["contracts"][0]["sent"]["requests"] >= 5
    last = plant.asbuilt("contract", "--json").json["contracts"]
    for document in last:
        seen = floor.plcs[document["assets"][0]].seen
        assert (document["sent"]["requests"], document["sent"]["connections"]) == (seen.total, 1)
        assert document["sent"]["bytes_sent"] == seen.bytes_received


def test_after_a_kill_what_was_given_is_still_there(floor: RunningFloor, plant: PlantFolder) -> None:
    with plant.daemon() as daemon:
        wait_for(lambda: floor.plcs[ONE].seen.total >= 5, "polls")
        given = contract_of(plant, ONE)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(PATIENCE)
    left = contract_of(plant, ONE)
    assert left["sent"]["requests"] >= given["sent"]["requests"]
    plant.asbuilt("check", ONE)
    after = contract_of(plant, ONE)
    assert after["since"] == given["since"]
    assert after["until"] > given["until"]
    assert after["sent"]["requests"] > left["sent"]["requests"]


@pytest.mark.parametrize(
    ("counts", "verdict", "code", "said"),
    [
        (Counts(connections=1, requests={"FC 3": 9}, busiest=200), "kept", 0, "200 (9 in all)"),
        (Counts(connections=1, busiest=201, broken={"requests_per_second": 1}), "exceeded", 1, "201 (0 in all)"),
        (Counts(connections=2, most_open=2, broken={"connections": 1}), "exceeded", 1, "2 (2 tried, 0 opened)"),
        (Counts(connections=1, requests={"FC 6": 1}), "exceeded", 1, "FC 6: 1"),
        (Counts(connections=1, forbidden={"function 6 is no read": 3}), "attempted", 1, "3 × function 6 is no read"),
        (Counts(connections=4, time_outs=2), "kept", 0, "4 connections, 2 time-outs"),
    ],
)
def test_the_verdict(
    floor: RunningFloor, plant: PlantFolder, counts: Counts, verdict: str, code: int, said: str
) -> None:
    assert plant.asbuilt("contract").code == 3  # and the store is there
    kept(plant, device_of(floor, ONE), counts)
    document, shown = contract_of(plant, ONE), plant.asbuilt("contract", ONE)
    assert (document["verdict"], shown.code) == (verdict, code)
    assert said in shown.out
    assert f"1 device: 1 {verdict}" in shown.out
    assert plant.asbuilt("contract").code == (code or 3), "the other one was never polled"


def test_counts_that_cannot_be_read_begin_anew(floor: RunningFloor, plant: PlantFolder) -> None:
    plant.asbuilt("check")
    before = contract_of(plant, ONE)
    with sqlite3.connect(plant.folder / "asbuilt.db") as damaged:
        damaged.execute("UPDATE device SET counts = '{' WHERE device = ?", [device_of(floor, ONE)])
    damaged.close()
    assert contract_of(plant, ONE)["verdict"] == "never-polled"
    plant.asbuilt("check", ONE)
    after = contract_of(plant, ONE)
    assert (after["verdict"], after["sent"]["connections"]) == ("kept", 1)
    assert after["since"] > before["until"]


def test_units_behind_one_port_are_one_device(floor: RunningFloor, tmp_path: Path) -> None:
    address = floor.plcs[ONE].address.removesuffix("/1")
    plant = PlantFolder(tmp_path, {"a": f"{address}/1", "b": f"{address}/7", "c": floor.plcs[TWO].address})
    plant.asbuilt("check")
    found = plant.asbuilt("contract", "b", "--json").json["contracts"]
    assert [each["assets"] for each in found] == [["a", "b"]]


def test_an_asset_that_is_not_there_is_a_sentence(plant: PlantFolder) -> None:
    done = plant.asbuilt("contract", "line8/*")
    assert done.code == 2
    assert "names no asset line8/*" in done.err


def test_what_the_store_does_not_take_is_kept_for_the_next_time(floor: RunningFloor, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")
    database.migrate()
    target = Target("filler", parse_address(floor.plcs[ONE].address))

    async def scene() -> None:
        full = True

        async def write(job: Any) -> None:
            if full:
                raise StoreError("the disk is full")
            with database.write() as tx:
                job(tx)

        poller = Poller(Profiles(), utc_now)
        ledger = Ledger(poller, write, Trouble("store").failed)
        await poller.poll_target(target)
        await ledger.keep()
        await poller.poll_target(target)
        full = False
        await ledger.keep()
        await poller.close()

    asyncio.run(scene())
    with database.read() as tx:
        record = store.records(tx, [device_of(floor, ONE)])[device_of(floor, ONE)]
    database.close()
    assert record.counts.requests == Counter({"FC 43/14": floor.plcs[ONE].seen.requests[43]})
    assert record.counts.requests["FC 43/14"] == 2
    assert replace(record, since=record.until).since > record.since
