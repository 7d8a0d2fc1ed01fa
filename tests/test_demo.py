"""The demo: its page is there for whoever it names; and it runs through to its end, and leaves the documents that it
promises (in `make proof`: it takes its time, for people)."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from monitor.demo import HOST, ROLES, USUAL_PORT, Stage, open_page
from monitor.web.access import Role
from tests.floors import ROOT, PlantFolder, RunningFloor
from tests.measured import NOTES

SPEED = 10  # times as fast as the scenario says
RUN = "import sys; from pathlib import Path; from monitor.demo import run_demo; run_demo({}, Path(sys.argv[1]), {})"
BEGINS = {".pdf": b"%PDF-", ".html": b"<!DOCTYPE html"}


def test_whom_the_demo_names_comes_in_and_may_do_everything(
    floor: RunningFloor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PlantFolder(tmp_path, {"filler": floor.plcs["line1/filler"].address}, web="")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, USUAL_PORT))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as well
        plant = tmp_path / "plant.toml"
        plant.write_text(plant.read_text().replace("[web]\n", ""))
        stage = Stage(tmp_path)
        stage.write_web(True)
        with stage.daemon():
            way_in = open_page(stage)
            found = re.search(r"The page: (http://127\.0\.0\.1:\d+)\n  sign in as demo, password (\S+)", way_in)
            assert found, way_in
            with httpx.Client(base_url=found[1], follow_redirects=True) as client:
                client.post("/sign-in", data={"name": "demo", "password": found[2]})
                assert "Signed in" in client.get("/coverage").text
            assert not found[1].endswith(f":{USUAL_PORT}")
            stage.show("baseline", "propose", "--by", "Ada")
            stage.show("baseline", "approve", "*", "--by", "Bo", "--reason", "nobody has to sign")
    assert found[2] not in capsys.readouterr().out.replace(way_in, ""), "the password is nowhere else"
    assert tuple(Role) == ROLES


@pytest.mark.skipif(not NOTES, reason="it takes a minute: make proof")
def test_the_demo_ends_with_reports(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(False, SPEED), str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("audit.pdf", "audit.html", "commissioning.pdf", "commissioning.html"):
        path = home / name
        assert f"$ asbuilt report {path.stem} -o {path}" in done.stdout
        assert path.read_bytes().lower().startswith(BEGINS[path.suffix].lower())
    assert "ALARM" in done.stdout
    assert "The page: http://127.0.0.1:" in done.stdout
    assert done.stdout.rstrip().endswith("put your PLC's address into plant.toml.")
    dossier = (home / "commissioning.html").read_text(encoding="utf-8")
    assert "Stage fat, of 12 assets: 12 approved." in dossier
    assert "Ada (commissioning)" in dossier
