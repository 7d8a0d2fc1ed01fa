"""What a message says: one JSON document for all channels, and the few lines of it that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from baselines.alert import NORMAL, Alert, Event, Move
from baselines.snapshot import Severity, utc_text
from monitor.notify.grouping import SETTLED, Bucket, Digest, Told
from monitor.show import alert_document, alert_text, move_text

Document = dict[str, Any]

TEST, NOTICE = "test", "notice"
MOST_ASSETS = 20  # that a message names
MOST_LINES = 20  # alarms that people read one by one
LONGEST_TEXT = 4000  # characters


def digest_document(plant: str, route: str, digest: Digest, alerts: Mapping[int, Alert], now: datetime) -> Document:
    """The message that a digest makes; `alerts` are those that it is to name, as they are now."""
    bucket = digest.bucket
    named = [_told(bucket.alarms[number], alerts[number]) for number in digest.worst if number in alerts]
    first: Document = named[0] if named else {"event": "", "text": "", "alert": None}
    count = bucket.count
    return {
        "plant": plant,
        "event": first["event"],
        "text": first["text"] if count == 1 else f"{headline(bucket)}; the worst: {first['text']}",
        "alert": first["alert"],
        "severity": digest.severity,
        "alerts": named,
        "count": count,
        "more": count - len(named),
        "by_severity": by_severity(bucket),
        "assets": _assets(bucket),
        "route": route,
        "key": digest.key,
        "made_at": utc_text(now),
    }


def plain_document(
    plant: str, route: str, event: str, text: str, severity: Severity, key: str, at: datetime
) -> Document:
    """A message that is about no alarm."""
    return {
        "plant": plant,
        "event": event,
        "text": text[:LONGEST_TEXT],
        "alert": None,
        "severity": severity,
        "alerts": [],
        "count": 0,
        "more": 0,
        "by_severity": {},
        "assets": {},
        "route": route,
        "key": key,
        "made_at": utc_text(at),
    }


def _told(told: Told, alert: Alert) -> Document:
    """One alarm of a message."""
    text = _text(told, alert)[:LONGEST_TEXT]
    return {"event": told.event, "text": text, "over": _is_over(told, alert), "moves": told.moves} | {
        "alert": alert_document(alert)
    }


def _is_over(told: Told, alert: Alert) -> bool:
    return told.over or told.event == Event.CONFORMS or (told.event == SETTLED and alert.state is NORMAL)


def _text(told: Told, alert: Alert) -> str:
    over = move_text(Move(Event.CONFORMS, alert.state, alert)).removeprefix(f"{alert.asset}: {alert.item} ")
    match told.event:
        case "unacknowledged":
            return f"{alert_text(alert)} (raised {utc_text(alert.raised_at)}, and nobody has acknowledged it)"
        case "flapping":
            return f"{alert_text(alert)} (goes back and forth, {told.moves} moves lately; held back until calm)"
        case "settled":
            now = f"it {over}" if alert.state.value in ("NORMAL", "RTN_UNACK") else "it deviates"
            return f"{alert_text(alert)} (went back and forth, {told.moves} moves, and is calm: {now})"
    text = move_text(Move(Event(told.event), alert.state, alert))
    return f"{text} (meanwhile it {over})" if told.over and told.event != Event.CONFORMS else text


def headline(bucket: Bucket) -> str:
    """How many alarms at how many assets: "37 alarms at 12 assets, 1 critical"."""
    assets = len(bucket.assets)
    at = f"{assets} assets" if assets > 1 else next(iter(bucket.assets), "")
    of_each = ", ".join(f"{count} {severity}" for severity, count in by_severity(bucket).items())
    return f"{bucket.count} alarms at {'more than ' if bucket.elsewhere else ''}{at}: {of_each}"


def by_severity(bucket: Bucket) -> dict[str, int]:
    """How many alarms of each severity, the worst first."""
    counts = dict.fromkeys(reversed(Severity), 0)
    for told in bucket.alarms.values():
        counts[tuple(Severity)[told.rank]] += 1
    for rank, count in bucket.beyond.items():
        counts[tuple(Severity)[rank]] += count
    return {str(severity): count for severity, count in counts.items() if count}


def _assets(bucket: Bucket) -> dict[str, int]:
    """How many alarms at each asset, the most first."""
    return dict(sorted(bucket.assets.items(), key=lambda each: (-each[1], each[0]))[:MOST_ASSETS])


def subject(document: Document) -> str:
    """One line for people."""
    return one_line(f"[{document['plant']}] {str(document['severity']).upper()}: {document['text']}", 200)


def lines(document: Document) -> list[str]:
    """All that a message says, for people."""
    said = [one_line(document["text"], 1000)]
    entries: Sequence[Document] = document["alerts"]
    if document["count"] > 1:
        shown = entries[:MOST_LINES]
        said += ["", *(one_line(f"- {each['alert']['severity']}: {each['text']}", 500) for each in shown)]
        if left := document["count"] - len(shown):
            said.append(f"- and {left} more: asbuilt alerts list")
    elif entries:
        said += _details(entries[0]["alert"])
    return said


def _details(alert: Document) -> list[str]:
    """Of an alarm that a message is about alone: where it stands, who did it, and what that may be a trace of."""
    who = alert["who"] or {}
    said = ["", f"alarm {alert['id']}, {alert['severity']}, {alert['category']}, {alert['state']}"]
    said += [one_line(f"{key}: {value}", 300) for key, value in who.items() if value]
    return [*said, "ATT&CK for ICS: " + " ".join(alert["techniques"])] if alert["techniques"] else said


def one_line(text: str, most: int) -> str:
    """Text without what ends a line or controls a terminal, and not too long."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    return plain if len(text) <= most else plain[: most - 1] + "…"
