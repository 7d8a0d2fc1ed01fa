"""What was commissioned and what is missing, who has still to sign, and the sheet for signing on paper."""

from __future__ import annotations

from collections.abc import Iterator

from baselines.baseline import Stage, State
from monitor import store
from monitor.report.document import Cell, Column, Facts, Finding, Form, Section, Table, Text, Weight
from monitor.report.dossier import ASSET, STAGE, Dossier, dossier, standing
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.store import Transaction

HANDOVER, SIGNING = "handover", "signing"
OF_EVERY_ASSET = (Stage.FAT, Stage.SAT)
ANYBODY = "an approver"  # where plant.toml names no role for a stage
BLANK = " "  # a cell to be written into, with a pen
RECEIVED = "has received this dossier, with its annexes"  # on several lines, so that there is room for a hand
PARTIES = ("machine builder", "customer")

StageRow = tuple[str, int, int, int, int, int, int]

BY_STAGE = (
    Column("stage", "Stage"),
    Column("assets", "Assets in scope", Form.NUMBER),
    Column("approved", "Approved", Form.NUMBER),
    Column("imported", "of these elsewhere", Form.NUMBER),
    Column("proposed", "Only proposed", Form.NUMBER),
    Column("nothing", "Nothing", Form.NUMBER),
    Column("rejected", "Rejected proposals", Form.NUMBER),
)
BY_ASSET = (ASSET, Column("zone", "Zone"), *(Column(stage.value, stage.value, Form.STATE, 0.9) for stage in Stage))
TO_SIGN = (
    ASSET,
    STAGE,
    Column("role", "Who has to sign", width=1.2),
    Column("proposed_by", "Proposed by", width=1.4),
    Column("proposed_at", "Proposed", Form.TIME, 1.4),
    Column("waiting", "Waits for", Form.SECONDS, 0.8),
    Column("digest", "Digest", Form.CODE, 0),
)
FOR_SIGNATURE = (
    Column("as", "As", width=1.6),
    Column("name", "Name", width=2),
    Column("company", "Company", width=2),
    Column("place_and_date", "Place, date", width=1.6),
    Column("signature", "Signature", width=2.6),
)


def handover(tx: Transaction, scope: Scope) -> Section:
    """Of how many assets there is a baseline of which stage, and who has still to sign."""
    of = dossier(tx, scope)
    stages = [_stage_row(of, stage) for stage in of.stages]
    waiting = list(_to_sign(of))
    asked = f"stage {scope.stage}" if scope.stage else "every stage"
    about = (
        f"What was commissioned, {asked}: of each asset the newest baseline that was approved, also where another has"
        " taken its place since, and the open proposal. Proposed is not approved: somebody has still to sign it."
    )
    blocks = (
        Text((about,)),
        Table("stages", "By stage", BY_STAGE, stages, "No asset of this scope has a baseline."),
        Table(
            "commissioned",
            "By asset",
            BY_ASSET,
            _assets(of),
            "There is no asset in this scope.",
            "imported: approved elsewhere, and taken in from a signed bundle. An asset with nothing stands first.",
        ),
        Table(
            "to-sign",
            "Who has still to sign",
            TO_SIGN,
            waiting,
            "Nobody: no proposal is open.",
            "Which roles sign a stage is what plant.toml says when this is made ([approval]).",
        ),
    )
    return Section(HANDOVER, "Handover", blocks, findings=tuple(_findings(of, stages, waiting)))


def _stage_row(of: Dossier, stage: Stage) -> StageRow:
    here = [told for told in of.of if told.baseline.stage is stage]
    approved = {told.baseline.asset for told in here if told.was_approved}
    elsewhere = {told.baseline.asset for told in here if told.was_approved and told.baseline.origin}
    proposed = {told.baseline.asset for told in here if told.is_open} - approved
    known = [told.baseline for listed in of.history.of.values() for told in listed]
    rejected = sum(each.stage is stage and each.state is State.REJECTED for each in known)
    assets = len(of.scope.names)
    nothing = assets - len(approved) - len(proposed)
    return stage.value, assets, len(approved), len(elsewhere), len(proposed), nothing, rejected


def _assets(of: Dossier) -> list[tuple[Cell, ...]]:
    """How each asset stands by stage; those of which there is least first."""
    words: dict[tuple[str, Stage], str] = {}
    for told in of.of:
        word = "approved" if told.was_approved and not told.baseline.origin else standing(told)
        words.setdefault((told.baseline.asset, told.baseline.stage), word)
    plant = of.scope.plant
    zones = {name: found.asset.zone for known in (plant.assets, plant.segments) for name, found in known.items()}
    rows = [(name, zones[name] or None, *(words.get((name, stage)) for stage in Stage)) for name in of.scope.names]
    return sorted(rows, key=lambda row: sum(cell is not None for cell in row[2:]))


def _to_sign(of: Dossier) -> Iterator[tuple[Cell, ...]]:
    for told in of.of:
        baseline = told.baseline
        for role in of.words_missing(told):
            waiting = (of.scope.until - baseline.proposed_at).total_seconds()
            about = (baseline.proposed_by, baseline.proposed_at, waiting, baseline.digest)
            yield baseline.asset, baseline.stage.value, role or ANYBODY, *about


def _findings(of: Dossier, stages: list[StageRow], waiting: list[tuple[Cell, ...]]) -> Iterator[Finding]:
    assets = counted(len(of.scope.names), "asset")
    for number in of.history.broken[:1]:
        yield Finding(
            Weight.BAD, f"Entry {number} of the audit chain says what cannot have been: see asbuilt verify.", HANDOVER
        )
    if not of.of:
        what = f"a baseline of stage {of.scope.stage}" if of.scope.stage else "a baseline"
        yield Finding(Weight.BAD, f"Of {assets} none has {what}: nothing was commissioned.", HANDOVER)
        return
    for row in stages:
        yield _stage_finding(of, row)
    if waiting:
        proposals = len({(row[0], row[1]) for row in waiting})
        words = f"{counted(len(waiting), 'signature')} missing, of {counted(proposals, 'open proposal')}."
        yield Finding(Weight.ATTENTION, words, HANDOVER)


def _stage_finding(of: Dossier, row: StageRow) -> Finding:
    """How far a stage is. FAT and SAT are of every asset; what is left or found is of those that somebody worked on,
    unless it was asked for."""
    stage, assets, approved, imported, proposed, nothing, _ = row
    parts = [f"{approved:,} approved" + (f" ({imported:,} of these elsewhere)" if imported else "")]
    parts += [f"{proposed:,} proposed and not approved"] if proposed else []
    parts += [f"{nothing:,} with nothing"] if nothing else []
    lacks = nothing and (stage in OF_EVERY_ASSET or of.scope.stage is not None)
    weight = Weight.ATTENTION if proposed or lacks else Weight.GOOD
    return Finding(weight, f"Stage {stage}, of {counted(assets, 'asset')}: {', '.join(parts)}.", HANDOVER)


def signing(tx: Transaction, scope: Scope) -> Section:
    """The last page: what is handed over, in figures that name it, and lines to be signed on paper."""
    of = dossier(tx, scope)
    entries, head = store.head_at(tx, scope.until)
    approved = sum(told.was_approved for told in of.of)
    about = (
        "Whoever signs here confirms that this dossier was handed over as it stands. The annexes are part of it, and"
        " known by their SHA-256; the hash below names the last entry of the audit chain that it goes by."
    )
    facts: tuple[tuple[str, Cell, str], ...] = (
        ("Plant", scope.plant.name, ""),
        ("Scope", scope.words, ""),
        ("As of", scope.until, ""),
        ("Baselines", len(of.of), f"{approved:,} approved, {len(of.of) - approved:,} proposed"),
        ("Audit chain", head or None, f"entries: {entries:,}"),
    )
    lines = [(f"{who}: {RECEIVED}", *[BLANK] * (len(FOR_SIGNATURE) - 1)) for who in _signatories(of)]
    sheet = Table("for-signature", "For signature", FOR_SIGNATURE, lines, "Nobody signs.")
    return Section(SIGNING, "Handover on paper", (Text((about,)), Facts(facts), sheet))


def _signatories(of: Dossier) -> Iterator[str]:
    """The roles that plant.toml asks for, by stage, and the two parties to a handover, where no role is called so."""
    roles = of.scope.plant.approval.sign_off
    for stage in of.stages:
        yield from (f"{role} ({stage})" for role in roles.get(stage, ()))
    named = {role for stage in of.stages for role in roles.get(stage, ())}
    yield from (party for party in PARTIES if party not in named)
