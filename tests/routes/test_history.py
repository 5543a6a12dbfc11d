"""Responses of the read endpoints, over a real state file and the memory journal."""

import struct
from zlib import crc32

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.delivery_state import Event
from clarion.domain.errors import Forbidden, InvalidField, NotFound, Overloaded
from clarion.history import routes as record_routes
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_marks, routes_seen
from clarion.inbox.worker_marks import Marking
from clarion.inbox.worker_waits import InboxWaits
from clarion.journal import events
from clarion.journal.codec import decode, encode
from clarion.journal.topics import OUTCOMES, accepted
from clarion.ports.stage_store import Broadcasts, Cursor, StageResult
from clarion.ports.streams import Frame
from clarion.ports.web import Call
from clarion.stores.memory.journal import MemoryJournal
from tests.callers import by_either
from tests.contract import ledgers as world
from tests.contract.journals import PARTITIONS
from tests.contract.states import STATES
from tests.look import Glance


class Ordinals:
    """The directory of these endpoints: `user-N` has ordinal N, and no address is suppressed."""

    async def ordinals(self, tenant, user_ids):
        return {user: int(user[5:]) for user in user_ids if tenant == world.TENANT and user.startswith("user-")}

    async def suppressed(self, wanted):
        return {place: {} for place in wanted}


class Api:
    """Calls handlers as the server does and returns the body as a client reads it."""

    def __init__(self, state, journal, clock):
        directory = Ordinals()
        self.seen = []
        found = [
            *record_routes.routes(state.history, journal, journal, directory, clock),
            *inbox_routes.routes(
                state.inbox, directory, clock, self.touch, Marking(state.inbox, journal), InboxWaits(state.inbox_signal)
            ),
            *routes_marks.routes(state.inbox, directory, clock, Marking(state.inbox, journal)),
            *routes_seen.routes(state.history, journal, journal, clock),
        ]
        self._routes = {(route.method, route.path): route for route in found}

    async def touch(self, tenant, user_id):
        self.seen.append((tenant, user_id))
        if user_id == "user-9":
            raise Overloaded("the control store is busy")

    async def __call__(self, verb, path, *, query=None, body=None, tenant=world.TENANT, user=None, **parts):
        route = self._routes[verb, path]
        decoded = None if body is None else msgspec.convert(body, route.body)
        caller = by_either(tenant, user)
        reply = await route.handler(Call(caller, parts, query or {}, {}, b"", decoded))
        return None if reply.body is None else msgspec.json.decode(msgspec.json.encode(reply.body))


@pytest.fixture
def journal(clock):
    return MemoryJournal(clock, PARTITIONS)


@pytest.fixture
def state(tmp_path):
    opened = STATES["sqlite"](tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def api(state, journal, clock):
    return Api(state, journal, clock)


async def fold(state, *frames) -> None:
    await world.fold_all(state, [world.stored(frames)])


def text(number: int) -> str:
    return ids.write(ids.NOTIFICATION_PREFIX, world.NOTIFICATIONS[number])


def delivery_text(person: int) -> str:
    return ids.write(ids.DELIVERY_PREFIX, world.id_of(person))


async def test_a_notification_shows_its_whole_timeline(api, state):
    await fold(
        state,
        world.planned(0),
        world.intent(0),
        world.intent(0),
        world.attempted(0, Event.RETRY, at_ms=world.AT_MS + 20),
        world.intent(0, 2, world.AT_MS + 30),
        world.attempted(0, Event.ACCEPTED, 2, at_ms=world.AT_MS + 40),
    )
    found = await api("GET", "/v1/notifications/{id}", id=text(0))
    assert (found["status"], found["states"], found["priority"], found["data"]) == (
        "completed",
        {"sent": 1},
        "high",
        {"n": 0},
    )
    (delivery,) = found["deliveries"]
    assert (delivery["id"], delivery["state"], delivery["provider"]) == (delivery_text(0), "sent", "fcm-1")
    result = [(a["attempt"], a["outcome"], a["detail"], a["repeated"]) for a in delivery["attempts"]]
    assert result == [(1, "transient", "503 come back later", 1), (2, "accepted", "", 0)]
    assert [line["event"] for line in found["timeline"]] == ["accepted", "planned", "retry", "accepted"]


async def test_a_skip_says_why(api, state):
    await fold(state, world.planned(1, reason=2))
    found = await api("GET", "/v1/notifications/{id}", id=text(1))
    assert (found["deliveries"][0]["state"], found["deliveries"][0]["reason"]) == ("skipped", "opted_out")
    assert [(line["event"], line["reason"]) for line in found["timeline"]][-1] == ("skipped", "opted_out")


async def test_what_was_just_accepted_is_found_in_the_journal(api, journal):
    request = events.Request([events.Recipient("user-0")], "hello", None, None, "high", {"a": 1})
    frame = events.AcceptedFrame([world.NOTIFICATIONS[0]], [world.TENANT], [world.AT_MS], [request])
    await journal.commit(StageResult(frames=[Frame(accepted(Lane.HIGH), 0, 1, encode(frame, 1))]))
    found = await api("GET", "/v1/notifications/{id}", id=text(0))
    assert (found["status"], found["deliveries"], found["template"]) == ("accepted", [], "hello")
    with pytest.raises(NotFound):
        await api("GET", "/v1/notifications/{id}", id=text(0), tenant="other")
    with pytest.raises(NotFound):
        await api("GET", "/v1/notifications/{id}", id=text(1))


def sealed(version, body):
    """Return a whole frame of one event, of any version."""
    head = struct.pack(">2sBBI", b"CF", version, 1, 1)
    return head + struct.pack(">I", crc32(body, crc32(head))) + body


async def test_of_a_frame_for_another_build_nothing_is_said(api, journal):
    await journal.commit(StageResult(frames=[Frame(accepted(Lane.HIGH), 0, 1, sealed(9, world.NOTIFICATIONS[0]))]))
    with pytest.raises(Overloaded, match="another version"):
        await api("GET", "/v1/notifications/{id}", id=text(0))


async def test_what_was_in_a_damaged_frame_is_unknown(api, journal):
    await journal.commit(StageResult(frames=[Frame(accepted(Lane.HIGH), 0, 1, sealed(1, world.NOTIFICATIONS[0]))]))
    with pytest.raises(NotFound):
        await api("GET", "/v1/notifications/{id}", id=text(0))


async def test_a_notification_of_a_workflow_says_so_before_and_after_it_is_planned(api, state, journal):
    request = events.Request([events.Recipient("user-0")], "", None, None, "high", {}, workflow="onboarding")
    frame = events.AcceptedFrame([world.NOTIFICATIONS[0]], [world.TENANT], [world.AT_MS], [request])
    await journal.commit(StageResult(frames=[Frame(accepted(Lane.HIGH), 0, 1, encode(frame, 1))]))
    before = await api("GET", "/v1/notifications/{id}", id=text(0))
    planned = world.planned(0)
    await fold(state, msgspec.structs.replace(planned, requests=[request]))
    after = await api("GET", "/v1/notifications/{id}", id=text(0))
    assert [(found["template"], found["workflow"]) for found in (before, after)] == [(None, "onboarding")] * 2


@pytest.mark.parametrize("id_", ["ntf_", "ntf_zz", "x", "ntf_" + "ff" * 16])
async def test_an_id_of_nothing_is_unknown(api, id_):
    with pytest.raises(NotFound):
        await api("GET", "/v1/notifications/{id}", id=id_)


async def test_lists_filter_and_page(api, state):
    await fold(state, *(world.planned(n) for n in range(4)), world.attempted(2, Event.ACCEPTED))
    first = await api("GET", "/v1/notifications", query={"limit": "3"})
    assert [item["id"] for item in first["data"]] == [text(3), text(2), text(1)]
    rest = await api("GET", "/v1/notifications", query={"limit": "3", "after": first["next"]})
    assert ([item["id"] for item in rest["data"]], rest["next"]) == ([text(0)], None)
    for query, expected in (
        ({"state": "sent"}, [2]),
        ({"user_id": "user-1"}, [1]),
        ({"channel": "sms"}, []),
        ({"category": "news", "state": "planned"}, [3, 1, 0]),
        ({"created_from": "2023-11-14T22:13:20.003+00:00"}, [3]),
    ):
        found = await api("GET", "/v1/notifications", query=query)
        assert [item["id"] for item in found["data"]] == [text(n) for n in expected], query


@pytest.mark.parametrize(
    "query",
    [
        {"state": "gone"},
        {"channel": "fax"},
        {"limit": "0"},
        {"limit": "201"},
        {"after": "?"},
        {"created_from": "today"},
    ],
)
async def test_a_bad_filter_is_refused_by_name(api, query):
    with pytest.raises(InvalidField) as refused:
        await api("GET", "/v1/notifications", query=query)
    assert refused.value.field == next(iter(query))


async def test_a_dead_letter_is_replayed_once(api, state, journal):
    payload = events.DeliverFrame(
        [world.id_of(0)], [world.TENANT], ["user-0"], ["token-0"], ["en"], ["hello"], ["news"], [{}], [None], [6],
        [None], [None], [None], [None],
    )  # fmt: skip
    dead = world.attempted(0, Event.EXHAUSTED, 6)
    dead.dead = [encode(payload, 1)]
    await fold(state, world.planned(0), world.intent(0, 6), dead)
    listed = await api("GET", "/v1/dead-letters", query={"reason": "attempts_exhausted"})
    assert [(row["id"], row["attempts"]) for row in listed["data"]] == [(delivery_text(0), 6)]
    asked = {"ids": [delivery_text(0), delivery_text(1), "nonsense"]}
    first = await api("POST", "/v1/dead-letters/replay", body=asked)
    second = await api("POST", "/v1/dead-letters/replay", body=asked)
    assert [r["status"] for r in first["results"]] == ["replayed", "not_found", "not_found"]
    assert [r["status"] for r in second["results"]] == ["already_replayed", "not_found", "not_found"]
    (again,) = Glance(journal).read("deliver.push.high", 0, 0)
    assert decode(again.payload).attempts == [7]
    (result,) = Glance(journal).read(OUTCOMES, 0, 0)
    await fold(state, decode(result.payload))
    assert (await api("GET", "/v1/notifications/{id}", id=text(0)))["status"] == "in_progress"
    assert (await api("POST", "/v1/dead-letters/replay", body={"filter": {}}))["results"] == []
    assert (await api("GET", "/v1/dead-letters", query={"replayed": "false"}))["data"] == []


async def test_a_broadcast_shows_its_progress_and_its_deliveries(api, state, journal):
    request = events.Request([], "hello", "news", None, "bulk", {})
    job = msgspec.msgpack.encode(events.BroadcastJob(events.Audience("fans"), request))
    cursor = Cursor(world.BROADCAST, world.TENANT, 0, "done", 99, 4, 1, 5, world.AT_MS, world.AT_MS, job)
    await journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor])))
    await fold(
        state,
        world.chunk(bytes([1, 1, 15, 1, 1])),
        world.chunk_attempted(0, bytes([10, 10, 0, 10])),
        world.attempted(world.SINGLES + 4, Event.REFUSED),
    )
    name = ids.write(ids.BROADCAST_PREFIX, world.BROADCAST)
    found = await api("GET", "/v1/broadcasts/{id}", id=name)
    assert (found["status"], found["users"], found["states"]) == ("done", 5, {"sent": 3, "skipped": 1, "failed": 1})
    assert found["channels"]["push"]["reasons"] == {"opted_out": 1}
    page = await api("GET", "/v1/broadcasts/{id}/deliveries", id=name, query={"limit": "3"})
    rest = await api("GET", "/v1/broadcasts/{id}/deliveries", id=name, query={"after": page["next"]})
    rows = page["data"] + rest["data"]
    assert [row["id"] for row in rows] == [ids.write(ids.DELIVERY_PREFIX, id_) for id_ in world.CHUNK_IDS]
    assert [row["state"] for row in rows] == ["sent", "sent", "skipped", "sent", "failed"]
    assert rows[4]["attempts"][0]["detail"] == "too_long: body over 4096 bytes"
    for query, users in (({"state": "failed"}, ["user-4"]), ({"user_id": "user-10"}, ["user-1"])):
        only = await api("GET", "/v1/broadcasts/{id}/deliveries", id=name, query=query)
        assert [row["user_id"] for row in only["data"]] == users
    with pytest.raises(NotFound):
        await api("GET", "/v1/broadcasts/{id}", id=name, tenant="other")


async def test_counters_and_captured_messages_are_there_to_look_at(api, state):
    content = {"title": "Hi"}
    await fold(state, world.planned(0), world.attempted(0, Event.ACCEPTED, vendor="sandbox", content=content))
    messages = (await api("GET", "/v1/sandbox/messages"))["data"]
    assert [(m["delivery_id"], m["content"]) for m in messages] == [(delivery_text(0), content)]
    counters = (await api("GET", "/v1/counters", query={"from": "2023-11-14T22:00:00Z"}))["data"]
    assert [(c["channel"], c["event"], c["count"]) for c in counters] == [
        ("push", "accepted", 1),
        ("push", "planned", 1),
    ]


async def test_the_inbox_of_a_user(api, state):
    for n in (0, 1, 2):
        inapp = world.attempted(n, Event.ACCEPTED, channel="inapp", vendor="inapp", content={"n": n})
        inapp.user_ids = ["user-1"]
        await fold(state, world.planned(n), inapp)
    sent = world.chunk(bytes([10]) * world.CHUNK_SIZE, channel="inapp")
    sent.content, sent.addresses, sent.ordinals = {"title": "Everyone"}, [], list(range(world.CHUNK_SIZE))
    await fold(state, sent)
    first = await api("GET", "/v1/inbox", user="user-1", query={"limit": "3"})
    rest = await api("GET", "/v1/inbox", user="user-1", query={"after": first["next"]})
    assert [i["content"] for i in first["data"] + rest["data"]] == [{"title": "Everyone"}, {"n": 2}, {"n": 1}, {"n": 0}]
    assert rest["next"] is None
    newest, oldest = first["data"][0]["id"], rest["data"][0]["id"]
    await api("POST", "/v1/inbox/{id}/read", user="user-1", id=newest)
    await api("POST", "/v1/inbox/{id}/archive", user="user-1", id=oldest)
    counts = await api("GET", "/v1/inbox/counts", user="user-1")
    assert counts == {"total": 3, "unseen": 2, "unread": 2, "more": False}
    unread = await api("GET", "/v1/inbox", user="user-1", query={"show": "unread"})
    assert [i["content"] for i in unread["data"]] == [{"n": 2}, {"n": 1}]
    await api("POST", "/v1/inbox/read-all", user="user-1")
    assert (await api("GET", "/v1/inbox/counts", user="user-1"))["unread"] == 0
    await api("POST", "/v1/inbox/{id}/unread", user="user-1", id=newest)
    assert (await api("GET", "/v1/inbox/counts", user="user-1"))["unread"] == 1
    with pytest.raises(NotFound):
        await api("POST", "/v1/inbox/{id}/read", user="user-2", id=oldest)
    with pytest.raises(Forbidden):
        await api("GET", "/v1/inbox")


async def test_reading_the_inbox_sets_last_seen_and_works_even_when_that_fails(api):
    assert (await api("GET", "/v1/inbox", user="user-9"))["data"] == []
    await api("GET", "/v1/inbox/counts", user="user-2")
    assert api.seen == [(world.TENANT, "user-9"), (world.TENANT, "user-2")]
