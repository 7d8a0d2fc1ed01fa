"""How baselines were captured, what could not be read, what varied, and what was decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from baselines.asset import identity_values
from baselines.capture import Captured, Choice, Decision, Sort
from monitor.report.approvals import Told
from monitor.report.captured import Record
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.dossier import (
    ASSET,
    SHORT,
    STAGE,
    digest_columns,
    dossier,
    is_gone,
    snapshot,
    snapshot_lines,
    standing,
)
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.show import value_text
from monitor.store import Transaction

CAPTURES, VARIED = "captures", "varied"
UNDECIDED, LEFT_OUT = "undecided", "left-out"
DECIDED = {Choice.KEEP: "kept", Choice.TOLERATE: "tolerated", Choice.DROP: "dropped"}
FIRST = (UNDECIDED, LEFT_OUT)  # what is not compared, and nobody said that it need not be
IDENTITY = ("manufacturer", "product_code", "model", "hardware_revision")
LINE, IDENTITY_LINE, UNREAD_LINE, DROPPED_LINE = '{"key":', '{"key":"identity.', '{"unread":', '{"dropped":'

OF_CAPTURES = (
    ASSET,
    STAGE,
    Column("until", "Captured", Form.TIME, 1.3),
    Column("captures", "Captures", Form.NUMBER, 0.8),
    Column("seconds", "over", Form.SECONDS, 0.6),
    Column("firmware", "Firmware", width=1),
    Column("serial_number", "Serial number", width=1.2),
    Column("items", "Items", Form.NUMBER, 0.6),
    *digest_columns(),
    Column("state", "State", Form.STATE, 0),
    *(Column(name, name.replace("_", " ").capitalize(), width=0) for name in IDENTITY),
    Column("profile", "Profile", width=0),
    Column("profile_digest", "Profile's digest", Form.CODE, 0),
    Column("from", "First capture", Form.TIME, 0),
    Column("constant", "Constant", Form.NUMBER, 0),
    Column("varying", "Varying", Form.NUMBER, 0),
    Column("dropped", "Dropped", Form.NUMBER, 0),
    Column("unread", "Unread", Form.NUMBER, 0),
    Column("capture", "Record of the captures", Form.CODE, 0),
    Column("origin", "Key of the bundle", Form.CODE, 0),
)
PROFILES = (
    Column("profile", "Profile"),
    Column("baselines", "Baselines", Form.NUMBER, 0.7),
    Column("profile_digest", "Its SHA-256", Form.CODE, 3),
)
UNREAD = (
    ASSET,
    STAGE,
    Column("item", "Item", Form.CODE, 2),
    Column("missed", "Not answered", Form.NUMBER, 0.8),
    Column("captures", "of captures", Form.NUMBER, 0.8),
    Column("in_baseline", "In the baseline", width=0.8),
    Column("why", "Why", width=2),
)
OF_VARIED = (
    ASSET,
    STAGE,
    Column("item", "Item", Form.CODE, 1.8),
    Column("spread", "What was read", width=2.2),
    Column("decided", "Decided", Form.STATE, 1),
    Column("why", "Why", width=1.8),
    Column("by", "By", width=1.2),
    Column("reason", "Reason", width=0),
    Column("changes", "Changed", Form.NUMBER, 0),
    Column("low", "Least", width=0),
    Column("high", "Greatest", width=0),
    Column("values", "Values, as JSON", Form.CODE, 0),
    Column("missed", "Not answered", Form.NUMBER, 0),
    Column("tolerance", "Tolerance", Form.NUMBER, 0),
    Column("digest", "Digest", Form.CODE, 0),
)


def captures(tx: Transaction, scope: Scope) -> Section:
    """Per baseline: when and how often it was read, of which device, with which profile, and what was not read."""
    found = dossier(tx, scope)
    of = found.contents
    rows: list[tuple[Cell, ...]] = []
    unread: list[tuple[Cell, ...]] = []
    asked = gone = once = 0
    for told, lines in snapshot_lines(tx, of):
        record = found.records[told.baseline.id]
        gaps = list(_unread(record, lines))
        rows.append(_capture_row(scope, record, lines, sum(not gap[5] for gap in gaps)))
        unread += gaps
        once += record.captures == 1
        gone += record.captures is None or is_gone(told, lines)
        asked += sum(line.startswith((LINE, UNREAD_LINE)) for line in lines)
    blocks = (
        Table("captures", "What was captured", OF_CAPTURES, rows, "Nothing was captured."),
        Table("profiles", "The profiles that say what is read", PROFILES, _profiles(scope, of), "None was used."),
        Table("unread", "What was not answered", UNREAD, unread, "All that was asked for was answered each time."),
    )
    missing = sum(not row[5] for row in unread)
    findings = (*_gone_findings(len(rows), gone), *_capture_findings(len(rows), once, gone, asked, missing))
    return Section(CAPTURES, "Captures", blocks, findings=findings)


def _capture_row(scope: Scope, record: Record, lines: Sequence[str], unread: int) -> tuple[Cell, ...]:
    told, of = record.told, record.told.baseline
    said = identity_values(snapshot(told, [line for line in lines if line.startswith(IDENTITY_LINE)]).items)
    items = None if is_gone(told, lines) else sum(line.startswith(LINE) for line in lines)
    dropped = sum(line.startswith(DROPPED_LINE) for line in lines)
    return (
        *(of.asset, of.stage.value, record.until, record.captures, (record.until - record.since).total_seconds()),
        *(_text(said["software_revision"]), _text(said["serial_number"]), items),
        *(of.digest[:SHORT], of.digest, standing(told), *(_text(said[name]) for name in IDENTITY)),
        *(_profile_name(scope, of.profile), of.profile or None, record.since, record.constant, record.varying),
        *(dropped, unread, of.capture, of.origin),
    )


def _text(value: Any) -> str | None:
    return None if value is None else value_text(value)


def _profile_name(scope: Scope, digest: str) -> str | None:
    known = scope.plant.profiles.by_digest(digest)
    return known.name if known else None


def _profiles(scope: Scope, of: Sequence[Told]) -> list[tuple[Cell, ...]]:
    counts: dict[str, int] = {}
    for told in of:
        counts[told.baseline.profile] = counts.get(told.baseline.profile, 0) + 1
    named = [(_profile_name(scope, digest) or "no longer known", count, digest) for digest, count in counts.items()]
    return sorted(named, key=lambda row: (row[0], row[2]))


def _unread(record: Record, lines: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    """What is missing in a baseline, and then what was missed in some captures and read in the last."""
    of = record.told.baseline
    missed = {each.key: each for each in record.captured if each.missed}
    gaps = snapshot(record.told, [line for line in lines if line.startswith(UNREAD_LINE)]).unread
    for gap in gaps:
        known = missed.pop(gap.key, None)
        times = known.missed if known else record.captures
        yield of.asset, of.stage.value, gap.key, times, record.captures, False, gap.why
    for each in missed.values():
        if each.sort is not Sort.UNREAD:
            yield of.asset, of.stage.value, each.key, each.missed, record.captures, True, each.why


def _gone_findings(baselines: int, gone: int) -> Iterator[Finding]:
    if gone:
        what = f"Of {counted(baselines, 'baseline')} {gone:,} cannot be shown as captured: what was kept of"
        yield Finding(Weight.BAD, f"{what} them is missing in the store, or was changed (asbuilt verify).", CAPTURES)


def _capture_findings(baselines: int, once: int, gone: int, asked: int, missing: int) -> Iterator[Finding]:
    if once:
        what = f"Of {counted(baselines, 'baseline')} {once:,} of a single reading:"
        yield Finding(Weight.ATTENTION, f"{what} what varies there by itself is not known.", CAPTURES)
    elif baselines and not gone:
        every = f"Every one of {counted(baselines, 'baseline')} was read more than once."
        yield Finding(Weight.GOOD, every, CAPTURES)
    if missing:
        yield Finding(Weight.UNKNOWN, f"Of {counted(asked, 'item')} asked for {missing:,} not answered.", CAPTURES)


def varied(tx: Transaction, scope: Scope) -> Section:
    """What was not the same in every capture, and what was decided about it; what nobody decided about first."""
    of = dossier(tx, scope)
    rows = [row for told in of.contents for row in _varied(of.records[told.baseline.id])]
    rows.sort(key=lambda row: row[4] not in FIRST)
    about = (
        "What varies by itself is left out of a baseline until somebody decides about it: it is kept and compared"
        " exactly, tolerated within an amount, or dropped, which means read still and not compared. What is undecided"
        " or was left out is unapproved."
    )
    note = "A tolerance of the profile is no decision: what stays within it did not vary."
    table = Table(
        "varied", "What varied, and what was decided", OF_VARIED, rows, "Nothing varied, and nothing was decided.", note
    )
    return Section(VARIED, "What varied", (Text((about,)), table), findings=tuple(_varied_findings(rows)))


def _varied(record: Record) -> Iterator[tuple[Cell, ...]]:
    decided = {decision.key: decision for decision in record.decisions}
    part = record.told.part
    for each in record.captured:
        decision = decided.get(each.key)
        left_out = part is not None and each.key not in part
        if each.sort is Sort.VARYING or decision or (left_out and each.sort is not Sort.UNREAD):
            yield _varied_row(record, each, decision, left_out)


def _varied_row(record: Record, each: Captured, decision: Decision | None, left_out: bool) -> tuple[Cell, ...]:
    of = record.told.baseline
    word = LEFT_OUT if left_out else DECIDED[decision.choice] if decision else UNDECIDED
    reason = decision.reason if decision else "the approver took a part" if left_out else None
    tolerance = decision.tolerance if decision and decision.choice is Choice.TOLERATE else None
    why = f"± {tolerance:g}: {reason}" if tolerance else reason
    return (
        *(of.asset, of.stage.value, each.key, _spread(each), word, why, decision.by if decision else None),
        *(reason, each.changes, _text(each.low), _text(each.high), json.dumps(each.values), each.missed),
        *(tolerance, of.digest),
    )


def _spread(each: Captured) -> str:
    """What was read of an item: from where to where, or which values, and how often it changed."""
    if each.low is not None and each.low != each.high:
        read = f"{value_text(each.low)} to {value_text(each.high)}"
    else:
        read = ", ".join(map(value_text, each.values)) or "nothing"
    return f"{read}; {counted(each.changes, 'change')}" if each.changes else read


def _varied_findings(rows: Sequence[tuple[Cell, ...]]) -> Iterator[Finding]:
    left_out = sum(row[4] == LEFT_OUT for row in rows)
    undecided = sum(row[4] == UNDECIDED for row in rows)
    varied = len(rows) - left_out
    if undecided:
        of = f"Varied, or decided about: {counted(varied, 'item')}; {undecided:,} undecided, and so unapproved."
        yield Finding(Weight.ATTENTION, of, VARIED)
    elif rows:
        yield Finding(Weight.GOOD, f"Every one of {counted(varied, 'item')} that varied was decided about.", VARIED)
    if left_out:
        yield Finding(Weight.ATTENTION, f"{counted(left_out, 'item')} not taken by the approver.", VARIED)
