"""Seen events: reported once by apps and inboxes, signalled to waiters, and shown in the timeline."""

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.delivery_state import Event
from clarion.domain.errors import Forbidden, InvalidField, Malformed, NotFound
from clarion.history import routes as record_routes
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_marks, routes_seen
from clarion.inbox.worker_marks import Marking
from clarion.inbox.worker_waits import InboxWaits
from clarion.journal import events
from clarion.journal.codec import decode, encode
from clarion.journal.signals import seen_key
from clarion.journal.topics import OUTCOMES, accepted
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.streams import Frame
from clarion.ports.web import Call
from clarion.stores.memory.journal import MemoryJournal
from tests.callers import by_either
from tests.contract import ledgers as world
from tests.contract.journals import PARTITIONS
from tests.look import Glance

SEEN = "/v1/notifications/{id}/seen"
WAITING = accepted(Lane.HIGH)


class EmptyDirectory:
    """A directory of users who are in no broadcast."""

    async def ordinals(self, tenant, user_ids):
        return {}


class SeenApi:
    """The endpoints that report and show seen events, over one state store and one journal."""

    def __init__(self, state, clock):
        self.state = state
        self.journal = MemoryJournal(clock, PARTITIONS)

        async def touch(tenant, user_id):
            pass

        marking = Marking(self.state.inbox, self.journal)
        found = [
            *inbox_routes.routes(
                self.state.inbox, EmptyDirectory(), clock, touch, marking, InboxWaits(self.state.inbox_signal)
            ),
            *routes_marks.routes(self.state.inbox, EmptyDirectory(), clock, marking),
            *routes_seen.routes(self.state.history, self.journal, self.journal, clock),
            *record_routes.routes(self.state.history, self.journal, self.journal, EmptyDirectory(), clock),
        ]
        self._routes = {(route.method, route.path): route for route in found}
        self._folded = 0

    async def call(self, method, path, *, body=None, user=None, tenant=world.TENANT, **parts):
        route = self._routes[method, path]
        decoded = None if body is None else msgspec.convert(body, route.body)
        reply = await route.handler(Call(by_either(tenant, user), parts, {}, {}, b"", decoded))
        return None if reply.body is None else msgspec.json.decode(msgspec.json.encode(reply.body))

    async def fold_new(self):
        """Fold the new frames; return the seen events in them as (notification, user)."""
        frames = [frame for p in range(PARTITIONS) for frame in Glance(self.journal).read(OUTCOMES, p, 0)][
            self._folded :
        ]
        self._folded += len(frames)
        await world.fold_all(self.state, [frames])
        return [
            (id_, user)
            for frame in map(decode, (one.payload for one in frames))
            for id_, user in zip(frame.notification_ids, frame.user_ids, strict=True)
        ]

    async def wait_for(self, number):
        """Set a wait for the seen event of a notification by its user."""
        key = seen_key(world.NOTIFICATIONS[number], f"user-{number}")
        await self.journal.commit(
            StageResult(plan_state=PlanState(waits=[Wait(world.TENANT, key, b"instance", WAITING, 2, 1 << 50)]))
        )

    def signals(self):
        return [decode(frame.payload) for frame in Glance(self.journal).read(WAITING, 2, 0)]


@pytest.fixture
async def api(state, clock):
    opened = SeenApi(state, clock)
    await world.fold_all(opened.state, [world.stored([world.planned(n) for n in range(world.SINGLES)])])
    return opened


def text(number):
    return ids.write(ids.NOTIFICATION_PREFIX, world.NOTIFICATIONS[number])


async def test_an_app_reports_by_key_or_by_the_users_own_token(api):
    await api.call("POST", SEEN, id=text(0), body={"user_id": "user-0"})
    await api.call("POST", SEEN, id=text(1), user="user-1")
    await api.call("POST", SEEN, id=text(2), user="user-2", body={"user_id": "user-2"})
    assert await api.fold_new() == [(world.NOTIFICATIONS[n], f"user-{n}") for n in range(3)]
    for number in range(3):
        found = await api.call("GET", "/v1/notifications/{id}", id=text(number))
        (line,) = [line for line in found["timeline"] if line["event"] == "seen"]
        assert (line["user_id"], line["delivery_id"], line["at"]) == (f"user-{number}", None, "2023-11-14T22:13:20Z")


async def test_a_waiter_for_the_seen_event_is_signalled(api):
    await api.wait_for(0)
    await api.call("POST", SEEN, id=text(1), user="user-1")
    assert api.signals() == []
    await api.call("POST", SEEN, id=text(0), user="user-0")
    (signal,) = api.signals()
    assert (signal.tenants, signal.keys) == ([world.TENANT], [seen_key(world.NOTIFICATIONS[0], "user-0")])
    await api.fold_new()
    await api.call("POST", SEEN, id=text(0), user="user-0")
    assert len(api.signals()) == 2, "a later step of a workflow may wait for an earlier seen event"


async def test_what_was_just_accepted_can_be_seen(api):
    id_ = ids.notification_id(world.AT_MS + 9, 1, b"n" * 9)
    request = events.Request([events.Recipient("ria")], "hello", None, None, "high", {})
    frame = events.AcceptedFrame([id_], [world.TENANT], [world.AT_MS], [request])
    await api.journal.commit(StageResult(frames=[Frame(accepted(Lane.HIGH), 1, 1, encode(frame, 1))]))
    await api.call("POST", SEEN, id=ids.write(ids.NOTIFICATION_PREFIX, id_), user="ria")
    assert await api.fold_new() == [(id_, "ria")]
    assert await api.state.history.seen_ms([(world.TENANT, id_, "ria")])


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (InvalidField, {"id": text(0), "body": {"user_id": "user-1"}}),
        (Malformed, {"id": text(0)}),
        (NotFound, {"id": text(0), "user": "user-1"}),
        (NotFound, {"id": text(0), "body": {"user_id": "user-0"}, "tenant": "other"}),
        (NotFound, {"id": "ntf_zz", "body": {"user_id": "user-0"}}),
        (NotFound, {"id": "ntf_" + "ff" * 16, "body": {"user_id": "user-0"}}),
        (Forbidden, {"id": text(0), "user": "user-1", "body": {"user_id": "user-0"}}),
    ],
)
async def test_nobody_speaks_for_another_or_of_what_they_did_not_get(api, error, call):
    with pytest.raises(error):
        await api.call("POST", SEEN, **call)
    assert await api.fold_new() == []


async def test_marks_of_the_inbox_are_reported_once(api):
    for number in range(world.SINGLES):
        item = world.attempted(number, Event.ACCEPTED, channel="inapp", vendor="inapp", content={"n": number})
        item.user_ids = ["user-0"]
        await world.fold_all(api.state, [world.stored([item])])
    items = [ids.write(ids.DELIVERY_PREFIX, id_) for id_ in world.SINGLE_IDS]
    result = [(id_, "user-0") for id_ in world.NOTIFICATIONS]
    await api.wait_for(0)
    for verb in ("archive", "unread", "seen", "read", "seen"):
        await api.call("POST", f"/v1/inbox/{{id}}/{verb}", user="user-0", id=items[0])
    await api.call("POST", "/v1/inbox/{id}/read", user="user-0", id=items[1])
    assert await api.fold_new() == result[:2]
    assert len(api.signals()) == 1
    await api.call("POST", "/v1/inbox/read-all", user="user-0")
    assert sorted(await api.fold_new()) == result[2:]
    await api.call("POST", "/v1/inbox/read-all", user="user-0")
    assert await api.fold_new() == []
