"""The spine: assets, snapshots, runs, baselines, alarms, the audit chain, poll requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.String(24)
DIGEST = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "snapshot",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("digest", DIGEST, sa.ForeignKey("snapshot.digest")),
        sa.Column("profile", DIGEST),
        sa.Column("cause", sa.String(16)),
        sa.Column("cause_text", sa.Text),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.Column("polls", sa.Integer, nullable=False),
        sa.Column("longest_gap", sa.Float, nullable=False),
    )
    op.create_index("ix_run_asset_id_id", "run", ["asset_id", "id"])
    op.create_table(
        "baseline",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("digest", DIGEST, sa.ForeignKey("snapshot.digest"), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("stage", sa.String(12), nullable=False),
        sa.Column("profile", DIGEST, nullable=False),
        sa.Column("proposed_by", sa.Text, nullable=False),
        sa.Column("proposed_at", MOMENT, nullable=False),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", MOMENT),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_baseline_asset_id_state", "baseline", ["asset_id", "state"])
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("approved", sa.Text),
        sa.Column("observed", sa.Text),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("category", sa.String(12), nullable=False),
        sa.Column("techniques", sa.Text, nullable=False),
        sa.Column("direction", sa.String(12)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("shelved_until", MOMENT),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_state_asset_id", "alert", ["state", "asset_id"])
    op.create_table(
        "alert_move",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("alert_id", sa.Integer, sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", sa.String(12), nullable=False),
        sa.Column("before", sa.String(12), nullable=False),
        sa.Column("after", sa.String(12), nullable=False),
        sa.Column("observed", sa.Text),
        sa.Column("by", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_move_alert_id", "alert_move", ["alert_id"])
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", DIGEST, nullable=False),
        sa.Column("hash", DIGEST, nullable=False, unique=True),
    )
    op.create_table(
        "poll_request",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("answered_at", MOMENT),
        sa.Column("answer", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_poll_request_answered_at", "poll_request", ["answered_at"])
