"""Every passive decoder, on recorded messages (tests/data/wire/*.toml), on mutations of them and on junk."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from struct import calcsize, pack_into
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.passive.protocols.protocol import CONTINUES, GLANCE, HEAD, Carrier, Protocol
from collectors.passive.said import SENDER, Asked, Malformed, Said
from tests.measured import times

DATA = sorted((Path(__file__).parent / "data" / "wire").glob("*.toml"))


@dataclass(frozen=True)
class Case:
    """One recorded conversation: messages with the direction that each went; what decode says of the last one."""

    name: str
    protocol: Protocol
    before: tuple[tuple[bool, bytes], ...]
    client: bool
    message: bytes
    says: dict[str, Any]

    def asked(self) -> Asked:
        """The notes that the messages before this one left."""
        asked = Asked()
        for client, message in self.before:
            self.protocol.decode(message, client, asked)
        return asked


def protocols(path: Path) -> dict[str, Protocol]:
    module = import_module(f"collectors.passive.protocols.{path.stem}")
    return {found.name: found for found in vars(module).values() if isinstance(found, Protocol)}


def read(path: Path) -> Iterator[Case]:
    known = protocols(path)
    for case in tomllib.loads(path.read_text("utf-8"))["case"]:
        before = tuple((step["client"], bytes.fromhex(step["hex"])) for step in case.get("before", []))
        says = {key: case[key] for key in ("functions", "sightings", "acts", "hidden", "malformed") if key in case}
        protocol = known[case.get("protocol", path.stem)]
        yield Case(case["name"], protocol, before, case["client"], bytes.fromhex(case["hex"]), says)


CASES = [case for path in DATA for case in read(path)]
PROTOCOLS = {protocol.name: protocol for path in DATA for protocol in protocols(path).values()}
OF_PROTOCOL: dict[str, list[Case]] = {
    name: [case for case in CASES if case.protocol.name == name] for name in PROTOCOLS
}


def as_written(said: Said) -> dict[str, Any]:
    """What a decoder said, in the form of the data files."""
    return {
        "functions": list(said.functions),
        "sightings": [
            [found.field, found.value, *([found.of] if found.of != SENDER else [])] for found in said.sightings
        ],
        "acts": [[str(act.operation), dict(act.detail)] for act in said.acts],
        "hidden": said.hidden,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.protocol.name}: {case.name}")
def test_what_a_recorded_message_says(case: Case) -> None:
    if wrong := case.says.get("malformed"):
        with pytest.raises(Malformed, match=wrong):
            case.protocol.decode(case.message, case.client, case.asked())
    else:
        nothing = {"functions": [], "sightings": [], "acts": [], "hidden": ""}
        assert as_written(case.protocol.decode(case.message, case.client, case.asked())) == nothing | case.says


def decoded(protocol: Protocol, message: bytes, client: bool, asked: Asked) -> Said | None:
    try:
        return protocol.decode(message, client, asked)
    except Malformed:
        return None


def mutated(message: bytes, edits: list[tuple[int, int]], cut: int, more: bytes) -> bytes:
    """A message with some bytes changed, its end cut off (`cut` bytes), and more put after it."""
    changed = bytearray(message)
    for at, byte in edits:
        if changed:
            changed[at % len(changed)] = byte
    return bytes(changed[: max(0, len(changed) - cut)]) + more


EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4)
CUTS = st.one_of(st.just(0), st.integers(0, 200))
MORE = st.one_of(st.just(b""), st.binary(max_size=16))


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=times(40, 150), deadline=None)
@given(data=st.data())
def test_a_decoder_says_or_calls_it_malformed(name: str, data: st.DataObject) -> None:
    protocol, asked = PROTOCOLS[name], Asked()
    for _ in range(data.draw(st.integers(1, 3))):
        case = data.draw(st.sampled_from(OF_PROTOCOL[name]))
        for client, message in [*case.before, (case.client, case.message)]:
            decoded(protocol, mutated(message, data.draw(EDITS), data.draw(CUTS), data.draw(MORE)), client, asked)
    decoded(protocol, data.draw(st.binary(max_size=300)), data.draw(st.booleans()), asked)


LENGTHS: dict[
    str, dict[bytes, tuple[tuple[int, str, int], ...]]
] = {  # where lengths stand in a message of that beginning: byte, size, and how many bytes they leave out
    "modbus": {b"": ((4, ">H", 6),)},
    "s7comm": {b"": ((2, ">H", 0),)},
    "opcua": {b"": ((4, "<I", 0),)},
    "bacnet": {b"": ((2, ">H", 0),)},
    "profinet-dcp": {b"": ((10, ">H", 12),)},
    "enip": {b"\x6f": ((2, "<H", 24), (38, "<H", 40)), b"\x70": ((2, "<H", 24), (42, "<H", 44)), b"": ((2, "<H", 24),)},
}


def mended(protocol: Protocol, message: bytes) -> bytes:
    """The message with its outer lengths as they should be, so that what is wrong inside it is looked at."""
    data = bytearray(message)
    lengths = LENGTHS.get(protocol.name, {})
    for at, size, less in next((held for begin, held in lengths.items() if message.startswith(begin)), ()):
        if at + calcsize(size) <= len(data) and len(data) >= less:
            pack_into(size, data, at, (len(data) - less) & 0xFFFF)
    return bytes(data)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.protocol.name}: {case.name}")
def test_a_recorded_message_that_ends_early(case: Case) -> None:
    """Also where its lengths say that this is its end."""
    for length in range(len(case.message)):
        cut = case.message[:length]
        for message in {cut, mended(case.protocol, cut)}:
            decoded(case.protocol, message, case.client, case.asked())


def signatures(protocol: Protocol, messages: list[bytes], client: bool | list[bool]) -> list[int]:
    """`client`: who sent all of them, or each."""
    assert protocol.sign is not None
    head = np.zeros((len(messages), HEAD), np.uint8)
    for row, message in enumerate(messages):
        head[row, : min(HEAD, len(message))] = np.frombuffer(message[:HEAD], np.uint8)
    lengths = np.array([len(message) for message in messages], np.int64)
    return [int(found) for found in protocol.sign(head, lengths, np.broadcast_to(client, len(messages)))]


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.sign])
@settings(max_examples=times(40, 150), deadline=None)
@given(data=st.data())
def test_what_has_the_same_signature_says_the_same(name: str, data: st.DataObject) -> None:
    protocol, messages = PROTOCOLS[name], []
    for _ in range(data.draw(st.integers(1, 3))):
        case = data.draw(st.sampled_from(OF_PROTOCOL[name]))
        messages += [mutated(case.message, data.draw(EDITS), data.draw(CUTS), data.draw(MORE)) for _ in range(8)]
        messages += [case.message]
    for client in (True, False):
        said: dict[int, Said | None] = {}
        for message, signature in zip(messages, signatures(protocol, messages, client), strict=True):
            if signature:
                if protocol.cut:
                    assert protocol.cut(message) == len(message), "signed, and not exactly one message"
                found = decoded(protocol, message, client, asked := Asked())
                if signature < CONTINUES:
                    continue
                assert found is None or not found.acts, "what does something is always decoded"
                assert not asked._notes, "what leaves a note is always decoded"
                assert said.setdefault(signature, found) == found


def test_recorded_messages_that_need_what_was_asked_are_always_decoded() -> None:
    for case in CASES:
        if case.protocol.sign and (case.before or case.says.get("acts")):
            alone = decoded(case.protocol, case.message, case.client, Asked())
            if case.says.get("acts") or alone != decoded(case.protocol, case.message, case.client, case.asked()):
                assert signatures(case.protocol, [case.message], case.client)[0] < CONTINUES, case.name


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.carrier is Carrier.TCP])
def test_a_stream_is_cut_where_its_messages_end(name: str) -> None:
    cut = PROTOCOLS[name].cut
    assert cut is not None
    messages = [case.message for case in OF_PROTOCOL[name] if "malformed" not in case.says]
    for message in messages:
        for length in range(len(message)):
            assert cut(message[:length]) in (0, len(message)), "too early, or another length than it has"
        assert cut(message) == cut(message + b"more") == len(message)
    assert cut(b"\xde\xad\xbe\xef" * 16) == -1


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.begins])
@settings(max_examples=times(30, 50), deadline=None)
@given(junk=st.binary(max_size=100))
def test_what_begins_a_conversation_is_told_without_an_error(name: str, junk: bytes) -> None:
    begins = PROTOCOLS[name].begins
    assert begins is not None
    assert begins(junk) in (True, False)
    for other in CASES:
        if other.protocol.begins and other.protocol.name != name and other.protocol.carrier is PROTOCOLS[name].carrier:
            assert not (begins(other.message) and other.protocol.begins(other.message)), "two protocols claim it"


@pytest.mark.parametrize("case", [case for case in CASES if case.protocol.begins], ids=lambda case: case.name)
def test_a_glance_lets_every_message_pass(case: Case) -> None:
    place, allowed = case.protocol.glance
    assert place < GLANCE
    assert case.protocol.begins is not None
    if case.protocol.cut is None:
        assert case.message[place] in allowed or not case.protocol.begins(case.message)
    elif case.protocol.cut(case.message) == len(case.message):
        assert case.message[place] in allowed
        for value in set(range(256)) - set(allowed):
            message = case.message[:place] + bytes([value]) + case.message[place + 1 :]
            assert case.protocol.cut(message) != len(message), "what no glance lets pass is none of its messages"
