"""The console script `asbuilt`. Commands import what they need when they run: --help waits for no database driver."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from monitor.commands import alerts, baseline, looking, running
from monitor.console import BUG, DONE, app

for module in (looking, baseline, alerts, running):
    module.register(app)


def main() -> None:
    """Run the command line. An error that nobody foresaw is a bug, and never looks like a verdict."""
    try:
        app()
    except BrokenPipeError:  # `asbuilt assets | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except Exception:
        traceback.print_exc()
        typer.echo("asbuilt: this is a bug; please report it with the lines above", err=True)
        sys.exit(BUG)


if __name__ == "__main__":
    main()
