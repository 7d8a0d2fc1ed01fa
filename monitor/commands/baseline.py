"""baseline …: proposing what is there, deciding about it, approving it, comparing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from json import loads
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
    decisions_for,
    objection,
    read_assets,
    read_wishes,
    report,
    rules_of,
    show_decided,
    snapshot_of,
    varying_document,
    varying_text,
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
    from baselines.baseline import Baseline
    from baselines.snapshot import Snapshot
    from monitor.config import Plant
    from monitor.store import Actor, Database, Transaction

SHORTEST_DIGEST = 6  # hex digits by which a digest may be named

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
    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, assets=wanted)
        documents = read_assets(plant, database, wanted, progress(len(wanted), "read"))
        outcome = _propose(plant, database, documents, stage, who, reason, ticket, incomplete)
    report(outcome, json)


def _propose(
    plant: Plant,
    database: Database,
    documents: list[Document],
    stage: Stage,
    who: Actor,
    reason: str,
    ticket: str,
    incomplete: bool,
) -> Document:
    """Propose what was read; what was not is in "refused", each with the reason."""
    from monitor import actions
    from monitor.polling import utc_now
    from monitor.show import baseline_document

    proposed, refused = [], []
    with deciding(plant, database, who) as tx:
        for document in documents:
            name = document["asset"]
            if why := objection(document, incomplete):
                refused.append({"asset": name, "why": why})
                continue
            snapshot, rules = snapshot_of(tx, document), rules_of(plant, name)
            made = actions.propose(tx, snapshot, stage, who, utc_now(), reason, ticket, rules=rules)
            proposed.append(baseline_document(made))
    return {"baselines": proposed, "refused": refused}


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
    from baselines.capture import parse_capture
    from monitor import actions, store
    from monitor.polling import utc_now

    wishes = read_wishes(drop, tolerate, keep, because)
    if not wishes:
        raise CallError("say what is decided: --drop ITEM, --tolerate ITEM=AMOUNT, or --keep ITEM")
    with opened(plant_file) as (plant, database):
        (asset,) = _one(plant, name)
        who = signing(plant, database, by, key, assets=[asset])
        with deciding(plant, database, who) as tx:
            proposed = store.current_baseline(tx, asset, State.PROPOSED)
            record = store.document(tx, proposed.capture) if proposed and proposed.capture else None
            captured = parse_capture(loads(record))[0] if record else ()
            decisions = decisions_for(captured, wishes, who.name)
            named = {wish.key for wish in wishes if not decisions_for(captured, [wish], who.name)}
            if captured and named:
                raise CallError(
                    f"{asset}: nothing was captured of {', '.join(sorted(named))};"
                    f" asbuilt baseline show {asset} lists what was (an item of a profile begins with item.)"
                )
            amended, open_ = actions.decide(tx, asset, decisions, who, because, utc_now(), rules_of(plant, asset))
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
    from monitor import actions
    from monitor.polling import utc_now

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, role, wanted)
        with deciding(plant, database, who, sound=True) as tx:
            found = _proposed(tx, wanted, names)
            if digest and len(found) != 1:
                raise CallError("--digest names one proposal: name one asset")
            approved = [
                actions.approve(
                    tx,
                    name,
                    who,
                    reason,
                    utc_now(),
                    digest,
                    ticket,
                    _part(tx, name, only, without),
                    although_changed,
                    rules_of(plant, name),
                )[0]
                for name in found
            ]
            left = {each.id: _left(tx, plant, each) for each in approved}
    _show_decided(approved, json, left)


def _part(tx: Transaction, name: str, only: list[str] | None, without: list[str] | None) -> set[str] | None:
    """The items that are approved, of an open proposal and of what was approved before; None for all of them."""
    from monitor import store

    if not only and not without:
        return None
    keys: set[str] = set()
    for state in (State.PROPOSED, State.APPROVED):
        if found := store.current_baseline(tx, name, state):
            snapshot = store.baseline_snapshot(tx, found)
            keys |= {*snapshot.by_key, *snapshot.left_out, *(gap.key for gap in snapshot.unread)}
    for pattern in (*(only or ()), *(without or ())):
        if not any(_fits(key, [pattern]) for key in keys):
            raise CallError(f"{name}: neither the proposal nor the baseline has an item {pattern}")
    part = {key for key in keys if (not only or _fits(key, only)) and not _fits(key, without or ())}
    if not part:
        raise CallError(f"{name}: that leaves nothing to approve")
    return part


def _fits(key: str, patterns: Iterable[str]) -> bool:
    return any(key == pattern or fnmatchcase(key, pattern) for pattern in patterns)


def _left(tx: Transaction, plant: Plant, baseline: Baseline) -> tuple[str, ...]:
    """The roles that have still to sign an open proposal off."""
    from monitor import store

    if baseline.state is not State.PROPOSED:
        return ()
    return plant.approval.needed(baseline.stage, store.sign_offs(tx, baseline))


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

    with opened(plant_file) as (plant, database):
        wanted = chosen(plant, names)
        who = signing(plant, database, by, key, assets=wanted)
        with deciding(plant, database, who) as tx:
            found = _proposed(tx, wanted, names)
            rejected = [actions.reject(tx, name, who, reason, utc_now(), rules_of(plant, name)) for name in found]
    _show_decided(rejected, json, {})


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


def _show_decided(decided: list[Baseline], json: bool, left: Mapping[int, tuple[str, ...]]) -> None:
    from monitor.show import baseline_document

    if json:
        documents = [baseline_document(each) | {"to_sign": list(left.get(each.id, ()))} for each in decided]
        return print_json({"baselines": documents})
    for baseline in decided:
        roles = ", ".join(left.get(baseline.id, ()))
        done = f"signed off, still to sign: {roles}" if roles else f"{baseline.state} by {baseline.decided_by}"
        typer.echo(f"{baseline.asset}: {baseline.digest[:12]} {done}")
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
    toml: Annotated[bool, typer.Option("--toml", help="As the text that baseline export writes.")] = False,
    plant_file: PlantFile = PLANT_FILE,
    json: Json = False,
) -> None:
    """What a baseline holds: of an asset the open proposal, or else the approved one."""
    from baselines.capture import parse_capture
    from monitor import store
    from monitor.show import baseline_document, gap_lines, sign_off_document, signed_lines, value_text

    with opened(plant_file) as (plant, database), database.read() as tx:
        baseline, snapshot = _resolve(tx, reference)
        if toml:
            return typer.echo(bundling.toml_of(tx, plant, baseline), nl=False)
        words = store.sign_offs(tx, baseline)
        record = store.document(tx, baseline.capture) if baseline.capture else None
        left = _left(tx, plant, baseline)
    unread = {gap.key: gap.why for gap in snapshot.unread}
    capture = loads(record) if record else None
    if json:
        items = {item.key: item.shown for item in snapshot.items}
        document = baseline_document(baseline) | {"items": items, "unread": list(unread)}
        document["dropped"] = {each.key: each.why for each in snapshot.dropped}
        document["signed"] = [sign_off_document(word) for word in words]
        return print_json(document | {"to_sign": list(left), "capture": capture})
    typer.echo(f"{baseline.asset} {baseline.digest} {baseline.state} ({baseline.stage})")
    for line in signed_lines(baseline, words, left):
        typer.echo(f"  {line}")
    width = max((len(item.key) for item in snapshot.items), default=0)
    for item in snapshot.items:
        notes = [f"± {item.tolerance:g}"] if item.tolerance else []
        notes += [item.category, item.severity]
        value = " ".join([value_text(item.shown), item.unit]).strip()
        typer.echo(f"  {item.key:<{width}}  {value}  [{', '.join(notes)}]")
    for line in (*gap_lines(unread), *(f"dropped ({each.why}): {each.key}" for each in snapshot.dropped)):
        typer.echo(f"  {line}")
    for each in parse_capture(capture)[0] if capture else ():
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
    from baselines.drift import between
    from baselines.rules import assess
    from monitor.show import change_text, deviation_document

    with opened(plant_file) as (_, database), database.read() as tx:
        pairs = _pairs(tx, one, other)
        found = [
            {"asset": left.asset, **deviation_document(finding)}
            for left, right in pairs
            for finding in assess(between(left, replace(right, asset=left.asset)))
        ]
    if json:
        print_json({"a": one, "b": other, "assets": [left.asset for left, _ in pairs], "deviations": found})
    else:
        for row in found:
            change = change_text(row["item"], row["kind"], row["approved"], row["observed"], row["direction"])
            typer.echo(f"{row['asset']}: {change}")
        for name in [left.asset for left, _ in pairs if left.asset not in {row["asset"] for row in found}]:
            typer.echo(f"{name}: no difference")
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
