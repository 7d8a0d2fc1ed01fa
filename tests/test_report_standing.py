"""How things stood, as the audit report says it: every figure against a plant that has something to count for each."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, update

from baselines.audit import Checkpoint
from baselines.snapshot import Item
from monitor import evidence, keys, store, tables
from monitor.config import load_plant
from monitor.report.annexes import annexes
from monitor.report.document import Kind, Report, Weight
from monitor.report.kinds import SECTIONS
from monitor.report.sections.standards import standards as standards_section
from monitor.report.standards import Clause, clauses, standards
from monitor.report.standing import standings
from monitor.store import Database, store_url
from tests.histories import history
from tests.standings import BEGIN, FIRMWARE, KIM, UNTIL, Made, made, row, rows, section, table, texts


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite alone: test_report_databases.py holds that PostgreSQL says the same."""
    return store_url("sqlite:///asbuilt.db", tmp_path)


@pytest.fixture
def plant(tmp_path: Path, database: Database) -> Made:
    return made(tmp_path, database)


@pytest.fixture
def report(plant: Made) -> Report:
    return plant.report()


def test_of_all_assets_how_many_are_watched(report: Report) -> None:
    assert {each["asset"]: (each["verdict"], each["unseen"]) for each in rows(report, "assets")} == {
        "plc": ("match", None),
        "press": ("drift", None),
        "oven": ("never-seen", None),  # an item of it was never read
        "old": ("stale", "stale"),
        "gone": ("no-longer-observable", "no-longer-observable"),
        "never": ("never-seen", "never-seen"),
        "safe": ("never-seen", "never-seen"),
        "wire": ("match", None),
    }
    assert texts(report, "scope") == [
        "unknown: Of 8 assets 4 are watched; 1 is stale, 2 were never seen and 1 is no longer observable: how these are"
        " is not known.",
        "bad: 1 of 8 assets is not as approved; 2 match.",
        "attention: 2 of 8 assets have no approved baseline.",
        "attention: 1 of 8 assets is out of service.",
        "unknown: 1 safety controller is not polled, for nobody has allowed it.",
    ]
    line1 = row(report, "by-zone", zone="line1")
    assert [*line1.values()] == ["line1", 3, 3, 0, 0, 0, 0, 0, 1, 2]
    high = row(report, "by-criticality", criticality="high")
    assert (high["assets"], high["match"]) == (1, 1)
    assert sum(int(str(each["assets"])) for each in rows(report, "by-criticality")) == 8
    assert table(report, "retired").rows == [("scrap", BEGIN + timedelta(days=12))]
    assert row(report, "assets", asset="old")["out_of_service_until"] == BEGIN + timedelta(days=90)


def test_an_asset_is_told_with_its_outage_its_last_look_and_its_digests(report: Report, plant: Made) -> None:
    gone = row(report, "assets", asset="gone")
    assert gone["seen_at"] == plant.at(50.5)
    assert (gone["outage"], gone["outage_since"]) == (
        "unreachable: no answer within 2 s",
        UNTIL - timedelta(seconds=20),
    )
    plc, oven = row(report, "assets", asset="plc"), row(report, "assets", asset="oven")
    assert plc["baseline_digest"] == plc["observed_digest"]
    assert (oven["baseline_digest"], oven["proposed_digest"] is None) == (None, False)


def test_a_zone_says_nothing_of_retired_assets(plant: Made) -> None:
    found = plant.report("plc", "press")
    assert table(found, "retired").rows == []
    assert "whole plant" in table(found, "retired").empty
    assert "Of 2 assets 2 are watched" in texts(found, "scope")[0]


def test_what_came_later_is_left_out(plant: Made, report: Report) -> None:
    """The same question has the same answer after more was seen, approved, retired and renamed."""
    plant.polled("plc", plant.at(61), FIRMWARE, Item("item.crc", b"\0\0"))
    plant.approved("press", plant.at(62), FIRMWARE)
    plant.approved("oven", plant.at(62), FIRMWARE)
    plant.polled("never", plant.at(63), FIRMWARE)
    with plant.database.write() as tx:
        store.audit(tx, plant.at(64), KIM, "asset.in-service", "old", {})
        store.take_out(tx, "old", None)
        store.add_gap(tx, store.Gap("plc", "poll", "refused", "no", plant.at(61), plant.at(62)))
        store.add_self_test(tx, store.SelfTest(plant.at(61), True, {}, "passed"))
        evidence.publish(plant.plant, evidence.checkpoint(tx, plant.plant.evidence, plant.at(65)), print)
    again = plant.report()
    for key in ("scope", "baselines", "monitoring", "unseen", "integrity"):
        assert section(again, key) == section(report, key), key


def test_a_run_that_goes_on_behind_a_gap_hides_nothing(plant: Made) -> None:
    """plc was not seen on day 30: a report of that day says so, although the same run went on."""
    found = plant.report(until=plant.at(30.5))
    assert row(found, "assets", asset="plc")["unseen"] == "stale"
    assert row(found, "assets", asset="plc")["seen_at"] == plant.at(30)
    blind = row(found, "coverage", asset="plc")
    assert blind["is_blind"] is True
    assert row(found, "gaps", asset="plc")["end"] is None


@pytest.mark.parametrize(
    ("cause", "unseen", "state"),
    [("frames-lost", None, "within"), ("garbage", None, "within"), ("deaf", "stale", "over")],
)
def test_what_is_heard_beside_lost_frames_is_heard(plant: Made, cause: str, unseen: str | None, state: str) -> None:
    with plant.database.write() as tx:
        store.add_gap(tx, store.Gap("wire", "wire", cause, "", plant.at(16), None))
    found = plant.report("wire")
    assert row(found, "assets", asset="wire")["unseen"] == unseen
    assert row(found, "comparisons", asset="wire")["state"] == state


def test_a_renamed_asset_keeps_its_life(plant: Made) -> None:
    with plant.database.write() as tx:
        store.audit(tx, plant.at(64), KIM, "asset.rename", "old", {"to": "kiln"})
        store.rename_asset(tx, "old", "kiln")
        assets = {("kiln" if name == "old" else name): each for name, each in plant.plant.assets.items()}
        scope = replace(plant.scope(), plant=replace(plant.plant, assets=assets), names=("kiln",))
        (kiln,) = standings(tx, scope)
    assert kiln.out_until == plant.at(90)
    assert kiln.seen_at == plant.at(5)


def test_the_five_items_of_each_device(report: Report) -> None:
    plc = row(report, "five-items", asset="plc")
    assert (plc["system"], plc["custom"]) == ("software_revision: 2.4.1", "crc: dead")
    assert plc["ports"] == "tcp/502 (modbus); tcp/80"
    assert (plc["software"], plc["patches"]) == ("not recorded", "not recorded")
    assert row(report, "five-items", asset="oven")["ports"] == "no approved baseline"
    assert row(report, "five-items", asset="press")["ports"] == "not recorded"
    assert row(report, "baseline-items", part="1.1.4", value="tcp/502 (modbus)")["source"] == "wire"
    assert "wire" not in {each["asset"] for each in rows(report, "five-items")}  # a segment is no device
    found = texts(report, "baselines")
    assert found[0].startswith("bad: Of 8 assets 6 have an approved baseline; 2 have none, 1 of them with a proposal")
    assert "Of 5 devices with an approved baseline (of 7 in scope), the baseline records 1.1.1 of 2" in found[1]
    assert "1.1.3 of 1, 1.1.4 of 1 and 1.1.5 of 0" in found[1]


def test_an_opc_ua_server_tells_its_port_and_its_software(plant: Made) -> None:
    items = (
        Item("endpoint.security_policies", ("None",)),
        Item("endpoint.application_uri", "urn:x"),
        Item("identity.product_name", "Server"),
        Item("item.patch_level", "KB1"),
        Item("item.runtime_version", "7"),
        FIRMWARE,
    )
    plant.approved("oven", UNTIL - timedelta(seconds=5), *items)
    oven = row(plant.report(), "five-items", asset="oven")
    assert oven["ports"] == "tcp/4841 (opc.tcp)"
    assert oven["software"] == "product_name: Server; software_revision: 2.4.1; runtime_version: 7"
    assert oven["patches"] == "patch_level: KB1"


def test_who_approved_with_which_signature(report: Report) -> None:
    plc, press = row(report, "approvals", asset="plc"), row(report, "approvals", asset="press")
    assert (plc["approved_by"], plc["stage"], plc["ticket"], plc["approved_at"]) == ("ada", "sat", "T-2", BEGIN)
    assert re.fullmatch("ada, key [0-9a-f]{8}", str(plc["signatures"]))
    assert press["signatures"] == "kim, by name, without a key"
    assert (press["items"], press["unread"]) == (2, 1)
    assert [each["asset"] for each in rows(report, "approvals")][:2] == ["oven", "safe"]  # what is missing comes first
    assert texts(report, "baselines")[2] == (
        "attention: Of 6 approvals 1 is signed with persons' own keys; the others rest on the name that was given."
    )


def test_the_longest_time_without_a_comparison(report: Report, plant: Made) -> None:
    states = {each["asset"]: each["state"] for each in rows(report, "comparisons")}
    assert states == {
        "plc": "within",
        "press": "over",
        "oven": "no baseline",
        "old": "over",
        "gone": "within",
        "never": "over",
        "safe": "no baseline",
        "wire": "within",
    }
    press, old = row(report, "comparisons", asset="press"), row(report, "comparisons", asset="old")
    assert (press["start"], press["end"], press["longest"]) == (plant.at(1), plant.at(41), 40 * 86400.0)
    assert (old["compared_at"], old["start"], old["end"], old["left"]) == (plant.at(5), plant.at(5), UNTIL, 0)
    gone = row(report, "comparisons", asset="gone")
    assert gone["left"] == pytest.approx((plant.at(50.5) + timedelta(days=35) - UNTIL).total_seconds())
    plc = row(report, "comparisons", asset="plc")
    assert plc["longest"] == pytest.approx(30 * 86400, abs=60)
    assert (plc["is_exact"], plc["start"], plc["end"]) == (False, plant.at(1), UNTIL - timedelta(seconds=20))
    found = texts(report, "monitoring")
    assert found[0].startswith("attention: Of 8 assets 3 were compared at least every 35 days (CIP-010-4 R2.1)")
    assert found[1] == "bad: 3 of 8 assets were not compared for longer than 35 days: press, old, never."


def test_what_could_not_be_seen(report: Report, plant: Made) -> None:
    plc = row(report, "coverage", asset="plc")
    assert plc["share"] == pytest.approx(1 - 1 / 45)
    assert row(report, "gaps", asset="plc") == {
        "asset": "plc",
        "witness": "poll",
        "cause": "unreachable",
        "start": plant.at(30),
        "end": plant.at(31),
        "seconds": 86400.0,
        "text": "no answer",
    }
    assert row(report, "coverage", asset="never")["share"] is None
    assert row(report, "unseen-causes", cause="unreachable")["seconds"] == 86400.0
    assert {(each["asset"], each["item"], each["why"]) for each in rows(report, "unseen-items")} == {
        ("press", "item.recipe", "it was busy"),
        ("oven", "item.pressure", "BadTimeout"),
    }
    assert row(report, "monitor-gaps", cause="disk")["seconds"] == 43200.0
    assert [each["passed"] for each in rows(report, "self-tests")] == [True, False]
    assert rows(report, "self-tests")[0]["seconds"] == 1.5
    found = texts(report, "unseen")
    assert "unknown: 2 of 8 assets were not watched in this period." in found
    assert "attention: Of 6 assets that were watched, 3 were seen all of the time; gone the least: 0% of it." in found
    assert "attention: The monitor itself had 1 gap: disk 1." in found
    assert "bad: Of 2 self-tests 1 was passed: a change was found, and its alarm was stored." in found
    assert "unknown: 1 item of 1 of 8 assets was not read at the last look." in found


def test_the_contract_says_where_it_was_not_kept(report: Report) -> None:
    assert [(each["device"], each["verdict"]) for each in rows(report, "poll-contract")] == [
        ("10.0.0.2:502", "exceeded"),
        ("10.0.0.4:502", "attempted"),
        ("10.0.0.3:4841", "never-polled"),
        ("10.0.0.5:502", "never-polled"),
        ("10.0.0.6:502", "never-polled"),
        ("10.0.0.7:502", "never-polled"),
        ("10.0.0.1:502", "kept"),
    ]
    kept = row(report, "poll-contract", verdict="kept")
    assert (kept["requests"], kept["busiest_second"], kept["since"]) == (500, 3, BEGIN)
    assert row(report, "poll-contract", verdict="attempted")["refused"] == 2
    assert texts(report, "contract") == [
        "attention: Of 3 devices that were polled, with 501 requests, the contract was kept at 1.",
        "bad: At 1 of 7 devices a limit was exceeded.",
        "bad: At 1 of 7 devices our guard refused what may not be sent: nothing of it left.",
        "unknown: 4 of 7 devices have never been polled.",
    ]


def test_the_chain_its_keys_and_its_persons(report: Report, plant: Made) -> None:
    with plant.database.read() as tx:
        entries, head = store.head_at(tx, UNTIL)
    assert (report.entries, report.head) == (entries, head)
    (key,) = rows(report, "keys")
    assert key["action"] == "the first key"
    assert [(each["person"], each["roles"]) for each in rows(report, "persons")] == [("ada", "admin")]
    assert row(report, "decisions", action="asset.out-of-service")["entries"] == 1  # the one in the period
    assert texts(report, "integrity") == [
        f"good: The audit chain of {entries} entries is whole, and all records are as it says; 1 checkpoint is signed.",
        "good: 1 person was registered with a key of their own.",
    ]
    assert rows(report, "flaws") == []


def test_evidence_that_verifies(tmp_path: Path, database: Database) -> None:
    history(tmp_path, database)
    told = Made(load_plant(tmp_path / "plant.toml"), database)
    found = told.report(until=datetime.now(UTC))
    assert texts(found, "integrity")[0].startswith(f"good: The audit chain of {found.entries} entries is whole")
    assert [each["action"] for each in rows(found, "keys")] == ["the first key", "rotated to"]
    assert {str(each["person"]): each["roles"] for each in rows(found, "persons")} == {
        "ada": "admin",
        "bo": "supplier",
        "cem": "customer",  # who gave up a role; dan has left
    }
    with database.write() as tx:
        tx.execute(update(tables.baseline).where(tables.baseline.c.id == 1).values(reason="another"))
    edited = told.report(until=datetime.now(UTC))
    assert texts(edited, "integrity")[0].startswith(
        "bad: The evidence does not verify; the first of 1 flaw is at entry"
    )
    assert len(rows(edited, "flaws")) == 1


def test_checkpoints_that_cannot_be_read_are_said(plant: Made) -> None:
    (place,) = plant.plant.evidence.files
    place.unlink()
    place.mkdir()
    assert texts(plant.report("plc"), "integrity")[0].startswith("unknown: The evidence could not be verified: the ch")


def test_a_plant_of_which_nothing_is_known(tmp_path: Path, database: Database) -> None:
    (tmp_path / "plant.toml").write_text('[plant]\nname = "New"\n[store]\nurl = "sqlite:///asbuilt.db"\n')
    found = Made(load_plant(tmp_path / "plant.toml"), database).report()
    assert {each.key for each in found.tables if each.rows} <= {"standards", "clauses", "periods"}
    assert all(each.empty.endswith(".") for each in found.tables)
    assert found.entries == 0


def test_a_restore_is_named(plant: Made) -> None:
    detail = {"made_at": "2026-11-24T08:00:00.000Z", "entries": "3", "reason": "a disk", "aside": "x.before-restore"}
    with plant.database.write() as tx:
        store.audit(tx, plant.at(59), KIM, "store.restore", "", detail)
    found = plant.report("plc")
    (restored,) = rows(found, "restores")
    assert (restored["made_at"], restored["entries"], restored["by"]) == (plant.at(1), 3, "kim")
    assert "The store was restored from a backup 1 time, last by kim" in " ".join(texts(found, "integrity"))


def test_checkpoints_that_were_made_meanwhile_are_no_flaw(plant: Made) -> None:
    """Somebody decides while a report is made: the file outside is ahead of what its transaction sees."""
    with plant.database.read() as tx:
        scope = plant.scope("plc")
        store.head_at(tx, UNTIL)  # from now on this is what it sees
        before = {flaw.why for flaw in evidence.verified(tx, plant.plant, begun=scope.now).flaws}
        plant.plant.evidence.files[0].open("a").write(_line(plant, scope.now + timedelta(seconds=1)))
        after = {flaw.why for flaw in evidence.verified(tx, plant.plant, begun=scope.now).flaws}
        strict = {flaw.why for flaw in evidence.verified(tx, plant.plant).flaws}
    assert after == before
    assert any("rolled back" in why or "was cut" in why for why in strict - before)


def _line(plant: Made, at: datetime) -> str:
    """A checkpoint of entries that nobody here knows."""
    signer = keys.load(plant.plant.evidence.key)
    fresh = Checkpoint(10_000, "a" * 64, at, signer.key)
    return replace(fresh, signature=signer.sign(fresh.statement())).line() + "\n"


def test_every_clause_is_answered_by_a_section_that_names_it(plant: Made) -> None:
    known = {each.key: each for each in clauses()}
    sections = [
        each for kind in (Kind.AUDIT, Kind.INVENTORY) if SECTIONS[kind] for each in plant.report(kind=kind).sections
    ]
    for each in sections:
        for key in each.clauses:
            assert key in known, f"{each.key} names {key}, which standards.toml does not have"
            assert each.key in known[key].answered_by, f"{each.key} names {key}, which it does not answer"
    there = {each.key: each.clauses for each in sections}
    for clause in known.values():
        for key in clause.answered_by:
            assert key not in there or clause.key in there[key], f"{key} does not name {clause.key}"


def test_a_clause_is_answered_or_says_why_it_is_not() -> None:
    assert all(bool(each.answered_by) != bool(each.not_covered) for each in clauses())
    with pytest.raises(ValueError, match="sections give evidence"):
        Clause("x/1", "1", "asks")
    with pytest.raises(ValueError, match="sections give evidence"):
        Clause("x/1", "1", "asks", ("scope",), "and yet not")


def test_the_fourteen_fields_and_the_five_items_are_there() -> None:
    counts = Counter(each.key.partition("/")[0] for each in clauses())
    assert counts["cisa-2025"] == 14
    assert {f"cip-010-4/r1.1.{number}" for number in range(1, 6)} <= {each.key for each in clauses()}


@pytest.mark.parametrize(
    ("day", "weights"),
    [
        (date(2026, 11, 26), []),
        (date(2027, 9, 30), [Weight.ATTENTION] * 2),
        (date(2027, 10, 1), [Weight.ATTENTION] * 3),
        (date(2028, 3, 31), [Weight.ATTENTION] * 3),
        (date(2028, 4, 1), [Weight.BAD, Weight.ATTENTION, Weight.ATTENTION]),
    ],
)
def test_a_standard_that_has_expired_is_a_finding(plant: Made, day: date, weights: list[Weight]) -> None:
    until = UNTIL.replace(year=day.year, month=day.month, day=day.day)
    with plant.database.read() as tx:
        found = standards_section(tx, plant.scope(until=until))
    assert [each.weight for each in found.findings[:-1]] == weights
    assert sum(1 for each in standards() if each.has_expired(day)) == weights.count(Weight.BAD)


def test_all_of_it_is_a_report(report: Report) -> None:
    """As the writers need it: rows as wide as their columns, keys once, sums of what is on paper within a page."""
    keys = [each.key for each in report.tables]
    assert len(keys) == len({*keys})
    for each in report.tables:
        assert all(len(row) == len(each.columns) for row in each.rows), each.key
        assert 0 < sum(1 for column in each.columns if column.width) <= 8, each.key
        assert len({column.key for column in each.columns}) == len(each.columns), each.key
    assert len(annexes(report)) == len(keys)
    assert {each.section for each in report.findings} <= {each.key for each in report.sections}
    assert all(each.text.endswith(".") for each in report.findings)


def test_the_same_data_give_the_same_report(plant: Made, report: Report) -> None:
    assert plant.report() == report


def test_it_reads_and_asks_as_often_for_many_assets_as_for_few(plant: Made) -> None:
    asked: list[str] = []
    with plant.database.read() as tx:

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(tx, "before_cursor_execute", note)
        for gather in SECTIONS[Kind.AUDIT]:
            gather(tx, plant.scope())
    assert not [each for each in asked if not each.lstrip().upper().startswith(("SELECT", "PRAGMA"))]
    assert max(Counter(each for each in asked if "snapshot" not in each).values()) <= 6
