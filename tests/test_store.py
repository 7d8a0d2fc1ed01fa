"""What is kept and how it is read back, on both databases."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count, groupby, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from baselines.alert import Alert, AlertState, Event, Move
from baselines.audit import AuditEntry
from baselines.baseline import Baseline, Stage, State
from baselines.drift import Kind
from baselines.rules import Direction
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, Value, canonical
from collectors.address import parse_address
from collectors.collector import CollectError, Malformed, Poll, Refused, Target, Unreachable
from collectors.contract import Sent
from monitor import store, tables
from monitor.pipeline import take
from monitor.store import Actor, Database, Run, Transaction
from tests.evidences import flaw_of, stored_flaw

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
KIM = Actor("kim", "kim@workstation")
NUMBERS = count(1)


def snapshot(asset: str, *values: Value, unread: tuple[str, ...] = (), profile: str = "") -> Snapshot:
    items = [Item(f"item.i{number}", value) for number, value in enumerate(values)]
    return Snapshot.of(asset, NOW, items, [Unread(key) for key in unread], profile)


def poll(asset: str, outcome: Snapshot | CollectError) -> Poll:
    return Poll(Target(asset, parse_address("modbus://plc/1")), outcome, Sent(1, 2), 0.1)


OUTCOMES: dict[str, Callable[[str], Snapshot | CollectError]] = {  # by name: what a poll of an asset brings
    "a": lambda asset: snapshot(asset, 1),
    "a of another profile": lambda asset: snapshot(asset, 1, profile="f" * 64),
    "b": lambda asset: snapshot(asset, True),
    "nan": lambda asset: snapshot(asset, float("nan")),
    "nothing": lambda asset: snapshot(asset),
    "a in part": lambda asset: snapshot(asset, unread=("item.i0",)),
    "unreachable": lambda asset: Unreachable(asset, "no answer within 2 s"),
    "unreachable too": lambda asset: Unreachable(asset, "connection refused"),
    "refused": lambda asset: Refused(asset, "exception 2"),
    "malformed": lambda asset: Malformed(asset, "a lie"),
}
SEQUENCES = st.lists(st.tuples(st.sampled_from(list(OUTCOMES)), st.integers(0, 300)), min_size=1, max_size=12)


def kind_of(outcome: Snapshot | CollectError) -> tuple[str, str]:
    """What makes two outcomes one run."""
    return (outcome.digest, outcome.profile) if isinstance(outcome, Snapshot) else (outcome.kind, "")


def timed(asset: str, sequence: list[tuple[str, int]]) -> list[tuple[datetime, Snapshot | CollectError]]:
    """The outcomes that a sequence names, each so many seconds after the one before."""
    seconds = accumulate(pause for _, pause in sequence)
    return [
        (NOW + timedelta(seconds=after), OUTCOMES[name](asset))
        for after, (name, _) in zip(seconds, sequence, strict=True)
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEQUENCES, SEQUENCES)
def test_the_runs_are_the_outcomes_that_were_taken(
    database: Database, one: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    number = next(NUMBERS)
    taken = {f"one {number}": timed(f"one {number}", one), f"other {number}": timed(f"other {number}", other)}
    polls = [(at, name, outcome) for name, outcomes in taken.items() for at, outcome in outcomes]
    for at, name, outcome in sorted(polls, key=lambda found: found[0]):
        with database.write() as tx:
            take(tx, poll(name, outcome), at)
    with database.read() as tx:
        for asset, outcomes in taken.items():
            groups = [list(group) for _, group in groupby(outcomes, lambda found: kind_of(found[1]))]
            runs = store.runs(tx, asset)
            assert len(runs) == len(groups)
            for run, group in zip(runs, groups, strict=True):
                times, last = [at for at, _ in group], group[-1][1]
                gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
                assert (run.polls, run.first_at, run.last_at) == (len(group), times[0], times[-1])
                assert run.longest_gap == max(gaps, default=0.0)
                if isinstance(last, Snapshot):
                    assert (run.digest, run.profile, run.cause) == (last.digest, last.profile, None)
                    assert store.snapshot_of(tx, asset, last.digest, NOW).text == last.text
                else:
                    assert (run.digest, run.cause, run.cause_text) == (None, last.kind, last.text)
            assert store.last_run(tx, asset) == runs[-1]
            observed = [run for run in runs if not run.is_outage]
            assert store.last_run(tx, asset, observed=True) == (observed[-1] if observed else None)


def rows(database: Database) -> dict[str, int]:
    with database.read() as tx:
        return {
            name: tx.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
        }


@pytest.mark.parametrize("outcome", ["a", "a in part", "unreachable"])
def test_a_plant_that_does_not_change_does_not_grow_the_database(database: Database, outcome: str) -> None:
    grown = []
    for polls in range(20):
        with database.write() as tx:
            take(tx, poll("plc", OUTCOMES[outcome]("plc")), NOW + timedelta(seconds=30 * polls))
        grown.append(rows(database))
    assert grown == [grown[0]] * 20
    with database.read() as tx:
        (run,) = store.runs(tx, "plc")
        assert (run.polls, run.longest_gap) == (20, 30)


def test_a_snapshot_of_two_assets_is_kept_once(database: Database) -> None:
    with database.write() as tx:
        for asset in ("one", "two"):
            take(tx, poll(asset, snapshot(asset, 1)), NOW)
    assert rows(database)["snapshot"] == 1
    assert rows(database)["run"] == 2


def test_a_clock_that_goes_back_does_not_make_a_run_end_before_it_began(database: Database) -> None:
    for seconds in (60, 0, 30):
        with database.write() as tx:
            take(tx, poll("plc", snapshot("plc", 1)), NOW + timedelta(seconds=seconds))
    with database.read() as tx:
        (run,) = store.runs(tx, "plc")
    assert (run.first_at, run.last_at, run.polls) == (NOW + timedelta(seconds=60),) * 2 + (3,)


def test_a_run_that_lagged_is_brought_up_to_date(database: Database) -> None:
    with database.write() as tx:
        standing, _ = take(tx, poll("plc", Unreachable("plc", "silent")), NOW)
        run = standing.run.extended(NOW + timedelta(seconds=30)).extended(NOW + timedelta(seconds=90))
        store.extend_runs(tx, [run], {"plc": NOW + timedelta(seconds=120)})
        store.extend_runs(tx, [])
    with database.read() as tx:
        assert store.runs(tx, "plc") == [run]
        assert store.next_polls(tx) == {"plc": NOW + timedelta(seconds=120)}


def test_a_run_that_is_over_keeps_where_it_ended(database: Database) -> None:
    with database.write() as tx:
        silent, _ = take(tx, poll("plc", Unreachable("plc", "silent")), NOW)
        run = silent.run.extended(NOW + timedelta(seconds=30))
        store.extend_runs(tx, [run])
        back, _ = take(tx, poll("plc", snapshot("plc")), NOW + timedelta(seconds=60))
        deep = back.run.extended(NOW + timedelta(seconds=90), deep=False)
        store.extend_runs(tx, [run.extended(NOW + timedelta(days=1)), deep])  # the first is over, and goes no further
    with database.read() as tx:
        assert store.runs(tx, "plc") == [run, deep]
    assert (deep.deep_at, deep.read_at, deep.polls) == (back.run.last_at, back.run.last_at, 2)


STRANGE = "\x00 \x1b[31m \u2028 😀 \\ ' \" % ; --"


def test_what_a_device_says_is_data(database: Database) -> None:
    """Keys, values and errors with control characters are kept as they are."""
    asset, said = STRANGE.replace("\x00", ""), [Item("device." + STRANGE, STRANGE, label=STRANGE)]
    taken = Snapshot.of(asset, NOW, said, [Unread("identity", STRANGE)])
    with database.write() as tx:
        take(tx, poll(asset, taken), NOW)
        take(tx, poll(asset, Refused(asset, STRANGE)), NOW)
    with database.read() as tx:
        observed, outage = store.runs(tx, asset)
        assert outage.cause_text == STRANGE.replace("\x00", r"\0")
        assert observed.digest is not None
        assert store.snapshot_of(tx, asset, observed.digest, NOW) == taken


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
def test_a_snapshot_comes_back_with_every_type_and_its_digest(database: Database, values: dict[str, Value]) -> None:
    taken = Snapshot.of("plc", NOW, [Item(key, value, tolerance=0.1, unit="l") for key, value in values.items()])
    with database.write() as tx:
        store.keep_snapshot(tx, taken)
        store.keep_snapshot(tx, taken)
    with database.read() as tx:
        back = store.snapshot_of(tx, "plc", taken.digest, NOW)
    assert back.digest == taken.digest
    assert {item.key: canonical(item.value) for item in back.items} == {
        key: canonical(value) for key, value in values.items()
    }


def test_a_snapshot_that_was_never_kept_is_a_key_error(database: Database) -> None:
    with database.read() as tx, pytest.raises(KeyError):
        store.snapshot_of(tx, "plc", "0" * 64, NOW)


def test_baselines_by_asset_and_state_the_oldest_first(database: Database) -> None:
    with database.write() as tx:
        taken = snapshot("one", 1, profile="p")
        store.keep_snapshot(tx, taken)
        made = [
            store.add_baseline(
                tx, Baseline(0, asset, taken.digest, state, Stage.FAT, "p", "kim", NOW, reason="acceptance")
            )
            for asset, state in [("one", State.SUPERSEDED), ("one", State.APPROVED), ("two", State.PROPOSED)]
        ]
        decided = replace(made[2], state=State.REJECTED, decided_by="lee", decided_at=NOW, reason="no")
        assert store.move_baseline(tx, decided, State.PROPOSED)
        assert not store.move_baseline(tx, replace(decided, state=State.APPROVED), State.PROPOSED)
    with database.read() as tx:
        assert store.baselines(tx) == [made[0], made[1], decided]
        assert store.baselines(tx, ["one"]) == made[:2]
        assert store.baselines(tx, ["two", "one"], State.REJECTED) == [decided]
        assert store.current_baseline(tx, "one") == made[1]
        assert store.current_baseline(tx, "two") is None
        assert store.baseline_snapshot(tx, made[0]) == taken


def alarm(asset: str, item: str, state: AlertState) -> Alert:
    return Alert(
        asset,
        item,
        Kind.CHANGED,
        [1, "NaN"],
        None,
        Severity.HIGH,
        Category.FIRMWARE,
        ("T0857", "T0839"),
        Direction.DOWNGRADE,
        NOW,
        NOW + timedelta(milliseconds=1),
        state,
        "kim",
        NOW + timedelta(days=1),
        "why",
    )


def test_how_much_there_is(database: Database) -> None:
    with database.write() as tx:
        assert (store.count_alarms(tx), store.count_waiting(tx), store.count_runs(tx)) == ({}, 0, 0)
        assert store.newest_moment(tx) is None
        take(tx, poll("one", snapshot("one", 1)), NOW)
        assert (store.count_runs(tx), store.newest_moment(tx)) == (1, NOW)
    assert database.schema() == tables.HEAD
    assert database.damage() == ""
    database.assure_writable()
    assert database.lead()
    assert database.leader() == (os.getpid() if database.is_sqlite and sys.platform == "linux" else None)


def test_alarms_come_back_as_they_were_stored_and_move(database: Database) -> None:
    with database.write() as tx:
        moved = [
            store.store_move(tx, Move(Event.DEVIATES, AlertState.NORMAL, alarm(asset, item, AlertState.UNACK))).alert
            for asset, item in [("one", "a"), ("one", "b"), ("two", "a")]
        ]
        normal = replace(moved[1], state=AlertState.NORMAL, acknowledged_by=None, shelved_until=None)
        store.store_move(tx, Move(Event.CONFORMS, AlertState.ACKED, normal), "lee")
        shelved = replace(moved[2], state=AlertState.SHELVED)
        store.store_move(tx, Move(Event.SHELVE, AlertState.UNACK, shelved), "lee")
    with database.read() as tx:
        assert store.alerts(tx) == [moved[0], shelved]
        assert store.alerts(tx, closed=True) == [moved[0], normal, shelved]
        assert store.alerts(tx, ["one"]) == [moved[0]]
        assert store.alerts(tx, ids=[normal.id, shelved.id], closed=True) == [normal, shelved]
        assert store.shelved_until(tx, NOW + timedelta(days=1)) == [shelved]
        assert store.shelved_until(tx, NOW) == []
        assert store.count_alarms(tx) == {("UNACK", "high"): 1, ("SHELVED", "high"): 1}
        history = tx.execute(select(tables.alert_move).order_by(tables.alert_move.c.id)).all()
    assert [(row.alert_id, row.event, row.before, row.after, row.by) for row in history] == [
        (moved[0].id, "deviates", "NORMAL", "UNACK", None),
        (moved[1].id, "deviates", "NORMAL", "UNACK", None),
        (moved[2].id, "deviates", "NORMAL", "UNACK", None),
        (normal.id, "conforms", "ACKED", "NORMAL", "lee"),
        (shelved.id, "shelve", "UNACK", "SHELVED", "lee"),
    ]


TEXT = st.text(st.characters(exclude_characters="\x00", codec="utf-8"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, TEXT, st.dictionaries(st.sampled_from("abc"), TEXT)), max_size=4))
def test_the_audit_chain_that_is_read_back_is_whole(
    database: Database, entries: list[tuple[str, str, dict[str, str]]]
) -> None:
    made = []
    for actor, subject, detail in entries:
        with database.write() as tx:
            made.append(store.audit(tx, NOW, Actor(actor, "x@y"), "test", subject, detail))
    with database.read() as tx:
        chain = list(store.audit_entries(tx))
        assert flaw_of(chain) is None
        assert chain[len(chain) - len(made) :] == made
        assert store.last_audit_id(tx) == len(chain)
        assert list(store.audit_entries(tx, after=len(chain) - len(made))) == made


def test_an_edit_in_the_database_breaks_the_chain(database: Database) -> None:
    for number in range(3):
        with database.write() as tx:
            store.audit(tx, NOW, KIM, "test", "plc", {"n": str(number)})
    with database.write() as tx:
        tx.execute(tables.audit_entry.update().where(tables.audit_entry.c.id == 2).values(detail='{"n": "9"}'))
    with database.read() as tx:
        flaw = stored_flaw(tx)
    assert flaw is not None
    assert flaw.entry == 2


def test_an_action_that_is_rolled_back_leaves_no_entry(database: Database) -> None:
    def fail() -> None:
        with database.write() as tx:
            store.audit(tx, NOW, KIM, "test")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.write() as tx:
        entry = store.audit(tx, NOW, KIM, "test")
    assert entry == replace(AuditEntry(1, NOW, "kim", "kim@workstation", "test", ""), hash=entry.computed_hash())


def open_requests(tx: Transaction, after: int = 0) -> list[tuple[int, str]]:
    return [(each.id, each.asset) for each in store.open_poll_requests(tx, after)]


def test_poll_requests_are_answered_withdrawn_and_forgotten(database: Database) -> None:
    with database.write() as tx:
        old = store.request_poll(tx, "one", NOW - timedelta(days=2), "kim")
        first, second, third, fourth = (store.request_poll(tx, name, NOW, "kim") for name in ("a", "a", "b", "c"))
        assert open_requests(tx, after=old) == [(first, "a"), (second, "a"), (third, "b"), (fourth, "c")]
        assert open_requests(tx, after=second) == [(third, "b"), (fourth, "c")]
        answer = {"asset": "a", "items": {"a": None}}
        store.answer_poll(tx, [first, second], answer, NOW)
        store.withdraw_polls(tx, [third])
        assert open_requests(tx) == [(old, "one"), (fourth, "c")]
        assert store.poll_answers(tx, [first, second, fourth]) == {first: answer, second: answer}
        store.forget_polls(tx, NOW - timedelta(days=1))
        assert open_requests(tx) == [(fourth, "c")]


@pytest.mark.parametrize("gone", ["withdrawn", "forgotten"])
def test_the_number_of_a_poll_request_is_never_given_again(database: Database, gone: str) -> None:
    """The daemon has heard it, and hears only higher ones."""
    with database.write() as tx:
        numbers = [store.request_poll(tx, "plc", NOW, "kim") for _ in range(3)]
    with database.write() as tx:
        if gone == "withdrawn":
            store.withdraw_polls(tx, numbers[-1:])
        else:
            store.forget_polls(tx, NOW + timedelta(days=2))
    with database.write() as tx:
        assert store.request_poll(tx, "plc", NOW, "kim") > numbers[-1]


def test_an_asset_has_one_number(database: Database) -> None:
    with database.write() as tx:
        one, other = store.asset_id(tx, "one"), store.asset_id(tx, "other")
        assert one != other
        assert store.asset_id(tx, "one") == one


def test_a_run_is_an_outage_where_nothing_was_seen() -> None:
    run = Run(0, "plc", None, None, "unreachable", "silent", NOW, NOW, 1, 0.0)
    assert run.is_outage
    assert not replace(run, digest="d").is_outage
