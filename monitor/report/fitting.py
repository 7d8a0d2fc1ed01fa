"""Texts as the pages of a PDF can hold them: letters that its fonts have, and places where a long word may break. Pure.

The fonts are the typesetter's own, whatever the computer has. What they lack is shown by its number, and so is what is
written from right to left or stands on the letter before it: nothing that a device calls itself can turn a line around.
Widths are estimated, on the generous side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from monitor.show import value_text

# Letters of Libertinus Serif, regular, semibold and bold. A chart that needed a second font could fail, and so a letter
# of another one is no letter here. None is left that a copied text would have as another one.
# tests/test_report_pdf.py typesets every one of them.
RANGES = """
20-7e a1-a9 ab-ac ae-b9 bb-1ba 1bc-1bf 1cd-1e3 1e6-1f0 1f4-1f6 1f8-21f 221 224-23f 241 243 249 24d 250-293 295-2e4
2ec-2ee 374-375 37a-37e 384-38a 38c 38e-3a1 3a3-3ce 3d0-3e1 3f0-3f6 3f8-3f9 3fb 3fd-45f 462-463 472-473 490-49b
4a2-4a5 4aa-4b3 4ba-4bb 4c0-4c4 4c7-4c8 4cb-4cc 4d0-4f9 1e00-1e9b 1e9e 1ea0-1ef9 1f00-1f15 1f18-1f1d 1f20-1f45
1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fc4 1fc6-1fd3 1fd6-1fdb 1fdd-1fef 1ff2-1ff4 1ff6-1ffe
2010-2027 2030-2037 2039-203e 2042 2044 2047-204b 204f 2070-2071 2074-208e 2090-2094 20a2-20a4 20a7-20a8 20ab-20ac
20af 20b1 20bf 2100-2103 2105-2106 2109 210c-210f 2111 2113 2115-2116 2119-211a 211c-211d 2120 2122 2124 2127 212e
2139 214f 2153-2184 2190-219b 21a8 21ae 21bc-21bd 21c0-21c1 21cb-21d9 2200-220d 220f-221c 221e-221f 2223-222b 2236
223c 2241 2245 2248-2249 2259 2260-2262 2264-2265 226a-226b 226e-2271 2282-2285 2295-2298 22c5 22ef 2302-2303 2310
2320-2321 2326-2327 2329-232b 23d3 2460-2473 24ea 24ff 25a0-25a1 25b2-25b3 25b6-25b7 25bc-25bd 25c0-25c1 25c6-25c7
25c9-25cc 25ce-25d7 2605 2639-2653 2660 2663 2665-2666 2669-266c 26a2-26a5 27e6-27e7 2c60-2c6c 2c74-2c77 fffd
"""


def _class_of(ranges: str) -> str:
    """The ranges as a class of a regular expression."""
    ends = (each.partition("-") for each in ranges.split())
    return "".join(f"\\U{first:>08}-\\U{last or first:>08}" for first, _, last in ends)


LACKED = re.compile(f"[^{_class_of(RANGES)}]")

Pieces = str | list[str]  # a text, or the parts of one that may break between any two of them

DIGEST = re.compile("[0-9a-fA-F]{32,}")
EIGHT = re.compile(".{1,8}")
JOINT = re.compile(r"[^-./_:,;=&?#@|)}]*[-./_:,;=&?#@|)}]*")  # a word is best broken after one of these

LEAST = 0.25  # of what a column would have if all were alike: it holds a letter

# Where a space alone is no place to break, by Unicode's rules for lines (UAX 14): after what opens, before what closes.
HELD_AFTER = ("( ", "[ ", "{ ", '" ', "' ", "“ ", "‘ ", "« ", "¿ ", "¡ ")
HELD_BEFORE = (")", "]", "}", '"', "'", "”", "’", "»", "!", "?", ",", ".", ":", ";", "/", "…", "%")

# How wide a letter is, as a part of the font size.
THIN, DIGIT, NARROW, CAPITAL, WIDE, FIXED = 0.35, 0.475, 0.54, 0.74, 1.05, 0.603
LIGHT, HEAVY = "-.,:;'| /()[]ijlrtf", "mwMW@%&ŒœæÆǄǅǆǇǈǉǊǋǌǱǲǳ"


def lettered(text: str) -> str:
    """A text in letters that the fonts have; every other is an escape: \\u{65e5}."""
    return LACKED.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def shown(text: str) -> str:
    """What somebody or something is called, as a page has it."""
    return lettered(value_text(text))


def width_of(text: str, size: float, code: bool = False) -> float:
    """At most how wide a text is, in points."""
    return size * sum(_letter_width(letter, code) for letter in text)


def within(text: str, room: float, size: float) -> str:
    """A text on one line of so many points; what does not fit ends in "…"."""
    if width_of(text, size) <= room:
        return text
    part = next(_cut(text, room - size * WIDE, size, code=False))
    return f"{part.rstrip()}…"


def _letter_width(letter: str, code: bool) -> float:
    if letter > "\u04ff" or (letter > "~" and not letter.isalpha()) or (letter in HEAVY and not code):
        return WIDE
    if code:
        return FIXED
    if letter in LIGHT:
        return THIN
    return DIGIT if letter.isdecimal() else CAPITAL if letter.isupper() else NARROW


def pieces(text: str, room: float, size: float, code: bool = False) -> Pieces:
    """A text for a line of so many points: a word that is wider may break, where it has joints or wherever it must."""
    if width_of(text, size, code) <= room:
        return text
    parts: list[str] = [""]
    for number, word in enumerate(text.split(" ")):
        parts[-1] += " " * (number > 0)
        if parts[-1].endswith(HELD_AFTER) or (number and word.startswith(HELD_BEFORE)):
            parts.append("")
        if width_of(word, size, code) <= room:
            parts[-1] += word
        else:
            first, *more = [part for joint in _joints(word) for part in _cut(joint, room, size, code)]
            parts[-1] += first
            parts += more
    return parts if len(parts) > 1 else text


def _joints(word: str) -> Iterable[str]:
    if DIGEST.fullmatch(word):
        return EIGHT.findall(word)
    return filter(None, JOINT.findall(word))


def _cut(word: str, room: float, size: float, code: bool) -> Iterator[str]:
    """A word in parts that are not wider than this, a letter at least in each."""
    part, used = "", 0.0
    for letter in word:
        wide = size * _letter_width(letter, code)
        if part and used + wide > room:
            yield part
            part, used = "", 0.0
        part, used = part + letter, used + wide
    yield part


def widths(shares: Sequence[float], needs: Sequence[float], total: float) -> list[float]:
    """How wide columns are: by their shares of a total, but none narrower than it needs, as long as there is room."""
    least = LEAST * sum(shares) / max(len(shares), 1)
    shares = [max(share, least) for share in shares]
    wanted = [total * share / sum(shares) for share in shares]
    lacking = sum(max(need - want, 0.0) for need, want in zip(needs, wanted, strict=True))
    to_spare = sum(max(want - need, 0.0) for need, want in zip(needs, wanted, strict=True))
    if not lacking or not to_spare:
        return wanted
    given = min(lacking / to_spare, 1.0)  # of what others have to spare
    taken = min(to_spare / lacking, 1.0)  # of what is lacking
    return [want + (need - want) * (taken if need > want else given) for need, want in zip(needs, wanted, strict=True)]
