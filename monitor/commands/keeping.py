"""backup and restore: all of a plant in one archive, and a plant out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.console import (
    DONE,
    PLANT_FILE,
    UNVERIFIED,
    By,
    Json,
    KeyFile,
    PlantFile,
    Why,
    actor,
    cleaned,
    opened,
    password_of,
)
from monitor.errors import Unverified
from monitor.terminal import print_json, size_text

if TYPE_CHECKING:
    from monitor.archive import Archive
    from monitor.backup import Made
    from monitor.restoring import Checked, Restored
    from monitor.store import Actor, Transaction

Trust = Annotated[str, typer.Option("--trust", metavar="HEX", help="The key of the plant that has to have signed it.")]


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE.zip|FOLDER", help="The archive: a zip, or a folder.")],
    without_vault: Annotated[bool, typer.Option("--without-vault", help="Leave the known-good files out.")] = False,
    without_key: Annotated[bool, typer.Option("--without-key", help="Leave the plant's private key out.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: check this backup, and the evidence in it.")
    ] = False,
    trust: Trust = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Write all that this plant needs to go on elsewhere into one signed archive, while it goes on here."""
    from datetime import UTC, datetime

    from monitor.backup import back_up, made_document

    if check:
        return _check(path, trust, json)
    with opened(plant_file) as (plant, database):
        step = watched()
        made = back_up(plant, database, path, datetime.now(UTC), not without_vault, not without_key, step)
        step("")
    if json:
        return print_json(made_document(made))
    return _say_made(made)


def watched() -> Callable[[str], None]:
    """Says on standard error what is done, where somebody watches."""
    import sys

    if not sys.stderr.isatty():
        return lambda _: None
    return lambda what: typer.echo(f"\r\x1b[K{what}", err=True, nl=False)


def _say_made(made: Made) -> None:
    about, size = made.about, _size(made.path)
    rows = sum(about.tables.values())
    typer.echo(f"wrote {made.path}: {size_text(size)}, {rows} rows, {about.entries} entries in the audit chain")
    typer.echo(f"  {len(about.files)} files of the plant, {made.artefacts} of the vault; signed by {made.seal.key}")
    for left in about.left_out:
        typer.echo(f"  left out: {left.path} ({left.why})")
    if made.is_secret:
        typer.echo(
            "  it holds the plant's private key: whoever has it can sign as this plant. Keep it as you keep keys"
        )


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())


def _check(path: Path, trust: str, json: bool) -> None:
    from monitor.archive import opened_archive
    from monitor.restoring import check

    with opened_archive(path) as archive:
        found = check(archive, trust)
        flaw = found.result.first_bad
        ok = flaw is None and not found.broken
        if json:
            first = {"entry": flaw.entry, "why": flaw.why} if flaw else None
            about = found.about
            print_json(
                {
                    "path": str(path),
                    "ok": ok,
                    "plant": about.plant,
                    "made_at": about.made_at,
                    "schema": about.schema,
                    "entries": about.entries,
                    "head": about.head,
                    "first_bad": first,
                    "missing": found.missing,
                    "broken": found.broken,
                    "key": archive.seal.key,
                    "manifest": archive.seal.manifest,
                }
            )
        else:
            _say_checked(archive, found)
    raise typer.Exit(DONE if ok else UNVERIFIED)


def _say_checked(archive: Archive, found: Checked) -> None:
    about, flaw = found.about, found.result.first_bad
    typer.echo(f"{archive.path}: {about.plant}, {about.made_at}, schema {about.schema}, {about.entries} entries")
    typer.echo(f"  signed by {archive.seal.key}, and nothing in it was changed since")
    for digest in found.missing:
        typer.echo(f"  missing, as it was then: the file {digest} of the vault")
    for digest in found.broken:
        typer.echo(f"  broken, as it was then: the file {digest} of the vault")
    typer.echo(f"  {_flaw_text(found)}" if flaw else "  its evidence verifies")


def _flaw_text(found: Checked) -> str:
    flaw = found.result.first_bad
    assert flaw is not None
    at = f"entry {flaw.entry}: " if flaw.entry is not None else ""
    return f"its evidence does not verify: {at}{flaw.why}"


def restore(
    path: Annotated[Path, typer.Argument(metavar="FILE.zip|FOLDER", help="What asbuilt backup wrote.")],
    into: Annotated[Path, typer.Option("--into", metavar="FOLDER", help="A new or empty folder for the plant.")],
    reason: Why,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="The empty database, if not the one of its plant.toml.")
    ] = "",
    trust: Trust = "",
    although_broken: Annotated[
        bool, typer.Option("--although-broken", help="Also if the evidence in it does not verify.")
    ] = False,
    by: By = "",
    key: KeyFile = None,
    json: Json = False,
) -> None:
    """Make a plant of a backup, in an empty folder and an empty database: all of it, or nothing."""
    from datetime import UTC, datetime

    from monitor.archive import opened_archive
    from monitor.restoring import assure_empty, check
    from monitor.restoring import restore as restore_from

    def say(text: str) -> None:
        typer.echo(f"asbuilt: {text}", err=True)

    assure_empty(into)  # before anything takes its time
    with opened_archive(path) as archive:
        typer.echo(f"signed by {archive.seal.key}", err=True)
        found = check(archive, trust)
        if found.result.flaws and not although_broken:
            raise Unverified(f"{path}: {_flaw_text(found)}; --although-broken restores it all the same")
        now = datetime.now(UTC)
        restored = restore_from(archive, found, into, lambda tx, _: _who(tx, by, key), now, reason, say, url)
    _show_restored(restored, found, json)


def _who(tx: Transaction, by: str, key: Path | None) -> Actor:
    """Who restores: as everywhere else, with the persons of the plant that is restored."""
    from monitor import store
    from monitor.accounts import me
    from monitor.persons import signer_of

    name = cleaned(by) or me()
    return actor(by, "", signer_of(name, store.person(tx, name), key, False, password_of))


def _show_restored(restored: Restored, found: Checked, json: bool) -> None:
    about, held = found.about, restored.held
    if json:
        return print_json(
            {
                "plant": str(restored.plant),
                "made_at": about.made_at,
                "entries": about.entries,
                "entry": restored.entry,
                "messages_dropped": held.messages,
                "moves_passed_over": held.moves,
                "aside": [str(each) for each in restored.aside],
                "elsewhere": [{"path": path, "is_at": at} for path, at in restored.elsewhere.items()],
                "left_out": [{"path": left.path, "why": left.why} for left in about.left_out],
                "missing": found.missing,
            }
        )
    typer.echo(f"restored {about.plant} as it was at {about.made_at}: asbuilt run --plant {restored.plant}")
    typer.echo(f"  {about.entries} entries of the audit chain; entry {restored.entry} says who restored it, and why")
    if held.messages or held.moves:
        typer.echo(f"  not sent as news: {held.messages} messages that waited then, {held.moves} moves of alarms")
    for aside in restored.aside:
        typer.echo(f"  put aside: {aside} has checkpoints of later decisions; keep it, it proves what is lost")
    for place, at in restored.elsewhere.items():
        typer.echo(f"  to be put in its place by you: {at} is {place}")
    for left in about.left_out:
        typer.echo(f"  not in the backup: {left.path} ({left.why})")
    return None
