"""Each channel against a real receiver, and what a device may call itself."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from amqtt.client import MQTTClient
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.alert import Alert, AlertState
from baselines.drift import Kind
from baselines.snapshot import Category, Severity
from monitor.notify.content import digest_document, plain_document
from monitor.notify.dispatcher import attempt
from monitor.notify.grouping import Bucket, Digest, Told
from monitor.notify.mail import mail
from monitor.notify.mqtt import level, publications
from monitor.notify.syslog import LONGEST, syslog_lines
from monitor.routes import AnyRoute, Chat, Email, Mqtt, Syslog, Webhook
from tests.receivers import (
    HOST,
    Authority,
    broker,
    mail_server,
    serving,
    syslog_stream,
    syslog_udp,
    web,
)

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ALERT = Alert(
    "line1/filler",
    "item.crc",
    Kind.CHANGED,
    "deadbeef",
    "cafebabe",
    Severity.CRITICAL,
    Category.PROGRAM,
    ("T0843", "T0889"),
    None,
    NOW,
    NOW,
    AlertState.UNACK,
    id=7,
    who={"client": "10.0.0.9", "name": "ES-7", "protocol": "modbus", "at": "2026-11-25T11:59:58Z"},
)


def document(*alerts: Alert, event: str = "deviates", more: int = 0) -> dict[str, Any]:
    """The message of some alarms."""
    bucket = Bucket(1.0, beyond={1: more} if more else {})
    for alert in alerts:
        bucket.put(alert.id, Told(event, alert.severity.rank, alert.asset), 1.0)
    digest = Digest("k" * 64, Severity.CRITICAL, bucket)
    return digest_document("Bottling", "shift", digest, {alert.id: alert for alert in alerts}, NOW)


def sent(route: AnyRoute, message: dict[str, Any]) -> str:
    return asyncio.run(attempt(route, message, 10))


# Webhook


def documented_receiver() -> Any:
    """The receiver that docs/notification.md shows."""
    text = (ROOT / "docs" / "notification.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"hmac": hmac, "time": time}
    exec(code, names)
    return names["is_genuine"]


def test_a_webhook_is_signed_and_has_a_key_that_a_retry_has_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame\n")
    (tmp_path / "secret").chmod(0o600)

    async def run() -> None:
        async with web() as served:
            route = Webhook(kind="webhook", url=served.url, secret_file=str(tmp_path / "secret"))
            for _ in range(2):
                assert await attempt(route, document(ALERT), 5) == ""
            is_genuine = documented_receiver()
            for lower, body in served.posted:
                headers = {name.title(): value for name, value in lower.items()}
                assert is_genuine(b"sesame", headers, body)
                assert not is_genuine(b"other", headers, body)
                assert not is_genuine(b"sesame", headers, body + b" ")
                assert not is_genuine(b"sesame", {**headers, "Asbuilt-Timestamp": "1"}, body)
                assert headers["Idempotency-Key"] == "k" * 64
            assert served.documents[0]["alert"]["item"] == "item.crc"
            said = "line1/filler: item.crc changed from deadbeef to cafebabe, done by ES-7 (10.0.0.9) over modbus at "
            said += "2026-11-25T11:59:58Z"
            assert served.documents[0]["text"] == said

    asyncio.run(run())


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [(500, "HTTP status 500"), (302, "HTTP status 302"), ("close", "disconnected"), ("hang", "not taken within 0.3")],
)
def test_a_web_server_that_does_not_take_it_is_a_reason(behaviour: int | str, why: str) -> None:
    async def run() -> str:
        async with web() as served:
            served.behaviour = behaviour
            patience = 0.3 if behaviour == "hang" else 10
            return await attempt(Webhook(kind="webhook", url=served.url), document(ALERT), patience)

    assert why in asyncio.run(run())


def test_of_an_endless_answer_only_the_status_is_read() -> None:
    async def run() -> str:
        async with web() as served:
            served.behaviour = "endless"
            return await attempt(Webhook(kind="webhook", url=served.url), document(ALERT), 5)

    assert asyncio.run(run()) == ""


def test_a_secret_that_is_not_there_is_a_reason() -> None:
    route = Webhook(kind="webhook", url="http://127.0.0.1:9/", secret_env="ASBUILT_NO_SUCH")
    assert sent(route, document(ALERT)) == "the environment variable ASBUILT_NO_SUCH holds no password"


# Mail


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_mail_is_taken_over_tls_by_a_server_that_knows_us(tmp_path: Path, security: Any) -> None:
    (tmp_path / "password").write_text("sesame")
    (tmp_path / "password").chmod(0o600)
    authority = Authority.made(tmp_path)

    async def run() -> None:
        async with mail_server(authority, at_once=security == "tls") as mails:
            route = Email(
                kind="email",
                server="localhost",
                port=mails.port,
                security=security,
                sender="asbuilt@plant.example",
                to=("shift@plant.example", "ot@plant.example"),
                user="asbuilt",
                password_file=str(tmp_path / "password"),
                ca_file=str(authority.ca_file),
            )
            assert await attempt(route, document(ALERT), 10) == ""
            ((sender, to, taken),) = mails.taken
            assert (sender, to) == ("asbuilt@plant.example", ["shift@plant.example", "ot@plant.example"])
            assert taken["Subject"].startswith("[Bottling] CRITICAL: line1/filler: item.crc changed")
            assert taken["Message-ID"] == f"<{'k' * 64}@asbuilt.invalid>"
            assert "10.0.0.9" in taken.get_content()  # type: ignore[attr-defined]
            mails.refuses = True
            assert "mailbox is full" in await attempt(route, document(ALERT), 10)
            stranger = replace(route, ca_file="")  # the system's authorities do not know this server
            assert "certificate" in (await attempt(stranger, document(ALERT), 10)).lower()
            assert len(mails.taken) == 1

    asyncio.run(run())


@settings(max_examples=15)
@given(st.text(), st.text(), st.text())
def test_nothing_that_a_device_says_becomes_a_header(plant: str, asset: str, value: str) -> None:
    route = Email(kind="email", server="x", sender="a@b", to=("c@d",))
    alert = replace(ALERT, asset=f"x\r\nBcc: evil@x\r\n\r\n{asset}", observed=value, item=f"item\n{asset}")
    made = mail(route, {**document(alert), "plant": f"p\r\nX-Evil: 1{plant}"}).as_bytes()
    head = made.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"(?mi)^(bcc|x-evil):", head)
    assert re.findall(rb"(?mi)^to: (.*?)\r?$", head) == [b"c@d"]


# Syslog

RFC5424 = re.compile(  # ours is not asked: this is from the grammar of RFC 5424, 6
    r"<(?P<pri>[0-9]{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z) (?P<host>[!-~]{1,255}) "
    r"(?P<app>[!-~]{1,48}) (?P<procid>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) - (?P<msg>.*)",
)


def parsed_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """A receiver's reading of CEF: the header's seven fields, and the extension."""
    fields, rest = [], text
    for _ in range(7):
        match = re.match(r"((?:[^\\|]|\\[\\|])*)\|", rest)
        assert match, rest
        fields.append(re.sub(r"\\([\\|])", r"\1", match[1]))
        rest = rest[match.end() :]
    pairs = re.findall(r"(\w+)=((?:[^\\=]|\\[\\=n])*?)(?= \w+=|$)", rest)
    assert " ".join(f"{key}={value}" for key, value in pairs) == rest
    unescaped = {
        key: re.sub(r"\\([\\=n])", lambda each: "\n" if each[1] == "n" else each[1], value) for key, value in pairs
    }
    return fields, unescaped


def check_line(line: bytes) -> dict[str, str]:
    match = RFC5424.fullmatch(line.decode())
    assert match, line
    assert (match["pri"], match["app"], match["msgid"]) == ("130", "asbuilt", "deviates")  # local0, critical
    fields, pairs = parsed_cef(match["msg"])
    assert (fields[0], fields[1], fields[4]) == ("CEF:0", "asbuilt", "changed")
    assert (fields[5], fields[6]) == ("item.crc", "10")
    return pairs


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_syslog_arrives_over_udp_tcp_and_tls(tmp_path: Path, transport: str) -> None:
    authority = Authority.made(tmp_path)

    async def run() -> None:
        stream = syslog_stream(authority.context if transport == "tls" else None)
        async with syslog_udp() if transport == "udp" else stream as (port, came):
            address = f"syslog+{transport}://{HOST}:{port}"
            route = Syslog(kind="syslog", address=address, ca_file=str(authority.ca_file))
            assert await attempt(route, document(ALERT, replace(ALERT, id=8)), 5) == ""
            async with asyncio.timeout(5):
                while len(came) < 2:
                    await asyncio.sleep(0.01)
            pairs = check_line(came[0])
            assert (pairs["dhost"], pairs["src"], pairs["shost"]) == ("line1/filler", "10.0.0.9", "ES-7")
            assert (pairs["cs1"], pairs["cs2"], pairs["cs6"]) == ("deadbeef", "cafebabe", "k" * 64)
            assert check_line(came[1])["externalId"] == "8"

    asyncio.run(run())


def test_nobody_at_the_other_end_is_a_reason(tmp_path: Path) -> None:
    async def free() -> int:
        async with serving(lambda reader, writer: asyncio.sleep(0)) as port:
            return port

    port = asyncio.run(free())
    for route in (
        Syslog(kind="syslog", address=f"syslog+tcp://{HOST}:{port}"),
        Mqtt(kind="mqtt", address=f"mqtt://{HOST}:{port}"),
        Email(kind="email", server=HOST, port=port, sender="a@b", to=("c@d",)),
        Webhook(kind="webhook", url=f"http://{HOST}:{port}/"),
    ):
        assert sent(route, document(ALERT)) != ""


NASTY = st.text(st.sampled_from("|=\\\n\r\t\0\x1b ab€\ud800\u2028"), max_size=50) | st.text(max_size=3000)


@settings(max_examples=50)
@given(NASTY, NASTY, NASTY, NASTY)
def test_cef_reads_back_whatever_a_device_calls_itself(asset: str, item: str, value: str, name: str) -> None:
    alert = replace(ALERT, asset=f"a{asset}", item=f"i{item}", observed=value, who={"client": name, "name": name})
    (line,) = syslog_lines(16, document(alert))
    assert len(line) <= LONGEST
    match = RFC5424.fullmatch(line.decode())
    assert match
    fields, pairs = parsed_cef(match["msg"])
    assert fields[6] == "10"
    assert pairs["externalId"] == "7"
    if all(each.isprintable() for each in asset) and len(asset) < 10 and "\ud800" not in asset:
        assert pairs["dhost"] == f"a{asset}".rstrip() or pairs["dhost"] == f"a{asset}"


def test_what_is_not_named_has_a_line_of_its_own() -> None:
    named, rest = syslog_lines(16, document(replace(ALERT, severity=Severity.HIGH), more=99))
    assert named.startswith(b"<131>")  # its own severity, high
    assert b"externalId=7 " in named
    assert b" cnt=99 " in rest
    shouted = plain_document("Bottling", "shift", "notice", "the store refuses", Severity.HIGH, "k", NOW)
    (notice,) = syslog_lines(1, shouted)
    assert notice.startswith(b"<11>")
    assert b" msg=the store refuses " in notice


# MQTT


def test_mqtt_has_a_topic_for_the_message_and_one_for_each_alarm() -> None:
    async def run() -> None:
        async with broker() as port:
            listener = MQTTClient(config={"auto_reconnect": False})
            await listener.connect(f"mqtt://{HOST}:{port}/")
            await listener.subscribe([("plant1/#", 1)])
            route = Mqtt(kind="mqtt", address=f"mqtt://{HOST}:{port}", topic="plant1")
            assert await attempt(route, document(ALERT), 10) == ""
            came = {}
            for _ in range(2):
                message = await listener.deliver_message(timeout_duration=5)
                assert message
                came[message.topic] = json.loads(message.data or b"")
            await listener.disconnect()
        assert sorted(came) == ["plant1/alert/line1/filler/item.crc", "plant1/message/critical"]
        assert came["plant1/message/critical"] == document(ALERT)
        assert came["plant1/alert/line1/filler/item.crc"]["alert"]["observed"] == "cafebabe"

    asyncio.run(run())


def test_a_receiver_that_says_nothing_is_a_reason_and_ends_in_time() -> None:
    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with serving(silent) as port:
            for route in (
                Mqtt(kind="mqtt", address=f"mqtt://{HOST}:{port}"),
                Mqtt(kind="mqtt", address=f"mqtts://{HOST}:{port}"),
                Email(kind="email", server=HOST, port=port, sender="a@b", to=("c@d",)),
                Email(kind="email", server=HOST, port=port, sender="a@b", to=("c@d",), security="tls"),
                Syslog(kind="syslog", address=f"syslog+tls://{HOST}:{port}"),
                Webhook(kind="webhook", url=f"https://{HOST}:{port}/"),
            ):
                assert await attempt(route, document(ALERT), 0.2) == "it was not taken within 0.2 s"

    asyncio.run(run())


def test_a_receiver_that_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        ours, theirs = Authority.made(tmp_path), Authority.made(tmp_path)  # the first one's file is gone
        async with syslog_stream(ours.context) as (port, came):
            route = Syslog(kind="syslog", address=f"syslog+tls://{HOST}:{port}", ca_file=str(theirs.ca_file))
            assert "certificate" in await attempt(route, document(ALERT), 10)
            assert came == []

    asyncio.run(run())


@settings(max_examples=50)
@given(NASTY, NASTY)
def test_a_topic_has_no_wildcards_whatever_a_device_calls_itself(asset: str, item: str) -> None:
    topics = [topic for topic, _ in publications("t", document(replace(ALERT, asset=asset, item=item)))]
    for topic in topics:
        assert not set(topic) & set("+#$\0")
        assert topic.encode()
    assert level("line1/filler") == "line1/filler"


# Chat


def test_a_chat_is_reached_through_apprise(tmp_path: Path) -> None:
    async def run() -> None:
        async with web() as served:
            (tmp_path / "chat").write_text(served.url.replace("http://", "json://"))
            (tmp_path / "chat").chmod(0o600)
            route = Chat(kind="chat", url_file=str(tmp_path / "chat"))
            assert await attempt(route, document(ALERT), 10) == ""
            assert "item.crc changed" in served.documents[0]["title"]
            served.behaviour = 500
            assert await attempt(route, document(ALERT), 10) == "the chat did not take it"

    asyncio.run(run())
