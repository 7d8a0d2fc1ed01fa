"""The installation archive: what is in it, and (make bundle-test) that it installs, upgrades and goes again.

The long part makes archives, boots Debian 12 and 13 without a network, and kills the installer at every one of its
steps. It takes root, a package index and some minutes, so it runs where ASBUILT_BUNDLE_TEST names a folder: there the
Debians are kept.
"""

from __future__ import annotations

import io
import itertools
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from installer import archive, store
from installer.targets import TARGETS, Target, missing, needed_to_run, pins
from monitor import config
from monitor.tables import HEAD
from tests.debian import BOOT_WRITES, NOT_FILES, Debian, bootstrap, lacking

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
LINUX, WINDOWS = Target("linux-x86_64", "3.11"), Target("windows-x86_64", "3.13")

NOW = str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
LATER = "99.0.0"
ENDED = {"KILL": (137, -9), "FAIL": (2,)}  # the exit code, from a shell or from nsenter
SAVED_BY_USERADD = {"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"}  # the files as they were before
FEWEST = 5  # steps that each of the installer's ways has
MADE = 5  # until this step of an upgrade, its release is not complete

long = pytest.mark.skipif(
    not os.environ.get("ASBUILT_BUNDLE_TEST") or bool(lacking()),
    reason=f"make bundle-test; {lacking() or 'takes minutes'}",
)


# ---- What is taken


def names(target: Target) -> set[str]:
    return {f"{pin.name} {pin.version}" for pin in needed_to_run(pins(LOCK)) if target.wants(pin.requirement)}


def test_markers_are_read_for_the_machine_that_it_is_for() -> None:
    linux, windows = ({name.split()[0] for name in names(target)} for target in (LINUX, WINDOWS))
    assert windows - linux == {"colorama"}
    assert "tzdata" in windows  # it has no time zones of its own
    assert linux - windows == {"wait-for2"}  # Python 3.11's
    assert {"sqlalchemy", "psycopg-binary", "requests"} <= linux & windows
    assert len({name for name in names(LINUX) | names(WINDOWS) if name.startswith("numpy ")}) == 2


def test_what_only_builds_wheels_is_not_shipped() -> None:
    assert {"hatchling", "editables", "pluggy"} & {name.split()[0] for name in names(LINUX)} == set()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.platform}-{target.python}")
def test_each_machine_takes_one_version_of_each_package(target: Target) -> None:
    taken = [name.split()[0] for name in names(target)]
    assert len(taken) == len(set(taken)) > 35


def test_a_wheel_that_nobody_locked_is_missed() -> None:
    def said(name: str, version: str, *lines: str) -> Metadata:
        text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines])
        return Metadata.from_email(text + "\n")

    ours = said("asbuilt", "1", "Provides-Extra: pg", "Requires-Dist: a>=2", "Requires-Dist: b; extra == 'pg'")
    there = {"asbuilt": ours, "a": said("a", "2", "Requires-Dist: c; sys_platform == 'win32'"), "b": said("b", "1")}
    assert missing(Requirement("asbuilt[pg]"), there, LINUX) == []
    assert missing(Requirement("asbuilt[pg]"), there, WINDOWS) == [
        "c (windows-x86_64, Python 3.13)".replace("c (", 'c; sys_platform == "win32" (')
    ]
    assert missing(Requirement("asbuilt[pg]"), there | {"a": said("a", "1")}, LINUX)
    assert missing(Requirement("asbuilt[pg]"), there | {"b": said("b", "1", "Requires-Python: >=3.12")}, LINUX)
    assert not missing(Requirement("asbuilt"), {name: there[name] for name in ("asbuilt", "a")}, LINUX)


# ---- What is in it


def test_the_same_files_are_the_same_bytes() -> None:
    files = {"b": b"2", "a/c": b"1", "install.sh": b"#!/bin/sh\n"}
    packed = archive.pack(files, "asbuilt-1", 1_700_000_000)
    assert packed == archive.pack(dict(reversed(files.items())), "asbuilt-1", 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["asbuilt-1/a/c", "asbuilt-1/b", "asbuilt-1/install.sh"]
        assert [member.mode for member in tar] == [0o644, 0o644, 0o755]
        assert {(member.uid, member.uname, member.mtime) for member in tar} == {(0, "root", 1_700_000_000)}


def test_plant_toml_names_the_folders_of_an_installation(tmp_path: Path) -> None:
    text = archive.plant_toml((ROOT / "monitor" / "plant.example.toml").read_text(encoding="utf-8"))
    assert (written := tomllib.loads(text))["store"]["vault"] == "/var/lib/asbuilt/asbuilt.vault"
    assert written["evidence"]["key"] == "/var/lib/asbuilt/asbuilt.key"
    (tmp_path / "plant.toml").write_text(text, encoding="utf-8")
    assert config.load_plant(tmp_path / "plant.toml").store_url == "sqlite:////var/lib/asbuilt/asbuilt.db"
    with pytest.raises(ValueError, match=r"plant\.example\.toml"):
        archive.plant_toml("[store]\n")


def test_the_installer_is_a_shell_script() -> None:
    script = ROOT / "installer" / "install.sh"
    subprocess.run(["sh", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.fixture
def plant_file(tmp_path: Path) -> Iterator[Path]:
    """A plant whose store is open, with a row that is in its write-ahead log alone."""
    plant = tmp_path / "plant.toml"
    plant.write_text('[store]\nurl = "sqlite:///a.db"\n', encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE alembic_version (version_num)")
        database.execute("INSERT INTO alembic_version VALUES ('0004')")
        yield plant


def schema(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_a_copy_of_the_store_is_whole_and_can_be_put_back(plant_file: Path) -> None:
    folder = plant_file.parent
    assert store.main(plant_file, "copy", str(folder / "before.db")) == 0
    with closing(sqlite3.connect(folder / "a.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '0005'")
        database.commit()
    assert store.main(plant_file, "restore", str(folder / "before.db"), str(folder / "aside.db")) == 0
    assert [schema(folder / name) for name in ("before.db", "a.db", "aside.db")] == ["0004", "0004", "0005"]
    assert (folder / "before.db").stat().st_mode & 0o777 == 0o600


def test_without_a_store_there_is_nothing_to_copy(tmp_path: Path) -> None:
    plant = tmp_path / "plant.toml"
    plant.write_text('[store]\nurl = "sqlite:///a.db"\n', encoding="utf-8")
    assert store.main(plant, "copy", str(tmp_path / "before.db")) == 0
    assert store.main(plant, "knows") == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["plant.toml"]


@pytest.mark.parametrize("text", ["[store\n", "[store]\n", "store = 1\n", ""])
def test_a_plant_that_names_no_store_is_said_before_anything_stops(text: str, tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"plant\.toml"):
        store.main(tmp_path / "plant.toml", "check")


# ---- On a bare Debian


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """This version, and one to come with a schema of its own; by version, the archives for this machine."""
    made: dict[str, Path] = {}
    for version in (NOW, LATER):
        source = tmp_path_factory.mktemp("source")
        for name in ("baselines", "collectors", "monitor", "simulators", "migrations", "installer", "requirements"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        command = [sys.executable, "-m", "installer", f"--source={source}", f"--platform=linux-{platform.machine()}"]
        environment = dict(os.environ)
        if version == LATER:  # with the wheels of the first, and no index
            later(source)
            subprocess.run(["tar", "-xzf", made[NOW], "-C", source], check=True)
            command.append(f"--wheels={source}/asbuilt-{NOW}/wheelhouse")
            environment["PIP_NO_INDEX"] = "1"
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        made[version] = source / "dist" / f"asbuilt-{version}.tar.gz"
    return made


def later(source: Path) -> None:
    """Make a checkout the one of a version to come: another number, another schema."""
    replaced(source / "pyproject.toml", r'^version = ".*"$', f'version = "{LATER}"')
    head = replaced(source / "monitor" / "tables.py", r'^HEAD = "(\w+)"', 'HEAD = "9999"')
    migration = f'revision = "9999"\ndown_revision = "{head[1]}"\n\n\ndef upgrade() -> None:\n    pass\n'
    (source / "migrations" / "versions" / "v9999_later.py").write_text(migration, encoding="utf-8")


def replaced(file: Path, pattern: str, text: str) -> re.Match[str]:
    content = file.read_text(encoding="utf-8")
    found = re.search(pattern, content, re.MULTILINE)
    assert found is not None
    file.write_text(content.replace(found[0], text, 1), encoding="utf-8")
    return found


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(request: pytest.FixtureRequest) -> Path:
    return bootstrap(request.param, Path(os.environ["ASBUILT_BUNDLE_TEST"]))


@pytest.fixture
def debian(bare: Path, archives: dict[str, Path], tmp_path: Path) -> Debian:
    """A bare Debian of its own, with both archives unpacked in /root."""
    subprocess.run(["cp", "--archive", "--reflink=auto", bare, tmp_path / "root"], check=True)
    for made in archives.values():
        subprocess.run(["tar", "-xzf", made, "-C", tmp_path / "root" / "root"], check=True)
    return Debian(tmp_path / "root")


STAND_IN = """
import signal, sqlite3, sys

def main():
    if "--version" in sys.argv:
        print("asbuilt {version}")
    else:
        with sqlite3.connect("/var/lib/asbuilt/asbuilt.db", isolation_level=None) as store:
            store.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num)")
            store.execute("DELETE FROM alembic_version")
            store.execute("INSERT INTO alembic_version VALUES ('{version}')")
        signal.pause()
"""


@pytest.fixture
def quick(bare: Path, tmp_path: Path) -> Debian:
    """A bare Debian with two archives of a program that is soon installed: to the installer it is the same."""
    subprocess.run(["cp", "--archive", "--reflink=auto", bare, tmp_path / "root"], check=True)
    for version in (NOW, LATER):
        stand_in(tmp_path / "root" / "root" / f"asbuilt-{version}", version)
    return Debian(tmp_path / "root")


def stand_in(folder: Path, version: str) -> None:
    """An unpacked archive with a program that only says its version and keeps a store of its own schema."""
    wheel = folder / "wheelhouse" / f"asbuilt-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    info = f"asbuilt-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("stand_in.py", STAND_IN.format(version=version))
        for known in {NOW, version}:
            file.writestr(f"migrations/versions/v{known}.py", f'revision = "{known}"\n')
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: asbuilt\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\nasbuilt = stand_in:main\n")
        file.writestr(f"{info}/RECORD", "")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", f"--dest={wheel.parent}"]
    subprocess.run([*pip, f"--requirement={ROOT / 'requirements' / 'pip.txt'}"], check=True)
    shutil.copytree(ROOT / "tests" / "data" / "stand_in", folder / "units")
    for name in ("install.sh", "store.py"):
        shutil.copy(ROOT / "installer" / name, folder)
    (folder / "plant.toml").write_text('[store]\nurl = "sqlite:////var/lib/asbuilt/asbuilt.db"\n', encoding="utf-8")
    (folder / "requirements.txt").write_text(f"asbuilt=={version} --hash=sha256:{archive.sha256(wheel)}\n")
    (folder / "VERSION").write_text(f"{version}\n")
    for name in ("LICENSE", "LICENCES.txt"):
        (folder / name).touch()
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (folder / "SHA256SUMS").write_bytes(archive.sums(files))


def installer(version: str) -> tuple[str, str]:
    return "sh", f"/root/asbuilt-{version}/install.sh"


INSTALLED = ("sh", "/opt/asbuilt/current/install.sh")
QUICK = {"ASBUILT_INSTALL_SETTLE": "1"}


@long
def test_it_comes_without_a_network_and_goes_without_a_trace(debian: Debian) -> None:
    assert "ensurepip is not" in debian.run("python3", "-m", "venv", "/tmp/none", code=1)  # as bare as they come
    debian.run("rm", "-rf", "/tmp/none")
    before = debian.files()
    said = debian.run(*installer(NOW))
    assert "systemctl enable --now asbuilt.service" in said
    assert debian.run("asbuilt", "--version") == f"asbuilt {NOW}\n"
    assert "installed already" in debian.run(*installer(NOW))
    debian.run("runuser", "-u", "asbuilt", "--", "asbuilt", "init", "--plant", "/var/lib/asbuilt/another.toml")
    debian.run(*INSTALLED, "--remove")
    kept = {path for path in debian.files() if path not in before}
    assert {path for path in kept if not path.startswith(("etc/asbuilt", "var/lib/asbuilt"))} == set()
    assert all(" 0:0" in what for path, what in debian.files().items() if path in kept)
    debian.run(*installer(NOW))
    debian.run(*INSTALLED, "--remove", "--purge")
    after = debian.files()
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    assert changed <= SAVED_BY_USERADD
    assert before.keys() == after.keys()


@long
def test_an_upgrade_goes_on_where_the_old_one_stopped_and_can_be_taken_back(debian: Debian) -> None:
    with debian.booted():
        before = debian.files(but=NOT_FILES + BOOT_WRITES)
        debian.run(*installer(NOW))
        with watched(debian):
            debian.run("systemctl", "enable", "--now", "asbuilt.service")
            debian.run(*installer(LATER), env=QUICK)
            assert state(debian) == (LATER, "active")
            assert "newer schema than" in debian.run(*INSTALLED, "--rollback", code=2)
            assert state(debian) == (LATER, "active")
            debian.run(*INSTALLED, "--rollback", "--with-store", env=QUICK)
            assert state(debian) == (NOW, "active")
            until_done(debian, "check")  # with what was approved before the upgrade
        debian.run(*installer(LATER), "--remove", "--purge")
        after = debian.files(but=NOT_FILES + BOOT_WRITES)
        assert before.keys() ^ after.keys() == set()


@long
def test_a_release_that_does_not_stay_up_is_taken_back(debian: Debian) -> None:
    with debian.booted():
        debian.run(*installer(NOW))
        debian.run("systemctl", "enable", "--now", "asbuilt.service")
        # it comes up, brings the store to its schema, and then falls
        fall = f"[Service]\nExecStartPost=/bin/sh -c 'sleep 3; ! readlink /opt/asbuilt/current | grep {LATER}'\n"
        debian.run("mkdir", "-p", "/run/systemd/system/asbuilt.service.d")
        debian.run("tee", "/run/systemd/system/asbuilt.service.d/fall.conf", input=fall)
        said = debian.run(*installer(LATER), code=2, env=QUICK)
        assert "does not stay up" in said
        assert "going back to" in said
        assert state(debian) == (NOW, "active")
        assert schema(debian.root / "var/lib/asbuilt/asbuilt.db") == HEAD


@long
def test_a_first_installation_killed_at_any_step_is_finished_by_the_next_run(quick: Debian) -> None:
    before = quick.files()
    for _step in ended(quick, "KILL", installer(NOW)):
        quick.run(*installer(NOW))
        assert quick.run("asbuilt", "--version") == f"asbuilt {NOW}\n"
        quick.run(*INSTALLED, "--remove", "--purge")
        assert quick.files().keys() ^ before.keys() == set()
    for _step in ended(quick, "KILL", (*installer(NOW), "--remove", "--purge")):
        quick.run(*installer(NOW), "--remove", "--purge")
        assert quick.files().keys() ^ before.keys() == set()
        quick.run(*installer(NOW))


@long
def test_an_upgrade_ended_at_any_step_leaves_one_of_both_and_the_next_run_finishes(quick: Debian) -> None:
    with quick.booted():
        quick.run(*installer(NOW))
        quick.run("systemctl", "enable", "--now", "asbuilt.service")
        back = (*installer(NOW), "--rollback", "--with-store")
        for step in ended(quick, "FAIL", installer(LATER)):
            there = state(quick)
            log = quick.run("journalctl", "--unit=asbuilt", "--lines=40", "--no-pager", code=None)
            assert there in ((NOW, "active"), (LATER, "active")), f"step {step}\n{log}"
            assert not pending(quick)
            if there[0] == LATER:
                quick.run(*back, env=QUICK)
        assert state(quick) == (LATER, "active")
        for step in ended(quick, "KILL", back):
            assert one_of_both(quick), step
            if pending(quick) or state(quick)[0] == LATER:
                quick.run(*back, env=QUICK)
            assert state(quick) == (NOW, "active"), step
            quick.run(*installer(LATER), env=QUICK)
        assert state(quick) == (NOW, "active")
        for step in ended(quick, "KILL", installer(LATER)):
            assert one_of_both(quick), step
            quick.run(*installer(LATER), env=QUICK)
            assert state(quick) == (LATER, "active"), step
            quick.run(*back, env=QUICK)
            if step < MADE:
                quick.run("sh", "-c", f"rm -rf /opt/asbuilt/releases/{LATER}*")


def ended(debian: Debian, how: str, command: Sequence[str]) -> Iterator[int]:
    """Run a command again and again, killed or failing at its next step, until it has no more."""
    for step in itertools.count(1):
        debian.run(*command, env={**QUICK, f"ASBUILT_INSTALL_{how}_AT": str(step)}, code=None)
        if debian.code == 0:
            assert step > FEWEST
            return
        assert debian.code in ENDED[how], f"{command} ended with {debian.code} at step {step}"
        yield step


def state(debian: Debian) -> tuple[str, str]:
    """Which version is there, and what systemd says of its service."""
    version = debian.run("asbuilt", "--version").split()[1]
    return version, debian.run("systemctl", "is-active", "asbuilt.service", code=None).strip()


def pending(debian: Debian) -> bool:
    return (debian.root / "opt/asbuilt/pending").exists()


def one_of_both(debian: Debian) -> bool:
    """A whole release is there; and it runs, or it is noted that it has to."""
    version, service = state(debian)
    noted = (debian.root / "opt/asbuilt/pending").read_text() if pending(debian) else ""
    return version in (NOW, LATER) and (service == "active" or noted.startswith("asbuilt.service"))


@contextmanager
def watched(debian: Debian) -> Iterator[None]:
    """Simulated PLCs on its loopback; its plant.toml names one of them, whose baseline is approved."""
    simulated = debian.begin("asbuilt", "simulate", "bottling", "--hold", "--plant", "/root/simulated.toml")
    try:
        assert simulated.stdout is not None
        assert "bottling" in simulated.stdout.readline()
        first = (debian.root / "root/simulated.toml").read_text().split("[asset", 2)[1]
        with (debian.root / "etc/asbuilt/plant.toml").open("a") as plant:
            plant.write(f"\n[asset{first}")
        until_done(debian, "commission --stage sat --captures 1 --by Ada")
        until_done(debian, "baseline approve '*' --by Bo --reason 'SAT protocol 4'")
        yield
    finally:
        simulated.kill()
        simulated.wait()


def until_done(debian: Debian, command: str) -> None:
    """A command as the service's user; again, if a PLC did not answer in time on a machine that has much to do."""
    said = ""
    for _attempt in range(5):
        said = debian.run("sh", "-c", f"cd /etc/asbuilt && exec runuser -u asbuilt -- asbuilt {command}", code=None)
        if debian.code == 0:
            return
    raise AssertionError(said)
