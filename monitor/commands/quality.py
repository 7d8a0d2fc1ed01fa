"""quality: what quality people look at, as numbers, as JSON, and as pictures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.console import PLANT_FILE, Json, PlantFile, opened
from monitor.errors import CallError
from monitor.moments import moment
from monitor.terminal import print_json

if TYPE_CHECKING:
    from baselines.quality import (
        By,
        Quality,
    )
    from monitor.config import Plant

USUALLY = timedelta(days=90)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def register(app: typer.Typer) -> None:
    app.command()(quality)


def quality(
    since: Annotated[
        str, typer.Option("--from", metavar="T", help="ISO 8601.", show_default="90 days before --until")
    ] = "",
    until: Annotated[str, typer.Option(metavar="T", help='ISO 8601, or "now".')] = "now",
    period: Annotated[
        Literal["day", "week", "month"], typer.Option("--by", help="How long a period of the control chart is.")
    ] = "week",
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write them there, as SVG and in one quality.html.")
    ] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Causes of deviations, how often they come, how soon they are seen and mended, how change orders went."""
    from baselines.quality import (
        By,
    )
    from monitor.figures import assure_periods, measured, quality_document, show
    from monitor.polling import utc_now

    by = By(period)
    now = utc_now()
    begin, end = asked_times(since, until, now)
    assure_periods(begin, end, by)
    with opened(plant_file) as (plant, database), database.read() as tx:
        found = measured(tx, plant, begin, end, by, now)
    if pictures is not None:
        write_pictures(pictures, found, plant, by)
    if json:
        return print_json(quality_document(found, begin, end, by, plant.timezone))
    show(found, plant, by)
    if pictures is not None:
        typer.echo(f"\nwrote the pictures; look at {pictures / 'quality.html'}")
    return None


def asked_times(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    """The time that a call asks for, as far as it is past; CallError for none, or one that nobody would look at."""
    end = min(moment(until, now), now)
    if end < EARLIEST + USUALLY:
        raise CallError(f"--until {until} is before any plant was watched")
    begin = moment(since, now) if since else end - USUALLY
    if begin >= end:
        raise CallError("--from is not before --until, or lies in the future")
    return begin, end


def write_pictures(folder: Path, found: Quality, plant: Plant, by: By) -> None:
    """The pictures, and the page that holds them; CallError where they cannot be written."""
    from zoneinfo import ZoneInfo

    from monitor.pictures import dates, page, pictures

    zone = ZoneInfo(plant.timezone)
    drawn = pictures(found, by, zone)
    documents = {f"{name}.svg": svg for name, svg in drawn.items()}
    documents["quality.html"] = page(f"{plant.name}, {dates(found, zone)}", drawn.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CallError(f"--pictures {folder}: cannot be written: {error.strerror}") from None
