"""The OPC UA collector against real servers: what it reads, how it logs in, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.server import Server

from baselines.snapshot import Category, Snapshot
from collectors.collector import Access, CollectError, Poll, Refused, Secret, Unreachable, poll
from collectors.opcua import Lifetimes, OpcUaCollector
from collectors.profile import Profile, Profiles, parse_profile
from simulators.certificate import self_signed
from simulators.floor import Floor
from simulators.plc import Plc
from simulators.scenario import parse
from tests.opcua_servers import Background, background, collector_of, now, profile_of, target_of, until

SCENARIO = """
[model.filler]
protocol = "opcua"
namespace = "urn:acme:filler"
path = "filler"
policies = ["None", "Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt"]
users = { operator = "geheim" }

[model.filler.identity]
manufacturer = "ACME"
product_name = "Filler"
product_uri = "urn:acme:f"
software_revision = "2.1"
build_number = "77"

[model.filler.node]
"Recipe.Version" = { type = "String", value = "4.2" }
"Limits.High" = { type = "Float", value = 12.3 }
"Counts" = { type = "UInt32", value = [1, 2, 3] }
"Running" = { type = "Boolean", value = true }
"Key" = { type = "ByteString", value = "00ff" }
"Made" = { type = "DateTime", value = "2026-01-02T03:04:05+00:00" }
"Level" = { type = "Double", value = 1.5 }

[[model.filler.device]]
name = "Filler 1"
[model.filler.device.properties]
Manufacturer = "ACME GmbH"
Model = "F-9"
ProductCode = "F9-X"
SerialNumber = "4711"
HardwareRevision = "C"
SoftwareRevision = "2.1.7"
DeviceRevision = "3"
RevisionCounter = 5

[[model.filler.device]]
name = "Valve"
properties = { Manufacturer = "Festo", SerialNumber = "1" }

[model.moved]
protocol = "opcua"
namespace = "urn:acme:filler"
extra_namespaces = ["urn:some:other", "urn:and:another"]
users = { operator = "geheim" }
node."Recipe.Version" = { type = "String", value = "4.2" }
node."Limits.High" = { type = "Float", value = 12.3 }

[plc.filler]
model = "filler"

[plc.moved]
model = "moved"
"""

NodeId: Any = ua.NodeId  # takes plain numbers and text, whatever its annotations say
NAMES = ("Recipe.Version", "Limits.High", "Counts", "Running", "Key", "Made", "Level")
NODES = {name: f"nsu=urn:acme:filler;s={name}" for name in NAMES}
ALLOWED = {"HEL", "OPN", "CLO", "GetEndpoints", "CreateSession", "ActivateSession", "CloseSession", "Read", "Browse"}


@dataclass(frozen=True)
class Site:
    """The servers that all tests of this file share, and what a client needs for them."""

    running: Background
    floor: Floor
    large: Server
    folder: Path

    @property
    def filler(self) -> Plc:
        return self.floor.plcs["filler"]

    @property
    def moved(self) -> Plc:
        return self.floor.plcs["moved"]

    @property
    def large_address(self) -> str:
        assert self.large.bserver is not None
        return f"opc.tcp://127.0.0.1:{self.large.bserver.port}/large"

    def apply(self, plc: Plc, **change: Any) -> None:
        self.running.do(plc.apply(change))

    def access(self, mode: str, **more: Any) -> Access:
        policy = "None" if mode == "None" else "Basic256Sha256"
        return Access(policy, mode, str(self.folder / "us.pem"), str(self.folder / "us.key"), **more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("opcua")
    certificate, key = self_signed("urn:plant:asbuilt", "asbuilt", "Plant")
    (folder / "us.pem").write_bytes(certificate)  # DER, whatever the name says
    (folder / "us.key").write_bytes(key)
    other, other_key = self_signed("urn:else", "else", "Else")
    (folder / "else.der").write_bytes(other)
    (folder / "else.key").write_bytes(other_key)
    with background() as running:
        floor = Floor(parse(SCENARIO), ports="free")
        running.do(floor.__aenter__())
        try:
            large = running.do(large_server())
            yield Site(running, floor, large, folder)
            running.do(large.stop())
        finally:
            running.do(floor.close())


@pytest.fixture(autouse=True)
def quiet(site: Site) -> None:
    """No test counts what the one before it left on the wire."""
    assert asyncio.run(until(lambda: site.filler.seen.open == site.moved.seen.open == 0))


async def large_server() -> Server:
    """A thousand nodes, 150 of them a Read; a device with a module, and one whose nameplate is in a group."""
    server = Server()
    server.set_endpoint("opc.tcp://127.0.0.1:0/large")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.init()
    await server.get_node(NodeId(11705)).write_value(ua.UInt32(150))
    di = await server.register_namespace("http://opcfoundation.org/UA/DI/")
    own = await server.register_namespace("urn:large")
    objects = server.nodes.objects
    for number in range(1000):
        await objects.add_variable(NodeId(f"v{number}", own), ua.QualifiedName(f"v{number}", own), float(number))
    devices = await objects.add_object(NodeId(5001, di), ua.QualifiedName("DeviceSet", di))

    async def place(parent: Any, name: str, **properties: Any) -> Any:
        made = await parent.add_object(own, name)
        for field, value in properties.items():
            await made.add_property(di, field, value)
        return made

    rack = await place(devices, "Rack.1", SerialNumber="R1", SoftwareRevision="1.0")
    modules = await place(rack, "Modules")
    await place(modules, "DI16", SerialNumber="M1", SoftwareRevision="0.9")
    await place(modules, "DI16", SerialNumber="M2", SoftwareRevision="0.8")
    await place(modules, "AO4", SerialNumber="M3")
    await place(rack, "ParameterSet", SerialNumber="is no nameplate")
    await place(await place(devices, "Drive"), "Identification", SerialNumber="D1", Model="is in a group")
    await server.start()
    return server


def read(site: Site, plc: Plc, profile: Profile | None = None, **more: Any) -> Snapshot:
    result = polled(plc.address, profile, **more)
    assert isinstance(result.outcome, Snapshot), result.outcome
    return result.outcome


def polled(address: str, profile: Profile | None = None, **more: Any) -> Poll:
    async def main() -> Poll:
        collector = collector_of(profile or profile_of(NODES))
        result = await poll(collector, target_of(address, **more))
        await collector.close()
        assert len(asyncio.all_tasks()) == 1
        return result

    return asyncio.run(main())


def test_what_a_server_is_in_full(site: Site) -> None:
    snapshot = read(site, site.filler)
    assert {item.key: item.shown for item in snapshot.items if not item.key.startswith("endpoint.c")} == {
        "identity.manufacturer": "ACME",
        "identity.product_name": "Filler",
        "identity.product_uri": "urn:acme:f",
        "identity.software_revision": "2.1",
        "identity.build_number": "77",
        "identity.model": "F-9",
        "identity.product_code": "F9-X",
        "identity.hardware_revision": "C",
        "identity.serial_number": "4711",
        'device."Filler 1".manufacturer': "ACME GmbH",
        'device."Filler 1".model': "F-9",
        'device."Filler 1".product_code': "F9-X",
        'device."Filler 1".serial_number': "4711",
        'device."Filler 1".hardware_revision': "C",
        'device."Filler 1".software_revision': "2.1.7",
        'device."Filler 1".device_revision': "3",
        'device."Filler 1".revision_counter': 5,
        "device.Valve.manufacturer": "Festo",
        "device.Valve.serial_number": "1",
        "server.state": "Running",
        "server.namespaces": [
            "http://opcfoundation.org/UA/",
            "http://opcfoundation.org/UA/DI/",
            "urn:acme:filler",
            "urn:acme:filler:filler",
        ],
        "endpoint.application_uri": "urn:acme:filler:filler",
        "endpoint.security_policies": ["Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt", "None"],
        "endpoint.user_tokens": ["Anonymous", "UserName"],
        'item."Recipe.Version"': "4.2",
        'item."Limits.High"': 12.3,
        "item.Counts": [1, 2, 3],
        "item.Running": True,
        "item.Key": "00ff",
        "item.Made": "2026-01-02T03:04:05Z",
        "item.Level": 1.5,
    }
    assert len(str(snapshot.by_key["endpoint.certificate_thumbprint"].value)) == 40
    assert snapshot.by_key['device."Filler 1".software_revision'].category is Category.FIRMWARE
    assert snapshot.by_key['device."Filler 1".revision_counter'].category is Category.PROGRAM
    assert snapshot.by_key["endpoint.security_policies"].category is Category.SECURITY
    assert snapshot.unread == ()
    assert snapshot.profile == profile_of(NODES).digest


def test_only_reading_services_ever_leave_and_all_are_counted(site: Site) -> None:
    before, seen = site.filler.seen.total, site.filler.seen
    result = polled(site.filler.address)
    after = result.sent.requests + 2  # CloseSession and CLO came after the poll
    assert asyncio.run(until(lambda: seen.total - before == after))
    assert set(seen.requests) <= ALLOWED
    assert not seen.writes


def test_an_unchanged_poll_is_two_requests_and_the_same_snapshot_and_nothing_is_sent_between(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        first = await poll(collector, target)
        seen = site.filler.seen.total
        assert not await until(lambda: site.filler.seen.total != seen, 1.5)
        second = await poll(collector, target)
        assert second.sent.connections == 0
        assert second.sent.requests == 2
        assert isinstance(first.outcome, Snapshot)
        assert isinstance(second.outcome, Snapshot)
        assert second.outcome.items is first.outcome.items
        await collector.close()
        assert await until(lambda: site.filler.seen.open == 0)

    asyncio.run(main())


def test_what_changes_is_seen_with_the_next_poll(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        await poll(collector, target)
        site.apply(
            site.filler,
            set={"Recipe.Version": "4.3"},
            status={"Level": "BadSensorFailure", "Limits.High": "UncertainLastUsableValue"},
            identity={"software_revision": "2.2"},
            nameplate={"Filler 1": {"SerialNumber": "4712"}},
        )
        result = await poll(collector, target)
        site.apply(
            site.filler,
            set={"Recipe.Version": "4.2"},
            status={"Level": "Good", "Limits.High": "Good"},
            identity={"software_revision": "2.1"},
            nameplate={"Filler 1": {"SerialNumber": "4711"}},
        )
        back = await poll(collector, target)
        await collector.close()
        assert isinstance(result.outcome, Snapshot)
        assert isinstance(back.outcome, Snapshot)
        seen = result.outcome
        assert seen.by_key['item."Recipe.Version"'].value == "4.3"
        assert seen.by_key['item."Limits.High"'].uncertain
        assert seen.by_key['item."Limits.High"'].value == 12.3
        assert [(gap.key, gap.why) for gap in seen.unread] == [("item.Level", "BadSensorFailure")]
        assert seen.by_key["identity.software_revision"].value == "2.2"
        assert seen.by_key["identity.serial_number"].value == "4712"
        assert back.outcome.unread == ()
        assert result.sent.connections == back.sent.connections == 0

    asyncio.run(main())


def test_indexes_move_and_items_stay(site: Site) -> None:
    nodes = {name: NODES[name] for name in ("Recipe.Version", "Limits.High")}
    profile = profile_of(nodes)
    here = read(site, site.filler, profile)
    there = read(site, site.moved, profile)
    for name in nodes:
        assert there.by_key[f'item."{name}"'] == here.by_key[f'item."{name}"']


def test_a_node_or_a_namespace_that_is_not_there_says_so(site: Site) -> None:
    nodes = {"gone": "nsu=urn:acme:filler;s=Gone", "elsewhere": "nsu=urn:elsewhere;i=1", "wrong": "nsu=urn:x;g=1"}
    snapshot = read(site, site.filler, profile_of(nodes))
    assert {gap.key: gap.why for gap in snapshot.unread} == {
        "item.gone": "BadNodeIdUnknown",
        "item.elsewhere": "namespace urn:elsewhere is not at this server",
        "item.wrong": "namespace urn:x is not at this server",
    }


def test_the_profile_is_chosen_by_what_the_server_says(site: Site) -> None:
    made = {
        "name": "acme-filler",
        "match": {"manufacturer": "ACME", "product_code": "F9-*"},
        "limits": {"requests_per_second": 10_000.0},
        "item": {"recipe": {"node": NODES["Recipe.Version"]}},
    }

    async def main() -> None:
        generic = profile_of({}, "generic-opcua")  # as it is bundled, but fast
        collector = OpcUaCollector(Profiles([generic, parse_profile(made, "test")]), now)
        target = target_of(site.filler.address, "auto")
        first, second = await poll(collector, target), await poll(collector, target)
        await collector.close()
        assert isinstance(first.outcome, Snapshot)
        assert isinstance(second.outcome, Snapshot)
        assert first.outcome.by_key["item.recipe"].value == "4.2"
        assert first.outcome.profile == parse_profile(made, "test").digest
        assert second.outcome.digest == first.outcome.digest
        collector = OpcUaCollector(Profiles([generic]), now)
        other = await poll(collector, target)
        await collector.close()
        assert isinstance(other.outcome, Snapshot)
        assert other.outcome.by_key["identity.manufacturer"].value == "ACME"
        assert not any(item.key.startswith("item.") for item in other.outcome.items)

    asyncio.run(main())


def test_the_default_rate_is_kept_from_the_first_connection_on(site: Site) -> None:
    asked = site.moved.seen.total

    async def main() -> None:
        collector = collector_of(profile_of({}, requests_per_second=10))
        await poll(collector, target_of(site.filler.address))
        await collector.close()

    site.filler.seen.times.clear()
    asyncio.run(main())
    assert site.filler.seen.busiest(0.95) <= 10  # on the wire some arrive a little late
    assert site.moved.seen.total == asked


LARGE = {f"v{number}": f"nsu=urn:large;s=v{number}" for number in range(1000)}


def test_a_thousand_nodes_in_as_few_reads_as_all_sides_allow(site: Site) -> None:
    async def main(allowed: int, theirs: int) -> int:
        await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(
                site.large.get_node(NodeId(11705)).write_value(ua.UInt32(theirs)), site.running.loop
            )
        )
        collector = collector_of(profile_of(LARGE, nodes_per_read=allowed))
        target = target_of(site.large_address)
        first, second = await poll(collector, target), await poll(collector, target)
        await collector.close()
        assert isinstance(first.outcome, Snapshot)
        assert isinstance(second.outcome, Snapshot)
        assert first.outcome.unread == ()
        assert first.outcome.by_key["item.v999"].value == 999.0
        assert second.outcome.digest == first.outcome.digest
        return second.sent.requests - 1  # GetEndpoints

    nodes = 1000 + len({"namespaces", "state"}) + 5 + 9  # BuildInfo and nameplates
    assert asyncio.run(main(10_000, 0)) == 1
    assert asyncio.run(main(1000, 0)) == 2
    assert asyncio.run(main(1000, 150)) == -(-nodes // 150)
    assert asyncio.run(main(100, 150)) == -(-nodes // 100)


def test_modules_and_groups_have_their_place_in_the_key(site: Site) -> None:
    result = polled(site.large_address, profile_of({}))
    assert isinstance(result.outcome, Snapshot)
    said = {item.key: item.value for item in result.outcome.items if item.key.startswith("device.")}
    assert {key: value for key, value in said.items() if "DI16" not in key} == {
        'device."Rack.1".serial_number': "R1",
        'device."Rack.1".software_revision': "1.0",
        'device."Rack.1".Modules.AO4.serial_number': "M3",
        "device.Drive.serial_number": "D1",
        "device.Drive.model": "is in a group",
    }
    twins = {key: value for key, value in said.items() if "DI16" in key}
    assert sorted(map(str, twins.values())) == ["0.8", "0.9", "M1", "M2"]
    assert all(key.startswith('device."Rack.1".Modules."DI16 nsu=urn:large;i=') for key in twins)
    revision = next(key for key, value in twins.items() if value == "0.9")
    assert result.outcome.by_key[revision].category is Category.FIRMWARE
    assert result.outcome.by_key["identity.serial_number"].value == "D1"  # the first by name


# Logging in.


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "geheim")
    monkeypatch.setenv("WRONG", "falsch")


@pytest.mark.parametrize("mode", ["None", "Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("user", ["", "operator"])
def test_every_way_in_sees_the_same(site: Site, mode: str, user: str) -> None:
    access = site.access(mode, user=user, password=Secret(env="PASSWORD"))
    result = polled(site.filler.address, access=access)
    assert isinstance(result.outcome, Snapshot), result.outcome
    assert result.outcome.digest == read(site, site.filler).digest
    assert result.sent.connections == (1 if mode == "None" else 2)


def test_a_pinned_certificate_saves_a_connection_and_is_compared(site: Site) -> None:
    pinned = site.folder / "server.der"
    pinned.write_bytes(certificate_of(site))
    for mode in ("None", "Sign", "SignAndEncrypt"):
        access = site.access(mode, server_certificate=str(pinned))
        result = polled(site.filler.address, access=access)
        assert isinstance(result.outcome, Snapshot), result.outcome
        assert result.sent.connections == 1
        other = site.access(mode, server_certificate=str(site.folder / "else.der"))
        wrong = polled(site.filler.address, profile_of({}, timeout="200ms"), access=other)
        assert isinstance(wrong.outcome, CollectError)  # asyncua's server says nothing to a request that it cannot read
        assert "another certificate than server_certificate" in wrong.outcome.text


def certificate_of(site: Site) -> bytes:
    server: Server = site.filler.device._server  # type: ignore[attr-defined]
    endpoints = site.running.do(server.get_endpoints())
    return bytes(endpoints[0].ServerCertificate)


@pytest.mark.parametrize("mode", ["None", "Sign", "SignAndEncrypt"])
def test_a_wrong_password_is_a_sentence_and_leaves_no_session(site: Site, mode: str) -> None:
    before = site.filler.seen.requests.copy()
    result = polled(site.filler.address, access=site.access(mode, user="operator", password=Secret(env="WRONG")))
    assert isinstance(result.outcome, Refused)
    assert "refused the user name or password: check user and password_env" in result.outcome.text
    assert asyncio.run(until(lambda: (asked := site.filler.seen.requests - before)["CLO"] == asked["HEL"]))
    asked = site.filler.seen.requests - before
    if mode != "SignAndEncrypt":  # where the floor cannot see either
        assert asked["CreateSession"] == asked["CloseSession"] == 1


def wrong_accesses(folder: Path) -> dict[str, Access]:
    us, key = str(folder / "us.pem"), str(folder / "us.key")
    return {
        "needs certificate and private_key": Access("Basic256Sha256", "Sign"),
        "is none that asbuilt speaks": Access("Basic128Rsa15", "Sign", us, key),
        "there.pem cannot be read: no such file or directory": Access("Basic256Sha256", "Sign", "there.pem", key),
        "us.key is no certificate in PEM or DER": Access("Basic256Sha256", "Sign", key, key),
        "us.pem is no private key in PEM or DER": Access("Basic256Sha256", "Sign", us, us),
        "is not the key of": Access("Basic256Sha256", "Sign", us, str(folder / "else.key")),
        "the environment variable NONE holds no password": Access(user="operator", password=Secret(env="NONE")),
        "no password is named": Access(user="operator"),
        "has no endpoint with Aes256_Sha256_RsaPss and Sign": Access("Aes256_Sha256_RsaPss", "Sign", us, key),
    }


@pytest.mark.parametrize("sentence", wrong_accesses(Path()))
def test_an_access_that_cannot_work_is_refused_in_a_sentence(site: Site, sentence: str) -> None:
    result = polled(site.filler.address, access=wrong_accesses(site.folder)[sentence])
    assert isinstance(result.outcome, Refused), result.outcome
    assert sentence in result.outcome.text


def test_a_password_never_leaves_in_clear(site: Site) -> None:
    """The floor's second PLC has no certificate: nothing could encrypt a password for it."""
    before = site.moved.seen.requests.copy()
    result = polled(site.moved.address, access=Access(user="operator", password=Secret(env="PASSWORD")))
    asked = site.moved.seen.requests - before
    assert isinstance(result.outcome, Refused)
    assert "the password would go over the network in clear" in result.outcome.text
    assert asked["ActivateSession"] == 0
    assert asked["CloseSession"] == 1


@pytest.mark.skipif(os.name != "posix", reason="the mode of a file")
def test_a_password_in_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\n")
    file.chmod(0o600)
    assert Secret(file=str(file)).read() == "geheim"
    for mode in (0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(ValueError, match="may be read by others: chmod 600"):
            Secret(file=str(file)).read()
    with pytest.raises(ValueError, match="cannot be read: no such file"):
        Secret(file=str(tmp_path / "none")).read()
    file.write_text("\n")
    file.chmod(0o600)
    with pytest.raises(ValueError, match="holds no password"):
        Secret(file=str(file)).read()


# From poll to poll.


async def twice(site: Site, lifetimes: Lifetimes, wait: float, access: Access) -> tuple[Poll, Poll, OpcUaCollector]:
    collector = collector_of(profile_of(NODES), lifetimes=lifetimes)
    target = target_of(site.filler.address, access=access)
    first = await poll(collector, target)
    started = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() - started >= wait)
    return first, await poll(collector, target), collector


@pytest.mark.parametrize("mode", ["None", "Sign", "SignAndEncrypt"])
def test_a_channel_is_renewed_before_it_runs_out(site: Site, mode: str) -> None:
    async def main() -> None:
        access = site.access(mode)
        first, second, collector = await twice(site, Lifetimes(channel=1), 0.8, access)
        third = await poll(collector, target_of(site.filler.address, access=access))
        await collector.close()
        assert isinstance(first.outcome, Snapshot)
        assert isinstance(second.outcome, Snapshot)
        assert isinstance(third.outcome, Snapshot), third.outcome
        assert second.sent.connections == 0
        assert second.sent.requests == 3  # the renewal, GetEndpoints, Read

    asyncio.run(main())


def test_a_channel_that_ran_out_is_replaced(site: Site) -> None:
    async def main() -> None:
        _, second, collector = await twice(site, Lifetimes(channel=1), 1.1, Access())
        await collector.close()
        assert isinstance(second.outcome, Snapshot)
        assert second.sent.connections == 1

    asyncio.run(main())


def test_closing_after_each_poll(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES, close_after_poll=True))
        for _ in range(2):
            result = await poll(collector, target_of(site.filler.address))
            assert isinstance(result.outcome, Snapshot)
            assert result.sent.connections == 1
            assert await until(lambda: site.filler.seen.open == 0)

    before = site.filler.seen.requests.copy()
    asyncio.run(main())
    asked = site.filler.seen.requests - before
    assert asked["CloseSession"] == asked["CLO"] == asked["HEL"] == 2


def test_a_restart_costs_one_connection_and_no_poll(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        first = await poll(collector, target)
        site.apply(site.filler, restart=True)
        second = await poll(collector, target)
        assert isinstance(first.outcome, Snapshot)
        assert isinstance(second.outcome, Snapshot)
        assert second.outcome.digest == first.outcome.digest  # neither StartTime nor CurrentTime is an item
        assert second.sent.connections == 1
        await collector.close()

    asyncio.run(main())


def test_a_server_that_is_off_and_on_again(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        await poll(collector, target)
        site.apply(site.filler, behave="refuse")
        down = await poll(collector, target)
        site.apply(site.filler, behave="honest")
        up = await poll(collector, target)
        await collector.close()
        assert isinstance(down.outcome, Unreachable)
        assert isinstance(up.outcome, Snapshot)

    asyncio.run(main())


def test_one_connection_however_often_it_is_polled(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        await asyncio.gather(*(poll(collector, target) for _ in range(5)))
        await collector.close()

    before = site.filler.seen.connections
    asyncio.run(main())
    assert site.filler.seen.connections == before + 1


def test_a_target_whose_login_changed_gets_a_new_session(site: Site) -> None:
    async def main() -> None:
        collector = collector_of(profile_of(NODES))
        target = target_of(site.filler.address)
        await poll(collector, target)
        result = await poll(collector, replace(target, access=site.access("Sign")))
        assert isinstance(result.outcome, Snapshot)
        assert result.sent.connections == 2
        await collector.close()
        assert await until(lambda: site.filler.seen.open == 0)

    asyncio.run(main())
