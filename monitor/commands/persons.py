"""person … and key …: who signs with which key, and the key that signs for the plant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import (
    PLANT_FILE,
    By,
    Group,
    Json,
    KeyFile,
    PlantFile,
    Why,
    actor,
    deciding,
    opened,
    required,
    signing,
)
from monitor.errors import CallError
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from monitor.store import Person

Name = Annotated[str, typer.Argument(metavar="NAME")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="The people who sign what they decide.")
    for command in (add, remove, list_):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="person")
    keys = typer.Typer(cls=Group, no_args_is_help=True, help="The key that signs the checkpoints of the audit chain.")
    keys.command("show")(show_key)
    keys.command("rotate")(rotate_key)
    app.add_typer(keys, name="key")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", callback=required)],
    roles: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="What they are, one each.")] = None,
    new_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Make a key, and write it there.")] = None,
    public_key: Annotated[str, typer.Option(metavar="HEX", help="They have a key: its public half.")] = "",
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Register somebody who signs, with a password, or with a key in a file of their own. Whoever is registered already
    signs for them (--by, --key); again for the same name, it changes their roles, key or password."""
    from monitor import keys, persons
    from monitor.polling import utc_now
    from monitor.store import Person

    given = persons.named(roles or ())
    if len([each for each in (new_key, public_key) if each]) > 1:
        raise CallError("either --new-key or --public-key")
    public = _public(public_key) if public_key else ""
    persons.assure_name(name)
    with opened(plant_file) as (plant, database):
        who = signing(plant, database, by, key, ask=True)
        signer = None if public else keys.Signer.new()
        sealed = None
        if signer and not new_key:
            sealed = keys.seal(signer, _new_password(name))
        person = Person(name, given, signer.key if signer else public, sealed)
        with deciding(plant, database, who) as tx:
            persons.add_person(tx, person, who, utc_now())
            if signer and new_key:
                _write(signer, new_key, keys.save)
    _show([person], json)


def _public(text: str) -> str:
    """A public key as everybody else writes it: a second way to write it would be a second person."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise CallError(f"a public key is 64 hexadecimal digits (Ed25519), not {text!r}")
    return key.hex()


def _write(signer: Any, path: Path, save: Any) -> None:
    try:
        save(signer, path)
    except FileExistsError:
        raise CallError(f"{path} exists already; it is left as it is") from None
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None


def _new_password(name: str) -> str:
    """A password for somebody new: asked for twice, or from ASBUILT_NEW_PASSWORD."""
    import getpass
    import os
    import sys

    if given := os.environ.get("ASBUILT_NEW_PASSWORD"):
        return given
    if not sys.stdin.isatty():
        raise CallError("no terminal to ask for a password at: set ASBUILT_NEW_PASSWORD, or use --new-key FILE")
    typed = getpass.getpass(f"new password of {name}: ")
    if typed != getpass.getpass("the same again: "):
        raise CallError("these are two passwords")
    return typed


def remove(
    name: Name, reason: Why, by: By = "", key: KeyFile = None, plant_file: PlantFile = PLANT_FILE, json: Json = False
) -> None:
    """Somebody signs no more. What they have signed stays theirs."""
    from monitor import persons
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who = signing(plant, database, by, key, ask=True)
        with deciding(plant, database, who) as tx:
            removed = persons.remove_person(tx, name, who, reason, utc_now())
    _show([removed], json)


def list_(
    everybody: Annotated[bool, typer.Option("--all", help="Also who was removed.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Who is registered, with which roles and which key."""
    from monitor import store

    with opened(plant_file) as (_, database), database.read() as tx:
        found = store.persons(tx, removed=everybody)
    _show(found, json)


def _show(persons: list[Person], json: bool) -> None:
    from monitor.persons import person_document

    documents = [person_document(each) for each in persons]
    if json:
        return print_json({"persons": documents})
    if not documents:
        return typer.echo("nobody is registered; asbuilt person add NAME --role ROLE")
    columns = ("person", "roles", "signs with", "public key", "removed")
    rows = [
        [
            str(document["person"]),
            ", ".join(each.roles),
            str(document["signs_with"]),
            each.public_key,
            str(document["removed_at"] or "–"),
        ]
        for document, each in zip(documents, persons, strict=True)
    ]
    return print_table(columns, rows)


def show_key(plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """The public keys of the chain, the newest last. Write the first one down elsewhere: it proves the chain."""
    from baselines.snapshot import utc_text
    from monitor import store
    from monitor.verifier import NEW_KEYS

    with opened(plant_file) as (_, database), database.read() as tx:
        found = [entry for entry in store.audit_entries(tx) if entry.action in NEW_KEYS]
    documents = [
        {"public_key": entry.detail.get("public_key", ""), "since": utc_text(entry.at), "entry": entry.id}
        for entry in found
    ]
    if json:
        return print_json({"keys": documents})
    for document in documents:
        typer.echo(f"{document['public_key']}  since {document['since']} (entry {document['entry']})")
    if not documents:
        typer.echo("there is no key yet: it is made with the first decision")
    return None


def rotate_key(reason: Why, by: By = "", plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """Give the plant a new key; the old one signs for it, and is kept beside it."""
    from monitor import evidence
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        who = actor(by)
        with database.write() as tx:
            evidence.assure_sound(tx, plant)
            made = evidence.rotate_key(tx, plant.evidence, who, utc_now(), reason)
        evidence.publish(plant, made, lambda text: typer.echo(f"asbuilt: {text}", err=True))
    show_key(plant_file, json)
