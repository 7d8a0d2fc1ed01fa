"""Baselines on a stick: out of this plant, and into it."""

from __future__ import annotations

import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from baselines.baseline import Stage
from monitor import bundle, bundle_files, bundling
from monitor.errors import CallError
from monitor.web.access import EngineerToken
from monitor.web.api.artefacts import ZIP
from monitor.web.api.sent import Body, Name, Password, Reason
from monitor.web.asked import assets_of, say
from monitor.web.here import Here

MOST_ASSETS = 2000
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

router = APIRouter(tags=["baselines"])


class Wanted(Body):
    """Which baselines are to travel."""

    assets: Annotated[list[Name], Field(max_length=MOST_ASSETS, default_factory=list)]
    """Of these assets; of all, if none is named."""
    stage: Stage | None = None


@router.post("/baselines/export", response_class=Response, responses={200: ZIP})
def export_baselines(site: Here, _: EngineerToken, body: Wanted) -> Response:
    """A signed bundle of baselines with their history, as a zip: for another plant, or for git."""
    plant = site.plant()
    files = bundling.exported(plant, site.database, assets_of(plant, body.assets), body.stage)[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "baselines.zip")
        bundle_files.write(path, files)
        content = path.read_bytes()
    name = {"Content-Disposition": 'attachment; filename="baselines.zip"'}
    return Response(content, headers=name, media_type="application/zip")


class Renaming(Body):
    """An asset is called otherwise here than in the bundle."""

    there: Name
    here: Name


class Bundle(Body):
    """A bundle, and what is needed to trust it."""

    bundle: Annotated[str, StringConstraints(pattern=BASE64)]
    """The zip, in base64."""
    trust: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")] | None = None
    """The key that has to have signed it, as they read it out; not needed for a key that is known here."""
    rename: Annotated[list[Renaming], Field(max_length=MOST_ASSETS, default_factory=list)]
    """What assets of the bundle are called here."""
    reason: Reason
    password: Password | None = None
    """Where four eyes look at one of the assets: it is signed."""


@router.post("/baselines/import")
def import_baselines(site: Here, caller: EngineerToken, body: Bundle) -> dict[str, Any]:
    """Take in a bundle: its baselines as history, the newest of each asset as an open proposal, for approval here."""
    files = _files(b64decode(body.bundle))
    seal = bundle.sealed_by("the bundle", files)
    who = caller.signing(body.password)
    taken = bundling.take_in(
        site.plant(),
        site.database,
        "the bundle",
        files,
        seal,
        body.trust or "",
        {each.there: each.here for each in body.rename},
        lambda assets: who,
        body.reason,
        say,
    )
    return bundling.taken_document(taken, seal)


def _files(content: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bundle.zip")
        path.write_bytes(content)
        try:
            return bundle_files.read(path)
        except CallError as error:
            raise CallError(str(error).replace(str(path), "the bundle")) from None
