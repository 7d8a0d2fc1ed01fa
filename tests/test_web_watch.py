"""How the watch itself is, on the page and in the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from monitor.config import load_plant
from monitor.store import Database
from tests.alarming import lived, token
from tests.floors import PlantFolder, RunningFloor
from tests.sites import Visitor, browsing, enter, register, serving, signed_in

ROUTE = '[notify.hall]\nkind = "webhook"\nurl = "http://127.0.0.1:9/never"\nmin_severity = "high"\n'


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Ada at a plant that nobody polls: its last self-test failed."""
    plant, database = lived(tmp_path_factory.mktemp("plant"), more_of_plant=ROUTE)
    with signed_in(plant, database=database) as visitor:
        yield visitor


def test_what_does_not_work_is_said(ada: Visitor) -> None:
    text = ada.get("/watch").text
    for part in (
        "The plant is not watched as it should be.",
        "the store is not led by this process",
        "FAILED",
        "no further",
        "It passed last at",
        "Verify the evidence",
        "4 entries verify",
        "6 never polled",
        "hall",
        "not used yet",
    ):
        assert part in text, part


def test_nobody_tests_what_does_not_run(ada: Visitor) -> None:
    answer = ada.post("/watch/self-test")
    assert (answer.status_code, "nobody watches the plant at this moment" in answer.text) == (409, True)
    asked = ada.api("POST", "/self-test", token(ada, "engineer"))
    assert (asked.status_code, "nobody watches" in asked.json()["error"]) == (409, True)
    assert ada.api("POST", "/self-test", token(ada, "viewer")).status_code == 403
    assert "These are the newest counts" in ada.post("/watch/counts").text, "nobody polls: the store has all there is"


def test_the_api_says_the_same(ada: Visitor) -> None:
    key = token(ada, "viewer")
    found = ada.api("GET", "/watch", key).json()
    assert (found["ready"], found["self_test"]["ok"]) == (False, False)
    assert found["self_test"]["legs"] == {"read": 0.2, "compared": 0.2}
    assert found["self_test_passed_at"] < found["self_test"]["at"] < found["at"]
    assert [each["chore"] for each in found["chores"]] == ["verify"]
    assert [(each["route"], each["min_severity"]) for each in found["routes"]] == [("hall", "high")]
    assert found["store"]["bytes"] > 10_000
    contract = ada.api("GET", "/contract", key, params={"limit": 2, "offset": 1}).json()
    assert (contract["devices"], len(contract["contracts"])) == (6, 2)
    assert contract["verdicts"] == {"exceeded": 0, "attempted": 0, "never-polled": 6, "kept": 0}
    assert ada.api("GET", "/contract", key, params={"asset": "nobody"}).status_code == 409
    assert ada.api("GET", "/watch").status_code == 401


def test_it_is_usable_without_eyes(ada: Visitor, browser: Browser) -> None:
    with browsing(browser, str(ada.client.base_url), "phone") as page:
        enter(page, ada, "ada")
        page.goto("/watch")
        found = Axe().run(page)
        assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the phone"


def test_the_daemon_tests_itself_when_it_is_asked(plant: PlantFolder, floor: RunningFloor) -> None:
    read = load_plant(plant.file)
    with plant.daemon(), serving(read, Database(read.store_url)) as visitor:
        visitor.site.vitals.leads = True  # the daemon is in another process here
        register(read, visitor.site.database, "ada")
        visitor.sign_in("ada")
        assert "It was not tested yet" in visitor.get("/watch").text
        assert "The self-test passed" in visitor.post("/watch/self-test").text
        text = visitor.get("/watch").text
        assert all(part in text for part in ("<strong>stored</strong>", "the last leg was not tested"))
        assert "newest counts" in visitor.post("/watch/counts").text
        contract = visitor.api("GET", "/contract", token(visitor, "viewer"), params={"fresh": "true"}).json()
        assert (contract["is_fresh"], contract["verdicts"]["kept"]) == (True, 2)
