"""Group commit at the door: few appends for many requests, and every waiter learns what became of its own."""

import asyncio

import pytest

from clarion.accept.worker import TURN_REQUESTS, AcceptWriter, Taken
from clarion.backends.memory.journal import MemoryJournal
from clarion.domain.channel import Lane
from clarion.domain.errors import DurabilityError
from clarion.domain.limits import FRAME_BYTES_MAX, FRAME_RECIPIENTS_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Recipient, Request
from clarion.ports.stage_store import Admission, Committed, IdempotencyEntry, StageResult
from tests.look import Glance
from tests.stages.virtual import LoopClock, run, until
from tests.stages.world import Notes

LINGER_MS = 20


class SlowJournal(MemoryJournal):
    """An append takes 5 ms, as an fsync does, and may be told to fail."""

    def __init__(self) -> None:
        super().__init__(LoopClock(), 2)
        self.appends: list[StageResult] = []
        self.fails = False

    async def commit(self, batch: StageResult) -> Committed:
        self.appends.append(batch)
        await asyncio.sleep(0.005)
        if self.fails:
            raise DurabilityError("the disk is gone")
        return await super().commit(batch)


def taken(number: int, lane: Lane = Lane.NORMAL, size: int = 1, recipients: int = 1) -> Taken:
    request = Request([Recipient("ana")] * recipients, "hello", None, None, lane, {"text": "x" * size})
    return Taken(number.to_bytes(16, "big"), "acme", 1, lane, number % 2, request)


def writer(journal: SlowJournal) -> AcceptWriter:
    return AcceptWriter(journal, LoopClock(), Notes(), linger_ms=LINGER_MS)


def stored(journal: MemoryJournal, lane: Lane = Lane.NORMAL) -> list[int]:
    frames = [one for p in range(2) for one in Glance(journal).read(topics.accepted(lane), p, 0, 10_000)]
    return sorted(int.from_bytes(id_, "big") for one in frames for id_ in decode(one.payload).notification_ids)


def test_requests_that_come_together_share_an_append():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        await asyncio.gather(*(door.take([taken(n)]) for n in range(500)))
        assert len(journal.appends) == 1
        assert stored(journal) == list(range(500))

    run(story())


@pytest.mark.parametrize("recipients", [1, 300, FRAME_RECIPIENTS_MAX])
def test_a_frame_holds_no_more_than_planning_may_look_at_in_one_go(recipients):
    async def story() -> None:
        journal = SlowJournal()
        items = [taken(2 * number, recipients=recipients) for number in range(FRAME_RECORDS_MAX + 100)]
        await writer(journal).take(items)
        assert stored(journal) == [2 * number for number in range(len(items))]
        frames = [decode(one.payload) for one in Glance(journal).read(topics.accepted(Lane.NORMAL), 0, 0, 10_000)]
        most = max(sum(len(request.to) for request in frame.requests) for frame in frames)
        assert FRAME_RECIPIENTS_MAX - recipients < most <= FRAME_RECIPIENTS_MAX or len(frames) == 2

    run(story())


def test_a_steady_stream_appends_once_a_linger_and_an_idle_one_does_not_wait():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)
        began = loop.time()
        await door.take([taken(0)])
        assert loop.time() - began < 0.006
        waiting = []
        for number in range(1, 401):
            waiting.append(asyncio.create_task(door.take([taken(number)])))
            await asyncio.sleep(0.001)
        await asyncio.gather(*waiting)
        assert len(journal.appends) <= 2 + 400 // LINGER_MS + 1
        assert stored(journal) == list(range(401))

    run(story())


def test_a_failed_append_reaches_every_waiter_and_the_next_one_tries_anew():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        journal.fails = True
        told = await asyncio.gather(*(door.take([taken(n)]) for n in range(20)), return_exceptions=True)
        assert {type(one) for one in told} == {DurabilityError}
        assert stored(journal) == []
        journal.fails = False
        await door.take([taken(20)])
        assert stored(journal) == [20]

    run(story())


def test_a_client_that_hangs_up_takes_nobody_with_it():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        gone, stays = (asyncio.create_task(door.take([taken(n)])) for n in range(2))
        await until(lambda: bool(journal.appends), every_s=0.001)
        gone.cancel()
        await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert stored(journal) == [0, 1], "what was taken is stored, although nobody hears of it"

    run(story())


def test_lanes_and_partitions_have_frames_of_their_own_within_the_bounds():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        many = [taken(n) for n in range(2 * FRAME_RECORDS_MAX + 2)]
        large = [taken(n, Lane.HIGH, size=FRAME_BYTES_MAX // 3) for n in range(10)]
        await door.take([*many, *large])
        (append,) = journal.appends
        assert all(frame.count <= FRAME_RECORDS_MAX for frame in append.frames)
        assert all(len(frame.payload) <= FRAME_BYTES_MAX for frame in append.frames)
        assert stored(journal) == list(range(len(many)))
        assert stored(journal, Lane.HIGH) == list(range(10))

    run(story())


def test_a_key_answered_elsewhere_is_told_to_its_owner_alone():
    async def story() -> None:
        journal = SlowJournal()
        door = writer(journal)
        await journal.commit(StageResult(admission=Admission(idempotency=[answer("a"), answer("b")])))
        journal.appends.clear()
        told = await asyncio.gather(
            door.take([taken(0)], [answer("c", b"mine")]),
            door.take([taken(1)], [answer("a", b"mine")]),
            door.take([taken(2)]),
            door.take([taken(3), taken(4)], [answer("d", b"mine"), answer("b", b"mine"), answer("a", b"mine")]),
            door.take([taken(5)], [answer("e")]),
            return_exceptions=True,
        )
        assert [told[n] for n in (0, 2, 4)] == [None] * 3
        assert [told[n].keys for n in (1, 3)] == [{("acme", "a")}, {("acme", "a"), ("acme", "b")}]
        assert stored(journal) == [0, 2, 5]
        assert len(journal.appends) == 2
        assert Glance(journal).idempotency("acme", "d", 0) is None

    run(story())


def answer(key: str, given: bytes = b"given") -> IdempotencyEntry:
    return IdempotencyEntry("acme", key, b"hash", given, 2**62)


def test_requests_a_moment_after_a_commit_are_checked_in_one_go_and_others_at_once():
    async def story() -> None:
        journal = SlowJournal()
        door, loop = writer(journal), asyncio.get_running_loop()
        began: list[float] = []

        async def request(number: int) -> None:
            await door.turn()
            began.append(loop.time())
            await door.take([taken(number)])

        await asyncio.sleep(1)
        first_s = loop.time()
        await request(0)
        assert began == [first_s], "nobody waits when idle"
        waiting = []
        for number in range(1, TURN_REQUESTS - 1):
            waiting.append(asyncio.create_task(request(number)))
            await asyncio.sleep(0.001)
        gone = asyncio.create_task(request(100))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(*waiting)
        assert len(began[1:]) == TURN_REQUESTS - 2
        assert len(set(began[1:])) == 1
        assert LINGER_MS <= round((began[1] - first_s) * 1_000) <= LINGER_MS + 1
        assert len(journal.appends) == 2, "they share a commit"
        assert stored(journal) == list(range(TURN_REQUESTS - 1))

    run(story())


def test_many_that_wait_for_a_commit_do_not_wait_to_be_checked():
    async def story() -> None:
        door, loop = writer(SlowJournal()), asyncio.get_running_loop()
        await asyncio.sleep(1)
        await door.take([taken(0)])
        began_s = loop.time()
        await asyncio.gather(*(door.turn() for _ in range(2 * TURN_REQUESTS)))
        assert loop.time() == began_s

    run(story())
