"""A report as report.typ takes it: one JSON document of texts that are only shown, and of the measures of its pages.

{"title", "plant", "about", "author", "header": [text, text], "footer", "facts": [{"name", "value", "code"}],
 "findings": [{"weight", "symbol", "word", "text", "section": number | null}], "tally": text,
 "sections": [{"title", "clauses": [text], "blocks": [{"kind": "text" | "facts" | "table" | "chart", …}]}],
 "annexes": a table, "size": {…}}
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from baselines.snapshot import utc_text
from monitor.drawing import FONT
from monitor.report.annexes import Annex, annex_name, annexes
from monitor.report.document import Block, Chart, Facts, Report, Section, Table, Text
from monitor.report.fitting import Pieces, lettered, pieces, shown, within
from monitor.report.standards import clause_name
from monitor.report.tabular import SIZE, Data, annexes_data, facts_data, table_data
from monitor.report.weights import WORDS, by_weight

FONTS = "'Libertinus Serif'"  # of charts
EDGE = 8.0  # points of the letters of header and footer


def page_data(report: Report) -> Data:
    """What the template shows."""
    zone, known = ZoneInfo(report.timezone), {annex.name: annex for annex in annexes(report)}
    numbers = {section.key: number for number, section in enumerate(report.sections, 1)}
    sections = [_section(section, number, zone, known) for number, section in enumerate(report.sections, 1)]
    return {
        "title": _long(report.title, 33),
        "plant": _long(report.plant, 19),
        "about": lettered(f"{shown(report.title)}: {shown(report.plant)}"),
        "author": lettered(f"asbuilt {shown(report.version)}"),
        "header": [within(shown(text), SIZE["page"] / 2 - SIZE["gap"], EDGE) for text in (report.plant, report.title)],
        "footer": within(_footer(report), SIZE["page"] - 60, EDGE),
        "facts": _facts(report, zone),
        "findings": _findings(report, numbers),
        "tally": _tally(report),
        "sections": sections,
        "annexes": annexes_data(known.values(), zone),
        "size": SIZE,
    }


def charts(report: Report) -> dict[str, str]:
    """The pictures by the names of their files, in letters that the fonts have."""
    return {
        _picture(number, place): lettered_svg(block.svg)
        for number, section in enumerate(report.sections, 1)
        for place, block in enumerate(section.blocks)
        if isinstance(block, Chart)
    }


def lettered_svg(svg: str) -> str:
    """A picture in the fonts of the pages. An escape has no letter that XML would read."""
    return "\n".join(map(lettered, svg.replace(quoteattr(FONT), quoteattr(FONTS)).split("\n")))


def _picture(section: int, block: int) -> str:
    return f"chart-{section}-{block}.svg"


def _long(text: str, size: float, part: float = 1.0) -> Pieces:
    """A text in lines as wide as the page, or as a part of it."""
    return pieces(shown(text), SIZE["page"] * part, size)


def _time(at: datetime, zone: ZoneInfo) -> str:
    """With what it is ahead of UTC: an hour of autumn is there twice."""
    local = at.astimezone(zone)
    ahead = local.isoformat()[-6:]
    return f"{local:%Y-%m-%d %H:%M:%S} (UTC{ahead})"


def _facts(report: Report, zone: ZoneInfo) -> list[Data]:
    """What stands on the title page: name, value, and what is in a fixed pitch beneath it."""
    room = SIZE["page"] * 0.75
    until = _time(report.until, zone)
    when = ("As of", until) if report.since is None else ("Period", f"{_time(report.since, zone)} to {until}")
    rows = [
        ("Plant", report.plant),
        ("Scope", report.scope),
        when,
        ("Times", f"as in {report.timezone}, unless they say otherwise; in UTC it ends at {utc_text(report.until)}"),
        ("Made by", f"asbuilt {report.version}"),
        ("Audit chain", _chain(report)),
    ]
    head = pieces(shown(report.head), room, SIZE["cell"], code=True) if report.head else None
    return [
        {"name": name, "value": _long(text, SIZE["text"], 0.75), "code": head if name == "Audit chain" else None}
        for name, text in rows
    ]


def _footer(report: Report) -> str:
    return f"Audit chain: {_entries(report)}{f', {shown(report.head)}' if report.head else ''}"


def _chain(report: Report) -> str:
    return f"{_entries(report)} at the end{'; the last one has the hash' if report.head else ''}"


def _entries(report: Report) -> str:
    return "no entry" if not report.entries else f"{report.entries:,} entr{'y' if report.entries == 1 else 'ies'}"


def _findings(report: Report, numbers: dict[str, int]) -> list[Data]:
    return [
        {
            "weight": finding.weight,
            "symbol": WORDS[finding.weight][0],
            "word": WORDS[finding.weight][1],
            "text": _long(finding.text, SIZE["text"], 0.55),
            "section": numbers.get(finding.section),
        }
        for finding in by_weight(report.findings)
    ]


def _tally(report: Report) -> str:
    counted = Counter(finding.weight for finding in report.findings)
    if not counted:
        return "No section has found anything that is to be said here."
    said = "; ".join(f"{word}: {counted[weight]}" for weight, (_, word) in WORDS.items() if counted[weight])
    return f"{counted.total()} finding{'s'[: counted.total() != 1]}. {said[0].upper()}{said[1:]}."


def _section(section: Section, number: int, zone: ZoneInfo, known: dict[str, Annex]) -> Data:
    return {
        "title": _long(section.title, 17, 0.9),
        "clauses": [_long(clause_name(clause), SIZE["label"]) for clause in section.clauses],
        "blocks": [
            _block(block, _picture(number, place), section, zone, known) for place, block in enumerate(section.blocks)
        ],
    }


def _block(block: Block, picture: str, section: Section, zone: ZoneInfo, known: dict[str, Annex]) -> Data:
    match block:
        case Text():
            return {"kind": "text", "paragraphs": [_long(text, SIZE["text"]) for text in block.paragraphs]}
        case Facts():
            return facts_data(block, zone)
        case Chart():
            about = _long(block.about, SIZE["cell"])
            return {
                "kind": "chart",
                "file": picture,
                "alt": f"{shown(block.title)}. {shown(block.about)}",
                "about": about,
            }
        case Table():
            return table_data(block, known[annex_name(block)], zone, titled=block.title != section.title)
