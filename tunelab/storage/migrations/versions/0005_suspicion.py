"""What the monitor suspects of a trial that runs, with its epochs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("epochs", sa.Column("suspicion", sa.String(length=40), nullable=True))
