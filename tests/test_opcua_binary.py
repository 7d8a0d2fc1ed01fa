"""OPC UA Binary: our reader against asyncua's writer, and against junk."""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary, variant_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.snapshot import canonical
from collectors.opcua import services
from collectors.opcua.nodes import resolve
from collectors.opcua.status import status_name
from collectors.uabinary import FAULTS, LONGEST_ARRAY, MOST_ELEMENTS, Beyond, Broken, Reader, moment
from tests.opcua_servers import published, subscribed

NodeId: Any = ua.NodeId  # takes plain numbers and text, whatever its annotations say
NAMESPACES = ["http://opcfoundation.org/UA/", "urn:us", "urn:acme"]
T = ua.VariantType
GUID = uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63")
WHEN: Any = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)

VARIANTS = [
    (ua.Variant(None, T.Null), None),
    (ua.Variant(True, T.Boolean), True),
    (ua.Variant(-5, T.SByte), -5),
    (ua.Variant(2**64 - 1, T.UInt64), 2**64 - 1),
    (ua.Variant(12.3, T.Float), 12.3),
    (ua.Variant(0.1, T.Double), 0.1),
    (ua.Variant("Füller", T.String), "Füller"),
    (ua.Variant(None, T.String), None),
    (ua.Variant(WHEN, T.DateTime), "2024-05-06T07:08:09.123Z"),
    (ua.Variant(GUID, T.Guid), str(GUID)),
    (ua.Variant(b"\x00\xff", T.ByteString), b"\x00\xff"),
    (ua.Variant(NodeId("Recipe", 2), T.NodeId), "nsu=urn:acme;s=Recipe"),
    (ua.Variant(NodeId(2258, 0), T.NodeId), "i=2258"),
    (ua.Variant(NodeId(7, 9), T.NodeId), "ns=9;i=7"),
    (ua.Variant(NodeId(b"\x01", 1), T.NodeId), "nsu=urn:us;b=AQ=="),
    (ua.Variant(NodeId(GUID, 1), T.NodeId), f"nsu=urn:us;g={GUID}"),
    (ua.Variant(ua.StatusCode(ua.UInt32(0x80050000)), T.StatusCode), "BadCommunicationError"),
    (ua.Variant(ua.QualifiedName("Name", 2), T.QualifiedName), "Name"),
    (ua.Variant(ua.LocalizedText("Pumpe", "de"), T.LocalizedText), "Pumpe"),
    (ua.Variant([1, 2, 3], T.Int32), (1, 2, 3)),
    (ua.Variant([1.5, 2.7], T.Float), (1.5, 2.7)),
    (ua.Variant(["a", None, ""], T.String), ("a", None, "")),
    (ua.Variant([[1, 2, 3], [4, 5, 6]], T.Int16), ((1, 2, 3), (4, 5, 6))),
    (ua.Variant([ua.Variant(1, T.Byte), ua.Variant("x", T.String)], T.Variant), (1, "x")),
    (
        ua.Variant(ua.Range(Low=1.0, High=2.0), T.ExtensionObject),
        struct.pack("<dd", 1.0, 2.0),
    ),
]


@pytest.mark.parametrize(("variant", "value"), VARIANTS)
def test_a_value_is_what_asyncua_wrote(variant: ua.Variant, value: object) -> None:
    reader = Reader(variant_to_binary(variant) + b"left", NAMESPACES, status_name)
    assert reader.variant() == value
    assert reader.rest() == b"left"


def test_every_value_has_a_canonical_form() -> None:
    for variant, _ in VARIANTS:
        value = Reader(variant_to_binary(variant), NAMESPACES).variant()
        assert not isinstance(value, Beyond)
        canonical(value)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800000, 0x80000000])
def test_a_float_that_is_no_number_is_kept(bits: int) -> None:
    value = Reader(b"\x0a" + struct.pack("<I", bits)).variant()
    assert isinstance(value, float)
    assert struct.pack("<f", value) == struct.pack("<I", bits) or math.isnan(value)


def test_a_value_comes_with_its_status_and_without_its_times() -> None:
    written = ua.DataValue(
        ua.Variant(7, T.Int32), ua.StatusCode(ua.UInt32(0x40A40000)), SourceTimestamp=WHEN, ServerTimestamp=WHEN
    )
    reader = Reader(struct_to_binary(written) + b"!")
    assert reader.data_value() == (7, 0x40A40000)
    assert reader.rest() == b"!"


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "1601-01-01T00:00:00Z"),
        (-1, "1601-01-01T00:00:00Z"),
        (2**63 - 1, "9999-12-31T23:59:59Z"),
        (1, "1601-01-01T00:00:00.0000001Z"),
    ],
)
def test_a_moment_is_as_precise_as_it_was_written(ticks: int, text: str) -> None:
    assert Reader(struct.pack("<q", ticks)).moment() == text


@given(st.timedeltas(timedelta(0), timedelta(days=3_000_000)))
def test_a_moment_comes_back(since: timedelta) -> None:
    when = datetime(1601, 1, 1, tzinfo=UTC) + since
    assert datetime.fromisoformat(Reader(moment(when)).moment()) == when


HOSTILE = {
    "a string of negative length": b"\x0c" + struct.pack("<i", -4),
    "a string longer than the message": b"\x0c" + struct.pack("<i", 2**31 - 1),
    "an array of two milliard nulls": b"\x80" + struct.pack("<i", 2**31 - 1),
    "an array of two milliard strings": b"\x8c" + struct.pack("<i", 2**31 - 1),
    "an array of negative length": b"\x86" + struct.pack("<i", -2),
    "more numbers than the message has": b"\x86" + struct.pack("<i", 2**31 - 1),
    "variants within variants": b"\x98" + (struct.pack("<i", 1) + b"\x98") * 500,
    "diagnostics within diagnostics": b"\x19" + b"\x40" * 500,
    "a NodeId of no kind": b"\x11\x3f",
    "a matrix that is no array": b"\x46\x01\x00\x00\x00",
    "a type that is none": b"\x3f",
    "nothing": b"",
}


@pytest.mark.parametrize("written", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_value_is_refused_at_once(written: bytes) -> None:
    with pytest.raises(FAULTS):
        Reader(written).variant()


def test_a_long_array_is_passed_over_and_said() -> None:
    length = LONGEST_ARRAY + 1
    reader = Reader(b"\x83" + struct.pack("<i", length) + bytes(length) + b"!")
    value = reader.variant()
    assert isinstance(value, Beyond)
    assert f"an array of {length} elements" in value.why
    assert reader.rest() == b"!"


def test_an_answer_holds_so_many_elements_and_no_more() -> None:
    one = b"\x83" + struct.pack("<i", LONGEST_ARRAY) + bytes(LONGEST_ARRAY)
    reader = Reader(one * (MOST_ELEMENTS // LONGEST_ARRAY + 1))
    for _ in range(MOST_ELEMENTS // LONGEST_ARRAY):
        reader.variant()
    with pytest.raises(FAULTS):
        reader.variant()


def test_a_matrix_whose_sides_lie_is_a_list() -> None:
    sides = struct.pack("<iii", 2, 2**30, 2**30)
    assert Reader(b"\xc3" + struct.pack("<i", 4) + b"\1\2\3\4" + sides).variant() == (1, 2, 3, 4)


READS: list[Callable[[Reader], object]] = [
    lambda reader: reader.variant(),
    lambda reader: reader.data_value(),
    services.read_header,
    services.read_endpoints,
    services.read_created,
    services.read_opened,
    lambda reader: services.read_values(reader, 3),
    lambda reader: services.read_browsed(reader, 3),
    services.read_subscribed,
    lambda reader: services.read_monitored(reader, 3),
    lambda reader: services.read_published(reader, 3),
]


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_junk_is_a_fault_and_nothing_else(junk: bytes) -> None:
    for read in READS:
        reader = Reader(junk, NAMESPACES)
        with suppress(*FAULTS):
            read(reader)


@pytest.mark.parametrize(
    ("named", "node"),
    [
        ("i=2258", NodeId(2258, 0)),
        ("i=85", NodeId(85, 0)),
        ("nsu=urn:acme;i=5", NodeId(5, 2)),
        ("nsu=urn:acme;i=70000", NodeId(70000, 2)),
        ("nsu=urn:acme;s=Recipe.Version", NodeId("Recipe.Version", 2)),
        ("nsu=urn:acme;s=a;b=c", NodeId("a;b=c", 2)),
        (f"nsu=urn:us;g={GUID}", NodeId(GUID, 1)),
        ("nsu=urn:us;b=AQI=", NodeId(b"\x01\x02", 1)),
        ("nsu=http://opcfoundation.org/UA/;i=2258", NodeId(2258, 0)),
    ],
)
def test_a_node_is_named_as_the_server_numbers_it(named: str, node: ua.NodeId) -> None:
    reader = Reader(resolve(named, NAMESPACES), NAMESPACES)
    written = Reader(nodeid_to_binary(node), NAMESPACES)
    assert reader.node_id() == written.node_id()


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("nsu=urn:nowhere;i=5", "namespace urn:nowhere is not at this server"),
        ("nsu=urn:us;g=no", "after g= stands a Guid"),
        ("nsu=urn:us;b=?", "after b= stands base64"),
        ("i=4294967296", "below 4294967296"),
    ],
)
def test_a_node_that_cannot_be_named_says_why(named: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        resolve(named, NAMESPACES)


def test_a_request_is_what_asyncua_reads() -> None:
    request = services.read([resolve("nsu=urn:acme;s=A", NAMESPACES), resolve("i=2255", NAMESPACES)])
    params = struct_from_binary(ua.ReadParameters, Buffer(request.body))
    assert [(node.NodeId, node.AttributeId) for node in params.NodesToRead] == [
        (NodeId("A", 2), AttributeIds.Value),
        (NodeId(2255, 0), AttributeIds.Value),
    ]
    assert params.TimestampsToReturn == ua.TimestampsToReturn.Neither


def test_what_subscribes_is_what_asyncua_reads() -> None:
    asked = struct_from_binary(ua.CreateSubscriptionParameters, Buffer(services.create_subscription(0.5, 20, 120).body))
    assert (asked.RequestedPublishingInterval, asked.RequestedMaxKeepAliveCount) == (500, 20)
    assert (asked.RequestedLifetimeCount, asked.MaxNotificationsPerPublish) == (120, 0)
    assert asked.PublishingEnabled
    nodes = [resolve("nsu=urn:acme;s=A", NAMESPACES), resolve("i=2255", NAMESPACES)]
    body = services.create_monitored_items(7, nodes, 0.5).body
    wanted = struct_from_binary(ua.CreateMonitoredItemsParameters, buffer := Buffer(body))
    assert len(buffer) == 0
    assert wanted.SubscriptionId == 7
    assert [item.ItemToMonitor.NodeId for item in wanted.ItemsToCreate] == [NodeId("A", 2), NodeId(2255, 0)]
    for item in wanted.ItemsToCreate:
        how = item.RequestedParameters
        assert item.ItemToMonitor.AttributeId == AttributeIds.Value
        assert item.MonitoringMode == ua.MonitoringMode.Reporting
        assert (how.SamplingInterval, how.QueueSize, how.DiscardOldest) == (500, 1, True)
        assert how.Filter == ua.ExtensionObject()
    assert len(body) - len(nodes[0]) - len(nodes[1]) - 12 == 2 * services.PER_MONITORED
    publish = struct_from_binary(ua.PublishParameters, Buffer(services.publish(7, 3).body))
    assert [(each.SubscriptionId, each.SequenceNumber) for each in publish.SubscriptionAcknowledgements] == [(7, 3)]
    assert not struct_from_binary(
        ua.PublishParameters, Buffer(services.publish(7, 0).body)
    ).SubscriptionAcknowledgements


def read_published(response: ua.PublishResponse, watched: int = 3) -> services.Published:
    return services.read_published(Reader(struct_to_binary(response.Parameters)), watched)


def test_what_asyncua_publishes_is_counted_and_not_believed() -> None:
    assert read_published(published(3, sequence=8)) == services.Published(5, 8, 3, 0)
    assert read_published(published(0)) == services.Published(5, 1, 0, 0)
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(0x800A0000)))
    assert read_published(published(1, more=[ended])) == services.Published(5, 1, 1, 0x800A0000)
    with pytest.raises(Broken, match="4 changes at once of 3 items"):
        read_published(published(4))
    with pytest.raises(Broken, match="which nobody asked for"):
        read_published(published(0, more=[ua.EventNotificationList()]))


@pytest.mark.parametrize(("interval", "keep_alives"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (math.inf, 1), (1.0, 0)])
def test_a_subscription_that_never_publishes_is_none(interval: float, keep_alives: int) -> None:
    with pytest.raises(Broken):
        services.read_subscribed(Reader(struct_to_binary(subscribed(interval, keep_alives).Parameters)))
