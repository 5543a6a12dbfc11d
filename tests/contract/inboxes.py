"""Helpers of the suites of the inbox: broadcasts in chunks, own items, and lists as a client sees them."""

from clarion.domain import ids
from clarion.domain.delivery_state import State
from clarion.domain.outcome import Accepted
from clarion.inbox.gather import open_reader
from clarion.inbox.rules.inbox import ALL, ItemFilter
from clarion.journal import events
from tests.contract import ledgers as world

PEOPLE = 300
LOCALES = ("en", "de")
NOW_MS = world.AT_MS + 1_000_000


def broadcast_id(number: int) -> bytes:
    return ids.notification_id(world.AT_MS + number, 0, number.to_bytes(9, "big"))


def broadcast(
    number: int, size: int, *, state: int = State.SENT, tenant: str = world.TENANT, **content: str
) -> list[events.ChunkFrame]:
    """Frames of an in-app broadcast to ordinals 1..PEOPLE, `size` users a page and one chunk per page and locale."""
    id_ = broadcast_id(number)
    made = []
    for first in range(1, PEOPLE + 1, size):
        for which, locale in enumerate(LOCALES):
            people = [n for n in range(first, min(first + size, PEOPLE + 1)) if n % 2 == which]
            made.append(
                events.ChunkFrame(
                    id_ + f"{first:05}".encode() + locale.encode() + b".", tenant, "inapp", locale,
                    {"title": f"{locale} {number}", **content}, "news", {}, world.AT_MS + number, None, None, people,
                    [f"user-{n}" for n in people], bytes([state]) * len(people), bytes(len(people)), [], [],
                )
            )  # fmt: skip
    return made


def released(chunk: events.ChunkFrame, people: list[int], at_ms: int) -> events.ChunkReleasedFrame:
    """Return the frame by which held deliveries of these ordinals are sent."""
    states = bytes(State.SENT if ordinal in people else 0 for ordinal in chunk.ordinals)
    return events.ChunkReleasedFrame(chunk.chunk_id, chunk.tenant, "inapp", at_ms, states, bytes(len(states)))


def own(
    number: int, user: str = "user-1", *, expires_ms: int | None = None, at_ms: int = 0, tenant: str = world.TENANT,
    **content: str,
) -> events.AttemptedFrame:  # fmt: skip
    """Return the frame of a user's own item; the number is the age of its id."""
    id_ = ids.delivery_id(ids.notification_id(world.AT_MS + number, 0, number.to_bytes(9, "big")), user, "inapp", "")
    at_ms = at_ms or world.AT_MS + number
    return events.AttemptedFrame(
        "inapp", [id_], [tenant], [user], [""], [1], ["inapp"], ["inapp"], ["accepted"], [0],
        [Accepted("", {"title": f"own {number}", **content})], [at_ms], [at_ms], [None], [None], [None],
        [("orders", expires_ms)],
    )  # fmt: skip


EVERYTHING = ItemFilter(ALL)


class Inboxes:
    """The inboxes of a store: what is folded arrives in them, in that order."""

    def __init__(self, state) -> None:
        self.state = state
        self._offset = 0

    async def arrive(self, *frames) -> None:
        """Fold frames in one batch."""
        await world.fold_all(self.state, [world.stored(frames, self._offset + 1)])
        self._offset += len(frames)

    async def reader(self, ordinal: int = 1, now_ms: int = NOW_MS, tenant: str = world.TENANT):
        return await open_reader(self.state.inbox, tenant, f"user-{ordinal}", ordinal, now_ms)

    async def listed(self, only: ItemFilter = EVERYTHING, ordinal: int = 1, limit: int = 1_000, now_ms: int = NOW_MS):
        """Return all pages of a list."""
        reader = await self.reader(ordinal, now_ms)
        entries, before = [], None
        while True:
            page = await reader.page(only, before, limit)
            assert len(page.entries) <= limit
            entries += page.entries
            before = page.rest
            if before is None:
                return entries

    async def titles(self, only: ItemFilter = EVERYTHING, ordinal: int = 1, limit: int = 1_000, now_ms: int = NOW_MS):
        """Return the titles of a list, without the locale of broadcasts."""
        return [title_of(entry) for entry in await self.listed(only, ordinal, limit, now_ms)]


def title_of(entry) -> str:
    title = entry.item.content.split(b'"title":"')[1].split(b'"')[0].decode()
    return title.removeprefix("en ").removeprefix("de ")
