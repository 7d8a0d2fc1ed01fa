"""A report as PDF/A: what it says, that nothing in it is obeyed, and what independent readers make of it."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from monitor.drawing import Drawing
from monitor.errors import CallError
from monitor.report.annexes import annexes
from monitor.report.document import Chart, Column, Facts, Finding, Form, Report, Section, Table, Text, Weight, not_shown
from monitor.report.fitting import RANGES, lettered, pieces, shown, width_of, widths, within
from monitor.report.pdf import Limits, pdf, typeset
from monitor.report.weights import WORDS
from monitor.show import value_text
from tests.reports import HOSTILE, UNTIL, sample

ROOT = Path(__file__).parent.parent
ROWS = 201
LETTERS = "".join(
    chr(number)
    for each in RANGES.split()
    for first, _, last in [each.partition("-")]
    for number in range(int(first, 16), int(last or first, 16) + 1)
)
EDGE, MARGIN = 595.28, 57  # points: how wide A4 is, and what is left free on either side


def packed(text: str) -> str:
    """Without spaces: lines break where they must."""
    return "".join(text.split())


def said(made: bytes) -> str:
    return packed("".join(page.extract_text() for page in PdfReader(io.BytesIO(made)).pages))


def everywhere(text: str, number: int) -> Section:
    """One text in all places that there are."""
    key, forms = f"s{number}", [*((form, 1.0) for form in Form), (Form.TEXT, 0.1)]
    columns = tuple(Column(f"c{place}", text, form, width) for place, (form, width) in enumerate(forms))
    rows = [tuple(text for _ in columns), tuple(None for _ in columns)]
    drawing = Drawing(key, text[:40], text, 840, 90)
    drawing.text(24, 80, text, width=400)
    return Section(
        key,
        text,
        (
            Text((text,)),
            Facts(((text, text, text), ("number", 1, ""))),
            Table(f"t{number}", text, columns, rows, text, text),
            Table(f"e{number}", text, columns[:2], (), text, text),
            Table(f"n{number}", text, (replace(columns[0], width=0),), rows[:1], text, text),
            Chart(key, text, text, drawing.svg()),
        ),
        (text, text),
        (Finding(Weight.BAD, text, key), Finding(Weight.GOOD, text, "not-there")),
    )


def of(*texts: str) -> Report:
    sections = tuple(everywhere(text, number) for number, text in enumerate(texts))
    return replace(sample(1), plant=texts[0], title=texts[0], scope=texts[0], version=texts[0], sections=sections)


@pytest.fixture(scope="module")
def report() -> Report:
    return sample(ROWS)


@pytest.fixture(scope="module")
def made(report: Report) -> bytes:
    return pdf(report)


@pytest.fixture(scope="module")
def reader(made: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(made))


@pytest.fixture(scope="module")
def text(made: bytes) -> str:
    return said(made)


@pytest.fixture(scope="module")
def hostile() -> bytes:
    """Each hostile text everywhere, words that hardly fit, and every letter that there is."""
    return pdf(of(*(each[:300] for each in HOSTILE), "W" * 90, "m.m" * 30, "}" * 90, "\u05d0 12", LETTERS))


@pytest.fixture(scope="module")
def hostile_words(hostile: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, float, str]]:
    """What poppler reads: where a word begins and ends, and the word."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    path = tmp_path_factory.mktemp("hostile") / "hostile.pdf"
    path.write_bytes(hostile)
    boxes = subprocess.run(["pdftotext", "-bbox", path, "-"], capture_output=True, check=True, text=True).stdout
    found = re.findall(r'<word xMin="([\d.-]+)" yMin=".*" xMax="([\d.-]+)" yMax=".*">(.*)</word>', boxes)
    return [(float(first), float(last), unescape(word)) for first, last, word in found]


def test_it_says_that_it_is_pdf_a_2b(reader: PdfReader) -> None:
    root: Any = reader.trailer["/Root"]
    metadata = root["/Metadata"].get_data().decode()
    assert re.search(r"<pdfaid:part>2</pdfaid:part>", metadata)
    assert re.search(r"<pdfaid:conformance>B</pdfaid:conformance>", metadata)
    assert [each["/S"] for each in root["/OutputIntents"]] == ["/GTS_PDFA1"]
    assert not reader.is_encrypted
    assert len(reader.trailer["/ID"]) == 2  # type: ignore[arg-type]
    assert not root.keys() & {"/OpenAction", "/AA", "/AF", "/AcroForm"}  # nothing that acts, nothing attached
    assert not root.get("/Names", {}).keys() & {"/JavaScript", "/EmbeddedFiles"}


def test_it_is_tagged_and_says_its_language_title_and_author(report: Report, reader: PdfReader) -> None:
    root: Any = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/StructTreeRoot"]["/K"]
    assert root["/Lang"] == "en-GB"
    assert reader.metadata is not None
    assert reader.metadata.title == f"{report.title}: {report.plant}"
    assert reader.metadata.author == "asbuilt 0.5.0"
    assert reader.metadata.creation_date == UNTIL


def fonts(resources: Any) -> Iterator[Any]:
    """All fonts, also those of pictures in pictures."""
    yield from (font.get_object() for font in resources.get("/Font", {}).values())
    for inner in resources.get("/XObject", {}).values():
        if "/Resources" in inner.get_object():
            yield from fonts(inner.get_object()["/Resources"])


def test_every_font_is_embedded(reader: PdfReader) -> None:
    found = [inner for page in reader.pages for font in fonts(page["/Resources"]) for inner in font["/DescendantFonts"]]
    assert len(found) > 5
    for font in found:
        assert font.get_object()["/FontDescriptor"].keys() & {"/FontFile2", "/FontFile3"}


def test_pages_have_numbers_the_plant_and_the_head_of_the_chain(report: Report, reader: PdfReader) -> None:
    count = len(reader.pages)
    for number, page in enumerate(reader.pages, 1):
        text = packed(page.extract_text())
        assert f"{number}of{count}" in text
        assert report.head in text
        assert packed(report.plant) in text


def test_the_title_page_says_what_when_and_how_the_chain_ended(reader: PdfReader) -> None:
    text = reader.pages[0].extract_text()
    for part in (
        "all of the plant: 2 assets",
        "2026-10-27 13:00:00 (UTC+01:00) to 2026-11-26 13:00:00 (UTC+01:00)",
        "Europe/Berlin",
        "asbuilt 0.5.0",
        "17 entries",
    ):
        assert part in text


def test_findings_have_a_word_each_and_lead_to_their_section(reader: PdfReader) -> None:
    page = reader.pages[1]
    text = page.extract_text()
    tally = "4 findings. Not so: 1; look at it: 1; not known: 1; as it should be: 1."
    assert tally in text
    rows = text.partition(tally)[2]
    places = [rows.index(each) for weight in WORDS for each in WORDS[weight]]
    assert places == sorted(places)
    links = [annotation.get_object() for annotation in page["/Annots"]]  # type: ignore[attr-defined]
    assert len(links) >= 8  # four findings, three sections and the annexes
    assert {(link["/Subtype"], "/A" in link) for link in links} == {("/Link", False)}  # within the document only
    assert all(int(link["/F"]) == 4 for link in links)  # they are printed, and never hidden


def test_a_table_ends_after_200_rows_and_says_where_all_are(report: Report, text: str) -> None:
    annex = annexes(report)[0]
    assert packed(not_shown(ROWS, annex.name, annex.digest)) in text
    assert packed("199,000") in text  # the polls of row 200
    assert packed("200,000") not in text
    assert not_shown(200, annex.name, annex.digest) == ""


def test_every_annex_is_named_with_its_digest(report: Report, text: str) -> None:
    for annex in annexes(report):
        assert f"{annex.digest[:32]}" in text
        assert f"{annex.name}{packed(annex.title)}{annex.rows}{annex.size:,}{annex.digest[:32]}" in text


def test_no_rows_are_a_sentence(text: str) -> None:
    assert packed("No order was open.") in text


def test_rows_without_a_column_on_the_page_are_not_said_to_be_none() -> None:
    hidden = Table("hidden", "Hidden", (Column("a", "A", width=0),), [("x",), ("y",)], "Nothing is hidden.")
    text = said(pdf(replace(sample(0), sections=(Section("s", "Section", (hidden,)),))))
    assert packed("2 rows that only the annex shows.") in text
    assert packed("In the annex hidden.csv only: A.") in text
    assert packed("Nothing is hidden.") not in text


def test_hostile_texts_are_shown_as_they_are(text: str) -> None:
    for each in HOSTILE:
        most = 239 if len(each) > 240 else 240  # where a cell ends in dots
        assert packed(shown(each)[:most]) in text


def test_hostile_texts_are_shown_wherever_they_are(hostile_words: list[tuple[float, float, str]]) -> None:
    text = packed("".join(word for _, _, word in hostile_words))
    for each in HOSTILE:
        assert text.count(packed(shown(each)[:60])) >= 5


def test_what_turns_lines_around_is_shown_by_its_number() -> None:
    assert lettered("\u05d0 12") == r"\u{5d0} 12"
    assert lettered("e\u0301") == r"e\u{301}"
    assert lettered("日本") == r"\u{65e5}\u{672c}"
    assert shown("a\0b") == value_text("a\0b") == r"'a\x00b'"


def test_no_text_leaves_its_page(hostile_words: list[tuple[float, float, str]]) -> None:
    assert len(hostile_words) > 1000
    assert [each for each in hostile_words if each[0] < MARGIN - 1 or each[1] > EDGE - MARGIN + 1] == []


def test_every_letter_that_may_be_shown_can_be(hostile_words: list[tuple[float, float, str]]) -> None:
    """It could not be made otherwise: PDF/A has no place for a letter without a picture."""
    letters = {letter for _, _, word in hostile_words for letter in word}
    assert {*LETTERS} - letters <= {" "}


def test_other_letters_cannot_be() -> None:
    assert lettered(LETTERS) == LETTERS
    assert not {"\0", "\x7f", "\xa0", "\xad", "\u200b", "\u202e", "\u0301", "\u05d0", "\ud800", "\ue000"} & {*LETTERS}


def test_the_same_report_is_the_same_bytes_in_another_process() -> None:
    digest = sha256(pdf(sample(5))).hexdigest()
    program = (
        "from hashlib import sha256; from monitor.report.pdf import pdf; from tests.reports import sample;"
        "print(sha256(pdf(sample(5))).hexdigest())"
    )
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/Lima")):
        surroundings = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True, env=surroundings, cwd=ROOT
        )
        assert done.stdout.strip() == digest


def test_another_moment_is_another_file() -> None:
    small = sample(1)
    assert pdf(replace(small, until=UNTIL.replace(second=1))) != pdf(small)


def test_a_report_of_a_moment_without_sections(report: Report) -> None:
    text = said(pdf(replace(report, since=None, sections=(), head="", entries=0)))
    assert packed("As of 2026-11-26 13:00:00 (UTC+01:00)") in text
    assert packed("Audit chain no entry at the end") in text
    assert packed("Audit chain: no entry") in text
    assert packed("This report has no tables.") in text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of memory")
def test_too_little_memory_is_a_sentence(report: Report) -> None:
    with pytest.raises(CallError, match=r"takes more than the 100 MiB of memory .* make it of fewer assets"):
        pdf(report, Limits(memory=100 * 1024 * 1024))
    with pytest.raises(CallError, match=r"cannot be loaded: .*; install asbuilt again"):
        pdf(report, Limits(memory=40 * 1024 * 1024))


def test_too_little_time_is_a_sentence(report: Report) -> None:
    with pytest.raises(CallError, match=r"was not typeset within 0\.001 s: make it of fewer assets"):
        pdf(report, Limits(seconds=0.001))


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("#nothing", "unknown variable: nothing; this is a bug"),
        ('#read("/etc/passwd")', "is a bug"),
        ('#read("../../../etc/passwd")', "is a bug"),
        ("日", "could not be displayed"),
    ],
)
def test_a_bug_of_the_template_is_a_sentence(template: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "report.typ").write_text(template, "utf-8")
    with pytest.raises(CallError, match=why):
        typeset(tmp_path, 0)


@pytest.mark.parametrize("text", [*HOSTILE, "item.fill_limit", "0123456789abcdef" * 4, "日本" * 40])
@pytest.mark.parametrize("code", [False, True])
def test_no_part_of_a_text_is_wider_than_its_line(text: str, code: bool) -> None:
    text = shown(text)
    parts = pieces(text, 60, 8, code)
    assert "".join(parts) == text
    for part in [parts] if isinstance(parts, str) else parts:
        assert all(width_of(word, 8, code) <= 60 for word in part.split(" "))


def test_a_digest_breaks_into_eights_and_a_key_at_its_joints() -> None:
    assert pieces("0123456789abcdef" * 2, 60, 8, code=True) == ["01234567", "89abcdef"] * 2
    assert pieces("item.fill_limit", 60, 8, code=True) == ["item.", "fill_", "limit"]
    assert pieces("item.fill_limit", 80, 8, code=True) == "item.fill_limit"


def test_a_line_ends_in_dots_where_it_is_too_long() -> None:
    assert within("Bottling works", 100, 8) == "Bottling works"
    assert within("x" * 500, 100, 8).endswith("x…")
    assert width_of(within("x" * 500, 100, 8), 8) <= 100


def test_columns_get_their_share_or_what_they_need() -> None:
    assert widths([1, 3], [0, 0], 400) == [100, 300]
    assert widths([1, 3], [150, 0], 400) == [150, 250]
    assert widths([1, 3], [0, 900], 400) == [0, 400]
    assert sum(widths([1, 2, 3], [300, 100, 90], 400)) == pytest.approx(400)
    assert widths([], [], 400) == []


@pytest.mark.parametrize("command", [("qpdf", "--check"), ("pdfinfo",)])
def test_other_programs_read_it(command: tuple[str, ...], made: bytes, tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / "report.pdf"
    path.write_bytes(made)
    done = subprocess.run([*command, path], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_headings_lead_down_to_the_tables(reader: PdfReader) -> None:
    outline = [each.title for each in reader.outline if not isinstance(each, list)]
    assert outline[-1] == "Annexes"
    assert all(first != second for first, second in pairwise(outline))
