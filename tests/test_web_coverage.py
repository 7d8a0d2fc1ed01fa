"""What we cannot see, and since when: on the page, and drawn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from baselines.coverage import Cause
from monitor.covering import Covered
from monitor.store import Gap
from monitor.web.bars import LEAST, LOOKS, WIDTH, bar, look_of
from monitor.web.pages.coverage import share_text
from monitor.web.paging import rest_of, shown_of
from tests.alarming import ASSETS, HOSTILE, lived
from tests.sites import Visitor, browsing, enter, signed_in

FILLER, CAPPER, OVEN, PRESS, WRAPPER, SPARE = ASSETS
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
END = BEGIN + timedelta(hours=1000)  # an hour is a unit of a bar


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Ada at a plant of 250 more assets, of which every fourth had a gap. Nobody polls it."""
    plant, database = lived(tmp_path_factory.mktemp("plant"), 250)
    with signed_in(plant, "ada", ("viewer",), database=database) as visitor:
        yield visitor


def rows(text: str) -> list[str]:
    """The rows of the table, in their order."""
    return text.split('<tr id="row-')[1:]


def test_what_is_blind_now_is_on_top_in_words(ada: Visitor) -> None:
    text = ada.get("/coverage").text
    assert HOSTILE not in text
    on_top = text.split('aria-labelledby="h-time"')[0]
    assert f"{OVEN}</a> is not seen since" in on_top
    assert "refused: it closes the connection" in on_top
    assert f"Never asked: {SPARE}" in on_top
    found = rows(text)
    assert "asbuilt did not run" in found[-1] or any("asbuilt did not run" in each for each in found)
    first = [each for each in found if "blind</span>" in each]
    assert found[: len(first)] == first, "what is blind comes first"
    assert f"no answer {HOSTILE.replace('<', '&lt;').replace('>', '&gt;')}" in text


def test_only_what_is_asked_for_is_shown_page_by_page(ada: Visitor) -> None:
    with_gaps = ada.get("/coverage").text
    assert f">{CAPPER}</a>" in with_gaps, "nobody polls it, so nobody sees it now"
    assert SPARE not in "".join(rows(with_gaps))
    every = ada.get("/coverage?show=all&span=7d").text
    assert len(rows(every)) == 100
    assert "1 to 100 of 257" in every
    last = ada.get("/coverage?show=all&span=7d&page=3").text
    assert "201 to 257 of 257" in last
    assert "show=all&amp;page=2" in last
    assert len(rows(ada.get("/coverage?show=never").text)) == 1
    assert rows(ada.get("/coverage?show=blind&asset=nobody").text) == []
    assert len(rows(ada.get(f"/coverage?show=all&asset={PRESS.upper()}").text)) == 1
    assert ada.get("/coverage?show=all&page=9999&zone=nowhere").status_code == 200


def test_the_time_is_chosen_and_a_wrong_one_is_said(ada: Visitor) -> None:
    day = "".join(rows(ada.get("/coverage?span=24h").text))
    assert f"{PRESS}: seen for" in day
    assert "its sensor ended" not in day, "that was before"
    assert "its sensor ended" in ada.get("/coverage?span=7d").text
    for wrong, said in (("soon", "is no time"), ("2200-01-01", "lies in the future"), ("%00", "is no time")):
        answer = ada.get(f"/coverage?since={wrong}")
        assert (answer.status_code, said in answer.text) == (422, True)
    assert ada.get("/coverage?since=2020-01-01T00:00&until=2020-02-01T00:00").status_code == 200


def test_it_is_usable_without_eyes(ada: Visitor, browser: Browser) -> None:
    with browsing(browser, str(ada.client.base_url), "phone") as page:
        enter(page, ada, "ada")
        page.goto("/coverage?span=7d")
        assert page.get_by_role("img", name=f"{PRESS}: seen for").count() == 1
        page.get_by_text("the longest").first.click()
        found = Axe().run(page)
        assert [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing is wider than the phone"


def gap(begin: float, hours: float | None, cause: Cause = Cause.UNREACHABLE) -> Gap:
    first = BEGIN + timedelta(hours=begin)
    return Gap("a", "poll", cause, "", first, None if hours is None else first + timedelta(hours=hours))


def drawn(*gaps: Gap, since: datetime | None = BEGIN) -> list[tuple[float, float, str]]:
    return [(each.x, each.width, each.look) for each in bar(Covered("a", since, 1.0, gaps), BEGIN, END)]


def test_a_bar_has_every_gap_and_nothing_beside_it() -> None:
    assert drawn() == [(0, WIDTH, "seen")]
    assert drawn(since=None) == []
    assert drawn(since=BEGIN + timedelta(hours=400)) == [(400, 600, "seen")]
    assert drawn(gap(10, 20), gap(900, None)) == [(0, WIDTH, "seen"), (10, 20, "silent"), (900, 100, "silent")]
    assert drawn(gap(-50, 60))[1:] == [(0, 10, "silent")], "what began before begins with the bar"
    assert drawn(gap(10, 0.001), gap(999.9, None))[1:] == [(10, LEAST, "silent"), (WIDTH - LEAST, LEAST, "silent")]
    assert drawn(gap(10, 20, Cause.DEAF), gap(15, 1))[1:] == [(15, LEAST, "silent"), (10, 20, "deaf")]
    many = [gap(each / 10, 0.01) for each in range(10_000)]
    assert len(drawn(*many)) == 2, "what nobody could tell apart is one"


def test_every_cause_has_a_look() -> None:
    assert {look_of(cause) for cause in Cause} == set(LOOKS)
    assert look_of("of a later version") == "unwatched"


def test_what_is_not_all_is_never_100_percent() -> None:
    assert [share_text(each) for each in (1, 0.9999999, 0.5, 0)] == ["100 %", "99.999 %", "50.000 %", "0.000 %"]


def test_pages_of_a_list() -> None:
    shown = shown_of(3, 450)
    assert (shown.pages, shown.skip, shown.first, shown.last) == (3, 400, 401, 450)
    assert shown_of(9, 450).number == 3
    assert (shown_of(1, 0).pages, shown_of(1, 0).first, shown_of(1, 0).last) == (1, 0, 0)
    assert rest_of({"a": "", "b": "x&y"}) == "b=x%26y&"
