"""How every asset stands: what is refreshed bit by bit says the same as what is read the long way, asset by asset."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from baselines.asset import Asset, identity_values
from baselines.baseline import Stage
from baselines.drift import Verdict, verdict, worst
from baselines.snapshot import Item, Severity, Snapshot, Unread, utc_text
from collectors.address import parse_address
from collectors.collector import CollectError, Malformed, Poll, Target, Unreachable
from collectors.contract import Sent
from monitor import actions, evidence, lives, store
from monitor.board import Board, Judged, Look, document, encoded, looked
from monitor.board import inventory as inventory_now
from monitor.config import Plant, load_plant
from monitor.inventory import REPORTED_EVERY, held, unseen
from monitor.pipeline import return_alarms, take
from monitor.store import Actor, Beat, Database, Kept, Run, Transaction
from monitor.web.marks import moved

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
HOUR = timedelta(hours=1)
EVERY = timedelta(seconds=30)
PLANT = """[plant]
name = "Test"
[store]
url = "sqlite:///asbuilt.db"
[asset."line1/filler"]
address = "modbus://plc1/1"
profile = "auto"
zone = "hall 1"
[asset."line1/capper"]
address = "modbus://plc2/1"
profile = "auto"
every = "1m"
[asset.oven]
address = "modbus://plc3/1"
profile = "auto"
[segment.ring]
interface = "eth9"
"""


# ---- The verdict, by age


def of(value: int) -> str:
    return Snapshot.of("plc", NOW, [Item("item.a", value)]).digest


def run(age: timedelta = timedelta(), outage: bool = False) -> Run:
    digest, cause = (None, "unreachable") if outage else (of(1), None)
    return Run(1 + outage, "plc", digest, "", cause, cause, NOW - age, NOW - age, 1, 0.0)


LAGGING, OLD = timedelta(seconds=149), timedelta(seconds=151)  # three intervals, and the minute that the disk may lag
AHEAD = -timedelta(seconds=61)  # of a clock that was wrong


@pytest.mark.parametrize(
    ("seen", "last", "expected"),
    [
        (None, None, Verdict.NEVER_SEEN),
        (None, run(outage=True), Verdict.NEVER_SEEN),
        (Verdict.NO_BASELINE, run(), Verdict.NO_BASELINE),
        (Verdict.MATCH, run(), Verdict.MATCH),
        (Verdict.MATCH, run(LAGGING), Verdict.MATCH),
        (Verdict.MATCH, run(OLD), Verdict.STALE),
        (Verdict.MATCH, run(AHEAD), Verdict.STALE),
        (Verdict.NO_BASELINE, run(OLD), Verdict.STALE),
        (Verdict.MATCH, run(outage=True), Verdict.NO_LONGER_OBSERVABLE),
        (Verdict.DRIFT, run(), Verdict.DRIFT),
        (Verdict.DRIFT, run(outage=True), Verdict.DRIFT),
        (Verdict.DRIFT, run(OLD), Verdict.DRIFT),
        (Verdict.MATCH, run(OLD, outage=True), Verdict.NO_LONGER_OBSERVABLE),
    ],
)
def test_the_verdict_is_the_worst_of_what_was_seen_of_an_outage_and_of_age(
    seen: Verdict | None, last: Run | None, expected: Verdict
) -> None:
    look = Look(
        kept={"plc": Kept(7, "plc", None, None)},
        last={7: last} if last else {},
        seen={7: run()} if seen else {},
        judged={7: Judged((None, of(1)), seen, {})} if seen else {},
    )
    assert look.row(Asset("plc", "", ""), EVERY, NOW).verdict is expected


def test_how_far_a_run_goes_is_what_its_pulse_says() -> None:
    kept, judged = {"plc": Kept(7, "plc", None, None)}, {7: Judged((None, of(1)), Verdict.MATCH, {})}
    beat = Beat(1, int(NOW.timestamp() * 1000), 40)
    look = Look(kept=kept, last={7: run(OLD)}, seen={7: run(OLD)}, judged=judged, beats={7: beat})
    row = look.row(Asset("plc", "", ""), EVERY, NOW)
    assert (row.verdict, row.seen_at, row.polls) == (Verdict.MATCH, NOW, 40)


# ---- The same as the long way, whatever happens


def the_long_way(tx: Transaction, plant: Plant, now: datetime) -> list[dict[str, Any]]:
    """Four queries for each asset, and everything parsed."""
    known = [(found.asset, found.every) for found in plant.assets.values()]
    known += [(found.asset, REPORTED_EVERY) for found in plant.segments.values()]
    return [_document(tx, asset, every, now) for asset, every in known]


def _document(tx: Transaction, asset: Asset, every: timedelta, now: datetime) -> dict[str, Any]:
    found, out = held(tx, asset.name), store.out_of_service(tx, now).get(asset.name)
    observed, last = found.observed, found.last
    gap = unseen(observed, last, now, every)
    seen = [] if observed is None else [verdict(found.baseline, observed), *([gap] if gap else [])]
    lasts = last is not None and last.is_outage
    return {
        **{name: getattr(asset, name) for name in ("address", "profile", "zone", "role", "purdue_level")},
        **{name: getattr(asset, name) for name in ("criticality", "location", "machine_type")},
        "asset": asset.name,
        "verdict": worst(seen) if seen else Verdict.NEVER_SEEN,
        "last_seen": utc_text(observed.taken_at) if observed else None,
        "identity": identity_values(observed.items if observed else ()),
        "digest": observed.digest if observed else None,
        "baseline": found.approved.digest if found.approved else None,
        "outage": _outage(last) if last is not None and lasts else None,
        "out_of_service": {"until": utc_text(out.until), "by": out.by, "reason": out.reason} if out else None,
        "retired_at": None,
    }


def _outage(last: Run) -> dict[str, Any]:
    times = {"first_at": utc_text(last.first_at), "last_at": utc_text(last.last_at)}
    return {"kind": last.cause, "text": last.cause_text, **times, "polls": last.polls}


class Bench:
    """A plant, its store, and a board that has looked at it from the beginning."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.path = folder / "plant.toml"
        self.path.write_text(PLANT, encoding="utf-8")
        self.database, self.board = database, Board(database)
        self.now = NOW
        self.topics: frozenset[str] = frozenset()
        self.marks = store.Marks()

    @property
    def plant(self) -> Plant:
        return load_plant(self.path)

    def reason(self) -> lives.Reason:
        return lives.Reason(KIM, self.now, "rebuilt", "T-1")

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self.database.write() as tx:
            yield tx

    def polled(self, name: str, *outcome: Item | Unread | CollectError, after: timedelta = EVERY) -> None:
        self.now += after
        items = [each for each in outcome if isinstance(each, Item)]
        unread = [each for each in outcome if isinstance(each, Unread)]
        failed = next((each for each in outcome if isinstance(each, CollectError)), None)
        found = failed or Snapshot.of(name, self.now, items, unread, profile="p" * 64)
        with self.writing() as tx:
            take(tx, Poll(Target(name, parse_address("modbus://plc/1")), found, Sent(), 0.0), self.now)

    def approve(self, name: str) -> None:
        with self.writing() as tx:
            last = store.last_run(tx, name, observed=True)
            assert last is not None
            assert last.digest is not None
            seen = store.snapshot_of(tx, name, last.digest, last.last_at, last.profile or "")
            actions.propose(tx, seen, Stage.SAT, KIM, self.now, "as built")
            actions.approve(tx, name, KIM, "seen", self.now)

    def edit(self, old: str, new: str) -> None:
        self.path.write_text(self.path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        with self.writing() as tx:
            evidence.note_assets(tx, self.plant, KIM, self.now)

    def verdicts(self, later: timedelta = timedelta()) -> dict[str, Verdict]:
        """How all stand, after it was held against the long way."""
        plant, now = self.plant, self.now + later
        with self.database.read() as tx:
            expected = the_long_way(tx, plant, now)
            afresh = inventory_now(tx, plant, now)
            marks = store.marks(tx)
            self.topics, self.marks = moved(tx, self.marks, marks), marks
        look = self.board.look()
        rows = list(look.rows(plant, now))
        assert [document(row) for row in rows] == expected
        assert afresh == expected
        assert msgspec.json.decode(encoded(rows)) == msgspec.json.decode(msgspec.json.encode({"assets": expected}))
        self._hold_alarms(look)
        return {row.name: row.verdict for row in rows}

    def _hold_alarms(self, look: Look) -> None:
        """The alarms that were counted bit by bit are those that there are."""
        with self.database.read() as tx:
            numbers, found = store.asset_numbers(tx), store.alerts(tx)
        here = {number: name for name, number in numbers.items()}
        quiet = {(here[asset], each.quiet) for asset, each in look.alarms.items() if each.quiet}
        put_away = [alert for alert in found if alert.state in ("SHELVED", "SUPPRESSED")]
        assert quiet == {(name, sum(a.asset == name for a in put_away)) for name in {a.asset for a in put_away}}
        loud = [alert for alert in found if alert not in put_away]
        for asset, each in look.alarms.items():
            mine = [alert for alert in loud if alert.asset == here[asset]]
            assert each.open == len(mine)
            assert each.waiting == sum(alert.state in ("UNACK", "RTN_UNACK") for alert in mine)
            worst_of = max((alert.severity for alert in mine), key=lambda found: found.rank, default=None)
            assert each.severity == worst_of


@pytest.fixture
def bench(tmp_path: Path, database: Database) -> Bench:
    found = Bench(tmp_path, database)
    with found.writing() as tx:
        evidence.note_assets(tx, found.plant, KIM, NOW)
    return found


WHO = Item("identity.manufacturer", "ACME")
FILLER, CAPPER = "line1/filler", "line1/capper"


def test_nothing_was_ever_seen(bench: Bench) -> None:
    assert set(bench.verdicts().values()) == {Verdict.NEVER_SEEN}


def test_it_says_the_same_as_the_long_way_through_drift_outage_and_age(bench: Bench) -> None:
    assert bench.verdicts()[FILLER] == "never-seen"
    bench.polled(FILLER, Unreachable(FILLER, "no route"))
    assert bench.verdicts()[FILLER] == "never-seen", "an outage of what was never seen"
    bench.polled(FILLER, WHO, Item("item.a", 1))
    bench.polled(CAPPER, WHO, Item("item.a", 1), Unread("item.b", "busy"))
    bench.polled("ring", Item("host.00:11:22:33:44:55.ips", ("10.0.0.1",)))
    assert [*bench.verdicts().values()] == ["no-baseline", "never-seen", "never-seen", "no-baseline"]
    bench.approve(FILLER)
    bench.polled(FILLER, WHO, Item("item.a", 1))
    assert bench.verdicts()[FILLER] == "match"
    assert bench.topics >= {"assets", "baselines"}
    assert bench.verdicts(later=HOUR)[FILLER] == "stale", "by the clock alone"
    assert bench.verdicts()[FILLER] == "match"
    assert bench.topics == frozenset(), "nothing moved"
    bench.polled(FILLER, WHO, Item("item.a", 2))
    assert bench.verdicts()[FILLER] == "drift"
    assert bench.topics >= {"assets", "alarms"}
    bench.polled(FILLER, Unreachable(FILLER, "no answer within 2 s"))
    assert bench.verdicts()[FILLER] == "drift", "and nobody knows whether it does still"
    bench.polled(FILLER, Unreachable(FILLER, "connection refused"))
    assert bench.verdicts()[FILLER] == "drift", "an outage may say another thing of itself while it lasts"
    bench.polled(FILLER, Malformed(FILLER, "garbage"))
    bench.polled(FILLER, WHO, Item("item.a", 1))
    assert bench.verdicts()[FILLER] == "match"
    bench.polled(FILLER, Unreachable(FILLER, "no answer within 2 s"))
    assert bench.verdicts()[FILLER] == "no-longer-observable"
    bench.polled(FILLER, WHO, Unread("item.a", "busy"))
    assert bench.verdicts()[FILLER] == "no-longer-observable"
    assert bench.verdicts(later=-HOUR)[FILLER] == "no-longer-observable", "the clock was set back"


def test_it_says_the_same_through_the_lives_of_assets(bench: Bench) -> None:
    for name in (FILLER, CAPPER, "oven"):
        bench.polled(name, WHO, Item("item.a", 1))
        bench.approve(name)
    bench.verdicts()
    with bench.writing() as tx:
        lives.take_out(tx, FILLER, bench.now + HOUR, bench.reason())
    bench.polled(FILLER, WHO, Item("item.a", 3))
    assert bench.verdicts()[FILLER] == "drift", "and its alarm is suppressed"
    assert bench.verdicts(later=2 * HOUR)[FILLER] == "drift", "the end of being out of service comes by the clock"
    with bench.writing() as tx:
        lives.bring_back(tx, FILLER, bench.reason())
    bench.verdicts()
    with bench.writing() as tx:
        lives.rename(tx, bench.plant, FILLER, "line1/filler-2", bench.reason())
    assert bench.verdicts()["line1/filler-2"] == "drift"
    bench.polled("oven", Unreachable("oven", "gone"))
    with bench.writing() as tx:
        step = lives.retired(tx, bench.plant, "oven", bench.reason())
    assert "oven" not in bench.verdicts()
    (gone,) = bench.board.look().retired(bench.plant, bench.now)
    assert (gone.name, gone.retired_at) == ("oven", bench.now)
    assert document(gone)["retired_at"] == utc_text(bench.now)
    assert bench.topics >= {"assets", "network", "coverage"}
    bench.edit("[segment.ring]", step.detail["removed"] + "\n[segment.ring]")
    assert bench.verdicts()["oven"] == "no-longer-observable", "it is back with its history"
    bench.edit('zone = "hall 1"', 'zone = "hall 2"\nevery = "1s"')
    rows = {row.name: row for row in bench.board.look().rows(bench.plant, bench.now)}
    assert rows["line1/filler-2"].asset.zone == "hall 2"
    bench.verdicts(later=timedelta(seconds=64))


def test_what_was_polled_under_a_new_name_meanwhile_goes_to_the_renamed_one(bench: Bench) -> None:
    bench.polled("oven", WHO, Item("item.a", 1))
    bench.approve("oven")
    bench.verdicts()
    bench.edit("[asset.oven]", "[asset.kiln]")
    bench.polled("kiln", WHO, Item("item.a", 2))
    assert bench.verdicts()["kiln"] == "no-baseline", "it looks like a new one"
    with bench.writing() as tx:
        lives.rename(tx, bench.plant, "oven", "kiln", bench.reason())
    assert bench.verdicts()["kiln"] == "drift"
    bench.polled("kiln", WHO, Item("item.a", 1))
    assert bench.verdicts()["kiln"] == "match"


def test_alarms_are_counted_as_they_move(bench: Bench) -> None:
    bench.polled(FILLER, WHO, Item("item.a", 1), Item("item.b", 1, severity=Severity.CRITICAL))
    bench.approve(FILLER)
    bench.verdicts()
    bench.polled(FILLER, WHO, Item("item.a", 2), Item("item.b", 2, severity=Severity.CRITICAL))
    bench.verdicts()
    with bench.writing() as tx:
        (first, second) = store.alerts(tx)
        actions.acknowledge_alerts(tx, [first.id], KIM, "seen", bench.now)
        actions.shelve_alert(tx, second.id, bench.now + HOUR, KIM, "later", bench.now)
    bench.verdicts()
    bench.now += 2 * HOUR
    with bench.writing() as tx:
        return_alarms(tx, bench.now)
    bench.verdicts()
    bench.polled(FILLER, WHO, Item("item.a", 1), Item("item.b", 1, severity=Severity.CRITICAL))
    bench.verdicts()
    look = bench.board.look()
    with bench.database.read() as tx:
        assert looked(tx).alarms == look.alarms


def test_what_somebody_changed_in_the_store_says_nothing(bench: Bench) -> None:
    bench.polled(FILLER, WHO, Item("item.a", 1))
    bench.approve(FILLER)
    with bench.writing() as tx:
        tx.exec_driver_sql('UPDATE snapshot SET text = \'{"key":"item.a"}\'')
    row = next(bench.board.look().rows(bench.plant, bench.now))
    assert (row.verdict, row.identity["manufacturer"]) == (Verdict.NEVER_SEEN, None)


def test_another_life_of_the_store_is_looked_at_anew(bench: Bench) -> None:
    bench.polled(FILLER, WHO, Item("item.a", 1))
    bench.verdicts()
    with bench.writing() as tx:  # as a backup would bring it
        for table in ("pulse", "run", "snapshot"):
            tx.exec_driver_sql(f"DELETE FROM {table}")
    assert bench.verdicts()[FILLER] == "never-seen"


# ---- For many at once


def test_those_who_ask_at_the_same_time_get_the_same_look(bench: Bench) -> None:
    times = iter(range(100))
    board = Board(bench.database, lambda: next(times) // 10)  # ten questions a second
    looks = [board.look() for _ in range(4)]
    assert all(look is looks[0] for look in looks), "asked while it was made"
    bench.polled(FILLER, WHO)
    assert [board.look() for _ in range(10)][-1] is not looks[0]


def test_readers_and_a_writer_do_not_disturb_each_other(bench: Bench) -> None:
    faults: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                rows = list(bench.board.look().rows(bench.plant, bench.now))
                assert len(rows) == 4
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for value in range(20):
        bench.polled(FILLER, WHO, Item("item.a", value % 3))
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    bench.verdicts()


def test_a_look_costs_few_questions_however_many_assets_there_are(bench: Bench) -> None:
    for name in (FILLER, CAPPER, "oven"):
        bench.polled(name, WHO, Item("item.a", 1))
    bench.board.look()
    asked: list[str] = []

    @event.listens_for(bench.database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    bench.board.look()
    assert len([each for each in asked if each.startswith("SELECT")]) == 2, "the marks, and how far runs go"
    for name in (FILLER, CAPPER):
        bench.polled(name, WHO, Item("item.a", 2))
    asked.clear()
    bench.board.look()
    assert len([each for each in asked if each.startswith("SELECT")]) < 12
