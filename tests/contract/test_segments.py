"""What reads audiences by segments: pages of the directory."""

import pytest

from clarion.domain.channel import Channel
from clarion.domain.segment import Filter
from tests.contract.controls import House
from tests.contract.segments import LOOKED_AT, USERS, T, settle_in

PORT = "directory"
PUSH = Filter(reachable=Channel.PUSH)


@pytest.fixture
async def house(engine, empty, tmp_path, bound):
    """So few users are looked at at once that they make several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    house = House.copy_of(empty, tmp_path, engine)
    await settle_in(house)
    yield house
    await house.close()


async def walk(house, filter_, limit, topic=None):
    """The user ids of an audience, and how many pages it took."""
    ids, after, done, pages = [], 0, False, 0
    while not done:
        rows, position, done, _ = await house.directory.page(T, topic, after, limit, filter_=filter_)
        assert len(rows) <= limit
        assert position > after or done
        ids, after, pages = ids + [row[1] for row in rows], position, pages + 1
    return ids, pages


@pytest.mark.parametrize("topic", [None, "thirds"])
async def test_pages_hold_exactly_those_who_match_in_order(house, topic):
    numbers = range(0, USERS, 3 if topic else 1)
    wanted = [f"u{number}" for number in numbers if number % 5 == 0]
    for limit in (1, 3, LOOKED_AT, USERS * 2):
        assert (await walk(house, Filter(attribute="plan", is_="pro"), limit, topic))[0] == wanted, limit
        assert (await walk(house, PUSH, limit, topic))[0] == [f"u{n}" for n in numbers if n % 2], limit


async def test_a_filter_that_matches_nobody_is_given_up_piece_by_piece(house):
    nobody = Filter(attribute="plan", is_="gold")
    rows, position, done, looked_at = await house.directory.page(T, None, 0, 1_000, filter_=nobody)
    assert (rows, done, looked_at) == ([], False, LOOKED_AT)
    assert await house.directory.ordinals(T, [f"u{LOOKED_AT - 1}"]) == {f"u{LOOKED_AT - 1}": position}
    assert await walk(house, nobody, 1_000) == ([], USERS // LOOKED_AT + 1)
    assert (await house.directory.page("nobody's", None, 5, 9, filter_=nobody))[:3] == ([], 5, True)
