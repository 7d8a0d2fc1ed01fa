"""The sections of reports that say what happened, from what a plant went through, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from baselines.baseline import Approval, Stage
from baselines.cause import Cause
from baselines.drift import compare
from baselines.rules import assess
from baselines.snapshot import Category, Dropped, Item, Severity, Snapshot
from baselines.wire import Written
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import actions, lives, ordering, pipeline, store
from monitor.actions import NO_RULES, Rules
from monitor.config import Plant, load_plant
from monitor.lives import Reason
from monitor.report.cells import for_people
from monitor.report.document import Cell, Chart, Facts, Form, Kind, Report, Section, Weight
from monitor.report.kinds import SECTIONS, report
from monitor.report.scope import Scope
from monitor.store import Actor, Database, Transaction, store_url

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
KIM, LEE = Actor("kim", "kim@workstation"), Actor("lee", "lee@server")
QUALITY = Rules(Approval(sign_off={Stage.AS_LEFT: ("quality",)}))
NAMES = ("filler", "capper", "oven", "wrapper", "old", "spare")
PLANT = '[plant]\nname = "Test"\ntimezone = "Europe/Berlin"\n[store]\nurl = "sqlite:///asbuilt.db"\n' + "".join(
    f'[asset.{name}]\naddress = "modbus://10.0.0.{number}/1"\nprofile = "auto"\n'
    for number, name in enumerate(NAMES, 1)
)
SINCE, UNTIL = 1.0, 60.0  # days


def day(days: float) -> datetime:
    return START + timedelta(days=days)


def snapshot(asset: str, at: datetime, **values: Any) -> Snapshot:
    known: dict[str, Any] = {"limit": 12.5, "mode": "RUN", "crc": "cafe", "firmware": "2.4", "serial": "S1"} | values
    items = [
        Item("item.limit", known["limit"], tolerance=0.05, unit="l", severity=Severity.HIGH),
        Item("item.mode", known["mode"], Category.MODE, Severity.CRITICAL),
        Item("item.crc", known["crc"], Category.PROGRAM, Severity.MEDIUM),
        Item("identity.software_revision", known["firmware"], Category.FIRMWARE, Severity.HIGH),
        Item("identity.serial_number", known["serial"], Category.IDENTITY),
    ]
    return Snapshot.of(asset, at, items, profile="p" * 64)


@dataclass
class World:
    """A plant in which things happen, at days after its start."""

    plant: Plant
    database: Database

    @contextmanager
    def doing(self) -> Iterator[Transaction]:
        with self.database.write() as tx:
            yield tx

    def seen(self, days: float, asset: str, **values: Any) -> None:
        outcome = snapshot(asset, day(days), **values)
        with self.doing() as tx:
            pipeline.take(tx, Poll(Target(asset, parse_address("modbus://plc/1")), outcome, Sent(), 0.0), day(days))

    def proposed(self, days: float, asset: str, **values: Any) -> None:
        with self.doing() as tx:
            actions.propose(tx, snapshot(asset, day(days), **values), Stage.AS_LEFT, KIM, day(days), "as found")

    def approved(self, days: float, asset: str, by: Actor = LEE, rules: Rules = NO_RULES, ticket: str = "") -> None:
        with self.doing() as tx:
            actions.approve(tx, asset, by, "looked at", day(days), ticket=ticket, although_changed=True, rules=rules)

    def alarm(self, asset: str, item: str) -> int:
        with self.database.read() as tx:
            return next(each.id for each in store.alerts(tx, [asset], closed=True)[::-1] if each.item == item)

    def acknowledged(self, days: float, asset: str, item: str) -> None:
        with self.doing() as tx:
            actions.acknowledge_alerts(tx, [self.alarm(asset, item)], KIM, "seen", day(days))

    def closed(self, days: float, asset: str, item: str) -> None:
        with self.doing() as tx:
            number = self.alarm(asset, item)
            actions.close_alerts(tx, [number], Cause.WRONG_VALUE, "limits locked", LEE, day(days), {})

    def shelved(self, days: float, asset: str, item: str, until: float) -> None:
        with self.doing() as tx:
            actions.shelve_alert(tx, self.alarm(asset, item), day(until), KIM, "later", day(days))

    def ordered(self, days: float, asset: str, *expected: str, until: float, ticket: str) -> int:
        with self.doing() as tx:
            window = day(days), day(until)
            return ordering.open_order(tx, [asset], expected, *window, ticket, "needed", KIM, day(days)).id

    def order_closed(self, days: float, order: int) -> str:
        with self.doing() as tx:
            return " ".join(str(e.outcome) for e in ordering.close_order(tx, order, LEE, day(days)).order.expectations)

    def because(self, days: float, why: str = "needed") -> Reason:
        return Reason(LEE, day(days), why, "T-9")

    def report(self, kind: Kind = Kind.AUDIT, until: float = UNTIL, *names: str) -> Report:
        scope = Scope(self.plant, names or NAMES, not names, day(SINCE), day(until), day(until))
        with self.database.read() as tx:
            return report(tx, kind, scope)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite alone: test_report_databases.py holds that PostgreSQL says the same."""
    return store_url("sqlite:///asbuilt.db", tmp_path)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return lived(database, tmp_path)


def lived(database: Database, folder: Path) -> World:
    """Two months in which everything happens that has a column."""
    (folder / "plant.toml").write_text(PLANT)
    made = World(load_plant(folder / "plant.toml"), database)
    with made.doing() as tx:
        store.add_assets(tx, NAMES)
    for name in NAMES:
        made.proposed(0, name)
        made.approved(0, name)
        made.seen(0.1, name)
    made.seen(0.5, "capper", mode="STOP")  # from before, and never mended
    made.acknowledged(2, "capper", "item.mode")
    a_deviation_with_a_doer(made)
    orders(made)
    made.seen(6, "filler", limit=13.0, crc="beef")  # approved 34 days later, and nobody had announced it
    made.proposed(40, "filler", limit=13.0, crc="beef")
    made.approved(40, "filler", replace(LEE, role="quality"), QUALITY, "T-7")
    shelving(made)
    lives_of_assets(made)
    made.seen(50, "capper", mode="STOP", firmware="2.5")
    return made


def a_deviation_with_a_doer(made: World) -> None:
    who = {"client": "10.0.9.9", "name": "eng-laptop", "protocol": "modbus"}
    with made.doing() as tx:
        pipeline.take_written(tx, "filler", Written("item.limit", day(2) - timedelta(seconds=5), 14.0, who), day(2))
    made.seen(2, "filler", limit=14.0)
    made.acknowledged(2.5, "filler", "item.limit")
    made.seen(3, "filler")
    made.closed(3.1, "filler", "item.limit")


def orders(made: World) -> None:
    first = made.ordered(4, "filler", "item.limit=13", until=4.5, ticket="T-1")
    made.seen(4.1, "filler", limit=13.0)
    assert made.order_closed(4.2, first) == "as-planned"
    made.approved(5, "filler")
    second = made.ordered(10, "oven", "item.limit=20", until=10.5, ticket="T-2")
    made.seen(10.1, "oven", limit=21.0, mode="STOP")
    assert made.order_closed(10.2, second) == "partial"
    made.seen(11, "oven")
    made.acknowledged(11.5, "oven", "item.limit")
    made.ordered(12, "oven", "item.crc=0001", until=13, ticket="T-3")  # nobody closes it


def shelving(made: World) -> None:
    made.seen(15, "oven", crc="dead")
    made.shelved(15.5, "oven", "item.crc", until=18)
    with made.doing() as tx:
        pipeline.unshelve_due(tx, day(18))
    made.shelved(19, "oven", "item.crc", until=70)
    fourth = made.ordered(55, "oven", "item.limit=15", until=56, ticket="T-4")
    made.seen(55.1, "oven", crc="dead", limit=15.0)
    assert made.order_closed(55.2, fourth) == "as-planned"  # and waits for its approval


def lives_of_assets(made: World) -> None:
    made.seen(20, "wrapper", serial="S2")
    before, after = snapshot("wrapper", day(20)), snapshot("wrapper", day(20), serial="S2")
    with made.doing() as tx:
        lives.replaced(tx, before, after, assess(compare(before, after)), made.because(20.5, "broken"))
    made.approved(21, "wrapper")
    fifth = made.ordered(22, "wrapper", "item.limit=9", until=22.5, ticket="T-5")
    made.seen(22.1, "wrapper", serial="S2", limit=9.0)
    assert made.order_closed(22.2, fifth) == "as-planned"  # nobody approves it: overdue
    made.seen(30, "old", limit=1.0)
    with made.doing() as tx:
        lives.retired(tx, made.plant, "old", made.because(31))
    made.plant = load_plant(made.plant.path)
    with made.doing() as tx:
        lives.move(tx, made.plant, "spare", parse_address("modbus://10.0.0.99/1"), True, made.because(32))
        lives.take_out(tx, "spare", day(35), made.because(33))
        lives.bring_back(tx, "spare", made.because(34))


def section(found: Report, key: str) -> Section:
    return next(each for each in found.sections if each.key == key)


def rows(found: Report, key: str) -> list[dict[str, Cell]]:
    """The rows of a table, by the keys of their columns."""
    table = next(each for each in found.tables if each.key == key)
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, row, strict=True)) for row in table.rows]


def row(found: Report, key: str, **where: Cell) -> dict[str, Cell]:
    """The one row of a table that is so."""
    (only,) = (each for each in rows(found, key) if where.items() <= each.items())
    return only


def texts(found: Report, key: str) -> list[str]:
    return [each.text for each in section(found, key).findings]


def different(one: Report, other: Report) -> list[object]:
    """Rows of tables that are not the same."""
    return [
        (table.key, line)
        for table, again in zip(one.tables, other.tables, strict=True)
        for line in zip(table.rows, again.rows, strict=False)
        if line[0] != line[1] or len(table.rows) != len(again.rows)
    ]


def test_a_deviation_with_all_that_is_known_of_it(world: World) -> None:
    found = row(world.report(), "deviations", asset="filler", item="item.limit", announced="no")
    assert found == {
        "alarm": found["alarm"],
        "asset": "filler",
        "deviation": "item.limit changed from 12.5 to 14.0",
        "item": "item.limit",
        "kind": "changed",
        "approved": "12.5",
        "observed": "14.0",
        "unit": "l",
        "severity": "high",
        "category": "parameter",
        "techniques": "T0836",
        "raised_at": day(2),
        "done_by": "eng-laptop (10.0.9.9)",
        "client": "10.0.9.9",
        "host": "eng-laptop",
        "protocol": "modbus",
        "done_at": day(2) - timedelta(seconds=5),
        "became": "mended",
        "ended_at": day(3),
        "lasted": 86400.0,
        "state": "NORMAL",
        "cause": "wrong-value",
        "prevention": "limits locked",
        "case_closed_by": "lee",
        "case_closed_at": day(3.1),
        "announced": "no",
        "announced_by": None,
    }
    wire = row(world.report(), "wire-alarms", asset="filler")
    assert (wire["kind"], wire["client"], wire["state"]) == ("event", "10.0.9.9", "RTN_UNACK")


def test_what_became_of_each(world: World) -> None:
    found = world.report()
    became = [(each["asset"], each["item"], each["became"]) for each in rows(found, "deviations")]
    assert became == [
        ("capper", "item.mode", "open"),  # from before
        ("wrapper", "item.limit", "open"),
        ("capper", "identity.software_revision", "open"),
        ("oven", "item.limit", "open"),
        ("oven", "item.crc", "open"),
        ("oven", "item.mode", "mended"),
        ("filler", "item.limit", "mended"),
        ("filler", "item.limit", "approved"),
        ("oven", "item.limit", "mended"),
        ("old", "item.limit", "otherwise"),
        ("filler", "item.crc", "approved"),
        ("wrapper", "identity.serial_number", "approved"),
    ]
    announced = {(each["asset"], each["announced"], each["announced_by"]) for each in rows(found, "deviations")}
    assert ("filler", "yes", "order 1") in announced
    assert ("wrapper", "yes", "order 5") in announced
    said = texts(found, "deviations")
    assert said[0].startswith("Of 8 unannounced deviations 3 were mended, 2 approved; 2 were open at the end, and 1 of")
    assert any("2 of 8 unannounced deviations were approved afterwards" in each for each in said)
    assert any("CIP-010-4 R1.3" in each and each.startswith("3 of ") for each in said)
    assert any("1 of 8 deviations ended without having been seen" in each for each in said)


def test_an_alarm_and_all_of_its_moves(world: World) -> None:
    found = world.report()
    shelved = row(found, "alarms", asset="oven", item="item.crc")
    assert (shelved["state"], shelved["shelved_at"], shelved["shelved_until"]) == ("SHELVED", day(19), day(70))
    assert (shelved["shelved_by"], shelved["shelved_reason"], shelved["moves"]) == ("kim", "later", 4)
    moves = [each for each in rows(found, "alarm-moves") if each["alarm"] == shelved["alarm"]]
    assert [(each["event"], each["before"], each["after"], each["by"], each["until"]) for each in moves] == [
        ("deviates", "NORMAL", "UNACK", None, None),
        ("shelve", "UNACK", "SHELVED", "kim", day(18)),
        ("unshelve", "SHELVED", "UNACK", None, None),
        ("shelve", "UNACK", "SHELVED", "kim", day(70)),
    ]
    done = row(found, "alarms", asset="filler", item="item.limit", state="NORMAL", acknowledged_by="kim")
    assert (done["acknowledged_after"], done["acknowledged_reason"]) == (43200.0, "seen")
    assert (done["returned_at"], done["over_at"], done["case_closed_by"]) == (day(3), day(3), "lee")
    assert row(found, "alarms", asset="capper", item="item.mode")["acknowledged_at"] == day(2)
    facts = section(found, "alarms").blocks[0]
    assert isinstance(facts, Facts)
    assert {name: value for name, value, _ in facts.rows}["Shelved in this time"] == 1


def test_changes_with_their_clocks(world: World) -> None:
    found = world.report()
    told = [
        (each["asset"], each["items"], each["authorised"], each["clock"], each["days"], each["completed_how"])
        for each in rows(found, "changes")
    ]
    assert told == [
        ("wrapper", "item.limit", "by order", "overdue", 37.8, "order closed"),
        ("filler", "item.crc", "afterwards", "late", 34.0, "first seen to deviate"),
        ("oven", "item.limit", "by order", "running", 4.8, "order closed"),
        ("wrapper", "identity.serial_number", "afterwards", "met", 1.0, "first seen to deviate"),
        ("filler", "item.limit", "by order", "met", 0.8, "order closed"),
    ]
    first = row(found, "changes", asset="filler", clock="met")
    assert (first["orders"], first["ticket"], first["approved_by"], first["due_at"]) == ("1", "T-1", "lee", day(34.2))
    late = row(found, "changes", clock="late")
    assert (late["signed_by"], late["ticket"], late["approved_at"]) == ("lee as quality", "T-7", day(40))
    assert row(found, "changes", clock="overdue")["approved_by"] is None
    item = row(found, "changed-items", asset="filler", item="item.limit")
    assert (item["what"], item["before"], item["after"], item["unit"], item["order"]) == (
        "changed",
        "12.5",
        "13.0",
        "l",
        1,
    )
    assert row(found, "changed-items", item="item.crc")["order"] is None
    assert [each.weight for each in section(found, "changes").findings] == [Weight.ATTENTION, Weight.BAD]


def test_what_else_may_differ_between_two_baselines(world: World) -> None:
    with world.doing() as tx:
        before = snapshot("capper", day(51))
        items = [item for item in before.items if item.key not in ("item.crc", "item.mode", "item.limit")]
        items += [replace(before.by_key["item.limit"], tolerance=5.0), Item("device.slot1.model", "B")]
        items += [replace(before.by_key["item.mode"], value="STOP")]
        after = Snapshot.of("capper", day(51), items, dropped=[Dropped("item.crc", "a counter")])
        actions.propose(tx, after, Stage.AS_LEFT, KIM, day(51))
    world.approved(52, "capper")
    found = world.report()
    differs = {each["item"]: each for each in rows(found, "changed-items") if each["asset"] == "capper"}
    assert {key: each["what"] for key, each in differs.items()} == {
        "device.slot1.model": "added",
        "item.crc": "dropped",
        "item.limit": "described otherwise",
        "item.mode": "changed",
    }
    assert (differs["item.crc"]["before"], differs["item.crc"]["after"]) == ("cafe", "a counter")
    assert differs["item.limit"]["before"] == "12.5: parameter, high, tolerance 0.05, l"
    change = row(found, "changes", asset="capper")
    assert (change["differs"], change["completed_at"], change["clock"]) == (3, day(0.5), "late")


def test_an_order_that_was_not_followed_authorises_nothing(world: World) -> None:
    order = world.ordered(41, "filler", "item.limit=14", until=42, ticket="T-8")
    world.seen(41.1, "filler", limit=15.0, crc="beef")
    assert world.order_closed(41.2, order) == "partial"
    world.proposed(41.3, "filler", limit=15.0, crc="beef")
    world.approved(41.4, "filler")
    (found,) = (each for each in rows(world.report(), "changes") if each["approved_at"] == day(41.4))
    assert (found["authorised"], found["orders"], found["completed_at"]) == ("afterwards", None, day(41.1))


def test_orders_as_they_stood(world: World) -> None:
    found = world.report()
    results = [(each["ticket"], each["result"], each["excess"]) for each in rows(found, "orders")]
    assert results == [
        ("T-3", "overdue", 0),
        ("T-2", "not as planned", 1),
        ("T-1", "as-planned", 0),
        ("T-4", "as-planned", 0),
        ("T-5", "as-planned", 0),
    ]
    partial = row(found, "expectations", ticket="T-2")
    assert (partial["expected"], partial["observed"], partial["outcome"]) == ("20.0", "21.0", "partial")
    assert row(found, "expectations", ticket="T-3")["outcome"] == "open"
    assert row(found, "excess", ticket="T-2")["item"] == "item.mode"
    assert texts(found, "orders")[0].startswith("Of 4 closed change orders 3 were carried out as planned")
    assert texts(found, "orders")[1].startswith("1 of 5 change orders was overdue")


def test_replacements_and_the_lives_of_assets(world: World) -> None:
    found = world.report()
    swap = row(found, "replacements")
    assert (swap["asset"], swap["at"], swap["by"], swap["account"]) == ("wrapper", day(20.5), "lee", "lee@server")
    assert (swap["before"], swap["after"], swap["ticket"]) == ("S1", "S2", "T-9")
    assert (swap["approved_by"], swap["approved_at"], swap["signed"]) == ("lee", day(21), "no")
    lived = [(each["asset"], each["what"], each["before"], each["after"]) for each in rows(found, "asset-lives")]
    assert lived == [
        ("old", "retired", None, None),
        ("spare", "moved", "modbus://10.0.0.6:502/1", "modbus://10.0.0.99:502/1"),
        ("spare", "taken out of service", None, f"until {day(35):%Y-%m-%dT%H:%M:%S}.000Z"),
        ("spare", "taken back into service", f"until {day(35):%Y-%m-%dT%H:%M:%S}.000Z", None),
    ]
    assert texts(found, "replacements") == [
        "Of 1 like-for-like replacement that was recorded, 1 was approved as the new baseline."
    ]


def test_a_renamed_asset_goes_by_its_name_of_today(world: World) -> None:
    with world.doing() as tx:
        lives.rename(tx, world.plant, "wrapper", "wrapper2", world.because(58))
    world.plant = load_plant(world.plant.path)
    found = world.report(Kind.AUDIT, UNTIL, "wrapper2")
    assert row(found, "replacements")["asset"] == "wrapper2"
    assert (row(found, "asset-lives")["before"], row(found, "asset-lives")["after"]) == ("wrapper", "wrapper2")


def test_a_replacement_that_nobody_recorded_is_said(world: World) -> None:
    world.seen(33, "spare", serial="S7")
    assert texts(world.report(), "replacements")[0].startswith("1 of 2 like-for-like replacements that were seen was")


def test_the_figures_of_quality(world: World) -> None:
    found = section(world.report(), "quality")
    charts = [block for block in found.blocks if isinstance(block, Chart)]
    assert [chart.key for chart in charts] == ["rate", "pareto", "times", "yield"]
    assert all(chart.svg.startswith("<svg") and chart.about.endswith(".") for chart in charts)
    assert (
        charts[3].about
        == "Each bar is the orders closed in a period. Of 4, 3 were as planned at the first try, 75.00%."
    )
    assert sum(int(str(each["deviations"])) for each in rows(world.report(), "periods")) == 8


def test_what_comes_later_is_not_in_it(world: World) -> None:
    before = world.report()
    world.seen(61, "capper", mode="FAULT", firmware="2.1")  # a downgrade is critical; a further change
    world.proposed(62, "capper", mode="FAULT2", firmware="2.1")
    world.approved(62.1, "capper")  # it deviates still, and from another value
    world.approved(63, "oven")
    world.approved(63, "wrapper")
    assert world.order_closed(64, 3) == "partial"
    world.seen(65, "oven", limit=15.0)
    with world.doing() as tx:
        pipeline.return_alarms(tx, day(71))
    world.acknowledged(72, "filler", 'wire.write."10.0.9.9".item.limit')
    world.closed(72, "filler", "item.crc")
    world.seen(73, "filler", limit=99.0, crc="beef")
    world.ordered(74, "filler", "item.crc=0002", until=75, ticket="T-99")
    assert different(before, world.report()) == []
    assert world.report().sections == before.sections
    assert world.report(until=80).sections != before.sections


def test_nothing_is_said_of_what_nobody_asked_for(world: World) -> None:
    found = world.report(Kind.AUDIT, UNTIL, "filler")
    for key in ("deviations", "alarms", "alarm-moves", "changes", "changed-items"):
        assert {each["asset"] for each in rows(found, key)} == {"filler"}
    assert {each["ticket"] for each in rows(found, "orders")} == {"T-1"}
    assert rows(found, "asset-lives") == []


def test_a_plant_in_which_nothing_has_happened(database: Database, tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(PLANT)
    found = World(load_plant(tmp_path / "plant.toml"), database).report(Kind.CHANGES)
    for each in found.sections:
        assert each.findings, each.key
    assert not any(table.rows for table in found.tables)


def test_what_makes_a_report_of_changes() -> None:
    assert [gather.__name__ for gather in SECTIONS[Kind.CHANGES]] == ["changes", "orders", "deviations", "replacements"]


def test_every_cell_is_of_the_form_of_its_column(world: World) -> None:
    found = world.report()
    kinds: dict[Form, tuple[type, ...]] = {
        Form.TEXT: (str, bool),
        Form.CODE: (str, int),
        Form.STATE: (str, bool),
        Form.NUMBER: (int, float),
        Form.TIME: (datetime,),
        Form.SECONDS: (int, float),
        Form.SHARE: (int, float),
    }
    names = [table.key for table in found.tables]
    assert len(names) == len(set(names))
    for table in found.tables:
        for cells in table.rows:
            assert len(cells) == len(table.columns)
            for column, cell in zip(table.columns, cells, strict=True):
                assert cell is None or isinstance(cell, kinds[column.form]), (table.key, column.key, cell)


def test_the_number_of_an_alarm_is_read_as_people_call_it() -> None:
    assert [for_people(62345, form, UTC) for form in (Form.CODE, Form.NUMBER)] == ["62345", "62,345"]


def test_the_number_of_queries_does_not_grow_with_what_happened(world: World) -> None:
    def queries() -> int:
        asked: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            asked.append(statement)

        event.listen(world.database.engine, "before_cursor_execute", note)
        world.report()
        event.remove(world.database.engine, "before_cursor_execute", note)
        return len(asked)

    before, alarms = queries(), len(rows(world.report(), "alarms"))
    for round_ in range(5):
        world.seen(51 + round_ / 10, "filler", limit=20.0, crc="beef")
        world.acknowledged(51.02 + round_ / 10, "filler", "item.limit")
        world.seen(51.05 + round_ / 10, "filler", limit=13.0, crc="beef")
    assert len(rows(world.report(), "alarms")) == alarms + 5
    assert queries() == before
