"""asbuilt replay, as a process: what it shows, what it writes, and what no capture can do to it."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.passive.engine import Engine
from collectors.passive.inventory import EVIDENCE_MOST
from monitor.wire import Events, conversation_document, host_document, moment
from tests.floors import ROOT, Done
from tests.forge import forge
from tests.frames import batch, ethernet
from tests.spoken import CYCLE, PLC, READ, RESTART, ROGUE, SCADA, WRITE, arp, identity, pcap

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
COMMAND = [sys.executable, "-m", "monitor.cli", "replay"]
FRAMES = [
    *CYCLE,
    *SCADA.says(PLC, identity(manufacturer="ACME", product_code="P-9", software_revision="2.4.1", model="Filler")),
    *ROGUE.says(PLC, READ, WRITE, WRITE, RESTART),
]


def replayed(content: bytes, folder: Path, *words: str, name: str = "a.pcap") -> Done:
    file = folder / name
    file.write_bytes(content)
    return asbuilt(str(file), *words)


def asbuilt(*words: str, given: bytes = b"") -> Done:
    if given:
        run = subprocess.run([*COMMAND, *words], input=given, env=ENVIRONMENT, capture_output=True, timeout=60)
        found = Done(run.returncode, run.stdout.decode(), run.stderr.decode())
    else:
        done = forge().run(["replay", *words], ENVIRONMENT, Path.cwd(), 60, exact=True)
        found = Done(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in found.err, found.err
    return found


def test_json_has_the_keys_that_are_promised(tmp_path: Path) -> None:
    done = replayed(pcap(FRAMES), tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    document = done.json
    assert set(document) == {"capture", "hosts", "conversations", "events"}
    assert {"packets", "bytes", "seconds", "truncated", "malformed"} <= set(document["capture"])
    capture = {key: document["capture"][key] for key in ("packets", "bytes", "truncated", "malformed")}
    assert capture == {"packets": len(FRAMES), "bytes": sum(map(len, FRAMES)), "truncated": False, "malformed": {}}
    assert document["capture"]["seconds"] == pytest.approx((len(FRAMES) - 1) / 1000)
    hosts = {host["mac"]: host for host in document["hosts"]}
    plc = hosts[PLC.mac]
    assert set(plc) >= {
        "mac", "ips", "names", "manufacturer", "product_code", "model", "hardware_revision", "software_revision",
        "serial_number", "role", "protocols", "first_seen", "last_seen", "evidence",
    }  # fmt: skip
    assert (plc["ips"], plc["manufacturer"], plc["model"], plc["role"]) == (
        ["10.0.0.2"],
        "ACME",
        "Filler",
        "controller",
    )
    assert plc["serial_number"] is None
    assert {"field": "software_revision", "value": "2.4.1", "protocol": "modbus", "frame": 12} in plc["evidence"]
    assert plc["first_seen"] == "2023-11-14T22:13:20.000Z"
    talk = next(each for each in document["conversations"] if each["client"] == ROGUE.ip)
    assert set(talk) >= {"client", "server", "protocol", "port", "packets", "bytes", "functions"}
    assert (talk["server"], talk["protocol"], talk["port"], talk["packets"]) == (PLC.ip, "modbus", 502, 10)
    assert talk["functions"] == ["diagnostics", "read-holding-registers", "write-single-register"]
    *_, written, again, restarted = document["events"]
    assert set(written) >= {"at", "frame", "client", "server", "protocol", "operation", "detail", "techniques"}
    assert [written["operation"], again["operation"], restarted["operation"]] == ["write", "write", "restart"]
    assert (written["client"], written["detail"]["values"]) == (ROGUE.ip, [7])
    assert (written["techniques"], restarted["techniques"]) == (["T0836", "T0855"], ["T0816"])
    assert again["frame"] == written["frame"] + 2


def test_the_same_from_a_pipe_and_packed(tmp_path: Path) -> None:
    content = pcap(FRAMES)
    plain = replayed(content, tmp_path, "--json").out
    assert asbuilt("-", "--json", given=gzip.compress(content)).out == plain
    assert replayed(gzip.compress(content), tmp_path, "--json", name="a.pcap.gz").out == plain


def test_people_get_a_table(tmp_path: Path) -> None:
    done = replayed(pcap(FRAMES), tmp_path)
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert [PLC.mac, "10.0.0.2", "–", "ACME", "Filler", "2.4.1", "–", "controller", "arp,", "modbus"] in lines
    assert [ROGUE.ip, PLC.ip, "modbus", "write", "2"] in [line[:5] for line in lines]
    assert f"{len(FRAMES)} frames in 0.0 s: 3 hosts, 2 conversations, 4 events" in done.out
    assert "not seen" not in done.out


def test_an_empty_capture_is_a_capture(tmp_path: Path) -> None:
    done = replayed(pcap([]), tmp_path, "--json")
    assert (done.code, done.json["hosts"], done.json["capture"]["packets"]) == (0, [], 0)
    assert replayed(pcap([]), tmp_path).code == 0


@pytest.mark.parametrize(
    "content",
    [
        pcap(FRAMES)[:-5],
        pcap(FRAMES) + b"\xff" * 40,
        gzip.compress(pcap(FRAMES * 30))[:-200],
        gzip.compress(pcap(FRAMES))[:-9] + b"123456789",
    ],
    ids=["cut", "followed by junk", "packed and cut", "packed and broken"],
)
def test_a_broken_capture_yields_what_could_be_read(content: bytes, tmp_path: Path) -> None:
    done = replayed(content, tmp_path, "--json")
    assert (done.code, done.json["capture"]["truncated"], done.err) == (0, True, "")
    assert done.json["capture"]["why_truncated"]
    assert PLC.mac in {host["mac"] for host in done.json["hosts"]}


def test_people_are_told_that_a_capture_is_broken(tmp_path: Path) -> None:
    shown = replayed(pcap(FRAMES)[:-5], tmp_path)
    assert shown.code == 0
    assert "The capture is cut short or broken: " in shown.out
    assert PLC.mac in shown.out


@pytest.mark.parametrize(
    "content",
    [b"", b"no capture at all, but a letter", gzip.compress(b"a letter"), b"\xd4\xc3"],
    ids=["empty", "a letter", "a packed letter", "too short"],
)
def test_what_is_no_capture_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    done = replayed(content, tmp_path, "--json")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "a.pcap" in done.err


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    for name in (str(tmp_path / "missing.pcap"), str(tmp_path), "-"):
        done = asbuilt(name)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


HOSTILE = [
    b"\x1b[2J\x1b]0;owned\x07ACME",
    b"two\nlines\rback\ttab",
    b"\xff\xfe\xc3\x28",
    b"[bold red]markup[/bold red] :boom:",
    "\u202eright to left\u200b\u0085\u2028".encode(),
    b"x" * 240,
    b'"quoted", \\ and {"json": 1}',
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 工場 é́́́".encode(),
]


def hostile() -> list[bytes]:
    frames: list[bytes] = []
    for number, said in enumerate(HOSTILE):
        card = f"02:00:00:00:01:{number:02x}"
        host = type(PLC)(card, f"10.0.1.{number + 1}")
        frames += SCADA.says(host, identity(manufacturer=said, model=said, software_revision=said[:200]))
        name = said[:500]
        lldp = b"\x02\x07\x04" + bytes.fromhex(card.replace(":", "")) + b"\x04\x02\x07a\x06\x02\0x"
        lldp += (5 << 9 | len(name)).to_bytes(2, "big") + name + b"\0\0"
        frames.append(ethernet(lldp, 0x88CC, bytes.fromhex(card.replace(":", ""))))
    many = [arp("02:00:00:00:02:00", f"10.0.{at >> 8}.{at & 255}", "10.0.0.1") for at in range(512, 4000)]
    return frames + many


def test_what_hosts_call_themselves_harms_neither_the_table_nor_the_terminal(tmp_path: Path) -> None:
    done = replayed(pcap(hostile()), tmp_path)
    assert done.code == 0
    assert all(letter.isprintable() or letter == "\n" for letter in done.out)
    assert "[bold red]" in done.out
    assert max(map(len, done.out.split("\n"))) <= 210
    assert done.out.count("\n") < 200, "no cell fills pages"


def test_what_hosts_call_themselves_is_in_the_json_as_it_is(tmp_path: Path) -> None:
    done = replayed(pcap(hostile()), tmp_path, "--json")
    hosts = {host["mac"]: host for host in done.json["hosts"]}
    assert hosts["02:00:00:00:01:00"]["model"] == HOSTILE[0].decode()
    assert hosts["02:00:00:00:01:00"]["names"] == [HOSTILE[0].decode()]
    assert hosts["02:00:00:00:01:04"]["model"] == HOSTILE[4].decode().strip()
    assert "\x1b" not in done.out
    assert len(hosts["02:00:00:00:02:00"]["ips"]) == EVIDENCE_MOST


def test_a_console_that_knows_few_letters_gets_them_escaped(tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(hostile()[:60]))
    for words in ([], ["--json"]):
        environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run([*COMMAND, str(file), *words], env=environment, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        if words:
            json.loads(done.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_output_that_cannot_be_written_is_said(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(FRAMES))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, str(file), *words], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"asbuilt: the output cannot be written: No space left on device\n")


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(pcap(FRAMES * 400))
    for words in ("--json", ""):
        piped = f"{' '.join(COMMAND)} {file} {words} | head -c 20 > /dev/null; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", piped], env=ENVIRONMENT, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")


def on_a_terminal(*words: str) -> tuple[int, str, str]:
    """Exit code, what it wrote to standard output, and to a terminal that is its standard error."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([*COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert process.stdout is not None
        out = process.stdout.read().decode()
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # Linux, when the other end is closed
        pass
    os.close(ours)
    return process.returncode, out, seen.decode()


def test_a_bar_is_shown_on_a_terminal_only_and_not_in_the_document(tmp_path: Path) -> None:
    file = tmp_path / "[red]a.pcap"
    file.write_bytes(pcap(FRAMES))
    code, out, seen = on_a_terminal(str(file), "--json")
    assert (code, json.loads(out)["capture"]["packets"]) == (0, len(FRAMES))
    assert "a.pcap" in seen
    assert "bytes" in seen or "kB" in seen
    assert asbuilt(str(file)).err == ""


def test_events_beyond_memory_are_all_written(tmp_path: Path) -> None:
    writes = [frame for _ in range(40) for frame in ROGUE.says(PLC, *[WRITE] * 50)]
    done = replayed(pcap(writes), tmp_path, "--json")
    assert len(done.json["events"]) == 2000
    assert [event["frame"] for event in done.json["events"]] == sorted(event["frame"] for event in done.json["events"])


# ---- Documents


@given(st.integers(-(2**70), 2**70))
def test_every_time_is_a_time(at: int) -> None:
    assert moment(at).tzinfo is not None


@settings(max_examples=25)
@given(st.lists(st.sampled_from(range(len(FRAMES))), max_size=30), st.data())
def test_whatever_a_capture_holds_is_json(rows: list[int], data: Any) -> None:
    junk = [bytearray(FRAMES[row]) for row in rows]
    for frame in junk:
        for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=4)):
            frame[at] = data.draw(st.integers(0, 255))
    events = Events()
    engine = Engine(events.add)
    if junk:
        engine.take(batch([bytes(frame) for frame in junk]))
    engine.finish()
    heard = engine.heard()
    for document in (*map(host_document, heard.hosts), *map(conversation_document, heard.conversations)):
        json.loads(msgspec.json.encode(document))
    for line in events.lines():
        json.loads(line)
