"""Endpoints of dead letters: look at what was given up, and put it back on the journal."""

import asyncio
from collections import defaultdict
from typing import Annotated, Final

import msgspec

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.decision import REASON_NAMES
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.history import DeadLetter
from clarion.domain.limits import BATCH_ITEMS_MAX
from clarion.journal.codec import decode, encode
from clarion.journal.events import DeliverFrame, ReplayedFrame
from clarion.journal.topics import OUTCOMES, deliver
from clarion.ports.clock import Clock
from clarion.ports.history import DeadLetterFilter, History, Window
from clarion.ports.journal import Append, Frame, Journal
from clarion.ports.pages import PAGE_QUERIES, cursor_of, limit_of, page, time_of
from clarion.ports.web import Call, Query, Reply, Route
from clarion.record.shapes import DeadLetterOut, dead_letter_out, delivery_text

_READ: Final = "notifications:read"
_WRITE: Final = "notifications:write"
_REASONS: Final = {name: int(reason) for reason, name in REASON_NAMES.items() if reason}
_REPLAYED: Final = {"true": True, "false": False}


class ReplayFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters to replay: those not replayed yet that meet everything named here."""

    channel: str | None = None
    user_id: str | None = None
    reason: str | None = None


class ReplayIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either ids or a filter; a filter takes the newest 1,000."""

    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=BATCH_ITEMS_MAX)] | None = None
    filter: ReplayFilter | None = None


class ReplayResult(msgspec.Struct, frozen=True):
    """What replaying one dead letter did: `replayed`, `already_replayed` or `not_found`."""

    id: str
    status: str


class ReplayOut(msgspec.Struct, frozen=True):
    """One result for each dead letter asked for."""

    results: list[ReplayResult]


def dead_letter_routes(state: History, journal: Journal, clock: Clock) -> list[Route]:
    """Return the endpoints of dead letters."""
    handlers = _DeadLetters(state, journal, clock)
    queries = (
        Query("channel", "Only on this channel"),
        Query("user_id", "Only to this user"),
        Query("reason", "Only for this reason"),
        Query("replayed", "Only those replayed, or not", "boolean"),
        Query("created_from", "Of notifications accepted at or after this time"),
        Query("created_to", "Of notifications accepted before this time"),
        *PAGE_QUERIES,
    )
    return [
        Route(
            "GET", "/v1/dead-letters", handlers.listed, _READ, "Deliveries given up, newest notification first",
            queries=queries, tag="dead letters",
        ),
        Route(
            "GET", "/v1/dead-letters/{id}", handlers.get, _READ, "One delivery given up", reply=DeadLetterOut,
            tag="dead letters",
        ),
        Route(
            "POST", "/v1/dead-letters/replay", handlers.replay, _WRITE, "Deliver again what was given up",
            body=ReplayIn, reply=ReplayOut, status=202, tag="dead letters",
        ),
    ]  # fmt: skip


class _DeadLetters:
    def __init__(self, state: History, journal: Journal, clock: Clock) -> None:
        self._state = state
        self._journal = journal
        self._clock = clock

    async def listed(self, call: Call) -> Reply:
        query, limit = call.query, limit_of(call.query)
        replayed = query.get("replayed")
        if replayed is not None and replayed not in _REPLAYED:
            raise InvalidField("must be true or false", field="replayed")
        before = cursor_of(query, ids.DELIVERY_ID_BYTES)
        window = Window(limit + 1, before, time_of(query, "created_from"), time_of(query, "created_to"))
        only = _filter(query.get("channel"), query.get("user_id"), query.get("reason"))
        if replayed is not None:
            only = msgspec.structs.replace(only, replayed=_REPLAYED[replayed])
        found = self._state.dead_letters(call.caller.tenant, window, only)
        following = found[limit - 1].delivery_id if len(found) > limit else None
        return page([dead_letter_out(letter) for letter in found[:limit]], following)

    async def get(self, call: Call) -> Reply:
        text = call.path["id"]
        id_ = ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES)
        letter = None if id_ is None else self._state.dead_letter(call.caller.tenant, id_)
        if letter is None:
            raise NotFound(f"unknown dead letter {text!r}", field="id")
        return Reply(dead_letter_out(letter))

    async def replay(self, call: Call) -> Reply:
        body: ReplayIn = call.body
        tenant = call.caller.tenant
        if (body.ids is None) == (body.filter is None):
            raise InvalidField("takes either ids or a filter", field="ids")
        if body.filter is not None:
            only = _filter(body.filter.channel, body.filter.user_id, body.filter.reason, "filter.")
            only = msgspec.structs.replace(only, replayed=False)
            found = self._state.dead_letters(tenant, Window(BATCH_ITEMS_MAX), only)
            asked = [delivery_text(letter.delivery_id) for letter in found]
        else:
            asked, found = list(dict.fromkeys(body.ids or ())), []
            for text in asked:
                id_ = ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES)
                letter = None if id_ is None else self._state.dead_letter(tenant, id_)
                if letter is not None:
                    found.append(letter)
        claimed = await self._replay(tenant, found)
        known = {delivery_text(letter.delivery_id) for letter in found}
        results = [
            ReplayResult(
                text, ("replayed" if text in claimed else "already_replayed") if text in known else "not_found"
            )
            for text in asked
        ]
        return Reply(ReplayOut(results), 202)

    async def _replay(self, tenant: str, letters: list[DeadLetter]) -> set[str]:
        """Put letters back on the journal, each at most once, and return the public ids of those that were.

        The claim is durable before the append. A process that dies in between leaves letters that can be replayed again
        a minute later; the deliver stage drops what has been sent by then.
        """
        now_ms = self._clock.now_ms()
        open_ids = [letter.delivery_id for letter in letters if letter.replayed_ms is None]
        claimed = await asyncio.to_thread(self._state.claim_replays, tenant, open_ids, now_ms)
        rows = self._state.deliveries(tenant, list(claimed))
        frames: list[Frame] = []
        replayed: dict[int, list[bytes]] = defaultdict(list)
        for letter in letters:
            if letter.delivery_id not in claimed:
                continue
            row = rows.get(letter.delivery_id)
            attempt = max(letter.attempt, 0 if row is None else row.attempt) + 1
            frame = self._frame(tenant, letter, attempt)
            frames.append(frame)
            replayed[frame.partition].append(letter.delivery_id)
        for partition, delivery_ids in replayed.items():
            count = len(delivery_ids)
            event = ReplayedFrame([tenant] * count, delivery_ids, [now_ms] * count)
            frames.append(Frame(OUTCOMES, partition, count, encode(event, count)))
        if frames:
            await self._journal.append(Append(frames=frames))
        return {delivery_text(id_) for id_ in claimed}

    def _frame(self, tenant: str, letter: DeadLetter, attempt: int) -> Frame:
        event = decode(letter.payload)
        if not isinstance(event, DeliverFrame):
            raise TypeError(f"dead letter {delivery_text(letter.delivery_id)} holds no delivery")
        event.attempts = [attempt]
        place = event.chunks[0]
        if place is not None:  # a chunk's story is told on the partition of the chunk
            lane, partition = Lane.BULK, place[0][-1] % self._journal.partitions
        else:
            notification = self._state.notification(tenant, ids.notification_of(letter.delivery_id))
            lane = Lane.NORMAL if notification is None else Lane(notification.lane)
            partition = ids.partition_of(letter.delivery_id)
        return Frame(deliver(Channel(letter.channel), lane), partition, 1, encode(event, 1))


def _filter(channel: str | None, user_id: str | None, reason: str | None, prefix: str = "") -> DeadLetterFilter:
    if channel is not None and channel not in CHANNELS:
        raise InvalidField(f"must be one of {', '.join(Channel)}", field=f"{prefix}channel")
    if reason is not None and reason not in _REASONS:
        raise InvalidField(f"must be one of {', '.join(_REASONS)}", field=f"{prefix}reason")
    return DeadLetterFilter(channel, user_id, None if reason is None else _REASONS[reason])
