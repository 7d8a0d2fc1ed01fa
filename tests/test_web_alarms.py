"""Alarms on the page and in the API: what is shown of them, and what people do about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines import rules, wire
from baselines.alert import Alert
from baselines.drift import Kind
from baselines.rules import Direction
from baselines.snapshot import Category, Severity, utc_text
from monitor import store
from monitor.config import load_plant
from monitor.polling import utc_now
from monitor.responses import response, responses, techniques
from monitor.store import Database, Wanted
from tests.alarming import ASSETS, HOSTILE, alarm, lived, token
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.sites import FORM_KEY, PASSWORD, Visitor, browsing, enter, register, signed_in

FILLER, CAPPER, OVEN, PRESS, WRAPPER, SPARE = ASSETS


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Ada, who may do everything, at the plant in which everything happened. Each test has alarms of its own in it."""
    plant, database = lived(tmp_path_factory.mktemp("plant"))
    with signed_in(plant, database=database) as visitor:
        yield visitor


@contextmanager
def another(ada: Visitor, name: str, *roles: str) -> Iterator[Visitor]:
    """Somebody else at the same page."""
    register(ada.site.plant(), ada.site.database, name, roles)
    with httpx.Client(base_url=ada.client.base_url, follow_redirects=True, timeout=30) as client:
        visitor = Visitor(client, ada.site)
        visitor.sign_in(name)
        yield visitor


def number(visitor: Visitor, asset: str, item: str) -> int:
    with visitor.site.database.read() as tx:
        return alarm(tx, asset, item)


def state(visitor: Visitor, number: int) -> Alert:
    with visitor.site.database.read() as tx:
        return store.alerts(tx, ids=[number], closed=True)[0]


def listed(text: str) -> list[int]:
    """The numbers of the alarms in a page, in their order."""
    return [int(part.split('"')[0]) for part in text.split('<tr id="alarm-')[1:]]


def test_the_list_the_filters_and_what_is_put_away(ada: Visitor) -> None:
    text = ada.get("/alarms").text
    assert HOSTILE not in text, "what a device or a packet says is shown, and never obeyed"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    found = [state(ada, each) for each in listed(text)]
    here = [each for each in found if each.state in ("UNACK", "ACKED", "RTN_UNACK")]
    away = found[len(here) :]
    ranks = [(-each.severity.rank, each.state == "ACKED", each.raised_at) for each in here]
    assert ranks == sorted(ranks), "the most urgent first, then what nobody has seen, then the oldest"
    assert [each.state for each in away if each.asset != FILLER] == ["SHELVED", "SUPPRESSED", "SUPPRESSED"]
    assert {each.kind for each in here} >= {Kind.CHANGED, Kind.CONFLICT, Kind.EVENT, Kind.BLIND}
    for part in ("by kim: spare part", "announced by", ">order 1</a> (T-1)", "the asset is out of service"):
        assert part in text, part

    def asked(query: str) -> list[Alert]:
        return [state(ada, each) for each in listed(ada.get(f"/alarms?{query}").text)]

    assert {each.state for each in asked("state=shelved")} == {"SHELVED"}
    assert {each.severity for each in asked("severity=critical")} == {"critical"}
    assert {each.category for each in asked("category=program&state=all")} == {"program"}
    assert {each.kind for each in asked("kind=conflict")} == {"conflict"}
    assert {each.asset for each in asked(f"asset={OVEN}&state=all")} == {OVEN}
    assert {each.item for each in asked("asset=RECEIPT_OF_%25")} == set(), "a part of a name is no pattern"
    assert {each.asset for each in asked("asset=LINE3&state=all")} == {WRAPPER}
    assert {each.closed_at for each in asked("state=cases")} <= {None}
    assert "process tuning" in ada.get("/alarms?state=over").text
    assert ada.get("/alarms?state=nonsense&severity=%00&asset=%00").status_code == 200
    assert ada.get("/alarms?page=99999999999").status_code == 422
    assert "There is no alarm of this kind" in ada.get("/alarms?asset=nobody&page=7").text


def test_an_alarm_s_own_page_says_all_that_is_known(ada: Visitor) -> None:
    text = ada.get(f"/alarms/{number(ada, FILLER, 'item.limit')}").text
    assert HOSTILE not in text
    for part in (
        "<code>12.5</code> l",
        "<code>14.0</code> l",
        "± 0.05 l",
        "10.0.9.9",
        "T0836 Modify Parameter",
        "A parameter is not as approved",
        "process tuning",  # the case of the same item before
        "locked &lt;script&gt;",
        "/baselines/propose?asset=line1%2Ffiller",
    ):
        assert part in text, part
    downgrade = ada.get(f"/alarms/{number(ada, FILLER, 'identity.software')}").text
    assert "Firmware was DOWNGRADED" in downgrade
    assert "Nobody saw who" in downgrade
    assert "until" in ada.get(f"/alarms/{number(ada, CAPPER, 'item.limit')}").text
    assert "order 1" in ada.get(f"/alarms/{number(ada, OVEN, 'item.limit')}").text
    ours = ada.get(f"/alarms/{number(ada, 'asbuilt', 'watch.route')}").text
    assert "Messages do not arrive" in ours
    assert "/assets/asbuilt" not in ours, "asbuilt itself is no asset"
    assert "To us it says" in ada.get(f"/alarms/{number(ada, WRAPPER, 'witness.software')}").text
    assert ada.get("/alarms/999").status_code == 404
    assert ada.get("/alarms/0").status_code == 422


def test_several_are_acknowledged_with_one_comment_or_none_is(ada: Visitor) -> None:
    mode, limit = number(ada, FILLER, "item.mode"), number(ada, FILLER, "item.limit")
    nothing = ada.post("/alarms/acknowledge", {"comment": "x"})
    assert (nothing.status_code, "no alarm is chosen" in nothing.text) == (422, True)
    taken = number(ada, FILLER, "item.crc")  # which kim has acknowledged
    late = ada.post("/alarms/acknowledge?severity=critical", {"id": [mode, taken], "comment": "I <b>look</b>"})
    assert late.status_code == 409
    assert f"alarm {taken} (line1/filler item.crc) is ACKED: nothing to acknowledge, kim did so at" in late.text
    assert "none of the 2 was acknowledged" in late.text
    assert 'value="I &lt;b&gt;look&lt;/b&gt;"' in late.text, "what was typed is not lost"
    assert f'id="tick-{mode}"' in late.text.split("checked")[0], "nor is what was ticked"
    assert state(ada, mode).state == "UNACK"
    done = ada.post("/alarms/acknowledge?severity=critical", {"id": [mode, limit], "comment": "I look"})
    assert "2 alarms were acknowledged" in done.text
    assert str(done.url).endswith("/alarms?severity=critical")
    assert [(state(ada, each).acknowledged_by, state(ada, each).reason) for each in (mode, limit)] == [
        ("ada", "I look")
    ] * 2
    assert ada.post("/alarms/acknowledge", {"id": "1; drop table"}).status_code == 422
    assert ada.post("/alarms/acknowledge", {"id": 999_999}).status_code == 409


def test_of_two_who_acknowledge_at_once_one_is_told_who_was_quicker(ada: Visitor) -> None:
    waiting = number(ada, WRAPPER, "witness.software")
    key = FORM_KEY.search(ada.get("/alarms").text)
    assert key
    answers: list[httpx.Response] = []

    def send(who: str) -> None:
        form = {"id": str(waiting), "comment": who, "form_key": key[1]}
        with httpx.Client(base_url=ada.client.base_url, cookies=ada.client.cookies, timeout=30) as client:
            answers.append(client.post("/alarms/acknowledge", data=form))

    threads = [Thread(target=send, args=(each,)) for each in ("one", "other")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.status_code for each in answers) == [303, 409]
    assert any("ada did so at" in each.text for each in answers)


def test_shelving_has_an_end_in_the_future_and_a_reason(ada: Visitor) -> None:
    firmware = number(ada, FILLER, "identity.software")
    for sent, status, said in (
        ({"for": "", "until": "2020-01-01T10:00", "reason": "r"}, 409, "is not in the future"),
        ({"for": "+1h", "reason": " "}, 422, "the reason is missing"),
        ({"for": "", "until": "", "reason": "r"}, 422, "is missing"),
        ({"for": "", "until": "soon", "reason": "r"}, 422, "is no time"),
    ):
        answer = ada.post(f"/alarms/{firmware}/shelve", sent)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert "Shelved" in ada.post(f"/alarms/{firmware}/shelve", {"for": "+8h", "reason": "Lee mends it"}).text
    shelved = state(ada, firmware)
    assert shelved.shelved_until
    assert abs(shelved.shelved_until - utc_now() - timedelta(hours=8)) < timedelta(minutes=1)
    again = ada.post(f"/alarms/{firmware}/shelve", {"for": "+1h", "reason": "again"})
    assert (again.status_code, "it cannot be shelved" in again.text) == (409, True)


def test_who_signs_signs_with_their_own_key(ada: Visitor) -> None:
    serial, poll = number(ada, WRAPPER, "identity.serial"), number(ada, OVEN, "watch.poll")
    assert 'name="password"' not in ada.get(f"/alarms/{serial}").text
    assert 'name="password"' in ada.get(f"/alarms/{serial}?sign=1").text
    wrong = ada.post(f"/alarms/{serial}/acknowledge?sign=1", {"password": "not it"})
    assert (wrong.status_code, "not the password of ada" in wrong.text) == (422, True)
    ada.post(f"/alarms/{serial}/acknowledge?sign=1", {"password": PASSWORD})
    ada.post(f"/alarms/{poll}/acknowledge", {"comment": "seen"})
    with ada.site.database.read() as tx:
        entries = [each for each in store.audit_entries(tx) if each.action == "alert.acknowledge"][-2:]
    assert ["signature" in each.detail for each in entries] == [True, False]


def test_who_may_only_look_changes_nothing(ada: Visitor) -> None:
    event, key = number(ada, FILLER, "wire.stop"), token(ada, "viewer")
    changed = f"/alarms/{number(ada, FILLER, 'item.crc')}"
    assert f"/orders/new?alarm={changed[8:]}" in ada.get(changed).text
    with another(ada, "vic", "viewer") as vic:
        text = vic.get("/alarms").text + vic.get(f"/alarms/{event}").text + vic.get(changed).text
        assert 'type="checkbox"' not in text
        assert '<h2 id="h-ack"' not in text
        assert "/orders/new" not in text, "nobody is sent to where they may not go"
        for path in ("/alarms/acknowledge", f"/alarms/{event}/acknowledge", f"/alarms/{event}/shelve"):
            answer = vic.post(path, {"id": event, "for": "+1h", "reason": "r"})
            assert (answer.status_code, "takes the role operator" in answer.text) == (403, True)
    assert ada.api("POST", "/alerts/ack", key, json={"ids": [event]}).status_code == 403
    with another(ada, "oli", "operator") as oli:
        assert oli.post(f"/alarms/{event}/close", {"cause": "other", "prevention": "x"}).status_code == 403
    assert state(ada, event).state == "RTN_UNACK"


def test_the_api_does_the_same(ada: Visitor) -> None:
    key = token(ada, "engineer")

    def get(path: str, **asked: Any) -> Any:
        answer = ada.api("GET", path, key, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    every = get("/alerts")
    assert every["next"] is None
    assert len(every["alerts"]) >= 12, "all that are not over"
    first = get("/alerts", limit=4)
    second = get("/alerts", limit=1000, after=first["next"])
    assert first["alerts"] + second["alerts"] == every["alerts"]
    assert {each["state"] for each in get("/alerts", state=["SHELVED", "SUPPRESSED"])["alerts"]} == {
        "SHELVED",
        "SUPPRESSED",
    }
    assert {each["asset"] for each in get("/alerts", asset=[OVEN, PRESS])["alerts"]} == {OVEN, PRESS}
    assert get("/alerts", zone="nowhere")["alerts"] == []
    assert len(get("/alerts", state=["NORMAL"], category=["parameter"])["alerts"]) == 1
    for asked in ({"state": "OPEN"}, {"asset": "a\0"}, {"zone": ""}, {"after": -1}, {"limit": 0}):
        assert ada.api("GET", "/alerts", key, params=asked).status_code == 422, asked
    claimed, route = number(ada, WRAPPER, "witness.mac"), number(ada, "asbuilt", "watch.route")
    one = get(f"/alerts/{claimed}")
    assert [each["event"] for each in one["moves"]] == ["deviates"]
    assert one["techniques"][0]["name"] == "Adversary-in-the-Middle"
    assert one["what_to_do"]["title"] == "Two devices say that they have this address"
    assert ada.api("GET", "/alerts/999", key).status_code == 404

    def post(path: str, **body: Any) -> httpx.Response:
        return ada.api("POST", path, key, json=body)

    assert [each["state"] for each in post("/alerts/ack", ids=[claimed], reason="seen").json()["alerts"]] == ["ACKED"]
    refused = post("/alerts/ack", ids=[route, claimed])
    assert "ada did so at" in refused.json()["error"]
    assert refused.status_code == 409
    assert state(ada, route).state == "UNACK"
    later = utc_text(utc_now() + timedelta(hours=1))
    past = post("/alerts/shelve", id=route, until="2020-01-01T00:00:00Z", reason="r")
    assert (past.status_code, "is not in the future" in past.json()["error"]) == (409, True)
    assert post("/alerts/shelve", id=route, until=later, reason="r").json()["alerts"][0]["shelved_until"] == later
    bodies: tuple[dict[str, Any], ...] = (
        {"ids": []},
        {"ids": [0]},
        {"ids": [2**31]},
        {"ids": [1], "who": "me"},
        {"ids": [1], "reason": "\0"},
    )
    for body in bodies:
        assert post("/alerts/ack", **body).status_code == 422, body
    wrong = post("/alerts/ack", ids=[number(ada, OVEN, "watch.poll")], password="not it")
    assert "not the password of ada" in wrong.json()["error"]


def test_a_case_is_closed_by_a_fresh_reading(plant: PlantFolder, floor: RunningFloor) -> None:
    """On the page and in the API, beside the daemon that reads."""
    plant.commissioned()
    read = load_plant(plant.file)
    with plant.daemon(), signed_in(read, database=Database(read.store_url)) as ada:
        floor.apply("line1/filler", set={"crc": "cafebabe"})

        def alerts() -> list[Alert]:
            with ada.site.database.read() as tx:
                return store.alerts(tx, ["line1/filler"], closed=True)

        wait_for(alerts, "the alarm")
        (found,) = alerts()
        sent = {"cause": "wrong-backup", "prevention": "label the backups"}
        still = ada.post(f"/alarms/{found.id}/close", sent)
        assert (still.status_code, "is not as approved yet" in still.text) == (409, True)
        assert "label the backups" in still.text, "what was typed is not lost"
        assert ada.post(f"/alarms/{found.id}/close", {**sent, "cause": ""}).status_code == 422
        floor.apply("line1/filler", set={"crc": "deadbeef"})
        key = token(ada, "engineer")
        body = {"ids": [found.id], "cause": "wrong-backup", "prevention": "label the backups"}
        done = ada.api("POST", "/alerts/close", key, json=body)
        assert done.status_code == 200, done.text
        assert (done.json()["alerts"][0]["cause"], done.json()["alerts"][0]["closed_by"]) == ("wrong-backup", "ada")
        twice = ada.post(f"/alarms/{found.id}/close", sent)
        assert (twice.status_code, "was closed by ada" in twice.text) == (409, True)
        assert "label the backups" in ada.get(f"/alarms/{found.id}").text
        floor.apply("line1/filler", set={"crc": "00000000"})
        wait_for(lambda: len(alerts()) == 2, "another alarm")
        floor.apply("line1/filler", behave="silent")
        unread = ada.post(f"/alarms/{alerts()[1].id}/close", sent)
        assert (unread.status_code, "could not be read" in unread.text) == (409, True)


def test_an_operator_with_a_keyboard_alone(ada: Visitor, browser: Browser) -> None:
    with browsing(browser, str(ada.client.base_url)) as page:
        enter(page, ada, "ada")
        page.goto("/alarms")
        found = Axe().run(page)
        assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []
        first = page.locator("input[name=id]").first
        number = int(str(first.get_attribute("value")))
        for _ in range(60):
            page.keyboard.press("Tab")
            if first.evaluate("each => each === document.activeElement"):
                break
        page.keyboard.press("Space")
        assert page.locator("#ticked").inner_text() == "1 ticked"
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "comment":
                break
        page.keyboard.type("I look at it")
        page.keyboard.press("Enter")
        page.get_by_role("status").filter(has_text="1 alarm was acknowledged").wait_for()
        assert (state(ada, number).state, state(ada, number).reason) in (
            ("ACKED", "I look at it"),
            ("NORMAL", "I look at it"),
        )
        page.get_by_role("link", name="item.mode changed from RUN to PROGRAM").click()
        page.get_by_text("Close the case: why it came about").click()
        page.get_by_text("Shelve: put it away until a time").click()
        found = Axe().run(page)
        assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []


def test_both_databases_find_the_same(database: Database, tmp_path: Path) -> None:
    """What Python makes of all of them, the databases make too."""
    lived(tmp_path, database=database)
    with database.read() as tx:
        every = store.alerts(tx, closed=True)

        def found(**wanted: Any) -> list[int]:
            asked = Wanted(**wanted)
            ids = [each.id for each in store.find_alerts(tx, asked, 99)]
            assert sorted(ids) == [each.id for each in store.alerts_after(tx, asked, 0, 99)]
            assert len(ids) == store.count_alerts(tx, asked)
            return ids

        here = [each for each in every if each.state in store.OPEN]
        here.sort(key=lambda each: (-each.severity.rank, each.state == "ACKED", each.raised_at, each.id))
        assert found(states=store.OPEN) == [each.id for each in here]
        two = store.find_alerts(tx, Wanted(store.OPEN), 2, skip=1)
        assert [each.id for each in two] == [each.id for each in here[1:3]]
        mode = sorted(each.id for each in every if "mode" in each.item)
        assert sorted(found(text="MODE")) == mode
        assert found(text="%") == found(text="_o") == found(assets=[]) == []
        assert found(kinds=[Kind.EVENT], severities=[Severity.CRITICAL], categories=[Category.MODE], assets=[FILLER])
        assert found(states=["NORMAL"], open_cases=True) == []
        (closed,) = [each for each in every if each.closed_at]
        (like,) = [each for each in here if each.item == closed.item and each.asset == FILLER]
        assert [each.id for each in store.alerts_like(tx, like, 9)] == [closed.id]
        (shelved,) = [each.id for each in every if each.state == "SHELVED"]
        assert store.who_shelved(tx, [shelved]) == {shelved: "kim"}
        assert [each.event for each in store.moves_of(tx, shelved)] == ["deviates", "shelve"]


@pytest.mark.parametrize("kind", Kind)
def test_of_every_alarm_it_is_said_what_to_do(kind: Kind) -> None:
    now = utc_now()
    for category in Category:
        for direction in (None, *Direction):
            found = response(Alert("a", "b.c", kind, 1, 2, Severity.HIGH, category, (), direction, now, now))
            assert found.title
            assert found.steps
    assert len({each.title for each in responses()}) == len(responses())
    assert responses()[-1].when == {}


def test_every_technique_that_an_alarm_names_has_its_name() -> None:
    tables = (
        *rules.TECHNIQUES.values(),
        *rules.HEARD_TECHNIQUES.values(),
        *(each[1] for each in wire.OPERATIONS.values()),
    )
    used = {*rules.CONFLICT_TECHNIQUES, *rules.MODULE_TECHNIQUES, *(each for table in tables for each in table)}
    assert [each.number for each in techniques(sorted(used)) if not (each.name and each.means)] == []
    assert techniques(["T9999"])[0].name == ""
