"""The stage store in PostgreSQL: a commit is one call of a server function, a read one statement over many keys."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.domain.limits import HOLD_MS_MAX
from clarion.domain.limits_postgres import POSTGRES_WRITER_KEPT_MS
from clarion.domain.limits_processes import (
    CANCELLATIONS_PER_READ_MAX,
    ENROLLED_MS,
    INTENT_ENTRIES_PER_READ_MAX,
    LEASE_TTL_MS_MAX,
    TRIM_ROWS_PER_COMMIT_MAX,
)
from clarion.journal.topics import GROUP_TOPICS
from clarion.ports.clock import Clock
from clarion.ports.feature_level import check_enrolled, check_level
from clarion.ports.journal_cells import Wait
from clarion.ports.regroup import Placement
from clarion.ports.stage_store import (
    AtWork,
    Committed,
    Cursor,
    IdempotencyEntry,
    IntentEntry,
    Lease,
    Position,
    StageResult,
    StageStoreTraits,
)
from clarion.stores.postgres.group_commit import GroupCommit, LeaseTime
from clarion.stores.postgres.journal_regroup import check_alone, regroup
from clarion.stores.postgres.pool import Database, columns
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.steps import decode_streams
from clarion.stores.postgres.tenancy import ALL_TENANTS, NO_TENANT, within
from clarion.stores.postgres.timeline import TIMELINE, UNKNOWN
from clarion.stores.postgres.wake_ups import WakeUps

_NUMBERS: Final = msgspec.msgpack.Decoder(dict[str, int]).decode

_ACQUIRE: Final = "SELECT journal.acquire($1, $2, $3, $4, $5, $6)"
_RENEW: Final = f"""WITH line AS MATERIALIZED (SELECT $8 IN ('{UNKNOWN}', {TIMELINE}) AS is_same), asked AS (
        SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[])
            WITH ORDINALITY a ("group", partition, owner, fence, ord)
    ), now AS MATERIALIZED (SELECT journal.lease_time($5) AS ms), held AS (
        UPDATE journal.leases l SET expires_ms = now.ms + $6::bigint FROM asked a, now
        WHERE l."group" = a."group" AND l.partition = a.partition AND l.owner = a.owner AND l.fence = a.fence
        AND l.expires_ms > now.ms AND l.expires_ms <= now.ms + $7::bigint AND (SELECT is_same FROM line)
        RETURNING l."group", l.partition, l.owner, l.fence
    )
    SELECT is_same, ARRAY(SELECT a.ord FROM asked a JOIN held h USING ("group", partition, owner, fence) ORDER BY a.ord)
    FROM line"""  # noqa: S608 - constants of this package
_RELEASE: Final = """UPDATE journal.leases l SET expires_ms = 0
    FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[]) a ("group", partition, owner, fence)
    WHERE l."group" = a."group" AND l.partition = a.partition AND l.owner = a.owner AND l.fence = a.fence"""
_RELEASE_DEAD: Final = """WITH now AS MATERIALIZED (SELECT journal.lease_time($2) AS ms), gone AS (
        UPDATE journal.leases l SET expires_ms = 0 FROM now
        WHERE l.owner = ANY ($1::text[]) AND l.expires_ms > now.ms AND l.expires_ms <= now.ms + $3::bigint RETURNING 1
    ) SELECT count(*) FROM gone"""
_AT_WORK: Final = """WITH now AS MATERIALIZED (SELECT journal.lease_time($1) AS ms)
    SELECT ARRAY(SELECT DISTINCT l."group" FROM journal.leases l, now
        WHERE l.expires_ms > now.ms AND l.expires_ms <= now.ms + $2::bigint),
    ARRAY(SELECT p.process FROM journal.processes p, now WHERE p.expires_ms > now.ms AND p.expires_ms <= now.ms + $3::bigint)"""
_ENROLL: Final = "SELECT journal.enroll($1, $2, $3, $4, $5, $6)"
_WITHDRAW: Final = "DELETE FROM journal.processes WHERE process = $1"
_FIRE: Final = "SELECT journal.fire($1, $2, $3, $4)"
_NEXT_DUE: Final = """SELECT min(t.due_ms) FROM generate_series(0, (SELECT max(urgency) FROM journal.timers)) u (urgency)
    CROSS JOIN LATERAL (
        SELECT due_ms FROM journal.timers t WHERE t.urgency = u.urgency ORDER BY due_ms, sequence LIMIT 1
    ) t"""
_POSITIONS: Final = """SELECT partition, topic, "offset", numbers FROM journal.commits
    WHERE "group" = $1 AND partition = ANY ($2::integer[])"""
_INTENTS: Final = """SELECT number, payload FROM journal.intents
    WHERE "group" = $1 AND partition = $2 AND number > $3 ORDER BY number LIMIT $4"""
_CANCELLED: Final = """SELECT sequence, subject_id FROM journal.cancellations
    WHERE sequence > $1 ORDER BY sequence LIMIT $2"""
_REMEMBERED: Final = """SELECT tenant, key, body_hash, answer, expires_ms FROM journal.idempotency
    WHERE (tenant, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND expires_ms > $3"""
_CURSORS_BY_ID: Final = "SELECT * FROM journal.cursors_by_id($1)"
_CURSORS_IN: Final = """SELECT * FROM journal.cursors WHERE partition = ANY ($1::integer[])
    AND ($2::text IS NULL OR status = $2) ORDER BY created_ms, cursor_id"""
_SET_STATUS: Final = "SELECT journal.set_cursor_status($1, $2, $3, $4, $5)"
_CELLS: Final = """SELECT partition, key, value FROM journal.cells
    WHERE (partition, key) IN (SELECT * FROM unnest($1::integer[], $2::bytea[]))"""
_CELLS_PAGE: Final = """SELECT key, value FROM journal.cells
    WHERE partition = $1 AND key > $2 AND key >= $3 AND ($4::bytea IS NULL OR key < $4) ORDER BY key LIMIT $5"""
_WAITS: Final = """SELECT w.* FROM unnest($1::text[], $2::bytea[]) a (tenant, key) CROSS JOIN LATERAL (
        SELECT * FROM journal.waits w WHERE w.tenant = a.tenant AND w.key = a.key AND w.expires_ms > $3
        ORDER BY w.subject LIMIT $4
    ) w"""
_CAPS: Final = """SELECT tenant, rule, block, times FROM journal.caps
    WHERE (tenant, block, rule) IN (SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[]))"""
_TRIM_FRAMES: Final = "SELECT journal.trim_frames($1, $2)"
_TRIM_ENTRIES: Final = "SELECT journal.trim_entries($1, $2, $3)"
_TRIM_WRITERS: Final = "DELETE FROM journal.writers WHERE at_ms < $1"


class Fired(msgspec.Struct, frozen=True):
    """The answer of `journal.fire`."""

    fired: int
    grown: list[tuple[str, int, int]]


_FIRED: Final = msgspec.json.Decoder(Fired).decode


class PostgresStageStore:
    """Implements `ports.stage_store.StageStore`. Used from one event loop. Reads raise `StoreUnavailable`."""

    store_traits = StageStoreTraits(
        survives_process_kill=True,
        survives_power_loss=True,
        failure_model=(
            "A commit returns after the server made it durable, so nothing acknowledged is lost as long as the server "
            "keeps what it committed; a failover to an asynchronous standby loses what was not replicated."
        ),
    )

    def __init__(
        self,
        database: Database,
        writer: GroupCommit,
        wakes: WakeUps,
        clock: Clock,
        lease_time: LeaseTime,
        origin: str,
        partitions: int,
        level: int,
    ) -> None:
        self.partitions = partitions
        self._level = level
        self._database = database
        self._writer = writer
        self._wakes = wakes
        self._clock = clock
        self._lease_time = lease_time
        self._origin = origin

    async def commit(self, result: StageResult) -> Committed:
        """Store a step durably. Return the offsets of its frames and, if requested, the cancelled ids."""
        return await self._writer.commit(result)

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Return a lease that was free, expired or the owner's own, with a new fence; None while another owner holds
        it."""
        _check_ttl(ttl_ms)
        fence = await self._value(_ACQUIRE, group, partition, owner, ttl_ms, self._lease_time(), LEASE_TTL_MS_MAX)
        return None if fence is None else Lease(group, partition, owner, fence)

    async def renew(self, leases: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held. Raises `StoreRewound` when the server is on another timeline."""
        _check_ttl(ttl_ms)
        values = (*_rows(leases), self._lease_time(), ttl_ms, LEASE_TTL_MS_MAX, self._database.timeline)
        is_same, held = await self._database.run(lambda db: db.fetchrow(_RENEW, *values), repeatable=True)
        if not is_same:
            raise self._database.end()
        return [leases[number - 1] for number in held]

    async def release(self, leases: Sequence[Lease]) -> None:
        """Release leases at once."""
        await self._database.run(lambda db: db.execute(_RELEASE, *_rows(leases)), repeatable=True)

    async def release_dead(self, owners: Collection[str]) -> int:
        """Expire the leases of dead owners at once and return how many had not expired yet."""
        return int(await self._value(_RELEASE_DEAD, list(owners), self._lease_time(), LEASE_TTL_MS_MAX))

    async def at_work(self) -> AtWork:
        """Return who is at work."""
        times = self._lease_time(), LEASE_TTL_MS_MAX, ENROLLED_MS
        groups, processes = await self._database.fetchrow(NO_TENANT, _AT_WORK, *times)
        return AtWork(frozenset(groups), frozenset(processes))

    def feature_level(self) -> int:
        """Return the level up to which every process reads, as this process last read it."""
        return self._level

    async def enroll(self, process: str, level: int, ttl_ms: int) -> int:
        """Say that a process is at work and reads up to a level, and return the level of the store."""
        check_enrolled(ttl_ms)
        times = ttl_ms, self._lease_time(), ENROLLED_MS, LEASE_TTL_MS_MAX
        self._level = check_level(int(await self._value(_ENROLL, process, level, *times)), level)
        return self._level

    async def withdraw(self, process: str) -> None:
        """Say that a process has ended."""
        await self._database.run(lambda db: db.execute(_WITHDRAW, process), repeatable=True)

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many."""
        answer = _FIRED(await self._value(_FIRE, self._origin, now_ms, limit, self._clock.now_ms()))
        self._wakes.grew(answer.grown)
        return answer.fired

    async def next_due(self) -> int | None:
        """Return when the earliest timer is due, or None without timers."""
        due_ms: int | None = await self._database.fetchval(NO_TENANT, _NEXT_DUE)
        return due_ms

    async def positions(self, group: str, partitions: Collection[int]) -> dict[int, dict[str, Position]]:
        """Return the group's committed positions by partition and topic."""
        found: dict[int, dict[str, Position]] = {partition: {} for partition in partitions}
        for partition, topic, offset, numbers in await self._database.fetch(
            NO_TENANT, _POSITIONS, group, list(partitions)
        ):
            found[partition][topic] = Position(offset, {} if numbers is None else _NUMBERS(numbers))
        return found

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        rows = await self._database.fetch(NO_TENANT, _INTENTS, group, partition, after, INTENT_ENTRIES_PER_READ_MAX)
        return [IntentEntry(number, payload) for number, payload in rows]

    async def backlog_of(self, groups: Collection[str]) -> dict[str, int]:
        """Return the number of events that each group has not committed yet."""
        read = [
            (group, topic, partition)
            for group in groups
            for topic in GROUP_TOPICS.get(group, ())
            for partition in range(self.partitions)
        ]
        rows = await self._database.fetch(NO_TENANT, sql("backlog"), *columns(read, 3), list(groups))
        waiting = {group: number for group, number in rows}  # noqa: C416 - rows of the driver are not pairs
        return {group: waiting.get(group, 0) for group in groups}

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the next sequence number to read after and the subject ids cancelled after `sequence`."""
        rows = await self._database.fetch(ALL_TENANTS, _CANCELLED, sequence, CANCELLATIONS_PER_READ_MAX)
        return (rows[-1][0] if rows else sequence), [row[1] for row in rows]

    async def remembered(
        self, keys: Collection[tuple[str, str]], now_ms: int
    ) -> dict[tuple[str, str], IdempotencyEntry]:
        """Return the entries of the keys, by (tenant, key), without expired ones."""
        rows = await self._database.fetch({tenant for tenant, _ in keys}, _REMEMBERED, *columns(list(keys), 2), now_ms)
        return {(row[0], row[1]): IdempotencyEntry(*row) for row in rows}

    async def cursors_by_id(self, cursor_ids: Collection[bytes]) -> dict[bytes, Cursor]:
        """Return cursors by id."""
        return {row[0]: Cursor(*row) for row in await self._database.fetch(NO_TENANT, _CURSORS_BY_ID, list(cursor_ids))}

    async def cursors_in(self, partitions: Collection[int], status: str | None = None) -> list[Cursor]:
        """Return the cursors of some partitions, oldest first, filtered by status."""
        return [Cursor(*row) for row in await self._database.fetch(ALL_TENANTS, _CURSORS_IN, list(partitions), status)]

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was changed."""
        grown = await self._value(_SET_STATUS, self._origin, cursor_id, status, list(allowed_from), now_ms)
        if grown is None:
            return False
        self._wakes.grew(decode_streams(grown))
        return True

    async def cells_of(self, keys: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], bytes]:
        """Return the values of those of the keys that exist."""
        rows = await self._database.fetch(NO_TENANT, _CELLS, *columns(list(keys), 2))
        return {(partition, key): value for partition, key, value in rows}

    async def cells_page(
        self, partition: int, prefix: bytes, limit: int, after: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells whose keys begin with `prefix` and are above `after`, in order."""
        rows = await self._database.fetch(NO_TENANT, _CELLS_PAGE, partition, after, prefix, _end_of(prefix), limit)
        return [(key, value) for key, value in rows]

    async def waits_of(
        self, keys: Collection[tuple[str, bytes]], limit: int = 1_000
    ) -> dict[tuple[str, bytes], list[Wait]]:
        """Return the waits for each of the keys, without expired ones."""
        asked = columns(list(dict.fromkeys(keys)), 2)
        rows = await self._database.fetch(set(asked[0]), _WAITS, *asked, self._clock.now_ms(), limit)
        found: dict[tuple[str, bytes], list[Wait]] = {}
        for row in rows:
            found.setdefault((row[0], row[1]), []).append(Wait(*row))
        return found

    async def caps_of(self, blocks: Mapping[tuple[str, bytes], Collection[int]]) -> dict[tuple[str, bytes, int], bytes]:
        """Return the cap times of those of the blocks that exist."""
        asked = [(tenant, block, rule) for (tenant, rule), some in blocks.items() for block in some]
        rows = await self._database.fetch({tenant for tenant, _ in blocks}, _CAPS, *columns(asked, 3))
        return {(tenant, rule, block): times for tenant, rule, block, times in rows}

    async def trim(self, older_than_ms: int) -> int:
        """Delete old frames that every group has committed, expired idempotency entries and waits, and old
        cancellations. Return the number of deleted frames."""
        frames = 0
        while trimmed := await self._value(_TRIM_FRAMES, older_than_ms, TRIM_ROWS_PER_COMMIT_MAX):
            frames += trimmed
        now_ms = self._clock.now_ms()
        times = older_than_ms - HOLD_MS_MAX, now_ms
        while await self._value(*within(ALL_TENANTS, _TRIM_ENTRIES, *times, TRIM_ROWS_PER_COMMIT_MAX)):
            pass
        old_ms = now_ms - POSTGRES_WRITER_KEPT_MS
        await self._database.run(lambda db: db.execute(_TRIM_WRITERS, old_ms), repeatable=True)
        return frames

    async def check_alone(self) -> None:
        """Raise `OperatorError` while another process is at work."""
        await self._database.read(lambda db: check_alone(db, self._lease_time()))

    async def regroup(self, placement: Placement, recorded: Mapping[int, int]) -> None:
        """Move every row to its place with another number of partitions, in one transaction."""
        lease_time, writer = self._lease_time(), self._writer.writer
        await self._database.transact(ALL_TENANTS, lambda db: regroup(db, placement, recorded, lease_time, writer))
        self.partitions = self._writer.partitions = placement.after

    async def close(self) -> None:
        """Finish queued commits and close."""
        await self._writer.close()
        await self._wakes.close()
        await self._database.close()

    async def _value(self, statement: str, *values: Any) -> Any:
        """Return the only value of a write that may be repeated without harm."""
        return await self._database.run(lambda db: db.fetchval(statement, *values), repeatable=True)


def _rows(leases: Sequence[Lease]) -> list[list[Any]]:
    return columns([msgspec.structs.astuple(lease) for lease in leases], 4)


def _check_ttl(ttl_ms: int) -> None:
    if not 0 < ttl_ms <= LEASE_TTL_MS_MAX:
        raise ValueError(f"a lease runs 1 to {LEASE_TTL_MS_MAX} ms, not {ttl_ms}")


def _end_of(prefix: bytes) -> bytes | None:
    """Return the first key above all that begin with a prefix, None when there is no such key."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
