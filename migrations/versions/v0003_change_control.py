"""Change control: sign-offs, persons, orders, checkpoints, documents, artefacts, the life of an asset."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.String(24)
DIGEST = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "document",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    for column in (
        sa.Column("out_until", MOMENT),
        sa.Column("out_by", sa.Text),
        sa.Column("out_reason", sa.Text),
        sa.Column("retired_at", MOMENT),
    ):
        op.add_column("asset", column)
    for column in (
        sa.Column("ticket", sa.Text),
        sa.Column("capture", DIGEST),
        sa.Column("origin", DIGEST),
    ):
        op.add_column("baseline", column)
    for column in (
        sa.Column("suppressed_by", sa.Text),
        sa.Column("cause", sa.String(24)),
        sa.Column("prevention", sa.Text),
        sa.Column("closed_by", sa.Text),
        sa.Column("closed_at", MOMENT),
    ):
        op.add_column("alert", column)
    op.create_table(
        "sign_off",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("baseline_id", sa.Integer, sa.ForeignKey("baseline.id"), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text, nullable=False),
    )
    op.create_index("ix_sign_off_baseline_id", "sign_off", ["baseline_id"])
    op.create_table(
        "person",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("public_key", DIGEST, nullable=False),
        sa.Column("sealed", sa.Text),
        sa.Column("removed_at", MOMENT),
    )
    op.create_table(
        "change_order",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("ticket", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("opened_by", sa.Text, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("closed_by", sa.Text),
        sa.Column("closed_at", MOMENT),
    )
    op.create_index("ix_change_order_state", "change_order", ["state"])
    op.create_table(
        "expectation",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("change_order.id"), nullable=False),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("expected", sa.Text, nullable=False),
        sa.Column("observed", sa.Text),
        sa.Column("outcome", sa.String(16)),
    )
    op.create_index("ix_expectation_order_id", "expectation", ["order_id"])
    op.create_table(
        "excess",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("change_order.id"), nullable=False),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("approved", sa.Text),
        sa.Column("observed", sa.Text),
    )
    op.create_index("ix_excess_order_id", "excess", ["order_id"])
    op.create_table(
        "checkpoint",
        sa.Column("entries", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("head", DIGEST, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
    )
    op.create_table(
        "artefact",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("baseline_id", sa.Integer, sa.ForeignKey("baseline.id"), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("added_at", MOMENT, nullable=False),
    )
    op.create_index("ix_artefact_baseline_id", "artefact", ["baseline_id"])
    op.create_table(
        "item_write",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("asset_id", sa.Integer, sa.ForeignKey("asset.id"), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("who", sa.Text, nullable=False),
    )
    op.create_index("ix_item_write_asset_id_at", "item_write", ["asset_id", "at"])
