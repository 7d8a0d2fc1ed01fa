"""alerts …: what deviates, who has seen it, and what is put away until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baselines.cause import Cause
from monitor.console import (
    LARGEST_ID,
    PLANT_FILE,
    UNSEEN,
    Assets,
    By,
    Group,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    Why,
    chosen,
    deciding,
    opened,
    required,
    signing,
)
from monitor.moments import moment
from monitor.terminal import print_json, print_table, progress

if TYPE_CHECKING:
    from baselines.alert import Move


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Alarms, by ISA-18.2.")
    for command in (list_, ack, shelve, close):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="alerts")


def list_(
    names: Assets = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over, and the causes given.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """The open alarms, the oldest first."""
    from monitor import store
    from monitor.polling import return_due
    from monitor.show import alert_document, kept_back_text

    with opened(plant_file) as (plant, database):
        return_due(plant, database)
        with database.read() as tx:
            found = store.alerts(tx, chosen(plant, names) if names else [], closed=everything)
    documents = [alert_document(alert) for alert in found]
    if json:
        return print_json({"alerts": documents})
    if not documents:
        return typer.echo("no open alarm")
    columns = ("id", "state", "severity", "since", "technique", "what", *(("cause",) if everything else ()))
    return print_table(
        columns,
        [
            [
                str(document["id"]),
                document["state"],
                document["severity"],
                document["raised_at"],
                " ".join(document["techniques"]),
                document["text"] + kept_back_text(document["suppressed_by"]),
                *((document["cause"] or "–",) if everything else ()),
            ]
            for document in documents
        ],
    )


def ack(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=LARGEST_ID)],
    by: By = "",
    key: KeyFile = None,
    reason: PerhapsWhy = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Acknowledge alarms: somebody has seen them. All of them, or none."""
    from monitor import actions
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who = signing(plant, database, by, key)
        with deciding(plant, database, who) as tx:
            moves = actions.acknowledge_alerts(tx, ids, who, reason, utc_now())
    _show_moved(moves, json)


def shelve(
    number: Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST_ID)],
    until: Annotated[str, typer.Option(metavar="T", help="ISO 8601, or +2h from now.")],
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Put an alarm away until a time; then it comes back."""
    from monitor import actions
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who, now = signing(plant, database, by, key), utc_now()
        with deciding(plant, database, who) as tx:
            move = actions.shelve_alert(tx, number, moment(until, now), who, reason, now)
    _show_moved([move], json)


def close(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=1, max=LARGEST_ID)],
    cause: Annotated[Cause, typer.Option(help="Why it came about; docs/quality.md says when to choose which.")],
    prevent: Annotated[
        str, typer.Option("--prevent", metavar="TEXT", help="What keeps it from happening again.", callback=required)
    ],
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Close the cases of alarms: reads their assets, and closes only if they are as approved. All of them, or none."""
    from monitor.cases import assets_of, close_cases, standing
    from monitor.commands.commissioning import read_assets
    from monitor.polling import utc_now
    from monitor.show import alert_document

    with opened(plant_file) as (plant, database):
        with database.read() as tx:
            here = assets_of(tx, plant, ids)
        who = signing(plant, database, by, key)
        documents = read_assets(plant, database, here, progress(len(here), "read")) if here else []
        seen = standing(documents)
        for sentence in seen.unseen:
            typer.echo(f"asbuilt: {sentence}", err=True)
        if seen.unseen:
            raise typer.Exit(UNSEEN)
        with deciding(plant, database, who) as tx:
            closed = close_cases(tx, ids, cause, prevent, who, utc_now(), seen)
    documents = [alert_document(alert) for alert in closed]
    if json:
        return print_json({"alerts": documents})
    for document in documents:
        typer.echo(f"{document['id']}: closed ({document['cause']}): {document['text']}")
    return None


def _show_moved(moves: list[Move], json: bool) -> None:
    from monitor.show import alert_document

    documents = [alert_document(move.alert) for move in moves]
    if json:
        return print_json({"alerts": documents})
    for document in documents:
        typer.echo(f"{document['id']}: {document['state']}: {document['text']}")
    return None
