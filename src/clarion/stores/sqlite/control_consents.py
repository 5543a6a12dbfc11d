"""The consent history of users in `control.db`: a row for every entry of the preferences that changed."""

from collections.abc import Iterable
from typing import Final

from clarion.domain.preferences import Change
from clarion.ports.control_users import ConsentRecord
from clarion.stores.sqlite.control_run import Runner, Transaction

_WRITE: Final = """
INSERT INTO consents SELECT tenant, ordinal,
    1 + coalesce((SELECT max(sequence) FROM consents c WHERE c.tenant = u.tenant AND c.ordinal = u.ordinal), 0),
    ?, ?, ?, ?, ?, ? FROM users u WHERE tenant = ? AND user_id = ?
"""
_PAGE: Final = """
SELECT sequence, at_ms, category, channel, allowed, until_ms, source FROM consents
WHERE tenant = ? AND ordinal = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?
"""
_ORDINAL: Final = "SELECT ordinal FROM users WHERE tenant = ? AND user_id = ?"
_NEWEST: Final = (1 << 63) - 1


class SqliteConsents:
    """Implements `ports.control_users.Consents`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def page(self, tenant: str, user_id: str, before: int | None, limit: int) -> list[ConsentRecord] | None:
        """Return the changes below a sequence number, newest first, or None when there is no such user."""

        def work(tx: Transaction) -> list[ConsentRecord] | None:
            found = tx.sql(_ORDINAL, (tenant, user_id))
            if not found:
                return None
            rows = tx.sql(_PAGE, (tenant, found[0][0], _NEWEST if before is None else before, limit))
            return [_record(*row) for row in rows]

        return self._runner.read(work)


def write_changes(tx: Transaction, tenant: str, changed: Iterable[tuple[str, Change]], source: str, at_ms: int) -> None:
    """Store changes by user id, in the given order."""
    tx.many(
        _WRITE,
        [
            (at_ms, category, channel, allowed, until_ms, source, tenant, user_id)
            for user_id, (category, channel, allowed, until_ms) in changed
        ],
    )


def _record(
    sequence: int, at_ms: int, category: str, channel: str, allowed: int | None, until_ms: int | None, source: str
) -> ConsentRecord:
    text = None if allowed is None else bool(allowed)
    return ConsentRecord(sequence, at_ms, category, channel, text, until_ms, source)
