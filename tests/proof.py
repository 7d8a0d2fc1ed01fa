"""`make proof`: the long proofs in full, and docs/PROOF.md with what they measured.

`python -m tests.proof tests/test_verifier.py` runs one of them, and leaves what is on the page of the others.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "PROOF.md"
PROOFS = {  # and how many processes share them
    "tests/test_proof.py": "0",
    "tests/test_proof_change.py": "0",
    "tests/test_proof_kill.py": "0",
    "tests/test_proof_faults.py": "0",
    "tests/test_demo.py": "0",
    "tests/test_verifier.py": "0",
    "tests/test_evidence.py": "0",
    "tests/test_upgrade.py": "0",
    "tests/test_backup.py": "0",
    "tests/test_protocols.py": "2",  # these three measure nothing: with more examples they must hold
    "tests/test_source.py": "2",
    "tests/test_words.py": "2",
    "tests/test_proof_wire.py": "2",
    "tests/test_poll_contract.py": "0",
    "tests/test_proof_changes.py": "2",
    "tests/test_web_api.py": "0",
}
HEAD = """# Proof

Written by `make proof`, which runs these tests in full; `make test` runs the same small.
"""
SECTION = """
## {proof}

{when}, Python {python}, {machine}, {cores} cores.

| claim | measured |
|---|---|
"""


def main(wanted: Sequence[str]) -> int:
    """Run the proofs that are named, or all; 0 if they held. What one measured is on the page when it has held."""
    for proof in wanted or PROOFS:
        with tempfile.TemporaryDirectory() as folder:
            notes = Path(folder) / "notes"
            command = [sys.executable, "-m", "pytest", f"--numprocesses={PROOFS[proof]}", proof]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, "ASBUILT_PROOF": str(notes)}, check=False)
            if done.returncode:
                return done.returncode
            if notes.exists():
                write(proof, map(json.loads, notes.read_text(encoding="utf-8").splitlines()))
    return 0


def write(proof: str, rows: Iterable[dict[str, Any]]) -> None:
    """Put what a proof measured on the page, in the place of what it measured before."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.split(r"^## (\S+)\n", page, flags=re.MULTILINE)[1:]
    sections = {name: f"\n## {name}\n{text.rstrip()}\n" for name, text in zip(found[::2], found[1::2], strict=True)}
    head = SECTION.format(
        proof=proof,
        when=datetime.now(UTC).date(),
        python=platform.python_version(),
        machine=platform.machine(),
        cores=os.cpu_count(),
    )
    sections[proof] = head + "".join(f"| {row['claim']} | {_words(row['measured'])} |\n" for row in rows)
    text = HEAD + "".join(sections[name] for name in PROOFS if name in sections)
    PAGE.write_text(text, encoding="utf-8")


def _words(measured: dict[str, object]) -> str:
    return ", ".join(
        f"{value:,} {name.replace('_', ' ')}"
        if isinstance(value, int | float)
        else f"{name.replace('_', ' ')}: {value}"
        for name, value in measured.items()
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
