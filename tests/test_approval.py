"""Approving: what was seen, by whom, in which role, all of it or a part, and never against what was read since."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.asset import Criticality
from baselines.baseline import Approval, Baseline, SignOff, Stage, State, objection, partly
from baselines.snapshot import Dropped, Item, Snapshot, Unread
from tests.floors import Done, PlantFolder, RunningFloor, wait_for

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PROPOSED = Baseline(1, "plc", "d" * 64, State.PROPOSED, Stage.FAT, "", "ada", NOW)
WORD = SignOff("bo", "supplier", NOW)


@pytest.mark.parametrize(
    ("given_", "by", "role", "needed", "two", "why"),
    [
        ((), "bo", "", (), False, ""),
        ((), "ada", "", (), False, ""),
        ((), "ada", "", (), True, "somebody else approves"),
        ((), "bo", "", (), True, ""),
        ((), "bo", "supplier", ("supplier", "customer"), False, ""),
        ((), "bo", "quality", ("supplier", "customer"), False, "not 'quality'"),
        ((), "bo", "", ("supplier", "customer"), False, "--role"),
        ((WORD,), "bo", "customer", ("customer",), False, "already"),
        ((WORD,), "cem", "customer", ("customer",), False, ""),
        ((WORD,), "ada", "customer", ("customer",), True, "somebody else approves"),
    ],
)
def test_who_can_sign_a_proposal_off(
    given_: tuple[SignOff, ...], by: str, role: str, needed: tuple[str, ...], two: bool, why: str
) -> None:
    said = objection(PROPOSED, given_, by, role, needed, two)
    assert (said == "") == (why == "")
    assert why in said


def test_a_stage_needs_the_words_that_are_missing() -> None:
    approval = Approval(frozenset([Criticality.HIGH]), {Stage.FAT: ("supplier", "customer")})
    assert approval.needed(Stage.FAT, ()) == ("supplier", "customer")
    assert approval.needed(Stage.FAT, [WORD]) == ("customer",)
    assert approval.needed(Stage.SAT, ()) == ()
    assert (approval.takes_two(Criticality.HIGH), approval.takes_two(Criticality.LOW)) == (True, False)


KEYS = [f"item.{letter}" for letter in "abcde"]
SOME = st.sets(st.sampled_from(KEYS))


def snapshots(value: int) -> st.SearchStrategy[Snapshot]:
    """Each key is an item with this value, unread, dropped, or not there."""

    def made(kinds: dict[str, str]) -> Snapshot:
        of = {kind: [key for key in KEYS if kinds[key] == kind] for kind in ("item", "unread", "dropped")}
        return Snapshot.of(
            "plc",
            NOW,
            [Item(key, value) for key in of["item"]],
            [Unread(key, "silent") for key in of["unread"]],
            "p",
            [Dropped(key, "why") for key in of["dropped"]],
        )

    return st.fixed_dictionaries({key: st.sampled_from(["item", "unread", "dropped", ""]) for key in KEYS}).map(made)


@given(snapshots(1), snapshots(2), SOME)
def test_a_part_is_as_proposed_in_what_is_approved_and_else_as_before(
    approved: Snapshot, proposed: Snapshot, keys: set[str]
) -> None:
    part = partly(approved, proposed, keys)
    for key in KEYS:
        source = proposed if key in keys else approved
        assert part.by_key.get(key) == source.by_key.get(key)
        assert (key in part.left_out) == (key in source.left_out)
        assert (key in {gap.key for gap in part.unread}) == (key in {gap.key for gap in source.unread})
    assert partly(approved, proposed, set(KEYS)).digest == proposed.digest
    assert partly(approved, proposed, set()).digest == approved.digest
    assert partly(approved, part, keys).digest == part.digest


# On a real plant, with the real commands


def proposed(plant: PlantFolder, *more: str) -> Any:
    done = plant.asbuilt("baseline", "propose", "line1/filler", "--json", *more)
    assert done.code == 0, done.err
    return done.json["baselines"][0]


def approve(plant: PlantFolder, by: str, *more: str) -> Done:
    return plant.asbuilt("baseline", "approve", "line1/filler", "--by", by, "--reason", "seen", *more)


def verdict(plant: PlantFolder) -> str:
    return str(plant.asbuilt("check", "line1/filler", "--json").asset("line1/filler")["verdict"])


def test_an_approval_against_what_was_read_since_is_refused_with_the_difference(
    plant: PlantFolder, floor: RunningFloor
) -> None:
    digest = proposed(plant, "--by", "ada")["digest"]
    floor.apply("line1/filler", set={"limit": 14.0})
    plant.asbuilt("check", "line1/filler")
    refused = approve(plant, "bo", "--digest", digest)
    assert (refused.code, "item.limit changed from 12.5 to 14.0" in refused.err) == (2, True)
    assert "--although-changed" in refused.err
    assert approve(plant, "bo", "--digest", digest, "--although-changed").code == 0
    (alert,) = plant.asbuilt("alerts", "list", "--json").json["alerts"]
    assert (alert["item"], alert["observed"]) == ("item.limit", 14.0)


def test_a_jitter_within_the_tolerance_is_no_difference(plant: PlantFolder, floor: RunningFloor) -> None:
    proposed(plant)
    floor.apply("line1/filler", set={"limit": 12.53})
    plant.asbuilt("check", "line1/filler")
    assert approve(plant, "bo").code == 0


def test_these_items_and_not_those(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    floor.apply("line1/filler", set={"limit": 14.0, "crc": "cafecafe"})
    proposed(plant)
    done = approve(plant, "bo", "--only", "item.limit")
    assert done.code == 0
    document = plant.asbuilt("check", "line1/filler", "--json").asset("line1/filler")
    assert [deviation["item"] for deviation in document["deviations"]] == ["item.crc"]
    items = plant.asbuilt("baseline", "show", "line1/filler", "--json").json["items"]
    assert (items["item.limit"], items["item.crc"]) == (14.0, "deadbeef")
    proposed(plant)
    assert approve(plant, "bo", "--without", "item.crc").code == 0
    assert verdict(plant) == "drift"
    assert "no_such" in approve(plant, "bo", "--only", "no_such").err
    assert plant.asbuilt("verify").code == 0


def with_approval(plant: PlantFolder, table: str) -> None:
    plant.file.write_text(f"{plant.file.read_text()}\n[approval]\n{table}\n")


def test_a_stage_is_approved_when_every_role_has_signed(plant: PlantFolder) -> None:
    with_approval(plant, 'sign_off = { fat = ["supplier", "customer"] }')
    proposed(plant, "--stage", "fat")
    assert "supplier, customer" in approve(plant, "bo").err
    first = approve(plant, "bo", "--role", "supplier", "--json")
    assert first.json["baselines"][0]["state"] == "proposed"
    assert first.json["baselines"][0]["to_sign"] == ["customer"]
    assert verdict(plant) == "no-baseline"
    assert "already" in approve(plant, "bo", "--role", "customer").err
    second = approve(plant, "cem", "--role", "customer", "--ticket", "FAT-17", "--json").json["baselines"][0]
    assert (second["state"], second["approved_by"], second["ticket"]) == ("approved", "cem", "FAT-17")
    signed = plant.asbuilt("baseline", "show", "line1/filler", "--json").json["signed"]
    assert [(word["by"], word["role"]) for word in signed] == [("bo", "supplier"), ("cem", "customer")]
    assert verdict(plant) == "match"
    assert plant.asbuilt("verify").code == 0


class People:
    """Ada, Bo and Cem, registered, with a key file each; Dee with a password."""

    def __init__(self, plant: PlantFolder) -> None:
        self.plant = plant
        self.add("ada", "--role", "admin")
        for name in ("bo", "cem"):
            self.add(name, "--role", "approver", "--by", "ada", "--key", self.key("ada"))

    def key(self, name: str) -> str:
        return str(self.plant.folder / f"{name}.pem")

    def add(self, name: str, *more: str) -> None:
        done = self.plant.asbuilt("person", "add", name, "--new-key", self.key(name), *more)
        assert done.code == 0, done.err

    def signed(self, name: str) -> tuple[str, ...]:
        return "--by", name, "--key", self.key(name)


@pytest.fixture
def people(plant: PlantFolder) -> People:
    with_approval(plant, "four_eyes = true")
    return People(plant)


def test_by_four_eyes_both_sign_and_they_are_two(plant: PlantFolder, people: People) -> None:
    unsigned = plant.asbuilt("baseline", "propose", "line1/filler", "--by", "ada")
    assert (unsigned.code, "--key" in unsigned.err) == (2, True)
    proposed(plant, *people.signed("ada"))
    for words, why in (
        (("--by", "bo"), "signs with a key"),
        (people.signed("ada"), "somebody else approves"),
        (("--by", "bo", "--key", people.key("cem")), "not the key of bo"),
        (("--by", "mallory", "--key", people.key("bo")), "not the key of mallory"),
    ):
        refused = plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "r", *words)
        assert (refused.code, why in refused.err) == (2, True), refused.err
    done = plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "r", *people.signed("bo"))
    assert (done.code, verdict(plant)) == (0, "match")
    assert plant.asbuilt("verify", "--json").json["ok"]


def test_by_four_eyes_nobody_approves_what_they_decided_alone(plant: PlantFolder, people: People) -> None:
    words = ("commission", "line1/filler", "--captures", "1", *people.signed("ada"))
    assert plant.asbuilt(*words).code == 0
    decide = ("baseline", "decide", "line1/filler", "--drop", "item.crc", "--because", "x")
    for who, why in (
        (("--by", "ada"), "signs with a key"),
        (people.signed("bo"), "ada proposed it"),
        (("--by", "ada", "--key", people.key("bo")), "not the key of ada"),
    ):
        refused = plant.asbuilt(*decide, *who)
        assert (refused.code, why in refused.err) == (2, True), refused.err
    assert plant.asbuilt(*decide, *people.signed("ada")).code == 0
    assert approve(plant, "bo", "--key", people.key("bo")).code == 0
    assert plant.asbuilt("verify").code == 0


def test_what_was_proposed_before_four_eyes_looked_is_proposed_anew(plant: PlantFolder, people: People) -> None:
    with_eyes = plant.file.read_text()
    plant.file.write_text(with_eyes.replace("four_eyes = true", ""))
    proposed(plant, "--by", "ada")
    plant.file.write_text(with_eyes)
    refused = approve(plant, "bo", "--key", people.key("bo"))
    assert (refused.code, "what ada did" in refused.err) == (2, True)
    proposed(plant, *people.signed("ada"))
    assert plant.asbuilt("assets", "rename", "line1/filler", "line1/old", "--reason", "r").code == 0
    part = ("baseline", "approve", "line1/old", "--reason", "r", "--only", "item.*")
    assert plant.asbuilt(*part, *people.signed("bo")).code == 0


def test_a_word_that_was_given_unsigned_does_not_count_by_four_eyes(plant: PlantFolder, people: People) -> None:
    with_eyes = plant.file.read_text() + 'sign_off = { as-found = ["supplier", "customer"] }\n'
    plant.file.write_text(with_eyes.replace("four_eyes = true", ""))
    proposed(plant, *people.signed("ada"))
    assert approve(plant, "somebody", "--role", "supplier").code == 0
    plant.file.write_text(with_eyes.replace('"supplier", "customer"', '"supplier", "approver"'))
    refused = approve(plant, "bo", "--key", people.key("bo"))
    assert (refused.code, "what somebody did" in refused.err) == (2, True), refused.err


def test_nobody_breaks_the_chain_with_a_key_that_is_not_theirs(
    plant: PlantFolder, floor: RunningFloor, people: People
) -> None:
    proposed(plant, *people.signed("ada"))
    assert approve(plant, "bo", "--key", people.key("bo")).code == 0
    floor.apply("line1/filler", set={"limit": 13.0})
    assert verdict(plant) == "drift"
    for words in (
        ("alerts", "ack", "1"),
        ("alerts", "shelve", "1", "--until", "+1h", "--reason", "r"),
    ):
        for by in ("ada", "shift lead"):
            refused = plant.asbuilt(*words, "--by", by, "--key", people.key("bo"))
            assert (refused.code, f"not the key of {by}" in refused.err) == (2, True), refused.err
    assert plant.asbuilt("verify").code == 0


def test_a_key_and_a_name_are_written_in_one_way(plant: PlantFolder, people: People) -> None:
    ada, *_ = (person["public_key"] for person in plant.asbuilt("person", "list", "--json").json["persons"])
    for key in (ada.upper(), " ".join((ada[:32], ada[32:]))):
        refused = plant.asbuilt("person", "add", "eve", "--public-key", key, *people.signed("ada"))
        assert (refused.code, "somebody else's" in refused.err) == (2, True), refused.err
    done = plant.asbuilt("person", "add", " eve\udcff ", "--public-key", "11" * 32, *people.signed("ada"))
    assert done.code == 0, done.err
    listed = plant.asbuilt("person", "list", "--json").json["persons"]
    assert [person["person"] for person in listed] == ["ada", "bo", "cem", "eve?"]


def test_four_eyes_can_look_at_critical_assets_alone(plant: PlantFolder) -> None:
    text = plant.file.read_text().replace('[asset."line1/filler"]', '[asset."line1/filler"]\ncriticality = "high"')
    plant.file.write_text(text)
    with_approval(plant, 'four_eyes = ["high", "safety"]')
    assert plant.asbuilt("baseline", "propose", "line1/filler").code == 2
    assert plant.asbuilt("baseline", "propose", "line2/filler").code == 0


def test_a_person_signs_with_a_password(plant: PlantFolder, people: People) -> None:
    plant.more = {"ASBUILT_NEW_PASSWORD": "correct horse"}
    assert plant.asbuilt("person", "add", "dee", "--role", "approver", *people.signed("ada")).code == 0
    plant.more = {}
    proposed(plant, *people.signed("ada"))
    words = ["baseline", "approve", "line1/filler", "--by", "dee", "--reason", "r"]
    for password, code in (("wrong horse", 2), ("", 2), ("correct horse", 0)):
        plant.more = {"ASBUILT_PASSWORD": password}
        assert plant.asbuilt(*words).code == code
    assert not any(b"correct horse" in file.read_bytes() for file in plant.folder.iterdir())


def test_who_signs_is_decided_by_who_signs_already(plant: PlantFolder, people: People) -> None:
    alone = plant.asbuilt("person", "add", "eve", "--new-key", people.key("eve"))
    assert (alone.code, "who signs already" in alone.err) == (2, True)
    no_admin = plant.asbuilt("person", "add", "eve", "--new-key", people.key("eve2"), *people.signed("bo"))
    assert (no_admin.code, "no admin" in no_admin.err) == (2, True)
    assert not (plant.folder / "eve.pem").exists()
    removed = plant.asbuilt("person", "remove", "bo", "--reason", "left", *people.signed("ada"))
    assert removed.code == 0
    proposed(plant, *people.signed("ada"))
    gone = approve(plant, "bo", "--key", people.key("bo"))
    assert (gone.code, "not the key of bo" in gone.err) == (2, True)
    listed = plant.asbuilt("person", "list", "--json").json["persons"]
    assert [person["person"] for person in listed] == ["ada", "cem"]
    assert plant.asbuilt("verify").code == 0


def test_a_key_file_that_others_may_read_is_refused(plant: PlantFolder, people: People) -> None:
    os.chmod(people.key("ada"), 0o644)
    refused = plant.asbuilt("baseline", "propose", "line1/filler", *people.signed("ada"))
    assert (refused.code, "chmod 600" in refused.err) == (2, True)


def test_of_two_people_who_approve_at_once_one_wins_and_the_other_is_told(plant: PlantFolder, people: People) -> None:
    proposed(plant, *people.signed("ada"))
    approving = [
        plant.meanwhile("baseline", "approve", "line1/filler", "--reason", "r", *people.signed(name))
        for name in ("bo", "cem")
    ]
    ended = sorted((done.code, done.err) for done in (each.ended() for each in approving))
    assert [code for code, _ in ended] == [0, 2]
    assert "no open proposal" in ended[1][1]
    assert plant.asbuilt("verify").code == 0


def test_what_varied_is_decided_afterwards_and_is_on_record(plant: PlantFolder, floor: RunningFloor) -> None:
    words = ("commission", "line1/filler", "--captures", "2", "--every", "2s", "--json")
    capturing = plant.meanwhile(*words)
    seen = floor.plcs["line1/filler"].seen
    wait_for(lambda: seen.connections == 1 and not seen.open, "the first capture")
    floor.apply("line1/filler", set={"limit": 13.0, "mode": 7})
    document = capturing.ended().json
    assert [(row["item"], row["low"], row["high"], row["changes"], row["decided"]) for row in document["varying"]] == [
        ("item.limit", 12.5, 13.0, 1, False),
        ("item.mode", 3, 7, 1, False),
    ]
    nothing = plant.asbuilt("baseline", "decide", "line1/filler", "--drop", "item.no_such", "--because", "x")
    assert (nothing.code, "nothing was captured of item.no_such" in nothing.err) == (2, True)
    decide = ("baseline", "decide", "line1/filler", "--because")
    decided = plant.asbuilt(*decide, "the shift sets it", "--drop", "item.mode")
    assert (decided.code, "item.limit varies" in decided.out) == (0, True)
    assert plant.asbuilt(*decide, "trimmed by hand", "--tolerate", "item.limit=1").code == 0
    assert approve(plant, "bo").code == 0
    shown = plant.asbuilt("baseline", "show", "line1/filler", "--json").json
    assert shown["dropped"] == {"item.mode": "the shift sets it"}
    assert {each["item"]: each["reason"] for each in shown["capture"]["decisions"]} == {
        "item.mode": "the shift sets it",
        "item.limit": "trimmed by hand",
    }
    floor.apply("line1/filler", set={"limit": 12.2, "mode": 3})
    assert verdict(plant) == "match"
    floor.apply("line1/filler", set={"limit": 11.0})
    assert verdict(plant) == "drift"
    assert plant.asbuilt("verify").code == 0


def test_an_undecided_item_is_unapproved_and_never_shown_as_fine(plant: PlantFolder, floor: RunningFloor) -> None:
    words = ("commission", "line1/filler", "--captures", "2", "--every", "2s")
    capturing = plant.meanwhile(*words)
    seen = floor.plcs["line1/filler"].seen
    wait_for(lambda: seen.connections == 1 and not seen.open, "the first capture")
    floor.apply("line1/filler", set={"limit": 13.0})
    assert capturing.ended().code == 0
    assert approve(plant, "bo").code == 0
    assert verdict(plant) == "no-baseline"
    assert "not in the approved baseline: item.limit\n" in plant.asbuilt("check", "line1/filler").out


def test_a_decision_about_nothing_that_was_captured_is_said_and_bytes_are_no_bug(plant: PlantFolder) -> None:
    words = ("commission", "line1/filler", "--captures", "1", "--because", "x")
    done = plant.asbuilt(*words, "--drop", "item.crc", "--keep", "item.crcs", "--drop", "item.z*")
    said = [line for line in done.err.splitlines() if "nothing was captured" in line]
    assert (done.code, len(said)) == (0, 2), done.err
    assert ("--keep item.crcs" in said[1], "--drop item.z*" in said[0]) == (True, True)
    decided = plant.asbuilt("baseline", "decide", "line1/filler", "--keep", "item.crc", "--because", "\udcff")
    assert decided.code == 0, decided.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("commission", "--drop", "item.limit"), "--because is missing"),
        (("commission", "--tolerate", "item.limit", "--because", "x"), "ITEM=AMOUNT"),
        (("commission", "--tolerate", "item.limit=-1", "--because", "x"), "ITEM=AMOUNT"),
        (("baseline", "decide", "line1/filler", "--because", "x"), "say what is decided"),
        (("baseline", "decide", "line*", "--drop", "x", "--because", "x"), "name one"),
        (("person", "add", "x y", "--role", "a b", "--new-key", "k"), "one word"),
        (("person", "add", "x", "--public-key", "abc"), "64 hexadecimal digits"),
        (("person", "add", " ", "--new-key", "k"), "empty"),
        (("person", "add", "x\ny", "--new-key", "k"), "one line"),
        (("person", "add", "x"), "ASBUILT_NEW_PASSWORD"),
    ],
)
def test_a_wrong_call_is_a_sentence(plant: PlantFolder, words: tuple[str, ...], why: str) -> None:
    done = plant.asbuilt(*words)
    assert (done.code, why in done.err) == (2, True), done.err


def test_a_changed_configuration_is_written_down_before_what_is_decided_under_it(plant: PlantFolder) -> None:
    proposed(plant)
    with_approval(plant, 'sign_off = { as-found = ["customer"] }')
    assert approve(plant, "bo", "--role", "customer").code == 0
    export = plant.folder / "evidence.jsonl"
    assert plant.asbuilt("verify", "--export", str(export)).code == 0
    rows = [json.loads(line) for line in export.read_text().splitlines()]
    entries = [each["row"] for each in rows if each["table"] == "audit_entry"]
    assert [entry["action"] for entry in entries][-2:] == ["configuration.change", "baseline.approve"]
    assert json.loads(entries[-2]["detail"])["changes"] == 'approval.sign_off.as-found: – → ["customer"]'


def test_the_key_and_the_checkpoints_are_kept_beside_the_plant(plant: PlantFolder) -> None:
    proposed(plant)
    key = plant.folder / "asbuilt.key"
    assert key.stat().st_mode & 0o077 == 0
    assert (plant.folder / "asbuilt.checkpoints").read_text().count("\n") >= 1
    assert not Path("asbuilt.key").exists()
