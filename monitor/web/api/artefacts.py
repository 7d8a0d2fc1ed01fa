"""Known-good files in the vault, what they belong to, and the kit that restores a device."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from baselines.artefact import ArtefactKind
from baselines.baseline import State
from monitor import artefacts, kits
from monitor.actions import Rules
from monitor.artefacts import artefact_document
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.evidence import deciding
from monitor.kit_pack import safe_name
from monitor.vault import FileState, Kept, Vault, chunks, opened_file
from monitor.web.access import EngineerToken, ViewerToken
from monitor.web.api.sent import Body, Digest, Name, Paged, Password, Text
from monitor.web.asked import assets_of, say
from monitor.web.gate import OCTETS
from monitor.web.here import Here

FILE = {"content": {OCTETS: {"schema": {"type": "string", "minLength": 1, "contentMediaType": OCTETS}}}}
ZIP = {"content": {"application/zip": {"schema": {"type": "string", "contentMediaType": "application/zip"}}}}
KIT_MOST = 256 << 20  # bytes of a kit that is made in memory

router = APIRouter(tags=["artefacts"])


@router.get("/artefacts")
def artefacts_list(
    site: Here,
    _: ViewerToken,
    paged: Paged,
    asset: Annotated[list[str] | None, Query(description="Only those of these assets.")] = None,
) -> dict[str, Any]:
    """The files and the baselines that they belong to, the oldest first. `in_vault` says that a file is there."""
    plant = site.plant()
    vault, wanted = Vault(plant.vault), assets_of(plant, asset) if asset else None
    with site.database.read() as tx:
        found = [each for each in artefacts.attached(tx) if wanted is None or each[1].asset in wanted]
    documents = paged.of("artefacts", [artefact_document(*each) for each in found])
    for each in documents["artefacts"]:
        each["in_vault"] = vault.has(each["digest"])
    return documents


class Attachment(Body):
    """A file of the vault that belongs to a baseline."""

    asset: Name
    digest: Digest
    """Of the file, which is in the vault already."""
    name: Name
    kind: ArtefactKind
    proposed: bool = False
    """To the open proposal, not the approved baseline."""
    reason: Text = ""
    password: Password | None = None
    """Where four eyes look at the asset: it is signed."""


@router.post("/artefacts")
def attach_artefact(site: Here, caller: EngineerToken, body: Attachment) -> dict[str, Any]:
    """Attach a file of the vault to the approved baseline of an asset, or to its open proposal."""
    plant = site.plant()
    kept, asset = _kept(Vault(plant.vault), body.digest), _device(plant, body.asset)
    state = State.PROPOSED if body.proposed else State.APPROVED
    who = caller.signing(body.password)
    rules = Rules(plant.approval, plant.criticality(asset))
    with deciding(plant, site.database, who, say, sound=True) as tx:
        files = [(body.name, kept)]
        done = artefacts.attach(tx, asset, state, files, body.kind, who, site.clock(), body.reason, rules)
        baseline = artefacts.attachable(tx, asset, state)
    return {"artefacts": [artefact_document(each, baseline) | {"is_attached_now": is_new} for each, is_new in done]}


def _device(plant: Plant, name: str) -> str:
    if name not in plant.assets:
        raise CallError(f"there is no device {name}; files and kits are of devices")
    return name


def _kept(vault: Vault, digest: str) -> Kept:
    _assure_whole(vault, digest)
    return Kept(digest, vault.path(digest).stat().st_size, False)


def _assure_whole(vault: Vault, digest: str) -> None:
    state = vault.state(digest)
    if state is FileState.MISSING:
        raise HTTPException(404, f"the vault has no file {digest}")
    if state is not FileState.WHOLE:
        raise NotNow(f"file {digest} of the vault is {state}: put back the file that it was (asbuilt vault check)")


async def _uploaded(request: Request) -> AsyncIterator[Path]:
    """The file that is sent, in a folder of its own as long as the request lasts."""
    with _room():
        folder = await run_in_threadpool(tempfile.TemporaryDirectory)
    try:
        path = Path(folder.name, "file")
        with _room(), await run_in_threadpool(path.open, "wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        yield path
    finally:
        await run_in_threadpool(folder.cleanup)


@contextmanager
def _room() -> Iterator[None]:
    """NotNow where there is no room for a file."""
    try:
        yield
    except OSError as error:
        raise NotNow(f"what was sent cannot be kept: {error.strerror or error}") from None


@router.post("/vault", openapi_extra={"requestBody": {"required": True, **FILE}})
def keep_file(site: Here, _: EngineerToken, path: Annotated[Path, Depends(_uploaded)]) -> dict[str, Any]:
    """Keep a file in the vault. It is there under its SHA-256, once; then attach it to a baseline."""
    if not path.stat().st_size:
        raise HTTPException(422, "the file is empty")
    kept = Vault(site.plant().vault).keep(path)
    return {"digest": kept.digest, "size": kept.size, "is_new": kept.is_new}


@router.get("/vault/{digest}", response_class=StreamingResponse, responses={200: FILE})
def get_file(site: Here, _: ViewerToken, digest: Digest) -> Response:
    """Get a file of the vault, if it still is what its digest says."""
    vault = Vault(site.plant().vault)
    _assure_whole(vault, digest)
    size = vault.path(digest).stat().st_size
    return StreamingResponse(_read(vault.path(digest)), headers={"Content-Length": str(size)}, media_type=OCTETS)


def _read(path: Path) -> Iterator[bytes]:
    with opened_file(path) as file:
        yield from chunks(file, path)


@router.get("/kit")
def kit(site: Here, _: ViewerToken, asset: Annotated[str, Query(description="A device.")]) -> dict[str, Any]:
    """What restores a device to its approved baseline: kit.json (docs/json.md). What it lacks is in `gaps`."""
    plant = site.plant()
    with site.database.read() as tx:
        return kits.made(tx, plant, _device(plant, asset)).document


class KitOf(Body):
    """Whose kit it is."""

    asset: Name


@router.post("/kit", response_class=Response, responses={200: ZIP})
def export_kit(site: Here, caller: EngineerToken, body: KitOf) -> Response:
    """Give a kit out, as a zip with its sheets and files. That it was given out is on record."""
    plant = site.plant()
    with site.database.read() as tx:
        made = kits.made(tx, plant, _device(plant, body.asset))
    if made.size > KIT_MOST:
        raise NotNow(f"this kit is larger than {KIT_MOST >> 20} MB: make it with asbuilt kit, on the monitor itself")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kit.zip")
        kits.export(plant, site.database, made, path, caller.actor(), say)
        content = path.read_bytes()
    name = safe_name(f"kit-{body.asset}.zip").encode("ascii", "replace").decode().replace("?", "_")
    return Response(
        content, headers={"Content-Disposition": f'attachment; filename="{name}"'}, media_type="application/zip"
    )
