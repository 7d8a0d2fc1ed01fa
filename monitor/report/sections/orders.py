"""Change orders: what people said would change, and what did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from baselines.change import Order, OrderState, Outcome
from monitor import store
from monitor.report.cells import share_text
from monitor.report.document import Cell, Column, Facts, Finding, Form, Section, Table, Weight
from monitor.report.scope import Scope
from monitor.report.sections.told import count, text_of, wanted, were
from monitor.store import Transaction

KEY = "orders"
OVERDUE = "overdue"
AS_PLANNED, NOT_AS_PLANNED = "as-planned", "not as planned"

COLUMNS = (
    Column("order", "No.", Form.CODE, 0.5),
    Column("ticket", "Ticket", width=1),
    Column("assets", "Assets", width=1.6),
    Column("reason", "Reason", Form.TEXT, 0),
    Column("opened_by", "Opened by", width=0.9),
    Column("opened_at", "Opened", Form.TIME, 0),
    Column("window_from", "Window from", Form.TIME, 1.1),
    Column("window_until", "Window until", Form.TIME, 1.1),
    Column("state", "State", Form.STATE, 0),
    Column("closed_by", "Closed by", Form.TEXT, 0),
    Column("closed_at", "Closed", Form.TIME, 0),
    Column("result", "Result", Form.STATE, 1),
    Column("expectations", "Expectations", Form.NUMBER, 0),
    Column("as_planned", "As planned", Form.NUMBER, 0),
    Column("partial", "Partial", Form.NUMBER, 0),
    Column("missing", "Missing", Form.NUMBER, 0),
    Column("outside_window", "Outside of the window", Form.NUMBER, 0),
    Column("excess", "In excess", Form.NUMBER, 0),
)
LINE_COLUMNS = (
    Column("order", "No.", Form.CODE, 0.5),
    Column("ticket", "Ticket", Form.TEXT, 0),
    Column("asset", "Asset", width=1.4),
    Column("item", "Item", Form.CODE, 1.8),
    Column("expected", "Expected", Form.CODE, 1.1),
    Column("observed", "Observed", Form.CODE, 1.1),
    Column("outcome", "Outcome", Form.STATE, 1),
)
EXCESS_COLUMNS = (
    Column("order", "No.", Form.CODE, 0.5),
    Column("ticket", "Ticket", Form.TEXT, 0),
    Column("asset", "Asset", width=1.4),
    Column("item", "Item", Form.CODE, 1.8),
    Column("approved", "Approved", Form.CODE, 1.1),
    Column("observed", "Observed", Form.CODE, 1.1),
)


def orders(tx: Transaction, scope: Scope) -> Section:
    """The orders that were open at any moment of the time, as they stood at its end."""
    found = orders_at(tx, scope)
    rows = sorted((_row(order, scope) for order in found), key=_worst_first)
    lines = [line for order in found for line in _lines(order)]
    excess = [line for order in found for line in _excess(order)]
    return Section(
        KEY,
        "Change orders",
        (
            Facts(_facts(found, scope)),
            Table(KEY, "Orders", COLUMNS, rows, "No order was open in this time.", "What is open comes first."),
            Table("expectations", "What was expected, and what came", LINE_COLUMNS, lines, "Nothing was expected."),
            Table("excess", "What changed and was not declared", EXCESS_COLUMNS, excess, "Nothing was in excess."),
        ),
        ("cip-010-4/r1.2", "cip-010-4/r1.4"),
        tuple(_findings(found, scope)),
    )


def orders_at(tx: Transaction, scope: Scope) -> list[Order]:
    """The orders on any asset of the scope that were open meanwhile, as they stood at its end, the oldest first."""
    is_wanted = wanted(scope)
    return [
        order.at(scope.until)
        for order in store.orders(tx)
        if order.opened_at < scope.until
        and (order.closed_at is None or order.closed_at >= scope.since)
        and any(map(is_wanted, order.assets))
    ]


def _row(order: Order, scope: Scope) -> tuple[Cell, ...]:
    outcomes = Counter(each.outcome for each in order.expectations)
    return (
        order.id,
        order.ticket,
        ", ".join(order.assets),
        order.reason or None,
        order.opened_by,
        order.opened_at,
        order.starts_at,
        order.ends_at,
        order.state.value,
        order.closed_by,
        order.closed_at,
        _result(order, scope),
        len(order.expectations),
        *(outcomes[each] for each in Outcome),
        len(order.excess),
    )


def _result(order: Order, scope: Scope) -> str:
    if order.state is OrderState.OPEN:
        return OVERDUE if order.ends_at < scope.until else OrderState.OPEN.value
    return AS_PLANNED if order.as_planned else NOT_AS_PLANNED


_RESULT = [column.key for column in COLUMNS].index("result")
_ORDER = (OVERDUE, OrderState.OPEN.value, NOT_AS_PLANNED, AS_PLANNED)


def _worst_first(row: tuple[Cell, ...]) -> int:
    return _ORDER.index(str(row[_RESULT]))


def _lines(order: Order) -> Iterator[tuple[Cell, ...]]:
    for each in order.expectations:
        outcome = each.outcome.value if each.outcome else OrderState.OPEN.value
        values = text_of(each.expected), text_of(each.observed)
        yield (order.id, order.ticket, each.asset, each.item, *values, outcome)


def _excess(order: Order) -> Iterator[tuple[Cell, ...]]:
    for each in order.excess:
        yield (order.id, order.ticket, each.asset, each.item, text_of(each.approved), text_of(each.observed))


def _facts(found: Sequence[Order], scope: Scope) -> tuple[tuple[str, Cell, str], ...]:
    results = Counter(_result(order, scope) for order in found)
    opened = sum(order.opened_at >= scope.since for order in found)
    outcomes = Counter(each.outcome for order in found for each in order.expectations)
    excess = sum(len(order.excess) for order in found)
    return (
        ("Open at any moment of this time", len(found), f"{opened:,} of them opened in it"),
        ("Closed as planned", results[AS_PLANNED], "every expectation as planned, and nothing in excess"),
        ("Closed otherwise", results[NOT_AS_PLANNED], ""),
        ("Open at its end", results[OrderState.OPEN] + results[OVERDUE], f"{results[OVERDUE]:,} overdue"),
        *((f"Expectations {each}", outcomes[each], "") for each in Outcome),
        ("Changes in excess", excess, "that no order had declared, on the assets of one"),
    )


def _findings(found: Sequence[Order], scope: Scope) -> list[Finding]:
    results = Counter(_result(order, scope) for order in found)
    closed = results[AS_PLANNED] + results[NOT_AS_PLANNED]
    said = []
    if closed:
        passed = results[AS_PLANNED]
        told = f"Of {count(closed, 'closed change order')} {passed:,} {were(passed)} carried out as planned at the"
        told += f" first try ({share_text(passed / closed)})."
        said.append(Finding(Weight.GOOD if passed == closed else Weight.ATTENTION, told, KEY))
    if late := results[OVERDUE]:
        told = (
            f"{late:,} of {count(len(found), 'change order')} {were(late)} overdue at the end: the window was over, and"
        )
        said.append(Finding(Weight.BAD, f"{told} nobody had closed {'it' if late == 1 else 'them'}.", KEY))
    return said or [Finding(Weight.GOOD, "No change order was closed, and none was overdue.", KEY)]
