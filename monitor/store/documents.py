"""Texts that the chain names by their digest, each kept once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from sqlalchemy import Table, insert, select

from monitor import tables
from monitor.store.database import Transaction

DIGESTS_AT_ONCE = 500  # in one query


def keep_document(tx: Transaction, text: str) -> str:
    """Keep a text; its digest, SHA-256 in hexadecimal."""
    digest = sha256(text.encode()).hexdigest()
    if tx.execute(select(tables.document.c.digest).where(tables.document.c.digest == digest)).first() is None:
        tx.execute(insert(tables.document).values(digest=digest, text=text))
    return digest


def document(tx: Transaction, digest: str) -> str | None:
    """The text under a digest; None if there is none."""
    return tx.execute(select(tables.document.c.text).where(tables.document.c.digest == digest)).scalar()


def documents(tx: Transaction, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Many texts, each with its digest, in the order asked for, each once; not those that are missing, or that somebody
    has changed so that they have another digest by now."""
    return sound_texts(tx, tables.document, digests)


def sound_texts(tx: Transaction, table: Table, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The same of any table that keeps texts by their digest. Only some are in memory at a time."""
    wanted = list(dict.fromkeys(digests))
    for start in range(0, len(wanted), DIGESTS_AT_ONCE):
        part = wanted[start : start + DIGESTS_AT_ONCE]
        rows = tx.execute(select(table.c.digest, table.c.text).where(table.c.digest.in_(part)))
        found = {row.digest: row.text for row in rows}
        yield from ((digest, found[digest]) for digest in part if _is_of(digest, found.get(digest)))


def _is_of(digest: str, text: str | None) -> bool:
    return text is not None and sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == digest
