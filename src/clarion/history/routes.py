"""Endpoints that read notifications with their history, and the list of all endpoints that read history."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.delivery_state import NAMES
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.history import Attempt, Delivery, Instance, Notification
from clarion.domain.limits_processes import HISTORY_SCAN_MAX, NOTIFICATIONS_PER_READ_MAX
from clarion.domain.times import shown
from clarion.history.dead_letters.routes import dead_letter_routes
from clarion.history.routes_broadcasts import broadcast_routes
from clarion.history.routes_monitoring import monitoring_routes
from clarion.history.rules.timeline import is_withdrawn, moments, running, status
from clarion.history.shapes import (
    NotificationBrief,
    NotificationOut,
    delivery_brief,
    delivery_out,
    notification_brief,
    notification_out,
    request_of,
)
from clarion.history.shapes_instances import instances_out
from clarion.journal.events import AcceptedFrame
from clarion.journal.find import find_accepted
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.history import History, ListWindow
from clarion.ports.stage_store import StageStore
from clarion.ports.streams import Streams
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, cursor_of, limit_of, page, time_of

_READ: Final = "notifications:read"
_STATES: Final = {name: state for state, name in NAMES.items()}
_LIST_QUERIES: Final = (
    Query("state", "Only with a delivery in this state"),
    Query("channel", "Only with a delivery on this channel"),
    Query("user_id", "Only with a delivery to this user"),
    Query("category", "Only of this category"),
    Query("created_from", "Accepted at or after this time"),
    Query("created_to", "Accepted before this time"),
    *PAGE_QUERIES,
)


def routes(state: History, streams: Streams, store: StageStore, directory: Directory, clock: Clock) -> list[Route]:
    """Return all endpoints that read history, and the replay of dead letters."""
    handlers = _Notifications(state, streams, store)
    return [
        Route(
            "GET", "/v1/notifications/{id}", handlers.get, _READ, "A notification with its deliveries and timeline",
            reply=NotificationOut, tag="notifications",
        ),
        Route(
            "GET", "/v1/notifications", handlers.listed, _READ,
            "Notifications, newest first; a page of a filtered list may hold fewer items than the limit",
            queries=_LIST_QUERIES, tag="notifications",
        ),
        *broadcast_routes(state, store, directory),
        *dead_letter_routes(state, store, directory, clock),
        *monitoring_routes(state, clock),
    ]  # fmt: skip


class _Notifications:
    def __init__(self, state: History, streams: Streams, store: StageStore) -> None:
        self._state = state
        self._streams = streams
        self._store = store

    async def get(self, call: Call) -> Reply:
        tenant, text = call.caller.tenant, call.path["id"]
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        row = None if id_ is None else await self._state.notification(tenant, id_)
        if id_ is None or row is None:
            found = None if id_ is None else await find_accepted(self._streams, self._store, id_, tenant)
            if found is None:
                raise NotFound(f"unknown notification {text!r}", field="id")
            return Reply(_accepted_out(*found))
        rows = (await self._state.deliveries_of(tenant, [id_])).get(id_, [])
        rows.sort(key=lambda row: (row.channel, row.user_id, row.address))
        recorded = await self._state.attempts_of(tenant, [row.id for row in rows])
        by_delivery: dict[bytes, list[Attempt]] = defaultdict(list)
        for attempt in recorded:
            by_delivery[attempt.delivery_id].append(attempt)
        cancelled_ms = (await self._state.cancellations(tenant, [id_])).get(id_)
        deliveries = [delivery_out(delivery, by_delivery[delivery.id]) for delivery in rows]
        runs, is_running = _runs(row, (await self._runs(tenant, [row])).get(id_, []))
        instances = instances_out(runs, await self._state.progress_of(tenant, [run.id for run in runs]))
        story = moments(row, rows, recorded, cancelled_ms, await self._state.seen_by(tenant, id_))
        state = status(row, rows, cancelled_ms, running=is_running)
        return Reply(notification_out(row, state, deliveries, story, instances))

    async def listed(self, call: Call) -> Reply:
        """Return a page of notifications, newest first; the search ends when the page is full or `HISTORY_SCAN_MAX`
        were read."""
        tenant, limit, only = call.caller.tenant, limit_of(call.query), _Filter(call)
        before = cursor_of(call.query, ids.NOTIFICATION_ID_BYTES)
        items: list[NotificationBrief] = []
        scanned = 0
        while True:
            step = min(HISTORY_SCAN_MAX - scanned, limit + 1 if only.open else HISTORY_SCAN_MAX // 10)
            rows = await self._state.notifications(tenant, ListWindow(step, before, only.from_ms, only.to_ms))
            for first in range(0, len(rows), NOTIFICATIONS_PER_READ_MAX):
                some = rows[first : first + NOTIFICATIONS_PER_READ_MAX]
                found = await self._items(tenant, some, only)
                for row in some:
                    if len(items) == limit:
                        return page(items, before)
                    before = row.id
                    if row.id in found:
                        items.append(found[row.id])
            scanned += len(rows)
            if len(rows) < step:
                return page(items, None)
            if scanned >= HISTORY_SCAN_MAX:
                return page(items, before)

    async def _items(
        self, tenant: str, rows: Sequence[Notification], only: "_Filter"
    ) -> dict[bytes, NotificationBrief]:
        """Return those notifications that the filter holds, by id."""
        wanted = [row for row in rows if only.category is None or row.category == only.category]
        found = await self._state.deliveries_of(tenant, [row.id for row in wanted])
        held = [row for row in wanted if only.holds(found.get(row.id, []))]
        withdrawn = [row.id for row in held if is_withdrawn(found.get(row.id, []))]
        cancelled = await self._state.cancellations(tenant, withdrawn) if withdrawn else {}
        instances = await self._runs(tenant, held)
        items = {}
        for row in held:
            deliveries, is_running = found.get(row.id, []), _runs(row, instances.get(row.id, []))[1]
            state = status(row, deliveries, cancelled.get(row.id), running=is_running)
            items[row.id] = notification_brief(row, state, [delivery_brief(delivery) for delivery in deliveries])
        return items

    async def _runs(self, tenant: str, rows: Sequence[Notification]) -> dict[bytes, list[Instance]]:
        """Return the workflow instances of notifications by id; a notification with a template has none."""
        wanted = [row.id for row in rows if not row.template]
        return await self._state.instances_of(tenant, wanted) if wanted else {}


def _runs(row: Notification, instances: list[Instance]) -> tuple[list[Instance], bool]:
    """Return the workflow instances of a notification and whether some are still running."""
    if row.template:
        return [], False
    request = request_of(row)
    return instances, bool(request.workflow) and running(len(request.to), instances)


class _Filter:
    """The filters of the list. Raises `InvalidField` for an unknown state or channel."""

    def __init__(self, call: Call) -> None:
        query = call.query
        self.state = query.get("state")
        self.channel = query.get("channel")
        self.user_id = query.get("user_id")
        self.category = query.get("category")
        self.from_ms = time_of(query, "created_from")
        self.to_ms = time_of(query, "created_to")
        if self.state is not None and self.state not in _STATES:
            raise InvalidField(f"must be one of {', '.join(_STATES)}", field="state")
        if self.channel is not None and self.channel not in CHANNELS:
            raise InvalidField(f"must be one of {', '.join(Channel)}", field="channel")
        self._any_delivery = self.state is None and self.channel is None and self.user_id is None
        self.open = self._any_delivery and self.category is None

    def holds(self, rows: list[Delivery]) -> bool:
        """Return whether one delivery meets all filters on deliveries."""
        return self._any_delivery or any(
            (self.state is None or NAMES[row.state] == self.state)
            and (self.channel is None or row.channel == self.channel)
            and (self.user_id is None or row.user_id == self.user_id)
            for row in rows
        )


def _accepted_out(event: AcceptedFrame, index: int) -> NotificationOut:
    request = event.requests[index]
    return NotificationOut(
        id=ids.write(ids.NOTIFICATION_PREFIX, event.notification_ids[index]),
        status="accepted",
        created_at=shown(event.accepted_ms[index]),
        priority=request.lane,
        template=request.template or None,
        workflow=request.workflow or None,
        category=request.category,
        scheduled_at=shown(request.send_at_ms),
        states={},
        deliveries=[],
        timeline=[],
        data=request.data,
        metadata=request.metadata,
    )
