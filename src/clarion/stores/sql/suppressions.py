"""Suppressed addresses."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, or_, select, tuple_
from sqlalchemy.dialects.postgresql import Insert

from clarion.domain.address import suppression_key
from clarion.domain.channel import Channel
from clarion.ports.control_accounts import Suppression
from clarion.stores.sql.engine import Engine, Row, Transaction
from clarion.stores.sql.statement import Given, Many, Query, Statement
from clarion.stores.sql.tables import SUPPRESSIONS

_S: Final = SUPPRESSIONS.c
_KEY: Final = ("channel", "address")
_VALUES: Final = ("reason", "created_ms", "expires_ms")
_GIVEN: Final = "channel address reason created_ms:i expires_ms:i"
_OWN: Final = tuple(_S[name] == bindparam(name) for name in ("tenant", *_KEY))
_REMOVE: Final = Statement(delete(SUPPRESSIONS).where(*_OWN))
_LIFT: Final = Statement(
    delete(SUPPRESSIONS).where(*_OWN, _S.reason == bindparam("reason"), _S.created_ms <= bindparam("asked_ms"))
)


def _replacing(given: Given, *, shorter_only: bool) -> Insert:
    row = given.insert(
        SUPPRESSIONS, {"tenant": bindparam("tenant")} | {name: given[name] for name in (*_KEY, *_VALUES)}
    )
    new = row.excluded
    # An expired suppression counts as none; the new one's `created_ms` is the current time.
    ends = _S.expires_ms
    ends_before = or_(new.expires_ms.is_(None), ends <= new.created_ms, ends <= new.expires_ms)
    return row.on_conflict_do_update(
        index_elements=["tenant", *_KEY],
        set_={name: new[name] for name in _VALUES},
        where=and_(ends.is_not(None), ends_before) if shorter_only else None,
    )


_ADD: Final = Many(_GIVEN, lambda given: _replacing(given, shorter_only=False))
_ADD_MISSING: Final = Many(_GIVEN, lambda given: _replacing(given, shorter_only=True))


class SqlSuppressions:
    """Implements `ports.control_accounts.Suppressions`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions in one transaction; an existing one is replaced."""
        await self._store(_ADD, tenant, suppressions)

    async def add_missing(self, tenant: str, suppressions: Sequence[Suppression]) -> None:
        """Store suppressions of addresses that are not suppressed yet, or for a shorter time."""
        await self._store(_ADD_MISSING, tenant, suppressions)

    async def lift(self, tenant: str, channel: str, address: str, reason: str, asked_ms: int) -> bool:
        """Remove a suppression if it has this reason and was not made after `asked_ms`."""
        own = _place(tenant, channel, address) | {"reason": reason, "asked_ms": asked_ms}
        return await self._engine.run(tenant, lambda tx: tx.change(_LIFT, **own)) > 0

    async def page(
        self, tenant: str, channel: str | None, address: str | None, after: tuple[str, str], limit: int
    ) -> list[Suppression]:
        """Return suppressions in the order of (channel, address)."""
        place = tuple_(_S.channel, _S.address)
        query = select(*(_S[name] for name in (*_KEY, *_VALUES))).where(_S.tenant == tenant, place > tuple_(*after))
        if channel is not None:
            query = query.where(_S.channel == channel)
        if address is not None:
            query = query.where(_S.address.in_([address, address.lower()]))
        rows = await self._engine.read(tenant, Query(query.order_by(_S.channel, _S.address).limit(limit)))
        return [Suppression(Channel(name), *rest) for name, *rest in rows]

    async def remove(self, tenant: str, channel: str, address: str) -> bool:
        """Remove a suppression; return whether it existed."""
        own = _place(tenant, channel, address)
        return await self._engine.run(tenant, lambda tx: tx.change(_REMOVE, **own)) > 0

    async def _store(self, statement: Many, tenant: str, suppressions: Sequence[Suppression]) -> None:
        async def work(tx: Transaction) -> None:
            for rows in _rounds(suppressions):
                await tx.change_many(statement, rows, tenant=tenant)

        await self._engine.run(tenant, work)


def _place(tenant: str, channel: str, address: str) -> dict[str, Any]:
    return {"tenant": tenant, "channel": channel, "address": suppression_key(channel, address)}


def _rounds(suppressions: Sequence[Suppression]) -> list[list[Row]]:
    """Return rows for as many statements as an address occurs: one statement stores an address once. The rows of each are
    in the order of their keys, so that two transactions do not wait for each other."""
    rounds: list[dict[tuple[str, str], Row]] = []
    for entry in suppressions:
        place = (entry.channel.value, suppression_key(entry.channel, entry.address))
        row = (*place, entry.reason, entry.created_ms, entry.expires_ms)
        for one in rounds:
            if place not in one:
                one[place] = row
                break
        else:
            rounds.append({place: row})
    return [[one[place] for place in sorted(one)] for one in rounds]
