"""Machines of one type beside each other, on the page and in the API."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.snapshot import Item
from monitor.config import Plant, load_plant
from monitor.polling import utc_now
from tests.floors import wait_for
from tests.machines import approved, seen, token
from tests.sites import Visitor, browsing, enter, plant_with, signed_in

EVIL = '"><script>alert(1)</script>'


def plant_of(folder: Path, types: dict[str, list[str]], more: str = "") -> Plant:
    """A plant with machines of some types."""
    plant_with(folder, "", ("odds/end",))
    path = folder / "plant.toml"
    tables = [
        f'[asset."{name}"]\naddress = "modbus://127.0.0.1:{20_000 + place * 100 + number}/1"\nprofile = "acme-p1"\n'
        f'machine_type = "{kind}"\n'
        for place, (kind, names) in enumerate(types.items())
        for number, name in enumerate(names)
    ]
    path.write_text(path.read_text("utf-8") + "\n".join(tables) + more, "utf-8")
    return load_plant(path)


def machines(names: list[str], items: int) -> dict[str, list[Item]]:
    return {name: [Item(f"item.x{number:03}", number) for number in range(items)] for name in names}


def row_of(page: str, key: str) -> str:
    """What the matrix says of an item."""
    return page.partition(f'<span class="code">{key}</span>')[2].partition("</tr>")[0]


FILLERS = [f"line{number}/filler" for number in range(1, 5)]


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Four fillers of which one is odd in two items, and two cappers, one of which nobody has seen."""
    cappers = ["line1/capper", "line2/capper"]
    golden = '[machine_type.capper]\ngolden = "line1/capper"\n'
    plant = plant_of(tmp_path_factory.mktemp("conform"), {"filler": FILLERS, "capper": cappers}, golden)
    with signed_in(plant) as somebody:
        database = somebody.site.database
        approved(database, machines([*FILLERS, cappers[0]], 5))
        odd = [Item("item.x000", 14), Item("item.x001", EVIL), *machines(["x"], 5)["x"][2:], Item("device.1.model", 1)]
        seen(database, {FILLERS[2]: odd})
        yield somebody


def test_the_odd_one_out_is_named_and_marked(visitor: Visitor) -> None:
    page = visitor.get("/conformity").text
    assert "filler: 4 machines, 3 alike; line3/filler is the odd one out in 3 items" in page
    assert "the type is what more than half of them have" in page
    assert row_of(page, "item.x000").count('class="bad"') == 1
    assert "differs: </span>14" in row_of(page, "item.x000")
    assert row_of(page, "item.x000").count("as the type") == 3
    assert "&lt;script&gt;" in row_of(page, "item.x001")
    assert "<script>alert" not in page
    assert "no such item" in row_of(page, "device.1.model")
    assert "item.x002" not in page, "only differences"
    assert "2 more items" not in page
    assert "3 more items" in page
    everything = visitor.get("/conformity", params={"type": "filler", "all": "yes"}).text
    assert row_of(everything, "item.x002").count("as the type") == 4


def test_what_nobody_saw_is_said_and_golden_is_named(visitor: Visitor) -> None:
    page = visitor.get("/conformity", params={"type": "capper", "all": "yes"}).text
    assert "the type is line1/capper, as approved" in page
    assert row_of(page, "item.x000").count("never seen") == 1
    assert "line2/capper: never-seen" in page
    assert visitor.get("/conformity", params={"type": EVIL}).status_code == 422


def test_the_api_gives_the_document_of_the_command(visitor: Visitor) -> None:
    secret = token(visitor.site.database, "ada", "viewer")
    found = visitor.api("GET", "/conformity", secret).json()["types"]
    assert [each["machine_type"] for each in found] == ["filler", "capper"]
    assert [each["odd"] for each in found[0]["assets"]] == [0, 0, 3, 0]
    (one,) = visitor.api("GET", "/conformity", secret, params={"type": "capper"}).json()["types"]
    assert one == found[1]
    assert visitor.api("GET", "/conformity", secret, params={"type": "x"}).status_code == 409


def test_nobody_is_kept_out(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url), color_scheme="dark") as page:
        enter(page, visitor, "ada")
        for kind in ("filler", "capper"):
            page.goto(f"/conformity?type={kind}")
            found = Axe().run(page).response["violations"]
            assert not [each["id"] for each in found if each["impact"] in ("serious", "critical")]


def test_forty_machines_of_a_hundred_items(tmp_path: Path, browser: Browser) -> None:
    """They come quickly, and scroll within their box on a phone, by the keyboard too."""
    names = [f"line{number:02}/filler" for number in range(40)]
    with signed_in(plant_of(tmp_path, {"filler": names})) as somebody:
        database, old = somebody.site.database, utc_now() - timedelta(days=9)
        approved(database, machines(names[1:], 100))
        approved(database, machines(names[:1], 99), old)
        somebody.get("/conformity?all=yes")
        began = time.process_time()  # ours and the server's, which runs here; not what the machine does besides
        answer = somebody.get("/conformity?all=yes")
        took = time.process_time() - began
        assert answer.text.count("<tr>") == 101
        assert "unread" in row_of(answer.text, "item.x099"), "a device does not leave out what its profile asks for"
        assert took < 1, "it takes about 0.2 s"
        with browsing(browser, str(somebody.client.base_url), "phone") as page:
            enter(page, somebody, "ada")
            page.goto("/conformity?all=yes")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            box = page.get_by_role("region", name="Items and machines of filler")
            box.focus()
            page.keyboard.press("End")
            wait_for(lambda: box.evaluate("each => each.scrollTop") > 1000, "the end of the list")
            head, frame = page.locator(".matrix thead th").first.bounding_box(), box.bounding_box()
            assert head
            assert frame
            assert abs(head["y"] - frame["y"]) < 3, "the names of the machines stay"
            for _ in range(20):
                page.keyboard.press("ArrowRight")
            wait_for(lambda: box.evaluate("each => each.scrollLeft") > 300, "machines further on")
            moved = page.locator(".matrix tbody tr:last-child th").bounding_box()
            assert moved
            assert abs(moved["x"] - frame["x"]) < 3, "and so do the items"


def test_a_plant_that_names_no_type_is_told_how(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as somebody:
        assert "machine_type" in somebody.get("/conformity").text
        secret = token(somebody.site.database, "ada", "viewer")
        assert somebody.api("GET", "/conformity", secret).json() == {"types": []}
