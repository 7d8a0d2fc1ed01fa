"""kit: what a technician needs to restore a device to what was approved."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.vault import one_device
from monitor.console import DONE, PLANT_FILE, UNSEEN, By, Json, PlantFile, actor, deciding, opened
from monitor.errors import NotNow
from monitor.terminal import byte_progress, print_json

if TYPE_CHECKING:
    from baselines.baseline import Baseline
    from monitor.artefacts import Fitting
    from monitor.config import Plant
    from monitor.kit import Attached
    from monitor.store import Database, Transaction
    from monitor.vault import Vault

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
    from monitor.kit_sheet import text_sheet
    from monitor.vault import Vault

    with opened(plant_file) as (plant, database):
        asset, vault = one_device(plant, name), Vault(plant.vault)
        with database.read() as tx:
            baseline = _approved(tx, plant, asset)
            document, attached = _made(tx, plant, vault, baseline)
        if out is not None:
            _export(plant, database, vault, baseline, document, attached, out, by)
    if json:
        print_json(document)
    elif out is None:
        typer.echo(text_sheet(document), nl=False)
    else:
        _say(out, document)
    for gap in (*document["gaps"], *([document["profile"]["note"]] if document["profile"]["note"] else [])):
        typer.echo(f"asbuilt: {gap}", err=True)
    raise typer.Exit(UNSEEN if document["gaps"] else DONE)


def _approved(tx: Transaction, plant: Plant, asset: str) -> Baseline:
    """The approved baseline; NotNow if there is none, or the evidence for it does not verify."""
    from monitor import evidence, store

    evidence.assure_sound(tx, plant)
    approved = store.current_baseline(tx, asset)
    if approved is None:
        raise NotNow(f"{asset} has no approved baseline, so nobody has said what to restore (asbuilt baseline approve)")
    return approved


def _made(tx: Transaction, plant: Plant, vault: Vault, baseline: Baseline) -> tuple[Document, list[Attached]]:
    """The kit of a baseline, and its files as the vault has them: each is read, and hashed."""
    from monitor import artefacts, store
    from monitor.kit import kit_document

    snapshot = store.baseline_snapshot(tx, baseline)
    if snapshot.digest != baseline.digest:
        raise NotNow(f"what is stored as baseline {baseline.digest[:12]} is not what was approved (asbuilt verify)")
    found = artefacts.fitting(tx, baseline)
    attached = _looked_up(vault, [each for each in found if not each.misfit])
    left_out = [each for each in found if each.misfit]
    words, polled = store.sign_offs(tx, baseline), plant.assets[baseline.asset]
    return kit_document(plant, polled, baseline, snapshot, words, attached, left_out), attached


def _looked_up(vault: Vault, found: Sequence[Fitting]) -> list[Attached]:
    from monitor.kit import Attached
    from monitor.kit_pack import file_names

    step = byte_progress(sum(each.artefact.size for each in found), "hashed")
    names = file_names((each.artefact.name, each.artefact.digest) for each in found)
    return [
        Attached(each, vault.state(each.artefact.digest, step), name) for each, name in zip(found, names, strict=True)
    ]


def _export(
    plant: Plant,
    database: Database,
    vault: Vault,
    baseline: Baseline,
    document: Document,
    attached: Sequence[Attached],
    out: Path,
    by: str,
) -> None:
    """Write the kit, and write down that it was given out."""
    from monitor import kit_pack, store
    from monitor.kit_sheet import html_sheet, text_sheet
    from monitor.polling import utc_now

    content = kit_pack.json_bytes(document)
    texts = {
        "KIT.html": html_sheet(document).encode("utf-8", "backslashreplace"),
        "kit.txt": text_sheet(document).encode("utf-8", "backslashreplace"),
        "kit.json": content,
    }
    if sums := kit_pack.checksums(attached):
        texts[f"files/{kit_pack.CHECKSUMS}"] = sums
    step = byte_progress(sum(each.fitting.artefact.size for each in attached), f"write {out.name}")
    who = actor(by)
    with kit_pack.prepared(out, f"kit-{kit_pack.safe_name(baseline.asset)}") as target:
        kit_pack.write(target, vault, texts, attached, step)
        with deciding(plant, database, who) as tx:
            if (store.current_baseline(tx, baseline.asset) or baseline).id != baseline.id:
                raise NotNow(f"{baseline.asset}: another baseline was approved a moment ago; export the kit again")
            detail = {"baseline": baseline.digest, "kit": sha256(content).hexdigest()}
            store.audit(tx, utc_now(), who, "kit.export", baseline.asset, detail)


def _say(out: Path, document: Document) -> None:
    entered = sum(row["enter"] for row in document["parameters"])
    files = sum(row["path"] is not None for row in document["files"])
    digest = document["baseline"]["digest"][:12]
    typer.echo(f"wrote {out}: baseline {digest} of {document['asset']['name']}")
    typer.echo(
        f"  {entered} parameters to enter, {files} file{'s' * (files != 1)}; begin with KIT.html (to print) or kit.txt"
    )
