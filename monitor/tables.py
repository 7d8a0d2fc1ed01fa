"""The tables of the store. The same on SQLite and PostgreSQL; migrations/ makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from baselines.snapshot import utc_text

HEAD = "0005"  # the migration that makes these tables

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A time, kept as ISO 8601 text in UTC: it sorts, it reads, and both databases agree on it."""

    impl = String(24)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else utc_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


class Tick(TypeDecorator[datetime]):
    """A time as milliseconds since 1970: a quarter of the text, for the rows that are written again and again."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(milliseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(milliseconds=value)


asset = Table(
    "asset",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("out_until", Moment, index=True),  # out of service until then (ISA-18.2, 5.4.7)
    Column("out_by", Text),
    Column("out_reason", Text),
    Column("retired_at", Moment),
)

snapshot = Table(  # the canonical form of what was seen, once
    "snapshot",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

run = Table(  # equal outcomes in a row: a snapshot seen again and again, or an outage
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("digest", String(64), ForeignKey("snapshot.digest")),  # null: an outage
    Column("profile", String(64)),
    Column("cause", String(16)),  # of an outage: unreachable, refused, malformed
    Column("cause_text", Text),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("polls", Integer, nullable=False),
    Column("longest_gap", Float, nullable=False),  # seconds
    Index("ix_run_asset_id_id", "asset_id", "id"),
    Index("ix_run_digest", "digest"),  # whether a snapshot is still of any run, when old ones are forgotten
)

baseline = Table(
    "baseline",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("digest", String(64), ForeignKey("snapshot.digest"), nullable=False),
    Column("state", String(12), nullable=False),
    Column("stage", String(12), nullable=False),
    Column("profile", String(64), nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", Moment, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Moment),
    Column("reason", Text, nullable=False, default=""),
    Column("ticket", Text),
    Column("capture", String(64)),  # how it was captured: what varied, what was decided
    Column("origin", String(64)),  # of an imported one: the public key that signed its bundle
    Index("ix_baseline_asset_id_state", "asset_id", "state"),
)

sign_off = Table(  # one person's word for a proposal; it is approved when all words that it needs are there
    "sign_off",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("baseline_id", Integer, ForeignKey("baseline.id"), nullable=False, index=True),
    Column("by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ticket", Text, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("roles", Text, nullable=False),  # separated by spaces
    Column("public_key", String(64), nullable=False),  # Ed25519, hexadecimal
    Column("sealed", Text),  # the private key, sealed with a password; null where the person keeps it in a file
    Column("removed_at", Moment),
)

change_order = Table(
    "change_order",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("state", String(8), nullable=False, index=True),
    Column("opened_by", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("closed_by", Text),
    Column("closed_at", Moment),
)

expectation = Table(  # what an order says will change, and at the end what became of it
    "expectation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order_id", Integer, ForeignKey("change_order.id"), nullable=False, index=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("item", Text, nullable=False),
    Column("expected", Text, nullable=False),  # as JSON; "*" is any value
    Column("observed", Text),  # as JSON
    Column("outcome", String(16)),
)

excess = Table(  # what changed while an order was open, and nobody had declared
    "excess",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order_id", Integer, ForeignKey("change_order.id"), nullable=False, index=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("item", Text, nullable=False),
    Column("approved", Text),  # as JSON
    Column("observed", Text),  # as JSON
)

alert = Table(
    "alert",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("item", Text, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("approved", Text),  # as JSON
    Column("observed", Text),  # as JSON
    Column("severity", String(8), nullable=False),
    Column("category", String(12), nullable=False),
    Column("techniques", Text, nullable=False),  # separated by spaces
    Column("direction", String(12)),
    Column("state", String(12), nullable=False),
    Column("raised_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("acknowledged_by", Text),
    Column("shelved_until", Moment),
    Column("reason", Text, nullable=False, default=""),
    Column("who", Text),  # as JSON: who did it, where the wire has said so
    Column("suppressed_by", Text),  # the number of a change order, or "out-of-service"
    Column("cause", String(24)),  # of a closed case
    Column("prevention", Text),
    Column("closed_by", Text),
    Column("closed_at", Moment),
    Index("ix_alert_state_asset_id", "state", "asset_id"),
    Index("ix_alert_asset_id_changed_at", "asset_id", "changed_at"),
)

alert_move = Table(  # the life of an alarm, move by move
    "alert_move",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("alert_id", Integer, ForeignKey("alert.id"), nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("event", String(12), nullable=False),
    Column("before", String(12), nullable=False),
    Column("after", String(12), nullable=False),
    Column("observed", Text),
    Column("by", Text),
    Column("reason", Text, nullable=False, default=""),
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # as JSON
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("hash"),
    Index("ix_audit_entry_action_subject", "action", "subject"),  # of a chain of years, one kind, or one asset
)

checkpoint = Table(  # the head of the chain at a moment, signed
    "checkpoint",
    metadata,
    Column("entries", Integer, primary_key=True, autoincrement=False),
    Column("head", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("key", String(64), nullable=False),  # Ed25519 public key, hexadecimal
    Column("signature", String(128), nullable=False),
)

document = Table(  # texts that the chain names by their digest: configurations, captures, profiles
    "document",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

artefact = Table(  # a known-good file that belongs to a baseline; the file itself is in the vault
    "artefact",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("baseline_id", Integer, ForeignKey("baseline.id"), nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Moment, nullable=False),
)

item_write = Table(  # a write to a configured item that the wire saw
    "item_write",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("item", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("value", Text),  # as JSON; null where the wire did not say
    Column("who", Text, nullable=False),  # as JSON
    Index("ix_item_write_asset_id_at", "asset_id", "at"),
)

poll_request = Table(  # what a command asks of a running daemon, and its answer
    "poll_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("what", String(12), nullable=False, server_default="poll"),  # or, of the daemon itself: counts, self-test
    Column("answered_at", Moment, index=True),
    Column("answer", Text),  # as JSON
    sqlite_autoincrement=True,  # a number that was forgotten is never given again: the daemon waits for higher ones
)

pulse = Table(  # how far the current run of each asset goes, and when it is polled next; the rest is kept still
    "pulse",
    metadata,
    Column("asset_id", Integer, ForeignKey("asset.id"), primary_key=True, autoincrement=False),
    Column("run_id", Integer, ForeignKey("run.id"), nullable=False),
    Column("last_at", Tick, nullable=False),
    Column("deep_at", Tick),  # when all of it was read last; null: by the last poll
    Column("next_at", Tick),
    Column("polls", Integer, nullable=False),
    Column("longest_gap", Float, nullable=False),  # seconds
)

gap = Table(  # from when until when a witness did not see an asset, and why
    "gap",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("asset_id", Integer, ForeignKey("asset.id"), nullable=False),
    Column("witness", String(8), nullable=False),  # poll, wire, self
    Column("cause", String(24), nullable=False),
    Column("text", Text, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment),  # null: it lasts
    Index("ix_gap_asset_id_first_at", "asset_id", "first_at"),
)

message = Table(  # the outbox: what people are told, by which route, and whether it has arrived
    "message",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),  # the receiver knows by it what it has had already
    Column("route", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("why", Text, nullable=False, default=""),  # it has not arrived
    Column("sent_at", Moment),
    Column("body", Text, nullable=False),  # as JSON
    Index("ix_message_state_due_at", "state", "due_at"),
)

route = Table(  # how far each route has been told of what moved
    "route",
    metadata,
    Column("name", Text, primary_key=True),
    Column("move_id", Integer, nullable=False),  # of the last alert_move that was made a message, or passed over
    Column("held", Text, nullable=False, default=""),  # what it holds back, as JSON
)

device = Table(  # the poll contract: what was really sent to what is behind one host and port
    "device",
    metadata,
    Column("device", Text, primary_key=True),  # host:port
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("counts", Text, nullable=False),  # as JSON
)

self_test = Table(
    "self_test",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("ok", Integer, nullable=False),  # 1 or 0
    Column("legs", Text, nullable=False),  # as JSON: seconds from the change to each station of its way
    Column("text", Text, nullable=False),
)

chore = Table(  # what is due at a wall-clock time: when it ran last, and what came of it
    "chore",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last_at", Moment),
    Column("next_at", Moment),
    Column("text", Text, nullable=False, default=""),
)

session = Table(  # who is signed in to the page
    "session",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of what the browser keeps
    Column("person", Text, nullable=False, index=True),
    Column("form_key", String(64), nullable=False),  # what a form of ours proves itself with
    Column("address", Text, nullable=False),
    Column("began_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

token = Table(  # with what a program uses the API for a person
    "token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of it
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("made_at", Moment, nullable=False),
    Column("ends_at", Moment),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
)
