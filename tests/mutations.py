"""Ways to tamper with evidence, as somebody would who can write to the store but has no key of the plant.

A mutation is a change of what the evidence says. What docs/evidence.md calls no evidence is none: see `says_nothing`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from monitor.keys import Signer
from monitor.verifier import CASE, COMPARED, FIELDS, GENESIS, SIGNED, canonical, line_of
from tests.histories import Tables

Row = dict[str, Any]

RECORDS = ("baseline", "sign_off", "person", "change_order", "expectation", "excess", "alert", "alert_move")
EVIDENCE = ("audit_entry", "checkpoint", "asset", "snapshot", "document", *RECORDS)
REFERRED = {  # which columns hold the number of a row of a table
    "asset": (("baseline", "asset_id"), ("expectation", "asset_id"), ("excess", "asset_id"), ("alert", "asset_id")),
    "baseline": (("sign_off", "baseline_id"),),
}


@dataclass
class Evidence:
    """The evidence in a store, the text of a file with checkpoints, and earlier copies of the store."""

    tables: Tables
    outside: str
    copies: list[Tables]

    def copied(self) -> Evidence:
        tables = {table: [dict(row) for row in rows] for table, rows in self.tables.items()}
        return Evidence(tables, self.outside, self.copies)


def says_nothing(tables: Tables, table: str, row: Row, column: str) -> str:
    """Why a cell is no evidence; "" if it is."""
    if column == "id" and table in ("baseline", "sign_off", "person", "expectation", "excess", "alert_move", "asset"):
        referred = any(other[name] == row["id"] for there, name in REFERRED.get(table, ()) for other in tables[there])
        return "" if referred else "a row number to which nothing refers"
    if table == "asset" and column != "name":
        return "" if column == "id" else "the life of an asset"
    if table == "asset" and not any(
        other[name] == row["id"] for there, name in REFERRED["asset"] for other in tables[there]
    ):
        return "an asset of which nothing is said"
    if table == "alert":
        return _says_nothing_of_an_alarm(tables, row, column)
    if table == "alert_move" and column not in ("before", "after", "alert_id", "by"):
        compared = row["by"] is not None and column in COMPARED["alert_move"]
        return "" if compared else "what the program itself noted of an alarm"
    if table == "person" and column == "sealed":
        return ""
    return ""


def _says_nothing_of_an_alarm(tables: Tables, row: Row, column: str) -> str:
    last = [move for move in tables["alert_move"] if move["alert_id"] == row["id"]][-1]
    by_people = {"acknowledge": ("reason", "acknowledged_by"), "shelve": ("reason", "shelved_until")}
    said = by_people.get(last["event"], ()) if last["by"] is not None else ()
    known = (*CASE, *said, "state", "id", "asset_id")
    if column == "asset_id" and not any(
        move["by"] is not None for move in tables["alert_move"] if move["alert_id"] == row["id"]
    ):
        return "an alarm of which nobody has said anything"
    if column == "acknowledged_by" and row[column] is None:
        return ""
    return "" if column in known else "what the program itself noted of an alarm"


def other_value(value: Any, chance: random.Random, others: list[Any]) -> Any:
    """Another value in the place of one."""
    if isinstance(value, int):
        return value + chance.choice((1, -1, 1000))
    near = [each for each in others if each != value]
    if value is None:
        return chance.choice([*near, "x"])
    place = chance.randrange(len(value) + 1)
    letter = value[place : place + 1]
    made = {
        value[:place] + chance.choice("0aß ") + value[place + 1 :],
        value[:place] + value[place + 1 :],
        value[:place] + letter.swapcase() + value[place + 1 :],
        value + chance.choice(" \n\0x"),
        *near[:3],
    }
    return chance.choice(sorted(str(each) for each in made if each != value))


def edit_cell(found: Evidence, chance: random.Random) -> str:
    table = chance.choice([table for table in EVIDENCE if found.tables[table]])
    rows = found.tables[table]
    row = chance.choice(rows)
    column = chance.choice(list(row))
    if why := says_nothing(found.tables, table, row, column):
        return f"({why})"
    before = row[column]
    row[column] = other_value(before, chance, [other[column] for other in rows])
    if table == "alert" and column in CASE and (row[column] or None) == (before or None):
        return "(no mutation)"
    if table == "audit_entry" and column == "detail" and _equal_json(before, row[column]):
        return "an entry written otherwise"
    return f"a cell of {table}"


def _equal_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def delete_row(found: Evidence, chance: random.Random) -> str:
    table = chance.choice([table for table in EVIDENCE if found.tables[table]])
    rows = found.tables[table]
    row = rows.pop(chance.randrange(len(rows)))
    if table == "asset" and says_nothing(found.tables, table, row, "name"):
        return "(an asset of which nothing is said)"
    if table == "alert_move" and row["by"] is None:
        ends = [move for move in rows if move["alert_id"] == row["alert_id"]]
        if row["before"] == row["after"] and ends:
            return "(what the program itself noted of an alarm)"
    return f"a row of {table} deleted"


def double_row(found: Evidence, chance: random.Random) -> str:
    """A row that is there twice, under a number of its own where it has one."""
    table = chance.choice([table for table in EVIDENCE if table not in ("asset", "alert") and found.tables[table]])
    rows = found.tables[table]
    row = dict(chance.choice(rows))
    if table == "alert_move" and row["by"] is None and row["before"] == row["after"]:
        return "(what the program itself noted of an alarm)"
    if "id" in row:
        row["id"] = max(other["id"] for other in rows) + 1
    rows.append(row)
    return f"a row of {table} doubled"


def swap_rows(found: Evidence, chance: random.Random) -> str:
    """Two rows in each other's place."""
    tables = ("audit_entry", "baseline", "sign_off", "person", "change_order", "expectation", "checkpoint")
    table = chance.choice([table for table in tables if len(found.tables[table]) > 1])
    rows = found.tables[table]
    one, other = chance.sample(range(len(rows)), 2)
    key = "entries" if table == "checkpoint" else "id"
    rows[one], rows[other] = (
        {**rows[other], key: rows[one][key]},
        {**rows[one], key: rows[other][key]},
    )
    names = ("previous", "hash", *FIELDS) if table == "audit_entry" else COMPARED.get(table, SIGNED)
    same = all(rows[one].get(name) == rows[other].get(name) for name in names if name in rows[one] and name != key)
    plain = {"asset_id", "baseline_id", "order_id", "sealed"} & set(rows[one])
    if same and all(rows[one][name] == rows[other][name] for name in plain):
        return "(no mutation)"
    return f"rows of {table} swapped"


def rehash(rows: list[Row]) -> None:
    """Make a chain consistent, as anybody can."""
    previous = GENESIS
    for row in rows:
        row["previous"] = previous
        said = {**{name: row[name] for name in FIELDS}, "detail": json.loads(row["detail"])}
        row["hash"] = previous = sha256(canonical(said)).hexdigest()


def rewrite_chain(found: Evidence, chance: random.Random) -> str:
    """Edit, drop or slip in an entry, and make the chain anew from there on."""
    rows = found.tables["audit_entry"]
    place = chance.randrange(len(rows))
    match chance.randrange(3):
        case 0:
            column = chance.choice(("actor", "account", "subject", "at", "action"))
            rows[place][column] += "x"
        case 1:
            del rows[place]
        case _:
            rows.insert(place, {**rows[place], "actor": "mallory"})
    for number, row in enumerate(rows, 1):
        row["id"] = number
    rehash(rows)
    return "a chain made anew from an edit on"


def cut_tail(found: Evidence, chance: random.Random) -> str:
    del found.tables["audit_entry"][-chance.randint(1, 9) :]
    return "a tail cut off"


def cut_tail_and_checkpoints(found: Evidence, chance: random.Random) -> str:
    """With the checkpoints of the store, as far as they would tell."""
    rows = found.tables["audit_entry"]
    del rows[-chance.randint(1, 9) :]
    found.tables["checkpoint"] = [row for row in found.tables["checkpoint"] if row["entries"] <= len(rows)]
    return "a tail cut off with its checkpoints"


def roll_back(found: Evidence, chance: random.Random) -> str:
    found.tables = deepcopy(chance.choice(found.copies[:-1]))
    return "a store rolled back"


def edit_outside(found: Evidence, chance: random.Random) -> str:
    """One letter of the file outside."""
    place = chance.randrange(len(found.outside))
    before = found.outside[place]
    after = chance.choice([letter for letter in 'abcdef0123456789{}",:\n' if letter != before])
    found.outside = found.outside[:place] + after + found.outside[place + 1 :]
    if before == "\n" and place == len(found.outside) - 1:
        return "a letter of a checkpoint outside" if after != "\n" else "(no mutation)"
    return "a letter of a checkpoint outside"


def sign_anew(found: Evidence, chance: random.Random) -> str:
    """A checkpoint by a key of one's own, in the store and outside."""
    signer, rows = Signer.new(), found.tables["checkpoint"]
    row = chance.choice(rows)
    before = line_of(row)
    row["key"] = signer.key
    row["signature"] = signer.sign(canonical({name: row[name] for name in SIGNED}))
    found.outside = found.outside.replace(before, line_of(row))
    return "a checkpoint signed by another key"


def bring_key(found: Evidence, chance: random.Random) -> str:
    """An entry that brings a key of one's own, and a checkpoint by it; also outside."""
    signer, rows = Signer.new(), found.tables["audit_entry"]
    detail = json.dumps({"public_key": signer.key, "reason": "yearly"}, sort_keys=True)
    action = chance.choice(("key.rotate", "key.add"))
    rows.append({**rows[-1], "id": len(rows) + 1, "action": action, "detail": detail, "actor": "kim"})
    rehash(rows)
    made = {"at": rows[-1]["at"], "entries": len(rows), "head": rows[-1]["hash"], "key": signer.key}
    made["signature"] = signer.sign(canonical(made))
    found.tables["checkpoint"].append(made)
    found.outside += line_of(made) + "\n"
    return "a key brought by oneself"


MUTATIONS: list[Callable[[Evidence, random.Random], str]] = [
    *[edit_cell] * 12,
    *[delete_row] * 3,
    *[double_row] * 2,
    *[swap_rows] * 2,
    *[rewrite_chain] * 3,
    cut_tail,
    cut_tail_and_checkpoints,
    roll_back,
    *[edit_outside] * 3,
    sign_anew,
    bring_key,
]
