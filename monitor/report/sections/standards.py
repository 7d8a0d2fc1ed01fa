"""Which section answers which clause of which standard, in which revision; and what asbuilt has no evidence for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.standards import Clause, Standard
from monitor.report.standards import standards as all_standards
from monitor.store import Transaction

KEY = "standards"
STANDARDS = (
    Column("name", "Standard", width=1.6),
    Column("revision", "Revision", width=0.8),
    Column("state", "State", Form.STATE, 1.1),
    Column("published", "Published", width=0.9),
    Column("effective", "Effective", width=0.9),
    Column("until", "No more from", width=0.9),
    Column("replaced_by", "Replaced by", width=2),
    Column("look_again", "Look again from", width=0),
    Column("title", "Title", width=0),
    Column("publisher", "Publisher", width=0),
)
CLAUSES = (
    Column("standard", "Standard", width=1.4),
    Column("clause", "Clause", width=1),
    Column("asks", "What it asks", width=3.2),
    Column("answered_by", "Sections that answer it", width=1.7),
    Column("not_covered", "Not covered by asbuilt, because", width=2),
    Column("key", "Key", Form.CODE, 0),
)
IN_FORCE, TO_BE_LOOKED_AT, EXPIRED = "in force", "look again", "expired"
ABOUT = (
    "Which clauses this report gives evidence for, by the revisions that it was written for. That a section answers a"
    " clause says where the evidence is, not that the clause is met: that is for the reader to judge. Sections that are"
    " not in this report are in others of asbuilt's reports."
)


def standards(_tx: Transaction, scope: Scope) -> Section:
    """The section."""
    day = scope.until.astimezone(scope.timezone).date()
    known = all_standards()
    rows = [(each, clause) for each in known for clause in each.clauses]
    return Section(
        KEY,
        "Standards and clauses",
        (
            Text((ABOUT,)),
            Table(KEY, "Standards", STANDARDS, [_standard_row(each, day) for each in known], "No standard is known."),
            Table("clauses", "Clauses", CLAUSES, [_row(*each) for each in rows], "No clause is known."),
        ),
        findings=(*_findings(known, day), _covered([clause for _, clause in rows])),
    )


def _standard_row(standard: Standard, day: date) -> tuple[Cell, ...]:
    dates = (standard.published, standard.effective, standard.until)
    return (
        standard.name,
        standard.revision,
        _state(standard, day),
        *(each.isoformat() if each else None for each in dates),
        standard.replaced_by or None,
        standard.look_again.isoformat(),
        standard.title,
        standard.publisher,
    )


def _state(standard: Standard, day: date) -> str:
    if standard.has_expired(day):
        return EXPIRED
    return TO_BE_LOOKED_AT if standard.is_to_be_looked_at(day) else IN_FORCE


def _row(standard: Standard, clause: Clause) -> tuple[Cell, ...]:
    answered = ", ".join(clause.answered_by) or "not covered by asbuilt"
    return (standard.name, clause.title, clause.asks, answered, clause.not_covered or None, clause.key)


def _findings(known: Iterable[Standard], day: date) -> Iterable[Finding]:
    for each in known:
        if each.has_expired(day):
            replaced = f"; it was replaced by {each.replaced_by}" if each.replaced_by else ""
            text = (
                f"{each.name} is not in force any more since {each.until}{replaced}: this report is still mapped to it."
            )
            yield Finding(Weight.BAD, text, KEY)
        elif each.is_to_be_looked_at(day):
            text = (
                f"Since {each.look_again} somebody has to look whether {each.name} is still the revision in force:"
                " this report takes it to be."
            )
            yield Finding(Weight.ATTENTION, text, KEY)


def _covered(found: list[Clause]) -> Finding:
    answered = sum(1 for each in found if each.answered_by)
    text = f"Of {len(found)} clauses that are looked at, asbuilt's reports answer {answered}; {len(found) - answered}"
    return Finding(Weight.UNKNOWN, f"{text} it has no evidence for, and says so.", KEY)
