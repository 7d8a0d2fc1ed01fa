"""/healthz, /readyz and /metrics of the real daemon, asked as Prometheus asks."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.config import WebTable
from monitor.polling import utc_now
from monitor.store import Database
from monitor.vitals import Sensed, Tally, Vitals
from monitor.web.metrics import registry_of
from monitor.web.server import served
from monitor.web.site import Site
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.sites import plant_with

ANY = 'listen = "127.0.0.1:0"'
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def address(plant: PlantFolder) -> str:
    wait_for(lambda: [line for line in plant.log() if line["event"] == "web.listening"], "the web server")
    return str(next(line["url"] for line in plant.log() if line["event"] == "web.listening"))


def get(url: str, accept: str = "*/*") -> tuple[int, str]:
    try:
        with urlopen(Request(url, headers={"Accept": accept}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def samples(url: str) -> Samples:
    """Read by the library's own parser, which refuses what no Prometheus would take."""
    status, text = get(url + "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def shown(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    return PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()}, web=ANY)


def test_what_the_daemon_shows_of_itself(shown: PlantFolder, floor: RunningFloor) -> None:
    shown.commissioned()
    with shown.daemon():
        url = address(shown)
        wait_for(lambda: get(url + "/readyz") == (200, '{"ready":true,"why":[]}'), "it to be ready")
        assert get(url + "/healthz") == (200, '{"ok":true,"why":[]}')
        floor.apply("line1/filler", set={"crc": "cafebabe"})
        floor.apply("line2/filler", behave="silent")
        drift, unreachable = ("asbuilt_assets", (("verdict", "drift"),)), (("outcome", "unreachable"),)
        wait_for(
            lambda: samples(url).get(drift) and samples(url).get(("asbuilt_polls_total", unreachable)),
            "the plant to be counted anew",
        )
        found = samples(url)
        assert found["asbuilt_blind", ()] == 0, "one lost poll is no blindness: tests/test_health.py has what is"
        assert found[drift] == 1
        assert found["asbuilt_alarms", (("severity", "critical"), ("state", "UNACK"))] == 1
        assert found["asbuilt_polls_total", (("outcome", "ok"),)] >= 2
        assert found["asbuilt_polls_total", (("outcome", "unreachable"),)] >= 1
        polls = sum(n for (name, _), n in found.items() if name == "asbuilt_polls_total")
        assert abs(found["asbuilt_poll_seconds_count", ()] - polls) <= 1
        assert found["asbuilt_commit_seconds_count", ()] >= 1
        assert 0 <= found["asbuilt_loop_lag_seconds", ()] < 1
        assert found["process_resident_memory_bytes", ()] > 10e6
        assert (found["asbuilt_healthy", ()], found["asbuilt_ready", ()]) == (1, 1)
        assert "# EOF" in get(url + "/metrics", "application/openmetrics-text; version=1.0.0")[1]
        assert get(url + "/nothing")[0] == 404


def test_a_loop_that_does_not_turn_is_said_by_another_thread(tmp_path: Path) -> None:
    """The web has a loop of its own: that it answers proves nothing, and what it answers does."""
    now = 0.0
    vitals = Vitals(lambda: now)
    vitals.beat(0.0, 0.0)
    port = free_port()
    plant = plant_with(tmp_path, "")
    database = Database(plant.store_url)
    database.migrate()
    with closing(database), served(WebTable(f"127.0.0.1:{port}"), Site(lambda: plant, database, utc_now, vitals)):
        wait_for(lambda: answers(port), "the web server")
        assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
        now = 60.0
        status, text = get(f"http://127.0.0.1:{port}/healthz")
        assert (status, json.loads(text)) == (503, {"ok": False, "why": ["the loop has not turned for 60 s"]})
        status, text = get(f"http://127.0.0.1:{port}/readyz")
        assert status == 503
        assert json.loads(text)["why"][1:] == [
            "the store is not led by this process",
            "the first look at the store was not made yet",
        ]
    assert not answers(port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as once:
        return int(once.getsockname()[1])


def answers(port: int) -> bool:
    try:
        return get(f"http://127.0.0.1:{port}/healthz")[0] > 0
    except OSError:
        return False


def test_a_port_that_is_taken_is_said_and_monitoring_goes_on(floor: RunningFloor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plant = PlantFolder(
            tmp_path, {"filler": floor.plcs["line1/filler"].address}, web=f'listen = "127.0.0.1:{port}"'
        )
        with plant.daemon():
            wait_for(lambda: floor.plcs["line1/filler"].seen.total > 3, "a poll")
        (said,) = [line for line in plant.log() if line["event"] == "web.failed"]
    assert said["why"] == "Address already in use; change [web] listen in plant.toml"


def test_whoever_holds_connections_open_holds_up_nothing(shown: PlantFolder, floor: RunningFloor) -> None:
    with shown.daemon() as daemon:
        url = address(shown)
        host, port = url.removeprefix("http://").split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(50)]
        try:
            for each in held:
                each.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 100)
            wait_for(lambda: get(url + "/healthz")[0] == 200, "an answer")
            before = floor.plcs["line1/filler"].seen.total
            wait_for(lambda: floor.plcs["line1/filler"].seen.total > before + 9, "polls")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
        finally:
            for each in held:
                each.close()


def test_names_with_all_kinds_of_letters_are_labels() -> None:
    vitals = Vitals()
    odd = 'a"b\\c\nd{}é'
    vitals.tally = Tally(segments={odd: Sensed(7, 1, 2, deaf=False)})
    registry = registry_of(vitals)
    assert registry.get_sample_value("asbuilt_sensor_packets_total", {"segment": odd}) == 7
    assert registry.get_sample_value("asbuilt_sensor_up", {"segment": odd}) == 1


def test_nothing_listens_where_the_web_is_switched_off(plant: PlantFolder, floor: RunningFloor) -> None:
    with plant.daemon():
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 3, "a poll")
    assert [line for line in plant.log() if line["event"].startswith("web.")] == []
