"""Evidence packs: whole on a bare Python without a network, and whatever is changed in one is found and named."""

from __future__ import annotations

import ast
import io
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256, sha512
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import keys, store, verifier
from monitor.errors import CallError, NotNow
from monitor.keys import Signer
from monitor.report.annexes import annexes
from monitor.report.document import Report
from monitor.report.pack import Page, assure_possible, pack
from monitor.seal import seal_of
from monitor.store import Database
from monitor.verifier import MANIFEST, SEAL, ed25519, pem
from tests import stranger
from tests.histories import History, history
from tests.measured import times
from tests.mutations import rehash
from tests.reports import sample

BARE = Path("/usr/bin/python3") if Path("/usr/bin/python3").exists() else Path(sys.executable)
ALONE = ("unshare", "--net") if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("unshare") else ()


def silent(_what: str, _done: int, _of: int) -> None:
    """Nobody looks."""


def plain_pages() -> dict[str, Page]:
    """The files of a report, as short as they can be."""

    def html(report: Report) -> list[bytes]:
        return [f"<td>{each.name}</td><td>{each.digest}</td>\n".encode() for each in annexes(report)]

    def document(report: Report) -> list[bytes]:
        said: dict[str, Any] = {"title": report.title, "plant": report.plant, "until": report.until.isoformat()}
        said |= {"chain": {"entries": report.entries, "head": report.head}}
        return [json.dumps(said | {"tables": {table.key: {} for table in report.tables}}).encode()]

    return {"report.pdf": lambda _report: [b"%PDF-1.7"], "report.html": html, "report.json": document}


@dataclass
class Site:
    """A plant with a history, a report of it, and the pack of both."""

    made: History
    report: Report
    zip: Path
    folder: Path

    @property
    def signer(self) -> Signer:
        return keys.load(self.made.plant.evidence.key)

    def packed(self, path: Path, report: Report | None = None, pages: dict[str, Page] | None = None) -> Path:
        wanted = plain_pages() if pages is None else pages
        pack(self.made.plant, self.made.database, report or self.report, path, silent, wanted)
        return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("plant")
    database = Database(f"sqlite:///{folder / 'asbuilt.db'}")
    database.migrate()
    made = history(folder, database)
    with database.read() as tx:
        entries, head = store.audit_head(tx) or (0, "")
    found = Site(made, replace(sample(), entries=entries, head=head), folder / "pack.zip", folder / "unpacked")
    found.packed(found.zip)
    with zipfile.ZipFile(found.zip) as packed:
        packed.extractall(found.folder)
    return found


@pytest.fixture
def copy(site: Site, tmp_path: Path) -> Path:
    """The pack, unpacked, to be tampered with."""
    return Path(shutil.copytree(site.folder, tmp_path / "copy"))


def verified(program: Path, *words: object, cwd: Path | None = None, python: Path = BARE) -> tuple[int, str]:
    """What a bare Python says, without packages, environment and network."""
    command = [*ALONE, "env", "-i", python, "-I", "-S", program, *words]
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, errors="replace")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def flaws(path: Path, outside: list[dict[str, Any]] | None = None) -> list[str]:
    return verifier.verify_pack(path, outside or ()).flaws


def resealed(folder: Path, signer: Signer) -> Path:
    """Every file as it is now, listed and signed anew."""
    (folder / "KEY.pem").write_text(pem(signer.key))
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    digests = {name: sha256((folder / name).read_bytes()).hexdigest() for name in names if name not in (MANIFEST, SEAL)}
    for name, content in seal_of(digests, signer).items():
        (folder / name).write_bytes(content)
    return folder


def test_a_pack_verifies_on_a_bare_python_without_a_network(site: Site, tmp_path: Path) -> None:
    without = subprocess.run([str(BARE), "-I", "-S", "-c", "import cryptography"], capture_output=True)
    assert without.returncode, "this Python is not bare"
    shutil.copy(site.folder / "verify.py", tmp_path / "verify.py")
    first = verifier.verify(site.made.tables()).keys[0]
    for words in ((site.folder / "verify.py",), (tmp_path / "verify.py", site.zip)):
        code, said = verified(*words, cwd=tmp_path)
        assert code == 0, said
        assert f"{site.report.entries} audit entries" in said
        assert (
            f"{sum('signature' in row['detail'] for row in site.made.tables()['audit_entry'])} of them are signed"
            in said
        )
        assert f"MANIFEST is signed with the key {site.signer.key}" in said
        assert f"The chain begins with the key {first}" in said
        assert "the report (Audit report of Bottling works" in said
        assert said.endswith("verifies\n")
        code, said = verified(*words, "--key", first, "--checkpoints", site.made.plant.evidence.files[0])
        assert (code, "key that you named" in said, "that you kept yourself" in said) == (0, True, True), said
        assert "--key HEX" not in said
        assert verified(*words, "--key", "0" * 64)[0] == 4
    assert not list(site.folder.rglob("__pycache__"))


def test_the_verifier_in_it_is_ours_to_the_byte(site: Site) -> None:
    assert (site.folder / "verify.py").read_bytes() == Path(verifier.__file__).read_bytes()


def test_the_same_data_is_the_same_bytes(site: Site, tmp_path: Path) -> None:
    assert site.packed(tmp_path / "again.zip").read_bytes() == site.zip.read_bytes()
    folder = site.packed(tmp_path / "folder")
    for path in site.folder.rglob("*"):
        assert path.is_dir() or (folder / path.relative_to(site.folder)).read_bytes() == path.read_bytes()
    assert flaws(folder) == []


def test_no_private_key_is_in_it(site: Site) -> None:
    sealed = [row["sealed"] for row in site.made.tables()["person"] if row["sealed"]]
    assert sealed
    text = (site.folder / "evidence.jsonl").read_text()
    assert not any(json.loads(each)["sealed"] in text for each in sealed)


def test_a_verifier_of_a_stranger_says_so_too(site: Site) -> None:
    first = verifier.verify(site.made.tables()).keys[0]
    count = stranger.verify(site.folder / "evidence.jsonl", [site.folder / "checkpoints.jsonl"], first)
    assert count == site.report.entries


def test_it_is_checked_by_common_tools(site: Site) -> None:
    if not (shutil.which("sha256sum") and shutil.which("openssl")):
        pytest.skip("needs sha256sum and openssl")
    readme = (site.folder / "README.txt").read_text()
    lines = [line.strip() for line in readme.splitlines() if line.startswith(("  sha256sum", "  openssl"))]
    assert len(lines) == 3
    said = [subprocess.run(line, shell=True, cwd=site.folder, capture_output=True, text=True) for line in lines]
    assert [each.returncode for each in said] == [0, 0, 0], said
    assert "Signature Verified Successfully" in said[1].stdout
    if shutil.which("xxd"):
        assert said[2].stdout.strip() == site.signer.key
    assert site.signer.key in readme


@pytest.mark.skipif(find_spec("monitor.report.writing") is None, reason="no writers yet")
def test_a_report_as_it_is_really_written(site: Site, tmp_path: Path) -> None:
    pack(site.made.plant, site.made.database, site.report, tmp_path / "real.zip", silent)
    code, said = verified(Path(verifier.__file__), tmp_path / "real.zip")
    assert code == 0, said
    assert "2 annexes" in said


# What somebody changes


def test_a_byte_of_any_file_is_found_and_the_file_is_named(site: Site, copy: Path) -> None:
    names = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    assert {"report.pdf", "data/deviations.csv", "evidence.jsonl", "verify.py", "README.txt", SEAL} < {*names}
    for name in names:
        whole = (copy / name).read_bytes()
        chance = random.Random(name)
        for _ in range(times(3, 100)):
            changed = bytearray(whole)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            (copy / name).write_bytes(changed)
            found = flaws(copy)
            assert any(name in each for each in found), (name, found)
        (copy / name).write_bytes(whole)
    assert flaws(copy) == []


def test_a_file_that_is_missing_added_or_renamed_is_named(copy: Path) -> None:
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        name, aside = path.relative_to(copy).as_posix(), path.with_name(f"other-{path.name}")
        path.rename(aside)
        found = flaws(copy)
        assert f"{name} is missing" in found
        if name != MANIFEST:
            assert f"{aside.relative_to(copy).as_posix()} is not of this pack: MANIFEST does not name it" in found
        aside.rename(path)
    (copy / "extra.txt").write_text("x")
    assert flaws(copy) == ["extra.txt is not of this pack: MANIFEST does not name it"]
    (copy / "extra.txt").unlink()
    (copy / "link").symlink_to("/etc/passwd")
    assert flaws(copy) == ["link is a link, or no file"]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "evidence.jsonl").read_text().splitlines()]


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "evidence.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_history_that_is_rewritten_is_found_at_its_entry(site: Site, copy: Path) -> None:
    """Also with all hashes made anew, and with the plant's own key, for the checkpoints were there before."""
    rows = rows_of(copy)
    chain = [row["row"] for row in rows if row["table"] == "audit_entry"]
    chain[20]["actor"] = "mallory"
    write_rows(copy, rows)
    assert any("entry 21: its content is not what its hash" in each for each in flaws(copy))
    rehash(chain)
    write_rows(copy, rows)
    found = flaws(resealed(copy, site.signer))
    assert any("the chain was rewritten" in each for each in found), found
    assert any("report.json is of another chain" in each for each in found), found


def test_a_checkpoint_that_was_dropped_is_found(site: Site, copy: Path) -> None:
    whole = (copy / "checkpoints.jsonl").read_text().splitlines(keepends=True)
    (copy / "checkpoints.jsonl").write_text("".join(whole[:3] + whole[4:]))
    assert flaws(copy) == ["checkpoints.jsonl was changed: it is not what MANIFEST says"]
    (copy / "checkpoints.jsonl").write_text("".join(whole))
    rows, gone = rows_of(copy), json.loads(whole[3])["entries"]
    write_rows(copy, [row for row in rows if row["table"] != "checkpoint" or row["row"]["entries"] != gone])
    found = flaws(resealed(copy, site.signer))
    assert any("is not in the store any more" in each for each in found), found
    (copy / "checkpoints.jsonl").write_text("".join(whole[:3] + whole[4:]))  # from both places
    assert flaws(resealed(copy, site.signer)) == []
    own = list(verifier.read_checkpoints(site.made.plant.evidence.files[0]))
    assert any("is not in the store any more" in each for each in verifier.verify_pack(copy, own).flaws)


def test_another_key_is_named(site: Site, copy: Path) -> None:
    other = Signer.new()
    (found,) = flaws(resealed(copy, other))
    last = verifier.verify(site.made.tables()).keys[-1]
    assert found == (
        f"MANIFEST is signed with another key than the plant's: the chain in evidence.jsonl ends with {last}"
    )
    assert verified(copy / "verify.py")[0] == 4


def test_an_annex_is_the_one_that_the_report_prints(site: Site, copy: Path) -> None:
    (copy / "data" / "orders.csv").write_text("asset\nother\n")
    (found,) = flaws(resealed(copy, site.signer))
    assert found == "data/orders.csv is not the annex whose SHA-256 is printed in report.html"
    (copy / "data" / "orders.csv").rename(copy / "data" / "more.csv")
    found, other = flaws(resealed(copy, site.signer))
    assert (found, other) == (
        "data/orders.csv is an annex of the report, and is missing",
        "data/more.csv is no annex of the report",
    )


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"null", b'{"tables": 5}', b"[" * 100_000, b"\xff", b'{"chain": 5}']
)
def test_a_report_that_is_none_is_said(site: Site, copy: Path, text: bytes) -> None:
    for name in ("report.json", "evidence.jsonl", "checkpoints.jsonl", "KEY.pem", MANIFEST):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(text)
        assert any(name in each for each in flaws(copy)), name
        (copy / name).write_bytes(whole)
    (copy / "report.json").write_bytes(text)
    assert "report.json is no report as asbuilt writes it" in flaws(resealed(copy, site.signer))


# What a zip can hide


def entries_of(path: Path) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(path) as packed:
        return [(each, packed.read(each)) for each in packed.infolist()]


def test_a_byte_of_the_zip_is_found_if_it_says_anything(site: Site, tmp_path: Path) -> None:
    """What is left are dates, rights and versions, which no program reads as a content or a name."""
    whole, chance, silent_bytes = site.zip.read_bytes(), random.Random(5), 0
    said = [(each.filename, content) for each, content in entries_of(site.zip)]
    path = tmp_path / "changed.zip"
    for _ in range(times(60, 5000)):
        changed = bytearray(whole)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        if not flaws(path):
            silent_bytes += 1
            assert [(each.filename, content) for each, content in entries_of(path)] == said
    assert silent_bytes < times(10, 500)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99, 0.9999])
def test_a_zip_that_was_cut_is_said(site: Site, tmp_path: Path, share: float) -> None:
    whole = site.zip.read_bytes()
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4" + whole[4 : int(len(whole) * share)])
    (found,) = flaws(tmp_path / "cut.zip")
    assert "it does not end as asbuilt ends a pack" in found


def zipped(path: Path, entries: list[tuple[zipfile.ZipInfo, bytes]], comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for each, content in entries:
            said = zipfile.ZipInfo(each.filename, each.date_time)
            said.external_attr, said.compress_type = each.external_attr, zipfile.ZIP_DEFLATED
            packed.writestr(said, content)
        packed.comment = comment
    return path


def link_named(name: str) -> zipfile.ZipInfo:
    said = zipfile.ZipInfo(name)
    said.external_attr = (stat.S_IFLNK | 0o777) << 16
    return said


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("added", "why"),
    [
        (zipfile.ZipInfo("report.pdf"), "'report.pdf' is in it twice"),
        (zipfile.ZipInfo("Report.PDF"), "Report.PDF is there twice, for systems that take A for a"),
        (zipfile.ZipInfo("../outside"), "'../outside' is no name of a file in a pack"),
        (zipfile.ZipInfo("/etc/x"), "'/etc/x' is no name of a file in a pack"),
        (zipfile.ZipInfo("data\\x"), "is no name of a file in a pack"),
        (zipfile.ZipInfo("folder/"), "'folder/' is no name of a file in a pack"),
        (zipfile.ZipInfo("ä"), "'ä' is no name of a file in a pack"),
        (zipfile.ZipInfo("x" * 500), "is no name of a file in a pack"),
        (link_named("other"), "other is a link"),
        (zipfile.ZipInfo("extra"), "extra is not of this pack: MANIFEST does not name it"),
    ],
)
def test_what_is_put_into_the_zip_is_refused(site: Site, tmp_path: Path, added: zipfile.ZipInfo, why: str) -> None:
    (found,) = flaws(zipped(tmp_path / "more.zip", [*entries_of(site.zip), (added, b"x")]))
    assert why in found


def test_a_zip_that_two_programs_could_read_differently_is_refused(site: Site, tmp_path: Path) -> None:
    whole, entries = site.zip.read_bytes(), entries_of(site.zip)
    path, second = tmp_path / "p.zip", entries[1][0].header_offset
    assert flaws(zipped(path, entries)) == []  # by another program, but laid out so

    def found_in(data: bytes) -> str:
        path.write_bytes(data)
        return " ".join(flaws(path))

    assert "does not end as asbuilt ends a pack" in found_in(whole + b"x")
    assert "does not end as asbuilt ends a pack" in found_in(zipped(path, entries, b"a comment").read_bytes())
    hidden = shifted(whole, entries, second, b"PK\3\4 hidden")
    assert f"something lies hidden before {entries[1][0].filename}" in found_in(hidden)
    end = struct.unpack_from("<I", whole, len(whole) - 6)[0]
    last = shifted(whole, entries, end, b"hidden")
    assert "something lies hidden between its files" in found_in(last)
    local = bytearray(whole)
    local[30] ^= 1  # a name, in one of the two places
    assert "is not the same in both places" in found_in(bytes(local))
    locked = bytearray(whole)
    locked[end + 8] |= 1
    assert "is encrypted" in found_in(bytes(locked))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as packed:
        packed.writestr("x", b"x")
    assert "is packed in a way that asbuilt does not pack" in " ".join(flaws(path))


def shifted(whole: bytes, entries: list[tuple[zipfile.ZipInfo, bytes]], at: int, hidden: bytes) -> bytes:
    """The zip with something put in, and every place that it speaks of moved."""
    data = bytearray(whole)
    place = struct.unpack_from("<I", data, len(data) - 6)[0]
    struct.pack_into("<I", data, len(data) - 6, place + len(hidden))
    for each, _ in entries:
        if each.header_offset >= at:
            struct.pack_into("<I", data, place + 42, each.header_offset + len(hidden))
        name, extra, comment = struct.unpack_from("<3H", data, place + 28)
        place += 46 + name + extra + comment
    return bytes(data[:at] + hidden + data[at:])


def test_a_bomb_does_not_go_off(site: Site, tmp_path: Path) -> None:
    """20 GB in a few MB, by what the zip says; and one that says less than it holds."""
    path = tmp_path / "bomb.zip"
    entries = entries_of(site.zip)
    zipped(path, [*entries, (zipfile.ZipInfo("data/bomb.csv"), b"0" * 5_000_000)])
    assert flaws(path) == [
        "data/bomb.csv is not of this pack: MANIFEST does not name it",
        "data/bomb.csv is no annex of the report",
    ]
    data = bytearray(path.read_bytes())
    central, local = data.rfind(b"data/bomb.csv") - 46, data.find(b"data/bomb.csv") - 30
    for at in (central + 24, local + 22):
        struct.pack_into("<I", data, at, 2**32 - 2)
    path.write_bytes(data)
    assert any("data/bomb.csv" in each for each in flaws(path))
    for at in (central + 24, local + 22):
        struct.pack_into("<I", data, at, 5)
    path.write_bytes(data)
    assert any("data/bomb.csv" in each for each in flaws(path))
    many = [(zipfile.ZipInfo(f"data/{number}"), b"") for number in range(verifier.MOST_FILES + 1)]
    assert flaws(zipped(path, many)) == [f"it holds more than {verifier.MOST_FILES} files"]
    with pytest.raises(ValueError, match="more than 3 rows"):
        verifier._tables(io.StringIO('{"table": "run", "row": {}}\n' * 4), 3)
    with pytest.raises(verifier.NoPack, match="more than 16 GB"):
        verifier._assure_bounded({f"data/{number}": 2**32 - 1 for number in range(5)})


@pytest.mark.parametrize("name", verifier.BOUNDS)
def test_a_file_that_is_larger_than_in_any_pack_is_not_read(copy: Path, name: str) -> None:
    os.truncate(copy / name, verifier.BOUNDS[name] + 1)  # with nothing in it, so that it takes no room
    assert flaws(copy) == [f"{name} is larger than in any pack: {verifier.BOUNDS[name] + 1} bytes"]


@pytest.mark.parametrize("words", [["missing.zip"], ["."], [os.devnull, "--checkpoints", "missing"]])
def test_what_is_not_there_is_said(words: list[str], tmp_path: Path, site: Site) -> None:
    shutil.copy(site.folder / "verify.py", tmp_path)  # which alone makes no pack of a folder
    code, said = verified(site.folder / "verify.py", *words, cwd=tmp_path)
    assert (code, said.startswith("cannot be read: ")) == (2, True), said


# Making one


def test_a_report_of_another_store_is_not_packed(site: Site, tmp_path: Path) -> None:
    for report in (replace(site.report, head="ab" * 32), replace(site.report, entries=10_000)):
        with pytest.raises(NotNow, match="the store changed while the report was made"):
            site.packed(tmp_path / "p.zip", report)
    earlier = site.made.copies[5]["audit_entry"][-1]
    site.packed(tmp_path / "p.zip", replace(site.report, entries=earlier["id"], head=earlier["hash"]))
    assert flaws(tmp_path / "p.zip") == []
    site.packed(tmp_path / "none.zip", replace(site.report, entries=0, head=""))
    assert flaws(tmp_path / "none.zip") == []


def test_what_is_there_is_left_and_what_fails_leaves_nothing(site: Site, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_text("mine")
    with pytest.raises(CallError, match="exists already"):
        site.packed(tmp_path / "p.zip")
    assert (tmp_path / "p.zip").read_text() == "mine"
    with pytest.raises(CallError, match="there is no folder"):
        site.packed(tmp_path / "nowhere" / "p.zip")
    with pytest.raises(CallError, match="exists already"):
        assure_possible(site.made.plant, site.made.database, tmp_path / "p.zip")
    assure_possible(site.made.plant, site.made.database, tmp_path / "q.zip")

    def broken(_report: Report) -> Iterator[bytes]:
        yield b"x"
        raise CallError("no memory for the page")

    with pytest.raises(CallError, match="no memory"):
        site.packed(tmp_path / "q.zip", pages={**plain_pages(), "report.pdf": broken})
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_a_plant_without_a_key_has_nothing_to_sign_with(site: Site, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    database.migrate()
    with pytest.raises(CallError, match="nothing was decided at this plant yet"):
        pack(site.made.plant, database, sample(), tmp_path / "p.zip", silent, plain_pages())


def test_a_broken_store_is_packed_and_does_not_verify(tmp_path: Path) -> None:
    """Evidence that was tampered with is evidence too."""
    database = Database(f"sqlite:///{tmp_path / 'asbuilt.db'}")
    database.migrate()
    made = history(tmp_path, database)
    from sqlalchemy import text

    with database.write() as tx:
        tx.execute(text("UPDATE audit_entry SET actor = CAST(x'ff1b' AS TEXT), at = x'00ff' WHERE id = 9"))
    with database.read() as tx:
        entries, head = store.audit_head(tx) or (0, "")
    report = replace(sample(), entries=entries, head=head)
    pack(made.plant, database, report, tmp_path / "p.zip", silent, plain_pages())
    assert any("entry 9: " in each for each in flaws(tmp_path / "p.zip"))


AS_ANOTHER = """
import os, sys
from pathlib import Path
from monitor import store
from monitor.config import load_plant
from monitor.errors import CallError
from monitor.report.pack import pack
from monitor.store import Database
from tests.reports import sample
plant, database = load_plant(Path(sys.argv[1])), Database(f"sqlite:///{sys.argv[2]}")
with database.read() as tx:  # all that it takes is loaded: whoever is nobody may not even read this program
    store.audit_head(tx)
os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    pack(plant, database, sample(), Path(sys.argv[3]), lambda *_: None, {})
except CallError as error:
    print(error)
"""


@pytest.mark.skipif(not ALONE, reason="needs root, who can be somebody else")
def test_who_may_not_read_the_key_is_told_who_can(site: Site) -> None:
    folder = Path("/tmp") / f"asbuilt-pack-{os.getpid()}"  # where everybody can look
    try:
        shutil.copytree(site.made.plant.path.parent, folder)
        folder.chmod(0o777)
        (folder / "asbuilt.db").chmod(0o666)
        words = [str(folder / "plant.toml"), str(folder / "asbuilt.db"), str(folder / "other.zip")]
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, *words], capture_output=True, text=True, cwd=Path.cwd()
        )
    finally:
        shutil.rmtree(folder)
    assert done.stdout == (
        f"a pack is signed with the plant's key: the key {folder / 'asbuilt.key'} cannot be read: permission denied;"
        " root can, whose file it is: sudo -u root asbuilt …\n"
    ), done.stderr


# Ed25519 by the standard library


VECTORS = [  # RFC 8032, 7.1
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
]


def by_library(key: bytes, signature: bytes, statement: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("key", "statement", "signature"), VECTORS)
def test_the_vectors_of_the_standard(key: str, statement: bytes, signature: str) -> None:
    assert ed25519(bytes.fromhex(key), bytes.fromhex(signature), statement)
    assert not ed25519(bytes.fromhex(key), bytes.fromhex(signature), statement + b"x")


@settings(max_examples=times(60, 2000), deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 767), st.binary(min_size=64))
def test_both_ways_say_the_same(seed: bytes, statement: bytes, bit: int, noise: bytes) -> None:
    """Of what is signed, of one bit less or more in it or in the key, of S + L, of another key, and of noise."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = private.public_key().public_bytes_raw(), private.sign(statement)
    assert ed25519(key, signature, statement)
    changed = bytearray(key + signature)
    changed[bit // 8] ^= 1 << bit % 8
    other = Ed25519PrivateKey.from_private_bytes(sha256(seed).digest()).public_key().public_bytes_raw()
    longer = int.from_bytes(signature[32:], "little") + verifier.ORDER
    for each_key, each in (
        (bytes(changed[:32]), bytes(changed[32:])),
        (other, signature),
        (key, signature[:32] + longer.to_bytes(32, "little")),
        (key, noise),
        (key, signature[:-1]),
        (noise[:32], signature),
    ):
        assert not ed25519(each_key, each, statement)
        assert not by_library(each_key, each, statement)


SMALL = (1).to_bytes(32, "little")  # the neutral element, as a key: whatever it signs holds


def encoded(number: int, sign: int = 0) -> bytes:
    return (number | sign << 255).to_bytes(32, "little")


def test_a_key_that_is_written_in_two_ways_is_no_key() -> None:
    """OpenSSL takes it, so both ways ask first."""
    signature = SMALL + bytes(32)
    assert by_library(SMALL, signature, b"x")
    assert ed25519(SMALL, signature, b"x")
    assert verifier.is_signed(SMALL.hex(), signature.hex(), b"x")
    prime = verifier.PRIME
    for key in (encoded(prime + 1), encoded(1, 1), encoded(prime - 1, 1), encoded(prime), encoded(2**255 - 1)):
        assert not ed25519(key, signature, b"x")
        assert not verifier.is_signed(key.hex(), signature.hex(), b"x")
    for r in (encoded(prime + 1), encoded(1, 1)):  # and R only as it is written
        assert not ed25519(SMALL, r + bytes(32), b"x")
        assert not by_library(SMALL, r + bytes(32), b"x")


@settings(max_examples=times(200, 5000), deadline=None)
@given(st.integers(0, 2**256 - 1))
def test_what_is_no_point_is_no_key(number: int) -> None:
    key = number.to_bytes(32, "little")
    point = verifier._point(key)
    if point is not None:
        x, y, _, t = point
        assert (-x * x + y * y - 1 - verifier.CURVE * x * x * y * y) % verifier.PRIME == 0
        assert (t, y | (x & 1) << 255) == (x * y % verifier.PRIME, number)
    else:
        assert not ed25519(key, bytes(64), b"")


# An older Python


def test_an_older_python_can_read_it_as_far_as_the_sentence() -> None:
    source = Path(verifier.__file__).read_text()
    ast.parse(source, feature_version=(3, 8))


OLDER = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))


@pytest.mark.parametrize("python", OLDER, ids=lambda path: path.parts[-3])
def test_every_python_that_is_here(site: Site, python: Path) -> None:
    said = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    version = tuple(map(int, said.stdout.split()))
    if version < (3, 8):
        pytest.skip("cannot even read it")
    code, said_by_it = verified(site.folder / "verify.py", python=python)
    if version < (3, 9):
        assert (code, said_by_it.startswith("this needs Python 3.9 or newer; here it is 3.8")) == (2, True)
    else:
        assert code == 0, said_by_it
