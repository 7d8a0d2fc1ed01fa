"""Always on: pulses of runs, gaps, the outbox, what was sent to devices, self-tests, chores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MOMENT = sa.String(24)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _begin_pulses() -> None:
    """The last run of every asset is its current one."""
    run = sa.table("run", *map(sa.column, ("id", "asset_id", "last_at", "polls", "longest_gap")))
    pulse = sa.table("pulse", *map(sa.column, ("asset_id", "run_id", "last_at", "polls", "longest_gap")))
    last = sa.select(sa.func.max(run.c.id)).group_by(run.c.asset_id)
    rows = [
        {
            "asset_id": row.asset_id,
            "run_id": row.id,
            "last_at": (datetime.fromisoformat(row.last_at) - EPOCH) // timedelta(milliseconds=1),
            "polls": row.polls,
            "longest_gap": row.longest_gap,
        }
        for row in op.get_bind().execute(sa.select(run).where(run.c.id.in_(last)))
    ]
    if rows:
        op.bulk_insert(pulse, rows)


def upgrade() -> None:
    op.create_index("ix_run_digest", "run", ["digest"])
    op.create_table(
        "pulse",
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id"), nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("deep_at", sa.BigInteger),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("polls", sa.Integer, nullable=False),
        sa.Column("longest_gap", sa.Float, nullable=False),
    )
    _begin_pulses()
    op.add_column("poll_request", sa.Column("what", sa.String(12), nullable=False, server_default="poll"))
    op.create_index("ix_alert_asset_id_changed_at", "alert", ["asset_id", "changed_at"])
    op.create_index("ix_asset_out_until", "asset", ["out_until"])
    op.create_table(
        "gap",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("witness", sa.String(8), nullable=False),
        sa.Column("cause", sa.String(24), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT),
    )
    op.create_index("ix_gap_asset_id_first_at", "gap", ["asset_id", "first_at"])
    op.create_table(
        "message",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_message_state_due_at", "message", ["state", "due_at"])
    op.create_table(
        "route",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("move_id", sa.Integer, nullable=False),
        sa.Column("held", sa.Text, nullable=False),
    )
    op.create_table(
        "device",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
    )
    op.create_table(
        "self_test",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("ok", sa.Integer, nullable=False),
        sa.Column("legs", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "chore",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("last_at", MOMENT),
        sa.Column("next_at", MOMENT),
        sa.Column("text", sa.Text, nullable=False),
    )
