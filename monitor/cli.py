"""The console script `asbuilt`. Commands import what they need when they run: --help waits for no database driver."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer
import typer.main

from monitor.commands import (
    alerts,
    assets,
    baseline,
    commissioning,
    conforming,
    contract,
    keeping,
    kit,
    looking,
    network,
    notifying,
    operating,
    ordering,
    persons,
    profiles,
    quality,
    reporting,
    running,
    tokens,
    vault,
    watching,
)
from monitor.console import BUG, app


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"asbuilt {version('asbuilt')}")
        raise typer.Exit


@app.callback()
def asbuilt(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Say which version this is.")
    ] = False,
) -> None:
    """Keeps a plant as it was built: reads what every PLC is, compares it with what people approved, never writes."""


for module in (
    looking,
    assets,
    profiles,
    commissioning,
    baseline,
    vault,
    kit,
    conforming,
    ordering,
    persons,
    tokens,
    alerts,
    notifying,
    quality,
    reporting,
    network,
    contract,
    watching,
    keeping,
    running,
    operating,
):
    module.register(app)


@cache
def command() -> Callable[..., Any]:
    """The whole command line. It takes 40 ms to put together, once."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line. An error that nobody foresaw is a bug, and never looks like a verdict."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every console knows every letter
    try:
        command()()
    except Exception:
        traceback.print_exc()
        typer.echo("asbuilt: this is a bug; please report it with the lines above", err=True)
        sys.exit(BUG)


if __name__ == "__main__":
    main()
