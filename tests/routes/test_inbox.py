"""Responses and refusals of the inbox's endpoints: lists, marks of many items, and withdrawals."""

import asyncio
import base64

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.errors import CallerError, Conflict, Forbidden, InvalidField, NotFound, Overloaded
from clarion.domain.limits_processes import INBOX_COUNT_MAX, INBOX_WAITS_PER_USER_MAX
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_marks, routes_withdraw
from clarion.inbox.shapes import MarksIn
from clarion.inbox.worker_marks import Marking
from clarion.inbox.worker_waits import InboxWaits
from clarion.journal import events
from clarion.ports.stage_store import Broadcasts, Cursor, StageResult
from clarion.ports.web import Call
from clarion.stores.memory.journal import MemoryJournal
from tests.callers import by_either, opens
from tests.contract import ledgers as world
from tests.contract.inboxes import Inboxes, broadcast, broadcast_id, own, title_of
from tests.contract.journals import PARTITIONS
from tests.contract.states import STATES, shut

LATER = "2033-01-01T00:00:00Z"


class Ordinals:
    async def ordinals(self, tenant, user_ids):
        return {user: int(user[5:]) for user in user_ids if user.startswith("user-")}


class Api:
    """Calls handlers as the server does, by default for user-1, and returns the body as a client reads it."""

    def __init__(self, state, clock):
        self.inboxes, self.journal = Inboxes(state), MemoryJournal(clock, PARTITIONS)
        marking, directory = Marking(state.inbox, self.journal), Ordinals()
        self.waits = InboxWaits(state.inbox_signal)

        async def touch(tenant, user_id):
            pass

        found = [
            *inbox_routes.routes(state.inbox, directory, clock, touch, marking, self.waits),
            *routes_marks.routes(state.inbox, directory, clock, marking),
            *routes_withdraw.routes(state.inbox, state.history, self.journal, self.journal, clock),
        ]
        self._routes = {(route.method, route.path): route for route in found}

    async def __call__(self, verb, path, body=None, *, user="user-1", tenant=world.TENANT, id=None, **query):
        route = self._routes[verb, path]
        if opens(route.permission) != "user":
            user = None
        decoded = None if body is None else msgspec.convert(body, route.body)
        call = Call(by_either(tenant, user), {"id": id}, query, {}, b"", decoded)
        reply = await route.handler(call)
        return None if reply.body is None else msgspec.json.decode(msgspec.json.encode(reply.body))

    async def titles(self, **query):
        return [one["content"]["title"] for one in (await self("GET", "/v1/inbox", **query))["data"]]

    async def marks(self, action, **body):
        return await self("POST", "/v1/inbox/marks", {"action": action, **body})


@pytest.fixture(params=["memory", "sqlite"])
async def api(request, tmp_path, clock):
    state = STATES[request.param](tmp_path)
    yield Api(state, clock)
    await shut(state)


async def filled(api, number=4):
    """Put items into the inbox of user-1: own ones 1, 3, ... and the broadcast 2; return their ids, newest first."""
    await api.inboxes.arrive(own(1), *broadcast(2, 300))
    await api.inboxes.arrive(*(own(n) for n in range(3, number + 1)))
    return [one["id"] for one in (await api("GET", "/v1/inbox"))["data"]]


async def test_an_item_tells_what_it_is_of(api):
    await api.inboxes.arrive(own(1, expires_ms=2_000_000_000_000, image="i.png"), *broadcast(2, 300))
    first, second = (await api("GET", "/v1/inbox"))["data"]
    assert first["notification_id"] == ids.write(ids.NOTIFICATION_PREFIX, broadcast_id(1))
    assert (first["category"], first["content"], first["expires_at"]) == (
        "orders", {"title": "own 1", "image": "i.png"}, "2033-05-18T03:33:20Z",
    )  # fmt: skip
    assert second["notification_id"] == ids.write(ids.BROADCAST_PREFIX, broadcast_id(2))
    assert (second["category"], second["expires_at"], second["snoozed_until"]) == ("news", None, None)


async def test_lists_are_filtered_and_so_are_counts(api):
    await filled(api)
    assert await api.titles(category="news") == ["de 2"]
    assert await api.titles(category="orders") == ["own 4", "own 3", "own 1"]
    assert await api.titles(category="nothing") == []
    assert (await api("GET", "/v1/inbox/counts", category="orders"))["total"] == 3
    await api.inboxes.arrive(world.planned(1))
    request = events.Request([events.Recipient("user-1")], "", None, None, "normal", {}, workflow="welcome")
    sent = events.PlannedFrame(
        0, [broadcast_id(3)], [world.TENANT], [0], [request], [None], [], [], [], [], [], [], [],
    )  # fmt: skip
    await api.inboxes.arrive(sent)
    assert await api.titles(workflow="welcome") == ["own 3"]
    assert (await api("GET", "/v1/inbox/counts", workflow="welcome"))["unread"] == 1


async def test_a_client_asks_for_what_arrived_since(api):
    await filled(api)
    seen = (await api("GET", "/v1/inbox"))["position"]
    nothing = await api("GET", "/v1/inbox", since=seen)
    assert (nothing["data"], nothing["reload"], nothing["position"]) == ([], False, seen)
    await api.inboxes.arrive(own(0), *broadcast(5, 300))
    assert await api.titles(since=seen) == ["own 0", "de 5"]
    first = await api("GET", "/v1/inbox", since=seen, limit="1")
    rest = await api("GET", "/v1/inbox", since=seen, limit="1", after=first["next"])
    assert [one["content"]["title"] for one in rest["data"]] == ["de 5"]


async def test_a_position_of_another_epoch_means_reload(api):
    await filled(api)
    text = (await api("GET", "/v1/inbox"))["position"]
    position = bytearray(base64.urlsafe_b64decode(text + "=="))
    position[0] ^= 1
    found = await api("GET", "/v1/inbox", since=base64.urlsafe_b64encode(position).rstrip(b"=").decode())
    assert (len(found["data"]), found["reload"]) == (4, True)
    position[0] ^= 1
    position[-1] += 1
    ahead = base64.urlsafe_b64encode(position).rstrip(b"=").decode()
    assert (await api("GET", "/v1/inbox", since=ahead))["reload"]
    with pytest.raises(InvalidField, match="is over"):
        await api.marks("archive", all=True, position=ahead)


@pytest.mark.parametrize("text", ["", "!", "AAAA", "A" * 43, "A" * 38, "é", "A" * 5_000])
async def test_foreign_cursors_and_positions_are_refused(api, text):
    for query in ({"after": text}, {"since": text}):
        with pytest.raises(InvalidField) as refused:
            await api("GET", "/v1/inbox", **query)
        assert refused.value.field == next(iter(query))


async def test_a_cursor_is_good_for_its_own_inbox_alone(api):
    await filled(api)
    page = await api("GET", "/v1/inbox", limit="1")
    for query in ({"after": page["next"]}, {"since": page["position"]}):
        for whom in ({"user": "user-2"}, {"tenant": "other"}):
            with pytest.raises(InvalidField):
                await api("GET", "/v1/inbox", **query, **whom)
    with pytest.raises(InvalidField):
        await api("GET", "/v1/inbox", after=page["position"])
    with pytest.raises(InvalidField):
        await api("GET", "/v1/inbox", since=page["next"])


async def test_marks_of_many_items_are_set_together_or_not_at_all(api):
    newest, second, *_ = await filled(api)
    assert await api.marks("read", ids=[newest, second, newest]) == {"marked": 2, "more": False}
    assert (await api("GET", "/v1/inbox/counts")) == {"total": 4, "unseen": 2, "unread": 2, "more": False}
    for wrong in ("dlv_" + "0" * 48, "x", newest[:-1]):
        with pytest.raises(NotFound) as refused:
            await api.marks("archive", ids=[newest, wrong])
        assert refused.value.field == "ids[1]"
    assert (await api("GET", "/v1/inbox/counts"))["total"] == 4
    with pytest.raises(NotFound):
        await api("POST", "/v1/inbox/marks", {"action": "read", "ids": [newest]}, user="user-2")
    assert await api.marks("delete", ids=[newest]) == {"marked": 1, "more": False}
    assert await api.titles(show="all") == ["own 3", "own 1", "de 2"]


@pytest.mark.parametrize("action", ["seen", "read", "archive", "delete"])
async def test_an_action_on_all_leaves_out_what_arrived_after_the_position(api, action):
    await filled(api)
    seen = (await api("GET", "/v1/inbox"))["position"]
    await api.inboxes.arrive(own(0), *broadcast(5, 300))
    assert await api.marks(action, all=True, position=seen) == {"marked": 4, "more": False}
    fresh = [one["content"]["title"] for one in (await api("GET", "/v1/inbox"))["data"] if one["seen_at"] is None]
    assert fresh == ["own 0", "de 5"]
    assert (await api.marks(action, all=True)) == {"marked": 2, "more": False}
    assert (await api.marks(action, all=True)) == {"marked": 0, "more": False}


async def test_actions_on_all_keep_to_their_list(api):
    await filled(api)
    assert (await api.marks("archive", all=True, category="news"))["marked"] == 1
    assert (await api("GET", "/v1/inbox/counts"))["total"] == 3
    assert (await api.marks("unarchive", all=True))["marked"] == 1
    assert (await api.marks("read", all=True, category="orders"))["marked"] == 3
    assert await api.titles(show="unread") == ["de 2"]
    assert (await api.marks("unread", all=True))["marked"] == 3
    assert (await api.marks("read", all=True))["marked"] == 4
    assert (await api("GET", "/v1/inbox/counts"))["unread"] == 0
    assert (await api.marks("delete", all=True, show="all"))["marked"] == 4
    assert await api.titles(show="all") == []


async def test_a_snoozed_item_is_hidden_and_comes_back_unread(api):
    newest, *_ = await filled(api)
    await api.marks("read", all=True)
    assert (await api.marks("snooze", ids=[newest], until=LATER))["marked"] == 1
    assert len(await api.titles()) == 3 and (await api("GET", "/v1/inbox/counts"))["unread"] == 0
    (hidden,) = (await api("GET", "/v1/inbox", show="snoozed"))["data"]
    assert (hidden["id"], hidden["snoozed_until"]) == (newest, LATER)
    assert (await api.marks("unsnooze", all=True))["marked"] == 1
    assert [one["id"] for one in (await api("GET", "/v1/inbox", show="unread"))["data"]] == [newest]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "read"}, "ids"),
        ({"action": "read", "ids": [], "all": True}, "ids"),
        ({"action": "snooze", "all": True}, "until"),
        ({"action": "read", "all": True, "until": LATER}, "until"),
        ({"action": "snooze", "all": True, "until": "2001-01-01T00:00:00Z"}, "until"),
        ({"action": "read", "all": True, "position": "AAAA"}, "position"),
    ],
)
async def test_bad_marks_name_the_field_and_change_nothing(api, body, field):
    await filled(api)
    with pytest.raises(InvalidField) as refused:
        await api("POST", "/v1/inbox/marks", body)
    assert refused.value.field == field
    assert (await api("GET", "/v1/inbox/counts"))["unread"] == 4


def test_a_body_of_marks_is_bounded():
    for bad in (
        {"action": "burn", "all": True},
        {"action": "read", "ids": ["x"] * (INBOX_COUNT_MAX + 1)},
        {"action": "snooze", "all": True, "until": "2033-01-01T00:00:00"},
        {"action": "read", "all": True, "show": "everything"},
        {"action": "read", "all": True, "user_id": "user-2"},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(bad), type=MarksIn)


async def test_items_above_the_bound_are_marked_by_further_calls(api):
    await api.inboxes.arrive(*(own(n) for n in range(1, INBOX_COUNT_MAX + 3)))
    assert await api("GET", "/v1/inbox/counts") == {
        "total": INBOX_COUNT_MAX, "unseen": INBOX_COUNT_MAX, "unread": INBOX_COUNT_MAX, "more": True,
    }  # fmt: skip
    assert await api.marks("archive", all=True) == {"marked": INBOX_COUNT_MAX, "more": True}
    assert await api("GET", "/v1/inbox/counts") == {"total": 2, "unseen": 2, "unread": 2, "more": False}
    assert await api.marks("archive", all=True) == {"marked": 2, "more": False}


async def test_a_sender_withdraws_a_notification_and_a_broadcast(api):
    await filled(api)
    await api.inboxes.arrive(world.planned(1))
    request = events.Request([], "t", "news", None, "bulk", {})
    job = msgspec.msgpack.encode(events.BroadcastJob(events.Audience(), request))
    flow = msgspec.msgpack.encode(
        events.BroadcastJob(events.Audience(), msgspec.structs.replace(request, workflow="w"))
    )
    cursors = [
        Cursor(id_, world.TENANT, 0, "done", 99, 4, 1, 5, world.AT_MS, world.AT_MS, payload)
        for id_, payload in ((broadcast_id(2), job), (broadcast_id(9), flow))
    ]
    await api.journal.commit(StageResult(broadcasts=Broadcasts(cursors=cursors)))
    name = ids.write(ids.BROADCAST_PREFIX, broadcast_id(2))
    for whom, path, id_ in (
        ("other", "/v1/broadcasts/{id}/withdraw", name),
        (world.TENANT, "/v1/broadcasts/{id}/withdraw", "brd_x"),
        (world.TENANT, "/v1/notifications/{id}/withdraw", ids.write(ids.NOTIFICATION_PREFIX, broadcast_id(77))),
        ("other", "/v1/notifications/{id}/withdraw", ids.write(ids.NOTIFICATION_PREFIX, world.NOTIFICATIONS[1])),
    ):
        with pytest.raises(NotFound):
            await api("POST", path, tenant=whom, id=id_)
    with pytest.raises(Conflict, match="withdraw those"):
        await api("POST", "/v1/broadcasts/{id}/withdraw", id=ids.write(ids.BROADCAST_PREFIX, broadcast_id(9)))
    assert len(await api.titles()) == 4
    await api("POST", "/v1/broadcasts/{id}/withdraw", id=name)
    await api("POST", "/v1/broadcasts/{id}/withdraw", id=name)
    assert await api.titles() == ["own 4", "own 3", "own 1"]
    noted = ids.write(ids.NOTIFICATION_PREFIX, world.NOTIFICATIONS[1])
    await api("POST", "/v1/notifications/{id}/withdraw", id=noted)


async def test_a_key_opens_no_inbox(api):
    for verb, path in (("GET", "/v1/inbox"), ("GET", "/v1/inbox/counts"), ("POST", "/v1/inbox/read-all")):
        with pytest.raises(Forbidden):
            await api(verb, path, user=None)
    with pytest.raises(CallerError):
        await api("POST", "/v1/inbox/marks", {"action": "read", "all": True}, user=None)


async def test_markup_and_bidi_tricks_stay_text(api):
    nasty = "<script>alert(1)</script>\u202eevil\u2066\x00 </div>"
    await api.inboxes.arrive(own(1, body=nasty))
    (item,) = (await api("GET", "/v1/inbox"))["data"]
    assert item["content"]["body"] == nasty
    assert title_of((await api.inboxes.listed())[0]) == "own 1"


async def test_a_list_waits_until_something_arrives(api):
    await api.inboxes.arrive(own(1))
    seen = (await api("GET", "/v1/inbox"))["position"]
    waiting = asyncio.create_task(api("GET", "/v1/inbox", since=seen, wait_ms="20000"))
    other = asyncio.create_task(api("GET", "/v1/inbox", since=seen, wait_ms="20000"))
    await asyncio.sleep(0.05)
    await api.inboxes.arrive(own(9, "user-2"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await api.inboxes.arrive(own(2))
    for one in (waiting, other):
        page = await asyncio.wait_for(one, 5)
        assert [item["content"]["title"] for item in page["data"]] == ["own 2"]
    assert await api.titles(since=seen, wait_ms="20000") == ["own 2"]  # nothing to wait for


async def test_a_broadcast_and_a_mark_end_the_wait(api):
    await api.inboxes.arrive(own(1))
    for change in (lambda: api.inboxes.arrive(*broadcast(2, 300)), lambda: api.marks("read", all=True)):
        seen = (await api("GET", "/v1/inbox"))["position"]
        waiting = asyncio.create_task(api("GET", "/v1/inbox", since=seen, wait_ms="20000"))
        await asyncio.sleep(0.05)
        await change()
        assert (await asyncio.wait_for(waiting, 5))["position"] != seen


async def test_a_wait_ends_with_its_time_and_with_the_process(api):
    seen = (await api("GET", "/v1/inbox"))["position"]
    assert (await api("GET", "/v1/inbox", since=seen, wait_ms="1"))["data"] == []
    waiting = asyncio.create_task(api("GET", "/v1/inbox", since=seen, wait_ms="20000"))
    await asyncio.sleep(0.05)
    api.waits.close()
    assert (await asyncio.wait_for(waiting, 5))["data"] == []
    assert (await api("GET", "/v1/inbox", since=seen, wait_ms="20000"))["data"] == []


async def test_so_many_requests_of_a_user_wait_and_no_more(api):
    seen = (await api("GET", "/v1/inbox"))["position"]
    waiting = [
        asyncio.create_task(api("GET", "/v1/inbox", since=seen, wait_ms="20000"))
        for _ in range(INBOX_WAITS_PER_USER_MAX)
    ]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded, match="too many requests wait"):
        await api("GET", "/v1/inbox", since=seen, wait_ms="20000")
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await api("GET", "/v1/inbox", since=seen, wait_ms="1"))["data"] == []


@pytest.mark.parametrize("wait_ms", ["0", "25001", "-1", "x", "1.5"])
async def test_a_wait_is_bounded(api, wait_ms):
    seen = (await api("GET", "/v1/inbox"))["position"]
    with pytest.raises(InvalidField) as refused:
        await api("GET", "/v1/inbox", since=seen, wait_ms=wait_ms)
    assert refused.value.field == "wait_ms"


async def test_who_waits_says_since_when(api):
    with pytest.raises(InvalidField, match="since"):
        await api("GET", "/v1/inbox", wait_ms="10")
