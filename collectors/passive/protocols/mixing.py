"""Signatures made of the bytes of messages, where what a decoder says depends on each of them."""

from __future__ import annotations

import numpy as np

from collectors.passive.protocols.protocol import Bytes, Signatures

FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
HALF, NEARLY_HALF = np.uint64(32), np.uint64(29)
MARK = np.uint64(1 << 63)  # keeps a signature from being 0, or small


def mixed(parts: Bytes) -> Signatures:
    """A hash of each row; their length is a multiple of eight.

    A product carries a difference upwards only. So each word is folded before and after it is multiplied: otherwise a
    difference in its last byte would stay there, and two bytes of the next word could take it back.
    """
    words = np.ascontiguousarray(parts).view(np.uint64)
    found = np.zeros(len(words), np.uint64)
    for column in range(words.shape[1]):
        word = words[:, column]
        word = (word ^ (word >> HALF)) * FIRST
        found = (found ^ word ^ (word >> NEARLY_HALF)) * SECOND
        found ^= found >> HALF
    found *= FIRST
    return (found ^ (found >> NEARLY_HALF)) | MARK
