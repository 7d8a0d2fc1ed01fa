"""`make proof`: the long proofs in full, and docs/PROOF.md with what they measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROOFS = {  # and how many processes share them
    "tests/test_proof.py": "0",
    "tests/test_proof_change.py": "0",
    "tests/test_proof_wire.py": "2",
    "tests/test_verifier.py": "0",
    "tests/test_evidence.py": "0",
}
HEAD = """# Proof

Written by `make proof`, which runs {proofs} in full; `make test` runs the same small.

{when}, Python {python}, {machine}, {cores} cores.

| claim | measured |
|---|---|
"""


def main() -> int:
    """Run the proofs; 0 if all of them held, and only then the page is written."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        for proofs, processes in PROOFS.items():
            command = [sys.executable, "-m", "pytest", f"--numprocesses={processes}", proofs]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, "ASBUILT_PROOF": str(notes)}, check=False)
            if done.returncode:
                return done.returncode
        rows = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    head = HEAD.format(
        proofs=", ".join(f"`{proofs}`" for proofs in PROOFS),
        when=datetime.now(UTC).date(),
        python=platform.python_version(),
        machine=platform.machine(),
        cores=os.cpu_count(),
    )
    lines = [f"| {row['claim']} | {_words(row['measured'])} |\n" for row in rows]
    (ROOT / "docs" / "PROOF.md").write_text(head + "".join(lines), encoding="utf-8")
    return 0


def _words(measured: dict[str, object]) -> str:
    return ", ".join(
        f"{value:,} {name.replace('_', ' ')}"
        if isinstance(value, int | float)
        else f"{name.replace('_', ' ')}: {value}"
        for name, value in measured.items()
    )


if __name__ == "__main__":
    raise SystemExit(main())
