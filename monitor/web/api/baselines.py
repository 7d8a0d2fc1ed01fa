"""Baselines: proposing, deciding, approving, comparing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from baselines.baseline import Stage, State
from baselines.capture import Choice, Decision
from monitor import store
from monitor.errors import CallError
from monitor.proposing import Word, differences_document, resolve, shown_document
from monitor.reviewing import review_document, review_of
from monitor.show import baseline_document
from monitor.web.access import ApproverToken, EngineerToken, ViewerToken
from monitor.web.api.reports import job_document
from monitor.web.api.sent import Body, Digest, Line, Name, Paged, Password, Reason, Text, Yes, whole
from monitor.web.asked import assets_of
from monitor.web.here import Here
from monitor.web.proposals import LONGEST_PAUSE, MOST_CAPTURES, Wanted, approve, begin, decide, reject

MOST = 2000  # assets or items of one call
REFERENCE = r"^[^\u0000-\u001f\u007f]*$"

Assets = Annotated[list[Name], Field(min_length=1, max_length=MOST)]
Reference = Annotated[
    str,
    Query(
        min_length=1, max_length=300, pattern=REFERENCE, description="asset, asset@stage, asset@digest, digest or stage"
    ),
]
Document = dict[str, Any]

router = APIRouter(tags=["baselines"])


class Reading(Body):
    """What is read and proposed."""

    assets: Assets
    stage: Stage = Stage.AS_FOUND
    reason: Text = ""
    ticket: Line = ""
    incomplete: Yes = False
    """Also propose what could not be read completely."""
    password: Password | None = None
    """Where four eyes look at one of the assets."""


class Commissioning(Reading):
    """What is captured several times, sorted and proposed."""

    captures: Annotated[int, Field(strict=True, ge=1, le=MOST_CAPTURES), whole] = 3
    every: Annotated[float, Field(strict=True, ge=0, le=LONGEST_PAUSE)] = 10.0
    """Seconds between two captures."""


class Decided(Body):
    """A decision about an item that varied."""

    item: Name
    choice: Choice
    tolerance: Annotated[float, Field(strict=True, gt=0, le=1e300)] | None = None
    """By how much it may move; goes with tolerate, and with nothing else."""
    reason: Reason


class Deciding(Body):
    """Decisions about the open proposal of an asset."""

    asset: Name
    decisions: Annotated[list[Decided], Field(min_length=1, max_length=MOST)]
    digest: Digest | None = None
    """Only if the proposal is this one."""
    password: Password | None = None


class Approving(Body):
    """Whose open proposals are approved, by which word."""

    assets: Assets
    reason: Reason
    role: Line = ""
    """The role in which you sign; one of yours that is needed, if it is left out."""
    ticket: Line = ""
    digest: Digest | None = None
    """Only if the proposal is this one; goes with one asset."""
    only: Annotated[list[Name], Field(max_length=MOST)] | None = None
    """Only these items, names or patterns."""
    without: Annotated[list[Name], Field(max_length=MOST)] | None = None
    """All items but these."""
    although_changed: Yes = False
    """Also if what was read since differs."""
    password: Password | None = None


class Rejecting(Body):
    """Whose open proposals are rejected, and why."""

    assets: Assets
    reason: Reason
    digest: Digest | None = None
    password: Password | None = None


@router.get("/baselines")
def baselines(
    site: Here,
    _: ViewerToken,
    paged: Paged,
    asset: Annotated[list[str] | None, Query(description="Only of these assets.")] = None,
    state: State | None = None,
    stage: Stage | None = None,
) -> Document:
    """The baselines, the oldest first."""
    wanted = assets_of(site.plant(), asset) if asset else []
    with site.database.read() as tx:
        found = [each for each in store.baselines(tx, wanted, state) if stage is None or each.stage is stage]
    document = paged.of("baselines", found)
    return document | {"baselines": [baseline_document(each) for each in document["baselines"]]}


@router.get("/baselines/diff")
def diff(site: Here, _: ViewerToken, a: Reference, b: Reference) -> Document:
    """What differs between two baselines; between two stages, for every asset that has both."""
    with site.database.read() as tx:
        return differences_document(tx, a, b)


@router.get("/baselines/{digest}")
def baseline(
    site: Here,
    _: ViewerToken,
    digest: Annotated[str, Path(pattern="^[0-9a-f]{6,64}$", description="A digest, or its beginning.")],
    asset: Annotated[str | None, Query(description="Of which asset, where several have the same.")] = None,
) -> Document:
    """All of one baseline."""
    plant = site.plant()
    reference = f"{assets_of(plant, [asset])[0]}@{digest}" if asset else digest
    with site.database.read() as tx:
        return shown_document(tx, plant, *resolve(tx, reference))


@router.get("/proposals")
def proposals(
    site: Here,
    _: ViewerToken,
    paged: Paged,
    asset: Annotated[list[str] | None, Query(description="Only of these assets.")] = None,
) -> Document:
    """The open proposals, each with what differs from what is approved, and who has still to sign."""
    plant = site.plant()
    wanted = assets_of(plant, asset)
    with site.database.read() as tx:
        open_ = {each.asset for each in store.baselines(tx, state=State.PROPOSED)}
        document = paged.of("proposals", [name for name in wanted if name in open_])
        found = [review_of(tx, plant, name) for name in document["proposals"]]
    return document | {"proposals": [review_document(each) for each in found if each]}


@router.post("/baselines/propose", status_code=202)
def propose(site: Here, caller: EngineerToken, body: Reading) -> Document:
    """Read assets once, and propose what is there: a job, whose outcome is the document of `baseline propose`."""
    wanted = assets_of(site.plant(), body.assets)
    asked = Wanted(wanted, body.stage, body.reason, body.ticket, body.incomplete)
    return job_document(begin(site, caller, asked, body.password or ""))


@router.post("/baselines/commission", status_code=202)
def commission(site: Here, caller: EngineerToken, body: Commissioning) -> Document:
    """Read assets several times, and propose what was constant: a job; its outcome is the document of `commission`."""
    wanted = assets_of(site.plant(), body.assets)
    asked = Wanted(
        wanted, body.stage, body.reason, body.ticket, body.incomplete, body.captures, body.every, commissioning=True
    )
    return job_document(begin(site, caller, asked, body.password or ""))


@router.post("/baselines/decide")
def decided(site: Here, caller: EngineerToken, body: Deciding) -> Document:
    """Decide about items that varied when an asset was captured: another proposal takes the place of the open one."""
    decisions = [_decision(each) for each in body.decisions]
    return decide(site, caller, assets_of(site.plant(), [body.asset])[0], decisions, body.digest, body.password or "")


def _decision(sent: Decided) -> Decision:
    if (sent.choice is Choice.TOLERATE) != (sent.tolerance is not None):
        raise CallError(f"{sent.item}: a tolerance goes with tolerate, and with nothing else")
    return Decision(sent.item, sent.choice, sent.reason, "", sent.tolerance or 0.0)


@router.post("/baselines/approve")
def approved(site: Here, caller: ApproverToken, body: Approving) -> Document:
    """Approve the open proposals of assets, all of them or none."""
    wanted = assets_of(site.plant(), body.assets)
    _one_only(wanted, body.digest)
    word = Word(body.reason, body.ticket, body.digest, body.only, body.without, None, body.although_changed)
    return approve(site, caller, dict.fromkeys(wanted, word), body.role, body.password or "")


@router.post("/baselines/reject")
def rejected(site: Here, caller: ApproverToken, body: Rejecting) -> Document:
    """Reject the open proposals of assets, all of them or none."""
    wanted = assets_of(site.plant(), body.assets)
    _one_only(wanted, body.digest)
    return reject(site, caller, dict.fromkeys(wanted, body.digest), body.reason, body.password or "")


def _one_only(wanted: list[str], digest: str | None) -> None:
    if digest and len(wanted) != 1:
        raise CallError("digest names one proposal: name one asset")
