"""The self-test: a simulated PLC drifts on purpose, and the whole way from that to the message is timed.

The canary is a process of its own on loopback, read by the same collectors as every PLC, and its alarm goes through the
same store. What it is compared with is its own first reading, in memory: nobody has to approve a canary.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar

from baselines.alert import RTN_UNACK, UNACK, Move
from baselines.drift import Deviation, Kind, compare
from baselines.rules import Finding, assess
from baselines.snapshot import Category, Item, Severity, Snapshot, utc_text
from collectors.address import parse_address
from collectors.collector import Target
from collectors.profile import Profiles, load_profile
from monitor import store
from monitor.actions import acknowledge_alerts
from monitor.config import ITSELF
from monitor.errors import StoreError
from monitor.pipeline import occur
from monitor.polling import Poller
from monitor.show import change_text
from monitor.store import SelfTest, Transaction

WITHIN = 60.0  # seconds that all of it may take
FAREWELL = 5.0
KEY = "selftest.canary"
CHANGED = "item.limit"
VALUE = 101  # what is 100 before
SCENARIO = "canary"
UNTESTED = "the last leg was not tested: no route has self_test = true"

T = TypeVar("T")
SELF_TEST = "self-test"  # what is asked of the daemon

Told = Callable[[int], Awaitable[float | None]]  # when the message about an alarm was sent: seconds from now


class Write(Protocol):
    """How the store is written to: `Writer.write`."""

    async def __call__(self, job: Callable[[Transaction], T]) -> T: ...


class Broken(Exception):
    """The way is broken, and where."""


@dataclass(slots=True)
class _Way:
    """The stations of the way: seconds from the change."""

    began: float = 0.0
    legs: dict[str, float] = field(default_factory=dict)

    def passed(self, station: str) -> None:
        self.legs[station] = round(time.monotonic() - self.began, 3)


class _Canary:
    """The simulated PLC: what it is told, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def hear(self) -> dict[str, Any]:
        line = await self._out.readline()
        if not line:
            raise Broken("the simulated PLC has ended")
        said: dict[str, Any] = json.loads(line)
        return said

    async def drift(self) -> None:
        """Change a value, and come back when it has changed."""
        name = CHANGED.removeprefix("item.")
        self._in.write(json.dumps({"plc": SCENARIO, "set": {name: VALUE}}).encode() + b"\n")
        await self._in.drain()
        said = await self.hear()
        if "error" in said:
            raise Broken(f"the simulated PLC does not change: {said['error']}")


@asynccontextmanager
async def _canary() -> AsyncIterator[_Canary]:
    """It ends when its standard input does, even if we are killed."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-P", "-m", "simulators", SCENARIO, "--free-ports", "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, start_new_session=True)
    try:
        yield _Canary(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(FAREWELL):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def self_test(
    write: Write,
    clock: Callable[[], datetime],
    tell: Callable[[list[Move]], None] = lambda moves: None,
    told: Told | None = None,
    within: float = WITHIN,
) -> SelfTest:
    """Test the whole way once, and keep what came of it. Never raises for what is broken: that is the result."""
    at, way = clock(), _Way()
    try:
        async with asyncio.timeout(within):
            text, ok = await _walk(way, write, clock, tell, told), True
    except TimeoutError:
        station = next(reversed(way.legs), "start")
        text, ok = f"within {within:g} s it came no further than {station}", False
    except (Broken, StoreError, OSError) as error:
        text, ok = str(error), False
    test = SelfTest(at, ok, way.legs, text)
    with contextlib.suppress(StoreError):  # said by the watch itself
        await write(lambda tx: store.add_self_test(tx, test))
    return test


async def _walk(
    way: _Way,
    write: Write,
    clock: Callable[[], datetime],
    tell: Callable[[list[Move]], None],
    told: Told | None,
) -> str:
    """The way, station by station; what is to be said of it."""
    profile = load_profile(Path(str(files("monitor") / "canary.toml")))
    poller = Poller(Profiles([profile]), clock)
    async with _canary() as canary:
        address = (await canary.hear())["plcs"][SCENARIO]["address"]
        target = Target(SCENARIO, parse_address(address), profile.name)
        try:
            before = await _read(poller, target)
            await canary.drift()
            way.began = time.monotonic()
            after = await _read(poller, target)
            way.passed("read")
        finally:
            await poller.close()
    finding = _finding(before, after)
    way.passed("compared")
    moves = await write(lambda tx: occur(tx, ITSELF, finding, clock()))
    way.passed("committed")
    tell(moves)
    try:
        return await _told(way, moves[0].alert.id, told)
    finally:
        await write(lambda tx: _put_away(tx, moves[0].alert.id, clock()))


async def _told(way: _Way, alert: int, told: Told | None) -> str:
    if told is None or (seconds := await told(alert)) is None:
        return UNTESTED
    way.legs["sent"] = round(way.legs["committed"] + seconds, 3)
    return "from the change to the message"


async def _read(poller: Poller, target: Target) -> Snapshot:
    outcome = (await poller.poll_target(target)).outcome
    if not isinstance(outcome, Snapshot):
        raise Broken(f"the simulated PLC cannot be read: {outcome.text}")
    return outcome


def _finding(before: Snapshot, after: Snapshot) -> Finding:
    """The alarm of what was found, if it is what was changed and no more."""
    found = assess(compare(before, after))
    if [each.deviation.key for each in found] != [CHANGED]:
        keys = ", ".join(each.deviation.key for each in found) or "nothing"
        raise Broken(f"{CHANGED} of the simulated PLC was changed, and {keys} was found")
    deviation = found[0].deviation
    assert deviation.approved is not None
    assert deviation.observed is not None
    text = change_text(CHANGED, deviation.kind, deviation.approved.shown, deviation.observed.shown)
    item = Item(KEY, f"self-test: of a simulated PLC {text}", Category.WATCH, Severity.LOW)
    return Finding(Deviation(KEY, Kind.SELFTEST, None, item), Severity.LOW)


def _put_away(tx: Transaction, number: int, now: datetime) -> None:
    """Acknowledge our own alarm, on record: nobody else has to. Unless somebody was quicker."""
    if [alert for alert in store.alerts(tx, ids=[number]) if alert.state in (UNACK, RTN_UNACK)]:
        acknowledge_alerts(tx, [number], store.ITSELF, "self-test", now)


def self_test_document(test: SelfTest) -> dict[str, Any]:
    """The JSON document of a self-test."""
    return {"at": utc_text(test.at), "ok": test.ok, "legs": dict(test.legs), "text": test.text}
