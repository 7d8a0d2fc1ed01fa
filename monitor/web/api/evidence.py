"""The audit chain: read entry by entry, verified, and taken along."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from baselines.snapshot import utc_text
from monitor import store
from monitor.web import trail
from monitor.web.access import ViewerToken
from monitor.web.api.reports import job_document
from monitor.web.api.sent import LONGEST_LINE, MOST_ROWS, ROWS
from monitor.web.asked import LARGEST, NO_NUL, at_or_none
from monitor.web.here import Here
from monitor.web.making import evidence_file, verifying_work

LINES = "application/jsonl"

Word = Annotated[str, Query(max_length=LONGEST_LINE, pattern=NO_NUL)]

router = APIRouter(tags=["evidence"])


@router.get("/audit")
def audit(
    site: Here,
    _: ViewerToken,
    after: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="The entries behind this one, the oldest first.")
    ] = None,
    before: Annotated[
        int | None,
        Query(ge=1, le=LARGEST, description="Only those before this one; without `after` the newest first."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
    person: Word = "",
    action: Annotated[Word, Query(description='Such as "baseline.approve", or "baseline." for all of these.')] = "",
    asset: Word = "",
    since: Annotated[Word, Query(alias="from", description="ISO 8601.")] = "",
    until: Annotated[Word, Query(description="ISO 8601.")] = "",
) -> dict[str, Any]:
    """Who did what when. `signed` says that an entry bears the signature of who did it; that it is theirs, `POST
    /verify` says."""
    plant, now = site.plant(), site.clock()
    begin, end = at_or_none(since, now, plant), at_or_none(until, now, plant)
    with site.database.read() as tx:
        found = store.entries_page(
            tx,
            after=after,
            before=before,
            limit=limit,
            actor=person.strip(),
            action=action.strip(),
            subject=asset.strip(),
            since=begin,
            until=end,
        )
        newest, keys, entries = store.newest_checkpoint(tx), trail.keys_of(tx), store.last_audit_id(tx)
    return {
        "entries": [trail.entry_document(each) for each in found],
        "last": entries,
        "checkpoint": {"entries": newest.entries, "head": newest.head, "at": utc_text(newest.at)} if newest else None,
        "keys": [{"public_key": each.detail.get("public_key", ""), "entry": each.id} for each in keys],
        "kept_in": trail.places_of(plant),
    }


@router.post("/verify", status_code=202)
def verify(site: Here, caller: ViewerToken) -> dict[str, Any]:
    """Verify all evidence: a job, whose outcome is the document of `asbuilt verify`."""
    return job_document(
        site.jobs.begin(caller.name, "verifying the evidence", verifying_work(site, site.plant()), "/audit")
    )


@router.get(
    "/evidence",
    responses={200: {"description": "The file.", "content": {LINES: {"schema": {"type": "string"}}}}},
    response_class=Response,
)
def evidence(site: Here, _: ViewerToken) -> Response:
    """All evidence, a line of JSON for each row, as `verify.py` reads it alone (docs/evidence.md)."""
    return evidence_file(site)
