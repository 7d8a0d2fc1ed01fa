"""A plant of benchmark devices: its files, and its baselines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from baselines.baseline import Stage
from benchmarks.device import profile_tables
from benchmarks.responder import HOST
from monitor import actions, store
from monitor.polling import utc_now
from monitor.store import Actor, Database


def write_plant(folder: Path, places: Iterable[str | int], every: str, unit: int, limits: Mapping[str, Any]) -> Path:
    """The path of plant.toml: an asset for each host:port (or port on loopback), all with one profile."""
    profile = {"name": "benchmark", "limits": dict(limits), "item": profile_tables()}
    assets = {
        f"asset {number:04}": {
            "address": f"modbus://{place if isinstance(place, str) else f'{HOST}:{place}'}/{unit}",
            "profile": "profile.toml",
            "every": every,
        }
        for number, place in enumerate(places)
    }
    plant = {"plant": {"name": "benchmark"}, "store": {"url": "sqlite:///asbuilt.db"}, "asset": assets}
    (folder / "profile.toml").write_text(toml(profile), encoding="utf-8")
    path = folder / "plant.toml"
    path.write_text(toml(plant), encoding="utf-8")
    return path


def toml(tables: Mapping[str, Any], path: str = "") -> str:
    """The tables as TOML: texts, numbers, booleans and further tables."""
    plain = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    lines = [f"[{path}]", *plain] if path and plain else plain
    for key, value in tables.items():
        if isinstance(value, dict):
            lines.append(toml(value, f"{path}.{json.dumps(key)}" if path else json.dumps(key)))
    return "\n".join(lines)


def commission(database: Database, assets: Iterable[str]) -> None:
    """Approve what every asset was at its last poll; each has had one."""
    me = Actor("benchmark", "benchmark")
    with database.write() as tx:
        for name in assets:
            run = store.last_run(tx, name)
            assert run is not None
            assert run.digest is not None
            snapshot = store.snapshot_of(tx, name, run.digest, run.last_at, run.profile or "")
            actions.propose(tx, snapshot, Stage.AS_LEFT, me, utc_now())
            actions.approve(tx, name, me, "", utc_now())
