"""kit: what a technician needs to restore a device to what was approved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.commands.vault import one_device
from monitor.console import DONE, PLANT_FILE, UNSEEN, By, Json, PlantFile, actor, opened, warn
from monitor.terminal import byte_progress, print_json

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(kit)


def kit(
    name: Annotated[str, typer.Argument(metavar="ASSET")],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="A folder, or a .zip. Without: only show it.")
    ] = None,
    by: By = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What a technician needs to restore an asset to its approved baseline: the identity to fit, the files, every
    parameter in order with its address and words, the checks. asbuilt itself never writes."""
    from monitor import kits
    from monitor.kit_sheet import text_sheet

    with opened(plant_file) as (plant, database):
        asset = one_device(plant, name)
        with database.read() as tx:
            made = kits.made(tx, plant, asset, lambda size: byte_progress(size, "hashed"))
        document = made.document
        if out is not None:
            step = byte_progress(made.size, f"write {out.name}")
            kits.export(plant, database, made, out, actor(by), warn, step)
    if json:
        print_json(document)
    elif out is None:
        typer.echo(text_sheet(document), nl=False)
    else:
        _say(out, document)
    for gap in (*document["gaps"], *([document["profile"]["note"]] if document["profile"]["note"] else [])):
        typer.echo(f"asbuilt: {gap}", err=True)
    raise typer.Exit(UNSEEN if document["gaps"] else DONE)


def _say(out: Path, document: Document) -> None:
    entered = sum(row["enter"] for row in document["parameters"])
    files = sum(row["path"] is not None for row in document["files"])
    digest = document["baseline"]["digest"][:12]
    typer.echo(f"wrote {out}: baseline {digest} of {document['asset']['name']}")
    typer.echo(
        f"  {entered} parameters to enter, {files} file{'s' * (files != 1)}; begin with KIT.html (to print) or kit.txt"
    )
