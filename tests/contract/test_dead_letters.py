"""Dead letters over a real state file and the memory journal: listed, read, edited, replayed at a rate."""

import asyncio

import msgspec
import pytest

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.delivery_state import Event
from clarion.domain.errors import InvalidField, NotFound, Overloaded
from clarion.domain.limits_delivery import REPLAY_AHEAD_MS_MAX
from clarion.domain.permissions import CONTACTS
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import Trail
from clarion.history import routes as record_routes
from clarion.journal.codec import decode
from clarion.journal.rows import deliver_rows, encode_delivery
from clarion.journal.topics import OUTCOMES
from clarion.ports.web import Call
from clarion.resources.pages import cursor_text
from clarion.stores.memory.journal import MemoryJournal
from tests.callers import by_key
from tests.contract import ledgers as world
from tests.contract.journals import PARTITIONS
from tests.look import Glance

HELLO = Template("hello", 1, None, {Channel.PUSH: {"body": "{{ data.n }}"}}, variables=("n",))
MAIL = Template("mail", 1, None, {Channel.EMAIL: {"subject": "s", "text": "t"}})
FAR_AHEAD_MS = world.AT_MS + 1_001 + REPLAY_AHEAD_MS_MAX
FAR_MS = world.AT_MS + 10**9


class Directory:
    def __init__(self):
        self.gone = set()

    def revision(self, tenant):
        return 1

    async def templates(self, names):
        return {name: {"hello": HELLO, "mail": MAIL}[name[1]] for name in names if name[1] in ("hello", "mail")}

    async def suppressed(self, wanted):
        return {
            place: {address: "manual" for address in addresses if address in self.gone}
            for place, addresses in wanted.items()
        }


class DeadLetterApi:
    """The endpoints of dead letters, with the journal and state store behind them."""

    def __init__(self, state, clock):
        self.clock = clock
        clock.wall_ms = world.AT_MS + 1_000
        self.state = state
        self.journal = MemoryJournal(clock, PARTITIONS)
        self.directory = Directory()
        self.read_to = {}
        found = record_routes.routes(self.state.history, self.journal, self.journal, self.directory, clock)
        self.routes = {(route.method, route.path): route for route in found}

    async def ask(self, verb, path, *, query=None, body=None, tenant=world.TENANT, **parts):
        route = self.routes[verb, path]
        decoded = None if body is None else msgspec.convert(body, route.body)
        caller = by_key(tenant, {route.permission, CONTACTS}, "key_1")
        reply = await route.handler(Call(caller, parts, query or {}, {}, b"", decoded))
        return msgspec.json.decode(msgspec.json.encode(reply.body))

    async def list(self, **query):
        return [item["id"] for item in (await self.ask("GET", "/v1/dead-letters", query=query))["data"]]

    async def replay(self, **body):
        return await self.ask("POST", "/v1/dead-letters/replay", body=body)

    async def statuses(self, **body):
        return {result["id"]: result["status"] for result in (await self.replay(**body))["results"]}

    async def kill(self, person, attempt=1, at_ms=world.AT_MS + 9, **changes):
        """Make a delivery fail for good; its dead letter has the values in `changes`."""
        row = PlannedDelivery(
            world.id_of(person), world.TENANT, f"user-{person}", f"token-{person}", "en", "hello", "news",
            {"n": person}, None, attempt, FAR_MS, {"k": "v"}, None, None,
        )._replace(**changes)  # fmt: skip
        dead = world.attempted(person, Event.EXHAUSTED, attempt, at_ms=at_ms)
        dead.dead = [encode_delivery(row)]
        await self.fold(world.planned(person), world.intent(person, attempt), dead)

    async def fold(self, *frames):
        await world.fold_all(self.state, [world.stored(frames)])

    async def fold_replays(self):
        """Fold the events that replays appended to the topic of outcomes."""
        for partition in range(PARTITIONS):
            found = Glance(self.journal).read(OUTCOMES, partition, self.read_to.get(partition, 0))
            for frame in found:
                self.read_to[partition] = frame.offset
                await self.fold(decode(frame.payload))

    def again(self):
        """Return the deliveries on the journal, by their ids."""
        found = [
            row
            for partition in range(PARTITIONS)
            for frame in Glance(self.journal).read("deliver.push.high", partition, 0)
            for row in deliver_rows(decode(frame.payload))
        ]
        return {name(row.delivery_id): row for row in found}


def name(id_):
    return ids.write(ids.DELIVERY_PREFIX, id_)


def user_of(person):
    return name(world.id_of(person))


@pytest.fixture
def api(state, clock):
    return DeadLetterApi(state, clock)


FILTERS = [
    ({}, [3, 2, 1, 0]),
    ({"provider": "fcm-1", "vendor": "fcm"}, [3, 2, 1, 0]),
    ({"provider": "fcm-2"}, []),
    ({"address": "token-2"}, [2]),
    ({"template": "mail"}, [1]),
    ({"template": "mail@3"}, [1]),
    ({"category": "news"}, [3, 2, 0]),
    ({"user_id": "user-3"}, [3]),
    ({"channel": "sms"}, []),
    ({"dead_from": "2023-11-14T22:13:20.100Z"}, [2]),
    ({"dead_to": "2023-11-14T22:13:20.100Z", "created_from": "2023-11-14T22:13:20.001Z"}, [3, 1]),
    ({"limit": "2"}, [3, 2]),
]


async def test_the_list_is_filtered(api):
    await api.kill(0)
    await api.kill(1, template="mail@3", category="")
    await api.kill(2, at_ms=world.AT_MS + 200)
    await api.kill(3)
    for query, people in FILTERS:
        assert await api.list(**query) == [user_of(person) for person in people], query
        assert await api.ask("GET", "/v1/dead-letters", query=query, tenant="other") == {"data": [], "next": None}
        if "limit" not in query:
            dry = await api.replay(filter=query, dry_run=True)
            assert dry["preview"]["letters"] == len(people)


async def test_a_bad_filter_is_named(api):
    for field in ("channel", "reason", "replayed", "dead_from", "dead_to", "created_to"):
        with pytest.raises(InvalidField) as refused:
            await api.list(**{field: "?"})
        assert refused.value.field == field
        if field != "replayed":
            with pytest.raises(InvalidField) as refused:
                await api.replay(filter={field: "?"})
            assert refused.value.field == f"filter.{field}"


async def test_a_letter_shows_its_attempts_and_the_message_to_send(api):
    await api.fold(world.planned(0), world.intent(0), world.attempted(0, Event.RETRY))
    await api.kill(0, 2, address="token-0")
    found = await api.ask("GET", "/v1/dead-letters/{id}", id=user_of(0))
    assert (found["id"], found["address"], found["template"]) == (user_of(0), "token-0", "hello")
    assert [(a["attempt"], a["detail"]) for a in found["delivery"]["attempts"]] == [
        (1, "503 come back later"),
        (2, "503 come back later"),
    ]
    assert found["content"]["data"] == {"n": 0}
    assert found["content"]["metadata"] == {"k": "v"}
    assert found["expires_at"].startswith("2023-11-26")
    with pytest.raises(NotFound):
        await api.ask("GET", "/v1/dead-letters/{id}", id=user_of(0), tenant="other")


async def test_a_letter_that_cannot_be_read_is_shown_and_not_replayed(api):
    await api.fold(world.planned(0), world.intent(0), world.attempted(0, Event.EXHAUSTED))
    found = await api.ask("GET", "/v1/dead-letters/{id}", id=user_of(0))
    assert (found["content"], found["address"]) == (None, "token-0")
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "unreadable"}


async def test_a_replay_begins_a_new_round_and_continues_counting(api):
    await api.kill(0, 6)
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "replayed"}
    row = api.again()[user_of(0)]
    assert (row.attempt, row.trail) == (7, Trail(since_ms=api.clock.now_ms()))
    await api.fold_replays()
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "already_replayed"}
    await api.fold(world.intent(0, 7), world.attempted(0, Event.ACCEPTED, 7))
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "already_sent"}
    assert len(api.again()) == 1


async def test_a_letter_that_must_not_be_sent_is_not_replayed_with_a_reason(api):
    await api.kill(0, expires_ms=api.clock.now_ms())
    await api.kill(1)
    await api.kill(2)
    await api.kill(3)
    api.directory.gone.add("token-1")
    await api.fold(world.cancelled(2))
    before = await api.replay(filter={}, dry_run=True)
    assert before["preview"] == {
        "letters": 4,
        "replayable": 1,
        "by_channel": {"push": 1},
        "by_reason": {"attempts_exhausted": 1},
        "by_provider": {"fcm-1": 1},
        "skipped": {"expired": 1, "suppressed": 1, "cancelled": 1},
    }
    assert (before["results"], api.again(), await api.list(replayed="true")) == ([], {}, [])
    report = await api.statuses(filter={})
    assert report == {user_of(3): "replayed", user_of(2): "cancelled", user_of(1): "suppressed", user_of(0): "expired"}
    assert list(api.again()) == [user_of(3)]
    await api.fold_replays()
    preview = (await api.replay(ids=[user_of(3), user_of(0), "dlv_x"], dry_run=True))["preview"]
    assert (preview["letters"], preview["replayable"]) == (3, 0)
    assert preview["skipped"] == {"already_replayed": 1, "expired": 1, "not_found": 1}


async def test_an_edited_address_counts_instead_of_the_suppressed_one(api):
    await api.kill(0)
    api.directory.gone.add("token-0")
    assert await api.statuses(ids=[user_of(0)], edit={"address": "token-new", "data": {"x": 1}}) == {
        user_of(0): "replayed"
    }
    row = api.again()[user_of(0)]
    assert (row.address, row.data, row.template) == ("token-new", {"n": 0, "x": 1}, "hello")
    await api.fold_replays()
    found = await api.ask("GET", "/v1/notifications/{id}", id=ids.write("ntf_", world.NOTIFICATIONS[0]))
    assert found["deliveries"][0]["address"] == "token-new"
    (line,) = [line for line in found["timeline"] if line["event"] == "replayed"]
    assert line["detail"] == "edited address, data; key key_1"


BAD = [
    ({"filter": {}, "edit": {"address": "t"}}, "edit.address"),
    ({"ids": [user_of(0), user_of(1)], "edit": {"address": "t"}}, "edit.address"),
    ({"ids": [user_of(0)], "edit": {"address": "a\nb"}}, "edit.address"),
    ({"ids": [user_of(0)], "edit": {"address": ""}}, "edit.address"),
    ({"ids": [user_of(0)], "edit": {"template": "nothing"}}, "edit.template"),
    ({"ids": [user_of(0)], "edit": {"template": "a b"}}, "edit.template"),
    ({"ids": [user_of(0)], "edit": {"data": {"n": 1 << 64}}}, "edit.data"),
    ({"ids": [user_of(0)], "edit": {"data": {"n": "x" * 300_000}}}, "edit.data"),
    ({"ids": [user_of(0)], "limit": 3}, "limit"),
    ({"ids": [user_of(0)], "after": "abc"}, "after"),
    ({"filter": {}, "after": "abc"}, "after"),
    # A cursor contains a time, and any client can write one: no timer may be set beyond the range of the clock.
    ({"filter": {}, "rate_per_s": 1, "after": cursor_text(b"\xff" * 32)}, "after"),
    ({"filter": {}, "rate_per_s": 1, "after": cursor_text(b"\xff" * 24 + FAR_AHEAD_MS.to_bytes(8, "big"))}, "after"),
    ({}, "ids"),
]


async def test_a_bad_replay_is_refused_by_name_and_replays_nothing(api):
    await api.kill(0)
    for body, field in BAD:
        with pytest.raises(InvalidField) as refused:
            await api.replay(**body)
        assert refused.value.field == field
    assert api.again() == {}


async def test_an_edit_that_cannot_be_sent_is_reported_per_letter(api):
    await api.kill(0)
    await api.kill(1, data={"n": 1, "big": "x" * 200_000})
    await api.kill(2, data={})
    assert await api.statuses(ids=[user_of(0)], edit={"template": "mail"}) == {user_of(0): "no_content"}
    edit = {"template": "hello", "data": {"more": "x" * 100_000}}
    report = await api.statuses(filter={}, edit=edit)
    assert report == {user_of(2): "data_missing", user_of(1): "too_large", user_of(0): "replayed"}
    assert api.again()[user_of(0)].data["n"] == 0


async def test_a_pace_spreads_replays_by_timers_over_several_calls(api):
    for person in range(4):
        await api.kill(person)
    start_ms = api.clock.now_ms()
    first = await api.replay(filter={}, rate_per_s=2, limit=3)
    assert first["counts"] == {"replayed": 3}
    assert list(api.again()) == [user_of(3)]
    second = await api.replay(filter={}, rate_per_s=2, limit=3, after=first["next"])
    assert (second["counts"], second["next"]) == ({"replayed": 1}, None)
    assert list(api.again()) == [user_of(3)]
    await api.fold_replays()
    assert await api.list(replayed="false") == []
    for second_half in range(1, 4):
        due_ms = start_ms + second_half * 500
        assert Glance(api.journal).next_due_ms() == due_ms
        api.clock.wall_ms = due_ms
        assert await api.journal.fire(due_ms, 10) == 1
    assert {row.trail.since_ms for row in api.again().values()} == {start_ms + n * 500 for n in range(4)}
    assert len(api.again()) == 4


async def test_what_expires_before_its_turn_is_not_replayed(api):
    for person in range(4):
        await api.kill(person, expires_ms=api.clock.now_ms() + 1_500)
    report = await api.statuses(filter={}, rate_per_s=1)
    assert report == {user_of(3): "replayed", user_of(2): "replayed", user_of(1): "expired", user_of(0): "expired"}


async def test_many_pages_are_one_call(api, monkeypatch):
    monkeypatch.setattr("clarion.history.dead_letters.routes.REPLAY_PAGE_LETTERS", 1)
    for person in range(4):
        await api.kill(person)
    first = await api.replay(filter={}, limit=2)
    assert (first["counts"], bool(first["next"]), first["left"]) == ({"replayed": 2}, True, 2)
    rest = await api.replay(filter={}, after=first["next"])
    assert (rest["counts"], rest["next"], rest["left"]) == ({"replayed": 2}, None, 0)
    assert len(api.again()) == 4


async def test_replays_before_the_journal_was_full_are_reported(api, monkeypatch):
    monkeypatch.setattr("clarion.history.dead_letters.routes.REPLAY_PAGE_LETTERS", 2)
    for person in range(4):
        await api.kill(person)
    append, calls = api.journal.commit, []

    async def full(batch):
        calls.append(batch)
        if len(calls) > 1:
            raise Overloaded("the journal is full")
        return await append(batch)

    monkeypatch.setattr(api.journal, "commit", full)
    report = await api.replay(filter={})
    assert (report["counts"], bool(report["next"])) == ({"replayed": 2}, True)
    monkeypatch.setattr(api.journal, "commit", append)
    api.clock.wall_ms += 60_000
    assert (await api.replay(filter={}, after=report["next"]))["counts"] == {"replayed": 2}
    with pytest.raises(InvalidField):
        await api.replay(filter={}, ids=[user_of(0)])


async def test_two_who_ask_at_once_replay_each_letter_once(api):
    for person in range(4):
        await api.kill(person)
    answers = await asyncio.gather(
        *(api.statuses(filter={}) for _ in range(3)), api.statuses(ids=[user_of(0), user_of(1)])
    )
    begun = [letter for answer in answers for letter, status in answer.items() if status == "replayed"]
    assert sorted(begun) == sorted(user_of(person) for person in range(4))
    rows = [
        row
        for partition in range(PARTITIONS)
        for frame in Glance(api.journal).read("deliver.push.high", partition, 0)
        for row in deliver_rows(decode(frame.payload))
    ]
    assert len(rows) == 4


async def test_a_claim_without_an_append_can_be_made_again_a_minute_later(api, monkeypatch):
    await api.kill(0)
    append = api.journal.commit

    async def dies(batch):
        raise Overloaded("the journal is full")

    monkeypatch.setattr(api.journal, "commit", dies)
    with pytest.raises(Overloaded):
        await api.replay(filter={})
    monkeypatch.setattr(api.journal, "commit", append)
    assert await api.statuses(filter={}) == {user_of(0): "already_replayed"}
    api.clock.wall_ms += 60_000
    assert await api.statuses(filter={}) == {user_of(0): "replayed"}
    assert len(api.again()) == 1


async def test_a_replay_is_not_repeated_however_late_record_learns_of_it(api):
    await api.kill(0)
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "replayed"}
    api.clock.wall_ms += 600_000
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "already_replayed"}
    await api.fold_replays()
    claimed_ms = api.clock.now_ms()
    await api.kill(0, 2)
    await api.state.history.settle_replays(world.TENANT, [world.id_of(0)], claimed_ms)
    assert await api.statuses(ids=[user_of(0)]) == {user_of(0): "replayed"}
    assert len(api.again()) == 1
    assert api.again()[user_of(0)].attempt == 3
