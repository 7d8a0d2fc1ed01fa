"""vault …: known-good files, attached to baselines, each kept once under its SHA-256."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.artefact import ArtefactKind
from baselines.baseline import State
from monitor.console import (
    DONE,
    PLANT_FILE,
    UNVERIFIED,
    Assets,
    By,
    Group,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    chosen,
    deciding,
    opened,
    signing,
)
from monitor.errors import CallError, NotNow
from monitor.terminal import byte_progress, print_json, print_table, size_text

if TYPE_CHECKING:
    from baselines.artefact import Artefact
    from baselines.baseline import Baseline
    from monitor.config import Plant
    from monitor.vault import Kept, Vault

SHORTEST_DIGEST = 6  # hex digits by which a file may be named

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Known-good files that belong to baselines.")
    for command in (add, list_, get, check):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="vault")


def add(
    name: Annotated[str, typer.Argument(metavar="ASSET")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    kind: Annotated[ArtefactKind, typer.Option(help="What the files are to the device.")],
    proposed: Annotated[bool, typer.Option("--proposed", help="To the open proposal, not the approved one.")] = False,
    by: By = "",
    key: KeyFile = None,
    reason: PerhapsWhy = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Keep files, and attach them to the approved baseline of an asset. All of them, or none."""
    from monitor import artefacts
    from monitor.polling import utc_now
    from monitor.proposing import rules_of
    from monitor.vault import Vault

    state = State.PROPOSED if proposed else State.APPROVED
    with opened(plant_file) as (plant, database):
        asset = one_device(plant, name)
        _check_files(files)
        with database.read() as tx:
            artefacts.attachable(tx, asset, state)
        who = signing(plant, database, by, key, assets=[asset])
        vault = Vault(plant.vault)
        kept = [(_name_of(path), _keep(vault, path)) for path in files]
        with deciding(plant, database, who, sound=True) as tx:
            rules = rules_of(plant, asset)
            attached = artefacts.attach(tx, asset, state, kept, kind, who, utc_now(), reason, rules)
            baseline = artefacts.attachable(tx, asset, state)
    _show_added(attached, [each for _, each in kept], baseline, json)


def one_device(plant: Plant, name: str) -> str:
    """The one asset that a name or pattern stands for; CallError for several, or for a segment."""
    wanted = chosen(plant, [name])
    if len(wanted) != 1:
        raise CallError(f"{name} names {len(wanted)} assets; name one")
    if wanted[0] in plant.segments:
        raise CallError(f"{wanted[0]} is a segment of the network; files and kits are of devices")
    return wanted[0]


def _check_files(files: Iterable[Path]) -> None:
    """CallError if one of them cannot be taken in, before any is."""
    import os

    from monitor.vault import opened_file

    for path in files:
        with opened_file(path) as file:
            if not os.fstat(file.fileno()).st_size:
                raise CallError(f"{path} is empty")


def _name_of(path: Path) -> str:
    """The name of a file as every database takes it."""
    return path.name.encode("utf-8", "replace").decode()


def _keep(vault: Vault, path: Path) -> Kept:
    return vault.keep(path, byte_progress(path.stat().st_size, f"keep {path.name}"))


def _show_added(attached: list[tuple[Artefact, bool]], kept: list[Kept], baseline: Baseline, json: bool) -> None:
    from monitor.artefacts import artefact_document

    rows = [
        artefact_document(artefact, baseline) | {"is_attached_now": is_new, "is_kept_now": file.is_new}
        for (artefact, is_new), file in zip(attached, kept, strict=True)
    ]
    if json:
        return print_json({"artefacts": rows})
    for row in rows:
        done = "attached to" if row["is_attached_now"] else "was attached already to"
        known = "" if row["is_kept_now"] else ", in the vault already"
        typer.echo(f"{_cell(row['name'])}: {row['kind']}, {size_text(row['size'])}, {row['digest'][:12]}{known}")
        typer.echo(f"  {done} {row['state']} baseline {baseline.digest[:12]} of {baseline.asset}")
    return None


def list_(names: Assets = None, plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """The files and the baselines that they belong to, the oldest first."""
    from monitor.artefacts import artefact_document, attached
    from monitor.vault import Vault

    with opened(plant_file) as (plant, database), database.read() as tx:
        wanted = chosen(plant, names) if names else None
        vault = Vault(plant.vault)
        rows = [
            artefact_document(artefact, baseline) | {"in_vault": vault.has(artefact.digest)}
            for artefact, baseline in attached(tx)
            if wanted is None or baseline.asset in wanted
        ]
    if json:
        return print_json({"artefacts": rows})
    if not rows:
        return typer.echo("no file yet: asbuilt vault add ASSET FILE --kind firmware")
    columns = ("asset", "kind", "name", "size", "SHA-256", "baseline", "state", "added", "by", "vault")
    return print_table(
        columns,
        [
            [
                row["asset"],
                row["kind"],
                _cell(row["name"]),
                size_text(row["size"]),
                row["digest"][:12],
                row["baseline"][:12],
                row["state"],
                row["added_at"],
                row["added_by"],
                "there" if row["in_vault"] else "MISSING",
            ]
            for row in rows
        ],
    )


def get(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="The SHA-256, or how it begins.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")],
    plant_file: PlantFile = PLANT_FILE,
) -> None:
    """Write a file of the vault out, if it is still what it was."""
    import os

    from monitor.artefacts import attached
    from monitor.vault import Vault, close_durably, written_aside

    with opened(plant_file) as (plant, database), database.read() as tx:
        vault = Vault(plant.vault)
        whole = _whole_digest(digest, {*vault.digests(), *(each.digest for each, _ in attached(tx))})
    if os.path.lexists(out):
        raise CallError(f"{out} exists already; it is left as it is")
    if not out.parent.is_dir():
        raise CallError(f"there is no folder {out.parent}")
    with written_aside(out.parent, str(out)) as (file, aside):
        vault.copy(whole, file, byte_progress(_size(vault, whole), f"write {out.name}"))
        close_durably(file)
        aside.chmod(0o644)
        os.rename(aside, out)
    typer.echo(f"wrote {out}: SHA-256 {whole}")


def _whole_digest(digest: str, known: Iterable[str]) -> str:
    fitting = [each for each in known if each.startswith(digest.lower())]
    if len(digest) < SHORTEST_DIGEST:
        raise CallError(f"write {SHORTEST_DIGEST} digits of the digest, or more")
    if len(fitting) > 1:
        raise CallError(f"{digest} begins more than one digest; write more of it")
    if not fitting:
        raise NotNow(f"no file is named {digest}; asbuilt vault list shows them")
    return fitting[0]


def check(plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """Hash every file anew: exit code 4 if one is missing, or is no longer what it was."""
    from monitor.artefacts import artefact_document, attached
    from monitor.vault import FileState, Vault

    with opened(plant_file) as (plant, database):
        vault = Vault(plant.vault)
        with database.read() as tx:
            known = attached(tx)
        there = vault.digests()
        belongs: dict[str, list[Document]] = {digest: [] for digest in there}
        for artefact, baseline in known:
            belongs.setdefault(artefact.digest, []).append(artefact_document(artefact, baseline))
        step = byte_progress(sum(_size(vault, digest) for digest in there), "hashed")
        states = {digest: vault.state(digest, step) for digest in sorted(belongs)}
        strangers = [str(path) for path in vault.strangers()]
    bad = [digest for digest, state in states.items() if state is not FileState.WHOLE]
    if json:
        files = [{"digest": each, "state": state, "artefacts": belongs[each]} for each, state in states.items()]
        orphans = [digest for digest, known in belongs.items() if not known]
        print_json({"files": files, "orphans": orphans, "strangers": strangers, "ok": not bad})
    else:
        _say_checked(vault, states, belongs, strangers)
    raise typer.Exit(UNVERIFIED if bad else DONE)


def _size(vault: Vault, digest: str) -> int:
    try:
        return vault.path(digest).stat().st_size
    except OSError:
        return 0


def _say_checked(
    vault: Vault, states: Mapping[str, str], belongs: Mapping[str, list[Document]], strangers: list[str]
) -> None:
    counts: dict[str, int] = {}
    for digest, state in states.items():
        counts[state] = counts.get(state, 0) + 1
        whose = "; ".join(f"{row['asset']}: {row['kind']} {_cell(row['name'])}" for row in belongs[digest])
        if state != "whole":
            typer.echo(f"{state}: {vault.path(digest)} ({whose or 'of no baseline'})")
        elif not whose:
            typer.echo(f"of no baseline: {vault.path(digest)}")
    for path in strangers:
        typer.echo(f"no file of the vault: {_cell(path)}")
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    typer.echo(f"{len(states)} file{'s' * (len(states) != 1)}" + (f": {summary}" if summary else ""))


def _cell(text: str) -> str:
    from monitor.show import value_text

    return value_text(text)
