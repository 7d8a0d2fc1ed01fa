"""assets rename, move, replace, out, in, retire: the life of an asset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import (
    DONE,
    DRIFT,
    PLANT_FILE,
    UNSEEN,
    By,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    Ticket,
    Why,
    deciding,
    opened,
    required,
    signing,
    warn,
)
from monitor.errors import CallError
from monitor.terminal import print_json

if TYPE_CHECKING:
    from pathlib import Path

    from baselines.rules import Finding
    from baselines.snapshot import Snapshot
    from collectors.address import Address
    from monitor.config import Plant
    from monitor.lives import Reason, Step
    from monitor.store import Database, Transaction

Document = dict[str, Any]
Name = Annotated[str, typer.Argument(metavar="ASSET")]
ANEW = "if asbuilt run runs, have it read plant.toml again: systemctl reload asbuilt, or send it SIGHUP"


def register(group: typer.Typer) -> None:
    for command in (rename, move, replace, out, in_, retire):
        group.command(command.__name__.rstrip("_"))(command)


@contextmanager
def _deciding(
    plant: Plant, database: Database, by: str, key: Path | None, why: str, ticket: str
) -> Iterator[tuple[Transaction, Reason]]:
    reason = _reason(plant, database, by, key, why, ticket)
    with deciding(plant, database, reason.actor) as tx:
        yield tx, reason


def _reason(plant: Plant, database: Database, by: str, key: Path | None, why: str, ticket: str) -> Reason:
    from monitor.lives import Reason
    from monitor.polling import utc_now

    return Reason(signing(plant, database, by, key), utc_now(), why, ticket)


def _named(plant: Plant, name: str, segments: bool = True) -> str:
    """The name of an asset of the plant; CallError if it has none of that name."""
    if name in plant.assets or (segments and name in plant.segments):
        return name
    if name in plant.segments:
        raise CallError(f"{name} is a segment: it is listened to, and has no address and no serial number")
    raise CallError(f"{plant.path} names no asset {name}; asbuilt assets shows what there is")


def _document(step: Step, reason: Reason) -> Document:
    from monitor.lives import step_document

    return step_document(step, reason)


def _undone(name: str, findings: tuple[Finding, ...] = (), unread: tuple[str, ...] = ()) -> Document:
    """What stands in the way of a step that was not made."""
    from monitor.show import deviation_document

    deviations = [deviation_document(each) for each in findings]
    return {"asset": name, "action": None, "deviations": deviations, "unread": list(unread)}


def _say(document: Document, json: bool, *lines: str) -> None:
    if json:
        return print_json(document)
    for line in lines:
        typer.echo(line)
    return None


def rename(
    old: Annotated[str, typer.Argument(metavar="ASSET")],
    new: Annotated[str, typer.Argument(metavar="NAME", callback=required)],
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Give an asset or a segment another name: in plant.toml, and in the store with all of its history. If it was
    interrupted, run it again."""
    from monitor import lives

    with opened(plant_file) as (plant, database), _deciding(plant, database, by, key, reason, ticket) as (tx, why):
        step = lives.rename(tx, plant, old, new, why)
    _say(_document(step, why), json, f"{old} is called {new} now, with all of its history", ANEW)


def move(
    name: Name,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="modbus://… or opc.tcp://…")],
    reason: Why,
    unseen: Annotated[bool, typer.Option("--unseen", help="Do not look first whether the device is there.")] = False,
    by: By = "",
    key: KeyFile = None,
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Give an asset another address in plant.toml, if the device that was approved answers there."""
    from collectors.address import parse_address
    from monitor import lives

    try:
        place = parse_address(address)
    except ValueError as error:
        raise CallError(str(error)) from None
    with opened(plant_file) as (plant, database):
        _named(plant, name, segments=False)
        lives.assure_free(plant, place)
        seen = not unseen and _look(plant, database, name, place, json)
        with _deciding(plant, database, by, key, reason, ticket) as (tx, why):
            step = lives.move(tx, plant, name, place, seen, why)
    _say(_document(step, why), json, f"{name}: from {step.detail['from']} to {step.detail['to']}", ANEW)


def _look(plant: Plant, database: Database, name: str, place: Address, json: bool) -> bool:
    """Whether the approved device answers at an address; ends the command if another does, or nobody. False where
    nothing is approved that would say which device it is."""
    from baselines.snapshot import Snapshot
    from monitor import lives, logs, store
    from monitor.polling import identify_at
    from monitor.show import difference_lines

    with database.read() as tx:
        current = store.current_baseline(tx, name)
        approved = store.baseline_snapshot(tx, current) if current else None
    if approved is None or not any(key in approved.by_key for key in lives.IDENTIFYING):
        typer.echo(f"{name} has no approved identity: whatever is at {place} was not looked at", err=True)
        return False
    logs.set_up()
    found = identify_at(plant, database, name, place).outcome
    left = f"{name} is left where it is; to move it without a look: --unseen"
    if not isinstance(found, Snapshot):
        why = f"{place} does not say what it is ({found.kind}: {found.text})"
        _say(_undone(name, unread=("identity",)), json, why, left)
        raise typer.Exit(UNSEEN)
    if others := lives.is_another(approved, found):
        lines = [f"  {line}" for line in difference_lines(others)]
        _say(_undone(name, others), json, f"at {place} is another device than was approved:", *lines, left)
        raise typer.Exit(DRIFT)
    if untold := lives.untold(approved, found):
        _say(_undone(name, unread=tuple(untold)), json, f"{place} did not say: {', '.join(untold)}", left)
        raise typer.Exit(UNSEEN)
    return True


def replace(
    name: Name,
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """A device was replaced like for like (CIP-010 R3.3): if it differs in its serial number alone, propose it."""
    from monitor import lives
    from monitor.actions import Rules
    from monitor.show import baseline_document, difference_lines

    with opened(plant_file) as (plant, database):
        approved, observed = _approved_and_observed(plant, database, _named(plant, name, segments=False), json)
        findings = _swap(approved, observed, json)
        rules = Rules(plant.approval, plant.criticality(name))
        with _deciding(plant, database, by, key, reason, ticket) as (tx, why):
            step, proposed = lives.replaced(tx, approved, observed, findings, why, rules)
    document = _document(step, why) | {"baseline": baseline_document(proposed)}
    lines = [f"  {line}" for line in difference_lines(findings)]
    then = f"approve it: asbuilt baseline approve {name} --reason …"
    _say(document, json, f"{name}: replaced like for like, proposed {proposed.digest[:12]}", *lines, then)


def _approved_and_observed(plant: Plant, database: Database, name: str, json: bool) -> tuple[Snapshot, Snapshot]:
    """What is approved of an asset, and what a poll of it now says; ends the command if it does not answer."""
    from monitor import store
    from monitor.commands.commissioning import read_assets
    from monitor.proposing import snapshot_of

    with database.read() as tx:
        current = store.current_baseline(tx, name)
        if current is None:
            raise CallError(f"{name} has no approved baseline to be like: commission it (asbuilt commission {name})")
        approved = store.baseline_snapshot(tx, current)
    (document,) = read_assets(plant, database, [name], lambda _: None)
    if error := document["error"]:
        _say(_undone(name, unread=tuple(document["unread"])), json, f"{name}: {error['kind']}: {error['text']}")
        raise typer.Exit(UNSEEN)
    with database.read() as tx:
        return approved, snapshot_of(tx, document)


def _swap(approved: Snapshot, observed: Snapshot, json: bool) -> tuple[Finding, ...]:
    """The differences of a like-for-like replacement; ends the command if it is none."""
    from baselines.drift import compare
    from baselines.rules import assess
    from monitor import lives
    from monitor.show import difference_lines, gap_lines

    name, findings = approved.asset, assess(compare(approved, observed))
    more = tuple(each for each in findings if not lives.is_swap([each]))
    if more:
        lines = [f"  {line}" for line in difference_lines(more)]
        head = f"{name} differs in more than its serial number; put this right first (asbuilt kit {name}):"
        _say(_undone(name, more), json, head, *lines)
        raise typer.Exit(DRIFT)
    if observed.unread:
        gaps = [f"  {line}" for line in gap_lines({gap.key: gap.why for gap in observed.unread})]
        unread = tuple(gap.key for gap in observed.unread)
        _say(_undone(name, findings, unread), json, f"{name}: whether it is like the old one is not known:", *gaps)
        raise typer.Exit(UNSEEN)
    if not findings:
        _say(_undone(name), json, f"{name} is what was approved: there is nothing to do")
        raise typer.Exit(DONE)
    return findings


def out(
    name: Name,
    until: Annotated[str, typer.Option(metavar="T", help="ISO 8601, or +8h from now.")],
    reason: Why,
    however_long: Annotated[bool, typer.Option("--however-long", help="Also for more than a year.")] = False,
    by: By = "",
    key: KeyFile = None,
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Take an asset out of service until a time (ISA-18.2): it is polled as ever, and its new alarms wait until then.
    Once more, and it is until another time."""
    from monitor import service
    from monitor.moments import moment

    with opened(plant_file) as (plant, database):
        _named(plant, name)
        why = _reason(plant, database, by, key, reason, ticket)
        step = service.take_out(plant, database, name, moment(until, why.at), why, warn, however_long)
    _say(_document(step, why), json, f"{name} is out of service until {step.detail['until']}")


def in_(
    name: Name,
    by: By = "",
    key: KeyFile = None,
    reason: PerhapsWhy = "",
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Take an asset back into service before its time: the alarms that waited come back."""
    from monitor import service

    with opened(plant_file) as (plant, database):
        _named(plant, name)
        why = _reason(plant, database, by, key, reason, ticket)
        step = service.bring_back(plant, database, name, why, warn)
    _say(_document(step, why), json, f"{name} is in service again", *_moved(step))


def retire(
    name: Name,
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Retire an asset or a segment: it leaves plant.toml, its alarms end, its history stays. Put into plant.toml again,
    it is back with its history."""
    from monitor import lives

    with opened(plant_file) as (plant, database), _deciding(plant, database, by, key, reason, ticket) as (tx, why):
        step = lives.retired(tx, plant, name, why)
    _say(_document(step, why), json, f"{name} is retired", *_moved(step), ANEW)


def _moved(step: Step) -> list[str]:
    from monitor.show import alert_text

    return [f"  {alert.id}: {alert.state}: {alert_text(alert)}" for alert in (moved.alert for moved in step.moves)]
