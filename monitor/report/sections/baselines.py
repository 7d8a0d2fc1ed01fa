"""The approved baselines: what they hold of the five items of CIP-010 R1.1, who approved them, by which signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from baselines.baseline import Baseline, SignOff
from baselines.five import Part, five, port_text, ports_by_ip
from baselines.snapshot import Item
from monitor import store
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, has_have, is_are, listed
from monitor.report.standards import clauses_of
from monitor.report.standing import baseline_snapshots
from monitor.show import value_text
from monitor.store import Transaction

KEY = "baselines"
NOT_RECORDED = "not recorded"
SHOWN_MOST = 3  # items that one cell names
ENDPOINT = "endpoint.security_policies"  # in whose baseline it is, its OPC UA port is
FIVE = (
    Column("asset", "Asset", width=1.5),
    Column("system", "1.1.1 Operating system or firmware", width=1.5),
    Column("software", "1.1.2 Application software", width=1.3),
    Column("custom", "1.1.3 Custom software", width=1.5),
    Column("ports", "1.1.4 Ports", width=1.2),
    Column("patches", "1.1.5 Security patches", width=1.1),
    Column("baseline_digest", "Digest of the approved baseline", Form.CODE, 0),
)
ITEMS = (
    Column("asset", "Asset", width=1.5),
    Column("part", "Part", width=0.5),
    Column("item", "Item", Form.CODE, 2),
    Column("value", "Approved value", Form.CODE, 2.2),
    Column("category", "Category", width=0.8),
    Column("source", "From the baseline of", width=1),
)
APPROVALS = (
    Column("asset", "Asset", width=1.5),
    Column("baseline", "Baseline", Form.CODE, 1.1),
    Column("stage", "Stage", width=0.6),
    Column("approved_by", "Approved by", width=1),
    Column("approved_at", "Approved", Form.TIME, 1.3),
    Column("ticket", "Ticket", width=0.8),
    Column("signatures", "Signed off by", width=2.2),
    Column("digest", "Digest", Form.CODE, 0),
    Column("proposed_by", "Proposed by", width=0),
    Column("proposed_at", "Proposed", Form.TIME, 0),
    Column("reason", "Reason", width=0),
    Column("items", "Items", Form.NUMBER, 0),
    Column("unread", "Items that could not be read", Form.NUMBER, 0),
    Column("dropped", "Items that are not compared", Form.NUMBER, 0),
    Column("profile", "Digest of the profile", Form.CODE, 0),
    Column("capture", "Digest of the capture", Form.CODE, 0),
)
ABOUT = (
    "CIP-010-4 R1.1 asks for five items in the baseline of each asset. What stands here is what the approved snapshot"
    " of each device holds: 1.1.1 items of the category firmware; 1.1.2 what an OPC UA server says of its software, and"
    " items that a profile names so; 1.1.3 items of the category program, such as checksums; 1.1.4 the endpoint of an"
    " OPC UA server, and the services that were heard at the address of the device and approved with its network"
    " segment; 1.1.5 items that a profile names as patches.",
    "“Not recorded” means that the approved baseline says nothing of it, not that there is none. A port that nobody has"
    " used was not heard. Controllers seldom say which patches they have: their firmware is their patch level.",
)


@dataclass(frozen=True, slots=True)
class _Held:
    """What the approved baseline of one asset holds: its five items as (item, value, category, source), and counts."""

    parts: Mapping[Part, Sequence[tuple[str, str, str, str]]]
    items: int
    unread: int
    dropped: int


def baselines(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    approved = store.baselines_at(tx, scope.until)
    devices = [name for name in scope.names if name not in scope.plant.segments]
    held = _held(tx, scope, approved)
    with_baseline = [name for name in devices if name in approved]
    signatures = _signatures(tx, scope.until, approved)
    proposed = store.proposals_at(tx, scope.until)
    return Section(
        KEY,
        "Baselines and who approved them",
        (
            Text(ABOUT),
            Table(
                "five-items",
                "The five items of R1.1, by device",
                FIVE,
                [_five_row(name, approved.get(name), held.get(name)) for name in devices],
                "There are no devices.",
            ),
            Table(
                "baseline-items",
                "Which items these are",
                ITEMS,
                [row for name in with_baseline for row in _item_rows(name, held[name])],
                "No approved baseline holds any of the five.",
            ),
            Table(
                "approvals",
                "Approved baselines",
                APPROVALS,
                [
                    _approval_row(name, approved.get(name), held.get(name), signatures)
                    for name in sorted(scope.names, key=lambda name: name in approved)
                ],
                "There are no assets.",
            ),
        ),
        clauses_of(KEY),
        (
            _approved_finding(scope.names, approved, proposed),
            *_part_findings([held[name] for name in with_baseline], len(devices)),
            *_signed_finding([signatures.get(approved[name].id, []) for name in scope.names if name in approved]),
        ),
    )


def _held(tx: Transaction, scope: Scope, approved: Mapping[str, Baseline]) -> dict[str, _Held]:
    ports = _heard_ports(tx, scope, approved)
    named: dict[str, list[str]] = {}
    for name in scope.names:
        if name in approved:
            named.setdefault(approved[name].digest, []).append(name)
    found = {}
    for digest, snapshot in baseline_snapshots(tx, [approved[names[0]] for names in named.values()]):
        parts = five(snapshot)
        for name in named[digest]:
            polled = scope.plant.assets.get(name)
            heard = ports.get(polled.target.address.host, []) if polled else []
            open_at = polled.target.address.port if polled and ENDPOINT in snapshot.by_key else None
            shown = {part: [_shown(item, name) for item in items] for part, items in parts.items()}
            if open_at is not None:
                shown[Part.PORTS].append((ENDPOINT, f"tcp/{open_at} (opc.tcp)", "security", name))
            shown[Part.PORTS] += heard
            found[name] = _Held(shown, len(snapshot.items), len(snapshot.unread), len(snapshot.dropped))
    return found


def _heard_ports(
    tx: Transaction, scope: Scope, approved: Mapping[str, Baseline]
) -> dict[str, list[tuple[str, str, str, str]]]:
    """By IP address the services that were heard there and approved, of all segments of the plant."""
    segments = {approved[name].digest: name for name in scope.plant.segments if name in approved}
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for digest, snapshot in baseline_snapshots(tx, [approved[name] for name in segments.values()]):
        for ip, services in ports_by_ip(snapshot).items():
            heard = [(each.key, port_text(each), each.category.value, segments[digest]) for each in services]
            found.setdefault(ip, []).extend(heard)
    return found


def _shown(item: Item, source: str) -> tuple[str, str, str, str]:
    return item.key, value_text(item.shown), item.category.value, source


def _five_row(name: str, approved: Baseline | None, held: _Held | None) -> tuple[Cell, ...]:
    cells = [_cell(part, held) for part in Part]
    return (name, *cells, approved.digest if approved else None)


def _cell(part: Part, held: _Held | None) -> str:
    """The first few of the items of a part; ports by themselves say what they are."""
    if held is None:
        return "no approved baseline"
    found = held.parts[part]
    if not found:
        return NOT_RECORDED
    shown = [value if part is Part.PORTS else f"{_short(key)}: {value}" for key, value, *_ in found[:SHOWN_MOST]]
    more = [f"and {len(found) - SHOWN_MOST} more"] if len(found) > SHOWN_MOST else []
    return "; ".join([*shown, *more])


def _short(key: str) -> str:
    return key.removeprefix("identity.").removeprefix("item.")


def _item_rows(name: str, held: _Held) -> Iterator[tuple[Cell, ...]]:
    for part in Part:
        for key, value, category, source in held.parts[part]:
            yield name, part.value, key, value, category, source


def _signatures(
    tx: Transaction, until: datetime, approved: Mapping[str, Baseline]
) -> dict[int, list[tuple[SignOff, str]]]:
    """By the number of an approved baseline who signed it off, each with the key with which they signed, or ""."""
    given = store.all_sign_offs(tx, until)
    told = store.entries_of(tx, ["baseline.sign", "baseline.approve"], until)
    keys = {(each.at, each.actor, each.detail.get("digest", "")): each.detail.get("key", "") for each in told}
    return {
        each.id: [(word, keys.get((word.at, word.by, each.digest), "")) for word in given.get(each.id, [])]
        for each in approved.values()
    }


def _approval_row(
    name: str,
    approved: Baseline | None,
    held: _Held | None,
    signatures: Mapping[int, Sequence[tuple[SignOff, str]]],
) -> tuple[Cell, ...]:
    if approved is None or held is None:
        return (name, "none", *(None,) * (len(APPROVALS) - 2))
    return (
        name,
        approved.digest[:12],
        approved.stage.value,
        approved.decided_by,
        approved.decided_at,
        approved.ticket or None,
        "; ".join(_signature(*each) for each in signatures[approved.id]) or None,
        approved.digest,
        approved.proposed_by,
        approved.proposed_at,
        approved.reason or None,
        held.items,
        held.unread,
        held.dropped,
        approved.profile or None,
        approved.capture,
    )


def _signature(word: SignOff, key: str) -> str:
    role = f" as {word.role}" if word.role else ""
    return f"{word.by}{role}, {f'key {key[:8]}' if key else 'by name, without a key'}"


def _approved_finding(
    names: Sequence[str], approved: Mapping[str, Baseline], proposed: Mapping[str, Baseline]
) -> Finding:
    there = sum(1 for name in names if name in approved)
    text = f"Of {counted(len(names), 'asset')} {there:,} {has_have(there)} an approved baseline"
    if there == len(names):
        return Finding(Weight.GOOD, f"{text}.", KEY)
    left = len(names) - there
    waiting = sum(1 for name in names if name not in approved and name in proposed)
    wait = f", {waiting:,} of them with a proposal that waits for approval" if waiting else ""
    return Finding(Weight.BAD, f"{text}; {left:,} {has_have(left)} none{wait}.", KEY)


def _part_findings(held: Sequence[_Held], devices: int) -> Iterator[Finding]:
    if not held:
        return
    counts = {part: sum(1 for each in held if each.parts[part]) for part in Part}
    missing = [part for part in Part if counts[part] < len(held)]
    of = f"Of {counted(len(held), 'device')} with an approved baseline (of {devices:,} in scope)"
    recorded = listed([f"{part} of {counts[part]:,}" for part in Part])
    weight = Weight.UNKNOWN if missing else Weight.GOOD
    rest = ": of the others the baseline does not say it" if missing else ""
    yield Finding(weight, f"{of}, the baseline records {recorded}{rest}.", KEY)


def _signed_finding(given: Iterable[Sequence[tuple[SignOff, str]]]) -> Iterator[Finding]:
    approvals = list(given)
    if not approvals:
        return
    signed = sum(1 for words in approvals if words and all(key for _, key in words))
    text = f"Of {counted(len(approvals), 'approval')} {signed:,} {is_are(signed)} signed with persons' own keys"
    if signed == len(approvals):
        yield Finding(Weight.GOOD, f"{text}.", KEY)
    else:
        yield Finding(Weight.ATTENTION, f"{text}; the others rest on the name that was given.", KEY)
