"""Baselines on the page and in the API: what waits, the review, deciding, approving, by whom, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from sqlalchemy import text

from baselines.baseline import Stage
from baselines.capture import sort_captures
from baselines.review import Difference, differing, review
from baselines.snapshot import Category, Dropped, Item, Severity, Snapshot, Unread
from monitor import actions, persons, store
from monitor.config import load_plant
from monitor.keys import Signer, seal
from monitor.polling import utc_now
from monitor.reviewing import count_differing
from monitor.store import Actor, Database, Person, Session, Token
from monitor.web.access import COOKIE, digest_of
from tests.floors import PlantFolder, RunningFloor, wait_for
from tests.histories import BEGIN, PLANT, History
from tests.sites import EVERYTHING, PASSWORD, Visitor, browsing, register, serving, sign_in

HOSTILE = '<script>alert("x")</script>\x1b[2J'
TAGS = re.compile(r"<[^>]*>")
PRESS = {"asset": "press", "password": PASSWORD, "reason": "seen"}


@dataclass
class Desk:
    """A plant with a history, its pages, and the people who sit at them, each with a session."""

    history: History
    served: Visitor
    open: ExitStack
    people: dict[str, Visitor] = field(default_factory=dict)

    def visitor(self, name: str) -> Visitor:
        if name not in self.people:
            client = httpx.Client(base_url=self.served.client.base_url, follow_redirects=True, timeout=30)
            self.people[name] = Visitor(self.open.enter_context(client), self.served.site)
            client.cookies.set(COOKIE, secret := f"session of {name}")
            with self.served.site.database.write() as tx:
                made = Session(digest_of(secret), name, "ab" * 32, "127.0.0.1", utc_now(), utc_now())
                store.add_session(tx, made)
        return self.people[name]

    def token(self, name: str, *scopes: str) -> str:
        secret = f"token of {name} {scopes}"
        with self.served.site.database.write() as tx:
            store.add_token(tx, Token(0, digest_of(secret), name, "t", scopes, utc_now()))
        return secret

    def review(self, asset: str, name: str = "bo") -> str:
        return self.visitor(name).get("/baselines/review", params={"asset": asset}).text

    def post(self, name: str, path: str, data: dict[str, Any]) -> httpx.Response:
        return self.visitor(name).post(f"/baselines/{path}", data)


def digest_in(page: str) -> str:
    return str(re.findall(r'name="digest" value="([0-9a-f]{64})"', page)[0])


def _seen(page: str) -> list[tuple[str, str]]:
    return re.findall(r'name="asset" value="([^"]+)"><input type="hidden" name="digest" value="([0-9a-f]{64})"', page)


def words(answer: httpx.Response | str) -> str:
    """What a page says, without its tags."""
    page = answer if isinstance(answer, str) else answer.text
    return " ".join(unescape(TAGS.sub(" ", page.split("<main")[1].split("</main>")[0])).split())


@cache
def _person(name: str) -> tuple[Signer, str]:
    """The key of somebody, and the same sealed with their password: that takes its time, so it is made once."""
    signer = Signer.new()
    return signer, seal(signer, PASSWORD)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "plant.toml").write_text(PLANT)
    plant = load_plant(tmp_path / "plant.toml")
    database = Database(plant.store_url)
    database.migrate()
    with ExitStack() as stack:
        made = Desk(History(plant, database), stack.enter_context(serving(plant, database=database)), stack)
        for name, roles in {"ada": EVERYTHING, "bo": ("approver", "supplier"), "vi": ("viewer",)}.items():
            signer, sealed = _person(name)
            made.history.signers[name] = signer
            admin = made.history.actor("ada") if name != "ada" else Actor("ada", "test")
            with made.history.deciding(admin) as tx:
                persons.add_person(tx, Person(name, tuple(roles), signer.key, sealed), admin, made.history.now)
        yield made


# What a review says


def test_every_way_in_which_a_key_can_differ_is_a_line_of_a_review() -> None:
    before = Snapshot.of(
        "plc",
        BEGIN,
        [Item("a", 1), Item("b", 1.0, tolerance=0.1), Item("c", 1), Item("d", 1), Item("e", 1), Item("f", 1)],
        [Unread("g", "silent"), Unread("h.i", "refused")],
        dropped=[Dropped("j", "a counter")],
    )
    after = Snapshot.of(
        "plc",
        BEGIN,
        [
            Item("a", 1),
            Item("b", 1.0, tolerance=0.5),
            Item("c", 1, severity=Severity.HIGH),
            Item("d", 2),
            Item("g", 7),
            Item("j", 3),
        ],
        [Unread("e", "silent"), Unread("h.i", "silent")],
        dropped=[Dropped("k", "noise")],
    )
    found = {line.key: line.difference.value for line in review(before, after)}
    assert found == {
        "a": "same",
        "b": "conditions",
        "c": "conditions",
        "d": "changed",
        "e": "unread",
        "f": "removed",
        "g": "added",
        "h.i": "unread",
        "j": "added",
        "k": "dropped",
    }
    assert differing(review(before, before)) == []
    for one, other in ((before, after), (after, before), (before, before)):
        assert count_differing(one.text, other.text) == len(differing(review(one, other)))
    assert {line.difference for line in review(None, before)} <= {
        Difference.ADDED,
        Difference.UNREAD,
        Difference.DROPPED,
    }
    older = Snapshot.of("plc", BEGIN, [Item("f", "V2.1", Category.FIRMWARE)])
    newer = Snapshot.of("plc", BEGIN, [Item("f", "V1.9", Category.FIRMWARE)])
    (line,) = review(older, newer)
    assert (line.severity, line.techniques, line.direction) == ("critical", ("T0857",), "downgrade")


# What waits, and what is approved


def test_the_list_says_what_waits_and_what_has_no_baseline(desk: Desk) -> None:
    made = desk.history
    made.propose("plc", stage=Stage.SAT, a=1, b=2)
    made.approve("plc")
    made.propose("plc", stage=Stage.FAT, a=1, b=3, c=4)
    page = desk.visitor("bo").get("/baselines")
    said = words(page)
    assert "Waiting for a decision: 1 " in said
    assert re.search(r"plc fat kim, \S+ \S+ ago 2 0 supplier, customer as built T-1", said), said
    assert "press ○ no baseline" in said
    assert 'type="checkbox"' in page.text
    viewer = desk.visitor("vi").get("/baselines").text
    assert 'type="checkbox"' not in viewer
    assert "/baselines/propose" not in viewer
    for asked, there, gone in (
        ({"show": "none"}, "press", "Waiting for"),
        ({"show": "waiting"}, "plc", "no baseline"),
        ({"show": "approved"}, "2026-11-23", "press"),
        ({"q": "p*c"}, "plc", "press"),
        ({"q": "<b>"}, "No asset fits the filter", "plc"),
        ({"stage": "fat"}, "Waiting for a decision: 1 ", "press"),
        ({"zone": "nowhere"}, "No asset fits the filter", "plc"),
        ({"page": "99"}, "plc", "No asset"),
    ):
        listed = words(desk.visitor("bo").get("/baselines", params=asked))
        assert (there in listed, gone in listed.partition("Filter ")[2]) == (True, False), (asked, listed)
    stages = words(desk.visitor("vi").get("/baselines/stages", params={"asset": "plc"}))
    assert "item.b 3.0 ≠ differs: 2.0" in stages.replace("3 ≠ differs: 2 ", "3.0 ≠ differs: 2.0 ")
    assert "1 are the same in every stage" in stages
    own = words(desk.visitor("vi").get("/baselines/of/plc@sat"))
    assert "approved" in own
    assert "kim" in own
    compared = words(desk.visitor("vi").get("/baselines/compare", params={"a": "plc@sat", "b": "plc@fat"}))
    assert "2 differences" in compared
    wrong = desk.visitor("vi").get("/baselines/compare", params={"a": "plc", "b": "nowhere"})
    assert (wrong.status_code, "no baseline is named nowhere" in words(wrong), 'value="plc"' in wrong.text) == (
        422,
        True,
        True,
    )
    for path in ("/baselines/of/no%00such", "/baselines/of/%3Cscript%3E", "/baselines/stages?asset=x"):
        answer = desk.visitor("vi").get(path)
        assert (answer.status_code, "<script>" in answer.text.partition("<main")[2]) == (422, False), path


# Approving


def test_four_eyes_a_password_and_the_digest_that_was_seen(desk: Desk) -> None:
    made = desk.history
    made.propose("press", made.actor("ada"), a=1, b=2)
    own = words(desk.review("press", "ada"))
    assert "You cannot approve it: ada proposed it: by four eyes somebody else approves. Who can: bo." in own
    assert "press" in words(desk.review("press", "vi"))
    seen = digest_in(desk.review("press"))
    for name, data, status, why in (
        ("vi", PRESS, 403, "takes the role approver"),
        ("ada", PRESS, 409, "by four eyes somebody else approves"),
        ("bo", {**PRESS, "password": ""}, 422, "your password is missing"),
        ("bo", {**PRESS, "password": "wrong horse"}, 422, "this is not the password of bo"),
        ("bo", {**PRESS, "reason": " "}, 422, "the reason is missing"),
        ("bo", {**PRESS, "role": "customer"}, 409, "not as customer"),
        ("bo", {**PRESS, "digest": ""}, 422, "open the review again"),
        ("bo", {**PRESS, "digest": "0" * 64}, 409, "It has moved on"),
        ("bo", {**PRESS, "asset": "no such"}, 422, "there is no asset"),
    ):
        answer = desk.post(name, "approve", {"digest": seen, "ticket": "T-77", **data})
        assert (answer.status_code, why in words(answer)) == (status, True), (why, words(answer))
        assert PASSWORD not in answer.text
        if status == 409:
            assert "T-77" in answer.text, "what was typed is not lost"
    made.propose("press", made.actor("ada"), a=1, b=3)
    assert "It has moved on" in words(desk.post("bo", "reject", {"digest": seen, **PRESS}))
    data = {"digest": digest_in(desk.review("press")), **PRESS}
    desk.visitor("bo"), desk.visitor("ada")
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: desk.visitor("bo").post("/baselines/approve", data), range(2)))
    assert sorted(answer.status_code for answer in both) == [200, 409]
    (lost,) = [words(answer) for answer in both if answer.status_code == 409]
    assert "press: no open proposal" in lost
    assert "was approved by bo" in lost
    with made.database.read() as tx:
        entry = list(store.audit_entries(tx))[-1]
    assert (entry.action, entry.actor, "signature" in entry.detail) == ("baseline.approve", "bo", True)


def test_a_part_is_approved_by_boxes_and_never_by_a_pattern(desk: Desk) -> None:
    made = desk.history
    made.propose("plc", a=1, b=2)
    made.approve("plc")
    with made.deciding() as tx:
        odd = [Item("item.a", 5), Item("item.b", 6), Item("item.*", HOSTILE), Item(f"item.{HOSTILE!r}", "\ud800")]
        actions.propose(tx, Snapshot.of("plc", made.now, odd, profile="p" * 64), Stage.SAT, Actor("kim", "t"), made.now)
    page = desk.review("plc")
    assert "<script>alert" not in page
    assert "4 differences" in words(page)
    data = {"asset": "plc", "digest": digest_in(page), "reason": "seen", "parts": "4"}
    for more, why in (
        ({}, "no item is ticked"),
        ({"item": ["item.c"]}, "neither the proposal nor the baseline has an item item.c"),
        ({"parts": "x", "item": ["item.a"]}, "this is no number"),
    ):
        answer = desk.post("bo", "approve", {**data, **more})
        assert (answer.status_code, why in words(answer)) == (422, True), words(answer)
    again = desk.post("bo", "approve", {**data, "item": ["item.a"], "reason": ""}).text
    kept = [line for line in again.splitlines() if 'name="item"' in line and " checked" in line]
    assert (len(kept), 'value="item.a"' in kept[0]) == (1, True), "what was ticked is not lost"
    assert desk.post("bo", "approve", {**data, "item": ["item.*"]}).status_code == 200
    with made.database.read() as tx:
        (approved,) = store.baselines(tx, ["plc"], state=store.baselines(tx)[0].state.APPROVED)
        held = store.baseline_snapshot(tx, approved).by_key
    assert (held["item.a"].value, held["item.*"].value) == (1, HOSTILE), "item.* is an item here, and no pattern"
    assert made.tables()  # the evidence can be read
    whole = desk.visitor("vi").get("/baselines/of/plc").text
    assert "<script>alert" not in whole
    assert "\x1b" not in whole


def test_what_was_read_since_is_shown_and_takes_a_tick(desk: Desk) -> None:
    made = desk.history
    made.propose("plc", a=1)
    made.observe("plc", a=2)
    page = desk.review("plc")
    assert "It has changed since it was proposed." in words(page)
    assert "item.a changed from 1 to 2" in words(page)
    data = {"asset": "plc", "digest": digest_in(page), "reason": "seen"}
    refused = desk.post("bo", "approve", data)
    assert (refused.status_code, "and differs from what is proposed" in words(refused)) == (409, True)
    assert desk.post("bo", "approve", {**data, "although_changed": "yes"}).status_code == 200


def test_roles_sign_one_after_the_other_and_several_are_approved_together(desk: Desk) -> None:
    made = desk.history
    made.propose("plc", stage=Stage.FAT, a=1)
    made.propose("oven", a=1)
    page = desk.visitor("bo").get("/baselines/review", params={"asset": ["plc", "oven"]}).text
    digests = re.findall(r'name="digest" value="([0-9a-f]{64})"', page)
    assert "only proposals of one stage are approved together" in words(page)
    assert digests == []
    with made.database.read() as tx:
        of = {each.asset: each.digest for each in store.baselines(tx)}
    data = {"asset": ["plc", "oven"], "digest": [of["plc"], of["oven"]], "reason": "seen"}
    assert desk.post("bo", "approve", data).status_code == 422
    alone = desk.post("ada", "approve", {"asset": "plc", "digest": of["plc"], "reason": "seen"})
    assert (alone.status_code, "ada is none of these" in words(alone)) == (409, True)
    assert "You sign as supplier" in words(desk.review("plc"))
    done = desk.post("bo", "approve", {"asset": "plc", "digest": of["plc"], "reason": "seen", "role": "supplier"})
    assert "plc: signed off, still to sign: customer" in words(done)
    again = words(desk.review("plc"))
    assert "bo as supplier" in again
    assert "bo has signed it off already" in again
    made.propose("plc", a=2)
    page = desk.visitor("bo").get("/baselines/review", params={"asset": ["plc", "oven"]}).text
    data["digest"] = re.findall(r'name="digest" value="([0-9a-f]{64})"', page)
    assert "Approve all 2" in words(page)
    done = desk.post("bo", "approve", data)
    assert [f"{name}: {digest[:12]} is approved" in words(done) for name, digest in _seen(page)] == [True, True]
    assert "Nothing to review" in words(desk.review("plc"))


def test_what_varied_is_decided_item_by_item(desk: Desk) -> None:
    made = desk.history
    with made.deciding() as tx:
        seen = [
            Snapshot.of("oven", made.now, [Item("item.a", 1), Item("item.b", n), Item("item.c", 10 + n)], profile="p")
            for n in range(3)
        ]
        actions.propose_captured(tx, seen, sort_captures(seen), (), Stage.SAT, Actor("kim", "t"), made.now)
    page = desk.review("oven", "ada")
    assert "2 items varied at commissioning" in words(page)
    assert "item.b from 0 to 2 2 ◆ undecided" in words(page)
    assert "Decide about these items" not in words(desk.review("oven", "bo"))
    data: dict[str, Any] = {"asset": "oven", "digest": digest_in(page), "key": ["item.b", "item.c"]}
    rows = {"choice": ["drop", "tolerate"], "amount": ["", "0,5"], "because": ["a counter", HOSTILE]}
    for wrong, status, why in (
        ({"choice": ["", ""]}, 422, "nothing was decided"),
        ({"amount": ["", "much"]}, 422, "A number above 0"),
        ({"because": ["", "x"]}, 422, "kept with its reason"),
        ({"choice": ["explode", ""]}, 422, "is no decision"),
        ({"key": ["item.zz", "item.c"]}, 409, "item.zz was neither read nor asked for"),
        ({"key": ["item.b"]}, 422, "not whole"),
        ({"digest": "1" * 64}, 409, "It has moved on"),
    ):
        answer = desk.post("ada", "decide", {**data, **rows, **wrong})
        assert (answer.status_code, why in words(answer)) == (status, True), words(answer)
        assert "<script>alert" not in answer.text
    assert desk.post("bo", "decide", {**data, **rows}).status_code == 403
    done = desk.post("ada", "decide", {**data, **rows})
    assert (done.status_code, "oven: decided" in words(done)) == (200, True), words(done)
    assert "item.b from 0 to 2 2 drop: a counter (ada)" in words(done)
    assert "tolerate ± 0.5" in words(done)
    assert "item.b ⊘ not compared" in words(done)


def test_nothing_is_approved_on_evidence_that_does_not_verify(desk: Desk) -> None:
    made = desk.history
    made.propose("plc", a=1)
    digest = digest_in(desk.review("plc"))
    with made.database.write() as tx:
        tx.execute(text("update audit_entry set actor = 'mallory' where action = 'baseline.propose'"))
    answer = desk.post("bo", "approve", {"asset": "plc", "digest": digest, "reason": "seen"})
    assert (answer.status_code, "the evidence does not verify" in words(answer)) == (409, True)
    token = desk.token("bo", "approver")
    sent = desk.served.api("POST", "/baselines/approve", token, json={"assets": ["plc"], "reason": "seen"})
    assert (sent.status_code, "does not verify" in sent.json()["error"]) == (409, True)


# The same by a program


def test_a_program_does_what_the_page_does(desk: Desk) -> None:
    made, ask = desk.history, desk.served.api
    made.propose("press", made.actor("ada"), a=1, b=2)
    made.propose("plc", a=1)
    approver, viewer, engineer = desk.token("bo", "approver"), desk.token("vi", "viewer"), desk.token("ada", "engineer")
    listed = ask("GET", "/baselines?limit=1&state=proposed", viewer).json()
    assert (listed["total"], listed["next_offset"], len(listed["baselines"])) == (2, 1, 1)
    (proposal,) = ask("GET", "/proposals?asset=press", viewer).json()["proposals"]
    assert [(each["item"], each["difference"]) for each in proposal["differences"]] == [
        ("item.a", "added"),
        ("item.b", "added"),
    ]
    assert (proposal["takes_two"], proposal["approved"], proposal["unchanged"]) == (True, None, 0)
    digest = proposal["digest"]
    word = {"assets": ["press"], "reason": "seen", "digest": digest}
    for token, body, status in (
        (viewer, word, 403),
        (engineer, word, 403),
        (approver, word, 409),
        (approver, {**word, "password": "wrong"}, 403),
        (approver, {**word, "password": PASSWORD, "digest": "0" * 64}, 409),
        (approver, {**word, "password": PASSWORD, "assets": ["press", "plc"]}, 409),
        (approver, {**word, "password": PASSWORD, "only": ["item.zz"]}, 409),
        (approver, {**word, "whatever": 1}, 422),
        (approver, {**word, "reason": "\u00a0"}, 422),
        (approver, {**word, "assets": []}, 422),
    ):
        answer = ask("POST", "/baselines/approve", token, json=body)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True), (body, answer.text)
    done = ask("POST", "/baselines/approve", approver, json={**word, "password": PASSWORD, "only": ["item.a"]})
    (row,) = done.json()["baselines"]
    assert (row["state"], row["approved_by"], row["to_sign"]) == ("approved", "bo", [])
    shown = ask("GET", f"/baselines/{row['digest'][:8]}?asset=press", viewer).json()
    assert (shown["items"], shown["signed"][0]["by"]) == ({"item.a": 1}, "bo")
    difference = ask("GET", "/baselines/diff?" + urlencode({"a": f"press@{digest}", "b": "press"}), viewer).json()
    assert [(each["item"], each["kind"]) for each in difference["deviations"]] == [("item.b", "removed")]
    rejected = ask("POST", "/baselines/reject", approver, json={"assets": ["plc"], "reason": "no"}).json()
    assert rejected["baselines"][0]["rejected_by"] == "bo"
    decision = {"item": "item.a", "choice": "tolerate", "reason": "x"}
    for body, status in (
        ({"asset": "plc", "decisions": [decision]}, 409),
        ({"asset": "plc", "decisions": [{**decision, "tolerance": 1.5}]}, 409),
        ({"asset": "plc", "decisions": []}, 422),
    ):
        assert ask("POST", "/baselines/decide", engineer, json=body).status_code == status, body
    for path, status in (
        ("/baselines/zzzzzz", 422),  # no digest by the declared pattern
        ("/baselines/diff?a=x&b=fat", 409),
        ("/proposals?asset=x", 409),
        ("/baselines?state=x", 422),
    ):
        assert ask("GET", path, viewer).status_code == status, path
    assert ask("POST", "/baselines/propose", viewer, json={"assets": ["plc"]}).status_code == 403
    unsigned = ask("POST", "/baselines/commission", engineer, json={"assets": ["press"], "captures": 2, "every": 0})
    assert (unsigned.status_code, "password is missing" in unsigned.json()["error"]) == (409, True)


# From the device to the approved baseline, with the daemon, in a browser


@pytest.fixture
def lines(floor: RunningFloor, tmp_path: Path) -> PlantFolder:
    more = '[approval]\nfour_eyes = ["high"]\n'
    addresses = {name: plc.address for name, plc in floor.plcs.items()}
    made = PlantFolder(tmp_path, addresses, more, web='listen = "127.0.0.1:0"')
    written = made.file.read_text().replace('[asset."line1/filler"]', '[asset."line1/filler"]\ncriticality = "high"')
    made.file.write_text(written)
    return made


def test_who_lost_their_role_while_a_job_read_proposes_nothing(lines: PlantFolder, floor: RunningFloor) -> None:
    plant = load_plant(lines.file)
    with serving(plant) as visitor:
        register(plant, visitor.site.database, "ada", EVERYTHING)
        register(plant, visitor.site.database, "bo", ("viewer", "engineer"))
        visitor.sign_in("bo")
        seen = floor.plcs["line2/filler"].seen
        sent = {"asset": "line2/filler", "stage": "sat", "how": "commission", "captures": "2", "every": "2s"}
        answer = visitor.post("/baselines/propose", sent, "/baselines/propose")
        job = visitor.site.jobs.of("bo", answer.url.path.rpartition("/")[2])
        wait_for(lambda: seen.connections, "the first capture")
        register(plant, visitor.site.database, "bo", ("viewer",))
        wait_for(lambda: job.ended, "the job")
        assert job.why == "bo has not got the role engineer any more"
        with visitor.site.database.read() as tx:
            assert not store.baselines(tx, ["line2/filler"])


def test_a_job_says_what_was_proposed_what_was_not_and_what_varied(lines: PlantFolder, floor: RunningFloor) -> None:
    """Here nobody leads: the server reads by itself, as a command would."""
    floor.apply("line2/filler", behave="silent")
    plant = load_plant(lines.file)
    with serving(plant) as visitor:
        register(plant, visitor.site.database, "ada", EVERYTHING)
        visitor.sign_in("ada")
        jobs = visitor.site.jobs

        def outcome(path: str, page: str = "/baselines/propose", **sent: Any) -> str:
            seen = floor.plcs["line1/filler"].seen
            before = seen.connections
            answer = visitor.post(path, {"password": PASSWORD, "stage": "sat", **sent}, page)
            assert "/jobs/" in str(answer.url), words(answer)
            number = answer.url.path.rpartition("/")[2]
            if sent["how"] == "commission":
                wait_for(lambda: seen.connections > before and not seen.open, "the first capture")
                floor.apply("line1/filler", set={"limit": 13.0})
            wait_for(lambda: jobs.of("ada", number).ended, "the job")
            return words(visitor.get(answer.url.path))

        once = outcome("/baselines/propose", all="yes", how="propose")
        assert "1 proposed, 1 not." in once
        assert "line2/filler : unreachable" in once
        several = outcome("/baselines/propose", asset="line1/filler", how="commission", captures="2", every="2s")
        assert "item.limit between 12.5 and 13.0 1" in several
        for sent, why in (
            ({"how": "propose"}, "tick an asset"),
            ({"asset": "line1/filler", "stage": "soon"}, "the stage is one of"),
            ({"asset": "line1/filler", "password": ""}, "your password is missing"),
            ({"asset": "line1/filler", "how": "commission", "captures": "9999"}, "captures: 1 to 100"),
            ({"asset": "line1/filler", "how": "commission", "captures": "2", "every": "soon"}, "a duration is written"),
            ({"asset": "line9"}, "there is no asset line9"),
        ):
            data = {"password": PASSWORD, "stage": "sat", "reason": HOSTILE, "every": "1s", **sent}
            answer = visitor.post("/baselines/propose", data, "/baselines/propose")
            assert (answer.status_code, why in words(answer)) == (422, True), words(answer)
            assert "<script>alert" not in answer.text
        assert visitor.get("/baselines/jobs/0123").status_code == 409


def test_from_the_device_to_the_baseline_that_two_people_approved(
    lines: PlantFolder, floor: RunningFloor, browser: Browser
) -> None:
    plant = load_plant(lines.file)
    database = Database(plant.store_url)
    database.migrate()
    for name, roles in (("ada", EVERYTHING), ("bo", ("approver",))):
        register(plant, database, name, roles)
    database.close()
    floor.apply("line1/filler", identity={"product_name": HOSTILE[:26]})
    with lines.daemon():
        wait_for(lambda: any(line["event"] == "web.listening" for line in lines.log()), "the web server")
        url = next(line["url"] for line in lines.log() if line["event"] == "web.listening")
        with browsing(browser, url) as page:
            sign_in(page, "ada")
            page.goto("/baselines/propose?asset=line1/filler")
            page.get_by_label("Captures").fill("2")
            page.get_by_label("Between two").fill("10ms")
            page.get_by_label("Reason").fill("after the refit")
            page.get_by_label("Your password").fill(PASSWORD)
            page.get_by_role("button", name="Read and propose").click()
            wait_for(lambda: "1 proposed" in _reloaded(page), "the captures")
            page.get_by_role("link", name="review line1/filler").click()
            assert "by four eyes somebody else approves. Who can: bo." in page.inner_text("main")
        with browsing(browser, url, "phone") as page:
            sign_in(page, "bo")
            page.goto("/baselines")
            page.get_by_role("link", name="line1/filler").first.click()
            page.wait_for_url("**/baselines/review?**")
            found = Axe().run(page)
            assert [
                each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")
            ] == []
            box = page.get_by_role("checkbox", name="Approve item.limit")
            box.focus()
            page.keyboard.press("Space")
            assert not box.is_checked()
            page.get_by_label("Reason").fill("seen at the cabinet")
            page.get_by_label("Your password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url("**/baselines")
            assert "is approved" in page.get_by_role("status").first.inner_text()
            page.goto("/baselines/of/line1/filler")
            assert "item.limit" not in page.inner_text("main")
            assert "seen at the cabinet" in page.inner_text("main")
    shown = lines.asbuilt("baseline", "show", "line1/filler", "--json").json
    assert (shown["state"], shown["proposed_by"], shown["approved_by"]) == ("approved", "ada", "bo")
    assert "item.crc" in shown["items"]
    assert json.dumps(shown["capture"]["captures"]) == "2"
    assert lines.asbuilt("verify").code == 0


def _reloaded(page: Page) -> str:
    page.reload()
    return page.inner_text("main")
