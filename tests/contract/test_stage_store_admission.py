"""Guarantees of every stage store for acceptance: one response per idempotency key, and cancellations."""

import asyncio

import pytest

from clarion.domain.limits import HOLD_MS_MAX
from clarion.ports.stage_store import (
    AcceptState,
    Cancellation,
    IdempotencyEntry,
    StageResult,
    StaleKey,
)
from tests.contract.journals import (
    START_MS,
    frame,
    timer,
)
from tests.look import Look

PORT = "stage store"


class TestIdempotency:
    def entry(self, answer: bytes, expires_ms: int, tenant: str = "acme") -> StageResult:
        return StageResult(
            accept_state=AcceptState(idempotency=[IdempotencyEntry(tenant, "key", b"hash", answer, expires_ms)])
        )

    async def test_a_key_is_remembered_per_tenant_until_it_expires(self, store):
        await store.commit(self.entry(b"one", START_MS + 100))
        await store.commit(self.entry(b"two", START_MS + 100, tenant="other"))
        found = await Look(store).idempotency("acme", "key", START_MS + 99)
        assert found == IdempotencyEntry("acme", "key", b"hash", b"one", START_MS + 100)
        assert (await Look(store).idempotency("other", "key", START_MS)).answer == b"two"
        assert await Look(store).idempotency("acme", "key", START_MS + 100) is None
        assert await Look(store).idempotency("acme", "unknown", START_MS) is None

    async def test_another_answer_is_refused_until_the_first_expires(self, store, clock):
        await store.commit(self.entry(b"first", START_MS + 100))
        both = StageResult(
            frames=[frame()],
            accept_state=AcceptState(
                idempotency=[
                    IdempotencyEntry("acme", "new", b"", b"", START_MS + 1),
                    *self.entry(b"2", 500).accept_state.idempotency,
                ]
            ),
        )
        with pytest.raises(StaleKey) as refused:
            await store.commit(both)
        assert refused.value.keys == {("acme", "key")}
        assert (await Look(store).head("t", 0), await Look(store).idempotency("acme", "new", START_MS)) == (0, None)
        assert (await Look(store).idempotency("acme", "key", START_MS)).answer == b"first"
        clock.pass_ms(100)
        await store.commit(self.entry(b"third", START_MS + 900))
        assert (await Look(store).idempotency("acme", "key", clock.now_ms())).answer == b"third"

    async def test_the_same_answer_again_changes_nothing(self, store):
        await store.commit(self.entry(b"first", START_MS + 100))
        again = self.entry(b"first", START_MS + 900).accept_state.idempotency
        result = await store.commit(StageResult(frames=[frame()], accept_state=AcceptState(idempotency=again)))
        assert result.offsets == [1]
        assert (await Look(store).idempotency("acme", "key", START_MS)).expires_ms == START_MS + 100

    async def test_one_append_gives_a_key_one_answer(self, store):
        first, second = (
            self.entry(answer, START_MS + 100).accept_state.idempotency[0] for answer in (b"first", b"second")
        )
        with pytest.raises(StaleKey):
            await store.commit(StageResult(accept_state=AcceptState(idempotency=[first, second])))
        assert await Look(store).idempotency("acme", "key", START_MS) is None

    async def test_what_a_refused_step_would_have_stored_is_free_for_the_next_one(self, store):
        """Both come together, so a store may commit them at once."""
        await store.commit(self.entry(b"first", START_MS + 100))
        taken = self.entry(b"second", START_MS + 100).accept_state.idempotency[0]
        shared = [IdempotencyEntry("acme", name, b"", b"refused", START_MS + 100) for name in ("one", "two")]
        own = [IdempotencyEntry("acme", name, b"", b"stored", START_MS + 100) for name in ("two", "three")]
        refused, stored, _ = await asyncio.gather(
            store.commit(StageResult(accept_state=AcceptState(idempotency=[*shared, taken]))),
            store.commit(StageResult(frames=[frame()], accept_state=AcceptState(idempotency=own))),
            store.commit(StageResult(frames=[frame()], accept_state=AcceptState(idempotency=own))),
            return_exceptions=True,
        )
        assert isinstance(refused, StaleKey)
        assert (refused.keys, stored.offsets) == ({("acme", "key")}, [1])
        found = await store.remembered([("acme", name) for name in ("key", "one", "two", "three")], START_MS)
        assert {key: entry.answer for (_, key), entry in found.items()} == {
            "key": b"first",
            "two": b"stored",
            "three": b"stored",
        }


class TestCancellations:
    async def test_each_is_read_once_after_a_known_sequence_number(self, store):
        assert await Look(store).cancelled_since(0) == (0, [])
        await store.commit(
            StageResult(
                accept_state=AcceptState(cancellations=[Cancellation("acme", b"a", 1), Cancellation("acme", b"b", 2)])
            )
        )
        sequence, ids = await Look(store).cancelled_since(0)
        assert ids == [b"a", b"b"]
        assert await Look(store).cancelled_since(sequence) == (sequence, [])
        await store.commit(StageResult(accept_state=AcceptState(cancellations=[Cancellation("acme", b"c", 3)])))
        newer, ids = await Look(store).cancelled_since(sequence)
        assert (newer > sequence, ids) == (True, [b"c"])

    async def test_sequence_numbers_do_not_come_again_after_a_trim(self, store):
        await store.commit(StageResult(accept_state=AcceptState(cancellations=[Cancellation("acme", b"a", 1)])))
        sequence, _ = await Look(store).cancelled_since(0)
        await store.trim(2 + HOLD_MS_MAX)
        assert await Look(store).cancelled_since(0) == (0, [])
        await store.commit(StageResult(accept_state=AcceptState(cancellations=[Cancellation("acme", b"b", 3)])))
        assert (await Look(store).cancelled_since(sequence))[1] == [b"b"]

    async def test_a_cancellation_outlives_the_timer_of_what_it_cancels(self, store, clock):
        subject = Cancellation("acme", b"a", 1)
        await store.commit(
            StageResult(timers=[timer(b"a", START_MS + 5)], accept_state=AcceptState(cancellations=[subject]))
        )
        await store.trim(START_MS)
        assert (await Look(store).cancelled_since(0))[1] == [b"a"]
        await store.fire(START_MS + 5, 10)
        await store.trim(START_MS)
        assert (await Look(store).cancelled_since(0))[1] == []

    async def test_a_cancellation_outlives_any_hold(self, store):
        await store.commit(StageResult(accept_state=AcceptState(cancellations=[Cancellation("acme", b"a", START_MS)])))
        await store.trim(START_MS + HOLD_MS_MAX)
        assert (await Look(store).cancelled_since(0))[1] == [b"a"]
        await store.trim(START_MS + HOLD_MS_MAX + 1)
        assert (await Look(store).cancelled_since(0))[1] == []


async def test_expired_keys_and_old_cancellations_go_too(store, clock):
    entries = [IdempotencyEntry("acme", str(n), b"", b"", START_MS + n) for n in range(4)]
    cancelled = [Cancellation("acme", b"%d" % n, START_MS + n) for n in range(4)]
    await store.commit(StageResult(accept_state=AcceptState(idempotency=entries, cancellations=cancelled)))
    clock.pass_ms(2)
    assert await store.trim(START_MS + 1 + HOLD_MS_MAX) == 0
    assert [await Look(store).idempotency("acme", str(n), 0) is None for n in range(4)] == [
        True,
        True,
        True,
        False,
    ]
    assert (await Look(store).cancelled_since(0))[1] == [b"1", b"2", b"3"]
