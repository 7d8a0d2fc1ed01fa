"""asbuilt replay: whatever the file is, a sentence or a document, never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor import cli  # noqa: F401 (it gives the app its commands)
from monitor.console import app
from tests.test_engine import REAL, Connection, polled
from tests.test_source import block, header, record, section

ROOT = Path(__file__).resolve().parent.parent
FRAMES = [*(connection := Connection()).opened(), *polled(connection, 40)]
WHOLE = header() + b"".join(record(frame) for frame in FRAMES)
needs_wireshark = pytest.mark.skipif(
    not REAL or not all(map(shutil.which, ("editcap", "mergecap", "capinfos"))), reason="needs captures and editcap"
)


def replayed(path: Path | str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what it says on standard error, and the document."""
    done = CliRunner().invoke(app, ["replay", "--json", str(path)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr, json.loads(done.stdout) if done.stdout else {}


def test_a_whole_capture(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(WHOLE)
    code, _, said = replayed(tmp_path / "whole")
    assert code == 0
    assert said["capture"]["packets"] == len(FRAMES)
    assert not said["capture"]["truncated"]
    assert [talk["functions"] for talk in said["conversations"]] == [["read-holding-registers"]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xd4\xc3\xb2", "ends after 3 bytes"),
        (b"<html><body>no capture, but a page</body></html>", "is no pcap or pcapng capture"),
        (bytes(4096), "is no pcap or pcapng capture"),
        (gzip.compress(b"just text, though compressed, and long enough", mtime=0), "is no pcap or pcapng capture"),
        (gzip.compress(WHOLE, mtime=0)[:12], "ended before the end-of-stream marker"),
        (b"\x28\xb5\x2f\xfd" + bytes(40), "decompress it first"),
    ],
)
def test_what_is_no_capture(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    code, error, said = replayed(tmp_path / "file")
    assert (code, said) == (2, {})
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("path", [".", "/dev/null", "there-is-none", "/proc/self/mem"])
def test_what_is_no_file(path: str) -> None:
    code, error, said = replayed(path)
    assert (code, said) == (2, {})
    assert error.startswith(f"asbuilt: {path} ")


@pytest.mark.parametrize(
    ("content", "packets"),
    [
        (header(), 0),
        (section(), 0),
        (WHOLE[:-1], len(FRAMES) - 1),
        (WHOLE[: len(WHOLE) - 70], len(FRAMES) - 1),
        (header() + pack("<IIII", 1, 1, 0xFFFFFFF0, 0xFFFFFFF0) + bytes(100), 0),  # a packet of 4 GB
        (section() + pack("<II", 6, 0xFFFFFFF0) + bytes(100), 0),
        (section() + pack("<II", 0xBAD, 0xFFFFFFF0) + bytes(100), 0),
        (section() + block(0xBAD, bytes(8)), 0),
        (pack("<III", 0x0A0D0D0A, 0xFFFFFFF0, 0x1A2B3C4D) + bytes(100), 0),
    ],
)
def test_what_could_be_read_is_shown(content: bytes, packets: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    code, _, said = replayed(tmp_path / "file")
    assert code == 0
    assert said["capture"]["packets"] == packets
    assert said["capture"]["truncated"] is (content not in (header(), section(), section() + block(0xBAD, bytes(8))))


def test_gzip_that_is_cut_anywhere(tmp_path: Path) -> None:
    packed, seen = gzip.compress(WHOLE), set()
    for length in range(30, len(packed), 97):
        (tmp_path / "file").write_bytes(packed[:length])
        code, _, said = replayed(tmp_path / "file")
        assert code in (0, 2)
        if said:
            assert said["capture"]["truncated"]
            seen.add(said["capture"]["packets"])
    assert len(seen) > 1


@pytest.mark.parametrize("content", [WHOLE[:-9], b""])
def test_through_a_pipe_that_ends_early(content: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(content,))
    writer.start()
    code, error, said = replayed(tmp_path / "fifo")
    writer.join()
    assert (code, bool(said)) == ((0, True) if content else (2, False))
    assert bool(error) is not bool(content)


def test_standard_input_that_ends_early() -> None:
    command = [sys.executable, "-m", "monitor.cli", "replay", "--json", "-"]
    done = subprocess.run(command, cwd=ROOT, input=WHOLE[:-9], capture_output=True, check=True)
    assert json.loads(done.stdout)["capture"]["truncated"]
    assert done.stderr == b""


Breaks = Callable[[str, str, str], list[str]]
BREAKS: dict[str, Breaks] = {
    "errors": lambda one, other, out: ["editcap", "-E", "0.1", "--seed", "5", one, out],
    "cut to 60 bytes": lambda one, other, out: ["editcap", "-s", "60", one, out],
    "cut to 68 bytes": lambda one, other, out: ["editcap", "-s", "68", one, out],
    "without their beginning": lambda one, other, out: ["editcap", "-C", "20", one, out],
    "with the link type of another": lambda one, other, out: ["editcap", "-T", "linux-sll", one, out],
    "as raw IP": lambda one, other, out: ["editcap", "-T", "rawip", one, out],
    "in nanoseconds": lambda one, other, out: ["editcap", "-F", "nsecpcap", one, out],
    "twice": lambda one, other, out: ["mergecap", "-w", out, one, one],
    "of several interfaces": lambda one, other, out: ["mergecap", "-w", out, one, other],
    "out of order": lambda one, other, out: ["mergecap", "-a", "-w", out, other, one],
}


@needs_wireshark
@pytest.mark.parametrize("how", BREAKS)
def test_what_editcap_breaks_has_as_many_packets_as_capinfos_counts(how: str, tmp_path: Path) -> None:
    chance, out = random.Random(how), str(tmp_path / "out")
    small = [str(path) for path in REAL if path.stat().st_size < 100_000]
    for _ in range(4):
        subprocess.run(BREAKS[how](chance.choice(small), chance.choice(small), out), check=True, capture_output=True)
        command = ["capinfos", "-c", "-T", "-r", "-m", "-M", out]
        counted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        code, _, said = replayed(out)
        assert code == 0
        assert said["capture"]["packets"] == int(counted.split(",")[-1])
        assert not said["capture"]["truncated"]
