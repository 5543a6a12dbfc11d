"""The reads of dead letters: pages that match a filter, and the facts about those that may be replayed."""

import asyncio
from collections.abc import Iterable, Sequence

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.domain.history import DeadLetter
from clarion.history.dead_letters.replay import ReplayFacts, addresses_of
from clarion.history.dead_letters.search import LetterPage, LetterQuery, filter_letters
from clarion.history.dead_letters.verdicts import Edit, Letter
from clarion.ports.directory import Directory
from clarion.ports.history import History, ListWindow


async def gather_page(
    state: History, tenant: str, only: LetterQuery, below: bytes | None, limit: int, look_max: int
) -> LetterPage:
    """Return the newest letters that match the filter, at most `limit` of them, after reading `look_max` at most."""
    letters: list[Letter] = []
    scanned = 0
    while True:
        step = min(look_max - scanned, limit - len(letters) + 1)
        window = ListWindow(step, below, only.created_from_ms, only.created_to_ms)
        rows = await state.dead_letters(tenant, window, only.stored)
        page = await asyncio.to_thread(filter_letters, rows, only, limit - len(letters))
        letters += page.letters
        if page.is_full:
            return LetterPage(letters, page.below or below)
        below = page.below or below
        scanned += len(rows)
        if len(rows) < step:
            return LetterPage(letters, None)
        if scanned >= look_max:
            return LetterPage(letters, below)


async def gather_letters(state: History, tenant: str, texts: Iterable[str]) -> list[DeadLetter]:
    """Return those of the named letters that exist, in their order."""
    named = [ids.read(ids.DELIVERY_PREFIX, text, ids.DELIVERY_ID_BYTES) for text in texts]
    found = [await state.dead_letter(tenant, id_) for id_ in named if id_ is not None]
    return [letter for letter in found if letter is not None]


async def gather_facts(
    state: History, directory: Directory, tenant: str, letters: Sequence[Letter], edit: Edit
) -> ReplayFacts:
    """Return the current facts about letters."""
    delivery_ids = [letter.stored.delivery_id for letter in letters]
    deliveries = await state.deliveries(tenant, delivery_ids)
    asked = {(tenant, channel): sorted(addresses) for channel, addresses in addresses_of(letters, edit).items()}
    found = await directory.suppressed(asked)
    suppressed = {(channel, address) for _, channel in asked for address in found[tenant, channel]}
    cancelled = set(await state.cancellations(tenant, list({ids.notification_of(id_) for id_ in delivery_ids})))
    return ReplayFacts(deliveries, suppressed, cancelled)


async def gather_lanes(state: History, tenant: str, letters: Iterable[Letter]) -> dict[bytes, Lane]:
    """Return the lanes of the letters' notifications that are stored; those of broadcasts are left out."""
    wanted = {
        ids.notification_of(letter.stored.delivery_id)
        for letter in letters
        if letter.row is not None and letter.row.chunk is None
    }
    lanes: dict[bytes, Lane] = {}
    for id_ in wanted:
        if (row := await state.notification(tenant, id_)) is not None:
            lanes[id_] = Lane(row.lane)
    return lanes
