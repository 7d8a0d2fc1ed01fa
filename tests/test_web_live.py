"""Pages that keep themselves up to date: what the stream tells, and what a browser makes of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from baselines.snapshot import utc_text
from monitor import store
from monitor.config import load_plant
from monitor.polling import utc_now
from monitor.store import Database, Gap
from monitor.web.live import RENDERING, STREAMS_MOST
from tests.floors import PlantFolder, RunningFloor
from tests.sites import PASSWORD, Visitor, browsing, enter, plant_with, register, signed_in
from tests.test_web import ANY, address


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """One plant, for all that does not end it."""
    plant = plant_with(tmp_path_factory.mktemp("live"), "", ("line1/filler", "line2/filler"))
    with signed_in(plant) as ada:
        yield ada


def gap(visitor: Visitor, asset: str) -> None:
    """Something that pages show: an asset is not seen from now on."""
    with visitor.site.database.write() as tx:
        store.add_assets(tx, [name for name in visitor.site.plant().assets if name not in store.known_assets(tx)])
        store.add_gap(tx, Gap(asset, "poll", "unreachable", "no answer", utc_now()))


class Ears:
    """A stream, as a browser hears it."""

    def __init__(self, stream: httpx.Response) -> None:
        self._lines = stream.iter_lines()

    def event(self) -> tuple[str, str]:
        """The next one, and its topics; ("end", "") when the stream has ended."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line and "event" in found:
                return found["event"], found["data"]
            name, _, value = line.partition(":")
            found[name] = value.strip()
        return "end", ""

    def next(self, word: str) -> str:
        while (found := self.event())[0] != word:
            assert found[0] != "end", f"it ended before {word}"
        return found[1]


def test_what_moves_is_told_within_two_seconds(visitor: Visitor) -> None:
    with visitor.client.stream("GET", "/live", params={"at": utc_text(utc_now())}) as stream:
        ears = Ears(stream)
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "assets" in ears.next("moved"), "nobody knows what moved before anybody listened"
        later = utc_text(utc_now() + 2 * RENDERING)
        with visitor.client.stream("GET", "/live", params={"at": later}) as another:
            Ears(another).next("beat")  # the watcher has looked meanwhile
        began = time.monotonic()
        gap(visitor, "line1/filler")
        assert ears.next("moved").split() == ["assets", "coverage"]
        assert time.monotonic() - began < 2


def test_a_stranger_hears_nothing(visitor: Visitor) -> None:
    assert httpx.get(f"{visitor.client.base_url}/live").status_code == 401


def test_who_is_removed_hears_no_more(visitor: Visitor) -> None:
    bo = register(visitor.site.plant(), visitor.site.database, "bo", ("viewer",))
    with httpx.Client(base_url=visitor.client.base_url, timeout=30) as client:
        Visitor(client, visitor.site).enter(bo.name)
        with client.stream("GET", "/live") as stream:
            ears = Ears(stream)
            ears.next("moved")
            with visitor.site.database.write() as tx:
                store.end_sessions(tx, person=bo.name)
            began = time.monotonic()
            while ears.event()[0] != "end":
                pass
            assert time.monotonic() - began < 6


def test_there_are_so_many_streams_and_pages_answer_all_the_same(visitor: Visitor) -> None:
    with ExitStack() as held:
        limits = httpx.Limits(max_connections=None)
        client = held.enter_context(
            httpx.Client(base_url=visitor.client.base_url, cookies=visitor.client.cookies, timeout=30, limits=limits)
        )
        streams = [held.enter_context(client.stream("GET", "/live")) for _ in range(STREAMS_MOST + 1)]
        assert [stream.status_code for stream in streams].count(503) == 1
        assert visitor.get("/coverage").status_code == 200
    with visitor.client.stream("GET", "/live") as stream:
        assert stream.status_code == 200, "those who left have made room"


def test_a_page_shows_what_moved_and_keeps_what_is_typed_and_opened(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url)) as page:
        enter(page, visitor, "ada")
        gap(visitor, "line1/filler")
        page.goto("/coverage")
        page.evaluate(
            """() => {
              const region = document.querySelector("[data-region=coverage]");
              const cell = region.querySelector("tbody tr td");
              cell.innerHTML = "<input id=typed value=x>";
              document.getElementById("typed").focus();
              window.kept = region.querySelector("tbody tr");
            }"""
        )
        page.keyboard.type("yz")
        gap(visitor, "line2/filler")
        expect(page.get_by_role("row").filter(has_text="line2/filler")).to_contain_text("blind")
        assert page.locator("#typed").count() == 0, "what the server does not show goes"
        assert page.evaluate("kept.isConnected"), "and the row is the same"
        assert page.locator("#lost").is_hidden()


def test_a_page_says_since_when_it_is_not_up_to_date(tmp_path: Path, browser: Browser) -> None:
    server = ExitStack()
    with server, ExitStack() as window:
        visitor = server.enter_context(signed_in(plant_with(tmp_path, "")))
        page = window.enter_context(browsing(browser, str(visitor.client.base_url), may_say=("status of 4", "ERR_")))
        enter(page, visitor, "ada")
        page.goto("/coverage")
        expect(page.locator("#lost")).to_be_hidden()
        began = time.monotonic()
        server.close()
        expect(page.get_by_role("alert")).to_contain_text("Not up to date since ")
        assert time.monotonic() - began < 10
        assert page.locator("[data-region=coverage]").evaluate("e => getComputedStyle(e).filter") == "grayscale(1)"


def test_who_is_signed_out_elsewhere_is_told_and_comes_back_to_the_same_page(
    visitor: Visitor, browser: Browser
) -> None:
    register(visitor.site.plant(), visitor.site.database, "cem", ("viewer",))
    with browsing(browser, str(visitor.client.base_url)) as page:
        enter(page, visitor, "cem")
        page.goto("/coverage?since=2026-01-01T00:00Z")
        with visitor.site.database.write() as tx:
            store.end_sessions(tx, person="cem")
        page.get_by_role("link", name="Sign in again").click()
        assert page.url.endswith("/sign-in?then=%2Fcoverage%3Fsince%3D2026-01-01T00%3A00Z")


def test_the_daemon_ends_in_its_time_whoever_listens(floor: RunningFloor, tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {"filler": floor.plcs["line1/filler"].address}, web=ANY)
    with plant.daemon() as daemon:
        url = address(plant)
        with closing(Database(f"sqlite:///{tmp_path}/asbuilt.db")) as database:
            register(load_plant(plant.file), database, "ada")
        with httpx.Client(base_url=url, timeout=30) as client:
            client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
            with client.stream("GET", "/live") as stream:
                ears = Ears(stream)
                ears.next("moved")
                began = time.monotonic()
                daemon.send_signal(signal.SIGTERM)
                while ears.event()[0] != "end":
                    pass
                assert daemon.wait(20) == 0
                assert time.monotonic() - began < 5
    assert not [line for line in plant.log() if line["event"] in ("bug", "web.live")]
