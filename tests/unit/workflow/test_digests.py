"""Digests: each event in exactly one, whatever happens around the closing instant."""

from collections import Counter

import pytest

from clarion.domain.channel import Lane
from clarion.domain.limits import DIGEST_BYTES_MAX, DIGEST_ITEMS_MAX
from tests.unit.workflow.test_steps import DAY_MS, HOUR_MS, MINUTE_MS, SEND, at


def digesting(window: dict, **more) -> dict:
    return {"steps": [{"kind": "digest", "name": "d", "window": window, **more}, SEND]}


def digests(flow) -> list[list[int]]:
    """Return the events in each digest that was sent, by their numbers."""
    return [[item["n"] for item in one.request.data["digest"]["items"]] for one in flow.sent]


async def test_the_first_continues_with_the_data_of_all_and_the_others_are_merged(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}, first=2))
    for n in range(5):
        await flow.trigger("w", "u1", data={"n": n})
        await flow.pass_ms(MINUTE_MS)
    await flow.trigger("w", "u2", data={"n": 9})
    await flow.pass_ms(HOUR_MS - 5 * MINUTE_MS - 1)
    assert flow.sent == []
    await flow.pass_ms(HOUR_MS)
    assert digests(flow) == [[0, 1, 2, 3, 4], [9]]
    digest = flow.sent[0].request.data["digest"]
    assert (digest["count"], digest["first"]) == (5, [{"n": 0}, {"n": 1}])
    assert flow.endings() == {"completed": 2, "merged": 4}
    assert set(flow.details("merged")) == {f"into ntf_{flow.sent[0].notification_id.hex()}"}
    assert flow.cell_keys() == []


async def test_keys_separate_digests(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}, key="data.post"))
    for n in range(4):
        await flow.trigger("w", "u1", data={"n": n, "post": n % 2})
    await flow.pass_ms(HOUR_MS)
    assert digests(flow) == [[0, 2], [1, 3]]


async def test_a_sliding_window_slides_but_not_for_ever(flow_of):
    flow = flow_of(w=digesting({"sliding": "10m", "at_most": "25m"}))
    for n in range(4):  # at 0, 8, 16 and 24 minutes
        await flow.trigger("w", "u1", data={"n": n})
        await flow.pass_ms(8 * MINUTE_MS)
    assert digests(flow) == [[0, 1, 2, 3]]
    await flow.trigger("w", "u1", data={"n": 5})
    await flow.pass_ms(10 * MINUTE_MS)
    assert digests(flow) == [[0, 1, 2, 3], [5]]


async def test_a_daily_digest_closes_at_the_users_local_time(flow_of):
    flow = flow_of(w=digesting({"at": "09:00", "days": [1, 2, 3, 4, 5]}))
    at(flow, "2026-03-27T08:00")  # a Friday, 09:00 in Berlin; the clocks go forward on Sunday
    await flow.trigger("w", "u1", data={"n": 0})
    await flow.pass_ms(2 * DAY_MS)
    await flow.trigger("w", "u1", data={"n": 1})
    await flow.pass_ms(22 * HOUR_MS + 59 * MINUTE_MS)
    assert digests(flow) == []
    await flow.pass_ms(MINUTE_MS)
    assert digests(flow) == [[0, 1]]


@pytest.mark.parametrize("late_first", [False, True])
async def test_an_event_at_the_closing_instant_is_in_one_digest(flow_of, late_first):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    await flow.trigger("w", "u1", data={"n": 0})
    await flow.settle()
    flow.clock.pass_ms(HOUR_MS)
    if late_first:
        await flow.trigger("w", "u1", data={"n": 1})
    await flow.journal.fire(flow.clock.now_ms(), 10)
    if not late_first:
        await flow.trigger("w", "u1", data={"n": 1})
    await flow.pass_ms(HOUR_MS)
    assert Counter(n for one in digests(flow) for n in one) == {0: 1, 1: 1}
    assert digests(flow) == ([[0, 1]] if late_first else [[0], [1]])


async def test_a_full_digest_closes_early_and_its_timer_does_no_harm(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    for n in range(DIGEST_ITEMS_MAX + 3):
        await flow.trigger("w", "u1", data={"n": n})
    await flow.settle()
    assert digests(flow) == [list(range(DIGEST_ITEMS_MAX))]
    await flow.pass_ms(30 * MINUTE_MS)
    await flow.trigger("w", "u1", data={"n": -1})
    await flow.pass_ms(30 * MINUTE_MS)
    assert digests(flow)[1:] == [[DIGEST_ITEMS_MAX, DIGEST_ITEMS_MAX + 1, DIGEST_ITEMS_MAX + 2, -1]]
    assert flow.cell_keys() == []


async def test_a_digest_full_of_bytes_closes_too(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    number = DIGEST_BYTES_MAX // 200_000 + 1
    for n in range(number):
        await flow.trigger("w", "u1", data={"n": n, "text": "x" * 200_000})
    await flow.settle()
    assert digests(flow) == [list(range(number))]
    assert flow.endings() == {"completed": 1, "merged": number - 1}


@pytest.mark.parametrize("taken_back", [0, 1, 2])
async def test_a_cancelled_member_leaves_and_a_leader_hands_over(flow_of, taken_back):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    ids = [await flow.trigger("w", "u1", data={"n": n}) for n in range(3)]
    await flow.settle()
    await flow.cancel(ids[taken_back])
    await flow.pass_ms(HOUR_MS)
    rest = [n for n in range(3) if n != taken_back]
    assert digests(flow) == [rest]
    assert flow.sent[0].notification_id == ids[rest[0]]
    assert flow.endings() == {"completed": 1, "merged": 1, "cancelled": 1}


async def test_a_digest_without_members_is_not_sent(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    await flow.cancel(await flow.trigger("w", "u1", data={"n": 0}))
    other = await flow.trigger("w", "u1", data={"n": 1})
    await flow.settle()
    await flow.cancel(other)
    await flow.pass_ms(30 * MINUTE_MS)
    await flow.trigger("w", "u1", data={"n": 2})
    await flow.pass_ms(HOUR_MS)
    assert digests(flow) == [[2]], "and the next event is in a digest all the same"
    assert [key for key in flow.cell_keys() if key != b"c"] == []


async def test_an_expired_event_is_not_in_the_digest(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    await flow.trigger("w", "u1", data={"n": 0}, expires_ms=flow.clock.now_ms() + 59 * MINUTE_MS)
    await flow.trigger("w", "u1", data={"n": 1}, expires_ms=flow.clock.now_ms() + HOUR_MS)
    await flow.trigger("w", "u1", data={"n": 2})
    await flow.pass_ms(2 * HOUR_MS)
    assert digests(flow) == [[2]]
    assert flow.endings() == {"completed": 1, "expired": 2}


async def test_an_expired_event_is_left_out_even_if_its_timer_is_late(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    soon_ms = flow.clock.now_ms() + 59 * MINUTE_MS
    await flow.trigger("w", "u1", data={"n": 0}, lane=Lane.HIGH, expires_ms=soon_ms + HOUR_MS)
    await flow.trigger("w", "u1", data={"n": 1}, lane=Lane.BULK, expires_ms=soon_ms)
    await flow.trigger("w", "u1", data={"n": 2}, lane=Lane.BULK)
    await flow.settle()
    flow.clock.pass_ms(HOUR_MS)
    await flow.pass_ms(0)
    assert digests(flow) == [[0, 2]]
    assert flow.endings() == {"completed": 1, "merged": 1, "expired": 1}


async def test_versions_share_a_digest_and_the_leader_keeps_its_version(flow_of):
    flow = flow_of(w=digesting({"fixed": "1h"}))
    await flow.trigger("w", "u1", data={"n": 0})
    await flow.settle()
    changed = digesting({"fixed": "5m"})
    changed["steps"][1] = {**SEND, "template": "new"}
    flow.shelf.put("w", changed)
    await flow.trigger("w", "u1", data={"n": 1})
    await flow.pass_ms(HOUR_MS)
    await flow.trigger("w", "u1", data={"n": 2})
    await flow.pass_ms(HOUR_MS)
    assert digests(flow) == [[0, 1], [2]]
    assert flow.sent_to("u1") == [("hello", "hello"), ("hello", "new")]
