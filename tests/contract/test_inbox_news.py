"""What clients of a gateway are told, over the inbox of each engine: nothing that is replaced, and nothing stays that is gone."""

import pytest

from clarion.domain.errors import StoreUnavailable
from clarion.domain.ids import DELIVERY_PREFIX, write
from clarion.domain.inbox import Horizon, Mark
from clarion.domain.limits_gateway import TIMED_ITEMS_MAX
from clarion.gateway.feed import InboxNews
from clarion.gateway.hub import Hub
from tests.contract import ledgers as world
from tests.contract.inboxes import NOW_MS, Inboxes, broadcast, broadcast_id, own
from tests.stages.world import Notes
from tests.unit.gateway.test_hub import Page

PORT = "inbox_feed"
USER = (world.TENANT, "user-1")
KEY = {"collapse_key": "order-7"}


class People:
    """A directory in which the number in a user's name is the ordinal."""

    async def ordinals(self, _tenant, user_ids):
        return {user_id: int(user_id.removeprefix("user-")) for user_id in user_ids}


class Time:
    ms = NOW_MS

    def now_ms(self):
        return self.ms


class Live:
    """A gateway over a store, and clients that keep what they are told."""

    def __init__(self, state):
        self.inboxes, self.inbox, self.time = Inboxes(state), state.inbox, Time()
        self.news = InboxNews(state.inbox, state.inbox, People(), self.time)
        self.hub = Hub(self.news, Notes())

    async def tab(self, position=None, reads=1_000_000):
        """Return a client that has joined, with what it was told. `position` is that of a message."""
        tab = Page(USER, reads)
        grant = type("Grant", (), {"tenant": USER[0], "user_id": USER[1]})
        self.hub.join(tab, None if position is None else self.news.seen(grant, position))
        await self._round()
        return tab

    async def told(self, tab):
        """Return what is new for a client."""
        tab.frames.clear()
        self.hub.changed([USER])
        await self._round()
        return tab.frames

    async def _round(self):
        await self.hub._serve()

    async def withdraw(self, number):
        await self.inbox.withdraw(world.TENANT, broadcast_id(number), 5)

    async def mark(self, *marks):
        await self.inbox.mark(*USER, marks)

    async def ids(self):
        return [entry.item.item_id for entry in await self.inboxes.listed()]


@pytest.fixture
def live(state, monkeypatch):
    monkeypatch.setattr("clarion.gateway.hub.ROUND_MS", 0)
    return Live(state)


def titles(tab):
    found = [frame["item"]["content"]["title"] for frame in tab.frames if frame["type"] == "item"]
    return [title.removeprefix("en ").removeprefix("de ") for title in found]


def is_recovered(tab):
    assert ("reload" in tab.kinds()) is not tab.frames[0]["recovered"]
    return tab.frames[0]["recovered"]


def counts(tab):
    (*_, last) = [frame for frame in tab.frames if frame["type"] == "counts"]
    return last["total"], last["unseen"], last["unread"]


async def _withdrawn(live):
    await live.inboxes.arrive(own(2, **KEY))
    await live.withdraw(2)


async def _withdrawn_before(live):
    await live.withdraw(2)
    await live.inboxes.arrive(own(2, **KEY))


async def _deleted(live):
    await live.inboxes.arrive(own(2, **KEY))
    await live.mark(Mark((await live.ids())[0], deleted_ms=9))


async def _expired(live):
    await live.inboxes.arrive(own(2, expires_ms=NOW_MS - 1, **KEY))


async def _broadcast_withdrawn(live):
    await live.inboxes.arrive(*broadcast(2, 300, **KEY))
    await live.withdraw(2)


@pytest.mark.parametrize("goes", [_withdrawn, _withdrawn_before, _deleted, _expired, _broadcast_withdrawn])
async def test_what_was_replaced_does_not_stay_when_its_replacement_is_gone(live, goes):
    await live.inboxes.arrive(own(1, **KEY))
    first, other = await live.tab(), await live.tab()
    live.hub.leave(first)
    await goes(live)
    assert await live.ids() == []
    assert "reload" in [frame["type"] for frame in await live.told(other)], "one who stayed"
    assert not is_recovered(await live.tab(first.frames[-1]["position"])), "one who came back"


async def test_a_replacement_that_is_there_is_told_by_itself(live):
    await live.inboxes.arrive(own(1, **KEY))
    tab = await live.tab()
    live.hub.leave(tab)
    await live.inboxes.arrive(own(2, **KEY), own(3))
    await live.withdraw(2)
    await live.inboxes.arrive(own(4, **KEY))
    tab = await live.tab(tab.frames[-1]["position"])
    assert (is_recovered(tab), titles(tab)) == (True, ["own 3", "own 4"])


@pytest.mark.parametrize("others", [0, 1])
async def test_one_that_is_cut_amid_a_replay_never_gets_what_was_replaced_deleted_or_read_as_new(live, others):
    tab = await live.tab()
    live.hub.leave(tab)
    await live.inboxes.arrive(own(1))
    await live.inboxes.arrive(*broadcast(21, 300), *broadcast(23, 300))
    await live.inboxes.arrive(*broadcast(20, 300, **KEY), *broadcast(22, 300))
    gone, _, read = (await live.ids())[:3]
    await live.mark(Mark(gone, deleted_ms=9), Mark(read, read_ms=9))
    await live.inboxes.arrive(own(31, **KEY), own(32))
    for _ in range(others):
        await live.tab()
    truth = await live.inboxes.titles()
    for cut in range(9):
        position, got = tab.frames[-1]["position"], []
        for reads in (cut, 100):
            back = await live.tab(position, reads)
            assert not back.frames or is_recovered(back)
            live.hub.leave(back)
            got += titles(back)
            position = next((frame["position"] for frame in back.frames[::-1] if "position" in frame), position)
            for frame in back.frames:
                if frame["type"] == "item" and frame["item"]["content"]["title"].endswith("23"):
                    assert frame["item"]["read_at"]
        assert sorted(got) == sorted(truth), cut
        assert "20" not in got and "22" not in got


async def test_one_who_stands_where_no_inbox_has_been_is_told_of_items_as_they_are(live):
    tab = await live.tab()
    live.hub.leave(tab)
    await live.inboxes.arrive(*broadcast(20, 300, **KEY), *broadcast(21, 300))
    await live.mark(Mark((await live.ids())[0], deleted_ms=9))
    await live.inbox.read_all(*USER, Horizon(1, 4, 9))
    await live.inboxes.arrive(own(31, **KEY))
    for stays in (False, True):
        if stays:
            await live.tab()
        head = await live.inbox.head(*USER)
        apart = live.news.shown(USER, head.position._replace(shared=0))
        tab = await live.tab(apart)
        assert (is_recovered(tab), titles(tab)) == (True, [])


async def test_counts_are_read_again_once_a_snooze_has_ended_or_an_item_has_expired(live):
    await live.inboxes.arrive(own(1), own(2, expires_ms=NOW_MS + 2_000), own(3))
    ids = await live.ids()
    await live.mark(Mark(ids[0], snoozed_ms=NOW_MS + 1_000))
    tab = await live.tab()
    assert counts(tab) == (2, 2, 2)
    for after_ms, number, total in ((500, 11, 3), (1_001, 12, 5), (2_001, 13, 5)):
        live.time.ms = NOW_MS + after_ms
        await live.inboxes.arrive(own(number))
        await live.told(tab)
        assert titles(tab) == [f"own {number}"]
        assert counts(tab) == (total,) * 3, after_ms


async def test_what_changes_by_itself_is_told_at_that_time(live):
    await live.inboxes.arrive(own(1), own(2, expires_ms=NOW_MS + 2_000), own(3))
    ids = await live.ids()
    await live.mark(Mark(ids[0], snoozed_ms=NOW_MS + 1_000))
    tab = await live.tab()
    tab.frames.clear()
    for after_ms, items, gone, total in ((999, None, None, None), (1_000, [0], [], 3), (2_000, [], [1], 2)):
        live.time.ms = NOW_MS + after_ms
        assert live.news.due() == ([USER] if total else [])
        told = await live.told(tab) if total else []
        if total:
            assert tab.kinds() == ["item_state", "counts"]
            assert [one["id"] for one in told[0]["items"]] == [text_of(ids[number]) for number in items]
            assert told[0]["gone"] == [text_of(ids[number]) for number in gone]
            assert counts(tab) == (total,) * 3
    assert (live.news.due(), await live.told(tab)) == ([], [])


async def test_what_changed_by_itself_while_the_store_was_away_is_told_afterwards(live, monkeypatch):
    await live.inboxes.arrive(own(1, expires_ms=NOW_MS + 1_000))
    tab = await live.tab()
    live.time.ms += 1_000
    with monkeypatch.context() as patch:
        patch.setattr(live.news, "_counted", _away)
        with pytest.raises(StoreUnavailable):
            await live.told(tab)
    assert [frame["type"] for frame in await live.told(tab)] == ["item_state", "counts"]
    assert counts(tab) == (0, 0, 0)


async def test_where_more_changes_by_itself_than_is_kept_clients_reload(live):
    await live.inboxes.arrive(*(own(number, expires_ms=NOW_MS + 1_000) for number in range(1, TIMED_ITEMS_MAX + 2)))
    tab = await live.tab()
    live.time.ms += 1_000
    assert [frame["type"] for frame in await live.told(tab)] == ["reload", "counts"]
    assert counts(tab) == (0, 0, 0)


async def test_nothing_is_kept_of_one_who_left(live, monkeypatch):
    await live.inboxes.arrive(own(1, expires_ms=NOW_MS + 1_000))
    live.hub.leave(await live.tab())
    tab, count = Page(USER), live.news._counted

    async def leave(*given):
        live.hub.leave(tab)
        return await count(*given)

    monkeypatch.setattr(live.news, "_counted", leave)
    live.hub.join(tab, None)
    await live._round()
    live.time.ms += 1_000
    assert live.news.due() == []
    assert not live.news._kept


async def _away(*_):
    raise StoreUnavailable("away")


def text_of(item_id):
    return write(DELIVERY_PREFIX, item_id)
