"""init, run, simulate, demo: getting a plant on its feet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.console import PLANT_FILE, PlantFile, opened
from monitor.errors import CallError, NotNow

if TYPE_CHECKING:
    from monitor.config import Plant
    from monitor.daemon import Daemon

LEAD_WAIT = 5.0  # seconds: a command that polls just now is given the time to finish


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(run)
    app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        simulate
    )
    app.command()(demo)


def init(plant_file: PlantFile = PLANT_FILE) -> None:
    """Write a commented plant.toml to begin with."""
    from importlib.resources import files

    text = (files("monitor") / "plant.example.toml").read_text(encoding="utf-8")
    try:
        with plant_file.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CallError(f"{plant_file} exists already; it is left as it is") from None
    except OSError as error:
        raise CallError(f"{plant_file} cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {plant_file}: put your PLCs in, then try asbuilt poll")


def run(plant_file: PlantFile = PLANT_FILE) -> None:
    """The daemon: polls every asset at its interval, and raises an alarm on any deviation."""
    import asyncio

    import structlog

    from monitor import logs
    from monitor.daemon import build, run_until_stopped

    logs.set_up()
    log = structlog.get_logger()
    allow_connections()
    with opened(plant_file) as (plant, database):
        if not database.lead(LEAD_WAIT):
            raise NotNow(f"another asbuilt polls this plant already (it holds the store {database.name})")
        assets, segments = len(plant.assets), len(plant.segments)
        log.info("run.started", plant=plant.name, assets=assets, segments=segments, store=database.name)
        daemon = build(plant, database)
        with shown(plant, daemon):
            asyncio.run(run_until_stopped(daemon))
        log.info("run.stopped", plant=plant.name)


@contextlib.contextmanager
def shown(plant: Plant, daemon: Daemon) -> Iterator[None]:
    """The web server beside the daemon, if it is wanted."""
    if not plant.web.enabled:
        yield
        return
    from monitor.polling import utc_now
    from monitor.store import Database
    from monitor.web.server import served
    from monitor.web.site import Site

    database = Database(plant.store_url)
    try:
        with served(plant.web, Site(lambda: daemon.plant, database, utc_now, daemon.vitals)):
            yield
    finally:
        database.close()


def allow_connections() -> None:
    """A connection a device: let this process have as many as the system allows, not the 1,024 that most begin with."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 65536 if most == resource.RLIM_INFINITY else most
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def simulate(ctx: typer.Context) -> None:
    """A floor of simulated PLCs on loopback; asbuilt simulate --help says more."""
    from simulators.cli import main

    raise typer.Exit(main(ctx.args))


def demo(
    once: Annotated[bool, typer.Option("--once", help="Run through without stopping, and end.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Keep the demo's files here.")] = None,
) -> None:
    """A bundled plant on loopback: commissioned, changed behind its back, alarmed, reported."""
    from monitor.demo import run_demo

    raise typer.Exit(run_demo(once, folder))
