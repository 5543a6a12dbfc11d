"""Endpoints that read broadcasts: progress from the journal's cursor, deliveries from chunks."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from clarion.domain import ids
from clarion.domain.delivery_state import NAMES, State
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.history import STATES, Attempt, Chunk, ChunkState, Delivery
from clarion.domain.limits_processes import BROADCAST_CHUNKS_PER_PAGE_MAX
from clarion.domain.times import shown
from clarion.history.shapes import delivery_out, reason_name
from clarion.journal.events import BroadcastJob
from clarion.ports.directory import Directory
from clarion.ports.history import History
from clarion.ports.stage_store import StageStore
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, cursor_of, limit_of, page

_STATES: Final = {name: state for state, name in NAMES.items()}
_CURSOR_BYTES: Final = ids.DELIVERY_ID_BYTES + 4
_UNPACK: Final = msgspec.msgpack.decode
_JOB: Final = msgspec.msgpack.Decoder(BroadcastJob)


class ChannelCounts(msgspec.Struct, frozen=True):
    """Deliveries of a broadcast on one channel, by state and, where there is one, by reason."""

    states: dict[str, int]
    reasons: dict[str, int]


class BroadcastProgress(msgspec.Struct, frozen=True):
    """The progress of a broadcast. `planned` and `skipped` count deliveries decided on so far, `users` the users of the
    audience processed so far; `states` and `channels` count recorded deliveries. `local_time` is on each recipient's
    own clock."""

    id: str
    status: str
    created_at: datetime
    updated_at: datetime
    topic: str | None
    segment: str | None
    local_time: str | None
    template: str | None
    workflow: str | None
    category: str | None
    users: int
    planned: int
    skipped: int
    states: dict[str, int]
    channels: dict[str, ChannelCounts]


def broadcast_routes(state: History, store: StageStore, directory: Directory) -> list[Route]:
    """Return the endpoints that read broadcasts."""
    handlers = _Broadcasts(state, store, directory)
    read = "broadcasts:read"
    return [
        Route(
            "GET", "/v1/broadcasts/{id}", handlers.get, read, "Progress of a broadcast", reply=BroadcastProgress,
            tag="broadcasts",
        ),
        Route(
            "GET", "/v1/broadcasts/{id}/deliveries", handlers.deliveries, read, "Deliveries of a broadcast",
            queries=(
                Query("user_id", "Only to this user"),
                Query("state", "Only in this state"),
                *PAGE_QUERIES,
            ),
            tag="broadcasts",
        ),
    ]  # fmt: skip


class _Broadcasts:
    def __init__(self, state: History, store: StageStore, directory: Directory) -> None:
        self._state = state
        self._store = store
        self._directory = directory

    async def get(self, call: Call) -> Reply:
        tenant, text = call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.BROADCAST_PREFIX, text)
        cursor = None if id_ is None else (await self._store.cursors_by_id([id_])).get(id_)
        if id_ is None or cursor is None or cursor.tenant != tenant:
            raise NotFound(f"unknown broadcast {text!r}", field="id")
        states: dict[str, int] = defaultdict(int)
        channels: dict[str, ChannelCounts] = {}
        for channel, state, reason, count in await self._state.totals(tenant, id_):
            counts = channels.setdefault(channel, ChannelCounts({}, {}))
            name, cause = NAMES[STATES[state]], reason_name(reason)
            states[name] += count
            counts.states[name] = counts.states.get(name, 0) + count
            if cause is not None:
                counts.reasons[cause] = counts.reasons.get(cause, 0) + count
        job = _JOB.decode(cursor.payload)
        return Reply(
            BroadcastProgress(
                id=text,
                status=cursor.status,
                created_at=shown(cursor.created_ms),
                updated_at=shown(cursor.updated_ms),
                topic=job.audience.topic,
                segment=job.audience.segment,
                local_time=_wall_clock(job.audience.local_ms),
                template=job.request.template or None,
                workflow=job.request.workflow or None,
                category=job.request.category,
                users=cursor.users,
                planned=cursor.planned,
                skipped=cursor.skipped,
                states=dict(states),
                channels=channels,
            )
        )

    async def deliveries(self, call: Call) -> Reply:
        tenant, text, limit = call.caller.tenant, call.path["id"], limit_of(call.query)
        id_ = ids.read(ids.BROADCAST_PREFIX, text)
        cursor = None if id_ is None else (await self._store.cursors_by_id([id_])).get(id_)
        if id_ is None or cursor is None or cursor.tenant != tenant:
            raise NotFound(f"unknown broadcast {text!r}", field="id")
        wanted, ordinal = call.query.get("state"), None
        if wanted is not None and wanted not in _STATES:
            raise InvalidField(f"must be one of {', '.join(_STATES)}", field="state")
        if (user_id := call.query.get("user_id")) is not None:
            ordinal = (await self._directory.ordinals(tenant, [user_id])).get(user_id)
            if ordinal is None:
                raise InvalidField(f"unknown user {user_id!r}", field="user_id", code="unknown_user")
        after = cursor_of(call.query, _CURSOR_BYTES)
        chunk_id, first = (None, 0) if after is None else (after[:-4], int.from_bytes(after[-4:], "big"))
        chunks = await self._state.chunks(tenant, id_, chunk_id, BROADCAST_CHUNKS_PER_PAGE_MAX, ordinal)
        rows: list[Delivery] = []
        following: bytes | None = None
        for chunk, states in chunks:
            start = first if chunk.chunk_id == chunk_id else 0
            for index in _indexes(chunk, states, None if wanted is None else _STATES[wanted], ordinal, start):
                if len(rows) == limit:
                    return await self._page(tenant, rows, following)
                rows.append(_delivery(chunk, states, index))
                following = chunk.chunk_id + (index + 1).to_bytes(4, "big")
        if len(chunks) < BROADCAST_CHUNKS_PER_PAGE_MAX:
            return await self._page(tenant, rows, None)
        last, _ = chunks[-1]
        return await self._page(tenant, rows, last.chunk_id + last.count.to_bytes(4, "big"))

    async def _page(self, tenant: str, rows: list[Delivery], following: bytes | None) -> Reply:
        own = await self._state.deliveries(tenant, [row.id for row in rows])
        recorded: dict[bytes, list[Attempt]] = defaultdict(list)
        for attempt in await self._state.attempts_of(tenant, list(own)):
            recorded[attempt.delivery_id].append(attempt)
        items: list[Any] = []
        for row in rows:
            attempt_rows = own.get(row.id)
            if attempt_rows is not None:
                attempt_rows.state, attempt_rows.reason = row.state, row.reason  # the chunk's byte is authoritative
            items.append(delivery_out(attempt_rows or row, recorded[row.id]))
        return page(items, following)


def _wall_clock(local_ms: int | None) -> str | None:
    """Return a recipient-local time in ISO format, without a zone."""
    at = shown(local_ms)
    return None if at is None else at.replace(tzinfo=None).isoformat()


def _indexes(chunk: Chunk, states: ChunkState, wanted: State | None, ordinal: int | None, start: int) -> Iterator[int]:
    """Yield the places in a chunk of the wanted deliveries, from `start` on."""
    if ordinal is not None:
        ordinals = array("Q", chunk.ordinals)
        start = max(start, ordinals.index(ordinal)) if ordinal in ordinals else chunk.count
    for index in range(start, chunk.count):
        if wanted is None or states.states[index] == wanted:
            yield index
        if ordinal is not None:
            return


def _delivery(chunk: Chunk, states: ChunkState, index: int) -> Delivery:
    """Return a delivery as recorded in its chunk: accepted at its first attempt, or not attempted."""
    user_id = _UNPACK(chunk.user_ids)[index]
    address = _UNPACK(chunk.addresses)[index] if chunk.addresses else ""
    id_ = ids.delivery_id(ids.notification_of(chunk.chunk_id), user_id, chunk.channel, address)
    row = Delivery(id_, chunk.tenant, user_id, chunk.channel, address, STATES[states.states[index]])
    row.reason, row.planned_ms = states.reasons[index], chunk.planned_ms
    row.chunk_id, row.chunk_index = chunk.chunk_id, index
    begun = states.intents[index] if states.intents else 0
    row.attempt, row.repeats = min(begun, 1), max(begun - 1, 0)
    if row.state in (State.SENT, State.DELIVERED):
        at_ms = states.finished_ms or chunk.planned_ms
        row.attempt = row.accepted_attempt = 1
        row.provider, row.vendor = states.provider, states.vendor
        row.started_ms = row.accepted_ms = row.finished_ms = at_ms
    return row
