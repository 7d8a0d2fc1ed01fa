"""OPC UA status codes by name (Part 4, 7.39; Part 6, Annex A.2)."""

from __future__ import annotations

from asyncua.ua.status_codes import code_to_name_doc

BAD, UNCERTAIN = 0x80000000, 0x40000000
NOT_THERE = {"BadNodeIdUnknown", "BadNodeIdInvalid", "BadAttributeIdInvalid"}


def is_bad(code: int) -> bool:
    return bool(code & BAD)


def is_uncertain(code: int) -> bool:
    return code & (BAD | UNCERTAIN) == UNCERTAIN


def status_name(code: int) -> str:
    """The name of a status code, without its info bits; the number where it has none."""
    plain = code & 0xFFFF0000
    if plain == 0:
        return "Good"
    named: tuple[str, str] | None = code_to_name_doc.get(plain)
    if named is not None:
        return named[0]
    severity = "Bad" if is_bad(code) else "Uncertain" if is_uncertain(code) else "Good"
    return f"{severity} 0x{plain:08X}"
