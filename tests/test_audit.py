"""The audit chain: what its hashes cover, and what verifying it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from baselines.audit import GENESIS, AuditEntry
from baselines.snapshot import utc_text
from monitor.verifier import NEW_KEYS, STEPS, Flaw
from tests.evidences import flaw_of as verify

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TEXT = st.text()  # control characters and everything beyond the BMP, no lone surrogates
NAMES = st.text(st.characters(max_codepoint=127)).filter(lambda name: name != "signature")  # these sign nothing
DETAIL = st.dictionaries(NAMES, TEXT, max_size=3)


def chain(entries: Iterable[AuditEntry]) -> list[AuditEntry]:
    """The entries as a whole chain."""
    made: list[AuditEntry] = []
    for number, entry in enumerate(entries, 1):
        entry = replace(entry, id=number, previous=made[-1].hash if made else GENESIS)
        made.append(replace(entry, hash=entry.computed_hash()))
    return made


ACTIONS = TEXT.filter(lambda action: action not in (*STEPS, *NEW_KEYS))  # of which nothing follows
ENTRIES = st.builds(
    AuditEntry, st.just(0), st.datetimes(timezones=st.just(UTC)), TEXT, TEXT, ACTIONS, TEXT, DETAIL, st.just(GENESIS)
)
CHAINS = st.lists(ENTRIES, min_size=1, max_size=6).map(chain)


@given(ENTRIES, st.integers(1, 2**53 - 1))
def test_what_is_hashed_is_the_canonical_json_of_rfc_8785(entry: AuditEntry, number: int) -> None:
    fields: dict[str, Any] = {
        "account": entry.account,
        "action": entry.action,
        "actor": entry.actor,
        "at": utc_text(entry.at),
        "detail": dict(entry.detail),
        "id": number,
        "previous": entry.previous,
        "subject": entry.subject,
    }
    assert replace(entry, id=number).canonical() == rfc8785.dumps(fields)


@given(CHAINS)
def test_a_whole_chain_has_no_flaw(entries: list[AuditEntry]) -> None:
    assert verify(entries) is None


def test_an_empty_chain_has_no_flaw() -> None:
    assert verify([]) is None


EDITS: dict[str, object] = {
    "at": NOW + timedelta(milliseconds=1),
    "actor": "somebody else",
    "account": "root@elsewhere",
    "action": "baseline.reject",
    "subject": "other",
    "detail": {"reason": "another"},
    "previous": "f" * 64,
    "hash": "f" * 64,
    "id": 99,
}
THREE = chain(
    AuditEntry(0, NOW, "kim", "kim@ws", "alert.note", "plc", {"reason": reason}) for reason in ("a", "b", "c")
)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("edited", EDITS)
def test_any_single_edit_is_found_where_it_was_made(place: int, edited: str) -> None:
    entries: list[AuditEntry] = list(THREE)
    entries[place] = replace(entries[place], **{edited: EDITS[edited]})  # type: ignore[arg-type]
    flaw = verify(entries)
    assert flaw is not None
    assert flaw.entry == place + 1


@given(st.data(), CHAINS)
def test_any_edit_of_any_chain_is_found(data: st.DataObject, entries: list[AuditEntry]) -> None:
    place = data.draw(st.integers(0, len(entries) - 1))
    edited = data.draw(st.sampled_from(["actor", "account", "action", "subject"]))
    text = data.draw(TEXT.filter(lambda text: text != getattr(entries[place], edited)))
    entries[place] = replace(entries[place], **{edited: text})  # type: ignore[arg-type]
    assert verify(entries) == Flaw(place + 1, "its content is not what its hash was taken over")


@pytest.mark.parametrize("place", range(2))
def test_an_edit_with_its_hash_made_anew_is_found_at_the_next_entry(place: int) -> None:
    entries = list(THREE)
    forged = replace(entries[place], actor="mallory")
    entries[place] = replace(forged, hash=forged.computed_hash())
    assert verify(entries) == Flaw(place + 2, "it does not follow from the entry before it")


@pytest.mark.parametrize("place", range(2))
def test_an_entry_that_is_missing_before_another_is_found(place: int) -> None:
    entries = [entry for entry in THREE if entry.id != place + 1]
    assert verify(entries) == Flaw(place + 1, f"entry {place + 1} is missing: {place + 2} comes in its place")


@pytest.mark.parametrize("place", range(2))
def test_deleting_an_entry_and_numbering_the_others_anew_is_found(place: int) -> None:
    left = [entry for entry in THREE if entry.id != place + 1]
    renumbered = [replace(entry, id=number) for number, entry in enumerate(left, 1)]
    assert verify(renumbered) is not None
    assert verify([replace(entry, hash=entry.computed_hash()) for entry in renumbered]) is not None


def test_entries_out_of_order_are_found() -> None:
    assert verify([THREE[1], THREE[0], THREE[2]]) == Flaw(1, "entry 1 is missing: 2 comes in its place")


@pytest.mark.parametrize("place", range(3))
def test_an_entry_slipped_in_is_found(place: int) -> None:
    slipped = replace(THREE[0], id=place + 1, actor="mallory", previous=THREE[place].previous)
    slipped = replace(slipped, hash=slipped.computed_hash())
    assert verify([*THREE[:place], slipped, *THREE[place:]]) is not None


def test_an_entry_that_is_there_twice_is_found() -> None:
    assert verify([THREE[0], THREE[0], THREE[1]]) is not None


@pytest.mark.parametrize("kept", range(3))
def test_entries_cut_off_at_the_end_are_not_found_by_the_chain_alone(kept: int) -> None:
    """Nor can they be: what is left is a whole chain. It takes a witness outside, such as a signed checkpoint."""
    assert verify(THREE[:kept]) is None


def test_a_last_entry_written_anew_with_its_hash_is_not_found_by_the_chain_alone() -> None:
    forged = replace(THREE[2], actor="mallory")
    assert verify([*THREE[:2], replace(forged, hash=forged.computed_hash())]) is None
