"""The confirm stage: trials that train a finalist again, and openings of the test split."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("studies", sa.Column("confirmed", sa.JSON(), nullable=True))
    op.add_column("trials", sa.Column("confirms", sa.Integer(), nullable=True))
    op.add_column("trials", sa.Column("repeat", sa.Integer(), nullable=True))
    op.add_column("trials", sa.Column("data_path", sa.Text(), nullable=True))
    op.add_column("trials", sa.Column("data_digest", sa.String(length=64), nullable=True))
    op.create_table(
        "test_openings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("test_digest", sa.String(length=64), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name=op.f("fk_test_openings_study_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name=op.f("fk_test_openings_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_openings")),
    )
    op.create_index(op.f("ix_test_openings_study_id"), "test_openings", ["study_id"], unique=False)
    op.create_index(op.f("ix_test_openings_trial_id"), "test_openings", ["trial_id"], unique=False)
    op.create_index(
        op.f("ix_test_openings_test_digest"), "test_openings", ["test_digest"], unique=False
    )
