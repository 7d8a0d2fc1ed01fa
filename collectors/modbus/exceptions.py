"""Exception answers (MODBUS Application Protocol V1.1b3, 7), and answers that are none at all."""

from __future__ import annotations

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
GATEWAY = (10, 11)  # said by a gateway of the way to the device, not by the device

NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge: still working",
    6: "device busy",
    8: "memory parity error",
    10: "the gateway has no path to the device",
    11: "the device behind the gateway does not answer",
}


class BrokenAnswer(ValueError):
    """Bytes that do not answer what was asked."""


def exception_of(answer: bytes) -> int:
    """The exception code of an answer; 0 for one that is no exception."""
    return answer[-1] if answer[0] & 0x80 else 0


def exception_text(code: int) -> str:
    """The exception in words: "exception 2 (illegal data address)"."""
    return f"exception {code} ({NAMES.get(code, 'not in the specification')})"
