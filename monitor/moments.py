"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from collectors.written import seconds
from monitor.errors import CallError


def moment(text: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """A time as people write it: ISO 8601 (one without a zone is of `zone`: where the clocks are put back and show it
    twice, the first), "now", or "+2h" from now."""
    try:
        if text == "now":
            return now
        if text.startswith("+"):
            return now + timedelta(seconds=seconds(text[1:]))
        at = datetime.fromisoformat(text)
        there = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
        passed_over = at.tzinfo is None and there.astimezone(zone).replace(tzinfo=None) != at
    except (ValueError, OverflowError):
        raise CallError(f'{text!r} is no time: write 2026-11-23T18:00Z, "now", or +2h for two hours from now') from None
    if passed_over:
        raise CallError(f"{text} is no time in {zone}: the clocks are put forward then, and pass over it")
    return there
