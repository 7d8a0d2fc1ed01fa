"""The audit chain on the page: what people read, find, verify and take along."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from monitor import store, verifier
from monitor.evidence import deciding
from monitor.polling import utc_now
from monitor.store import Actor
from tests.floors import wait_for
from tests.sites import Visitor, browsing, enter, plant_with, register, signed_in, token_of

SERIOUS = ("serious", "critical")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A chain of a hundred and some entries, also of what a device or a person may have called itself."""
    plant = plant_with(tmp_path_factory.mktemp("audit"), "")
    with signed_in(plant) as ada:
        for name, count in (("Bo", 100), (HOSTILE, 1)):
            with deciding(plant, ada.site.database, Actor(name, "test"), lambda said: None) as tx:
                for number in range(count):
                    detail = {"reason": f"{HOSTILE} {number}", "firmware": "2.5\0"}
                    store.audit(tx, utc_now(), Actor(name, "test"), "artefact.lookup", "line1/filler", detail)
        register(plant, ada.site.database, "cem", ("viewer",))
        yield ada


def test_what_people_did_is_read_in_words_and_found(visitor: Visitor) -> None:
    page = visitor.get("/audit").text
    assert "registered somebody" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert HOSTILE not in page
    assert page.count("<tr id=") == 100
    assert "by them" in page, "ada signed for cem"
    assert "older →" in page
    assert visitor.get("/audit?before=10").text.count("<tr id=") == 9
    signed_in_once = visitor.get("/audit?action=session.&person=ada").text
    assert signed_in_once.count("<tr id=") == 1
    assert visitor.get("/audit?asset=line1/filler&person=Bo&before=50").text.count("<tr id=") < 50
    soon = (utc_now() + timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert "No entry is like this." in visitor.get(f"/audit?since={soon}").text
    assert visitor.get("/audit?since=yesterday").status_code == 422
    assert visitor.get("/audit?before=99999999999").status_code == 422


def test_it_is_verified_by_a_job(visitor: Visitor) -> None:
    answer = visitor.post("/audit/verify", {}, "/audit")
    wait_for(lambda: "running" not in visitor.get(answer.url.path).text, "the verdict", 60)
    assert "it verifies" in visitor.get(answer.url.path).text


def test_the_evidence_verifies_elsewhere(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.get("/audit/evidence")
    assert answer.headers["content-disposition"] == 'attachment; filename="evidence.jsonl"'
    (tmp_path / "evidence.jsonl").write_bytes(answer.content)
    assert '"sealed":' not in answer.text
    assert verifier.main([str(tmp_path / "evidence.jsonl")]) == 0


def test_a_program_reads_the_chain_and_verifies_it(visitor: Visitor) -> None:
    token = token_of(visitor, "ada", ("viewer",))
    page = visitor.api("GET", "/audit", token, params={"after": 5, "limit": 10}).json()
    assert [each["id"] for each in page["entries"]] == list(range(6, 16))
    assert page["last"] > 100
    assert page["checkpoint"]["entries"] == page["last"]
    assert len(page["keys"][0]["public_key"]) == 64
    newest = visitor.api("GET", "/audit", token, params={"limit": 1, "action": "person."}).json()["entries"]
    assert (newest[0]["action"], newest[0]["asset"], newest[0]["signed"]) == ("person.add", "cem", True)
    assert visitor.api("GET", "/audit", token, params={"from": "yesterday"}).status_code == 409
    begun = visitor.api("POST", "/verify", token)
    assert begun.status_code == 202
    job = f"/jobs/{begun.json()['id']}"
    wait_for(lambda: visitor.api("GET", job, token).json()["ended"], "the verdict", 60)
    assert visitor.api("GET", job, token).json()["outcome"]["ok"] is True
    lines = visitor.api("GET", "/evidence", token).text.splitlines()
    assert all(line.startswith('{"table": ') for line in lines)


def test_it_goes_on_under_the_eyes_of_who_reads(visitor: Visitor, browser: Browser) -> None:
    with browsing(browser, str(visitor.client.base_url)) as page:
        enter(page, visitor, "ada")
        page.goto("/audit")
        assert not [each["id"] for each in Axe().run(page).response["violations"] if each["impact"] in SERIOUS]
        opened = page.get_by_role("row").nth(3)
        number = opened.get_by_role("rowheader").inner_text()
        opened.get_by_text("What it says").click()
        page.get_by_label("Who").fill("someb")
        page.evaluate("window.same = true")
        visitor.sign_in("ada")
        expect(page.get_by_role("row").nth(1)).to_contain_text("signed in")
        row = page.locator(f"#entry-{number}")
        expect(row.get_by_text("firmware").first).to_be_visible()
        assert page.locator("details[open] dl.says").count() == 1, "and no other row is open now"
        assert page.get_by_label("Who").input_value() == "someb"
        assert page.evaluate("window.same"), "the page was not loaded anew"
        assert page.locator("#lost").is_hidden()


def test_what_does_not_verify_is_said(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        with visitor.site.database.write() as tx:
            tx.execute(text("UPDATE audit_entry SET actor = 'Eve' WHERE id = 1"))
        answer = visitor.post("/audit/verify", {}, "/audit")
        wait_for(lambda: "running" not in visitor.get(answer.url.path).text, "the verdict", 60)
        assert "it does not verify" in visitor.get(answer.url.path).text
        assert "Entry 1: " in visitor.get(answer.url.path).text
