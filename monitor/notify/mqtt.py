"""MQTT 3.1.1: each message as JSON, and each alarm of it, to topics of their own; at QoS 1, so the broker says that it
has them.

paho-mqtt is driven in a thread, so that it works on every platform; the thread ends by its own deadline.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from monitor.evidence import begun
from monitor.notify.channel import NotSent, read, tls
from monitor.notify.content import Document
from monitor.routes import Mqtt

TIMEOUT = 10.0  # seconds, for all of it
STEP = 0.05  # seconds
RESERVED = {letter: f"%{ord(letter):02x}" for letter in "%+#$"}  # what a topic cannot hold, or only as a wildcard


async def send(route: Mqtt, document: Document) -> None:
    """Publish a message. NotSent says why the broker does not have it."""
    job = partial(_publish, route, list(publications(route.topic, document)))
    await asyncio.wrap_future(begun(job))


def publications(topic: str, document: Document) -> Iterator[tuple[str, str]]:
    """Topic and payload: TOPIC/message/SEVERITY, and TOPIC/alert/ASSET/ITEM for each alarm that is named."""
    base = topic.strip("/")
    yield f"{base}/message/{document['severity']}", json.dumps(document)
    for each in document["alerts"]:
        alert = each["alert"]
        told = {"event": each["event"], "text": each["text"], "key": document["key"], "plant": document["plant"]}
        yield f"{base}/alert/{level(alert['asset'])}/{level(alert['item'])}", json.dumps({**told, "alert": alert})


def level(name: str) -> str:
    """A name as it stands in a topic. The / of "line1/filler" stays: subscribe to TOPIC/alert/line1/#."""
    shown = "".join(RESERVED.get(letter, letter if letter.isprintable() else f"%{ord(letter):02x}") for letter in name)
    return shown.encode("utf-8", "replace").decode()[:1000] or "%00"


def _publish(route: Mqtt, wanted: list[tuple[str, str]]) -> None:
    deadline = time.monotonic() + TIMEOUT
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect_timeout = TIMEOUT / 2
    refused: list[str] = []

    def on_connect(_client: Client, _data: object, _flags: object, code: ReasonCode, _properties: object) -> None:
        refused.append(str(code) if code.is_failure else "")

    client.on_connect = on_connect
    if route.user:
        client.username_pw_set(route.user, read(route.password))
    if route.is_tls:
        client.tls_set_context(tls(route.ca_file))
    try:
        client.connect(route.host, route.at_port)
        _turn_until(client, lambda: bool(refused), deadline)
        if refused[0]:
            raise NotSent(f"the broker refuses us: {refused[0]}")
        sent = [client.publish(topic, payload.encode(), qos=1) for topic, payload in wanted]
        _turn_until(client, lambda: all(each.is_published() for each in sent), deadline)
        client.disconnect()
    except (OSError, ValueError, RuntimeError) as error:
        raise NotSent(str(error) or type(error).__name__) from error
    finally:
        _close(client)


def _turn_until(client: Client, done: Callable[[], bool], deadline: float) -> None:
    """Let the client read and write until something is so."""
    while not done():
        if time.monotonic() > deadline:
            raise NotSent(f"the broker did not answer within {TIMEOUT:g} s")
        code = client.loop(STEP)
        if code is not MQTTErrorCode.MQTT_ERR_SUCCESS and not done():
            raise NotSent(f"the broker ended the connection: {code.name}")


def _close(client: Client) -> None:
    if found := client.socket():
        found.close()
