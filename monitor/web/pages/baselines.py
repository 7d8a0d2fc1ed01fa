"""Baselines: what waits for a decision, what is approved of each asset, and baselines beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from baselines.baseline import Baseline, Stage, State
from baselines.review import Difference, review
from monitor import store
from monitor.errors import UserError
from monitor.proposing import captured_of, resolve, to_sign
from monitor.reviewing import newest_of_stages, side_by_side, snapshots, waiting
from monitor.store import Transaction
from monitor.vault import Vault
from monitor.web.access import Role, Viewer, status_of
from monitor.web.asked import assets_of, zones_of
from monitor.web.here import Here
from monitor.web.paging import ROWS, PageNumber, rest_of, shown_of
from monitor.web.proposals import matching
from monitor.web.render import page

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Held:
    """An asset in the list: what is approved of it, and of which stages it has baselines."""

    asset: str
    approved: Baseline | None
    stages: Mapping[Stage, Baseline]


@router.get("/baselines")
def baselines(
    request: Request,
    site: Here,
    caller: Viewer,
    q: str = "",
    zone: str = "",
    stage: str = "",
    show: str = "",
    number: PageNumber = 1,
) -> Response:
    plant = site.plant()
    names = matching(plant, q, zone)
    with site.database.read() as tx:
        place = {name: at for at, name in enumerate(names)}
        open_ = [each for each in store.baselines(tx, state=State.PROPOSED) if each.asset in place]
        open_ = sorted((each for each in open_ if not stage or each.stage == stage), key=lambda each: place[each.asset])
        rows = waiting(tx, plant, open_[:ROWS]) if show in ("", "waiting") else []
        named = _approved_or_not(tx, names, show, stage) if show != "waiting" else []
        shown = shown_of(number, len(named))
        held = _held(tx, named[shown.skip : shown.last])
    asked = {"q": q, "zone": zone, "stage": stage, "show": show}
    return page(
        request,
        site,
        "baselines.html.j2",
        caller,
        waiting=rows,
        open_count=len(open_),
        held=held,
        shown=shown,
        asked=asked,
        query=rest_of(asked),
        zones=zones_of(plant),
        stages=list(Stage),
        may_approve=caller.may(Role.APPROVER),
        may_propose=caller.may(Role.ENGINEER),
        watched=len(plant.assets) + len(plant.segments),
    )


def _approved_or_not(tx: Transaction, names: Sequence[str], show: str, stage: str) -> Sequence[str]:
    """Of some assets those that have an approved baseline (of a stage), or have none."""
    if show not in ("approved", "none") and not stage:
        return names
    have = store.assets_with(tx, State.APPROVED, Stage(stage) if stage in list(Stage) else None)
    return [name for name in names if (name in have) != (show == "none")]


def _held(tx: Transaction, names: Sequence[str]) -> list[Held]:
    of: dict[str, list[Baseline]] = {name: [] for name in names}
    for each in store.baselines(tx, names) if names else ():
        of[each.asset].append(each)
    return [
        Held(name, next((each for each in found if each.state is State.APPROVED), None), newest_of_stages(found))
        for name, found in of.items()
    ]


@router.get("/baselines/of/{reference:path}")
def one(request: Request, site: Here, caller: Viewer, reference: str) -> Response:
    """All of one baseline: what it holds, who signed it, how it was captured, the files that belong to it."""
    plant = site.plant()
    with site.database.read() as tx:
        baseline, snapshot = resolve(tx, reference)
        captured, decisions = captured_of(tx, baseline)
        signed, left = store.sign_offs(tx, baseline), to_sign(tx, plant, baseline)
        files = store.artefacts(tx, [baseline.id])
        of_asset = store.baselines(tx, [baseline.asset])
    vault = Vault(plant.vault)
    return page(
        request,
        site,
        "baseline.html.j2",
        caller,
        baseline=baseline,
        snapshot=snapshot,
        varying=[each for each in captured if each.sort == "varying"],
        captured=captured,
        decided={each.key: each for each in decisions},
        signed=signed,
        left=left,
        files=[(each, vault.has(each.digest)) for each in files],
        others=[each for each in reversed(of_asset) if each.id != baseline.id],
        approved=next((each for each in of_asset if each.state is State.APPROVED), None),
    )


@router.get("/baselines/stages")
def stages(request: Request, site: Here, caller: Viewer, asset: str, every: str = "") -> Response:
    """The newest baselines of an asset of each stage, side by side; what is the same everywhere only with `every`."""
    assets_of(site.plant(), [asset])
    with site.database.read() as tx:
        newest = list(newest_of_stages(store.baselines(tx, [asset])).values())
        held = snapshots(tx, newest)
    columns = [each for each in newest if each.id in held]
    rows = side_by_side([held[each.id] for each in columns])
    differing = [row for row in rows if any(row.differs)]
    return page(
        request,
        site,
        "stages.html.j2",
        caller,
        asset=asset,
        columns=columns,
        rows=rows if every else differing,
        same=len(rows) - len(differing),
        every=bool(every),
    )


@router.get("/baselines/compare")
def compare(request: Request, site: Here, caller: Viewer, a: str = "", b: str = "") -> Response:
    """What differs between two baselines."""
    found: dict[str, Any] = {"one": None, "other": None, "lines_found": [], "same": []}
    if not (a and b):
        return page(request, site, "compare.html.j2", caller, a=a, b=b, **found)
    try:
        with site.database.read() as tx:
            found["one"], before = resolve(tx, a)
            found["other"], after = resolve(tx, b)
    except UserError as error:
        again = found | {"one": None, "error": str(error), "status": status_of(error)}
        return page(request, site, "compare.html.j2", caller, a=a, b=b, **again)
    lines = review(before, after)
    found["lines_found"] = [line for line in lines if line.difference is not Difference.SAME]
    found["same"] = [line for line in lines if line.difference is Difference.SAME]
    return page(request, site, "compare.html.j2", caller, a=a, b=b, **found)
