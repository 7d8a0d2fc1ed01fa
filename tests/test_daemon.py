"""The daemon as a process: what it raises, what it answers, and what it survives."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from tests.floors import PATIENCE, PlantFolder, RunningFloor, wait_for


def open_alerts(plant: PlantFolder) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = plant.asbuilt("alerts", "list", "--json").json["alerts"]
    return alerts


def events(plant: PlantFolder) -> list[str]:
    return [line["event"] for line in plant.log()]


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that keeps what is posted to it."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_change_is_alarmed_posted_and_returns_to_normal(floor: RunningFloor, tmp_path: Path) -> None:
    with webhook() as (url, posted):
        route = f'[notify.shift]\nkind = "webhook"\nurl = "{url}"\nmin_severity = "critical"\n'
        plant = PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()}, route)
        plant.commissioned()
        with plant.daemon():
            floor.apply("line1/filler", set={"crc": "cafebabe", "limit": 14.0})
            wait_for(lambda: posted, "the webhook")
            assert {alert["item"] for alert in open_alerts(plant)} == {"item.crc", "item.limit"}
            floor.apply("line1/filler", set={"crc": "deadbeef"})
            wait_for(lambda: len(posted) == 2, "the second message")
        assert [(each["event"], each["alert"]["item"]) for each in posted] == [
            ("deviates", "item.crc"),  # the limit is below min_severity
            ("conforms", "item.crc"),
        ]
        assert posted[0]["text"] == "line1/filler: item.crc changed from deadbeef to cafebabe"
        assert posted[0]["alert"]["techniques"] == ["T0843", "T0889"]


def test_commands_ask_the_daemon_and_no_device_sees_a_second_connection(
    plant: PlantFolder, floor: RunningFloor
) -> None:
    with plant.daemon():
        assert plant.asbuilt("check").code == 3
        plant.commissioned()
        assert plant.asbuilt("check").code == 0
        floor.apply("line1/filler", set={"limit": 14.0})
        assert plant.asbuilt("check").code == 1  # read after the change, not before
    assert [plc.seen.connections for plc in floor.plcs.values()] == [1, 1]


def test_a_second_daemon_is_refused(plant: PlantFolder) -> None:
    with plant.daemon():
        second = plant.asbuilt("run")
        assert second.code == 2
        assert "polls this plant already" in second.err


def test_ends_within_five_seconds_of_sigterm_also_while_a_device_is_silent(
    plant: PlantFolder, floor: RunningFloor
) -> None:
    floor.apply("line1/filler", behave="silent")
    with plant.daemon() as daemon:
        wait_for(lambda: "asset.unreachable" in events(plant), "the outage")
        asked = time.monotonic()
        daemon.terminate()
        assert daemon.wait(10) == 0
        assert time.monotonic() - asked < 5
    assert events(plant)[-1] == "run.stopped"


def test_an_outage_is_said_once_down_and_once_up_and_is_no_deviation(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    with plant.daemon():
        floor.apply("line1/filler", behave="silent")
        wait_for(lambda: "asset.unreachable" in events(plant), "the outage")
        before = floor.plcs["line2/filler"].seen.total
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > before + 9, "three polls of the neighbour")
        floor.apply("line1/filler", behave="honest")
        wait_for(lambda: "asset.back" in events(plant), "the end of the outage")
        assert open_alerts(plant) == []
    said = [event for event in events(plant) if event.startswith("asset.")]
    assert said == ["asset.unreachable", "asset.back"]


def test_kill_9_loses_nothing_that_was_acknowledged(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    with plant.daemon() as daemon:
        floor.apply("line1/filler", set={"crc": "cafebabe"})
        wait_for(lambda: open_alerts(plant), "the alarm")
        (alert,) = open_alerts(plant)
        assert plant.asbuilt("alerts", "ack", str(alert["id"]), "--reason", "seen").code == 0
        daemon.kill()
        daemon.wait()
        (kept,) = open_alerts(plant)
        assert (kept["id"], kept["state"]) == (alert["id"], "ACKED")
    with plant.daemon():
        floor.apply("line2/filler", set={"crc": "cafebabe"})
        wait_for(lambda: len(open_alerts(plant)) == 2, "the alarm of the other filler")
        assert [each["id"] for each in open_alerts(plant)] == [alert["id"], alert["id"] + 1]
    assert plant.asbuilt("verify").code == 0


def test_a_command_polls_by_itself_when_the_daemon_dies_under_it(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    with plant.daemon() as daemon:
        floor.apply("line1/filler", behave="slow:0.2")
        checking = plant.meanwhile("check", "line1/filler")
        requests = "SELECT count(*) FROM poll_request WHERE answered_at IS NULL"
        with sqlite3.connect(plant.folder / "asbuilt.db") as store:
            wait_for(
                lambda: store.execute(requests).fetchone()[0] or checking.process.poll() is not None, "the request"
            )
        daemon.kill()
        assert checking.ended().code == 0


def test_a_shelved_alarm_comes_back_when_its_time_is_over(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    with plant.daemon():
        floor.apply("line1/filler", set={"limit": 14.0})
        wait_for(lambda: open_alerts(plant), "the alarm")
        number = str(open_alerts(plant)[0]["id"])
        shelved = plant.asbuilt("alerts", "shelve", number, "--until", "+2s", "--reason", "rebuilding", "--json")
        assert shelved.json["alerts"][0]["state"] == "SHELVED"
        wait_for(lambda: open_alerts(plant)[0]["state"] == "UNACK", "the alarm to come back")


def test_an_unchanged_plant_does_not_grow_the_store(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    with plant.daemon():
        before = floor.plcs["line1/filler"].seen.total
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > before + 30, "ten polls")
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        assert store.execute("SELECT count(*) FROM run").fetchone() == (2,)
        assert store.execute("SELECT min(polls) FROM pulse").fetchone()[0] >= 10
        assert store.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)


def test_a_silent_gateway_with_many_units_holds_up_no_other_device(floor: RunningFloor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:  # takes connections, and never says a word
        units = {f"unit{unit}": f"modbus://127.0.0.1:{gateway.getsockname()[1]}/{unit}" for unit in range(1, 251)}
        plant = PlantFolder(tmp_path, {"good": floor.plcs["line1/filler"].address, **units})
        seen = floor.plcs["line1/filler"].seen
        with plant.daemon():
            wait_for(lambda: "asset.unreachable" in events(plant), "the gateway's silence")
            before = seen.total
            wait_for(lambda: seen.total >= before + 15, "five more polls of the good one")


def test_a_store_that_vanishes_ends_the_daemon_with_a_sentence(plant: PlantFolder) -> None:
    with plant.daemon() as daemon:
        wait_for(lambda: "evidence.sound" in events(plant), "it to be in full swing")
        for file in plant.folder.glob("asbuilt.db*"):
            file.unlink()
        assert daemon.wait(PATIENCE) == 2
    assert "was deleted while it was in use" in (plant.folder / "run.log").read_text()
