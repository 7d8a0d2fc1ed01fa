"""Modbus on one core: 125 holding registers a read over 200 connections, our collector beside pymodbus's client."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from benchmarks import clients
from benchmarks.clients import Ask, Client
from benchmarks.responder import responders
from benchmarks.results import Result, Row, one_core
from benchmarks.sampler import sampled, shares

CONNECTIONS = 200
ROUNDS, WARM_UP, SECONDS = 3, 0.3, 1.2

CONTENDERS: dict[str, Client] = {
    "pymodbus's client": clients.pymodbus,
    "bare `BufferedProtocol`, nothing checked": clients.bare,
    "`Link.ask`, every answer checked": clients.link,
    "`Link.ask` and the 125 numbers": clients.link_values,
    "`ModbusCollector.collect`, 125 items, answers unchanged": clients.collect_same,
    "`ModbusCollector.collect`, 125 items, every answer new": clients.collect_changing,
}
AIMS: dict[Client, float] = {clients.link_values: 3.0, clients.bare: 5.0}  # times pymodbus


async def requests_per_cpu_second(client: Client, ports: Sequence[int], seconds: float = SECONDS) -> float:
    """How many requests a second of this process's CPU time carries, user and system together."""
    async with client(ports) as asks:
        load = Load()
        keeping = asyncio.gather(*map(load.keep_asking, asks))
        await asyncio.sleep(WARM_UP)
        before, cpu = load.asked, time.process_time()
        await asyncio.sleep(seconds)
        rate = (load.asked - before) / (time.process_time() - cpu)
        load.stopping = True  # not by cancelling: pymodbus's client goes on where it is cancelled
        await keeping
        return rate


class Load:
    """Clients that ask again as soon as they are answered, until told to stop."""

    def __init__(self) -> None:
        self.asked = 0
        self.stopping = False

    async def keep_asking(self, ask: Ask) -> None:
        while not self.stopping:
            await ask()
            self.asked += 1


def run() -> Result:
    """Each contender in turn, three times over; the median of each."""
    with one_core() as pinned, responders(CONNECTIONS) as devices:
        rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name, client in CONTENDERS.items():
                rates[name].append(asyncio.run(requests_per_cpu_second(client, devices.ports)))
        with sampled() as link_samples:
            asyncio.run(requests_per_cpu_second(clients.link_values, devices.ports))
        with sampled() as collect_samples:
            asyncio.run(requests_per_cpu_second(clients.collect_same, devices.ports))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    slowest, bare, link, numbers, same, new = medians.values()
    return Result(
        "Modbus: requests per CPU second",
        [_row(name, rate, slowest) for name, rate in medians.items()],
        [
            f"{CONNECTIONS} connections to {CONNECTIONS} ports on loopback, {clients.REGISTERS} holding registers a "
            "read, the servers in another process. User and system time of the measuring process, "
            f"{pinned}; the median of {ROUNDS} rounds. The contract's rate is lifted.",
            f"Where the rest goes: of the {1e6 / numbers:.1f} µs of a read over our link {1e6 / bare:.1f} are the "
            f"socket's and asyncio's, {1e6 / link - 1e6 / bare:.1f} the deadline and the checks, "
            f"{1e6 / numbers - 1e6 / link:.1f} the byte count and the numbers. A poll by the collector adds "
            f"{1e6 / same - 1e6 / link:.1f} for the contract and the session, and where the answer is new "
            f"{1e6 / new - 1e6 / same:.0f} for {clients.REGISTERS} items.",
            f"`Link.ask` and the numbers, sampled: {shares(link_samples)}.",
            f"`collect`, unchanged, sampled: {shares(collect_samples)}.",
        ],
    )


def _row(name: str, rate: float, slowest: float) -> Row:
    aim = AIMS.get(CONTENDERS[name])
    measured = f"{rate:,.0f}/s, {1e6 / rate:.1f} µs each, {rate / slowest:.2f} × pymodbus"
    return Row(name, measured, f"≥ {aim:g} ×" if aim else "", rate >= aim * slowest if aim else None)
