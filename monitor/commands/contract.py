"""contract: what was allowed at each device, and what was really sent."""

from __future__ import annotations

from typing import Any

import typer

from monitor.accounts import me
from monitor.console import DONE, DRIFT, PLANT_FILE, UNSEEN, Assets, Json, PlantFile, chosen, opened
from monitor.terminal import print_json, print_table, styled

IN_FULL = 3  # devices, unless the call names its assets; of more, a line each

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(contract)


def contract(names: Assets = None, plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """The poll contract, device by device: what was allowed, and what was really sent.

    Polls nobody. Exit code 0: all was kept; 1: a limit was exceeded, or our guard had to stop something; 3: kept, but
    a device was never polled.
    """
    from monitor.contract import ATTEMPTED, EXCEEDED, NEVER_POLLED, ask_for_counts, contracts, worst

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        is_fresh = ask_for_counts(database, me())
        with database.read() as tx:
            found = contracts(tx, plant, wanted)
    if json:
        print_json({"is_fresh": is_fresh, "contracts": found})
    else:
        _print(found, in_full=bool(names) or len(found) <= IN_FULL)
        if not is_fresh:
            typer.echo("the daemon did not give its newest counts; these are as of the times above", err=True)
    codes = {EXCEEDED: DRIFT, ATTEMPTED: DRIFT, NEVER_POLLED: UNSEEN}
    raise typer.Exit(codes.get(worst(found), DONE))


def _print(found: list[Document], in_full: bool) -> None:
    if in_full:
        for document in found:
            _print_in_full(document)
    else:
        _print_table(found)
    verdicts = [document["verdict"] for document in found]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    typer.echo(f"{len(found)} device{'s' * (len(found) != 1)}: {counts or 'nothing is sent to a segment'}")


def _print_in_full(document: Document) -> None:
    from monitor.contract import lines

    typer.echo(f"{document['device']} ({', '.join(document['assets'])}): {styled(document['verdict'])}")
    if document["sent"] is None:
        return
    typer.echo(f"from {document['since']} to {document['until']}")
    rows = [(line.clause, line.allowed, line.sent, line.verdict) for line in lines(document)]
    print_table(["", "allowed", "sent", "verdict"], rows)


def _print_table(found: list[Document]) -> None:
    from monitor.contract import milliseconds

    rows = []
    for document in found:
        sent, allowed, response = document["sent"], document["allowed"], document["response"]
        told = [""] * 7
        if sent is not None:
            told = [
                f"{sent['most_open']} of {allowed['connections']}",
                f"{sent['requests']:,}",
                f"{sent['busiest_second']} of {allowed['in_a_second']}",
                f"{sent['bytes_sent']:,}",
                f"{sent['bytes_received']:,}",
                f"{milliseconds(response['first']['median'])} → {milliseconds(response['recent']['median'])}",
                document["until"],
            ]
        rows.append([document["device"], ", ".join(document["assets"]), *told, document["verdict"]])
    columns = ["device", "assets", "at once", "requests", "in a second", "bytes sent", "received", "median", "as of"]
    print_table([*columns, "verdict"], rows)
