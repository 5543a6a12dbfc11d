"""Calls of fetch steps: the meaning of answers, and a bounded pool that loses no call."""

import asyncio

import pytest

from clarion.domain.channel import Lane
from clarion.domain.limits import FETCH_BODY_BYTES_MAX
from clarion.domain.limits_processes import FETCHES_UNDER_WAY_MAX, FETCHES_WAITING_MAX
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import AdvanceFrame
from clarion.plan.rules.workflow.state import FetchAnswered
from clarion.plan.workflow.fetch_calls import FetchJob, answer_of
from clarion.plan.workflow.worker import FetchPool
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import START_MS, VirtualClock
from tests.look import Glance
from tests.stages.world import Notes

DEEP = b"[" * 100 + b"]" * 100


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"a":[1,null]}', FetchAnswered(200, {"a": [1, None]})),
        (204, b"", FetchAnswered(204, "")),
        (200, b"plain \xff", FetchAnswered(200, "plain \ufffd")),
        (404, b'"no"', FetchAnswered(404, "no")),
        (302, b"", FetchAnswered(302, "")),
        (429, b"", FetchAnswered(error="status 429")),
        (500, b"{}", FetchAnswered(error="status 500")),
        (200, b'{"a":[18446744073709551616]}', FetchAnswered(error="the answer holds an integer of more than 64 bits")),
        (200, b"1e999", FetchAnswered(200, "1e999")),
        (200, DEEP, FetchAnswered(error="the answer is nested too deeply")),
        (200, b"x" * (FETCH_BODY_BYTES_MAX + 1), FetchAnswered(error="the answer is longer than 65536 bytes")),
    ],
)
def test_what_an_answer_means(status, body, answer):
    assert answer_of(HttpResponse(status, {}, body)) == answer


VALUES = {"Authorization": "Bearer c4nary/token", "cookie": "a=c4nary-one; b=c4nary-two", "x-key": "12"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'["Bearer c4nary/token", "c4nary/token", "x c4nary\\/token"]', ["***", "***", "x ***"]),
        (b'{"\\u00634nary-one": ["c4nary-two"]}', {"***": ["***"]}),
        (b"c4nary/token c4nary-two", "*** ***"),
        (b'{"rides": 12, "x": "12"}', {"rides": 12, "x": "12"}),
    ],
)
def test_secrets_that_an_answer_repeats_are_masked(body, shown):
    assert answer_of(HttpResponse(200, {}, body), VALUES) == FetchAnswered(200, shown)


class Slow:
    """A server that answers when the test allows it, and counts the waiting calls."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = self.most = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if request.url.endswith("bug"):
            raise RuntimeError("secret in the words")
        return HttpResponse(200, {}, b"1")

    async def close(self) -> None:
        """Nothing is open."""


class Place:
    """A pool over a memory journal and a slow server."""

    def __init__(self) -> None:
        self.clock, self.notes, self.server = VirtualClock(), Notes(), Slow()
        self.journal = MemoryJournal(self.clock, 1)
        self.pool = FetchPool(self.journal, self.server, self.clock, self.notes)

    def answers(self) -> list[AdvanceFrame]:
        return [decode(one.payload) for one in Glance(self.journal).read(topics.accepted(Lane.HIGH), 0, 0, 100_000)]


def job(number: int = 0, url: str = "https://x.test/", deadline_ms: int = START_MS + 1) -> FetchJob:
    request = HttpRequest("GET", url, {"authorization": "secret"}, b"")
    return FetchJob(number.to_bytes(24, "big"), "acme", Lane.HIGH, 0, 3, deadline_ms, request)


async def test_an_answer_comes_back_for_the_wait_it_was_asked_for():
    place = Place()
    place.server.open.set()
    place.pool.begin([job(7)])
    await place.pool.idle()
    (frame,) = place.answers()
    assert (frame.instance_ids, frame.causes, frame.seqs) == ([(7).to_bytes(24, "big")], ["fetched"], [3])


async def test_calls_under_way_are_bounded_and_the_others_wait():
    place = Place()
    place.pool.begin([job(n) for n in range(3 * FETCHES_UNDER_WAY_MAX)])
    for _ in range(3):
        await asyncio.sleep(0)
    assert place.server.waiting == FETCHES_UNDER_WAY_MAX
    place.server.open.set()
    await place.pool.idle()
    assert place.server.most == FETCHES_UNDER_WAY_MAX
    assert len(place.answers()) == 3 * FETCHES_UNDER_WAY_MAX


async def test_a_call_whose_timer_has_fired_is_not_begun():
    place = Place()
    place.server.open.set()
    place.pool.begin([job(deadline_ms=START_MS)])
    await place.pool.idle()
    assert place.answers() == [] and place.server.most == 0


async def test_a_call_over_the_bound_is_left_to_its_timer():
    place = Place()
    place.pool.begin([job(n) for n in range(FETCHES_WAITING_MAX)])
    place.pool.begin([job(1)])
    assert place.notes.lines == ["fetches_deferred"]
    await place.pool.close()


async def test_closing_ends_calls_without_an_answer():
    place = Place()
    place.pool.begin([job(n) for n in range(3)])
    await asyncio.sleep(0)
    await place.pool.close()
    assert (place.answers(), place.server.waiting) == ([], 0)


async def test_a_crash_is_an_answer_that_does_not_repeat_what_it_read():
    place = Place()
    place.server.open.set()
    place.pool.begin([job(url="https://x.test/bug")])
    await place.pool.idle()
    (frame,) = place.answers()
    assert b"internal error: RuntimeError" in frame.payloads[0] and b"secret" not in frame.payloads[0]
    assert place.notes.lines == ["fetch_crashed"]
    assert "secret" not in repr(job())
