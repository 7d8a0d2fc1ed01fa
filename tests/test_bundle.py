"""Bundles: what travels from one store to another arrives as it was, or not at all."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.baseline import Baseline, SignOff, Stage, State
from baselines.capture import Choice, Decision, sort_captures
from baselines.snapshot import Category, Dropped, Item, Severity, Snapshot, Unread, Value
from monitor import actions, bundle, bundle_files, evidence, importing, keys, store
from monitor.baseline_toml import Record, parse_record, record_text
from monitor.config import Plant, load_plant
from monitor.errors import CallError, Unverified, UserError
from monitor.store import Actor, Database
from monitor.verifier import open_store, pem, read_store, verify
from tests.floors import ROOT, TWO, PlantFolder, RunningFloor, running

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ADA, EVE, BOB = (Actor(name, f"{name}@laptop") for name in ("Ada", "Eve", "Bob"))
MUTATIONS = 1000


# ---- as text


def values() -> st.SearchStrategy[Value]:
    letters = st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"])))
    plain: st.SearchStrategy[Value] = st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(2**200), 2**200), st.floats(), letters, st.binary()
    )
    return st.recursive(plain, lambda inner: st.lists(inner).map(tuple), max_leaves=8)


def texts(smallest: int = 0) -> st.SearchStrategy[str]:
    """What a snapshot reads back as it was written: no two surrogates that make one character."""
    letters = st.text(st.one_of(st.characters(), st.sampled_from('"\\.\ud800\udfff\x7f\u2028\r\n')), min_size=smallest)
    return letters.filter(lambda text: text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))


def snapshots() -> st.SearchStrategy[Snapshot]:
    items = st.builds(
        Item,
        texts(1),
        values(),
        st.sampled_from(Category),
        st.sampled_from(Severity),
        st.floats(0, allow_infinity=False),
        texts(),
        st.none() | texts(),
        st.booleans(),
    )
    return st.builds(
        lambda items, unread, dropped: Snapshot.of("a/b", NOW, items, unread, "p" * 64, dropped),
        st.lists(items, unique_by=lambda each: each.key, max_size=5),
        st.lists(st.builds(Unread, texts(1), texts()), unique_by=lambda each: each.key, max_size=5),
        st.lists(st.builds(Dropped, texts(1), texts()), unique_by=lambda each: each.key, max_size=5),
    )


def record_with(snapshot: Snapshot, **more: Any) -> Record:
    made = Baseline(1, snapshot.asset, snapshot.digest, State.PROPOSED, Stage.FAT, snapshot.profile, "Ada", NOW)
    return Record(replace(made, **more), snapshot, 1, "p9")


@settings(max_examples=200, deadline=None)
@given(snapshots())
def test_whatever_is_read_comes_back_from_its_text(snapshot: Snapshot) -> None:
    record = record_with(snapshot)
    text = record_text(record)
    back = parse_record(text)
    assert back.snapshot.text == snapshot.text
    assert back.snapshot.digest == snapshot.digest
    assert record_text(back) == text
    assert text.isascii() or all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1, "1"),
        (-(2**63), "-9223372036854775808"),
        (2**63, '{ int = "9223372036854775808" }'),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ('"\\\n', '"\\"\\\\\\u000a"'),
        ("\ud800", '{ json = "\\"\\\\ud800\\"" }'),
        (b"\xde\xad", '{ bytes = "dead" }'),
        (None, "{ null = true }"),
        ((1, (b"", None), "ü"), '[1, [{ bytes = "" }, { null = true }], "ü"]'),
        ((), "[]"),
    ],
)
def test_how_values_are_written(value: Value, text: str) -> None:
    item = Item("item.a", value)
    written = record_text(record_with(Snapshot.of("a", NOW, [item])))
    assert f'"item.a" = {{ value = {text}, category = "parameter", severity = "medium" }}\n' in written
    assert parse_record(written).snapshot.items[0].line() == item.line()


def test_a_record_says_all_that_became_of_a_baseline() -> None:
    snapshot = Snapshot.of(
        "line1/filler",
        NOW,
        [Item("item.b", 3, label="RUN", uncertain=True), Item("item.a", 12.0, tolerance=0.05, unit="l")],
        [Unread("item.c", "time-out")],
        "p" * 64,
        [Dropped("item.d", "a counter")],
    )
    later = NOW + timedelta(hours=1)
    word = SignOff("Eve", "customer", later, "FAT 17", "T-1")
    record = replace(
        record_with(snapshot, state=State.APPROVED, decided_by="Eve", decided_at=later, reason="FAT 17", ticket="T-1"),
        signed=(word,),
    )
    assert record_text(record) == (
        f"""format = 1
asset = "line1/filler"
number = 1
digest = "{snapshot.digest}"
stage = "fat"
state = "approved"
profile = "p9"
profile_digest = "{"p" * 64}"
proposed_by = "Ada"
proposed_at = 2026-11-23T08:00:00.000Z
decided_by = "Eve"
decided_at = 2026-11-23T09:00:00.000Z
reason = "FAT 17"
ticket = "T-1"
"""
        """signed = [
    { by = "Eve", role = "customer", at = 2026-11-23T09:00:00.000Z, reason = "FAT 17", ticket = "T-1" },
]

[items]
"item.a" = { value = 12.0, unit = "l", tolerance = 0.05, category = "parameter", severity = "medium" }
"item.b" = { value = 3, label = "RUN", uncertain = true, category = "parameter", severity = "medium" }

[unread]
"item.c" = "time-out"

[dropped]
"item.d" = "a counter"
"""
    )
    assert parse_record(record_text(record)) == record


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("format = 1", "format = 2", "upgrade"),
        ("format = 1", "", "format"),
        ('stage = "fat"', 'stage = "lunch"', "lunch"),
        ('stage = "fat"', "stage = 3", "stage"),
        ('stage = "fat"', "", "stage is missing"),
        ("number = 1", "number = true", "number"),
        ("proposed_at = 2026-11-23T08:00:00.000Z", "proposed_at = 2026-11-23T08:00:00", "proposed_at"),
        ('reason = ""', 'reason = "\\u0000"', "reason"),
        ("signed = []", "signed = 3", "signed"),
        ("signed = []", "signed = [3]", "signed"),
        ("signed = []", "more = 1\nsigned = []", "more"),
        ("value = 1", "value = 2026-11-23", "item.a"),
        ("value = 1", 'value = { bytes = "xy" }', "item.a"),
        ("value = 1", "value = { null = false }", "item.a"),
        ("value = 1", "value = " + "[" * 3000 + "]" * 3000, "too deep"),
        ("value = 1", "value = 1, tolerance = -1.0", "item.a"),
        ("value = 1", "value = 1, tolerance = 1", "item.a"),
        ("value = 1", "value = 1, more = 1", "more"),
        ('"item.a" = {', '"" = {', "key"),
        ('"item.b"', '"item.0"', "order"),
        ("[items]", "[items", "line"),
    ],
)
def test_what_is_no_record_is_refused_with_the_place(old: str, new: str, why: str) -> None:
    text = record_text(record_with(Snapshot.of("a", NOW, [Item("item.a", 1), Item("item.b", 2)])))
    assert old in text
    with pytest.raises(ValueError, match=why):
        parse_record(text.replace(old, new, 1))


def test_what_docs_bundle_md_shows_is_so() -> None:
    page = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    record = parse_record(page.partition("```toml\n")[2].partition("```")[0])
    assert f"```\n{record.snapshot.text}```" in page
    bare = record_text(record).splitlines()
    shown = [
        line.partition("  #")[0].rstrip() for line in page.partition("```toml\n")[2].partition("```")[0].splitlines()
    ]
    assert bare == shown


# ---- names of files


NAMES = [
    "line1/filler", "Line1/filler", "a", "A/b", "a/b", "..", "../../etc/passwd", "/etc", "a//b", "con", "aux.x",
    "COM1/x", "a.", ".git/hooks", "git~1", "a b", "ü/ß", "a\\b", "c:d", "x.toml", "%41", "A" * 400, "A" * 399 + "B",
    "a|b?*<>\"'", "fat-0123456789ab.toml/x", "日本",
]  # fmt: skip


def test_names_of_assets_become_names_of_files_everywhere() -> None:
    paths = bundle.asset_paths(NAMES)
    folded = [path.lower() for path in paths.values()]
    assert len(set(folded)) == len(NAMES)
    files = bundle_files.checked(Path("b"), [f"baselines/{path}/fat-{'0' * 12}.toml" for path in paths.values()])
    for part in (part for name in files for part in name.split("/")):
        assert not bundle.RESERVED.fullmatch(part)
        assert not part.startswith(".")
    spelled: dict[str, str] = {}
    for path in paths.values():  # also where a and A are one folder
        for number in range(1, path.count("/") + 2):
            prefix = "/".join(path.split("/")[:number])
            assert spelled.setdefault(prefix.lower(), prefix) == prefix
    assert paths["line1/filler"] in ("line1/filler", "line1~" + paths["line1/filler"][6:])


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_no_two_assets_share_a_folder(names: list[str]) -> None:
    names = [name for name in names if name.isprintable()]
    paths = [path.lower() for path in bundle.asset_paths(names).values()]
    assert len(set(paths)) == len(names)
    bundle_files.checked(Path("b"), [f"{path}/x" for path in paths])


# ---- two stores


@dataclass(frozen=True)
class Store:
    """A plant with its store, in one process."""

    plant: Plant
    database: Database

    def propose(self, asset: str, value: int, who: Actor = ADA, now: datetime = NOW, capture: bool = False) -> None:
        snapshot = Snapshot.of(asset, now, [Item("item.a", value), Item("item.b", "é")], profile="p" * 64)
        with evidence.deciding(self.plant, self.database, who, print) as tx:
            if capture:
                jumpy = Snapshot.of(asset, now, [Item("item.a", value + 1), Item("item.b", "é")], profile="p" * 64)
                captured = sort_captures([jumpy, snapshot])
                actions.propose_captured(tx, [jumpy, snapshot], captured, (), Stage.FAT, who, now)
            else:
                actions.propose(tx, snapshot, Stage.FAT, who, now)

    def approve(self, asset: str, who: Actor = EVE, now: datetime = NOW + timedelta(hours=1)) -> None:
        with evidence.deciding(self.plant, self.database, who, print, sound=True) as tx:
            actions.approve(tx, asset, who, "FAT 17", now)

    def export(self, stage: Stage | None = None) -> dict[str, bytes]:
        with self.database.write() as tx:
            signer = evidence.plant_key(tx, self.plant.evidence, NOW)
            records = bundle.records_of(tx, list(self.plant.assets), lambda digest: "p9", stage)
            return bundle.packed(tx, self.plant.name, records, signer)

    @property
    def signer(self) -> keys.Signer:
        return keys.load(self.plant.evidence.key)

    def take(self, files: Mapping[str, bytes], trust: str, who: Actor = BOB) -> list[importing.Taken]:
        seal = bundle.sealed_by("b", files)
        contents = bundle.verified("b", files, seal)
        with evidence.deciding(self.plant, self.database, who, print, sound=True) as tx:
            importing.assure_trusted(tx, "b", seal, trust)
            return [
                importing.take(tx, name, name, contents, who, "from FAT", NOW + timedelta(days=9),
                               actions.NO_RULES)
                for name in contents.assets
            ]  # fmt: skip

    def rows(self) -> list[Baseline]:
        with self.database.read() as tx:
            return store.baselines(tx)

    def flaw(self) -> Any:
        with self.database.read() as tx:
            return evidence.verified(tx, self.plant).first_bad


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A laptop and a plant that have the same two assets."""
    made = []
    for name in ("laptop", "site"):
        (tmp_path / name).mkdir()
        folder = PlantFolder(tmp_path / name, {"a": "modbus://127.0.0.1:1/1", "b/c": "modbus://127.0.0.1:2/1"})
        plant = load_plant(folder.file)
        database = Database(plant.store_url)
        database.migrate()
        made.append(Store(plant, database))
    yield made[0], made[1]
    for each in made:
        each.database.close()


@pytest.fixture
def laptop(stores: tuple[Store, Store]) -> Store:
    """A FAT in two rounds: a was approved twice; b/c is proposed, as captured, an item of it undecided."""
    there = stores[0]
    there.propose("a", 1)
    there.approve("a")
    there.propose("a", 2, now=NOW + timedelta(hours=2))
    there.approve("a", now=NOW + timedelta(hours=3))
    there.propose("b/c", 3, capture=True)
    return there


@pytest.fixture
def site(stores: tuple[Store, Store]) -> Store:
    return stores[1]


def test_history_arrives_and_the_newest_is_proposed(laptop: Store, site: Store) -> None:
    files = laptop.export()
    taken = site.take(files, laptop.signer.key)
    assert [len(each.history) for each in taken] == [2, 1]
    assert site.flaw() is None
    first, second, proposed, captured, open_ = site.rows()
    assert [each.state for each in (first, second, captured)] == [State.SUPERSEDED] * 3
    assert {each.origin for each in (first, second, captured)} == {laptop.signer.key}
    there = laptop.rows()
    for old, new in ((there[0], first), (there[1], second), (there[2], captured)):
        assert replace(new, id=old.id, state=old.state, origin=None) == old
    assert (proposed.state, proposed.digest, proposed.proposed_by, proposed.origin) == (
        State.PROPOSED, second.digest, "Bob", None,
    )  # fmt: skip
    assert (open_.digest, open_.capture) == (captured.digest, captured.capture)
    with site.database.read() as tx:
        assert [word.by for word in store.sign_offs(tx, first)] == ["Eve"]
        assert store.baseline_at(tx, "a", NOW + timedelta(days=30)) is None  # nothing was approved here
    decided = Decision("item.a", Choice.KEEP, "it is set by hand", "Bob")
    with evidence.deciding(site.plant, site.database, BOB, print) as tx:  # what was left out can be decided here too
        amended, left = actions.decide(tx, "b/c", [decided], BOB, "set by hand", NOW + timedelta(days=10))
    assert left == []
    assert amended.digest != open_.digest
    site.approve("a", now=NOW + timedelta(days=11))
    assert site.flaw() is None
    bundle.verified("b", again := site.export(), bundle.sealed_by("b", again))  # and on it travels


def test_a_store_of_each_kind_takes_it(laptop: Store, site: Store, database: Database) -> None:
    there = replace(site, database=database)
    there.take(laptop.export(), laptop.signer.key)
    assert there.flaw() is None
    assert len(there.rows()) == 5
    assert refusal(there.export()) == ""


def test_the_same_again_changes_nothing(laptop: Store, site: Store) -> None:
    files = laptop.export()
    site.take(files, laptop.signer.key)
    before = site.rows()
    with site.database.read() as tx:
        entries = store.last_audit_id(tx)
    for each in site.take(files, ""):  # trusted since
        assert (each.history, each.proposed) == ((), ())
        assert each.skipped
    with site.database.read() as tx:
        assert store.last_audit_id(tx) == entries
    assert site.rows() == before
    assert all(not each.history for each in laptop.take(files, ""))  # its own


def test_a_later_bundle_brings_what_is_new(laptop: Store, site: Store) -> None:
    site.take(laptop.export(), laptop.signer.key)
    laptop.approve("b/c", now=NOW + timedelta(hours=5))
    laptop.propose("a", 7, now=NOW + timedelta(hours=6))
    before = len(site.rows())
    a, c = site.take(laptop.export(), "")
    assert [(each.proposed_by, each.state) for each in (*a.history, *a.proposed)] == [
        ("Ada", State.SUPERSEDED), ("Bob", State.PROPOSED),
    ]  # fmt: skip
    assert len(a.skipped) == 2
    assert [each.decided_by for each in c.history] == ["Eve"]  # it was open in the first
    assert c.proposed == ()  # it is proposed here already
    assert len(site.rows()) == before + 3
    assert site.flaw() is None


def test_what_is_approved_here_already_is_history_alone(laptop: Store, site: Store) -> None:
    site.propose("a", 2, BOB)
    site.approve("a")
    a, _ = site.take(laptop.export(), laptop.signer.key)
    assert (len(a.history), a.proposed) == (2, ())
    with site.database.read() as tx:
        current = store.current_baseline(tx, "a")
        assert current == store.baseline_at(tx, "a", NOW + timedelta(days=30))


def test_an_open_proposal_gives_way(laptop: Store, site: Store) -> None:
    site.propose("a", 9, BOB)
    site.take(laptop.export(), laptop.signer.key)
    assert [(each.state, each.proposed_by) for each in site.rows() if each.asset == "a"] == [
        (State.SUPERSEDED, "Bob"), (State.SUPERSEDED, "Ada"), (State.SUPERSEDED, "Ada"), (State.PROPOSED, "Bob"),
    ]  # fmt: skip
    assert site.flaw() is None


def test_who_signed_has_to_be_trusted(laptop: Store, site: Store) -> None:
    files = laptop.export()
    with pytest.raises(Unverified, match=laptop.signer.key):
        site.take(files, "")
    with pytest.raises(Unverified, match="not by"):
        site.take(files, "ab" * 32)
    assert site.rows() == []


IMPORTED = {
    "baseline": ("digest", "state", "stage", "profile", "proposed_by", "proposed_at", "decided_by", "decided_at",
                 "reason", "ticket", "capture", "origin", "asset_id"),
    "sign_off": ("baseline_id", "by", "role", "at", "reason", "ticket"),
}  # fmt: skip


def test_a_change_of_anything_imported_is_found(laptop: Store, site: Store, tmp_path: Path) -> None:
    site.take(laptop.export(), laptop.signer.key)
    site.database.close()
    whole = tmp_path / "site" / "asbuilt.db"
    with closing(open_store(whole)) as opened:
        evidence_rows = {table: list(rows) for table, rows in read_store(opened).items()}
    assert verify(evidence_rows).first_bad is None
    found = 0
    for table, columns in IMPORTED.items():
        for number, row in enumerate(evidence_rows[table]):
            for column in columns:
                changed = [dict(each) for each in evidence_rows[table]]
                changed[number][column] = 99 if column.endswith("_id") else f"{row[column]}x"
                assert verify({**evidence_rows, table: changed}).flaws, (table, number, column)
                found += 1
            assert verify({**evidence_rows, table: [each for each in evidence_rows[table] if each is not row]}).flaws
    assert found > 60


# ---- tampering


def refusal(files: Mapping[str, bytes]) -> str:
    """Why a bundle is refused; "" if it is not."""
    try:
        bundle.verified("b", files, bundle.sealed_by("b", files))
    except UserError as error:
        return str(error)
    return ""


def test_any_file_added_lost_or_changed_is_named(laptop: Store) -> None:
    files = laptop.export()
    assert refusal(files) == ""
    assert any(name.startswith("snapshots/") for name in files)
    for name in files:
        assert name.partition("/")[0] in refusal({each: data for each, data in files.items() if each != name})
        said = refusal({**files, name: files[name] + b"\n"})
        assert (name if name != "MANIFEST.sig" else "not signed") in said
    assert "more.txt is not of this bundle" in refusal({**files, "more.txt": b""})


def test_any_change_of_a_byte_is_refused(laptop: Store, tmp_path: Path) -> None:
    files = laptop.export()
    folder, packed = tmp_path / "b", tmp_path / "b.zip"
    bundle_files.write(folder, files)
    bundle_files.write(packed, files)
    dice = random.Random(17)
    for _ in range(MUTATIONS):
        name = dice.choice(sorted(files))
        at, flip = dice.randrange(len(files[name])), dice.randrange(1, 256)
        changed = bytearray(files[name])
        changed[at] ^= flip
        folder.joinpath(name).write_bytes(changed)
        assert refusal(bundle_files.read(folder)), (name, at, flip)
        folder.joinpath(name).write_bytes(files[name])
    whole, harmless = packed.read_bytes(), 0
    for _ in range(MUTATIONS):
        at, flip = dice.randrange(len(whole)), dice.randrange(1, 256)
        mutated = bytearray(whole)
        mutated[at] ^= flip
        packed.write_bytes(mutated)
        try:
            read = bundle_files.read(packed)
        except CallError:
            continue
        if read == files:  # a date, a right, a version: nothing that is a file's name or content
            harmless += 1
            continue
        assert refusal(read), (at, flip)
    assert harmless < MUTATIONS / 5


def rewritten(files: Mapping[str, bytes], signer: keys.Signer, **changes: tuple[str, str]) -> dict[str, bytes]:
    """A bundle that its own signer falsified, in the files whose names begin so."""
    made = {name: data for name, data in files.items() if not name.startswith("MANIFEST")}
    for start, (old, new) in changes.items():
        (name,) = [each for each in made if each.replace("/", "_").startswith(start)]
        assert old.encode() in made[name]
        made[name] = made[name].replace(old.encode(), new.encode(), 1)
    return bundle.sealed(made, signer)


@pytest.mark.parametrize(
    ("start", "old", "new", "why"),
    [
        ("baselines_b_c", 'state = "proposed"', 'state = "approved"', "line 6: state: says approved, and the chain"),
        ("baselines_b_c", 'asset = "b/c"', 'asset = "d"', "line 3: number: the chain knows 0 baselines of d"),
        ("baselines_b_c", "number = 1", "number = 7", "line 3: number"),
        ("baselines_b_c", 'proposed_by = "Ada"', 'proposed_by = "Eve"', "line 9: proposed_by"),
        ("baselines_b_c", '"item.b" = { value = "é"', '"item.b" = { value = "e"', "line 4: digest"),
        ("baselines_b_c", "signed = []", 'signed = [{ by = "E", role = "", at = 2026-11-23T08:00:00.000Z, reason = "",'
         ' ticket = "" }]', "line 14: signed"),
        ("baselines_b_c", 'profile_digest = "p', 'profile_digest = "q', "line 8: profile_digest"),
        ("captures_", '"missed": 0', '"missed": 1', "is not what its name says"),
        ("snapshots_", '"value":"3"', '"value":"4"', "is not what its name says"),
        ("audit.jsonl", '"Ada"', '"Eve"', "audit.jsonl line"),
        ("audit.jsonl", '{"account"', '["account"', "audit.jsonl line 1 is not JSON"),
        ("checkpoints.jsonl", '"head":"', '"head":"0', "checkpoints.jsonl line 1"),
    ],
)  # fmt: skip
def test_a_signature_alone_proves_nothing(laptop: Store, start: str, old: str, new: str, why: str) -> None:
    said = refusal(rewritten(laptop.export(), laptop.signer, **{start: (old, new)}))
    assert why in said
    assert start.partition("_")[0] in said


def test_a_baseline_that_the_chain_does_not_know_is_refused_by_name(laptop: Store, site: Store) -> None:
    files = laptop.export()
    site.propose("a", 5)
    site.approve("a")
    strange = next(data for name, data in site.export().items() if name.startswith("baselines/a/"))
    name = "baselines/a/fat-000000000000.toml"
    changed = {each: data for each, data in files.items() if each not in ("MANIFEST", "MANIFEST.sig")}
    said = refusal(bundle.sealed({**changed, name: strange}, laptop.signer))
    assert name in said
    assert "digest" in said


def test_the_chain_has_to_be_that_of_the_key(laptop: Store, site: Store) -> None:
    site.propose("a", 1)
    files = {name: data for name, data in laptop.export().items() if not name.startswith("MANIFEST")}
    stolen = bundle.sealed({**files, "KEY.pem": pem(site.signer.key).encode()}, site.signer)
    assert "another key" in refusal(stolen)


def test_a_rotated_key_signs_for_the_chain(laptop: Store, site: Store) -> None:
    old = laptop.signer.key
    with laptop.database.write() as tx:
        evidence.rotate_key(tx, laptop.plant.evidence, ADA, NOW, "lost")
    files = laptop.export()
    assert refusal(files) == ""
    with pytest.raises(Unverified):
        site.take(files, old)
    assert site.take(files, laptop.signer.key)


# ---- hostile files


def zipped(path: Path, *entries: tuple[Any, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in entries:
            file.writestr(name, data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "c:x", "a//b", "a/.", "nul\u2028", "ü", "a.", "x" * 500]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CallError, match="no name of a file"):
        bundle_files.read(zipped(tmp_path / "b.zip", ("MANIFEST", b""), (name, b"")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["MANIFEST", "manifest"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(CallError, match="there twice"):
        bundle_files.read(zipped(tmp_path / "b.zip", ("MANIFEST", b"1"), (other, b"2")))


def test_what_grows_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("MANIFEST", "w") as grown:
        for _ in range(257):
            grown.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(CallError, match="more than 256 MB"):
        bundle_files.read(path)
    lying = path.read_bytes().replace((257 * 2**20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(lying)
    with pytest.raises(CallError, match=r"b\.zip"):
        bundle_files.read(path)
    many = zipped(tmp_path / "many.zip", *((f"{number}", b"") for number in range(1001)))
    huge = many.read_bytes()
    end = huge.rindex(b"PK\5\6")
    many.write_bytes(huge[: end + 12] + (2**31).to_bytes(4, "little") + huge[end + 16 :])
    with pytest.raises(CallError, match="larger than any bundle"):
        bundle_files.read(many)


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "MANIFEST").open("wb") as file:
        file.truncate(257 * 2**20)
    with pytest.raises(CallError, match="more than 256 MB"):
        bundle_files.read(tmp_path)


def test_links_and_what_is_encrypted_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("audit.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(CallError, match=r"audit\.jsonl is a link"):
        bundle_files.read(zipped(tmp_path / "l.zip", (link, b"/etc/passwd")))
    sealed = zipped(tmp_path / "e.zip", ("audit.jsonl", b"x")).read_bytes()
    at = sealed.index(b"PK\1\2") + 8
    (tmp_path / "e.zip").write_bytes(sealed[:at] + b"\1" + sealed[at + 1 :])
    with pytest.raises(CallError, match=r"audit\.jsonl is encrypted"):
        bundle_files.read(tmp_path / "e.zip")
    with pytest.raises(CallError, match="packed in a way"):
        bundle_files.read(zipped(tmp_path / "x.zip", ("audit.jsonl", b"x"), packing=zipfile.ZIP_LZMA))
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "MANIFEST").touch()
    (folder / "audit.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(CallError, match=r"audit\.jsonl' is a link"):
        bundle_files.read(folder)
    (folder / "audit.jsonl").unlink()
    (folder / "captures").symlink_to(tmp_path)
    with pytest.raises(CallError, match="captures' is a link"):
        bundle_files.read(folder)
    (folder / "captures").unlink()
    os.mkfifo(folder / "audit.jsonl")
    for path in (folder, folder / "audit.jsonl"):
        with pytest.raises(CallError):
            bundle_files.read(path)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"PK\5\6" + bytes(18), b"PK\3\4" * 100, b"[plant]\n" * 100, os.urandom(4096)]
)
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(CallError, match=r"b\.zip is (no bundle|neither)"):
        bundle.sealed_by("b.zip", bundle_files.read(tmp_path / "b.zip"))


def test_a_zip_that_others_packed_is_read(laptop: Store, tmp_path: Path) -> None:
    files = laptop.export()
    entries = [("baselines/", b""), *files.items()]
    assert refusal(bundle_files.read(zipped(tmp_path / "b.zip", *entries))) == ""


# ---- writing


def test_the_same_content_is_the_same_bytes(laptop: Store, tmp_path: Path) -> None:
    for name in ("1.zip", "2.ZIP"):
        bundle_files.write(tmp_path / name, laptop.export())
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.ZIP").read_bytes()


def test_exported_again_only_what_changed_changes(laptop: Store, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    bundle_files.write(folder, laptop.export())
    before = bundle_files.read(folder)
    laptop.approve("b/c", now=NOW + timedelta(hours=5))
    bundle_files.write(folder, laptop.export())
    after = bundle_files.read(folder)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    (mine,) = [name for name in changed if name.startswith("baselines/")]
    assert changed == {"MANIFEST", "MANIFEST.sig", "audit.jsonl", "checkpoints.jsonl", mine}
    assert after["audit.jsonl"].startswith(before["audit.jsonl"])
    new = set(after[mine].decode().splitlines()) - set(before[mine].decode().splitlines())
    assert {line.split(" = ")[0] for line in new if " = " in line and not line.startswith(" ")} == {
        "state", "decided_by", "decided_at", "reason", "signed",
    }  # fmt: skip
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


class Interrupted(dict[str, bytes]):
    """Files in the midst of which somebody presses Ctrl-C."""

    def __getitem__(self, name: str) -> bytes:
        if name == "audit.jsonl":
            raise KeyboardInterrupt
        return super().__getitem__(name)


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_an_export_that_is_interrupted_leaves_what_was_there(laptop: Store, tmp_path: Path, name: str) -> None:
    files, path = laptop.export(), tmp_path / "out" / name
    path.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        bundle_files.write(path, Interrupted(files))
    assert list(path.parent.iterdir()) == []
    bundle_files.write(path, files)
    with pytest.raises(KeyboardInterrupt):
        bundle_files.write(path, Interrupted(files))
    assert list(path.parent.iterdir()) == [path]
    assert bundle_files.read(path) == files


@pytest.mark.parametrize("name", ["b", "b.zip"])
def test_a_full_disk_is_said(laptop: Store, tmp_path: Path, name: str) -> None:
    files, path = laptop.export(), tmp_path / "out" / name
    path.parent.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(CallError, match="cannot be written: file too large"):
            bundle_files.write(path, files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(path.parent.iterdir()) == []


def test_what_no_export_wrote_is_left_alone(laptop: Store, tmp_path: Path) -> None:
    files = laptop.export()
    mine = tmp_path / "mine"
    mine.mkdir()
    bundle_files.write(mine, files)  # an empty one will do
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(CallError, match=r"holds notes\.txt, which no export wrote"):
        bundle_files.write(mine, files)
    assert (mine / "notes.txt").read_text() == "mine"
    (tmp_path / "x.zip").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(mine)
    for name in ("x.zip", "file", "link", "nowhere/b"):
        with pytest.raises(CallError):
            bundle_files.write(tmp_path / name, files)
    with pytest.raises(CallError, match="cannot be written"):
        bundle_files.write(Path("/sys/b"), files)


@pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("sha256sum"), reason="needs openssl and sha256sum")
def test_a_stranger_can_check_it(laptop: Store, tmp_path: Path) -> None:
    bundle_files.write(tmp_path / "b", laptop.export())
    listed = subprocess.run(["sha256sum", "-c", "MANIFEST"], cwd=tmp_path / "b", capture_output=True, text=True)
    assert (listed.returncode, listed.stderr) == (0, "")
    readme = (tmp_path / "b" / "README.txt").read_text()
    words = next(line for line in readme.splitlines() if "openssl pkeyutl" in line).split()
    assert subprocess.run(words, cwd=tmp_path / "b", capture_output=True).returncode == 0
    with (tmp_path / "b" / "MANIFEST").open("a") as file:
        file.write("\n")
    assert subprocess.run(words, cwd=tmp_path / "b", capture_output=True).returncode != 0


# ---- the commands


@pytest.fixture(scope="module")
def floor() -> Iterator[RunningFloor]:
    with running(TWO) as made:
        yield made


@pytest.fixture
def folders(floor: RunningFloor, tmp_path: Path) -> tuple[PlantFolder, PlantFolder]:
    """A laptop on which the FAT was approved, and the plant."""
    addresses = {name: plc.address for name, plc in floor.plcs.items()}
    for name in ("laptop", "site"):
        (tmp_path / name).mkdir()
    fat = PlantFolder(tmp_path / "laptop", addresses)
    site = PlantFolder(tmp_path / "site", addresses)
    captured = fat.asbuilt("commission", "--stage", "fat", "--captures", "2", "--every", "100ms", "--by", "Ada")
    assert captured.code == 0
    assert fat.asbuilt("baseline", "approve", "*", "--reason", "FAT 17", "--by", "Eve", "--role", "customer").code == 0
    return fat, site


def test_a_fat_travels_to_the_plant(folders: tuple[PlantFolder, PlantFolder], tmp_path: Path) -> None:
    fat, site = folders
    stick = str(tmp_path / "stick.zip")
    exported = fat.asbuilt("baseline", "export", "-o", stick, "--json")
    assert exported.code == 0
    assert exported.json["path"] == stick
    assert [each["state"] for each in exported.json["baselines"]] == ["approved", "approved"]
    key = exported.json["key"]
    assert key == fat.asbuilt("key", "show", "--json").json["keys"][-1]["public_key"]

    strange = site.asbuilt("baseline", "import", stick, "--reason", "from FAT", "--by", "Bob")
    assert strange.code == 4
    assert key in strange.err
    assert "asbuilt key show" in strange.err
    assert site.asbuilt("baseline", "list", "--json").json == {"baselines": []}

    words = ("baseline", "import", stick, "--reason", "from FAT", "--by", "Bob", "--json")
    taken = site.asbuilt(*words, "--trust", key)
    assert (taken.code, taken.json["skipped"]) == (0, [])
    assert taken.json["manifest"] == exported.json["manifest"]
    assert [(each["asset"], each["state"]) for each in taken.json["baselines"]] == [
        ("line1/filler", "superseded"), ("line1/filler", "proposed"),
        ("line2/filler", "superseded"), ("line2/filler", "proposed"),
    ]  # fmt: skip
    again = site.asbuilt(*words)
    assert (again.code, again.json["baselines"], len(again.json["skipped"])) == (0, [], 2)
    assert site.asbuilt("verify").code == 0

    shown = site.asbuilt("baseline", "show", "line1/filler")
    assert "proposed by Bob" in shown.out
    assert site.asbuilt("baseline", "approve", "*", "--reason", "SAT", "--by", "Zoe").code == 0
    assert site.asbuilt("check").code == 0
    assert site.asbuilt("baseline", "propose", "--stage", "sat").code == 0
    assert site.asbuilt("baseline", "diff", "fat", "sat").out.splitlines() == [
        "line1/filler: no difference",
        "line2/filler: no difference",
    ]
    assert site.asbuilt("verify").code == 0


def test_show_writes_what_the_bundle_holds(folders: tuple[PlantFolder, PlantFolder], tmp_path: Path) -> None:
    fat, _ = folders
    assert fat.asbuilt("baseline", "export", "line1/*", "--stage", "fat", "-o", str(tmp_path / "b")).code == 0
    (file,) = (tmp_path / "b" / "baselines").rglob("*.toml")
    assert file.parent == tmp_path / "b" / "baselines" / "line1" / "filler"
    assert fat.asbuilt("baseline", "show", "line1/filler", "--toml").out == file.read_text("utf-8")
    nothing = fat.asbuilt("baseline", "export", "--stage", "sat", "-o", str(tmp_path / "c"))
    assert (nothing.code, (tmp_path / "c").exists()) == (2, False)


def test_assets_have_to_be_known(folders: tuple[PlantFolder, PlantFolder], tmp_path: Path, floor: RunningFloor) -> None:
    fat, _ = folders
    stick = str(tmp_path / "b")
    key = fat.asbuilt("baseline", "export", "-o", stick, "--json").json["key"]
    (tmp_path / "other").mkdir()
    site = PlantFolder(tmp_path / "other", {"line1/filler": "modbus://127.0.0.1:1/1", "new": "modbus://127.0.0.1:2/1"})
    words = ("baseline", "import", stick, "--reason", "from FAT", "--trust", key)
    missing = site.asbuilt(*words)
    assert missing.code == 2
    assert "no asset line2/filler" in missing.err
    for rename in ("line2/filler", "nobody=new", "line2/filler=line1/filler", "line2/filler=nowhere"):
        assert site.asbuilt(*words, "--rename", rename).code == 2
    assert site.asbuilt("baseline", "list", "--json").json == {"baselines": []}
    assert site.asbuilt(*words, "--rename", "line2/filler=new").code == 0
    assert {each["asset"] for each in site.asbuilt("baseline", "list", "--json").json["baselines"]} == {
        "line1/filler", "new",
    }  # fmt: skip
    assert site.asbuilt("verify").code == 0
    assert site.asbuilt("baseline", "import", str(tmp_path / "nothing"), "--reason", "x").code == 2
    (tmp_path / "b" / "README.txt").write_text("other")
    assert site.asbuilt(*words).code == 4
    assert site.asbuilt(*words[:-1], "xyz").code == 2


def test_with_four_eyes_the_importer_signs_and_another_approves(
    folders: tuple[PlantFolder, PlantFolder], tmp_path: Path
) -> None:
    fat, site = folders
    site.file.write_text(site.file.read_text() + "\n[approval]\nfour_eyes = true\n")
    stick = str(tmp_path / "b")
    key = fat.asbuilt("baseline", "export", "-o", stick, "--json").json["key"]
    words = ("baseline", "import", stick, "--reason", "from FAT", "--trust", key, "--by", "Bob")
    unsigned = site.asbuilt(*words)
    assert unsigned.code == 2
    assert "four eyes" in unsigned.err
    bob, zoe = tmp_path / "bob.key", tmp_path / "zoe.key"
    assert site.asbuilt("person", "add", "Bob", "--new-key", str(bob)).code == 0
    assert site.asbuilt("person", "add", "Zoe", "--new-key", str(zoe), "--by", "Bob", "--key", str(bob)).code == 0
    assert site.asbuilt(*words, "--key", str(bob)).code == 0
    approve = ("baseline", "approve", "*", "--reason", "SAT")
    own = site.asbuilt(*approve, "--by", "Bob", "--key", str(bob))
    assert own.code == 2
    assert "somebody else approves" in own.err
    assert site.asbuilt(*approve, "--by", "Zoe", "--key", str(zoe)).code == 0
    assert site.asbuilt("verify").code == 0


def test_of_two_imports_at_once_one_takes_it(folders: tuple[PlantFolder, PlantFolder], tmp_path: Path) -> None:
    fat, site = folders
    stick = str(tmp_path / "b")
    key = fat.asbuilt("baseline", "export", "-o", stick, "--json").json["key"]
    words = ("baseline", "import", stick, "--reason", "from FAT", "--trust", key, "--json")
    both = [each.ended() for each in [site.meanwhile(*words) for _ in range(2)]]
    assert [each.code for each in both] == [0, 0]
    assert sorted(len(each.json["baselines"]) for each in both) == [0, 4]
    assert len(site.asbuilt("baseline", "list", "--json").json["baselines"]) == 4
    assert site.asbuilt("verify").code == 0


def test_evidence_that_does_not_verify_is_not_exported(
    folders: tuple[PlantFolder, PlantFolder], tmp_path: Path
) -> None:
    fat, _ = folders
    with sqlite3.connect(fat.folder / "asbuilt.db") as database:
        database.execute("UPDATE baseline SET decided_by = 'Mallory'")
    refused = fat.asbuilt("baseline", "export", "-o", str(tmp_path / "b"))
    assert refused.code == 4
    assert "Mallory" in refused.err
    assert not (tmp_path / "b").exists()
