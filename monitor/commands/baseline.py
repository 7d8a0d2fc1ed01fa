"""baseline …: proposing what is there, deciding about it, approving it, comparing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.baseline import Stage, State
from monitor.commands import bundling
from monitor.commands.commissioning import (
    Because,
    Drop,
    Incomplete,
    Keep,
    Tolerate,
    read_assets,
    read_wishes,
    report,
    show_decided,
)
from monitor.console import (
    DONE,
    DRIFT,
    PLANT_FILE,
    Assets,
    By,
    Group,
    Json,
    KeyFile,
    PerhapsWhy,
    PlantFile,
    Role,
    Ticket,
    Why,
    chosen,
    deciding,
    opened,
    signing,
)
from monitor.errors import CallError, NotNow
from monitor.terminal import print_json, print_table, progress

if TYPE_CHECKING:
    from monitor.config import Plant
    from monitor.store import Transaction

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Propose, approve and compare baselines.")
    for command in (propose, decide, approve, reject, list_, show, diff):
        group.command(command.__name__.rstrip("_"))(command)
    bundling.register(group)
    app.add_typer(group, name="baseline")


def propose(
    names: Assets = None,
    stage: Annotated[Stage, typer.Option(help="When in the plant's life this is.")] = Stage.AS_FOUND,
    incomplete: Incomplete = False,
    by: By = "",
    key: KeyFile = None,
    reason: PerhapsWhy = "",
    ticket: Ticket = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Read once and propose what is there as the baseline."""
    from monitor.polling import utc_now
    from monitor.proposing import propose_read

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, assets=wanted)
        documents = read_assets(plant, database, wanted, progress(len(wanted), "read"))
        with deciding(plant, database, who) as tx:
            outcome = propose_read(tx, plant, documents, stage, who, utc_now(), reason, ticket, incomplete)
    report(outcome, json)


def decide(
    name: Annotated[str, typer.Argument(metavar="ASSET")],
    because: Because,
    drop: Drop = None,
    tolerate: Tolerate = None,
    keep: Keep = None,
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Decide about items of an open proposal that varied when it was captured: another proposal takes its place."""
    from monitor import proposing
    from monitor.polling import utc_now

    wishes = read_wishes(drop, tolerate, keep, because)
    if not wishes:
        raise CallError("say what is decided: --drop ITEM, --tolerate ITEM=AMOUNT, or --keep ITEM")
    with opened(plant_file) as (plant, database):
        (asset,) = _one(plant, name)
        who = signing(plant, database, by, key, assets=[asset])
        with deciding(plant, database, who) as tx:
            amended, open_ = proposing.decide(tx, plant, asset, wishes, who, because, utc_now())
    show_decided(amended, open_, json)


def _one(plant: Plant, name: str) -> list[str]:
    wanted = chosen(plant, [name])
    if len(wanted) != 1:
        raise CallError(f"{name} names {len(wanted)} assets; name one")
    return wanted


def approve(
    names: Annotated[list[str], typer.Argument(metavar="ASSET...")],
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    role: Role = "",
    ticket: Ticket = "",
    digest: Annotated[str | None, typer.Option(help="Approve only if the proposal is this one.")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ITEM", help="Approve only these items, names or patterns.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="ITEM", help="Approve all items but these.")
    ] = None,
    although_changed: Annotated[
        bool, typer.Option("--although-changed", help="Also if what was read since differs from the proposal.")
    ] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Approve the open proposals of assets: all that are named, or none; of a pattern, those that there are."""
    from monitor import proposing
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, role, wanted)
        with deciding(plant, database, who, sound=True) as tx:
            found = _proposed(tx, wanted, names)
            if digest and len(found) != 1:
                raise CallError("--digest names one proposal: name one asset")
            word = proposing.Word(reason, ticket, digest, only, without, None, although_changed)
            approved = [proposing.approve(tx, plant, name, who, word, utc_now()) for name in found]
            decided = proposing.decided_document(tx, plant, approved)
    _show_decided(decided, json)


def reject(
    names: Annotated[list[str], typer.Argument(metavar="ASSET...")],
    reason: Why,
    by: By = "",
    key: KeyFile = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Reject the open proposals of assets: all that are named, or none; of a pattern, those that there are."""
    from monitor import actions
    from monitor.polling import utc_now
    from monitor.proposing import decided_document, rules_of

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, assets=wanted)
        with deciding(plant, database, who) as tx:
            found = _proposed(tx, wanted, names)
            rejected = [actions.reject(tx, name, who, reason, utc_now(), rules_of(plant, name)) for name in found]
            decided = decided_document(tx, plant, rejected)
    _show_decided(decided, json)


def _proposed(tx: Transaction, wanted: list[str], names: list[str]) -> list[str]:
    """The assets that are named, and of those that a pattern stands for the ones with an open proposal."""
    from monitor import store

    proposed = {baseline.asset for baseline in store.baselines(tx, wanted, State.PROPOSED)}
    found = [name for name in wanted if name in names or name in proposed]
    if not found:
        raise NotNow("none of these assets has an open proposal; make them with asbuilt commission")
    for name in wanted:
        if name not in found:
            typer.echo(f"{name}: no open proposal; left as it is", err=True)
    return found


def _show_decided(decided: Document, json: bool) -> None:
    if json:
        return print_json(decided)
    for row in decided["baselines"]:
        roles, by = ", ".join(row["to_sign"]), row["approved_by"] or row["rejected_by"]
        done = f"signed off, still to sign: {roles}" if roles else f"{row['state']} by {by}"
        typer.echo(f"{row['asset']}: {row['digest'][:12]} {done}")
    return None


def list_(
    names: Assets = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """The baselines and who approved them, the oldest first."""
    from monitor import store
    from monitor.show import baseline_document

    with opened(plant_file) as (plant, database), database.read() as tx:
        wanted = chosen(plant, names) if names else []
        documents = [baseline_document(baseline) for baseline in store.baselines(tx, wanted, state)]
    if json:
        return print_json({"baselines": documents})
    columns = ("asset", "digest", "state", "stage", "proposed", "by", "approved", "by", "reason")
    keys = ("asset", "digest", "state", "stage", "proposed_at", "proposed_by", "approved_at", "approved_by", "reason")
    rows = [[str(document[key] or "–") for key in keys] for document in documents]
    return print_table(columns, [[row[0], row[1][:12], *row[2:]] for row in rows])


def show(
    reference: Annotated[str, typer.Argument(metavar="ASSET | ASSET@STAGE | ASSET@DIGEST | DIGEST")],
    toml: Annotated[bool, typer.Option("--toml", help="As the text that baseline export writes.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What a baseline holds: of an asset the open proposal, or else the approved one."""
    from monitor import proposing, store
    from monitor.commissioning import varying_document, varying_text
    from monitor.show import gap_lines, signed_lines, value_text

    with opened(plant_file) as (plant, database), database.read() as tx:
        baseline, snapshot = proposing.resolve(tx, reference)
        if toml:
            return typer.echo(bundling.toml_of(tx, plant, baseline), nl=False)
        if json:
            return print_json(proposing.shown_document(tx, plant, baseline, snapshot))
        words, left = store.sign_offs(tx, baseline), proposing.to_sign(tx, plant, baseline)
        captured = proposing.captured_of(tx, baseline)[0]
    typer.echo(f"{baseline.asset} {baseline.digest} {baseline.state} ({baseline.stage})")
    for line in signed_lines(baseline, words, left):
        typer.echo(f"  {line}")
    width = max((len(item.key) for item in snapshot.items), default=0)
    for item in snapshot.items:
        notes = [f"± {item.tolerance:g}"] if item.tolerance else []
        notes += [item.category, item.severity]
        value = " ".join([value_text(item.shown), item.unit]).strip()
        typer.echo(f"  {item.key:<{width}}  {value}  [{', '.join(notes)}]")
    unread = {gap.key: gap.why for gap in snapshot.unread}
    for line in (*gap_lines(unread), *(f"dropped ({each.why}): {each.key}" for each in snapshot.dropped)):
        typer.echo(f"  {line}")
    for each in captured:
        if each.sort == "varying" and each.key not in snapshot.by_key and each.key not in snapshot.left_out:
            typer.echo(f"  left out: {varying_text(varying_document(baseline.asset, each, True))}")
    return None


def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A digest, a stage, or asset@stage.")],
    other: Annotated[str, typer.Argument(metavar="B")],
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What differs between two baselines; between two stages, for every asset that has both."""
    from monitor.proposing import differences_document
    from monitor.show import change_text

    with opened(plant_file) as (_, database), database.read() as tx:
        document = differences_document(tx, one, other)
    found = document["deviations"]
    if json:
        print_json(document)
    else:
        for row in found:
            change = change_text(row["item"], row["kind"], row["approved"], row["observed"], row["direction"])
            typer.echo(f"{row['asset']}: {change}")
        for name in [name for name in document["assets"] if name not in {row["asset"] for row in found}]:
            typer.echo(f"{name}: no difference")
    raise typer.Exit(DRIFT if found else DONE)
