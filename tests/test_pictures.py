"""The pictures: whatever they show, they are well-formed, hold no script, and say so where there is nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.cause import Cause
from baselines.drift import Kind
from baselines.exposure import Onset, Span
from baselines.quality import (
    By,
    Case,
    How,
    OrderRecord,
    Quality,
    edges,
    measure,
)
from baselines.snapshot import Category, Severity
from monitor.drawing import Drawing, shown
from monitor.pictures import duration_text, page, pictures

START = datetime(2026, 8, 3, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "desc", "defs", "pattern", "rect", "line", "path", "circle", "text"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onload='alert(1)",
    "&lt;&amp;]]><!--",
    "x" * 10_000,
    "\x00\x1b[31m\x08\x9f",
    "\ud800\udfff\ufffe\uffff",
    "名" * 300,
    "",
]


def plant(days: int = 90, by: By = By.WEEK, causes: Sequence[str | None] = (), quiet: bool = False) -> Quality:
    """A plant of ten assets that nobody watched from day 20 to 35."""
    chance, cases = random.Random(1), []
    for number in range(0 if quiet else 12 * days):
        raised = START + chance.random() * days * DAY
        how = chance.choice([*How, None])
        ended = raised + chance.random() ** 9 * 30 * DAY if how in (How.MENDED, How.APPROVED) else None
        onset = Onset(raised - chance.random() * DAY, number % 3 == 0)
        cause = chance.choice(causes) if causes else chance.choice([*Cause, None])
        common = (Kind.CHANGED, Category.PROGRAM, Severity.HIGH, raised, onset, raised + DAY, ended, how, cause)
        cases.append(Case("line1/filler", "item.limit", *common))
    spans = [Span(START, START + min(20, days) * DAY)] * 10 + [Span(START + 35 * DAY, START + days * DAY)] * 10
    orders = [OrderRecord(START + DAY, START + 3 * n * DAY, ("as-planned", None)[: 1 + n % 2]) for n in range(20)]
    end = START + days * DAY
    return measure(cases, spans, [] if quiet else orders, edges(START, end, by, BERLIN), end)


def parsed(svg: str) -> ET.Element:
    """A picture, well-formed and made of what we draw only."""
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in DRAWN
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    return root


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("by", By)
@pytest.mark.parametrize("days", [1, 8, 90, 900])
def test_every_picture_is_well_formed_and_says_what_it_is(days: int, by: By) -> None:
    drawn = pictures(plant(days, by), by, BERLIN)
    assert list(drawn) == ["pareto", "rate", "times", "yield"]
    ids = []
    for svg in drawn.values():
        root = parsed(svg)
        assert root.get("role") == "img"
        found = {element.get("id"): element for element in root.iter() if element.get("id")}
        ids += list(found)
        for label in (root.get("aria-labelledby") or "").split():
            assert found[label].text
    assert len(ids) == len(set(ids))  # they stand in one page
    ET.fromstring(page("Bottling works", drawn.values()))


def test_where_there_is_nothing_it_is_said() -> None:
    drawn = pictures(plant(quiet=True), By.WEEK, BERLIN)
    assert "no deviations in this period, 2026-08-03 to 2026-11-01" in texts(drawn["pareto"])
    assert "no deviations in this period, 2026-08-03 to 2026-11-01" in texts(drawn["times"])
    assert "no change order was closed in this period; 0 open" in texts(drawn["yield"])
    nobody = measure([], [], [], edges(START, START + DAY, By.DAY, UTC), START + DAY)
    assert "no asset was looked at, 2026-08-03 to 2026-08-03" in texts(pictures(nobody, By.DAY, UTC)["rate"])


@pytest.mark.parametrize("name", HOSTILE)
def test_what_people_and_devices_write_stays_data(name: str) -> None:
    drawn = pictures(plant(30, causes=[name, None, "wrong-value"]), By.WEEK, BERLIN)
    assert any(text.startswith(("wrong-value",)) for text in texts(drawn["pareto"]))
    assert all(len(text) < 200 for text in texts(drawn["pareto"]))
    held = ET.fromstring(page(name, drawn.values()))
    assert not list(held.iter("script"))


@given(st.text(st.characters(exclude_categories=[]), max_size=80))
def test_any_text_can_be_drawn(text: str) -> None:
    drawing = Drawing("any", text, text, 100, 100)
    drawing.text(1, 1, text, width=50)
    parsed(drawing.svg())


@given(st.text(max_size=60), st.floats(20, 400))
def test_what_does_not_fit_is_cut(text: str, width: float) -> None:
    whole, cut = shown(text), shown(text, width)
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))
    assert len(cut) * 0.5 * 13 <= width


def test_many_causes_end_in_others_and_lose_nothing() -> None:
    drawn = texts(pictures(plant(90, causes=[f"cause {n}" for n in range(40)]), By.WEEK, BERLIN)["pareto"])
    assert "25 others" in drawn
    assert "100.0%" in drawn


def test_the_labels_of_the_control_chart_do_not_overlap() -> None:
    root = parsed(pictures(plant(900, By.DAY), By.DAY, BERLIN)["rate"])
    dates = [float(each.get("x") or 0) for each in root.iter(f"{SVG}text") if (each.text or "").startswith("202")]
    assert len(dates) > 5
    assert all(later - earlier >= 80 for earlier, later in pairwise(dates))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (4, "4 s"), (59.6, "60 s"), (90, "1.5 min"), (7200, "2 h"), (86400 * 40, "40 d")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text
