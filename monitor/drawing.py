"""SVG drawn by us: rectangles, lines and texts. Light ground, readable in black and white, no script, no font to fetch.

Texts are data: they are escaped, and what XML cannot hold is shown as an escape. There are no font metrics here, so how
wide a text is can only be estimated, on the generous side.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

from monitor.show import value_text

INK, GREY, FAINT, BAR = "#1a1a1a", "#595959", "#d9d9d9", "#3d5a73"
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"
SIZE, SMALL = 13, 11
NARROW, CAPITAL, WIDE = 0.57, 0.75, 1.0  # of a letter, as a part of the font size
ATTRIBUTES = {  # that keywords stand for
    "anchor": "text-anchor",
    "size": "font-size",
    "weight": "font-weight",
    "dash": "stroke-dasharray",
    "thick": "stroke-width",
}
LONGEST = 1000  # letters of which anything is looked at
NOT_XML = re.compile("[\ufffe\uffff]")  # printable for Python, and no characters of XML


def shown(text: str, width: float = float("inf"), size: float = SIZE) -> str:
    """A text as it can be drawn within so many pixels; what does not fit ends in "…"."""
    text = NOT_XML.sub("\ufffd", value_text(text[:LONGEST]))
    if width == float("inf") or text_width(text, size) <= width:
        return text
    room, kept = width - size, 0
    for letter in text:
        room -= size * _letter_width(letter)
        if room < 0:
            break
        kept += 1
    return text[:kept].rstrip() + "…"


def text_width(text: str, size: float) -> float:
    """How wide a text is, as far as that can be told."""
    return size * sum(map(_letter_width, text))


@lru_cache(4096)
def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return WIDE
    return CAPITAL if letter.isupper() or letter in "mw@%" else NARROW


class Drawing:
    """One picture. `name` makes its ids its own where several stand in one page."""

    def __init__(self, name: str, title: str, about: str, width: int, height: int) -> None:
        self.name, self.title, self.about = name, title, about
        self.width, self.height = width, height
        self._parts: list[str] = []
        self.text(24, 32, title, size=17, weight="bold")

    @property
    def hatched(self) -> str:
        """A fill that is told from a solid one in black and white too."""
        return f"url(#{self.name}-hatched)"

    @property
    def dotted(self) -> str:
        """A faint fill, for where nothing is known."""
        return f"url(#{self.name}-dotted)"

    def rect(self, x: float, y: float, width: float, height: float, fill: str, **more: str) -> None:
        self._add("rect", x=x, y=y, width=max(width, 0), height=max(height, 0), fill=fill, **more)

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = INK, **more: str) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, **more)

    def path(self, points: Iterable[tuple[float, float]], stroke: str = INK, fill: str = "none", **more: str) -> None:
        """Straight lines from point to point; closed where it is filled."""
        steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        if steps:
            self._add("path", d=f"M{steps}{'' if fill == 'none' else ' Z'}", stroke=stroke, fill=fill, **more)

    def circle(self, x: float, y: float, r: float, fill: str = INK, stroke: str = INK) -> None:
        self._add("circle", cx=x, cy=y, r=r, fill=fill, stroke=stroke)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        width: float = float("inf"),
        size: float = SIZE,
        fill: str = INK,
        **more: str,
    ) -> None:
        """One line of text on the base line y, cut to a width in pixels."""
        attributes = _attributes(x=x, y=y, anchor=anchor, size=size, fill=fill, **more)
        self._parts.append(f"<text{attributes}>{escape(shown(text, width, size))}</text>")

    def svg(self) -> str:
        """The picture as a document of its own, or as a part of a page."""
        name, body = self.name, "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}"'
            f' height="{self.height}" role="img" aria-labelledby="{name}-title {name}-desc"'
            f" font-family={quoteattr(FONT)}>\n"
            f'<title id="{name}-title">{escape(shown(self.title))}</title>\n'
            f'<desc id="{name}-desc">{escape(shown(self.about))}</desc>\n'
            f'<defs>\n<pattern id="{name}-hatched" width="6" height="6" patternUnits="userSpaceOnUse">'
            f'<rect width="6" height="6" fill="#ffffff"/>'
            f'<path d="M-1 1 L1 -1 M0 6 L6 0 M5 7 L7 5" stroke="{INK}" stroke-width="1.2"/></pattern>\n'
            f'<pattern id="{name}-dotted" width="5" height="5" patternUnits="userSpaceOnUse">'
            f'<circle cx="2" cy="2" r="0.8" fill="{GREY}"/></pattern>\n</defs>\n'
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

    def _add(self, element: str, **attributes: float | str) -> None:
        self._parts.append(f"<{element}{_attributes(**attributes)}/>")


def _attributes(**values: float | str) -> str:
    return "".join(f" {ATTRIBUTES.get(name, name)}={quoteattr(_written(value))}" for name, value in values.items())


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
