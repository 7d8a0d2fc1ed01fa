"""A bar per name, beneath each other: how many, or how much, of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitor.drawing import BAR, FAINT, GREY, INK, Drawing
from monitor.report.document import Chart

WIDTH, TOP, ROW = 820, 68, 27
NAMES, BARS, BARS_END = 230, 242, 680


class Fill(StrEnum):
    """How a bar looks, told apart in black and white too."""

    SOLID = "solid"
    HATCHED = "hatched"
    DOTTED = "dotted"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Bar:
    """One name; `shown` is its value as people read it."""

    name: str
    value: float
    shown: str
    fill: Fill = Fill.SOLID


def bars(key: str, title: str, subtitle: str, rows: Sequence[Bar]) -> Chart:
    """The chart; what can be seen is said in words too."""
    about = f"{subtitle}: " + "; ".join(f"{bar.name} {bar.shown}" for bar in rows)
    drawing = Drawing(key, title, about, WIDTH, TOP + ROW * len(rows) + 16)
    drawing.text(24, 54, subtitle, fill=GREY, width=WIDTH - 48)
    most = max((bar.value for bar in rows), default=0) or 1
    bottom = TOP + ROW * len(rows)
    drawing.line(BARS, TOP, BARS, bottom, FAINT)
    for number, bar in enumerate(rows):
        y, length = TOP + ROW * number, (BARS_END - BARS) * bar.value / most
        drawing.text(NAMES, y + 18, bar.name, "end", width=NAMES - 24)
        if bar.value > 0:
            drawing.rect(BARS, y + 5, length, ROW - 10, _fill(drawing, bar.fill), stroke=INK)
        drawing.text(BARS + length + 8, y + 18, bar.shown, width=WIDTH - BARS - length - 16)
    return Chart(key, title, about, drawing.svg())


def _fill(drawing: Drawing, fill: Fill) -> str:
    match fill:
        case Fill.SOLID:
            return BAR
        case Fill.HATCHED:
            return drawing.hatched
        case Fill.DOTTED:
            return drawing.dotted
        case Fill.OPEN:
            return "#ffffff"
