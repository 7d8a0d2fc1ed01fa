"""commission: capturing what is there several times, sorting it, and deciding about what varies."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.baseline import Stage
from monitor.console import (
    DONE,
    PLANT_FILE,
    UNSEEN,
    Assets,
    By,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    Ticket,
    chosen,
    cleaned,
    deciding,
    opened,
    signing,
)
from monitor.errors import CallError
from monitor.terminal import print_json, progress

if TYPE_CHECKING:
    from baselines.baseline import Baseline
    from baselines.capture import Captured, Decision
    from monitor.config import Plant
    from monitor.store import Actor, Database

Document = dict[str, Any]
Incomplete = Annotated[bool, typer.Option("--incomplete", help="Also propose what could not be read completely.")]
Drop = Annotated[list[str] | None, typer.Option("--drop", metavar="ITEM", help="Not compared: it is no configuration.")]
Tolerate = Annotated[
    list[str] | None, typer.Option("--tolerate", metavar="ITEM=AMOUNT", help="Compared within this amount.")
]
Keep = Annotated[list[str] | None, typer.Option("--keep", metavar="ITEM", help="Compared exactly, though it varies.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why it was decided so.", callback=cleaned)]


def register(app: typer.Typer) -> None:
    app.command()(commission)


def commission(
    names: Assets = None,
    stage: Annotated[Stage, typer.Option(help="When in the plant's life this is.")] = Stage.AS_FOUND,
    captures: Annotated[int, typer.Option(min=1, help="How many times to read everything.")] = 3,
    every: Annotated[str, typer.Option(help="The time between two captures.")] = "10s",
    drop: Drop = None,
    tolerate: Tolerate = None,
    keep: Keep = None,
    because: Because = "",
    incomplete: Incomplete = False,
    by: By = "",
    key: KeyFile = None,
    reason: PerhapsWhy = "",
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Capture a baseline: read everything several times, and sort it. What is constant is proposed. What varies is
    shown, and left out until somebody decides: drop it, tolerate it, or keep it (now, or with baseline decide)."""
    from monitor.commissioning import capture, pause_of

    pause = pause_of(every, "--every")
    wishes = read_wishes(drop, tolerate, keep, because)
    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, assets=wanted)
        step = progress(captures * len(wanted), "read")
        series = capture(wanted, captures, pause, lambda: read_assets(plant, database, wanted, step))
        outcome = _propose(plant, database, series, wishes, stage, who, reason, ticket, incomplete)
    outcome["captures"] = captures
    report(outcome, json)


def read_wishes(
    drop: Iterable[str] | None, tolerate: Iterable[str] | None, keep: Iterable[str] | None, because: str
) -> list[Decision]:
    """What was decided on the command line, about items or patterns; CallError for what is no decision."""
    from baselines.capture import Choice, Decision
    from monitor.proposing import tolerated

    why = because.strip()
    wishes = [Decision(item, Choice.DROP, why, "") for item in drop or ()]
    wishes += [Decision(item, Choice.KEEP, why, "") for item in keep or ()]
    for text in tolerate or ():
        item, _, amount = text.rpartition("=")
        wish = tolerated(item, amount, why)
        if wish is None:
            raise CallError(f"--tolerate: write ITEM=AMOUNT, such as item.fill_level=0.5, not {text!r}")
        wishes.append(wish)
    if wishes and not why:
        raise CallError("--because is missing: a decision about an item is kept with its reason")
    return wishes


def read_assets(plant: Plant, database: Database, wanted: Sequence[str], step: Any) -> list[Document]:
    """The documents of one poll of assets, in the order in which they are named."""
    from monitor import logs
    from monitor.accounts import me
    from monitor.polling import poll_assets

    logs.set_up()
    return poll_assets(plant, database, wanted, me(), step)


def _propose(
    plant: Plant,
    database: Database,
    series: dict[str, list[Document]],
    wishes: Sequence[Decision],
    stage: Stage,
    who: Actor,
    reason: str,
    ticket: str,
    incomplete: bool,
) -> Document:
    """Propose what was captured; what cannot be is in "refused", each with the reason."""
    from monitor.commissioning import propose_series, sort_series
    from monitor.polling import utc_now
    from monitor.proposing import decisions_for

    found = sort_series(database, series, incomplete)
    decided = {name: _decided(name, captured, wishes, who.name) for name, captured in found.captured.items()}
    for wish in wishes:
        if decided and not any(decisions_for(captured, [wish], "") for captured in found.captured.values()):
            typer.echo(f"asbuilt: --{wish.choice} {wish.key}: nothing was captured of it", err=True)
    with deciding(plant, database, who) as tx:
        return propose_series(tx, plant, found, decided, stage, who, utc_now, reason, ticket)


def _decided(name: str, captured: Sequence[Captured], wishes: Sequence[Decision], by: str) -> list[Decision]:
    """The decisions that the call names; at a terminal, what it leaves open is asked."""
    from baselines.capture import undecided
    from monitor.commissioning import varying_document, varying_text
    from monitor.proposing import decisions_for

    decisions = decisions_for(captured, wishes, by)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return decisions
    for each in undecided(captured, decisions):
        typer.echo(f"{name}: {varying_text(varying_document(name, each, True))}")
        if decision := _asked(each, by):
            decisions.append(decision)
    return decisions


def _asked(each: Captured, by: str) -> Decision | None:
    from baselines.capture import Choice, Decision

    answer = typer.prompt("  [d]rop it, [t]olerate it, [k]eep it, or [l]eave it open?", default="l").strip().lower()[:1]
    choice = {"d": Choice.DROP, "t": Choice.TOLERATE, "k": Choice.KEEP}.get(answer)
    if choice is None:
        return None
    spread = each.high - each.low if each.low is not None and not isinstance(each.low, str) else 0.0
    tolerance = typer.prompt("  by how much may it move?", type=float, default=spread) if answer == "t" else 0.0
    return Decision(each.key, choice, typer.prompt("  why?").strip() or "–", by, tolerance)


def report(outcome: Document, json: bool) -> None:
    """Say what was proposed, and what was not and why."""
    from monitor.commissioning import SORTS, varying_text

    if json:
        print_json(outcome)
    else:
        for row in outcome.get("sorted", ()):
            parts = [f"{row[sort]} {sort}" for sort in SORTS if row[sort]]
            typer.echo(f"{row['asset']}: {', '.join(parts)}")
        for row in outcome.get("varying", ()):
            rest = "decided" if row["decided"] else "left out until somebody decides"
            typer.echo(f"  {row['asset']}: {varying_text(row)} ({rest})")
        open_ = [row for row in outcome.get("varying", ()) if not row["decided"]]
        if open_:
            typer.echo(
                f"decide: asbuilt baseline decide {open_[0]['asset']} --drop {open_[0]['item']} --because …"
                " (or --tolerate ITEM=AMOUNT, or --keep ITEM)"
            )
        for document in outcome["baselines"]:
            typer.echo(f"{document['asset']}: proposed {document['digest'][:12]} ({document['stage']})")
        for refusal in outcome["refused"]:
            typer.echo(f"{refusal['asset']}: not proposed: {refusal['why']}")
        if outcome["baselines"]:
            typer.echo("look at it with asbuilt baseline show, then asbuilt baseline approve ASSET --reason …")
    raise typer.Exit(UNSEEN if outcome["refused"] else DONE)


def show_decided(amended: Baseline, open_: list[Captured], json: bool) -> None:
    from monitor.commissioning import varying_document, varying_text
    from monitor.show import baseline_document

    rows = [varying_document(amended.asset, each, True) for each in open_]
    if json:
        return print_json({"baselines": [baseline_document(amended)], "varying": rows})
    typer.echo(f"{amended.asset}: proposed {amended.digest[:12]} ({amended.stage})")
    for row in rows:
        typer.echo(f"  {varying_text(row)} (left out until somebody decides)")
    return None
