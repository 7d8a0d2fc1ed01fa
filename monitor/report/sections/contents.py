"""What the baselines of a dossier hold, item by item, and the known-good files that belong to them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from baselines.artefact import Artefact, ArtefactKind
from baselines.baseline import State
from baselines.snapshot import Category, Severity, parse_item
from monitor.report.approvals import Told
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.dossier import ASSET, STAGE, Dossier, dossier, snapshot_lines
from monitor.report.scope import Scope
from monitor.report.sentences import counted
from monitor.show import value_text
from monitor.store import Transaction

ITEMS, FILES = "items", "files"
FIRST = (Category.FIRMWARE, Category.PROGRAM, Category.SECURITY)
LINE = '{"key":'  # begins the line of an item

COUNTS = (
    Column("category", "Category"),
    Column("items", "Items", Form.NUMBER),
    Column("baselines", "Baselines", Form.NUMBER),
    Column("critical", "Critical", Form.NUMBER),
    Column("high", "High", Form.NUMBER),
    Column("tolerated", "With a tolerance", Form.NUMBER),
)
OF_ITEMS = (
    ASSET,
    STAGE,
    Column("item", "Item", Form.CODE, 2.2),
    Column("value", "Value", Form.CODE, 2),
    Column("tolerance", "Tolerance", Form.NUMBER, 0.8),
    Column("severity", "Severity", Form.STATE, 0.9),
    Column("category", "Category", width=1),
    Column("unit", "Unit", width=0),
    Column("uncertain", "Doubted by the device", width=0),
    Column("digest", "Digest of the baseline", Form.CODE, 0),
)
CATEGORY = 6  # its place
OF_FILES = (
    ASSET,
    Column("kind", "Kind", width=0.8),
    Column("name", "Name", width=1.6),
    Column("size", "Bytes", Form.NUMBER, 0.9),
    Column("file_digest", "SHA-256", Form.CODE, 3),
    Column("added_by", "Added by", width=1.1),
    Column("added_at", "Added", Form.TIME, 1.2),
    Column("stage", "Stage", width=0),
    Column("state", "State of the baseline", Form.STATE, 0),
    Column("digest", "Digest of the baseline", Form.CODE, 0),
)


def items(tx: Transaction, scope: Scope) -> Section:
    """Every item of every baseline, what a device runs first: a page shows the first rows, the annex all."""
    known: dict[str, tuple[Cell, ...]] = {}
    rows: list[tuple[Cell, ...]] = []
    counts: dict[Cell, Counter[str]] = {category.value: Counter() for category in (*FIRST, *Category)}
    for told, lines in snapshot_lines(tx, dossier(tx, scope).contents):
        of = told.baseline
        here = [known.get(line) or known.setdefault(line, _cells(line)) for line in lines if line.startswith(LINE)]
        rows += [(of.asset, of.stage.value, *cells, of.digest) for cells in here]
        _count(counts, here)
    places = {category: place for place, category in enumerate(counts)}
    rows.sort(key=lambda row: places[row[CATEGORY]])
    blocks = (
        Table("item-counts", "By category", COUNTS, _counted(counts), "No baseline holds an item."),
        Table(
            "items",
            "Every item of every baseline",
            OF_ITEMS,
            rows,
            "No baseline holds an item.",
            f"Those of {', '.join(FIRST[:-1])} and {FIRST[-1]} stand first, whatever the asset.",
        ),
    )
    return Section(ITEMS, "Items", blocks)


def _cells(line: str) -> tuple[Cell, ...]:
    """An item's cells by its line, made once of each line: machines of one type have most lines in common."""
    item = parse_item(json.loads(line))
    about = (item.tolerance or None, item.severity.value, item.category.value, item.unit or None)
    return item.key, value_text(item.shown), *about, item.uncertain


def _count(counts: dict[Cell, Counter[str]], here: Sequence[tuple[Cell, ...]]) -> None:
    """Count the items of one baseline."""
    for _, _, tolerance, severity, category, _, _ in here:
        found = counts[category]
        found["items"] += 1
        found[str(severity)] += 1
        found["tolerated"] += bool(tolerance)
    for category in {cells[4] for cells in here}:
        counts[category]["baselines"] += 1


def _counted(counts: dict[Cell, Counter[str]]) -> list[tuple[Cell, ...]]:
    names = ("items", "baselines", Severity.CRITICAL.value, Severity.HIGH.value, "tolerated")
    return [(category, *(found[name] for name in names)) for category, found in counts.items() if found["items"]]


def files(tx: Transaction, scope: Scope) -> Section:
    """The known-good files that were attached to the baselines of an asset, by their SHA-256."""
    of = dossier(tx, scope)
    rows = [
        _file_row(told, each)
        for name in scope.names
        for told in of.history.of[name]
        if told.baseline.state is not State.REJECTED and scope.stage in (None, told.baseline.stage)
        for each in told.files
    ]
    about = (
        "What a device is restored with. A file is named by its SHA-256 and never changed; whether the vault holds all"
        " of them unharmed, asbuilt vault check says, and not this report."
    )
    table = Table("files", "Known-good files", OF_FILES, rows, "No file was attached to any of these baselines.")
    return Section(FILES, "Known-good files", (Text((about,)), table), findings=tuple(_file_findings(of, rows)))


def _file_row(told: Told, each: Artefact) -> tuple[Cell, ...]:
    of = told.baseline
    about = (of.asset, each.kind.value, each.name, each.size, each.digest, each.added_by, each.added_at)
    return *about, of.stage.value, of.state.value, of.digest


def _file_findings(of: Dossier, rows: Sequence[tuple[Cell, ...]]) -> Iterator[Finding]:
    assets = {told.baseline.asset for told in of.of}
    if not assets:
        return
    has = {
        kind: len({row[0] for row in rows if row[1] == kind}) for kind in (ArtefactKind.FIRMWARE, ArtefactKind.PROJECT)
    }
    what = ", ".join(f"{number:,} with a {kind} file" for kind, number in has.items())
    weight = Weight.GOOD if min(has.values()) == len(assets) else Weight.ATTENTION
    yield Finding(weight, f"Of {counted(len(assets), 'asset')} with a baseline: {what} to restore it with.", FILES)
