"""What is in the installation archive, and its bytes: the same from the same commit."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.metadata import Metadata

from installer.targets import Pin

VAR = "/var/lib/asbuilt"
PLANT = {  # the example's lines, and what they are where program, configuration and data have folders of their own
    'url = "sqlite:///asbuilt.db"  ': f'url = "sqlite:///{VAR}/asbuilt.db"',
    '# vault = "asbuilt.vault"  ': f'vault = "{VAR}/asbuilt.vault"',
}
EVIDENCE = f"""
[evidence]
key = "{VAR}/asbuilt.key"                  # made with the first decision; back it up
checkpoints = ["{VAR}/asbuilt.checkpoints"]   # docs/evidence.md: best also where nobody here can change them
"""


def plant_toml(example: str) -> str:
    """The plant.toml that the installer writes to /etc/asbuilt, from the one of `asbuilt init`."""
    text = example
    for line, ours in PLANT.items():
        if text.count(line) != 1:
            raise ValueError(f"monitor/plant.example.toml does not have {line.strip()!r} once")
        text = text.replace(line, ours)
    store, vault, rest = text.partition(PLANT['# vault = "asbuilt.vault"  '])
    line, _, rest = rest.partition("\n")
    return f"{store}{vault}{line}\n{EVIDENCE}{rest}"


def requirements(pins: Iterable[Pin], ours: Path, wheels: Mapping[str, Path]) -> str:
    """What pip is given: every package with its marker, and the hashes of those wheels (by hash) that are shipped."""
    lines = []
    for pin in pins:
        shipped = sorted(set(pin.hashes) & set(wheels))
        if shipped:
            lines.append(" \\\n".join([str(pin.requirement), *(f"    --hash=sha256:{one}" for one in shipped)]))
    version = ours.name.split("-")[1]
    lines.append(f"asbuilt[postgresql]=={version} \\\n    --hash=sha256:{sha256(ours)}")
    return "\n".join(lines) + "\n"


def metadata(wheel: Path) -> Metadata:
    """What a wheel says of itself."""
    with zipfile.ZipFile(wheel) as file:
        [name] = [one for one in file.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one)]
        return Metadata.from_email(file.read(name), validate=False)


def licences(wheels: Iterable[Path]) -> str:
    """A line a package: its licence as it says it. The texts are in the wheels."""
    found = {}
    for wheel in wheels:
        said = metadata(wheel)
        found[f"{said.name} {said.version}"] = _licence(said)
    return "".join(
        f"{package}: {licence}\n" for package, licence in sorted(found.items(), key=lambda one: one[0].lower())
    )


def _licence(said: Metadata) -> str:
    classified = [one.rpartition(" :: ")[2] for one in said.classifiers or [] if one.startswith("License ::")]
    first_line = (said.license or "").strip().partition("\n")[0]
    return said.license_expression or ", ".join(classified) or first_line or "see the wheel"


def sums(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS, as sha256sum reads it."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()


def pack(files: Mapping[str, bytes], folder: str, epoch: int) -> bytes:
    """A .tar.gz: sorted names, root's, one time, two modes. Wheels are compressed already: gzip does not try hard."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=epoch, filename="") as stream:  # noqa: SIM117
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in sorted(files.items()):
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime = len(data), epoch
                entry.mode = 0o755 if name == "install.sh" else 0o644
                entry.uname = entry.gname = "root"
                tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
