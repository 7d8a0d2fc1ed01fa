"""The life of an asset: what befalls it is audited, and its history goes with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from baselines.alert import Alert, AlertState
from baselines.baseline import Stage, State
from baselines.change import Expectation, Order
from baselines.snapshot import Item, Snapshot
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import actions, evidence, lives, store
from monitor.board import inventory, retired
from monitor.config import Plant, load_plant
from monitor.errors import CallError, Gone, NotNow
from monitor.pipeline import return_alarms, take
from monitor.store import Actor, Database, Transaction
from tests.evidences import stored_flaw
from tests.floors import PlantFolder, RunningFloor, running, wait_for

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
KIM = Actor("kim", "kim@workstation")
PLANT = """[plant]
name = "Test"
[store]
url = "sqlite:///asbuilt.db"

# the filler
[asset.filler]
address = "modbus://plc1/1"
profile = "auto"

[asset.capper]
address = "modbus://plc2/1"
profile = "auto"

[segment.line1]
interface = "eth9"
"""
LABELLER = """
name = "labelling"
[model.l2]
protocol = "opcua"
path = "labeller"
namespace = "urn:acme:labeller"
[model.l2.identity]
manufacturer = "ACME"
product_uri = "urn:acme:l2"
product_name = "L2"
software_revision = "3.2.0"
[[model.l2.device]]
name = "Labeller"
[model.l2.device.properties]
Manufacturer = "ACME"
Model = "L2"
SoftwareRevision = "3.2.0"
SerialNumber = "L2-1"
ProductInstanceUri = "urn:acme:l2:1"
[[model.l2.device]]
name = "Vision"
[model.l2.device.properties]
Manufacturer = "Occhio"
Model = "OV"
SerialNumber = "OV-1"
ProductInstanceUri = "urn:occhio:ov:1"
[plc.labeller]
model = "l2"
port = 0
"""
CAPPER = """
name = "capping"
[model.c4]
protocol = "modbus"
identity = { manufacturer = "ACME", product_code = "C-4", software_revision = "1.0", object_128 = "C4-1" }
[model.c4.point]
limit = { table = "holding", address = 210, type = "float32", value = 12.5 }
[plc.capper]
model = "c4"
port = 0
[plc.spare]
model = "c4"
port = 0
identity = { object_128 = "C4-2" }
"""
CAPPER_PROFILE = """
name = "c4"
identity = { serial_number = "object_128" }
[limits]
requests_per_second = 200
timeout = "1s"
[item.limit]
table = "holding"
address = 210
type = "float32"
"""


def reason(at: datetime = NOW, why: str = "rebuilt") -> lives.Reason:
    return lives.Reason(KIM, at, why, "T-1")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    (tmp_path / "plant.toml").write_text(PLANT)
    return load_plant(tmp_path / "plant.toml")


def again(plant: Plant) -> Plant:
    """The plant as its file is now."""
    return load_plant(plant.path)


def snapshot(asset: str, value: int) -> Snapshot:
    return Snapshot.of(asset, NOW, [Item("item.a", value)], profile="p" * 64)


def observe(tx: Transaction, asset: str, value: int, at: datetime = NOW) -> None:
    take(tx, Poll(Target(asset, parse_address("modbus://plc/1")), snapshot(asset, value), Sent(), 0.0), at)


def commissioned(tx: Transaction, asset: str) -> None:
    """Approved as 1, and drifted to 2 since."""
    observe(tx, asset, 1)
    actions.propose(tx, snapshot(asset, 1), Stage.SAT, KIM, NOW)
    actions.approve(tx, asset, KIM, "SAT", NOW)
    observe(tx, asset, 2)


def values_of(tx: Transaction, asset: str) -> list[int]:
    """What was seen of an asset, run by run."""
    by_digest = {snapshot(asset, value).digest: value for value in range(9)}
    return [by_digest[run.digest or ""] for run in store.runs(tx, asset)]


def only(alerts: list[Alert]) -> Alert:
    (alert,) = alerts
    return alert


def actions_in(tx: Transaction) -> list[str]:
    return [entry.action for entry in store.audit_entries(tx)]


# ---- Renamed


def test_the_history_goes_with_a_new_name(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
        order = Order(0, "T-9", "recipe", NOW, NOW + HOUR, (Expectation("filler", "item.a", 3),), "kim", NOW)
        store.add_order(tx, order)
        number = store.asset_id(tx, "filler")
        step = lives.rename(tx, plant, "filler", "line1/filler", reason())
    assert (step.asset, step.detail) == ("filler", {"to": "line1/filler", "reason": "rebuilt", "ticket": "T-1"})
    assert plant.path.read_text() == PLANT.replace("[asset.filler]", '[asset."line1/filler"]')
    with database.read() as tx:
        assert store.asset_id(tx, "line1/filler") == number
        assert [run.digest for run in store.runs(tx, "line1/filler")] == [
            snapshot("x", 1).digest,
            snapshot("x", 2).digest,
        ]
        assert store.current_baseline(tx, "line1/filler") is not None
        assert only(store.alerts(tx)).asset == "line1/filler"
        assert store.orders(tx)[0].assets == ("line1/filler",)
        assert actions_in(tx)[-2:] == ["asset.rename", "configuration.change"]


def test_a_segment_is_renamed_too(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        observe(tx, "line1", 1)
        lives.rename(tx, plant, "line1", "hall 1", reason())
        assert len(store.runs(tx, "hall 1")) == 1
    assert list(again(plant).segments) == ["hall 1"]


class Crash(Exception):
    """The machine is off."""


@contextmanager
def crashing(database: Database) -> Iterator[Transaction]:
    """A transaction that never comes to its commit."""
    with suppress(Crash), database.write() as tx:
        yield tx
        raise Crash


def test_a_crash_between_file_and_store_is_finished_by_running_it_again(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
    with crashing(database) as tx:
        lives.rename(tx, plant, "filler", "line1/filler", reason())
    with database.write() as tx:
        assert "line1/filler" in again(plant).assets
        assert list(store.known_assets(tx)) == ["filler"]
        evidence.note_assets(tx, again(plant), KIM, NOW)  # a daemon starts, and polls under the new name
        observe(tx, "line1/filler", 2)
    with database.write() as tx:
        lives.rename(tx, again(plant), "filler", "line1/filler", reason())
    with database.read() as tx:
        assert values_of(tx, "line1/filler") == [1, 2, 2]
        assert sorted(store.known_assets(tx)) == ["capper", "line1", "line1/filler"]
        assert only(store.alerts(tx)).asset == "line1/filler"
        assert stored_flaw(tx) is None


def test_two_histories_are_never_mixed(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
    with crashing(database) as tx:
        lives.rename(tx, plant, "filler", "line1/filler", reason())
    with database.write() as tx:
        commissioned(tx, "line1/filler")  # somebody was quick
        with pytest.raises(NotNow, match="has a history of its own"):
            lives.rename(tx, again(plant), "filler", "line1/filler", reason())


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("filler", "filler", "is called so already"),
        ("filler", "capper", "capper is another asset of"),
        ("filler", "line1", "line1 is another asset of"),
        ("nobody", "filler", "names no asset nobody"),
        ("nobody", "x", "names no asset nobody"),
        ("filler", "once", "once has a history of its own"),
    ],
)
def test_what_cannot_be_renamed_is_said_and_changes_nothing(
    database: Database, plant: Plant, old: str, new: str, why: str
) -> None:
    with database.write() as tx:
        commissioned(tx, "once")
        store.add_assets(tx, ["filler"])
        before = dict(store.known_assets(tx))
        with pytest.raises((NotNow, CallError), match=why):
            lives.rename(tx, plant, old, new, reason())
    with database.read() as tx:
        assert store.known_assets(tx) == before
    assert plant.path.read_text() == PLANT


def test_nothing_is_kept_under_a_name_that_was_given_up(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        observe(tx, "filler", 1)
        lives.rename(tx, plant, "filler", "line1/filler", reason())
        with pytest.raises(Gone, match="filler is called line1/filler since 2026-11-23T08:00:00"):
            observe(tx, "filler", 2)
        with pytest.raises(Gone):
            actions.propose(tx, snapshot("filler", 2), Stage.SAT, KIM, NOW)
        evidence.note_assets(tx, plant, KIM, NOW)  # by somebody who read plant.toml before
        assert "filler" not in store.known_assets(tx)
    plant.path.write_text(plant.path.read_text() + '[asset.filler]\naddress = "modbus://plc3/1"\nprofile = "auto"\n')
    with database.write() as tx:
        evidence.note_assets(tx, again(plant), KIM, NOW)  # a new asset of the old name has a life of its own
        observe(tx, "filler", 5)
        assert [len(store.runs(tx, name)) for name in ("filler", "line1/filler")] == [1, 1]


# ---- Out of service


def test_alarms_wait_until_an_asset_is_in_service_again(database: Database) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
        observe(tx, "filler", 1, NOW)
        actions.acknowledge_alerts(tx, [1], KIM, "", NOW)
        lives.take_out(tx, "filler", NOW + HOUR, reason())
        observe(tx, "filler", 3, NOW)
        kept = store.alerts(tx)
        assert [(alert.state, alert.suppressed_by) for alert in kept] == [(AlertState.SUPPRESSED, "out-of-service")]
        lives.take_out(tx, "filler", NOW + 2 * HOUR, reason())  # longer
        assert return_alarms(tx, NOW + HOUR) == []
        (back,) = return_alarms(tx, NOW + 2 * HOUR)
        assert (back.alert.state, back.alert.suppressed_by) == (AlertState.UNACK, None)
        assert stored_flaw(tx) is None


def test_an_alarm_comes_back_when_people_say_so(database: Database) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
        observe(tx, "filler", 1)
        actions.acknowledge_alerts(tx, [1], KIM, "", NOW)
        lives.take_out(tx, "filler", NOW + HOUR, reason())
        observe(tx, "filler", 3)
        (moved,) = lives.bring_back(tx, "filler", reason()).moves
        assert moved.alert.state is AlertState.UNACK
        assert stored_flaw(tx) is None
        with pytest.raises(NotNow, match="is in service"):
            lives.bring_back(tx, "filler", reason())


@pytest.mark.parametrize(
    ("until", "why"), [(NOW, "not in the future"), (NOW + timedelta(days=367), "an end that never comes is no end")]
)
def test_an_end_is_in_the_future_and_comes(database: Database, until: datetime, why: str) -> None:
    with database.write() as tx:
        with pytest.raises(NotNow, match=why):
            lives.take_out(tx, "filler", until, reason())
        lives.take_out(tx, "filler", NOW + timedelta(days=367), reason(), however_long=True)
        assert stored_flaw(tx) is None


# ---- Retired


def test_a_retired_asset_leaves_and_its_history_stays(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
        actions.propose(tx, snapshot("filler", 2), Stage.AS_LEFT, KIM, NOW)
        step = lives.retired(tx, plant, "filler", reason(why="scrapped"))
        assert step.detail["removed"].startswith("# the filler\n[asset.filler]\naddress =")
        assert step.detail["alerts"] == "1"
        alert = only(store.alerts(tx, closed=True))
        assert (alert.state, alert.reason) == (AlertState.NORMAL, "scrapped")
        assert [each.state for each in store.baselines(tx)] == [State.APPROVED, State.SUPERSEDED]
        assert stored_flaw(tx) is None
        with pytest.raises(Gone, match="was retired at"):
            observe(tx, "filler", 1)
        evidence.note_assets(tx, plant, KIM, NOW)  # by somebody who read plant.toml before
        assert store.known_assets(tx)["filler"] == NOW
        with pytest.raises(NotNow, match="was retired at"):
            lives.retired(tx, again(plant), "filler", reason())
    now = again(plant)
    assert list(now.assets) == ["capper"]
    with database.read() as tx:
        assert [each["asset"] for each in inventory(tx, now, NOW)] == ["capper", "line1"]
        (document,) = retired(tx, now, NOW)
    assert (document["asset"], document["retired_at"]) == ("filler", "2026-11-23T08:00:00.000Z")


def test_an_asset_that_is_there_again_has_its_history(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
        lives.retired(tx, plant, "filler", reason())
    plant.path.write_text(PLANT)
    with database.write() as tx:
        evidence.note_assets(tx, again(plant), KIM, NOW)
        assert actions_in(tx)[-1] == "asset.return"
        observe(tx, "filler", 2)
        assert store.current_baseline(tx, "filler") is not None
        assert [alert.id for alert in store.alerts(tx)] == [2]
        assert stored_flaw(tx) is None


def test_a_crash_while_retiring_is_finished_by_running_it_again(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        commissioned(tx, "filler")
    with crashing(database) as tx:
        lives.retired(tx, plant, "filler", reason())
    with database.write() as tx:
        lives.retired(tx, again(plant), "filler", reason())
        assert store.alerts(tx) == []
        assert stored_flaw(tx) is None


def test_what_an_order_is_open_on_is_not_retired(database: Database, plant: Plant) -> None:
    with database.write() as tx:
        order = Order(0, "T-9", "recipe", NOW, NOW + HOUR, (Expectation("filler", "item.a", 3),), "kim", NOW)
        store.add_order(tx, order)
        with pytest.raises(NotNow, match=r"order 1 \(T-9\) is open on filler"):
            lives.retired(tx, plant, "filler", reason())
    assert plant.path.read_text() == PLANT


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE asset SET name = 'other' WHERE name = 'b'",
        "UPDATE asset SET out_until = NULL WHERE name = 'capper'",
        "UPDATE asset SET out_reason = 'x' WHERE name = 'capper'",
        "UPDATE asset SET out_until = '2026-11-23T08:00:00.000Z', out_by = 'eve' WHERE name = 'b'",
        "UPDATE asset SET retired_at = NULL WHERE name = 'line1'",
        "UPDATE asset SET retired_at = '2026-11-23T08:00:00.000Z' WHERE name = 'b'",
        "DELETE FROM alert_move WHERE event = 'retire'",
    ],
)
def test_a_life_that_was_changed_behind_the_chain_is_found(database: Database, plant: Plant, edit: str) -> None:
    with database.write() as tx:
        commissioned(tx, "line1")
        observe(tx, "filler", 1)
        lives.rename(tx, plant, "filler", "b", reason())
        lives.take_out(tx, "capper", NOW + HOUR, reason())
        lives.retired(tx, again(plant), "line1", reason())
        assert stored_flaw(tx) is None
        tx.execute(text(edit))
        assert stored_flaw(tx) is not None


# ---- With real devices


@pytest.fixture
def fillers(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    folder = PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()})
    folder.commissioned()
    return folder


@pytest.fixture
def cappers(tmp_path: Path) -> Iterator[tuple[PlantFolder, RunningFloor]]:
    with running(CAPPER) as floor:
        folder = PlantFolder(tmp_path, {"capper": floor.plcs["capper"].address})
        (tmp_path / "p9.toml").write_text(CAPPER_PROFILE)
        folder.commissioned()
        yield folder, floor


def alarms(folder: PlantFolder) -> list[Any]:
    found: list[Any] = folder.asbuilt("alerts", "list", "--json").json["alerts"]
    return found


def is_sound(folder: PlantFolder) -> bool:
    done = folder.asbuilt("verify")
    assert done.code == 0, done
    return True


def names_stored(folder: PlantFolder) -> list[str]:
    with sqlite3.connect(folder.folder / "asbuilt.db") as connection:
        return [name for (name,) in connection.execute("SELECT name FROM asset ORDER BY name")]


def test_a_daemon_leaves_a_renamed_asset_alone_and_its_neighbour_goes_on(
    fillers: PlantFolder, floor: RunningFloor
) -> None:
    with fillers.daemon() as daemon:
        floor.apply("line1/filler", set={"limit": 14.0})
        wait_for(lambda: alarms(fillers), "the alarm")
        renamed = fillers.asbuilt("assets", "rename", "line1/filler", "filler A", "--reason", "label", "--json")
        assert renamed.json["detail"]["to"] == "filler A"
        wait_for(lambda: any(line["event"] == "asset.gone" for line in fillers.log()), "the daemon to notice")
        seen = floor.plcs["line1/filler"].seen.total
        before = floor.plcs["line2/filler"].seen.total
        floor.apply("line1/filler", set={"limit": 15.0})
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > before + 9, "three polls of the neighbour")
        assert floor.plcs["line1/filler"].seen.total == seen
        asked = fillers.asbuilt("check", "filler A", "--json")
        assert asked.code == 3
        assert "have it read plant.toml again" in asked.asset("filler A")["error"]["text"]
        assert daemon.poll() is None
    assert names_stored(fillers) == ["filler A", "line2/filler"]
    with fillers.daemon():
        wait_for(lambda: alarms(fillers)[0]["observed"] == 15.0, "the daemon to go on under the new name")
    (alert,) = alarms(fillers)
    assert (alert["id"], alert["asset"]) == (1, "filler A")
    assert not any(line["event"] in ("bug", "store.failed") for line in fillers.log())
    assert is_sound(fillers)


def test_a_daemon_leaves_a_retired_asset_alone(fillers: PlantFolder, floor: RunningFloor) -> None:
    with fillers.daemon() as daemon:
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 9, "polls")
        assert fillers.asbuilt("assets", "retire", "line1/filler", "--reason", "scrapped").code == 0
        wait_for(lambda: any(line["event"] == "asset.gone" for line in fillers.log()), "the daemon to notice")
        before = floor.plcs["line2/filler"].seen.total
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > before + 9, "three polls of the neighbour")
        assert daemon.poll() is None
    assert not any(line["event"] in ("bug", "store.failed") for line in fillers.log())
    shown = fillers.asbuilt("assets", "--all", "--json").json["assets"]
    assert [(each["asset"], each["retired_at"] is not None) for each in shown] == [
        ("line2/filler", False),
        ("line1/filler", True),
    ]
    assert is_sound(fillers)


def test_a_daemon_keeps_nothing_under_a_name_that_another_asset_has_taken(
    fillers: PlantFolder, floor: RunningFloor
) -> None:
    with fillers.daemon():
        wait_for(lambda: floor.plcs["line1/filler"].seen.total > 9, "polls")
        with sqlite3.connect(fillers.folder / "asbuilt.db") as connection:  # quicker than two people could
            before = connection.execute("SELECT count(*) FROM run").fetchone()
            connection.execute("UPDATE asset SET name = 'x' WHERE name = 'line1/filler'")
            connection.execute("UPDATE asset SET name = 'line1/filler' WHERE name = 'line2/filler'")
            connection.execute("UPDATE asset SET name = 'line2/filler' WHERE name = 'x'")
        floor.apply("line1/filler", set={"limit": 14.0})
        wait_for(lambda: any(line["event"] == "asset.gone" for line in fillers.log()), "the daemon to notice")
        assert connection.execute("SELECT count(*) FROM run").fetchone() == before
        assert alarms(fillers) == []


def test_a_retired_asset_comes_back_with_the_next_command(fillers: PlantFolder) -> None:
    before = fillers.file.read_text()
    assert fillers.asbuilt("assets", "retire", "line1/filler", "--reason", "sold").code == 0
    assert fillers.asbuilt("check", "line1/filler").code == 2
    fillers.file.write_text(before)
    back = fillers.asbuilt("check", "line1/filler")
    assert (back.code, "is there again with all of its history" in back.err) == (0, True)
    assert fillers.asbuilt("assets", "--all", "--json").asset("line1/filler")["retired_at"] is None
    assert is_sound(fillers)


def test_out_of_service_from_end_to_end(fillers: PlantFolder, floor: RunningFloor) -> None:
    with fillers.daemon():
        out = fillers.asbuilt("assets", "out", "line1/filler", "--until", "+1h", "--reason", "weekly stop")
        assert "line1/filler is out of service until" in out.out
        floor.apply("line1/filler", set={"limit": 14.0})
        wait_for(lambda: alarms(fillers), "the alarm")
        assert [(each["state"], each["suppressed_by"]) for each in alarms(fillers)] == [
            ("SUPPRESSED", "out-of-service")
        ]
        shown = fillers.asbuilt("assets", "--json").asset("line1/filler")
        assert (shown["verdict"], shown["out_of_service"]["reason"]) == ("drift", "weekly stop")
        fillers.asbuilt("assets", "out", "line1/filler", "--until", "+2s", "--reason", "done sooner")
        wait_for(lambda: alarms(fillers)[0]["state"] == "UNACK", "the alarm to come back")
    assert fillers.asbuilt("assets", "in", "line1/filler").code == 2
    assert is_sound(fillers)


def test_without_a_daemon_what_is_over_comes_back_when_somebody_looks(
    fillers: PlantFolder, floor: RunningFloor
) -> None:
    fillers.asbuilt("assets", "out", "line1/filler", "--until", "+1h", "--reason", "stop")
    floor.apply("line1/filler", set={"limit": 14.0})
    assert fillers.asbuilt("check").code == 1
    assert alarms(fillers)[0]["state"] == "SUPPRESSED"
    fillers.asbuilt("assets", "out", "line1/filler", "--until", "+1s", "--reason", "stop")
    wait_for(lambda: fillers.asbuilt("assets", "--json").asset("line1/filler")["out_of_service"] is None, "its end")
    fillers.asbuilt("assets")  # the last look may have been at its very end
    with sqlite3.connect(fillers.folder / "asbuilt.db") as connection:
        assert connection.execute("SELECT state FROM alert").fetchall() == [("UNACK",)]
    assert is_sound(fillers)


# ---- Replaced like for like


def test_a_swapped_plc_is_one_alarm_and_is_approved_as_its_like(cappers: tuple[PlantFolder, RunningFloor]) -> None:
    folder, floor = cappers
    same = folder.asbuilt("assets", "replace", "capper", "--reason", "swap")
    assert (same.code, "nothing to do" in same.out) == (0, True)
    floor.apply("capper", identity={"object_128": "C4-9"})
    with folder.daemon():
        wait_for(lambda: alarms(folder), "the alarm")
        assert [(each["kind"], each["severity"]) for each in alarms(folder)] == [("replaced", "medium")]
        swapped = folder.asbuilt("assets", "replace", "capper", "--reason", "swap", "--ticket", "T-4", "--json")
        assert swapped.code == 0
        assert (swapped.json["detail"]["from"], swapped.json["detail"]["to"]) == ("C4-1", "C4-9")
        assert swapped.json["baseline"]["state"] == "proposed"
        folder.asbuilt("baseline", "approve", "capper", "--reason", "seen")
        wait_for(lambda: alarms(folder)[0]["state"] == "RTN_UNACK", "the alarm to return")
    assert folder.asbuilt("check").code == 0
    assert is_sound(folder)


@pytest.mark.parametrize("what", [{"set": {"limit": 14.0}}, {"identity": {"software_revision": "1.1"}}])
def test_a_swap_with_more_is_no_like(cappers: tuple[PlantFolder, RunningFloor], what: dict[str, Any]) -> None:
    folder, floor = cappers
    floor.apply("capper", identity={"object_128": "C4-9"})
    floor.apply("capper", **what)
    assert folder.asbuilt("check").code == 1
    assert [each["kind"] for each in alarms(folder)] == ["changed", "changed"]
    more = folder.asbuilt("assets", "replace", "capper", "--reason", "swap", "--json")
    assert (more.code, more.json["action"]) == (1, None)
    (deviation,) = more.json["deviations"]
    assert deviation["item"] != "identity.serial_number"
    assert "asbuilt kit capper" in folder.asbuilt("assets", "replace", "capper", "--reason", "swap").out
    floor.apply("capper", behave="silent")
    assert folder.asbuilt("assets", "replace", "capper", "--reason", "swap").code == 3


def test_a_swapped_opc_ua_labeller_is_one_alarm_however_often_it_says_its_number(tmp_path: Path) -> None:
    with running(LABELLER) as floor:
        address = floor.plcs["labeller"].address
        folder = PlantFolder(tmp_path, {})
        folder.file.write_text(
            folder.file.read_text() + f'[asset.labeller]\naddress = "{address}"\nprofile = "auto"\nevery = "300ms"\n'
        )
        folder.commissioned()
        labeller = {"SerialNumber": "L2-2", "ProductInstanceUri": "urn:acme:l2:2"}
        vision = {"SerialNumber": "OV-2", "ProductInstanceUri": "urn:occhio:ov:2"}
        floor.apply("labeller", nameplate={"Labeller": labeller, "Vision": vision})
        checked = folder.asbuilt("check", "--json")
        assert len(checked.asset("labeller")["deviations"]) == 5
        assert [each["kind"] for each in alarms(folder)] == ["replaced"]
        assert folder.asbuilt("assets", "replace", "labeller", "--reason", "swap").code == 0
        folder.asbuilt("baseline", "approve", "labeller", "--reason", "seen")
        assert folder.asbuilt("check").code == 0
        floor.apply("labeller", nameplate={"Labeller": {"SerialNumber": "L2-3", "SoftwareRevision": "9"}})
        assert folder.asbuilt("check").code == 1
        assert {each["kind"] for each in alarms(folder) if each["state"] == "UNACK"} == {"changed"}
        assert is_sound(folder)


# ---- Moved


def test_an_asset_moves_to_where_the_same_device_answers(cappers: tuple[PlantFolder, RunningFloor]) -> None:
    folder, floor = cappers
    spare, before = floor.plcs["spare"].address, folder.file.read_text()
    swap = folder.asbuilt("assets", "move", "capper", spare, "--reason", "new switch", "--json")
    assert (swap.code, [each["item"] for each in swap.json["deviations"]]) == (1, ["identity.serial_number"])
    floor.apply("spare", behave="silent")
    assert folder.asbuilt("assets", "move", "capper", spare, "--reason", "new switch").code == 3
    assert folder.asbuilt("assets", "move", "capper", floor.plcs["capper"].address, "--reason", "x").code == 2
    assert folder.asbuilt("assets", "move", "capper", "s7://10.0.0.1", "--reason", "x").code == 2
    assert folder.file.read_text() == before
    floor.apply("spare", behave="honest")
    floor.apply("spare", identity={"object_128": "C4-1"})
    moved = folder.asbuilt("assets", "move", "capper", spare, "--reason", "new switch", "--json")
    assert (moved.code, moved.json["detail"]["to"], moved.json["detail"]["seen"]) == (0, spare, "yes")
    assert folder.file.read_text() == before.replace(floor.plcs["capper"].address, spare)
    assert floor.plcs["spare"].seen.total > 0
    assert folder.asbuilt("check").code == 0
    assert is_sound(folder)


def test_unseen_an_asset_moves_without_a_look(cappers: tuple[PlantFolder, RunningFloor]) -> None:
    folder, floor = cappers
    moved = folder.asbuilt("assets", "move", "capper", floor.plcs["spare"].address, "--unseen", "--reason", "x")
    assert (moved.code, floor.plcs["spare"].seen.total) == (0, 0)
    assert folder.asbuilt("check").code == 1


def test_no_device_that_the_daemon_polls_sees_a_second_connection(fillers: PlantFolder, floor: RunningFloor) -> None:
    with fillers.daemon():
        wait_for(lambda: floor.plcs["line2/filler"].seen.total > 3, "a poll")
        unit_2 = floor.plcs["line2/filler"].address.removesuffix("1") + "2"
        moved = fillers.asbuilt("assets", "move", "line1/filler", unit_2, "--reason", "gateway")
        assert (moved.code, "second connection" in moved.err) == (2, True)
    assert floor.plcs["line2/filler"].seen.connections == 2  # of the commissioning, and of the daemon


@pytest.mark.parametrize(
    "words",
    [
        ["rename", "line1/filler", "x"],
        ["retire", "line1/filler"],
        ["move", "nobody", "modbus://plc/1", "--reason", "x"],
        ["replace", "nobody", "--reason", "x"],
        ["out", "line1/filler", "--until", "2020-01-01T00:00Z", "--reason", "x"],
        ["out", "line1/filler", "--until", "soon", "--reason", "x"],
        ["out", "nobody", "--until", "+1h", "--reason", "x"],
        ["in", "line1/filler"],
        ["retire", "line1/filler", "--reason", " "],
    ],
)
def test_a_call_that_is_wrong_ends_with_a_sentence(plant: Plant, tmp_path: Path, words: list[str]) -> None:
    folder = PlantFolder(tmp_path, {"line1/filler": "modbus://127.0.0.1:1/1"})
    before = folder.file.read_text()
    done = folder.asbuilt("assets", *words)
    assert (done.code, bool(done.err)) == (2, True)
    assert folder.file.read_text() == before
