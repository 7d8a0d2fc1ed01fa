"""baseline export and import: baselines on a stick, from where they were captured to where they count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baselines.baseline import Stage
from monitor.console import (
    PLANT_FILE,
    Assets,
    By,
    Json,
    KeyFile,
    PlantFile,
    Why,
    chosen,
    opened,
    signing,
    warn,
)
from monitor.errors import CallError
from monitor.terminal import print_json

if TYPE_CHECKING:
    from baselines.baseline import Baseline
    from monitor.baseline_toml import Record
    from monitor.config import Plant
    from monitor.importing import Taken
    from monitor.seal import Seal
    from monitor.store import Transaction

PUBLIC_KEY = re.compile("[0-9a-fA-F]{64}")


def register(group: typer.Typer) -> None:
    group.command("export")(export)
    group.command("import")(import_)


def export(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", help="A folder, or a zip if it ends in .zip.")
    ],
    names: Assets = None,
    stage: Annotated[Stage | None, typer.Option(help="Only baselines of this stage.")] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Write a signed bundle of baselines, with their history, as text: for another plant's import, or for git."""
    from monitor import bundle, bundle_files, bundling

    with opened(plant_file) as (plant, database):
        records, files = bundling.exported(plant, database, chosen(plant, names), stage)
    bundle_files.write(output, files)
    _show_exported(output, records, bundle.sealed_by(str(output), files), json)


def _show_exported(path: Path, records: Sequence[Record], seal: Seal, json: bool) -> None:
    from monitor.show import baseline_document

    if json:
        documents = [baseline_document(record.baseline) for record in records]
        print_json({"path": str(path), "baselines": documents, "manifest": seal.manifest, "key": seal.key})
        return
    assets = len({record.baseline.asset for record in records})
    typer.echo(f"wrote {path}: {len(records)} baselines of {assets} assets")
    typer.echo(f"signed by {seal.key}: read it out to whoever imports it")


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder or a zip that baseline export wrote.")],
    reason: Why,
    trust: Annotated[
        str, typer.Option("--trust", metavar="HEX", help="The key that has to have signed it, as they read it out.")
    ] = "",
    rename: Annotated[
        list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="An asset is called otherwise here.")
    ] = None,
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Take in a bundle: its baselines as history, the newest of each asset as an open proposal, for approval here."""
    from monitor import bundle, bundle_files, bundling

    names, where = _renames(rename or ()), str(path)
    if trust and not PUBLIC_KEY.fullmatch(trust):
        raise CallError(f"--trust: a public key is 64 hexadecimal digits, not {trust!r}")
    files = bundle_files.read(path)
    seal = bundle.sealed_by(where, files)
    with opened(plant_file) as (plant, database):
        typer.echo(f"signed by {seal.key}", err=True)
        taken = bundling.take_in(
            plant,
            database,
            where,
            files,
            seal,
            trust,
            names,
            lambda assets: signing(plant, database, by, key, assets=assets),
            reason,
            warn,
        )
    _show_taken(taken, seal, json)


def _renames(given: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for each in given:
        old, is_one, new = each.partition("=")
        if not (old and is_one and new) or old in names:
            raise CallError(f"--rename is OLD=NEW, once for each asset, not {each!r}")
        names[old] = new
    return names


def _show_taken(taken: Sequence[Taken], seal: Seal, json: bool) -> None:
    from monitor.bundling import taken_document

    if json:
        return print_json(taken_document(taken, seal))
    kept = [each for part in taken for each in (*part.history, *part.proposed)]
    skipped = [each for part in taken for each in part.skipped]
    for each in kept:
        if each.origin is None:
            typer.echo(f"{each.asset}: {each.digest[:12]} ({each.stage}) is proposed; approve it with baseline approve")
        else:
            decided = f"approved by {each.decided_by}" if each.decided_by else "not approved"
            typer.echo(f"{each.asset}: {each.digest[:12]} ({each.stage}) taken in as history: {decided} there")
    if skipped:
        typer.echo(f"{len(skipped)} baselines are known here already, and are left as they are")
    return None


def toml_of(tx: Transaction, plant: Plant, baseline: Baseline) -> str:
    """A baseline as it stands in a bundle."""
    from monitor import bundle
    from monitor.baseline_toml import record_text
    from monitor.bundling import profile_name

    return record_text(bundle.record_of(tx, baseline, lambda digest: profile_name(plant, digest)))
