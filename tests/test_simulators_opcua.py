"""OPC UA PLCs, with asyncua's own client and raw sockets as the witnesses. One server for all: each costs a second."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError
from cryptography import x509

from simulators.behaviours import COMMON, Exchange
from simulators.certificate import self_signed
from simulators.floor import Floor
from simulators.opcua_faults import BEHAVIOURS
from simulators.plc import Plc
from simulators.scenario import ScenarioError, parse

LABELLER = """
[model.l2]
protocol = "opcua"
namespace = "urn:borealis:labeller"
path = "labeller"
extra_namespaces = ["urn:filler:one", "urn:filler:two"]
policies = ["None", "Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt"]
users = { maintenance = "label" }
[model.l2.identity]
manufacturer = "Borealis"
product_uri = "urn:borealis:l2"
product_name = "L2 Labeller"
software_revision = "3.2.0"
build_number = "3200"
build_date = "2026-03-02T08:00:00+00:00"
[[model.l2.device]]
name = "Labeller"
properties = { Manufacturer = "Borealis", Model = "L2", SerialNumber = "L2-0", RevisionCounter = 41 }
[[model.l2.device]]
name = "Vision"
properties = { Manufacturer = "Occhio", Model = "OV", SerialNumber = "OV-0" }
[model.l2.node]
"Recipe.Version" = { type = "String", value = "4.1", access = "write" }
"Recipe.Stations" = { type = "UInt16", value = [1, 2, 4] }
"Recipe.ReleasedAt" = { type = "DateTime", value = "2026-02-18T14:30:00+00:00" }
"Program.Checksum" = { type = "ByteString", value = "b8e4" }
"Limits.Speed" = { type = "Float", value = 1.5 }
"Vision.Threshold" = { type = "Double", value = 0.82, status = "UncertainLastUsableValue" }
"Vision.Secret" = { type = "Boolean", value = true, access = "none" }
"Process.Labels" = { type = "UInt64", value = 7, varies = { kind = "counter", every = 0.01 } }
[plc.labeller]
model = "l2"
nameplate.Vision.SerialNumber = "OV-1"
"""
HELLO_URL = b"opc.tcp://127.0.0.1/"
HELLO = b"HELF" + struct.pack("<I5Ii", 32 + len(HELLO_URL), 0, 65535, 65535, 0, 0, len(HELLO_URL)) + HELLO_URL


class Loop:
    """A floor on an event loop in a thread, so that tests can share it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.floor = Floor(parse(LABELLER))
        Thread(target=self.loop.run_forever, daemon=True).start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(15)


@pytest.fixture(scope="module")
def shared() -> Iterator[Loop]:
    loop = Loop()
    loop.do(loop.floor.__aenter__())
    yield loop
    loop.do(loop.floor.close())
    loop.loop.call_soon_threadsafe(loop.loop.stop)


@pytest.fixture
def plc(shared: Loop) -> Iterator[Plc]:
    labeller = shared.floor.plcs["labeller"]
    yield labeller
    shared.do(labeller.apply({"behave": "honest", "drop": True}))


async def node(client: Client, name: str) -> Any:
    return client.get_node(ua.NodeId(name, await client.get_namespace_index("urn:borealis:labeller")))  # type: ignore[arg-type]


async def held(client: Client, name: str) -> ua.DataValue:
    value: ua.DataValue = await (await node(client, name)).read_data_value(raise_on_bad_status=False)
    return value


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def test_values_and_statuses(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        async with Client(plc.address) as client:
            expected = {
                "Recipe.Version": ("4.1", "Good"),
                "Recipe.Stations": ([1, 2, 4], "Good"),
                "Recipe.ReleasedAt": (datetime(2026, 2, 18, 14, 30, tzinfo=UTC), "Good"),
                "Program.Checksum": (b"\xb8\xe4", "Good"),
                "Limits.Speed": (1.5, "Good"),
                "Vision.Threshold": (0.82, "UncertainLastUsableValue"),
                "Vision.Secret": (None, "BadNotReadable"),
            }
            for name, wanted in expected.items():
                found = await held(client, name)
                assert found.Value is not None
                assert found.StatusCode is not None
                assert (found.Value.Value, found.StatusCode.name) == wanted

    shared.do(work())


def test_build_info_and_namespaces(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        async with Client(plc.address) as client:
            assert (await client.get_namespace_array())[2:] == [
                "urn:filler:one",
                "urn:filler:two",
                "http://opcfoundation.org/UA/DI/",
                "urn:borealis:labeller",
            ]
            info = await client.get_node("i=2260").read_value()
            assert (info.ManufacturerName, info.ProductName, info.ProductUri) == (
                "Borealis",
                "L2 Labeller",
                "urn:borealis:l2",
            )
            assert (info.SoftwareVersion, info.BuildNumber, info.BuildDate) == (
                "3.2.0",
                "3200",
                datetime(2026, 3, 2, 8, tzinfo=UTC),
            )
            await plc.apply({"identity": {"software_revision": "3.3.0"}})
            assert await client.get_node("i=2264").read_value() == "3.3.0"

    shared.do(work())


def test_nameplates_under_device_set(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        async with Client(plc.address) as client:
            di = await client.get_namespace_index("http://opcfoundation.org/UA/DI/")
            device_set = await client.nodes.objects.get_child(f"{di}:DeviceSet")
            serials = {}
            for device in await device_set.get_children():
                serial = await (await device.get_child(f"{di}:SerialNumber")).read_value()
                serials[(await device.read_browse_name()).Name] = serial
                kind = client.get_node(await device.read_type_definition() or "")
                upwards = ua.BrowseDirection.Inverse
                parents = await kind.get_referenced_nodes(refs=ObjectIds.HasSubtype, direction=upwards)
                assert (await parents[0].read_browse_name()).Name == "DeviceType"
            assert serials == {"Labeller": "L2-0", "Vision": "OV-1"}
            await plc.apply({"nameplate": {"Vision": {"SerialNumber": "OV-2"}}})
            vision = await device_set.get_child([f"{await client.get_namespace_index('urn:borealis:labeller')}:Vision"])
            assert await (await vision.get_child(f"{di}:SerialNumber")).read_value() == "OV-2"

    shared.do(work())


def test_nodes_move_turn_bad_go_and_come_back(shared: Loop, plc: Plc) -> None:
    async def status(client: Client) -> str:
        found = await held(client, "Recipe.Version")
        assert found.StatusCode is not None
        return found.StatusCode.name

    async def work() -> None:
        async with Client(plc.address) as client:
            await (await node(client, "Recipe.Version")).write_value("5.0")
            assert plc.value("Recipe.Version") == "5.0"
            await plc.apply({"status": {"Recipe.Version": "BadSensorFailure"}})
            assert await status(client) == "BadSensorFailure"
            await plc.apply({"remove": ["Recipe.Version"]})
            assert await status(client) == "BadNodeIdUnknown"
            await plc.apply({"set": {"Recipe.Version": "4.2"}, "status": {"Limits.Speed": "Good"}})
            await plc.apply({"status": {"Recipe.Version": "Good"}})
            assert (await held(client, "Recipe.Version")).Value.Value == "4.2"  # type: ignore[union-attr]
            before = int(str(plc.value("Process.Labels")))
            await until(lambda: int(str(plc.value("Process.Labels"))) > before)

    shared.do(work())


def test_what_does_not_fit_is_refused(shared: Loop, plc: Plc) -> None:
    for wrong in (
        {"status": {"Recipe.Version": "BadMood"}},
        {"set": {"Recipe.Version": 4}},
        {"set": {"Recipe.Size": 4}},
        {"nameplate": {"Printer": {"Model": "x"}}},
        {"identity": {"object_128": "x"}},
        {"behave": "wrong_unit"},
    ):
        with pytest.raises(ScenarioError):
            shared.do(plc.apply(wrong))


@pytest.mark.parametrize("mode", ["None", "Sign", "SignAndEncrypt"])
def test_clients_log_in_by_every_policy_and_are_witnessed(shared: Loop, plc: Plc, mode: str, tmp_path: Path) -> None:
    async def work() -> None:
        client = Client(plc.address)
        if mode != "None":
            certificate, key = self_signed("urn:test:client", "client", "test")
            (tmp_path / "client.der").write_bytes(certificate)
            (tmp_path / "key.der").write_bytes(key)
            client.application_uri = "urn:test:client"
            await client.set_security_string(f"Basic256Sha256,{mode},{tmp_path}/client.der,{tmp_path}/key.der")
        client.set_user("maintenance")
        client.set_password("label")
        plc.seen.requests.clear()
        plc.seen.reads.clear()
        plc.seen.writes.clear()
        async with client:
            await held(client, "Limits.Speed")
            await (await node(client, "Recipe.Version")).write_value("4.2")
        assert plc.seen.reads["nsu=urn:borealis:labeller;s=Limits.Speed", "Value"] == 1
        assert list(plc.seen.writes) == [("nsu=urn:borealis:labeller;s=Recipe.Version", "Value")]
        assert plc.seen.requests["Write" if mode != "SignAndEncrypt" else "encrypted"] >= 1
        assert plc.seen.requests["OPN"] >= 1

    shared.do(work())


def test_a_wrong_password_is_refused(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        client = Client(plc.address)
        client.set_user("maintenance")
        client.set_password("guess")
        with pytest.raises(UaError):
            await client.connect()

    shared.do(work())


def test_the_certificate_names_the_application(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        endpoints = await Client(plc.address).connect_and_get_server_endpoints()
        assert {endpoint.EndpointUrl for endpoint in endpoints} == {plc.address}
        assert {endpoint.SecurityMode for endpoint in endpoints} == {
            ua.MessageSecurityMode.None_,
            ua.MessageSecurityMode.Sign,
            ua.MessageSecurityMode.SignAndEncrypt,
        }
        certificate = x509.load_der_x509_certificate(endpoints[0].ServerCertificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [endpoints[0].Server.ApplicationUri]

    shared.do(work())


async def hello(plc: Plc) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", plc.gate.port)
    writer.write(HELLO)
    return reader, writer


async def heard(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(2):
        return await reader.readexactly(size)


PUBLISHING = {"publish_nothing", "publish_flood", "publish_garbage"}


def message(kind: int, sequence: int, body: bytes) -> bytes:
    whole = struct.pack("<4I", 1, 2, sequence, 3) + b"\x01\x00" + struct.pack("<H", kind) + body
    return b"MSGF" + struct.pack("<I", 8 + len(whole)) + whole


@pytest.mark.parametrize(
    ("behave", "sent"),
    [
        ("publish_nothing", [message(634, 8, b"read")]),
        ("publish_garbage", [message(829, 8, b"\xff" * 8), message(634, 9, b"read")]),
        ("publish_flood", [message(829, 8, b"anything"), message(829, 9, b"anything"), message(829, 10, b"anything")]),
    ],
)
def test_only_the_answers_to_publish_are_spoilt(behave: str, sent: list[bytes]) -> None:
    async def main() -> None:
        expected = b"".join(sent)
        heard = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.readexactly(len(expected)))
            writer.transport.abort()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        _, line = await asyncio.open_connection(*server.sockets[0].getsockname())
        with suppress(ConnectionError):
            for answer in (message(829, 8, b"anything"), message(634, 9, b"read")):
                await BEHAVIOURS[behave](Exchange(b"", answer, b"", "", line))
        assert await heard == expected
        line.transport.abort()
        server.close()

    asyncio.run(main())


def test_every_behaviour_has_a_test() -> None:
    assert set(BEHAVIOURS) == {*COMMON, "endless", "huge_chunk", "bad_hello", *PUBLISHING}


@pytest.mark.parametrize(
    ("behave", "first"),
    [
        ("honest", b"ACKF\x1c\0\0\0"),
        ("slow:0.05", b"ACKF\x1c\0\0\0"),
        ("bad_hello", b"ACKF\x1c\0\0\0\0\0\0\0" + b"\xff" * 16),
        ("garbage", b"\xff\xfe\xfd"),
        ("duplicate", b"ACKF\x1c\0\0\0"),
        ("half", b"ACKF\x1c\0\0\0"),
    ],
)
def test_the_acknowledgement_is_spoilt(shared: Loop, plc: Plc, behave: str, first: bytes) -> None:
    async def work() -> None:
        await plc.apply({"behave": behave})
        reader, _ = await hello(plc)
        assert await heard(reader, len(first)) == first

    shared.do(work())


def test_silent_refuse_close_drip_and_reset(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        await plc.apply({"behave": "silent"})
        reader, _ = await hello(plc)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        await plc.apply({"behave": "close"})
        reader, _ = await asyncio.open_connection("127.0.0.1", plc.gate.port)
        assert await reader.read(1) == b""
        await plc.apply({"behave": "drip"})
        reader, _ = await hello(plc)
        assert [await reader.read(99), await reader.read(99)] == [b"A", b"C"]
        await plc.apply({"behave": "reset"})
        reader, _ = await hello(plc)
        assert await heard(reader, 14)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await plc.apply({"behave": "refuse"})
        with pytest.raises(ConnectionRefusedError):
            await hello(plc)

    shared.do(work())


@pytest.mark.parametrize(("behave", "chunk", "size"), [("endless", b"C", 8216), ("huge_chunk", b"F", 0x7FFFFFFF)])
def test_an_answer_without_end(shared: Loop, plc: Plc, behave: str, chunk: bytes, size: int) -> None:
    async def work() -> None:
        await plc.apply({"behave": behave})
        reader, writer = await hello(plc)
        await heard(reader, 28)
        writer.write(OPEN)
        header = await heard(reader, 8)
        channel = await heard(reader, int.from_bytes(header[4:8], "little") - 8)
        writer.write(get_endpoints(channel[:4], token_of(channel)))
        header = await heard(reader, 8)
        assert header == b"MSG" + chunk + struct.pack("<I", size)
        await heard(reader, 1 << 20)
        writer.transport.abort()
        await until(lambda: not plc.seen.open)

    shared.do(work())


def test_a_chunk_without_a_header_ends_the_line(shared: Loop, plc: Plc) -> None:
    async def work() -> None:
        before = plc.seen.malformed
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.gate.port)
        writer.write(b"HELF\xff\xff\xff\xff")
        assert await reader.read(1) == b""
        assert plc.seen.malformed == before + 1

    shared.do(work())


NONE = b"http://opcfoundation.org/UA/SecurityPolicy#None"
REQUEST_HEADER = b"\0\0" + struct.pack("<qIIiI", 0, 1, 0, -1, 0) + b"\0\0\0"  # no token, handle 1, no audit id


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + b"F" + struct.pack("<I", 8 + len(body)) + body


OPEN = chunk(
    b"OPN",
    struct.pack("<Ii", 0, len(NONE))
    + NONE
    + struct.pack("<iiII", -1, -1, 1, 1)
    + b"\x01\0\xbe\x01"  # OpenSecureChannelRequest, i=446
    + REQUEST_HEADER
    + struct.pack("<IIIiI", 0, 0, 1, -1, 60000),
)


def token_of(opened: bytes) -> bytes:
    """The token in an OpenSecureChannelResponse without its first eight bytes: behind version and channel."""
    at = opened.index(opened[:4], 4 + 4 + len(NONE) + 8)
    return opened[at + 4 : at + 8]


def get_endpoints(channel: bytes, token: bytes) -> bytes:
    url = struct.pack("<i", len(HELLO_URL)) + HELLO_URL
    body = b"\x01\0\xac\x01" + REQUEST_HEADER + url + struct.pack("<ii", -1, -1)  # GetEndpointsRequest, i=428
    return chunk(b"MSG", channel + token + struct.pack("<II", 2, 2) + body)
