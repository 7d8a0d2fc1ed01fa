"""What quality people look at, on the page and in the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.alert import Alert, AlertState, Event, Move
from baselines.drift import Kind
from baselines.snapshot import Category, Item, Severity
from monitor import store
from monitor.config import load_plant
from tests.machines import approved, token
from tests.sites import SIZES, Visitor, browsing, enter, plant_with, signed_in

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVIL = '<script>alert("x")</script>'
ALERT = re.compile(r'role="alert">([^<]*)<')


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A plant in Berlin of two zones with three deviations."""
    folder = tmp_path_factory.mktemp("quality")
    plant_with(folder, "", ("hall1/a", "hall2/b"))
    path = folder / "plant.toml"
    written = path.read_text("utf-8").replace('works"\n', 'works"\ntimezone = "Europe/Berlin"\n', 1)
    for zone in ("hall1", "hall2"):
        written = written.replace(f'[asset."{zone}', f'[asset."{zone}', 1)
        written = re.sub(rf'(\[asset\."{zone}/.*"\]\n)', rf'\1zone = "{zone}"\n', written)
    path.write_text(written, "utf-8")
    with signed_in(load_plant(path), clock=lambda: NOW) as somebody:
        database = somebody.site.database
        items = [Item("item.x", 1)]
        approved(database, {"hall1/a": items, "hall2/b": items}, NOW - timedelta(days=60))
        deviated(somebody, "hall1/a", "wrong-value", 30)
        deviated(somebody, "hall1/a", None, 20)
        deviated(somebody, "hall2/b", EVIL, 10)
        yield somebody


def deviated(visitor: Visitor, asset: str, cause: str | None, days_ago: float) -> None:
    """A deviation that was raised so many days ago, and is over since an hour later."""
    at = NOW - timedelta(days=days_ago)
    over = at + timedelta(hours=1)
    known = (asset, "item.x", Kind.CHANGED, 1, 2, Severity.HIGH, Category.PARAMETER, (), None, at)
    with visitor.site.database.write() as tx:
        raised = Alert(*known, at, AlertState.UNACK)
        move = store.store_move(tx, Move(Event.DEVIATES, AlertState.NORMAL, raised))
        ended = Alert(*known, over, AlertState.NORMAL, id=move.alert.id, cause=cause)
        store.store_move(tx, Move(Event.CONFORMS, AlertState.UNACK, ended))


def test_the_page_has_pictures_and_the_same_numbers_as_tables(visitor: Visitor) -> None:
    page = visitor.get("/quality").text
    assert page.count("<svg ") == 4
    assert "style=" not in page, "our policy would refuse it"
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert re.search(r"<dt>Deviations</dt><dd>3</dd>", page)
    causes = page.partition("By cause")[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th><td class="number">(\d+)</td><td class="number">([\d.]+ %)', causes)
    assert ("wrong-value", "1", "33.3 %") in rows
    assert ("no cause given yet", "1", "33.3 %") in rows
    assert "Of 3 deviations" in page


def test_a_time_and_a_zone_are_chosen(visitor: Visitor) -> None:
    def counted(**asked: str) -> str:
        page = visitor.get("/quality", params=asked).text
        found = re.search(r"<dt>Deviations</dt><dd>(\d+)</dd>", page)
        return found[1] if found else "".join(ALERT.findall(page))

    assert counted(zone="hall1") == "2"
    assert counted(zone="hall2") == "1"
    assert "there is no zone hall9" in counted(zone="hall9")
    # 2026-10-21 12:00 UTC, 10-31 and 11-10 are those of the deviations
    assert counted(since="2026-10-22") == "2"
    assert counted(since="2026-10-22", until="2026-10-31") == "1", "the last day is meant with all of it"
    assert counted(since="2026-10-22", until="2026-10-30", by="day") == "0"
    assert "more than 1000 periods" in counted(since="1970-01-01", by="day")
    assert "not before the end" in counted(since="2026-12-01")
    assert "is no time" in counted(since=EVIL)
    assert "before any plant" in counted(until="0001-01-02")
    assert visitor.get("/quality", params={"by": "hour"}).status_code == 422


def test_periods_begin_at_midnight_of_the_plant_though_its_clocks_change(visitor: Visitor) -> None:
    secret = token(visitor.site.database, "ada", "viewer")
    asked = {"from": "2026-10-24T00:00", "until": "2026-10-27T00:00", "by": "day"}
    found = visitor.api("GET", "/quality", secret, params=asked).json()
    hours = [
        (datetime.fromisoformat(each["until"]) - datetime.fromisoformat(each["from"])) / timedelta(hours=1)
        for each in found["rate"]["periods"]
    ]
    assert hours == [24, 25, 24]
    assert found["timezone"] == "Europe/Berlin"


def test_the_api_gives_the_document_of_the_command(visitor: Visitor) -> None:
    secret = token(visitor.site.database, "ada", "viewer")
    found = visitor.api("GET", "/quality", secret).json()
    assert (found["deviations"], found["by"], len(found["causes"])) == (3, "week", 3)
    assert visitor.api("GET", "/quality", secret, params={"zone": "hall2"}).json()["deviations"] == 1
    for wrong, status in (
        ({"from": "x"}, 409),
        ({"until": "0001-01-02"}, 409),
        ({"zone": "x"}, 409),
        ({"by": "x"}, 422),
        ({"from": "0001-01-01"}, 409),
    ):
        refused = visitor.api("GET", "/quality", secret, params=wrong)
        assert (refused.status_code, list(refused.json())) == (status, ["error"]), wrong
    json.dumps(found, allow_nan=False)


def test_a_plant_in_which_nothing_has_happened(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as somebody:
        page = somebody.get("/quality").text
        assert "no asset was looked at" in page
        assert "no deviations in this period" in page


def test_pictures_take_the_colours_of_the_page(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url), "phone", color_scheme="dark") as page:
        enter(page, visitor, "ada")
        page.goto("/quality")
        ground = page.locator(".picture").first.evaluate("each => getComputedStyle(each).backgroundColor")
        drawn = page.locator(".picture svg > rect").first.evaluate("each => getComputedStyle(each).fill")
        assert drawn == ground == "rgb(24, 32, 40)"
        assert page.get_by_role("img", name="Causes of deviations").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"]["width"]
        found = Axe().run(page).response["violations"]
        assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")]
