"""`asbuilt quality`, as people and scripts call it."""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree as ET

import pytest

from tests.floors import PlantFolder, RunningFloor


def test_from_a_deviation_to_the_figures(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.file.write_text(plant.file.read_text().replace('name = "Test"', 'name = "Test"\ntimezone = "Europe/Berlin"'))
    plant.commissioned()
    assert plant.asbuilt("check").code == 0
    floor.apply("line1/filler", set={"limit": 14.0})
    floor.apply("line2/filler", set={"mode": 7})
    assert plant.asbuilt("check").code == 1
    floor.apply("line1/filler", set={"limit": 12.5})
    assert plant.asbuilt("check").code == 1

    shown = plant.asbuilt("quality", "--json")
    assert shown.code == 0
    found = shown.json
    assert (found["by"], found["timezone"]) == ("week", "Europe/Berlin")
    span = datetime.fromisoformat(found["until"]) - datetime.fromisoformat(found["from"])
    assert span.days == 90
    assert (found["deviations"], found["false_alarms"], found["suppressed"]) == (2, 0, 0)
    assert found["causes"] == [{"cause": None, "count": 2, "share": 1.0, "cumulative": 1.0}]
    assert [bar["category"] for bar in found["categories"]] == ["mode", "parameter"]
    assert [bar["asset"] for bar in found["assets"]] == ["line1/filler", "line2/filler"]
    assert 0 < found["rate"]["asset_days"] < 1
    assert sum(row["deviations"] for row in found["rate"]["periods"]) == 2
    assert found["rate"]["periods"][0]["rate"] is None  # nobody looked yet
    assert {name: times["count"] for name, times in found["seconds"].items()} == {
        "detected": 0,
        "detected_at_most": 2,
        "acknowledged": 0,
        "mended": 1,
        "approved": 0,
        "open": 1,
        "open_before": 0,
    }
    assert 0 < found["seconds"]["detected_at_most"]["longest"] < 60
    assert found["orders"]["yield"] is None

    text = plant.asbuilt("quality", "--by", "month", "--pictures", "shown/here")
    assert text.code == 0
    assert "2 deviations" in text.out
    assert "no cause given yet" in text.out
    assert "Europe/Berlin" in text.out
    folder = plant.folder / "shown" / "here"
    names = ["pareto.svg", "quality.html", "rate.svg", "times.svg", "yield.svg"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        ET.parse(folder / name)


def test_a_plant_in_which_nothing_has_happened(plant: PlantFolder) -> None:
    shown = plant.asbuilt("quality")
    assert shown.code == 0
    assert "0 deviations" in shown.out
    assert plant.asbuilt("quality", "--json").json["rate"]["centre"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "yesterday"], "is no time"),
        (["--from", "+2h"], "--from"),
        (["--from", "2026-03-01", "--until", "2026-02-01"], "--from"),
        (["--from", "0001-01-01", "--by", "month"], "more than 1000 periods"),
        (["--from", "1990-01-01", "--by", "day"], "more than 1000 periods"),
        (["--until", "0001-01-02"], "--until"),
        (["--by", "hour"], "hour"),
        (["--pictures", "plant.toml"], "--pictures plant.toml: cannot be written"),
        (["--pictures", "n" * 300], "cannot be written"),
    ],
)
def test_a_call_that_is_wrong_says_what_to_do(plant: PlantFolder, words: list[str], said: str) -> None:
    done = plant.asbuilt("quality", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
