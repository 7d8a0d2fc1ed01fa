"""The profiles of the simulated models name what these hold, and nothing that moves by itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from simulators.model import ModbusModel, OpcUaModel
from simulators.scenario import load

PROFILES = Path(__file__).parent.parent / "collectors" / "profiles"
MODELS = load("bottling").models


def items(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = tomllib.loads((PROFILES / f"{name}.toml").read_text("utf-8"))["item"]
    return found


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if isinstance(model, ModbusModel)])
def test_every_modbus_item_is_a_point_that_stands_still(name: str) -> None:
    model = MODELS[name]
    assert isinstance(model, ModbusModel)
    points = {(point.table, point.address): point for point in model.points.values()}
    for key, item in items(name).items():
        point = points[item["table"], item["address"]]
        assert (point.type, point.count) == (item["type"], item.get("count")), key
        assert point.word_order == item.get("word_order", "big"), key
        assert point.varies is None, key
    named = {(item["table"], item["address"]) for item in items(name).values()}
    left = [key for key, point in model.points.items() if (point.table, point.address) not in named]
    assert [key for key in left if model.points[key].varies is None] in (["door_closed"], ["guard_closed"])


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if isinstance(model, OpcUaModel)])
def test_every_opcua_item_is_a_node_that_stands_still(name: str) -> None:
    model = MODELS[name]
    assert isinstance(model, OpcUaModel)
    still = {f"nsu={model.namespace};s={node}" for node, held in model.nodes.items() if held.varies is None}
    assert {item["node"] for item in items(name).values()} == still
