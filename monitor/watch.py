"""What the daemon knows of the plant while it runs, and the one way in which outcomes become standing and alarms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from baselines.alert import Move
from baselines.snapshot import Snapshot
from collectors.collector import CollectError, Poll, Unreachable
from collectors.contract import Sent
from collectors.profile import Profile
from monitor import store
from monitor.accounts import account
from monitor.config import Plant
from monitor.errors import Gone, StoreError
from monitor.evidence import note_assets, note_configuration, returned
from monitor.logs import Trouble
from monitor.pipeline import Checked, Standing, goes_on, take, tripped, unseen
from monitor.show import checked_document, move_text
from monitor.store import Actor, Database, Run, Transaction
from monitor.vitals import Vitals
from monitor.witnesses import Hosts
from monitor.writer import Writer

DAY = timedelta(days=1)

log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """The plant as the daemon knows it now. `tell` is given the moves of alarms after their commit, `leave` the asset
    that is to be polled no more."""

    plant: Plant
    database: Database
    clock: Callable[[], datetime]
    tell: Callable[[list[Move]], None]
    leave: Callable[[Gone], Awaitable[None]]
    vitals: Vitals = field(default_factory=Vitals)
    begin: Callable[[Transaction], None] = lambda tx: (
        None
    )  # before anything moves, in the transaction that notes the plant
    trouble: Trouble = field(default_factory=lambda: Trouble("store"))
    writer: Writer = field(init=False)
    account: Actor = field(init=False)
    hosts: Hosts = field(init=False)
    standing: dict[str, Standing] = field(default_factory=dict)
    lagging: dict[str, Run] = field(default_factory=dict)  # runs whose end on disk is behind
    read_at: dict[str, datetime] = field(default_factory=dict)  # when the last poll that came to this standing began
    profiles: dict[str, Profile] = field(default_factory=dict)  # with which each asset was read last
    asked: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # poll requests, by asset
    numbers: dict[str, int] = field(default_factory=dict)  # of assets, as the store knew them when we began

    def __post_init__(self) -> None:
        self.writer = Writer(self.database, self.vitals, self.trouble)
        self.account = replace(store.ITSELF, account=account())
        self.follow(self.plant)

    def follow(self, plant: Plant) -> None:
        """The plant is another now: what its file says was read again."""
        self.plant, self.hosts = plant, Hosts(plant)

    def has(self, name: str) -> bool:
        return name in self.plant.assets or name in self.plant.segments

    async def note(self, plant: Plant) -> None:
        """Have a configuration on record, and every asset of it known by its number."""

        def job(tx: Transaction) -> Mapping[str, int]:
            now = self.clock()
            note_configuration(tx, plant, self.account, now)
            self.begin(tx)
            for name in note_assets(tx, plant, self.account, now):
                log.info("asset.returned", asset=name, text=returned(name))
            return store.asset_numbers(tx)

        self.numbers = dict(await self.writer.write(job))

    def assure_same(self, tx: Transaction, name: str) -> None:
        """Gone if an asset that we know by this name is not the one that is called so now."""
        number = store.asset_id(tx, name)
        if self.numbers.get(name, number) != number:
            raise Gone(name, "is the name of another asset now")

    def is_tripped(self, poll: Poll) -> bool:
        """Whether a poll of the tripwire alone calls for one of everything; if not, the run goes on by it."""
        name, now = poll.target.asset, self.clock()
        standing = self.standing.get(name)
        if standing is None or standing.snapshot is None or not standing.run.can_go_on(now):
            return True
        if isinstance(poll.outcome, CollectError) or tripped(standing.snapshot, poll.outcome):
            return True
        standing.run = self.lagging[name] = standing.run.extended(now, deep=False)
        return False

    async def take(self, poll: Poll, asked: list[int]) -> None:
        """Take a poll in: note that the run goes on, or store what it brought, move alarms, and answer who asked."""
        name, now = poll.target.asset, self.clock()
        self.read_at[name] = now - timedelta(seconds=poll.seconds)
        if isinstance(poll.outcome, Snapshot) and (profile := self.plant.profiles.by_digest(poll.outcome.profile)):
            self.profiles[name] = profile
        standing = self.standing.get(name)
        if standing and not asked and standing.run.can_go_on(now) and _goes_on(standing, poll):
            standing.run = self.lagging[name] = standing.run.extended(now)
            return None
        lagging = self.lagging.pop(name, None)

        def job(tx: Transaction) -> tuple[Standing, list[Move]]:
            store.extend_runs(tx, [lagging] if lagging else [])
            self.assure_same(tx, name)
            taken, moves = take(tx, poll, now, keep=bool(asked))
            if asked:
                store.answer_poll(tx, asked, checked_document(taken.checked), now)
            return taken, moves

        try:
            taken, moves = await self.writer.write(job)
        except StoreError:
            if lagging:
                self.lagging.setdefault(name, lagging)
            raise
        except Gone as gone:
            if lagging:
                self.lagging.setdefault(name, lagging)
            await self.leave(gone)
            return await self.decline(name, asked)
        self._tell(standing.checked if standing else None, taken.checked, moves)
        self.standing[name] = taken
        return None

    def _tell(self, before: Checked | None, now: Checked, moves: list[Move]) -> None:
        """Say a thing once when it begins and once when it ends."""
        failed = before.error if before else None
        if now.error and (failed is None or failed.kind != now.error.kind):
            log.warning(f"asset.{now.error.kind}", asset=now.asset, why=now.error.text)
        elif failed and not now.error:
            log.info("asset.back", asset=now.asset, verdict=now.verdict)
        self.tell_moves(moves)

    def tell_moves(self, moves: list[Move]) -> None:
        for move in moves:
            alert = move.alert
            log.warning(
                f"alert.{move.event}",
                alert=alert.id,
                state=alert.state,
                severity=alert.severity,
                text=move_text(move),
                techniques=alert.techniques,
            )
        self.tell(moves)

    async def decline(self, name: str, asked: list[int]) -> None:
        """Answer those who ask for a poll of an asset that we do not know, or know no more."""
        if not asked:
            return
        now = self.clock()
        why = (
            "the daemon that runs does not know it: have it read plant.toml again (systemctl reload asbuilt, or SIGHUP)"
        )
        await self.answer(asked, checked_document(unseen(name, now, None, False, Unreachable(name, why), Sent())))

    async def answer(self, asked: list[int], answer: dict[str, Any]) -> None:
        """Answer those who asked."""
        try:
            await self.writer.write(lambda tx: store.answer_poll(tx, asked, answer, self.clock()))
        except StoreError as error:
            self.trouble.failed(error)

    def approved(self, name: str) -> Snapshot | None:
        """The approved baseline of an asset, from the store."""
        with self.database.read() as tx:
            found = store.current_baseline(tx, name)
            return store.baseline_snapshot(tx, found) if found else None

    async def flush(self, next_at: Mapping[str, datetime]) -> None:
        """Bring the ends of runs on disk up to date."""
        lagging, self.lagging = self.lagging, {}

        def job(tx: Transaction) -> None:
            store.extend_runs(tx, lagging.values(), next_at)
            store.forget_polls(tx, self.clock() - DAY)

        try:
            await self.writer.write(job)
        except StoreError:
            self.lagging = lagging | self.lagging
            raise


def _goes_on(standing: Standing, poll: Poll) -> bool:
    """Whether a poll brought nothing that the last one did not bring."""
    if isinstance(poll.outcome, CollectError):
        error = standing.checked.error
        return error is not None and (error.kind, error.text) == (poll.outcome.kind, poll.outcome.text)
    held = standing.snapshot
    return held is not None and poll.outcome.profile == held.profile and goes_on(held, poll.outcome, standing.baseline)
