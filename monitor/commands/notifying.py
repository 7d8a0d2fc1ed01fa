"""notify …: who is told of alarms, whether that works, and what waits to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitor.console import DONE, PLANT_FILE, UNSEEN, Group, Json, PlantFile, described, opened
from monitor.errors import CallError
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from monitor.config import Plant
    from monitor.routes import AnyRoute

TEXT = "This is a test of asbuilt: if you read it, you will be told of alarms by this route."


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Who is told of alarms: the routes of plant.toml.")
    group.command("list")(list_)
    group.command("test")(try_)
    app.add_typer(group, name="notify")


def list_(plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """The routes: what waits to be sent, what is held back, what arrived last, and why it does not."""
    from monitor.watching import route_documents

    with opened(plant_file) as (plant, database), database.read() as tx:
        documents = route_documents(tx, plant)
    if json:
        return print_json({"routes": documents})
    if not documents:
        return typer.echo("no route: nobody is told of alarms; add a [notify.…] table to plant.toml")
    columns = ("route", "kind", "leads to", "from", "waiting", "held", "last sent", "last error")
    return print_table(
        columns,
        [
            [
                each["route"],
                each["kind"],
                each["place"],
                each["min_severity"],
                str(each["waiting"]),
                str(each["held"] + each["flapping"]),
                each["sent_at"] or "–",
                each["why"] or "–",
            ]
            for each in documents
        ],
    )


def try_(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ROUTE]...", help="All, if none is named.")] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Send a test message by each route, and say whether it arrived. What waits in the outbox is left alone."""
    import asyncio
    from datetime import UTC, datetime

    from baselines.snapshot import Severity
    from monitor.notify.content import TEST
    from monitor.notify.dispatcher import say

    plant = described(plant_file)
    routes = _chosen(plant, names or [])
    whys = asyncio.run(say(plant.name, routes, TEST, TEXT, Severity.LOW, datetime.now(UTC)))
    if json:
        print_json({"routes": [{"route": name, "ok": not why, "why": why} for name, why in whys.items()]})
    else:
        for name, why in whys.items():
            typer.echo(f"{name}: {f'did not arrive: {why}' if why else 'sent'}")
    raise typer.Exit(UNSEEN if any(whys.values()) else DONE)


def _chosen(plant: Plant, names: list[str]) -> list[AnyRoute]:
    known = {route.name: route for route in plant.routes}
    if not known:
        raise CallError(f"{plant.path} has no route yet: add a [notify.…] table, as in docs/notification.md")
    if unknown := [name for name in names if name not in known]:
        raise CallError(f"{plant.path} has no route {unknown[0]}; it has {', '.join(known)}")
    return [known[name] for name in names or known]
