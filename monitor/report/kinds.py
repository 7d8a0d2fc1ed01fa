"""Which sections make which report."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from monitor import store
from monitor.report.document import Kind, Report, Section
from monitor.report.scope import Scope
from monitor.report.sections import captures, compared, contents, handover, signatures
from monitor.store import Transaction

Gather = Callable[[Transaction, Scope], Section]

TITLES = {
    Kind.AUDIT: "Audit report",
    Kind.COMMISSIONING: "Commissioning dossier",
    Kind.INVENTORY: "Asset inventory",
    Kind.CHANGES: "Changes",
}
SECTIONS: dict[Kind, tuple[Gather, ...]] = {
    Kind.AUDIT: (),
    Kind.COMMISSIONING: (
        *(handover.handover, captures.captures, captures.varied, signatures.signatures, compared.compared),
        *(compared.conform, contents.files, contents.items, handover.signing),
    ),
    Kind.INVENTORY: (),
    Kind.CHANGES: (),
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
