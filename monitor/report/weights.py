"""How findings stand: in which order, and by which word and symbol. Never by a colour alone."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.report.document import Finding, Weight

WORDS = {
    Weight.BAD: ("✗", "not so"),
    Weight.ATTENTION: ("!", "look at it"),
    Weight.UNKNOWN: ("?", "not known"),
    Weight.GOOD: ("✓", "as it should be"),
}  # in the order in which people have to look at them


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """What somebody has to look at first stands first."""
    order = list(WORDS)
    return sorted(findings, key=lambda finding: order.index(finding.weight))


def mark(weight: Weight) -> str:
    """Symbol and word."""
    return " ".join(WORDS[weight])
