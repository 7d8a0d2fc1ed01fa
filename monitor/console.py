"""What all commands share: the app, its options, its exit codes, and errors as sentences."""

from __future__ import annotations

import errno
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from collectors.written import FileError
from monitor.accounts import account, me
from monitor.choosing import chosen as chosen
from monitor.errors import CallError, Unverified, UserError

if TYPE_CHECKING:
    from collectors.collector import Target
    from monitor.config import Plant
    from monitor.store import Actor, Database, Signing, Transaction

DONE, DRIFT, WRONG, UNSEEN, UNVERIFIED = range(5)  # exit codes
INTERRUPTED, BUG = 130, 70
LARGEST_ID = 2**31 - 1  # of an alarm or an order, in every database


class Group(TyperGroup):
    """Turns what may go wrong into a sentence and exit code 2."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except Unverified as error:
            fail(str(error), UNVERIFIED)
        except (FileError, UserError) as error:
            fail(str(error))
        except BrokenPipeError:  # `asbuilt assets | head`: left to click, it would end with 1, which is drift
            discard_output()
            raise typer.Exit(DONE) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            discard_output()
            fail(f"the output cannot be written: {error.strerror}")
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def discard_output() -> None:
    """What is still to be printed goes nowhere: it would fail once more when the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(text: str, code: int = WRONG) -> NoReturn:
    """End with a sentence on standard error."""
    for line in text.splitlines():
        typer.echo(f"asbuilt: {line}", err=True)
    raise typer.Exit(code)


app = typer.Typer(
    cls=Group,
    name="asbuilt",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PlantFile = Annotated[
    Path, typer.Option("--plant", envvar="ASBUILT_PLANT", metavar="FILE", help="The plant's description.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
Assets = Annotated[list[str] | None, typer.Argument(metavar="[ASSET]...", help="Names, or patterns such as line3/*.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it.", show_default="you")]
Security = Annotated[str, typer.Option(help="OPC UA: None, Basic256Sha256:Sign or :SignAndEncrypt.")]
Certificate = Annotated[str, typer.Option(help="OPC UA: our certificate, PEM or DER.")]
PrivateKey = Annotated[str, typer.Option(help="OPC UA: its private key.")]
User = Annotated[str, typer.Option(help="OPC UA: user name.")]
PasswordEnv = Annotated[str, typer.Option(help="OPC UA: the variable that holds the password.")]


def targets_at(
    addresses: Sequence[str], security: str, certificate: str, private_key: str, user: str, password_env: str
) -> list[Target]:
    """What to ask where no plant.toml says how: each address, with the log-in that the options say."""
    from collectors.address import parse_address
    from collectors.collector import Access, Secret, Target

    policy, _, mode = security.partition(":")
    access = Access(policy, mode or "None", certificate, private_key, user=user, password=Secret(env=password_env))
    try:
        return [Target(text, parse_address(text), "auto", access) for text in addresses]
    except ValueError as error:
        raise CallError(str(error)) from None


def required(text: str) -> str:
    """Text that is not blank, and that every database takes."""
    if not (text := cleaned(text)):
        raise typer.BadParameter("it is empty")
    return text


def cleaned(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "").strip()


Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", callback=required)]
PerhapsWhy = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.", callback=cleaned)]

KeyFile = Annotated[
    Path | None, typer.Option("--key", envvar="ASBUILT_KEY", metavar="FILE", help="Sign with your own key.")
]
Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="The role in which you do it.", callback=cleaned)]
Ticket = Annotated[
    str, typer.Option("--ticket", metavar="TEXT", help="The ticket that it belongs to.", callback=cleaned)
]

PLANT_FILE = Path("plant.toml")


def actor(by: str, role: str = "", signer: Signing | None = None) -> Actor:
    """Who acts, with the operating system's word for them beside the name that they give."""
    from monitor.store import Actor

    return Actor(cleaned(by) or me(), account(), cleaned(role), signer)


def signing(
    plant: Plant,
    database: Database,
    by: str,
    key: Path | None,
    role: str = "",
    assets: Sequence[str] = (),
    ask: bool = False,
) -> Actor:
    """Who acts, with their own key where they gave one, or a password, or where four eyes look at one of the assets.

    A person's password comes from ASBUILT_PASSWORD, or, where they have to sign or with `ask`, from a terminal.
    """
    from monitor import store
    from monitor.actions import assure_person
    from monitor.persons import signer_of

    has_to = any(plant.approval.takes_two(plant.criticality(name)) for name in assets)
    name = cleaned(by) or me()
    with database.read() as tx:
        known = store.person(tx, name)
    who = actor(by, role, signer_of(name, known, key, ask or has_to, password_of))
    with database.read() as tx:
        assure_person(tx, who, has_to)  # before anything takes its time
    return who


def password_of(whose: str, ask: bool) -> str:
    """The password from the environment, or, if we may ask, typed at a terminal; "" where there is neither."""
    if given := os.environ.get("ASBUILT_PASSWORD"):
        return given
    return getpass.getpass(f"password of {whose}: ") if ask and sys.stdin.isatty() else ""


@contextmanager
def deciding(plant: Plant, database: Database, who: Actor, sound: bool = False) -> Iterator[Transaction]:
    """A transaction in which somebody decides something: audited, checkpointed, `sound` only if the evidence is."""
    from monitor import evidence

    with evidence.deciding(plant, database, who, warn, sound) as tx:
        yield tx


def warn(text: str) -> None:
    """Say what else should be known."""
    typer.echo(f"asbuilt: {text}", err=True)


def described(path: Path) -> Plant:
    """The plant, without its store."""
    from monitor.config import load_plant

    try:
        return load_plant(path)
    except FileError as error:
        if not path.exists():
            raise CallError(f"there is no {path}: write one with asbuilt init, or name it with --plant") from error
        raise


@contextmanager
def opened(path: Path) -> Iterator[tuple[Plant, Database]]:
    """The plant, and its store brought up to date."""
    from monitor.store import Database

    plant = described(path)
    database = Database(plant.store_url)
    try:
        database.migrate()
        yield plant, database
    finally:
        database.close()
