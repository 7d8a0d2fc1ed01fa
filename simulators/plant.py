"""Writes the plant.toml of a floor, as an engineer would for real PLCs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from simulators.plc import Plc

PLACE = ("zone", "role", "machine_type", "location", "criticality")


def write(file: Path, name: str, plcs: Iterable[Plc], every: str = "2s") -> None:
    """Raises FileExistsError rather than overwrite what somebody may have edited."""
    with file.open("x", encoding="utf-8") as out:
        out.write(text(name, plcs, every))


def text(name: str, plcs: Iterable[Plc], every: str = "2s") -> str:
    lines = ["[plant]", f"name = {_quoted(name)}", "", "[store]", 'url = "sqlite:///asbuilt.db"']
    for plc in plcs:
        lines += ["", f"[asset.{_quoted(plc.name)}]", f"address = {_quoted(plc.address)}"]
        lines += [f"profile = {_quoted(plc.entry.model)}", f"every = {_quoted(every)}"]
        lines += [f"{key} = {_quoted(value)}" for key in PLACE if (value := getattr(plc.entry, key))]
        lines.append(f"purdue_level = {plc.entry.purdue_level}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON's strings are TOML's basic strings
