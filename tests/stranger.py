"""A verifier as a stranger would write it, from docs/evidence.md alone: it shares no line with ours.

It verifies the chain, who signed in it, and the checkpoints (steps 1 to 5 of the page), of an export.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Row = dict[str, Any]


class Wrong(Exception):
    """At an entry, or at none (0)."""

    def __init__(self, entry: int, why: str) -> None:
        super().__init__(entry, why)
        self.entry = entry


def signed_by(key: str, signature: str, statement: Row) -> bool:
    if len(key) != 64 or len(signature) != 128 or (key + signature).strip("0123456789abcdef"):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(signature), rfc8785.dumps(statement)
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(export: Path, outside: list[Path], first_key: str = "") -> int:
    """How many entries there are, all of which verify; Wrong if one does not."""
    rows: dict[str, list[Row]] = {}
    for line in export.read_text(encoding="utf-8").split("\n"):
        if line:
            said = json.loads(line)
            rows.setdefault(said["table"], []).append(said["row"])
    entries = rows.get("audit_entry", [])
    hashes = check_chain(entries)
    check_persons(entries)
    plant = plant_keys(entries, rows.get("checkpoint", []), hashes, first_key)
    check_checkpoints(rows.get("checkpoint", []), outside, hashes, plant)
    return len(entries)


def check_chain(entries: list[Row]) -> list[str]:
    hashes = ["0" * 64]
    for number, row in enumerate(entries, 1):
        try:
            detail = json.loads(row["detail"])
            names = ("account", "action", "actor", "at", "id", "previous", "subject")
            said = {name: row[name] for name in names} | {"detail": detail}
            if not all(isinstance(said[name], str) for name in names if name != "id"):
                raise Wrong(number, "a field is no string")
            if type(row["id"]) is not int or not isinstance(detail, dict):
                raise Wrong(number, "the number is none, or the detail is no table")
            if not all(isinstance(value, str) and key.isascii() for key, value in detail.items()):
                raise Wrong(number, "the detail holds more than strings")
            digest = sha256(rfc8785.dumps(said)).hexdigest()
        except (ValueError, KeyError, TypeError, rfc8785.CanonicalizationError) as error:
            raise Wrong(number, str(error)) from error
        if (row["id"], row["previous"], row["hash"]) != (number, hashes[-1], digest):
            raise Wrong(number, "number, previous or hash")
        if json.dumps(detail, sort_keys=True) != row["detail"]:
            raise Wrong(number, "the detail is written otherwise")
        hashes.append(digest)
    return hashes


def check_persons(entries: list[Row]) -> None:
    persons: dict[str, Row] = {}
    for row in entries:
        detail = json.loads(row["detail"])
        signer = ""
        if "signature" in detail:
            said = {name: row[name] for name in ("account", "action", "actor", "at", "subject")}
            said["detail"] = {name: value for name, value in detail.items() if name not in ("key", "signature")}
            known = persons.get(row["actor"], {}).get("public_key")
            if detail.get("key") != known or not signed_by(detail["key"], detail["signature"], said):
                raise Wrong(row["id"], f"not signed by {row['actor']}")
            signer = row["actor"]
        if row["action"] in ("person.add", "person.change", "person.remove"):
            register(persons, row, detail, signer)


def register(persons: dict[str, Row], row: Row, detail: Row, signer: str) -> None:
    admins = [name for name, person in persons.items() if "admin" in person["roles"].split()]
    if persons:
        own = persons.get(signer, {"roles": ""})["roles"].split() if signer == row["subject"] else []
        less = signer == row["subject"] and set(detail.get("roles", "").split()) <= set(own)
        if not signer or (admins and signer not in admins and not less):
            raise Wrong(row["id"], "who may not say who is registered")
    if row["action"] == "person.remove":
        if persons.pop(row["subject"], None) is None:
            raise Wrong(row["id"], "nobody is registered under this name")
    else:
        persons[row["subject"]] = detail


def plant_keys(entries: list[Row], stored: list[Row], hashes: list[str], first_key: str) -> list[tuple[int, str]]:
    """From which entry on which key signs for the plant."""
    plant: list[tuple[int, str]] = []
    for row in entries:
        if row["action"] not in ("key.add", "key.rotate"):
            continue
        key = json.loads(row["detail"])["public_key"]
        if plant:
            signed = any(
                each["entries"] == row["id"]
                and each["key"] == plant[-1][1]
                and each["head"] == hashes[row["id"]]
                and signed_by(each["key"], each["signature"], statement_of(each))
                for each in stored
            )
            if row["action"] == "key.add" or not signed:
                raise Wrong(row["id"], "a key that the one before has not signed for")
        plant.append((row["id"], key))
    if first_key and (not plant or plant[0][1] != first_key):
        raise Wrong(plant[0][0] if plant else 1, "it begins with another key")
    return plant


def statement_of(row: Row) -> Row:
    return {name: row[name] for name in ("at", "entries", "head", "key")}


def check_checkpoints(stored: list[Row], outside: list[Path], hashes: list[str], plant: list[tuple[int, str]]) -> None:
    lines = [rfc8785.dumps(row).decode() for row in stored]
    if len({row["entries"] for row in stored}) < len(stored):
        raise Wrong(0, "two checkpoints at one entry")
    for row in stored:
        check_checkpoint(row, hashes, plant)
    for path in outside:
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            if not line or line in lines:
                continue
            try:
                check_checkpoint(json.loads(line), hashes, plant)
            except (ValueError, KeyError, TypeError) as error:
                if not any(each.startswith(line) for each in lines):
                    raise Wrong(0, f"no checkpoint: {line[:80]}") from error
            else:
                raise Wrong(json.loads(line)["entries"], "a checkpoint that is not in the store any more")


def check_checkpoint(row: Row, hashes: list[str], plant: list[tuple[int, str]]) -> None:
    number, last = row["entries"], len(hashes) - 1
    if not signed_by(row["key"], row["signature"], statement_of(row)):
        raise Wrong(number, "not signed")
    if row["key"] not in [key for _, key in plant]:
        raise Wrong(number, "a key that is not of this chain")
    if number > last:
        raise Wrong(last + 1, "the chain was cut")
    if number < 1 or hashes[number] != row["head"]:
        raise Wrong(number, "the chain was rewritten")
    for place, (start, key) in enumerate(plant):
        end = plant[place + 1][0] if place + 1 < len(plant) else last
        if key == row["key"] and start <= number <= end:
            return
    raise Wrong(number, "a key that was not in use then")
