"""The poll contract as people see it: what was allowed at each device, what was really sent, and if it was kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from baselines.snapshot import utc_text
from collectors.address import device_text
from collectors.contract import Limits, in_a_second
from collectors.metering import Record, quantile
from monitor import store
from monitor.config import ITSELF, Plant, Polled
from monitor.errors import StoreError
from monitor.polling import LOOK_EVERY, Poller, Tally, keep_tally, utc_now
from monitor.store import Database, Transaction

KEEP_EVERY = 600.0  # seconds between two times that the daemon puts its counts into the store
MANY = 1000  # devices, above which
KEEP_MANY_EVERY = 3600.0  # it does so less often: 10,000 devices would write more than a gigabyte a day
AT_ONCE = 500  # devices in one transaction
PATIENCE = 5.0  # seconds that a command waits for the daemon's counts
KEPT, EXCEEDED, ATTEMPTED, NEVER_POLLED = "kept", "exceeded", "attempted", "never-polled"

COUNTS = "counts"  # what is asked of the daemon

log = structlog.get_logger()

Document = dict[str, Any]
Write = Callable[[Callable[[Transaction], None]], Awaitable[None]]


class Ledger:
    """Puts what the daemon's polls sent into the store: at times, when it ends, and when somebody asks."""

    def __init__(self, poller: Poller, write: Write, failed: Callable[[StoreError], None]) -> None:
        self._poller = poller
        self._write = write
        self._failed = failed

    async def keep_at_times(self) -> None:
        """For as long as the daemon runs."""
        while True:
            await asyncio.sleep(KEEP_EVERY if self._poller.devices <= MANY else KEEP_MANY_EVERY)
            await self.keep()

    async def keep(self) -> None:
        """Put what was counted into the store; what fails is counted on, and logged."""
        tally = self._poller.tally()
        devices = [*tally.devices.items()]
        for start in range(0, len(devices), AT_ONCE):
            part = replace(tally, devices=dict(devices[start : start + AT_ONCE]))
            try:
                await self._write(partial(keep_tally, tally=part))
                continue
            except StoreError as error:
                self._failed(error)
            except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
                log.exception("bug", chore="contract")
            return self._poller.give_back(Tally(tally.since, tally.until, dict(devices[start:])))
        return None


def ask_for_counts(database: Database, by: str) -> bool:
    """Have the daemon put its counts into the store; False if one runs and does not."""
    if database.lead():
        database.follow()
        return True  # nobody polls: the store has all that there is
    with database.write() as tx:
        number = store.request_poll(tx, ITSELF, utc_now(), by, COUNTS)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with database.read() as tx:
                if store.poll_answers(tx, [number]):
                    return True
            time.sleep(LOOK_EVERY)
        return False
    finally:
        with database.write() as tx:
            store.withdraw_polls(tx, [number])


@dataclass(frozen=True, slots=True)
class Line:
    """One clause of the contract at one device."""

    clause: str
    allowed: str
    sent: str
    verdict: str


def contracts(tx: Transaction, plant: Plant, names: Sequence[str]) -> list[Document]:
    """One document for each device that one of the assets is behind, in the order of plant.toml."""
    behind: dict[str, list[Polled]] = {}
    for name in names:
        if polled := plant.assets.get(name):  # a segment is sent nothing
            behind.setdefault(device_text(polled.target.address.device), [])
    for polled in plant.assets.values():
        device = device_text(polled.target.address.device)
        if device in behind:
            behind[device].append(polled)
    profiles = _profiles(tx, behind)
    known: dict[str, Record] = {}
    devices = [*behind]
    for start in range(0, len(devices), AT_ONCE):
        known |= store.records(tx, devices[start : start + AT_ONCE])
    return [
        _document(device, assets, [_limits(plant, each, profiles) for each in assets], known.get(device))
        for device, assets in behind.items()
    ]


def _profiles(tx: Transaction, behind: Mapping[str, Sequence[Polled]]) -> Mapping[str, str | None]:
    """By asset the digest of the profile that it was read with last, if some of them choose it themselves."""
    choosing = [each.asset.name for assets in behind.values() for each in assets if each.target.profile == "auto"]
    return store.last_profiles(tx, choosing) if choosing else {}


def _limits(plant: Plant, polled: Polled, profiles: Mapping[str, str | None]) -> Limits:
    """The limits of the profile that an asset is read with; of one that chooses itself, that it was read with last."""
    from collectors.profile import GENERIC

    if polled.target.profile != "auto":
        return plant.profiles[polled.target.profile].limits
    found = plant.profiles.by_digest(profiles.get(polled.asset.name) or "")
    return (found or plant.profiles[GENERIC[polled.target.address.protocol]]).limits


def _document(device: str, assets: Sequence[Polled], limits: Sequence[Limits], record: Record | None) -> Document:
    slowest = min(limits, key=lambda each: each.requests_per_second)
    allowed = {
        "connections": slowest.connections,
        "requests_per_second": slowest.requests_per_second,
        "in_a_second": in_a_second(slowest),
        "services": services(assets[0].target.address.protocol, limits),
    }
    document: Document = {
        "device": device,
        "assets": [each.asset.name for each in assets],
        "verdict": NEVER_POLLED,
        "since": None,
        "until": None,
        "allowed": allowed,
        "sent": None,
        "response": None,
        "failures": None,
        "forbidden": {},
        "exceeded": {},
    }
    if record is None:
        return document
    counts = record.counts
    strange = {name: number for name, number in counts.requests.items() if name not in all_services(assets)}
    exceeded = {**counts.broken, **({"services": sum(strange.values())} if strange else {})}
    return document | {
        "verdict": EXCEEDED if exceeded else ATTEMPTED if counts.forbidden else KEPT,
        "since": utc_text(record.since),
        "until": utc_text(record.until),
        "sent": {
            "connections": counts.connections,
            "opened": counts.opened,
            "most_open": counts.most_open,
            "requests": sum(counts.requests.values()),
            "services": dict(sorted(counts.requests.items())),
            "bytes_sent": counts.bytes_sent,
            "bytes_received": counts.bytes_received,
            "busiest_second": counts.busiest,
            "longest_wait": round(counts.longest_wait, 3),
        },
        "response": {"first": _times(counts.first), "recent": _times(record.recent)},
        "failures": {
            "connections": counts.connections - counts.opened,
            "time_outs": counts.time_outs,
            "refusals": counts.refusals,
            "malformed": counts.malformed,
        },
        "forbidden": counts.forbidden,
        "exceeded": exceeded,
    }


def _times(times: Mapping[int, int]) -> Document:
    """Response times in seconds."""
    count = sum(times.values())
    shares = {name: quantile(times, share) for name, share in (("median", 0.5), ("p99", 0.99))}
    return {"count": count, **{name: None if at is None else float(f"{at:.3g}") for name, at in shares.items()}}


def services(protocol: str, limits: Iterable[Limits]) -> list[str]:
    """What the guard lets through to a device, as it is counted; FC 17 and subscriptions where a profile says so."""
    if protocol == "modbus":
        from collectors.modbus.link import NAMES

        server_id = any(each.report_server_id for each in limits)
        return [name for function, name in sorted(NAMES.items()) if server_id or function != 17]
    from collectors.opcua.services import SERVICE_NAMES, WATCHING

    watching = any(each.subscribe for each in limits)
    return ["Hello", *(name for service, name in SERVICE_NAMES.items() if watching or service not in WATCHING)]


def all_services(assets: Sequence[Polled]) -> list[str]:
    """Also what a profile may have allowed earlier."""
    return services(assets[0].target.address.protocol, [Limits(report_server_id=True, subscribe=True)])


def lines(document: Document) -> list[Line]:
    """A document for people, clause by clause; the device was polled."""
    allowed, sent, response = document["allowed"], document["sent"], document["response"]
    exceeded, failures, forbidden = document["exceeded"], document["failures"], document["forbidden"]

    def verdict(limit: str) -> str:
        return EXCEEDED if limit in exceeded else KEPT

    served = ", ".join(f"{name}: {count:,}" for name, count in sent["services"].items())
    failed = ", ".join(f"{number} {what.replace('_', '-')}" for what, number in failures.items() if number)
    tried = f"{sent['most_open']} ({sent['connections']:,} tried, {sent['opened']:,} opened)"
    refused = "; ".join(f"{number} × {why}" for why, number in forbidden.items())
    return [
        Line("connections at once", str(allowed["connections"]), tried, verdict("connections")),
        Line(
            "requests in any second",
            str(allowed["in_a_second"]),
            f"{sent['busiest_second']} ({sent['requests']:,} in all)",
            verdict("requests_per_second"),
        ),
        Line("services", ", ".join(allowed["services"]), served or "none", verdict("services")),
        Line("refused by our guard", "0", refused or "0", ATTEMPTED if forbidden else KEPT),
        Line("bytes", "", f"{sent['bytes_sent']:,} sent, {sent['bytes_received']:,} received", ""),
        Line("response time, first", "", response_text(response["first"]), ""),
        Line("response time, recent", "", response_text(response["recent"]), ""),
        Line("longest wait for a turn", "", f"{sent['longest_wait']:.3g} s", ""),
        Line("failures", "", failed or "none", ""),
    ]


def response_text(times: Document) -> str:
    """The response times of so many answers."""
    if not times["count"]:
        return "no answer"
    return f"median {milliseconds(times['median'])}, p99 {milliseconds(times['p99'])} ({times['count']:,} answers)"


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.3g} ms"


def worst(documents: Iterable[Document]) -> str:
    """The verdict on all of them."""
    found = {document["verdict"] for document in documents}
    return next((each for each in (EXCEEDED, ATTEMPTED, NEVER_POLLED) if each in found), KEPT)
