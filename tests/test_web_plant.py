"""The plant's page and the list of assets: what is seen at a glance, in a small plant and in one of thousands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.asset import Asset
from baselines.baseline import Stage
from baselines.drift import Verdict
from baselines.snapshot import Item, Severity, Snapshot
from collectors.address import parse_address
from collectors.collector import CollectError, Poll, Target, Unreachable
from collectors.contract import Sent
from monitor import actions, evidence, store
from monitor.board import NO_ALARMS, Alarms, Row
from monitor.config import Plant
from monitor.lines import NO_LINE, Tally, Wanted, line_of, look_of, machine_of, needs_attention, urgency
from monitor.pipeline import take
from monitor.store import Actor, Database, Gap, OutOfService
from tests.sites import Visitor, browsing, enter, plant_with, signed_in

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SEEN = NOW - timedelta(seconds=10)
KIM = Actor("kim", "kim@w")
SCRIPT = "<script>alert(1)</script>"
BIDI = "\u202eevil\u2066"
LONG = "A" * 10_000
CONTROL = "two\nlines\x1b[31m\x00"
FILLER, CAPPER, OVEN, PRESS = "line1/filler", "line1/capper", "line2/oven", "line2/press"
RING = '[segment.ring]\ninterface = "eth1"\nzone = "cell"\n'


def polled(database: Database, name: str, *outcome: Item | CollectError, at: datetime = SEEN) -> None:
    """One poll, with what came of it."""
    failed = next((each for each in outcome if isinstance(each, CollectError)), None)
    items = [each for each in outcome if isinstance(each, Item)]
    found = failed or Snapshot.of(name, at, items, profile="p" * 64)
    with database.write() as tx:
        take(tx, Poll(Target(name, parse_address("modbus://plc/1")), found, Sent(), 0.0), at)


def approved(database: Database, name: str, *items: Item, at: datetime = NOW) -> None:
    with database.write() as tx:
        actions.propose(tx, Snapshot.of(name, at, items, profile="p" * 64), Stage.SAT, KIM, at, "as built")
        actions.approve(tx, name, KIM, "seen", at, although_changed=True)


def identity(field: str, value: str) -> Item:
    return Item(f"identity.{field}", value)


def filled(database: Database, plant: Plant) -> None:
    """filler drifts, capper matches, oven answers no more, press was never seen; the segment is heard."""
    before = NOW - timedelta(hours=2)
    with database.write() as tx:
        evidence.note_assets(tx, plant, KIM, before)
    names = (identity("manufacturer", SCRIPT), identity("model", BIDI), identity("serial_number", LONG))
    for name in (FILLER, CAPPER, OVEN):
        approved(database, name, *names, Item("item.limit", 12.5, severity=Severity.CRITICAL), at=before)
        polled(database, name, *names, Item("item.limit", 12.5, severity=Severity.CRITICAL), at=before)
    polled(database, FILLER, *names, Item("item.limit", 14.0), identity("software_revision", CONTROL))
    polled(database, CAPPER, *names, Item("item.limit", 12.5, severity=Severity.CRITICAL))
    polled(database, OVEN, Unreachable(OVEN, "no answer within 2 s"))
    polled(database, "ring", Item("host.00:11:22:33:44:55.ips", ("10.0.0.1",)))
    with database.write() as tx:
        store.add_gap(tx, Gap("asbuilt", "self", "disk", "the disk is nearly full", before))
        (first, *_) = store.alerts(tx, [FILLER])
        who = '{"client": "10.9.9.9", "name": "<b>laptop</b>", "protocol": "modbus", "at": "2026-11-23T07:00:00Z"}'
        tx.exec_driver_sql(f"UPDATE alert SET who = '{who}' WHERE id = {first.id}")


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A plant of four machines on two lines, and somebody who is signed in."""
    folder = tmp_path_factory.mktemp("plant")
    plant = plant_with(folder, RING, (FILLER, CAPPER, OVEN, PRESS))
    with signed_in(plant, clock=lambda: NOW) as found:
        filled(found.site.database, plant)
        yield found


def text_of(html: str) -> str:
    """What people read."""
    bare = re.sub(r"<(script|style|head)\b.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


# ---- Pure


def row(name: str = FILLER, verdict: Verdict = Verdict.MATCH, alarms: Alarms = NO_ALARMS, **more: object) -> Row:
    asset = Asset(name, "modbus://plc/1", "auto", zone=str(more.pop("zone", "")))
    out = more.pop("out", None)
    assert out is None or isinstance(out, OutOfService)
    return Row(asset, False, 1, None, None, 0, None, None, None, verdict, None, out, alarms)


@pytest.mark.parametrize(
    ("name", "zone", "line", "machine"),
    [
        ("line1/filler", "hall", "line1", "filler"),
        ("works/line1/filler", "", "works/line1", "filler"),
        ("oven", "hall", "hall", "oven"),
        ("oven", "", NO_LINE, "oven"),
        ("/oven", "", NO_LINE, "/oven"),
        ("line1/", "", "line1", "line1/"),
    ],
)
def test_the_line_is_what_stands_before_the_last_slash_or_else_the_zone(
    name: str, zone: str, line: str, machine: str
) -> None:
    found = row(name, zone=zone)
    assert (line_of(found.asset), machine_of(found.asset)) == (line, machine)


def test_green_is_only_what_was_really_seen_to_match() -> None:
    looks = {verdict: look_of(row(verdict=verdict)) for verdict in Verdict}
    assert [verdict for verdict, look in looks.items() if look == "good"] == [Verdict.MATCH]
    assert look_of(row(alarms=Alarms(1, 1, Severity.LOW))) == "attention", "an alarm stands"
    line = Tally()
    assert line.look == "plain", "nothing is not good"
    line.add(row())
    assert line.look == "good"
    line.add(row(verdict=Verdict.NO_BASELINE))
    assert line.look == "plain", "one that nobody approved makes no green line"


def test_what_needs_attention_and_in_which_order() -> None:
    waiting = row(alarms=Alarms(2, 1, Severity.CRITICAL))
    seen = row(alarms=Alarms(2, 0, Severity.CRITICAL))
    drift, stale = row(verdict=Verdict.DRIFT), row(verdict=Verdict.STALE)
    out = row(verdict=Verdict.DRIFT, out=OutOfService(NOW, "kim", "service"))
    assert not any(map(needs_attention, (row(), out, row(verdict=Verdict.NO_BASELINE))))
    assert sorted((stale, seen, drift, waiting), key=urgency) == [waiting, drift, stale, seen]


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (Wanted(), True),
        (Wanted(text="FILLER"), True),
        (Wanted(text="modbus://plc"), True),
        (Wanted(text="labeller"), False),
        (Wanted(verdict="match"), True),
        (Wanted(verdict="drift"), False),
        (Wanted(line="line1"), True),
        (Wanted(line="line"), False),
        (Wanted(zone="hall"), False),
        (Wanted(alarms="open"), False),
        (Wanted(alarms="waiting"), False),
        (Wanted(alarms="none"), True),
    ],
)
def test_what_is_asked_for(asked: Wanted, has: bool) -> None:
    assert asked.has(row()) is has


# ---- The pages


def test_the_plant_is_seen_at_a_glance(visitor: Visitor) -> None:
    html = visitor.get("/").text
    text = text_of(html)
    assert "4 machines: 1 drift, 1 no-longer-observable, 1 never-seen, 1 match." in text
    waiting = re.search(r"(\d+) alarms? not acknowledged", text)
    assert waiting
    assert "line1 2 machines: 1 drift, 1 match" in text
    assert "line2 2 machines: 1 no-longer-observable, 1 never-seen" in text
    assert re.search(r"Needs attention 2 of 2 .*?line1/filler.*?line2/oven", text), "the worst first"
    assert text.index("line1 2 machines") < text.index("line2 2 machines"), "in the order of the plant"
    assert "Network 1 segment" in text
    assert "changed by &lt;b&gt;laptop&lt;/b&gt; (10.9.9.9)" in text
    assert 'data-region="lines"' in html
    assert 'data-live="assets alarms"' in html


def test_it_says_when_the_monitor_itself_is_blind(visitor: Visitor) -> None:
    text = text_of(visitor.get("/").text)
    assert "The monitor is not ready, so what stands here may be old: " in text
    assert "The monitor itself: the disk is nearly full, since 2026-11-23 06:00:00" in text


def test_green_stands_at_what_matches_alone(visitor: Visitor) -> None:
    html = visitor.get("/").text
    tiles = re.findall(r'<li class="tile (\w+)">\s*<h3 class="machine"><a href="([^"]+)"', html)
    assert {path: look for look, path in tiles} == {
        f"/assets/{FILLER}": "bad",
        f"/assets/{CAPPER}": "good",
        f"/assets/{OVEN}": "unknown",
        f"/assets/{PRESS}": "unknown",
        "/assets/ring": "plain",
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("verdict=drift", [FILLER]),
        ("line=line2", [OVEN, PRESS]),
        ("q=CAPPER", [CAPPER]),
        (f"q={SCRIPT}", [FILLER, CAPPER, OVEN]),
        ("alarms=none", [CAPPER, OVEN, PRESS]),
        ("verdict=drift&line=line2", []),
        ("q=%00", [FILLER]),
        ("zone=nowhere", []),
    ],
)
def test_machines_are_found(visitor: Visitor, query: str, names: list[str]) -> None:
    html = visitor.get(f"/?{query}").text
    tiles = re.findall(r'<h3 class="machine"><a href="/assets/([^"]+)"', html)
    assert tiles == names
    assert f"{len(names)} of 4 machines are as asked for" in text_of(html)


def test_the_list_can_be_sorted_both_ways_and_filtered(visitor: Visitor) -> None:
    def names(query: str) -> list[str]:
        return re.findall(r'<th scope="row"[^>]*><span><a href="/assets/([^"]+)"', visitor.get(f"/assets?{query}").text)

    assert names("") == [FILLER, CAPPER, OVEN, PRESS, "ring"]
    assert names("sort=name") == sorted(names(""))
    assert names("sort=name&down=true") == sorted(names(""), reverse=True)
    assert names("sort=verdict")[:2] == [FILLER, OVEN]
    assert names("sort=alarms")[0] == FILLER
    assert names("sort=seen&down=true")[-1] == PRESS
    assert names("sort=serial&down=true")[-1] in (PRESS, "ring")
    assert names("sort=nonsense") == names("")
    assert names("verdict=match") == [CAPPER]
    assert names("page=99") == names("")
    assert 'aria-sort="descending"' in visitor.get("/assets?sort=name&down=true").text


@pytest.mark.parametrize("path", ["/", "/assets"])
def test_whatever_a_device_calls_itself_is_shown_as_that(visitor: Visitor, path: str) -> None:
    html = visitor.get(path).text
    assert SCRIPT not in html
    assert "<b>laptop</b>" not in html
    assert "\x1b" not in html
    assert "\x00" not in html
    if path == "/assets":
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert f"{LONG[:200]}… (10,000 letters)" in html
        assert "\\u202eevil\\u2066" in html, "what turns the text around is shown, and not obeyed"


def test_who_is_not_signed_in_sees_nothing(visitor: Visitor) -> None:
    with httpx.Client(base_url=visitor.client.base_url) as stranger:
        for path in ("/", "/assets", f"/assets/{FILLER}", f"/history?asset={FILLER}"):
            assert stranger.get(path).status_code == 303
        assert stranger.post("/assets/poll").status_code in (303, 403)


def test_a_plant_of_thousands_is_lines_that_open(tmp_path: Path) -> None:
    names = [f"line{number // 20:03}/plc{number % 20:02}" for number in range(300)]
    with signed_in(plant_with(tmp_path, "", names), clock=lambda: NOW) as visitor:
        text = text_of(visitor.get("/").text)
        assert "300 machines: 300 never-seen" in text
        assert "Lines 15, in the order of the plant" in text
        assert "plc00" not in text, "no machine stands there until its line is opened"
        opened = visitor.get("/?line=line007").text
        assert opened.count('<li class="tile') == 20
        assert "20 of 300 machines are as asked for" in text_of(opened)
        paged = visitor.get("/?verdict=never-seen&page=2").text
        assert paged.count('<li class="tile') == 100
        assert "201 to 300 of 300" in paged
        assert "201 to 300 of 300" in visitor.get("/assets?sort=name&page=2").text


def test_a_plant_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "", ())) as visitor:
        assert "plant.toml names no machine yet" in visitor.get("/").text
        assert "plant.toml names no asset yet" in visitor.get("/assets").text


def test_a_browser_shows_it_and_axe_finds_nothing(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url), "phone") as page:
        enter(page, visitor, "ada")
        for path in ("/", "/assets"):
            page.goto(path)
            serious = [
                each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")
            ]
            assert serious == []
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, f"{path} is wider than the phone"
        page.get_by_label("Look for").fill("capper")
        page.get_by_role("button", name="Show").click()
        assert "1 of 5 assets" in page.get_by_role("status").first.inner_text()
