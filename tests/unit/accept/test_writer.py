"""Group commit at intake: few appends for many requests, and every waiter gets the result of its own."""

import asyncio
import math

import pytest

from clarion.accept.worker import CHECKS_WAIT_MS, COMMIT_WAITERS_MAX, AcceptWriter, Admitted
from clarion.domain.channel import Lane
from clarion.domain.errors import DurabilityError
from clarion.domain.limits_processes import FRAME_BYTES_MAX, FRAME_RECIPIENTS_MAX, FRAME_RECORDS_MAX
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import Recipient, Request
from clarion.ports.stage_store import AcceptState, Committed, IdempotencyEntry, StageResult
from clarion.stores.memory.journal import MemoryJournal
from tests.look import Glance
from tests.stages.virtual import LoopClock, run, until
from tests.stages.world import Notes

LINGER_MS = 20


class SlowJournal(MemoryJournal):
    """An append takes 5 ms, as an fsync does, and fails on request."""

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


def admitted(number: int, lane: Lane = Lane.NORMAL, size: int = 1, recipients: int = 1) -> Admitted:
    request = Request([Recipient("ana")] * recipients, "hello", None, None, lane, {"text": "x" * size})
    return Admitted(number.to_bytes(16, "big"), "acme", 1, lane, number % 2, request)


def writer(journal: SlowJournal) -> AcceptWriter:
    return AcceptWriter(journal, LoopClock(), Notes(), linger_ms=LINGER_MS)


def stored(journal: MemoryJournal, lane: Lane = Lane.NORMAL) -> list[int]:
    frames = [one for p in range(2) for one in Glance(journal).read(topics.accepted(lane), p, 0, 10_000)]
    return sorted(int.from_bytes(id_, "big") for one in frames for id_ in decode(one.payload).notification_ids)


def test_concurrent_requests_share_an_append():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)
        await asyncio.gather(*(context.append([admitted(n)]) for n in range(500)))
        assert len(journal.appends) == 1
        assert stored(journal) == list(range(500))

    run(scenario())


@pytest.mark.parametrize("recipients", [1, 300, FRAME_RECIPIENTS_MAX])
def test_a_frame_holds_no_more_than_planning_reads_at_once(recipients):
    async def scenario() -> None:
        journal = SlowJournal()
        items = [admitted(2 * number, recipients=recipients) for number in range(FRAME_RECORDS_MAX + 100)]
        await writer(journal).append(items)
        assert stored(journal) == [2 * number for number in range(len(items))]
        frames = [decode(one.payload) for one in Glance(journal).read(topics.accepted(Lane.NORMAL), 0, 0, 10_000)]
        most = max(sum(len(request.to) for request in frame.requests) for frame in frames)
        assert FRAME_RECIPIENTS_MAX - recipients < most <= FRAME_RECIPIENTS_MAX or len(frames) == 2

    run(scenario())


def test_a_failed_append_reaches_every_waiter_and_the_next_one_retries():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)
        journal.fails = True
        result = await asyncio.gather(*(context.append([admitted(n)]) for n in range(20)), return_exceptions=True)
        assert {type(one) for one in result} == {DurabilityError}
        assert stored(journal) == []
        journal.fails = False
        await context.append([admitted(20)])
        assert stored(journal) == [20]

    run(scenario())


def test_a_client_that_disconnects_affects_no_other():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)
        gone, stays = (asyncio.create_task(context.append([admitted(n)])) for n in range(2))
        await until(lambda: bool(journal.appends), every_s=0.001)
        gone.cancel()
        await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert stored(journal) == [0, 1], "an accepted request is stored, although no client gets the answer"

    run(scenario())


def test_lanes_and_partitions_have_frames_of_their_own_within_the_bounds():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)
        many = [admitted(n) for n in range(2 * FRAME_RECORDS_MAX + 2)]
        large = [admitted(n, Lane.HIGH, size=FRAME_BYTES_MAX // 3) for n in range(10)]
        await context.append([*many, *large])
        (append,) = journal.appends
        assert all(frame.count <= FRAME_RECORDS_MAX for frame in append.frames)
        assert all(len(frame.payload) <= FRAME_BYTES_MAX for frame in append.frames)
        assert stored(journal) == list(range(len(many)))
        assert stored(journal, Lane.HIGH) == list(range(10))

    run(scenario())


def test_a_key_answered_elsewhere_is_reported_only_to_its_owner():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)
        await journal.commit(StageResult(accept_state=AcceptState(idempotency=[answer("a"), answer("b")])))
        journal.appends.clear()
        result = await asyncio.gather(
            context.append([admitted(0)], [answer("c", b"mine")]),
            context.append([admitted(1)], [answer("a", b"mine")]),
            context.append([admitted(2)]),
            context.append(
                [admitted(3), admitted(4)], [answer("d", b"mine"), answer("b", b"mine"), answer("a", b"mine")]
            ),
            context.append([admitted(5)], [answer("e")]),
            return_exceptions=True,
        )
        assert [result[n] for n in (0, 2, 4)] == [None] * 3
        assert [result[n].keys for n in (1, 3)] == [{("acme", "a")}, {("acme", "a"), ("acme", "b")}]
        assert stored(journal) == [0, 2, 5]
        assert len(journal.appends) == 2
        assert Glance(journal).idempotency("acme", "d", 0) is None

    run(scenario())


def answer(key: str, given: bytes = b"given") -> IdempotencyEntry:
    return IdempotencyEntry("acme", key, b"hash", given, 2**62)


def test_a_waiter_is_never_lost_whatever_commits_meanwhile():
    async def scenario() -> None:
        journal = SlowJournal()
        context = writer(journal)

        async def request(number: int) -> None:
            async with context.next_commit():
                await context.append([admitted(number)])

        sent = []
        for number in range(0, 2_000, 4):
            sent.append(asyncio.create_task(request(number)))
            if number % 7 == 0:
                sent.append(asyncio.create_task(context.append([admitted(number + place) for place in (1, 2)])))
            if number % 5 == 0:
                sent.append(asyncio.create_task(request(number + 3)))
            await asyncio.sleep((number % 11) / 1_000)
        async with asyncio.timeout(1):
            await asyncio.gather(*sent)

    run(scenario())


def test_requests_wait_for_a_commit_under_way():
    async def scenario() -> None:
        journal = SlowJournal()
        context, loop = writer(journal), asyncio.get_running_loop()
        began: list[float] = []

        async def request(number: int) -> None:
            async with context.next_commit():
                began.append(loop.time())
                await context.append([admitted(number)])

        for number in range(3):
            now_s = loop.time()
            await request(number)
            assert began[-1] == now_s, "a client that waits for each answer does not wait for other requests"
        waiting = [asyncio.create_task(request(3))]
        await asyncio.sleep(0.001)
        waiting += [asyncio.create_task(request(number)) for number in (4, 5, 6)]
        first_s = loop.time()
        await asyncio.gather(*waiting)
        assert [round((at_s - first_s) * 1_000) for at_s in began[4:]] == [4, 4, 4], (
            "they wait for the commit under way"
        )
        assert len(journal.appends) == 5, "they share a commit"
        await request(7)
        now_s = loop.time()
        await request(8)
        assert began[-1] == now_s, "the last one came alone"
        assert stored(journal) == list(range(9))

    run(scenario())


class Clients:
    """Numbered requests to a writer, and the longest time that one took."""

    def __init__(self, journal: SlowJournal) -> None:
        self.writer = writer(journal)
        self.longest_ms = 0.0
        self._last = 0

    async def request(self, check_s: float = 0, *, may_wait_ms: float = math.inf) -> None:
        self._last += 1
        number, loop = self._last, asyncio.get_running_loop()
        came_s = loop.time()
        async with self.writer.next_commit(may_wait_ms):
            await asyncio.sleep(check_s)
            await self.writer.append([admitted(number)])
        self.longest_ms = max(self.longest_ms, (loop.time() - came_s) * 1_000)


@pytest.mark.parametrize("beside", ["nobody", "refused", "batch", "steady", "slow"])
@pytest.mark.parametrize("number", [1, 3, 10])
def test_requests_that_follow_a_response_wait_for_the_commit_under_way_at_most(number, beside):
    async def scenario() -> None:
        journal = SlowJournal()
        clients, loop = Clients(journal), asyncio.get_running_loop()

        async def client() -> None:
            for _ in range(100):
                await clients.request(may_wait_ms=0)

        async def companion() -> None:
            while True:
                if beside == "batch":
                    await clients.writer.append([admitted(1_000_000), admitted(1_000_001)])
                elif beside == "steady":
                    await asyncio.sleep(0.004)
                    other = asyncio.create_task(clients.request())
                    other.add_done_callback(lambda _: None)
                    others.append(other)
                else:
                    async with clients.writer.next_commit(0 if beside == "refused" else math.inf):
                        await asyncio.sleep(0 if beside == "refused" else 0.004)
                    await asyncio.sleep(0.0005)

        others: list[asyncio.Task[None]] = []
        running = asyncio.create_task(companion()) if beside != "nobody" else None
        began_s = loop.time()
        await asyncio.gather(*(client() for _ in range(number)))
        spent_ms = (loop.time() - began_s) * 1_000
        if running is not None:
            running.cancel()
        await asyncio.gather(*others)
        # Each waits for the commit under way, for checks, and for its own commit.
        assert spent_ms <= 100 * (5 + 5 + 4) + LINGER_MS
        assert len(journal.appends) <= 110 * (4 if beside == "batch" else 2)

    run(scenario())


@pytest.mark.parametrize("think_ms", [3, 10, 30])
@pytest.mark.parametrize("number", [1, 3, 30])
def test_a_client_that_pauses_after_each_response_gets_at_least_half_as_many(number, think_ms):
    async def scenario() -> None:
        journal = SlowJournal()
        clients, loop = Clients(journal), asyncio.get_running_loop()

        async def client() -> None:
            for _ in range(50):
                await clients.request(may_wait_ms=think_ms)
                await asyncio.sleep(think_ms / 1000)

        async def stranger() -> None:
            while True:
                await asyncio.sleep(0.004)
                other = asyncio.create_task(clients.request())
                other.add_done_callback(lambda _: None)
                others.append(other)

        others: list[asyncio.Task[None]] = []
        running = asyncio.create_task(stranger())
        began_s = loop.time()
        await asyncio.gather(*(client() for _ in range(number)))
        spent_ms = (loop.time() - began_s) * 1_000
        running.cancel()
        await asyncio.gather(*others)
        # Without gathering each takes its pause, the commit under way and its own; 4 ms are for the turns between.
        assert spent_ms <= 2 * 50 * (think_ms + 5 + 5 + 4)

    run(scenario())


@pytest.mark.parametrize("number", [2, 3, 10, COMMIT_WAITERS_MAX - 1])
def test_clients_that_wait_for_each_response_share_commits_without_a_pause(number):
    async def scenario() -> None:
        journal = SlowJournal()
        clients = Clients(journal)

        async def client() -> None:
            for _ in range(50):
                await clients.request()

        began_s = asyncio.get_running_loop().time()
        await asyncio.gather(*(client() for _ in range(number)))
        spent_ms = (asyncio.get_running_loop().time() - began_s) * 1_000
        assert stored(journal) == list(range(1, 50 * number + 1))
        assert len(journal.appends) <= 55
        assert spent_ms <= 55 * 5 + 2 * LINGER_MS

    run(scenario())


@pytest.mark.parametrize("check_ms", [0, 1, CHECKS_WAIT_MS - 2])
def test_requests_that_come_at_a_steady_rate_are_gathered_and_none_waits_for_two_commits(check_ms):
    async def scenario() -> None:
        journal = SlowJournal()
        clients, sent = Clients(journal), []
        for number in range(1_000):
            # Some checks take longer, as one that reads definitions does.
            sent.append(asyncio.create_task(clients.request(check_ms / 1_000 if number % 3 == 0 else 0)))
            await asyncio.sleep(0.003 + number % 7 / 10_000)
        await asyncio.gather(*sent)
        assert stored(journal) == list(range(1, 1_001))
        assert len(journal.appends) <= 1_000 * 3.3 / (LINGER_MS + check_ms) * 1.3
        assert clients.longest_ms <= LINGER_MS + 2 * check_ms + 3 * 5

    run(scenario())


def test_a_check_that_takes_long_or_is_refused_holds_no_commit_up():
    async def scenario() -> None:
        journal = SlowJournal()
        clients, loop = Clients(journal), asyncio.get_running_loop()

        async def refused() -> None:
            async with clients.writer.next_commit():
                raise ValueError("a field is wrong")

        slow = asyncio.create_task(clients.request(check_s=10))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="a field is wrong"):
            await refused()
        began_s = loop.time()
        await clients.request()
        assert (loop.time() - began_s) * 1_000 == pytest.approx(CHECKS_WAIT_MS + 5)
        await slow
        assert loop.time() - began_s < 10.1

    run(scenario())


def test_waiting_for_a_commit_does_not_delay_checks():
    async def scenario() -> None:
        context, loop = writer(SlowJournal()), asyncio.get_running_loop()
        await asyncio.sleep(1)
        await context.append([admitted(0)])
        began_s = loop.time()

        async def check() -> None:
            async with context.next_commit():
                pass

        await asyncio.gather(*(check() for _ in range(2 * COMMIT_WAITERS_MAX)))
        assert loop.time() == began_s

    run(scenario())
