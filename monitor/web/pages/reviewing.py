"""Reviewing proposals as a difference to what is approved, and deciding about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from baselines.baseline import State
from baselines.capture import Choice, Decision
from monitor import store
from monitor.errors import CallError, UserError
from monitor.proposing import Word, tolerated
from monitor.reviewing import review_of
from monitor.web.access import Approver, Caller, Engineer, Role, Viewer, status_of
from monitor.web.asked import assets_of
from monitor.web.forms import LONGEST_TEXT, Form, Sent
from monitor.web.here import Here
from monitor.web.proposals import MOST_TOGETHER, Document, approve, decide, reject, standing, takes_password
from monitor.web.render import back_to, page
from monitor.web.site import Site

DIGEST = 64  # hex digits: what was seen is pinned in full
MOST_BOXES = 2000  # differences that can be chosen one by one: a form has room for so many
CHOICES = (("", "leave it open"), ("drop", "drop it"), ("tolerate", "tolerate ± amount"), ("keep", "keep it exactly"))

router = APIRouter()


@router.get("/baselines/review")
def review(
    request: Request, site: Here, caller: Viewer, asset: Annotated[list[str] | None, Query()] = None
) -> Response:
    if not asset:
        return back_to("/baselines", "choose a proposal, then review it")
    return _review(request, site, caller, asset)


def _review(
    request: Request, site: Site, caller: Caller, assets: Sequence[str], form: Form | None = None, **more: Any
) -> Response:
    """The open proposals of some assets as they are reviewed, with what somebody typed."""
    plant = site.plant()
    wanted = assets_of(plant, list(assets))
    if len(wanted) > MOST_TOGETHER:
        raise CallError(f"{MOST_TOGETHER} proposals are reviewed together at most: choose fewer")
    with site.database.read() as tx:
        found = [each for name in wanted if (each := review_of(tx, plant, name))]
        stand = standing(tx, caller, found)
        approved = {each.asset: each for each in store.baselines(tx, wanted, State.APPROVED)}
    single = found[0] if len(found) == 1 else None
    return page(
        request,
        site,
        "review.html.j2",
        caller,
        form=form,
        found=found,
        single=single,
        stages={each.proposal.stage for each in found},
        standing=stand,
        missing=[(name, approved.get(name)) for name in wanted if name not in {each.asset for each in found}],
        boxes=single is not None and len(single.differing) <= MOST_BOXES and not stand.why,
        ticked=None if form is None else set(form.texts("item")),
        typed=_typed(form),
        changed=any(each.since and each.since[1] for each in found),
        takes_password=takes_password(plant, [each.asset for each in found], approving=True),
        deciding_takes_password=takes_password(plant, [each.asset for each in found]),
        may_decide=single is not None and caller.may(Role.ENGINEER),
        choices=CHOICES,
        **more,
    )


@router.post("/baselines/approve")
def approved(request: Request, site: Here, caller: Approver, form: Sent) -> Response:
    def act(digests: Mapping[str, str]) -> Document:
        return approve(site, caller, _words(form, digests), form.text("role"), form.secret(), together=True)

    return _done(request, site, caller, form, act)


@router.post("/baselines/reject")
def rejected(request: Request, site: Here, caller: Approver, form: Sent) -> Response:
    def act(digests: Mapping[str, str]) -> Document:
        return reject(site, caller, digests, form.text("reason", "the reason", required=True), form.secret())

    return _done(request, site, caller, form, act)


def _done(
    request: Request, site: Site, caller: Caller, form: Form, act: Callable[[Mapping[str, str]], Document]
) -> Response:
    """Do what somebody decided about the proposals that they saw; where it cannot be done, their form comes back."""
    digests = _digests(site, form)
    try:
        done = act(digests)
    except UserError as error:
        return _again(request, site, caller, digests, form, error)
    return back_to("/baselines", "\n".join(map(_became, done["baselines"])))


@router.post("/baselines/decide")
def decided(request: Request, site: Here, caller: Engineer, form: Sent) -> Response:
    digests = _digests(site, form)
    asset, digest = next(iter(digests.items()))
    try:
        done = decide(site, caller, asset, _decisions(form), digest, form.secret())
    except UserError as error:
        return _again(request, site, caller, {asset: digest}, form, error)
    rest = len(done["varying"])
    said = f"{asset}: decided; the proposal is {done['baselines'][0]['digest'][:12]} now"
    return back_to(f"/baselines/review?{urlencode({'asset': asset})}", f"{said}, {rest} to decide" if rest else said)


def _again(
    request: Request, site: Site, caller: Caller, assets: Mapping[str, str], form: Form, error: UserError
) -> Response:
    return _review(request, site, caller, list(assets), form, error=str(error), status=status_of(error))


def _became(row: Document) -> str:
    """What became of a proposal, as a sentence."""
    if row["to_sign"]:
        return f"{row['asset']}: signed off, still to sign: {', '.join(row['to_sign'])}"
    return f"{row['asset']}: {row['digest'][:12]} is {row['state']}"


def _digests(site: Site, form: Form) -> dict[str, str]:
    """The proposals that a form is about, as somebody saw them: by asset the digest."""
    assets, digests = form.texts("asset"), form.texts("digest")
    if not assets or len(assets) != len(digests) or any(len(each) != DIGEST for each in digests):
        raise CallError("this form does not say what it is about: open the review again, and send it from there")
    assets_of(site.plant(), assets)
    return dict(zip(assets, digests, strict=True))


def _words(form: Form, digests: Mapping[str, str]) -> dict[str, Word]:
    """What somebody says of each proposal. Of one, only the items that are ticked may be meant."""
    reason, ticket = form.text("reason", "the reason", required=True), form.text("ticket", "the ticket")
    keys = None
    if parts := form.numbers("parts", "how many items there are"):
        ticked = set(form.texts("item"))
        if not ticked:
            raise CallError("no item is ticked: that leaves nothing to approve")
        keys = ticked if len(ticked) < parts[0] and len(digests) == 1 else None
    changed = form.is_ticked("although_changed")
    return {
        asset: Word(reason, ticket, digest, keys=keys, although_changed=changed) for asset, digest in digests.items()
    }


def _rows(form: Form) -> list[tuple[str, ...]]:
    """The decisions of a form, each its item, choice, amount and reason, as they were typed."""
    columns = [form.texts(name) for name in ("key", "choice", "amount", "because")]
    if len({len(column) for column in columns}) > 1:
        raise CallError("this form is not whole: open the review again, and send it from there")
    return list(zip(*columns, strict=True))


def _typed(form: Form | None) -> dict[str, tuple[str, ...]]:
    return {} if form is None else {row[0]: row for row in _rows(form)}


def _decisions(form: Form) -> list[Decision]:
    found = []
    for key, choice, amount, because in _rows(form):
        if not choice or not key.strip():
            continue
        why = because.replace("\0", "").strip()
        if not 0 < len(why) <= LONGEST_TEXT:
            raise CallError(f"{key}: a decision is kept with its reason, of {LONGEST_TEXT} letters at most")
        if choice == Choice.TOLERATE:
            made = tolerated(key, amount.replace(",", "."), why)
            if made is None:
                raise CallError(f"{key}: by how much may it move? A number above 0, such as 0.5, not {amount!r}")
        elif choice in (Choice.DROP, Choice.KEEP):
            made = Decision(key, Choice(choice), why, "")
        else:
            raise CallError(f"{key}: {choice!r} is no decision: drop, tolerate or keep")
        found.append(made)
    if not found:
        raise CallError("nothing was decided: choose what is to be done with an item")
    return found
