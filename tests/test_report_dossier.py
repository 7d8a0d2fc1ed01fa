"""The commissioning dossier: what was captured, what varied, who signed, and what is missing, at a moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import event, update

from baselines.artefact import ArtefactKind
from baselines.baseline import Approval, Stage, State
from baselines.capture import Choice, Decision, sort_captures
from monitor import actions, artefacts, store, tables, verifier
from monitor.actions import Rules
from monitor.config import Plant, load_plant
from monitor.polling import utc_now
from monitor.report.annexes import annexes
from monitor.report.document import Cell, Kind, Report
from monitor.report.kinds import report
from monitor.report.scope import Scope
from monitor.store import Actor, Database, Transaction, store_url
from monitor.vault import Kept
from tests.dossiers import THREE, commissioned, done, dossier_of, rows, scope_of, sentences, table
from tests.floors import PlantFolder, running
from tests.histories import BEGIN, KIM, History, history, snapshot

FIRST, SECOND, THIRD = "line1/filler", "line2/filler", "line3/filler"


class Site(NamedTuple):
    plant: PlantFolder
    key: str  # of the machine builder's laptop
    arrived: datetime  # when the FAT had been taken in
    whole: Report


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A FAT that came in a bundle, and a SAT that is half signed."""
    with running(THREE) as floor:
        plant, key, arrived = commissioned(tmp_path_factory.mktemp("dossier"), floor)
        yield Site(plant, key, arrived, dossier_of(scope_of(plant)))


def picked(found: list[dict[str, Cell]], *names: str) -> list[tuple[Cell, ...]]:
    return [tuple(row[name] for name in names) for row in found]


def test_the_handover_says_of_how_many_assets_there_is_what(site: Site) -> None:
    assert table(site.whole, "stages").rows == [("fat", 3, 2, 2, 0, 1, 0), ("sat", 3, 1, 0, 1, 1, 0)]
    assert table(site.whole, "commissioned").rows == [
        (THIRD, None, None, None, None, None),
        (FIRST, "line1", "imported", "approved", None, None),
        (SECOND, None, "imported", "proposed", None, None),
    ]
    assert list(sentences(site.whole, "handover")) == [
        ("attention", "Stage fat, of 3 assets: 2 approved (2 of these elsewhere), 1 with nothing."),
        ("attention", "Stage sat, of 3 assets: 1 approved, 1 proposed and not approved, 1 with nothing."),
        ("attention", "1 signature missing, of 1 open proposal."),
    ]


def test_who_has_still_to_sign_is_named(site: Site) -> None:
    (row,) = rows(site.whole, "to-sign")
    assert (row["asset"], row["stage"], row["role"], row["proposed_by"]) == (SECOND, "sat", "quality", "Ada")
    assert row["proposed_at"] == site.whole.until - timedelta(seconds=number(row["waiting"]))
    assert row["digest"] == digest_of(site.plant, f"{SECOND}@sat")


def number(cell: Cell) -> float:
    assert isinstance(cell, int | float)
    return cell


def digest_of(plant: PlantFolder, reference: str) -> str:
    return str(done(plant, "baseline", "show", reference, "--json")["digest"])


def test_each_capture_says_of_what_it_was_and_how(site: Site) -> None:
    found = rows(site.whole, "captures")
    assert picked(found, "asset", "stage", "state") == [
        (FIRST, "fat", "imported"),
        (FIRST, "sat", "approved"),
        (SECOND, "fat", "imported"),
        (SECOND, "sat", "proposed"),
    ]
    shown = done(site.plant, "baseline", "show", f"{FIRST}@sat", "--json")
    sat = found[1]
    assert picked([sat], "firmware", "serial_number", "manufacturer", "product_code", "model", "hardware_revision") == [
        ("2.4.1", "SN-17", "ACME", "P-9", None, None)
    ]
    assert picked([sat], "captures", "items", "constant", "varying", "dropped", "unread") == [
        (3, len(shown["items"]), 6, 2, 0, 1)
    ]
    assert sat["from"] == datetime.fromisoformat(shown["capture"]["from"])
    assert sat["until"] == datetime.fromisoformat(shown["capture"]["until"])
    assert sat["seconds"] == (moment(sat["until"]) - moment(sat["from"])).total_seconds() > 0
    assert (sat["digest"], sat["digest_short"]) == (shown["digest"], shown["digest"][:12])
    assert (sat["profile"], sat["profile_digest"], sat["origin"]) == ("p9", shown["profile"], None)
    assert sat["capture"] is not None
    assert (found[0]["dropped"], found[0]["origin"]) == (1, site.key)
    assert table(site.whole, "profiles").rows == [("p9", 4, shown["profile"])]


def moment(cell: Cell) -> datetime:
    assert isinstance(cell, datetime)
    return cell


def test_what_was_not_answered_is_said_with_the_reason(site: Site) -> None:
    found = rows(site.whole, "unread")
    assert picked(found, "asset", "stage") == [(FIRST, "fat"), (FIRST, "sat"), (SECOND, "fat"), (SECOND, "sat")]
    assert {picked([row], "item", "missed", "captures", "in_baseline")[0] for row in found} == {
        ("item.absent", 3, 3, False)
    }
    assert all("exception 2" in str(row["why"]) for row in found)
    assert list(sentences(site.whole, "captures")) == [
        ("good", "Every one of 4 baselines was read more than once."),
        ("unknown", "Of 32 items asked for 4 not answered."),
    ]


def test_what_varied_and_what_was_decided_the_undecided_first(site: Site) -> None:
    found = rows(site.whole, "varied")
    assert picked(found, "asset", "stage", "item", "decided", "why", "by", "tolerance") == [
        (FIRST, "sat", "item.batch", "undecided", None, None, None),
        (SECOND, "sat", "item.batch", "undecided", None, None, None),
        (FIRST, "fat", "item.batch", "dropped", "the process moves it", "Ada", None),
        (FIRST, "fat", "item.level", "tolerated", "± 9: the process moves it", "Ada", 9.0),
        (FIRST, "sat", "item.level", "kept", "firm", "Ada", None),
        (SECOND, "fat", "item.batch", "dropped", "the process moves it", "Ada", None),
        (SECOND, "fat", "item.level", "tolerated", "± 9: the process moves it", "Ada", 9.0),
        (SECOND, "sat", "item.level", "kept", "firm", "Ada", None),
    ]
    capture = done(site.plant, "baseline", "show", f"{FIRST}@sat", "--json")["capture"]
    said = next(each for each in capture["items"] if each["item"] == "item.batch")
    first = found[0]
    assert first["spread"] == f"{said['low']} to {said['high']}; 2 changes"
    assert picked([first], "low", "high", "changes", "missed", "reason") == [
        (str(said["low"]), str(said["high"]), 2, 0, None)
    ]
    assert first["values"] == str(said["values"])
    assert first["digest"] == digest_of(site.plant, f"{FIRST}@sat")
    assert found[3]["reason"] == "the process moves it"
    assert list(sentences(site.whole, "varied")) == [
        ("attention", "Varied, or decided about: 8 items; 2 undecided, and so unapproved.")
    ]


def test_who_said_what_in_which_role_and_where(site: Site) -> None:
    found = rows(site.whole, "signatures")
    assert picked(found[:6], "what", "who", "reason", "ticket") == [
        ("fat proposed", "Ada", None, None),
        ("fat signed off", "Bo (supplier)", "FAT protocol 17", None),
        ("fat approved", "Cem (customer)", "FAT protocol 17", None),
        ("sat proposed", "Ada", None, None),
        ("sat signed off", "Eve (customer)", "SAT", "SAT-4"),
        ("sat approved", "Flo (quality)", "SAT protocol 4", None),
    ]
    assert picked(found[6:], "asset", "what") == [
        (SECOND, "fat proposed"),
        (SECOND, "fat signed off"),
        (SECOND, "fat approved"),
        (SECOND, "sat proposed"),
        (SECOND, "sat signed off"),
    ]
    elsewhere, here = found[1], found[4]
    assert picked([elsewhere], "stage", "said", "by", "role", "state", "origin", "account") == [
        ("fat", "signed off", "Bo", "supplier", "imported", site.key, None)
    ]
    assert (here["origin"], here["key"], here["key_short"]) == (None, None, None)
    assert "@" in str(here["account"])
    with Database(scope_of(site.plant).plant.store_url).read() as tx:
        entries = {entry.id: entry for entry in store.audit_entries(tx)}
    assert [entries[int(number(row["entry"]))].action for row in found[:6]] == [
        *("baseline.import", "baseline.import", "baseline.import"),
        *("baseline.propose", "baseline.sign", "baseline.approve"),
    ]
    assert here["at"] == entries[int(number(here["entry"]))].at
    assert table(site.whole, "origins").rows == [(site.key, 2, 2)]
    assert list(sentences(site.whole, "signatures")) == [
        ("good", "Approved here: 1 baseline, each by others than who proposed it."),
        ("unknown", "Given here: 5 words, 5 of them without a key: who gave these is asserted, not proven."),
    ]


def test_the_stages_are_compared_as_baseline_diff_does_it(site: Site) -> None:
    said = site.plant.asbuilt("baseline", "diff", "fat", "sat", "--json")
    assert said.code == 1
    (row,) = rows(site.whole, "stage-differences")
    (deviation,) = said.json["deviations"]
    assert (row["asset"], row["item"], row["change"]) == (
        deviation["asset"],
        deviation["item"],
        deviation["kind"],
    )
    assert picked([row], "stages", "severity", "before", "after", "category", "unit", "tolerance") == [
        ("fat → sat", "high", "12.5", "14.0", "parameter", "l", 0.05)
    ]
    paired = rows(site.whole, "stage-pairs")
    assert picked(paired, "asset", "stages", "differences") == [(SECOND, "fat → sat", 1), (FIRST, "fat → sat", 0)]
    assert (paired[0]["before"], paired[0]["after"]) == (
        digest_of(site.plant, f"{SECOND}@fat"),
        digest_of(site.plant, f"{SECOND}@sat"),
    )
    assert (paired[0]["before_short"], paired[0]["after_short"]) == (
        str(paired[0]["before"])[:12],
        str(paired[0]["after"])[:12],
    )
    assert list(sentences(site.whole, "compared")) == [
        ("attention", "Of 2 assets with a baseline of fat and one of sat 1 differ, in 1 item.")
    ]


def test_files_are_named_with_their_digest(site: Site) -> None:
    (row,) = rows(site.whole, "files")
    assert picked([row], "asset", "kind", "name", "size", "added_by", "stage", "state") == [
        (FIRST, "firmware", "P9-2.4.1.bin", 8, "Ada", "sat", "approved")
    ]
    (held,) = done(site.plant, "vault", "list", "--json")["artefacts"]
    assert (row["file_digest"], row["digest"]) == (held["digest"], held["baseline"])
    assert moment(row["added_at"]) == datetime.fromisoformat(held["added_at"])
    assert list(sentences(site.whole, "files")) == [
        ("attention", "Of 2 assets with a baseline: 1 with a firmware file, 0 with a project file to restore it with.")
    ]


def test_every_item_is_there_what_a_device_runs_first(site: Site) -> None:
    found = rows(site.whole, "items")
    for reference in (f"{FIRST}@fat", f"{SECOND}@sat"):
        asset, _, stage = reference.partition("@")
        shown = done(site.plant, "baseline", "show", reference, "--json")["items"]
        here = {row["item"]: row["value"] for row in found if (row["asset"], row["stage"]) == (asset, stage)}
        assert here == {key: str(value) for key, value in shown.items()}
    assert [row["category"] for row in found[:9]] == ["firmware"] * 4 + ["program"] * 4 + ["identity"]
    limit = next(row for row in found if row["item"] == "item.limit")
    assert picked([limit], "tolerance", "severity", "category", "unit", "uncertain", "digest") == [
        (0.05, "high", "parameter", "l", False, digest_of(site.plant, f"{FIRST}@fat"))
    ]
    assert rows(site.whole, "item-counts") == [
        {"category": "firmware", "items": 4, "baselines": 4, "critical": 0, "high": 4, "tolerated": 0},
        {"category": "program", "items": 4, "baselines": 4, "critical": 4, "high": 0, "tolerated": 0},
        {"category": "identity", "items": 12, "baselines": 4, "critical": 0, "high": 12, "tolerated": 0},
        {"category": "parameter", "items": 8, "baselines": 4, "critical": 0, "high": 4, "tolerated": 6},
    ]


def test_machines_of_a_type_are_held_against_each_other(site: Site) -> None:
    found = rows(site.whole, "odd-ones")
    assert picked(found, "machine_type", "asset", "item", "severity", "has", "type_has", "state", "by") == [
        ("filler", FIRST, "item.limit", "high", "12.5", None, "undecided", "none"),
        ("filler", SECOND, "item.limit", "high", "14.0", None, "undecided", "none"),
    ]
    said = "Of 2 machines of type filler that were captured none is odd, but in 1 item no majority says what is right."
    assert list(sentences(site.whole, "conformity")) == [("unknown", said)]


def test_the_last_page_is_for_signing_on_paper(site: Site) -> None:
    sheet = table(site.whole, "for-signature")
    assert {str(row[0]).partition(": ")[2] for row in sheet.rows} == {"has received this dossier, with its annexes"}
    assert [str(row[0]).partition(": ")[0] for row in sheet.rows] == [
        "supplier (fat)",
        "customer (fat)",
        "customer (sat)",
        "quality (sat)",
        "machine builder",
    ]
    assert {cell for row in sheet.rows for cell in row[1:]} == {" "}
    assert site.whole.sections[-1].key == "signing"


def test_a_report_of_one_stage_is_of_that_stage(site: Site) -> None:
    of_fat = dossier_of(scope_of(site.plant, stage=Stage.FAT))
    assert of_fat.scope == "all of the plant: 3 assets, stage fat"
    assert table(of_fat, "stages").rows == [("fat", 3, 2, 2, 0, 1, 0)]
    for key in ("captures", "varied", "signatures", "items"):
        assert {row["stage"] for row in rows(of_fat, key)} == {"fat"}
    assert len(rows(of_fat, "stage-differences")) == 1  # compared it is all the same
    assert rows(of_fat, "files") == []
    none = dossier_of(scope_of(site.plant, stage=Stage.AS_LEFT))
    assert list(sentences(none, "handover")) == [
        ("bad", "Of 3 assets none has a baseline of stage as-left: nothing was commissioned.")
    ]
    assert table(none, "stages").rows == [("as-left", 3, 0, 0, 0, 3, 0)]


def test_what_came_later_is_not_in_it(site: Site) -> None:
    before = dossier_of(scope_of(site.plant, site.arrived))
    assert table(before, "stages").rows == [("fat", 3, 2, 2, 0, 1, 0)]
    assert picked(rows(before, "to-sign"), "asset", "role") == [
        (FIRST, "supplier"),
        (FIRST, "customer"),
        (SECOND, "supplier"),
        (SECOND, "customer"),
    ]
    assert picked(rows(before, "captures"), "asset", "state") == [(FIRST, "imported"), (SECOND, "imported")]
    assert rows(before, "files") == []
    assert before.entries < site.whole.entries
    assert dossier_of(scope_of(site.plant, site.arrived)) == before


def test_the_same_data_give_the_same_annexes(site: Site) -> None:
    scope = scope_of(site.plant, site.whole.until)
    assert annexes(dossier_of(scope)) == annexes(site.whole)


# ---- by the real actions, a minute after each other


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite alone: test_report_databases.py holds that PostgreSQL says the same."""
    return store_url("sqlite:///asbuilt.db", tmp_path)


@pytest.fixture
def lived(tmp_path: Path, database: Database) -> History:
    """All that can happen has happened, with keys of their own and four eyes."""
    return history(tmp_path, database)


def told(lived: History) -> Report:
    return of(lived.database, lived.plant, utc_now() + timedelta(days=1))


def of(database: Database, plant: Plant, until: datetime) -> Report:
    with database.read() as tx:
        return report(tx, Kind.COMMISSIONING, Scope(plant, tuple(plant.assets), True, BEGIN, until, until))


def test_a_word_with_a_key_names_it(lived: History) -> None:
    found = rows(told(lived), "signatures")
    plc = [row for row in found if row["asset"] == "plc"]
    assert picked(plc[:3], "what", "who", "ticket") == [
        ("fat proposed", "kim", "T-1"),
        ("fat signed off", "bo (supplier)", "T-2"),
        ("fat approved", "cem (customer)", "T-2"),
    ]
    assert plc[0]["key"] is None
    assert plc[1]["key"] == lived.signers["bo"].key
    assert plc[1]["key_short"] == lived.signers["bo"].key[:8]


def test_rejected_and_partly_approved_is_said(lived: History) -> None:
    whole = told(lived)
    oven = [row for row in rows(whole, "signatures") if row["asset"] == "oven"]
    assert picked(oven, "said", "state") == [
        ("proposed", "approved"),
        ("decided about items", "approved"),
        ("took a part of it", "approved"),
        ("approved", "approved"),
        ("proposed", "rejected"),
        ("rejected", "rejected"),
        ("proposed", "proposed"),
    ]
    assert picked([row for row in rows(whole, "varied") if row["asset"] == "oven"], "item", "decided", "why") == [
        ("item.b", "left-out", "a counter"),
        ("item.c", "left-out", "it is"),
    ]
    assert rows(whole, "stages")[1]["rejected"] == 1
    assert ("attention", "2 items not taken by the approver.") in list(sentences(whole, "varied"))


def test_a_single_reading_is_no_series(lived: History) -> None:
    found = {row["asset"]: row for row in rows(told(lived), "captures") if row["state"] == "approved"}
    assert picked([found["press"]], "captures", "seconds", "constant", "varying", "capture") == [
        (1, 0.0, None, None, None)
    ]
    assert found["press"]["until"] == found["press"]["from"]
    said = dict(sentences(told(lived), "captures"))
    assert "of a single reading: what varies there by itself is not known." in said["attention"]


def test_at_every_moment_it_is_what_it_was(tmp_path: Path, database: Database) -> None:
    """A dossier as of a time is the same, whether it was made then or later."""
    plant = load_plant(PlantFolder(tmp_path, {"plc": "modbus://10.0.0.1/1", "oven": "modbus://10.0.0.2/1"}).file)
    rules = Rules(Approval(sign_off={Stage.FAT: ("supplier", "customer")}))
    bo, cem = (Actor(name, "pc", role) for name, role in (("bo", "supplier"), ("cem", "customer")))
    kept = Decision("item.a", Choice.KEEP, "it is", "kim")
    firmware = ("p9.bin", Kept("d" * 64, 7, True))

    def captured(tx: Transaction, at: datetime) -> None:
        seen = [snapshot("plc", at + timedelta(seconds=each), a=each, b=1) for each in range(2)]
        actions.propose_captured(tx, seen, sort_captures(seen), (), Stage.FAT, KIM, at)

    steps: list[Callable[[Transaction, datetime], object]] = [
        captured,
        lambda tx, at: actions.decide(tx, "plc", [kept], KIM, "it is", at),
        lambda tx, at: actions.approve(tx, "plc", bo, "seen", at, rules=rules),
        lambda tx, at: actions.approve(tx, "plc", cem, "seen", at, rules=rules),
        lambda tx, at: artefacts.attach(tx, "plc", State.APPROVED, [firmware], ArtefactKind.FIRMWARE, KIM, at),
        lambda tx, at: actions.propose(tx, snapshot("plc", at, a=2, b=1), Stage.SAT, KIM, at),
        lambda tx, at: actions.reject(tx, "plc", KIM, "no", at),
        lambda tx, at: actions.propose(tx, snapshot("plc", at, a=3, b=1), Stage.FAT, KIM, at),
        lambda tx, at: actions.approve(tx, "plc", bo, "again", at),
    ]
    seen = []
    for number, step in enumerate(steps):
        at = BEGIN + timedelta(minutes=number)
        with database.write() as tx:
            step(tx, at)
        seen.append(of(database, plant, at + timedelta(seconds=30)))
    for number, before in enumerate(seen):
        assert of(database, plant, BEGIN + timedelta(minutes=number, seconds=30)) == before
    assert len({str(annexes(each)) for each in seen}) == len(steps)
    assert [picked(rows(each, "captures"), "stage", "state") for each in seen] == [
        *[[("fat", "proposed")]] * 3,
        *[[("fat", "approved")]] * 2,
        [("fat", "approved"), ("sat", "proposed")],
        [("fat", "approved")],
        [("fat", "approved"), ("fat", "proposed")],
        [("fat", "approved")],
    ]
    assert picked(rows(seen[0], "varied"), "item", "decided") == [("item.a", "undecided")]
    assert picked(rows(seen[1], "varied"), "item", "decided") == [("item.a", "kept")]
    assert ("good", "Every one of 1 item that varied was decided about.") in list(sentences(seen[1], "varied"))
    assert picked(rows(seen[4], "files"), "name", "file_digest") == [("p9.bin", "d" * 64)]
    assert rows(seen[-1], "captures")[0]["digest"] != rows(seen[4], "captures")[0]["digest"]
    nothing = of(database, plant, BEGIN)
    assert list(sentences(nothing, "handover")) == [
        ("bad", "Of 2 assets none has a baseline: nothing was commissioned.")
    ]
    assert all(not each.rows for each in nothing.tables if each.key not in ("commissioned", "for-signature"))


def test_a_renamed_asset_has_its_history(lived: History) -> None:
    before = [row["digest"] for row in rows(told(lived), "captures") if row["asset"] == "plc"]
    with lived.deciding() as tx:
        store.rename_asset(tx, "plc", "line1/plc")
        store.audit(tx, lived.now, KIM, "asset.rename", "plc", {"to": "line1/plc"})
    found = of(lived.database, renamed(lived), utc_now() + timedelta(days=1))
    assert [row["digest"] for row in rows(found, "captures") if row["asset"] == "line1/plc"] == before != []


def renamed(lived: History) -> Plant:
    assets = {name.replace("plc", "line1/plc"): polled for name, polled in lived.plant.assets.items()}
    return replace(lived.plant, assets=assets)


def test_an_entry_that_says_what_cannot_have_been_is_named(lived: History) -> None:
    with lived.deciding() as tx:
        detail = {"digest": "no such", "stage": "sat", "profile": "", "role": "", "reason": "", "ticket": ""}
        entry = store.audit(tx, lived.now, KIM, "baseline.approve", "plc", detail)
    text = f"Entry {entry.id} of the audit chain says what cannot have been: see asbuilt verify."
    assert next(sentences(told(lived), "handover")) == ("bad", text)


def test_what_was_forged_into_the_chain_breaks_nothing(lived: History) -> None:
    row: dict[str, object] = {name: "x" for name in verifier.BASELINE if name not in ("asset", "origin")} | {
        "signed": []
    }
    with lived.deciding() as tx:
        detail = {"baselines": json.dumps([row]), "origin": "k" * 64}
        entry = store.audit(tx, lived.now, KIM, "baseline.import", "plc", detail)
    assert f"Entry {entry.id} of the audit chain" in next(sentences(told(lived), "handover"))[1]


def test_what_somebody_changed_in_the_store_is_not_shown(tmp_path: Path, database: Database) -> None:
    """It is said instead: nothing is made up, and nothing breaks."""
    plant = load_plant(PlantFolder(tmp_path, {"plc": "modbus://10.0.0.1/1", "oven": "modbus://10.0.0.2/1"}).file)
    with database.write() as tx:
        for name, stage in product(plant.assets, (Stage.FAT, Stage.SAT)):
            fixed = {"b": float(stage is Stage.SAT), "c": float(len(name))}
            seen = [snapshot(name, BEGIN + timedelta(seconds=each), a=each, **fixed) for each in (1, 2)]
            actions.propose_captured(tx, seen, sort_captures(seen), (), stage, KIM, BEGIN)
            actions.approve(tx, name, KIM, "seen", BEGIN)
        oven = store.baselines(tx, ["oven"])
        tx.execute(update(tables.document).where(tables.document.c.digest == oven[0].capture).values(text="{"))
        tx.execute(update(tables.snapshot).where(tables.snapshot.c.digest == oven[1].digest).values(text="{"))
    found = of(database, plant, BEGIN + timedelta(days=1))
    assert picked(rows(found, "captures"), "asset", "stage", "captures", "items", "varying") == [
        ("plc", "fat", 2, 2, 1),
        ("plc", "sat", 2, 2, 1),
        ("oven", "fat", None, 2, None),
        ("oven", "sat", 2, None, 1),
    ]
    (said, *_) = sentences(found, "captures")
    assert said[0] == "bad"
    assert said[1].startswith("Of 4 baselines 2 cannot be shown as captured")
    assert picked(rows(found, "stage-pairs"), "asset", "differences") == [("oven", None), ("plc", 1)]
    assert ("unknown", "Of 2 assets with a baseline of fat and one of sat 1 cannot be compared: see the captures.") in (
        list(sentences(found, "compared"))
    )
    assert {row["asset"] for row in rows(found, "varied")} == {"plc", "oven"}
    assert [row["stage"] for row in rows(found, "items") if row["asset"] == "oven"] == ["fat", "fat"]


def test_many_assets_take_no_more_queries_than_few(tmp_path: Path) -> None:
    assert queries(tmp_path, 40) == queries(tmp_path, 4)


def queries(folder: Path, assets: int) -> int:
    """How many statements a dossier of so many assets takes."""
    here = folder / str(assets)
    here.mkdir()
    plant = load_plant(PlantFolder(here, {f"m{n}": f"modbus://10.0.0.{n + 1}/1" for n in range(assets)}).file)
    with closing(Database(plant.store_url)) as database:
        database.migrate()
        with database.write() as tx:
            for name in plant.assets:
                for stage in (Stage.FAT, Stage.SAT):
                    seen = [snapshot(name, BEGIN + timedelta(seconds=each), a=each, b=1) for each in range(2)]
                    actions.propose_captured(tx, seen, sort_captures(seen), (), stage, KIM, BEGIN)
        statements: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
        scope = Scope(plant, tuple(plant.assets), True, BEGIN, BEGIN + timedelta(days=1), BEGIN)
        with database.read() as tx:
            assert len(rows(report(tx, Kind.COMMISSIONING, scope), "captures")) == assets
    return len(statements)
