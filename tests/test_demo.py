"""The demo: it runs through to its end, and leaves the documents that it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.floors import ROOT

SPEED = 10  # times as fast as the scenario says: the demo itself takes its time, for people
RUN = "import sys; from pathlib import Path; from monitor.demo import run_demo; run_demo(True, Path(sys.argv[1]), {})"
BEGINS = {".pdf": b"%PDF-", ".html": b"<!DOCTYPE html"}


def test_the_demo_ends_with_reports(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(SPEED), str(home)],
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
    assert done.stdout.rstrip().endswith("put your PLC's address into plant.toml.")
    dossier = (home / "commissioning.html").read_text(encoding="utf-8")
    assert "Stage fat, of 12 assets: 12 approved." in dossier
    assert "Ada (commissioning)" in dossier
