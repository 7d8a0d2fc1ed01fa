"""The daemon's part in the evidence: it signs the head of the chain as it grows, and says when it does not verify."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from baselines.audit import Checkpoint
from monitor import verifier
from monitor.errors import CallError, NotNow, StoreError
from monitor.evidence import begun, checkpoint, publish, publish_newest, verified
from monitor.watch import Watch

log = structlog.get_logger()


class Notary:
    """Checkpoints and verification for one run of the daemon."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._signed = 0  # entries that a checkpoint covers, or cannot
        self._late = False  # a checkpoint is not yet where it should be
        self._flaw: verifier.Flaw | str | None = ""  # "" as long as nobody has looked

    async def checkpoint(self, entries: int) -> None:
        """Sign what the chain has grown by, and keep it outside of the store; what fails is covered by the next."""
        if entries <= self._signed:
            return
        self._signed = entries
        try:
            await asyncio.to_thread(publish, self._watch.plant, await self._sign(), self._say_late)
        except StoreError as error:
            self._late = True
            self._watch.trouble.failed(error)
        except (CallError, NotNow) as error:
            _say(f"no checkpoint was made: {error}")
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="checkpoint")

    async def catch_up(self) -> None:
        """Make the checkpoint that the store or a file outside did not take, if there is one: it may take it now."""
        if not self._late:
            return
        self._late = False
        try:
            made = await self._sign()
            await asyncio.to_thread(self._publish_in_files, made)
        except (CallError, NotNow, StoreError):  # said when it failed first
            self._late = True
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="checkpoint")

    async def close(self) -> None:
        """Make what a stop may have come between: a checkpoint that was committed, and its way outside."""
        self._late = True
        await self.catch_up()

    async def _sign(self) -> list[Checkpoint]:
        watch = self._watch
        return await watch.writer.write(lambda tx: checkpoint(tx, watch.plant.evidence, watch.clock()))

    def _publish_in_files(self, made: list[Checkpoint]) -> None:
        plant = self._watch.plant
        plant = replace(plant, evidence=replace(plant.evidence, receivers=()))
        publish(plant, made, self._still_late)
        with self._watch.database.read() as tx:
            publish_newest(tx, plant, self._still_late)

    def _say_late(self, text: str) -> None:
        self._late = True
        _say(text)

    def _still_late(self, _text: str) -> None:
        self._late = True

    async def verify(self) -> str:
        """Whether the evidence verifies, as a sentence; said in the log when that changes. Monitoring goes on either
        way."""
        flaw = await asyncio.wrap_future(begun(self._verified))
        if flaw and not self._flaw:
            log.error("evidence.broken", entry=flaw.entry, why=flaw.why, approvals="stopped")
        elif not flaw and self._flaw is not None:
            log.info("evidence.sound")
        self._flaw = flaw
        return self.why or "the evidence verifies"

    @property
    def why(self) -> str:
        """Why the evidence does not verify, as a sentence; "" if it does, or nobody has looked."""
        return f"the evidence does not verify: {self._flaw.why}" if isinstance(self._flaw, verifier.Flaw) else ""

    def _verified(self) -> verifier.Flaw | None:
        with self._watch.database.read() as tx:
            flaw = verified(tx, self._watch.plant).first_bad
            if flaw is None:
                publish_newest(tx, self._watch.plant, _say)
        return flaw


def _say(text: str) -> None:
    log.warning("evidence", text=text)
