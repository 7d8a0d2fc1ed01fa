"""The page of one asset and the API beside it: what is known, by whose word, what happened, what people do there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.baseline import Stage
from baselines.change import Expectation, Order
from baselines.drift import Verdict
from baselines.snapshot import Dropped, Item, Snapshot, Unread
from baselines.wire import Written
from monitor import actions, lives, store
from monitor.items import pairs
from monitor.store import Gap, Token
from tests.floors import PlantFolder
from tests.sites import PASSWORD, Visitor, browsing, enter, plant_with, register, serving, signed_in
from tests.test_web_plant import (
    CAPPER,
    FILLER,
    KIM,
    LONG,
    NOW,
    OVEN,
    PRESS,
    RING,
    SCRIPT,
    approved,
    filled,
    identity,
    polled,
    text_of,
)

HOUR = timedelta(hours=1)
SECRETS = {role: f"token-of-{role}" for role in ("viewer", "operator", "engineer")}


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """The plant of test_web_plant, with tokens of ada's, an order, a gap and a write on the wire."""
    folder = tmp_path_factory.mktemp("asset")
    plant = plant_with(folder, RING, (FILLER, CAPPER, OVEN, PRESS))
    with signed_in(plant, clock=lambda: NOW) as found:
        database = found.site.database
        filled(database, plant)
        with database.write() as tx:
            for role, secret in SECRETS.items():
                digest = sha256(secret.encode()).hexdigest()
                store.add_token(tx, Token(0, digest, "ada", role, (role,), NOW, None, None, None))
            store.add_gap(tx, Gap(FILLER, "self", "not-running", "nobody watched", NOW - 30 * HOUR, NOW - 29 * HOUR))
            window = (NOW - HOUR, NOW + HOUR)
            line = (Expectation(FILLER, "item.limit", 14.0),)
            store.add_order(tx, Order(0, "T-9", SCRIPT, *window, line, "kim", NOW - HOUR))
            store.add_written(
                tx, FILLER, Written("item.limit", NOW - HOUR, 14.0, {"client": "10.9.9.9", "name": SCRIPT})
            )
            more = Snapshot.of(CAPPER, NOW, [identity("manufacturer", "ACME")], profile="p" * 64)
            actions.propose(tx, more, Stage.AS_LEFT, KIM, NOW, "new module")
        yield found


# ---- Pure: items side by side


def snapshot(*parts: Item | Unread | Dropped) -> Snapshot:
    items = [each for each in parts if isinstance(each, Item)]
    unread = [each for each in parts if isinstance(each, Unread)]
    dropped = [each for each in parts if isinstance(each, Dropped)]
    return Snapshot.of("plc", NOW, items, unread, dropped=dropped)


def test_items_stand_side_by_side_the_worst_first() -> None:
    before = snapshot(Item("item.a", 1), Item("item.b", 1), Item("item.c", 1), Dropped("item.clock", "it runs"))
    after = snapshot(
        Item("item.a", 1), Item("item.b", 2), Unread("item.c", "busy"), Item("item.d", 1), Item("item.clock", 9)
    )
    found = {each.key: each for each in pairs(before, after)}
    assert [*found] == ["item.b", "item.c", "item.d", "item.a", "item.clock"]
    assert [each.verdict for each in found.values()] == [
        *(Verdict.DRIFT, Verdict.NO_LONGER_OBSERVABLE, Verdict.NO_BASELINE, Verdict.MATCH, None)
    ]
    assert (found["item.c"].why, found["item.clock"].why) == ("busy", "it runs")
    assert found["item.b"].finding is not None
    assert {each.verdict for each in pairs(before, None)} == {Verdict.NEVER_SEEN, None}
    assert [each.verdict for each in pairs(None, snapshot(Item("item.a", 1)))] == [Verdict.NO_BASELINE]
    assert pairs(None, None) == []


# ---- The page


def test_the_page_says_how_it_stands_and_why(visitor: Visitor) -> None:
    text = text_of(visitor.get(f"/assets/{FILLER}").text)
    assert "drift 2 items are not as approved." in text
    assert re.search(r"item\.limit ✕ drift 12\.5 14\.0 parameter ▲ critical", text), "approved and observed"
    assert "identity.software_revision ✕ drift" in text
    assert "3 items are as approved" in text
    assert "Change order 1 (T-9) is open on it" in text
    assert "not acknowledged" in text
    assert "Poll contract" in text
    assert "no known-good file is kept for it" in text
    assert "Take it out of service" in text
    answered = text_of(visitor.get(f"/assets/{OVEN}").text)
    assert "It has not answered since 2026-11-23 07:59:50." in answered
    assert "unreachable: no answer within 2 s. 1 poll since" in answered
    assert "It was never seen." in text_of(visitor.get(f"/assets/{PRESS}").text)


def test_it_leads_to_its_own_baselines(visitor: Visitor) -> None:
    shown = visitor.get(f"/assets/{CAPPER}").text
    assert "A proposal waits for a decision, by kim" in text_of(shown)
    (review,) = re.findall(r'<a href="([^"]+)">Review it</a>', shown)
    assert "Review" in visitor.get(review).text
    assert CAPPER in visitor.get(review).text
    (listed,) = re.findall(r'href="([^"]+)">Baselines</a> <a class="button"', shown)
    baselines = visitor.get(listed).text
    assert CAPPER in baselines
    assert FILLER not in baselines


def test_it_says_who_says_what(visitor: Visitor) -> None:
    text = text_of(visitor.get(f"/assets/{CAPPER}").text)
    assert "approved baseline" in text
    assert "IP address 127.0.0.1 poll" in text
    assert "nobody wrote it into plant.toml" in text
    assert "it was not heard on ring" in text
    assert "Zone cell" in text_of(visitor.get("/assets/ring").text)


def test_coverage_is_a_picture_with_its_gaps(visitor: Visitor) -> None:
    html = visitor.get(f"/assets/{FILLER}").text
    (x, width) = re.findall(r'<rect class="gap" x="([\d.]+)" y="0" width="([\d.]+)"', html)[0]
    assert (float(x), float(width)) == (575.0, 1.0), "an hour, 30 hours ago, of 30 days"
    assert "not-running, nobody watched (self)" in text_of(html)


def test_the_history_has_who_did_what_when(visitor: Visitor) -> None:
    text = text_of(visitor.get(f"/history?asset={FILLER}").text)
    order = [
        "item.limit changed from 12.5 to 14.0",
        "was opened for it",
        "item.limit was written over the network, to 14.0 by &lt;script&gt;alert(1)&lt;/script&gt; (10.9.9.9)",
        "a baseline was approved (sat) by kim",
        "it was seen for the first time",
        "not seen (self): nobody watched",
    ]
    for told in order:
        assert told in text
    assert text.index(order[0]) < text.index(order[3]) < text.index(order[5]), "the newest first"
    earlier = text_of(visitor.get(f"/history?asset={FILLER}&until=2026-11-22T12:00").text)
    assert order[0] not in earlier
    assert order[5] in earlier
    assert visitor.get("/history?asset=nobody").status_code == 404


@pytest.mark.parametrize("path", [f"/assets/{FILLER}", f"/assets/{CAPPER}", "/assets/ring", f"/history?asset={FILLER}"])
def test_whatever_a_device_says_is_text(visitor: Visitor, path: str) -> None:
    html = visitor.get(path).text
    assert SCRIPT not in html
    assert "<b>laptop</b>" not in html
    assert not {"\x1b", "\x00", "\u202e"} & set(html)
    if path == f"/assets/{FILLER}":
        assert f"{LONG[:1000]}… (10,000 letters)" in html
        assert "two\\nlines\\x1b[31m\\x00" in html


def test_what_is_not_there_is_not_there(visitor: Visitor) -> None:
    for path in ("/assets/nobody", "/assets/line1", "/assets/%00", f"/assets/{FILLER}/", "/assets/asbuilt"):
        assert visitor.get(path).status_code == 404, path


def test_out_of_service_and_back(visitor: Visitor) -> None:
    here = f"/assets/{CAPPER}"
    until = "2026-11-23T20:00"
    answer = visitor.post("/assets/out-of-service", {"asset": CAPPER, "until": until, "reason": ""}, here)
    assert answer.status_code == 422
    assert "the reason is missing" in answer.text
    answer = visitor.post(
        "/assets/out-of-service", {"asset": CAPPER, "until": "2026-11-23T07:00", "reason": "why"}, here
    )
    assert answer.status_code == 409
    assert 'value="why"' in answer.text, "what was typed is not lost"
    answer = visitor.post("/assets/out-of-service", {"asset": CAPPER, "until": until, "reason": SCRIPT}, here)
    assert "is out of service until 2026-11-23T20:00:00.000Z" in text_of(answer.text)
    assert "Out of service until 2026-11-23 20:00:00 , says ada: &lt;script&gt;" in text_of(answer.text)
    assert "out of service" in text_of(visitor.get("/").text)
    answer = visitor.post("/assets/in-service", {"asset": CAPPER}, here)
    assert "is in service again" in answer.text
    answer = visitor.post("/assets/in-service", {"asset": CAPPER}, here)
    assert (answer.status_code, "is in service" in answer.text) == (409, True)
    assert visitor.post("/assets/out-of-service", {"asset": "nobody"}, here).status_code == 404


def test_who_may_do_what(visitor: Visitor) -> None:
    plant, database = visitor.site.plant(), visitor.site.database
    register(plant, database, "vera", ("viewer",))
    with serving(plant, database=store.Database(plant.store_url), clock=lambda: NOW) as other:
        other.enter("vera")
        html = other.get(f"/assets/{CAPPER}").text
        assert "Poll now" not in html
        assert "Take it out of service" not in html
        for path in ("/assets/poll", "/assets/out-of-service", "/assets/in-service"):
            assert other.post(path, {"asset": CAPPER}, f"/assets/{CAPPER}").status_code == 403


def test_a_retired_asset_can_be_seen_still(tmp_path: Any) -> None:
    plant = plant_with(tmp_path, "", (FILLER, CAPPER))
    with serving(plant, clock=lambda: NOW) as visitor:
        database = visitor.site.database
        register(plant, database, "ada")
        visitor.sign_in("ada")
        approved(database, FILLER, Item("item.a", 1), at=NOW - HOUR)
        polled(database, FILLER, Item("item.a", 1))
        with database.write() as tx:
            lives.retired(tx, plant, FILLER, lives.Reason(KIM, NOW, "scrapped"))
        object.__setattr__(visitor.site, "plant", lambda: plant_with(tmp_path, "", (CAPPER,)))
        assert FILLER not in visitor.get("/assets").text
        assert FILLER in visitor.get("/assets?retired=true").text
        html = visitor.get(f"/assets/{FILLER}").text
        assert "It was retired at" in text_of(html)
        assert "Poll now" not in html
        assert "it was retired by kim" in text_of(html)


# ---- The API


def api(visitor: Visitor, method: str, path: str, role: str = "viewer", **asked: Any) -> Any:
    return visitor.api(method, path, SECRETS[role], **asked)


def test_the_api_has_the_list_of_the_command(visitor: Visitor) -> None:
    answer = api(visitor, "GET", "/assets")
    found = {each["asset"]: each for each in answer.json()["assets"]}
    assert [*found] == [FILLER, CAPPER, OVEN, PRESS, "ring"]
    assert found[FILLER]["verdict"] == "drift"
    assert found[FILLER]["identity"]["manufacturer"] == SCRIPT
    assert answer.headers["content-type"] == "application/json"
    assert [each["asset"] for each in api(visitor, "GET", "/assets?verdict=match").json()["assets"]] == [CAPPER]
    assert api(visitor, "GET", "/assets?verdict=green").status_code == 422
    assert visitor.api("GET", "/assets").status_code == 401


def test_the_api_has_all_of_an_asset(visitor: Visitor) -> None:
    found = api(visitor, "GET", f"/assets/{FILLER}").json()
    (limit,) = [each for each in found["items"] if each["item"] == "item.limit"]
    assert (limit["approved"], limit["observed"], limit["verdict"], limit["severity"]) == (
        12.5,
        14.0,
        "drift",
        "critical",
    )
    assert found["orders"] == [1]
    assert found["known"]["ip"]["sources"] == ["poll"]
    assert found["contract"]["device"].startswith("127.0.0.1:")
    assert [gap["cause"] for gap in found["coverage"]["assets"][0]["gaps"]] == ["not-running"]
    assert found["approved"]["approved_by"] == "kim"
    assert api(visitor, "GET", f"/assets/{CAPPER}").json()["proposal"]["proposed_by"] == "kim"
    assert api(visitor, "GET", "/assets/nobody").status_code == 404


def test_the_api_has_the_history(visitor: Visitor) -> None:
    found = api(visitor, "GET", f"/history?asset={FILLER}&limit=2").json()
    assert len(found["events"]) == 2
    assert found["more"] is True
    rest = api(visitor, "GET", f"/history?asset={FILLER}&limit=1000").json()
    assert rest["more"] is False
    assert {"decision", "order", "deviation", "seen", "gap", "write"} <= {each["what"] for each in rest["events"]}
    times = [each["at"] for each in rest["events"]]
    assert times == sorted(times, reverse=True)
    assert api(visitor, "GET", "/history?asset=nobody").status_code == 404
    assert api(visitor, "GET", "/history").status_code == 422


def test_the_api_takes_out_of_service_and_back(visitor: Visitor) -> None:
    body = {"asset": OVEN, "until": "2026-11-23T20:00:00Z", "reason": "a new door"}
    assert api(visitor, "POST", "/assets/out-of-service", json=body).status_code == 403
    done = api(visitor, "POST", "/assets/out-of-service", "operator", json=body).json()
    assert (done["action"], done["by"], done["detail"]["reason"]) == ("asset.out-of-service", "ada", "a new door")
    found = api(visitor, "GET", f"/assets/{OVEN}").json()
    assert found["out_of_service"]["reason"] == "a new door"
    wrong = {"asset": OVEN, "password": "guessed"}
    assert api(visitor, "POST", "/assets/in-service", "operator", json=wrong).status_code == 403
    signed = {"asset": OVEN, "password": PASSWORD}
    assert api(visitor, "POST", "/assets/in-service", "operator", json=signed).json()["action"] == "asset.in-service"
    for bad, status in (
        ({**body, "until": "soon"}, 422),
        ({**body, "reason": " "}, 422),
        ({**body, "more": 1}, 422),
        ({**body, "asset": "nobody"}, 409),
        ({}, 422),
    ):
        assert api(visitor, "POST", "/assets/out-of-service", "operator", json=bad).status_code == status, bad


def test_the_api_polls(visitor: Visitor) -> None:
    """Nobody leads this store, so whoever asks polls: and nobody is there."""
    found = api(visitor, "POST", "/polls", "engineer", json={"assets": [PRESS]}).json()
    assert found["assets"][0]["error"]["kind"] == "unreachable"
    assert api(visitor, "POST", "/checks", "engineer", json={"assets": ["nobody"]}).status_code == 409
    assert api(visitor, "POST", "/checks", "engineer", json={"assets": []}).status_code == 422
    assert api(visitor, "POST", "/polls", "operator", json={"assets": [PRESS]}).status_code == 403


# ---- With a daemon, and in a browser


def test_poll_now_is_the_daemons_poll(plant: PlantFolder) -> None:
    from monitor.config import load_plant

    with plant.daemon():
        described = load_plant(plant.file)
        with serving(described) as visitor:
            register(described, visitor.site.database, "ada")
            visitor.sign_in("ada")
            answer = visitor.post("/assets/poll", {"asset": FILLER}, f"/assets/{FILLER}")
            assert "line1/filler was polled: the verdict of this poll is no-baseline." in text_of(answer.text)
            assert "ACME" in answer.text


def test_a_browser_shows_it_and_axe_finds_nothing(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url), "phone") as page:
        enter(page, visitor, "ada")
        for path in (f"/assets/{FILLER}", "/assets/ring", f"/history?asset={FILLER}"):
            page.goto(path)
            found = Axe().run(page).response["violations"]
            assert [each for each in found if each["impact"] in ("serious", "critical")] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{path} is wider than the phone"
        page.goto(f"/assets/{CAPPER}")
        page.get_by_text("Take it out of service").click()
        page.get_by_label("Reason").fill("a new door")
        page.get_by_role("button", name="Out of service").click()
        assert "is out of service until" in page.get_by_role("status").first.inner_text()
        page.get_by_text("Take it back into service").click()
        page.get_by_role("button", name="Back into service").click()
        assert "is in service again" in page.get_by_role("status").first.inner_text()
