"""Baselines on a stick: exported here, and taken in from where they were captured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from baselines.baseline import Stage
from monitor import bundle, importing
from monitor.actions import Rules
from monitor.baseline_toml import Record
from monitor.bundle_files import Files
from monitor.config import Plant
from monitor.errors import NotNow, Unverified
from monitor.evidence import Say, deciding, plant_key, verified
from monitor.importing import Taken
from monitor.polling import utc_now
from monitor.seal import Seal
from monitor.show import baseline_document
from monitor.store import Actor, Database


def exported(
    plant: Plant, database: Database, assets: Sequence[str], stage: Stage | None
) -> tuple[list[Record], dict[str, bytes]]:
    """The baselines of assets, and the files of the bundle that holds them; NotNow if there are none, Unverified if the
    evidence for them does not verify."""
    with database.write() as tx:
        if flaw := verified(tx, plant).first_bad:
            at = f"entry {flaw.entry}: " if flaw.entry is not None else ""
            raise Unverified(f"the evidence does not verify, and nobody could import it: {at}{flaw.why}")
        records = bundle.records_of(tx, assets, lambda digest: profile_name(plant, digest), stage)
        if not records:
            raise NotNow("there is nothing to export: no baseline of these is or was approved, or is proposed")
        signer = plant_key(tx, plant.evidence, utc_now())
        return records, bundle.packed(tx, plant.name, records, signer)


def profile_name(plant: Plant, digest: str) -> str:
    known = plant.profiles.by_digest(digest)
    return known.name if known else ""


def take_in(
    plant: Plant,
    database: Database,
    where: str,
    files: Files,
    seal: Seal,
    trust: str,
    names: Mapping[str, str],
    signing: Callable[[list[str]], Actor],
    reason: str,
    say: Say,
) -> list[Taken]:
    """Take in a bundle with its seal, under other names where `names` says so: its baselines as history, the newest of
    each asset as an open proposal.

    `signing` gives who acts, for the assets that it is about. CallError for a bundle that is none; NotNow if its key is
    not trusted.
    """
    with database.read() as tx:
        importing.assure_trusted(tx, where, seal, trust)
    contents = bundle.verified(where, files, seal)
    here = importing.renamed(contents, [*plant.assets, *plant.segments], names)
    who, now = signing(list(here.values())), utc_now()
    with deciding(plant, database, who, say, sound=True) as tx:
        return [
            importing.take(tx, name, there, contents, who, reason, now, Rules(plant.approval, plant.criticality(name)))
            for there, name in here.items()
        ]


def taken_document(taken: Sequence[Taken], seal: Seal) -> dict[str, Any]:
    """What became of a bundle."""
    kept = [baseline_document(each) for part in taken for each in (*part.history, *part.proposed)]
    skipped = [baseline_document(each) for part in taken for each in part.skipped]
    return {"baselines": kept, "skipped": skipped, "key": seal.key, "manifest": seal.manifest}
