"""profile …: a profile to start from, drafted from what a device says and does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import (
    UNSEEN,
    Certificate,
    Group,
    Json,
    PasswordEnv,
    PrivateKey,
    Security,
    User,
    targets_at,
)
from monitor.errors import CallError
from monitor.terminal import print_json

if TYPE_CHECKING:
    from collectors.collector import Target
    from collectors.drafting import Surveyed, Watch
    from monitor.drafting import Draft

LONGEST_WATCH = 3600.0  # seconds
Tell = Callable[[str], None]
Tags = dict[str, Any]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Teach asbuilt a product: profiles to start from.")
    group.command()(draft)
    group.callback()(lambda: None)  # or else typer would take the one command for the whole group
    app.add_typer(group, name="profile")


def draft(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="modbus://… or opc.tcp://…")],
    tags: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Modbus: CSV with name, table, address, type and more.")
    ] = None,
    watch: Annotated[str, typer.Option(help="For how long to watch which values vary.")] = "30s",
    looks: Annotated[int, typer.Option(min=1, max=1000, help="How many times to read them in that time.")] = 5,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call the profile.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file instead of standard output.")
    ] = None,
    security: Security = "None",
    certificate: Certificate = "",
    private_key: PrivateKey = "",
    user: User = "",
    password_env: PasswordEnv = "",
    json: Json = False,
) -> None:
    """Draft a profile for a device: what looks like configuration, with the reasons; needs no plant.toml."""
    import asyncio

    from collectors.collector import CollectError

    (target,) = targets_at([address], security, certificate, private_key, user, password_env)
    watched = _watch(watch, looks)
    _check(name, output)
    listed = _tags(target, tags)
    try:
        surveyed = asyncio.run(_survey(target, listed, watched, _telling()))
    except CollectError as failure:
        _clear()
        if json:
            print_json(_nothing(str(target.address), failure))
        else:
            typer.echo(f"{address}\n  {failure.kind}: {failure.text}", err=True)
        raise typer.Exit(UNSEEN) from None
    _clear()
    _show(_drafted(target, name, surveyed), output, json)


def _watch(watch: str, looks: int) -> Watch:
    from collectors.drafting import Watch
    from collectors.written import seconds

    try:
        span = seconds(watch)
    except ValueError as error:
        raise CallError(f"--watch: {error}") from None
    if span > LONGEST_WATCH:
        raise CallError(f"--watch: at most an hour, not {watch}")
    return Watch(span, looks)


def _check(name: str | None, output: Path | None) -> None:
    from collectors.profile import Profiles

    if name is not None and (not name.strip() or not name.isprintable() or name == "auto"):
        raise CallError(f"--name: {name!r} is no name for a profile")
    if name is not None and name in Profiles():
        raise CallError(f"--name: asbuilt comes with a profile {name!r}; give yours another name")
    if output is not None and (output.exists() or output.is_symlink()):
        raise CallError(f"{output} is there already, and is not written over; name a new file")
    if output is not None and not output.parent.is_dir():
        raise CallError(f"{output} cannot be written: there is no folder {output.parent}")


def _tags(target: Target, file: Path | None) -> Tags | None:
    """The tags of the list by their names; None for OPC UA, which needs none."""
    from monitor.entries import printable
    from monitor.tags import EXAMPLE, read_tags

    if target.address.protocol != "modbus":
        if file is not None:
            raise CallError("--tags is for Modbus: an OPC UA server says itself what it has")
        return None
    if file is None:
        raise CallError(
            "a Modbus device cannot be asked what its registers mean, and reading addresses that it does not have can "
            f"stop it: name its tag list with --tags FILE.csv, such as\n{EXAMPLE}"
        )
    listed = read_tags(file)
    if listed.ignored:
        typer.echo(f"ignored, for asbuilt knows no such column: {printable(', '.join(listed.ignored))}", err=True)
    return {tag.name: tag.keys for tag in listed.tags}


async def _survey(target: Target, tags: Tags | None, watch: Watch, tell: Tell) -> Surveyed:
    from monitor.polling import utc_now

    if tags is not None:
        from collectors.modbus.survey import survey as survey_tags

        return await survey_tags(target, tags, watch, utc_now, tell)
    from collectors.opcua.survey import survey

    return await survey(target, watch, utc_now, tell)


def _telling() -> Tell:
    """Says on standard error how far the survey is; nothing where nobody watches."""

    def tell(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    return tell if sys.stderr.isatty() else lambda text: None


def _clear() -> None:
    """Take away what was told last."""
    _telling()("")


def _drafted(target: Target, name: str | None, surveyed: Surveyed) -> Draft:
    from baselines.snapshot import utc_text
    from monitor import drafting
    from monitor.polling import utc_now

    return drafting.draft(str(target.address), name, utc_text(utc_now()), surveyed)


def _show(draft: Draft, output: Path | None, json: bool) -> None:
    from monitor.drafting import document, summary

    if output is not None:
        try:
            with output.open("x", encoding="utf-8", newline="\n") as file:
                file.write(draft.toml)
        except OSError as error:
            raise CallError(f"{output} cannot be written: {error.strerror or error}") from None
    if json:
        print_json(document(draft))
    elif output is None:
        typer.echo(draft.toml.encode(), nl=False)
    typer.echo(summary(draft), err=True)
    if draft.stopped:
        typer.echo(f"incomplete: {draft.stopped}", err=True)
    if draft.fitting:
        typer.echo(f'asbuilt has a profile of this product: {draft.fitting}; profile = "auto" takes it', err=True)
    if output is not None:
        typer.echo(f"look over {output}, and name it as the profile of the asset in plant.toml", err=True)


def _nothing(address: str, failure: Any) -> dict[str, Any]:
    """The document where nothing could be seen."""
    return {
        "address": address,
        "identity": {},
        "profile": None,
        "proposed": [],
        "left_out": [],
        "stopped": None,
        "bundled": None,
        "error": {"kind": failure.kind, "text": failure.text},
        "toml": "",
    }
