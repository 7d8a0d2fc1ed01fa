"""The vault, as a folder and as commands: whole files under their digests, and what is said when they are not."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from monitor.errors import CallError
from monitor.vault import CHUNK, FileState, Vault
from monitor.verifier import main as verifier
from tests.floors import PlantFolder, RunningFloor

IMAGE = b"firmware 2.4.1" * 100
DIGEST = sha256(IMAGE).hexdigest()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "p9-2.4.1.bin"
    path.write_bytes(IMAGE)
    return path


def left_in(folder: Path) -> list[str]:
    """Every file below a folder, unfinished ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_file_is_kept_once_under_its_digest_and_read_only(vault: Vault, image: Path) -> None:
    assert vault.keep(image).is_new
    assert not vault.keep(image).is_new
    assert left_in(vault.folder) == [f"{DIGEST[:2]}/{DIGEST[2:]}"]
    path = vault.path(DIGEST)
    assert path.read_bytes() == IMAGE
    assert path.stat().st_mode & 0o222 == 0
    assert vault.state(DIGEST) is FileState.WHOLE
    assert vault.digests() == [DIGEST]


def test_a_large_file_is_never_in_memory(vault: Vault, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(48 * CHUNK)
    seen: list[int] = []
    tracemalloc.start()
    kept = vault.keep(large, seen.append)
    with (tmp_path / "out").open("wb") as out:
        vault.copy(kept.digest, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * CHUNK
    assert (sum(seen), len(seen)) == (48 * CHUNK, 48)
    assert (tmp_path / "out").stat().st_size == kept.size == 48 * CHUNK


def test_a_file_that_changes_while_it_is_read_is_not_kept(vault: Vault, tmp_path: Path) -> None:
    growing = tmp_path / "growing.bin"
    growing.write_bytes(bytes(2 * CHUNK))

    def grow(_count: int) -> None:
        with growing.open("ab") as file:
            file.write(b"more") if growing.stat().st_size < 2 * CHUNK + 8 else None

    with pytest.raises(CallError, match="changed while it was read"):
        vault.keep(growing, grow)
    assert left_in(vault.folder) == []


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (lambda path: path.write_bytes(b"other"), FileState.BROKEN),
        (lambda path: path.write_bytes(IMAGE[:-1]), FileState.BROKEN),
        (lambda path: path.unlink(), FileState.MISSING),
        (lambda path: (path.unlink(), path.mkdir()), FileState.UNREADABLE),
        (fifo, FileState.UNREADABLE),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), FileState.UNREADABLE),
    ],
)
def test_a_file_that_was_harmed_is_told_and_never_given_out(
    vault: Vault, image: Path, tmp_path: Path, harm: Callable[[Path], object], state: FileState
) -> None:
    vault.keep(image)
    path = vault.path(DIGEST)
    path.chmod(0o644)
    harm(path)
    assert vault.state(DIGEST) is state
    with (tmp_path / "out").open("wb") as out, pytest.raises(CallError):
        vault.copy(DIGEST, out)
    if state is FileState.MISSING:
        assert vault.keep(image).is_new
        return
    with pytest.raises(CallError, match="move"):
        vault.keep(image)  # what is there is not overwritten
    assert [path for path in vault.strangers() if path.name.startswith(".aside")] == []


def test_a_digest_from_elsewhere_leads_nowhere_else(vault: Vault, image: Path, tmp_path: Path) -> None:
    vault.keep(image)
    for digest in ("../../p9-2.4.1.bin", "", "zz" * 32, DIGEST[:-1]):
        assert vault.state(digest) is FileState.MISSING
        with (tmp_path / "out").open("wb") as out, pytest.raises(CallError):
            vault.copy(digest, out)


def add(plant: PlantFolder, *words: str) -> list[dict[str, object]]:
    done = plant.asbuilt("vault", "add", *words, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, object]] = done.json["artefacts"]
    return found


def test_files_are_attached_listed_and_given_out(plant: PlantFolder, image: Path) -> None:
    plant.commissioned()
    manual = plant.folder / "hand buch.pdf"
    manual.write_text("manual")
    (row,) = add(plant, "line1/filler", image.name, "--kind", "firmware", "--by", "Ada", "--reason", "from ACME")
    assert (row["name"], row["kind"], row["size"], row["digest"]) == (image.name, "firmware", len(IMAGE), DIGEST)
    assert (row["state"], row["added_by"], row["is_attached_now"]) == ("approved", "Ada", True)
    (again,) = add(plant, "line1/filler", image.name, "--kind", "firmware", "--by", "Bo")
    assert (again["is_attached_now"], again["is_kept_now"], again["added_by"]) == (False, False, "Ada")
    add(plant, "line2/filler", image.name, manual.name, "--kind", "document")
    listed = plant.asbuilt("vault", "list", "--json").json["artefacts"]
    assert [(each["asset"], each["name"]) for each in listed] == [
        ("line1/filler", image.name),
        ("line2/filler", image.name),
        ("line2/filler", manual.name),
    ]
    assert len(plant.asbuilt("vault", "list", "line1/*", "--json").json["artefacts"]) == 1
    assert len(left_in(plant.folder / "asbuilt.vault")) == 2

    assert plant.asbuilt("vault", "get", DIGEST[:8], "-o", "out.bin").code == 0
    assert (plant.folder / "out.bin").read_bytes() == IMAGE
    refused = plant.asbuilt("vault", "get", DIGEST[:8], "-o", "out.bin")
    assert (refused.code, "exists already" in refused.err) == (2, True)
    for wrong in ("0123456789", DIGEST[:5]):
        assert plant.asbuilt("vault", "get", wrong, "-o", "other.bin").code == 2
    assert not (plant.folder / "other.bin").exists()

    assert plant.asbuilt("verify", "--export", "evidence.jsonl", "--json").json["ok"]
    assert verifier([str(plant.folder / "evidence.jsonl")]) == 0
    with sqlite3.connect(plant.folder / "asbuilt.db") as store:
        store.execute("UPDATE artefact SET digest = ? WHERE id = 1", ["0" * 64])
    assert plant.asbuilt("verify").code == 4


def test_the_chain_says_to_which_of_two_equal_baselines(plant: PlantFolder, image: Path) -> None:
    plant.commissioned()
    assert plant.asbuilt("baseline", "propose", "line1/filler").code == 0  # the same digest once more
    add(plant, "line1/filler", image.name, "--kind", "firmware")
    (row,) = add(plant, "line1/filler", image.name, "--kind", "firmware", "--proposed")
    assert row["is_attached_now"]
    assert plant.asbuilt("verify").code == 0
    assert plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "again").code == 0
    assert plant.asbuilt("verify").code == 0


def test_check_hashes_everything_anew(plant: PlantFolder, image: Path) -> None:
    plant.commissioned()
    assert plant.asbuilt("vault", "check").code == 0
    add(plant, "line1/filler", image.name, "--kind", "firmware")
    vault = Vault(plant.folder / "asbuilt.vault")
    orphan = plant.folder / "orphan.bin"
    orphan.write_text("of nobody")
    kept = vault.keep(orphan)
    (vault.folder / "note.txt").write_text("hello")
    checked = plant.asbuilt("vault", "check", "--json")
    assert (checked.code, checked.json["ok"], checked.json["orphans"]) == (0, True, [kept.digest])
    assert checked.json["strangers"] == [str(vault.folder / "note.txt")]
    vault.path(DIGEST).chmod(0o644)
    vault.path(DIGEST).write_bytes(b"other")
    checked = plant.asbuilt("vault", "check", "--json")
    assert (checked.code, checked.json["ok"]) == (4, False)
    assert {each["digest"]: each["state"] for each in checked.json["files"]} == {DIGEST: "broken", kept.digest: "whole"}
    refused = plant.asbuilt("vault", "get", DIGEST, "-o", "out.bin")
    assert (refused.code, "no longer what its name says" in refused.err) == (2, True)
    assert not (plant.folder / "out.bin").exists()
    vault.path(DIGEST).unlink()
    checked = plant.asbuilt("vault", "check")
    assert (checked.code, "missing" in checked.out, "line1/filler" in checked.out) == (4, True, True)
    assert "MISSING" in plant.asbuilt("vault", "list").out


def test_what_cannot_be_kept_is_a_sentence_and_leaves_nothing(plant: PlantFolder, image: Path) -> None:
    wrong = plant.asbuilt("vault", "add", "line1/filler", image.name, "--kind", "firmware")
    assert (wrong.code, "no approved baseline" in wrong.err) == (2, True)
    plant.commissioned()
    os.mkfifo(plant.folder / "fifo")
    (plant.folder / "empty").touch()
    for path, why in {
        "fifo": "no regular file",
        "tests-folder": "folder",
        "gone": "No such file",
        "empty": "is empty",
        "/dev/zero": "no regular file",
    }.items():
        (plant.folder / "tests-folder").mkdir(exist_ok=True)
        done = plant.asbuilt("vault", "add", "line1/filler", image.name, path, "--kind", "document")
        assert (done.code, why in done.err) == (2, True), done.err
    wrong = plant.asbuilt("vault", "add", "line1/filler", image.name, "--kind", "document", "--proposed")
    assert (wrong.code, "no open proposal" in wrong.err) == (2, True)
    assert plant.asbuilt("vault", "add", "line*", image.name, "--kind", "document").code == 2
    assert left_in(plant.folder / "asbuilt.vault") == []
    plant.file.write_text(plant.file.read_text().replace("[store]\n", '[store]\nvault = "plant.toml"\n'))
    wrong = plant.asbuilt("vault", "add", "line1/filler", image.name, "--kind", "document")
    assert (wrong.code, "the vault" in wrong.err) == (2, True)
    assert plant.asbuilt("vault", "list", "--json").json["artefacts"] == []


def test_a_full_disk_leaves_nothing(plant: PlantFolder) -> None:
    plant.commissioned()
    large = plant.folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(12 * CHUNK)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20));"
        "from monitor.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "vault", "add", "line1/filler", str(large), "--kind", "firmware"],
        env=plant.environment,
        cwd=plant.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "cannot be written: File too large" in done.stderr) == (2, True), done.stderr
    assert left_in(plant.folder / "asbuilt.vault") == []
    assert plant.asbuilt("vault", "list", "--json").json["artefacts"] == []


def test_the_vault_is_where_plant_toml_says(plant: PlantFolder, image: Path) -> None:
    plant.commissioned()
    text = plant.file.read_text()
    plant.file.write_text(text.replace("[store]\n", '[store]\nvault = "elsewhere/known good"\n'))
    add(plant, "line1/filler", image.name, "--kind", "firmware")
    assert left_in(plant.folder / "elsewhere" / "known good") == [f"{DIGEST[:2]}/{DIGEST[2:]}"]
    plant.file.write_text(text.replace("[store]\n", '[store]\nvault = ""\n'))
    assert "store.vault" in plant.asbuilt("vault", "list").err


def test_where_four_eyes_look_whoever_attaches_signs(plant: PlantFolder, floor: RunningFloor, image: Path) -> None:
    plant.commissioned()
    plant.file.write_text(plant.file.read_text() + "[approval]\nfour_eyes = true\n")
    refused = plant.asbuilt("vault", "add", "line1/filler", image.name, "--kind", "firmware", "--by", "Ada")
    assert (refused.code, "signs" in refused.err) == (2, True)
    assert plant.asbuilt("person", "add", "Ada", "--new-key", "ada.key").code == 0
    words = ("line1/filler", image.name, "--kind", "firmware", "--by", "Ada", "--key", "ada.key")
    assert add(plant, *words)[0]["is_attached_now"]
    assert plant.asbuilt("verify").code == 0
