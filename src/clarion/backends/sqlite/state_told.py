"""The part of `state.db` that receipts are matched by, and how accounts at providers stood."""

from collections.abc import Sequence
from typing import Any, Final

from clarion.backends.sqlite.connection import fetch_all
from clarion.backends.sqlite.state_fold import DELIVERY_COLUMNS, delivery
from clarion.backends.sqlite.state_threads import Threads
from clarion.domain.history import Chunk, Delivery, StandingChange

# The partial index serves only a statement that repeats its condition word by word.
_BY_VENDOR_ID: Final = f"""SELECT {DELIVERY_COLUMNS} FROM deliveries
    WHERE vendor IN ('termii', 'twilio', 'ses') AND vendor_message_id <> ''
    AND vendor_message_id = ? AND tenant = ? AND vendor = ? LIMIT 1"""  # noqa: S608
_CHUNK: Final = f"""SELECT {", ".join(Chunk.__struct_fields__)} FROM chunks
    WHERE chunk_id = ? AND tenant = ?"""  # noqa: S608
_STANDINGS: Final = f"""SELECT {", ".join(StandingChange.__struct_fields__)} FROM standings
    WHERE tenant = ?1 AND at_ms >= ?2 AND at_ms < ?3 AND (?4 IS NULL OR provider = ?4)
    ORDER BY at_ms DESC, sequence DESC LIMIT ?5"""  # noqa: S608


class StateTold:
    """Implements the part of `ports.told.ToldHistory` that is not in `StateHistory`."""

    _threads: Threads

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return the deliveries that a vendor knows by ids of its own."""
        wanted = [(id_, tenant, vendor) for id_ in vendor_message_ids]
        found = map(delivery, self._threads.reader().executemany(_BY_VENDOR_ID, wanted))
        return {row.vendor_message_id: row for row in found}

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts."""
        rows = self._threads.reader().executemany(_CHUNK, [(chunk_id, tenant) for chunk_id in chunk_ids])
        return {row[0]: Chunk(*row) for row in rows}

    async def standings(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[StandingChange]:
        """Return how accounts stood, newest first."""
        rows = self._found(_STANDINGS, (tenant, from_ms, to_ms, provider, limit))
        return [StandingChange(*row) for row in rows]

    def _found(self, statement: str, values: Sequence[Any]) -> list[Any]:
        return fetch_all(self._threads.reader(), statement, tuple(values))
