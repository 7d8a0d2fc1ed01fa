"""The days of three people at the page of a running plant: who commissions it, who runs it, and who audits it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.floors import PlantFolder, RunningFloor
from tests.sites import PASSWORD, browsing, sign_in
from tests.test_web import ANY, address

PEOPLE = {"ada": "engineer", "bo": "approver", "cy": "operator", "dora": "viewer", "eve": "admin"}


@pytest.fixture
def plant(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    """Two fillers, and five people, each with another role."""
    made = PlantFolder(tmp_path, {name: plc.address for name, plc in floor.plcs.items()}, web=ANY)
    made.more = {"ASBUILT_NEW_PASSWORD": PASSWORD, "ASBUILT_PASSWORD": PASSWORD}
    for name in ("eve", *(name for name in PEOPLE if name != "eve")):
        assert made.asbuilt("person", "add", name, "--role", PEOPLE[name], "--by", "eve").code == 0
    return made


@contextmanager
def at_the_page(browser: Browser, url: str, name: str, size: str = "desk") -> Iterator[Page]:
    with browsing(browser, url, size) as page:
        sign_in(page, name)
        yield page


def assure_usable(page: Page) -> None:
    """Nothing that axe finds serious."""
    found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def test_the_days_of_three_people(plant: PlantFolder, floor: RunningFloor, browser: Browser, tmp_path: Path) -> None:
    with plant.daemon():
        url = address(plant)
        with at_the_page(browser, url, "ada") as page:
            commission(page)
        with at_the_page(browser, url, "bo") as page:
            approve_all(page)
        with at_the_page(browser, url, "cy", "phone") as operator, at_the_page(browser, url, "ada") as engineer:
            expect(operator.get_by_text("2 machines: 2 match")).to_be_visible()
            floor.apply("line1/filler", set={"limit": 14.0})
            acknowledge(operator)
            announce(engineer, "item.limit", "15")
            floor.apply("line1/filler", set={"limit": 15.0})
            close_as_planned(engineer)
        with at_the_page(browser, url, "bo") as page:
            approve_what_was_left(page)
            page.goto("/")
            expect(page.get_by_text("2 machines: 2 match")).to_be_visible()
        with at_the_page(browser, url, "dora") as page:
            verify(page)
            assure_verifies(take_pack(page, tmp_path), tmp_path)


def commission(page: Page) -> None:
    """The engineer, at the FAT: everything is read twice, and proposed."""
    page.get_by_role("link", name="Baselines", exact=True).click()
    page.get_by_role("link", name="Propose …").click()
    page.get_by_label("All 2").check()
    page.get_by_label("Captures").fill("2")
    page.get_by_label("Between two").fill("1s")
    page.get_by_label("Stage").select_option("fat")
    page.get_by_label("Reason").fill("FAT")
    assure_usable(page)
    page.get_by_role("button", name="Read and propose").click()
    expect(page.get_by_text("line2/filler").first).to_be_visible()
    page.goto("/baselines")
    expect(page.get_by_role("heading", name="Waiting for a decision: 2")).to_be_visible()


def approve_all(page: Page) -> None:
    """The approver: looks at both, and approves."""
    for name in ("line1/filler", "line2/filler"):
        page.goto(f"/baselines/review?asset={name}")
        assure_usable(page)
        page.get_by_label("Reason").fill("FAT protocol 17")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("status").first).to_contain_text("approved")


def acknowledge(page: Page) -> None:
    """The operator, on a phone: the plant turns red by itself, they see what changed, and say that they did."""
    expect(page.get_by_text("2 machines: 1 drift, 1 match")).to_be_visible()
    page.goto("/alarms")
    assure_usable(page)
    page.get_by_role("main").get_by_role("link", name="item.limit changed").click()
    expect(page.get_by_text("14.0").first).to_be_visible()
    assure_usable(page)
    page.get_by_label("Comment").fill("asking the engineer")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("acknowledged by cy").first).to_be_visible()


def announce(page: Page, item: str, value: str) -> None:
    """The engineer says in advance what the item will be."""
    page.goto("/orders/new?asset=line1/filler")
    box = page.get_by_label(f"New value of {item} of line1/filler")
    if not box.is_visible():
        page.get_by_text("parameter", exact=False).first.click()
    box.fill(value)
    page.get_by_label("Ticket").fill("CHG-7")
    assure_usable(page)
    page.get_by_role("button", name="Open the order").last.click()
    expect(page.get_by_role("heading", name="CHG-7")).to_be_visible()


def close_as_planned(page: Page) -> None:
    """The work is done: the order's page shows it by itself, and the order is closed."""
    expect(page.get_by_text("15.0").first).to_be_visible()
    page.get_by_role("button", name="Close the order").click()
    expect(page.get_by_text("is done as planned")).to_be_visible()


def approve_what_was_left(page: Page) -> None:
    page.goto("/baselines/review?asset=line1/filler")
    page.get_by_label("Reason").fill("CHG-7 done as planned")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").first).to_contain_text("approved")


def verify(page: Page) -> None:
    """The auditor: does the chain hold?"""
    page.goto("/audit")
    assure_usable(page)
    page.get_by_role("button", name="Verify it now").click()
    expect(page.get_by_text("it verifies")).to_be_visible()


def take_pack(page: Page, folder: Path) -> Path:
    """The auditor has an evidence pack made, and takes it along."""
    page.goto("/reports")
    assure_usable(page)
    page.get_by_label("As", exact=True).select_option("pack")
    page.get_by_role("button", name="Make it").click()
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(folder / "pack.zip")
    return folder / "pack.zip"


def assure_verifies(pack: Path, folder: Path) -> None:
    """With a Python that has no package, and an empty environment."""
    with zipfile.ZipFile(pack) as zipped:
        zipped.extractall(folder / "pack")
    (program,) = (folder / "pack").rglob("verify.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "verify.py"],
        cwd=program.parent,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
