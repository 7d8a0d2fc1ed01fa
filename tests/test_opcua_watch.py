"""OPC UA subscriptions: a server tells that something changed, and whatever it tells costs a bounded amount."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from baselines.snapshot import Snapshot
from collectors.collector import Access, Malformed, Poll, Watching, poll
from collectors.opcua import Lifetimes, OpcUaCollector
from collectors.opcua.watch import Bell
from collectors.profile import Profiles, parse_profile
from simulators.certificate import self_signed
from simulators.floor import Floor
from simulators.plc import Plc
from simulators.scenario import parse
from tests.floors import PlantFolder, wait_for
from tests.opcua_servers import (
    Background,
    Fake,
    background,
    chunk,
    collector_of,
    fake,
    now,
    profile_of,
    published,
    subscribed,
    target_of,
    until,
)

SCENARIO = """
[model.filler]
protocol = "opcua"
namespace = "urn:acme:filler"
policies = ["None", "Basic256Sha256:SignAndEncrypt"]
identity = { manufacturer = "ACME", product_uri = "urn:acme:f", product_name = "Filler" }
node."Recipe.Version" = { type = "String", value = "4.2" }
node."Limits.High" = { type = "Float", value = 12.3 }
[plc.filler]
model = "filler"
"""
NODES = {name: f"nsu=urn:acme:filler;s={name}" for name in ("Recipe.Version", "Limits.High")}
FAKES = {f"n{number}": f"nsu=urn:fake;i={number}" for number in range(10)}
SUBSCRIBE: dict[str, Any] = {"subscribe": True, "publishing": "100ms", "timeout": "10s"}  # of a busy machine
WHOLE = Watching(2, 2)
OUR_SERVICES = {"CreateSubscription", "CreateMonitoredItems", "Publish", "DeleteSubscriptions"}


@dataclass(frozen=True)
class Site:
    running: Background
    filler: Plc

    def apply(self, **change: Any) -> None:
        self.running.do(self.filler.apply(change))


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with background() as running:
        floor = Floor(parse(SCENARIO), ports="free")
        running.do(floor.__aenter__())
        yield Site(running, floor.plcs["filler"])
        running.do(floor.close())


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.apply(behave="honest", set={"Recipe.Version": "4.2"})
    shared.apply(drop=True)
    assert asyncio.run(until(lambda: shared.filler.seen.open == 0))


@dataclass
class Bench:
    """A collector of one target, and what it was told."""

    collector: OpcUaCollector
    address: str
    more: dict[str, Any] = field(default_factory=dict)
    told: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collector.on_change = lambda asset: self.told.append(asyncio.get_running_loop().time())

    async def poll(self) -> Poll:
        return await poll(self.collector, target_of(self.address, **self.more))

    async def good(self) -> Snapshot:
        outcome = (await self.poll()).outcome
        assert isinstance(outcome, Snapshot), outcome
        return outcome

    @property
    def watching(self) -> Watching | None:
        return self.collector.watching(target_of(self.address, **self.more))


def bench(address: str, nodes: dict[str, str] = NODES, lifetimes: Lifetimes = Lifetimes(), **limits: Any) -> Bench:  # noqa: B008
    return Bench(collector_of(profile_of(nodes, **SUBSCRIBE | limits), lifetimes=lifetimes), address)


async def passes(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    over = loop.time() + seconds
    assert await until(lambda: loop.time() >= over, seconds + 1)


def test_a_change_is_told_at_once_and_nothing_is_read_for_it(site: Site) -> None:
    async def main() -> None:
        we, seen = bench(site.filler.address), site.filler.seen
        await we.good()
        assert we.watching == WHOLE
        reads = seen.requests["Read"]
        await passes(0.5)
        assert (we.told, we.watching) == ([], WHOLE)  # the first values are no change
        changed_at = asyncio.get_running_loop().time()
        site.apply(set={"Recipe.Version": "4.3"})
        assert await until(lambda: bool(we.told), 1)
        assert we.told[0] - changed_at < 1
        assert seen.requests["Read"] == reads
        assert (await we.good()).by_key['item."Recipe.Version"'].value == "4.3"
        site.apply(status={"Limits.High": "BadSensorFailure"})
        assert await until(lambda: len(we.told) == 2)
        site.apply(status={"Limits.High": "Good"})
        await we.collector.close()
        assert len(asyncio.all_tasks()) == 1
        assert we.watching == Watching(0, 2, "there is no session")

    before = site.filler.seen.requests.copy()
    asyncio.run(main())
    asked = site.filler.seen.requests - before
    assert asked["CloseSession"] == asked["CreateSubscription"] == asked["CreateMonitoredItems"] == 1
    assert asked["DeleteSubscriptions"] == 0  # CloseSession says that it goes, too
    server = site.filler.device._server  # type: ignore[attr-defined]
    assert asyncio.run(until(lambda: not server.iserver.subscription_service.subscriptions))


def test_who_is_not_allowed_or_has_nobody_to_tell_never_subscribes(site: Site) -> None:
    async def main() -> None:
        forbidden = bench(site.filler.address, subscribe=False)
        await forbidden.good()
        assert forbidden.watching is None
        await forbidden.collector.close()
        alone = bench(site.filler.address)
        alone.collector.on_change = None
        await alone.good()
        assert alone.watching is None
        await alone.collector.close()

    before = site.filler.seen.requests.copy()
    asyncio.run(main())
    assert not (site.filler.seen.requests - before).keys() & OUR_SERVICES


def test_a_restart_is_told_and_the_next_poll_subscribes_again(site: Site) -> None:
    async def main() -> None:
        we = bench(site.filler.address)
        await we.good()
        site.apply(restart=True)
        assert await until(lambda: bool(we.told))
        assert we.watching == Watching(0, 2, "the connection was reset")
        await we.good()
        assert we.watching == WHOLE
        site.apply(set={"Recipe.Version": "4.4"})
        assert await until(lambda: len(we.told) == 2)
        await we.collector.close()

    asyncio.run(main())


def test_an_outage_is_polled_again_soon_so_that_it_is_watched_again(site: Site) -> None:
    async def main() -> None:
        we = bench(site.filler.address)
        await we.good()
        site.apply(behave="refuse")
        assert await until(lambda: bool(we.told))
        assert not isinstance((await we.poll()).outcome, Snapshot)
        assert await until(lambda: len(we.told) == 2)
        site.apply(behave="honest")
        await we.good()
        assert we.watching == WHOLE
        await we.collector.close()

    asyncio.run(main())


def test_a_session_and_its_channel_outlast_their_times_while_nobody_polls(site: Site, tmp_path: Path) -> None:
    async def main() -> None:
        we = bench(site.filler.address, lifetimes=Lifetimes(channel=2, session=1))
        we.more = {"access": access(tmp_path)}
        await we.good()
        await passes(2.5)
        assert (we.told, we.watching) == ([], WHOLE)
        site.apply(set={"Recipe.Version": "4.5"})
        assert await until(lambda: bool(we.told), 1)
        result = await we.poll()
        assert isinstance(result.outcome, Snapshot)
        assert result.sent.connections == 0
        await we.collector.close()

    asyncio.run(main())


def access(folder: Path) -> Access:
    certificate, key = self_signed("urn:plant:asbuilt", "asbuilt", "Plant")
    (folder / "us.der").write_bytes(certificate)
    (folder / "us.key").write_bytes(key)
    return Access("Basic256Sha256", "SignAndEncrypt", str(folder / "us.der"), str(folder / "us.key"))


def test_the_rate_of_the_contract_holds_with_every_publish_counted(site: Site) -> None:
    async def main() -> None:
        we = bench(site.filler.address, requests_per_second=50.0)
        await we.good()
        contract, seen = we.collector.contract(target_of(we.address)), site.filler.seen
        for number in range(20):
            site.apply(set={"Recipe.Version": f"5.{number}"})
            await we.good()
        assert seen.requests["Publish"] - publishes >= 3
        assert await until(lambda: seen.total - before == contract.sent.requests)
        await we.collector.close()

    site.filler.seen.times.clear()
    before, publishes = site.filler.seen.total, site.filler.seen.requests["Publish"]
    asyncio.run(main())
    assert site.filler.seen.busiest(0.95) <= 50  # on the wire some arrive a little late


def test_the_profile_that_a_server_turns_out_to_fit_may_subscribe(site: Site) -> None:
    made = {
        "name": "acme-filler",
        "match": {"manufacturer": "ACME"},
        "limits": {"requests_per_second": 10_000.0, **SUBSCRIBE},
        "item": {"recipe": {"node": NODES["Recipe.Version"]}},
    }

    async def main() -> None:
        generic = profile_of({}, "generic-opcua", timeout="10s")  # of a busy machine
        profiles = Profiles([generic, parse_profile(made, "test")])
        we = Bench(OpcUaCollector(profiles, now), site.filler.address, {"profile": "auto"})
        await we.good()
        assert len(we.told) == 1  # poll at once: only now it is known what to watch
        assert we.watching == Watching(0, 1, "it was not polled yet")
        await we.good()
        assert we.watching == Watching(1, 1)
        await we.collector.close()

    asyncio.run(main())


def test_what_is_not_there_is_not_watched_and_said(site: Site) -> None:
    async def main() -> None:
        we = bench(site.filler.address, {**NODES, "gone": "nsu=urn:acme:filler;s=Gone"})
        await we.good()
        assert we.watching == Watching(2, 3, "BadNodeIdUnknown")
        await we.collector.close()
        we = bench(site.filler.address, {"gone": "nsu=urn:acme:filler;s=Gone"})
        await we.good()
        assert we.watching == Watching(0, 1, "the server watches none of the items (BadNodeIdUnknown)")
        await we.collector.close()
        we = bench(site.filler.address, {**NODES, "elsewhere": "nsu=urn:elsewhere;i=1"})
        await we.good()
        assert we.watching == Watching(2, 3, "not all of the namespaces are at the server")
        await we.collector.close()

    asyncio.run(main())


PROFILE = f"""
name = "filler"
limits = {{ requests_per_second = 100, subscribe = true, publishing = "200ms" }}
[item.recipe]
node = "{NODES["Recipe.Version"]}"
severity = "high"
"""


def test_a_daemon_that_polls_seldom_alarms_a_change_at_once(site: Site, tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {"filler": site.filler.address}, every="1h", profile=PROFILE)
    plant.commissioned()  # without a daemon: nothing is subscribed for one poll
    subscriptions = site.filler.seen.requests["CreateSubscription"]
    with plant.daemon():
        assert plant.asbuilt("check").code == 0  # or its first poll may be an hour away
        wait_for(lambda: "asset.watched" in [line["event"] for line in plant.log()], "the subscription")
        assert site.filler.seen.requests["CreateSubscription"] == subscriptions + 1
        changed_at = time.monotonic()
        site.apply(set={"Recipe.Version": "6.6"})
        wait_for(lambda: any(line["event"] == "alert.deviates" for line in plant.log()), "the alarm")
        assert time.monotonic() - changed_at < 2
        site.apply(drop=True)  # is said, polled at once, and watched again
        wait_for(lambda: [line["event"] for line in plant.log()].count("asset.watched") == 2, "a new subscription")
    events = [line["event"] for line in plant.log()]
    assert [event for event in events if event.endswith("watched")] == [
        "asset.watched",
        "asset.unwatched",
        "asset.watched",
    ]


# Servers that refuse, lie and flood.


def status(name: str) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(getattr(StatusCodes, name)))


def test_nodes_are_watched_as_many_at_a_time_as_both_sides_allow() -> None:
    async def main(allowed: int) -> int:
        async with fake() as server:
            we = bench(server.address, FAKES, nodes_per_read=allowed)
            await we.good()
            assert we.watching == Watching(10, 10)
            await we.collector.close()
            return int(server.requests["CreateMonitoredItems"])

    assert asyncio.run(main(100)) == 3  # the server takes 4
    assert asyncio.run(main(2)) == 5


@pytest.mark.parametrize("service", ["CreateSubscription", "CreateMonitoredItems", "Publish"])
def test_a_refusal_is_said_polling_goes_on_and_only_a_new_session_asks_again(service: str) -> None:
    async def main() -> None:
        async with fake(**{service: lambda _: status("BadTooManySubscriptions")}) as server:
            we = bench(server.address, FAKES, timeout="200ms")
            for _ in range(3):
                await we.good()
            assert we.watching == Watching(0, 10, "the server says no (BadTooManySubscriptions)")
            assert server.requests["CreateSubscription"] == server.requests[service] == 1
            assert server.requests["HEL"] == 1
            assert server.requests["DeleteSubscriptions"] == (service == "CreateMonitoredItems")
            await we.collector.close()
            await we.good()
            assert server.requests["CreateSubscription"] == 2
            await we.collector.close()

    asyncio.run(main())


def test_sessions_that_are_shorter_than_the_signs_of_life_are_not_kept_by_them() -> None:
    async def main() -> None:
        async with fake(CreateSubscription=lambda _: subscribed(60_000, 1)) as server:
            we = bench(server.address, FAKES)
            await we.good()
            assert we.watching
            assert "would tell every 60 s that it lives, and its sessions last 60 s" in we.watching.why
            assert server.requests["DeleteSubscriptions"] == 1
            await we.collector.close()

    asyncio.run(main())


ENDED = ua.StatusChangeNotification(Status=status("BadTimeout"))
LOST: list[tuple[str, Any, str]] = [
    ("the end", published(0, more=[ENDED]), "the server ended the subscription (BadTimeout)"),
    ("no such subscription", status("BadNoSubscription"), "the server says no (BadNoSubscription)"),
    ("no such session", status("BadSessionIdInvalid"), "the server says no (BadSessionIdInvalid)"),
]


@pytest.mark.parametrize(("response", "why"), [case[1:] for case in LOST], ids=[case[0] for case in LOST])
def test_a_subscription_that_ended_is_told_and_made_anew_with_the_next_poll(response: Any, why: str) -> None:
    async def main() -> None:
        async with fake() as server:
            we = bench(server.address, FAKES)
            await we.good()
            assert await until(lambda: bool(server.held))
            await server.tell(response)
            assert await until(lambda: bool(we.told))
            assert we.watching == Watching(0, 10, why)
            await we.good()
            assert we.watching == Watching(10, 10)
            assert server.requests["HEL"] == 2
            await we.collector.close()

    asyncio.run(main())


BROKEN: list[tuple[str, Any, str]] = [
    ("another's subscription", published(1, subscription=6), "published for subscription 6, which is not ours"),
    ("more changes than items", published(11), "11 changes at once of 10 items"),
    ("a flood of changes", published(3_000), "3000 changes at once of 10 items"),
    ("a larger flood of changes", published(20_000), "it announced a piece of 360102 bytes"),
    ("events", published(0, more=[ua.EventNotificationList()]), "which nobody asked for"),
    ("another answer", ua.ReadResponse(), "it answered with i=634"),
    ("garbage", chunk(b"MSG", b"\xff" * 40, 3, 3), "cannot be read"),
    ("nobody's answer", chunk(b"MSG", b"\x00" * 40, 1, 77), ""),
]


@pytest.mark.parametrize(("response", "why"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_server_that_publishes_nonsense_is_cut_off_named_and_polled_as_before(response: Any, why: str) -> None:
    async def main() -> None:
        async with fake() as server:
            we = bench(server.address, FAKES)
            await we.good()
            assert await until(lambda: bool(server.held))
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await server.tell(response)
            assert await until(lambda: server.open == 0)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak - before < 32 << 20
            assert await until(lambda: bool(we.told))
            assert we.watching
            assert we.watching.items == 0
            assert why in we.watching.why
            await we.good()
            assert server.requests["CreateSubscription"] == 1  # it is not asked again for a while
            await we.collector.close()

    asyncio.run(main())


@pytest.mark.parametrize("behave", ["publish_flood", "publish_garbage"])
def test_a_simulated_server_that_publishes_nonsense_costs_one_poll(site: Site, behave: str) -> None:
    async def main() -> None:
        we = bench(site.filler.address)
        site.apply(behave=behave)
        result = await we.poll()
        if isinstance(result.outcome, Snapshot):  # it was read before that came
            assert await until(lambda: bool(we.told))
        else:
            assert isinstance(result.outcome, Malformed), result.outcome
        assert we.watching
        assert we.watching.items == 0
        assert we.watching.why.startswith("it")
        for _ in range(2):
            await we.good()
        await we.collector.close()

    before = site.filler.seen.requests.copy()
    asyncio.run(main())
    asked = site.filler.seen.requests - before
    assert asked["CreateSubscription"] == 1
    assert asked["HEL"] == 2


def test_a_server_that_publishes_nothing_is_found_out_and_polled_as_before() -> None:
    async def main() -> None:
        async with fake(CreateSubscription=lambda _: subscribed(100, 1), Publish=lambda _: None) as server:
            we = bench(server.address, FAKES, timeout="200ms")
            await we.good()
            assert await until(lambda: bool(we.told))
            assert we.watching == Watching(0, 10, "nothing was published for 0.5 s")
            await we.good()
            assert server.requests["CreateSubscription"] == 1
            await we.collector.close()

    asyncio.run(main())


def test_a_server_that_is_silent_when_it_is_to_subscribe_costs_one_poll() -> None:
    async def main() -> None:
        async with fake(CreateSubscription=lambda _: None) as server:
            we = bench(server.address, FAKES, timeout="200ms")
            assert not isinstance((await we.poll()).outcome, Snapshot)
            await we.good()
            assert we.watching == Watching(0, 10, "no answer within 0.2 s")
            assert server.requests["CreateSubscription"] == 1
            await we.collector.close()

    asyncio.run(main())


def test_a_server_that_tells_without_end_is_asked_and_heard_at_a_bounded_rate() -> None:
    async def main(server: Fake) -> None:
        we = bench(server.address, FAKES)
        await we.good()
        before = server.requests["Publish"]
        await passes(1.5)
        assert server.requests["Publish"] - before <= 16
        assert 1 <= len(we.told) <= 2
        assert server.requests["HEL"] == 1
        await we.collector.close()

    async def all_the_time() -> None:
        async with fake(Publish=lambda _: published(10)) as server:
            await main(server)

    asyncio.run(all_the_time())


def test_a_bell_rings_at_once_then_ever_more_seldom_and_loses_no_pull() -> None:
    async def main() -> None:
        loop, rang = asyncio.get_running_loop(), list[float]()
        bell = Bell(lambda: rang.append(loop.time()), first=0.05, longest=0.2, jitter=lambda: 0.0)
        started = loop.time()
        while len(rang) < 5:
            bell.pull()
            await asyncio.sleep(0)
        pauses = [after - before for before, after in pairwise(rang)]
        assert rang[0] - started < 0.02
        assert all(pause >= least - 0.005 for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2, 0.2), strict=False))
        bell.pull()
        count = len(rang)
        assert await until(lambda: len(rang) == count + 1, 1)  # the last pull is rung too
        await passes(0.45)
        bell.pull()
        assert len(rang) == count + 2  # after a rest at once again
        bell.pull()
        bell.silence()
        await passes(0.1)
        assert len(rang) == count + 2

    asyncio.run(main())
