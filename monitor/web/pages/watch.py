"""How the watch itself is: is it ready, does the way to a message work, what it does when, what it sent to devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import Response

from monitor.contract import KEPT, ask_for_counts, contracts
from monitor.errors import UserError
from monitor.watching import CONTRACT, STATIONS, watch
from monitor.web.access import Caller, Engineer, Viewer
from monitor.web.forms import Sent
from monitor.web.here import Here
from monitor.web.render import back_to, page, status_of
from monitor.web.self_test import test_itself
from monitor.web.site import Site

MOST_DEVICES = 100  # that are named: those whose contract was not kept
WHAT: Mapping[str, str] = {  # the chores, for people
    "verify": "Verify the evidence",
    "forget": "Forget what is older than is kept",
    "clocks": "Compare the devices' clocks",
    "backup": "Make a backup",
    "self-test": "Test the way from a change to the message",
}
PASSED = {"read": "read", "compared": "compared", "committed": "stored", "sent": "message sent"}

router = APIRouter()


@router.get("/watch")
def how_it_is(request: Request, site: Here, caller: Viewer) -> Response:
    return _page(request, site, caller)


@router.post("/watch/self-test")
def run_self_test(request: Request, site: Here, caller: Engineer, _: Sent) -> Response:
    try:
        document = test_itself(site, caller)
    except UserError as error:
        return _page(request, site, caller, error=str(error), status=status_of(error))
    return back_to("/watch", f"The self-test {'passed' if document['ok'] else 'FAILED'}: {document['text']}.")


@router.post("/watch/counts")
def newest_counts(request: Request, site: Here, caller: Viewer, _: Sent) -> Response:
    if ask_for_counts(site.database, caller.name):
        return back_to("/watch#contract", "These are the newest counts.")
    return _page(request, site, caller, error="the daemon did not give its newest counts in time", status=409)


def _page(request: Request, site: Site, caller: Caller, *, error: str = "", status: int = 200) -> Response:
    plant = site.plant()
    with site.database.read() as tx:
        found = watch(tx, plant, site.database)
        devices = contracts(tx, plant, list(plant.assets))
    verdicts = Counter(each["verdict"] for each in devices)
    broken = [each for word in CONTRACT for each in devices if each["verdict"] == word != KEPT]
    return page(
        request,
        site,
        "watch.html.j2",
        caller,
        error=error,
        status=status,
        lacks=site.vitals.lacks(),
        found=found,
        legs=_legs(found.test.legs, found.test.ok) if found.test else [],
        chores=[(WHAT.get(each.name, each.name), each) for each in found.chores],
        verdicts=[(word, verdicts[word]) for word in CONTRACT if verdicts[word]],
        devices=broken[:MOST_DEVICES],
        more=max(0, len(broken) - MOST_DEVICES),
        as_of=max((each["until"] for each in devices if each["until"]), default=None),
        requests=sum(each["sent"]["requests"] for each in devices if each["sent"]),
        of=len(devices),
        version=version("asbuilt"),
    )


def _legs(legs: Mapping[str, float], ok: bool) -> list[tuple[str, float | None, str]]:
    """The stations of a self-test: what was passed when, and where it ended. One that was not tested is left out."""
    reached = [station for station in STATIONS if station in legs]
    found: list[tuple[str, float | None, str]] = [(PASSED[each], legs[each], "good") for each in reached]
    left = [station for station in STATIONS if station not in legs]
    return found if ok or not left else [*found, (PASSED[left[0]], None, "bad")]
