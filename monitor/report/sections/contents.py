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
from monitor.report.dossier import ASSET, STAGE, Dossier, counted, dossier, snapshot_lines
from monitor.report.scope import Scope
from monitor.show import value_text
from monitor.store import Transaction

ITEMS, FILES = "items", "files"
ON_THE_PAGE = (Category.FIRMWARE, Category.PROGRAM, Category.SECURITY)  # of the others a page says how many

COUNTS = (
    Column("category", "Category"),
    Column("items", "Items", Form.NUMBER),
    Column("baselines", "Baselines", Form.NUMBER),
    Column("critical", "Critical", Form.NUMBER),
    Column("high", "High", Form.NUMBER),
    Column("tolerated", "With a tolerance", Form.NUMBER),
)
_SHOWN = (
    ASSET,
    STAGE,
    Column("item", "Item", Form.CODE, 2.2),
    Column("value", "Value", Form.CODE, 2),
    Column("severity", "Severity", Form.STATE, 0.9),
    Column("category", "Category", width=1),
)
_NOT_SHOWN = (
    Column("unit", "Unit", width=0),
    Column("tolerance", "Tolerance", Form.NUMBER, 0),
    Column("uncertain", "Doubted by the device", width=0),
    Column("digest", "Digest of the baseline", Form.CODE, 0),
)
SHOWN = _SHOWN + _NOT_SHOWN
WHOLE = tuple(Column(each.key, each.title, each.form, 0) for each in SHOWN)
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
    """Every item of every baseline: all of them in an annex, what a device runs on the page, and counts of the rest."""
    of = dossier(tx, scope)
    known: dict[str, tuple[Cell, ...]] = {}
    rows: list[tuple[Cell, ...]] = []
    counts: dict[Cell, Counter[str]] = {category.value: Counter() for category in Category}
    for told, lines in snapshot_lines(tx, of.contents):
        about = (told.baseline.asset, told.baseline.stage.value)
        here = [known.get(line) or known.setdefault(line, _cells(line)) for line in lines if line.startswith('{"key":')]
        rows += [(*about, *cells, told.baseline.digest) for cells in here]
        _count(counts, here)
    places: dict[Cell, int] = {category.value: place for place, category in enumerate(ON_THE_PAGE)}
    essential = [row for row in rows if row[5] in places]
    essential.sort(key=lambda row: places[row[5]])
    shown = ", ".join(ON_THE_PAGE[:-1]) + f" and {ON_THE_PAGE[-1]}"
    blocks = (
        Text((f"On the page are the items of {shown}. The annex of all items has every one of every baseline.",)),
        Table("item-counts", "By category", COUNTS, _counted(counts), "No baseline holds an item."),
        Table("essential-items", "Firmware, program, security", SHOWN, essential, f"No item is of {shown}."),
        Table("items", "All items", WHOLE, rows, "No baseline holds an item."),
    )
    return Section(ITEMS, "Items", blocks)


def _cells(line: str) -> tuple[Cell, ...]:
    """An item's cells by its line, made once of each line: machines of one type have most lines in common."""
    item = parse_item(json.loads(line))
    about = (item.severity.value, item.category.value, item.unit or None, item.tolerance or None)
    return item.key, value_text(item.shown), *about, item.uncertain


def _count(counts: dict[Cell, Counter[str]], here: Sequence[tuple[Cell, ...]]) -> None:
    for _, _, severity, category, _, tolerance, _ in here:
        found = counts[category]
        found["items"] += 1
        found[str(severity)] += 1
        found["tolerated"] += bool(tolerance)
    for category in {cells[3] for cells in here}:
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
