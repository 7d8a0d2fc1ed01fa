"""A table from 64-bit hashes to numbers that is asked for thousands of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ABSENT = -1
SMALLEST = 12  # bits


class Table:
    """Open addressing with linear probing, its slots by the top bits of the hash. 0 is no key; nothing is removed.

    At most half full; `full` says that it holds `most` keys, and that its owner has to begin anew.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        self._count = 0
        self._size(SMALLEST)

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        return self._count >= self._most

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The number of every key, ABSENT where there is none."""
        slots = (keys >> self._shift).astype(np.int64)
        held = self._keys[slots]
        found = np.where(held == keys, self._numbers[slots], ABSENT)
        going = np.flatnonzero((held != keys) & (held != 0))
        while len(going):
            slots[going] = (slots[going] + 1) & self._mask
            held, wanted = self._keys[slots[going]], keys[going]
            hit = held == wanted
            found[going[hit]] = self._numbers[slots[going[hit]]]
            going = going[~hit & (held != 0)]
        return found

    def add(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        """Hold keys that are absent and differ from each other."""
        self._count += len(keys)
        bits = 64 - int(self._shift)
        while self._count * 2 > 1 << bits:
            bits += 1
        if 1 << bits > len(self._keys):
            old_keys, old_numbers = self._keys, self._numbers
            self._size(bits)
            kept = old_keys != 0
            self._put(old_keys[kept], old_numbers[kept])
        self._put(keys, numbers)

    def _size(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._mask = (1 << bits) - 1
        self._keys: NDArray[np.uint64] = np.zeros(1 << bits, np.uint64)
        self._numbers: NDArray[np.int64] = np.zeros(1 << bits, np.int64)

    def _put(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        """Where two keys want one slot, the last that wrote has it, and the others go one on."""
        slots: NDArray[Any] = (keys >> self._shift).astype(np.int64)
        while len(keys):
            free = self._keys[slots] == 0
            self._keys[slots[free]] = keys[free]
            placed = self._keys[slots] == keys
            self._numbers[slots[placed]] = numbers[placed]
            keys, numbers = keys[~placed], numbers[~placed]
            slots = (slots[~placed] + 1) & self._mask
