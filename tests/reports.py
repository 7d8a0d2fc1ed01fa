"""A report with everything that one can hold, and with what devices and people may call themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitor.drawing import Drawing
from monitor.report.document import (
    Chart,
    Column,
    Facts,
    Finding,
    Form,
    Kind,
    Report,
    Section,
    Table,
    Text,
    Weight,
)

UNTIL = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOSTILE = (
    *("<script>alert(1)</script>", "#set page(fill: red)", "$x^2$ @ref *bold* _it_ `raw` \\ //", '=HYPERLINK("x")'),
    *("{{ 7*7 }}", "a\0b\x1b[31m", "日本語 العربية 🏭", "half \ud800", "x" * 2000, "", " ", "-5.0", "\ufffe", "a\nb"),
)
COLUMNS = (
    Column("asset", "Asset", width=2),
    Column("item", "Item", Form.CODE, 2),
    Column("at", "Raised", Form.TIME, 1.5),
    Column("state", "State", Form.STATE),
    Column("lasted", "Lasted", Form.SECONDS),
    Column("share", "Seen", Form.SHARE),
    Column("polls", "Polls", Form.NUMBER),
    Column("digest", "Digest", Form.CODE, 0),
)


def table(rows: int, key: str = "deviations") -> Table:
    """A table of so many rows; every name is hostile in turn."""
    return Table(
        key,
        "Deviations",
        COLUMNS,
        [
            (
                *(HOSTILE[number % len(HOSTILE)], f"item.{HOSTILE[-number % len(HOSTILE)]}"),
                *(UNTIL - timedelta(minutes=number), "drift" if number % 2 else "match"),
                *(None if number % 3 else number * 7.5, number / rows, number * 1000, f"{number:064x}"),
            )
            for number in range(rows)
        ],
        "Nothing deviated.",
        "What was announced is not in it.",
    )


def picture() -> str:
    """A chart that calls itself what a device may."""
    drawing = Drawing("sample", HOSTILE[0], "Two bars.", 400, 120)
    drawing.rect(30, 50, 200, 20, "#3d5a73")
    drawing.rect(30, 80, 90, 20, drawing.hatched)
    drawing.text(240, 66, HOSTILE[1])
    return drawing.svg()


def sample(rows: int = 40, kind: Kind = Kind.AUDIT) -> Report:
    """All blocks; a long table, and one without rows."""
    return Report(
        kind,
        "Audit report",
        f"Bottling works {HOSTILE[2]}",
        "Europe/Berlin",
        "all of the plant: 2 assets",
        UNTIL - timedelta(days=30),
        UNTIL,
        17,
        "ab" * 32,
        "0.5.0",
        (
            Section(
                "scope",
                "What this report is of",
                (
                    Text(("Of 2 assets, 1 is watched.", HOSTILE[1])),
                    Facts((("Assets", 2, ""), ("Stale", 1, HOSTILE[0]), ("Last look", UNTIL, ""))),
                ),
                findings=(
                    Finding(Weight.GOOD, "Everything is as approved.", "scope"),
                    Finding(Weight.ATTENTION, HOSTILE[2], "scope"),
                    Finding(Weight.BAD, "1 of 2 assets drifts.", "scope"),
                    Finding(Weight.UNKNOWN, "1 of 2 assets was never seen.", "scope"),
                ),
            ),
            Section(
                "deviations",
                "Deviations",
                (Chart("bars", HOSTILE[0], "Two bars, the first one longer.", picture()), table(rows)),
            ),
            Section("orders", "Change orders", (Table("orders", "Orders", COLUMNS, (), "No order was open."),)),
        ),
    )
