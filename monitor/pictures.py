"""The pictures of quality: the Pareto of causes, the control chart, the times, the yield of change orders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from statistics import median
from xml.sax.saxutils import escape

from baselines.cause import Cause
from baselines.quality import (
    NO_CAUSE,
    Bar,
    By,
    Quality,
    Rate,
    Times,
    Yield,
    cautions,
)
from monitor.drawing import BAR, FAINT, GREY, INK, SMALL, Drawing, shown

WIDTH, NOTHING = 820, 90  # and the height of a picture of nothing
LEFT, RIGHT = 70, 720  # of what has a time axis
TOP, HEIGHT = 84, 220
ROW = 27
NAMES, BARS, BARS_END = 230, 242, 560  # of what has a row per name
MOST_BARS = 16
BIN = 10  # pixels of a histogram
LABEL_EVERY = 84  # pixels between two dates
ENOUGH_TO_SCALE = 0.2  # of the usual asset-days: a period with less does not set the scale
MOMENTS = (  # marks of a logarithmic axis of time
    *((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (6 * 3600, "6 h"), (86400, "1 d")),
    *((7 * 86400, "1 wk"), (30 * 86400, "30 d"), (365 * 86400, "1 yr"), (3650 * 86400, "10 yr")),
)
UNITS = ((365 * 86400, "yr"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def pictures(quality: Quality, by: By, zone: tzinfo) -> dict[str, str]:
    """The SVG documents by their names."""
    when = dates(quality, zone)
    return {
        "pareto": pareto_picture(quality.causes, when),
        "rate": rate_picture(quality, by, zone),
        "times": times_picture(times_rows(quality), when),
        "yield": yield_picture(quality, zone),
    }


def page(title: str, drawn: Iterable[str]) -> str:
    """A page that holds the pictures, and asks for nothing else."""
    figures = "\n".join(f"<figure>\n{svg}</figure>" for svg in drawn)
    title = escape(shown(title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n"
        "<style>body { font-family: system-ui, sans-serif; margin: 2em auto; max-width: 860px; background: #fff;"
        " color: #1a1a1a } figure { margin: 0 0 2em; break-inside: avoid } svg { max-width: 100%; height: auto }"
        f"</style>\n</head>\n<body>\n<h1>{title}</h1>\n{figures}\n</body>\n</html>\n"
    )


def dates(quality: Quality, zone: tzinfo) -> str:
    """The first and the last day."""
    last = quality.rates[-1].end - timedelta(milliseconds=1)
    return f"{_day(quality.rates[0].start, zone)} to {_day(last, zone)}"


def duration_text(seconds: float | None) -> str:
    """A duration in the unit that fits: "4 s", "2.5 h"; "–" where there is none."""
    if seconds is None:
        return "–"
    size, unit = next((found for found in UNITS if seconds >= found[0]), (1, "s"))
    amount = seconds / size
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}" if amount < 10 else f"{amount:.0f} {unit}"


def number_text(value: float | None) -> str:
    """A number to three digits: "2,671", "61.1", "0.012"; "–" where there is none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def times_rows(quality: Quality) -> list[tuple[str, Times]]:
    """What is timed, and how it is called."""
    return [
        ("detected, exact (wire)", quality.detected),
        ("detected, at most (polls)", quality.detected_at_most),
        ("acknowledged", quality.acknowledged),
        ("known-good again: mended", quality.mended),
        ("known-good again: approved", quality.approved),
        ("still open: age so far", quality.open),
        ("open from before: age so far", quality.open_before),
    ]


def pareto_picture(bars: Sequence[Bar], when: str) -> str:
    """A bar per cause, the highest first, and the line of what they add up to; both by one scale."""
    said = [f"{bar.name or NO_CAUSE}: {bar.count}, {bar.share:.0%}" for bar in bars]
    about = "; ".join(said) or "no deviations in this period"
    kept = bars if len(bars) <= MOST_BARS else [*bars[: MOST_BARS - 1], _rest(bars[MOST_BARS - 1 :])]
    height = TOP + 24 + ROW * max(len(kept), 2) + 66
    drawing = Drawing("pareto", "Causes of deviations", about, WIDTH, height)
    if not bars:
        return _nothing(drawing, f"no deviations in this period, {when}")
    total = sum(bar.count for bar in bars)
    drawing.text(24, 54, f"{total:,} deviation{'s' * (total != 1)}, {when}", fill=GREY)
    top, bottom = TOP + 24, TOP + 24 + ROW * len(kept)
    for percent in range(0, 101, 20):
        x = _across(percent / 100)
        drawing.line(x, top - 4, x, bottom, FAINT if percent != 80 else GREY, dash="4 3" if percent == 80 else "none")
        drawing.text(x, bottom + 16, f"{percent}%", "middle", size=SMALL, fill=GREY)
    for x, heading in ((620, "number"), (690, "share"), (796, "adding up to")):
        drawing.text(x, top - 12, heading, "end", size=SMALL, fill=GREY)
    for row, bar in enumerate(kept):
        _pareto_row(drawing, bar, top + ROW * row)
    points = [(_across(bar.cumulative), top + ROW * (row + 0.5)) for row, bar in enumerate(kept)]
    drawing.path(points, thick="1.5")
    for x, y in points:
        drawing.circle(x, y, 3, fill="#ffffff")
    _legend(drawing, bottom + 44, [("line", "adding up to"), ("hatched", "false alarms"), ("open", NO_CAUSE)])
    return drawing.svg()


def _pareto_row(drawing: Drawing, bar: Bar, y: float) -> None:
    fill = "#ffffff" if bar.name is None else drawing.hatched if bar.name == Cause.FALSE_ALARM else BAR
    drawing.text(NAMES, y + 18, bar.name or NO_CAUSE, "end", width=NAMES - 24)
    dash = "3 2" if bar.name is None else "none"
    drawing.rect(BARS, y + 5, _across(bar.share) - BARS, ROW - 10, fill, stroke=INK, dash=dash)
    for x, text in ((620, f"{bar.count:,}"), (690, f"{bar.share:.1%}"), (796, f"{bar.cumulative:.1%}")):
        drawing.text(x, y + 18, text, "end")


def _rest(bars: Sequence[Bar]) -> Bar:
    share = sum(bar.share for bar in bars)
    return Bar(f"{len(bars)} others", sum(bar.count for bar in bars), share, bars[-1].cumulative)


def _across(share: float) -> float:
    return BARS + (BARS_END - BARS) * share


def rate_picture(quality: Quality, by: By, zone: tzinfo) -> str:
    """The control chart: rates as points, their centre, and the limits, as wide as the asset-days of a period allow."""
    rows, title = quality.rates, f"Deviations per 1,000 asset-days, by {by}"
    seen = [row for row in rows if row.rate is not None]
    out = [f"{_day(row.start, zone)} is {row.out}" for row in seen if row.out]
    said = f"{quality.deviations:,} in {number_text(quality.asset_days)} asset-days"
    said += f"; periods: {len(seen)}, out of limits: {len(out)}"
    about = f"{said}; centre line {number_text(quality.centre)}; {'; '.join(out)}"
    notes = cautions(quality)
    drawing = Drawing("rate", title, about, WIDTH, TOP + HEIGHT + 74 + 17 * len(notes))
    if quality.centre is None:
        return _nothing(drawing, f"no asset was looked at, {dates(quality, zone)}")
    drawing.text(24, 54, said, fill=GREY)
    axes = _axes(drawing, rows, _scale_of(seen), zone)
    for row in rows:
        if row.rate is None:
            left, right = axes.across(row.start), axes.across(row.end)
            drawing.rect(left, TOP, right - left, HEIGHT, drawing.dotted)
    _limits(drawing, rows, axes)
    centre = axes.up(quality.centre)
    drawing.line(LEFT, centre, RIGHT, centre, thick="1.2")
    drawing.text(RIGHT + 6, centre + 4, f"ū {number_text(quality.centre)}", size=SMALL)
    _points(drawing, rows, axes)
    _legend(
        drawing,
        TOP + HEIGHT + 48,
        [
            *(("dot", "period"), ("ring", "with false alarms"), ("diamond", "out of limits")),
            *(("dashed", "limits, ū ± 3σ"), ("dotted", "not observed")),
        ],
    )
    for number, note in enumerate(notes):
        drawing.text(24, TOP + HEIGHT + 74 + 17 * number, note, size=SMALL, fill=GREY)
    return drawing.svg()


def _scale_of(rows: Sequence[Rate]) -> float:
    """The highest value of the axis. A period in which hardly anybody looked does not make all the others flat."""
    usual = median(row.asset_days for row in rows)
    values = [
        value
        for row in rows
        if row.asset_days >= ENOUGH_TO_SCALE * usual
        for value in (row.rate, row.upper)
        if value is not None
    ]
    return (max(values) or 1.0) * 1.08


def _limits(drawing: Drawing, rows: Sequence[Rate], axes: _Axes) -> None:
    for row in rows:
        for value in (row.upper, row.lower):
            if value and value <= axes.height:
                y = axes.up(value)
                drawing.line(axes.across(row.start), y, axes.across(row.end), y, GREY, dash="5 3")


def _points(drawing: Drawing, rows: Sequence[Rate], axes: _Axes) -> None:
    spots = [(row, (axes.across(row.start) + axes.across(row.end)) / 2, row.rate) for row in rows]
    for (_, x, rate), (_, next_x, next_rate) in pairwise(spots):
        if rate is not None and next_rate is not None:
            drawing.path([(x, axes.up(rate)), (next_x, axes.up(next_rate))], BAR)
    radius = max(1.5, min(3.5, (RIGHT - LEFT) / len(rows) / 3))
    for row, x, rate in spots:
        if rate is not None and row.out:
            _diamond(drawing, x, axes.up(rate), 1.7 * radius)
        elif rate is not None:
            drawing.circle(x, axes.up(rate), radius, fill="#ffffff" if row.false_alarms else INK)
    _labels(drawing, [(rate, x) for row, x, rate in spots if rate and (row.out or rate > axes.height)], axes)


def _labels(drawing: Drawing, labels: Sequence[tuple[float, float]], axes: _Axes) -> None:
    """The values of points, the highest first; not where one would stand in another."""
    taken: list[tuple[float, float]] = []
    for rate, x in sorted(labels, reverse=True):
        y = axes.up(rate) - 11
        if all(abs(x - other) > 60 or abs(y - line) > 14 for other, line in taken):
            beyond = "▲ " if rate > axes.height else ""
            drawing.text(x, y, beyond + number_text(rate), "middle", size=SMALL)
            taken.append((x, y))


def _diamond(drawing: Drawing, x: float, y: float, r: float = 6) -> None:
    drawing.path([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], INK, "#ffffff", thick="2")


def times_picture(rows: Sequence[tuple[str, Times]], when: str) -> str:
    """A histogram a row, by one logarithmic scale; what is not over yet is drawn open."""
    rows = [(name, times) for name, times in rows if times.values]
    about = "; ".join(f"{name}: {len(times.values)}, median {duration_text(times.median)}" for name, times in rows)
    drawing = Drawing(
        "times", "Times to detect and to mend", about or "no deviations", WIDTH, TOP + 24 + 56 * max(len(rows), 1) + 70
    )
    if not rows:
        return _nothing(drawing, f"no deviations in this period, {when}")
    drawing.text(
        24,
        54,
        f"Of deviations raised {when}. Each row has its own height; the scale of time is logarithmic.",
        fill=GREY,
    )
    top, bottom = TOP + 24, TOP + 24 + 56 * len(rows)
    longest = max(60.0, *(times.values[-1] for _, times in rows))
    for seconds, label in MOMENTS:
        if seconds <= longest * 1.001:
            x = _at(seconds, longest)
            drawing.line(x, top - 4, x, bottom, FAINT)
            drawing.text(x, bottom + 16, label, "middle", size=9)
    for x, heading in ((608, "number"), (676, "median"), (740, "p90"), (800, "longest")):
        drawing.text(x, top - 12, heading, "end", size=SMALL, fill=GREY)
    for number, (name, times) in enumerate(rows):
        _times_row(drawing, name, times, top + 56 * number, longest)
    _legend(drawing, bottom + 46, [("bar", "ended"), ("hatched", "not ended yet"), ("line", "median")])
    return drawing.svg()


def _times_row(drawing: Drawing, name: str, times: Times, y: float, longest: float) -> None:
    base, middle = y + 48, times.median
    assert middle is not None
    drawing.text(NAMES, base - 8, name, "end", width=NAMES - 20)
    counts: dict[int, int] = {}
    for value in times.values:
        place = int((_at(value, longest) - BARS) // BIN)
        counts[place] = counts.get(place, 0) + 1
    most = max(counts.values())
    fill = drawing.hatched if "age" in name else BAR
    for place, count in counts.items():
        tall = max(36 * count / most, 3)
        drawing.rect(BARS + place * BIN, base - tall, BIN - 1, tall, fill, stroke=INK, thick="0.6")
    drawing.line(BARS, base, BARS_END, base, GREY)
    drawing.line(_at(middle, longest), base - 42, _at(middle, longest), base + 3, INK, thick="2")
    figures = (f"{len(times.values):,}", *map(duration_text, (times.median, times.p90, times.longest)))
    for x, text in zip((608, 676, 740, 800), figures, strict=True):
        drawing.text(x, base - 8, text, "end")


def _at(seconds: float, longest: float) -> float:
    return BARS + (BARS_END - BARS - BIN) * math.log(max(seconds, 1.0)) / math.log(longest)


def yield_picture(quality: Quality, zone: tzinfo) -> str:
    """The change orders that were closed, by period: those that went as planned at the first try, and the others."""
    rows = quality.yields
    said = f"{quality.passed} of {quality.closed} closed orders as planned at the first try"
    said += f"; {quality.orders_open} open, {quality.orders_overdue} of them overdue"
    drawing = Drawing("yield", "First-pass yield of change orders", said, WIDTH, TOP + HEIGHT + 74)
    if not quality.closed:
        return _nothing(drawing, f"no change order was closed in this period; {quality.orders_open} open")
    drawing.text(24, 54, f"{quality.passed / quality.closed:.0%}: {said}", fill=GREY)
    highest = max(row.closed for row in rows)
    axes = _axes(drawing, rows, highest * 1.15, zone, whole=True)
    for row in rows:
        if row.closed:
            _yield_bar(drawing, row, axes)
    _legend(drawing, TOP + HEIGHT + 48, [("bar", "as planned at the first try"), ("hatched", "with any other outcome")])
    return drawing.svg()


def _yield_bar(drawing: Drawing, row: Yield, axes: _Axes) -> None:
    x, room = axes.across(row.start), axes.across(row.end) - axes.across(row.start)
    width = max(min(room * 0.7, 48), 1)
    x += (room - width) / 2
    base, passed, closed = axes.up(0), axes.up(row.passed), axes.up(row.closed)
    drawing.rect(x, passed, width, base - passed, BAR, stroke=INK)
    drawing.rect(x, closed, width, passed - closed, drawing.hatched, stroke=INK)
    if room >= 34:
        drawing.text(x + width / 2, closed - 5, f"{row.passed / row.closed:.0%}", "middle", size=SMALL)


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where a time and a value are in a picture; what is higher than its `height` is at its top."""

    start: datetime
    end: datetime
    height: float

    def across(self, at: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * ((at - self.start) / (self.end - self.start))

    def up(self, value: float) -> float:
        return TOP + HEIGHT - HEIGHT * min(value / self.height, 1.0)


def _axes(
    drawing: Drawing, rows: Sequence[Rate] | Sequence[Yield], height: float, zone: tzinfo, whole: bool = False
) -> _Axes:
    """Draws the axes and their grid. Not every period has room for its date."""
    axes = _Axes(rows[0].start, rows[-1].end, height)
    step = _step(height, whole)
    for number in range(int(height / step) + 1):
        y = axes.up(number * step)
        drawing.line(LEFT, y, RIGHT, y, INK if number == 0 else FAINT)
        drawing.text(LEFT - 8, y + 4, number_text(number * step), "end", size=SMALL, fill=GREY)
    free = 0.0
    for row in rows:
        x = axes.across(row.start)
        if x >= free:
            drawing.line(x, TOP + HEIGHT, x, TOP + HEIGHT + 5)
            drawing.text(x, TOP + HEIGHT + 18, _day(row.start, zone), "middle", size=SMALL, fill=GREY)
            free = x + LABEL_EVERY
    return axes


def _step(height: float, whole: bool) -> float:
    """A round distance between marks, so that there are about five."""
    power: float = 10 ** math.floor(math.log10(height / 5))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= height / 5)
    return max(step, 1.0) if whole else step


def _day(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).date().isoformat()


def _nothing(drawing: Drawing, why: str) -> str:
    """A short picture that says why there is none."""
    drawing.height = NOTHING
    drawing.text(24, 62, why, width=WIDTH - 48, fill=GREY)
    return drawing.svg()


def _legend(drawing: Drawing, y: float, entries: Iterable[tuple[str, str]]) -> None:
    x = 24.0
    for sign, text in entries:
        _sign(drawing, sign, x, y)
        drawing.text(x + 30, y, text, size=SMALL, fill=GREY)
        x += 30 + 6.4 * len(text) + 18


def _sign(drawing: Drawing, sign: str, x: float, y: float) -> None:
    match sign:
        case "line":
            drawing.line(x, y - 4, x + 24, y - 4, thick="2")
        case "dashed":
            drawing.line(x, y - 4, x + 24, y - 4, GREY, dash="5 3")
        case "dot" | "ring":
            drawing.circle(x + 14, y - 4, 3.5, fill=INK if sign == "dot" else "#ffffff")
        case "diamond":
            _diamond(drawing, x + 14, y - 4)
        case _:
            fill = {"hatched": drawing.hatched, "dotted": drawing.dotted, "open": "#ffffff"}.get(sign, BAR)
            drawing.rect(x + 2, y - 10, 20, 11, fill, stroke=INK if sign != "dotted" else FAINT)
