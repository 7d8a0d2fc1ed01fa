"""Reports as HTML, XLSX, CSV and JSON: all of it can be read back, nothing in it is obeyed, the bytes stay."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from monitor.errors import CallError
from monitor.report.annexes import annexes, csv_parts
from monitor.report.document import PAGE_ROWS, Column, Form, Kind, Report, Section, Table, Text, Weight
from monitor.report.documents import json_parts
from monitor.report.html import html
from monitor.report.weights import WORDS, by_weight
from monitor.report.writing import Format, format_of, formats_of, parts, suffix_of, write
from monitor.report.xlsx import LONGEST_TEXT, sheet_names, xlsx
from tests.floors import ROOT
from tests.reports import COLUMNS, HOSTILE, UNTIL, sample, table

VOID = ("meta", "link", "col", "br", "img", "input", "hr")
RICH = "<r><t>bold</t></r>"


def of_tables(*tables: Table, kind: Kind = Kind.AUDIT) -> Report:
    """A report of these tables alone."""
    return replace(sample(kind=kind), sections=(Section("all", "All", tables),))


def of_cells(*cells: Any, form: Form = Form.TEXT) -> Report:
    """A report of one column."""
    return of_tables(Table("cells", "Cells", (Column("cell", "Cell", form),), [(cell,) for cell in cells], "None."))


class Page(HTMLParser):
    """A page as a browser takes it: its elements with their attributes, and the text in each."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return " ".join(data for _, data in self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def test_a_page_holds_nothing_that_acts_and_asks_for_nothing() -> None:
    page = Page(html(sample(300)))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "style/", "foreignobject"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("src", "href", "action", "data", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    (style,) = [text for tag, text in page.texts if tag == "style"]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_of_a_page_allows_just_its_own_style() -> None:
    written = html(sample()).decode()
    (policy,) = [
        each["content"] for each in Page(written.encode()).all("meta") if "Content-Security-Policy" in each.values()
    ]
    (style,) = re.findall("<style>(.*?)</style>", written, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_what_a_device_says_is_text_on_a_page() -> None:
    page = Page(html(of_cells(*HOSTILE, RICH)))
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert RICH in page.text
    assert r"a\x00b\x1b[31m" in page.text
    assert r"half \ud800" in page.text
    assert "x" * 300 in page.text
    assert "x" * 2000 not in page.text  # the annex has it
    everywhere = Page(html(hostile_everywhere()))
    assert {tag for tag, _ in everywhere.elements} <= {tag for tag, _ in Page(html(sample())).elements}


def hostile_everywhere() -> Report:
    """A report whose every text wants to be an element."""
    bad = "</title></style><script>alert(1)</script>"
    names = tuple(replace(column, title=bad) for column in COLUMNS)
    one = replace(table(3), title=bad, note=bad, columns=names)
    none = replace(table(0, "none"), title=bad, empty=bad)
    report = sample()
    findings = tuple(replace(finding, text=bad) for finding in report.findings)
    blocks = (Text((bad,)), one, none)
    section = Section("all", bad, blocks, (bad,), findings)
    return replace(report, title=bad, plant=bad, scope=bad, version=bad, head=bad, sections=(section,))


def test_every_reference_of_a_page_leads_somewhere_and_every_id_is_there_once() -> None:
    page = Page(html(sample(300)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    leads = [(each["href"] or "").removeprefix("#") for each in page.all("a")]
    assert {"main", "findings", "annexes", "section-scope", "section-deviations", "section-orders"} <= set(leads)
    named = " ".join(attributes.get("aria-labelledby") or "" for _, attributes in page.elements).split()
    assert {*leads, *named} <= set(ids)


def test_a_screen_reader_gets_headings_captions_and_scopes() -> None:
    report = sample()
    page = Page(html(report))
    assert page.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.elements if tag in ("main", "nav", "h1")] == ["h1", "nav", "main"]
    captions = [text for tag, text in page.texts if tag == "caption"]
    assert captions == ["Deviations", "The annexes of this report"]
    heads = page.all("th")
    assert {head["scope"] for head in heads} == {"col", "row"}
    assert [svg["role"] for svg in page.all("svg")] == ["img"]
    for finding in report.findings:
        symbol, word = WORDS[finding.weight]
        assert symbol in page.text
        assert word in page.text


def test_a_long_table_names_the_annex_that_has_it_all() -> None:
    report = sample(1200)
    page = Page(html(report))
    known = {annex.name: annex for annex in annexes(report)}
    rows = [each for each in page.all("tr") if "id" not in each]
    assert len(rows) == PAGE_ROWS + 2  # with the headings of the two tables
    assert "The first 200 of 1,200 rows; all of them are in the annex deviations.csv, SHA-256" in page.text
    for annex in known.values():
        assert annex.digest in page.text
    assert page.text.count(known["deviations.csv"].digest) == 2
    assert "The first 200" not in Page(html(sample(PAGE_ROWS))).text


def test_a_table_without_rows_says_why() -> None:
    assert "No order was open." in Page(html(sample())).text


def test_times_of_a_page_are_those_of_the_plant() -> None:
    page = Page(html(of_cells(UNTIL, form=Form.TIME)))
    assert "2026-11-26 13:00:00" in page.text  # Berlin
    assert page.text.count("Europe/Berlin") == 2  # among the facts, and in the last line


def test_findings_come_as_people_have_to_look_at_them() -> None:
    assert [each.weight for each in by_weight(sample().findings)] == [
        Weight.BAD,
        Weight.ATTENTION,
        Weight.UNKNOWN,
        Weight.GOOD,
    ]


def workbook(report: Report, **more: Any) -> Any:
    return openpyxl.load_workbook(io.BytesIO(xlsx(report, **more)))


def cells_of(*cells: Any, form: Form = Form.TEXT) -> list[Any]:
    sheet = workbook(of_cells(*cells, form=form))["Cells"]
    return [row[0].value for row in sheet.iter_rows(min_row=2)]


def test_a_workbook_has_a_summary_and_a_sheet_for_each_table() -> None:
    book = workbook(sample())
    assert book.sheetnames == ["Summary", "Deviations", "Orders"]
    said = [cell.value for row in book["Summary"].iter_rows() for cell in row if cell.value is not None]
    for text in ("Audit report", "all of the plant: 2 assets", "✗ not so", "1 of 2 assets drifts.", "deviations.csv"):
        assert text in said
    sheet = book["Deviations"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:H41"
    heads = [cell.value for cell in sheet[1]]
    assert heads == ["Asset", "Item", "Raised (UTC)", "State", "Lasted (s)", "Seen", "Polls", "Digest"]
    assert sheet.column_dimensions["C"].width > 18
    assert book["Orders"]["A2"].value == "No order was open."
    assert book.properties.created == UNTIL.replace(tzinfo=None)


def test_a_sheet_has_real_dates_and_numbers() -> None:
    row = workbook(sample())["Deviations"][5]
    assert [type(cell.value) for cell in row] == [str, str, datetime, str, float, float, int, str]
    assert row[2].value == UNTIL.replace(tzinfo=None) - timedelta(minutes=3)
    assert row[2].number_format == "yyyy-mm-dd hh:mm:ss"
    assert (row[4].value, row[5].value, row[6].value) == (22.5, 3 / 40, 3000)
    berlin = datetime(2026, 11, 26, 13, tzinfo=timezone(timedelta(hours=1)))
    assert cells_of(berlin, form=Form.TIME) == [UNTIL.replace(tzinfo=None)]
    assert cells_of(datetime(1, 1, 1, tzinfo=UTC), form=Form.TIME) == ["0001-01-01T00:00:00.000Z"]
    assert cells_of(True, None, 10**20, float("nan"), float("-inf")) == [True, None, str(10**20), "nan", "-inf"]


def test_no_text_becomes_a_formula_or_a_link_of_a_workbook() -> None:
    texts = ("=1+1", "+1", "-1", "@SUM(A1)", "{=1}", "https://example.org", "mailto:a@b", "internal:Summary!A1", "0012")
    assert cells_of(*texts) == list(texts)
    with zipfile.ZipFile(io.BytesIO(xlsx(sample()))) as packed:
        sheets = [packed.read(name) for name in packed.namelist() if name.startswith("xl/worksheets/")]
        names = packed.namelist()
    assert sheets
    assert not any(b"<f>" in sheet or b"<f " in sheet for sheet in sheets)
    assert not [name for name in names if "external" in name.lower() or name.endswith((".bin", ".rels.rels"))]


def test_a_workbook_shows_what_a_cell_cannot_hold() -> None:
    shown = [r"a\x00b\x1b[31m", "日本語 العربية 🏭", r"half \ud800", "x" * 2000, "", " ", "-5.0", r"\ufffe", "a\nb"]
    assert cells_of(*HOSTILE) == [*HOSTILE[:5], *shown]
    assert cells_of(RICH, f"{RICH}</c></r>", "_x0041_") == [f"'{RICH}", f"'{RICH}</c></r>", "_x005F_x0041_"]


def test_what_is_too_long_for_a_cell_is_cut_with_a_word() -> None:
    whole, letters, pairs = "y" * LONGEST_TEXT, "x" * 40_000, "🏭" * 20_000
    kept = cells_of(whole, letters, pairs)
    assert kept[0] == whole
    assert kept[1].endswith("x … (cut: 40,000 letters)")
    assert kept[2].endswith("🏭 … (cut: 20,000 letters)")
    assert all(len(text.encode("utf-16-le")) <= 2 * LONGEST_TEXT for text in kept)


def test_more_rows_than_a_sheet_holds_are_cut_with_a_word() -> None:
    report = of_cells(*range(12))
    sheet = workbook(report, most_rows=10)["Cells"]
    assert sheet.max_row == 11
    assert sheet["A10"].value == 8
    assert sheet["A11"].value == "3 rows more are in the annex cells.csv, which has them all"
    assert workbook(report, most_rows=12)["Cells"]["A13"].value == 11


def test_sheets_have_names_that_a_spreadsheet_takes() -> None:
    titles = ["Deviations", "deviations", "a/b[c]:*?\\'d'", "x" * 40, "x" * 41, "Summary", "History", "", "\0", "=1+1"]
    names = sheet_names([replace(table(0, f"key-{number}"), title=title) for number, title in enumerate(titles)])
    assert len({name.lower() for name in names}) == len(names)
    assert all(0 < len(name) <= 31 for name in names)
    assert not any(set(name) & set("[]:*?/\\'") for name in names)
    assert names[:2] == ["Deviations", "deviations 2"]
    assert "Summary" not in names
    book = workbook(of_tables(*(replace(table(1, f"k{at}"), title=title) for at, title in enumerate(titles))))
    assert len(book.sheetnames) == len(titles) + 1


def test_json_is_one_document_with_every_row() -> None:
    report = sample(2500)
    found = json.loads(b"".join(json_parts(report)))
    assert {name: found[name] for name in ("report", "from", "until", "timezone", "chain")} == {
        "report": "audit",
        "from": "2026-10-27T12:00:00.000Z",
        "until": "2026-11-26T12:00:00.000Z",
        "timezone": "Europe/Berlin",
        "chain": {"entries": 17, "head": "ab" * 32},
    }
    assert [each["weight"] for each in found["findings"]] == ["good", "attention", "bad", "unknown"]
    assert [(each["key"], each["tables"]) for each in found["sections"]] == [
        ("scope", []),
        ("deviations", ["deviations"]),
        ("orders", ["orders"]),
    ]
    assert found["sections"][0]["facts"][2] == {"fact": "Last look", "value": "2026-11-26T12:00:00.000Z", "note": ""}
    rows = found["tables"]["deviations"]["rows"]
    assert [row["asset"] for row in rows] == [row[0] for row in table(2500).rows]
    assert rows[1]["at"] == "2026-11-26T11:59:00.000Z"
    assert found["tables"]["orders"]["rows"] == []
    assert found["tables"]["orders"]["columns"][2] == {"key": "at", "title": "Raised", "form": "time"}


def test_json_of_what_has_no_number_and_of_a_moment() -> None:
    report = replace(of_cells(float("nan"), float("inf"), -float("inf"), None, True, 0.5), since=None)
    found = json.loads(b"".join(json_parts(report)), parse_constant=pytest.fail)
    assert [row["cell"] for row in found["tables"]["cells"]["rows"]] == [
        "NaN",
        "Infinity",
        "-Infinity",
        None,
        True,
        0.5,
    ]
    assert found["from"] is None
    assert json.loads(b"".join(json_parts(replace(report, sections=()))))["tables"] == {}


def test_csv_as_a_zip_and_as_a_folder_has_every_annex_and_its_checksum(tmp_path: Path) -> None:
    report = sample(1500)
    write(report, Format.CSV, tmp_path / "all.zip")
    write(report, Format.CSV, tmp_path / "all")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert packed.namelist() == ["deviations.csv", "orders.csv", "SHA256SUMS"]
        assert {each.date_time for each in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        files = {name: packed.read(name) for name in packed.namelist()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    assert files["SHA256SUMS"].decode() == "".join(f"{each.digest}  {each.name}\n" for each in annexes(report))
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "all", capture_output=True, check=False)
    assert done.returncode == 0
    assert len(list(csv.reader(io.StringIO(files["deviations.csv"].decode())))) == 1501


def test_a_csv_file_holds_a_single_table(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    write(of_cells("a", "b"), Format.CSV, path)
    assert path.read_text() == "cell\na\nb\n"
    write(of_cells("a"), Format.CSV, path)  # in its place
    assert path.read_text() == "cell\na\n"
    with pytest.raises(CallError, match=r"has 2 tables, and cells\.csv can hold one: name a \.zip, or a folder"):
        write(sample(), Format.CSV, path)
    assert path.read_text() == "cell\na\n"


@pytest.mark.parametrize("key", ["../x", "a/b", "/etc/passwd", "", "A", "a b", "a\0", "..", "a.b", "-a", "con:"])
def test_a_key_that_could_lead_elsewhere_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="is no key of a table"):
        write(of_tables(table(1, key)), Format.CSV, tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


def test_two_tables_of_one_key_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the same key"):
        write(of_tables(table(1), table(2)), Format.CSV, tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


WRITTEN = [Format.HTML, Format.XLSX, Format.CSV, Format.JSON]
PROGRAM = """
import sys
from pathlib import Path
from monitor.report.writing import Format, suffix_of, write
from tests.reports import sample
for format in sys.argv[2:]:
    write(sample(300), Format(format), Path(sys.argv[1] + suffix_of(Format(format))))
"""


def test_the_same_report_is_the_same_bytes_whoever_writes_it(tmp_path: Path) -> None:
    for seed, zone in (("1", "UTC"), ("2", "America/St_Johns")):
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / seed), *WRITTEN],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=True,
        )
    for format in WRITTEN:
        one, other = ((tmp_path / f"{seed}{suffix_of(format)}").read_bytes() for seed in "12")
        assert one == other, format


@pytest.mark.parametrize("format", WRITTEN)
def test_what_a_report_wrote_is_replaced_and_nothing_else(tmp_path: Path, format: Format) -> None:
    path = tmp_path / f"a{suffix_of(format)}"
    path.touch()  # as mktemp makes it
    write(sample(3), format, path)
    before = path.read_bytes()
    write(sample(4), format, path)
    assert path.read_bytes() != before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    path.write_text('[plant]\nname = "Test"\n')
    with pytest.raises(CallError, match="exists already"):
        write(sample(3), format, path)
    assert path.read_text() == '[plant]\nname = "Test"\n'
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(CallError, match="is no regular file"):
        write(sample(3), format, path)
    path.unlink()
    path.mkdir()
    with pytest.raises(CallError, match="is a folder"):
        write(sample(3), format, path)
    with pytest.raises(CallError, match="there is no folder"):
        write(sample(3), format, tmp_path / "none" / "a")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("a.html", b"<!doctype html><title>mine</title>"),
        ("a.json", b'{"name": "mine"}'),
        ("a.csv", b"Name;IP\nline1;10.0.0.1\n"),
        ("a.xlsx", b"PK\3\4"),
        ("a.zip", b"PK\5\6" + bytes(18)),
    ],
)
def test_a_file_of_the_same_kind_that_we_did_not_write_stays(tmp_path: Path, name: str, theirs: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(theirs)
    with pytest.raises(CallError, match="exists already"):
        write(of_cells("a"), format_of(path) or Format.PDF, path)
    assert path.read_bytes() == theirs


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    write(sample(3), Format.CSV, folder)
    write(of_cells("a"), Format.CSV, folder)  # ours
    assert sorted(each.name for each in folder.iterdir()) == ["SHA256SUMS", "cells.csv"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CallError, match=r"holds notes\.txt, which no report wrote"):
        write(sample(3), Format.CSV, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(CallError, match="exists already"):
        write(sample(3), Format.CSV, folder / "notes.txt")
    assert [each.name for each in tmp_path.iterdir()] == ["tables"]


@pytest.mark.parametrize("format", [*WRITTEN, "folder"])
def test_where_writing_ends_early_what_was_there_stays(tmp_path: Path, format: str) -> None:
    wanted = Format.CSV if format == "folder" else Format(format)
    path = tmp_path / ("tables" if format == "folder" else f"a{suffix_of(wanted)}")
    write(sample(3), wanted, path)
    before = contents(path)
    for error in (KeyboardInterrupt, OSError(28, "No space left on device")):
        broken = of_tables(replace(table(5), rows=Failing(error)))
        with pytest.raises((KeyboardInterrupt, CallError)):
            write(broken, wanted, path)
        assert contents(path) == before
        assert [each.name for each in tmp_path.iterdir()] == [path.name]


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {each.name: each.read_bytes() for each in files}


class Failing(list[Any]):
    """Rows, at the third of which something happens."""

    def __init__(self, error: Any) -> None:
        super().__init__(table(5).rows)
        self._error = error

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self)):
            if number == 2:
                raise self._error
            yield self[number]


LIMITED = """
import resource, sys
from pathlib import Path
from monitor.errors import CallError
from monitor.report.writing import Format, write
from tests.reports import sample
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for format, name in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        write(sample(2000), Format(format), Path(name))
    except CallError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is one of POSIX")
def test_a_disk_that_takes_no_more_is_a_sentence(tmp_path: Path) -> None:
    wanted = [("csv", "a.zip"), ("csv", "folder"), ("html", "a.html"), ("xlsx", "a.xlsx"), ("json", "n" * 300)]
    for format, name in wanted[:4]:
        write(sample(3), Format(format), tmp_path / name)
    before = {path: contents(path) for path in tmp_path.iterdir()}
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, *(word for pair in wanted for word in pair)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(said) == len(wanted)
    assert all("cannot be written: file" in line and "what was there is left as it was" in line for line in said)
    assert {path: contents(path) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.pdf", Format.PDF),
        ("A.HTM", Format.HTML),
        ("a.xlsx", Format.XLSX),
        ("a.zip", Format.CSV),
        ("a.csv", Format.CSV),
        ("a.json", Format.JSON),
        ("a.cdx.json", Format.CYCLONEDX),
        ("a", None),
        ("pdf", None),
        (".pdf", Format.PDF),
        ("a.docx", None),
    ],
)
def test_the_name_of_a_file_says_its_format(name: str, format: Format | None) -> None:
    assert format_of(Path(name)) is format


def test_which_report_is_written_how() -> None:
    assert formats_of(Kind.INVENTORY) == list(Format)
    assert formats_of(Kind.AUDIT) == [format for format in Format if format is not Format.CYCLONEDX]
    assert [suffix_of(format) for format in Format] == [".pdf", ".html", ".xlsx", ".zip", ".json", ".cdx.json"]
    with pytest.raises(CallError, match="only inventory is written as cyclonedx; audit can be written as pdf, html"):
        write(sample(), Format.CYCLONEDX, Path("a"))


def progress_of(run: Callable[[Callable[[str, int, int], None]], None]) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    run(lambda _, done, of: told.append((done, of)))
    return told


@pytest.mark.parametrize("format", [Format.XLSX, Format.JSON, Format.CSV])
def test_writing_tells_how_far_it_is(tmp_path: Path, format: Format) -> None:
    told = progress_of(lambda step: write(sample(), format, tmp_path / f"a{suffix_of(format)}", step))
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_a_report_without_anything_is_written_too(tmp_path: Path) -> None:
    report = replace(sample(), sections=(), head="", entries=0, since=None)
    for format in WRITTEN:
        write(report, format, tmp_path / f"a{suffix_of(format)}")
    assert "This report has no table" in Page(b"".join(parts(report, Format.HTML))).text
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == ["SHA256SUMS"]


def test_the_annex_of_a_page_is_the_file_of_the_zip(tmp_path: Path) -> None:
    report = sample(400)
    write(report, Format.CSV, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        for each in report.tables:
            content = packed.read(f"{each.key}.csv")
            assert content == b"".join(csv_parts(each))
            assert sha256(content).hexdigest() in Page(html(report)).text
