"""The kit: what a technician needs to make a device again what was approved. asbuilt itself writes nothing.

From a baseline to one document, kit.json; the sheets for people are made of it (monitor/kit_sheet.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from baselines.asset import Identity
from baselines.baseline import Baseline, SignOff
from baselines.snapshot import Category, Item, Snapshot, canonical, plain, utc_text
from collectors.profile import COUNTED, ItemSpec, Node, Profile, Register
from monitor.artefacts import Fitting
from monitor.config import Plant, Polled
from monitor.show import baseline_document, sign_off_document, value_text
from monitor.vault import FileState
from monitor.words import Raw, encode, reference

FORMAT = 1  # of kit.json
ORDER = (  # in which things are entered: what may lock a device comes last
    Category.IDENTITY,
    Category.FIRMWARE,
    Category.PROGRAM,
    Category.PARAMETER,
    Category.NETWORK,
    Category.MODE,
    Category.SECURITY,
)
COMPARED = (Category.IDENTITY, Category.FIRMWARE, Category.PROGRAM)  # they come with the device and its files
OTHER_BITS = "the other bits of the register stay as they are"
PRESENT = "address, words and bits as the present profile has them"
READ_ONLY = "cannot be written over Modbus: it is set at the device"
WORDS_OF_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "bytes": "bytes, in hexadecimal",
}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Addresses:
    """The profile that says where items are. `is_present`: it is what plant.toml names now, not what the baseline was
    read with."""

    profile: Profile
    is_present: bool = False


@dataclass(frozen=True, slots=True)
class Attached:
    """A file of the kit, how the vault has it, and its name in the kit."""

    fitting: Fitting
    state: FileState
    name: str


def addresses_of(plant: Plant, polled: Polled, baseline: Baseline, snapshot: Snapshot) -> Addresses | None:
    """Where the items of a baseline are: as the profile that it was read with says, else the present one, as far as it
    knows any of them."""
    profiles, named = plant.profiles, polled.target.profile
    if found := profiles.by_digest(baseline.profile):
        return Addresses(found)
    if named == "auto":
        identity = {item.key.removeprefix("identity."): item.value for item in snapshot.items}
        present = profiles.choose(identity, polled.target.address.protocol)
    else:
        present = profiles[named]
    known = any(spec.key in snapshot.by_key for spec in present.items)
    return Addresses(present, is_present=True) if known else None


def kit_document(
    plant: Plant,
    polled: Polled,
    baseline: Baseline,
    snapshot: Snapshot,
    signed: Iterable[SignOff],
    attached: Sequence[Attached],
    left_out: Iterable[Fitting],
) -> Document:
    """The kit of a baseline as kit.json has it."""
    addresses = addresses_of(plant, polled, baseline, snapshot)
    specs = {spec.key: spec for spec in addresses.profile.items} if addresses else {}
    identity, reported = _identity(snapshot)
    files = [_file(each) for each in attached]
    return {
        "kit": FORMAT,
        "plant": plant.name,
        "asset": _asset(polled),
        "baseline": baseline_document(baseline) | {"signed": [sign_off_document(word) for word in signed]},
        "profile": _profile(addresses, baseline),
        "identity": identity,
        "files": files,
        "left_out": [_artefact(each) | {"why": each.misfit} for each in left_out],
        "parameters": _parameters(snapshot, specs, addresses),
        "reported": reported + [_value(item) for item in _others(snapshot)],
        "not_covered": _not_covered(snapshot, addresses),
        "checks": _checks(polled.asset.name, any(each["path"] for each in files)),
        "verdicts": [{"verdict": verdict, "exit_code": code, "means": text} for verdict, code, text in VERDICTS],
        "gaps": [f"{each['name']} is {each['state']} in the vault, and not in this kit" for each in _gone(files)],
    }


def _gone(files: Iterable[Document]) -> list[Document]:
    return [each for each in files if each["state"] != FileState.WHOLE]


def _asset(polled: Polled) -> Document:
    asset, address = polled.asset, polled.target.address
    return {
        "name": asset.name,
        "address": str(address),
        "protocol": address.protocol,
        "unit": address.unit if address.protocol == "modbus" else None,
        "zone": asset.zone,
        "location": asset.location,
        "role": asset.role,
        "machine_type": asset.machine_type,
        "purdue_level": asset.purdue_level,
        "criticality": asset.criticality,
    }


def _profile(addresses: Addresses | None, baseline: Baseline) -> Document:
    approved = {"digest": baseline.profile}
    if addresses is None:
        note = "the profile that this baseline was read with is not known any more: values are without addresses"
        return approved | {"name": None, "used": None, "note": note}
    if not addresses.is_present:
        return approved | {"name": addresses.profile.name, "used": "baseline", "note": ""}
    note = (
        "the profile has changed since this baseline was read: addresses, words and bits are those of the present"
        " one, and only of items that it knows. Make sure of them before you enter anything"
    )
    return approved | {"name": addresses.profile.name, "used": "present", "note": note}


def _identity(snapshot: Snapshot) -> tuple[list[Document], list[Document]]:
    """What to fit, and what else the device says of itself."""
    said = {item.key.removeprefix("identity."): item for item in snapshot.items if item.key.startswith("identity.")}
    to_fit = [
        {
            "field": each.name,
            "value": said[each.name].shown if each.name in said else None,
            "may_differ": each.name == "serial_number",
        }
        for each in fields(Identity)
    ]
    wanted = {each.name for each in fields(Identity)}
    return to_fit, [_value(item) for name, item in said.items() if name not in wanted]


def _others(snapshot: Snapshot) -> list[Item]:
    """What no profile names and is no identity: certificates, nameplates, namespaces. There is nothing to enter."""
    return [item for item in snapshot.items if not item.key.startswith(("identity.", "item."))]


def _value(item: Item) -> Document:
    note = "the device itself doubted this value" if item.uncertain else ""
    return {
        "item": item.key,
        "category": item.category,
        "type": canonical(item.value)[0],
        "value": plain(item.value),
        "label": item.label,
        "unit": item.unit,
        "tolerance": item.tolerance,
        "note": note,
    }


def _parameters(snapshot: Snapshot, specs: Mapping[str, ItemSpec], addresses: Addresses | None) -> list[Document]:
    """The items in the order in which they are entered: by category, and in it as the profile has them."""
    places = {key: place for place, key in enumerate(specs)}
    items = [item for item in snapshot.items if item.key.startswith("item.")]
    items.sort(key=lambda item: (ORDER.index(item.category), places.get(item.key, len(places)), item.key))
    return [_parameter(item, specs.get(item.key), addresses) for item in items]


def _parameter(item: Item, spec: ItemSpec | None, addresses: Addresses | None) -> Document:
    document = _value(item) | {
        "severity": item.severity,
        "about": spec.about if spec else "",
        "enter": item.category not in COMPARED,
        "address": None,
        "words": [],
        "bits": [],
    }
    notes = [document["note"], PRESENT if spec and addresses and addresses.is_present else ""]
    if spec is None and addresses is not None:
        notes.append(f"the profile {addresses.profile.name} has no such item: its address is not known")
    if spec is not None and isinstance(spec.source, Node):
        document["address"] = {"node": spec.source.node}
    elif spec is not None and isinstance(spec.source, Register):
        document["address"] = _register(spec.source)
        if spec.source.table in ("input", "discrete") and document["enter"]:
            document["enter"] = False
            notes.append(READ_ONLY)
        try:
            raw = encode(spec.source, item.value)
        except ValueError as error:
            notes.append(f"its words are not known: {error}")
        else:
            document |= _raw(spec.source, raw)
            notes.append(OTHER_BITS if raw.bits and raw.bits[0].bit is not None and document["enter"] else "")
    return document | {"note": "; ".join(note for note in notes if note)}


def _register(register: Register) -> Document:
    return {
        "table": register.table,
        "address": register.address,
        "reference": reference(register.table, register.address),
        "count": register.width,
        "type": register.type,
        "word_order": register.word_order,
        "byte_order": register.byte_order,
        "scale": register.scale,
        "offset": register.offset,
        "bit": register.bit,
        "mask": register.mask,
        "shift": register.shift,
    }


def _raw(register: Register, raw: Raw) -> Document:
    words = [
        {
            "address": register.address + place,
            "reference": reference(register.table, register.address + place),
            "hex": f"{word:04x}",
            "decimal": word,
        }
        for place, word in enumerate(raw.words)
    ]
    bits = [
        {
            "address": each.address,
            "reference": reference(register.table, each.address),
            "bit": each.bit,
            "value": each.value,
        }
        for each in raw.bits
    ]
    return {"words": words, "bits": bits}


def _not_covered(snapshot: Snapshot, addresses: Addresses | None) -> list[Document]:
    """What this kit says nothing of, and why: make sure of it yourself."""
    found = [{"item": gap.key, "kind": "unread", "why": gap.why} for gap in snapshot.unread]
    found += [{"item": each.key, "kind": "dropped", "why": each.why} for each in snapshot.dropped]
    if addresses and not addresses.is_present:
        found += [
            {"item": spec.key, "kind": "left-out", "why": "the profile names it, and nobody has approved a value"}
            for spec in addresses.profile.items
            if spec.key not in snapshot.by_key and spec.key not in snapshot.left_out and not snapshot.misses(spec.key)
        ]
    return found


def _file(attached: Attached) -> Document:
    is_there = attached.state is FileState.WHOLE
    return _artefact(attached.fitting) | {
        "state": attached.state,
        "path": f"files/{attached.name}" if is_there else None,
    }


def _artefact(fitting: Fitting) -> Document:
    artefact, of = fitting.artefact, fitting.of
    return {
        "name": artefact.name,
        "kind": artefact.kind,
        "size": artefact.size,
        "sha256": artefact.digest,
        "added_by": artefact.added_by,
        "added_at": utc_text(artefact.added_at),
        "is_earlier": fitting.is_earlier,
        "baseline": of.digest,
        "stage": of.stage,
        "note": f"of an earlier baseline, {_from(of)}: check that it still fits" if fitting.is_earlier else "",
    }


def _from(baseline: Baseline) -> str:
    """Which baseline it is, as people know it."""
    if baseline.decided_at is None:
        return f"{baseline.digest[:12]} (proposed at {utc_text(baseline.proposed_at)}, and amended)"
    return f"{baseline.digest[:12]} ({baseline.stage}, approved at {utc_text(baseline.decided_at)})"


def _checks(asset: str, has_files: bool) -> list[Document]:
    """What to do, and what has to come of it."""
    of_files = [
        ("in the folder files: sha256sum -c SHA256SUMS", "every line says OK; else load nothing"),
        ("or on Windows: Get-FileHash FILE -Algorithm SHA256", "the SHA-256 is the one in the list of files"),
    ]
    at_the_end = [(f"asbuilt check {asset}", "match: the device is again what was approved")]
    return [{"do": do, "expect": expect} for do, expect in ([*of_files, *at_the_end] if has_files else at_the_end)]


VERDICTS = (  # of asbuilt check: verdict, exit code, what it means to who restores
    ("match", 0, "done: everything that was approved was read, and is so"),
    ("drift", 1, "it lists what still differs, with the approved value: mend that, and check again"),
    ("", 2, "the call was wrong, or the store cannot be used: it says what to do"),
    ("no-longer-observable, stale, never-seen", 3, "something did not answer, so nobody knows whether it is right"),
    ("no-baseline", 3, "something answers that nobody has approved"),
)
NEW_SERIAL = "A new serial number alone: the device was replaced like for like. Have that approved as what it is."


def value_cell(row: Mapping[str, Any]) -> str:
    """A value for people: with its word, its unit and its tolerance."""
    shown = value_text(row["value"])
    if row["label"] is not None:
        shown = f"{value_text(row['label'])} ({shown})"
    if row["unit"]:
        shown = f"{shown} {value_text(row['unit'])}"
    return f"{shown} ± {row['tolerance']:g}" if row["tolerance"] else shown


def address_cell(row: Mapping[str, Any]) -> str:
    """Where an item is, for people: zero-based."""
    address = row["address"]
    if address is None:
        return "not known"
    if "node" in address:
        return value_text(address["node"])
    last = address["address"] + address["count"] - 1
    return f"{address['table']} {address['address']}" + (f" to {last}" if address["count"] > 1 else "")


def type_cell(row: Mapping[str, Any]) -> str:
    """How it is read, for people; of registers with their one-based number."""
    address = row["address"]
    if address is None or "node" in address:
        return WORDS_OF_TYPES.get(row["type"], str(row["type"]))
    words = [address["reference"], address["type"]]
    if address["count"] > 1 and address["type"] not in COUNTED:
        words.append(f"{address['word_order']} word first")
    if address["byte_order"] == "little":
        words.append("little byte first")
    if address["scale"] != 1 or address["offset"] != 0:
        words.append(f"× {address['scale']}" + (f" {address['offset']:+}" if address["offset"] else ""))
    return ", ".join(words)


def raw_parts(row: Mapping[str, Any]) -> list[str]:
    """The words or bits of an item, for people: 0x4148, 0x0000, or "bit 4 = 0", "bit 5 = 1"."""
    if row["words"]:
        return [f"0x{each['hex'].upper()}" for each in row["words"]]
    registers = {each["address"] for each in row["bits"]}
    return [
        (f"{each['address']}: " if len(registers) > 1 else "")
        + (f"bit {each['bit']} = {each['value']}" if each["bit"] is not None else f"{each['value']}")
        for each in row["bits"]
    ]
