"""assets …: the inventory, and how assets come into plant.toml: from what was heard, or from a list. What becomes of
them later is in `lives`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands import lives
from monitor.commands.network import hear_capture
from monitor.console import PLANT_FILE, Group, Json, PlantFile, described, opened
from monitor.errors import CallError, NotNow
from monitor.terminal import print_json, print_table

if TYPE_CHECKING:
    from baselines.snapshot import Snapshot
    from monitor.adopting import Proposal
    from monitor.config import Plant, Watched
    from monitor.entries import Entry

Document = dict[str, Any]
Write = Annotated[bool, typer.Option("--write", help="Add them to the plant's description, instead of printing them.")]
SHARED = {"plant_file": "--plant", "json": "--json", "everything": "--all"}


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, invoke_without_command=True, callback=assets)
    group.command()(adopt)
    group.command("import")(import_)
    lives.register(group)
    app.add_typer(group, name="assets")


def assets(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are retired.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """The inventory: every asset, what it said it is, and how it stands. Its commands bring assets in, and say what
    becomes of them."""
    if context.invoked_subcommand is None:
        return _show_inventory(plant_file, everything, json)
    for name, option in SHARED.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":  # which the command would not see
            raise CallError(f"write {option} behind {context.invoked_subcommand}")
    return None


def _show_inventory(plant_file: Path, everything: bool, json: bool) -> None:
    from monitor.board import inventory, retired
    from monitor.polling import return_due, utc_now

    with opened(plant_file) as (plant, database):
        return_due(plant, database)
        with database.read() as tx:
            documents = inventory(tx, plant, utc_now())
            documents += retired(tx, plant, utc_now()) if everything else []
    if json:
        return print_json({"assets": documents})
    columns = ("asset", "verdict", "manufacturer", "model", "firmware", "serial number", "zone", "last seen")
    return print_table(columns, [_asset_row(document) for document in documents])


def _asset_row(document: Document) -> list[str]:
    from monitor.show import value_text

    identity = document["identity"]
    model = identity["model"] or identity["product_code"]
    said = (identity["manufacturer"], model, identity["software_revision"], identity["serial_number"])
    shown = [value_text(value) if value is not None else "–" for value in said]
    return [document["asset"], _standing(document), *shown, document["zone"], document["last_seen"] or "never"]


def _standing(document: Document) -> str:
    if document["retired_at"]:
        return f"retired {document['retired_at']}"
    out = document["out_of_service"]
    return f"{document['verdict']}, out of service until {out['until']}" if out else str(document["verdict"])


def adopt(
    segment: Annotated[str | None, typer.Argument(metavar="SEGMENT", help="A segment of the plant.")] = None,
    capture: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Hear a capture instead of what the daemon has heard.")
    ] = None,
    write: Write = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Propose entries for the PLCs that were heard on a segment, or in a capture. Sends nothing to anybody."""
    from baselines.snapshot import utc_text
    from monitor.adopting import propose

    plant = described(plant_file)
    watched = _segment(plant, segment) if segment is not None else None
    if capture is not None:
        heard = _heard_in(capture)
    elif watched is not None:
        heard = _heard_on(plant_file, watched.asset.name)
    else:
        raise CallError(f"say of which segment ({_segments(plant)}), or of which capture with --from FILE")
    where, until = capture or heard.asset, utc_text(heard.taken_at)
    proposal = propose(heard, plant, watched.asset.zone if watched else "")
    if not proposal.hosts:
        raise NotNow(f"no host was heard on {where}: see that a mirror (SPAN) port or a TAP is what is listened to")
    entries = [found.entry for found in proposal.adoptable]
    text = _proposed_text(proposal, where, until)
    written = _written(plant_file, text if entries else "") if write else None
    if json:
        return print_json(_proposal_document(proposal, segment, capture, until, text, written))
    if not write:
        typer.echo((text + _unpolled_text(proposal)).encode(), nl=False)
    _say_rest(proposal, where, hosts_named=write)
    return _say_written(entries, written, write, plant_file)


def _segment(plant: Plant, name: str) -> Watched:
    if name not in plant.segments:
        raise CallError(f"{plant.path} names no segment {name}; {_segments(plant)}")
    return plant.segments[name]


def _segments(plant: Plant) -> str:
    names = ", ".join(plant.segments)
    return f"it has {names}" if names else "it has none yet: add a [segment.NAME] table with the interface to listen at"


def _heard_on(plant_file: Path, segment: str) -> Snapshot:
    """What the daemon has last stored of a segment."""
    from monitor import store

    with opened(plant_file) as (_, database), database.read() as tx:
        run = store.last_run(tx, segment, observed=True)
        if run is None or run.digest is None:
            deaf = store.last_run(tx, segment)
            why = f" ({deaf.cause_text})" if deaf else ""
            raise NotNow(
                f"nothing was heard on {segment} yet{why}: let asbuilt run listen, or hear a capture with --from"
            )
        return store.snapshot_of(tx, segment, run.digest, run.last_at, run.profile or "")


def _heard_in(capture: str) -> Snapshot:
    """A capture as the snapshot of a segment of its name."""
    from datetime import UTC, datetime

    from monitor.segment import Segment
    from monitor.wire import moment

    read, heard = hear_capture(capture, lambda event: None)
    if read.truncated:
        typer.echo(f"{capture} is cut short or broken: {read.why}. What could be read counts.", err=True)
    end = max((moment(host.last_at) for host in heard.hosts), default=moment(0))
    whole = Segment(capture, end - datetime.min.replace(tzinfo=UTC))
    whole.hear(heard)
    return whole.snapshot(None, end)


def _proposed_text(proposal: Proposal, where: str, until: str) -> str:
    from monitor.entries import comment, entries_text

    if not proposal.adoptable:
        return ""
    about = comment(f"Heard on {where} until {until}; of Modbus devices unit 1 is assumed, for units are not kept.")
    return f"\n{about}{entries_text(found.entry for found in proposal.adoptable)}"


def _unpolled_text(proposal: Proposal) -> str:
    from monitor.entries import comment, commented_out

    if not proposal.unpolled:
        return ""
    return f"\n{comment('Heard, and cannot be polled yet:')}{commented_out(found.entry for found in proposal.unpolled)}"


def _say_rest(proposal: Proposal, where: str, hosts_named: bool) -> None:
    """What was heard and is not proposed, on standard error; those that cannot be polled by name if `hosts_named`."""
    from monitor.entries import printable

    for known in proposal.known:
        there = printable(", ".join(f"{name} ({address})" for name, address in known.assets.items()))
        typer.echo(f"{' '.join(known.host.ips)} is not proposed, for there is {there}", err=True)
    for found in proposal.unpolled if hosts_named else ():
        spoken = ", ".join(found.host.unpolled)
        typer.echo(f"{printable(found.entry.name)} ({found.host.key}) cannot be polled yet: {spoken}", err=True)
    counts = f"{len(proposal.adoptable)} proposed, {len(proposal.known)} there already"
    counts += f", {len(proposal.unpolled)} cannot be polled yet"
    typer.echo(f"{proposal.hosts} host{'s' * (proposal.hosts != 1)} heard on {where}: {counts}", err=True)


def _proposal_document(
    proposal: Proposal, segment: str | None, capture: str | None, until: str, text: str, written: str | None
) -> Document:
    from monitor.adopting import host_document

    return {
        "segment": segment,
        "capture": capture,
        "heard_until": until,
        "hosts": proposal.hosts,
        "assets": [_entry_document(found.entry) | {"heard": host_document(found.host)} for found in proposal.adoptable],
        "known": [{"assets": list(known.assets), "heard": host_document(known.host)} for known in proposal.known],
        "unpolled": [
            {"asset": found.entry.name, "protocols": list(found.host.unpolled), "heard": host_document(found.host)}
            for found in proposal.unpolled
        ],
        "toml": text,
        "written": written,
    }


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a row of headings: name, address, zone …")],
    write: Write = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Entries for the assets of a list: name and address (or ip, protocol, port, unit), and what else is known."""
    from monitor.entries import entries_text, printable
    from monitor.listed import read_list

    plant = described(plant_file)
    listed = read_list(file, plant)
    if listed.ignored:
        typer.echo(f"ignored, for asbuilt knows no such column: {printable(', '.join(listed.ignored))}", err=True)
    text = entries_text(listed.entries)
    written = _written(plant_file, text) if write else None
    if json:
        assets = [_entry_document(entry) for entry in listed.entries]
        return print_json({"assets": assets, "ignored": list(listed.ignored), "toml": text, "written": written})
    if not write:
        typer.echo(text.encode(), nl=False)
    return _say_written(listed.entries, written, write, plant_file)


def _entry_document(entry: Entry) -> Document:
    return {"asset": entry.name, **entry.keys}


def _written(plant_file: Path, text: str) -> str | None:
    """Add the text to plant.toml; the path of what was written, None where there is nothing to write."""
    from monitor.entries import append

    if not text:
        return None
    append(plant_file, text)
    return str(plant_file)


def _say_written(entries: Iterable[Entry], written: str | None, write: bool, plant_file: Path) -> None:
    from monitor.entries import printable

    if written:
        for entry in entries:
            typer.echo(f"{printable(entry.name)}: added, {entry.keys['address']}")
        typer.echo(
            f"look over {written}, try asbuilt poll, and have asbuilt run read it: systemctl reload asbuilt, or SIGHUP"
        )
    elif write:
        typer.echo(f"{plant_file} is left as it is: there is nothing to add")
