"""The table of hashes does what a dict does."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.passive.table import ABSENT, Table

KEYS = st.integers(1, 2**64 - 1)
# keys that all want the same slot, or the last ones of the table and then its first
CROWDED = st.integers(1, 300) | st.integers(2**64 - 300, 2**64 - 1)


def found(table: Table, keys: list[int]) -> list[int]:
    numbers: list[int] = table.find(np.array(keys, np.uint64)).tolist()
    return numbers


@given(st.lists(st.lists(KEYS | CROWDED, unique=True, max_size=40), max_size=12), st.lists(KEYS | CROWDED, max_size=30))
def test_it_is_a_dict(batches: list[list[int]], others: list[int]) -> None:
    table, held = Table(1000), dict[int, int]()
    for batch in batches:
        new = [key for key in batch if key not in held]
        numbers = [len(held) + place for place in range(len(new))]
        table.add(np.array(new, np.uint64), np.array(numbers, np.int64))
        held.update(zip(new, numbers, strict=True))
        assert len(table) == len(held)
        wanted = [*held, *others]
        assert found(table, wanted) == [held.get(key, ABSENT) for key in wanted]


def test_it_grows_and_says_when_it_is_full() -> None:
    rng = random.Random(2)
    table, keys = Table(20_000), rng.sample(range(1, 2**63), 30_000)
    assert found(table, keys[:3]) == [ABSENT] * 3
    for begin in range(0, 30_000, 5000):
        assert table.full == (begin >= 20_000)
        part = np.arange(begin, begin + 5000)
        table.add(np.array(keys[begin : begin + 5000], np.uint64), part)
    assert found(table, keys) == list(range(30_000))
    table.clear()
    assert not len(table)
    assert not table.full
    assert set(found(table, keys)) == {ABSENT}
    assert found(table, []) == []
