"""Which sections make which report."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from monitor import store
from monitor.report.document import Kind, Report, Section
from monitor.report.scope import Scope
from monitor.report.sections import captures, compared, contents, handover, signatures
from monitor.report.sections.alarms import alarms
from monitor.report.sections.baselines import baselines
from monitor.report.sections.changes import changes
from monitor.report.sections.contract import contract
from monitor.report.sections.coverage import coverage
from monitor.report.sections.deviations import deviations
from monitor.report.sections.integrity import integrity
from monitor.report.sections.inventory import inventory
from monitor.report.sections.monitoring import monitoring
from monitor.report.sections.orders import orders
from monitor.report.sections.quality import quality
from monitor.report.sections.replacements import replacements
from monitor.report.sections.scope import scope as in_scope
from monitor.report.sections.standards import standards
from monitor.report.sections.unlisted import unlisted
from monitor.report.sections.unseen import unseen
from monitor.store import Transaction

Gather = Callable[[Transaction, Scope], Section]

TITLES = {
    Kind.AUDIT: "Audit report",
    Kind.COMMISSIONING: "Commissioning dossier",
    Kind.INVENTORY: "Asset inventory",
    Kind.CHANGES: "Changes",
}
SECTIONS: dict[Kind, tuple[Gather, ...]] = {
    Kind.AUDIT: (
        *(in_scope, baselines, monitoring, changes, deviations, alarms, orders, replacements, quality, unseen),
        *(contract, integrity, standards),
    ),
    Kind.COMMISSIONING: (
        *(handover.handover, captures.captures, captures.varied, signatures.signatures, compared.compared),
        *(compared.conform, contents.files, contents.items, integrity, handover.signing),
    ),
    Kind.INVENTORY: (inventory, coverage, unlisted),
    Kind.CHANGES: (changes, orders, deviations, replacements),
}
OF_A_MOMENT = (Kind.COMMISSIONING, Kind.INVENTORY)  # these say how things stand, not what happened


def report(tx: Transaction, kind: Kind, scope: Scope) -> Report:
    """The report of a scope, by what the store holds."""
    gathered = []
    for number, gather in enumerate(SECTIONS[kind]):
        scope.progress("reading the store", number, len(SECTIONS[kind]))
        gathered.append(gather(tx, scope))
    scope.progress("reading the store", len(SECTIONS[kind]), len(SECTIONS[kind]))
    entries, head = store.head_at(tx, scope.until)
    return Report(
        kind,
        TITLES[kind],
        scope.plant.name,
        scope.plant.timezone,
        scope.words,
        None if kind in OF_A_MOMENT else scope.since,
        scope.until,
        entries,
        head,
        version("asbuilt"),
        tuple(gathered),
    )
