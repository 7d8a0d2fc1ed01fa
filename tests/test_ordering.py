"""Change orders on a real plant: announced, suppressed, done or not, closed, and cases closed with a cause."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from baselines.baseline import Stage
from baselines.snapshot import Item, Snapshot
from monitor import store
from monitor.actions import approve, propose
from monitor.ordering import open_order
from monitor.store import Actor, Database, store_url
from tests.floors import Done, PlantFolder, RunningFloor, wait_for

FILLER = "line1/filler"


@pytest.fixture
def approved(plant: PlantFolder) -> PlantFolder:
    plant.commissioned()
    return plant


def opened(plant: PlantFolder, *expected: str, until: str = "+1h", from_: str = "now") -> str:
    words = [word for each in expected for word in ("--expect", each)]
    window = ("--from", from_, "--until", until)
    done = plant.asbuilt("change", "open", "--asset", FILLER, *words, *window, "--ticket", "T-1", "--by", "ada")
    assert done.code == 0, done.err
    return done.out.strip()


def alarms(plant: PlantFolder) -> dict[str, str]:
    """The state of each open alarm, by item."""
    found = plant.asbuilt("alerts", "list", "--json").json["alerts"]
    return {alert["item"]: alert["state"] for alert in found}


def closed(plant: PlantFolder, order: str, *more: str) -> Done:
    return plant.asbuilt("change", "close", order, "--by", "ada", "--json", *more)


def test_what_was_announced_is_suppressed_and_done_as_planned_becomes_the_proposal(
    approved: PlantFolder, floor: RunningFloor
) -> None:
    order = opened(approved, "item.limit=13", "item.crc=*")
    floor.apply(FILLER, set={"limit": 13.0, "crc": "cafecafe"})
    checked = approved.asbuilt("check", FILLER, "--json")
    assert checked.code == 1, "drift, suppressed or not"
    found = checked.asset(FILLER)["deviations"]
    assert {each["item"]: each["suppressed_by"] for each in found} == {"item.limit": order, "item.crc": order}
    assert alarms(approved) == {"item.crc": "SUPPRESSED", "item.limit": "SUPPRESSED"}
    assert approved.asbuilt("verify", "--json").json["uncovered"] == 0, "what the program decides is signed too"
    done = closed(approved, order)
    assert (done.code, done.json["state"], done.json["excess"]) == (0, "closed", [])
    assert [(each["item"], each["observed"], each["outcome"]) for each in done.json["expectations"]] == [
        ("item.limit", 13.0, "as-planned"),
        ("item.crc", "cafecafe", "as-planned"),
    ]
    (proposed,) = done.json["baselines"]
    assert (proposed["state"], proposed["stage"], proposed["ticket"]) == ("proposed", "as-left", "T-1")
    assert set(alarms(approved).values()) == {"SUPPRESSED"}, "until somebody decides on what was proposed"
    assert approved.asbuilt("baseline", "approve", FILLER, "--by", "bo", "--reason", "T-1").code == 0
    assert (approved.asbuilt("check").code, alarms(approved)) == (0, {})
    assert approved.asbuilt("verify").code == 0


def test_a_rejected_proposal_lets_its_alarms_go(approved: PlantFolder, floor: RunningFloor) -> None:
    order = opened(approved, "item.limit=13")
    floor.apply(FILLER, set={"limit": 13.0})
    assert closed(approved, order).code == 0
    assert approved.asbuilt("baseline", "reject", FILLER, "--reason", "not so").code == 0
    approved.asbuilt("check", FILLER)
    assert alarms(approved) == {"item.limit": "UNACK"}


def test_all_else_alarms_as_ever_and_nothing_is_proposed(approved: PlantFolder, floor: RunningFloor) -> None:
    order = opened(approved, "item.limit=13")
    floor.apply(FILLER, set={"limit": 14.0, "mode": 7})
    floor.apply("line2/filler", set={"limit": 13.0})
    approved.asbuilt("check")
    assert alarms(approved) == {"item.limit": "UNACK", "item.mode": "UNACK"}
    done = closed(approved, order)
    assert done.code == 1
    assert [each["outcome"] for each in done.json["expectations"]] == ["partial"]
    assert [(each["item"], each["approved"], each["observed"]) for each in done.json["excess"]] == [
        ("item.mode", "RUN", "PROGRAM")
    ]
    assert done.json["baselines"] == []


def test_what_deviated_before_it_was_announced_is_not_silenced(approved: PlantFolder, floor: RunningFloor) -> None:
    floor.apply(FILLER, set={"limit": 13.0})
    approved.asbuilt("check", FILLER)
    order = opened(approved, "item.limit=13")
    approved.asbuilt("check", FILLER)
    assert alarms(approved) == {"item.limit": "UNACK"}
    done = closed(approved, order)
    assert (done.code, done.json["expectations"][0]["outcome"]) == (1, "outside-window")


def test_a_window_that_ends_lets_its_alarms_go_with_the_daemon(approved: PlantFolder, floor: RunningFloor) -> None:
    with approved.daemon():
        order = opened(approved, "item.limit=13", until="+6s")
        floor.apply(FILLER, set={"limit": 13.0})
        wait_for(lambda: alarms(approved) == {"item.limit": "SUPPRESSED"}, "the suppressed alarm")
        wait_for(lambda: alarms(approved) == {"item.limit": "UNACK"}, "the end of the window")
        (listed,) = approved.asbuilt("change", "list", "--json").json["orders"]
        assert listed["overdue"]
        done = closed(approved, order)
        assert (done.code, done.json["expectations"][0]["outcome"]) == (0, "as-planned")
    texts = [line["text"] for line in approved.log() if line["event"] == "alert.unsuppress"]
    assert texts == [f"{FILLER}: item.limit changed from 12.5 to 13.0 (no longer suppressed)"]


def test_there_and_back_that_a_poll_saw_is_in_excess(approved: PlantFolder, floor: RunningFloor) -> None:
    order = opened(approved, "item.limit=13")
    floor.apply(FILLER, set={"crc": "00000000"})
    approved.asbuilt("check", FILLER)
    floor.apply(FILLER, set={"crc": "deadbeef", "limit": 13.0})
    done = closed(approved, order)
    assert done.code == 1
    assert [(each["item"], each["observed"]) for each in done.json["excess"]] == [("item.crc", "00000000")]


def test_an_order_does_not_take_the_place_of_what_another_proposed(approved: PlantFolder, floor: RunningFloor) -> None:
    first, second = opened(approved, "item.limit=13"), opened(approved, "item.crc=*")
    floor.apply(FILLER, set={"limit": 13.0, "crc": "cafecafe"})
    assert closed(approved, first).code == 0
    waits = closed(approved, second)
    assert (waits.code, "approve or reject it first" in waits.err) == (2, True)
    assert approved.asbuilt("baseline", "approve", FILLER, "--by", "bo", "--reason", "1", "--without", "*").code == 2
    words = ("baseline", "approve", FILLER, "--by", "bo", "--reason", "T-1", "--although-changed")
    assert approved.asbuilt(*words).code == 0
    assert closed(approved, second).code == 0
    assert approved.asbuilt(*words).code == 0
    assert (approved.asbuilt("check").code, alarms(approved)) == (0, {})
    assert approved.asbuilt("verify").code == 0


def test_an_order_is_closed_once(approved: PlantFolder) -> None:
    order = opened(approved, "item.limit=13")
    closing = [approved.meanwhile("change", "close", order, "--by", name) for name in ("ada", "bo")]
    ended = sorted((done.code, done.err) for done in (each.ended() for each in closing))
    assert [code for code, _ in ended] == [1, 2]
    assert "closed" in ended[1][1]
    assert approved.asbuilt("verify").code == 0


def test_what_cannot_be_seen_closes_nothing(approved: PlantFolder, floor: RunningFloor) -> None:
    order = opened(approved, "item.limit=13")
    floor.apply(FILLER, behave="silent")
    refused = closed(approved, order)
    assert (refused.code, "stays open" in refused.err) == (3, True)
    assert approved.asbuilt("change", "show", order, "--json").json["state"] == "open"
    done = closed(approved, order, "--as-seen")
    assert (done.code, done.json["expectations"][0]["outcome"]) == (1, "missing")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--expect", "item.limt=13"), "did you mean item.limit"),
        (("--expect", "item.limit=abc"), "is a number"),
        (("--expect", "item.limit=12.5"), "nothing would change"),
        (("--expect", "item.limit"), "ITEM=VALUE"),
        (("--expect", "=13"), "ITEM=VALUE"),
        (("--expect", "item.limit=13", "--expect", "item.limit=14"), "twice"),
        (("--expect", "item.limit=13", "--until", "2020-01-01"), "in the future"),
        (("--expect", "item.limit=13", "--until", "yesterday"), "is no time"),
        (("--expect", "item.limit=13", "--from", "2020-01-01"), "says in advance"),
        (("--expect", "item.limit=\udcff"), "is a number"),
        (("--expect", "item.limit=13", "--ticket", " "), "empty"),
    ],
)
def test_an_order_that_cannot_be_is_a_sentence(approved: PlantFolder, words: tuple[str, ...], why: str) -> None:
    given = {"--until": "+1h", "--ticket": "T", "--asset": FILLER}
    rest = [word for key, value in given.items() if key not in words for word in (key, value)]
    done = approved.asbuilt("change", "open", *rest, *words)
    assert (done.code, why in done.err) == (2, True), done.err


def test_bytes_that_are_no_text_are_kept_as_a_question_mark(approved: PlantFolder) -> None:
    opened(approved, "identity.a\udcff=b\udcff")
    listed = approved.asbuilt("change", "list", "--json").json["orders"][0]["expectations"]
    assert [(each["item"], each["expected"]) for each in listed] == [("identity.a?", "b?")]


def test_closed_as_seen_what_is_proposed_is_what_was_seen(approved: PlantFolder, floor: RunningFloor) -> None:
    order = opened(approved, "item.limit=13")
    floor.apply(FILLER, set={"limit": 13.0})
    assert approved.asbuilt("check", FILLER).code == 1
    profile = approved.folder / "p9.toml"
    profile.write_text(profile.read_text().replace("address = 210", "address = 60000"))
    done = closed(approved, order, "--as-seen")
    assert (done.code, len(done.json["baselines"])) == (0, 1)
    shown = approved.asbuilt("baseline", "show", FILLER, "--json").json
    assert (shown["items"]["item.limit"], shown["unread"]) == (13.0, [])


def test_an_order_that_was_opened_with_the_clock_set_back_can_be_closed(approved: PlantFolder) -> None:
    earlier = datetime.now(UTC) - timedelta(hours=1)
    window = earlier, earlier + timedelta(hours=2)
    opening = Database(store_url("sqlite:///asbuilt.db", approved.folder))
    with contextlib.closing(opening) as database, database.write() as tx:
        open_order(tx, [FILLER], ["item.limit=13"], *window, "T-1", "", Actor("ada", ""), earlier)
    done = closed(approved, "1")
    assert (done.code, done.json["expectations"][0]["outcome"]) == (1, "missing")


def test_an_order_of_many_items_is_opened_quickly(tmp_path: Path) -> None:
    items = [Item(f"item.x{number}", number) for number in range(3000)]
    expected = [f"{item.key}={item.value + 1}" for item in items]  # type: ignore[operator]
    now, ada = datetime.now(UTC), Actor("ada", "")
    with contextlib.closing(Database(store_url("sqlite:///asbuilt.db", tmp_path))) as database:
        database.migrate()
        with database.write() as tx:
            store.add_assets(tx, [FILLER])
            propose(tx, Snapshot.of(FILLER, now, items), Stage.FAT, ada, now)
            approve(tx, FILLER, ada, "r", now)
            began = time.monotonic()
            open_order(tx, [FILLER], expected, now, now + timedelta(hours=1), "T-1", "", ada, now)
    assert time.monotonic() - began < 10


def test_a_number_that_no_database_can_hold_is_a_sentence(approved: PlantFolder) -> None:
    for words in (("change", "show"), ("change", "close"), ("alerts", "ack")):
        done = approved.asbuilt(*words, str(2**31))
        assert (done.code, "is not in the range" in done.err) == (2, True), done.err


def test_two_orders_do_not_expect_one_item_at_one_time(approved: PlantFolder) -> None:
    opened(approved, "item.limit=13", from_="+1h", until="+2h")
    opened(approved, "item.limit=14", from_="+3h", until="+4h")
    words = ("--expect", "item.limit=15", "--from", "+90m", "--until", "+5h", "--ticket", "T-3")
    refused = approved.asbuilt("change", "open", "--asset", FILLER, *words)
    assert (refused.code, "order 1 (T-1) expects item.limit" in refused.err) == (2, True)


def test_an_asset_without_a_baseline_has_no_orders(plant: PlantFolder) -> None:
    words = ("--expect", "item.limit=13", "--until", "+1h", "--ticket", "T")
    refused = plant.asbuilt("change", "open", "--asset", FILLER, *words)
    assert (refused.code, "no approved baseline" in refused.err) == (2, True)


# Closing cases


def case(plant: PlantFolder, *more: str) -> Done:
    words = ("--cause", "wrong-value", "--prevent", "limits locked in the HMI", "--by", "ada", "--json")
    return plant.asbuilt("alerts", "close", "1", *words, *more)


def test_a_case_is_closed_with_a_cause_when_a_fresh_reading_is_as_approved(
    approved: PlantFolder, floor: RunningFloor
) -> None:
    floor.apply(FILLER, set={"limit": 14.0})
    approved.asbuilt("check")
    early = case(approved)
    assert (early.code, "item.limit changed from 12.5 to 14.0" in early.err) == (2, True)
    floor.apply(FILLER, set={"limit": 12.5, "crc": "00000000"})
    other = case(approved)
    assert (other.code, "item.crc changed" in other.err) == (2, True)
    floor.apply(FILLER, behave="silent")
    unseen = case(approved)
    assert (unseen.code, "could not be read" in unseen.err) == (3, True)
    floor.apply(FILLER, behave="honest")
    floor.apply(FILLER, set={"crc": "deadbeef"})
    (alert,) = case(approved).json["alerts"]
    assert (alert["state"], alert["cause"], alert["closed_by"]) == ("NORMAL", "wrong-value", "ada")
    assert alert["prevention"] == "limits locked in the HMI"
    again = case(approved)
    assert (again.code, "was closed by ada" in again.err) == (2, True)
    assert [bar["cause"] for bar in causes(approved)][:1] == ["wrong-value"]
    assert approved.asbuilt("verify").code == 0


def causes(plant: PlantFolder) -> list[Any]:
    found: list[Any] = plant.asbuilt("quality", "--json").json["causes"]
    return found


def test_a_cause_is_one_of_a_list(approved: PlantFolder) -> None:
    done = approved.asbuilt("alerts", "close", "1", "--cause", "gremlins", "--prevent", "x")
    assert (done.code, "wrong-value" in done.err) == (2, True)
