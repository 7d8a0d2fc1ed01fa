"""token …: with what programs use the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from monitor.console import (
    LARGEST_ID,
    PLANT_FILE,
    By,
    Group,
    Json,
    KeyFile,
    PlantFile,
    cleaned,
    deciding,
    opened,
    required,
    signing,
)
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from datetime import datetime

    from monitor.store import Token

Person = Annotated[str, typer.Option("--person", metavar="NAME", help="Whose token.", callback=cleaned)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="The tokens with which programs use the API.")
    for command in (add, revoke, list_):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="token")


def add(
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for.", callback=required)],
    scopes: Annotated[
        list[str], typer.Option("--scope", metavar="ROLE", help="What it may do: roles of the person, one each.")
    ],
    person: Person = "",
    until: Annotated[
        str, typer.Option(metavar="TIME", help='When it ends: ISO 8601, or "+90d".', show_default="never")
    ] = "",
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Make a token; it is printed once. Its person signs for it, or an admin (--by, and --key or a password)."""
    from zoneinfo import ZoneInfo

    from monitor import tokens
    from monitor.moments import moment
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who, now = signing(plant, database, by, key, ask=True), utc_now()
        ends_at = moment(until, now, ZoneInfo(plant.timezone)) if until else None
        with deciding(plant, database, who) as tx:
            made, secret = tokens.make(tx, person or who.name, name, scopes, ends_at, who, now)
    if json:
        return print_json({"tokens": [tokens.token_document(made, now) | {"token": secret}]})
    typer.echo(secret)
    return typer.echo(f"token {made.id} of {made.person}: it is not shown again", err=True)


def revoke(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=LARGEST_ID)],
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """A token is of no use any more; asbuilt token list has its number."""
    from monitor import tokens
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who, now = signing(plant, database, by, key), utc_now()
        with deciding(plant, database, who) as tx:
            gone = tokens.revoke(tx, number, who, now)
    _show([gone], now, json)


def list_(
    person: Person = "",
    everything: Annotated[bool, typer.Option("--all", help="Also those that are of no use any more.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """The tokens that are good: whose, for what, and when they were used."""
    from monitor import store
    from monitor.polling import utc_now

    now = utc_now()
    with opened(plant_file) as (_, database), database.read() as tx:
        found = store.tokens(tx, person=person or None)
        registered = {each.name for each in store.persons(tx)}
    good = [each for each in found if everything or (each.is_good(now) and each.person in registered)]
    _show(good, now, json)


def _show(found: list[Token], now: datetime, json: bool) -> None:
    from monitor.tokens import token_document

    documents = [token_document(each, now) for each in found]
    if json:
        return print_json({"tokens": documents})
    if not documents:
        return typer.echo("there is no token; people make theirs on the page, or with asbuilt token add")
    columns = ("id", "person", "name", "scopes", "made", "ends", "used", "revoked")
    rows = [
        [
            *(str(each["id"]), each["person"], each["name"], ", ".join(each["scopes"]), each["made_at"]),
            *(each["ends_at"] or "never", each["used_at"] or "never", each["revoked_at"] or "–"),
        ]
        for each in documents
    ]
    return print_table(columns, rows)
