"""Change orders on the page and in the API: announced, seen, closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.alert import Alert, AlertState, Event, Move
from baselines.change import Expectation, Order, OrderState, Outcome
from baselines.drift import Kind
from baselines.snapshot import Category, Item, Severity
from monitor import store
from monitor.config import load_plant
from monitor.store import Database, OrderFilter
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.machines import approved, seen, token
from tests.sites import PASSWORD, Visitor, browsing, plant_with, register, sign_in, signed_in

BERLIN = ZoneInfo("Europe/Berlin")
A, B = "line1/filler", "line2/filler"
EVIL = '"><script>alert(1)</script>\u202e'
ITEMS = [
    Item("item.limit", 12.5, tolerance=0.05, unit="l"),
    Item("item.count", 24),
    Item("item.crc", b"\xde\xad", Category.PROGRAM),
    Item("item.on", True, Category.MODE),
    Item("item.name", EVIL),
    Item(f'item."{EVIL}"', "x"),
]
ALERT = re.compile(r'role="alert">([^<]*)<')
NOW = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # the evening before Berlin puts its clocks back


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody who may everything, at a plant in Berlin whose second machine is looked at by four eyes."""
    folder = tmp_path_factory.mktemp("orders")
    plant = plant_with(folder, '[approval]\nfour_eyes = ["safety"]\n', (A, "line3/capper"))
    path = folder / "plant.toml"
    written = path.read_text("utf-8").replace('works"\n', 'works"\ntimezone = "Europe/Berlin"\n', 1)
    path.write_text(
        f'{written}[asset."{B}"]\naddress = "modbus://127.0.0.1:9/1"\nprofile = "acme-p1"\ncriticality = "safety"\n',
        "utf-8",
    )
    plant = load_plant(path)
    with signed_in(plant) as somebody:
        approved(somebody.site.database, {A: ITEMS, B: ITEMS})
        yield somebody


def local(ahead: timedelta) -> str:
    return (datetime.now(UTC) + ahead).astimezone(BERLIN).strftime("%Y-%m-%dT%H:%M")


def value(asset: str, item: str, kind: str = "value") -> str:
    return f"{kind}:{json.dumps([asset, item])}"


def announcing(*assets: str, **more: str) -> dict[str, Any]:
    """The form of an order, without what will change."""
    usual = {"do": "open", "ticket": "CHG-1", "begin": "now", "until": local(timedelta(hours=4))}
    return {"asset": list(assets), **usual, **more}


def sent(visitor: Visitor, data: dict[str, Any]) -> httpx.Response:
    return visitor.post("/orders/new", data)


def number_of(answer: httpx.Response) -> int:
    assert answer.status_code == 200, ALERT.findall(answer.text)
    return int(answer.url.path.rsplit("/", 1)[1])


def test_an_order_is_opened_from_a_machine_and_looked_at(visitor: Visitor) -> None:
    form = visitor.get("/orders/new", params={"asset": A, "item": "item.limit"}).text
    assert form.index("item.limit") < form.index("item.count"), "what the link named stands first"
    assert "<script>alert" not in form
    number = number_of(
        sent(
            visitor,
            announcing(A, reason=EVIL) | {value(A, "item.limit"): "13", value(A, "item.crc", "any"): "yes"},
        )
    )
    page = visitor.get(f"/orders/{number}").text
    assert "any other value" in page
    assert page.count("not yet") == 2
    assert "nothing would be proposed" in page
    assert "<script>alert" not in page
    assert f'href="/orders/{number}"' in visitor.get("/orders").text
    with visitor.site.database.read() as tx:
        (order,) = store.orders(tx, number=number)
    assert [(each.item, each.expected) for each in order.expectations] == [("item.limit", 13.0), ("item.crc", "*")]
    assert order.opened_by == "ada"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "name at least one item"),
        ({value(A, "item.limit"): "abc"}, "is a number such as 12.5"),
        ({value(A, "item.limit"): "12.52"}, "nothing would change"),
        ({value(A, "item.on"): "perhaps"}, "is true or false"),
        ({value(A, "item.gone"): "1"}, "has no item item.gone"),
        ({value(A, "item.count"): "25", "ticket": " "}, "the ticket is missing"),
        ({value(A, "item.count"): "25", value(A, "item.count", "any"): "yes"}, "either type its new value"),
        ({value(A, "item.count"): "25", "until": "2020-01-01T00:00"}, "in the future"),
        ({value(A, "item.count"): "25", "until": "soon"}, "is no time"),
        ({value(A, "item.count"): "25", "until": "9999-12-31T23:59"}, "nobody works for so long"),
        ({value(A, "item.count"): "25", "begin": "at", "from": "2020-01-01T00:00"}, "says in advance"),
        ({value(A, "item.count"): "25", "begin": "at", "from": ""}, "the beginning is missing"),
        ({value(A, "item.count"): "25", "add": "line9/*"}, "there is no asset line9/*"),
        ({"new_item": "device.1.name", "new_value": ""}, "both needed"),
        ({"value:[[": "25"}, "this form is damaged"),
        ({'value:["a", "b\\u0000"]': "25"}, "this form is damaged"),
        ({'value:["a", "\\ud800"]': "25"}, "this form is damaged"),
        ({'value:{"a": 1}': "25"}, "this form is damaged"),
    ],
)
def test_what_cannot_be_is_said_on_the_form_and_nothing_typed_is_lost(
    visitor: Visitor, changed: dict[str, str], why: str
) -> None:
    answer = sent(visitor, announcing(A, reason="as typed") | changed)
    assert answer.status_code == 422
    assert why in ALERT.findall(answer.text)[0]
    if "damaged" not in why:
        assert "as typed" in answer.text
        assert all(f'value="{text}"' in answer.text for name, text in changed.items() if name == value(A, "item.count"))


def test_assets_are_added_and_left_out_without_losing_what_was_typed(visitor: Visitor) -> None:
    typed = {value(A, "item.count"): "77", "do": "add", "add": "line*/filler"}
    both = sent(visitor, announcing(A) | typed).text
    assert value(B, "item.count").replace('"', "&#34;") in both
    assert 'value="77"' in both
    one = sent(visitor, announcing(A, B) | {value(A, "item.count"): "77", "do": "add", "without": B}).text
    assert value(B, "item.count").replace('"', "&#34;") not in one
    assert 'value="77"' in one
    assert "has no approved baseline yet" in sent(visitor, announcing("line3/capper", do="add")).text


def test_an_item_that_is_not_there_yet_can_be_announced(visitor: Visitor) -> None:
    data = announcing(A, new_item="device.2.model", new_value="M-7")
    number = number_of(sent(visitor, data))
    assert "device.2.model" in visitor.get(f"/orders/{number}").text
    again = sent(visitor, data)
    assert (again.status_code, "in this time already" in ALERT.findall(again.text)[0]) == (409, True)


def test_where_four_eyes_look_the_password_is_asked_for(visitor: Visitor) -> None:
    data = announcing(B) | {value(B, "item.count"): "25"}
    asked = sent(visitor, data)
    assert (asked.status_code, "your password is missing" in asked.text) == (422, True)
    assert 'type="password"' in asked.text
    wrong = sent(visitor, data | {"password": "wrong"})
    assert "not the password of ada" in ALERT.findall(wrong.text)[0]
    assert 'value="wrong"' not in wrong.text
    number = number_of(sent(visitor, data | {"password": PASSWORD}))
    with visitor.site.database.read() as tx:
        entry = next(each for each in store.audit_entries(tx) if each.detail.get("order") == str(number))
    assert entry.detail["signature"]


def test_who_may_not(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, ""), roles=("viewer", "admin")) as viewer:
        approved(viewer.site.database, {A: ITEMS})
        assert viewer.get("/orders").status_code == 200
        assert "Open a change order" not in viewer.get("/orders").text
        assert viewer.get("/orders/new").status_code == 403
        for path in ("/orders/new", "/orders/1/close", "/orders/1/read"):
            assert viewer.post(path, announcing(A)).status_code == 403
        secret = token(viewer.site.database, "ada", "engineer")
        assert viewer.api("POST", "/changes/close", secret, json={"id": 1}).status_code == 403


def test_times_are_of_the_plant_and_its_clocks_change(tmp_path: Path) -> None:
    plant = plant_with(tmp_path, "")
    path = tmp_path / "plant.toml"
    path.write_text(path.read_text("utf-8").replace('works"\n', 'works"\ntimezone = "Europe/Berlin"\n', 1), "utf-8")
    plant = load_plant(path)
    with signed_in(plant, clock=lambda: NOW) as somebody:
        approved(somebody.site.database, {A: ITEMS}, NOW - timedelta(hours=1))

        def opened(item: str, begins: str, ends: str) -> httpx.Response:
            times = {"begin": "at", "from": begins, "until": ends}
            return sent(somebody, announcing(A, **times) | {value(A, item): "25"})

        order = number_of(opened("item.count", "2026-10-25T01:30", "2026-10-25T03:30"))
        with somebody.site.database.read() as tx:
            (known,) = store.orders(tx, number=order)
        assert known.ends_at - known.starts_at == timedelta(hours=3), "the night is an hour longer"
        assert known.starts_at == datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
        page = somebody.get(f"/orders/{order}").text
        assert "2026-10-25 01:30:00" in page
        assert "begins in 3.5 h" in page
        skipped = opened("item.limit", "2027-03-28T01:30", "2027-03-28T02:30")
        assert "the clocks are put forward" in ALERT.findall(skipped.text)[0]


def test_what_was_seen_so_far_and_what_closing_would_say(visitor: Visitor) -> None:
    number = number_of(sent(visitor, announcing(A) | {value(A, "item.on"): "false"}))
    other = [Item("item.on", False, Category.MODE), Item("item.name", "<b>else</b>"), *ITEMS[:3], ITEMS[5]]
    seen(visitor.site.database, {A: other})
    page = visitor.get(f"/orders/{number}").text
    assert "✓</span> as planned" in page
    assert "1 in excess" in page
    assert "&lt;b&gt;else&lt;/b&gt;" in page
    assert "nothing would be proposed" in page
    seen(visitor.site.database, {A: ITEMS})
    refused = visitor.post(f"/orders/{number}/close")
    assert refused.status_code == 409
    assert f"Order {number} stays open" in ALERT.findall(refused.text)[0]
    answer = visitor.post(f"/orders/{number}/close", {"as_seen": "yes"})
    assert f"order {number} is closed; it was not done as planned" in answer.text
    assert f'href="/orders/{number}"' in visitor.get("/orders", params={"state": "otherwise"}).text
    assert f'href="/orders/{number}"' not in visitor.get("/orders", params={"state": "as-planned"}).text


def test_two_close_one_order_and_only_one_has(visitor: Visitor) -> None:
    secret = token(visitor.site.database, "ada", "engineer")
    data = {
        "ticket": "CHG-2",
        "until": "+1h",
        "expectations": [{"asset": A, "item": f'item."{EVIL}"', "expected": "y"}],
    }
    order = visitor.api("POST", "/changes", secret, json=data)
    assert order.status_code == 201, order.text
    closing = {"id": order.json()["id"], "as_seen": True}
    with ThreadPoolExecutor(2) as both:
        answers = list(
            both.map(lambda _: visitor.api("POST", "/changes/close", secret, json=closing), range(2), timeout=30)
        )
    assert sorted(each.status_code for each in answers) == [200, 409]
    assert "closed" in next(each for each in answers if each.status_code == 409).json()["error"]


def made_like(window: dict[str, str], asset: str, item: str) -> dict[str, Any]:
    """The body that announces any change of one item."""
    return window | {"expectations": [{"asset": asset, "item": item, "expected": "*"}]}


def test_the_api_takes_values_as_json_has_them(visitor: Visitor) -> None:
    secret = token(visitor.site.database, "ada", "engineer")
    begins = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    window = {"ticket": "CHG-3", "from": begins, "until": (datetime.now(UTC) + timedelta(days=31)).isoformat()}
    wanted = [("item.limit", 13), ("item.count", 25.0), ("item.crc", "beef"), ("item.on", False), ("item.name", "*")]
    expectations = [{"asset": A, "item": item, "expected": each} for item, each in wanted]
    answer = visitor.api("POST", "/changes", secret, json=window | {"expectations": expectations})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert [each["expected"] for each in made["expectations"]] == [13.0, 25, "beef", False, "*"]
    assert visitor.api("GET", f"/changes/{made['id']}", secret).json() == made
    later = {"from": window["until"], "until": (datetime.now(UTC) + timedelta(days=32)).isoformat()}
    assert visitor.api("POST", "/changes", secret, json=made_like(window | later, A, "item.limit")).status_code == 201
    listed = visitor.api("GET", "/changes", secret, params={"limit": 1}).json()
    assert (len(listed["orders"]), listed["next_offset"]) == (1, 1)
    assert visitor.api("GET", "/changes/99999", secret).status_code == 404
    refusals: list[tuple[dict[str, Any], int]] = [
        (window | {"expectations": []}, 422),
        (window | {"expectations": [{"asset": "line9", "item": "x", "expected": 1}]}, 409),
        (window | {"expectations": expectations, "ticket": "a\0b"}, 422),
        (window | {"expectations": expectations, "until": "0001-01-01T00:00+14:00"}, 409),
        (window | {"expectations": [{"asset": A, "item": "item.count", "expected": None}]}, 422),
        (window | {"expectations": [{"asset": A, "item": "item.count", "expected": [[]]}]}, 422),
    ]
    for wrong, status in refusals:
        refused = visitor.api("POST", "/changes", secret, json=wrong)
        assert (refused.status_code, list(refused.json())) == (status, ["error"]), wrong


def test_orders_are_found_by_what_people_know_of_them(database: Database) -> None:
    """On every kind of database."""
    expected = Expectation(A, "item.x", 1)
    ends = (("T-1", 3), ("100%_sure", 2), ("T-3", 1), ("T-4", 1))
    with database.write() as tx:
        store.add_assets(tx, [A])
        made = [
            store.add_order(
                tx,
                Order(0, ticket, "", NOW, NOW + timedelta(hours=hours), (expected,), "ada", NOW - timedelta(hours=1)),
            )
            for ticket, hours in ends
        ]
        for order, outcome in ((made[2], Outcome.AS_PLANNED), (made[3], Outcome.PARTIAL)):
            done = replace(order, state=OrderState.CLOSED, closed_by="bo", closed_at=NOW + timedelta(minutes=order.id))
            assert store.close_order(tx, replace(done, expectations=(replace(expected, outcome=outcome),)))

    def found(state: OrderState, most: int = 9, after: int = 0, **more: Any) -> tuple[int, list[str]]:
        with database.read() as tx:
            count, orders = store.find_orders(tx, OrderFilter(state, **more), most, after)
        return count, [order.ticket for order in orders]

    opened, closed = OrderState
    assert found(opened) == (2, ["100%_sure", "T-1"]), "whose end comes first"
    assert found(opened, words="100%_SURE") == (1, ["100%_sure"])
    assert found(opened, words="100%X") == (0, [])
    assert found(opened, asset="line3") == (0, [])
    assert found(closed, asset="1/fill") == (2, ["T-4", "T-3"]), "the newest first"
    assert found(closed, 1, 1) == (2, ["T-3"])
    assert found(closed, words="BO", as_planned=True) == (1, ["T-3"])
    assert found(closed, as_planned=False) == (1, ["T-4"])


def test_an_alarm_begins_an_order_with_what_was_seen(visitor: Visitor) -> None:
    database = visitor.site.database
    known = (A, "item.count", Kind.CHANGED, 24, 31, Severity.HIGH, Category.PARAMETER, (), None)
    at = datetime.now(UTC)
    with database.write() as tx:
        raised = Move(Event.DEVIATES, AlertState.NORMAL, Alert(*known, at, at, AlertState.UNACK))
        alarm = store.store_move(tx, raised).alert
    form = visitor.get("/orders/new", params={"alarm": alarm.id}).text
    assert 'value="31"' in form
    assert f"Alarm {alarm.id} says" in form
    for wrong in ("0", "-1", "x" * 99, "9" * 40, "٣"):
        assert visitor.get("/orders/new", params={"alarm": wrong}).status_code == 200


def test_an_order_from_its_announcement_to_what_it_proposes(
    floor: RunningFloor, tmp_path: Path, browser: Browser
) -> None:
    """The engineer's day: announced on a phone, done at the PLC, seen, closed, and proposed; with the real daemon."""
    plant = PlantFolder(
        tmp_path, {name: plc.address for name, plc in floor.plcs.items()}, web='listen = "127.0.0.1:0"', every="500ms"
    )
    described = load_plant(plant.file)
    database = Database(described.store_url)
    database.migrate()
    register(described, database, "ada")
    database.close()
    for words in (("propose",), ("approve", "*", "--reason", "test")):
        assert plant.asbuilt("baseline", *words, "--by", "bo").code == 0
    with plant.daemon():
        wait_for(lambda: [line for line in plant.log() if line["event"] == "web.listening"], "the web server")
        url = next(line["url"] for line in plant.log() if line["event"] == "web.listening")
        with browsing(browser, url, "phone") as page:
            sign_in(page, "ada")
            page.goto(f"/orders/new?asset={A}&item=item.limit")
            page.get_by_label(f"New value of item.limit of {A}").fill("13")
            page.get_by_label("Ticket").fill("CHG-7")
            assert not serious(page)
            page.get_by_role("button", name="Open the order").click()
            page.get_by_role("heading", name="Change order 1: CHG-7").wait_for()
            assert page.get_by_text("not yet").is_visible()
            floor.apply(A, set={"limit": 13.0})
            page.get_by_role("button", name="Read it now").click()
            page.get_by_text("1 asset read").wait_for()
            assert page.get_by_text("would be proposed as the new baseline").is_visible()
            assert page.locator('[data-region="suppressed"] tbody tr').count() == 1
            assert not serious(page)
            page.get_by_role("button", name="Close the order").click()
            page.get_by_text("order 1 is done as planned").wait_for()
            assert page.get_by_role("link", name="Review it").is_visible()
            assert not serious(page)
            page.goto("/orders")
            assert page.locator('[data-region="closed"]').get_by_text("as planned").is_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert not serious(page)
    assert plant.asbuilt("verify").code == 0


def serious(page: Any) -> list[tuple[str, str]]:
    """What axe finds that keeps somebody out."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
