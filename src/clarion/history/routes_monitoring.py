"""Endpoints to monitor a tenant: messages captured by the sandbox, and counters per minute."""

from datetime import datetime
from typing import Final

import msgspec

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits_processes import COUNTER_ROWS_MAX
from clarion.domain.times import shown
from clarion.history.shapes import capture_out, reason_name
from clarion.ports.clock import Clock
from clarion.ports.history import History, ListWindow
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, cursor_of, limit_of, page, time_of

_HOUR_MS: Final = 3_600_000


class CounterOut(msgspec.Struct, frozen=True):
    """How often something happened to deliveries of a channel within a minute."""

    minute: datetime
    channel: str
    event: str
    reason: str | None
    count: int


def monitoring_routes(state: History, clock: Clock) -> list[Route]:
    """Return the endpoints of captured messages and counters."""
    handlers = _Watch(state, clock)
    return [
        Route(
            "GET", "/v1/sandbox/messages", handlers.messages, "sandbox:read", "Messages captured by sandbox providers, newest first",
            queries=(Query("channel", "Only on this channel"), Query("user_id", "Only to this user"), *PAGE_QUERIES),
            tag="sandbox",
        ),
        Route(
            "GET", "/v1/counters", handlers.counters, "counters:read", "Counters per minute, channel and reason",
            queries=(
                Query("from", "From this minute on; an hour ago by default"),
                Query("to", "Up to this time; now by default"),
            ),
            tag="counters",
        ),
    ]  # fmt: skip


class _Watch:
    def __init__(self, state: History, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def messages(self, call: Call) -> Reply:
        limit, channel = limit_of(call.query), call.query.get("channel")
        if channel is not None and channel not in CHANNELS:
            raise InvalidField(f"must be one of {', '.join(Channel)}", field="channel")
        window = ListWindow(limit + 1, cursor_of(call.query, ids.DELIVERY_ID_BYTES))
        found = await self._state.captures(call.caller.tenant, window, channel, call.query.get("user_id"))
        following = found[limit - 1].delivery_id if len(found) > limit else None
        return page([capture_out(row) for row in found[:limit]], following)

    async def counters(self, call: Call) -> Reply:
        """Return the counters of a range of minutes; `next` is always None. Raises `InvalidField` for a range with too
        many rows."""
        now_ms = self._clock.now_ms()
        from_ms, to_ms = time_of(call.query, "from"), time_of(call.query, "to")
        from_ms = now_ms - _HOUR_MS if from_ms is None else from_ms
        to_ms = now_ms + 1 if to_ms is None else to_ms
        rows = await self._state.counters(call.caller.tenant, from_ms - from_ms % 60_000, to_ms, COUNTER_ROWS_MAX + 1)
        if len(rows) > COUNTER_ROWS_MAX:
            raise InvalidField(
                f"the range holds more than {COUNTER_ROWS_MAX:,} rows; request a shorter one", field="from"
            )
        return page([CounterOut(shown(at), channel, what, reason_name(r), n) for at, channel, what, r, n in rows], None)
