"""The cancellations that a commit of any stage store returns: every one that was acknowledged before the commit was durable."""

import asyncio

import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX
from clarion.ports.stage_store import AcceptState, Cancellation, Committed, StageResult
from tests.contract.backends import SHARED
from tests.contract.journals import START_MS, frame, held

PORT = "stage store"


def cancelling(*subjects: bytes) -> StageResult:
    return StageResult(
        accept_state=AcceptState(cancellations=[Cancellation("acme", one, START_MS) for one in subjects])
    )


async def test_a_commit_returns_cancellations_on_request(store):
    asked = StageResult(frames=[frame()], cancellations_after=0)
    assert await store.commit(asked) == Committed([1], (0, []))
    await store.commit(cancelling(b"one", b"two"))
    assert await store.commit(asked) == Committed([2], (2, [b"one", b"two"]))
    assert (await store.commit(StageResult(cancellations_after=1))).cancelled == (2, [b"two"])
    assert (await store.commit(StageResult(cancellations_after=7))).cancelled == (7, [])
    assert await store.commit(StageResult(frames=[frame()])) == Committed([3])


async def test_a_commit_returns_its_own_cancellations(store):
    both = StageResult(
        accept_state=AcceptState(cancellations=[Cancellation("acme", b"own", START_MS)]), cancellations_after=0
    )
    assert (await store.commit(both)).cancelled == (1, [b"own"])


async def test_a_commit_returns_no_more_cancellations_than_a_read(store):
    subjects = [b"%d" % number for number in range(CANCELLATIONS_PER_READ_MAX + 1)]
    await store.commit(cancelling(*subjects))
    sequence, found = (await store.commit(StageResult(cancellations_after=0))).cancelled
    assert (sequence, found) == await store.cancellations_after(0)
    assert found == subjects[:-1]
    assert (await store.commit(StageResult(cancellations_after=sequence))).cancelled == (sequence + 1, subjects[-1:])


async def test_a_refused_commit_returns_no_cancellations(store):
    stale, _ = await held(store), await held(store)
    await store.commit(cancelling(b"one"))
    with pytest.raises(StaleLease):
        await store.commit(StageResult(lease=stale, cancellations_after=0))


async def test_a_cancellation_acknowledged_before_a_commit_was_durable_is_in_it(store):
    """In any interleaving: after a cancellation is acknowledged, no commit that ends later may miss it."""
    durable: list[bytes] = []

    async def cancel(number: int) -> None:
        await asyncio.sleep(0.0003 * (number % 7))
        subject = b"%d" % number
        await store.commit(cancelling(subject))
        durable.append(subject)

    async def intend(number: int) -> None:
        await asyncio.sleep(0.0003 * (number % 5))
        committed = await store.commit(StageResult(frames=[frame()], cancellations_after=0))
        assert set(durable) <= set(committed.cancelled[1])

    await asyncio.gather(*(work(number) for number in range(200) for work in (intend, cancel)))
    assert len(durable) == 200


@pytest.mark.needs_trait(SHARED)
async def test_a_commit_returns_every_cancellation_acknowledged_to_another_process(open_store):
    one, two = open_store(), open_store()
    durable: list[bytes] = []

    async def cancel() -> None:
        for number in range(100):
            await one.commit(cancelling(subject := b"%d" % number))
            durable.append(subject)

    async def intend() -> None:
        while len(durable) < 100:
            before = set(durable)
            committed = await two.commit(StageResult(frames=[frame()], cancellations_after=0))
            # A cancellation acknowledged while this commit returns may be durable only after it.
            assert before <= set(committed.cancelled[1])

    await asyncio.gather(cancel(), intend())
