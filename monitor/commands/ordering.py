"""change …: announcing what will change, and closing it by what did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.commissioning import read_assets
from monitor.console import (
    DONE,
    DRIFT,
    LARGEST_ID,
    PLANT_FILE,
    UNSEEN,
    By,
    Group,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    chosen,
    cleaned,
    deciding,
    opened,
    required,
    signing,
)
from monitor.moments import moment
from monitor.terminal import print_json, print_table, progress

if TYPE_CHECKING:
    from baselines.change import Order

Number = Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST_ID)]
Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Change orders: what was announced, and was it done?")
    for command in (open_, list_, show, close):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="change")


def open_(
    assets: Annotated[list[str], typer.Option("--asset", metavar="ASSET", help="Of which asset; may be repeated.")],
    expect: Annotated[
        list[str], typer.Option("--expect", metavar="ITEM=VALUE", help="Once for each item; ITEM=* is any other value.")
    ],
    until: Annotated[str, typer.Option(metavar="T", help="When the work will be done: ISO 8601, or +2h from now.")],
    ticket: Annotated[
        str, typer.Option("--ticket", metavar="TEXT", help="The ticket that it belongs to.", callback=required)
    ],
    from_: Annotated[str, typer.Option("--from", metavar="T", help="When the work begins.")] = "now",
    reason: PerhapsWhy = "",
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Announce what will change, and when. While the window lasts, just these changes raise no alarm that sounds; they
    are suppressed, and on record. Prints the order's number."""
    from monitor import ordering
    from monitor.polling import utc_now
    from monitor.proposing import rules_of

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, assets)
        who, now = signing(plant, database, by, key, assets=wanted), utc_now()
        rules = {name: rules_of(plant, name) for name in wanted}
        window = moment(from_, now), moment(until, now)
        with deciding(plant, database, who) as tx:
            order = ordering.open_order(tx, wanted, map(cleaned, expect), *window, ticket, reason, who, now, rules)
    if json:
        return print_json(_document(order))
    typer.echo(f"{order.id}")
    for line in _lines(order):
        typer.echo(line, err=True)
    return None


def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are closed.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """The open orders, the oldest first."""
    from baselines.change import OrderState
    from monitor import store

    with opened(plant_file) as (_, database), database.read() as tx:
        orders = store.orders(tx, None if everything else OrderState.OPEN)
    documents = [_document(order) for order in orders]
    if json:
        return print_json({"orders": documents})
    if not documents:
        return typer.echo("no change order" if everything else "no open change order")
    columns = ("id", "state", "ticket", "from", "until", "opened by", "what")
    return print_table(columns, [_row(order, document) for order, document in zip(orders, documents, strict=True)])


def _row(order: Order, document: Document) -> list[str]:
    what = "; ".join(f"{each.asset}: {each.item} → {_shown(each.expected)}" for each in order.expectations)
    state = document["state"] if not document["overdue"] else "overdue"
    return [str(order.id), state, order.ticket, document["from"], document["until"], order.opened_by, what]


def show(number: Number, plant_file: PlantFile = PLANT_FILE, json: Json = False) -> None:
    """One order: what was expected, and once it is closed what became of it."""
    from monitor import ordering

    with opened(plant_file) as (_, database), database.read() as tx:
        order = ordering.order_of(tx, number)
    if json:
        return print_json(_document(order))
    for line in _lines(order):
        typer.echo(line)
    return None


def close(
    number: Number,
    by: By = "",
    key: KeyFile = None,
    as_seen: Annotated[
        bool, typer.Option("--as-seen", help="Also if an asset cannot be read now: by what was seen of it last.")
    ] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Read the order's assets, and close it by what was seen: as planned, partial, missing, outside of the window, and
    what nobody had declared. Only where exactly the declared was done, it is proposed as the new baseline."""
    from monitor import ordering
    from monitor.polling import utc_now
    from monitor.proposing import rules_of
    from monitor.show import baseline_document

    with opened(plant_file) as (plant, database):
        with database.read() as tx:
            order = ordering.open_order_of(tx, number)
        who = signing(plant, database, by, key, assets=order.assets)
        here = [name for name in order.assets if name in (*plant.assets, *plant.segments)]
        documents = read_assets(plant, database, here, progress(len(here), "read")) if here else []
        gaps = [f"{name} is not in {plant.path} any more" for name in order.assets if name not in here]
        gaps += [gap for document in documents for gap in _gaps(order, document)]
        if gaps and not as_seen:
            for gap in gaps:
                typer.echo(f"asbuilt: {gap}", err=True)
            typer.echo(f"asbuilt: order {number} stays open; --as-seen closes it by what was seen last", err=True)
            raise typer.Exit(UNSEEN)
        rules = {name: rules_of(plant, name) for name in order.assets}
        with deciding(plant, database, who, sound=True) as tx:
            closed = ordering.close_order(tx, number, who, utc_now(), rules)
    proposed = [baseline_document(each) for each in closed.proposed]
    if json:
        print_json(_document(closed.order) | {"baselines": proposed})
    else:
        for line in _lines(closed.order):
            typer.echo(line)
        for document in proposed:
            typer.echo(f"{document['asset']}: proposed {document['digest'][:12]}; see asbuilt baseline approve")
    raise typer.Exit(DONE if closed.order.as_planned else DRIFT)


def _gaps(order: Order, document: Document) -> list[str]:
    """What of an order could not be seen now."""
    name = document["asset"]
    if document["error"]:
        return [f"{name} could not be read: {document['error']['kind']}: {document['error']['text']}"]
    missing = sorted(order.items(name) & set(document["unread"]))
    return [f"{name}: {key} could not be read: {document['why_unread'].get(key, 'no answer')}" for key in missing]


def _document(order: Order) -> Document:
    from baselines.snapshot import utc_text
    from monitor.polling import utc_now

    return {
        "id": order.id,
        "state": order.state,
        "ticket": order.ticket,
        "reason": order.reason,
        "from": utc_text(order.starts_at),
        "until": utc_text(order.ends_at),
        "overdue": order.state == "open" and order.ends_at < utc_now(),
        "opened_by": order.opened_by,
        "opened_at": utc_text(order.opened_at),
        "closed_by": order.closed_by,
        "closed_at": utc_text(order.closed_at) if order.closed_at else None,
        "expectations": [
            {
                "asset": each.asset,
                "item": each.item,
                "expected": each.expected,
                "observed": each.observed,
                "outcome": each.outcome,
            }
            for each in order.expectations
        ],
        "excess": [
            {"asset": each.asset, "item": each.item, "approved": each.approved, "observed": each.observed}
            for each in order.excess
        ],
    }


def _lines(order: Order) -> list[str]:
    from baselines.snapshot import utc_text

    window = f"{utc_text(order.starts_at)} to {utc_text(order.ends_at)}"
    lines = [f"order {order.id} ({order.ticket}) is {order.state}; its window is {window}"]
    for each in order.expectations:
        end = f": {each.outcome}" if each.outcome else ""
        if each.outcome and each.outcome != "as-planned":
            end += f" (it is {_shown(each.observed)})"
        lines.append(f"  {each.asset}: {each.item} → {_shown(each.expected)}{end}")
    lines += [
        f"  {more.asset}: {more.item}: nobody declared {_shown(more.approved)} → {_shown(more.observed)}"
        for more in order.excess
    ]
    return lines


def _shown(value: Any) -> str:
    from monitor.show import value_text

    return "any other value" if value == "*" else "nothing" if value is None else value_text(value)
