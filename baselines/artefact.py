"""Artefacts: known-good files that belong to a baseline, and when an earlier one's still fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from baselines.snapshot import Category, Snapshot, canonical, plain

FIRMWARE_KEY = "identity.software_revision"


class ArtefactKind(StrEnum):
    """What a file is to the device."""

    FIRMWARE = "firmware"
    PROJECT = "project"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file of a baseline (`baseline` is its number); the file itself is in the vault under its SHA-256. `size` is in
    bytes."""

    id: int
    baseline: int
    digest: str
    name: str
    kind: ArtefactKind
    size: int
    added_by: str
    added_at: datetime


def misfit(kind: ArtefactKind, earlier: Snapshot, approved: Snapshot) -> str:
    """Why a file of an earlier baseline does not belong to what is approved now; "" if it may.

    Firmware belongs to a software revision, a project file to a program; a document is never out of place.
    """
    match kind:
        case ArtefactKind.FIRMWARE:
            before, now = (_value(each, FIRMWARE_KEY) for each in (earlier, approved))
            return "" if before == now else f"the software revision was {before}, and is {now} now"
        case ArtefactKind.PROJECT:
            before_, now_ = _program(earlier), _program(approved)
            moved = sorted(key for key in {*before_, *now_} if before_.get(key) != now_.get(key))
            return f"the program was another: {', '.join(moved)}" if moved else ""
        case ArtefactKind.DOCUMENT:
            return ""


def _value(snapshot: Snapshot, key: str) -> object:
    item = snapshot.by_key.get(key)
    return "not known" if item is None else plain(item.value)


def _program(snapshot: Snapshot) -> dict[str, object]:
    return {item.key: canonical(item.value) for item in snapshot.items if item.category is Category.PROGRAM}
