"""The daemon's checkpoints: what a place outside of the store did not take is made up for."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from baselines.alert import Move
from monitor import evidence, store
from monitor.errors import Gone
from monitor.notary import Notary
from monitor.polling import utc_now
from monitor.store import Database
from monitor.watch import Watch
from tests.test_evidence import decide, plant_of


def tell(moves: list[Move]) -> None:
    raise AssertionError(moves)


async def leave(gone: Gone) -> None:
    raise AssertionError(gone)


def test_a_checkpoint_that_a_file_did_not_take_is_there_when_it_takes_one_again(tmp_path: Path) -> None:
    file, aside = tmp_path / "asbuilt.checkpoints", tmp_path / "aside"
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        decide(made)
        watch = Watch(made.plant, database, utc_now, tell, leave)
        notary = Notary(watch)

        async def main() -> None:
            file.rename(aside)
            file.mkdir()  # which takes no line
            with database.write() as tx:
                entry = store.audit(tx, utc_now(), store.ITSELF, "note")
            await notary.checkpoint(entry.id)
            await notary.catch_up()  # in vain
            file.rmdir()
            aside.rename(file)
            assert len(evidence.verified_in_full(database, made.plant).flaws) == 1
            await notary.catch_up()
            assert evidence.verified_in_full(database, made.plant).flaws == []
            text = file.read_text()
            await notary.catch_up()
            assert file.read_text() == text, "once is enough"

        try:
            asyncio.run(main())
        finally:
            watch.writer.stop()


def test_a_stop_between_a_commit_and_its_way_outside_leaves_no_line_out(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")) as database:
        database.migrate()
        made = plant_of(tmp_path, database)
        decide(made)
        watch = Watch(made.plant, database, utc_now, tell, leave)

        async def main() -> None:
            notary = Notary(watch)
            with database.write() as tx:
                store.audit(tx, utc_now(), store.ITSELF, "note")
                evidence.checkpoint(tx, made.plant.evidence, utc_now())
            assert [flaw.why for flaw in evidence.verified_in_full(database, made.plant).flaws] != []
            await notary.close()
            assert evidence.verified_in_full(database, made.plant).flaws == []

        try:
            asyncio.run(main())
        finally:
            watch.writer.stop()
