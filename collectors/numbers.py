"""Numbers as people write them."""

from __future__ import annotations

import math
import struct


def shortest_float32(value: float) -> float:
    """The shortest decimal that is the same 32-bit float: 12.3, where Python would say 12.300000190734863."""
    if not math.isfinite(value):
        return value
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack(">f", short) == struct.pack(">f", value):
                return short
        except OverflowError:  # rounded up past the largest float
            continue
    return float(f"{value:.9g}")
