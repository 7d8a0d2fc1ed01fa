"""Texts that the chain names by their digest, each kept once."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import insert, select

from monitor import tables
from monitor.store.database import Transaction


def keep_document(tx: Transaction, text: str) -> str:
    """Keep a text; its digest, SHA-256 in hexadecimal."""
    digest = sha256(text.encode()).hexdigest()
    if tx.execute(select(tables.document.c.digest).where(tables.document.c.digest == digest)).first() is None:
        tx.execute(insert(tables.document).values(digest=digest, text=text))
    return digest


def document(tx: Transaction, digest: str) -> str | None:
    """The text under a digest; None if there is none."""
    return tx.execute(select(tables.document.c.text).where(tables.document.c.digest == digest)).scalar()
