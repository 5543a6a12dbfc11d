"""Periods of history: tables are partitioned by the time that ids begin with (`sql/growth.sql`)."""

from collections.abc import Collection
from typing import Final

from clarion.domain.ids import NOTIFICATION_ID_BYTES

END: Final = b"\xff" * 8
"""No id that starts with a given 16 or 24 bytes is above them followed by this."""
END_TEXT: Final = rf"\x{END.hex()}"
"""The same as a literal of PostgreSQL."""


def span_of(ids: Collection[bytes]) -> tuple[bytes, bytes]:
    """Return bounds of the notifications that ids belong to. A statement with them is planned for the partitions between
    them alone, and not for all that there are."""
    if not ids:
        return b"", b""
    return min(ids)[:NOTIFICATION_ID_BYTES], max(ids)[:NOTIFICATION_ID_BYTES] + END + b"\xff"
