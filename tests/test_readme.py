"""The README's commands, run in order as a newcomer runs them; and its TOML, read by the program."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from collectors.profile import parse_profile
from tests.floors import ROOT, PlantFolder, wait_for

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_walk_through_a_plant(tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {})
    plant.file.unlink()
    (plcs,) = blocks("csv")
    (tmp_path / "plcs.csv").write_text(plcs, encoding="utf-8")
    commands = [shlex.split(line[2:]) for block in blocks("console") for line in block.splitlines()]
    assert {command[0] for command in commands} == {"asbuilt"}
    simulate = [sys.executable, "-m", "simulators", "bottling", "--hold", "--speed", "10", "--plant", str(plant.file)]
    with subprocess.Popen(simulate, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as simulated:
        assert simulated.stdin is not None
        assert simulated.stdout is not None
        assert json.loads(simulated.stdout.readline())["scenario"] == "bottling"
        watched = commands.index(["asbuilt", "run"])
        for _, *words in commands[:watched]:
            assert plant.asbuilt(*words).code == 0, words
        with plant.daemon():
            simulated.stdin.write('{"go": true}\n')
            simulated.stdin.flush()
            wait_for(lambda: len(plant.asbuilt("alerts", "list", "--json").json["alerts"]) > 1, "two alarms")
            for _, *words in commands[watched + 1 :]:
                assert plant.asbuilt(*words).code == 0, words
        simulated.terminate()


def test_its_plant_and_its_profile_are_right(tmp_path: Path) -> None:
    described, notify, tiers, evidence, segment, profile = blocks("toml")
    plant = PlantFolder(tmp_path, {})
    plant.file.write_text(described + notify + tiers + evidence + segment)
    names = ["line1/filler", "line1/capper", "line1"]
    assert [each["asset"] for each in plant.asbuilt("assets", "--json").json["assets"]] == names
    assert parse_profile(tomllib.loads(profile), "README.md").name == "acme-p7"


def test_the_documents_that_it_names_are_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
