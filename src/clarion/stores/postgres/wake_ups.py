"""Wake-ups between processes: commits notify the channel `clarion_journal` of the streams that grew.

A notification may be lost with a connection, so the heads of all streams are compared every `POSTGRES_CHECK_MS`, too. Listening
needs a session of its own.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from clarion.domain.errors import StoreRewound, StoreUnavailable
from clarion.domain.limits_postgres import POSTGRES_CHECK_MS
from clarion.runtime.watch import GrowthSignal, Heads, Stream
from clarion.stores.postgres.errors import LOST
from clarion.stores.postgres.pool import Connection, Database
from clarion.stores.postgres.steps import GrownStream, decode_grown
from clarion.stores.postgres.tenancy import NO_TENANT

_CHANNEL: Final = "clarion_journal"
HEADS: Final = "SELECT topic, partition, head FROM journal.streams"


class WakeUps:
    """The growth of the streams as one process knows it. `heads` are those at its start; `origin` names the process in its
    own wake-ups, which it does not need."""

    def __init__(self, database: Database, origin: str, heads: dict[Stream, int]) -> None:
        self._database = database
        self._origin = origin
        self._known = heads
        self.growth = GrowthSignal(self._heads)
        self._listening: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._closed = False

    def grew(self, grown: Sequence[GrownStream]) -> None:
        """Wake the watches over streams that a commit of this process changed."""
        for topic, partition, head in grown:
            self._known[topic, partition] = max(head, self._known.get((topic, partition), 0))
        self.growth.notify([(topic, partition) for topic, partition, _ in grown])

    def listen(self) -> None:
        """Listen from now on to commits of other processes."""
        if self._listening is None and not self._closed:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        self._closed = True
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    def _heads(self) -> Heads:
        return self._known

    async def _listen(self) -> None:
        while True:
            connection: Connection | None = None
            try:
                if self._database.can_listen:
                    connection = await self._database.dedicated()
                    await connection.add_listener(_CHANNEL, self._receive)
                while True:
                    self._look.clear()
                    await self._compare(connection)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POSTGRES_CHECK_MS / 1000):
                            await self._look.wait()
            except (*LOST, asyncpg.PostgresError, StoreUnavailable):
                await asyncio.sleep(POSTGRES_CHECK_MS / 1000)
            except StoreRewound:
                return  # the process is about to end
            finally:
                if connection is not None:
                    connection.terminate()

    async def _compare(self, connection: Connection | None) -> None:
        rows = await (connection.fetch(HEADS) if connection else self._database.fetch(NO_TENANT, HEADS))
        found = {(topic, partition): head for topic, partition, head in rows}
        # A commit of this process may have been answered since the heads were read.
        self._known = {stream: max(head, self._known.get(stream, 0)) for stream, head in found.items()}
        self.growth.look()

    def _receive(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            message = decode_grown(str(payload))
        except msgspec.MsgspecError:
            self._look.set()
            return
        if message.origin == self._origin:
            return
        if message.grown is None:
            self._look.set()
        else:
            self.grew(message.grown)
