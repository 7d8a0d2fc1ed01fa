"""Signing in: the first run, sessions, and what a stranger gets."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.sites import PASSWORD, browsing, plant_with, serving, sign_in, signed_in


def test_a_stranger_is_sent_to_sign_in_and_the_api_says_401(tmp_path: Path) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        assert "First run" in visitor.get("/coverage").text, "nobody is registered yet"
        answer = visitor.api("GET", "/coverage")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "token is missing" in answer.json()["error"]


def test_the_first_person_needs_the_code_of_the_run(tmp_path: Path, browser: Browser) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        url = str(visitor.client.base_url)
        with browsing(browser, url, "phone") as page:
            page.goto("/setup?code=guessed")
            for label, text in {"Your name": "ada", "A password": PASSWORD, "The same again": PASSWORD}.items():
                page.get_by_label(label).fill(text)
            page.get_by_role("button", name="Begin").click()
            assert "not the code of this run" in page.get_by_role("alert").inner_text()
            assert page.get_by_label("Your name").input_value() == "ada", "what was typed is not lost"


def test_who_signed_in_comes_to_where_they_wanted_to_go(tmp_path: Path, browser: Browser) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor, browsing(browser, str(visitor.client.base_url)) as page:
        page.goto("/coverage?since=2026-01-01T00:00Z")
        sign_in(page, "ada")
        page.goto("/coverage?since=2026-01-01T00:00Z")
        assert page.get_by_role("heading", name="Coverage").is_visible()


def test_a_form_of_another_site_is_refused(tmp_path: Path) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        answer = visitor.client.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
