"""Schedules name the recipient's local time `local_time`, as broadcasts do."""

from alembic import op

revision = "control_0006"
down_revision = "control_0005"


def upgrade() -> None:
    """Rename the field in every version of a schedule."""
    _rename("recipient_time", "local_time")


def downgrade() -> None:
    """Rename it back."""
    _rename("local_time", "recipient_time")


def _rename(old: str, new: str) -> None:
    op.execute(
        f"UPDATE definitions SET body = json_set(json_remove(body, '$.{old}'), '$.{new}', json(body -> '$.{old}')) "  # noqa: S608 - constant names
        f"WHERE kind = 'schedule' AND json_type(body, '$.{old}') IS NOT NULL"
    )
