"""How much of a long proof is run, and where what it measured is noted.

In `make test` a proof runs small; `make proof` sets ASBUILT_PROOF to a file, runs it in full, and makes a page of it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

NOTES = os.environ.get("ASBUILT_PROOF")


def times(small: int, full: int) -> int:
    """How often to do a thing."""
    return full if NOTES else small


def note(claim: str, **measured: object) -> None:
    """Note what a proof measured."""
    if NOTES:
        with Path(NOTES).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps({"claim": claim, "measured": measured}) + "\n")
