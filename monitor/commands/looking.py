"""identify, poll, check, verify: looking, and saying what was seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.accounts import me
from monitor.console import (
    DONE,
    DRIFT,
    PLANT_FILE,
    UNSEEN,
    UNVERIFIED,
    Assets,
    Certificate,
    Json,
    PasswordEnv,
    PlantFile,
    PrivateKey,
    Security,
    User,
    chosen,
    opened,
    targets_at,
)
from monitor.terminal import print_json, progress, styled

if TYPE_CHECKING:
    from collectors.collector import Target

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(identify)
    app.command()(poll)
    app.command()(check)
    app.command()(verify)


def identify(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="modbus://… or opc.tcp://…")],
    security: Security = "None",
    certificate: Certificate = "",
    private_key: PrivateKey = "",
    user: User = "",
    password_env: PasswordEnv = "",
    json: Json = False,
) -> None:
    """What a device says it is; needs no plant.toml."""
    import asyncio

    targets = targets_at(addresses, security, certificate, private_key, user, password_env)
    documents = asyncio.run(_identify(targets))
    if json:
        print_json(_dated(documents))
    else:
        for document in documents:
            _print_identity(document)
    raise typer.Exit(UNSEEN if any(document["error"] for document in documents) else DONE)


async def _identify(targets: list[Target]) -> list[Document]:
    import asyncio

    from baselines.snapshot import Snapshot
    from collectors.profile import Profiles
    from monitor.pipeline import judge, unseen
    from monitor.polling import Poller, utc_now
    from monitor.show import checked_document

    poller = Poller(Profiles(), utc_now)

    async def one(target: Target) -> Document:
        found = await poller.poll_target(target)
        if isinstance(found.outcome, Snapshot):
            return checked_document(judge(found.outcome, None, found.sent))
        return checked_document(unseen(target.asset, utc_now(), None, False, found.outcome, found.sent))

    try:
        return list(await asyncio.gather(*map(one, targets)))
    finally:
        await poller.close()


def _print_identity(document: Document) -> None:
    from monitor.show import gap_lines, value_text

    typer.echo(document["asset"])
    if document["error"]:
        typer.echo(f"  {document['error']['kind']}: {document['error']['text']}")
        return
    said = {field: value for field, value in document["identity"].items() if value is not None}
    others = {key: value for key, value in document["items"].items() if not key.startswith("identity.")}
    rows = {**said, **others}
    width = max(map(len, rows), default=0)
    for field, value in rows.items():
        typer.echo(f"  {field:<{width}}  {value_text(value)}")
    for line in gap_lines(document["why_unread"]):
        typer.echo(f"  {line}")


def poll(names: Assets = None, plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """Read once and show everything that was read."""
    documents = _poll(names, plant_file)
    if json:
        print_json(_dated(documents))
    else:
        for document in documents:
            _print_items(document)
    code = _exit_code(documents)
    unread = any(document["error"] or document["unread"] for document in documents)
    # Showing what is there needs no baseline: only what could not be read is amiss.
    raise typer.Exit(code if code != UNSEEN else UNSEEN if unread else DONE)


def check(names: Assets = None, plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """Poll once, compare with the approved baseline, give the verdict."""
    documents = _poll(names, plant_file)
    if json:
        print_json(_dated(documents))
    else:
        for document in documents:
            _print_verdict(document)
        _print_summary(documents)
    raise typer.Exit(_exit_code(documents))


def _poll(names: list[str] | None, plant_file: Any) -> list[Document]:
    from monitor import logs
    from monitor.polling import poll_assets

    logs.set_up()
    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        return poll_assets(plant, database, wanted, me(), progress(len(wanted), "polled"))


def _dated(documents: list[Document]) -> Document:
    from baselines.snapshot import utc_text
    from monitor.polling import utc_now

    return {"checked_at": utc_text(utc_now()), "assets": documents}


def _exit_code(documents: list[Document]) -> int:
    verdicts = {document["verdict"] for document in documents}
    if "drift" in verdicts:
        return DRIFT
    return DONE if verdicts <= {"match"} else UNSEEN


def _print_items(document: Document) -> None:
    from monitor.show import value_text

    _print_verdict(document)
    width = max(map(len, document["items"]), default=0)
    for key, value in document["items"].items():
        typer.echo(f"    {key:<{width}}  {value_text(value)}")


def _print_verdict(document: Document) -> None:
    from monitor.show import change_text, gap_lines, kept_back_text

    line = f"{document['asset']}: {styled(document['verdict'])}"
    if document["error"]:
        line += f" ({document['error']['kind']}: {document['error']['text']})"
    typer.echo(line)
    for found in document["deviations"]:
        change = change_text(found["item"], found["kind"], found["approved"], found["observed"], found["direction"])
        what = ", ".join([found["severity"], found["category"], *found["techniques"]])
        typer.echo(f"  {change}  [{what}]{kept_back_text(found['suppressed_by'])}")
    for line in gap_lines(document["why_unread"]):
        typer.echo(f"  {line}")
    if document["unapproved"]:
        typer.echo(f"  read, and not in the approved baseline: {', '.join(document['unapproved'])}")
    for key in document["uncertain"]:
        typer.echo(f"  uncertain, says the device: {key}")


def _print_summary(documents: list[Document]) -> None:
    counts: dict[str, int] = {}
    for document in documents:
        counts[document["verdict"]] = counts.get(document["verdict"], 0) + 1
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    typer.echo(f"{len(documents)} asset{'s' * (len(documents) != 1)}: {words}")


def verify(
    key: Annotated[
        str | None, typer.Option(metavar="HEX", help="The public key that the chain has to begin with.")
    ] = None,
    checkpoints: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Checkpoints that were kept elsewhere, also syslog's.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the evidence for a verifier elsewhere.")
    ] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Verify the evidence: the audit chain, its checkpoints, and that all it speaks of is as it says."""
    from monitor import evidence

    with opened(plant_file) as (plant, database):
        result = evidence.verified_in_full(database, plant, key, checkpoints or ())
        if export:
            with database.read() as tx:
                evidence.export(tx, export)
    bad = result.first_bad
    if json:
        first = {"entry": bad.entry, "why": bad.why} if bad else None
        counts = {"entries": result.entries, "checkpoints": result.checkpoints, "ok": bad is None, "first_bad": first}
        print_json(counts | {"flaws": len(result.flaws), "uncovered": result.uncovered, "keys": result.keys})
    elif bad:
        typer.echo(f"entry {bad.entry} does not verify: {bad.why}" if bad.entry is not None else bad.why)
        if len(result.flaws) > 1:
            typer.echo(f"that is the first of {len(result.flaws)} flaws")
    else:
        plural = "s" * (result.checkpoints != 1)
        typer.echo(f"{result.entries} audit entries, {result.checkpoints} checkpoint{plural}, the chain is whole")
        if result.uncovered:
            typer.echo(
                f"{result.uncovered} entries are under no checkpoint from outside: their loss would not be noticed"
            )
    if export and not json:
        typer.echo(f"wrote {export}")
    raise typer.Exit(UNVERIFIED if bad else DONE)
