"""Endpoints of dead letters: list and inspect deliveries that were given up, and put them back on the journal."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField, NotFound, Overloaded
from clarion.domain.limits import BATCH_ITEMS_MAX
from clarion.domain.limits_delivery import REPLAY_AHEAD_MS_MAX, REPLAY_LEFT_MAX, REPLAY_LETTERS_MAX, REPLAY_PAGE_LETTERS
from clarion.domain.limits_processes import HISTORY_SCAN_MAX
from clarion.domain.permissions import CONTACTS
from clarion.domain.times import shown
from clarion.history.dead_letters.edit import edit_of
from clarion.history.dead_letters.gather import gather_facts, gather_lanes, gather_letters, gather_page
from clarion.history.dead_letters.replay import Replays, ReplayTally, ReplayVerdicts
from clarion.history.dead_letters.search import LetterPage, LetterQuery, not_replayed, open_letter, query_of
from clarion.history.dead_letters.shapes import (
    DeadLetterDetail,
    DeadLetterOut,
    ReplayIn,
    ReplayOut,
    ReplayResult,
    detail_out,
    letter_out,
)
from clarion.history.dead_letters.verdicts import Edit, Letter, ReplayRate, Status
from clarion.history.shapes import delivery_text
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.history import History, ListWindow
from clarion.ports.stage_store import StageStore
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, Page, cursor_of, cursor_text, limit_of, page

_READ: Final = "dead-letters:read"
_TIME_BYTES: Final = 8
_PAGES_MAX: Final = REPLAY_LETTERS_MAX // REPLAY_PAGE_LETTERS
_QUERIES: Final = (
    Query("channel", "Only on this channel"),
    Query("user_id", "Only to this user"),
    Query("reason", "Only for this reason"),
    Query("replayed", "Only those replayed, or not", "boolean"),
    Query("provider", "Only with this account in the newest attempt"),
    Query("vendor", "Only with this vendor in the newest attempt"),
    Query("template", "Only with this template"),
    Query("category", "Only of this category"),
    Query("address", "Only to this address"),
    Query("created_from", "Of notifications accepted at or after this time"),
    Query("created_to", "Of notifications accepted before this time"),
    Query("dead_from", "Given up at or after this time"),
    Query("dead_to", "Given up before this time"),
    *PAGE_QUERIES,
)


def dead_letter_routes(state: History, store: StageStore, directory: Directory, clock: Clock) -> list[Route]:
    """Return the endpoints of dead letters."""
    handlers = _DeadLetters(state, store, directory, clock)
    return [
        Route(
            "GET", "/v1/dead-letters", handlers.listed, _READ,
            "Deliveries given up, newest notification first; a page filtered by template or category may hold fewer items "
            "than the limit", reply=Page[DeadLetterOut], queries=_QUERIES, tag="dead letters",
        ),
        Route(
            "GET", "/v1/dead-letters/{id}", handlers.get, _READ,
            "One dead letter: its delivery with each attempt, and the content of a replay", reply=DeadLetterDetail,
            tag="dead letters",
        ),
        Route(
            "POST", "/v1/dead-letters/replay", handlers.replay, "dead-letters:replay", "Replay dead letters",
            body=ReplayIn, reply=ReplayOut, status=202, tag="dead letters",
        ),
    ]  # fmt: skip


class _Asked(NamedTuple):
    """The letters of a replay: ids, or a filter with the id to begin below, and when the first replay is due."""

    ids: Sequence[str]
    only: LetterQuery | None
    below: bytes | None
    start_ms: int


class _DeadLetters:
    def __init__(self, state: History, store: StageStore, directory: Directory, clock: Clock) -> None:
        self._state = state
        self._store = store
        self._directory = directory
        self._clock = clock

    async def listed(self, call: Call) -> Reply:
        tenant, limit = call.caller.tenant, limit_of(call.query)
        below = cursor_of(call.query, ids.DELIVERY_ID_BYTES)
        found = await gather_page(self._state, tenant, query_of(call.query), below, limit, HISTORY_SCAN_MAX)
        deliveries = await self._state.deliveries(tenant, [letter.stored.delivery_id for letter in found.letters])
        items = [letter_out(letter, deliveries.get(letter.stored.delivery_id)) for letter in found.letters]
        return page(items, found.below)

    async def get(self, call: Call) -> Reply:
        tenant, text = call.caller.tenant, call.path["id"]
        stored = next(iter(await gather_letters(self._state, tenant, [text])), None)
        if stored is None:
            raise NotFound(f"unknown dead letter {text!r}", field="id")
        id_ = stored.delivery_id
        delivery = (await self._state.deliveries(tenant, [id_])).get(id_)
        return Reply(detail_out(open_letter(stored), delivery, await self._state.attempts_of(tenant, [id_])))

    async def replay(self, call: Call) -> Reply:
        body: ReplayIn = call.body
        tenant, asked = call.caller.tenant, self._asked(body)
        if body.edit is not None and body.edit.address is not None:
            # What is sent somewhere else is read there.
            call.caller.require(CONTACTS, "edit.address")
        edit = edit_of(body.edit, await self._channel(tenant, body), await self._template(tenant, body))
        pace = ReplayRate(asked.start_ms, body.rate_per_s)
        replays = Replays(self._store.partitions, tenant, edit, pace, call.caller.actor.id)
        if asked.only is None:
            return await self._by_ids(tenant, asked.ids, replays, edit, dry_run=body.dry_run)
        default = REPLAY_LETTERS_MAX if body.dry_run else BATCH_ITEMS_MAX
        return await self._by_filter(tenant, asked, replays, edit, pace, body.limit or default, dry_run=body.dry_run)

    def _asked(self, body: ReplayIn) -> _Asked:
        now_ms = self._clock.now_ms()
        if (body.ids is None) == (body.filter is None):
            raise InvalidField("takes either ids or a filter", field="ids")
        if body.filter is None:
            for name in ("limit", "after"):
                if getattr(body, name) is not None:
                    raise InvalidField("is allowed with a filter only", field=name)
            return _Asked(list(dict.fromkeys(body.ids or ())), None, None, now_ms)
        only = not_replayed(query_of(msgspec.to_builtins(body.filter), "filter."))
        cursor = cursor_of({} if body.after is None else {"after": body.after}, ids.DELIVERY_ID_BYTES + _TIME_BYTES)
        if cursor is None:
            return _Asked((), only, None, now_ms)
        # The cursor carries the pace: a call with a cursor begins when the previous one ends.
        due_ms = int.from_bytes(cursor[ids.DELIVERY_ID_BYTES :], "big")
        if due_ms > now_ms + REPLAY_AHEAD_MS_MAX:
            raise InvalidField("would begin more than a year from now", field="after")
        return _Asked((), only, cursor[: ids.DELIVERY_ID_BYTES], max(now_ms, due_ms) if body.rate_per_s else now_ms)

    async def _channel(self, tenant: str, body: ReplayIn) -> Channel | None:
        """Return the channel of the one letter whose address is edited; None when no address is edited. Raises
        `InvalidField` for an edited address with several letters, and `NotFound` for an unknown one."""
        if body.edit is None or body.edit.address is None:
            return None
        if body.ids is None or len(set(body.ids)) != 1:
            raise InvalidField("can be given for one dead letter at a time", field="edit.address")
        stored = next(iter(await gather_letters(self._state, tenant, body.ids[:1])), None)
        if stored is None:
            raise NotFound(f"unknown dead letter {body.ids[0]!r}", field="ids")
        return Channel(stored.channel)

    async def _template(self, tenant: str, body: ReplayIn) -> Template | None:
        if body.edit is None or body.edit.template is None:
            return None
        name = (tenant, body.edit.template)
        return (await self._directory.templates([name])).get(name)

    async def _by_ids(self, tenant: str, texts: Sequence[str], replays: Replays, edit: Edit, *, dry_run: bool) -> Reply:
        found = [open_letter(stored) for stored in await gather_letters(self._state, tenant, texts)]
        statuses: dict[str, str] = dict.fromkeys(texts, Status.NOT_FOUND.value)
        tally = ReplayTally()
        tally.unknown(len(texts) - len(found))
        for start in range(0, len(found), REPLAY_PAGE_LETTERS):
            verdicts = await self._judge(tenant, found[start : start + REPLAY_PAGE_LETTERS], replays, edit)
            tally.add(verdicts)
            if not dry_run:
                statuses |= await self._apply(tenant, verdicts, replays)
        if dry_run:
            return Reply(ReplayOut([], {}, preview=tally.preview()), 202)
        return Reply(_out(statuses), 202)

    async def _by_filter(
        self, tenant: str, asked: _Asked, replays: Replays, edit: Edit, pace: ReplayRate, limit: int, *, dry_run: bool
    ) -> Reply:
        statuses: dict[str, str] = {}
        tally, below, looked, following = ReplayTally(), asked.below, 0, asked.below
        for _ in range(_PAGES_MAX):
            found = await self._page(tenant, asked, below, limit - looked)
            verdicts = await self._judge(tenant, found.letters, replays, edit)
            tally.add(verdicts)
            if not dry_run:
                try:
                    statuses |= await self._apply(tenant, verdicts, replays)
                except Overloaded:
                    if not statuses:
                        raise
                    break  # return the results so far, with a cursor for the rest
            looked += len(found.letters)
            below = following = found.below
            if following is None or looked >= limit:
                break
        due_ms = pace.due_ms(replays.begun)
        next_, left = None, 0
        if following is not None:
            next_ = cursor_text(following + due_ms.to_bytes(_TIME_BYTES, "big"))
            left = await self._left(tenant, asked, following)
        if dry_run:
            return Reply(ReplayOut([], {}, next_, left, preview=tally.preview()), 202)
        last_ms = pace.due_ms(replays.begun - 1) if replays.begun and pace.rate_per_s else None
        return Reply(msgspec.structs.replace(_out(statuses), next=next_, left=left, last_due_at=shown(last_ms)), 202)

    async def _judge(self, tenant: str, letters: Sequence[Letter], replays: Replays, edit: Edit) -> ReplayVerdicts:
        facts = await gather_facts(self._state, self._directory, tenant, letters, edit)
        return await asyncio.to_thread(replays.judge, letters, facts)

    async def _left(self, tenant: str, asked: _Asked, below: bytes) -> int:
        only = asked.only or LetterQuery()
        window = ListWindow(REPLAY_LEFT_MAX, below, only.created_from_ms, only.created_to_ms)
        return await self._state.count_dead_letters(tenant, window, only.stored)

    async def _page(self, tenant: str, asked: _Asked, below: bytes | None, left: int) -> LetterPage:
        only = asked.only or LetterQuery()
        return await gather_page(self._state, tenant, only, below, min(left, REPLAY_PAGE_LETTERS), HISTORY_SCAN_MAX)

    async def _apply(self, tenant: str, verdicts: ReplayVerdicts, replays: Replays) -> dict[str, str]:
        """Put letters back on the journal, each at most once, and return the status of every letter.

        The claim is durable before the commit. A process that dies in between leaves letters that can be replayed again
        a minute later; the deliver stage drops deliveries that have been sent by then.
        """
        now_ms = self._clock.now_ms()
        wanted = [letter.stored.delivery_id for letter in verdicts.open()]
        claimed = await self._state.claim_replays(tenant, wanted, now_ms) if wanted else set()
        if claimed:
            lanes = await gather_lanes(self._state, tenant, verdicts.open())
            again = await asyncio.to_thread(replays.replay, verdicts, lanes, claimed, now_ms)
            await self._store.commit(again)
            await self._state.settle_replays(tenant, list(claimed), now_ms)
        return {
            delivery_text(letter.stored.delivery_id): _status(letter, verdicts, claimed) for letter in verdicts.letters
        }


def _status(letter: Letter, verdicts: ReplayVerdicts, claimed: set[bytes]) -> str:
    id_ = letter.stored.delivery_id
    cause = verdicts.refusals.get(id_)
    if cause is not None:
        return cause.value
    return (Status.REPLAYED if id_ in claimed else Status.ALREADY_REPLAYED).value


def _out(statuses: dict[str, str]) -> ReplayOut:
    results = [ReplayResult(text, status) for text, status in statuses.items()]
    return ReplayOut(results, dict(Counter(statuses.values())))
