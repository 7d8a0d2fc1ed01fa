"""Kits: made of what is approved and what the vault holds, and given out as a folder or a zip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from baselines.baseline import Baseline
from monitor import artefacts, evidence, kit_pack, store
from monitor.artefacts import Fitting
from monitor.config import Plant
from monitor.errors import NotNow
from monitor.kit import Attached, kit_document
from monitor.kit_sheet import html_sheet, text_sheet
from monitor.polling import utc_now
from monitor.store import Actor, Database, Transaction
from monitor.vault import Step, Vault, quietly


@dataclass(frozen=True, slots=True)
class Kit:
    """What restores a device: kit.json, and the files of it."""

    baseline: Baseline
    document: dict[str, Any]
    vault: Vault
    attached: list[Attached]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.fitting.artefact.size for each in self.attached)


def made(tx: Transaction, plant: Plant, asset: str, watched: Callable[[int], Step] = lambda size: quietly) -> Kit:
    """The kit of an asset, with its files as the vault has them: each is read, and hashed, which `watched` may show.

    NotNow if nothing is approved, or the evidence for it does not verify.
    """
    baseline, vault = _approved(tx, plant, asset), Vault(plant.vault)
    snapshot = store.baseline_snapshot(tx, baseline)
    if snapshot.digest != baseline.digest:
        raise NotNow(f"what is stored as baseline {baseline.digest[:12]} is not what was approved (asbuilt verify)")
    found = artefacts.fitting(tx, baseline)
    attached = _looked_up(vault, [each for each in found if not each.misfit], watched)
    left_out = [each for each in found if each.misfit]
    words, polled = store.sign_offs(tx, baseline), plant.assets[asset]
    document = kit_document(plant, polled, baseline, snapshot, words, attached, left_out)
    return Kit(baseline, document, vault, attached)


def _approved(tx: Transaction, plant: Plant, asset: str) -> Baseline:
    evidence.assure_sound(tx, plant)
    approved = store.current_baseline(tx, asset)
    if approved is None:
        raise NotNow(f"{asset} has no approved baseline, so nobody has said what to restore (asbuilt baseline approve)")
    return approved


def _looked_up(vault: Vault, found: Sequence[Fitting], watched: Callable[[int], Step]) -> list[Attached]:
    step = watched(sum(each.artefact.size for each in found))
    names = kit_pack.file_names((each.artefact.name, each.artefact.digest) for each in found)
    return [
        Attached(each, vault.state(each.artefact.digest, step), name) for each, name in zip(found, names, strict=True)
    ]


def export(
    plant: Plant, database: Database, kit: Kit, out: Path, who: Actor, say: evidence.Say, step: Step = quietly
) -> None:
    """Write a kit, and write down that it was given out."""
    baseline, content = kit.baseline, kit_pack.json_bytes(kit.document)
    texts = {
        "KIT.html": html_sheet(kit.document).encode("utf-8", "backslashreplace"),
        "kit.txt": text_sheet(kit.document).encode("utf-8", "backslashreplace"),
        "kit.json": content,
    }
    if sums := kit_pack.checksums(kit.attached):
        texts[f"files/{kit_pack.CHECKSUMS}"] = sums
    with kit_pack.prepared(out, f"kit-{kit_pack.safe_name(baseline.asset)}") as target:
        kit_pack.write(target, kit.vault, texts, kit.attached, step)
        with evidence.deciding(plant, database, who, say) as tx:
            if (store.current_baseline(tx, baseline.asset) or baseline).id != baseline.id:
                raise NotNow(f"{baseline.asset}: another baseline was approved a moment ago; export the kit again")
            detail = {"baseline": baseline.digest, "kit": sha256(content).hexdigest()}
            store.audit(tx, utc_now(), who, "kit.export", baseline.asset, detail)
