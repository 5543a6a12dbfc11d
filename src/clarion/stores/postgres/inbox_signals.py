"""Signals of changed inboxes between processes: transactions notify the channel `clarion_inbox`.

A notification may be lost with a connection, so all inboxes are looked at after each connect, and where no session can listen,
every `POSTGRES_CHECK_MS`.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from clarion.domain.errors import StoreRewound, StoreUnavailable
from clarion.domain.inbox import ALL_INBOXES, ChangedInboxes
from clarion.domain.limits_postgres import POSTGRES_CHECK_MS
from clarion.runtime.inbox_signal import NOTHING, InboxSignals
from clarion.stores.postgres.errors import LOST
from clarion.stores.postgres.pool import Connection, Database

CHANNEL: Final = "clarion_inbox"
_BUCKETS_A_MESSAGE: Final = 700
"""Buckets that fit into the 8000 bytes of a notification."""


class _Message(msgspec.Struct, array_like=True):
    """`all` means that any inbox may have changed."""

    origin: str
    users: list[int] = []
    tenants: list[int] = []
    all: bool = False


_DECODER: Final = msgspec.json.Decoder(_Message)


class NotifiedInboxSignals(InboxSignals):
    """The signals that one process hears and sends."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._origin = secrets.token_hex(8)
        self._listening: asyncio.Task[None] | None = None

    def listen(self, heard: Callable[[ChangedInboxes], None]) -> None:
        """Call `heard` on the running loop from now on."""
        super().listen(heard)
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        await super().close()

    def messages(self, changed: ChangedInboxes) -> list[str]:
        """Return what the transaction that makes changes has to send to other processes."""
        if changed == NOTHING:
            return []
        if changed.all:
            return [_text(_Message(self._origin, all=True))]
        users, tenants = list(changed.users), list(changed.tenants)[:_BUCKETS_A_MESSAGE]
        made = [
            _Message(self._origin, users[first : first + _BUCKETS_A_MESSAGE])
            for first in range(0, len(users), _BUCKETS_A_MESSAGE)
        ]
        if tenants:
            made.append(_Message(self._origin, tenants=tenants, all=len(tenants) < len(changed.tenants)))
        return [_text(message) for message in made]

    async def _listen(self) -> None:
        while True:
            connection: Connection | None = None
            try:
                if self._database.can_listen:
                    connection = await self._database.dedicated()
                    await connection.add_listener(CHANNEL, self._receive)
                self.notify(ALL_INBOXES)
                while connection is not None:
                    await asyncio.sleep(POSTGRES_CHECK_MS / 1000)
                    await connection.fetchval("SELECT 1")  # notices a connection that was lost
                await asyncio.sleep(POSTGRES_CHECK_MS / 1000)
            except (*LOST, asyncpg.PostgresError, StoreUnavailable):
                await asyncio.sleep(POSTGRES_CHECK_MS / 1000)
            except StoreRewound:
                return  # the process is about to end
            finally:
                if connection is not None:
                    connection.terminate()

    def _receive(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            message = _DECODER.decode(str(payload))
        except msgspec.MsgspecError:
            self.notify(ALL_INBOXES)
            return
        if message.origin != self._origin:
            self.notify(ChangedInboxes(frozenset(message.users), frozenset(message.tenants), message.all))


def _text(message: _Message) -> str:
    return msgspec.json.encode(message).decode()
