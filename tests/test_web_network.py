"""The pages and the API of the network: what they show, whatever a packet says, and that a browser can use the map."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from baselines.rules import occurrence
from baselines.snapshot import Category, Item, Severity, Snapshot
from baselines.wire import Operation, WireEvent, Written
from monitor import store
from monitor.pipeline import occur, take_written
from monitor.store import Database, Token
from monitor.web.access import digest_of
from tests.networks import AT, KIM, SEGMENT, Floor, Made, floor, stored
from tests.sites import Visitor, browsing, enter, signed_in

NOW = AT + timedelta(seconds=20)
ROGUE = "02:00:00:00:66:06"
WIDE = "document.querySelector('.map svg.network').getBoundingClientRect().width"
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "cdata": "]]>&amp;<!--",
    "bidi": "plc\u202egnihtyna",
    "no XML": "a\ufffeb\uffffc\x00d\x1be",
    "surrogate": "\ud800",
    "long": "Z" * 10_000,
    "empty": "",
}


def done(database: Database, made: Floor) -> tuple[str, str]:
    """A PLC was stopped by the rogue, and a panel wrote an approved value; the asset and its address."""
    asset = next(line.split('"')[1] for line in made.toml.splitlines() if line.startswith('[asset."line'))
    address = re.search(rf'"{re.escape(asset)}"\]\naddress = "modbus://([0-9.]+)/', made.toml)
    assert address
    stop = WireEvent(AT - timedelta(hours=1), 7, "10.0.66.6", address[1], "s7comm", Operation.STOP)
    approved = Snapshot.of(asset, AT - timedelta(days=1), [Item("item.limit", 12.5, Category.PARAMETER, Severity.HIGH)])
    with database.write() as tx:
        from baselines.baseline import Stage
        from monitor import actions

        actions.propose(tx, approved, Stage.SAT, KIM, AT - timedelta(days=1))
        actions.approve(tx, asset, KIM, "seen", AT - timedelta(days=1), although_changed=True)
    with database.write() as tx:
        occur(tx, asset, occurrence(stop, "laptop-of-somebody"), AT)
        who = {"client": "10.0.1.13", "name": "panel", "protocol": "modbus"}
        take_written(tx, asset, Written("item.limit", AT - timedelta(hours=2), 12.5, who), AT)
        take_written(tx, asset, Written("item.limit", AT - timedelta(hours=3), 99.0, who), AT)
    return asset, address[1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Visitor, str, str]]:
    """A plant with 60 hosts, somebody who is signed in, and the asset that was stopped."""
    made = floor(60, 160)
    plant, database = stored(tmp_path_factory.mktemp("network"), made.toml, [(made.approved, made.heard)])
    asset, address = done(database, made)
    with signed_in(plant, database=database, clock=lambda: NOW) as visitor:
        with database.write() as tx:
            store.add_token(tx, Token(0, digest_of("t"), "ada", "a program", ("viewer",), NOW))
        yield visitor, asset, address


def pictures(text: str) -> list[ET.Element]:
    """The maps of a page, read as XML is."""
    return [ET.fromstring(found) for found in re.findall(r'<svg class="network .*?</svg>', text, re.DOTALL)]


def test_the_page_has_the_map_and_the_same_as_tables(shown: tuple[Visitor, str, str]) -> None:
    visitor, asset, _address = shown
    answer = visitor.get("/network")
    assert answer.status_code == 200
    [picture] = pictures(answer.text)
    links = list(picture.iter("a"))
    assert any(f"/network/hosts/{ROGUE}" == each.get("href") for each in links)
    assert any("hosts of line" in str(each.get("aria-label")) for each in links), (
        "hosts that are alike are drawn as one"
    )
    assert "style=" not in answer.text
    for text in (
        "laptop-of-somebody",
        "by plant.toml",
        "past a level",
        "not in plant.toml",
        "nobody approved that it does",
    ):
        assert text in answer.text
    assert asset in visitor.get("/network?q=10.0").text
    assert "1 to 62 of" not in answer.text
    assert "plc-stop" in answer.text or "plc-stop" in visitor.get("/network?show=new").text


@pytest.mark.parametrize(
    ("asked", "there", "not_there"),
    [
        ("show=new", "laptop-of-somebody", "site/jump-host</a>"),
        ("show=strangers&detail=hosts", "laptop-of-somebody", "by plant.toml"),
        ("show=crossing", "to the internet", "laptop-of-somebody"),
        ("show=silent", "silent", "laptop-of-somebody"),
        ("protocol=enip", "write-tag", "write-multiple-registers"),
        ("q=laptop-of", "1 host", "site/historian</a>"),
        ("group=line2&level=1&state=approved&detail=hosts", "No longer only line2", "laptop-of-somebody"),
        ("q=nobody-is-called-so", "Nothing of the network is like this", "aria-label=\"Map"),
        ("by=subnet&detail=groups", "10.0.66.0/24", "no such thing"),
        ("by=vendor&level=unknown", "Level not known", "by plant.toml"),
        ("segment=plantwide&hosts=99&talks=99", "previous", 'rel="next"'),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_shown(shown: tuple[Visitor, str, str], asked: str, there: str, not_there: str) -> None:
    visitor, *_ = shown
    text = visitor.get(f"/network?{asked}").text
    pictures(text)
    assert there in text
    assert not_there not in text.split('id="hosts"')[1], "in the lists"


@pytest.mark.parametrize("asked", ["segment=none", "show=nothing", "by=%00", "hosts=0", "hosts=x", "detail=1"])
def test_what_cannot_be_is_said(shown: tuple[Visitor, str, str], asked: str) -> None:
    assert shown[0].get(f"/network?{asked}").status_code == 422


@pytest.mark.parametrize(
    "asked", ["level=x", "level=nan", "level=1e999", "state=x", "group=%FF%00", "q=%00", "protocol=%E2%80%AE"]
)
def test_what_is_nowhere_shows_nothing(shown: tuple[Visitor, str, str], asked: str) -> None:
    answer = shown[0].get(f"/network?{asked}")
    assert answer.status_code == 200
    assert "Nothing of the network is like this" in answer.text


def test_a_host_has_a_page_by_each_of_its_addresses(shown: tuple[Visitor, str, str]) -> None:
    visitor, asset, address = shown
    rogue = visitor.get("/network/hosts/10.0.66.6").text
    assert rogue.count("<h1>laptop-of-somebody</h1>") == 1
    assert "plc-stop" in rogue
    assert "stop of" in visitor.get(f"/network/hosts/{address}").text
    assert asset in visitor.get(f"/network/hosts/{address}").text
    assert visitor.get(f"/network/hosts/{ROGUE}").status_code == 200
    assert "to the internet" in visitor.get("/network/hosts/93.184.216.34").text
    for nobody in ("10.9.9.9", "..%2f..%2fetc", "%00", "<script>", "a" * 5000):
        assert visitor.get(f"/network/hosts/{nobody}").status_code == 404


def test_what_was_done_on_the_wire_is_listed_once(shown: tuple[Visitor, str, str]) -> None:
    visitor, _asset, _address = shown
    text = visitor.get("/network/events").text
    assert text.count("<strong>stop</strong>") == 1
    assert text.count("<strong>write</strong>") == 2, "the write of an approved value, and the one that raised an alarm"
    assert "T0858" in text
    assert "none of its own" in text
    assert "12.5" in text
    assert "99.0" in text
    assert visitor.get("/network/events?asset=site/scada-a").text.count("<strong>") == 0
    assert "beginning is not before" in visitor.get("/network/events?since=now&until=now").text
    assert visitor.get("/network/events?asset=nobody").status_code == 422


def test_the_api_has_the_same(shown: tuple[Visitor, str, str]) -> None:
    visitor, asset, address = shown
    whole = visitor.api("GET", "/network", "t").json()
    hosts = {host["host"]: host for host in whole["hosts"]}
    assert hosts[ROGUE]["state"] == "new"
    assert hosts[ROGUE]["level"] is None
    assert sum(level["hosts"] for level in whole["levels"]) == len(hosts)
    assert whole["segments"][0]["unseen"] is None
    assert {talk["crossing"] for talk in whole["conversations"] if talk["server"] == "93.184.216.34"} == {
        "to the internet"
    }
    one = visitor.api("GET", f"/network/hosts/{ROGUE}", "t").json()
    assert one["heard"][0]["segment"] == "plantwide"
    assert {alert["kind"] for alert in one["alerts"]} == {"added", "event"}
    assert visitor.api("GET", f"/network/hosts/{address}", "t").json()["assets"] == [asset]
    events = visitor.api("GET", "/events", "t", params={"asset": asset, "from": "2026-11-20T00:00Z"}).json()["events"]
    assert [(each["operation"], each["item"], each["value"], each["alert"] is None) for each in events] == [
        ("stop", None, None, False),
        ("write", "item.limit", 12.5, True),
        ("write", "item.limit", 99.0, False),
    ]
    for path, status in {
        "/network?segment=none": 409,
        "/network/hosts/10.9.9.9": 404,
        f"/network/hosts/{'a' * 65}": 422,
        "/events?asset=nobody": 409,
        "/events?from=yesterday": 409,
    }.items():
        assert visitor.api("GET", path, "t").status_code == status, path
        assert visitor.api("GET", path).status_code == 401


def test_whatever_a_packet_says_is_shown_and_nothing_else(tmp_path: Path) -> None:
    made = Made()
    for number, text in enumerate(HOSTILE.values(), 1):
        mac = f"00:1b:1b:00:01:{number:02x}"
        made.host(mac, f"10.0.1.{number}", names=text, manufacturer=text, model=text)
        made.talk(f"10.0.1.{number}", "10.0.1.1", text or "s7comm", text)
    plant, database = stored(tmp_path, SEGMENT.format("line1"), [(None, made.snapshot("line1"))])
    with signed_in(plant, database=database, clock=lambda: NOW) as visitor:
        with database.write() as tx:
            store.add_token(tx, Token(0, digest_of("t"), "ada", "a program", ("viewer",), NOW))
        for path in (
            "/network",
            "/network?by=vendor",
            "/network?by=vendor&detail=groups",
            "/network/hosts/10.0.1.1",
            "/network/hosts/10.0.1.5",
        ):
            text = visitor.get(path).text
            assert pictures(text), path
            assert "<script>alert" not in text
            assert "<img" not in text.replace('<img src="/static/icon', "")
            assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ufffe\uffff\ud800-\udfff]", text)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in visitor.get("/network").text
        assert len(visitor.get("/network").text) < 250_000, "a long text is cut in a list"
        assert visitor.api("GET", "/network", "t").status_code == 200


def test_without_a_segment_it_says_how_to_have_one(tmp_path: Path) -> None:
    plant, database = stored(tmp_path, "", [])
    with signed_in(plant, database=database, clock=lambda: NOW) as visitor:
        assert "Write a [segment.…]" in visitor.get("/network").text
        assert visitor.get("/network/events").status_code == 200


def test_five_hundred_hosts_are_shown_at_once(tmp_path: Path) -> None:
    """Under 300 ms of the server's time (docs/network.md has what was measured); here with room for a busy machine."""
    made = floor(500, 3000)
    plant, database = stored(tmp_path, made.toml, [(made.approved, made.heard)])
    with signed_in(plant, database=database, clock=lambda: NOW) as visitor:
        begun = time.process_time()
        answer = visitor.get("/network")
        assert time.process_time() - begun < 0.9
        assert answer.status_code == 200
        begun = time.process_time()
        visitor.get("/network")
        assert time.process_time() - begun < 0.4
        assert len(answer.content) < 500_000


def test_the_map_is_used_with_the_keyboard_and_the_mouse(shown: tuple[Visitor, str, str], browser: Browser) -> None:
    visitor, *_ = shown
    with browsing(browser, str(visitor.client.base_url)) as page:
        page.goto("/network")
        enter(page, visitor, "ada")
        page.goto("/network")
        view = page.get_by_role("region", name="Map of the network")
        view.focus()
        before = wide(page)
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert wide(page) == pytest.approx(before * 1.25**2, rel=0.01)
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.querySelector('.map-view').scrollLeft") > 0
        page.keyboard.press("-")
        page.keyboard.press("0")
        assert wide(page) == pytest.approx(before, rel=0.01)
        page.keyboard.press("+")
        page.evaluate("document.querySelector('.map svg.network').removeAttribute('style')")  # as drawn anew
        page.wait_for_function(f"{WIDE} > {before * 1.2}")
        no_fault(page)
        page.get_by_role("link", name=re.compile("^laptop-of-somebody, ")).hover()
        assert page.locator(".curves .lit").count() == 1
        page.get_by_role("link", name=re.compile("^laptop-of-somebody, ")).click()
        page.wait_for_url(f"**/network/hosts/{ROGUE}")
        assert page.get_by_role("heading", name="laptop-of-somebody").is_visible()
        no_fault(page)
        page.goto("/network/events")
        no_fault(page)


def test_on_a_phone_the_map_is_a_box_that_scrolls(shown: tuple[Visitor, str, str], browser: Browser) -> None:
    visitor, *_ = shown
    with browsing(browser, str(visitor.client.base_url), "phone", color_scheme="dark") as page:
        page.goto("/network")
        enter(page, visitor, "ada")
        page.goto("/network")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert wide(page) > 1000
        no_fault(page)


def wide(page: Page) -> float:
    return float(page.evaluate(WIDE))


def no_fault(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert not serious
