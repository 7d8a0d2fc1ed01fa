"""What commands show: the JSON documents of DESIGN's contract, and the same for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from baselines.alert import OUT_OF_SERVICE, Alert, Event, Move
from baselines.asset import identity_values
from baselines.baseline import Baseline, SignOff, State
from baselines.drift import DEVIATIONS, Kind
from baselines.life import Moved
from baselines.rules import CLAIMED, Direction, Finding
from baselines.snapshot import Item, utc_text
from monitor.pipeline import Checked


def checked_document(checked: Checked) -> dict[str, Any]:
    """One asset of `identify`, `poll` and `check`."""
    snapshot = checked.snapshot
    items = snapshot.items if snapshot else ()
    return {
        "asset": checked.asset,
        "verdict": checked.verdict,
        "taken_at": utc_text(snapshot.taken_at) if snapshot else None,
        "digest": snapshot.digest if snapshot else None,
        "profile_digest": snapshot.profile if snapshot else None,
        "identity": identity_values(items),
        "items": {item.key: item.shown for item in items},
        "unread": list(checked.unread),
        "why_unread": {gap.key: gap.why for gap in snapshot.unread} if snapshot else {},
        "uncertain": [item.key for item in items if item.uncertain],
        "error": {"kind": checked.error.kind, "text": checked.error.text} if checked.error else None,
        "sent": {"connections": checked.sent.connections, "requests": checked.sent.requests},
        "deviations": [deviation_document(finding) for finding in checked.findings],
        "unapproved": list(checked.unapproved),
    }


def deviation_document(finding: Finding) -> dict[str, Any]:
    """One deviation."""
    deviation = finding.deviation
    return {
        "item": deviation.key,
        "kind": deviation.kind,
        "approved": _shown(deviation.approved),
        "observed": _shown(deviation.observed),
        "category": deviation.item.category,
        "severity": finding.severity,
        "techniques": list(finding.techniques),
        "direction": finding.direction,
        "unit": deviation.item.unit,
        "suppressed_by": finding.suppressed_by,
    }


def _shown(item: Item | None) -> Any:
    return None if item is None else item.shown


def alert_document(alert: Alert) -> dict[str, Any]:
    """One alarm."""
    return {
        "id": alert.id,
        "asset": alert.asset,
        "item": alert.item,
        "kind": alert.kind,
        "approved": alert.approved,
        "observed": alert.observed,
        "state": alert.state,
        "severity": alert.severity,
        "category": alert.category,
        "techniques": list(alert.techniques),
        "direction": alert.direction,
        "raised_at": utc_text(alert.raised_at),
        "changed_at": utc_text(alert.changed_at),
        "who": alert.who,
        "acknowledged_by": alert.acknowledged_by,
        "shelved_until": _moment(alert.shelved_until),
        "reason": alert.reason,
        "suppressed_by": alert.suppressed_by,
        "cause": alert.cause,
        "prevention": alert.prevention,
        "closed_by": alert.closed_by,
        "closed_at": _moment(alert.closed_at),
        "text": alert_text(alert),
    }


def move_document(move: Moved) -> dict[str, Any]:
    """One move of an alarm."""
    return {
        "at": utc_text(move.at),
        "event": move.event,
        "before": move.before,
        "after": move.after,
        "observed": json.loads(move.observed) if move.observed else None,
        "by": move.by,
        "reason": move.reason,
    }


def baseline_document(baseline: Baseline) -> dict[str, Any]:
    """One baseline."""
    approved = baseline.state in (State.APPROVED, State.SUPERSEDED) and baseline.decided_by is not None
    return {
        "asset": baseline.asset,
        "digest": baseline.digest,
        "state": baseline.state,
        "stage": baseline.stage,
        "proposed_by": baseline.proposed_by,
        "proposed_at": utc_text(baseline.proposed_at),
        "approved_by": baseline.decided_by if approved else None,
        "approved_at": _moment(baseline.decided_at) if approved else None,
        "rejected_by": baseline.decided_by if baseline.state is State.REJECTED else None,
        "rejected_at": _moment(baseline.decided_at) if baseline.state is State.REJECTED else None,
        "reason": baseline.reason,
        "ticket": baseline.ticket,
        "origin": baseline.origin,
        "profile": baseline.profile,
    }


def sign_off_document(word: SignOff) -> dict[str, Any]:
    """One person's word for a proposal."""
    return {"by": word.by, "role": word.role, "at": utc_text(word.at), "reason": word.reason, "ticket": word.ticket}


def signed_lines(baseline: Baseline, words: Iterable[SignOff], left: Iterable[str]) -> list[str]:
    """Who proposed a baseline, who signed it off, and who has still to."""
    ticket = f" ({baseline.ticket})" if baseline.ticket else ""
    lines = [f"taken in from a bundle that {baseline.origin} signed"] if baseline.origin else []
    lines.append(f"proposed by {baseline.proposed_by} at {utc_text(baseline.proposed_at)}{ticket}")
    for word in words:
        role = f" as {word.role}" if word.role else ""
        lines.append(f"signed off by {word.by}{role} at {utc_text(word.at)}: {word.reason}")
    return lines + [f"still to sign: {role}" for role in left]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)


def alert_text(alert: Alert) -> str:
    """The alarm as a sentence: "line1/filler: item.fill_limit changed from 12.5 to 14.0"."""
    told = change_text(alert.item, alert.kind, alert.approved, alert.observed, alert.direction)
    return f"{alert.asset}: {told}{_by_whom(alert)}"


def _by_whom(alert: Alert) -> str:
    """Who did it, as an addition to a sentence; of what was seen on the wire the sentence says it already."""
    if not alert.who or alert.kind not in DEVIATIONS:
        return ""
    client, name = alert.who.get("client"), alert.who.get("name")
    by = f"{value_text(name)} ({value_text(client)})" if name else value_text(client)
    return f", done by {by} over {value_text(alert.who.get('protocol'))} at {value_text(alert.who.get('at'))}"


def move_text(move: Move) -> str:
    """What happened to an alarm as a sentence."""
    alert = move.alert
    match move.event:
        case Event.CONFORMS:
            return f"{alert.asset}: {alert.item} {_ended(alert)}"
        case Event.UNSHELVE:
            return f"{alert_text(alert)} (no longer shelved)"
        case Event.UNSUPPRESS:
            return f"{alert_text(alert)} (no longer suppressed)"
    return alert_text(alert)


def _ended(alert: Alert) -> str:
    match alert.kind:
        case Kind.ADDED:
            return "is gone again"
        case Kind.CONFLICT:
            return "is no longer contradicted"
        case Kind.EVENT | Kind.SELFTEST:
            return "is over, and waits for somebody to acknowledge it"
        case Kind.BLIND:
            return "is over: it sees again"
    return f"is back as approved: {value_text(alert.approved)}"


def change_text(item: str, kind: str, approved: Any, observed: Any, direction: str | None = None) -> str:
    """A deviation as a sentence, without the asset."""
    match kind:
        case "added":
            return f"{item} is new: {value_text(observed)}"
        case "removed":
            return f"{item} is gone; it was {value_text(approved)}"
        case "conflict" if item == CLAIMED:
            return f"{item}: its address is claimed by {value_text(approved)}, and by {value_text(observed)} too"
        case "conflict":
            return f"{item}: it answers us {value_text(approved)}, and others {value_text(observed)}"
        case "event" | "selftest":
            return value_text(observed)
        case "blind":
            return f"{item}: {value_text(observed)}"
        case "replaced":
            return f"replaced like for like: serial number {value_text(approved)}, now {value_text(observed)}"
    verb = {Direction.DOWNGRADE: "DOWNGRADED", Direction.UPGRADE: "upgraded"}.get(direction or "", "changed")  # type: ignore[call-overload]
    return f"{item} {verb} from {value_text(approved)} to {value_text(observed)}"


def difference_lines(findings: Iterable[Finding]) -> list[str]:
    """Deviations as sentences, one a line."""
    return [
        change_text(
            finding.deviation.key,
            finding.deviation.kind,
            _shown(finding.deviation.approved),
            _shown(finding.deviation.observed),
            finding.direction,
        )
        for finding in findings
    ]


def kept_back_text(suppressed_by: str | None) -> str:
    """What keeps the alarm of a deviation back, as an addition to a sentence; "" where nothing does."""
    if suppressed_by is None:
        return ""
    return " (out of service)" if suppressed_by == OUT_OF_SERVICE else f" (announced by order {suppressed_by})"


def value_text(value: Any) -> str:
    """A value for people. What a device says is data: control characters are shown, not obeyed."""
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text and text.isprintable() else repr(text)


def gap_lines(why_unread: Mapping[str, str]) -> list[str]:
    """What was not read, one line per reason."""
    by_reason: dict[str, list[str]] = {}
    for key, why in why_unread.items():
        by_reason.setdefault(why, []).append(key)
    return [f"not read ({why}): {', '.join(keys)}" for why, keys in by_reason.items()]
