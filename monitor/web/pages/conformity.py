"""Machines of one type beside each other: who is the odd one out?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor.conformity import Compared, basis_text, compare, machine_types, rows_to_show, short_names, unseen_text
from monitor.conformity import verdict_text as sentence_of
from monitor.errors import CallError
from monitor.store import Transaction
from monitor.web.access import Viewer
from monitor.web.here import Here
from monitor.web.render import page
from monitor.web.site import Site

MOST_COMPARED = 400  # machines, of all types at once; beyond that each type is compared when it is asked for

router = APIRouter()


@router.get("/conformity")
def conformity(request: Request, site: Here, caller: Viewer, type: str = "", all: str = "") -> Response:
    known = machine_types(site.plant())
    if type and type not in known:
        raise CallError(f"there is no machine type {type}: plant.toml gives it to assets as machine_type")
    with site.database.read() as tx:
        found = _compared(tx, site, known, type)
    chosen = found.get(type) or _most_telling(found.values())
    rows = rows_to_show(chosen.matrix, bool(all)) if chosen else []
    return page(
        request,
        site,
        "conformity.html.j2",
        caller,
        types=known,
        found=found,
        sentence_of=sentence_of,
        chosen=chosen,
        basis=basis_text(chosen) if chosen else "",
        rows=rows,
        hidden=len(chosen.matrix.rows) - len(rows) if chosen else 0,
        short=short_names([column.machine.asset for column in chosen.matrix.columns]) if chosen else (),
        unseen=[unseen_text(column.machine) for column in chosen.matrix.columns if column.machine.unseen]
        if chosen
        else (),
        everything=bool(all),
    )


def _compared(tx: Transaction, site: Site, known: Mapping[str, Sequence[str]], wanted: str) -> dict[str, Compared]:
    """The types, compared; only the wanted one where there are too many machines for all."""
    several = sum(map(len, known.values())) <= MOST_COMPARED
    chosen = list(known) if several else [wanted] if wanted else list(known)[:1]
    return {name: compare(tx, site.plant(), name, known[name], site.clock()) for name in chosen}


def _most_telling(found: Iterable[Compared]) -> Compared | None:
    """The type with the most odd ones out, else the first."""
    return max(found, key=lambda each: len(each.matrix.odd_ones), default=None)
