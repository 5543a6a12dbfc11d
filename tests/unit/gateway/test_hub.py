"""The hub over a feed in memory: whatever is cut, a client that comes back with its position gets what it missed, once."""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.errors import Overloaded
from clarion.domain.inbox import ChangedInboxes, Position, tenant_bucket, user_bucket
from clarion.domain.limits_gateway import SOCKETS_PER_USER_MAX
from clarion.gateway.codes import Closing
from clarion.gateway.hub import Hub
from tests.stages.world import Notes
from tests.unit.gateway.log import ADA, BEN, EPOCH, Log, read


class Page:
    """A client that reads frames until it is cut; what comes after that is lost."""

    def __init__(self, user=ADA, reads=1_000_000):
        self.tenant, self.user_id = user
        self.generation, self.expires_ms, self.position = 0, 0, None
        self.frames, self.reads, self.closed = [], reads, None

    def send(self, frames):
        for frame in frames:
            if self.reads:
                self.reads -= 1
                self.frames.append(json.loads(frame))

    def close(self, code):
        self.closed = code

    def drain(self):
        self.close(Closing.GOING_AWAY)

    def kinds(self):
        return [frame["type"] for frame in self.frames]

    def items(self):
        return [frame["id"] for frame in self.frames if frame["type"] == "item"]


@pytest.fixture
async def world():
    log, notes = Log(), Notes()
    hub = Hub(log, notes)
    task = asyncio.create_task(hub.run())
    yield log, hub
    task.cancel()


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True, scope="module")
def no_pauses():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clarion.gateway.hub.ROUND_MS", 0)
        yield


async def test_a_new_client_is_greeted_with_where_its_user_stands_and_counts(world):
    log, hub = world
    log.own[ADA] += ["a", "b"]
    page = Page()
    hub.join(page, None)
    await settled()
    assert page.kinds() == ["welcome", "counts"]
    assert page.frames[0]["recovered"] is False
    assert page.frames[0]["position"] == "epoch-01.2.0"


async def test_every_client_of_a_user_hears_and_nobody_else(world):
    log, hub = world
    pages = [Page(), Page(), Page(BEN)]
    for page in pages:
        hub.join(page, None)
    await settled()
    log.own[ADA].append("a")
    hub.changed([ADA, ("other", "ada")])
    await settled()
    assert [page.items() for page in pages] == [["a"], ["a"], []]
    assert [user for call in log.calls[1:] for user in call] == [ADA]


async def test_changes_are_heard_by_buckets_of_users_and_of_tenants(world):
    log, hub = world
    pages = [Page(), Page(BEN)]
    for page in pages:
        hub.join(page, None)
    await settled()
    log.own[ADA].append("a")
    hub.changed_in(ChangedInboxes(frozenset({user_bucket(*ADA)}), frozenset()))
    await settled()
    log.shared.append("s")
    hub.changed_in(ChangedInboxes(frozenset(), frozenset({tenant_bucket("acme")})))
    await settled()
    assert [page.items() for page in pages] == [["a", "s"], ["s"]]


@pytest.mark.parametrize("seen", ["epoch-00.0.0", "epoch-01.9.0", "epoch-01.0.1"])
async def test_a_position_that_cannot_be_gone_on_from_is_told_to_reload(world, seen):
    _, hub = world
    page = Page()
    hub.join(page, read(seen))
    await settled()
    assert page.kinds() == ["welcome", "reload", "counts"]
    assert page.frames[0]["recovered"] is False
    assert "position" not in page.frames[0]  # cut here, it has to be told again


async def test_one_that_missed_too_much_is_told_to_reload(world):
    log, hub = world
    log.kept = 2
    log.own[ADA] += ["a", "b", "c"]
    page = Page()
    hub.join(page, Position(EPOCH, 0, 0))
    await settled()
    assert page.kinds() == ["welcome", "reload", "counts"]


async def test_while_the_store_is_away_clients_wait(world, monkeypatch):
    log, hub = world
    monkeypatch.setattr("clarion.gateway.hub.RETRY_S", 0)
    log.fails = 3
    page = Page()
    hub.join(page, None)
    await settled()
    assert page.kinds() == ["welcome", "counts"]


async def test_a_user_has_so_many_connections_and_no_more(world):
    _, hub = world
    pages = [Page() for _ in range(SOCKETS_PER_USER_MAX)]
    for page in pages:
        hub.join(page, None)
    with pytest.raises(Overloaded):
        hub.join(Page(), None)
    hub.join(Page(BEN), None)
    hub.leave(pages[0])
    hub.join(Page(), None)
    await settled()
    assert len(hub) == SOCKETS_PER_USER_MAX + 1


async def test_what_is_kept_of_a_user_goes_with_the_last_client(world):
    log, hub = world
    one, other = Page(), Page()
    hub.join(one, None)
    hub.join(other, None)
    await settled()
    hub.leave(one)
    assert log.forgotten == []
    hub.leave(other)
    hub.leave(other)
    assert log.forgotten == [ADA]
    assert len(hub) == 0
    assert hub._buckets == {}


async def test_all_are_asked_to_leave(world):
    _, hub = world
    pages = [Page(), Page(BEN)]
    for page in pages:
        hub.join(page, None)
    await settled()
    assert hub.drain() == 2
    assert [page.closed for page in pages] == [Closing.GOING_AWAY] * 2
    assert len(hub) == 0


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("own"), st.integers(1, 3)),
        st.tuples(st.just("shared"), st.integers(1, 2)),
        st.tuples(st.just("cut"), st.integers(0, 6)),
        st.tuples(st.just("second"), st.integers(0, 4)),
        st.tuples(st.just("turn"), st.integers(1, 8)),
    ),
    max_size=30,
)


@given(ACTS)
@example([("own", 1), ("cut", 0), ("cut", 1)])  # cut after the welcome
def test_nothing_is_missed_or_repeated_wherever_connections_are_cut(acts):
    asyncio.run(_story(acts))


async def _story(acts):
    log = Log()
    hub = Hub(log, Notes())
    task = asyncio.create_task(hub.run())
    page, got, seen, number = Page(), [], Position(EPOCH, 0, 0), 0
    hub.join(page, seen)

    def collect():
        nonlocal seen
        got.extend(page.items())
        if page.frames:
            assert not any(frame["type"] == "reload" for frame in page.frames)
            known = [frame["position"] for frame in page.frames if "position" in frame]
            seen = read(known[-1]) if known else seen

    for act, size in acts:
        if act in ("own", "shared"):
            for _ in range(size):
                number += 1
                (log.own[ADA] if act == "own" else log.shared).append(number)
            hub.changed([ADA])
        elif act == "turn":
            for _ in range(size):
                await asyncio.sleep(0)
        elif act == "second":
            other = Page()
            hub.join(other, Position(EPOCH, max(0, seen.own - size), max(0, seen.shared - size)))
        else:
            page.reads = min(page.reads, size)
            await settled()
            hub.leave(page)
            collect()
            page = Page()
            hub.join(page, seen)
    await settled()
    hub.leave(page)
    collect()
    task.cancel()
    assert Counter(got) == Counter(range(1, number + 1))
    assert seen == log.now(ADA)


class SlowLog(Log):
    """A feed whose reads have begun and wait until a test lets them end."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def since(self, users, joining):
        found = await super().since(users, joining)
        await self.gate.wait()
        return found


@pytest.fixture
async def slow():
    log = SlowLog()
    hub = Hub(log, Notes())
    task = asyncio.create_task(hub.run())
    yield log, hub
    task.cancel()


async def test_a_client_that_joins_while_its_user_is_read_for_gets_all_it_missed(slow):
    log, hub = slow
    log.own[ADA] += ["a", "b"]
    here, back = Page(), Page()
    hub.join(here, None)
    await settled()
    log.gate.clear()
    log.own[ADA].append("c")
    hub.changed([ADA])
    await settled()
    hub.join(back, Position(EPOCH, 1, 0))
    await settled()
    log.gate.set()
    await settled()
    assert back.frames[0]["recovered"] is True
    assert back.items() == ["b", "c"]
    assert here.items() == ["c"]


async def test_what_changes_while_it_is_read_is_read_again(slow):
    log, hub = slow
    page = Page()
    hub.join(page, None)
    await settled()
    log.gate.clear()
    hub.changed([ADA])
    await settled()
    log.own[ADA].append("a")
    hub.changed([ADA])
    log.gate.set()
    await settled()
    assert page.items() == ["a"]
