"""The daemon's part in the evidence: it signs the head of the chain as it grows, and says when it does not verify."""

from __future__ import annotations

import asyncio

import structlog

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
        self._flaw: verifier.Flaw | str | None = ""  # "" as long as nobody has looked

    async def checkpoint(self, entries: int) -> None:
        """Sign what the chain has grown by, and keep it outside of the store; what fails is covered by the next."""
        if entries <= self._signed:
            return
        self._signed = entries
        watch = self._watch
        try:
            made = await watch.writer.write(lambda tx: checkpoint(tx, watch.plant.evidence, watch.clock()))
            await asyncio.to_thread(publish, watch.plant, made, _say)
        except StoreError as error:
            self._watch.trouble.failed(error)
        except (CallError, NotNow) as error:
            _say(f"no checkpoint was made: {error}")
        except Exception:  # a bug of ours: said with all that helps, and monitoring goes on
            log.exception("bug", chore="checkpoint")

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
