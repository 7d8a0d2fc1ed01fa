"""OPC UA: 1,000 configuration nodes, our collector's batched read beside asyncua's `read_value()`, node by node."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from asyncua import ua
from asyncua.client.client import Client
from asyncua.server.server import Server

from baselines.snapshot import Value
from benchmarks.results import Result, Row
from collectors.address import parse_address
from collectors.collector import Access, Target
from collectors.contract import Contract
from collectors.opcua import Lifetimes, OpcUaCollector
from collectors.opcua.discovery import discover
from collectors.opcua.items import asked_of_profile
from collectors.opcua.reads import Reads, decode
from collectors.opcua.session import log_in
from collectors.profile import Profile, Profiles, parse_profile

NODES = 1000
SECONDS = 3.0
WANTED = 30.0  # times asyncua, one node at a time
NAMESPACE = "urn:benchmark"


@dataclass(frozen=True, slots=True)
class Rate:
    """Values a second: of this process's CPU time, and by the clock."""

    of_time: float
    of_cpu: float


Round = Callable[[], Awaitable[object]]


def run() -> Result:
    """All contenders against one server in another process, one after the other."""
    with serving() as address:
        return asyncio.run(_measure(address))


async def _measure(address: str) -> Result:
    async with Client(address, watchdog_intervall=3600) as client:
        index = await client.get_namespace_index(NAMESPACE)
        nodes = [client.get_node(f"ns={index};s=v{number}") for number in range(NODES)]

        async def one_by_one() -> None:
            for node in nodes:
                await node.read_value()

        slow = await _rate(one_by_one)
        batched = await _rate(lambda: client.read_values(nodes))
    read = await _reading(address)
    fresh = await _collecting(address, moving=True)
    same = await _collecting(address, moving=False)
    rows = [
        _row("asyncua, `read_value()` per node", slow, slow),
        _row("asyncua, `read_values()` of all", batched, slow),
        _row("`Reads.read` and `decode`: the collector's batched read", read, slow, WANTED),
        _row("`OpcUaCollector.collect`, a value new in every poll", fresh, slow),
        _row("`OpcUaCollector.collect`, unchanged", same, slow, WANTED),
    ]
    return Result(
        f"OPC UA: values a second, {NODES} nodes",
        rows,
        [
            "One asyncua server on loopback in another process, whose own 15 to 30 µs a value bound what is by the "
            "clock. The contract's rate is lifted. "
            "CPU time is that of the client's process, user and system; × is beside the first row.",
            f"A poll of the collector is GetEndpoints and two Reads: {NODES} nodes, BuildInfo, state and namespaces.",
        ],
    )


async def _reading(address: str) -> Rate:
    """What `Link` does with the nodes of a profile, without what it makes of them."""
    profile = _profile(moving=False)
    target = Target("benchmark", parse_address(address), profile.name, Access())
    session = await log_in(target, Contract(profile.limits), now, Lifetimes())
    reads = Reads(session.channel, NODES)
    findings = await discover(reads, nameplates=False)
    nodes = [asked.node for asked in asked_of_profile(profile.items, findings.namespaces)]

    async def read() -> None:
        readings = decode(session.channel, await reads.read(nodes), findings.namespaces)
        assert len(readings) == NODES

    try:
        return await _rate(read)
    finally:
        await session.close()


async def _collecting(address: str, moving: bool) -> Rate:
    profile = _profile(moving)
    collector = OpcUaCollector(Profiles([profile]), now)
    target = Target("benchmark", parse_address(address), profile.name, Access())
    ticks: set[Value] = set()

    async def poll() -> None:
        snapshot = await collector.collect(target)
        if moving:
            ticks.add(snapshot.by_key["item.ticks"].value)

    try:
        return await _rate(poll)
    finally:
        await collector.close()
        assert len(ticks) > 2 or not moving, "the server stood still"


def _profile(moving: bool) -> Profile:
    names = [f"v{number}" for number in range(NODES)] + (["ticks"] if moving else [])
    items = {name: {"node": f"nsu={NAMESPACE};s={name}"} for name in names}
    limits = {"requests_per_second": 1_000_000.0, "nodes_per_read": NODES, "timeout": "10s"}
    return parse_profile({"name": "moving" if moving else "still", "item": items, "limits": limits}, "benchmark")


async def _rate(round_of: Round) -> Rate:
    await round_of()
    rounds, started, cpu = 0, time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - started) < SECONDS:
        await round_of()
        rounds += 1
    return Rate(rounds * NODES / seconds, rounds * NODES / (time.process_time() - cpu))


def _row(what: str, rate: Rate, slowest: Rate, wanted: float | None = None) -> Row:
    ratio = rate.of_cpu / slowest.of_cpu
    measured = (
        f"{rate.of_cpu:,.0f} a CPU second ({ratio:.1f} ×), {rate.of_time:,.0f}/s by the clock "
        f"({rate.of_time / slowest.of_time:.1f} ×)"
    )
    return Row(what, measured, f"≥ {wanted:g} ×" if wanted else "", ratio >= wanted if wanted else None)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def serving() -> Iterator[str]:
    """The server's address, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.opcua", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def serve() -> None:
    server = Server()
    server.set_endpoint("opc.tcp://127.0.0.1:0/benchmark")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.init()
    index = await server.register_namespace(NAMESPACE)
    for number in range(NODES):
        await server.nodes.objects.add_variable(f"ns={index};s=v{number}", f"{index}:v{number}", number + 0.5)
    ticks = await server.nodes.objects.add_variable(f"ns={index};s=ticks", f"{index}:ticks", 0)
    await server.start()
    assert server.bserver is not None
    print(f"opc.tcp://127.0.0.1:{server.bserver.port}/benchmark", flush=True)
    count = 0
    while True:
        await asyncio.sleep(0.005)
        count += 1
        await ticks.write_value(count)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(serve())
    else:
        print(run().markdown("python -m benchmarks opcua"))
