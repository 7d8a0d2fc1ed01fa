"""Text and addresses as they stand in messages."""

from __future__ import annotations

import ipaddress

LONGEST = 256


def text(value: bytes) -> str:
    """Text as devices write it: up to the first NUL, UTF-8 or else Latin-1, without blanks around it."""
    value = value.partition(b"\0")[0]
    try:
        shown = value.decode()
    except UnicodeDecodeError:
        shown = value.decode("latin-1")
    return shown.strip()[:LONGEST]


def mac_text(value: bytes) -> str:
    """Six bytes as aa:bb:cc:dd:ee:ff."""
    return value[:6].hex(":")


def ip_text(value: bytes) -> str:
    """Four or sixteen bytes as an IP address; "" for other lengths, and for the address of nobody (all zeros)."""
    if len(value) not in (4, 16) or not any(value):
        return ""
    return str(ipaddress.ip_address(value))
