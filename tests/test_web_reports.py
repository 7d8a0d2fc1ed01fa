"""Reports that somebody has made on the page: the very bytes of the command, for them alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from monitor import store
from monitor.web.made import MOST, Made
from tests.floors import wait_for
from tests.forge import forge
from tests.sites import Visitor, browsing, enter, plant_with, register, signed_in, token_of

SCHEDULED = """
[report.monthly]
kind = "changes"
formats = ["json"]
"""
SERIOUS = ("serious", "critical")
SINCE, UNTIL = "2026-10-01T00:00Z", "2026-11-01T00:00Z"


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    folder = tmp_path_factory.mktemp("reports")
    with signed_in(plant_with(folder, SCHEDULED, ("line1/filler", "line2/filler"))) as ada:
        yield ada


def made(visitor: Visitor, **asked: str) -> httpx.Response:
    """Have one made, and wait for it; the page of the job."""
    answer = visitor.post("/reports", {"kind": "changes", "form": "json", **asked}, "/reports")
    assert answer.url.path.startswith("/jobs/"), answer.text
    wait_for(lambda: "running" not in visitor.get(answer.url.path).text, "the report", 60)
    return visitor.get(answer.url.path)


def file_of(visitor: Visitor, page: httpx.Response) -> httpx.Response:
    found = re.search(r"/reports/made/\w+", page.text)
    assert found, page.text
    return visitor.get(found[0])


def test_a_report_has_the_bytes_of_the_command(visitor: Visitor) -> None:
    page = made(visitor, since=SINCE, until=UNTIL, assets="line1/*")
    file = file_of(visitor, page)
    assert file.headers["content-type"] == "application/json"
    assert file.headers["content-disposition"] == 'attachment; filename="Bottling-works-changes-2026-11-01.json"'
    plant = visitor.site.plant()
    words = ["report", "changes", "line1/*", "--from", SINCE, "--until", UNTIL, "--plant", str(plant.path)]
    done = forge().run([*words, "-o", "by-hand.json"], {}, plant.path.parent, 60)
    assert done.returncode == 0, done.stderr
    assert file.content == (plant.path.parent / "by-hand.json").read_bytes()
    with visitor.site.database.read() as tx:
        (entry,) = store.entries_of(tx, ("report.make",))
    assert (entry.actor, entry.account) == ("ada", "page 127.0.0.1")
    assert entry.detail["assets"] == "line1/*"
    assert entry.detail["until"] == "2026-11-01T00:00:00.000Z"


def test_a_report_is_for_whom_it_was_made(visitor: Visitor) -> None:
    register(visitor.site.plant(), visitor.site.database, "bo", ("viewer",))
    with httpx.Client(base_url=visitor.client.base_url, timeout=30, follow_redirects=True) as client:
        bo = Visitor(client, visitor.site)
        bo.enter("bo")
        (job, *_) = visitor.site.jobs.all_of("ada")
        assert bo.get(f"/reports/made/{job.id}").status_code == 409
        assert bo.get(f"/jobs/{job.id}").status_code == 409
        assert "Nothing yet." in bo.get("/reports").text


def test_a_pack_verifies_without_us(visitor: Visitor, tmp_path: Path) -> None:
    file = file_of(visitor, made(visitor, form="pack"))
    assert file.headers["content-type"] == "application/zip"
    (tmp_path / "pack.zip").write_bytes(file.content)
    zipfile.ZipFile(tmp_path / "pack.zip").extractall(tmp_path / "pack")
    done = subprocess.run([sys.executable, "-I", "verify.py"], cwd=tmp_path / "pack", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"kind": "secrets"}, "choose which report"),
        ({"form": "docx"}, "there is no format docx; changes can be written as pdf, html, xlsx, csv, json"),
        ({"form": "cyclonedx"}, "only inventory is written as cyclonedx"),
        ({"stage": "fat"}, "a stage is of the commissioning dossier"),
        ({"zone": "nowhere"}, "has no zone nowhere"),
        ({"assets": "line9/*\n--pack"}, "names no asset line9/*"),
        ({"since": UNTIL, "until": SINCE}, "the beginning is not before the end"),
    ],
)
def test_what_is_no_report_is_said_beside_what_was_typed(visitor: Visitor, asked: dict[str, str], why: str) -> None:
    answer = visitor.post("/reports", {"kind": "changes", "form": "json", **asked}, "/reports")
    assert answer.status_code == 422
    assert why in answer.text.replace("&gt;", ">")


def test_one_that_is_abandoned_ends_and_leaves_nothing(visitor: Visitor) -> None:
    answer = visitor.post("/reports", {"kind": "audit", "form": "pdf"}, "/reports")
    again = visitor.post("/reports", {"kind": "audit", "form": "pdf"}, "/reports")
    assert (again.status_code, "you are having a report made already" in again.text) == (409, True)
    (job, *_) = visitor.site.jobs.all_of("ada")
    visitor.post(f"{answer.url.path}/abandon", {}, "/reports")
    wait_for(lambda: job.ended, "its end")
    assert "abandoned: nothing came of it" in visitor.get(answer.url.path).text
    assert visitor.get(f"/reports/made/{job.id}").status_code == 409


def test_the_newest_files_are_kept_and_none_when_the_server_has_ended() -> None:
    made = Made()
    places = [made.place() for _ in range(MOST + 5)]
    assert len([place for place in places if place.exists()]) == MOST
    assert places[-1].exists()
    made.close()
    assert not places[-1].parent.exists()


def test_scheduled_reports_are_listed_and_no_other_file_is_given_out(visitor: Visitor) -> None:
    folder = visitor.site.plant().path.parent / "reports"
    folder.mkdir()
    ours = "monthly-2026-09-01-2026-10-01.json"
    (folder / ours).write_text('{"report": 1}')
    (folder / "monthly-of-others.json").write_text("{}")
    page = visitor.get("/reports").text
    assert f"/reports/scheduled/monthly/{ours}" in page
    assert "monthly-of-others" not in page
    assert visitor.get(f"/reports/scheduled/monthly/{ours}").text == '{"report": 1}'
    for wrong in ("monthly-of-others.json", "..%2fplant.toml", "%2e%2e%2fasbuilt.db"):
        assert visitor.get(f"/reports/scheduled/monthly/{wrong}").status_code in (404, 422)
    assert visitor.get(f"/reports/scheduled/weekly/{ours}").status_code == 422


def test_a_program_does_the_same(visitor: Visitor) -> None:
    token = token_of(visitor, "ada", ("viewer",))

    def api(method: str, path: str, **more: Any) -> httpx.Response:
        return visitor.api(method, path, token, **more)

    wanted = {"kind": "changes", "as": "json", "from": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    begun = api("POST", "/reports", json={**wanted, "assets": ["line1/*"]})
    assert begun.status_code == 202, begun.text
    job = f"/jobs/{begun.json()['id']}"
    wait_for(lambda: api("GET", job).json()["ended"], "the report", 60)
    assert api("GET", job).json()["outcome"]["file"] == "Bottling-works-changes-2026-11-01.json"
    (first, *_) = api("GET", "/reports").json()["made"]
    assert first["id"] == begun.json()["id"]
    file = api("GET", f"/reports/{first['id']}")
    assert file.headers["content-type"] == "application/json"
    assert file.content.startswith(b'{"report": ')
    assert api("GET", "/reports").json()["scheduled"][0]["name"] == "monthly"
    assert api("GET", "/jobs/0123456789abcdef").status_code == 404
    assert api("POST", "/reports", json={**wanted, "kind": "secrets"}).status_code == 422
    assert api("POST", "/reports", json={**wanted, "zones": ["nowhere"]}).status_code == 409
    assert api("POST", "/reports", json={**wanted, "until": "2026-09-01T00:00:00Z"}).status_code == 409
    running = api("POST", "/reports", json={**wanted, "kind": "audit", "as": "pdf"}).json()
    assert api("DELETE", f"/jobs/{running['id']}").status_code == 200
    wait_for(lambda: api("GET", f"/jobs/{running['id']}").json()["ended"], "its end")
    assert api("GET", f"/jobs/{running['id']}").json()["why"].startswith("abandoned")


def test_a_person_has_one_made(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url), "phone") as page:
        enter(page, visitor, "ada")
        page.goto("/reports")
        assert not [each["id"] for each in Axe().run(page).response["violations"] if each["impact"] in SERIOUS]
        page.get_by_label("Report").select_option("inventory")
        page.get_by_label("As", exact=True).select_option("csv")
        page.get_by_role("button", name="Make it").click()
        link = page.get_by_role("link", name="Download it")
        expect(link).to_be_visible(timeout=60_000)
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename.startswith("Bottling-works-inventory-")
        assert zipfile.is_zipfile(download.value.path())


def test_a_folder_that_somebody_cleared_away_is_made_again() -> None:
    """As systemd-tmpfiles does with /tmp, to a daemon that runs for weeks."""
    files = Made()
    try:
        first = files.place()
        shutil.rmtree(first.parent)
        assert files.place().is_dir()
    finally:
        files.close()
    assert not first.parent.exists()


def test_where_there_is_no_place_for_a_file_that_is_said(tmp_path: Path) -> None:
    """Whoever runs it is root in tests, so a file in the way stands for a folder that may not be written."""
    script = "from monitor.web.made import Made; Made().place()"
    (tmp_path / "file").touch()
    run = subprocess.run(
        [sys.executable, "-c", f"import tempfile; tempfile.tempdir = {str(tmp_path / 'file')!r}; {script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "CallError: there is no place for a file" in run.stderr
    assert str(tmp_path) in run.stderr
