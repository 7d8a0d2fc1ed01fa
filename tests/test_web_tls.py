"""TLS by configuration: what is used, and what is said where it cannot be."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from collectors.written import FileError
from monitor import tls
from monitor.config import load_plant
from monitor.doctor import examine
from monitor.errors import CallError
from monitor.polling import utc_now
from monitor.reload import needs_restart
from monitor.store import Database
from monitor.vitals import Vitals
from monitor.web.server import served
from monitor.web.site import Site
from tests.floors import wait_for
from tests.sites import PASSWORD, plant_with, register

TLS = 'certificate = "page.pem"\nprivate_key = "page.key"'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(folder: Path, authority: trustme.CA, until: datetime | None = None) -> None:
    """A certificate and its key beside plant.toml."""
    issued = authority.issue_cert("127.0.0.1", "localhost", not_after=until)
    issued.cert_chain_pems[0].write_to_path(folder / "page.pem")
    issued.private_key_pem.write_to_path(folder / "page.key")
    os.chmod(folder / "page.key", 0o600)


def test_over_tls_cookies_are_secure_and_the_browser_stays(tmp_path: Path, authority: trustme.CA) -> None:
    certified(tmp_path, authority)
    plant = plant_with(tmp_path, "", web=TLS)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    database = Database(plant.store_url)
    database.migrate()
    register(plant, database, "ada")
    try:
        with (
            served(plant.web, Site(lambda: plant, database, utc_now, Vitals())) as url,
            httpx.Client(base_url=url, verify=trusted, timeout=30) as client,
        ):
            assert url.startswith("https://127.0.0.1:")
            wait_for(lambda: client.get("/healthz").status_code > 0, "the web server")
            answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers={"Origin": url})
            cookie = answer.headers["set-cookie"].lower()
            assert cookie.startswith("__host-asbuilt_session=")
            assert all(word in cookie for word in ("secure", "httponly", "path=/", "samesite=strict"))
            assert "domain" not in cookie
            shown = client.get("/coverage")
            assert shown.status_code == 200
            assert shown.headers["strict-transport-security"].startswith("max-age=")
            secret = client.cookies["__Host-asbuilt_session"]
            planted = httpx.get(f"{url}/coverage", verify=trusted, cookies={"asbuilt_session": secret})
            assert planted.status_code == 303, "what somebody without TLS could have set is nobody's session"
            plain = {"Origin": url.replace("https", "http")}
            forged = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=plain)
            assert forged.status_code == 403
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/healthz", timeout=30)
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/healthz", verify=old, timeout=30)
    finally:
        database.close()


def missing(folder: Path, _: trustme.CA) -> None:
    (folder / "page.key").unlink()


def open_to_others(folder: Path, _: trustme.CA) -> None:
    os.chmod(folder / "page.key", 0o644)


def of_another(folder: Path, authority: trustme.CA) -> None:
    authority.issue_cert("other").private_key_pem.write_to_path(folder / "page.key")


def no_certificate(folder: Path, _: trustme.CA) -> None:
    (folder / "page.pem").write_text("nothing of the kind")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (missing, "page.key cannot be read: no such file"),
        (open_to_others, "may be read by others: chmod 600"),
        (of_another, "is not the key of the certificate"),
        (no_certificate, "are no certificate and its key"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_listens(
    tmp_path: Path,
    authority: trustme.CA,
    spoil: Callable[[Path, trustme.CA], None],
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    certified(tmp_path, authority)
    spoil(tmp_path, authority)
    plant = plant_with(tmp_path, "", web=TLS)
    with pytest.raises(CallError, match=why):
        tls.context(plant.web)
    database = Database(plant.store_url)
    with served(plant.web, Site(lambda: plant, database, utc_now, Vitals())) as url:
        assert url == "", "monitoring goes on without a page, and never with one in the clear"
    database.close()
    assert "web.failed" in capsys.readouterr().out
    (page,) = [check for check in examine(plant.path, utc_now()) if check.what == "page"]
    assert (page.state, page.remedy != "") == ("fail", True)


def test_doctor_warns_of_what_can_be_read_on_the_way(tmp_path: Path, authority: trustme.CA) -> None:
    certified(tmp_path, authority, datetime.now(UTC) + timedelta(days=10))
    for web, state, text in (
        ("", "ok", "at 127.0.0.1"),
        (TLS, "warn", "ends on"),
    ):
        plant = plant_with(tmp_path, "", web=web)
        (page,) = [check for check in examine(plant.path, utc_now()) if check.what == "page"]
        assert (page.state, text in page.text) == (state, True)
    path = tmp_path / "plant.toml"
    plant_with(tmp_path, "")
    path.write_text(path.read_text().replace("127.0.0.1:0", "0.0.0.0:0"))
    (page,) = [check for check in examine(path, utc_now()) if check.what == "page"]
    assert (page.state, "can read passwords" in page.text) == ("warn", True)


@pytest.mark.parametrize(
    ("web", "why"),
    [
        ('certificate = "a.pem"', "together, or neither"),
        ('hosts = ["http://a"]', "names without a port"),
        ('hosts = ["a:80"]', "names without a port"),
        ('proxies = ["anybody"]', "addresses or networks"),
        ("hosts = [1]", "web.hosts"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, web: str, why: str) -> None:
    with pytest.raises(FileError, match=why):
        plant_with(tmp_path, "", web=web)


def test_what_takes_a_start_of_its_own(tmp_path: Path) -> None:
    before = plant_with(tmp_path, "")
    assert needs_restart(before, plant_with(tmp_path, "", web=TLS)).startswith("web.certificate")
    assert needs_restart(before, plant_with(tmp_path, "", web='proxies = ["10.0.0.5"]')).startswith("web.proxies")
    assert needs_restart(before, plant_with(tmp_path, "", web='hosts = ["a.b"]')) == "", "names count at once"
    assert load_plant(tmp_path / "plant.toml").web.hosts == ["a.b"]


def test_whose_word_is_taken_for_an_address(tmp_path: Path) -> None:
    said = {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "https"}
    for web, secure in (("", False), ('proxies = ["127.0.0.1"]', True), ('proxies = ["10.0.0.5"]', False)):
        folder = tmp_path / str(len(web))
        folder.mkdir()
        plant = plant_with(folder, "", web=web)
        database = Database(plant.store_url)
        database.migrate()
        register(plant, database, "ada")
        with (
            served(plant.web, Site(lambda plant=plant: plant, database, utc_now, Vitals())) as url,  # type: ignore[misc]
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            wait_for(lambda client=client: client.get("/healthz").status_code > 0, "the web server")  # type: ignore[misc]
            answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=said)
            assert ("__Host-" in answer.headers["set-cookie"]) is secure, web
        database.close()
