"""Counts never drift from the list: whatever arrives, is marked, withdrawn or expires in whatever order, an inbox shows what a
plain list of everything that happened shows, and so do its counts, its pages and its positions."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.delivery_state import State
from clarion.domain.inbox import Position
from clarion.inbox.rules.inbox import ALL, ARCHIVED, SNOOZED, UNREAD, ItemFilter
from clarion.inbox.rules.marks import changes, list_for, mark_of
from clarion.inbox.worker_marks import Marking
from clarion.stores.memory.journal import MemoryJournal
from tests.contract import ledgers as world
from tests.contract.inboxes import NOW_MS, Inboxes, broadcast, broadcast_id, own, released
from tests.contract.journals import VirtualClock
from tests.contract.states import STATES, shut

USER = "user-1"
NUMBERS = st.integers(0, 5)
KEYS = st.sampled_from(["", "", "a", "b"])
ENDS_MS = st.sampled_from([None, None, NOW_MS + 2, NOW_MS + 5])
ACTIONS = ("seen", "read", "unread", "archive", "unarchive", "snooze", "unsnooze", "delete")
STEPS = st.one_of(
    st.tuples(st.just("own"), KEYS, ENDS_MS),
    st.tuples(st.just("broadcast"), KEYS, ENDS_MS),
    st.tuples(st.just("hold"), KEYS, ENDS_MS),
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(st.just("both"), KEYS, ENDS_MS),
    st.tuples(st.just("one"), NUMBERS, st.sampled_from(ACTIONS)),
    st.tuples(st.just("all"), st.sampled_from(ACTIONS), st.booleans()),
    st.tuples(st.just("read all"), st.booleans()),
    st.tuples(st.just("withdraw"), NUMBERS),
    st.tuples(st.just("wait"), st.integers(1, 3)),
    st.tuples(st.just("remember")),
)


@dataclass
class Known:
    """An item as the plain list has it."""

    number: int
    title: str
    key: str
    ends_ms: int | None
    seen: bool = False
    read: bool = False
    archived: bool = False
    snoozed_ms: int = 0
    deleted: bool = False


class Plain:
    """An inbox as a list of everything that arrived, in order."""

    def __init__(self) -> None:
        self.items: list[Known] = []
        self.withdrawn: set[int] = set()
        self.now_ms = NOW_MS

    def visible(self) -> list[Known]:
        newest = {item.key: item for item in self.items if item.key}
        return [
            item
            for item in reversed(self.items)
            if not item.deleted
            and item.number not in self.withdrawn
            and (item.ends_ms is None or item.ends_ms > self.now_ms)
            and newest.get(item.key, item) is item
        ]

    def shown(self, show: str) -> list[Known]:
        found = []
        for item in self.visible():
            snoozed = item.snoozed_ms > self.now_ms
            active = not item.archived and not snoozed
            kinds = {ALL: True, ARCHIVED: item.archived, SNOOZED: snoozed, UNREAD: active and not item.read}
            if kinds.get(show, active):
                found.append(item)
        return found

    def apply(self, action: str, items: list[Known]) -> None:
        for item in items:
            match action:
                case "seen":
                    item.seen = True
                case "read":
                    item.seen = item.read = True
                case "unread":
                    item.read = False
                case "archive" | "unarchive":
                    item.archived = action == "archive"
                case "snooze":
                    item.read, item.snoozed_ms = False, self.now_ms + 2
                case "unsnooze":
                    item.snoozed_ms = 0
                case _:
                    item.deleted = True


class Run:
    """One inbox of a store beside its plain list."""

    def __init__(self, state) -> None:
        self.inboxes, self.plain = Inboxes(state), Plain()
        self.marking = Marking(state.inbox, MemoryJournal(VirtualClock(), 2))
        self.number = 10
        self.held: list[tuple[int, str, int | None, list]] = []
        self.position: Position | None = None
        self.known_then = 0

    async def step(self, name: str, *given) -> None:
        await getattr(self, name.replace(" ", "_"))(*given)

    async def own(self, key, ends_ms) -> None:
        self.number += 1
        await self.inboxes.arrive(own(self.number, USER, expires_ms=ends_ms, **_keyed(key)))
        self.plain.items.append(Known(self.number, f"own {self.number}", key, ends_ms))

    async def broadcast(self, key, ends_ms) -> None:
        frames = self._frames(key, ends_ms, State.SENT)
        await self.inboxes.arrive(*frames)
        self.plain.items.append(Known(self.number, str(self.number), key, ends_ms))

    async def both(self, key, ends_ms) -> None:
        """Let a broadcast and an own item, with an older id, arrive in one fold: the broadcast's stands below."""
        older = self.number + 1
        self.number += 1
        frames = self._frames(key, ends_ms, State.SENT)
        await self.inboxes.arrive(own(older, USER), *frames)
        self.plain.items += [Known(self.number, str(self.number), key, ends_ms), Known(older, f"own {older}", "", None)]

    async def hold(self, key, ends_ms) -> None:
        frames = self._frames(key, ends_ms, State.HELD)
        await self.inboxes.arrive(*frames)
        self.held.append((self.number, key, ends_ms, frames))

    async def release(self, which) -> None:
        if not self.held:
            return
        number, key, ends_ms, frames = self.held.pop(which % len(self.held))
        chunk = next(one for one in frames if 1 in one.ordinals)
        await self.inboxes.arrive(released(chunk, [1, 3], NOW_MS))
        self.plain.items.append(Known(number, str(number), key, ends_ms))

    async def one(self, which, action) -> None:
        entries = await self._listed(ALL)
        if entries:
            at = which % len(entries)
            await self._mark(action, [entries[at].item.item_id])
            self.plain.apply(action, [self.plain.shown(ALL)[at]])

    async def all(self, action, bounded) -> None:
        show = list_for(action, None)
        entries = await self._listed(show)
        known = self.plain.shown(show)
        if bounded:
            entries, known = entries[1:], known[1:]
        chosen = [n for n, entry in enumerate(entries) if changes(entry, action)]
        await self._mark(action, [entries[n].item.item_id for n in chosen])
        self.plain.apply(action, [known[n] for n in chosen])

    async def read_all(self, earlier) -> None:
        """Read everything, or what had arrived when the position was remembered."""
        position = self.position if earlier and self.position else (await self._reader()).position
        count = self.known_then if earlier and self.position else len(self.plain.items)
        await self.marking.read_all(world.TENANT, USER, position, [], self.plain.now_ms)
        self.plain.apply("read", self.plain.items[:count])

    async def withdraw(self, which) -> None:
        if self.plain.items:
            number = self.plain.items[which % len(self.plain.items)].number
            await self.inboxes.state.inbox.withdraw(world.TENANT, broadcast_id(number), self.plain.now_ms)
            self.plain.withdrawn.add(number)

    async def wait(self, ms) -> None:
        self.plain.now_ms += ms

    async def remember(self) -> None:
        self.position, self.known_then = (await self._reader()).position, len(self.plain.items)

    async def check(self) -> None:
        """Assert that the inbox shows what the plain list shows, on pages of any size, in its counts, and since a
        position."""
        for show in ("active", UNREAD, ARCHIVED, SNOOZED, ALL):
            expected = [item.title for item in self.plain.shown(show)]
            assert await self.inboxes.titles(ItemFilter(show), limit=2, now_ms=self.plain.now_ms) == expected
            assert [entry.item.place for entry in await self._listed(show)] == sorted(
                (entry.item.place for entry in await self._listed(show)), reverse=True
            )
        active = self.plain.shown("active")
        counts, more = await (await self._reader()).counts(ItemFilter())
        assert counts == (len(active), sum(not item.seen for item in active), sum(not item.read for item in active))
        assert not more
        if self.position is not None:
            late = self.plain.items[self.known_then :]
            expected = [item.title for item in self.plain.shown(ALL) if any(item is one for one in late)]
            since = ItemFilter(ALL, since=self.position)
            assert await self.inboxes.titles(since, limit=3, now_ms=self.plain.now_ms) == expected

    def _frames(self, key, ends_ms, state) -> list:
        self.number += 1
        frames = broadcast(self.number, 300, state=state, **_keyed(key))
        for frame in frames:
            frame.expires_ms = ends_ms
        return frames

    async def _mark(self, action, ids) -> None:
        marks = [mark_of(id_, action, self.plain.now_ms, self.plain.now_ms + 2) for id_ in ids]
        await self.marking.mark(world.TENANT, USER, marks, self.plain.now_ms)

    async def _listed(self, show):
        return await self.inboxes.listed(ItemFilter(show), now_ms=self.plain.now_ms)

    async def _reader(self):
        return await self.inboxes.reader(now_ms=self.plain.now_ms)


def _keyed(key: str) -> dict[str, str]:
    return {"collapse_key": key} if key else {}


@pytest.mark.parametrize("name", STATES)
@given(steps=st.lists(STEPS, max_size=15))
async def test_counts_never_drift_from_the_list(name, steps):
    with TemporaryDirectory() as folder:
        state = STATES[name](Path(folder))
        try:
            run = Run(state)
            for step in steps:
                await run.step(*step)
                await run.check()
        finally:
            await shut(state)
