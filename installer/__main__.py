"""`make bundle`: dist/asbuilt-VERSION.tar.gz, which installs without a network.

The wheels come from the package index that pip is set up with, each held against its hash in requirements/run.txt.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement

from installer import archive
from installer.targets import PLATFORMS, TARGETS, Pin, Target, missing, needed_to_run, pins

ROOT = Path(__file__).resolve().parent.parent
FROM_HERE = ("install.sh", "store.py", "README.txt")
NO_GIT_EPOCH = 315532800  # 1980-01-01, the first day that a wheel can be of


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the archive; 2 if a wheel could not be had, or what was had does not suffice."""
    options = _options().parse_args(arguments)
    source: Path = options.source
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _committed_at(source))
    wanted = [target for target in TARGETS if target.platform in (options.platform or PLATFORMS)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = make(source, wanted, Path(folder), epoch, options.wheels)
    except subprocess.CalledProcessError as error:
        print(f"make bundle: {' '.join(map(str, error.cmd))} failed: {error.stderr}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"make bundle: {error}", file=sys.stderr)
        return 2
    print(f"{os.path.relpath(made)}  {made.stat().st_size / 1e6:.0f} MB\nsha256 {archive.sha256(made)}")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bundle", description="One archive that installs without a network.")
    parser.add_argument("--source", type=Path, default=ROOT, help="the checkout that is packed")
    parser.add_argument("--platform", action="append", choices=PLATFORMS, help="only for this one; may be repeated")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that are taken before any index is asked")
    return parser


def make(source: Path, targets: Sequence[Target], folder: Path, epoch: int, known: Path | None) -> Path:
    """Build our wheel, fetch the others, check that they suffice, and pack; the path of the archive."""
    ours = our_wheel(source, folder / "ours", epoch)
    wheelhouse = folder / "wheelhouse"
    locked = needed_to_run(pins((source / "requirements" / "run.txt").read_text(encoding="utf-8")))
    pip = pins((source / "requirements" / "pip.txt").read_text(encoding="utf-8"))
    for target in targets:
        fetch(target, [*locked, *pip], wheelhouse, known)
    wheels = {archive.sha256(wheel): wheel for wheel in sorted(wheelhouse.iterdir())}
    for target in targets:
        check(target, locked, ours, wheels)
    return write(source, [*locked], [*pip], ours, wheels, epoch)


def our_wheel(source: Path, folder: Path, epoch: int) -> Path:
    _run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], source, SOURCE_DATE_EPOCH=str(epoch)
    )
    [wheel] = folder.iterdir()
    return wheel


def fetch(target: Target, locked: Sequence[Pin], wheelhouse: Path, known: Path | None) -> None:
    """Put the wheels of a target into the wheelhouse."""
    print(f"wheels for {target.platform}, Python {target.python} …", flush=True)
    here: list[str | Path] = ["--find-links", known] if known else []
    _pip("download", *_for(target), "--dest", wheelhouse, *here, requirements=_unmarked(target, locked))


def check(target: Target, locked: Sequence[Pin], ours: Path, wheels: dict[str, Path]) -> None:
    """Without a network: that pip finds every wheel of the target, and that no wheel takes what is not there."""
    [wheelhouse] = {wheel.parent for wheel in wheels.values()}
    there = ["--no-index", f"--find-links={wheelhouse}", f"--target={wheelhouse / 'nowhere'}"]
    offline = [
        "--dry-run",
        "--ignore-requires-python",
        *there,
    ]  # which is of this machine; missing() looks
    _pip("install", *_for(target), *offline, requirements=_unmarked(target, locked))
    of_target: dict[str, Metadata] = {"asbuilt": archive.metadata(ours)}
    for pin in locked:
        if target.wants(pin.requirement):
            of_target[pin.name] = next(archive.metadata(wheels[one]) for one in pin.hashes if one in wheels)
    if absent := missing(Requirement("asbuilt[postgresql]"), of_target, target):
        raise ValueError(f"requirements/run.txt lacks {', '.join(absent)}")


def _for(target: Target) -> list[str]:
    tags = [f"--platform={tag}" for tag in target.tags]
    return [*tags, f"--python-version={target.python}", "--no-deps", "--require-hashes", "--only-binary=:all:"]


def _unmarked(target: Target, locked: Sequence[Pin]) -> str:
    """What the target takes, by our own reading of the markers; pip would read them for this machine."""
    lines = [
        " ".join([f"{pin.name}=={pin.version}", *(f"--hash=sha256:{one}" for one in pin.hashes)])
        for pin in locked
        if target.wants(pin.requirement)
    ]
    return "\n".join(lines) + "\n"


def write(source: Path, locked: list[Pin], pip: list[Pin], ours: Path, wheels: dict[str, Path], epoch: int) -> Path:
    example = (source / "monitor" / "plant.example.toml").read_text(encoding="utf-8")
    files = {f"wheelhouse/{wheel.name}": wheel.read_bytes() for wheel in [ours, *wheels.values()]}
    files |= {name: (source / "installer" / name).read_bytes() for name in FROM_HERE}
    files |= {f"units/{unit.name}": unit.read_bytes() for unit in units(source)}
    files |= {
        "LICENSE": (source / "LICENSE").read_bytes(),
        "LICENCES.txt": archive.licences(wheels.values()).encode(),
        "plant.toml": archive.plant_toml(example).encode(),
        "requirements.txt": archive.requirements(locked, ours, wheels).encode(),
        "VERSION": (ours.name.split("-")[1] + "\n").encode(),
    }
    files["SHA256SUMS"] = archive.sums(files)
    folder = f"asbuilt-{ours.name.split('-')[1]}"
    made = source / "dist" / f"{folder}.tar.gz"
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(archive.pack(files, folder, epoch))
    return made


def units(source: Path) -> list[Path]:
    """The unit files, which the program brings along."""
    return sorted((source / "monitor" / "units").glob("asbuilt*"))


def _committed_at(source: Path) -> int:
    """When what is packed was committed, in seconds; says so where it is not what was committed."""
    git = ["git", "-C", str(source)]
    commit = subprocess.run([*git, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False)
    if commit.returncode:
        return NO_GIT_EPOCH
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if changed:
        print("this is not what is committed: git status lists changes", file=sys.stderr)
    return int(commit.stdout)


def _pip(command: str, *arguments: str | Path, requirements: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(requirements)
        file.flush()
        pip = [sys.executable, "-m", "pip", command, "--disable-pip-version-check", "--quiet"]
        _run([*pip, *arguments, "--requirement", file.name], ROOT)


def _run(command: Sequence[str | Path], folder: Path, **environment: str) -> None:
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    raise SystemExit(main())
