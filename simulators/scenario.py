"""Scenario files: which PLCs stand on a floor, of which models, and what happens to them when."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from simulators.model import ModbusModel, Model, Nameplate, OpcUaModel, Value

MODELS: Mapping[str, type[ModbusModel] | type[OpcUaModel]] = {"modbus": ModbusModel, "opcua": OpcUaModel}
BUNDLED = files("simulators") / "scenarios"
T = TypeVar("T")


class ScenarioError(Exception):
    """A scenario that cannot be: every key path and what to do about it, a line each."""


class PlcEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One PLC: its model and address, what differs from the model, and where it stands in the plant."""

    model: str
    port: int = 0
    unit: int = 1
    identity: Mapping[str, str] = {}
    values: Mapping[str, Value] = {}
    nameplate: Nameplate = {}
    behave: str = "honest"
    zone: str = ""
    role: str = ""
    machine_type: str = ""
    location: str = ""
    criticality: str = ""
    purdue_level: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("port is 1 to 65535, or 0 for any free one")
        if not 0 <= self.unit <= 255:
            raise ValueError("unit is 0 to 255")


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to a PLC, at a second of the scenario or at once.

    `set` moves values, `identity` and `nameplate` what it says it is, `status` the status code of OPC UA nodes;
    `remove` takes points or nodes off the map; `drop` resets its connections; `restart` drops them and sets
    counters back; `behave` makes it misbehave, and `for` ends that (or a restart) after so many seconds.
    """

    plc: str
    at: float = 0.0
    about: str = ""
    set: Mapping[str, Value] = {}
    identity: Mapping[str, str] = {}
    nameplate: Nameplate = {}
    status: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()
    drop: bool = False
    restart: bool = False
    behave: str | None = None
    seconds: float | None = msgspec.field(name="for", default=None)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    about: str
    models: Mapping[str, Model]
    plcs: Mapping[str, PlcEntry]
    events: tuple[Event, ...] = ()

    def check(self, event: Event) -> None:
        """Raises ScenarioError if the event does not fit its PLC."""
        if event.plc not in self.plcs:
            raise ScenarioError(f"no PLC is called {event.plc!r}. Known: {', '.join(self.plcs)}")
        model = self.models[self.plcs[event.plc].model]
        try:
            model.check_values(event.set)
            model.check_values({name: _mapped(model)[name].value for name in event.remove})
            model.check_identity(event.identity)
            _check_opcua(model, event)
        except (ValueError, KeyError) as error:
            raise ScenarioError(str(error)) from error
        if event.behave is not None and (wrong := model.check_behaviour(event.behave)):
            raise ScenarioError(wrong)


def load(source: str | Path) -> Scenario:
    """A scenario file by its path, or a bundled one by its name."""
    bundled = BUNDLED / f"{source}.toml"
    try:
        text = bundled.read_text("utf-8") if bundled.is_file() else Path(source).read_text("utf-8")
    except OSError as error:
        names = sorted(entry.name.removesuffix(".toml") for entry in BUNDLED.iterdir() if entry.name.endswith(".toml"))
        raise ScenarioError(
            f"{source}: no such scenario. Give the path of a file, or one of: {', '.join(names)}"
        ) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{source}: not UTF-8 text; save it as UTF-8") from error
    try:
        return parse(text)
    except ScenarioError as error:
        raise ScenarioError(f"{source}:\n{error}") from error


def parse(source: str | Mapping[str, Any]) -> Scenario:
    """A scenario from TOML text, or from the tables that it would give."""
    try:
        tables = tomllib.loads(source) if isinstance(source, str) else source
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not TOML: {error}") from error
    problems = [f"{key}: unknown key; known: name, about, model, plc, event" for key in tables if key not in _TOP]
    models = _models(tables.get("model", {}), problems)
    plcs = _plcs(tables.get("plc", {}), models, problems)
    scenario = Scenario(
        name=str(tables.get("name", "unnamed")), about=str(tables.get("about", "")), models=models, plcs=plcs
    )
    events: list[Event] = []
    for number, table in enumerate(tables.get("event", []), 1):
        event = converted(Event, table, f"event {number}", problems)
        if event is None or (event.plc in tables.get("plc", {}) and event.plc not in plcs):
            continue  # said already
        try:
            scenario.check(event)
            events.append(event)
        except ScenarioError as error:
            problems.append(f"event {number}: {error}")
    if not plcs and not problems:
        problems.append('plc: there is none; add a table [plc."line1/filler"] with its model')
    if problems:
        raise ScenarioError("\n".join(problems))
    return msgspec.structs.replace(scenario, events=tuple(sorted(events, key=lambda event: event.at)))


_TOP = ("name", "about", "model", "plc", "event")


def converted(kind: type[T], table: object, path: str, problems: list[str]) -> T | None:
    """The table as `kind`; or None, and what is wrong with it among the problems."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        text, _, within = str(error).partition(" - at `$")
        if "unknown field" in text and not within:
            known = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))  # type: ignore[arg-type]
            text += f"; known: {known}"
        problems.append(f"{path}{within.rstrip('`')}: {text}")
        return None


def _models(tables: Mapping[str, Any], problems: list[str]) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for name, table in tables.items():
        kind = MODELS.get(str(table.get("protocol"))) if isinstance(table, Mapping) else None
        if kind is None:
            problems.append(f'model.{name}.protocol: write "modbus" or "opcua"')
        elif (model := converted(kind, table, f"model.{name}", problems)) is not None:
            models[name] = model
    return models


def _plcs(tables: Mapping[str, Any], models: Mapping[str, Model], problems: list[str]) -> dict[str, PlcEntry]:
    plcs: dict[str, PlcEntry] = {}
    for name, table in tables.items():
        path = f'plc."{name}"'
        plc = converted(PlcEntry, table, path, problems)
        if plc is None:
            continue
        if plc.model not in models:
            problems.append(f"{path}.model: {plc.model!r} is none of the models that are good: {', '.join(models)}")
            continue
        problems.extend(f"{path}: {wrong}" for wrong in _wrong_with(plc, models[plc.model]))
        for other in (other for other in plcs if plc.port and plcs[other].port == plc.port):
            kinds = {models[plc.model].protocol, models[plcs[other].model].protocol}
            if kinds != {"modbus"} or plcs[other].unit == plc.unit:
                problems.append(f"{path}.port: {other} is at {plc.port} already; give it another port or unit")
        plcs[name] = plc
    return plcs


def _wrong_with(plc: PlcEntry, model: Model) -> list[str]:
    wrong = [text] if (text := model.check_behaviour(plc.behave)) else []
    try:
        model.check_values(plc.values)
        model.check_identity(plc.identity)
        _check_nameplate(model, plc.nameplate)
    except ValueError as error:
        wrong.append(str(error))
    return wrong


def _mapped(model: Model) -> Mapping[str, Any]:
    return model.points if isinstance(model, ModbusModel) else model.nodes


def _check_opcua(model: Model, event: Event) -> None:
    _check_nameplate(model, event.nameplate)
    if isinstance(model, ModbusModel) and event.status:
        raise ValueError("status goes with OPC UA nodes")
    if isinstance(model, OpcUaModel):
        model.check_values({name: model.nodes[name].value for name in event.status})


def _check_nameplate(model: Model, nameplate: Nameplate) -> None:
    devices = {device.name: device for device in model.devices} if isinstance(model, OpcUaModel) else {}
    for name, properties in nameplate.items():
        if name not in devices:
            raise ValueError(f"no device is called {name!r}. Known: {', '.join(devices) or 'none'}")
        if unknown := sorted(set(properties) - set(devices[name].properties)):
            raise ValueError(f"the nameplate of {name} has no {', '.join(unknown)}")
