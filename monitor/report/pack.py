"""Evidence packs: a report, its data, the evidence that it is of, and the verifier, in one archive, signed.

docs/pack.md has the format. Whoever gets a pack needs Python alone: `monitor/verifier.py` is in it, as verify.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from baselines.snapshot import utc_text
from monitor import evidence, store, verifier
from monitor.archive import PLAIN, Sealing, assure_place, new_archive
from monitor.config import Plant
from monitor.entries import printable
from monitor.errors import CallError, NotNow
from monitor.keys import Signer
from monitor.report.annexes import annex_name, csv_parts
from monitor.report.document import Report
from monitor.report.scope import Progress
from monitor.report.writing import Format, parts
from monitor.store import Database, Transaction

README, DATA = "README.txt", "data/"
PAGES = ("report.pdf", "report.html", verifier.REPORT)
DOING = "writing the pack"

Page = Callable[[Report], Iterable[bytes]]  # a report as one file, in parts

ABOUT = """\
{title} of {plant}, until {until} (UTC), made by asbuilt {version}.
This is an evidence pack: what a report says, and what it takes to check that nobody has changed it.

  report.pdf, report.html, report.json   the report: for print, for a browser, for programs
  data/                                  its annexes: every table of it, whole, as CSV in UTF-8
  evidence.jsonl                         every decision, each with the hash of the one before it, and what came of it
  checkpoints.jsonl                      the plant's signatures under these, as they were kept {kept}
  verify.py                              a program that checks all of it: one file, Python 3.9 or newer, no network
  KEY.pem, MANIFEST, MANIFEST.sig        the plant's public key, the SHA-256 of every file, the signature over that

The pack is signed with this key:

  {key}

WHO HOLDS THIS KEY NO FILE CAN PROVE. Compare it with what the plant wrote down on paper at its commissioning; if the
plant has changed its key since, verify.py says with which key it began.

To check the pack, unpack it into a new folder, and there:

  Linux, macOS   python3 verify.py
  Windows        py verify.py

It ends with 0 if all of it verifies, with 4 if not, and says what it cannot know. With --key HEX it compares the key,
with --checkpoints FILE those signatures that you kept yourself at an earlier visit. It reads the zip as well:
python3 verify.py PACK.zip. verify.py came from whoever made the pack: if you trust nobody, take monitor/verifier.py
from a copy of asbuilt that you got elsewhere. It is the same file.

To check it without any program of asbuilt, in the same folder (OpenSSL 3; not the one that comes with macOS):

  sha256sum -c MANIFEST
  openssl pkeyutl -verify -pubin -inkey KEY.pem -rawin -in MANIFEST -sigfile MANIFEST.sig
  openssl pkey -pubin -in KEY.pem -outform DER | tail -c 32 | xxd -p -c 32

The first says that no file listed in MANIFEST was changed, the second that the list is signed, the third prints the
key. A file that MANIFEST does not name does not belong here. On macOS the first is shasum -a 256 -c MANIFEST; on
Windows, in PowerShell, this names every file that was changed:

  Get-Content MANIFEST | % {{ $sum, $name = $_ -split '  ', 2; if ((Get-FileHash $name).Hash -ne $sum) {{ $name }} }}

How evidence.jsonl is verified is in docs/evidence.md of asbuilt, step by step, for a program of your own.
"""


def pack(
    plant: Plant,
    database: Database,
    report: Report,
    path: Path,
    progress: Progress,
    pages: Mapping[str, Page] | None = None,
) -> None:
    """Write the pack of a report that was gathered from this store: a zip if `path` is called so, or else a folder.

    CallError if it cannot be written, or not be signed by whoever asks; NotNow if the store is no longer the one that
    the report is of. Then nothing is left of it. `pages` are the files of the report by name, if not those of `PAGES`.
    """
    signer = _possible(plant, database, path)  # before what takes long
    writers = _pages() if pages is None else pages
    outside = _kept_outside(plant)  # before the store is read: each was in it before it was there
    with new_archive(path, PLAIN) as sink:
        archive, steps = Sealing(sink), _Steps(progress, len(writers) + len(list(report.tables)) + 2)
        archive.add(README, [_about(report, signer.key, bool(outside)).encode()])
        archive.add(verifier.ITSELF, [Path(verifier.__file__).read_bytes()])
        for name, write in writers.items():
            archive.add(name, write(report))
            steps.done()
        for table in report.tables:
            archive.add(f"{DATA}{annex_name(table)}", csv_parts(table))
            steps.done()
        with database.read() as tx:
            _assure_same(tx, report, signer.key)
            archive.add(verifier.EVIDENCE, evidence.exported(tx))
            steps.done()
            archive.add(verifier.CHECKPOINTS, _lines(outside or _stored(tx)))
        archive.seal(signer)
        steps.done()


def assure_possible(plant: Plant, database: Database, path: Path) -> None:
    """CallError, before a report is gathered, if no pack could be made of it there, or by whoever asks."""
    _possible(plant, database, path)


def _possible(plant: Plant, database: Database, path: Path) -> Signer:
    assure_place(path)
    with database.read() as tx:
        return _signer(tx, plant)


class _Steps:
    """How much of a pack is written."""

    def __init__(self, progress: Progress, of: int) -> None:
        self._progress, self._of, self._done = progress, of, 0
        progress(DOING, 0, of)

    def done(self) -> None:
        self._done += 1
        self._progress(DOING, self._done, self._of)


def _pages() -> dict[str, Page]:
    """The files of a report, each by its writer."""

    def page(name: str) -> Page:
        return lambda report: parts(report, Format(name.rpartition(".")[2]))

    return {name: page(name) for name in PAGES}


def _signer(tx: Transaction, plant: Plant) -> Signer:
    """The plant's key. CallError, with the one who can, for who may not read it."""
    if store.last_detail(tx, *verifier.NEW_KEYS) is None:
        raise CallError("nothing was decided at this plant yet: it has no key that could sign a pack")
    try:
        return evidence.plant_key(tx, plant.evidence, datetime.now(UTC))  # the time would be that of a first key
    except CallError as error:
        raise CallError(f"a pack is signed with the plant's key: {error}{_who_can(plant.evidence.key)}") from None


def _who_can(key: Path) -> str:
    try:
        owner = key.owner() if os.path.exists(key) and not os.access(key, os.R_OK) else ""
    except (OSError, KeyError, NotImplementedError):
        return ""
    return f"; {owner} can, whose file it is: sudo -u {owner} asbuilt …" if owner else ""


def _assure_same(tx: Transaction, report: Report, key: str) -> None:
    """NotNow if the store is not the one that the report was gathered from, or has another key by now."""
    if report.entries and store.hash_at(tx, report.entries) != report.head:
        raise NotNow(
            f"the store changed while the report was made: entry {report.entries} of its audit chain is another one"
            " now, or is gone (asbuilt verify); make the report again"
        )
    last = store.last_detail(tx, *verifier.NEW_KEYS) or {}
    if last.get("public_key") != key:
        raise NotNow("the plant got another key while the pack was made; make it again")


def _kept_outside(plant: Plant) -> list[str]:
    """The checkpoints in the files outside of the store, each once, as they stand there; also what is torn or none."""
    lines: dict[str, None] = {}
    for path in plant.evidence.files:
        try:
            for row in verifier.read_checkpoints(path):
                lines.setdefault(str(row.get("line") or verifier.line_of(row)))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CallError(f"the checkpoints in {path} cannot be read: {error.strerror}") from None
    return list(lines)


def _stored(tx: Transaction) -> Iterator[str]:
    """The checkpoints in the store."""
    return map(verifier.line_of, store.evidence(tx, ("checkpoint",))["checkpoint"])


def _lines(texts: Iterable[str]) -> Iterator[bytes]:
    return (f"{text}\n".encode() for text in texts)


def _about(report: Report, key: str, is_outside: bool) -> str:
    return ABOUT.format(
        title=printable(report.title),
        plant=printable(report.plant),
        until=utc_text(report.until),
        version=report.version,
        kept="outside of its database" if is_outside else "in its database: there were none outside",
        key=key,
    )
