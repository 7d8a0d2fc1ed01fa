"""What no browser sends: it is answered with a sentence, and is no bug."""

from __future__ import annotations

import base64
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sites import FORM_KEY, Visitor, plant_with, serving, signed_in, token_of


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with signed_in(plant_with(tmp_path_factory.mktemp("garbage"), "")) as visitor:
        yield visitor


def in_parts(visitor: Visitor, path: str, charset: str, fields: dict[str, str]) -> tuple[int, str]:
    """Send a form in parts that says itself how its text is written."""
    found = FORM_KEY.search(visitor.get("/coverage").text)
    assert found
    parts = [
        f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in {"form_key": found[1], **fields}.items()
    ]
    kind = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=xx"}
    answer = visitor.client.post(path, content="".join([*parts, "--xx--\r\n"]).encode(), headers=kind)
    return answer.status_code, answer.text


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "undefined", "punycode"])
def test_a_form_chooses_no_codec_of_pythons(ada: Visitor, charset: str) -> None:
    sent = {"asset": "line1/filler", "until": "2099-01-01T00:00", "reason": r"\ud800"}
    for fields in (sent, {**sent, "form_key": r"\ud800"}, {**sent, r"\ud800": "x"}):
        status, text = in_parts(ada, "/assets/out-of-service", charset, fields)
        assert (status, "send it in UTF-8" in text) == (422, True)


def test_a_form_in_parts_in_utf_8_is_taken(ada: Visitor) -> None:
    status, text = in_parts(ada, "/assets/out-of-service", "utf-8", {"asset": "line1/filler", "until": "never"})
    assert (status, "never" in text) == (422, True), "what is wrong is its time"


def test_nobody_unknown_sends_files_however_they_write_it(ada: Visitor) -> None:
    kind = {"Content-Type": "Multipart/Form-Data; boundary=xx"}
    sent = b'--xx\r\nContent-Disposition: form-data; name="name"\r\n\r\nada\r\n--xx--\r\n'
    answer = ada.client.post("/sign-in", content=sent, headers=kind)
    assert (answer.status_code, "no files" in answer.text) == (422, True)


def test_a_cookie_that_is_no_sentence_is_none(tmp_path: Path) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        deep = base64.urlsafe_b64encode(b"[" * 30_000).decode()
        assert visitor.get("/setup", headers={"Cookie": f"asbuilt_said={deep}"}).status_code == 200


@pytest.mark.parametrize("version", ["abc", "1.a.0", "1..0"])
def test_a_version_that_is_no_number_gets_the_plain_figures(ada: Visitor, version: str) -> None:
    for kind in ("application/openmetrics-text", "text/plain"):
        answer = ada.get("/metrics", headers={"Accept": f"{kind}; version={version}; escaping=x"})
        assert (answer.status_code, "asbuilt_build_info" in answer.text) == (200, True)


def test_who_goes_before_all_is_sent_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with signed_in(plant_with(tmp_path, "")) as visitor:
        token = token_of(visitor, "ada", ["engineer"])
        for path, kind in (
            ("/sign-in", "application/x-www-form-urlencoded"),
            ("/api/v1/vault", "application/octet-stream"),
            ("/api/v1/baselines/propose", "application/json"),
        ):
            place = visitor.client.base_url.host, visitor.client.base_url.port
            with socket.create_connection(place, timeout=10) as sock:
                head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
                sock.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: 99\r\n\r\n{{}}".encode())
        assert visitor.sign_in("ada").status_code == 200
    said = capsys.readouterr()
    assert "web.listening" in said.out
    assert "ClientDisconnect" not in said.out + said.err


def test_a_file_for_which_there_is_no_room_is_said(
    ada: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We may be root, who can write everywhere but into a file as if it were a folder."""
    (tmp_path / "file").touch()
    token, key = token_of(ada, "ada", ["engineer"]), FORM_KEY.search(ada.get("/coverage").text)
    assert key
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    sent = ada.client.post("/assets/poll", data={"form_key": key[1]}, files={"file": b"x" * 2_000_000})
    assert (sent.status_code, "cannot be kept" in sent.text) == (409, True)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    kept = ada.client.post("/api/v1/vault", content=b"x", headers=headers)
    assert (kept.status_code, "cannot be kept" in kept.text) == (409, True)


def test_what_is_no_http_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(plant_with(tmp_path, "")) as visitor:
        place = visitor.client.base_url.host, visitor.client.base_url.port
        with socket.create_connection(place, timeout=10) as sock:
            sock.sendall(b"\x16\x03\x01\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert "Invalid HTTP" not in caplog.text
