"""doctor: whether all is there that watching a plant takes."""

from __future__ import annotations

import typer

from monitor.console import DONE, PLANT_FILE, UNSEEN, WRONG, Json, PlantFile
from monitor.terminal import print_json, print_table


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """Look at plant.toml, the store, this machine and the way to every device; change nothing.

    Exits with 2 if something does not work, else with 3 if something could not be looked at or reached, else with 0.
    """
    from monitor.doctor import State, document, examine
    from monitor.polling import utc_now

    now = utc_now()
    checks = examine(plant_file, now)
    if json:
        print_json(document(checks, now))
    else:
        print_table(["state", "what", "how it is", "remedy"], [(c.state, c.what, c.text, c.remedy) for c in checks])
    states = {each.state for each in checks}
    raise typer.Exit(WRONG if State.FAIL in states else UNSEEN if State.UNSEEN in states else DONE)
