"""Who is signed in to the page, and the tokens of programs. Neither is kept itself: only its digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, delete, insert, select, update

from monitor import tables
from monitor.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which somebody is signed in. `form_key` is what a form that we made proves itself with."""

    digest: str
    person: str
    form_key: str
    address: str
    began_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What a program uses the API with, for a person, in some of their roles."""

    id: int
    digest: str
    person: str
    name: str
    scopes: tuple[str, ...]
    made_at: datetime
    ends_at: datetime | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.ends_at is None or now < self.ends_at)


def add_session(tx: Transaction, made: Session) -> None:
    """Somebody has signed in."""
    values = {name: getattr(made, name) for name in Session.__dataclass_fields__}
    tx.execute(insert(tables.session).values(values))


def session(tx: Transaction, digest: str) -> Session | None:
    """A session, however old."""
    row = tx.execute(select(tables.session).where(tables.session.c.digest == digest)).one_or_none()
    return _session(row) if row else None


def sessions(tx: Transaction, person: str | None = None) -> list[Session]:
    """Where somebody is signed in, or everybody, the newest first."""
    statement = select(tables.session).order_by(tables.session.c.began_at.desc())
    if person is not None:
        statement = statement.where(tables.session.c.person == person)
    return [_session(row) for row in tx.execute(statement)]


def _session(row: Row[tuple[object, ...]]) -> Session:
    return Session(row.digest, row.person, row.form_key, row.address, row.began_at, row.seen_at)


def session_seen(tx: Transaction, digest: str, at: datetime) -> None:
    """A session is used."""
    tx.execute(update(tables.session).where(tables.session.c.digest == digest).values(seen_at=at))


def end_sessions(
    tx: Transaction, *, digest: str | None = None, person: str | None = None, unseen_since: datetime | None = None
) -> int:
    """End a session, all of a person, or those that nobody has used since; how many that were."""
    kept = tables.session
    statement = delete(kept)
    if digest is not None:
        statement = statement.where(kept.c.digest == digest)
    if person is not None:
        statement = statement.where(kept.c.person == person)
    if unseen_since is not None:
        statement = statement.where(kept.c.seen_at < unseen_since)
    return tx.execute(statement).rowcount


def add_token(tx: Transaction, made: Token) -> Token:
    """A new token; the number that it was given stands in the answer."""
    values = {name: getattr(made, name) for name in Token.__dataclass_fields__ if name not in ("id", "scopes")}
    number = tx.execute(
        insert(tables.token).values(**values, scopes=" ".join(made.scopes)).returning(tables.token.c.id)
    ).scalar_one()
    return Token(number, *(getattr(made, name) for name in list(Token.__dataclass_fields__)[1:]))


def tokens(
    tx: Transaction, *, person: str | None = None, digest: str | None = None, number: int | None = None
) -> list[Token]:
    """Tokens, also those that are of no use any more, the oldest first."""
    kept = tables.token
    statement = select(kept).order_by(kept.c.id)
    if person is not None:
        statement = statement.where(kept.c.person == person)
    if digest is not None:
        statement = statement.where(kept.c.digest == digest)
    if number is not None:
        statement = statement.where(kept.c.id == number)
    return [
        Token(
            *(row.id, row.digest, row.person, row.name, tuple(row.scopes.split())),
            *(row.made_at, row.ends_at, row.used_at, row.revoked_at),
        )
        for row in tx.execute(statement)
    ]


def token_used(tx: Transaction, number: int, at: datetime) -> None:
    """A program has come with a token."""
    tx.execute(update(tables.token).where(tables.token.c.id == number).values(used_at=at))


def revoke_token(tx: Transaction, number: int, at: datetime) -> None:
    """A token is of no use any more."""
    tx.execute(update(tables.token).where(tables.token.c.id == number).values(revoked_at=at))
