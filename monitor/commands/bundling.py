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
    deciding,
    opened,
    signing,
)
from monitor.errors import CallError, NotNow, Unverified
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
    from monitor import bundle, bundle_files
    from monitor.evidence import plant_key, verified
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        with database.write() as tx:
            if flaw := verified(tx, plant).first_bad:
                at = f"entry {flaw.entry}: " if flaw.entry is not None else ""
                raise Unverified(f"the evidence does not verify, and nobody could import it: {at}{flaw.why}")
            records = bundle.records_of(tx, wanted, lambda digest: _profile_name(plant, digest), stage)
            if not records:
                raise NotNow("there is nothing to export: no baseline of these is or was approved, or is proposed")
            signer = plant_key(tx, plant.evidence, utc_now())
            files = bundle.packed(tx, plant.name, records, signer)
    bundle_files.write(output, files)
    _show_exported(output, records, bundle.sealed_by(str(output), files), json)


def _profile_name(plant: Plant, digest: str) -> str:
    known = plant.profiles.by_digest(digest)
    return known.name if known else ""


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
    from monitor import bundle, bundle_files, importing
    from monitor.polling import utc_now
    from monitor.proposing import rules_of

    names, where = _renames(rename or ()), str(path)
    if trust and not PUBLIC_KEY.fullmatch(trust):
        raise CallError(f"--trust: a public key is 64 hexadecimal digits, not {trust!r}")
    files = bundle_files.read(path)
    seal = bundle.sealed_by(where, files)
    with opened(plant_file) as (plant, database):
        typer.echo(f"signed by {seal.key}", err=True)
        with database.read() as tx:
            importing.assure_trusted(tx, where, seal, trust)
        contents = bundle.verified(where, files, seal)
        here = importing.renamed(contents, [*plant.assets, *plant.segments], names)
        who = signing(plant, database, by, key, assets=list(here.values()))
        now = utc_now()
        with deciding(plant, database, who, sound=True) as tx:
            taken = [
                importing.take(tx, name, there, contents, who, reason, now, rules_of(plant, name))
                for there, name in here.items()
            ]
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
    from monitor.show import baseline_document

    kept = [each for part in taken for each in (*part.history, *part.proposed)]
    skipped = [each for part in taken for each in part.skipped]
    if json:
        documents, known = ([baseline_document(each) for each in part] for part in (kept, skipped))
        return print_json({"baselines": documents, "skipped": known, "key": seal.key, "manifest": seal.manifest})
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

    return record_text(bundle.record_of(tx, baseline, lambda digest: _profile_name(plant, digest)))
