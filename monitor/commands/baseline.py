"""commission and baseline …: capturing what is there, and approving it."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

from baselines.baseline import Stage, State
from monitor.console import (
    DONE,
    DRIFT,
    PLANT_FILE,
    UNSEEN,
    Assets,
    By,
    Group,
    Json,
    PerhapsWhy,
    PlantFile,
    Why,
    actor,
    chosen,
    me,
    opened,
)
from monitor.errors import CallError, NotNow
from monitor.terminal import print_json, print_table, progress

if TYPE_CHECKING:
    from baselines.baseline import Baseline
    from baselines.snapshot import Snapshot
    from monitor.config import Plant
    from monitor.store import Actor, Database, Transaction

SHORTEST_DIGEST = 6  # hex digits by which a digest may be named

Document = dict[str, Any]
Incomplete = Annotated[bool, typer.Option("--incomplete", help="Also propose what could not be read completely.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=Group, no_args_is_help=True, help="Propose, approve and compare baselines.")
    for command in (propose, approve, reject, list_, show, diff):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="baseline")
    app.command()(commission)


def commission(
    names: Assets = None,
    stage: Annotated[Stage, typer.Option(help="When in the plant's life this is.")] = Stage.AS_FOUND,
    captures: Annotated[int, typer.Option(min=1, help="How many times to read everything.")] = 3,
    every: Annotated[str, typer.Option(help="The time between two captures.")] = "10s",
    incomplete: Incomplete = False,
    by: By = "",
    reason: PerhapsWhy = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Capture a baseline: read everything several times, show what varies by itself, propose the last reading."""
    from collectors.written import seconds

    try:
        pause = seconds(every)
    except ValueError as error:
        raise CallError(f"--every: {error}") from None
    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        step = progress(captures * len(wanted), "read")
        series: dict[str, list[Document]] = {name: [] for name in wanted}
        for capture in range(captures):
            if capture:
                time.sleep(pause)
            for document in _poll(plant, database, wanted, step):
                series[document["asset"]].append(document)
        last = [documents[-1] for documents in series.values()]
        outcome = _propose(database, last, stage, actor(by), reason, incomplete)
    outcome["varying"] = [row for name, documents in series.items() for row in _varying(name, documents)]
    outcome["captures"] = captures
    _report(outcome, json)


def _varying(name: str, documents: list[Document]) -> list[Document]:
    """The items of an asset that were not the same in every capture."""
    captured = [document["items"] for document in documents if not document["error"]]
    keys = sorted({key for items in captured for key in items})
    rows = []
    for key in keys:
        values = [items[key] for items in captured if key in items]
        changes = sum(one != other for one, other in pairwise(values))
        if changes:
            rows.append({"asset": name, "item": key, "values": values, "changes": changes})
    return rows


def propose(
    names: Assets = None,
    stage: Annotated[Stage, typer.Option(help="When in the plant's life this is.")] = Stage.AS_FOUND,
    incomplete: Incomplete = False,
    by: By = "",
    reason: PerhapsWhy = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Read once and propose what is there as the baseline."""
    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        documents = _poll(plant, database, wanted, progress(len(wanted), "read"))
        outcome = _propose(database, documents, stage, actor(by), reason, incomplete)
    _report(outcome, json)


def _poll(plant: Plant, database: Database, wanted: list[str], step: Any) -> list[Document]:
    from monitor import logs
    from monitor.polling import poll_assets

    logs.set_up()
    return poll_assets(plant, database, wanted, me(), step)


def _propose(
    database: Database, documents: list[Document], stage: Stage, who: Actor, reason: str, incomplete: bool
) -> Document:
    """Propose what was read; what was not is in "refused", each with the reason."""
    from monitor import actions
    from monitor.polling import utc_now
    from monitor.show import baseline_document

    proposed, refused = [], []
    with database.write() as tx:
        for document in documents:
            why = _objection(document, incomplete)
            if why:
                refused.append({"asset": document["asset"], "why": why})
                continue
            snapshot = _snapshot(tx, document)
            proposed.append(baseline_document(actions.propose(tx, snapshot, stage, who, utc_now(), reason)))
    return {"baselines": proposed, "refused": refused}


def _objection(document: Document, incomplete: bool) -> str:
    if document["error"]:
        return f"{document['error']['kind']}: {document['error']['text']}"
    if document["unread"] and not incomplete:
        gaps = ", ".join(f"{key} ({why})" for key, why in document["why_unread"].items())
        return f"not everything was read: {gaps}; mend it, or propose it as it is with --incomplete"
    return ""


def _snapshot(tx: Transaction, document: Document) -> Snapshot:
    from datetime import datetime

    from monitor import store

    taken_at = datetime.fromisoformat(document["taken_at"])
    return store.snapshot_of(tx, document["asset"], document["digest"], taken_at, document["profile_digest"])


def _report(outcome: Document, json: bool) -> None:
    if json:
        print_json(outcome)
    else:
        for row in outcome.get("varying", ()):
            values = ", ".join(map(str, dict.fromkeys(map(str, row["values"]))))
            typer.echo(f"{row['asset']}: {row['item']} varies by itself ({values}): before approving, give it a")
            typer.echo("  tolerance in the profile, or take it out: what varies is no configuration")
        for document in outcome["baselines"]:
            typer.echo(f"{document['asset']}: proposed {document['digest'][:12]} ({document['stage']})")
        for refusal in outcome["refused"]:
            typer.echo(f"{refusal['asset']}: not proposed: {refusal['why']}")
        if outcome["baselines"]:
            typer.echo("look at it with asbuilt baseline show, then asbuilt baseline approve ASSET --reason …")
    raise typer.Exit(UNSEEN if outcome["refused"] else DONE)


def approve(
    names: Annotated[list[str], typer.Argument(metavar="ASSET...")],
    reason: Why,
    by: By = "",
    digest: Annotated[str | None, typer.Option(help="Approve only if the proposal is this one.")] = None,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Approve the open proposals of assets: all that are named, or none; of a pattern, those that there are."""
    from monitor import actions
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database), database.write() as tx:
        wanted = _proposed(tx, plant, names)
        if digest and len(wanted) != 1:
            raise CallError("--digest names one proposal: name one asset")
        approved = [actions.approve(tx, name, actor(by), reason, utc_now(), digest)[0] for name in wanted]
    _show_decided(approved, json)


def reject(
    names: Annotated[list[str], typer.Argument(metavar="ASSET...")],
    reason: Why,
    by: By = "",
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """Reject the open proposals of assets: all that are named, or none; of a pattern, those that there are."""
    from monitor import actions
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database), database.write() as tx:
        rejected = [actions.reject(tx, name, actor(by), reason, utc_now()) for name in _proposed(tx, plant, names)]
    _show_decided(rejected, json)


def _proposed(tx: Transaction, plant: Plant, names: list[str]) -> list[str]:
    """The assets that are named, and of those that a pattern stands for the ones with an open proposal."""
    from monitor import store

    wanted = chosen(plant, names)
    proposed = {baseline.asset for baseline in store.baselines(tx, wanted, State.PROPOSED)}
    found = [name for name in wanted if name in names or name in proposed]
    if not found:
        raise NotNow("none of these assets has an open proposal; make them with asbuilt commission")
    for name in wanted:
        if name not in found:
            typer.echo(f"{name}: no open proposal; left as it is", err=True)
    return found


def _show_decided(decided: list[Baseline], json: bool) -> None:
    from monitor.show import baseline_document

    if json:
        return print_json({"baselines": [baseline_document(baseline) for baseline in decided]})
    for baseline in decided:
        typer.echo(f"{baseline.asset}: {baseline.digest[:12]} {baseline.state} by {baseline.decided_by}")
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
    reference: Annotated[str, typer.Argument(metavar="ASSET | ASSET@STAGE | DIGEST")],
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What a baseline holds: of an asset the open proposal, or else the approved one."""
    from monitor.show import baseline_document, gap_lines, value_text

    with opened(plant_file) as (_, database), database.read() as tx:
        baseline, snapshot = _resolve(tx, reference)
    unread = {gap.key: gap.why for gap in snapshot.unread}
    if json:
        items = {item.key: item.shown for item in snapshot.items}
        return print_json(baseline_document(baseline) | {"items": items, "unread": list(unread)})
    typer.echo(f"{baseline.asset} {baseline.digest} {baseline.state} ({baseline.stage})")
    width = max((len(item.key) for item in snapshot.items), default=0)
    for item in snapshot.items:
        notes = [f"± {item.tolerance:g}"] if item.tolerance else []
        notes += [item.category, item.severity]
        value = " ".join([value_text(item.shown), item.unit]).strip()
        typer.echo(f"  {item.key:<{width}}  {value}  [{', '.join(notes)}]")
    for line in gap_lines(unread):
        typer.echo(f"  {line}")
    return None


def diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A digest, a stage, or asset@stage.")],
    other: Annotated[str, typer.Argument(metavar="B")],
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What differs between two baselines; between two stages, for every asset that has both."""
    from baselines.drift import compare
    from baselines.rules import assess
    from monitor.show import change_text, deviation_document

    with opened(plant_file) as (_, database), database.read() as tx:
        pairs = _pairs(tx, one, other)
        found = [
            {"asset": left.asset, **deviation_document(finding)}
            for left, right in pairs
            for finding in assess(compare(left, replace(right, asset=left.asset)))
        ]
    if json:
        print_json({"a": one, "b": other, "assets": [left.asset for left, _ in pairs], "deviations": found})
    else:
        for row in found:
            change = change_text(row["item"], row["kind"], row["approved"], row["observed"], row["direction"])
            typer.echo(f"{row['asset']}: {change}")
        if not found:
            typer.echo("no difference")
    raise typer.Exit(DRIFT if found else DONE)


def _pairs(tx: Transaction, one: str, other: str) -> list[tuple[Snapshot, Snapshot]]:
    from monitor import store

    stages = {stage.value for stage in Stage}
    if (one in stages) != (other in stages):
        raise CallError("a stage is compared with a stage: write both, or asset@stage on both sides")
    if one not in stages:
        return [(_resolve(tx, one)[1], _resolve(tx, other)[1])]
    of_stage = {
        stage: {
            each.asset: each for each in store.baselines(tx) if each.stage == stage and each.state != State.REJECTED
        }
        for stage in (one, other)
    }
    both = [asset for asset in of_stage[one] if asset in of_stage[other]]
    if not both:
        raise NotNow(f"no asset has a baseline of stage {one} and one of stage {other}")
    return [
        (store.baseline_snapshot(tx, of_stage[one][asset]), store.baseline_snapshot(tx, of_stage[other][asset]))
        for asset in both
    ]


def _resolve(tx: Transaction, reference: str) -> tuple[Baseline, Snapshot]:
    """The newest baseline that a reference names, and what it holds."""
    from monitor import store

    everything = store.baselines(tx)
    asset, at, stage = reference.rpartition("@")
    if at:
        fitting = [each for each in everything if each.asset == asset and each.stage == stage]
        fitting = [each for each in fitting if each.state is not State.REJECTED]
    else:
        fitting = [
            each for each in everything if each.asset == reference and each.state in (State.PROPOSED, State.APPROVED)
        ]
    if not fitting and len(reference) >= SHORTEST_DIGEST:
        fitting = [each for each in everything if each.digest.startswith(reference.lower())]
        if len({each.digest for each in fitting}) > 1:
            raise CallError(f"{reference} begins more than one digest; write more of it")
    if not fitting:
        raise CallError(f"no baseline is named {reference}; asbuilt baseline list shows them")
    return fitting[-1], store.baseline_snapshot(tx, fitting[-1])
