"""What a collector is: it reads one target and gives a snapshot, or an error named by whose fault it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from baselines.snapshot import Snapshot
from collectors.address import Address
from collectors.contract import Contract, Sent
from collectors.profile import Profiles

Clock = Callable[[], datetime]

LONGEST_POLL = 120.0  # seconds; each request has its own deadline (limits.timeout), this is the last resort


class CollectError(Exception):
    """A poll that gave nothing. It is data (an outage), and never stops a neighbour."""

    kind: ClassVar[str]

    def __init__(self, asset: str, text: str) -> None:
        text = text.replace("\0", "\\0")  # which no database takes
        super().__init__(f"{asset}: {text}")
        self.asset = asset
        self.text = text


class Unreachable(CollectError):
    """The way to the device, or the device's silence."""

    kind = "unreachable"


class Refused(CollectError):
    """The device understood, and says no."""

    kind = "refused"


class Malformed(CollectError):
    """The device broke its own protocol; nothing that it said is believed."""

    kind = "malformed"


def is_credential(path: Path) -> bool:
    """Whether systemd keeps this file for a service (LoadCredential=): its group is a mask there, and no group."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return path.is_relative_to("/run/credentials") or (bool(folder) and path.is_relative_to(str(folder)))


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept, never the secret itself: an environment variable or a file.

    A file that others may read is refused, and so is an empty secret (ValueError, when it is asked for).
    """

    env: str = ""
    file: str = ""

    def read(self) -> str:
        """The secret; of a file, without the line break at its end."""
        if not (self.env or self.file):
            raise ValueError("no password is named: set password_env or password_file")
        secret = os.environ.get(self.env, "") if self.env else self._from_file()
        if not secret:
            where = f"the environment variable {self.env}" if self.env else self.file
            raise ValueError(f"{where} holds no password")
        return secret

    def _from_file(self) -> str:
        path = Path(self.file)
        try:
            if os.name == "posix" and path.stat().st_mode & (0o007 if is_credential(path) else 0o077):
                raise ValueError(f"{path} may be read by others: chmod 600 {path}")
            return path.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class Access:
    """How to log in at an OPC UA server. `policy` is None, or Basic256Sha256 with `mode` Sign or SignAndEncrypt.

    `certificate` and `private_key` are our own, `server_certificate` the one that the server must show (all paths,
    PEM or DER).
    """

    policy: str = "None"
    mode: str = "None"
    certificate: str = ""
    private_key: str = ""
    server_certificate: str = ""
    user: str = ""
    password: Secret = field(default_factory=Secret)


@dataclass(frozen=True, slots=True)
class Target:
    """What to poll. `profile` is a name in the collector's profiles, or "auto": by the identity it reports."""

    asset: str
    address: Address
    profile: str = "auto"
    access: Access = field(default_factory=Access)


class Collector(Protocol):
    """One protocol. It keeps one connection per device between polls, and reports through the device's contract."""

    def __init__(self, profiles: Profiles, clock: Clock) -> None: ...

    def contract(self, target: Target) -> Contract:
        """The contract of the target's device: the same object for all units behind one host and port."""
        ...

    async def collect(self, target: Target, tripwire: bool = False) -> Snapshot:
        """What the target is now, or of it the tripwire alone (`Profile.tripwire`); raises CollectError."""
        ...

    def follow(self, profiles: Profiles) -> None:
        """Go on with other profiles. The contracts are as loose as can be until `contract` is asked for each target."""
        ...

    async def close(self, target: Target | None = None) -> None:
        """Let go of the target's connection, or of all."""
        ...


@dataclass(frozen=True, slots=True)
class Watching:
    """How far a device tells by itself that an item changed: `items` are watched, of `of`; `why` not all of them."""

    items: int
    of: int
    why: str = ""


@runtime_checkable
class Watcher(Collector, Protocol):
    """A collector of a protocol in which devices can tell by themselves that something changed.

    `on_change` is called with the asset, whenever it should be polled at once: an item changed, or nobody would tell of
    that any more. While it is None, no device is asked to tell.
    """

    on_change: Callable[[str], None] | None

    def watching(self, target: Target) -> Watching | None:
        """How far the target is watched; None if its profile does not want it."""
        ...


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll: what came of it, what was sent for it, and how long it took (seconds)."""

    target: Target
    outcome: Snapshot | CollectError
    sent: Sent
    seconds: float


async def poll(
    collector: Collector,
    target: Target,
    places: asyncio.Semaphore | None = None,
    limit: float = LONGEST_POLL,
    tripwire: bool = False,
) -> Poll:
    """Poll once, alone on the device: the units behind one host and port take turns.

    `places` bounds the polls under way; those that wait for their turn at a device hold none. A poll that waited while
    its device turned out to be out of reach shares that finding, and sends nothing.
    """
    contract, loop = collector.contract(target), asyncio.get_running_loop()
    asked_at = loop.time()
    async with contract.alone, places or contextlib.nullcontext():
        before, started = contract.sent, loop.time()
        if why := contract.out_of_reach_since(asked_at):
            return Poll(target, Unreachable(target.asset, why), Sent(), 0.0)
        outcome = await _outcome(collector, target, limit, tripwire)
        if isinstance(outcome, Malformed):
            contract.meter.was_malformed()
        return Poll(target, outcome, contract.sent - before, loop.time() - started)


async def _outcome(collector: Collector, target: Target, limit: float, tripwire: bool) -> Snapshot | CollectError:
    try:
        async with asyncio.timeout(limit):
            return await collector.collect(target, tripwire)
    except CollectError as failure:
        return failure
    except TimeoutError:
        return Unreachable(target.asset, f"no answer within {limit:g} s")
