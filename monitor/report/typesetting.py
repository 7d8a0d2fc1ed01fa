"""The typesetter, in a process of its own: it takes a folder, and gives a PDF on its standard output.

It imports nothing of ours and is started by its path, isolated, so that it is the same wherever somebody stands. It
reads what is in the folder, and nothing else: the template names no package that would have to be fetched, and the
fonts are those that the compiler carries.
"""

from __future__ import annotations

import sys


def _limit_memory(most: int) -> None:
    """Windows has no such limit; there the time is limited alone."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what ends at its limit leaves no file behind


def main() -> int:
    """Arguments: the folder, the time in seconds since 1970 and how many bytes of memory it may take at most.

    Gives the PDF of the folder's report.typ and 0, or what is wrong and 1; 2 if the compiler cannot be loaded.
    """
    folder, timestamp, most = sys.argv[1:]
    _limit_memory(int(most))
    try:
        import typst
    except (ImportError, MemoryError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        made = typst.compile(
            f"{folder}/report.typ",
            root=folder,
            ignore_system_fonts=True,
            pdf_standards=["a-2b"],
            timestamp=int(timestamp),
        )
    except typst.TypstError as error:
        print(error.message, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
