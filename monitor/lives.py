"""The life of an asset: renamed, moved, replaced, out of service, retired. Its history goes with it, for it hangs on
its number; each step is audited in the transaction that makes it.

What changes plant.toml too does so last in its transaction: a crash between the two leaves the file ahead of the store,
and the same command, run again, brings the store after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from baselines.alert import Move, retire
from baselines.baseline import Baseline, Stage, State, partly
from baselines.change import OrderState
from baselines.drift import Kind, compare
from baselines.rules import SERIAL_NUMBER, Finding, assess, bears_serial
from baselines.snapshot import Snapshot, utc_text
from collectors.address import Address
from monitor import edits, store
from monitor.actions import NO_RULES, Rules, assure_person, propose, supersede
from monitor.config import Plant, load_plant
from monitor.errors import CallError, NotNow
from monitor.evidence import note_configuration
from monitor.pipeline import release_due
from monitor.show import alert_document
from monitor.store import Actor, OutOfService, Transaction

LONGEST_OUT = timedelta(days=366)
IDENTIFYING = ("identity.manufacturer", "identity.product_code", SERIAL_NUMBER)  # which device it is


@dataclass(frozen=True, slots=True)
class Reason:
    """Who does something, when, why, and under which ticket."""

    actor: Actor
    at: datetime
    why: str
    ticket: str = ""

    @property
    def detail(self) -> dict[str, str]:
        return {"reason": self.why, "ticket": self.ticket}


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to an asset, as it is audited; and the alarms that moved with it."""

    asset: str
    action: str
    detail: Mapping[str, str]
    moves: tuple[Move, ...] = ()


def step_document(step: Step, reason: Reason) -> dict[str, Any]:
    """A step as it is audited, with the alarms that moved."""
    return {
        "asset": step.asset,
        "action": step.action,
        "at": utc_text(reason.at),
        "by": reason.actor.name,
        "detail": dict(step.detail),
        "alerts": [alert_document(moved.alert) for moved in step.moves],
    }


def rename(tx: Transaction, plant: Plant, old: str, new: str, reason: Reason) -> Step:
    """Give an asset or a segment another name, in plant.toml and in the store.

    Finishes what a crash left half done: where the file has the new name already, only the store follows. What was
    polled under the new name meanwhile moves to the asset; NotNow if that name has a history of its own.
    """
    _assure_known(tx, plant, old, finishing=new in _names(plant))
    if new == old:
        raise CallError(f"{old} is called so already")
    if old in _names(plant) and new in _names(plant):
        raise NotNow(f"{new} is another asset of {plant.path}: give it another name first")
    known = store.known_assets(tx)
    if new in known and store.has_history(tx, new):
        raise NotNow(
            f"{new} has a history of its own (baselines, alarms or orders), and two histories are never mixed:"
            f" take another name; asbuilt assets --all shows them"
        )
    assure_person(tx, reason.actor, False)
    if new in known:
        store.absorb_asset(tx, new, old)
    store.rename_asset(tx, old, new)
    step = _audited(tx, Step(old, "asset.rename", {"to": new, **reason.detail}), reason)
    if old in _names(plant):
        edits.rename_table(plant.path, _section(plant, old), old, new)
        _note_changed(tx, plant, reason)
    return step


def assure_free(plant: Plant, address: Address) -> None:
    """NotNow if an asset is at this address already."""
    for other, polled in plant.assets.items():
        if polled.asset.address == str(address):
            raise NotNow(f"{other} is at {address} already")


def move(tx: Transaction, plant: Plant, name: str, address: Address, seen: bool, reason: Reason) -> Step:
    """Give an asset another address in plant.toml; `seen` if what is there was looked at before."""
    assure_free(plant, address)
    assure_person(tx, reason.actor, False)
    places = {"from": plant.assets[name].asset.address, "to": str(address), "seen": "yes" if seen else "no"}
    step = _audited(tx, Step(name, "asset.move", {**places, **reason.detail}), reason)
    edits.set_key(plant.path, "asset", name, "address", str(address))
    _note_changed(tx, plant, reason)
    return step


def is_another(approved: Snapshot, observed: Snapshot) -> tuple[Finding, ...]:
    """Where what answers is not the device that was approved."""
    return tuple(each for each in assess(compare(approved, observed)) if each.deviation.key in IDENTIFYING)


def untold(approved: Snapshot, observed: Snapshot) -> list[str]:
    """What was approved of which device it is, and what answers did not say."""
    return [key for key in IDENTIFYING if key in approved.by_key and observed.misses(key)]


def is_swap(findings: Sequence[Finding]) -> bool:
    """Whether a device differs in nothing but which one of many equal devices it is (CIP-010 R3.3)."""
    return all(each.deviation.kind is Kind.CHANGED and bears_serial(each.deviation.key) for each in findings)


def replaced(
    tx: Transaction,
    approved: Snapshot,
    observed: Snapshot,
    findings: Sequence[Finding],
    reason: Reason,
    rules: Rules = NO_RULES,
) -> tuple[Step, Baseline]:
    """Propose what is approved with the serial numbers as they are observed."""
    keys = [each.deviation.key for each in findings]
    serial = next((each for each in findings if each.deviation.key == SERIAL_NUMBER), findings[0]).deviation
    assert serial.approved is not None
    assert serial.observed is not None
    wanted = partly(approved, observed, keys)
    proposed = propose(tx, wanted, Stage.AS_LEFT, reason.actor, reason.at, reason.why, reason.ticket, None, rules)
    serials = {"from": str(serial.approved.shown), "to": str(serial.observed.shown), "digest": proposed.digest}
    step = Step(approved.asset, "asset.replace", {**serials, "items": " ".join(keys), **reason.detail})
    return _audited(tx, step, reason), proposed


def take_out(tx: Transaction, name: str, until: datetime, reason: Reason, however_long: bool = False) -> Step:
    """Take an asset out of service until a time, or to another time than it was (ISA-18.2, 5.4.7): its new alarms are
    suppressed, and come back then."""
    if until <= reason.at:
        raise NotNow(f"{utc_text(until)} is not in the future: an asset is out of service until a later time")
    if until - reason.at > LONGEST_OUT and not however_long:
        raise NotNow(
            f"{utc_text(until)} is more than a year away, and an end that never comes is no end: retire the asset, or"
            " say --however-long if it is meant so"
        )
    assure_person(tx, reason.actor, False)
    store.take_out(tx, name, OutOfService(until, reason.actor.name, reason.why))
    return _audited(tx, Step(name, "asset.out-of-service", {"until": utc_text(until), **reason.detail}), reason)


def bring_back(tx: Transaction, name: str, reason: Reason) -> Step:
    """Take an asset back into service; the alarms that were suppressed meanwhile come back."""
    out = store.out_of_service(tx, reason.at).get(name)
    if out is None:
        raise NotNow(f"{name} is in service")
    assure_person(tx, reason.actor, False)
    store.take_out(tx, name, None)
    step = _audited(tx, Step(name, "asset.in-service", {"until": utc_text(out.until), **reason.detail}), reason)
    return replace(step, moves=tuple(release_due(tx, reason.at)))


def retired(tx: Transaction, plant: Plant, name: str, reason: Reason) -> Step:
    """Retire an asset or a segment: it leaves plant.toml, its open alarms end, its open proposal gives way.

    NotNow while a change order is open on it. Finishes what a crash left half done, as `rename` does.
    """
    _assure_known(tx, plant, name, finishing=True)
    orders = [order for order in store.orders(tx, OrderState.OPEN) if name in order.assets]
    if orders:
        order = orders[0]
        raise NotNow(f"order {order.id} ({order.ticket}) is open on {name}: close it first (asbuilt change close)")
    assure_person(tx, reason.actor, False)
    if proposed := store.current_baseline(tx, name, State.PROPOSED):
        supersede(tx, proposed)
    ended = [move for alert in store.alerts(tx, [name]) if (move := retire(alert, reason.at))]
    told = [replace(move, alert=replace(move.alert, reason=reason.why, suppressed_by=None)) for move in ended]
    moves = tuple(store.store_moves(tx, told, reason.actor.name))
    store.retire_asset(tx, name, reason.at)
    there = name in _names(plant)
    removed = edits.take_table_out(plant.path, _section(plant, name), name) if there else ""
    alerts = " ".join(str(move.alert.id) for move in moves)
    detail = {"alerts": alerts, "removed": removed, **reason.detail}
    step = _audited(tx, Step(name, "asset.retire", detail, moves), reason)
    if there:
        _note_changed(tx, plant, reason)
    return step


def _names(plant: Plant) -> set[str]:
    return {*plant.assets, *plant.segments}


def _section(plant: Plant, name: str) -> str:
    return "asset" if name in plant.assets else "segment"


def _assure_known(tx: Transaction, plant: Plant, name: str, finishing: bool) -> None:
    """CallError if there is no such asset: not in plant.toml, nor, where something is finished, in the store."""
    known = store.known_assets(tx)
    if name in _names(plant) or (finishing and name in known and known[name] is None):
        return
    if retired_at := known.get(name):
        raise NotNow(f"{name} was retired at {utc_text(retired_at)}")
    raise CallError(f"{plant.path} names no asset {name}; asbuilt assets shows what there is")


def _note_changed(tx: Transaction, plant: Plant, reason: Reason) -> None:
    """What plant.toml says now stands in the chain behind the step that changed it."""
    note_configuration(tx, load_plant(plant.path), reason.actor, reason.at)


def _audited(tx: Transaction, step: Step, reason: Reason) -> Step:
    store.audit(tx, reason.at, reason.actor, step.action, step.asset, step.detail)
    return step
