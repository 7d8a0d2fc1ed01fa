"""[notify.…]: what is right, and every fault with its key path."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from baselines.snapshot import Category, Severity
from collectors.written import FileError
from monitor.config import load_plant
from monitor.routes import Chat, Email, Mqtt, Syslog, Webhook

PLANT = """
[plant]
name = "Works"
[store]
url = "sqlite:///asbuilt.db"
[asset.plc]
address = "modbus://10.0.0.1"
profile = "auto"
zone = "line1"
"""
WEBHOOK = 'kind = "webhook"\nurl = "https://x/y"\n'
EMAIL = 'kind = "email"\nserver = "mail"\nsender = "a@b"\nto = ["c@d"]\n'
SYSLOG = 'kind = "syslog"\naddress = "syslog://siem"\n'
MQTT = 'kind = "mqtt"\naddress = "mqtt://broker"\n'
CHAT = 'kind = "chat"\nurl_env = "CHAT"\n'


def plant_file(folder: Path, *routes: str) -> Path:
    path = folder / "plant.toml"
    tables = "".join(f"[notify.r{number}]\n{route}\n" for number, route in enumerate(routes))
    path.write_text(PLANT + tables, encoding="utf-8")
    return path


def test_a_route_of_each_kind(tmp_path: Path) -> None:
    webhook = (
        WEBHOOK + 'secret_file = "s"\nzones = ["line1"]\ncategories = ["program"]\ngroup_for = "1m"\nafter = "15m"'
    )
    email = EMAIL + 'security = "tls"\nuser = "u"\npassword_env = "P"\nmin_severity = "high"\nat_most = 6'
    routes = load_plant(
        plant_file(tmp_path, webhook, email, SYSLOG.replace("syslog:", "syslog+tls:"), MQTT + 'topic = "a/b"', CHAT)
    ).routes
    first, second, third, fourth, fifth = routes
    assert first == Webhook(
        kind="webhook",
        name="r0",
        url="https://x/y",
        secret_file=str(tmp_path / "s"),
        zones=("line1",),
        categories=(Category.PROGRAM,),
        group_for=timedelta(minutes=1),
        after=timedelta(minutes=15),
    )
    assert isinstance(second, Email)
    assert (second.at_port, second.min_severity, second.at_most) == (465, Severity.HIGH, 6)
    assert isinstance(third, Syslog)
    assert (third.transport, third.host, third.at_port) == ("tls", "siem", 6514)
    assert isinstance(fourth, Mqtt)
    assert (fourth.host, fourth.at_port, fourth.is_tls) == ("broker", 1883, False)
    assert isinstance(fifth, Chat)


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        ("", "notify.r0.kind: is required; it is one of webhook, email, syslog, mqtt, chat"),
        ("kind = 3", "notify.r0.kind: is not 3; it is one of webhook"),
        (WEBHOOK + 'secret = "sesame"', "notify.r0.secret: no secret belongs in this file; use secret_env"),
        (WEBHOOK + 'secret_env = "A"\nsecret_file = "b"', "notify.r0.secret_env: use either"),
        (WEBHOOK + 'zones = ["line9"]', "notify.r0.zones: no asset or segment is in zone 'line9'; there is line1"),
        (WEBHOOK + 'categories = ["colour"]', "notify.r0.categories: invalid enum value 'colour'"),
        (WEBHOOK + "at_most = 0", "notify.r0.at_most: is 1 to 3600 messages an hour, not 0"),
        (WEBHOOK + 'group_for = "2h"', "notify.r0.group_for: is at most 1h"),
        (WEBHOOK + 'after = "soon"', "notify.r0.after: a duration"),
        (WEBHOOK + "facility = 3", "notify.r0.facility: unknown key"),
        ('kind = "webhook"', "notify.r0.url: is required"),
        (EMAIL.replace("c@d", "c@d>, <e@f"), "notify.r0.to: is no mail address"),
        (EMAIL.replace("a@b", "a@b\\nBcc: x@y"), "notify.r0.sender: is no mail address"),
        (EMAIL.replace('["c@d"]', "[]"), "notify.r0.to: name at least one address"),
        (EMAIL + 'password = "sesame"', "notify.r0.password: no secret belongs in this file"),
        (EMAIL + 'user = "u"', "notify.r0.user: user and password belong together"),
        (EMAIL + 'user = "u"\npassword_env = "P"\nsecurity = "none"', "notify.r0.security: a password is not sent"),
        (EMAIL + "port = 99999", "notify.r0.port: is 1 to 65535"),
        (EMAIL.replace('"mail"', '"mail server"'), "notify.r0.server: is no host name"),
        (SYSLOG.replace("syslog:", "udp:"), "notify.r0.address: is syslog://host"),
        (SYSLOG.replace("siem", "siem:0"), "notify.r0.address: is syslog://host"),
        (SYSLOG + "facility = 24", "notify.r0.facility: is 0 to 23, not 24"),
        (MQTT.replace("broker", "user:sesame@broker"), "notify.r0.address: no secret belongs in this file"),
        (MQTT + 'topic = "a/#"', "notify.r0.topic: is what topics begin with"),
        (CHAT + 'url_file = "b"', "notify.r0.url_env: the address of a chat holds its secret"),
        (CHAT + 'url = "slack://sesame"', "notify.r0.url: unknown key"),
    ],
)
def test_each_fault_has_its_place(tmp_path: Path, route: str, fault: str) -> None:
    with pytest.raises(FileError) as raised:
        load_plant(plant_file(tmp_path, route))
    (found,) = raised.value.faults
    assert found.startswith(fault)
    assert "sesame" not in found
