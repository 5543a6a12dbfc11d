"""Broadcasts: pages and cursor in one step, tenants in turn, nothing twice or missing whatever happens in between."""

import asyncio
import threading
from collections import Counter

import msgspec
import pytest

from clarion.content.gather import Contents
from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.events import Audience, BroadcastJob, ChunkFrame, Request
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.plan.broadcast import worker as broadcast_worker
from clarion.plan.broadcast.gather_pages import PageGatherer
from clarion.plan.broadcast.pages import plan_page
from clarion.plan.broadcast.worker import BroadcastWorker
from clarion.ports.stage_store import Broadcasts, Cursor, StageResult
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import TENANT, World

PAGE = 7
USERS = 30
EVERYONE = Audience()


async def begin(
    world: World, tenant: str = TENANT, number: int = 1, audience: Audience = EVERYONE, **request: object
) -> bytes:
    values = {
        "to": [],
        "template": "hello",
        "category": None,
        "channels": ["sms"],
        "lane": Lane.BULK,
        "data": {},
        **request,
    }
    job = BroadcastJob(audience, Request(**values))
    now_ms = world.clock.now_ms()
    id_ = ids.notification_id(now_ms, 0, number.to_bytes(ids.ENTROPY_BYTES, "big"))
    cursor = Cursor(id_, tenant, 0, "running", 0, 0, 0, 0, now_ms, now_ms, msgspec.msgpack.encode(job))
    await world.journal.commit(StageResult(broadcasts=Broadcasts(cursors=[cursor])))
    return id_


async def worker(world: World, backlog_max: int = 10**9) -> BroadcastWorker:
    leases = await world.held(topics.GROUP_BROADCAST)
    contents = Contents(world.directory, {"liquid": LiquidRenderer()})
    pages = PageGatherer(world.journal, world.directory, contents, PAGE)
    return BroadcastWorker(
        world.journal, world.journal, pages, leases, world.clock, world.notes, backlog_max=backlog_max
    )


def chunks(world: World, topic: str = topics.OUTCOMES) -> list[ChunkFrame]:
    return [event for event in world.events(topic) if isinstance(event, ChunkFrame)]


def members(world: World) -> Counter[tuple[str, str]]:
    return Counter((one.channel, user) for one in chunks(world) for user in dict.fromkeys(one.user_ids))


def test_everyone_is_planned_once_and_the_cursor_counts_them(directory):
    async def scenario(world: World) -> None:
        id_ = await begin(world, channels=None)
        working = await worker(world)
        while await working.turn():
            pass
        cursor = Glance(world.journal).cursor(id_)
        assert cursor is not None
        assert (cursor.status, cursor.users) == ("done", USERS)
        states = Counter(state for one in chunks(world) for state in one.states)
        assert cursor.skipped == states[State.SKIPPED]
        assert cursor.planned == states[State.PLANNED] + states[State.SENT]

    world = World(directory, partitions=3)
    run(scenario(world))
    assert members(world) == {(channel, f"u{n}"): 1 for n in range(USERS) for channel in ("sms", "push", "inapp")}
    for one in chunks(world):
        columns = (one.ordinals, one.user_ids, one.states, one.reasons)
        assert len({len(column) for column in columns}) == 1
        assert one.ordinals == sorted(one.ordinals)


def segment(**filter_: object) -> Audience:
    return Audience(segment="s", filter=msgspec.json.encode(filter_))


@pytest.mark.parametrize("scanned", [1, 4, PAGE, USERS, USERS * 2])
def test_a_segment_is_planned_once_each_with_any_scan_size(directory, bound, scanned):
    bound("SEGMENT_SCAN_USERS_MAX", scanned)

    async def scenario(world: World) -> None:
        id_ = await begin(world, audience=segment(reachable="push"))
        working = await worker(world)
        while await working.turn():
            pass
        cursor = Glance(world.journal).cursor(id_)
        assert cursor is not None
        assert (cursor.status, cursor.users) == ("done", USERS * 2 // 3)

    world = World(directory)
    run(scenario(world))
    assert members(world) == {("sms", f"u{n}"): 1 for n in range(USERS) if n % 3}


def test_scans_that_find_nobody_use_up_the_tenants_turn(directory, bound, monkeypatch):
    """A turn is charged for the users scanned, not for those found."""
    bound("SEGMENT_SCAN_USERS_MAX", 2)
    monkeypatch.setattr(broadcast_worker, "TURN_DELIVERIES", 1)

    async def scenario(world: World) -> None:
        working = await worker(world)
        first = await begin(world, number=1, audience=segment(zone="Europe/Rome"))
        await begin(world, tenant="other", number=2)
        planned = []

        def recorded(facts, cursor, *values):
            planned.append(cursor.tenant)
            page = plan_page(facts, cursor, *values)
            endless = {"done": False, "position": cursor.position + 1, "users": 1}
            return page._replace(**endless) if cursor.tenant == "other" else page

        monkeypatch.setattr(broadcast_worker, "plan_page", recorded)
        for _ in range(6):
            await working.turn()
        assert planned.count("other") == 3
        assert Glance(world.journal).cursor(first).position > 0

    run(scenario(World(directory)))


def test_a_crash_before_or_after_the_append_leaves_the_same_deliveries(directory):
    async def whole(world: World, crash_at: int) -> None:
        await begin(world)
        working = await worker(world)
        turn = 0
        while True:
            turn += 1
            if turn == crash_at:  # planned, never appended
                (cursor,) = Glance(world.journal).cursors()
                job = msgspec.msgpack.decode(cursor.payload, type=BroadcastJob)
                facts = await working._pages.gather(cursor, job, world.clock.now_ms())
                plan_page(facts, cursor, job, working._pages.contents, world.journal.partitions, world.clock.now_ms())
                working = await worker(world)
            if not await working.turn():
                return

    result = []
    for crash_at in (0, 1, 3):
        world = World(directory)
        run(whole(world, crash_at))
        result.append([(one.chunk_id, one.user_ids, one.states) for one in chunks(world)])
    assert result[0] == result[1] == result[2]
    assert len({chunk_id for chunk_id, _, _ in result[0]}) == len(result[0])


@pytest.mark.parametrize("status", ["paused", "cancelled"])
def test_a_pause_between_pages_stops_planning(directory, status):
    async def scenario(world: World) -> None:
        id_ = await begin(world)
        working = await worker(world)
        assert await working.turn()
        before = members(world)
        assert await world.journal.set_cursor_status(id_, status, ["running"], 0)
        assert not await working.turn()
        assert members(world) == before
        if status == "paused":
            assert await world.journal.set_cursor_status(id_, "running", ["paused"], 0)
            while await working.turn():
                pass
            assert set(members(world).values()) == {1}
            assert len(members(world)) == USERS

    run(scenario(World(directory)))


def test_a_pause_while_a_page_is_planned_stores_nothing_of_it(directory, monkeypatch):
    async def scenario(world: World) -> None:
        id_ = await begin(world)
        working = await worker(world)

        def interrupted(*values):
            world.journal._cursors[id_] = msgspec.structs.replace(Glance(world.journal).cursor(id_), status="paused")
            return plan_page(*values)

        monkeypatch.setattr(broadcast_worker, "plan_page", interrupted)
        assert await working.turn()
        assert chunks(world) == []
        assert not await working.turn()

    run(scenario(World(directory)))


def test_a_channel_the_template_has_no_content_for_is_skipped_with_its_reason(directory):
    async def scenario(world: World) -> None:
        await begin(world, template="texting", channels=["sms", "inapp"])
        working = await worker(world)
        while await working.turn():
            pass

    world = World(directory)
    run(scenario(world))
    inapp = [one for one in chunks(world) if one.channel == Channel.INAPP]
    assert sum(len(one.user_ids) for one in inapp) == USERS
    assert {reason for one in inapp for reason in one.reasons} == {Reason.NO_CONTENT}


def test_only_sendable_deliveries_go_to_the_senders(directory):
    async def scenario(world: World) -> None:
        await begin(world)
        working = await worker(world)
        while await working.turn():
            pass

    world = World(directory)
    run(scenario(world))
    deliver = chunks(world, topics.deliver(Channel.SMS, Lane.BULK))
    assert {one.chunk_id for one in deliver} == {one.chunk_id for one in chunks(world) if State.PLANNED in one.states}
    sent = {
        user for one in deliver for user, state in zip(one.user_ids, one.states, strict=True) if state == State.PLANNED
    }
    assert sent == {f"u{n}" for n in range(USERS) if n % 4 and n % 5}


def test_a_pause_for_the_senders_does_not_favour_anyone(directory, monkeypatch):
    """Planning stops when the backlog is too large; the first tenant after that must not always be the same one."""

    async def scenario(world: World) -> None:
        served: Counter[str] = Counter()
        for number, tenant in enumerate(("a", "b", "c")):
            await begin(world, tenant, number)
        working = await worker(world)
        busy = False

        def counted(facts, cursor, *values):
            served[cursor.tenant] += 1
            page = plan_page(facts, cursor, *values)
            return page._replace(counts={("sms", "send"): 6_000}, done=False, position=cursor.position + 1)

        monkeypatch.setattr(broadcast_worker, "plan_page", counted)
        for _ in range(30):
            busy = not busy
            working._backlog_max = -1 if busy else 10**9
            await working.turn()
        assert set(served.values()) == {5}

    run(scenario(World(directory)))


def test_a_scheduled_broadcast_waits_for_its_time(directory):
    async def scenario(world: World) -> None:
        await begin(world, send_at_ms=world.clock.now_ms() + 5_000)
        working = await worker(world)
        assert not await working.turn()
        await asyncio.sleep(5.1)
        working = await worker(world)
        assert await working.turn()

    run(scenario(World(directory)))


@pytest.mark.parametrize(("channel", "here"), [("inapp", False), ("sms", True)])
async def test_a_page_whose_contents_are_rendered_is_planned_in_a_thread(directory, monkeypatch, channel, here):
    threads = []

    def planned(*args):
        threads.append(threading.current_thread() is threading.main_thread())
        return plan_page(*args)

    monkeypatch.setattr(broadcast_worker, "plan_page", planned)
    world = World(directory)
    await begin(world, channels=[channel])
    working = await worker(world)
    while await working.turn():
        pass
    assert set(threads) == {here}
    assert members(world) == {(channel, f"u{n}"): 1 for n in range(USERS)}
