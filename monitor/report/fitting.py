"""Texts as the pages of a PDF can hold them: letters that its fonts have, and places where a long word may break. Pure.

The fonts are the typesetter's own, whatever the computer has. What they lack is shown by its number, and so is what is
written from right to left or stands on the letter before it: nothing that a device calls itself can turn a line around.
Widths are estimated, on the generous side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from monitor.show import value_text

# Letters that Libertinus Serif, DejaVu Sans Mono or New Computer Modern Math have, each in all that the template uses:
# regular, semibold and bold, upright and italic. tests/test_report_pdf.py typesets every one of them.
RANGES = """
20-7e a1-a9 ab-ac ae-b9 bb-1ba 1bc-1bf 1cd-1e3 1e6-1f0 1f4-1f6 1f8-21f 221 224-241 243-245 249 24c-24d 250-293 295-2e9
2ec-2ee 2f3 374-377 37a-37f 384-38a 38c 38e-3a1 3a3-3ce 3d0-3e1 3f0-45f 462-463 472-473 490-49b 4a2-4a5 4aa-4b3 4ba-4bb
4c0-4c4 4c7-4c8 4cb-4cc 4cf-4f9 510-511 51a-51d 531-556 559-55f 561-587 589-58a 10d0-10fc 1e00-1e9b 1e9e-1ef9 1f00-1f15
1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fc4 1fc6-1fd3 1fd6-1fdb 1fdd-1fef
1ff2-1ff4 1ff6-1ffe 2010-2027 2030-205e 2070-2071 2074-208e 2090-209c 20a0-20b5 20b8-20ba 20bd 20bf 2100-2134 2139-2151
2153-2184 2189 2190-23ff 2460-2600 2605-2606 2609 2612 2639-2653 2660-2667 2669-266f 2680-2689 26a2-26a5 26aa-26ae
2713 2717 2720 2726 2736 27c0-27ff 2900-2b73 2b76-2b95 2b97-2bff 2c60-2c70 2c74-2c77 2c79-2c7a 2c7c-2c7f fffd
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

# How wide a letter is, as a part of the font size.
THIN, DIGIT, NARROW, CAPITAL, WIDE, FIXED = 0.35, 0.475, 0.54, 0.74, 1.05, 0.603
LIGHT, HEAVY = "-.,:;'| /()[]ijlrtf", "mwMW@%&—…"


def lettered(text: str) -> str:
    """A text in letters that the fonts have; every other is an escape: \\u{65e5}."""
    return LACKED.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def shown(text: str) -> str:
    """What somebody or something is called, as a page has it."""
    return lettered(value_text(text))


def width_of(text: str, size: float, code: bool = False) -> float:
    """At most how wide a text is, in points."""
    return size * sum(_letter_width(letter, code) for letter in text)


def _letter_width(letter: str, code: bool) -> float:
    if letter > "\u04ff" or (letter in HEAVY and not code):
        return WIDE
    if code:
        return FIXED
    if letter in LIGHT:
        return THIN
    return DIGIT if letter.isdecimal() else CAPITAL if letter.isupper() else NARROW


def pieces(text: str, room: float, size: float, code: bool = False) -> Pieces:
    """A text for a line of so many points: a word that is wider may break, where it has joints or wherever it must."""
    parts: list[str] = [""]
    for number, word in enumerate(text.split(" ")):
        parts[-1] += " " * (number > 0)
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


def _cut(word: str, room: float, size: float, code: bool) -> Iterable[str]:
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
    wanted = [total * share / sum(shares) for share in shares]
    lacking = sum(max(need - want, 0.0) for need, want in zip(needs, wanted, strict=True))
    to_spare = sum(max(want - need, 0.0) for need, want in zip(needs, wanted, strict=True))
    if not lacking or not to_spare:
        return wanted
    given = min(lacking / to_spare, 1.0)  # of what others have to spare
    taken = min(to_spare / lacking, 1.0)  # of what is lacking
    return [want + (need - want) * (taken if need > want else given) for need, want in zip(needs, wanted, strict=True)]
