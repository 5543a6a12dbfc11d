"""Pages of the directory for the audience of a segment."""

import pytest

from clarion.domain.channel import Channel
from clarion.domain.segment import Filter
from tests.contract.controls import ControlPlane
from tests.contract.segments import LOOKED_AT, USERS, T, settle_in

PORT = "directory"
PUSH = Filter(reachable=Channel.PUSH)


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path, bound):
    """Return a control plane with a page size so small that the users fill several pages."""
    bound("SEGMENT_SCAN_USERS_MAX", LOOKED_AT)
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await settle_in(control_plane)
    yield control_plane
    await control_plane.close()


async def walk(control_plane, filter_, limit, topic=None):
    """Return the user ids of an audience and its number of pages."""
    ids, after, done, pages = [], 0, False, 0
    while not done:
        rows, position, done, _ = await control_plane.directory.page(T, topic, after, limit, filter_=filter_)
        assert len(rows) <= limit
        assert position > after or done
        ids, after, pages = ids + [row[1] for row in rows], position, pages + 1
    return ids, pages


@pytest.mark.parametrize("topic", [None, "thirds"])
async def test_pages_hold_exactly_those_who_match_in_order(control_plane, topic):
    numbers = range(0, USERS, 3 if topic else 1)
    wanted = [f"u{number}" for number in numbers if number % 5 == 0]
    for limit in (1, 3, LOOKED_AT, USERS * 2):
        assert (await walk(control_plane, Filter(attribute="plan", is_="pro"), limit, topic))[0] == wanted, limit
        assert (await walk(control_plane, PUSH, limit, topic))[0] == [f"u{n}" for n in numbers if n % 2], limit


async def test_a_filter_that_matches_nobody_is_given_up_piece_by_piece(control_plane):
    nobody = Filter(attribute="plan", is_="gold")
    rows, position, done, looked_at = await control_plane.directory.page(T, None, 0, 1_000, filter_=nobody)
    assert (rows, done, looked_at) == ([], False, LOOKED_AT)
    assert await control_plane.directory.ordinals(T, [f"u{LOOKED_AT - 1}"]) == {f"u{LOOKED_AT - 1}": position}
    assert await walk(control_plane, nobody, 1_000) == ([], USERS // LOOKED_AT + 1)
    assert (await control_plane.directory.page("nobody's", None, 5, 9, filter_=nobody))[:3] == ([], 5, True)
