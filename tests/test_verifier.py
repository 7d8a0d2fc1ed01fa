"""The verifier: whatever is changed of the evidence is found, and whatever it is given, it says so in a sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor import evidence, verifier
from monitor.keys import Signer
from monitor.store import Database
from monitor.verifier import SIGNED, Flaw, Result, canonical, line_of, read_checkpoints, verify
from tests import stranger
from tests.histories import History, Tables, history
from tests.measured import note, times
from tests.mutations import EVIDENCE, MUTATIONS, Evidence, other_value, rehash, says_nothing

SEEN_BY_A_STRANGER = ("audit_entry", "checkpoint", "chain", "tail", "key")  # what tests/stranger.py looks at


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A plant with a history, on SQLite."""
    folder = tmp_path_factory.mktemp("plant")
    database = Database(f"sqlite:///{folder / 'asbuilt.db'}")
    database.migrate()
    return history(folder, database)


@pytest.fixture(scope="module")
def found(made: History) -> Evidence:
    return Evidence(made.tables(), made.outside(), made.copies)


def verified(found: Evidence, folder: Path, key: str | None = None) -> Result:
    file = folder / "outside"
    file.write_text(found.outside, encoding="utf-8")
    return verify(found.tables, read_checkpoints(file), key)


def exported(tables: Tables, path: Path) -> Path:
    path.write_text(
        "".join(json.dumps({"table": table, "row": row}) + "\n" for table, rows in tables.items() for row in rows)
    )
    return path


def test_what_was_really_done_verifies(made: History, found: Evidence, tmp_path: Path) -> None:
    result = verified(found, tmp_path)
    assert result.flaws == []
    assert (result.entries, result.uncovered) == (len(found.tables["audit_entry"]), 0)
    assert result.checkpoints == len(found.tables["checkpoint"])
    assert len(result.keys) == 2
    assert verified(found, tmp_path, result.keys[0].upper()).flaws == []
    (flaw,) = verified(found, tmp_path, result.keys[1]).flaws
    assert "does not begin with the key" in flaw.why
    path = exported(found.tables, tmp_path / "export.jsonl")
    assert stranger.verify(path, [tmp_path / "outside"], result.keys[0]) == result.entries


def test_every_mutation_is_found(found: Evidence, tmp_path: Path) -> None:
    """By ours; and what a stranger's verifier looks at, by that too."""
    wanted, done, none, asked = times(200, 10_000), Counter[str](), Counter[str](), 0
    number = 0
    while done.total() < wanted:
        number += 1
        chance, changed = random.Random(number), found.copied()
        what = chance.choice(MUTATIONS)(changed, chance)
        if what.startswith("("):
            none[what] += 1
            continue
        done[what] += 1
        result = verified(changed, tmp_path)
        assert result.flaws, (number, what)
        if number % 5 == 0 and any(word in what for word in SEEN_BY_A_STRANGER):
            asked += 1
            with pytest.raises(stranger.Wrong):
                stranger.verify(exported(changed.tables, tmp_path / "e"), [tmp_path / "outside"])
    assert asked > wanted / 30
    note(
        "every mutation of the evidence is found",
        mutations=done.total(),
        kinds=len(done),
        drawn_that_were_none=none.total(),
        also_found_by_a_verifier_written_from_the_page=asked,
    )


def test_every_cell_is_held(found: Evidence, tmp_path: Path) -> None:
    """Each cell of each table of the evidence, one after the other."""
    cells = [
        (table, place, column)
        for table in EVIDENCE
        for place, row in enumerate(found.tables[table])
        for column in row
        if not says_nothing(found.tables, table, row, column)
    ]
    assert {table for table, _, _ in cells} == {*EVIDENCE}
    for table, place, column in random.Random(1).sample(cells, times(100, len(cells))):
        changed, chance = found.copied(), random.Random(f"{table} {place} {column}")
        row = changed.tables[table][place]
        row[column] = other_value(row[column], chance, [other[column] for other in changed.tables[table]])
        if table == "alert" and column == "prevention" and not row[column]:
            continue
        flaw = verified(changed, tmp_path).first_bad
        assert flaw, (table, place, column)
        if table == "audit_entry":
            assert flaw.entry == place + 1, column
    note("every cell of the evidence is held", cells=len(cells), tables=len(EVIDENCE))


def test_the_first_bad_entry_is_named(found: Evidence, tmp_path: Path) -> None:
    """Also where what is stored no longer fits to a chain that could not be read to its end."""
    for number in (3, 11, len(found.tables["audit_entry"])):
        for edit in ("edit", "delete"):
            changed = found.copied()
            rows = changed.tables["audit_entry"]
            if edit == "edit":
                rows[number - 1]["actor"] = "mallory"
            else:
                del rows[number - 1]
            flaw = verified(changed, tmp_path).first_bad
            assert flaw is not None
            assert flaw.entry == number


def test_a_rolled_back_store_is_found_whatever_day_it_is_of(found: Evidence, tmp_path: Path) -> None:
    whole = found.copies[-1]
    for copy in found.copies[:-1]:
        result = verified(Evidence(copy, found.outside, []), tmp_path)
        flaw = result.first_bad
        if len(copy["audit_entry"]) < len(whole["audit_entry"]):
            assert flaw == Flaw(len(copy["audit_entry"]) + 1, flaw.why if flaw else "")
            assert "was cut, or rolled back" in flaw.why
        assert result.entries == len(copy["audit_entry"])
    assert verified(Evidence(found.copies[3], "", []), tmp_path).flaws == []  # nothing tells without a witness
    assert verified(Evidence(found.copies[3], "", []), tmp_path).uncovered == len(found.copies[3]["audit_entry"])


def test_an_old_key_that_was_stolen_signs_nothing_after_its_time(
    made: History, found: Evidence, tmp_path: Path
) -> None:
    (path,) = made.plant.evidence.key.parent.glob("asbuilt.key.*")
    from monitor import keys

    old, last = keys.load(path), found.tables["audit_entry"][-1]
    row = {"at": last["at"], "entries": last["id"], "head": last["hash"], "key": old.key}
    row["signature"] = old.sign(canonical(row))
    for place in ("store", "outside"):
        changed = found.copied()
        if place == "store":
            changed.tables["checkpoint"] = [
                each for each in changed.tables["checkpoint"] if each["entries"] < last["id"]
            ]
            changed.tables["checkpoint"].append(row)
        else:
            changed.outside += line_of(row) + "\n"
        whys = [flaw.why for flaw in verified(changed, tmp_path).flaws]
        assert any("a key that was not in use then" in why for why in whys)


def test_a_checkpoint_file_of_another_plant_is_found(found: Evidence, tmp_path: Path) -> None:
    signer = Signer.new()
    rows = [{**row, "key": signer.key} for row in found.tables["checkpoint"]]
    for row in rows:
        row["signature"] = signer.sign(canonical({name: row[name] for name in SIGNED}))
    changed = found.copied()
    changed.outside = "".join(line_of(row) + "\n" for row in rows)
    flaw = verified(changed, tmp_path).first_bad
    assert flaw is not None
    assert "a key that is not of this chain" in flaw.why


def test_a_chain_made_anew_with_a_key_of_its_own_begins_with_another_key(found: Evidence, tmp_path: Path) -> None:
    """All that somebody without the plant's key can do, who has all that was kept outside too."""
    signer, changed, known = Signer.new(), found.copied(), verified(found, tmp_path).keys[0]
    rows = changed.tables["audit_entry"]
    first = next(row for row in rows if row["action"] == "key.add")
    first["detail"] = json.dumps({"public_key": signer.key})
    del rows[next(place for place, row in enumerate(rows) if row["action"] == "key.rotate") :]
    rehash(rows)
    head = {"at": rows[-1]["at"], "entries": len(rows), "head": rows[-1]["hash"], "key": signer.key}
    head["signature"] = signer.sign(canonical(head))
    only = {"audit_entry": rows, "checkpoint": [head]}
    assert verify(only, [head]).flaws == []
    assert "does not begin with the key" in verify(only, [head], known).flaws[0].why


def test_a_torn_line_is_no_flaw_and_a_line_of_something_else_is(found: Evidence, tmp_path: Path) -> None:
    lines = found.outside.splitlines(keepends=True)
    for outside in ("".join(lines[:-1]) + lines[-1][:70], "".join([*lines[:4], lines[4][:99] + "\n", *lines[5:]])):
        assert verified(Evidence(found.tables, outside, []), tmp_path).flaws == []
    for wrong in ("hello\n", '{"at":"x"}\n', lines[0].replace(":", ": ", 1), "[" * 100_000 + "\n", lines[0][1:]):
        (flaw,) = verified(Evidence(found.tables, found.outside + wrong, []), tmp_path).flaws
        assert "what is no checkpoint" in flaw.why


def test_a_log_of_many_programs_is_read_for_its_checkpoints(found: Evidence, tmp_path: Path) -> None:
    lines = found.outside.splitlines()
    before = "Nov 25 20:00:00 plant sshd[1]: session {opened}\n"
    log = "".join(f"{before}Nov 25 20:00:01 plant asbuilt[7]: {line}\n" for line in lines)
    assert verified(Evidence(found.tables, log, []), tmp_path).covered == len(found.tables["audit_entry"])
    edited = log.replace('"entries":48', '"entries":47')
    assert edited != log
    assert verified(Evidence(found.tables, edited, []), tmp_path).flaws


GARBAGE: list[Any] = [
    None,
    5,
    -1,
    2**63 - 1,
    1.5,
    "",
    "{",
    "null",
    "[]",
    '"x"',
    "\udcff",
    "1" * 5000,
    "[" * 5000,
    b"\0",
]


@pytest.mark.parametrize("name", [None, 7, "", "somebody else"])
def test_an_asset_without_its_name_is_a_flaw(found: Evidence, tmp_path: Path, name: object) -> None:
    changed = found.copied()
    changed.tables["asset"][-1]["name"] = name
    assert verified(changed, tmp_path).flaws


def test_garbage_in_any_cell_is_a_flaw_and_no_traceback(found: Evidence, tmp_path: Path) -> None:
    chance = random.Random(3)
    for _ in range(times(100, 4000)):
        changed = found.copied()
        for _ in range(chance.randint(1, 3)):
            table = chance.choice([*EVIDENCE, "run"])
            row = chance.choice(changed.tables[table])
            row[chance.choice(list(row))] = chance.choice([*GARBAGE, {}, [], True])
        if chance.random() < 0.2:
            rehash_as_far(changed.tables["audit_entry"])
        for flaw in verified(changed, tmp_path).flaws:
            assert flaw.why.isprintable()


def rehash_as_far(rows: list[dict[str, Any]]) -> None:
    try:
        rehash(rows)
    except (ValueError, TypeError, RecursionError):
        return


@pytest.mark.parametrize(
    "detail", ["[]", "null", '"x"', "5", '{"a": 1}', '{"a": null}', '{"ä": "x"}', '{"a": "x", "a": "x"}', '{"b":"x"}']
)
def test_an_entry_whose_detail_is_none_is_found_also_with_its_hash_made_anew(found: Evidence, detail: str) -> None:
    changed = found.copied()
    rows = changed.tables["audit_entry"]
    rows[4]["detail"] = detail
    rehash(rows)
    flaw = verify({"audit_entry": rows}).first_bad
    assert flaw is not None
    assert flaw.entry == 5


def test_a_table_that_was_taken_away_is_found(made: History, found: Evidence, tmp_path: Path) -> None:
    for table in ("audit_entry", "baseline", "person", "change_order", "sign_off", "snapshot", "document", "asset"):
        left = {name: rows for name, rows in found.tables.items() if name != table}
        path = exported(left, tmp_path / "export.jsonl")
        (tmp_path / "outside").write_text(found.outside)
        assert verifier.main([str(path), "--checkpoints", str(tmp_path / "outside")]) == 4, table
        store = copied_store(made, tmp_path)
        with closing(sqlite3.connect(store)) as connection:
            connection.execute(f"DROP TABLE {table}")
        assert verifier.main([str(store), "--checkpoints", str(tmp_path / "outside")]) == 4, table


def copied_store(made: History, folder: Path, name: str = "copy ?#%41.db") -> Path:
    path = folder / name
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(made.database.url.database or "")) as store, closing(sqlite3.connect(path)) as copy:
        store.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    return path


def run_main(path: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, verifier.__file__, str(path), *words], capture_output=True, text=True, errors="replace"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Bytes cut short, with some changed, or none of them."""
    match chance.randrange(4):
        case 0:
            return data[: chance.randrange(len(data))]
        case 1:
            return chance.randbytes(chance.randrange(4000))
        case _:
            changed = bytearray(data)
            for _ in range(chance.choice((1, 3, 300))):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            return bytes(changed)


@pytest.mark.parametrize("kind", ["store", "export", "checkpoints"])
def test_no_file_breaks_the_verifier(
    made: History, found: Evidence, tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    export = exported(found.tables, tmp_path / "export.jsonl")
    store, outside, spoiled = copied_store(made, tmp_path), made.plant.evidence.files[0], tmp_path / "spoiled"
    data = {"store": store, "export": export, "checkpoints": outside}[kind].read_bytes()
    codes, chance = Counter[int](), random.Random(kind)
    for _ in range(times(40, 1000)):
        spoiled.write_bytes(spoil(data, chance))
        words = [spoiled] if kind != "checkpoints" else [store, "--checkpoints", spoiled]
        codes[verifier.main([str(word) for word in words])] += 1
        capfd.readouterr()
    assert set(codes) <= {0, 2, 4}
    assert codes[0] < codes.total() / 4 or kind != "export"  # a store has pages without evidence


def test_a_store_with_text_that_is_none_does_not_verify(made: History, tmp_path: Path) -> None:
    for table, column in (
        ("audit_entry", "actor"),
        ("audit_entry", "detail"),
        ("snapshot", "text"),
        ("person", "name"),
    ):
        store = copied_store(made, tmp_path, "copy.db")
        with closing(sqlite3.connect(store, isolation_level=None)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = CAST(x'ff1b5b' AS TEXT) WHERE rowid = 2")
        assert run_main(store)[0] == 4
        opened = Database(f"sqlite:///{store}")
        with closing(opened), opened.read() as tx:
            assert evidence.verified(tx, made.plant).first_bad is not None


def test_one_endless_line_ends_in_a_sentence(tmp_path: Path) -> None:
    """A file of 1 GB without a line break: sparse, so it is quickly made."""
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(2**30)
    code, said = run_main(path)
    assert (code, "line 1 is no row of evidence" in said) == (2, True)


@pytest.mark.parametrize("words", [["missing.db"], ["."], [os.devnull, "--checkpoints", "missing"]])
def test_what_is_not_there_is_said(words: list[str]) -> None:
    code, said = run_main(Path(words[0]), *words[1:])
    assert (code, said.startswith("cannot be read: ")) == (2, True)


def test_an_empty_file_holds_no_evidence(found: Evidence, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(found.outside)
    (tmp_path / "empty").write_text("")
    assert run_main(tmp_path / "empty")[0] == 0
    assert run_main(tmp_path / "empty", "--checkpoints", str(tmp_path / "outside"))[0] == 4


STANDS_ALONE = """
import importlib.abc, runpy, sys
class Only(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names | {"cryptography", "_cffi_backend", "cffi"}:
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Only())
sys.path.insert(0, sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("with_library", [True, False])
@pytest.mark.parametrize("kind", ["store", "export"])
def test_the_one_file_stands_alone(
    made: History, found: Evidence, tmp_path: Path, kind: str, with_library: bool
) -> None:
    """Copied to an empty folder, isolated, with nothing but the standard library, or that and cryptography."""
    import cryptography

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(verifier.__file__, alone / "verifier.py")
    (tmp_path / "outside").write_text(found.outside)
    packages = str(Path(cryptography.__file__).parents[1] if with_library else alone)
    path = copied_store(made, tmp_path) if kind == "store" else exported(found.tables, tmp_path / "export.jsonl")
    words = [str(alone / "verifier.py"), str(path), "--checkpoints", str(tmp_path / "outside")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STANDS_ALONE, packages, *words], cwd=alone, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(found.tables['audit_entry'])} entries" in done.stdout


def append_entries(tables: Tables, count: int) -> None:
    """Many more entries: alarms that were acknowledged."""
    rows, moves, alerts = (tables[name] for name in ("audit_entry", "alert_move", "alert"))
    row, alert, move = dict(rows[-1]), dict(alerts[0]), dict(moves[0])
    numbers, previous, name = range(len(rows) + 1, count + 1), rows[-1]["hash"], tables["asset"][0]["name"]
    for number in numbers:
        alarm = 10_000 + number
        detail = {"alert": str(alarm), "deviation": "item.a changed from 1 to 2", "reason": "seen"}
        said = {**row, "id": number, "action": "alert.acknowledge", "subject": name, "previous": previous}
        said |= {"actor": "kim", "detail": json.dumps(detail, sort_keys=True)}
        plain = {**{field: said[field] for field in verifier.FIELDS}, "detail": detail}
        said["hash"] = previous = sha256(canonical(plain)).hexdigest()
        rows.append(said)
        states = [("deviates", "NORMAL", "UNACK", None), ("acknowledge", "UNACK", "ACKED", "kim")]
        for place, (event, before, after, by) in enumerate(states):
            end = {"event": event, "before": before, "after": after, "by": by, "at": said["at"], "reason": "seen"}
            moves.append({**move, "id": 100_000 + 2 * number + place, "alert_id": alarm, **end})
        alerts.append(
            {**alert, "id": alarm, "asset_id": tables["asset"][0]["id"], "state": "ACKED", "acknowledged_by": "kim"}
            | {"reason": "seen", "cause": None, "prevention": "", "closed_by": None, "closed_at": None}
        )


def test_a_long_chain_takes_time_in_proportion(found: Evidence) -> None:
    seconds = {}
    for count in (times(2000, 25_000), times(8000, 100_000)):
        tables = deepcopy(found.tables)
        append_entries(tables, count)
        began = time.perf_counter()
        assert verify(tables).flaws == []
        seconds[count] = time.perf_counter() - began
    one, four = seconds.values()
    assert four < 12 * one
    note("a chain of 100,000 entries is verified in proportion", seconds=round(four, 1))


TAMPER: list[Callable[[Tables], object]] = [
    lambda tables: tables["person"].append({**tables["person"][0], "id": 99, "name": "mallory"}),
    lambda tables: tables["snapshot"].append(tables["snapshot"][0]),
    lambda tables: tables["document"].clear(),
    lambda tables: tables["alert"].append(tables["alert"][0]),
]


@pytest.mark.parametrize("tamper", TAMPER)
def test_what_was_put_in_from_outside_is_found(
    found: Evidence, tmp_path: Path, tamper: Callable[[Tables], Any]
) -> None:
    changed = found.copied()
    tamper(changed.tables)
    assert verified(changed, tmp_path).flaws


def test_nobody_signs_as_somebody_whose_key_they_changed(found: Evidence, tmp_path: Path) -> None:
    """Who can write to the store, and has nobody's key, appends that a person has another key now."""
    for action, subject, roles in (("person.change", "ada", "admin"), ("person.add", "mallory", "admin")):
        changed, signer = found.copied(), Signer.new()
        detail = {"public_key": signer.key, "roles": roles, "sealed_digest": ""}
        rows = changed.tables["audit_entry"]
        rows.append({**rows[-1], "id": len(rows) + 1, "actor": subject, "action": action, "subject": subject})
        rows[-1]["detail"] = json.dumps(detail, sort_keys=True)
        rehash(rows)
        person = {"id": 99, "name": subject, "roles": roles, "public_key": signer.key}
        changed.tables["person"] = [row for row in changed.tables["person"] if row["name"] != subject]
        changed.tables["person"].append(person | {"sealed": None, "removed_at": None})
        flaw = verified(changed, tmp_path).first_bad
        assert flaw == Flaw(
            len(rows), f"it says what cannot have been: {action}: whoever is registered already has to sign for it"
        )
